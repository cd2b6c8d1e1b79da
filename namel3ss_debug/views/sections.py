"""Sections that are shown from data: the tables that the row of a section declares."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from namel3ss_debug.analysis.contract import TableSpec
from namel3ss_debug.views.blocks import Block, Heading, Table
from namel3ss_debug.views.paths import short_site
from namel3ss_debug.views.quantities import milliseconds, moment, money, percent, tokens
from namel3ss_debug.views.tables import Cell, Column, name, number, prose
from namel3ss_debug.views.terminal import COMPONENT_STYLES, DIM, text
from namel3ss_debug.views.usage import Section, amount, event_numbers, failed, more, operation_cell


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
