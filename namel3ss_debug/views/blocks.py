"""The blocks that reports are made of: headings, facts, tables, trees, timelines and text, without any layout.

Each format has one renderer for them (see `formats`). A view returns blocks and knows no format.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from rich.text import Text

from namel3ss_debug.views.tables import Cell, Column
from namel3ss_debug.views.terminal import DIM, HEADING

POINT_LIMIT = 260
QUOTE_LIMIT = 4000


class Heading(NamedTuple):
    """The heading of a section, and a few dim words after it.

    `level` is 1 for a title and 2 for a section; by default the first heading of a report is its title.
    """

    title: str
    aside: str = ""
    style: str = HEADING
    level: int = 0


class Facts(NamedTuple):
    """Labels and values; those with an empty value are left out."""

    rows: Sequence[tuple[str, Cell]]
    indent: str = "  "


class Table(NamedTuple):
    """Rows under columns. Columns in which every cell is empty are left out.

    Attributes:
        columns: the columns.
        rows: one cell for each column.
        long: whether the rows are written as they come, at the edge of the screen, so that a table of any length needs no memory.
        depths: the depth of each row of a tree, parents before children; empty for a plain table.
        label: the index of the column of a tree that is indented.
    """

    columns: Sequence[Column]
    rows: Iterable[Sequence[Cell]]
    long: bool = False
    depths: Sequence[int] = ()
    label: int = 0


class Bar(NamedTuple):
    """One row of a timeline. Times are in seconds on any clock.

    Attributes:
        number: the event number.
        label: what ran.
        depth: how far the label is indented.
        start: when it began; None where that is not known.
        end: when it ended; None for a span that never did.
        waited_until: when a streamed answer began, where that is known; the bar is thin until then.
        took: the duration in words.
        style: the style of the bar.
        label_style: the style of the label.
        took_style: the style of the duration.
    """

    number: int
    label: str
    depth: int
    start: float | None
    end: float | None
    waited_until: float | None
    took: str
    style: str = ""
    label_style: str = ""
    took_style: str = ""


class Timeline(NamedTuple):
    """Spans as bars over the time they took together."""

    bars: Sequence[Bar]


class Note(NamedTuple):
    """One sentence below a table; one with a command of ours stays on one line, so that it can be pasted.

    `is_line` is set for one line at the edge of the screen that is never wrapped, such as a sum below a table.
    """

    words: str
    style: str = DIM
    is_line: bool = False


class Points(NamedTuple):
    """Numbered points in words, each with a command that shows more, which may be empty."""

    rows: Sequence[tuple[str, str]]


class Quote(NamedTuple):
    """The user's own words, or lines as a program wrote them, unchanged except for what a terminal or a markup language would obey."""

    words: str
    is_code: bool = False


class Lines(NamedTuple):
    """Lines that a view lays out itself, such as the results of the debugger.

    Attributes:
        draw: returns the lines for a width in cells.
        otherwise: the blocks that formats without a screen show instead; without them they show the lines as they are.
    """

    draw: Callable[[int], Iterable[Text]]
    otherwise: Sequence[Block] = ()


class ForWidth(NamedTuple):
    """Blocks that depend on the width of the screen; `build` gets None where the output has no width."""

    build: Callable[[int | None], Iterable[Block]]


Block = Heading | Facts | Table | Timeline | Note | Points | Quote | Lines | ForWidth


def expand(blocks: Iterable[Block], width: int | None) -> Iterable[Block]:
    """Return the blocks with each `ForWidth` replaced by what it builds for this width."""
    for block in blocks:
        if isinstance(block, ForWidth):
            yield from expand(block.build(width), width)
        else:
            yield block
