"""Light tables: aligned columns, a dim header, no boxes; cells are cut with an ellipsis until a row fits the screen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Literal, NamedTuple

from rich.cells import cell_len
from rich.text import Text

from namel3ss_debug.views.terminal import DIM, clean, shorten

GAP = "  "
MEASURED_ROWS = 500
"""Rows looked at to set the widths; what comes after them is cut to fit, so that a long table can stream."""

CELL_LIMIT = 400

Cell = Text | str
Row = Sequence[Cell]


class Column(NamedTuple):
    """A column: its header with the unit, how it is aligned, and how far and where its cells may be cut.

    `least` is the smallest width a column shrinks to; `None` is never cut. Wider columns are cut first. `cut` says
    where the ellipsis stands. `least` also bounds nothing when the cells are narrower by themselves.
    """

    header: str
    align: Literal["left", "right"] = "left"
    least: int | None = None
    cut: Literal["end", "middle"] = "end"
    style: str = ""


def number(header: str) -> Column:
    """A column of numbers: right-aligned, never cut."""
    return Column(header, align="right")


def name(header: str, least: int = 10) -> Column:
    """A column of names, cut in the middle, where names of one family differ least."""
    return Column(header, least=least, cut="middle")


def prose(header: str, least: int = 12) -> Column:
    """A column of running text, cut at its end."""
    return Column(header, least=least)


def table(
    columns: Sequence[Column], rows: Iterable[Row], width: int, *, indent: str = "", header: bool = True
) -> Iterator[Text]:
    """The lines of a table; columns in which every measured cell is empty are left out.

    Args:
        columns: what stands in each column.
        rows: one cell for each column; a `str` is cleaned here, a `Text` is clean already.
        width: the cells a line may take.
        indent: what stands before each line.
        header: whether the headers are shown.
    """
    iterator = (tuple(_as_text(cell) for cell in row) for row in rows)
    measured = list(islice(iterator, MEASURED_ROWS))
    shown = [i for i in range(len(columns)) if not measured or any(row[i].plain for row in measured)]
    kept = [columns[i] for i in shown]
    natural = [
        max(
            chain(
                [cell_len(columns[i].header) if header else 0], (cell_len(row[i].plain) for row in measured)
            )
        )
        for i in shown
    ]
    widths = fit(natural, kept, width - len(indent))
    if header:
        yield _line([Text(column.header, DIM) for column in kept], kept, widths, indent)
    for row in chain(measured, iterator):
        yield _line([row[i] for i in shown], kept, widths, indent)


def fit(natural: Sequence[int], columns: Sequence[Column], width: int) -> list[int]:
    """Shrink the widest column that may shrink, cell by cell, until all fit or none may."""
    widths = list(natural)
    excess = sum(widths) + len(GAP) * (len(widths) - 1) - width
    while excess > 0:
        candidates = [
            i for i, column in enumerate(columns) if column.least is not None and widths[i] > column.least
        ]
        if not candidates:
            break
        widest = max(candidates, key=lambda i: widths[i])
        widths[widest] -= 1
        excess -= 1
    return widths


def pairs(rows: Iterable[tuple[str, Cell]], width: int, *, indent: str = "") -> Iterator[Text]:
    """Lines of a dim label and its value, the values aligned; rows with an empty value are left out."""
    items = [(label, _as_text(value)) for label, value in rows]
    items = [(label, value) for label, value in items if value.plain]
    if not items:
        return
    columns = (Column("", style=DIM), Column("", least=12))
    yield from table(
        columns, [(Text(label, DIM), value) for label, value in items], width, indent=indent, header=False
    )


def _as_text(cell: Cell) -> Text:
    return cell if isinstance(cell, Text) else Text(clean(cell, CELL_LIMIT), end="")


def _line(cells: Sequence[Text], columns: Sequence[Column], widths: Sequence[int], indent: str) -> Text:
    whole = Text(indent, end="")
    for i, (cell, column, width) in enumerate(zip(cells, columns, widths, strict=True)):
        fitted = _fitted(cell, column, width)
        padding = " " * (width - cell_len(fitted.plain))
        if i:
            whole.append(GAP)
        if column.align == "right":
            whole.append(padding)
        if column.style and not fitted.style:
            fitted.style = column.style
        whole.append_text(fitted)
        if column.align == "left" and i < len(cells) - 1:
            whole.append(padding)
    whole.rstrip()
    return whole


def _fitted(cell: Text, column: Column, width: int) -> Text:
    if cell_len(cell.plain) <= width:
        return cell.copy()
    if column.cut == "middle" and not cell.spans:
        return Text(shorten(cell.plain, width, middle=True), cell.style, end="")
    cut = cell.copy()
    cut.truncate(width, overflow="ellipsis")
    return cut
