"""One table of a report as comma-separated values (RFC 4180, with plain line feeds)."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any, TextIO

from namel3ss_debug.errors import WrongUsageError
from namel3ss_debug.views.cleaning import clean
from namel3ss_debug.views.formats import write_utf8
from namel3ss_debug.views.payloads import json_bytes
from namel3ss_debug.views.report import Records, Report

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def render(report: Report, stream: TextIO, table: str) -> None:
    """Write one table of the report; a report with a single table needs no name.

    Raises:
        WrongUsageError: the name is missing or unknown; the message lists the names.
    """
    chosen = choose(report.find_tables(), table)
    rows = chosen.rows
    columns = list(chosen.columns)
    if not columns:
        rows = list(rows)
        columns = list(dict.fromkeys(key for row in rows for key in row))
    line = io.StringIO()
    writer = csv.writer(line, lineterminator="\n")

    def write(cells: list[Any]) -> None:
        writer.writerow(cells)
        write_utf8(stream, line.getvalue())
        line.seek(0)
        line.truncate()
        if report.live:
            stream.flush()

    if columns:
        write([format_cell(column) for column in columns])
    for row in rows:
        write([format_cell(row.get(column)) for column in columns])


def choose(tables: Mapping[str, Records], name: str) -> Records:
    """Return the table of this name, or of the last part of its name if only one ends so.

    Raises:
        WrongUsageError: there is none, or no name was given and there are several.
    """
    if not tables:
        raise WrongUsageError("this report has no table; use another --format")
    listed = f"the tables of this report are {', '.join(tables)}"
    if not name:
        if len(tables) == 1:
            return next(iter(tables.values()))
        raise WrongUsageError(f"--format csv writes one table; name it with --table NAME: {listed}")
    matching = [key for key in tables if key == name] or [key for key in tables if key.endswith(f".{name}")]
    if len(matching) != 1:
        what = f"more than one table is called {name}" if matching else f"there is no table {name!r}"
        raise WrongUsageError(f"--table: {what}; {listed}")
    return tables[matching[0]]


def format_cell(value: Any) -> str | int | float | None:
    """Return a value as a cell: numbers as they are, text cleaned, anything nested as JSON."""
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    shown = value if isinstance(value, str) else json_bytes(value)
    # A spreadsheet runs a cell that begins like a formula; a quote in front makes it text.
    return ("'" if shown.startswith(_FORMULA_STARTS) else "") + clean(shown, multiline=True)
