"""Decide whether a run exceeded its thresholds: one rule for each, over data gathered while the trace is read.

The section:

    {"rules": [{"rule": "error_rate", "threshold": 0.05, "unit": "share", "state": "triggered", "reason": null}],
     "triggered": [{"rule": "error_rate", "threshold": 0.05, "value": 0.31, "unit": "share", "times": 2,
                "timestamp": 1795286244.1, "numbers": [41, 47], "component": null, "component_name": null,
                "what": "calls failed within 300 s"}]}

A rule is `triggered`, `ok`, `off` where its threshold is null, or `unknown` where the trace lacks the data, with the
`reason`. `value` is the worst value, `times` how often the threshold was exceeded, `timestamp` the first time (seconds
since the epoch, null where no event has a time), `numbers` the start events that prove it.

The thresholds are the setting `triggers`; the function of each rule in `rules` describes what it evaluates.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

from namel3ss_debug.analysis.contract import BaseFold, ColumnSpec, TableSpec
from namel3ss_debug.analysis.failures.categories import categorise, http_status
from namel3ss_debug.analysis.findings import EXCEEDED, format_operation, make_finding
from namel3ss_debug.analysis.sections.memory import process_key
from namel3ss_debug.analysis.sections.processes import parse_sample
from namel3ss_debug.analysis.triggers.rules import RULES, Blocked, Timeout, TriggerData, evaluate
from namel3ss_debug.traces.facts import NS_PER_MS, NS_PER_SECOND, instant, since_epoch, whole_ns
from namel3ss_debug.wire import lenient

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from namel3ss_debug.analysis.facts import Below, MeasuredSpan
    from namel3ss_debug.analysis.findings import Finding, Row, RunAmounts
    from namel3ss_debug.analysis.totals import Options, TraceTotals
    from namel3ss_debug.traces.events import Event

COLUMNS = (
    TableSpec(
        "Thresholds passed",
        "triggered",
        (
            ColumnSpec("rule", "rule", "words"),
            ColumnSpec("seen", "value", "in its unit"),
            ColumnSpec("allowed", "threshold", "in its unit"),
            ColumnSpec("what", "what", "operation and what", 20),
            ColumnSpec("times", "times", "several"),
            ColumnSpec("n", "numbers", "few numbers"),
        ),
        "the setting triggers defines what is allowed",
        total="triggered_count",
        alarming=True,
    ),
    "rules not triggered",
)

_DEPENDENCIES = frozenset({"llm", "tool", "http", "memory"})
_LEAST_BUSY_NS = 100 * NS_PER_MS
_MOST_TIMEOUTS = 10_000
_TIMEOUTS = "timeouts"
_OPEN = "open inside"


class Triggers(BaseFold):
    """Collects durations of calls, calls and failures by the second, CPU time, timeouts, and stretches without work."""

    events: frozenset[str] = frozenset({"resource_sample"})
    needs: tuple[str, ...] = ("resource_usage", "patterns")

    def __init__(self, options: Options) -> None:
        self._thresholds = options.triggers
        self._busy_share = options.triggers.get("cpu_share")
        blocked = options.triggers.get("blocked_seconds")
        self._blocked_ns = None if blocked is None else whole_ns(blocked, NS_PER_SECOND)
        self._data = TriggerData()

    def span(self, span: MeasuredSpan) -> None:
        """Add the data of a span that ended."""
        component, end, duration = span.component, span.end, span.duration_ns
        data = self._data
        if component in ("llm", "tool"):
            at = end.get("timestamp")
            if at is not None:
                second = int(at)
                calls = data.calls
                calls[second] = calls.get(second, 0) + 1
                if span.failed:
                    data.failed.append((second, span.number))
            self._add_duration(span)
        elif component == "agent":
            self._add_duration(span)
        if span.failed or (span.below is not None and _TIMEOUTS in span.below.sums):
            self._add_timeout(span)
        if duration is not None and duration >= _LEAST_BUSY_NS:
            self._add_work(span, duration)

    def _add_duration(self, span: MeasuredSpan) -> None:
        """Add the duration of a call to its operation."""
        duration = span.duration_ns
        if duration is None:
            return
        key = span.component, span.name
        facts = self._data.durations.get(key)
        if facts is None:
            facts = self._data.durations[key] = array("q")
        at = span.start.get("timestamp")
        facts.extend((span.number, -1 if at is None else int(at * 1e6 + 0.5) * 1000, duration))

    def _add_timeout(self, span: MeasuredSpan) -> None:
        """Note that a dependency timed out, once for the innermost span that reports it."""
        timed_out = span.below is not None and _TIMEOUTS in span.below.sums
        if not timed_out and span.failed and span.component in _DEPENDENCIES:
            end = span.end
            category = categorise(
                lenient.string(end.get("error_type")),
                lenient.string(end.get("error")),
                http_status=http_status(end),
                status=end.get("status"),
                component=span.component,
            )
            timed_out = category == "timeout"
            if timed_out:
                self._data.timeouts.append(
                    Timeout(span.number, instant(end.get("timestamp")), span.component, span.name)
                )
                self._data.timeout_count += 1
                if len(self._data.timeouts) > 2 * _MOST_TIMEOUTS:
                    self._data.timeouts = sorted(self._data.timeouts)[:_MOST_TIMEOUTS]
        if timed_out and span.above is not None:
            span.above.vector(_TIMEOUTS, 1)[0] += 1

    def _add_work(self, span: MeasuredSpan, duration: int) -> None:
        """Note a span in which the process computed all the time, or in which nothing happened for long."""
        start, end = span.start, span.end
        cpu = whole_ns(end["cpu_time_ms"], NS_PER_MS) if "cpu_time_ms" in end else None
        began = start.get("timestamp")
        if cpu is not None:
            self._data.cpu_recorded = True
            if began is not None and self._busy_share is not None and cpu > self._busy_share * duration:
                begin = since_epoch(began)
                self._data.busy.setdefault(process_key(end), []).append(
                    (begin, begin + duration, span.number)
                )
        if self._blocked_ns is None or span.self_ns <= self._blocked_ns or span.component == "llm":
            return
        if cpu is not None and 2 * cpu > duration:
            return
        gap: int = span.self_ns
        since: int | None = None
        if began is not None:
            gap, since = _longest_gap(since_epoch(began), duration, span.below)
        if gap > self._blocked_ns:
            self._data.blocked.append(Blocked(gap, span.number, since, span.component, span.name, ended=True))

    def open_span(self, span: MeasuredSpan) -> None:
        """Add an innermost span that never ended, with the time since which nothing has run inside."""
        above, below, began = span.above, span.below, span.start.get("timestamp")
        if above is not None:
            above.vector(_OPEN, 1)[0] += 1
        if began is not None and (below is None or _OPEN not in below.sums):
            since = max([since_epoch(began), *(below.intervals[1::2] if below is not None else ())])
            self._data.waiting.append(Blocked(0, span.number, since, span.component, span.name, ended=False))

    def event(self, number: int, event: Event) -> None:
        """Add a sample of the processor time of a process."""
        sample = parse_sample(number, event)
        if sample.cpu_ns is not None and sample.at is not None:
            self._data.cpu_recorded = True
            self._data.samples.setdefault(process_key(event), []).append((number, sample.at, sample.cpu_ns))

    def result(self, totals: TraceTotals) -> dict[str, Any]:
        """Return the state of each rule, and the findings."""
        triggered = []
        rules = []
        for rule in RULES:
            threshold = self._thresholds.get(rule.threshold)
            findings, state, reason = evaluate(rule, self._thresholds, self._data, totals)
            triggered += findings
            rules.append(
                {
                    "rule": rule.name,
                    "threshold": threshold,
                    "unit": rule.unit,
                    "state": state,
                    "reason": reason,
                }
            )
        return {"rules": rules, "triggered_count": len(triggered), "triggered": triggered}


def _longest_gap(begin: int, duration: int, below: Below | None) -> tuple[int, int]:
    """Return the longest stretch of a span in which no other ran inside, and when it began."""
    end = begin + duration
    if below is None or not below.intervals:
        return duration, begin
    numbers = iter(below.intervals)
    longest, since, reached = 0, begin, begin
    for low, high in sorted(zip(numbers, numbers, strict=True)):
        if min(low, end) - reached > longest:
            longest, since = min(low, end) - reached, reached
        reached = max(reached, high)
    return (end - reached, reached) if end - reached > longest else (longest, since)


_PARTS = {
    "error_rate": "quality",
    "blocked": "performance",
    "context": "resources",
    "loop": "quality",
    "cpu": "performance",
    "memory_growth": "resources",
    "response_time": "performance",
}
"""Rule -> the part of the health that it lowers; the stability for all others."""


def has_decided_rules(section: Row) -> bool:
    """Return whether a rule could be evaluated."""
    return any(rule["state"] in {"triggered", "ok"} for rule in section["rules"])


def find_findings(section: Row, _sections: Mapping[str, Any], _run: RunAmounts) -> Iterator[Finding]:
    """Yield the thresholds that were exceeded."""
    for row in section["triggered"]:
        rule = row["rule"]
        # The finding of a stall has one name, whether the patterns or the threshold saw it.
        kind = "stall" if rule == "blocked" else rule
        subject = ": ".join(filter(None, (format_operation(row), str(row.get("what") or ""))))
        evidence = f"the threshold {rule.replace('_', ' ')} was exceeded" + (
            f", {subject}" if subject else ""
        )
        events = row["numbers"]
        look = f"inspect --event {events[0]}" if events else "analyze --triggers"
        yield make_finding(kind, _PARTS.get(rule, "stability"), "triggers", EXCEEDED, evidence, events, look, row=row)  # fmt: skip
