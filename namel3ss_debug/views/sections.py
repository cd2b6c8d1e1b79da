"""Sections that are shown from data: the tables that the row of a section declares."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from namel3ss_debug.analysis.contract import TableSpec
from namel3ss_debug.views.blocks import Block, Heading, Table
from namel3ss_debug.views.paths import short_site
from namel3ss_debug.views.pattern_texts import describe_events, describe_pattern
from namel3ss_debug.views.quantities import (
    bytes_text,
    count,
    duration,
    is_number,
    milliseconds,
    moment,
    money,
    percent,
    tokens,
)
from namel3ss_debug.views.tables import Cell, Column, name, number, prose
from namel3ss_debug.views.terminal import (
    COMPONENT_STYLES,
    DIM,
    ERROR,
    HEADING,
    OUTCOME_STYLES,
    WARNING,
    text,
)
from namel3ss_debug.views.usage import (
    Section,
    amount,
    event_numbers,
    failed,
    failure_words,
    more,
    operation,
    operation_cell,
)

TEXTS: Final[dict[str, Callable[[Any], str]]] = {
    "ms": duration,
    "share": percent,
    "bytes": bytes_text,
    "count": tokens,
}
"""The formats of values in a title, and in the words after it."""

_VALUE = re.compile(r"\{([\w.]+):([^}]+)\}")


def listing(section: Section, declared: TableSpec) -> Iterator[Block]:
    """Yield the table of a section that is declared as data; nothing without rows.

    Args:
        section: the section of the document.
        declared: which rows of it are shown, and how.
    """
    if declared.rows is not None:
        rows = list(declared.rows(section))
    else:
        rows = _rows_of(_value_at(section, declared.path) if declared.path else section)
    if not rows:
        return
    shown = rows[: declared.most]
    if declared.title:
        style = WARNING if declared.alarming else HEADING
        yield Heading(_filled(declared.title, section), _filled(declared.aside, section), style)
    kinds = [CELLS[field.shown] for field in declared.fields]
    yield Table(
        [
            column._replace(header=field.header, least=field.least or column.least)
            for field, (column, _) in zip(declared.fields, kinds, strict=True)
        ],
        [
            [
                cell(_field_value(each, field.key), each)
                for field, (_, cell) in zip(declared.fields, kinds, strict=True)
            ]
            for each in shown
        ],
    )
    total = _value_at(section, declared.total) if declared.total else len(rows)
    listed = sum(not each.get("is_origin") for each in shown)
    yield from more(total, listed)


def _filled(words: str, section: Section) -> str:
    """Return a title with the values of a section in it."""

    def value(found: re.Match[str]) -> str:
        content, shown = _value_at(section, found[1]), TEXTS.get(found[2])
        return shown(content) if shown is not None else count(int(content or 0), found[2])

    return _VALUE.sub(value, words)


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


def _or_empty(value: Any) -> Any:
    return "" if value is None else value


def _agent(value: Any, otherwise: str) -> Cell:
    return text(value, COMPONENT_STYLES["agent"], 60) if value else text(otherwise, DIM)


def _operation_or(row: Section, otherwise: str) -> Cell:
    return operation_cell(row) if row.get("component") else text(otherwise, DIM)


def _error(row: Section) -> Cell:
    """Return the failure of a row, or why it is the origin of the one above it."""
    if row.get("is_origin"):
        return text(row.get("reason") or "", limit=400)
    words = failure_words(row)
    attempts = len(row.get("attempts") or ())
    return text((words or str(row.get("status") or "")) + (f" ({attempts} attempts)" if attempts > 1 else ""), ERROR, 400)  # fmt: skip


def _in_its_unit(value: Any, row: Section) -> str:
    unit = row.get("unit")
    if not is_number(value):
        return ""
    if unit in {"share", "s"}:
        return percent(value) if unit == "share" else duration(value * 1000)
    shown = f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"
    return {"MB per hour": f"{shown} MB/h", "times": f"{shown} times"}.get(str(unit), shown)


def _share_of(row: Section) -> str:
    """Return how many of what a row is about: `3 of 30 spans`."""
    unit = str(row.get("unit"))
    noun = "process" if unit == "processes" else unit.removesuffix("s")
    return f"{tokens(row.get('count'))} of {count(row['of'], noun, unit)}" if row.get("of") else ""


_SAVINGS = {
    "failed_calls": "failed",
    "work_after_failure": "after a failure",
    "repeated_calls": "asked again",
    "resent_context": "not cached",
    "slow_tools": "slow",
    "parallel": "not in parallel",
}

CELLS: Final[dict[str, tuple[Column, Callable[[Any, Section], Cell]]]] = {
    "text": (Column(""), lambda value, _: text(_or_empty(value), limit=40)),
    "name": (name(""), lambda value, _: text(value or "", limit=120)),
    "prose": (prose(""), lambda value, _: text(value or "", limit=400)),
    "dim": (name(""), lambda value, _: text(value or "", DIM, 400)),
    "words": (Column(""), lambda value, _: text(str(value or "").replace("_", " "), limit=40)),
    "category": (Column(""), lambda value, row: text(value or "", DIM if row.get("is_origin") else "", 40)),
    "error": (prose(""), lambda _, row: _error(row)),
    "event": (Column("", "right", style=DIM), lambda value, _: text(_or_empty(value), DIM)),
    "site": (name("", 16), lambda value, _: text(short_site(value or ""), DIM)),
    "component": (name(""), lambda value, _: text(value, COMPONENT_STYLES.get(value, ""), 60)),
    "operation": (name("", 16), lambda _, row: operation_cell(row)),
    "operation or not": (name("", 16), lambda _, row: _operation_or(row, "outside of any span")),
    "operation of the run": (name("", 14), lambda _, row: _operation_or(row, "the run")),
    "operation and what": (prose("", 20), lambda value, row: text(": ".join(filter(None, (operation(row), value))), limit=200)),
    "named": (name("", 14), lambda value, row: text(value, COMPONENT_STYLES.get(row["component"], ""), 120)),
    "model": (name("", 12), lambda value, _: text(value or "", COMPONENT_STYLES["llm"], 120)),
    "agent": (name(""), lambda value, _: _agent(value, "not known")),
    "caller": (name(""), lambda value, _: _agent(value, "the program")),
    "numbers": (Column("", least=6), lambda value, _: text(event_numbers(value, 8), DIM, 60)),
    "few numbers": (Column("", least=4), lambda value, _: text(event_numbers(value, 3), DIM, 40)),
    "groups": (prose("", 16), lambda value, _: text("; ".join(", ".join(map(str, group)) for group in value), limit=120)),
    "pattern": (prose("", 24), lambda _, row: text(describe_pattern(row), limit=200)),
    "events of a pattern": (Column("", least=8), lambda _, row: text(describe_events(row), DIM, 60)),
    "saving": (Column(""), lambda value, _: text(_SAVINGS.get(value, value), limit=40)),
    "status": (prose("", 6), lambda value, _: text("" if value == "completed" else value or "", OUTCOME_STYLES.get(value, WARNING))),
    "trend": (prose(""), lambda value, row: text(value or "no trend", WARNING if row["is_worse"] else "" if value else DIM)),
    "group": (name(""), lambda value, _: text("not recorded", DIM) if value is None else text(value, limit=120)),
    "figure": (number(""), lambda value, _: value),
    "duration": (number(""), lambda value, _: duration(value)),
    "count": (number(""), lambda value, _: tokens(value)),
    "several": (number(""), lambda value, _: tokens(value) if (value or 0) > 1 else ""),
    "amount": (number(""), lambda value, _: amount(value)),
    "change": (number(""), lambda value, _: f"{value:+,.0f}"),
    "of": (number(""), lambda _, row: _share_of(row)),
    "in its unit": (number(""), _in_its_unit),
    "bytes": (number(""), lambda value, _: bytes_text(value)),
    "ms": (number(""), lambda value, _: milliseconds(value)),
    "ms if any": (number(""), lambda value, _: milliseconds(value) if value else ""),
    "early": (number(""), lambda value, row: milliseconds(value) if row.get("needed_ended") else "never ended"),
    "time taken": (number(""), lambda value, _: duration(value) if value else ""),
    "share": (number(""), lambda value, _: percent(value)),
    "money": (number(""), lambda value, _: money(value)),
    "failed": (number(""), lambda value, _: failed(value)),
    "open": (number(""), lambda value, _: text(value, WARNING) if value else ""),
    "time": (Column(""), lambda value, _: moment(value)),
}  # fmt: skip
"""How the values of a declared field are shown: the column, and the cell for a value and its row."""
