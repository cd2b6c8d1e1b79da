"""A report as Markdown. Data is escaped, so that none of it becomes markup."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, Final, TextIO

from namel3ss_debug.views.blocks import (
    POINT_LIMIT,
    QUOTE_LIMIT,
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
from namel3ss_debug.views.report import Report
from namel3ss_debug.views.tables import CELL_LIMIT, Cell, Column
from namel3ss_debug.views.terminal import clean

LINES_WIDTH: Final = 100
"""The cells for which lines are drawn that a view lays out itself."""

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|~#&!$])")
_MENTION = re.compile(r"(?<![\w.])@(?=\w)")
_BEGINS = re.compile(r"\s*(?:[-+=](?=.)|\d+(?=[.)]))")
"""The beginning of a paragraph that Markdown takes for a list or a line, up to where a backslash prevents that."""


def render(report: Report, stream: TextIO, table: str) -> None:
    """Write the blocks as Markdown."""
    del table
    for row in markdown(report.blocks):
        stream.write(row.replace("##[", "##&#91;") + "\n")
        if report.live:
            stream.flush()


def markdown(blocks: Iterable[Block]) -> Iterator[str]:
    """Yield the lines of the blocks as Markdown."""
    for index, block in enumerate(expand(blocks, None)):
        if index:
            yield ""
        if isinstance(block, Heading):
            aside = f" ({escape(block.aside)})" if block.aside else ""
            yield f"{'#' * (block.level or (2 if index else 1))} {escape(block.title)}{aside}"
        else:
            yield from _RENDERERS[type(block)](block)


def _facts(block: Facts) -> Iterator[str]:
    return (f"- **{escape(label)}**: {escape(value)}" for label, value in block.rows if plain(value))


def _table(block: Table) -> Iterator[str]:
    if block.depths:
        return _tree(block)
    if block.long:  # which columns are empty is not known before the end, so all of them are written
        return _rows(block.columns, ([escape(cell) for cell in row] for row in block.rows))
    rows = list(block.rows)
    shown = [i for i in range(len(block.columns)) if any(plain(row[i]) for row in rows)]
    return _rows([block.columns[i] for i in shown], ([escape(row[i]) for i in shown] for row in rows))


def _rows(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(escape(column.header) for column in columns) + " |"
    yield "|" + "|".join("---:" if column.align == "right" else "---" for column in columns) + "|"
    for row in rows:
        yield "| " + " | ".join(row) + " |"


def _tree(block: Table) -> Iterator[str]:
    """Yield a nested list; the cells beside the label follow it."""
    for depth, row in zip(block.depths, block.rows, strict=True):
        others = [escape(cell) for i, cell in enumerate(row) if i != block.label and plain(cell)]
        beside = f" ({', '.join(others)})" if others else ""
        yield f"{'  ' * depth}- {paragraph(plain(row[block.label]))}{beside}"


def _timeline(block: Timeline) -> Iterator[str]:
    begin = min((bar.start for bar in block.bars if bar.start is not None), default=0.0)
    columns = (Column("n", "right"), Column("span"), Column("at s", "right"), Column("took", "right"))
    return _rows(
        columns,
        (
            (str(bar.number), escape(bar.label), "" if bar.start is None else f"{bar.start - begin:.3f}", bar.took)
            for bar in block.bars
        ),
    )  # fmt: skip


def _note(block: Note) -> Iterator[str]:
    yield paragraph(block.words)


def _points(block: Points) -> Iterator[str]:
    for number, (words, command) in enumerate(block.rows, 1):
        yield f"{number}. {paragraph(words, POINT_LIMIT)}" + (f": {code(command)}" if command else "")


def _fenced(rows: Iterable[str]) -> Iterator[str]:
    rows = iter(rows)
    # The fence must be longer than any inside; lines that come later than the first thousand cannot change it any more.
    first = list(islice(rows, 1000))
    fence = "`" * max(3, 1 + max((len(run) for row in first for run in re.findall("`+", row)), default=0))
    yield fence
    for row in chain(first, rows):
        yield f" {row}" if row.startswith(fence) else row
    yield fence


def _quote(block: Quote) -> Iterator[str]:
    rows = clean(block.words, QUOTE_LIMIT, multiline=True).splitlines()
    return _fenced(rows) if block.is_code else (f"> {paragraph(row)}".rstrip() for row in rows)


def _lines(block: Lines) -> Iterator[str]:
    if block.otherwise:
        return markdown_parts(block.otherwise)
    return _fenced(row.plain for row in block.draw(LINES_WIDTH))


def markdown_parts(blocks: Iterable[Block]) -> Iterator[str]:
    """Yield the lines of blocks that stand below a title."""
    return markdown(block._replace(level=2) if isinstance(block, Heading) else block for block in blocks)


def paragraph(words: str, limit: int | None = None) -> str:
    """Return cleaned text as one paragraph, whatever it begins with."""
    shown = clean(words, limit).strip()
    begins = _BEGINS.match(shown)
    if begins is None:
        return _escaped(shown)
    end = begins.end() - (not shown[0].isdigit())
    return _escaped(shown[:end]) + "\\" + _escaped(shown[end:])


def _escaped(shown: str) -> str:
    # An empty comment breaks `@name`, so that an issue tracker notifies no user of that name.
    return _MENTION.sub("@<!-- -->", _SPECIAL.sub(r"\\\1", shown))


def code(words: str) -> str:
    """Return cleaned text as code, between more backticks than it has in a row."""
    shown = clean(words, CELL_LIMIT)
    ticks = "`" * (1 + max(map(len, re.findall("`+", shown)), default=0))
    gap = " " if len(ticks) > 1 else ""
    return f"{ticks}{gap}{shown}{gap}{ticks}"


def escape(cell: Cell) -> str:
    """Return cleaned text in which Markdown finds no markup, and an issue tracker no user to notify."""
    return _escaped(plain(cell))


def plain(cell: Cell) -> str:
    """Return the text of a cell without styles."""
    return clean(cell, CELL_LIMIT) if isinstance(cell, str) else cell.plain


_RENDERERS: Final[dict[type, Callable[[Any], Iterator[str]]]] = {
    Facts: _facts,
    Table: _table,
    Timeline: _timeline,
    Note: _note,
    Points: _points,
    Quote: _quote,
    Lines: _lines,
}
