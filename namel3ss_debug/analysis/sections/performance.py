"""Measure how long things took: every operation with its percentiles, the slow ones, models and tools.

An operation is a component with a name: the tool `search`, the model `gpt-4o`. Times are those of the spans that ended.
A retry is an attempt that follows a failed one, and each attempt is a span of its own. `tokens_per_second` divides the
output tokens by the whole duration of the calls that have any, the time to the first token included.

The cause of a bottleneck is the first of these that applies: `retries`, where at least half of the time went into attempts
that followed a failed one; `cpu`, where the process computed for at least `_MOSTLY` of it; `model`, `tool` or `memory`, where
the component is that; `io`, where it is `http` or the process computed for less than 1 - `_MOSTLY`; `unknown`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from heapq import nlargest
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from namel3ss_debug.analysis.contract import EVENT, OPERATION, ColumnSpec, TableSpec
from namel3ss_debug.analysis.distributions import OUTLIERS, describe, far_out, milliseconds, percentile
from namel3ss_debug.analysis.findings import (
    format_operation,
    format_share,
    format_time,
    is_worthwhile,
    make_finding,
)
from namel3ss_debug.analysis.sections.hot_functions import find_hot_functions
from namel3ss_debug.analysis.sections.time_shares import share_time
from namel3ss_debug.analysis.totals import LISTED
from namel3ss_debug.traces.facts import NS_PER_MS, NS_PER_SECOND

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from namel3ss_debug.analysis.findings import Finding, Row, RunAmounts
    from namel3ss_debug.analysis.totals import Options
    from namel3ss_debug.traces.span_table import SpanTable


def _hot_rows(section: Mapping[str, Any]) -> Iterator[Row]:
    """Yield the hottest functions of each operation, whose name stands in the row of the first."""
    for row in section.get("hot_functions") or ():
        for place, function in enumerate(row["functions"][:5]):
            if not place or function["share"] >= 0.01:
                yield {**({} if place else row), **function}


def _longest(rows: Mapping[Any, Row], component: str = "") -> list[Row]:
    """Return rows by operation, the longest total time first; that of an operation without an ended span is not known."""
    ordered = sorted(rows.items(), key=lambda item: (-item[1]["total_ms"], str(item[0])))
    known = (None if row["p50_ms"] is None else row["total_ms"] for _, row in ordered)
    return [
        {"component": component, **row, "": name, "total_ms": total}
        for (name, row), total in zip(ordered, known, strict=True)
    ]


def _models(section: Mapping[str, Any]) -> list[Row]:
    return _longest(section.get("llm_performance") or {}, "llm")


def _tools(section: Mapping[str, Any]) -> list[Row]:
    return _longest(section.get("tool_performance") or {}, "tool")


def _others(section: Mapping[str, Any]) -> list[Row]:
    found = [row for row in section.get("operations") or () if row["component"] not in {"llm", "tool"}]
    return _longest({row["component_name"] or row["component"]: row for row in found})


_MS = ColumnSpec("ms", "duration_ms", "ms")
_P50 = ColumnSpec("p50 ms", "p50_ms", "ms")
_CALLS = (ColumnSpec("calls", "count+open", "count"), ColumnSpec("errors", "errors", "failed"))
_TIMES = (_P50, ColumnSpec("p95 ms", "p95_ms", "ms"), ColumnSpec("max ms", "max_ms", "ms"))
_OPERATION = (ColumnSpec("operation", "", "named", 14), *_CALLS, ColumnSpec("total ms", "total_ms", "ms"), *_TIMES)  # fmt: skip
COLUMNS = (
    TableSpec(
        "Bottlenecks",
        "bottlenecks",
        (
            OPERATION,
            ColumnSpec("ms", "self_ms", "ms"),
            ColumnSpec("share", "share", "share"),
            ColumnSpec("cause", "cause"),
            ColumnSpec("waiting ms", "waiting_ms", "ms"),
        ),
        "self time, as a share of the run",
    ),
    "concurrency",
    TableSpec(
        "{slow_operation_count:slow operation}",
        "slow_operations",
        (
            EVENT,
            OPERATION,
            _MS,
            ColumnSpec("self ms", "self_ms", "ms"),
            ColumnSpec("call site", "call_site", "site"),
        ),
        "over {slow_ms:ms}",
        total="slow_operation_count",
    ),
    TableSpec(
        "Hot functions",
        "hot_functions",
        (
            ColumnSpec("operation", "", "operation", 14),
            ColumnSpec("function", "function", "name", 20),
            ColumnSpec("at", "at", "site", 10),
            ColumnSpec("ms", "self_ms", "ms"),
            ColumnSpec("share", "share", "share"),
        ),
        "of slow spans, by samples of the stack; without what inner spans did",
        rows=_hot_rows,
    ),
    TableSpec(
        "Outliers",
        "outliers.listed",
        (EVENT, OPERATION, _MS, _P50),
        "far longer than the others; --format json names the method",
        total="outliers.count",
    ),
    TableSpec(
        "Models",
        "llm_performance",
        (
            ColumnSpec("model", "", "model"),
            *_CALLS,
            *_TIMES,
            ColumnSpec("first ms", "time_to_first_token.p50_ms", "ms"),
            ColumnSpec("tokens", "tokens", "amount"),
            ColumnSpec("out/s", "tokens_per_second", "ms"),
        ),
        "single attempts; first: until the first token; out/s: tokens per second",
        rows=_models,
    ),
    TableSpec(
        "Tools",
        "tool_performance",
        (ColumnSpec("tool", "", "named", 14), *_OPERATION[1:]),
        rows=_tools,
    ),
    TableSpec("Other operations", "operations", _OPERATION, rows=_others),
)

SLICES = 20
"""The number of equal slices in which the concurrency of a run is shown."""

_MOST_LEVELS, _MOST_BOTTLENECKS, _LEAST_SHARE, _MOSTLY = 20, 10, 0.01, 0.7
_CAUSES = {"llm": "model", "tool": "tool", "memory": "memory", "http": "io"}


def performance(spans: SpanTable, options: Options) -> dict[str, Any]:
    """Return operations by self time, models and tools by name, the slowest spans first."""
    groups = spans.by_operation()
    rows = {key: _operation(spans, group) for key, group in groups.items()}
    self_time = {key: sum(spans.self_time[row] for row in group) for key, group in groups.items()}
    ordered = sorted(rows, key=lambda key: (-self_time[key], key))
    slow_ns = round(options.slow_ms * NS_PER_MS)
    slow = [row for row, duration in enumerate(spans.duration) if duration > slow_ns]
    return {
        "slow_ms": options.slow_ms,
        "slow_operation_count": len(slow),
        "slow_operations": [_slow_row(spans, row) for row in longest(spans, slow)],
        "llm_performance": {
            name: rows[component, name] | _answers(spans, groups[component, name])
            for component, name in sorted(rows)
            if component == "llm"
        },
        "tool_performance": {
            name: rows[component, name] for component, name in sorted(rows) if component == "tool"
        },
        "operations": [
            {"component": component, "component_name": name or None, **rows[component, name]}
            for component, name in ordered
        ],
        "bottlenecks": [
            _bottleneck(spans, key, groups[key], spans.wall)
            for key in ordered[:_MOST_BOTTLENECKS]
            if spans.wall and self_time[key] >= _LEAST_SHARE * spans.wall
        ],
        **({} if len(spans.paths) > 1 else {"time": share_time(spans), **_concurrency(spans)}),
        "outliers": _outliers(spans, groups),
        "call_sites": _call_sites(spans),
        **find_hot_functions(spans, slow_ns),
    }


def longest(spans: SpanTable, rows: Iterable[int]) -> list[int]:
    """Return the rows with the longest durations; of equal ones the earliest come first."""
    return nlargest(LISTED, rows, key=lambda row: (spans.duration[row], -row))


def _timed(spans: SpanTable, rows: Iterable[int]) -> list[int]:
    return sorted(spans.duration[row] for row in rows if spans.duration[row] >= 0)


def _operation(spans: SpanTable, rows: Sequence[int]) -> dict[str, Any]:
    """Return the figures of an operation."""
    durations = _timed(spans, rows)
    return {
        "count": sum(spans.end[row] > 0 for row in rows),
        "open": sum(not spans.end[row] for row in rows),
        "errors": sum(spans.failed[row] for row in rows),
        "retries": sum(spans.retried[row] for row in rows if spans.end[row]),
        "total_ms": milliseconds(sum(durations)),
        "self_ms": milliseconds(sum(spans.self_time[row] for row in rows)),
        **describe(durations),
    }


def _answers(spans: SpanTable, rows: Sequence[int]) -> dict[str, Any]:
    """Return the tokens of a model's answers, their rate, and the times to the first token."""
    first = [spans.first_token[row] for row in rows if spans.first_token[row] >= 0]
    answering = [row for row in rows if spans.output_tokens[row] and spans.duration[row] > 0]
    output = sum(spans.output_tokens[row] for row in answering)
    took = sum(spans.duration[row] for row in answering)
    times = describe(first)
    return {
        "tokens": sum(spans.tokens[row] for row in rows),
        "output_tokens": output,
        "tokens_per_second": round(output * NS_PER_SECOND / took, 3) if took else None,
        "time_to_first_token": {
            "count": len(first),
            **{name: times[name] for name in ("mean_ms", "p50_ms", "p95_ms", "max_ms")},
        },
    }


def _slow_row(spans: SpanTable, row: int) -> dict[str, Any]:
    return {
        **spans.named(row),
        "duration_ms": milliseconds(spans.duration[row]),
        "self_ms": milliseconds(spans.self_time[row]),
        "failed": bool(spans.failed[row]),
        "call_site": spans.values[spans.site[row]] if spans.site[row] >= 0 else None,
    }


def _bottleneck(spans: SpanTable, key: tuple[str, str], rows: Sequence[int], wall: int) -> dict[str, Any]:
    """Return the share of an operation in the run, and the cause of its time.

    The cause is retries where half of the time went into them, else computing, the component, or waiting for input and
    output.
    """
    component, name = key
    total, own = sum(_timed(spans, rows)), sum(spans.self_time[row] for row in rows)
    known = [row for row in rows if spans.own_cpu[row] >= 0]
    computed, measured = (sum(column[row] for row in known) for column in (spans.own_cpu, spans.self_time))
    if total and 2 * sum(max(spans.duration[row], 0) for row in rows if spans.retried[row]) >= total:
        cause = "retries"
    elif measured and computed >= _MOSTLY * measured:
        cause = "cpu"
    else:
        waits = measured and computed < (1 - _MOSTLY) * measured
        cause = _CAUSES.get(component, "io" if waits else "unknown")
    return {
        "component": component,
        "component_name": name or None,
        "self_ms": milliseconds(own),
        "share": round(own / wall, 6),
        "cause": cause,
        "working_ms": milliseconds(computed) if measured else None,
        "waiting_ms": milliseconds(measured - computed) if measured else None,
    }


def _running(
    spans: SpanTable, rows: Iterable[int], moments: Iterable[int] = ()
) -> Iterator[tuple[int, int, int]]:
    """Yield (begin, end, how many were running) for each stretch of time between two of their moments, in order."""
    steps: Counter[int] = Counter(dict.fromkeys(moments, 0))
    for row in rows:
        if spans.began[row] >= 0 and spans.duration[row] > 0:
            steps[spans.began[row]] += 1
            steps[spans.began[row] + spans.duration[row]] -= 1
    running = 0
    for begin, end in pairwise(sorted(steps)):
        running += steps[begin]
        yield begin, end, running


def _concurrency(spans: SpanTable) -> dict[str, Any]:
    """Return how many spans ran at once, those in which no other ran, and for what share each component ran."""
    first, wall = spans.first_at or 0, spans.wall or 0
    levels: Counter[int] = Counter()
    slices = [0] * SLICES
    innermost = (row for row, encloses in enumerate(spans.encloses) if not encloses)
    bounds = [first - (-wall * index // SLICES) for index in range(SLICES + 1)]
    for begin, end, running in _running(spans, innermost, bounds):
        if running and first <= begin and end <= first + wall:
            levels[running] += end - begin
            slices[(begin - first) * SLICES // wall] += running * (end - begin)
    busy, work = levels.total(), sum(running * ns for running, ns in levels.items())
    most = sorted(levels, key=lambda level: (-levels[level], level))[:_MOST_LEVELS]
    timed: defaultdict[str, list[int]] = defaultdict(list)
    for row, duration in enumerate(spans.duration):
        if duration >= 0 and spans.began[row] >= 0:
            timed[spans.component(row)].append(row)
    ran = {
        component: sum(end - begin for begin, end, running in _running(spans, rows) if running)
        for component, rows in timed.items()
    }
    return {
        "concurrency": {
            "most": max(levels, default=0),
            "mean": round(work / busy, 3) if busy else None,
            "serial_ms": milliseconds(levels[1]),
            "serial_share": round(levels[1] / wall, 6) if wall else None,
            "idle_ms": milliseconds(wall - busy),
            "idle_share": round((wall - busy) / wall, 6) if wall else None,
            "levels": [{"running": level, "ms": milliseconds(levels[level])} for level in sorted(most)],
            "over_time": [round(amount * SLICES / wall, 3) for amount in slices] if wall else [],
        },
        "wall_shares": [
            {
                "component": component,
                "ms": milliseconds(ran[component]),
                "share": round(min(ran[component] / wall, 1.0), 6) if wall else None,
            }
            for component in sorted(ran, key=lambda component: (-ran[component], component))
        ],
    }


def _outliers(spans: SpanTable, groups: Mapping[tuple[str, str], Sequence[int]]) -> dict[str, Any]:
    """Return the spans that took far longer than the others of their operation, the longest first."""
    medians: dict[int, float] = {}
    for rows in groups.values():
        durations = _timed(spans, rows)
        limit = far_out(durations)
        if limit is not None:
            median = percentile(durations, 50)
            medians |= {row: median for row in rows if spans.duration[row] > limit}
    listed = [
        {
            **spans.named(row),
            "duration_ms": milliseconds(spans.duration[row]),
            "p50_ms": milliseconds(medians[row]),
        }
        for row in longest(spans, medians)
    ]
    return {"method": OUTLIERS, "count": len(medians), "listed": listed}


def _call_sites(spans: SpanTable) -> list[dict[str, Any]]:
    """Return operations by the place they were called from, the longest self time first."""
    groups: defaultdict[tuple[str, str, str], list[int]] = defaultdict(list)
    for row, site in enumerate(spans.site):
        if site >= 0 and spans.duration[row] >= 0:
            groups[*spans.operations[spans.operation[row]], spans.values[site]].append(row)
    sites = [
        (sum(spans.self_time[row] for row in rows), key, [spans.duration[row] for row in rows])
        for key, rows in groups.items()
    ]
    return [
        {
            "component": component,
            "component_name": name or None,
            "call_site": site,
            "count": len(durations),
            "total_ms": milliseconds(sum(durations)),
            "self_ms": milliseconds(own),
            "max_ms": milliseconds(max(durations)),
        }
        for own, (component, name, site), durations in sorted(sites, key=lambda each: (-each[0], each[1]))[
            :LISTED
        ]
    ]


_FAULTS = {
    "retries": (0.4, ", most of it in further attempts"),
    "cpu": (0.2, ", computing"),
    "io": (0.2, ", waiting for input and output"),
    "tool": (0.1, ""),
    "memory": (0.1, ""),
}
"""Cause of a bottleneck -> the part of its share that counts, and its description; other causes are no fault."""


def has_operations(section: Row) -> bool:
    """Return whether anything was measured."""
    return bool(section["operations"])


def find_findings(section: Row, _sections: Mapping[str, Any], _run: RunAmounts) -> Iterator[Finding]:
    """Yield operations that took a fifth of the run or more, unless a model's own work was the cause."""
    for row in section["bottlenecks"]:
        if (
            row["share"] < 0.2
            or row["cause"] not in _FAULTS
            or not is_worthwhile(row["self_ms"], row["share"])
        ):
            continue
        part, cause = _FAULTS[row["cause"]]
        name = format_operation(row)
        evidence = (
            f"{name} took {format_time(row['self_ms'])}, {format_share(row['share'])} of the run{cause}"
        )
        events = [slow["number"] for slow in section["slow_operations"] if format_operation(slow) == name]
        look = f"inspect --event {events[0]}" if events else "analyze --performance"
        yield make_finding("bottleneck", "performance", "performance", part * row["share"], evidence, events, look, row=row)  # fmt: skip
