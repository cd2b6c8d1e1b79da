"""Find where the inputs of a call came from: who wrote or returned them, and what was missing when they were written.

These are questions of `causes`; its table explains each kind.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from namel3ss_debug.analysis.failures.failing_code import list_code_lines
from namel3ss_debug.analysis.failures.reading import find_call_before
from namel3ss_debug.analysis.failures.steps import (
    Leaf,
    SpanStep,
    contains,
    normal,
    search_text,
    searchable_text,
)
from namel3ss_debug.analysis.failures.suspects import (
    MOST,
    STRONG,
    WEAK,
    FailureView,
    SuspectedCause,
    format_step,
    make_cause,
    reporting_number,
    shorten,
    sort_events,
)
from namel3ss_debug.errors import short
from namel3ss_debug.wire.conversations import diff_messages, is_continuation

_MOST_LLM_DIFFS = 400
_WHOLE = 90_000
_CUT_FROM = 240
_SHORTEST_LINE = 12


def find_argument_sources(view: FailureView) -> Iterator[SuspectedCause]:
    """Yield where the arguments of the call came from."""
    writer, culprit, failed = view.writer, view.culprit, view.failed
    if writer is None:
        yield from _find_sources_without_model(view)
        return
    if writer is failed:
        yield from _find_claim_sources(view)
        return
    tier = STRONG if view.of_arguments else WEAK
    shown = culprit.shown if culprit else _format_arguments(view.leaves)
    wrote = f"wrote {shown}" if shown else "asked for this call"
    events = sort_events(writer.end_number, failed.number)
    passed_on = make_cause(writer, "wrote_argument", f"passed on {shown}", events, shown, tier=tier, rank=1)
    if view.wrote_code:
        yield make_cause(writer, "wrote_code", "wrote the code that failed", events, shown, tier=tier)
    elif culprit is None or not search_text(culprit):
        source = _find_first_writer(view, view.leaves) if culprit is None else None
        if source is not None and source is not writer:
            reason = f"wrote what {format_step(writer)} passed on: {shown}"
            yield make_cause(
                source, "wrote_argument", reason, sort_events(source.end_number, *events), shown, tier=tier
            )
            yield passed_on
        else:
            yield make_cause(writer, "wrote_argument", wrote, events, shown, tier=tier)
    elif not view.had_read(culprit):
        reason = f"{wrote}, which nothing that it had read holds" if view.is_invented(culprit) else wrote
        yield make_cause(writer, "wrote_argument", reason, events, shown, tier=tier)
    else:
        yield passed_on
        yield _find_source(view, writer, culprit, tier)


def find_code_authors(view: FailureView) -> Iterator[SuspectedCause]:
    """Yield the model that wrote the line that failed, for an executor that took the code from a text, as that of AutoGen."""
    if view.writer is not None:
        return
    models = [step for step in (*view.ahead, *view.inside) if step.component == "llm"]
    for line in list_code_lines(view.failed):
        text = normal(line)
        authors = [step for step in models if len(text) >= _SHORTEST_LINE and text in step.outputs_text]
        author = max(authors, key=lambda step: step.end_number, default=None)
        if author is not None:
            events = sort_events(author.end_number, reporting_number(view.failed))
            yield make_cause(
                author, "wrote_code", f"wrote the code that failed: {short(line, 80, '...')}", events, line
            )
            return


def _find_claim_sources(view: FailureView) -> Iterator[SuspectedCause]:
    """Yield, for an answer that is marked bad, itself where it made a value up, else where its values came from."""
    answer, culprit = view.failed, view.culprit
    if culprit is not None:
        reason = f"wrote {culprit.shown}, which nothing that it had read holds"
        yield make_cause(answer, "wrote_argument", reason, (answer.end_number,), culprit.shown)
        return
    for leaf in view.leaves[:MOST]:
        source = _find_source(view, answer, leaf, STRONG) if search_text(leaf) else None
        if source is not None and source.kind != "given":  # a value of the user's is no suspect
            yield source


def _find_source(view: FailureView, writer: SpanStep, culprit: Leaf, tier: int) -> SuspectedCause:
    """Return the step that first had a value that a model passed on: another model, a call, or none in the trace."""
    events = sort_events(writer.end_number, view.failed.number)
    earlier = [step for step in view.ahead if step is not writer and step.end_number < writer.number]
    source = next(
        (
            step
            for step in sorted(earlier, key=lambda step: step.end_number)
            if contains(step.outputs_text, culprit)
        ),
        None,
    )
    if source is not None and not contains(source.inputs_text, culprit):
        kind = "wrote_argument" if source.writes else "gave_value"
        reason = f"{'wrote' if source.writes else 'returned'} {culprit.shown}"
        return make_cause(
            source, kind, reason, sort_events(source.end_number, *events), culprit.shown, tier=tier
        )
    holders = (step for step in (*earlier, writer) if contains(step.inputs_text, culprit))
    reader = min(holders, key=lambda step: step.number, default=writer)
    reason = f"received {culprit.shown} from outside the run"
    events = sort_events(reader.number, *events)
    return make_cause(reader, "given", reason, events, culprit.shown, tier=tier)


def _find_sources_without_model(view: FailureView) -> Iterator[SuspectedCause]:
    """Yield, for a call that no model asked for, the source of its value, or the answer just before."""
    failed, culprit = view.failed, view.culprit
    if culprit is not None and search_text(culprit):
        sources = [step for step in view.ahead if contains(step.outputs_text, culprit)]
        source = min(sources, key=lambda step: step.end_number, default=None)
        if source is not None:
            kind = "wrote_argument" if source.writes else "gave_value"
            reason = f"{'wrote' if source.writes else 'returned'} {culprit.shown}"
            events = sort_events(source.end_number, failed.number)
            tier = STRONG if view.of_arguments else WEAK
            yield make_cause(source, kind, reason, events, culprit.shown, tier=tier)
            return
    if view.info.category in {"malformed_output", "model_refusal"}:
        models = [step for step in (*view.inside, *view.ahead) if step.component == "llm" and not step.failed]
        last = max(models, key=lambda step: step.end_number, default=None)
        if last is not None:
            events = sort_events(last.end_number, reporting_number(failed))
            yield make_cause(last, "wrote_argument", "wrote the answer that could not be used", events)


def _format_arguments(leaves: Sequence[Leaf]) -> str | None:
    """Return the first arguments of a call, shortened."""
    return shorten(", ".join(leaf.shown for leaf in leaves[:4]))


def _find_first_writer(view: FailureView, leaves: Sequence[Leaf]) -> SpanStep | None:
    """Return the first model whose outputs hold all arguments of a call."""
    traceable = [leaf for leaf in leaves if search_text(leaf)]
    if not traceable:
        return None
    models = sorted(
        (step for step in view.ahead if step.writes), key=lambda step: (step.end_number, -step.number)
    )
    return next(
        (step for step in models if all(contains(step.outputs_text, leaf) for leaf in traceable)), None
    )


def find_empty_results(view: FailureView) -> Iterator[SuspectedCause]:
    """Yield the calls that returned nothing before the argument was written."""
    reader = view.writer or view.failed
    traces = [leaf for leaf in view.leaves if search_text(leaf)]
    invented = view.writer is not None and view.culprit is not None and not view.may_have_read(view.culprit)
    empties = [step for step in view.ahead if step.end_number < reader.number and step.empty]
    for position, step in enumerate(reversed(empties[-MOST:])):
        related = any(contains(step.inputs_text, leaf) for leaf in traces) or step.parent == view.failed.row
        # Where the value is not made up, its author explains more.
        strong = view.of_arguments and (invented or (related and view.writer is None))
        events = sort_events(
            step.end_number, *((view.writer.end_number,) if view.writer else ()), view.failed.number
        )
        yield make_cause(
            step,
            "empty_result",
            "returned nothing, which was used",
            events,
            tier=STRONG if strong else WEAK,
            rank=position,
        )


def find_cut_answers(view: FailureView) -> Iterator[SuspectedCause]:
    """Yield a model's answer that was cut at the limit of tokens."""
    models = [step for step in (*view.ahead, *view.inside) if step.component == "llm" and step.cut_reason]
    if not models:
        return
    step = max(models, key=lambda step: step.end_number)
    later = any(
        other.component == "llm" and other.number > step.end_number for other in (*view.ahead, *view.inside)
    )
    used = step is view.writer or not later
    tier = STRONG if used and not view.of_callee else WEAK
    reason = f"wrote an answer that was cut ({step.cut_reason})"
    events = sort_events(step.end_number, reporting_number(view.failed))
    yield make_cause(step, "answer_cut", reason, events, tier=tier)


def find_context_losses(view: FailureView) -> Iterator[SuspectedCause]:
    """Yield data that existed, but that the model that wrote the argument did not read."""
    writer = view.writer if view.writer is not None and view.writer.component == "llm" else None
    if writer is None:
        return
    text = writer.inputs_text
    if len(text) < _WHOLE:
        for step in view.ahead:
            returned = (
                step.outputs_text if step.component == "tool" and step.end_number < writer.number else ""
            )
            outputs = step.end.get("outputs")
            result = (
                searchable_text(outputs.get("result")).strip('"')
                if returned and isinstance(outputs, dict)
                else ""
            )
            if len(result) >= _CUT_FROM and result[:80] in text and result[-80:] not in text:
                reason = f"read only the beginning of what {format_step(step)} returned"
                events = sort_events(step.end_number, writer.number, view.failed.number)
                yield make_cause(
                    writer, "message_cut", reason, events, tier=WEAK if view.of_callee else STRONG
                )
                break
    before = None if is_continuation(writer.start.get("inputs")) else find_call_before(writer, view.ahead)
    if before is not None:
        old, new = _messages(before), _messages(writer)
        if old and new and len(old) + len(new) <= _MOST_LLM_DIFFS:
            lost = [change for change in diff_messages(old, new) if change.kind in {"dropped", "truncated"}]
            if lost:
                reason = f"read a context without {len(lost)} of the messages of the call before"
                events = sort_events(before.number, writer.number, view.failed.number)
                yield make_cause(
                    writer, "context_changed", reason, events, tier=STRONG if view.of_arguments else WEAK
                )


def _messages(step: SpanStep) -> list[Any]:
    inputs = step.start.get("inputs")
    messages = inputs.get("messages") if isinstance(inputs, dict) else None
    return messages if isinstance(messages, list) else []
