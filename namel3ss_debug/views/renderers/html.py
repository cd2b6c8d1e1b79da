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
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --back: #fff; --text: #1b1f24; --dim: #5b6570; --rule: #d8dee4; --box: #f4f6f8;
  --red: #b3261e; --yellow: #8a5a00; --green: #1a7f37; --blue: #0550ae; --cyan: #0b6e7f; --magenta: #8e3a9d; }}
@media (prefers-color-scheme: dark) {{ :root {{ --back: #14171b; --text: #e4e8ec; --dim: #98a2ad; --rule: #343b43;
  --box: #1d2228; --red: #ff8a80; --yellow: #e3b341; --green: #56d364; --blue: #79c0ff; --cyan: #76d4e4;
  --magenta: #d2a8ff; }} }}
body {{ margin: 2rem auto; max-width: 72rem; padding: 0 1rem; background: var(--back); color: var(--text);
  font: 15px/1.5 system-ui, sans-serif; }}
h1 {{ font-size: 1.5rem; margin: 0 0 .5rem; }} h2 {{ font-size: 1.1rem; margin: 1.75rem 0 .4rem; }}
h1, h2, td, dd, li {{ overflow-wrap: anywhere; }}
h1 small, h2 small {{ color: var(--dim); font-weight: normal; font-size: .85em; margin-left: .5em; }}
.scroll {{ overflow-x: auto; }} table {{ border-collapse: collapse; }}
th, td {{ padding: .2rem .8rem .2rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--rule); }}
th {{ color: var(--dim); font-weight: normal; white-space: nowrap; }}
.right {{ text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }}
dl {{ display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: .5rem 0; }}
dt {{ color: var(--dim); }} dd {{ margin: 0; }}
pre, blockquote {{ background: var(--box); padding: .6rem .8rem; margin: .5rem 0; overflow-x: auto; }}
pre, code {{ font: 13px/1.45 ui-monospace, monospace; }} blockquote {{ border-left: 3px solid var(--rule); }}
p {{ margin: .4rem 0; }}
.track {{ position: relative; min-width: 24rem; }}
.bar {{ position: absolute; top: .55rem; height: .6rem; min-width: 2px; background: currentColor; }}
.waiting {{ opacity: .4; }}
.dim {{ color: var(--dim); }} .bold {{ font-weight: 600; }} .red {{ color: var(--red); }} .yellow {{ color: var(--yellow); }}
.green {{ color: var(--green); }} .blue {{ color: var(--blue); }} .cyan {{ color: var(--cyan); }} .magenta {{ color: var(--magenta); }}
</style>
</head>
<body>
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
    yield _HEAD.format(title=escape(clean(title)))
    if first is not None:
        yield from _block(first, level=1)
    for block in rest:
        yield from _block(block, level=2)
    yield "</body>\n</html>"


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
            indented = f'<span style="padding-left:{1.4 * min(depth, 40):.1f}em">{content}</span>'
            yield indented if block.depths and i == block.label else content

    found = (list(cells_of(depth, row)) for depth, row in zip(depths, rows, strict=True))
    return _rows([block.columns[i] for i in shown], found)


def _rows(columns: Iterable[Column], rows: Iterable[list[str]]) -> Iterator[str]:
    columns = list(columns)
    sides = [' class="right"' if column.align == "right" else "" for column in columns]
    headers = [f"<th{side}>{escape(column.header)}</th>" for side, column in zip(sides, columns, strict=True)]
    yield f'<div class="scroll"><table>\n<tr>{"".join(headers)}</tr>'
    for row in rows:
        yield f"<tr>{''.join(f'<td{side}>{cell}</td>' for side, cell in zip(sides, row, strict=True))}</tr>"
    yield "</table></div>"


def _timeline(block: Timeline) -> Iterator[str]:
    starts = [bar.start for bar in block.bars if bar.start is not None]
    begin = min(starts, default=0.0)
    end = max([*starts, *(bar.end for bar in block.bars if bar.end is not None)], default=0.0)
    whole = (end - begin) or 1.0
    columns = (Column("n", "right"), Column("span"), Column("over time"), Column("took", "right"))

    def bar_html(start: float, until: float, classes: str) -> str:
        left, width = 100 * (start - begin) / whole, 100 * (until - start) / whole
        return f'<div class="bar {classes}" style="left:{left:.3f}%;width:{max(width, 0):.3f}%"></div>'

    def rows() -> Iterator[list[str]]:
        for bar in block.bars:
            drawn = ""
            if bar.start is not None:
                until = end if bar.end is None else bar.end
                style = " ".join(word for word in bar.style.split() if word in _STYLES)
                first = bar.start if bar.waited_until is None else min(bar.waited_until, until)
                waiting = bar_html(bar.start, first, f"waiting {style}") if first > bar.start else ""
                drawn = f'<div class="track">{waiting}{bar_html(first, until, style)}&nbsp;</div>'
            label = f'<span style="padding-left:{1.4 * min(bar.depth, 40):.1f}em">{escape(clean(bar.label))}</span>'
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
