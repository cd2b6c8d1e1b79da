"""A report as one plain, self-contained page: no script, nothing from the network, light and dark."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from html import escape
from itertools import pairwise
from typing import Any, Final, TextIO

from rich.text import Text

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
from namel3ss_debug.views.formats import write_utf8
from namel3ss_debug.views.page.style import REPORT, policy_of, read_style
from namel3ss_debug.views.renderers.markdown import LINES_WIDTH, plain
from namel3ss_debug.views.report import Report
from namel3ss_debug.views.tables import CELL_LIMIT, Cell, Column
from namel3ss_debug.views.terminal import clean

_STYLES: Final = frozenset(["dim", "bold", "red", "yellow", "green", "blue", "cyan", "magenta"])
"""The words of a style that the style sheet knows; any others are left out."""

# The policy in the head forbids everything that a page could load or run, should an escape ever be forgotten.
_HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
"""


def render(report: Report, stream: TextIO, table: str) -> None:
    """Write the blocks as a page; long tables are written as they come."""
    del table
    for part in page(report.blocks):
        write_utf8(stream, part + "\n")


def page(blocks: Iterable[Block]) -> Iterator[str]:
    """Yield the lines of the page, the first heading being its title."""
    rest = iter(expand(blocks, None))
    first = next(rest, None)
    title = first.title if isinstance(first, Heading) else "namel3ss-debug"
    style = read_style(REPORT)
    yield _HEAD.format(policy=policy_of(style), title=escape(clean(title)), style=style)
    if first is not None:
        yield from _block(first, level=1)
    for block in rest:
        yield from _block(block, level=2)
    yield "</main>\n</body>\n</html>"


def _block(block: Block, level: int) -> Iterator[str]:
    if isinstance(block, Heading):
        level = min(block.level or level, 2)
        aside = f" <small>{escape(clean(block.aside))}</small>" if block.aside else ""
        title = _span(clean(block.title), block.style.replace("bold", ""))
        yield f"<h{level}>{title}{aside}</h{level}>"
    else:
        yield from _RENDERERS[type(block)](block)


def cell_html(cell: Cell) -> str:
    """Return a cell with its styles as classes, and nothing of its text as markup."""
    if isinstance(cell, str):
        return escape(clean(cell, CELL_LIMIT))
    if not isinstance(cell, Text):
        return _span(cell.plain, cell.style)
    cuts = sorted({0, len(cell.plain), *(edge for span in cell.spans for edge in (span.start, span.end))})
    parts = []
    for start, end in pairwise(cuts):
        styles = [str(cell.style), *(str(s.style) for s in cell.spans if s.start <= start and end <= s.end)]
        parts.append(_span(cell.plain[start:end], " ".join(styles)))
    return "".join(parts)


def _span(text: str, style: str) -> str:
    classes = " ".join(dict.fromkeys(word for word in style.split() if word in _STYLES))
    return f'<span class="{classes}">{escape(text)}</span>' if classes and text else escape(text)


def _facts(block: Facts) -> Iterator[str]:
    yield "<dl>"
    for label, value in block.rows:
        if plain(value):
            yield f"<dt>{escape(clean(label))}</dt><dd>{cell_html(value)}</dd>"
    yield "</dl>"


def _table(block: Table) -> Iterator[str]:
    if block.long:
        return _rows(block.columns, (list(map(cell_html, row)) for row in block.rows))
    rows = list(block.rows)
    depths = block.depths or [0] * len(rows)
    shown = [i for i in range(len(block.columns)) if any(plain(row[i]) for row in rows)]

    def cells_of(depth: int, row: Sequence[Cell]) -> Iterator[str]:
        for i in shown:
            content = cell_html(row[i])
            yield _indent(depth) + content if block.depths and i == block.label else content

    found = (list(cells_of(depth, row)) for depth, row in zip(depths, rows, strict=True))
    return _rows([block.columns[i] for i in shown], found)


def _rows(columns: Iterable[Column], rows: Iterable[list[str]]) -> Iterator[str]:
    columns = list(columns)
    sides = [' class="amount"' if column.align == "right" else "" for column in columns]
    headers = [
        f'<th scope="col"{side}>{escape(column.header)}</th>'
        for side, column in zip(sides, columns, strict=True)
    ]
    yield f'<div class="scroll" tabindex="0"><table>\n<tr>{"".join(headers)}</tr>'
    for row in rows:
        yield f"<tr>{''.join(f'<td{side}>{cell}</td>' for side, cell in zip(sides, row, strict=True))}</tr>"
    yield "</table></div>"


def _indent(depth: int) -> str:
    """Return the indentation of a row as blanks, because the policy allows no style of a single element."""
    return "\u2003" * min(depth, 40)


# Stretched to the width of the column, so that bars are drawn without a style of their own.
_TRACK: Final = '<svg class="track {style}" viewBox="0 0 1000 18" preserveAspectRatio="none">{bars}</svg>'


def _timeline(block: Timeline) -> Iterator[str]:
    starts = [bar.start for bar in block.bars if bar.start is not None]
    begin = min(starts, default=0.0)
    end = max([*starts, *(bar.end for bar in block.bars if bar.end is not None)], default=0.0)
    whole = (end - begin) or 1.0
    columns = (Column("n", "right"), Column("span"), Column("over time"), Column("took", "right"))

    def bar_html(start: float, until: float, height: int) -> str:
        left, width = 1000 * (start - begin) / whole, 1000 * (until - start) / whole
        return f'<rect x="{min(left, 995):.1f}" y="{9 - height / 2:g}" width="{max(width, 5):.1f}" height="{height}"/>'

    def rows() -> Iterator[list[str]]:
        for bar in block.bars:
            drawn = ""
            if bar.start is not None:
                until = end if bar.end is None else bar.end
                style = " ".join(word for word in bar.style.split() if word in _STYLES)
                first = bar.start if bar.waited_until is None else min(bar.waited_until, until)
                waiting = bar_html(bar.start, first, 4) if first > bar.start else ""
                drawn = _TRACK.format(style=style, bars=waiting + bar_html(first, until, 12))
            label = _indent(bar.depth) + escape(clean(bar.label))
            yield [str(bar.number), label, drawn, _span(bar.took, bar.took_style)]

    return _rows(columns, rows())


def _note(block: Note) -> Iterator[str]:
    yield f"<p>{_span(clean(block.words), block.style)}</p>"


def _points(block: Points) -> Iterator[str]:
    yield "<ol>"
    for words, command in block.rows:
        shown = f"<br><code>{escape(clean(command))}</code>" if command else ""
        yield f"<li>{escape(clean(words, POINT_LIMIT))}{shown}</li>"
    yield "</ol>"


def _quote(block: Quote) -> Iterator[str]:
    shown = escape(clean(block.words, QUOTE_LIMIT, multiline=True))
    yield (
        f"<pre>{shown}</pre>"
        if block.is_code
        else f"<blockquote>{shown.replace(chr(10), f'<br>{chr(10)}')}</blockquote>"
    )


def _lines(block: Lines) -> Iterator[str]:
    if block.otherwise:
        for inner in expand(block.otherwise, None):
            yield from _block(inner, level=2)
        return
    yield "<pre>"
    for row in block.draw(LINES_WIDTH):
        yield cell_html(row)
    yield "</pre>"


_RENDERERS: Final[dict[type, Callable[[Any], Iterator[str]]]] = {
    Facts: _facts,
    Table: _table,
    Timeline: _timeline,
    Note: _note,
    Points: _points,
    Quote: _quote,
    Lines: _lines,
}
