"""Sections that are shown from data: tables that the row of a section declares, and any JSON as facts and tables.

Of a section without declared tables, single values are facts. A list of objects is a table with their keys as columns, and so is an object of objects, with
its keys in the first column. Deeper values are shown as short JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

from namel3ss_debug.analysis.contract import TableSpec
from namel3ss_debug.views.blocks import Block, Facts, Heading, Table
from namel3ss_debug.views.gists import gist
from namel3ss_debug.views.paths import short_site
from namel3ss_debug.views.quantities import is_number, milliseconds, moment, money, percent, tokens
from namel3ss_debug.views.tables import Cell, Column, name, number, prose
from namel3ss_debug.views.terminal import COMPONENT_STYLES, DIM, clean, text
from namel3ss_debug.views.usage import SHOWN, Section, amount, event_numbers, failed, more, operation_cell

_MOST_COLUMNS = 8
_VALUE_LIMIT = 200
_KEY_LIMIT = 40


def listing(section: Section, declared: TableSpec) -> Iterator[Block]:
    """Yield the table of a section that is declared as data; nothing without rows.

    Args:
        section: the section of the document.
        declared: which rows of it are shown, and how.
    """
    rows = _rows_of(_value_at(section, declared.path) if declared.path else section)
    if not rows:
        return
    shown = rows[: declared.most]
    if declared.title:
        yield Heading(declared.title, declared.aside)
    yield Table(
        [CELLS[field.shown][0](field.header, field.least) for field in declared.fields],
        [
            [CELLS[field.shown][1](_field_value(row, field.key), row) for field in declared.fields]
            for row in shown
        ],
    )
    yield from more(_value_at(section, declared.total) if declared.total else len(rows), len(shown))


def _rows_of(content: Any) -> list[Section]:
    """Return the rows of a list, or of an object, whose keys are then in their rows under an empty key."""
    if isinstance(content, Mapping):
        return [
            {"": key, **value} if isinstance(value, Mapping) else {"": key, "value": value}
            for key, value in content.items()
        ]
    return [row for row in content if isinstance(row, Mapping)] if isinstance(content, list) else []


def _value_at(content: Any, path: str) -> Any:
    """Return the value under a key, which may lead inwards; None where there is none."""
    for key in path.split("."):
        content = content.get(key) if isinstance(content, Mapping) else None
    return content


def _field_value(row: Section, key: str) -> Any:
    if "+" in key:
        return sum(_value_at(row, each) or 0 for each in key.split("+"))
    return _value_at(row, key) if key else row.get("")


def _right(header: str, least: int) -> Column:
    del least
    return number(header)


CELLS: dict[str, tuple[Callable[[str, int], Column], Callable[[Any, Section], Cell]]] = {
    "text": (
        lambda header, _: Column(header),
        lambda value, _: text("" if value is None else value, limit=40),
    ),
    "name": (lambda header, least: name(header, least or 10), lambda value, _: text(value or "", limit=120)),
    "prose": (
        lambda header, least: prose(header, least or 12),
        lambda value, _: text(value or "", limit=400),
    ),
    "dim": (lambda header, least: name(header, least or 10), lambda value, _: text(value or "", DIM, 400)),
    "event": (
        lambda header, _: Column(header, align="right", style=DIM),
        lambda value, _: text("" if value is None else value, DIM),
    ),
    "site": (
        lambda header, least: name(header, least or 16),
        lambda value, _: text(short_site(value or ""), DIM),
    ),
    "component": (
        lambda header, least: name(header, least or 10),
        lambda value, _: text(value, COMPONENT_STYLES.get(value, ""), 60),
    ),
    "operation": (lambda header, least: name(header, least or 16), lambda _, row: operation_cell(row)),
    "model": (
        lambda header, least: name(header, least or 12),
        lambda value, _: text(value or "", COMPONENT_STYLES["llm"], 120),
    ),
    "agent": (
        lambda header, least: name(header, least or 10),
        lambda value, _: text(value, COMPONENT_STYLES["agent"], 60) if value else text("not known", DIM),
    ),
    "numbers": (
        lambda header, _: Column(header, least=8),
        lambda value, _: text(event_numbers(value, 8), DIM, 60),
    ),
    "count": (_right, lambda value, _: tokens(value)),
    "amount": (_right, lambda value, _: amount(value)),
    "ms": (_right, lambda value, _: milliseconds(value)),
    "share": (_right, lambda value, _: percent(value)),
    "money": (_right, lambda value, _: money(value)),
    "failed": (_right, lambda value, _: failed(value)),
    "time": (lambda header, _: Column(header), lambda value, _: moment(value)),
}
"""How the values of a declared field are shown: the column that its header makes, and the cell for a value."""


def any_section(title: str, content: Section) -> Iterator[Block]:
    """Yield the blocks of a section without declared tables.

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
