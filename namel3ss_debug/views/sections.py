"""A section that an installed package adds: whatever JSON it is, as facts and tables.

Single values are facts. A list of objects is a table with their keys as columns, and so is an object of objects, with
its keys in the first column. Deeper values are shown as short JSON.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from namel3ss_debug.views.blocks import Block, Facts, Heading, Table
from namel3ss_debug.views.gists import gist
from namel3ss_debug.views.quantities import is_number
from namel3ss_debug.views.tables import Cell, Column, name
from namel3ss_debug.views.terminal import DIM, clean, text
from namel3ss_debug.views.usage import SHOWN, Section, more

_MOST_COLUMNS = 8
_VALUE_LIMIT = 200
_KEY_LIMIT = 40


def section(title: str, content: Section) -> Iterator[Block]:
    """The blocks of one section.

    Args:
        title: its name.
        content: its JSON.
    """
    yield Heading(title)
    facts = [
        (clean(key, _KEY_LIMIT), _value(value)) for key, value in content.items() if not _is_table(value)
    ]
    if facts:
        yield Facts(facts)
    for key, value in content.items():
        if _is_table(value):
            yield Heading(f"{title}: {key}", style=DIM)
            yield from _table(str(key), value)


def _is_table(value: Any) -> bool:
    rows = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return bool(rows) and all(isinstance(row, Mapping) for row in rows)


def _table(key: str, value: Any) -> Iterator[Block]:
    items = value.items() if isinstance(value, Mapping) else ((None, row) for row in value)
    rows = list(islice(items, SHOWN))
    keys = list(dict.fromkeys(str(column) for _, row in rows for column in row))[:_MOST_COLUMNS]
    named = isinstance(value, Mapping)
    columns = [name(clean(key, _KEY_LIMIT))] if named else []
    for column in keys:
        numbers = all(row.get(column) is None or is_number(row[column]) for _, row in rows)
        header = clean(column, _KEY_LIMIT)
        columns.append(Column(header, "right") if numbers else name(header, 6))
    yield Table(
        columns,
        [
            (*([text(label, limit=80)] if named else []), *(_value(row.get(column)) for column in keys))
            for label, row in rows
        ],
    )
    yield from more(len(value), len(rows))


def _value(value: Any) -> Cell:
    if value is None:
        return ""
    if is_number(value):
        return f"{value:,}" if isinstance(value, int) else f"{value:,.6g}"
    return text(value if isinstance(value, str) else gist(value), limit=_VALUE_LIMIT)
