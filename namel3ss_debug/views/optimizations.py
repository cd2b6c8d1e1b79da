"""What a run could have saved, as a report: the totals first, then the largest savings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from namel3ss_debug.views.blocks import Block, Facts, Heading, Note, Table
from namel3ss_debug.views.quantities import count, duration, money, tokens
from namel3ss_debug.views.tables import Column, name, number
from namel3ss_debug.views.terminal import DIM, text
from namel3ss_debug.views.usage import SHOWN, Section, amount, more, operation_cell

_WORDS = {
    "failed_calls": "failed",
    "work_after_failure": "after a failure",
    "repeated_calls": "asked again",
    "resent_context": "not cached",
    "slow_tools": "slow",
    "parallel": "not in parallel",
}
_MOST_NUMBERS = 3
_LEAST_MS = 10


def optimizations(section: Section, *, alone: bool) -> Iterator[Block]:
    """Yield the total savings, and their kinds; `alone`: whether to say so where there are none."""
    rows = [
        row
        for row in section.get("listed") or []
        if _saves(row, "tokens") or _saves(row, "cost") or (_saves(row, "ms") or 0) >= _LEAST_MS
    ]
    if not rows:
        if alone:
            yield Heading(
                "No savings found", "looked for: calls that failed, repeat, are slow or could run in parallel"
            )
        return
    saves = section.get("saves") or {}
    yield Heading("Could be saved", "each call counts once")
    yield Facts(
        [
            ("time", duration(saves.get("ms")) if saves.get("ms") else ""),
            ("tokens", amount(saves.get("tokens"))),
            ("cost", money(saves.get("cost"))),
        ]
    )
    yield Table(
        (
            Column("what"),
            name("where", 14),
            number("calls"),
            number("time"),
            number("tokens"),
            number("cost"),
            Column("n", least=4, style=DIM),
        ),
        [
            (
                text(_WORDS.get(str(row.get("kind")), row.get("kind") or ""), limit=40),
                operation_cell(row) if row.get("component") else text("the run"),
                tokens(row.get("count")),
                duration(_saves(row, "ms")) if _saves(row, "ms") else "",
                amount(_saves(row, "tokens")),
                money(_saves(row, "cost")),
                text(_numbers(row), DIM, 40),
            )
            for row in rows[:SHOWN]
        ],
    )
    if len(rows) > SHOWN:
        yield from more(section.get("listed_of"), SHOWN)
    if any(row.get("kind") == "repeated_calls" for row in rows[:SHOWN]):
        yield Note("repeated, with the same answer: a cache would do, if the tool only answers")
    undecided = section.get("undecided_runs")
    if undecided:
        yield Note(f"{count(undecided, 'failed span')} left out: other calls ran beside")


def _saves(row: Section, key: str) -> Any:
    return (row.get("saves") or {}).get(key)


def _numbers(row: Section) -> str:
    numbers = [each for each in row.get("numbers") or () if each]
    shown = " ".join(map(str, numbers[:_MOST_NUMBERS]))
    return shown + (" …" if (row.get("count") or 0) > _MOST_NUMBERS else "")
