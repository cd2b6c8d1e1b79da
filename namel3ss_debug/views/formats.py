"""The formats of reports: the one table that `--format` of every command reads.

A format is one module with a function `render(report, stream, table)`, and one row here. It imports what it needs when
it is used.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol, TextIO

if TYPE_CHECKING:
    from namel3ss_debug.views.report import Report


class Renderer(Protocol):
    """Write a report to a stream.

    Args:
        report: the report.
        stream: where it goes; binary formats use its `buffer` where it has one.
        table: the table that was asked for by name; "" if none was.
    """

    def __call__(self, report: Report, stream: TextIO, table: str) -> None:
        """Write the report."""


class OutputFormat(NamedTuple):
    """One format.

    Attributes:
        renderer: where its `Renderer` is, as `module:function`.
        help: what it is for.
        streams: whether it can write a report that is still growing.
        takes_table: whether it writes one named table of the report.
    """

    renderer: str
    help: str
    streams: bool = False
    takes_table: bool = False


_HERE = "namel3ss_debug.views.renderers"

FORMATS: dict[str, OutputFormat] = {
    "table": OutputFormat(f"{_HERE}.screen:render", "for the terminal", streams=True),
    "json": OutputFormat(f"{_HERE}.json:render", "one JSON document"),
    "jsonl": OutputFormat(f"{_HERE}.jsonl:render", "one JSON value on each line", streams=True),
    "markdown": OutputFormat(f"{_HERE}.markdown:render", "for an issue or a page", streams=True),
    "html": OutputFormat(f"{_HERE}.html:render", "one self-contained page for a browser"),
    "csv": OutputFormat(f"{_HERE}.csv:render", "one table for a spreadsheet", streams=True, takes_table=True),
}


def find_renderer(name: str) -> Renderer:
    """Import and return the renderer of a format."""
    module, _, attribute = FORMATS[name].renderer.partition(":")
    renderer: Renderer = getattr(importlib.import_module(module), attribute)
    return renderer


def utf8_writer(stream: TextIO) -> Callable[[str], object]:
    """Return a function that writes text as UTF-8, whatever the encoding of the stream: data does not depend on the locale."""
    buffer = getattr(stream, "buffer", None)
    if buffer is None:
        return stream.write
    write = buffer.write
    return lambda text: write(text.encode("utf-8", "replace"))


def write_utf8(stream: TextIO, text: str) -> None:
    """Write text as UTF-8, as `utf8_writer` does."""
    utf8_writer(stream)(text)
