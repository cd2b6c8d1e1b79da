"""Find the causes of a failure: earlier events that may have caused it, each with a reason, a score and its evidence.

The search looks at the steps before a failure (`steps`) and asks one question after the other; each answer is a cause
with a kind:

| kind | what is looked for | base |
|---|---|---|
| `failed_inside` | a span inside it failed first, with another error 0.9; it is a report of an earlier failure 0.95 | |
| `earlier_failure` | an earlier call failed and was not recovered: its error is in the inputs 0.85, same parent 0.55, else 0.35 | |
| `dependency_failed` | the span depends on one that failed (`depends_on`) | 0.95 |
| `error_result_used` | an earlier call claimed success and returned an error: as above, times the confidence | |
| `wrote_argument` | a model wrote the argument: nothing it had read contains it 0.9, not known 0.8, passed on 0.5 | |
| `gave_value` | a call returned the value that became the argument | 0.85 |
| `given` | the value was in the inputs of the program from the beginning | 0.7 |
| `empty_result` | a call returned nothing, before the model wrote the argument | 0.95 or 0.6 |
| `answer_cut` | the model's answer ended at the limit of tokens before it was used | 0.95 |
| `message_cut` | the model read only the beginning of an earlier result | 0.7 |
| `context_changed` | messages of the call before were dropped from what the model read | 0.6 |
| `slow_call` | of a timeout: a call inside it that took most of the time, by its share; of a deadline also one before it | 0.6 to 0.95 |
| `sibling_failed` | of a cancellation: a call beside it that failed right before | 0.85 |
| `large_result` | of a context overflow: the result that fills most of it, by its share | 0.5 to 0.95 |
| `retries_exhausted` | the first of several attempts, as `itself`, a little above it | |
| `repeated_failure` | the same failure had happened before, and is no cancellation | 0.5 |
| `decided` | of one without a failure inside: the model whose own values later steps used, by how many | 0.4 to 0.7 |
| `itself` | nothing earlier: by category, from 0.85 (network) to 0.35 (parameter) | `OWN` |

A score is the base, times how well such a cause fits the category, times how sure the link is. The fit is in `FIT`: an
argument explains a `parameter` in full, a rate limit hardly. Where the error names the argument's value, the fit is at
least 0.9. An exception of the tool's own code that names no value has 0.6, and as `itself` it counts as one of `tool`.
The link is sure by the id of the call 1, by equal arguments 0.95, by values alone 0.8.

A cause that is a failure itself passes its score on: to itself by `OWN` of its category, and, for the three likeliest,
to its own causes, which are found in the same way, two levels down. A failure inside, or one that it reports, reduces
the score of `itself` by as much as it explains. An event that several questions find has its best score. Scores are for
ranking; they are no probabilities.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from namel3ss_debug.analysis.failures.provenance import (
    find_argument_sources,
    find_context_losses,
    find_cut_answers,
    find_empty_results,
)
from namel3ss_debug.analysis.failures.steps import SpanStep, normal
from namel3ss_debug.analysis.failures.suspects import (
    MARKED,
    MOST,
    FailureInfo,
    FailureView,
    SuspectedCause,
    failed_with,
    get_failure_info,
    make_cause,
    reporting_number,
    shorten,
    sort_events,
)
from namel3ss_debug.analysis.sections.fingerprints import Fingerprints
from namel3ss_debug.wire import lenient

OWN: dict[str, float] = {
    "network": 0.85,
    "timeout": 0.8,
    "dependency": 0.8,
    "rate_limit": 0.8,
    "authentication": 0.8,
    "resource": 0.7,
    "tool": 0.55,
    "cancelled": 0.5,
    "model_refusal": 0.5,
    "logic": 0.5,
    "unknown": 0.5,
    "context_overflow": 0.4,
    "malformed_output": 0.4,
    "parameter": 0.35,
    MARKED: 0.2,
}
"""Category -> the score of a failure that began with itself."""

_OWN_WORDS: dict[str, str] = {
    "network": "could not connect",
    "timeout": "took too long",
    "dependency": "called a service that failed",
    "rate_limit": "was refused because of too many requests",
    "authentication": "was denied access",
    "resource": "lacked a file, disk or memory",
    "cancelled": "was cancelled",
    "model_refusal": "was refused by the model",
    "context_overflow": "sent more than the model can read",
    "malformed_output": "could not use its input",
    "parameter": "did not take what it was given",
    "logic": "has a mistake in its code",
    MARKED: "is marked bad",
}
_LEAST = 0.05
_DEEPEST = 2
_FOLLOWED = 3
_RIGHT_BEFORE = 1.0
"""A failed call may be the cause of a cancelled one beside it if it failed at most this many seconds before."""


def find_origins(failed: SpanStep, info: FailureInfo, before: Sequence[SpanStep]) -> list[SuspectedCause]:
    """Return the likeliest causes of a failure, best first.

    Args:
        failed: the span that failed; for an error that the program reported, a step that ends with that event.
        info: what is known of the failure.
        before: the steps before it, without itself, by number.
    """
    best: dict[int, SuspectedCause] = {}
    for cause in _search(failed, info, before, 0):
        known = best.get(cause.number)
        if cause.score >= _LEAST and (known is None or cause.score > known.score):
            best[cause.number] = cause
    return sorted(best.values(), key=lambda cause: (-cause.score, cause.number))[:MOST]


def _search(
    failed: SpanStep, info: FailureInfo, before: Sequence[SpanStep], depth: int
) -> Iterator[SuspectedCause]:
    """Yield all possible causes of a failure, with scores, and the causes of these causes down to a depth."""
    view = FailureView(failed, info, before)
    causes = [cause for find in _QUESTIONS for cause in find(view)]
    failures = sorted(
        (cause for cause in causes if cause.kind in _FAILURES and cause.number != failed.number),
        key=lambda cause: (-cause.score, cause.number),
    )
    steps = {step.number: step for step in before}
    within = {step.number for step in view.inside} | view.reported
    inside = max((cause.score for cause in failures if cause.number in within), default=0.0)
    for cause in _find_itself(view):
        yield cause._replace(score=cause.score * (1 - inside / 2))
    for cause in causes:
        inner = get_failure_info(steps[cause.number]) if cause.kind in _FAILURES else None
        yield cause._replace(score=cause.score * OWN.get(inner.category, 0.5)) if inner else cause
    if depth < _DEEPEST:
        for cause in failures[:_FOLLOWED]:
            yield from _search_deeper(cause, before, depth)


def _search_deeper(cause: SuspectedCause, before: Sequence[SpanStep], depth: int) -> Iterator[SuspectedCause]:
    """Yield the causes of a cause that is a failure itself."""
    index = next((index for index, step in enumerate(before) if step.number == cause.number), None)
    if index is None:
        return
    step = before[index]
    info = get_failure_info(step)
    if info is not None:
        earlier = [
            other for other in before if other is not step and other.number < (step.end_number or step.number)
        ]
        for deeper in _search(step, info, earlier, depth + 1):
            if deeper.number != step.number:
                events = sort_events(*deeper.events, *cause.events)
                yield deeper._replace(score=deeper.score * cause.score, events=events)


def _find_itself(view: FailureView) -> Iterator[SuspectedCause]:
    """Yield the failure as its own cause: alone, with its attempts, or as a repetition of an earlier one."""
    failed, info = view.failed, view.info
    category = "tool" if view.in_code else info.category
    words = _OWN_WORDS.get(category, "failed, and nothing before it explains why")
    if info.claimed and info.category not in _OWN_WORDS:
        words = "returned an error as its result"
    score = OWN.get(category, OWN["unknown"])
    if len(info.attempts) > 1:
        first = min(info.attempts)
        reason = f"{words}; {len(info.attempts)} attempts failed from here on"
        yield make_cause(
            failed,
            "retries_exhausted",
            reason,
            min(score + 0.05, 1),
            tuple(sorted(info.attempts)),
            number=first,
        )
    yield make_cause(failed, "itself", words, score, (reporting_number(failed),))
    if info.before is not None and info.category != "cancelled":
        yield make_cause(
            failed,
            "repeated_failure",
            "had failed in the same way before",
            0.5,
            (info.before, reporting_number(failed)),
            number=info.before,
        )


def _find_failed_inside(view: FailureView) -> Iterator[SuspectedCause]:
    """Yield the failures inside the span: the first of each call, scored lower where the call succeeded later."""
    groups: dict[tuple[str, str], list[SpanStep]] = {}
    for step in view.inside:
        if step.failed or step.claim is not None:
            groups.setdefault((step.component, step.name), []).append(step)
    for key, steps in sorted(groups.items()):
        last = steps[-1]
        good = view.last_good.get(key, 0) > last.number
        first = steps[0]
        sure = 1.0 if first.failed else first.claim.confidence if first.claim else 0.0
        times = f", the first of {len(steps)} times" if len(steps) > 1 else ""
        kind = "failed_inside" if first.failed else "error_result_used"
        words = (
            f"{failed_with(first)} inside it{times}"
            if first.failed
            else f"returned an error as its result{times}"
        )
        score = (
            0.9 * sure * (0.4 if good else 1.0) * (1.0 if len(steps) > 1 or last is view.inside[-1] else 0.95)
        )
        yield make_cause(first, kind, words, score, tuple(step.end_number for step in steps[:MOST]))


def _find_earlier_failures(view: FailureView) -> Iterator[SuspectedCause]:
    """Yield earlier failures whose outcome it may have read; of equal ones of one call, the first."""
    read = view.failed.inputs_text + (view.writer.inputs_text if view.writer else "")
    own = OWN.get(view.info.category, 0.5)
    seen: set[tuple[str, str, str]] = set()
    for step in view.ahead:
        info = get_failure_info(step)
        if info is None or step.number in view.info.attempts:
            continue
        words = normal(info.error)[:80]
        key = (step.component, step.name, words)
        if key in seen:
            continue
        seen.add(key)
        reported = step.number in view.reported
        needed = step.id is not None and step.id in lenient.sequence(view.failed.get("depends_on"))
        if reported or needed:
            base = 0.95
        elif len(words) >= 8 and words in read:
            base = 0.85
        elif step.parent_id is not None and step.parent_id == view.failed.parent_id:
            base = 0.55
        else:
            base = 0.35
        recovered = view.last_good.get(key[:2], 0) > step.number
        base *= (0.3 if recovered else 1.0) * (0.7 if own >= 0.7 and not (reported or needed) else 1.0)
        kind, reason = (
            ("error_result_used", "returned an error as its result, which was used")
            if info.claimed
            else ("dependency_failed", f"{failed_with(step)}, and this step depends on it")
            if needed
            else ("failed_inside", f"{failed_with(step)}, which is reported here")
            if reported
            else ("earlier_failure", f"{failed_with(step)} before, and the run went on")
        )
        sure = step.claim.confidence if step.claim else 1.0
        yield make_cause(
            step, kind, reason, base * sure, (step.end_number, view.failed.number), shorten(info.error)
        )


def _find_slow_calls(view: FailureView) -> Iterator[SuspectedCause]:
    """Yield the slowest call inside a timeout; for a deadline or a cancellation, also one beside it."""
    shared = view.info.category == "cancelled" or "deadline" in view.info.error.lower()
    if view.info.category != "timeout" and not shared:
        return
    parent, own = view.failed.parent_id, view.failed.duration_ms or 0.0
    beside = [step for step in view.ahead if shared and parent is not None and step.parent_id == parent]
    for steps, whole in ((view.inside, own), (beside, own + sum(step.duration_ms or 0.0 for step in beside))):
        if not steps or not whole:
            continue
        slowest = max(steps, key=lambda step: (step.duration_ms or 0.0, -step.number))
        share = min((slowest.duration_ms or 0.0) / whole, 1.0)
        if share > 0.5:
            reason = f"took {share * 100:.0f} % of the time"
            events = sort_events(slowest.end_number, reporting_number(view.failed))
            yield make_cause(slowest, "slow_call", reason, 0.6 + 0.35 * share, events)


def _find_failed_siblings(view: FailureView) -> Iterator[SuspectedCause]:
    """Yield, for a cancellation, the last call that failed right before its end and was not cancelled."""
    ended = view.failed.end.get("timestamp")
    if view.info.category != "cancelled" or not view.failed.start or ended is None:
        return
    within = {step.number for step in view.inside}
    for step in sorted(view.ended, key=lambda step: -step.end_number):
        at = step.end.get("timestamp")
        if step.end_number < view.failed.number or at is None or ended - at > _RIGHT_BEFORE:
            return
        info = get_failure_info(step) if step.failed and step.number not in within else None
        if info is not None and info.category != "cancelled":
            events = (step.end_number, reporting_number(view.failed))
            yield make_cause(
                step,
                "sibling_failed",
                f"{failed_with(step)} beside it, right before",
                0.85,
                events,
                shorten(info.error),
            )
            return


def _find_large_results(view: FailureView) -> Iterator[SuspectedCause]:
    """Yield, for a context overflow, the largest result that the model was to read."""
    if view.info.category != "context_overflow":
        return
    results = [
        (len(step.outputs_text), step)
        for step in view.ahead
        if step.component not in {"llm", "agent"} and step.outputs_text
    ]
    total = max(len(view.failed.inputs_text), sum(size for size, _ in results))
    if results and total:
        size, largest = max(results, key=lambda item: (item[0], -item[1].number))
        share = size / total
        reason = f"returned {share * 100:.0f} % of the model's input"
        yield make_cause(
            largest,
            "large_result",
            reason,
            0.5 + 0.45 * share,
            sort_events(largest.end_number, view.failed.number),
        )


def _find_decisions(view: FailureView) -> Iterator[SuspectedCause]:
    """Yield, for a span without a failure inside, the models whose own values the later steps used.

    A value belongs to the first span whose outputs have it. A call that used it counts in full, a model that read it
    half.
    """
    models = [step for step in view.inside if step.component == "llm"]
    if not models or any(get_failure_info(step) is not None for step in view.inside):
        return
    keys = Fingerprints()
    known = set(keys.find_keys(view.failed.start.get("inputs"), 512))
    holders = {step.parent_id for step in view.inside}
    read = [
        (step, set(keys.find_keys(step.start.get("inputs"), 512)))
        for step in view.inside
        if step.id not in holders
    ]
    for step in models:
        own = set(keys.find_keys(step.end.get("outputs"), 256)) - known
        known |= own
        users = [other for other, values in read if other.number > step.end_number and own & values]
        if not users:
            continue
        weight = sum(0.5 if other.writes else 1.0 for other in users)
        events = sort_events(step.end_number, *(other.number for other in users[:MOST]))
        reason = f"wrote what {len(users)} of the later steps used"
        yield make_cause(step, "decided", reason, 0.4 + 0.3 * weight / (weight + 1), events)


_QUESTIONS: tuple[Callable[[FailureView], Iterator[SuspectedCause]], ...] = (
    _find_failed_inside,
    _find_earlier_failures,
    find_argument_sources,
    find_empty_results,
    find_cut_answers,
    find_context_losses,
    _find_slow_calls,
    _find_failed_siblings,
    _find_large_results,
    _find_decisions,
)
_FAILURES = frozenset({"failed_inside", "dependency_failed", "earlier_failure", "error_result_used"})
