"""The edge to the terminal: what it lets through, and what it never does."""

import io
import re
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.text import Text

from namel3ss_debug.views.terminal import (
    byte_progress,
    clean,
    console,
    fitted,
    line,
    piece,
    screen_width,
    shorten,
    wants_colour,
)

SGR = re.compile(r"\x1b\[[0-9;]*m")


class Stream:
    """A text stream that says whether it is a terminal, and keeps what was written."""

    def __init__(self, *, terminal):
        self.terminal = terminal
        self.written = ""

    def isatty(self):
        """Whether it is a terminal."""
        return self.terminal

    def write(self, words):
        """Keep what is written."""
        self.written += words

    def flush(self):
        """Nothing is held back."""


@given(st.text())
def test_cleaned_text_holds_no_control_and_nothing_invisible(value):
    """Whatever goes in, each character that comes out is printable, or the line end that was asked for."""
    assert all(character.isprintable() for character in clean(value))
    assert all(character.isprintable() or character == "\n" for character in clean(value, multiline=True))


@given(st.text(), st.integers(1, 50))
def test_a_limit_is_kept(value, limit):
    """A text within the limit grows by escapes only; a longer one is cut with an ellipsis."""
    if len(value) > limit:
        assert (
            len(clean(value, limit)) <= limit + 2
        )  # a dotted circle and the mark of a capped run may be added
        assert clean(value, limit).endswith("…")
    else:
        assert clean(value, limit) == clean(value)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "^[[31mred^[[0m"),
        ("\x1b]0;title\x07", "^[]0;title^G"),
        ("\x9b2J", "\\u009b2J"),
        ("a\x7fb\x00c", "a^?b^@c"),
        ("abc\u202edef", "abc\\u202edef"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("tag\U000e0041", "tag\\U000e0041"),
        ("lone \ud800", "lone \\ud800"),
        ("two\r\nlines\tand\rthree", "two lines and^Mthree"),
        ("no\xa0break", "no break"),
        ("filler\u3164", "filler\\u3164"),
        ("[red]markup[/red] :skull: [/]", "[red]markup[/red] :skull: [/]"),
        ("漢字 é 👍", "漢字 é 👍"),
        ("👍\U0001f3fd ok", "👍\U0001f3fd ok"),
        ("\U0001f3fd x\U0001f3fb", "\\U0001f3fd x\\U0001f3fb"),
        ("👍\U0001f3fd\U0001f3fd", "👍\U0001f3fd\\U0001f3fd"),
        (12, "12"),
    ],
)
def test_what_a_terminal_would_obey_is_shown(value, shown):
    """Escape sequences, direction marks and invisible characters stand there as text; letters stay."""
    assert clean(value) == shown


def test_combining_marks_do_not_climb():
    """A run of marks is capped, and a mark without a letter gets a place of its own."""
    tower = "e" + "\u0301" * 100
    assert clean(tower) == "e" + "\u0301" * 4 + "…"
    assert clean("\u0301x") == "\u25cc\u0301x"


def test_multiline_keeps_line_ends_and_widens_tabs():
    """Payloads keep their lines; a carriage return alone does not go back to overwrite one."""
    assert clean("a\r\n\tb\rc", multiline=True) == "a\n    b^Mc"


@given(st.text(st.characters(categories=["L", "N", "P", "S"])), st.integers(0, 30), st.booleans())
def test_shortening_keeps_to_the_cells(content, width, middle):
    """A shortened text is never wider than it may be, and a narrow one is as it was."""
    cut = shorten(content, width, middle=middle)
    assert cell_len(cut) <= width or cell_len(content) <= width
    if cell_len(content) <= width:
        assert cut == content


def test_shortening_in_the_middle_keeps_both_ends():
    """A name that is cut in its middle still shows how it begins and ends."""
    assert shorten("lookup_order_by_customer", 11, middle=True) == "looku…tomer"
    assert shorten("漢字漢字漢字", 7) == "漢字漢…"


def test_a_line_cleans_its_parts():
    """Data reaches a line cleaned, with the style it was given."""
    whole = line("n ", ("a\x1bb", "red"), Text("done"))
    assert whole.plain == "n a^[bdone"
    assert [str(span.style) for span in whole.spans] == ["red"]


@pytest.mark.parametrize(
    ("environment", "terminal", "expected"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, True, False),
        ({"TERM": "dumb"}, True, False),
    ],
)
def test_colour_is_for_terminals(monkeypatch, environment, terminal, expected):
    """Colour appears on a terminal; NO_COLOR forbids it, FORCE_COLOR asks for it."""
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert wants_colour(Stream(terminal=terminal)) is expected


def test_the_width_comes_from_columns_first(monkeypatch):
    """COLUMNS wins, nonsense in it does not, and nothing is laid out for less than 40 columns."""
    monkeypatch.setenv("COLUMNS", "132")
    assert screen_width() == 132
    monkeypatch.setenv("COLUMNS", "5")
    assert screen_width() == 40
    monkeypatch.setenv("COLUMNS", "wide")
    assert screen_width() >= 40


def test_markup_emoji_and_links_in_data_are_text(capsys, monkeypatch):
    """What rich would turn into style, emoji or a link is printed as it stands."""
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    console(width=80).lines([line("[bold]x[/bold] :skull: https://a.example [/]")])
    assert capsys.readouterr().out == "[bold]x[/bold] :skull: https://a.example [/]\n"


def test_colours_are_the_sixteen_of_the_theme(capsys, monkeypatch):
    """With colour, the only escapes are plain SGR sequences of the standard palette."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    console(width=80).lines([line(("a", "red"), ("b", "dim"), ("c\x1b[2J", "cyan"))])
    written = capsys.readouterr().out
    assert SGR.sub("", written) == "abc^[[2J\n"
    assert "38;" not in written
    assert "\x1b[31m" in written


def test_long_lines_are_not_wrapped_or_cut(capsys):
    """A line that was laid out is printed as it is."""
    console(width=40).lines([line("x" * 200)])
    assert capsys.readouterr().out == "x" * 200 + "\n"


def test_a_closed_pipe_is_left_to_the_boundary():
    """Rich would end the process by itself; ours says what happened."""
    with pytest.raises(BrokenPipeError):
        console().on_broken_pipe()


def test_progress_needs_a_terminal(monkeypatch):
    """Without a terminal there is nothing to call."""
    monkeypatch.setattr(sys, "stderr", Stream(terminal=False))
    with byte_progress("reading") as progress:
        assert progress is None


def test_progress_shows_a_share_and_leaves_no_trace(monkeypatch):
    """After half a second the share appears, the name is cleaned, and the line is cleared at the end."""
    stream = Stream(terminal=True)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    times = iter([0.0, 0.3, 0.6, 0.6, 0.65])
    monkeypatch.setattr("namel3ss_debug.views.terminal.time.monotonic", lambda: next(times))
    with byte_progress("reading \x1b[31m") as progress:
        progress(1, 10)
        assert stream.written == ""
        progress(5, 10)
        progress(6, 10)
    assert stream.written == "\rreading ^[[31m: 50 %\x1b[K\r\x1b[K"


def test_the_cap_counts_marks_of_every_kind():
    """Enclosing and spacing marks are capped like accents."""
    for mark in "\u20dd\u0903":
        assert unicodedata.category(mark).startswith("M")
        assert clean("x" + mark * 9).count(mark) == 4


@given(st.lists(st.tuples(st.text(), st.sampled_from(["", "red"]))), st.integers(1, 60))
def test_fitted_pieces_take_no_more_than_the_width(parts, width):
    """Pieces stand side by side up to the width, each in its own style, and the first that does not fit is cut."""
    pieces = [piece(content, style) for content, style in parts]
    whole, shown = "".join(item.plain for item in pieces), fitted(pieces, width)
    assert cell_len(shown.plain) <= width
    assert shown.plain == whole if cell_len(whole) <= width else shown.plain.endswith("…")
    assert all(span.end <= len(shown.plain) for span in shown.spans)


def test_a_cut_keeps_what_it_is_asked_to():
    """The ellipsis stands at the end, in the middle, or before the last part; no mark falls on it."""
    assert shorten("agent_execution_start", 14) == "agent_executi…"
    assert shorten("agent_execution_start", 14, middle=True) == "agent_e…_start"
    assert shorten("agent_execution_start", 14, tail=4) == "agent_exe…tart"
    assert not shorten("e\u0301" * 30, 9, middle=True).partition("…")[2].startswith("\u0301")


@pytest.mark.parametrize("errors", ["strict", "surrogateescape", "backslashreplace"])
def test_a_stream_of_another_encoding_shows_what_it_can(errors):
    """What we draw with stands there in ASCII, one cell for one; of foreign text, what the encoding lacks, by number."""
    buffer = io.BytesIO()
    screen = console(stream=io.TextIOWrapper(buffer, "ascii", errors, write_through=True))
    screen.lines([Text("├─ a café …"), Text("╺━━╸ ▁▄█")])
    assert buffer.getvalue() == b"|- a caf\\xe9 *\n==== 148\n"
