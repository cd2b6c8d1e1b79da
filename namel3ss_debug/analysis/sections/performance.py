"""Measure how long things took: every operation with its percentiles, the slow ones, models and tools.

An operation is a component with a name: the tool `search`, the model `gpt-4o`. Times are those of the spans that ended.
A retry is an attempt that follows a failed one, and each attempt is a span of its own.
"""

from __future__ import annotations

from array import array
from heapq import heappush, heapreplace, nlargest
from typing import TYPE_CHECKING, Any

from namel3ss_debug.analysis.contract import EVENT, OPERATION, BaseFold, ColumnSpec, TableSpec
from namel3ss_debug.analysis.distributions import (
    OUTLIERS,
    describe,
    durations,
    far_out,
    milliseconds,
    percentile,
)
from namel3ss_debug.analysis.facts import add_up
from namel3ss_debug.analysis.findings import format_operation, format_share, format_time, make_finding
from namel3ss_debug.analysis.sections.bottlenecks import Effort, find_bottlenecks
from namel3ss_debug.analysis.sections.concurrency import Intervals, compute_wall_shares, measure_concurrency
from namel3ss_debug.analysis.sections.hot_functions import EVENT_TYPE, HotFunctions
from namel3ss_debug.analysis.sections.usage import used
from namel3ss_debug.analysis.sections.waiting import own_cpu_ns
from namel3ss_debug.analysis.totals import LISTED
from namel3ss_debug.traces.facts import NS_PER_MS, whole_ns

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from namel3ss_debug.analysis.facts import MeasuredSpan
    from namel3ss_debug.analysis.findings import Finding, Row, RunAmounts
    from namel3ss_debug.analysis.totals import Options, TraceTotals
    from namel3ss_debug.traces.events import Event


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
    TableSpec("Other operations", "operations", _OPERATION, rows=_others, detail=True),
)

_NS_PER_SECOND = 1_000_000_000
_CPU_SUMS = "computed"
"""The sums that spans leave for their parent: their CPU time, and the durations of those that recorded it."""


class _Spans:
    """The figures of some spans: those of an operation, or those called from one place.

    `durations`, `numbers` (of the starts) and `begins` have one item for each span with a known duration; `begins` is
    empty where it is not known when they began. `self_ns`, `cpu_ns`, `measured_ns` and `retried_ns` are sums over them:
    `measured_ns` of the self times whose CPU time is known, which is `cpu_ns`.
    """

    __slots__ = (
        *("begins", "cpu_ns", "durations", "errors", "measured_ns", "numbers"),
        *("open", "retried_ns", "retries", "self_ns", "untimed"),
    )

    def __init__(self) -> None:
        self.durations = durations()
        self.numbers = durations()
        self.begins = durations()
        self.self_ns = 0
        self.cpu_ns = 0
        self.measured_ns = 0
        self.retried_ns = 0
        self.errors = 0
        self.retries = 0
        self.untimed = 0
        self.open = 0

    def merge(self, later: _Spans) -> None:
        self.durations.extend(later.durations)
        self.numbers.extend(later.numbers)
        self.begins.extend(later.begins)
        self.self_ns += later.self_ns
        self.cpu_ns += later.cpu_ns
        self.measured_ns += later.measured_ns
        self.retried_ns += later.retried_ns
        self.errors += later.errors
        self.retries += later.retries
        self.untimed += later.untimed
        self.open += later.open

    def renumber(self, by: int) -> None:
        self.numbers = array("q", [number + by for number in self.numbers])

    def result(self, ordered: list[int]) -> dict[str, Any]:
        """Return the figures of an operation; `ordered` are its durations in rising order."""
        return {
            "count": len(ordered) + self.untimed,
            "open": self.open,
            "errors": self.errors,
            "retries": self.retries,
            "total_ms": milliseconds(sum(ordered)),
            "self_ms": milliseconds(self.self_ns),
            **describe(ordered),
        }


_SpanKey = tuple[str, str, str | None, bool | None]
"""Identifies spans that are kept together.

Component and name; the call site, None where not recorded; whether no other span ran inside, None where it is not known
when they began.
"""


class _Answers:
    """The figures of a model's answers, besides its times."""

    __slots__ = ("answering_ns", "first_tokens", "output_tokens", "tokens")

    def __init__(self) -> None:
        self.tokens = 0
        self.output_tokens = 0
        self.answering_ns = 0
        self.first_tokens = durations()

    def merge(self, later: _Answers) -> None:
        self.tokens += later.tokens
        self.output_tokens += later.output_tokens
        self.answering_ns += later.answering_ns
        self.first_tokens.extend(later.first_tokens)

    def result(self) -> dict[str, Any]:
        """Return the tokens of a model's answers, their rate, and the times to the first token."""
        first = describe(self.first_tokens)
        names = ("mean_ms", "p50_ms", "p95_ms", "max_ms")
        return {
            "tokens": self.tokens,
            "output_tokens": self.output_tokens,
            "tokens_per_second": (
                round(self.output_tokens * _NS_PER_SECOND / self.answering_ns, 3)
                if self.answering_ns
                else None
            ),
            "time_to_first_token": {"count": len(self.first_tokens), **{name: first[name] for name in names}},
        }


class Performance(BaseFold):
    """Durations by operation, the slowest operations, and figures of models and tools alone.

    `tokens_per_second` divides the output tokens by the whole duration of the calls that have any, the time to the
    first token included.
    """

    events: frozenset[str] = frozenset({EVENT_TYPE})

    def __init__(self, options: Options) -> None:
        self._slow_ms = options.slow_ms
        self._slow_ns = round(options.slow_ms * NS_PER_MS)
        self._spans: dict[_SpanKey, _Spans] = {}
        self._answers: dict[str, _Answers] = {}
        self._slow: list[tuple[int, int, int, bool, str, str, str]] = []
        self._slow_count = 0
        self._hot = HotFunctions(self._slow_ns)

    def span(self, span: MeasuredSpan) -> None:
        """Add the duration of one span that ended.

        The span is kept with those of the same key, which takes one look-up; `result` combines these by operation, by
        component and by call site.
        """
        start, below, duration = span.start, span.below, span.duration_ns
        at = start.get("timestamp")
        innermost = None if at is None else below is None or not below.intervals
        key = (span.component, span.name, start.get("call_site"), innermost)
        spans = self._spans.get(key)
        if spans is None:
            spans = self._spans[key] = _Spans()
        if span.failed:
            spans.errors += 1
        if span.retried:
            spans.retries += 1
            spans.retried_ns += duration or 0
        if duration is None:
            spans.untimed += 1
        else:
            spans.durations.append(duration)
            spans.numbers.append(span.number)
            spans.self_ns += span.self_ns
            if at is not None:
                spans.begins.append(int(at * 1e6 + 0.5) * 1000)  # as `since_epoch`
            cpu = span.end.get("cpu_time_ms")
            if cpu is not None:
                own = own_cpu_ns(span, duration, int(cpu * NS_PER_MS + 0.5), _CPU_SUMS)
                if own is not None:
                    spans.cpu_ns += own
                    spans.measured_ns += span.self_ns
            if duration > self._slow_ns:
                self._slow_count += 1
                if len(self._slow) < LISTED or duration >= self._slow[0][0]:
                    self._note_slow(span, duration)
        if span.component == "llm":
            self._add_answer(span)

    def open_span(self, span: MeasuredSpan) -> None:
        """Count one span that never ended; it has no duration."""
        self._spans.setdefault((span.component, span.name, None, None), _Spans()).open += 1

    def event(self, number: int, event: Event) -> None:
        """Add a sample inside a span."""
        self._hot.add(number, event)

    def _note_slow(self, span: MeasuredSpan, duration: int) -> None:
        """Keep a span while it is among the slowest."""
        call_site = span.get("call_site")
        site = call_site if isinstance(call_site, str) else ""
        # The negated number keeps the earlier of two equally slow spans.
        entry = (duration, -span.number, span.self_ns, span.failed, span.component, span.name, site)
        if len(self._slow) < LISTED:
            heappush(self._slow, entry)
        elif entry > self._slow[0]:
            heapreplace(self._slow, entry)

    def _add_answer(self, span: MeasuredSpan) -> None:
        """Add the tokens and the time to the first token of a model call."""
        answers = self._answers.get(span.name)
        if answers is None:
            answers = self._answers[span.name] = _Answers()
        tokens, parts, _ = span.used or used(span)
        answers.tokens += tokens
        output = parts[1]
        if output and span.duration_ns:
            answers.output_tokens += output
            answers.answering_ns += span.duration_ns
        metadata = span.end.get("metadata") if "metadata" in span.end else None
        if metadata is not None and "time_to_first_token_ms" in metadata:
            answers.first_tokens.append(whole_ns(metadata["time_to_first_token_ms"], NS_PER_MS))

    def merge(self, later: Performance) -> None:
        """Merge the fold of a later part of the trace, or of another trace, into this one."""
        for key, spans in later._spans.items():
            self._spans.setdefault(key, _Spans()).merge(spans)
        for model, answers in later._answers.items():
            self._answers.setdefault(model, _Answers()).merge(answers)
        self._slow = sorted(nlargest(LISTED, self._slow + later._slow))
        self._slow_count += later._slow_count
        self._hot.merge(later._hot)

    def renumber(self, by: int) -> None:
        """Add a number to the numbers of all events, so that they identify their trace."""
        for spans in self._spans.values():
            spans.renumber(by)
        self._hot.renumber(by)
        self._slow = sorted((duration, minus - by, *rest) for duration, minus, *rest in self._slow)  # type: ignore[misc]

    def result(self, totals: TraceTotals) -> dict[str, Any]:
        """Return operations by self time, models and tools by name, the slowest spans first.

        Several traces together have no figures of concurrency.
        """
        operations = self._group_by_operation()
        in_order = {key: sorted(operation.durations) for key, operation in operations.items()}
        rows = {key: operation.result(in_order[key]) for key, operation in operations.items()}
        ordered = sorted(rows, key=lambda key: (-operations[key].self_ns, key))
        nothing = _Answers()
        concurrency: dict[str, Any] = {}
        if totals.recordings <= 1:
            concurrency = {
                "concurrency": measure_concurrency(self._innermost(), totals.first_at, totals.wall_ns),
                "wall_shares": compute_wall_shares(self._running_by_component(), totals.wall_ns),
            }
        return {
            "slow_ms": self._slow_ms,
            "slow_operation_count": self._slow_count,
            "slow_operations": [_slow_row(*entry) for entry in sorted(self._slow, reverse=True)],
            "llm_performance": {
                name: rows[component, name] | self._answers.get(name, nothing).result()
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
            "bottlenecks": find_bottlenecks(
                [_make_effort(key, operations[key]) for key in ordered], totals.wall_ns
            ),
            **concurrency,
            "outliers": _outliers(operations, in_order),
            "call_sites": self._call_sites(),
            **self._hot.result(),
        }

    def _group_by_operation(self) -> dict[tuple[str, str], _Spans]:
        """Return the figures of each operation, those of all its places together."""
        operations: dict[tuple[str, str], _Spans] = {}
        for (component, name, *_), spans in self._spans.items():
            operations.setdefault((component, name), _Spans()).merge(spans)
        return operations

    def _innermost(self) -> Intervals:
        """Return when the spans ran in which no other ran."""
        intervals = Intervals()
        for (*_, innermost), spans in self._spans.items():
            if innermost:
                intervals.add(spans.begins, spans.durations)
        return intervals

    def _running_by_component(self) -> dict[str, Intervals]:
        """Return when the spans of each component ran."""
        running: dict[str, Intervals] = {}
        for (component, *_), spans in self._spans.items():
            if spans.begins:
                running.setdefault(component, Intervals()).add(spans.begins, spans.durations)
        return running

    def _call_sites(self) -> list[dict[str, Any]]:
        """Return operations by the place they were called from, the longest self time first."""
        sites: dict[tuple[str, str, str], list[int]] = {}
        for (component, name, site, _), spans in self._spans.items():
            if site is not None and spans.durations:
                row = sites.setdefault((component, name, site), [0, 0, 0, 0])
                longest_here = max(spans.durations)
                longest = max(row[3], longest_here)
                add_up(row, (len(spans.durations), sum(spans.durations), spans.self_ns, 0))
                row[3] = longest
        ordered = sorted(sites.items(), key=lambda item: (-item[1][2], item[0]))
        return [
            {
                "component": component,
                "component_name": name or None,
                "call_site": site,
                "count": count,
                "total_ms": milliseconds(total),
                "self_ms": milliseconds(self_ns),
                "max_ms": milliseconds(longest),
            }
            for (component, name, site), (count, total, self_ns, longest) in ordered[:LISTED]
        ]


def _make_effort(key: tuple[str, str], operation: _Spans) -> Effort:
    """Return where the time of an operation went, for `find_bottlenecks`."""
    component, name = key
    total = sum(operation.durations)
    retried, cpu, measured = operation.retried_ns, operation.cpu_ns, operation.measured_ns
    return Effort(component, name, operation.self_ns, total, retried, cpu, measured)


def _outliers(
    operations: dict[tuple[str, str], _Spans], in_order: dict[tuple[str, str], list[int]]
) -> dict[str, Any]:
    """Return the spans that took far longer than the others of their operation, those that lost most time first."""
    outliers: list[tuple[int, int, str, str, int, float]] = []
    total = 0
    for (component, name), operation in operations.items():
        ordered = in_order[component, name]
        limit = far_out(ordered)
        if limit is None:
            continue
        median = percentile(ordered, 50)
        over = [
            (duration, -number, component, name, number, median)
            for duration, number in zip(operation.durations, operation.numbers, strict=True)
            if duration > limit
        ]
        total += len(over)
        outliers = nlargest(LISTED, outliers + over)
    return {
        "method": OUTLIERS,
        "count": total,
        "listed": [
            {
                "number": number,
                "component": component,
                "component_name": name or None,
                "duration_ms": milliseconds(duration),
                "p50_ms": milliseconds(median),
            }
            for duration, _, component, name, number, median in outliers
        ],
    }


def _slow_row(
    duration: int, minus_number: int, self_ns: int, failed: bool, component: str, name: str, call_site: str
) -> dict[str, Any]:
    """Return a slow span as JSON."""
    return {
        "number": -minus_number,
        "component": component,
        "component_name": name or None,
        "duration_ms": milliseconds(duration),
        "self_ms": milliseconds(self_ns),
        "failed": failed,
        "call_site": call_site or None,
    }


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
        if row["share"] < 0.2 or row["cause"] not in _FAULTS:
            continue
        part, cause = _FAULTS[row["cause"]]
        name = format_operation(row)
        evidence = (
            f"{name} took {format_time(row['self_ms'])}, {format_share(row['share'])} of the run{cause}"
        )
        events = [slow["number"] for slow in section["slow_operations"] if format_operation(slow) == name]
        look = f"inspect --event {events[0]}" if events else "analyze --performance"
        yield make_finding("bottleneck", "performance", "performance", part * row["share"], evidence, events, look, row=row)  # fmt: skip
