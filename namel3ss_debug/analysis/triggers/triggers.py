"""Whether a run exceeded its thresholds: one rule for each, over data gathered while the trace is read.

The section:

    {"rules": [{"rule": "error_rate", "threshold": 0.05, "unit": "share", "state": "fired", "reason": null}],
     "fired": [{"rule": "error_rate", "threshold": 0.05, "value": 0.31, "unit": "share", "times": 2,
                "timestamp": 1795286244.1, "numbers": [41, 47], "component": null, "component_name": null,
                "what": "calls failed within 300 s"}]}

A rule is `fired`, `quiet`, `off` where its threshold is null, or `unknown` where the recording lacks the data, with
the `reason`. `value` is the worst that was seen, `times` how often it came to that, `timestamp` when it did
first (seconds since the epoch, null where no event has a time), `numbers` the start events that prove it.

The thresholds are the setting `triggers`; what each rule looks at is described at its function in `rules`.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

from namel3ss_debug.analysis.distributions import NS_PER_MS
from namel3ss_debug.analysis.failures.categories import categorise, http_status
from namel3ss_debug.analysis.nesting import NS_PER_SECOND, instant, since_epoch, whole_ns
from namel3ss_debug.analysis.resources.memory import lane_of
from namel3ss_debug.analysis.resources.processes import sample_of
from namel3ss_debug.analysis.triggers.rules import RULES, Blocked, Gathered, Timeout, evaluate
from namel3ss_debug.wire import lenient

if TYPE_CHECKING:
    from namel3ss_debug.analysis.nesting import Below, MeasuredSpan
    from namel3ss_debug.analysis.totals import Options, Totals
    from namel3ss_debug.traces.events import Event

_DEPENDENCIES = frozenset({"llm", "tool", "http", "memory"})
_LEAST_BUSY_NS = 100 * NS_PER_MS
_MOST_TIMEOUTS = 10_000
_TIMEOUTS = "timeouts"
_OPEN = "open inside"


class Triggers:
    """Durations of calls, calls and failures by the second, processor time, timeouts, and stretches without work."""

    events: frozenset[str] = frozenset({"resource_sample"})
    needs: tuple[str, ...] = ("resource_usage", "patterns")

    def __init__(self, options: Options) -> None:
        self._thresholds = options.triggers
        self._busy_share = options.triggers.get("cpu_share")
        blocked = options.triggers.get("blocked_seconds")
        self._blocked_ns = None if blocked is None else whole_ns(blocked, NS_PER_SECOND)
        self._got = Gathered()

    def span(self, span: MeasuredSpan) -> None:
        """Take the data of a span that ended."""
        component, end, lasted = span.component, span.end, span.duration_ns
        got = self._got
        if component == "llm" or component == "tool":  # noqa: PLR1714  (this is done for every span)
            at = end.get("timestamp")
            if at is not None:
                second = int(at)
                calls = got.calls
                calls[second] = calls.get(second, 0) + 1
                if span.failed:
                    got.failed.append((second, span.number))
            self._time(span)
        elif component == "agent":
            self._time(span)
        if span.failed or (span.below is not None and _TIMEOUTS in span.below.sums):
            self._timeout(span)
        if lasted is not None and lasted >= _LEAST_BUSY_NS:
            self._work(span, lasted)

    def _time(self, span: MeasuredSpan) -> None:
        lasted = span.duration_ns
        if lasted is None:
            return
        key = span.component, span.name
        facts = self._got.durations.get(key)
        if facts is None:
            facts = self._got.durations[key] = array("q")
        at = span.start.get("timestamp")
        facts.extend((span.number, -1 if at is None else int(at * 1e6 + 0.5) * 1000, lasted))

    def _timeout(self, span: MeasuredSpan) -> None:
        """Note that a dependency did not answer in time, once for the innermost span that says so."""
        told = span.below is not None and _TIMEOUTS in span.below.sums
        if not told and span.failed and span.component in _DEPENDENCIES:
            end = span.end
            told = "timeout" == categorise(  # noqa: SIM300
                lenient.string(end.get("error_type")),
                lenient.string(end.get("error")),
                http_status=http_status(end),
                status=end.get("status"),
                component=span.component,
            )
            if told:
                self._got.timeouts.append(
                    Timeout(span.number, instant(end.get("timestamp")), span.component, span.name)
                )
                self._got.timeout_count += 1
                if len(self._got.timeouts) > 2 * _MOST_TIMEOUTS:
                    self._got.timeouts = sorted(self._got.timeouts)[:_MOST_TIMEOUTS]
        if told and span.above is not None:
            span.above.vector(_TIMEOUTS, 1)[0] += 1

    def _work(self, span: MeasuredSpan, lasted: int) -> None:
        """Note a span in which the process computed all the time, or in which nothing happened for long."""
        start, end = span.start, span.end
        cpu = whole_ns(end["cpu_time_ms"], NS_PER_MS) if "cpu_time_ms" in end else None
        began = start.get("timestamp")
        if cpu is not None:
            self._got.cpu_told = True
            if began is not None and self._busy_share is not None and cpu > self._busy_share * lasted:
                begin = since_epoch(began)
                self._got.busy.setdefault(lane_of(end), []).append((begin, begin + lasted, span.number))
        if self._blocked_ns is None or span.self_ns <= self._blocked_ns or span.component == "llm":
            return
        if cpu is not None and 2 * cpu > lasted:
            return
        gap: int = span.self_ns
        since: int | None = None
        if began is not None:
            gap, since = _gap(since_epoch(began), lasted, span.below)
        if gap > self._blocked_ns:
            self._got.blocked.append(Blocked(gap, span.number, since, span.component, span.name, ended=True))

    def open_span(self, span: MeasuredSpan) -> None:
        """Take an innermost span that never ended, with the time since which nothing has run inside."""
        above, below, began = span.above, span.below, span.start.get("timestamp")
        if above is not None:
            above.vector(_OPEN, 1)[0] += 1
        if began is not None and (below is None or _OPEN not in below.sums):
            since = max([since_epoch(began), *(below.intervals[1::2] if below is not None else ())])
            self._got.waiting.append(Blocked(0, span.number, since, span.component, span.name, ended=False))

    def event(self, number: int, event: Event) -> None:
        """Take a sample of the processor time of a process."""
        told = sample_of(number, event)
        if told.cpu_ns is not None and told.at is not None:
            self._got.cpu_told = True
            self._got.samples.setdefault(lane_of(event), []).append((number, told.at, told.cpu_ns))

    def merge(self, later: Triggers) -> None:
        """Add what a later part of the trace has found."""
        self._got.merge(later._got)
        self._got.timeouts = sorted(self._got.timeouts)[:_MOST_TIMEOUTS]

    def result(self, totals: Totals) -> dict[str, Any]:
        """Return the state of each rule, and what exceeded its threshold."""
        fired = []
        rules = []
        for rule in RULES:
            threshold = self._thresholds.get(rule.threshold)
            found, state, reason = evaluate(rule, self._thresholds, self._got, totals)
            fired += found
            rules.append(
                {
                    "rule": rule.name,
                    "threshold": threshold,
                    "unit": rule.unit,
                    "state": state,
                    "reason": reason,
                }
            )
        return {"rules": rules, "fired_count": len(fired), "fired": fired}


def _gap(begin: int, lasted: int, below: Below | None) -> tuple[int, int]:
    """Return the longest stretch of a span in which no other ran inside, and when it began."""
    end = begin + lasted
    if below is None or not below.intervals:
        return lasted, begin
    numbers = iter(below.intervals)
    longest, since, reached = 0, begin, begin
    for low, high in sorted(zip(numbers, numbers, strict=True)):
        if min(low, end) - reached > longest:
            longest, since = min(low, end) - reached, reached
        reached = max(reached, high)
    return (end - reached, reached) if end - reached > longest else (longest, since)
