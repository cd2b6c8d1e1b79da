"""Find what failed: each failure once, with the spans it went through, and the spans that never ended.

How failures are counted:

- A span failed when its status is `failed`, `timeout` or `cancelled`, or it has an error and no status.
  `failed_spans` counts all of these, recovered ones as well.
- A call that was tried again is judged by its last attempt. Where that succeeded, the failed ones are in
  `recovered_errors` and nowhere else; where it did not, all attempts are one failure.
- The same failure seen at several levels is one failure. A failed span passes on the failure of a direct child if that
  failed with the same type and text, if the span names that failure, or if it has no type and text of its own. The
  innermost span is the failure, the others are in its `propagated_to`. A span names a failure if its text contains that
  of the child, or its stack trace has the child's exception as a direct cause or a member of a group (`wrapping`).
- An `error_occurred` event is a failure of its own, unless the span around it or an earlier span beside
  it failed with the same type and text, or it names the failure of one of the last spans that failed beside it: then
  the event is a report of that failure.

`total_errors` and `error_categories` count the failures that remain. `error_rate` is the share of the ended spans
that failed and were not recovered by another attempt.

The section also has the `severity` of each failure and of the run (`severity`), `first_failure_ms` from the beginning
of the run, and the cost of the retries. Each failure has its `fingerprint` (`failure_fingerprints`), its `origins`
(`causes`; null where a run has more failures than are looked at), its `impact` and what usually helps (`resolutions`):

    {"number": 25, ..., "duration_ms": 0.1, "after_ms": 1107.0, "severity": 0.75, "fingerprint": "0f3c...",
     "origins": [{"number": 9, "component": "tool", "component_name": "find", "kind": "empty_result",
                  "reason": "returned nothing, ...", "score": 0.95,
                  "evidence": {"events": [10, 24, 25], "value": null}}],
     "impact": {"spans_failed": 2, "open_spans": 0, "attempts": 1, "repeated": 0,
                "time_after_ms": 21.0, "tokens_after": 0, "cost_after": 0.0},
     "resolution": "..."}

`impact.repeated` is how many later failures have the same fingerprint, `open_spans` how many spans around it never
ended, `dependents_failed` how many failures depend on it by `depends_on`, also through others; `dependency_failures`
lists these with what they need. `..._after` is the time and cost of the run after it. Weak failures, which have no failed status, are in
`weak_failures`, with their `source` (`output` or `log`) and `confidence` (`claims`), and do not count in the numbers
above. One that repeats the words of a failure inside it, or a log record that repeats those of any failure, is left
out.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from itertools import islice
from operator import mul
from typing import TYPE_CHECKING, Any

from namel3ss_debug.analysis.contract import EVENT, WHERE, ColumnSpec, TableSpec
from namel3ss_debug.analysis.distributions import milliseconds
from namel3ss_debug.analysis.failures.categories import categorise, http_status
from namel3ss_debug.analysis.failures.claims import (
    claimed_error,
    logged_error,
    may_claim,
    may_claim_refusal,
)
from namel3ss_debug.analysis.failures.failure_reports import (
    FailureFacts,
    RunContext,
    make_report,
    sum_spending,
)
from namel3ss_debug.analysis.failures.origins import FailureWindows, tail_inside
from namel3ss_debug.analysis.failures.weak_failures import WeakFailures
from namel3ss_debug.analysis.failures.wrapping import find_direct_causes, names_failure
from namel3ss_debug.analysis.findings import HALF, format_operation, make_finding
from namel3ss_debug.analysis.sections.usage import dollars
from namel3ss_debug.analysis.totals import LISTED
from namel3ss_debug.errors import short
from namel3ss_debug.traces.events import begins_span, ends_span
from namel3ss_debug.traces.facts import instant
from namel3ss_debug.traces.span_table import SpanWatcher, span_id
from namel3ss_debug.wire import lenient

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from namel3ss_debug.analysis.failures.claims import Claim
    from namel3ss_debug.analysis.findings import Finding, Row, RunAmounts
    from namel3ss_debug.analysis.totals import Options
    from namel3ss_debug.traces.events import Event
    from namel3ss_debug.traces.span_table import SpanTable


def _failures(section: Mapping[str, Any]) -> Iterator[Row]:
    return _with_origins(section.get("failures") or ())


def _weak_signs(section: Mapping[str, Any]) -> Iterator[Row]:
    return _with_origins(section.get("weak_failures") or (), "began here: ")


def _with_origins(rows: Iterable[Row], prefix: str = "") -> Iterator[Row]:
    """Yield the first failures, and below each one its origin, if that is another event."""
    for row in islice(rows, 10):
        yield row
        origin = next(iter(row.get("origins") or ()), None)
        if origin is not None and origin["number"] != row["number"]:
            reason = f"{prefix}{origin['reason']}"
            yield {
                **origin,
                "reason": reason,
                "category": "began here",
                "is_origin": True,
                "confidence": None,
            }


COLUMNS = (
    TableSpec(
        "Recurring failures",
        "recurring",
        (
            ColumnSpec("times", "count", "count"),
            ColumnSpec("traces", "traces", "count"),
            WHERE,
            ColumnSpec("error", "error", "error", 16),
            EVENT,
        ),
        "n: the first of them",
        alarming=True,
    ),
    "errors",
    TableSpec(
        "",
        "failures",
        (EVENT, WHERE, ColumnSpec("category", "category"), ColumnSpec("error", "error", "error", 20)),
        rows=_failures,
        total="total_errors",
        most=None,
    ),
    "first failure",
    TableSpec(
        "{open_span_count:span} never ended",
        "open_spans",
        (
            EVENT,
            WHERE,
            ColumnSpec("started (UTC)", "started_at", "time"),
            ColumnSpec("call site", "call_site", "site"),
        ),
        "the program was here when the trace ended",
        total="open_span_count",
        alarming=True,
    ),
    TableSpec(
        "{weak_errors:weaker sign} of failure",
        "weak_failures",
        (
            EVENT,
            WHERE,
            ColumnSpec("what it says", "error", "error", 20),
        ),
        "in an output or a log record; no span failed",
        rows=_weak_signs,
        total="weak_errors",
        most=None,
        alarming=True,
    ),
)

_NOTHING: Event = {}
_LONGEST_TEXT = 1000
"""The characters that are kept of an error's text."""

_BESIDE = 8
"""A report is matched against this many failed spans right before it."""


class _NoSpans(frozenset[str]):
    """All event types but those of spans and those in it."""

    def __contains__(self, event_type: object) -> bool:
        kind = str(event_type)
        return not (begins_span(kind) or ends_span(kind) or frozenset.__contains__(self, kind))


class Errors(SpanWatcher):
    """Failures, retries and open spans."""

    events = _NoSpans(
        {
            *("trace_start", "trace_end", "stream_chunk", "resource_sample", "performance_marker", "output"),
            *("divergence", "stack_sample", "file_access", "memory_summarization", "exception_handled"),
            "inputs_read",
        }
    )

    def __init__(self, _options: Options) -> None:
        self._failures: list[FailureFacts] = []
        self._succeeded: set[str] = set()
        self._open: list[tuple[int, Event]] = []
        self._texts: dict[str, str] = {}
        self._windows = FailureWindows()
        self._weak = WeakFailures()

    def span(self, spans: SpanTable, row: int, start: Event, end: Event) -> None:
        """Note a span that failed or never ended, a weak sign of failure, and the outcome of a further attempt."""
        if not end:
            if len(self._open) < LISTED:
                self._open.append((row, start))
            return
        if spans.failed[row]:
            self._windows.note_failure(spans.end[row], start, end, tail=tail_inside(spans.parent[row]))
            self._failures.append(self._make_failure(spans, row, start, end))
        else:
            outputs = end.get("outputs")
            if outputs is not None and (
                may_claim_refusal(outputs) if end.get("component") == "llm" else may_claim(outputs)
            ):
                number, claim = spans.number[row], claimed_error(end)
                self._note_claim(spans.end[row], claim, end, (row, number, start))
            if spans.retried[row]:
                first = _attempt_of(start, end)
                if first is not None:
                    self._succeeded.add(first)
        self._windows.add(row, start, end)

    def event(self, number: int, event: Event) -> None:
        """Note an error that the program reported, or a weak sign of one."""
        event_type = event["event_type"]
        if event_type == "log_record":
            self._note_claim(number, logged_error(event), event)
        elif event.get("status") == "completed":
            if may_claim(event.get("outputs")):
                self._note_claim(number, claimed_error(event), event)
        elif event_type == "error_occurred":
            self._windows.note_failure(number, _NOTHING, event, tail=tail_inside(self.find_parent(event)))
            self._failures.append(self._make_report(number, event))

    def _note_claim(
        self, number: int, claim: Claim | None, event: Event, span: tuple[int, int, Event] | None = None
    ) -> None:
        """Note a weak sign of failure in an event, if there is one, with the span that it ends: its row, number and start."""
        if claim is not None:
            row, began, start = span or (self.find_parent(event), number, _NOTHING)
            self._windows.note_failure(number, start, event, weak=True)
            self._weak.add(number, event, claim, row, began)

    def _make_report(self, number: int, event: Event) -> FailureFacts:
        """Make the failure that an event other than the end of a span reports."""
        error_type, error = self._text(event.get("error_type")), self._text(event.get("error"))
        component = lenient.string(event.get("component")) or ""
        parent, code = self.find_parent(event), http_status(event)
        return FailureFacts(
            end_number=number,
            number=number,
            reported=True,
            row=parent,
            parent=parent,
            id=None,
            attempt_of=None,
            component=component,
            name=lenient.string(event.get("component_name")) or "",
            error_type=error_type,
            error=error,
            status=None,
            category=categorise(error_type, error, http_status=code, component=component),
            call_site=lenient.string(event.get("call_site")),
            http_status=code,
            at=instant(event.get("timestamp")),
            duration_ns=None,
            causes=find_direct_causes(event.get("stack_trace")),
        )

    def _make_failure(self, spans: SpanTable, row: int, start: Event, end: Event) -> FailureFacts:
        """Make the failure of a span."""
        component, name = spans.operations[spans.operation[row]]
        error_type, error = self._text(end.get("error_type")), self._text(end.get("error"))
        status = lenient.string(end.get("status"))
        code = http_status(end)
        return FailureFacts(
            end_number=spans.end[row],
            number=spans.number[row],
            reported=False,
            row=row,
            parent=spans.parent[row],
            id=lenient.string(span_id(start or end)),
            attempt_of=_attempt_of(start, end),
            component=component,
            name=name,
            error_type=error_type,
            error=error,
            status=status,
            category=categorise(error_type, error, http_status=code, status=status, component=component),
            call_site=lenient.string(end.get("call_site", start.get("call_site"))),
            http_status=code,
            at=instant(end.get("timestamp")),
            duration_ns=spans.duration[row] if spans.duration[row] >= 0 else None,
            causes=find_direct_causes(end.get("stack_trace")),
            needs=tuple(
                needed
                for needed in lenient.sequence(end.get("depends_on", start.get("depends_on")))
                if isinstance(needed, str)
            ),
        )

    def _text(self, value: object) -> str | None:
        """Return a text, stored once however often it occurs."""
        if value is None:
            return None
        text = (value if isinstance(value, str) else str(value))[:_LONGEST_TEXT]
        return self._texts.setdefault(text, text)

    def result(self, spans: SpanTable, _sections: Mapping[str, Any]) -> dict[str, Any]:
        """Return the failures in the order in which they happened, and the figures of the module's docstring."""
        final, attempts, recovered = _last_attempts(sorted(self._failures), self._succeeded)
        chains = _build_chains(final, spans.lost)
        lost = sum(len(numbers) for key, numbers in attempts.items() if key not in self._succeeded)
        single = sum(1 for failure in final if not failure.reported and failure.attempt_of is None)
        failed_spans = sum(1 for failure in self._failures if not failure.reported)
        categories = Counter(failure.category for failure, _ in chains)
        ended = len(spans) - spans.open_count
        rate = (lost + single) / ended if ended else None
        run = RunContext(self._windows, spans, failed_spans / ended if ended else 0.0, sum_spending(spans))
        failure_report = make_report(chains, attempts, self._weak, run)
        return {
            "total_errors": len(chains),
            "error_categories": dict(sorted(categories.items(), key=lambda item: (-item[1], item[0]))),
            "error_rate": rate,
            "severity": failure_report.severity if spans.event_count else None,
            "first_failure_ms": failure_report.first_failure_ms,
            "failed_spans": failed_spans,
            "reported_errors": len(self._failures) - failed_spans,
            "recovered_errors": recovered,
            "retries": sum(map(mul, spans.retried, map(bool, spans.end))),
            "retry_cost": _retry_cost(spans),
            "failures": failure_report.failures,
            "dependency_failures": failure_report.dependency_failures,
            "weak_errors": failure_report.weak_errors,
            "weak_failures": failure_report.weak_failures,
            "open_span_count": spans.open_count,
            "open_spans": self._open_rows(spans),
        }

    def _open_rows(self, spans: SpanTable) -> list[dict[str, Any]]:
        """Return the open spans, the latest first: where the program was when the trace ended."""
        parents = {spans.parent[row] for row, end in enumerate(spans.end) if not end}
        return [
            {
                **spans.named(row),
                "started_at": start.get("timestamp"),
                "call_site": start.get("call_site"),
                "innermost": row not in parents,
            }
            for row, start in self._open
        ]


def list_errors_of_traces(spans: SpanTable, sections: Sequence[Row]) -> dict[str, Any]:
    """Return the errors of several traces, each with its trace, and `recurring`: the failures with one fingerprint."""

    def total(key: str) -> int:
        return sum(section[key] for section in sections)

    def listed(key: str) -> list[dict[str, Any]]:
        return [
            {**spans.path(trace), **row} for trace, section in enumerate(sections) for row in section[key]
        ]

    categories: Counter[str] = Counter()
    for section in sections:
        categories.update(section["error_categories"])
    failures = listed("failures")
    return {
        "total_errors": total("total_errors"),
        "error_categories": dict(sorted(categories.items(), key=lambda item: (-item[1], item[0]))),
        "error_rate": error_rate(spans, [section["error_rate"] for section in sections]),
        **{key: total(key) for key in ("failed_spans", "reported_errors", "recovered_errors", "retries")},
        "retry_cost": _retry_cost(spans),
        "failures": failures[:LISTED],
        "dependency_failures": listed("dependency_failures")[:LISTED],
        "weak_errors": total("weak_errors"),
        "weak_failures": listed("weak_failures")[:LISTED],
        "open_span_count": spans.open_count,
        "open_spans": listed("open_spans")[:LISTED],
        "recurring": _recurring(failures),
    }


def error_rate(spans: SpanTable, rates: Sequence[float | None]) -> float | None:
    """Return the share of the ended spans of several traces that failed, from that of each; None where none ended."""
    ended = Counter(trace for trace, end in zip(spans.trace, spans.end, strict=True) if end)
    failed = sum(round((rate or 0) * ended[trace]) for trace, rate in enumerate(rates))
    return failed / ended.total() if ended else None


def _recurring(failures: Iterable[Row]) -> list[dict[str, Any]]:
    """Return the failures with the same fingerprint, those in most traces first, with the first of each."""
    groups: defaultdict[str, list[Row]] = defaultdict(list)
    for failure in failures:
        groups[failure["fingerprint"]].append(failure)
    shown = ("component", "component_name", "category", "error_type", "error", "trace", "number")
    rows = [
        {
            "fingerprint": fingerprint,
            "count": len(same),
            "traces": len({failure["trace"] for failure in same}),
            **{key: same[0][key] for key in shown},
        }
        for fingerprint, same in groups.items()
        if len(same) > 1
    ]
    rows.sort(key=lambda row: (-row["traces"], -row["count"], row["fingerprint"]))
    return rows[:LISTED]


def _retry_cost(spans: SpanTable) -> dict[str, Any]:
    """Return the time and cost of the attempts after the first."""
    retried = [row for row, again in enumerate(spans.retried) if again and spans.end[row]]
    costs = [spans.cost[row] for row in retried if spans.cost[row] >= 0]
    return {
        "spans": len(retried),
        "duration_ms": milliseconds(sum(max(spans.duration[row], 0) for row in retried)),
        "tokens": sum(spans.tokens[row] for row in retried),
        "cost": dollars(sum(costs)) if costs else None,
        "spans_without_cost": len(retried) - len(costs),
    }


def _attempt_of(start: Event, end: Event) -> str | None:
    """Return the id of the first attempt of the same call; for a first attempt it is its own."""
    for event in (end, start):
        metadata = event.get("metadata")
        if isinstance(metadata, dict) and isinstance(metadata.get("retry_of"), str):
            return str(metadata["retry_of"])
    return lenient.string(span_id(start or end))


def _last_attempts(
    failures: Iterable[FailureFacts], succeeded: set[str]
) -> tuple[list[FailureFacts], dict[str, list[int]], int]:
    """Return the failures that no later attempt recovered; the attempts of each call; the number recovered.

    Of the attempts of one call that never succeeded, the last one is the failure.
    """
    last: dict[str, FailureFacts] = {}
    others: list[FailureFacts] = []
    attempts: dict[str, list[int]] = {}
    recovered = 0
    for failure in failures:
        key = failure.attempt_of
        if key is None:
            others.append(failure)
            continue
        attempts.setdefault(key, []).append(failure.number)
        if key in succeeded:
            recovered += 1
        else:
            last[key] = failure
    return sorted([*others, *last.values()]), attempts, recovered


def _build_chains(
    failures: list[FailureFacts], lost: Mapping[int, int]
) -> list[tuple[FailureFacts, list[FailureFacts]]]:
    """Return each failure that does not pass on another one, with those that pass it on, in order of their ends.

    Args:
        failures: in order of their ends.
        lost: as `SpanTable.lost`.
    """
    inside: dict[int, list[FailureFacts]] = {}
    beside: dict[tuple[int, tuple[str | None, str | None]], FailureFacts] = {}
    latest: dict[int, deque[FailureFacts]] = {}
    head_of: dict[int, FailureFacts] = {}
    chains: dict[int, tuple[FailureFacts, list[FailureFacts]]] = {}
    for failure in failures:
        same: list[FailureFacts] = []
        if failure.reported:
            origin = beside.get((failure.parent, failure.words)) or _find_reported(
                failure, latest.get(failure.parent, ())
            )
        else:
            same = [
                child
                for child in inside.pop(failure.row, [])
                if failure.words in {child.words, (None, None)} or _names_other(failure, child)
            ]
            origin = _find_origin(failure, same)
            beside[failure.parent, failure.words] = failure
            if failure.category != "cancelled":
                latest.setdefault(failure.parent, deque(maxlen=_BESIDE)).append(failure)
        head = failure if origin is None else head_of[origin.end_number]
        head_of[failure.end_number] = head
        chains.setdefault(head.end_number, (head, []))
        if head is not failure:
            chains[head.end_number][1].append(failure)
        for child in same:
            if child.reported and child is not head and child.end_number in chains:
                del chains[child.end_number]
                head_of[child.end_number] = head
                chains[head.end_number][1].append(child)
        inside.setdefault(lost.get(failure.parent, failure.parent), []).append(failure)
    return [(head, sorted(passed_on)) for _, (head, passed_on) in sorted(chains.items())]


def _find_origin(failure: FailureFacts, same: list[FailureFacts]) -> FailureFacts | None:
    """Return the latest child whose failure a span passes on.

    A report counts only for a span without type and text of its own.
    """
    spans = [child for child in same if not child.reported]
    if not spans and failure.words == (None, None):
        spans = same
    return spans[-1] if spans else None


def _find_reported(report: FailureFacts, beside: Iterable[FailureFacts]) -> FailureFacts | None:
    """Return the latest of some failed spans that a report names in other words."""
    return next((failure for failure in reversed([*beside]) if _names_other(report, failure)), None)


def _names_other(failure: FailureFacts, other: FailureFacts) -> bool:
    return names_failure(failure.error, failure.causes, other.error_type, other.error)


def has_errors(section: Row) -> bool:
    """Return whether spans ended, or failed, or never ended."""
    return section["error_rate"] is not None or bool(section["total_errors"] or section["open_span_count"])


def find_findings(section: Row, sections: Mapping[str, Any], _run: RunAmounts) -> Iterator[Finding]:
    """Yield failures, one for each fingerprint; weaker signs; a bad exit status without a failure; unended spans."""
    severity = section.get("severity") or 0.0
    rows = section.get("failures") or []
    worst = max((row["severity"] for row in rows), default=0.0)
    for group in _group_by_fingerprint(rows):
        first = group[0]
        origin = next(iter(first.get("origins") or ()), None)
        events = [row["number"] for row in group]
        started = ""
        if origin is not None and origin["number"] != first["number"] and origin.get("kind") != "decided":
            events.insert(1, origin["number"])
            started = f"; it began at {origin['number']}: {format_operation(origin)} {origin['reason']}"
        weight = severity * max(row["severity"] for row in group) / worst if worst else 0.0
        times = f" ({len(group)} times)" if len(group) > 1 else ""
        evidence = f"{format_operation(first)} failed{times}{_format_error(first)}{started}"
        yield make_finding("failure", "quality", "errors", weight, evidence, events, f"explain {first['number']}", row=first)  # fmt: skip
    for group in _group_by_fingerprint(section.get("weak_failures") or []):
        first = group[0]
        evidence = f"{format_operation(first)} reports an error and did not fail{_format_error(first)}"
        events = [row["number"] for row in group]
        yield make_finding("claimed_failure", "quality", "errors", first["severity"], evidence, events, f"explain {events[0]}", row=first)  # fmt: skip
    overview = sections.get("execution_overview") or {}
    exit_status = overview.get("exit_status")
    if exit_status and not rows:
        evidence = f"the program ended with status {exit_status}, and no failure was recorded"
        types = sections.get("event_type_breakdown")
        look = "inspect --tree" if types and not types.get("log_record") else "logs"
        yield make_finding("exit_status", "quality", "errors", HALF, evidence, (), look)
    inner = [row for row in section.get("open_spans") or [] if row.get("innermost")]
    if inner and overview.get("outcome") != "running":
        more = f" and {len(inner) - 1} more" if len(inner) > 1 else ""
        evidence = (
            f"{format_operation(inner[0])}{more} never ended: the program was inside it when the trace ended"
        )
        events = [row["number"] for row in inner]
        yield make_finding("never_ended", "stability", "errors", HALF, evidence, events, f"explain {events[0]}", row=inner[0])  # fmt: skip


def _group_by_fingerprint(rows: Iterable[Row]) -> list[list[Row]]:
    """Return the rows of each fingerprint, in the order of the first of them."""
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.get("fingerprint"), []).append(row)
    return list(groups.values())


def _format_error(row: Row) -> str:
    text = " ".join(": ".join(str(row[key]) for key in ("error_type", "error") if row.get(key)).split())
    return f": {short(text, 120)}" if text else ""
