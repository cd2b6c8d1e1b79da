"""Light tables: aligned columns, a dim header, no boxes; cells are cut with an ellipsis until a row fits the screen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Literal, NamedTuple

from rich.text import Span, Text

from namel3ss_debug.views.cleaning import wrapped
from namel3ss_debug.views.terminal import DIM, Piece, cells, clean, shorten

GAP = "  "
MEASURED_ROWS = 500
"""So many rows set the widths; later rows are cut to fit, so that a long table can stream."""

SMALLEST = 4
"""The cells that a column that may be cut keeps on a screen that is too narrow for all columns."""

CELL_LIMIT = 400

Cell = Text | Piece | str
Row = Sequence[Cell]


class Column(NamedTuple):
    """A column: its header with the unit, how it is aligned, and how far and where its cells may be cut.

    `least` is the smallest width a column shrinks to; `None` is never cut. Wider columns are cut first. `cut` sets
    where the ellipsis is put. `least` has no effect where the cells are narrower by themselves.
    `room` is its least width in a table so long that not all of it was measured.
    """

    header: str
    align: Literal["left", "right"] = "left"
    least: int | None = None
    cut: Literal["end", "middle", "word"] = "end"
    style: str = ""
    room: int = 0


def number(header: str) -> Column:
    """Return a column of numbers: right-aligned, never cut."""
    return Column(header, align="right")


def name(header: str, least: int = 10) -> Column:
    """Return a column of names, cut in the middle, where names of one family differ least."""
    return Column(header, least=least, cut="middle")


def prose(header: str, least: int = 12) -> Column:
    """Return a column of running text, cut at its end."""
    return Column(header, least=least)


def table(
    columns: Sequence[Column], rows: Iterable[Row], width: int, *, indent: str = "", header: bool = True
) -> Iterator[Text]:
    """Yield the lines of a table; columns in which every measured cell is empty are left out.

    Where a later row has something in a column that was left out, the table goes on with it under a new header; where
    it has a wider cell that is never cut, it goes on wider. A table whose columns do not fit side by side comes in
    parts, one below the other, each with the first column; one so long that not all of it was measured is too wide
    then.

    Args:
        columns: the columns.
        rows: one cell for each column; a `str` is cleaned here, a `Text` is clean already.
        width: the cells a line may take.
        indent: the text before each line.
        header: whether the headers are shown.
    """
    iterator = (tuple(_as_cell(cell) for cell in row) for row in rows)
    measured = list(islice(iterator, MEASURED_ROWS))
    natural = [max((cells(row[i].plain) for row in measured), default=0) for i in range(len(columns))]
    if len(measured) == MEASURED_ROWS:
        natural = [
            max(size, column.room) if size else 0 for size, column in zip(natural, columns, strict=True)
        ]
    layout = _Layout.of(columns, natural, width, indent, header=header, everything=not measured)
    if layout.cells() > width and len(measured) < MEASURED_ROWS and len(parts := layout.parts(width)) > 1:
        yield from _in_parts(parts, columns, measured, width, indent, header=header)
        return
    if header:
        yield layout.header()
    for row in measured:
        yield layout.line(row)
    for row in iterator:
        if layout.outgrown(row):
            shown = layout.shown
            natural = [max(size, cells(cell.plain)) for size, cell in zip(layout.natural, row, strict=True)]
            layout = _Layout.of(columns, natural, width, indent, header=header)
            if header and shown != layout.shown:
                yield layout.header()
        yield layout.line(row)


def _in_parts(
    parts: Sequence[Sequence[int]],
    columns: Sequence[Column],
    rows: Sequence[Sequence[Text | Piece]],
    width: int,
    indent: str,
    *,
    header: bool,
) -> Iterator[Text]:
    """Yield a table for each part of the columns; rows that have nothing in a later part are left out there."""
    for place, part in enumerate(parts):
        if place:
            yield Text("", end="")
        own = [[row[i] for i in part] for row in rows if not place or any(row[i].plain for i in part[1:])]
        yield from table([columns[i] for i in part], own, width, indent=indent, header=header)


class _Layout(NamedTuple):
    """Which columns are shown, and how wide; `natural` is how wide the cells of each column are by themselves."""

    columns: Sequence[Column]
    natural: Sequence[int]
    shown: list[int]
    widths: list[int]
    indent: str

    @classmethod
    def of(
        cls,
        columns: Sequence[Column],
        natural: Sequence[int],
        width: int,
        indent: str,
        *,
        header: bool,
        everything: bool = False,
    ) -> _Layout:
        """Return the layout for cells of these widths."""
        shown = [i for i in range(len(columns)) if natural[i] or everything]
        kept = [columns[i] for i in shown]
        wanted = [max(natural[i], cells(columns[i].header) if header else 0) for i in shown]
        return cls(columns, natural, shown, fit(wanted, kept, width - len(indent)), indent)

    def cells(self) -> int:
        """Return how many cells of a terminal a cleaned text takes."""
        return len(self.indent) + sum(self.widths) + len(GAP) * (len(self.widths) - 1)

    def parts(self, width: int) -> list[list[int]]:
        """Return the columns that are shown, in parts that fit as far as they can, each with the first column in front."""
        first, *others = self.shown
        parts: list[list[int]] = [[first]]
        used = begun = len(self.indent) + self._least(first)
        for i in others:
            taken = len(GAP) + self._least(i)
            if used + taken > width and len(parts[-1]) > 1:
                parts.append([first])
                used = begun
            parts[-1].append(i)
            used += taken
        return parts

    def _least(self, i: int) -> int:
        column = self.columns[i]
        whole = max(self.natural[i], cells(column.header))
        return whole if column.least is None else min(whole, column.least)

    def header(self) -> Text:
        """Return the headers."""
        return self.line([Piece(column.header, DIM) for column in self.columns])

    def line(self, row: Sequence[Text | Piece]) -> Text:
        """Return one row."""
        shown = self.shown
        return _line([row[i] for i in shown], [self.columns[i] for i in shown], self.widths, self.indent)

    def outgrown(self, row: Sequence[Text | Piece]) -> bool:
        """Return whether the row has a cell for which there is no room, and that may not be cut."""
        return any(
            len(cell.plain) > size and (not size or column.least is None) and cells(cell.plain) > size
            for cell, size, column in zip(row, self.natural, self.columns, strict=True)
        )


def fit(natural: Sequence[int], columns: Sequence[Column], width: int) -> list[int]:
    """Shrink the widest column that may shrink until all fit: each to its least width, then all to almost nothing."""
    widths = list(natural)
    excess = sum(widths) + len(GAP) * (len(widths) - 1) - width
    for floor in (0, SMALLEST):
        while excess > 0:
            candidates = [
                place
                for place, column in enumerate(columns)
                if column.least is not None and widths[place] > (floor or column.least)
            ]
            if not candidates:
                break
            widths[max(candidates, key=lambda place: widths[place])] -= 1
            excess -= 1
    return widths


def pairs(
    rows: Iterable[tuple[str, Cell]], width: int, *, indent: str = "", whole: bool = False
) -> Iterator[Text]:
    """Yield lines of a dim label and its value, the values aligned; rows with an empty value are left out.

    Args:
        rows: the labels and values.
        width: the cells a line may take.
        indent: the text before each line.
        whole: whether a long value goes on below itself, instead of being cut.
    """
    items: list[tuple[str, Text | Piece]] = [(label, _as_cell(value)) for label, value in rows]
    items = [(label, value) for label, value in items if value.plain]
    if not items:
        return
    if whole:
        room = max(width - len(indent) - max(len(label) for label, _ in items) - len(GAP), 12)
        items = [
            ("" if place else label, Piece(part, str(value.style)))
            for label, value in items
            for place, part in enumerate(wrapped(value.plain, room, room))
        ]
    columns = (Column("", style=DIM), Column("", least=12))
    yield from table(
        columns, [(Piece(label, DIM), value) for label, value in items], width, indent=indent, header=False
    )


def _as_cell(cell: Cell) -> Text | Piece:
    return Piece(clean(cell, CELL_LIMIT)) if isinstance(cell, str) else cell


def _line(row: Sequence[Text | Piece], columns: Sequence[Column], widths: Sequence[int], indent: str) -> Text:
    """Return one row, built as one string with a list of styles, because a table may have a million rows."""
    parts = [indent]
    spans: list[Span] = []
    at = len(indent)
    for place, (cell, column, width) in enumerate(zip(row, columns, widths, strict=True)):
        content = cell.plain
        size = cells(content)
        if size > width:
            cut = "end" if cell.spans else column.cut
            tail = len(content) - content.rfind("_") if cut == "word" else 0
            content = shorten(content, width, middle=cut == "middle", tail=tail)
            size = cells(content)
        gap = GAP if place else ""
        before = gap + " " * (width - size) if column.align == "right" else gap
        at += len(before)
        end = at + len(content)
        if style := cell.style or column.style:
            spans.append(Span(at, end, style))
        spans += [Span(at + span.start, min(at + span.end, end), span.style) for span in cell.spans]
        parts += (before, content)
        at = end
        if column.align == "left":
            parts.append(" " * (width - size))
            at += width - size
    whole = "".join(parts).rstrip()
    return Text(whole, spans=[span for span in spans if span.end <= len(whole) and span], end="")
