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
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from namel3ss_debug.analysis.contract import ColumnSpec, TableSpec
from namel3ss_debug.analysis.failures.categories import categorise, http_status
from namel3ss_debug.analysis.findings import EXCEEDED, format_operation, make_finding
from namel3ss_debug.analysis.sections.memory import process_key
from namel3ss_debug.analysis.sections.processes import parse_sample
from namel3ss_debug.analysis.triggers.rules import RULES, Blocked, Timeout, TriggerData, evaluate
from namel3ss_debug.traces.facts import NS_PER_MS, NS_PER_SECOND, whole_ns
from namel3ss_debug.traces.span_table import SpanWatcher
from namel3ss_debug.wire import lenient

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from namel3ss_debug.analysis.findings import Finding, Row, RunAmounts
    from namel3ss_debug.analysis.totals import Options
    from namel3ss_debug.traces.events import Event
    from namel3ss_debug.traces.span_table import SpanTable

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


class Triggers(SpanWatcher):
    """Collects what only the events hold: which failed calls timed out, and the processor time of each process."""

    events: frozenset[str] = frozenset({"resource_sample"})

    def __init__(self, options: Options) -> None:
        self._thresholds = options.triggers
        self._busy_share = options.triggers.get("cpu_share")
        self._timed_out: set[int] = set()
        self._data = TriggerData()

    def span(self, spans: SpanTable, row: int, _start: Event, end: Event) -> None:
        """Note a call that timed out, and a span in which the process computed nearly all the time."""
        component, duration, cpu = spans.component(row), spans.duration[row], spans.cpu[row]
        if spans.failed[row] and component in _DEPENDENCIES:
            category = categorise(
                lenient.string(end.get("error_type")),
                lenient.string(end.get("error")),
                http_status=http_status(end),
                status=end.get("status"),
                component=component,
            )
            if category == "timeout":
                self._timed_out.add(row)
        if cpu >= 0 and duration >= _LEAST_BUSY_NS:
            self._data.cpu_recorded = True
            began = spans.began[row]
            if began >= 0 and self._busy_share is not None and cpu > self._busy_share * duration:
                stretch = began, began + duration, spans.number[row]
                self._data.busy.setdefault(process_key(end), []).append(stretch)

    def event(self, number: int, event: Event) -> None:
        """Add a sample of the processor time of a process."""
        sample = parse_sample(number, event)
        if sample.cpu_ns is not None and sample.at is not None:
            self._data.cpu_recorded = True
            self._data.samples.setdefault(process_key(event), []).append((number, sample.at, sample.cpu_ns))

    def result(self, spans: SpanTable, sections: Mapping[str, Any]) -> dict[str, Any]:
        """Return the state of each rule, and the findings."""
        _collect_calls(spans, self._data)
        _collect_timeouts(spans, self._timed_out, self._data)
        blocked = self._thresholds.get("blocked_seconds")
        _collect_stretches(spans, None if blocked is None else whole_ns(blocked, NS_PER_SECOND), self._data)
        triggered = []
        rules = []
        for rule in RULES:
            threshold = self._thresholds.get(rule.threshold)
            findings, state, reason = evaluate(rule, self._thresholds, self._data, sections, spans.last_at)
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


def _collect_calls(spans: SpanTable, data: TriggerData) -> None:
    """Add the duration of each call, and when calls of models and tools ended and failed."""
    for row in spans.of("llm", "tool", "agent"):
        number, began, duration = spans.number[row], spans.began[row], spans.duration[row]
        at = spans.ended[row] if spans.component(row) != "agent" else -1
        if at >= 0:
            second = at // NS_PER_SECOND
            data.calls[second] = data.calls.get(second, 0) + 1
            if spans.failed[row]:
                data.failed.append((second, number))
        if duration >= 0:
            facts = data.durations.setdefault(spans.operations[spans.operation[row]], array("q"))
            facts.extend((number, began, duration))


def _collect_timeouts(spans: SpanTable, timed_out: set[int], data: TriggerData) -> None:
    """Add each call of a dependency that timed out, once for the innermost span that reports it."""
    inner: set[int] = set()
    for row in range(len(spans) - 1, -1, -1) if timed_out else ():
        if row in timed_out and row not in inner:
            at = spans.ended[row]
            timeout = Timeout(
                spans.number[row], at if at >= 0 else None, spans.component(row), spans.name(row)
            )
            data.timeouts.append(timeout)
        if row in timed_out or row in inner:
            inner.add(spans.around[row])
    data.timeout_count = len(data.timeouts)
    data.timeouts = sorted(data.timeouts)[:_MOST_TIMEOUTS]


def _collect_stretches(spans: SpanTable, blocked_ns: int | None, data: TriggerData) -> None:
    """Add the spans in which nothing happened for long, and the innermost ones that never ended."""
    long = {
        row
        for row, own in enumerate(spans.self_time)
        if blocked_ns is not None
        and own > blocked_ns
        and spans.component(row) != "llm"
        and spans.duration[row] >= _LEAST_BUSY_NS
        and 2 * spans.cpu[row] <= spans.duration[row]
    }
    unended = {row for row, end in enumerate(spans.end) if not end}
    inside: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
    holders = set()
    for row, around in enumerate(spans.around):
        if around in long or around in unended:
            if row in unended:
                holders.add(around)
            if spans.began[row] >= 0 and spans.duration[row] > 0:
                inside[around].append((spans.began[row], spans.began[row] + spans.duration[row]))
    for row in sorted(long):
        gap, since = spans.self_time[row], None
        if spans.began[row] >= 0:
            gap, since = _longest_gap(spans.began[row], spans.duration[row], inside[row])
        if gap > (blocked_ns or 0):
            data.blocked.append(
                Blocked(gap, spans.number[row], since, spans.component(row), spans.name(row), ended=True)
            )
    for row in sorted(unended - holders):
        if spans.began[row] >= 0:
            since = max([spans.began[row], *(end for _, end in inside[row])])
            data.waiting.append(
                Blocked(0, spans.number[row], since, spans.component(row), spans.name(row), ended=False)
            )


def _longest_gap(begin: int, duration: int, inside: list[tuple[int, int]]) -> tuple[int, int]:
    """Return the longest stretch of a span in which no other ran inside, and when it began."""
    end = begin + duration
    longest, since, reached = 0, begin, begin
    for low, high in sorted(inside):
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
