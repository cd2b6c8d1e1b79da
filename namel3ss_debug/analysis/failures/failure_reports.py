"""Report each failure of a run: how severe it is, when it happened, where it began, what it cost, what helps."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from namel3ss_debug.analysis.distributions import milliseconds
from namel3ss_debug.analysis.failures.failure_fingerprints import compute_fingerprint
from namel3ss_debug.analysis.failures.resolutions import resolution
from namel3ss_debug.analysis.failures.severity import run_severity, severity
from namel3ss_debug.analysis.failures.suspects import FailureInfo
from namel3ss_debug.analysis.sections.usage import dollars
from namel3ss_debug.analysis.totals import LISTED
from namel3ss_debug.traces.facts import instant
from namel3ss_debug.traces.span_table import AT_TOP

if TYPE_CHECKING:
    from namel3ss_debug.analysis.failures.origins import FailureWindows
    from namel3ss_debug.analysis.failures.weak_failures import WeakFailure, WeakFailures
    from namel3ss_debug.traces.span_table import SpanTable


class FailureFacts(NamedTuple):
    """One span that failed, or one error that the program reported, which has the row of the span around it."""

    end_number: int
    number: int
    reported: bool
    row: int
    parent: int
    id: str | None
    attempt_of: str | None
    component: str
    name: str
    error_type: str | None
    error: str | None
    status: str | None
    category: str
    call_site: str | None
    http_status: int | None
    at: int | None
    duration_ns: int | None
    causes: tuple[str, ...]
    needs: tuple[str, ...] = ()

    @property
    def words(self) -> tuple[str | None, str | None]:
        """Return the error type and text, by which two failures are the same."""
        return self.error_type, self.error


Chain = tuple[FailureFacts, list[FailureFacts]]
"""A failure, and the spans and reports that passed it on."""

_HOLDERS = frozenset({"agent", "chain", "app"})
_DEEPEST = 1_000


class RunContext(NamedTuple):
    """The data of the run that reports need.

    Attributes:
        near: the events before the failures.
        spans: the table of spans.
        share_failed: the share of the spans that failed.
        spending: the result of `sum_spending`.
    """

    near: FailureWindows
    spans: SpanTable
    share_failed: float
    spending: list[tuple[int, int, int]]


class FailureReport(NamedTuple):
    """The parts of the section `errors` that this module makes."""

    severity: float
    first_failure_ms: float | None
    failures: list[dict[str, Any]]
    dependency_failures: list[dict[str, Any]]
    weak_errors: int
    weak_failures: list[dict[str, Any]]


def make_report(
    chains: Sequence[Chain], attempts: Mapping[str, list[int]], weak: WeakFailures, run: RunContext
) -> FailureReport:
    """Report the failures of a run.

    Args:
        chains: the failures in order, each with those that passed it on.
        attempts: the id of a call -> the numbers of its attempts that failed.
        weak: the weak failures.
        run: the data of the run.
    """
    fingerprints = [_compute_fingerprint(failure) for failure, _ in chains]
    remaining_counts = Counter(fingerprints)
    first: dict[str, int] = {}
    at_top: list[float] = []
    others: list[float] = []
    rows: list[dict[str, Any]] = []
    for (failure, passed_on), fingerprint in zip(chains, fingerprints, strict=True):
        remaining_counts[fingerprint] -= 1
        failure_severity, top = _severity_of(failure, passed_on, run)
        (at_top if top else others).append(failure_severity)
        if len(rows) < LISTED:
            tried = attempts.get(failure.attempt_of, [failure.number]) if failure.attempt_of else []
            rows.append(_failure_to_json(failure, passed_on, tried))
            rows[-1] |= _report_details(
                failure,
                passed_on,
                tried,
                run,
                fingerprint,
                first.get(fingerprint),
                remaining_counts[fingerprint],
                failure_severity,
            )
        first.setdefault(fingerprint, failure.number)
    texts = [(failure.number, failure.error or "") for failure, _ in chains]
    weak_failures = weak.remaining(texts)
    weak_rows = [_weak_to_json(weak_failure, run) for weak_failure in weak_failures[:LISTED]]
    others += [row["severity"] for row in weak_rows]
    moments = [failure.at for failure, _ in chains if failure.at is not None]
    return FailureReport(
        run_severity(at_top, others, run.share_failed),
        _ms_since_begin(min(moments, default=None), run),
        rows,
        _count_dependents(rows, chains),
        len(weak_failures) + weak.more,
        weak_rows,
    )


def _count_dependents(rows: list[dict[str, Any]], chains: Sequence[Chain]) -> list[dict[str, Any]]:
    """Return each failure whose span depends on one that failed; count them in the impact of what they needed.

    `impact.dependents_failed` counts those that need a failure themselves or through others.
    """
    chain_of = {
        failed.id: index
        for index, (first, rest) in enumerate(chains)
        for failed in (first, *rest)
        if failed.id
    }
    needed_by: dict[int, set[int]] = {}
    found: list[dict[str, Any]] = []
    for index, (failure, passed_on) in enumerate(chains):
        needs = {chain_of[key] for failed in (failure, *passed_on) for key in failed.needs if key in chain_of}
        needs.discard(index)
        for needed in needs:
            needed_by.setdefault(needed, set()).add(index)
        if needs and len(found) < LISTED:
            found.append(
                {
                    "number": failure.number,
                    "component": failure.component,
                    "component_name": failure.name or None,
                    "needs": sorted(chains[needed][0].number for needed in needs),
                }
            )
    for index, row in enumerate(rows):
        reached: set[int] = set()
        waiting = [index]
        while waiting and len(reached) < _DEEPEST:
            new = needed_by.get(waiting.pop(), set()) - reached
            reached |= new
            waiting += new
        row["impact"]["dependents_failed"] = len(reached - {index})
    return found


def _compute_fingerprint(failure: FailureFacts) -> str:
    return compute_fingerprint(
        failure.component,
        failure.name,
        failure.category,
        failure.error_type,
        failure.error,
        failure.call_site,
    )


def _failure_to_json(
    failure: FailureFacts, passed_on: list[FailureFacts], attempts: list[int]
) -> dict[str, Any]:
    """Return the row of a failure, with the spans that passed it on."""
    return {
        "number": failure.number,
        "end_number": failure.end_number,
        "component": failure.component,
        "component_name": failure.name or None,
        "category": failure.category,
        "error_type": failure.error_type,
        "error": failure.error,
        "status": failure.status,
        "http_status": failure.http_status,
        "call_site": failure.call_site,
        "attempts": attempts,
        "propagated_to": [other.number for other in passed_on],
    }


def _severity_of(failure: FailureFacts, passed_on: list[FailureFacts], run: RunContext) -> tuple[float, bool]:
    """Return how severe a failure is, and whether it reached the top."""
    outermost = passed_on[-1] if passed_on else failure
    contains = outermost.component in _HOLDERS or outermost.reported or bool(passed_on)
    parent = outermost.parent
    top = contains if parent == AT_TOP else parent >= 0 and not run.spans.end[parent]
    return severity(failure.category, passed_on=bool(passed_on), at_top=top), top


def _report_details(
    failure: FailureFacts,
    passed_on: list[FailureFacts],
    attempts: list[int],
    run: RunContext,
    fingerprint: str,
    first_number: int | None,
    repeated: int,
    failure_severity: float,
) -> dict[str, Any]:
    """Return the part of a row that needs the whole run: the origins of the failure, its impact, what helps."""
    info = FailureInfo(failure.category, failure.error or "", attempts, first_number)
    origins = run.near.find_origins(run.spans, failure.row, failure.end_number, info)
    return {
        "duration_ms": None if failure.duration_ns is None else milliseconds(failure.duration_ns),
        "after_ms": _ms_since_begin(failure.at, run),
        "severity": failure_severity,
        "fingerprint": fingerprint,
        "origins": None if origins is None else [cause.to_json() for cause in origins],
        "impact": {
            "spans_failed": 1 + sum(not other.reported for other in passed_on) - failure.reported,
            "open_spans": _open_around(passed_on[-1] if passed_on else failure, run),
            "attempts": len(attempts),
            "repeated": repeated,
            **_spending_after(failure.end_number, failure.at, run),
        },
        "resolution": resolution(failure.category, failure.component, origins or ()),
    }


def _open_around(failure: FailureFacts, run: RunContext) -> int:
    """Return how many spans around a failure never ended."""
    count, row = 0, failure.parent
    while row >= 0 and not run.spans.end[row]:
        count, row = count + 1, run.spans.parent[row]
    return count


def _spending_after(end_number: int, at: int | None, run: RunContext) -> dict[str, Any]:
    """Return the time, and the tokens and cost of model calls, that the run spent after a failure."""
    known, last = run.near.has_window(end_number), run.spans.last_at
    later = bisect_left(run.spending, (end_number,))
    tokens, cost = run.spending[later][1:] if later < len(run.spending) else (0, 0)
    return {
        "time_after_ms": None if at is None or last is None else milliseconds(max(last - at, 0)),
        "tokens_after": tokens if known else None,
        "cost_after": dollars(cost) if known else None,
    }


def sum_spending(spans: SpanTable) -> list[tuple[int, int, int]]:
    """Return the ends of model calls in order, each with the tokens and the cost of it and of all later ones."""
    tokens = cost = 0
    spending = []
    for row in sorted(
        (row for row in spans.of("llm") if spans.end[row]), key=spans.end.__getitem__, reverse=True
    ):
        tokens += spans.tokens[row]
        cost += max(spans.cost[row], 0)
        spending.append((spans.end[row], tokens, cost))
    return spending[::-1]


def _ms_since_begin(at: int | None, run: RunContext) -> float | None:
    first = run.spans.first_at
    return None if at is None or first is None else milliseconds(max(at - first, 0))


def _weak_to_json(weak: WeakFailure, run: RunContext) -> dict[str, Any]:
    """Return a weak failure as JSON."""
    at = instant(weak.at)
    info = FailureInfo(weak.category, weak.error, claimed=True)
    origins = run.near.find_origins(run.spans, weak.row, weak.number, info)
    return {
        "number": weak.began,
        "end_number": weak.number,
        "weak": True,
        "confidence": weak.confidence,
        "source": weak.source,
        "path": weak.path,
        "component": weak.component,
        "component_name": weak.name or None,
        "category": weak.category,
        "error_type": weak.error_type,
        "error": weak.error or None,
        "http_status": weak.http_status,
        "call_site": weak.call_site,
        "after_ms": _ms_since_begin(at, run),
        "severity": severity(weak.category, passed_on=False, at_top=False, confidence=weak.confidence),
        "fingerprint": compute_fingerprint(
            weak.component, weak.name, weak.category, weak.error_type, weak.error, weak.call_site
        ),
        "origins": None if origins is None else [cause.to_json() for cause in origins],
        "impact": _spending_after(weak.number, at, run),
        "resolution": resolution(weak.category, weak.component, origins or ()),
    }
