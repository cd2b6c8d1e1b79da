"""A report as headings, facts, tables and notes, rendered for the terminal or as Markdown from one description."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from rich.text import Text

from namel3ss_debug.views.tables import CELL_LIMIT, Cell, Column, pairs, table
from namel3ss_debug.views.terminal import DIM, HEADING, clean

INDENT = "  "


class Heading(NamedTuple):
    """The head of a section, and a few dim words behind it."""

    title: str
    aside: str = ""
    style: str = HEADING


class Facts(NamedTuple):
    """Labels and values; those with an empty value are left out."""

    rows: Sequence[tuple[str, Cell]]


class Table(NamedTuple):
    """Rows under columns."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]


class Note(NamedTuple):
    """One sentence below a table."""

    words: str


Block = Heading | Facts | Table | Note

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|~#&!$])")


def lines(blocks: Iterable[Block], width: int) -> Iterator[Text]:
    """The report for the terminal."""
    before: type[Block] | None = None
    for block in blocks:
        rows = list(_block_lines(block, width))
        apart = isinstance(block, Heading) or (isinstance(block, Table) and before is Facts)
        if apart and before is not None:
            yield Text("", end="")
        yield from rows
        before = type(block) if rows else before


def _block_lines(block: Block, width: int) -> Iterator[Text]:
    if isinstance(block, Heading):
        head = Text(clean(block.title), block.style, end="")
        yield Text(end="").append_text(head).append("  " + clean(block.aside), DIM) if block.aside else head
    elif isinstance(block, Facts):
        yield from pairs(block.rows, width, indent=INDENT)
    elif isinstance(block, Table):
        yield from table(block.columns, block.rows, width, indent=INDENT)
    else:
        yield Text(INDENT + clean(block.words), DIM, end="")


def markdown(blocks: Iterable[Block]) -> Iterator[str]:
    """The report as Markdown, line by line; data is escaped, so that none of it becomes markup."""
    for number, block in enumerate(blocks):
        if number:
            yield ""
        if isinstance(block, Heading):
            aside = f" ({escape(block.aside)})" if block.aside else ""
            yield f"{'##' if number else '#'} {escape(block.title)}{aside}"
        elif isinstance(block, Facts):
            yield from (
                f"- **{escape(label)}**: {escape(value)}" for label, value in block.rows if _plain(value)
            )
        elif isinstance(block, Table):
            yield from _markdown_table(block)
        else:
            yield escape(block.words)


def escape(cell: Cell) -> str:
    """Cleaned text in which Markdown finds no markup of its own."""
    return _SPECIAL.sub(r"\\\1", _plain(cell))


def _plain(cell: Cell) -> str:
    return clean(cell, CELL_LIMIT) if isinstance(cell, str) else cell.plain


def _markdown_table(block: Table) -> Iterator[str]:
    shown = [i for i in range(len(block.columns)) if any(_plain(row[i]) for row in block.rows)]
    yield "| " + " | ".join(escape(block.columns[i].header) for i in shown) + " |"
    yield "|" + "|".join("---:" if block.columns[i].align == "right" else "---" for i in shown) + "|"
    for row in block.rows:
        yield "| " + " | ".join(escape(row[i]) for i in shown) + " |"
