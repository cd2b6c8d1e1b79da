"""The thresholds that a run exceeded, as a report."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from namel3ss_debug.views.blocks import Block, Facts, Heading, Note, Table
from namel3ss_debug.views.quantities import duration, is_number, moment, percent, tokens
from namel3ss_debug.views.tables import Column, prose
from namel3ss_debug.views.terminal import DIM, WARNING, text
from namel3ss_debug.views.usage import SHOWN, Section, more, operation

_MOST_NUMBERS = 3


def triggers(section: Section, *, alone: bool) -> Iterator[Block]:
    """Yield the rules that triggered; and, if only this section is shown, those that did not and why.

    Args:
        section: the section.
        alone: whether it is the only one that was asked for.
    """
    triggered = section.get("triggered") or []
    if triggered:
        yield Heading("Thresholds passed", "the setting triggers defines what is allowed", WARNING)
        yield Table(
            (
                Column("rule"),
                Column("seen", align="right"),
                Column("allowed", align="right"),
                prose("what", 20),
                Column("times", align="right"),
                Column("n", style=DIM),
            ),
            [
                (
                    text(_words(row.get("rule")), WARNING, 40),
                    _value(row, "value"),
                    _value(row, "threshold"),
                    text(": ".join(filter(None, (operation(row), str(row.get("what") or "")))), limit=200),
                    tokens(row.get("times")) if (row.get("times") or 0) > 1 else "",
                    text(" ".join(map(str, (row.get("numbers") or [])[:_MOST_NUMBERS])), DIM, 40),
                )
                for row in triggered[:SHOWN]
            ],
        )
        yield from more(section.get("triggered_count"), len(triggered[:SHOWN]))
        first = min((row["timestamp"] for row in triggered if is_number(row.get("timestamp"))), default=None)
        if first is not None:
            yield Note(f"the first at {moment(first)} UTC")
    if alone:
        yield from _others(section.get("rules") or [], triggered=bool(triggered))


def _others(rules: list[Section], *, triggered: bool) -> Iterator[Block]:
    if not triggered:
        yield Heading("No threshold passed")
    ok = ", ".join(_words(rule.get("rule")) for rule in rules if rule.get("state") == "ok")
    off = ", ".join(_words(rule.get("rule")) for rule in rules if rule.get("state") == "off")
    unknown = [
        (_words(rule.get("rule")), text(f"not known: {rule.get('reason')}", DIM, 200))
        for rule in rules
        if rule.get("state") == "unknown"
    ]
    yield Facts([("within", ok), ("switched off", off), *unknown])


def _value(row: Section, key: str) -> str:
    value, unit = row.get(key), row.get("unit")
    if not is_number(value):
        return ""
    if unit == "share":
        return percent(value)
    if unit == "s":
        return duration(value * 1000)
    shown = f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"
    return {"MB per hour": f"{shown} MB/h", "times": f"{shown} times"}.get(str(unit), shown)


def _words(rule: Any) -> str:
    return str(rule or "").replace("_", " ")
