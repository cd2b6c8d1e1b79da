"""Where the inputs of a call came from: who wrote them, who returned them, and what was missing when they were written.

These are questions of `causes`; its table says what each kind means.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from namel3ss_debug.analysis.failures.steps import Leaf, Step, blob, holds, trace_of
from namel3ss_debug.analysis.failures.suspects import (
    MOST,
    Cause,
    View,
    beginning,
    cause_of,
    events_of,
    until,
    who,
)
from namel3ss_debug.wire.conversations import diff_messages, goes_on

_MOST_LLM_DIFFS = 400
_WHOLE = 90_000
_CUT_FROM = 240
_OF_ARGUMENTS = frozenset({"parameter", "malformed_output"})
_UNNAMED = 0.6
"""How well the inputs of a call explain an exception whose kind and words do not point to them.

This is for exceptions only: a call that returned an error as its result has checked its inputs.
"""


def arguments(view: View) -> Iterator[Cause]:
    """Yield where the arguments of the call came from."""
    writer, culprit, failed = view.writer, view.culprit, view.failed
    if writer is None:
        yield from _unwritten(view)
        return
    fit = view.fit * view.sure
    blameless = view.in_code or (not view.told.claimed and view.told.category not in _OF_ARGUMENTS)
    if culprit is None and blameless:
        fit *= _UNNAMED
    shown = culprit.shown if culprit else _all_of(view.leaves)
    wrote = f"wrote {shown}" if shown else "asked for this call"
    events = events_of(writer.end_number, failed.number)
    if culprit is None or not trace_of(culprit):
        source = _first_to_give(view, view.leaves) if culprit is None else None
        if source is not None and source is not writer:
            reason = f"wrote what {who(writer)} passed on: {shown}"
            yield cause_of(
                source, "wrote_argument", reason, 0.85 * fit, events_of(source.end_number, *events), shown
            )
            yield cause_of(writer, "wrote_argument", f"passed on {shown}", 0.5 * fit, events, shown)
        else:
            yield cause_of(writer, "wrote_argument", wrote, 0.8 * fit, events, shown)
        return
    if not view.had_read(culprit):
        invented = view.invented(culprit)
        reason = f"{wrote}, which nothing that it had read holds" if invented else wrote
        yield cause_of(writer, "wrote_argument", reason, (0.9 if invented else 0.8) * fit, events, shown)
        return
    yield cause_of(writer, "wrote_argument", f"passed on {shown}", 0.5 * fit, events, shown)
    yield from _source(view, writer, culprit, fit)


def _source(view: View, writer: Step, culprit: Leaf, fit: float) -> Iterator[Cause]:
    """Yield the step that first gave a value that a model passed on: another model, a call, or none in the recording."""
    events = events_of(writer.end_number, view.failed.number)
    earlier = [step for step in view.ahead if step is not writer and step.end_number < writer.number]
    source = next(
        (step for step in sorted(earlier, key=lambda step: step.end_number) if holds(step.given, culprit)),
        None,
    )
    if source is not None and not holds(source.taken, culprit):
        kind = "wrote_argument" if source.writes else "gave_value"
        reason = f"{'wrote' if source.writes else 'returned'} {culprit.shown}"
        yield cause_of(source, kind, reason, 0.85 * fit, events_of(source.end_number, *events), culprit.shown)
        return
    holders = (step for step in (*earlier, writer) if holds(step.taken, culprit))
    reader = min(holders, key=lambda step: step.number, default=writer)
    reason = f"was given {culprit.shown} from outside"
    yield cause_of(reader, "given", reason, 0.7 * fit, events_of(reader.number, *events), culprit.shown)


def _unwritten(view: View) -> Iterator[Cause]:
    """For a call that no model asked for: the step that gave the value, or the answer just before."""
    failed, culprit = view.failed, view.culprit
    if culprit is not None and trace_of(culprit):
        givers = [step for step in view.ahead if holds(step.given, culprit)]
        giver = min(givers, key=lambda step: step.end_number, default=None)
        if giver is not None:
            kind = "wrote_argument" if giver.writes else "gave_value"
            reason = f"{'wrote' if giver.writes else 'returned'} {culprit.shown}"
            events = events_of(giver.end_number, failed.number)
            yield cause_of(giver, kind, reason, 0.85 * view.fit * 0.9, events, culprit.shown)
            return
    if view.told.category in {"malformed_output", "model_refusal"}:
        models = [step for step in (*view.inside, *view.ahead) if step.component == "llm" and not step.failed]
        last = max(models, key=lambda step: step.end_number, default=None)
        if last is not None:
            events = events_of(last.end_number, until(failed))
            yield cause_of(last, "wrote_argument", "wrote the answer that could not be used", 0.75, events)


def _all_of(found: Sequence[Leaf]) -> str | None:
    """Return the first arguments of a call, shortened."""
    return beginning(", ".join(leaf.shown for leaf in found[:4]))


def _first_to_give(view: View, found: Sequence[Leaf]) -> Step | None:
    """Return the first model whose outputs hold all arguments of a call."""
    told = [leaf for leaf in found if trace_of(leaf)]
    if not told:
        return None
    models = sorted(
        (step for step in view.ahead if step.writes), key=lambda step: (step.end_number, -step.number)
    )
    return next((step for step in models if all(holds(step.given, leaf) for leaf in told)), None)


def empty_results(view: View) -> Iterator[Cause]:
    """Calls that returned nothing before the argument was written."""
    reader = view.writer or view.failed
    traces = [leaf for leaf in view.leaves if trace_of(leaf)]
    invented = view.writer is not None and view.culprit is not None and not view.may_have_read(view.culprit)
    empties = [step for step in view.ahead if step.end_number < reader.number and step.empty]
    for rank, step in enumerate(reversed(empties[-MOST:])):
        related = any(holds(step.taken, leaf) for leaf in traces) or step.parent_id == view.failed.id
        base = 0.95 if invented else 0.6 if view.writer else 0.5
        score = base * view.fit * (1.0 if related else 0.85) * (1 - 0.03 * rank)
        events = events_of(
            step.end_number, *((view.writer.end_number,) if view.writer else ()), view.failed.number
        )
        yield cause_of(step, "empty_result", "returned nothing, which was used", score, events)


def cut_answers(view: View) -> Iterator[Cause]:
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
    yield cause_of(step, "answer_cut", reason, score, events_of(step.end_number, until(view.failed)))


def contexts(view: View) -> Iterator[Cause]:
    """Data that existed but that the model that wrote the argument was not given."""
    writer = view.writer if view.writer is not None and view.writer.component == "llm" else None
    if writer is None:
        return
    text = writer.taken
    if len(text) < _WHOLE:
        for step in view.ahead:
            given = step.given if step.component == "tool" and step.end_number < writer.number else ""
            outputs = step.end.get("outputs")
            result = blob(outputs.get("result")).strip('"') if given and isinstance(outputs, dict) else ""
            if len(result) >= _CUT_FROM and result[:80] in text and result[-80:] not in text:
                reason = f"was given only the beginning of what {who(step)} had returned"
                events = events_of(step.end_number, writer.number, view.failed.number)
                yield cause_of(writer, "message_cut", reason, 0.7 * view.fit, events)
                break
    earlier = [
        step
        for step in view.ahead
        if step.component == "llm" and step.number < writer.number and step.parent_id == writer.parent_id
    ]
    if earlier and not goes_on(writer.start.get("inputs")):
        old, new = _messages(earlier[-1]), _messages(writer)
        if old and new and len(old) + len(new) <= _MOST_LLM_DIFFS:
            lost = [change for change in diff_messages(old, new) if change.kind in {"dropped", "truncated"}]
            if lost:
                reason = f"read a context without {len(lost)} of the messages of the call before"
                events = events_of(earlier[-1].number, writer.number, view.failed.number)
                yield cause_of(writer, "context_changed", reason, 0.6 * view.fit, events)


def _messages(step: Step) -> list[Any]:
    inputs = step.start.get("inputs")
    messages = inputs.get("messages") if isinstance(inputs, dict) else None
    return messages if isinstance(messages, list) else []
