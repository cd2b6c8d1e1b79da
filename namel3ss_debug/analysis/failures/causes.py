"""Find the causes of a failure: earlier events that may have caused it, each a named signal with its evidence.

The search looks at the steps before a failure (`steps`) and asks one question after the other; each answer is a cause
with a kind:

| kind | the signal, with its evidence |
|---|---|
| `dependency_failed` | the span depends on one that failed (`depends_on`) |
| `failed_inside` | a span inside it failed first, with another error; or it is a report of an earlier failure |
| `sibling_failed` | of a cancellation: a call beside it that failed right before |
| `answer_cut` | the model's answer ended at the limit of tokens before it was used |
| `slow_call` | of a timeout: a call inside it that took most of the time; of a deadline also one before it |
| `large_result` | of a context overflow: the result that fills most of it |
| `empty_result` | a call returned nothing, before the model made the argument up |
| `added_argument` | the error names a value that the program added to what the model wrote |
| `gave_value` | a call returned the value that became the argument |
| `given` | the value was in the inputs of the program from the beginning |
| `wrote_code` | a model wrote the code that the call ran |
| `wrote_argument` | a model wrote the argument, or passed it on |
| `message_cut` | the model read only the beginning of an earlier result |
| `context_changed` | messages of the call before were dropped from what the model read |
| `error_result_used` | a call inside it or before it claimed success and returned an error; its text is in the inputs |
| `earlier_failure` | an earlier call failed and was not recovered: its error is in the inputs |
| `repeated_call` | of a limit of steps: a call that was made again and again with the same result |
| `last_inside` | of an exception outside of all calls: what the error quotes, or the last results and answer inside |
| `decided` | of one without a failure inside: the model whose own values later calls used |
| `retries_exhausted` | the first of several attempts |
| `itself` | the failure itself |
| `repeated_failure` | the same failure had happened before, and is no cancellation |

The table is in the order of strength, the strongest first (`SIGNALS`). A signal is weak, and ranks after `itself`, where the
link is not shown or does not fit: inputs do not explain that a service could not be reached (`OF_CALLEES`), nor an exception
that names none of their values; a failure that was recovered, or whose
error the failed call did not read, need not matter.

A cause that is a failure itself is searched in the same way, two levels down; its causes rank in its place, before itself
(`strength`). An event that several questions find has its strongest signal.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from namel3ss_debug.analysis.failures.provenance import (
    find_argument_sources,
    find_code_authors,
    find_context_losses,
    find_cut_answers,
    find_empty_results,
)
from namel3ss_debug.analysis.failures.steps import SpanStep, iter_leaves, normal, read_json, searchable_text
from namel3ss_debug.analysis.failures.suspects import (
    MARKED,
    MOST,
    OWN,
    STRONG,
    WEAK,
    FailureInfo,
    FailureView,
    SuspectedCause,
    error_type_of,
    failed_with,
    get_failure_info,
    make_cause,
    reporting_number,
    shorten,
    sort_events,
)
from namel3ss_debug.analysis.sections.fingerprints import Fingerprints
from namel3ss_debug.errors import short
from namel3ss_debug.traces.span_table import AT_TOP
from namel3ss_debug.wire import lenient

_OWN_WORDS: dict[str, str] = {
    "network": "could not connect",
    "timeout": "took too long",
    "dependency": "called a service that failed",
    "rate_limit": "was refused because of too many requests",
    "authentication": "was denied access",
    "resource": "lacked a file, disk or memory",
    "step_limit": "reached its limit",
    "cancelled": "was cancelled",
    "model_refusal": "was refused by the model",
    "context_overflow": "sent more than the model can read",
    "malformed_output": "could not use its input",
    "parameter": "did not take what it was given",
    "logic": "has a mistake in its code",
    MARKED: "is marked bad",
}
_REPEATED = 3
_CALLS = frozenset({"llm", "tool", "command", "http"})
_NOT_OF_VALUES = frozenset(
    {"cancelled", "step_limit", "context_overflow", "resource", "model_refusal", MARKED}
)
_OF_VALUES = frozenset({"malformed_output", "parameter", "logic"})
_OF_TEXT = re.compile(r"pars(e|ing)|syntax|decod|format|literal", re.IGNORECASE)
_QUOTED = re.compile(r"['\"`]([^'\"`\n]{3,80})['\"`]")
_DEEPEST = 2
_FOLLOWED = 3
_RIGHT_BEFORE = 1.0
"""A failed call may be the cause of a cancelled one beside it if it failed at most this many seconds before."""


def find_origins(failed: SpanStep, info: FailureInfo, before: Sequence[SpanStep]) -> list[SuspectedCause]:
    """Return the suspected causes of a failure, the strongest signal first.

    Args:
        failed: the span that failed; for an error that the program reported, a step that ends with that event.
        info: what is known of the failure.
        before: the steps before it, without itself, by number.
    """
    best: dict[int, SuspectedCause] = {}
    for cause in _search(failed, info, before, 0):
        known = best.get(cause.number)
        if known is None or cause.strength < known.strength:
            best[cause.number] = cause
    return sorted(best.values(), key=_rank)[:MOST]


def _rank(cause: SuspectedCause) -> tuple[tuple[float, ...], int]:
    return cause.strength, cause.number


def _search(
    failed: SpanStep, info: FailureInfo, before: Sequence[SpanStep], depth: int
) -> Iterator[SuspectedCause]:
    """Yield all possible causes of a failure, and the causes of these causes down to a depth."""
    view = FailureView(failed, info, before)
    yield from _find_itself(view)
    causes = [cause for find in _QUESTIONS for cause in find(view)]
    failures = [cause for cause in causes if cause.kind in _FAILURES and cause.number != failed.number]
    yield from (cause for cause in causes if cause.kind not in _FAILURES)
    # A failure has its place among its own causes.
    yield from (cause._replace(strength=(*cause.strength, OWN)) for cause in failures)
    if depth < _DEEPEST:
        for cause in sorted(failures, key=_rank)[:_FOLLOWED]:
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
                yield deeper._replace(strength=cause.strength + deeper.strength, events=events)


def _find_itself(view: FailureView) -> Iterator[SuspectedCause]:
    """Yield the failure as its own cause: alone, with its attempts, or as a repetition of an earlier one."""
    failed, info = view.failed, view.info
    category = "tool" if view.in_code else info.category
    words = _OWN_WORDS.get(category, "failed, and nothing before it explains why")
    if info.claimed and info.category not in _OWN_WORDS:
        words = "returned an error as its result"
    if len(info.attempts) > 1:
        first = min(info.attempts)
        reason = f"{words}; {len(info.attempts)} attempts failed from here on"
        yield make_cause(
            failed,
            "retries_exhausted",
            reason,
            tuple(sorted(info.attempts)),
            tier=OWN,
            number=first,
        )
    yield make_cause(failed, "itself", words, (reporting_number(failed),), tier=OWN)
    if view.named_added is not None:
        shown = view.named_added.shown
        reason = f"got {shown} from the program, not from the model, and the error names it"
        yield make_cause(failed, "added_argument", reason, (reporting_number(failed),), shown)
    if info.before is not None and info.category != "cancelled":
        yield make_cause(
            failed,
            "repeated_failure",
            "had failed in the same way before",
            (info.before, reporting_number(failed)),
            tier=WEAK,
            number=info.before,
        )


def _find_failed_inside(view: FailureView) -> Iterator[SuspectedCause]:
    """Yield the failures inside the span: the first of each call, a weak signal where the call succeeded later."""
    groups: dict[tuple[str, str], list[SpanStep]] = {}
    for step in view.inside:
        if step.failed or step.claim is not None:
            groups.setdefault((step.component, step.name), []).append(step)
    for key, steps in sorted(groups.items()):
        last = steps[-1]
        good = view.last_good.get(key, 0) > last.number
        first = steps[0]
        times = f", the first of {len(steps)} times" if len(steps) > 1 else ""
        kind = "failed_inside" if first.failed else "error_result_used"
        words = (
            f"{failed_with(first)} inside it{times}"
            if first.failed
            else f"returned an error as its result{times}"
        )
        # A failure that nothing follows, and one that came again, is closer than one that the run went on from.
        rank = 0 if len(steps) > 1 or last is view.inside[-1] else 1
        events = tuple(step.end_number for step in steps[:MOST])
        yield make_cause(first, kind, words, events, tier=WEAK if good else STRONG, rank=rank)


def _find_earlier_failures(view: FailureView) -> Iterator[SuspectedCause]:
    """Yield earlier failures whose outcome it may have read; of equal ones of one call, the first."""
    read = view.failed.inputs_text + (view.writer.inputs_text if view.writer else "")
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
        has_read = len(words) >= 8 and words in read
        beside = step.parent != AT_TOP and step.parent == view.failed.parent
        recovered = view.last_good.get(key[:2], 0) > step.number
        if recovered and not (reported or needed or has_read or beside):
            continue
        strong = reported or needed or (has_read and not recovered and not view.of_callee)
        kind, reason = (
            ("error_result_used", "returned an error as its result, which was used")
            if info.claimed
            else ("dependency_failed", f"{failed_with(step)}, and this step depends on it")
            if needed
            else ("failed_inside", f"{failed_with(step)}, which is reported here")
            if reported
            else ("earlier_failure", f"raised {_format_error(step)}, which was read")
            if has_read
            else ("earlier_failure", f"{failed_with(step)} before, and the run went on")
        )
        # Within a tier, what the failed call read ranks before what ran beside it, and that before the others.
        rank = 0 if reported or needed or has_read else 1 if beside else 2
        events = (step.end_number, view.failed.number)
        tier = STRONG if strong else WEAK
        yield make_cause(step, kind, reason, events, shorten(info.error), tier=tier, rank=rank)


def _format_error(step: SpanStep) -> str:
    return short(
        ": ".join(filter(None, (error_type_of(step), lenient.string(step.end.get("error"))))), 120, "..."
    )


def _find_slow_calls(view: FailureView) -> Iterator[SuspectedCause]:
    """Yield the slowest call inside a timeout; for a deadline or a cancellation, also one beside it."""
    shared = view.info.category == "cancelled" or "deadline" in view.info.error.lower()
    if view.info.category != "timeout" and not shared:
        return
    parent, own = view.failed.parent, view.failed.duration_ms or 0.0
    beside = [step for step in view.ahead if shared and parent != AT_TOP and step.parent == parent]
    for steps, whole in ((view.inside, own), (beside, own + sum(step.duration_ms or 0.0 for step in beside))):
        if not steps or not whole:
            continue
        slowest = max(steps, key=lambda step: (step.duration_ms or 0.0, -step.number))
        share = min((slowest.duration_ms or 0.0) / whole, 1.0)
        if share > 0.5:
            reason = f"took {share * 100:.0f} % of the time"
            events = sort_events(slowest.end_number, reporting_number(view.failed))
            yield make_cause(slowest, "slow_call", reason, events, rank=-share)


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
            sort_events(largest.end_number, view.failed.number),
        )


def _find_repetitions(view: FailureView) -> Iterator[SuspectedCause]:
    """Yield, for a limit of steps, the calls that were made at least three times with equal arguments and results."""
    if view.info.category != "step_limit":
        return
    groups: dict[tuple[str, str, str, str], list[SpanStep]] = {}
    for step in view.inside:
        if step.component == "tool":
            key = (
                step.name,
                searchable_text(step.arguments),
                step.outputs_text,
                normal(str(step.end.get("error") or "")),
            )
            groups.setdefault(key, []).append(step)
    for steps in groups.values():
        if len(steps) >= _REPEATED:
            reason = f"was called {len(steps)} times with equal arguments and the same result"
            events = tuple(step.end_number for step in steps[:MOST])
            yield make_cause(steps[0], "repeated_call", reason, events, rank=-len(steps))


def _find_last_inside(view: FailureView) -> Iterator[SuspectedCause]:
    """Yield, for an exception of the code around some calls, the result that it quotes; else the last results and answer.

    The code between calls is not recorded, but it worked on what these returned. This is strong where the error is about a
    value or a text, or where there is only one answer that it can be about. A span that failed without an exception, as one
    that was judged, had no such code.
    """
    category = view.info.category
    if (
        view.of_callee
        or view.info.claimed
        or category in _NOT_OF_VALUES
        or any(step.failed for step in view.inside)
    ):
        return
    calls = [step for step in view.inside if step.component in _CALLS]
    reporting = reporting_number(view.failed)
    for quoted in dict.fromkeys(_QUOTED.findall(view.info.error)):
        source = next(
            (step for step in sorted(calls, key=_by_end) if normal(quoted) in step.outputs_text), None
        )
        if source is not None:
            reason = f"{'wrote' if source.writes else 'returned'} {_find_quoted(source, quoted)}, which the error quotes"
            yield make_cause(source, "last_inside", reason, (source.end_number, reporting), quoted, rank=-1)
    answers = [step for step in calls if step.component == "llm"]
    last = max(answers, key=_by_end, default=None)
    strong = (
        category in _OF_VALUES
        or _OF_TEXT.search(view.info.error) is not None
        or len(calls) == len(answers) == 1
    )
    if not strong and not view.failed.end.get("stack_trace"):
        return
    tier = STRONG if strong else WEAK
    results = [
        step for step in calls if step.component != "llm" and (last is None or step.number > last.end_number)
    ]
    for rank, step in enumerate(sorted(results, key=_by_end, reverse=True)[:MOST]):
        reason = f"returned {_format_result(step)} before it failed"
        yield make_cause(step, "last_inside", reason, (step.end_number, reporting), tier=tier, rank=rank)
    if last is not None and not results:
        reason = "wrote the last answer before it failed"
        yield make_cause(last, "last_inside", reason, (last.end_number, reporting), tier=tier)


def _by_end(step: SpanStep) -> int:
    return step.end_number


def _find_quoted(step: SpanStep, quoted: str) -> str:
    """Return the value in the outputs of a step that holds a text, with its name."""
    leaves = iter_leaves(
        read_json(lenient.mapping(step.end.get("outputs")).get("result", step.end.get("outputs")))
    )
    return next((leaf.shown for leaf in leaves if quoted in str(leaf.value)), repr(quoted))


def _format_result(step: SpanStep) -> str:
    return short(repr(lenient.mapping(step.end.get("outputs")).get("result")), 80, "...")


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
    holders = {step.parent for step in view.inside}
    read = [
        (step, set(keys.find_keys(step.start.get("inputs"), 512)))
        for step in view.inside
        if step.row not in holders
    ]
    for step in models:
        own = set(keys.find_keys(step.end.get("outputs"), 256)) - known
        known |= own
        users = [other for other, values in read if other.number > step.end_number and own & values]
        if not users:
            continue
        acted_on = sum(1 if other.writes else 2 for other in users)
        events = sort_events(step.end_number, *(other.number for other in users[:MOST]))
        reason = f"wrote what {len(users)} of the later steps used"
        tier = WEAK if view.of_callee or acted_on == 1 else STRONG
        yield make_cause(step, "decided", reason, events, tier=tier, rank=-acted_on)


_QUESTIONS: tuple[Callable[[FailureView], Iterator[SuspectedCause]], ...] = (
    _find_failed_inside,
    _find_earlier_failures,
    find_code_authors,
    find_argument_sources,
    find_empty_results,
    find_cut_answers,
    find_context_losses,
    _find_slow_calls,
    _find_failed_siblings,
    _find_large_results,
    _find_repetitions,
    _find_last_inside,
    _find_decisions,
)
_FAILURES = frozenset({"failed_inside", "dependency_failed", "earlier_failure", "error_result_used"})
