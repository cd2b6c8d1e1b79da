"""A report as one JSON value on each line."""

from __future__ import annotations

from typing import TextIO

from namel3ss_debug.views.formats import utf8_writer
from namel3ss_debug.views.renderers.json import encode
from namel3ss_debug.views.report import Report


def render(report: Report, stream: TextIO, table: str) -> None:
    """Write the rows of the report as they come, or its document on one line if it has none."""
    del table
    write = utf8_writer(stream)
    for row in [report.resolve_document()] if report.rows is None else report.rows:
        write(encode(row) + "\n")
        if report.live:
            stream.flush()
