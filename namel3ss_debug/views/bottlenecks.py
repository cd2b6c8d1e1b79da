"""Where the time of a run went, and how much of it ran at once, as a report."""

from __future__ import annotations

from collections.abc import Iterator

from namel3ss_debug.views.blocks import Block, Facts, Heading, Table
from namel3ss_debug.views.quantities import duration, is_number, milliseconds, percent, tokens
from namel3ss_debug.views.recordings import short_site
from namel3ss_debug.views.tables import Column, name, number
from namel3ss_debug.views.terminal import DIM, text
from namel3ss_debug.views.usage import SHOWN, Section, more, operation_cell

_FUNCTIONS_SHOWN = 5
_LEAST_SHARE = 0.01
_HEIGHTS = " ▁▂▃▄▅▆▇█"


def bottlenecks(performance: Section) -> Iterator[Block]:
    """The heaviest operations with their cause, and how many spans ran at once."""
    rows = performance.get("bottlenecks") or []
    if rows:
        yield Heading("Bottlenecks", "time of their own, as a share of the run")
        yield Table(
            (name("operation", 16), number("ms"), number("share"), Column("cause"), number("waiting ms")),
            [
                (
                    operation_cell(row),
                    milliseconds(row.get("self_ms")),
                    percent(row.get("share")),
                    text(row.get("cause", ""), limit=20),
                    milliseconds(row.get("waiting_ms")),
                )
                for row in rows[:SHOWN]
            ],
        )
    yield from _concurrency(performance.get("concurrency") or {})


def _concurrency(told: Section) -> Iterator[Block]:
    if (told.get("most") or 0) < 2:
        return
    yield Heading("At once", "spans in which no other ran")
    mean = told.get("mean")
    yield Facts(
        [
            ("most", tokens(told.get("most"))),
            ("mean", f"{mean:.2f} while anything ran" if is_number(mean) else ""),
            ("one", f"{duration(told.get('serial_ms'))}  ({percent(told.get('serial_share'))} of the run)"),
            ("none", f"{duration(told.get('idle_ms'))}  ({percent(told.get('idle_share'))})"),
            ("over time", _curve(told.get("over_time") or [])),
        ]
    )


def hot_functions(performance: Section) -> Iterator[Block]:
    """The functions in which the time of slow operations went, where stacks were sampled."""
    rows = performance.get("hot_functions") or []
    if not rows:
        return
    yield Heading("Hot functions", "of slow spans, by samples of the stack; without what inner spans did")
    yield Table(
        (name("operation", 14), name("function", 20), name("at", 10), number("ms"), number("share")),
        [
            (
                operation_cell(row) if first else "",
                text(str(function.get("function", "")), limit=80),
                text(short_site(function.get("at") or ""), DIM),
                milliseconds(function.get("self_ms")),
                percent(function.get("share")),
            )
            for row in rows[:SHOWN]
            for first, function in _marked(row.get("functions") or [])
        ],
    )
    yield from more(len(rows), len(rows[:SHOWN]))


def _marked(functions: list[Section]) -> list[tuple[bool, Section]]:
    worth = [row for row in functions if (row.get("share") or 0) >= _LEAST_SHARE] or functions[:1]
    return [(index == 0, function) for index, function in enumerate(worth[:_FUNCTIONS_SHOWN])]


def outliers(performance: Section) -> Iterator[Block]:
    """The spans that took far longer than the others of their operation."""
    told = performance.get("outliers") or {}
    rows = told.get("listed") or []
    if not rows:
        return
    yield Heading("Outliers", "far longer than the others; --format json names the method")
    yield Table(
        (Column("n", align="right", style=DIM), name("operation", 16), number("ms"), number("p50 ms")),
        [
            (
                text(row.get("number"), DIM),
                operation_cell(row),
                milliseconds(row.get("duration_ms")),
                milliseconds(row.get("p50_ms")),
            )
            for row in rows[:SHOWN]
        ],
    )
    yield from more(told.get("count"), len(rows[:SHOWN]))


def _curve(values: list[float]) -> str:
    """A line of bars, as high as the values; any value above zero is visible."""
    highest = max((value for value in values if is_number(value)), default=0)
    if not highest:
        return ""
    top = len(_HEIGHTS) - 1
    heights = (
        max(round(value / highest * top), 1) if is_number(value) and value > 0 else 0 for value in values
    )
    return "".join(_HEIGHTS[height] for height in heights).rstrip() or ""
