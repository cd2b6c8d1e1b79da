"""Where the time of a run went, and how much of it ran at once, as a report."""

from __future__ import annotations

from collections.abc import Iterator

from namel3ss_debug.analysis.sections.performance import BOTTLENECK_TABLE
from namel3ss_debug.views.blocks import Block, Facts, Heading, Table
from namel3ss_debug.views.paths import short_site
from namel3ss_debug.views.quantities import duration, is_number, milliseconds, percent, tokens
from namel3ss_debug.views.sections import listing
from namel3ss_debug.views.tables import name, number
from namel3ss_debug.views.terminal import DIM, text
from namel3ss_debug.views.usage import SHOWN, Section, more, operation_cell

_FUNCTIONS_SHOWN = 5
_LEAST_SHARE = 0.01
_HEIGHTS = " ▁▂▃▄▅▆▇█"


def bottlenecks(performance: Section) -> Iterator[Block]:
    """Yield the heaviest operations with their cause, and how many spans ran at once."""
    yield from listing(performance, BOTTLENECK_TABLE)
    yield from _concurrency(performance.get("concurrency") or {})


def _concurrency(concurrency: Section) -> Iterator[Block]:
    if (concurrency.get("most") or 0) < 2:
        return
    yield Heading("Concurrency", "spans in which no other ran")
    mean = concurrency.get("mean")
    yield Facts(
        [
            ("most", tokens(concurrency.get("most"))),
            ("mean", f"{mean:.2f} while anything ran" if is_number(mean) else ""),
            (
                "one",
                f"{duration(concurrency.get('serial_ms'))}  ({percent(concurrency.get('serial_share'))} of the run)",
            ),
            ("none", f"{duration(concurrency.get('idle_ms'))}  ({percent(concurrency.get('idle_share'))})"),
            ("over time", _curve(concurrency.get("over_time") or [])),
        ]
    )


def hot_functions(performance: Section) -> Iterator[Block]:
    """Yield the functions in which the time of slow operations went, where stacks were sampled."""
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


def _curve(values: list[float]) -> str:
    """Return a line of bars, as high as the values; any value above zero is visible."""
    highest = max((value for value in values if is_number(value)), default=0)
    if not highest:
        return ""
    top = len(_HEIGHTS) - 1
    heights = (
        max(round(value / highest * top), 1) if is_number(value) and value > 0 else 0 for value in values
    )
    return "".join(_HEIGHTS[height] for height in heights).rstrip() or ""
