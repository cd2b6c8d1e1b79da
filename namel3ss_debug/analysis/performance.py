"""How long things took: every operation with its percentiles, the slow ones, models and tools.

An operation is a component with a name: the tool `search`, the model `gpt-4o`. Times are those of the spans
that ended. A retry is an attempt that follows a failed one, and each attempt is a span of its own.
"""

from __future__ import annotations

from heapq import heappush, heapreplace, nlargest
from typing import TYPE_CHECKING, Any

from namel3ss_debug.analysis.bottlenecks import Effort, bottlenecks
from namel3ss_debug.analysis.concurrency import Intervals, concurrency, wall_shares
from namel3ss_debug.analysis.distributions import (
    NS_PER_MS,
    OUTLIERS,
    describe,
    durations,
    far_out,
    milliseconds,
    percentile,
)
from namel3ss_debug.analysis.nesting import add_up, whole_ns
from namel3ss_debug.analysis.totals import LISTED
from namel3ss_debug.analysis.usage import total_tokens, whole

if TYPE_CHECKING:
    from namel3ss_debug.analysis.nesting import MeasuredSpan
    from namel3ss_debug.analysis.totals import Options, Totals
    from namel3ss_debug.traces.events import Event

_NS_PER_SECOND = 1_000_000_000


class _Operation:
    """What is known of one component with one name."""

    __slots__ = (
        *(
            "count",
            "cpu_ns",
            "durations",
            "errors",
            "measured_ns",
            "numbers",
            "open",
            "retried_ns",
            "retries",
        ),
        "self_ns",
    )

    def __init__(self) -> None:
        self.count = 0
        self.durations = durations()
        self.numbers = durations()  # of the starts, at the same places
        self.self_ns = 0
        self.cpu_ns = 0
        self.measured_ns = 0
        self.retried_ns = 0
        self.errors = 0
        self.retries = 0
        self.open = 0

    def merge(self, later: _Operation) -> None:
        self.count += later.count
        self.durations.extend(later.durations)
        self.numbers.extend(later.numbers)
        self.self_ns += later.self_ns
        self.cpu_ns += later.cpu_ns
        self.measured_ns += later.measured_ns
        self.retried_ns += later.retried_ns
        self.errors += later.errors
        self.retries += later.retries
        self.open += later.open

    def result(self) -> dict[str, Any]:
        return {
            "count": self.count,
            "open": self.open,
            "errors": self.errors,
            "retries": self.retries,
            "total_ms": milliseconds(sum(self.durations)),
            "self_ms": milliseconds(self.self_ns),
            **describe(self.durations),
        }


class _Answers:
    """What a model's answers add to its times."""

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
        first = describe(self.first_tokens)
        names = ("mean_ms", "p50_ms", "p95_ms", "max_ms")
        return {
            "tokens": self.tokens,
            "output_tokens": self.output_tokens,
            "tokens_per_second": _per_second(self.output_tokens, self.answering_ns),
            "time_to_first_token": {"count": len(self.first_tokens), **{name: first[name] for name in names}},
        }


class Performance:
    """Durations by operation, the slowest operations, and what is particular to models and tools.

    `tokens_per_second` divides the output tokens by the whole duration of the calls that tell theirs, the time
    to the first token included.
    """

    events: frozenset[str] = frozenset()
    needs: tuple[str, ...] = ()

    def __init__(self, options: Options) -> None:
        self._slow_ms = options.slow_ms
        self._slow_ns = round(options.slow_ms * NS_PER_MS)
        self._operations: dict[tuple[str, str], _Operation] = {}
        self._answers: dict[str, _Answers] = {}
        self._slow: list[tuple[int, int, int, bool, str, str, str]] = []
        self._slow_count = 0
        self._sites: dict[tuple[str, str, str], list[int]] = {}
        self._running: dict[str, Intervals] = {}
        self._innermost = Intervals()

    def span(self, span: MeasuredSpan) -> None:
        """Take the duration of one span that ended."""
        key = (span.component, span.name)
        operation = self._operations.get(key)
        if operation is None:
            operation = self._operations[key] = _Operation()
        operation.count += 1
        if span.failed:
            operation.errors += 1
        if span.retried:
            operation.retries += 1
        duration = span.duration_ns
        if duration is not None:
            operation.durations.append(duration)
            operation.numbers.append(span.number)
            operation.self_ns += span.self_ns
            self._place(span, operation, duration)
            if duration > self._slow_ns:
                self._slow_count += 1
                if len(self._slow) < LISTED or duration >= self._slow[0][0]:
                    self._note_slow(span, duration)
        if span.component == "llm":
            self._answer(span)

    def _place(self, span: MeasuredSpan, operation: _Operation, duration: int) -> None:
        """When a span ran, from where it was called, and whether it worked or waited."""
        start, end = span.start, span.end
        cpu = end.get("cpu_time_ms")
        if cpu is not None:
            operation.cpu_ns += int(cpu * NS_PER_MS + 0.5)
            operation.measured_ns += duration
        if span.retried:
            operation.retried_ns += duration
        site = start.get("call_site")
        if site is not None:
            key = (span.component, span.name, site)
            found = self._sites.get(key)
            if found is None:
                found = self._sites[key] = [0, 0, 0, 0]
            found[0] += 1
            found[1] += duration
            found[2] += span.self_ns
            found[3] = max(found[3], duration)
        at = start.get("timestamp")
        if at is not None:
            begin = int(at * 1e6 + 0.5) * 1000  # as `since_epoch`
            running = self._running.get(span.component)
            if running is None:
                running = self._running[span.component] = Intervals()
            running.add(begin, begin + duration)
            if span.below is None or not span.below.intervals:
                self._innermost.add(begin, begin + duration)

    def open_span(self, span: MeasuredSpan) -> None:
        """Count one span that never ended; it has no duration."""
        self._operations.setdefault((span.component, span.name), _Operation()).open += 1

    def event(self, number: int, event: Event) -> None:
        """Point events have no duration."""

    def _note_slow(self, span: MeasuredSpan, duration: int) -> None:
        call_site = span.get("call_site")
        site = call_site if isinstance(call_site, str) else ""
        entry = (duration, -span.number, span.self_ns, span.failed, span.component, span.name, site)
        if len(self._slow) < LISTED:
            heappush(self._slow, entry)
        elif entry > self._slow[0]:
            heapreplace(self._slow, entry)

    def _answer(self, span: MeasuredSpan) -> None:
        answers = self._answers.get(span.name)
        if answers is None:
            answers = self._answers[span.name] = _Answers()
        end = span.end
        answers.tokens += total_tokens(end)
        usage = end.get("usage")
        if usage is not None and span.duration_ns and (output := whole(usage.get("output_tokens"))):
            answers.output_tokens += output
            answers.answering_ns += span.duration_ns
        metadata = end.get("metadata")
        if metadata is not None and "time_to_first_token_ms" in metadata:
            answers.first_tokens.append(whole_ns(metadata["time_to_first_token_ms"], NS_PER_MS))

    def merge(self, later: Performance) -> None:
        """Take in what a later part of the trace, or another trace, has found."""
        for key, operation in later._operations.items():
            self._operations.setdefault(key, _Operation()).merge(operation)
        for model, answers in later._answers.items():
            self._answers.setdefault(model, _Answers()).merge(answers)
        self._slow = sorted(nlargest(LISTED, self._slow + later._slow))
        self._slow_count += later._slow_count
        for site, theirs in later._sites.items():
            mine = self._sites.setdefault(site, [0, 0, 0, 0])
            longest = max(mine[3], theirs[3])
            add_up(mine, theirs)
            mine[3] = longest
        for component, running in later._running.items():
            self._running.setdefault(component, Intervals()).merge(running)
        self._innermost.merge(later._innermost)

    def result(self, totals: Totals) -> dict[str, Any]:
        """The operations with the longest self time first, models and tools by name, the slowest first."""
        rows = {key: operation.result() for key, operation in self._operations.items()}
        ordered = sorted(rows, key=lambda key: (-self._operations[key].self_ns, key))
        nothing = _Answers()
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
            "bottlenecks": bottlenecks([self._effort(*key) for key in ordered], totals.wall_ns),
            "concurrency": concurrency(self._innermost, totals.first_at, totals.wall_ns),
            "wall_shares": wall_shares(self._running, totals.wall_ns),
            "outliers": self._outliers(),
            "call_sites": self._call_sites(),
        }

    def _effort(self, component: str, name: str) -> Effort:
        operation = self._operations[component, name]
        total = sum(operation.durations)
        retried, cpu, measured = operation.retried_ns, operation.cpu_ns, operation.measured_ns
        return Effort(component, name, operation.self_ns, total, retried, cpu, measured)

    def _outliers(self) -> dict[str, Any]:
        """The spans that took far longer than the others of their operation, those that lost most time first."""
        found: list[tuple[int, int, str, str, int, float]] = []
        total = 0
        for (component, name), operation in self._operations.items():
            limit = far_out(operation.durations)
            if limit is None:
                continue
            median = percentile(sorted(operation.durations), 50)
            over = [
                (duration, -number, component, name, number, median)
                for duration, number in zip(operation.durations, operation.numbers, strict=True)
                if duration > limit
            ]
            total += len(over)
            found = nlargest(LISTED, found + over)
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
                for duration, _, component, name, number, median in found
            ],
        }

    def _call_sites(self) -> list[dict[str, Any]]:
        """Operations by the place they were called from, the longest self time first."""
        sites = sorted(self._sites, key=lambda site: (-self._sites[site][2], site))
        return [
            {
                "component": component,
                "component_name": name or None,
                "call_site": site,
                "count": self._sites[component, name, site][0],
                "total_ms": milliseconds(self._sites[component, name, site][1]),
                "self_ms": milliseconds(self._sites[component, name, site][2]),
                "max_ms": milliseconds(self._sites[component, name, site][3]),
            }
            for component, name, site in sites[:LISTED]
        ]


def _slow_row(
    duration: int, minus_number: int, self_ns: int, failed: bool, component: str, name: str, call_site: str
) -> dict[str, Any]:
    return {
        "number": -minus_number,
        "component": component,
        "component_name": name or None,
        "duration_ms": milliseconds(duration),
        "self_ms": milliseconds(self_ns),
        "failed": failed,
        "call_site": call_site or None,
    }


def _per_second(amount: int, nanoseconds: int) -> float | None:
    return round(amount * _NS_PER_SECOND / nanoseconds, 3) if nanoseconds else None
