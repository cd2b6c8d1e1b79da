"""A report as lines for the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, TextIO

from rich.text import Text

from namel3ss_debug.views.blocks import (
    POINT_LIMIT,
    QUOTE_LIMIT,
    Bar,
    Block,
    Facts,
    Heading,
    Lines,
    Note,
    Points,
    Quote,
    Table,
    Timeline,
    expand,
)
from namel3ss_debug.views.cleaning import cells, wrapped
from namel3ss_debug.views.quantities import duration
from namel3ss_debug.views.report import Report
from namel3ss_debug.views.tables import GAP, Cell, pairs
from namel3ss_debug.views.tables import table as aligned_lines
from namel3ss_debug.views.terminal import DIM, clean, console, line, shorten, wrapped_lines

INDENT: Final = "  "
GUIDE_LEVELS: Final = 10
"""How many levels of a tree are drawn; deeper ones move no further to the right."""

_LEAST_TITLE = 20
"""A title keeps at least so many cells where words follow it."""

_COMMAND = "namel3ss debug "
_SHORTEST_BARS = 16
_SHORTEST_LABELS = 8
"""Labels, and the bars beside them, are at least so many cells wide."""

_HALVES: Final = {
    (0, 0): " ",
    (0, 1): "╶",
    (0, 2): "╺",
    (1, 0): "╴",
    (1, 1): "─",
    (1, 2): "╼",
    (2, 0): "╸",
    (2, 2): "━",
}
"""The two halves of a cell, each empty (0), thin (1) or thick (2), to the character."""


def render(report: Report, stream: TextIO, table: str) -> None:
    """Write the blocks as lines; nothing is wrapped or cropped after the layout."""
    del table
    screen = console(stream=stream)
    shown = lines(report.blocks, screen.width)
    if not report.live:
        screen.lines(shown)
        return
    for row in shown:
        screen.lines([row])
        stream.flush()


def lines(blocks: Iterable[Block], width: int) -> Iterator[Text]:
    """Yield the lines of the blocks, with an empty line before each heading."""
    before: Block | None = None
    for block in expand(blocks, width):
        if before is not None and _is_apart(block, before):
            yield Text("", end="")
        for row in _RENDERERS[type(block)](block, width):
            before = block
            yield row


def _is_apart(block: Block, before: Block) -> bool:
    """Return whether an empty line stands between two blocks."""
    if isinstance(block, Note):  # a sum stands apart from its table, the number of further rows does not
        return isinstance(before, Table) and before.long and block.is_line and not block.words.startswith("…")
    return isinstance(block, Heading) or {type(block), type(before)} == {Table, Facts}


def _heading(block: Heading, width: int) -> Iterator[Text]:
    """Yield the title followed by the words, or with the words below it where they do not fit beside it."""
    title, aside = clean(block.title), clean(block.aside)
    behind = f"  {aside}" if aside else ""
    beside = width - cells(behind)
    if cells(title) > beside and (cells(title) <= width // 2 or beside < _LEAST_TITLE):
        yield Text(shorten(title, width, middle=True), block.style, end="")
        yield from wrapped_lines(aside, width, DIM, first=INDENT, further=INDENT)
        return
    head = Text(shorten(title, beside, middle=True), block.style, end="")
    yield Text(end="").append_text(head).append(behind, DIM) if aside else head


def _facts(block: Facts, width: int) -> Iterator[Text]:
    return pairs(block.rows, width, indent=block.indent)


def _table(block: Table, width: int) -> Iterator[Text]:
    rows = block.rows
    if block.depths:
        drawn = zip(guides_of(block.depths), rows, strict=True)
        rows = [
            [
                *row[: block.label],
                # A style of the whole text would dim the label too.
                Text(end="").append(guides, DIM).append_text(_as_text(row[block.label])),
                *row[block.label + 1 :],
            ]
            for guides, row in drawn
        ]
    # A table that fills the screen begins at its edge: an indent would only cost room.
    indent = "" if block.long or block.depths else INDENT
    return aligned_lines(block.columns, rows, width, indent=indent)


def guides_of(depths: Sequence[int]) -> list[str]:
    """Return the lines that are drawn before each row of a tree, whose rows are parents before children.

    From `GUIDE_LEVELS` on they grow no longer, and the level is shown in words.
    """
    # Whether another row at a depth follows below the same parent is known when the rows are read from the end.
    followed: list[list[bool]] = []
    open_at: list[bool] = []
    for depth in reversed(depths):
        open_at = (open_at + [False] * (depth + 1))[: depth + 1]
        followed.append(open_at[1 : GUIDE_LEVELS + 1] if depth > GUIDE_LEVELS else open_at[1:depth])
        followed[-1].append(open_at[depth])
        open_at[depth] = True
    drawn = []
    for depth, rows in zip(depths, reversed(followed), strict=True):
        above = "".join("│  " if more else "   " for more in rows[:-1])
        own = ("├─ " if rows[-1] else "└─ ") if depth else ""
        drawn.append(above + own + (f"level {depth + 1}  " if depth > GUIDE_LEVELS else ""))
    return drawn


def _timeline(block: Timeline, width: int) -> Iterator[Text]:
    bars = block.bars
    starts = [bar.start for bar in bars if bar.start is not None]
    if not starts:
        yield line(("no span here has a timestamp", DIM))
        return
    begin = min(starts)
    end = max([*starts, *(bar.end for bar in bars if bar.end is not None)])
    number_width = max(len(str(bar.number)) for bar in bars)
    took_width = max(len(bar.took) for bar in bars)
    room = width - number_width - took_width - 6
    longest = max(cells(_bar_label(bar).plain) for bar in bars)
    label_width = min(longest, width * 2 // 5, max(room - _SHORTEST_BARS, _SHORTEST_LABELS))
    bar_width = max(room - label_width, _SHORTEST_LABELS)
    total = duration((end - begin) * 1000)
    header = f"{'n':>{number_width}}  {'span':<{label_width}}  0{total.rjust(bar_width - 1)}  {'took':>{took_width}}"
    yield line((header, DIM))
    for bar in bars:
        row = Text(end="").append(f"{bar.number:>{number_width}}  ", DIM)
        label = _bar_label(bar)
        label.truncate(label_width, overflow="ellipsis", pad=True)
        row.append_text(label).append("  ")
        row.append(_draw_bar(bar, begin, end, bar_width), bar.style).append("  ")
        row.append(bar.took.rjust(took_width), bar.took_style)
        row.rstrip()
        yield row


def _bar_label(bar: Bar) -> Text:
    return Text("  " * min(bar.depth, GUIDE_LEVELS), end="").append(clean(bar.label), bar.label_style)


def _draw_bar(bar: Bar, begin: float, end: float, width: int) -> str:
    """Return a bar of half cells; at least one of them is drawn, so that no span is invisible."""
    if bar.start is None:
        return " " * width
    halves = 2 * width
    scale = halves / (end - begin) if end > begin else 0
    first = min(int((bar.start - begin) * scale), halves - 1)
    until = halves if bar.end is None else int((bar.end - begin) * scale)
    last = min(max(until, first + 1), halves)
    waited = bar.waited_until
    thick = first if waited is None else min(int((waited - begin) * scale), last - 1)
    weights = [0 if half < first or half >= last else 1 if half < thick else 2 for half in range(halves)]
    return "".join(_HALVES[weights[i], weights[i + 1]] for i in range(0, halves, 2))


def _note(block: Note, width: int) -> Iterator[Text]:
    words = clean(block.words)
    if block.is_line or _COMMAND in words:
        yield Text(words if block.is_line else INDENT + words, block.style, end="")
    else:
        yield from wrapped_lines(words, width, block.style, first=INDENT, further=INDENT)


def _points(block: Points, width: int) -> Iterator[Text]:
    digits = len(str(len(block.rows)))
    margin = INDENT + " " * digits + GAP
    room = width - len(margin)
    for number, (words, command) in enumerate(block.rows, 1):
        for index, part in enumerate(wrapped(clean(words, POINT_LIMIT), room, room)):
            head = margin if index else f"{INDENT}{number:>{digits}}{GAP}"
            yield Text(end="").append(head, DIM).append(part.rstrip())
        if command:
            yield Text(margin + clean(command), DIM, end="")  # whole, so that it can be pasted


def _quote(block: Quote, width: int) -> Iterator[Text]:
    for row in clean(block.words, QUOTE_LIMIT, multiline=True).splitlines():
        if block.is_code:
            yield Text(INDENT + shorten(row, width - len(INDENT)), end="")
        else:
            yield from wrapped_lines(row, width, first=INDENT, further=INDENT)


def _lines(block: Lines, width: int) -> Iterable[Text]:
    return block.draw(width)


def _as_text(cell: Cell) -> Text:
    if isinstance(cell, Text):
        return cell
    return Text(clean(cell), end="") if isinstance(cell, str) else Text(cell.plain, cell.style, end="")


_RENDERERS: Final[dict[type, Callable[[Any, int], Iterable[Text]]]] = {
    Heading: _heading,
    Facts: _facts,
    Table: _table,
    Timeline: _timeline,
    Note: _note,
    Points: _points,
    Quote: _quote,
    Lines: _lines,
}
