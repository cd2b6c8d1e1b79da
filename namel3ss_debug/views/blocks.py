"""A report as headings, facts, tables and notes, rendered for the terminal or as Markdown from one description."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from rich.text import Text

from namel3ss_debug.views.cleaning import cells, wrapped
from namel3ss_debug.views.tables import CELL_LIMIT, GAP, Cell, Column, pairs, table
from namel3ss_debug.views.terminal import DIM, HEADING, clean, shorten

INDENT = "  "


class Heading(NamedTuple):
    """The heading of a section, and a few dim words after it."""

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
    """One sentence below a table; `left` is the number of rows that are not shown, where the note is about that.

    A note with one of our commands stays on one line, however long, so that the command can be pasted.
    """

    words: str
    left: int = 0


class Points(NamedTuple):
    """Numbered points in words, each with a command that shows more, which may be empty."""

    rows: Sequence[tuple[str, str]]


class Quote(NamedTuple):
    """Somebody's own words, unchanged except for what a terminal or Markdown would obey."""

    words: str


class Code(NamedTuple):
    """Lines as a program wrote them."""

    words: str


Block = Heading | Facts | Table | Note | Points | Quote | Code

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|~#&!$])")
_MENTION = re.compile(r"(?<![\w.])@(?=\w)")
_BEGINS = re.compile(r"\s*(?:[-+=](?=.)|\d+(?=[.)]))")
"""The beginning of a paragraph that Markdown takes for a list or a line, up to where a backslash prevents that."""

POINT_LIMIT = 260
_LEAST_HEAD = 20
"""A title keeps at least so many cells where words follow it."""

_QUOTE_LIMIT = 4000
_COMMAND = "namel3ss debug "


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
        yield from _heading(block, width)
    elif isinstance(block, Facts):
        yield from pairs(block.rows, width, indent=INDENT)
    elif isinstance(block, Table):
        yield from table(block.columns, block.rows, width, indent=INDENT)
    elif isinstance(block, Points):
        yield from _points(block, width)
    elif isinstance(block, Code):
        for words in clean(block.words, _QUOTE_LIMIT, multiline=True).splitlines():
            yield Text(INDENT + shorten(words, width - len(INDENT)), end="")
    elif isinstance(block, Quote):
        for paragraph in clean(block.words, _QUOTE_LIMIT, multiline=True).splitlines():
            for words in wrapped(paragraph, width - len(INDENT), width - len(INDENT)):
                yield Text((INDENT + words).rstrip(), end="")
    else:
        words, room = clean(block.words), width - len(INDENT)
        for part in [words] if _COMMAND in words else wrapped(words, room, room):
            yield Text((INDENT + part).rstrip(), DIM, end="")


def _heading(block: Heading, width: int) -> Iterator[Text]:
    """The title followed by the words, or with the words below it where they do not fit beside it."""
    title, aside = clean(block.title), clean(block.aside)
    behind = f"  {aside}" if aside else ""
    beside = width - cells(behind)
    if cells(title) > beside and (cells(title) <= width // 2 or beside < _LEAST_HEAD):
        yield Text(shorten(title, width, middle=True), block.style, end="")
        for part in wrapped(aside, width - len(INDENT), width - len(INDENT)):
            yield Text((INDENT + part).rstrip(), DIM, end="")
        return
    head = Text(shorten(title, beside, middle=True), block.style, end="")
    yield Text(end="").append_text(head).append(behind, DIM) if aside else head


def _points(block: Points, width: int) -> Iterator[Text]:
    digits = len(str(len(block.rows)))
    margin = INDENT + " " * digits + GAP
    room = width - len(margin)
    for place, (words, command) in enumerate(block.rows, 1):
        for at, part in enumerate(wrapped(clean(words, POINT_LIMIT), room, room)):
            head = margin if at else f"{INDENT}{place:>{digits}}{GAP}"
            yield Text(end="").append(head, DIM).append(part.rstrip())
        if command:
            yield Text(margin + clean(command), DIM, end="")  # whole, so that it can be pasted


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
        elif isinstance(block, Points):
            for place, (words, command) in enumerate(block.rows, 1):
                yield f"{place}. {paragraph(words, POINT_LIMIT)}" + (f": {code(command)}" if command else "")
        elif isinstance(block, Code):
            words = clean(block.words, _QUOTE_LIMIT, multiline=True)
            fence = "`" * max(3, 1 + max(map(len, re.findall("`+", words)), default=0))
            yield from (fence, *words.splitlines(), fence)
        elif isinstance(block, Quote):
            for words in clean(block.words, _QUOTE_LIMIT, multiline=True).splitlines():
                yield f"> {paragraph(words)}".rstrip()
        else:
            yield paragraph(block.words)


def paragraph(words: str, limit: int | None = None) -> str:
    """Cleaned text as one paragraph, whatever it begins with."""
    shown = clean(words, limit).strip()
    begins = _BEGINS.match(shown)
    at = 0 if begins is None else begins.end() - (not shown[0].isdigit())
    return _escaped(shown) if begins is None else _escaped(shown[:at]) + "\\" + _escaped(shown[at:])


def _escaped(shown: str) -> str:
    return _MENTION.sub("@<!-- -->", _SPECIAL.sub(r"\\\1", shown))


def code(words: str) -> str:
    """Cleaned text as code, between more backticks than it has in a row."""
    shown = clean(words, CELL_LIMIT)
    ticks = "`" * (1 + max(map(len, re.findall("`+", shown)), default=0))
    gap = " " if len(ticks) > 1 else ""
    return f"{ticks}{gap}{shown}{gap}{ticks}"


def escape(cell: Cell) -> str:
    """Cleaned text in which Markdown finds no markup, and an issue tracker no user to notify."""
    return _escaped(_plain(cell))


def _plain(cell: Cell) -> str:
    return clean(cell, CELL_LIMIT) if isinstance(cell, str) else cell.plain


def _markdown_table(block: Table) -> Iterator[str]:
    shown = [i for i in range(len(block.columns)) if any(_plain(row[i]) for row in block.rows)]
    yield "| " + " | ".join(escape(block.columns[i].header) for i in shown) + " |"
    yield "|" + "|".join("---:" if block.columns[i].align == "right" else "---" for i in shown) + "|"
    for row in block.rows:
        yield "| " + " | ".join(escape(row[i]) for i in shown) + " |"
