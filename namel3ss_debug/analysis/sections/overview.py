"""The run at a glance: how long, how much, how it ended, and on what it ran."""

from __future__ import annotations

from collections import Counter
from math import fsum
from operator import eq
from typing import TYPE_CHECKING, Any

from namel3ss_debug.analysis.distributions import milliseconds
from namel3ss_debug.analysis.failures.errors import error_rate
from namel3ss_debug.analysis.findings import UNFINISHED, make_finding
from namel3ss_debug.traces.late_ends import VERDICT
from namel3ss_debug.traces.outcomes import Outcome, RunEnd, decide_outcome
from namel3ss_debug.traces.span_table import AT_TOP, SpanWatcher

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from namel3ss_debug.analysis.findings import Finding, Row, RunAmounts
    from namel3ss_debug.analysis.totals import Options
    from namel3ss_debug.traces.events import Event
    from namel3ss_debug.traces.span_table import SpanTable

_NS_PER_SECOND = 1_000_000_000
_BOUNDARIES = frozenset({"llm", "tool", "http", "command", "validation", "memory"})
"""Components whose failures are ordinary for a program: one at the top does not mean that the run failed."""

_START_FIELDS = (
    "target",
    "argv",
    "cwd",
    "python",
    "platform",
    "git_commit",
    "user",
    "environment",
    "agent_version",
)
"""The fields of a `trace_start` that are reported: texts, and `argv`, a list; other values are left out."""


class ExecutionOverview(SpanWatcher):
    """Counts, wall time, totals of the other sections, and the status of the run.

    `outcome` is how the run ended, as `traces.outcomes` decides it for all commands, and `outcome_detail` what is known
    besides, such as `exit status 3`. `status` is the same, except that it is `open` when a span has no end, or a
    process that began has not recorded that it ended, unless the first has and nobody writes: a pool kills its workers.
    A span at the top that failed makes the run a failed one if it is no mere call (of a model, a tool, a server, a command).
    `success_rate` is 1 less the `error_rate` of the section `errors`.
    """

    events: frozenset[str] = frozenset({"trace_start", "trace_end", "error_occurred"})

    def __init__(self, _options: Options) -> None:
        self._executions: set[str] = set()
        self._sessions: set[str] = set()
        self._begun: set[int] = set()
        self._ended = 0
        self._end = RunEnd()
        self._start: tuple[int, dict[str, Any]] | None = None
        self._verdict: str | None = None

    def span(self, spans: SpanTable, row: int, start: Event, end: Event) -> None:
        """Look at a span at the top, and note the execution that one without an end belongs to."""
        at_top = spans.parent[row] == AT_TOP
        if at_top or not end:
            self._identify(start or end)
        if at_top and start and spans.failed[row] and spans.component(row) not in _BOUNDARIES:
            self._end.failed_at_top = True

    def event(self, number: int, event: Event) -> None:
        """Note the data of the beginning and of the end of a process, and an interrupt that ended one."""
        self._identify(event)
        self._end.add(event)
        if event["event_type"] == "trace_end":
            self._ended += 1
            rerun = event.get("metadata", {}).get(VERDICT)
            if isinstance(rerun, dict) and isinstance(rerun.get("verdict"), str):
                self._verdict = rerun["verdict"]
        if event["event_type"] != "trace_start":
            return
        metadata = event.get("metadata", {})
        process = metadata.get("process")
        self._begun.add(process if isinstance(process, int) else 0)
        if self._start is None or number < self._start[0]:
            fields = {
                name: metadata[name]
                for name in _START_FIELDS
                if isinstance(metadata.get(name), list if name == "argv" else str)
            }
            self._start = (number, fields)

    def _identify(self, event: Event) -> None:
        if "execution_id" in event:
            self._executions.add(event["execution_id"])
        if "session_id" in event:
            self._sessions.add(event["session_id"])

    def result(self, spans: SpanTable, sections: Mapping[str, Any]) -> dict[str, Any]:
        """Return the section; values that were not recorded are None."""
        errors, resources = sections["errors"], sections["resource_usage"]
        rate = errors["error_rate"]
        wall, about = spans.wall, spans.about[0]
        fields = self._start[1] if self._start is not None else {}
        noted = about.get("noted_status")
        if noted is not None and self._end.exit_status is None:
            self._end.exit_status = noted
        outcome = self._outcome(about.get("ending"))
        return {
            "status": self._status(spans, outcome),
            "outcome": outcome.name,
            "outcome_detail": outcome.detail,
            "exit_status": self._end.exit_status,
            "executions": len(self._executions),
            "execution_ids": sorted(self._executions)[:10],
            "session_ids": sorted(self._sessions)[:10],
            "processes": max(len(self._begun), min(spans.event_count, 1)),
            "processes_without_end": max(len(self._begun) - self._ended, 0),
            "events": spans.event_count,
            "spans": len(spans),
            "open_spans": spans.open_count,
            "orphan_ends": sum(map(eq, spans.number, spans.end)),
            "started_at": _seconds(spans.first_at),
            "ended_at": _seconds(spans.last_at),
            "duration_ms": None if wall is None else milliseconds(wall),
            "agent_executions": _calls(spans, "agent_execution"),
            "llm_calls": _calls(spans, "llm_call"),
            "tool_calls": _calls(spans, "tool_call"),
            "tokens": resources["tokens"]["total"],
            "cost": resources["cost"]["total"],
            "calls_without_price": resources["cost"]["calls_without_price"],
            "priced_by": resources["cost"]["priced_by"],
            "errors": errors["total_errors"],
            "retries": errors["retries"],
            "success_rate": None if rate is None else round(1 - rate, 12),
            **{name: fields.get(name) for name in _START_FIELDS},
            "tracing": resources["tracing"],
            **({} if self._verdict is None else {"rerun_verdict": self._verdict}),
        }

    def _outcome(self, ending: str | None) -> Outcome:
        """Return how the run ended; where its files are not known, by its events alone."""
        unended = len(self._begun) > self._ended
        ending = ending or ("open" if unended else "finished")
        if ending == "killed" and not (unended and 0 in self._begun):
            ending = "finished"  # of a trace whose beginning is not there
        return decide_outcome(ending, self._end)

    def _status(self, spans: SpanTable, outcome: Outcome) -> str:
        unended = len(self._begun) > self._ended
        if outcome.name in {"killed", "stopped", "interrupted"}:
            return outcome.name
        if spans.open_count or (unended and spans.about[0].get("ending") != "finished"):
            return "open"
        return "failed" if outcome.name == "failed" else "completed"


_WORST_FIRST = ("open", "killed", "failed", "interrupted", "stopped")
_ONE_TRACE = ("status", "exit_status", "outcome", "outcome_detail", "tracing")
_IDS = ("execution_ids", "session_ids")
_SUMMED = (
    *("executions", "processes", "processes_without_end", "events", "spans", "open_spans", "orphan_ends"),
    *("agent_executions", "llm_calls", "tool_calls", "tokens", "calls_without_price", "errors", "retries"),
)


def summarize_overviews(spans: SpanTable, rows: Sequence[Row]) -> dict[str, Any]:
    """Return the overview of several traces.

    Counts and `duration_ms` are sums, so `duration_ms` is how long the traces took one after the other. `started_at` is
    that of the earliest and `ended_at` that of the latest. `status` is `open` where one of them is, else the worst
    by `_WORST_FIRST`; `statuses` counts them. A value that differs is None.
    """
    statuses = Counter(row["status"] for row in rows)
    known: dict[str, Any] = {
        "status": next((status for status in _WORST_FIRST if status in statuses), "completed"),
        "statuses": dict(sorted(statuses.items())),
    }
    for name, value in rows[0].items():
        if name in _SUMMED:
            known[name] = sum(row[name] for row in rows)
        elif name not in _ONE_TRACE:
            known[name] = value if all(row.get(name) == value for row in rows) else None
    costs = [row["cost"] for row in rows if row["cost"] is not None]
    rate = error_rate(
        spans, [1 - (1 if row["success_rate"] is None else row["success_rate"]) for row in rows]
    )
    return known | {
        "duration_ms": None if spans.wall is None else milliseconds(spans.wall),
        "started_at": _seconds(spans.first_at),
        "ended_at": max((row["ended_at"] for row in rows if row["ended_at"] is not None), default=None),
        "cost": round(fsum(costs), 12) if costs else None,
        "priced_by": dict(sorted(sum((Counter(row["priced_by"]) for row in rows), Counter()).items())),
        "success_rate": None if rate is None else round(1 - rate, 12),
        **{name: sorted({each for row in rows for each in row[name]})[:10] for name in _IDS},
    }


def _calls(spans: SpanTable, prefix: str) -> int:
    """Return how many spans of a type there were, even if only one of their two events is there."""
    return max(spans.types[prefix + "_start"], spans.types[prefix + "_end"])


def _seconds(nanoseconds: int | None) -> float | None:
    return None if nanoseconds is None else nanoseconds / _NS_PER_SECOND


def find_findings(section: Row, _sections: Mapping[str, Any], _run: RunAmounts) -> Iterator[Finding]:
    """Yield a finding for a program that was killed before it could record its end."""
    if section.get("status") == "killed":
        last = section["events"]
        evidence = f"the run never ended: the last event is {last:,}, and no end was recorded"
        yield make_finding(
            "unfinished", "stability", "errors", UNFINISHED, evidence, (last,), f"inspect --event {last}"
        )
