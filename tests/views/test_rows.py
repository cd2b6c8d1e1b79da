"""Lines that are written without rich: what a rich table would show of the same."""

from __future__ import annotations

import io
import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from namel3ss_debug.views.cleaning import DIM, ERROR, GOOD, HEADING, WARNING, Piece
from namel3ss_debug.views.rows import labelled, write_rows
from namel3ss_debug.views.tables import pairs
from namel3ss_debug.views.terminal import fitted

LABELS = st.sampled_from(["program", "answered", "order", "new input"])
VALUES = st.text(max_size=2) | st.builds(Piece, st.text("a é中", max_size=13), st.sampled_from(["", WARNING]))


class Coloured(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self):
        """It is."""
        return True


@given(st.lists(st.tuples(LABELS, VALUES), max_size=5), st.integers(40, 100))
def test_labels_and_values_stand_as_in_a_table(items, width):
    """The same lines, of the same width, whatever the values hold."""
    ours = [fitted(row, width).plain.rstrip() for row in labelled(items, width, indent="  ")]
    assert ours == [row.plain.rstrip() for row in pairs(items, width, indent="  ")]


@given(st.lists(st.text("abc", min_size=1, max_size=9), min_size=1), st.integers(40, 100))
def test_a_long_value_goes_on_below_itself(words, width):
    """Nothing of it is left out, and no line is wider than there is room."""
    rows = ["".join(part.plain for part in row) for row in labelled([("order", " ".join(words))], width)]
    assert all(len(row) <= width for row in rows)
    assert [row[:7] for row in rows] == ["order  ", *["       "] * (len(rows) - 1)]
    assert " ".join(row[7:] for row in rows).split() == words


@pytest.mark.parametrize("style", [DIM, ERROR, GOOD, HEADING, WARNING, ""])
def test_colours_are_those_of_rich(style, monkeypatch):
    """On a terminal a piece has the colour that rich gives it, and none where colours are not wanted."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    stream, plain, drawn = Coloured(), io.StringIO(), io.StringIO()
    row = (Piece("a ", style), Piece("b"))
    write_rows([row], stream)
    Console(file=drawn, color_system="standard", force_terminal=True, legacy_windows=False).print(
        fitted(row, 80)
    )
    assert re.sub("\n", "", stream.getvalue()) == drawn.getvalue().strip("\n")
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    write_rows([row], plain)
    assert plain.getvalue() == "a b\n"


def test_what_tells_of_a_re_run_as_recorded_needs_no_rich():
    """The report of the usual end is there without the time that rich takes."""
    modules = "namel3ss_debug.views.outcomes, namel3ss_debug.views.rows"
    code = f"import sys, {modules}; sys.exit('rich' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
