"""Find where the inputs of a call came from: who wrote or returned them, and what was missing when they were written.

These are questions of `causes`; its table explains each kind.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from namel3ss_debug.analysis.failures.steps import Leaf, SpanStep, contains, search_text, searchable_text
from namel3ss_debug.analysis.failures.suspects import (
    MOST,
    FailureView,
    SuspectedCause,
    format_step,
    make_cause,
    reporting_number,
    shorten,
    sort_events,
)
from namel3ss_debug.wire.conversations import diff_messages, is_continuation

_MOST_LLM_DIFFS = 400
_WHOLE = 90_000
_CUT_FROM = 240
_OF_ARGUMENTS = frozenset({"parameter", "malformed_output"})
_UNNAMED = 0.6
"""How well the inputs of a call explain an exception whose kind and text do not point to them.

This is for exceptions only: a call that returned an error as its result has checked its inputs.
"""


def find_argument_sources(view: FailureView) -> Iterator[SuspectedCause]:
    """Yield where the arguments of the call came from."""
    writer, culprit, failed = view.writer, view.culprit, view.failed
    if writer is None:
        yield from _find_sources_without_model(view)
        return
    fit = view.fit * view.sure
    blameless = view.in_code or (not view.info.claimed and view.info.category not in _OF_ARGUMENTS)
    if culprit is None and blameless:
        fit *= _UNNAMED
    shown = culprit.shown if culprit else _format_arguments(view.leaves)
    wrote = f"wrote {shown}" if shown else "asked for this call"
    events = sort_events(writer.end_number, failed.number)
    if culprit is None or not search_text(culprit):
        source = _find_first_writer(view, view.leaves) if culprit is None else None
        if source is not None and source is not writer:
            reason = f"wrote what {format_step(writer)} passed on: {shown}"
            yield make_cause(
                source, "wrote_argument", reason, 0.85 * fit, sort_events(source.end_number, *events), shown
            )
            yield make_cause(writer, "wrote_argument", f"passed on {shown}", 0.5 * fit, events, shown)
        else:
            yield make_cause(writer, "wrote_argument", wrote, 0.8 * fit, events, shown)
        return
    if not view.had_read(culprit):
        invented = view.is_invented(culprit)
        reason = f"{wrote}, which nothing that it had read holds" if invented else wrote
        yield make_cause(writer, "wrote_argument", reason, (0.9 if invented else 0.8) * fit, events, shown)
        return
    yield make_cause(writer, "wrote_argument", f"passed on {shown}", 0.5 * fit, events, shown)
    yield from _find_source(view, writer, culprit, fit)


def _find_source(view: FailureView, writer: SpanStep, culprit: Leaf, fit: float) -> Iterator[SuspectedCause]:
    """Yield the step that first had a value that a model passed on: another model, a call, or none in the trace."""
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
        yield make_cause(
            source, kind, reason, 0.85 * fit, sort_events(source.end_number, *events), culprit.shown
        )
        return
    holders = (step for step in (*earlier, writer) if contains(step.inputs_text, culprit))
    reader = min(holders, key=lambda step: step.number, default=writer)
    reason = f"received {culprit.shown} from outside the run"
    yield make_cause(reader, "given", reason, 0.7 * fit, sort_events(reader.number, *events), culprit.shown)


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
            yield make_cause(source, kind, reason, 0.85 * view.fit * 0.9, events, culprit.shown)
            return
    if view.info.category in {"malformed_output", "model_refusal"}:
        models = [step for step in (*view.inside, *view.ahead) if step.component == "llm" and not step.failed]
        last = max(models, key=lambda step: step.end_number, default=None)
        if last is not None:
            events = sort_events(last.end_number, reporting_number(failed))
            yield make_cause(last, "wrote_argument", "wrote the answer that could not be used", 0.75, events)


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
    for rank, step in enumerate(reversed(empties[-MOST:])):
        related = any(contains(step.inputs_text, leaf) for leaf in traces) or step.parent_id == view.failed.id
        base = 0.95 if invented else 0.6 if view.writer else 0.5
        score = base * view.fit * (1.0 if related else 0.85) * (1 - 0.03 * rank)
        events = sort_events(
            step.end_number, *((view.writer.end_number,) if view.writer else ()), view.failed.number
        )
        yield make_cause(step, "empty_result", "returned nothing, which was used", score, events)


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
    score = 0.95 * max(view.fit, 0.3) * (1.0 if used else 0.6)
    reason = f"wrote an answer that was cut ({step.cut_reason})"
    yield make_cause(
        step, "answer_cut", reason, score, sort_events(step.end_number, reporting_number(view.failed))
    )


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
                yield make_cause(writer, "message_cut", reason, 0.7 * view.fit, events)
                break
    earlier = [
        step
        for step in view.ahead
        if step.component == "llm" and step.number < writer.number and step.parent_id == writer.parent_id
    ]
    if earlier and not is_continuation(writer.start.get("inputs")):
        old, new = _messages(earlier[-1]), _messages(writer)
        if old and new and len(old) + len(new) <= _MOST_LLM_DIFFS:
            lost = [change for change in diff_messages(old, new) if change.kind in {"dropped", "truncated"}]
            if lost:
                reason = f"read a context without {len(lost)} of the messages of the call before"
                events = sort_events(earlier[-1].number, writer.number, view.failed.number)
                yield make_cause(writer, "context_changed", reason, 0.6 * view.fit, events)


def _messages(step: SpanStep) -> list[Any]:
    inputs = step.start.get("inputs")
    messages = inputs.get("messages") if isinstance(inputs, dict) else None
    return messages if isinstance(messages, list) else []
