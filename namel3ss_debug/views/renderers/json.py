"""A report as one JSON document."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TextIO

from namel3ss_debug.views.formats import write_utf8
from namel3ss_debug.views.payloads import json_bytes
from namel3ss_debug.views.report import Report


def encode(value: Any, *, indent: bool = False) -> str:
    """Return a value as JSON that is harmless on a terminal and in the log of a CI runner."""
    # `##[` begins a command for the runners of GitHub and Azure, wherever it stands in a line.
    return json_bytes(value, indent=indent).replace("##[", "##\\u005b")


def render(report: Report, stream: TextIO, table: str) -> None:
    """Write the document; generators in it are written one element a line, so that they need no memory."""
    del table
    separator = "{"
    for key, value in report.find_document().items():
        write_utf8(stream, separator)
        separator = ","
        if isinstance(value, Iterator):
            write_utf8(stream, f"\n  {encode(key)}: [")
            for index, element in enumerate(value):
                write_utf8(stream, (",\n    " if index else "\n    ") + encode(element))
            write_utf8(stream, "\n  ]")
        else:
            resolved = value() if callable(value) else value
            write_utf8(stream, encode({key: resolved}, indent=True)[1:].removesuffix("\n}"))
    write_utf8(stream, "\n}\n")
