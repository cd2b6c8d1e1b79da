"""Follow the chain of causes back from one event: its inputs, the step that produced them, and so on.

From a failure the chain first goes to its first origin (`causes`), through the steps that the evidence names.
From any other event, and from the origin on, each step is followed to the first of these that is known:

- `retry`: the attempt before it;
- `asked_for`: the model that asked for the call, by the id of the call, its arguments, or their values;
- `read`: for a model call, the result, answer, document or error that it read and that the model call before did not
  (`reading`);
- `took`: the call that returned a value in its inputs;
- `stopped`: for a team that says why it stopped, the answer that was the reason;
- `inside`: the span around it; not for a model call that read a user's message, where the chain ends.

Beside the chain stand the exceptions that the program handled, and the warnings that it logged, in the steps of the chain and
outside of all spans (`signs`); the messages that its model calls no longer read (`reading`); the code that failed
(`failing_code`); of a context overflow also what filled the context (`overflows`).

The chain ends where none of these is known: at a user's message, at a value that a model made up, or at the program. It
has at most `MOST_STEPS` steps. Of each step the `_LOOKED_BACK` spans that ended last before it are looked at, and the spans
around it.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from namel3ss_debug.analysis.failures.causes import find_origins
from namel3ss_debug.analysis.failures.failing_code import find_failing_code
from namel3ss_debug.analysis.failures.failure_fingerprints import compute_fingerprint
from namel3ss_debug.analysis.failures.origins import LONG_TAIL, MODEL_TAIL, TAIL, make_step, tail_inside
from namel3ss_debug.analysis.failures.overflows import measure_context
from namel3ss_debug.analysis.failures.reading import (
    DroppedMessage,
    SourceRead,
    find_sources_read,
    holds_output,
    list_dropped,
)
from namel3ss_debug.analysis.failures.resolutions import resolution
from namel3ss_debug.analysis.failures.signs import SIGNS, Sign, describe_sign, is_sign, list_signs
from namel3ss_debug.analysis.failures.steps import (
    Leaf,
    SpanStep,
    contains,
    find_named,
    iter_leaves,
    normal,
)
from namel3ss_debug.analysis.failures.suspects import (
    MARKED,
    FailureInfo,
    FailureView,
    SuspectedCause,
    error_type_of,
    failed_with,
    format_step,
    get_failure_info,
)
from namel3ss_debug.errors import short
from namel3ss_debug.traces.events import Event, NumberedEvents, begins_span
from namel3ss_debug.traces.marks import BAD, Mark
from namel3ss_debug.traces.span_table import AT_TOP, SpanTable, SpanTableBuilder, SpanWatcher
from namel3ss_debug.wire import lenient

SCHEMA = "namel3ss-debug/explain/1"
MOST_STEPS = 12
HISTORY = 10_000
_LOOKED_BACK = 400
_MOST_OTHERS = 12
_MOST_ADDED = 4
_MOST_SIGNS_KEPT = 500
_LONGEST = 200
_MEMORY = frozenset({"memory_operation", "memory_summarization"})
_INPUTS = frozenset({"read", "took"})
_NODES = frozenset({"chain", "agent"})
"""What a graph hands to a node is no request for it."""
_OF_ITSELF = frozenset({"itself", "retries_exhausted", "repeated_failure"})
"""Kinds of origins that say no more of an event than that it failed."""
_QUOTED = re.compile(r"['\"]([^'\"]+)['\"]")
_NOTHING: Event = {}


class _History(NamedTuple):
    """An event's span with the table of spans up to its end.

    Attributes:
        target: the span, or the event alone.
        spans: the spans that began before the end of the span, or before the event.
        signs: the handled exceptions and warnings before that, each with its number and the row of the span around it.
        memories: the reads of a memory or a retriever before that.
        stop: what the innermost span around it that says why it stopped says; None where none does.
    """

    target: SpanStep
    spans: SpanTable
    signs: list[Sign]
    memories: list[SpanStep]
    stop: dict[str, Any] | None


def explain(
    trace: NumberedEvents, number: int, mark: Mark | None = None, *, is_outcome: bool = False
) -> dict[str, Any]:
    """Return the chain of causes back from one event, as JSON.

    Args:
        trace: the trace.
        number: the number of the event, from 1. A start event stands for its whole span.
        mark: the user's mark of the run. An event that is marked bad, and did not fail, is explained like a failure.
        is_outcome: whether the event is the final answer, which a mark of the whole run is about.

    Raises:
        UnreadableTraceError: there is no such event.
    """
    event, folder = trace.event(number), _find_folder(trace)
    is_bad = mark is not None and mark.judgement == BAD
    history = _read_history(trace, number)
    chain = _Chain(history)
    info = _find_failure_info(history.target)
    step = history.target
    # The user may have marked either of the two events of the span.
    marked = (
        mark is not None
        and is_bad
        and info is None
        and (
            is_outcome if mark.event is None else mark.event in {step.number, step.end_number or step.number}
        )
    )
    if marked and mark is not None:
        info = FailureInfo(MARKED, mark.why)
    rows = chain.rows(info)
    origins = chain.origins
    claim = step.claim
    return {
        "number": number,
        "event_type": event["event_type"],
        "component": step.component or None,
        "component_name": step.name or None,
        "mark": None if mark is None else mark.to_json(),
        "span": [step.number, step.end_number or None],
        "failed": info is not None and not info.claimed and not marked,
        "weak": info is not None and info.claimed,
        "confidence": claim.confidence if claim else None,
        "category": info.category if info and not marked else None,
        "error_type": error_type_of(step) if info and not marked else None,
        "error": info.error or None if info and not marked else None,
        "fingerprint": _compute_fingerprint(step, info) if info and not marked else None,
        "resolution": resolution(info.category, step.component, origins) if info and not marked else None,
        "origins": [cause.to_json() for cause in origins],
        "chain": rows,
        "root": chain.root,
        "complete": chain.complete,
        "added": [leaf.shown for leaf in chain.added],
        "code": chain.find_code(rows, folder),
        "stop": history.stop,
        "dropped": [message._asdict() for message in chain.dropped],
        "signs": list_signs(history.signs, chain.inside(rows), step.number),
        "context": chain.measure_context() if info and info.category == "context_overflow" else None,
    }


def find_final_answer(trace: NumberedEvents) -> tuple[int, int]:
    """Return the numbers of the start and the end of the last call whose model answered and asked for no tool; 0 for none."""
    builder = SpanTableBuilder()
    builder.table.traces = [trace]
    builder.add(trace.events())
    spans = builder.settle()
    for row in sorted(spans.of("llm"), key=spans.end.__getitem__, reverse=True):
        if spans.end[row] and not spans.failed[row]:
            outputs = lenient.mapping(trace.event(spans.end[row]).get("outputs"))
            if outputs.get("text") and not outputs.get("tool_calls"):
                return spans.number[row], spans.end[row]
    return 0, 0


def _find_folder(trace: NumberedEvents) -> str:
    """Return the working directory of the program; "" where it is not known."""
    first = trace.event(1)
    return lenient.string(lenient.mapping(first.get("metadata")).get("cwd")) or ""


class _Signs(SpanWatcher):
    """The latest handled exceptions and warnings, and reads of a memory."""

    events = SIGNS | _MEMORY

    def __init__(self) -> None:
        self.kept: deque[Sign] = deque(maxlen=_MOST_SIGNS_KEPT)
        self.memories: deque[SpanStep] = deque(maxlen=_MOST_SIGNS_KEPT)

    def event(self, number: int, event: Event) -> None:
        """Keep a sign, or a read."""
        if event["event_type"] in _MEMORY:
            if event.get("outputs"):
                self.memories.append(
                    SpanStep(number, number, _NOTHING, event, self.find_parent(event), AT_TOP)
                )
        elif is_sign(event):
            self.kept.append((number, self.find_parent(event), event))


def _find_stop(spans: SpanTable, row: int) -> dict[str, Any] | None:
    """Return what a span, or the innermost one around it, says about why it stopped, as the teams of AutoGen do."""
    while row >= 0:
        reason = _stop_reason(spans.events(row)[1]) if spans.end[row] else None
        if reason is not None:
            return {**spans.named(row), "number": spans.end[row], "reason": reason}
        row = spans.parent[row]
    return None


def _stop_reason(end: Event) -> str | None:
    if end.get("component") == "llm":  # the end reason of a model is no decision of a team
        return None
    return lenient.string(lenient.mapping(end.get("outputs")).get("stop_reason"))


def _read_history(trace: NumberedEvents, number: int) -> _History:
    """Read up to the event, or to the end of the span that it begins, and a little further for what stopped the run."""
    signs, events = _Signs(), trace.events()
    builder = SpanTableBuilder(watchers={"signs": signs})
    builder.table.traces = [trace]
    builder.add(islice(events, number - 1))
    event = next(events)
    row, parent = builder.take(event)
    ends = builder.table.end
    for other in events if begins_span(event["event_type"]) else ():
        builder.add((other,))
        if ends[row]:
            break
    last = (builder.table.end[row] if row >= 0 else 0) or number
    kept, memories = list(signs.kept), list(signs.memories)
    builder.add(islice(events, HISTORY))
    spans = builder.settle()
    target = SpanStep(number, number, _NOTHING, event, parent, AT_TOP) if row < 0 else _make_step(spans, row)
    # A span that never ended is explained by the events before it began.
    return _History(
        target,
        spans,
        [sign for sign in kept if sign[0] < last],
        [step for step in memories if step.number < last],
        _find_stop(spans, row if row >= 0 else parent),
    )


def _make_step(spans: SpanTable, row: int) -> SpanStep:
    return make_step(spans, row, *spans.events(row))


def _find_failure_info(step: SpanStep) -> FailureInfo | None:
    """Return what is known of the failure of a step; None where it did not fail."""
    if step.end.get("event_type") == "error_occurred":
        error_type = step.end.get("error_type")
        words = step.end.get("error")
        return get_failure_info(
            SpanStep(
                step.number,
                step.end_number,
                _NOTHING,
                {**step.end, "status": "failed", "error": words or error_type or ""},
                step.row,
                step.parent,
            )
        )
    return get_failure_info(step)


def _has_overflowed(step: SpanStep) -> bool:
    info = get_failure_info(step)
    return info is not None and info.category == "context_overflow"


def _compute_fingerprint(step: SpanStep, info: FailureInfo) -> str:
    site = step.get("call_site")
    return compute_fingerprint(
        step.component,
        step.name,
        info.category,
        error_type_of(step),
        info.error,
        site if isinstance(site, str) else None,
    )


def _describe_itself(step: SpanStep, info: FailureInfo | None) -> str:
    """Return what the event that is explained did, with the type of its exception."""
    if step.end.get("event_type") == "exception_handled":
        return describe_sign(step.end)
    if info is None:
        return "is the event to explain"
    if info.category == MARKED:
        return "is marked bad" + (f": {info.error}" if info.error else "")
    return "returned an error as its result" if info.claimed else failed_with(step)


class _Chain:
    """Follows one event back.

    Attributes:
        origins: where the event is a failure, its suspected causes.
        root: where the chain ends.
        complete: whether it ends there, and is not cut at `MOST_STEPS`.
    """

    def __init__(self, history: _History) -> None:
        self._history, self._spans = history, history.spans
        ends = self._spans.end
        last = history.target.end_number or history.target.number
        self._by_end = sorted((row for row, end in enumerate(ends) if 0 < end < last), key=ends.__getitem__)
        self._steps = {history.target.row: history.target} if history.target.start else {}
        self.origins: list[SuspectedCause] = []
        self.root: dict[str, Any] = {}
        self.complete = True
        self.dropped: list[DroppedMessage] = []
        self.added: list[Leaf] = []

    def _step(self, row: int) -> SpanStep:
        """Return a span, read once."""
        step = self._steps.get(row)
        if step is None:
            step = self._steps[row] = _make_step(self._spans, row)
        return step

    def _latest(self, number: int, most: int, component: str = "") -> list[SpanStep]:
        """Return the spans, of a component if one is named, that ended last before an event, in the order of their starts."""
        ended = self._by_end[: bisect_left(self._by_end, number, key=self._spans.end.__getitem__)]
        if component:
            ended = [row for row in ended if self._spans.component(row) == component]
        return [self._step(row) for row in sorted(ended[-most:])]

    def _at(self, number: int) -> SpanStep | None:
        """Return the span that an event began; of those without a start, the one that it ended."""
        if number == self._history.target.number:
            return self._history.target
        for memory in self._history.memories:
            if memory.number == number:
                return memory
        row = bisect_left(self._spans.number, number)
        return self._step(row) if row < len(self._spans) and self._spans.number[row] == number else None

    def measure_context(self) -> dict[str, Any] | None:
        """Return what filled the context of the model call that overflowed: the event itself, or the latest before it."""
        target = self._history.target
        earlier = self._latest(target.end_number or target.number, HISTORY)
        calls = (step for step in (target, *reversed(earlier)) if step.component == "llm")
        call = next((step for step in calls if _has_overflowed(step)), None)
        if call is None:
            return None
        return measure_context(call, [step for step in earlier if step.end_number < call.number])

    def find_code(self, rows: Sequence[dict[str, Any]], folder: str) -> dict[str, Any] | None:
        """Return the code that failed: that of the first step of the chain with an exception of its own."""
        steps = (self._at(row["number"]) for row in rows)
        return next((code for step in steps if step and (code := find_failing_code(step, folder))), None)

    def inside(self, rows: Sequence[dict[str, Any]]) -> set[int]:
        """Return the table's rows of the spans of the chain, and of those around the event."""
        numbers = {row["number"] for row in rows}
        found = {step.row for step in self._steps.values() if step.number in numbers}
        around = self._history.target.row
        while around >= 0:
            found.add(around)
            around = self._spans.parent[around]
        return found

    def rows(self, info: FailureInfo | None) -> list[dict[str, Any]]:
        """Return the steps of the chain, beginning with the event itself."""
        step = self._history.target
        if step.component != "llm" and step.start:
            earlier = self._latest(step.number, _LOOKED_BACK)
            added = FailureView(step, FailureInfo("unknown", ""), earlier).added
            named = [leaf for _, leaf in find_named(info.error, added)] if info else []
            self.added = [*named, *(leaf for leaf in added if leaf not in named and leaf.value)][:_MOST_ADDED]
        first = _describe_itself(step, info)
        rows = [
            _link_to_json(
                SuspectedCause(
                    step.number,
                    step.component,
                    step.name,
                    "itself",
                    first,
                    (),
                    (step.end_number or step.number,),
                ),
                (),
            )
        ]
        seen = {step.number}
        if info is not None:
            steps = list(self._trace_to_origin(info))
            best = self.origins[0] if self.origins else None
            if best is not None and best.number == step.number and best.kind not in _OF_ITSELF:
                rows[0]["reason"] += f"; {best.reason}"
            for cause, others in steps:
                rows.append(_link_to_json(cause, others))
                seen.add(cause.number)
                step = self._at(cause.number) or step
        while len(rows) < MOST_STEPS:
            closest: dict[int, SuspectedCause] = {}
            for link in self._find_links(step):
                closest.setdefault(link.number, link)
            links = [link for number, link in closest.items() if number not in seen]
            others = [link for link in links[1:] if link.kind != "inside"]
            if not links or (links[0].kind == "inside" and self._find_root(step)["kind"] == "user"):
                break
            rows.append(_link_to_json(links[0], others[:_MOST_OTHERS]))
            seen.add(links[0].number)
            step = self._at(links[0].number) or step
        else:
            self.complete = False
        self.root = self._find_root(step)
        numbers = {row["number"] for row in rows}
        for row in rows:
            # An input is shown with its value; another origin that the chain goes through is no alternative to it.
            row["others"] = [
                each for each in row["others"] if each["kind"] in _INPUTS or each["number"] not in numbers
            ]
            self._note_dropped(self._at(row["number"]))
            row["reason"] += self._describe_handled(row["number"])
        return rows

    def _note_dropped(self, step: SpanStep | None) -> None:
        """Add the messages that a model call no longer read."""
        if step is not None and step.component == "llm":
            known = {(message.role, message.text) for message in self.dropped}
            dropped = list_dropped(step, self._latest(step.number, _LOOKED_BACK, "llm"))
            self.dropped += [message for message in dropped if (message.role, message.text) not in known]

    def _find_root(self, step: SpanStep) -> dict[str, Any]:
        """Return the end of the chain at a step."""
        return _find_root(step, [source.step for source in self._sources_read(step)])

    def _sources_read(self, step: SpanStep) -> list[SourceRead]:
        """Return the steps that produced what a model call read."""
        if step.component != "llm":
            return []
        memories = [memory for memory in self._history.memories if memory.number < step.number]
        return find_sources_read(step, [*self._latest(step.number, _LOOKED_BACK), *memories])

    def _describe_handled(self, number: int) -> str:
        """Return what to add to the reason of a step in which an exception was handled; "" for any other step."""
        step = self._at(number)
        handled = [
            (position, event)
            for position, around, event in self._history.signs
            if event["event_type"] == "exception_handled" and step is not None and around == step.row >= 0
        ]
        if not handled:
            return ""
        position, event = handled[-1]
        return f"; {event.get('error_type')} had been handled in it at {position}"

    def _trace_to_origin(
        self, info: FailureInfo
    ) -> Iterator[tuple[SuspectedCause, Sequence[SuspectedCause]]]:
        """Yield the steps from a failure to its first origin, through those that the evidence names."""
        target = self._history.target
        last = target.end_number or target.number
        inside = tail_inside(target.parent if target.start else target.row)
        tail = LONG_TAIL if info.category == MARKED else TAIL if info.claimed else inside
        near = {*self._latest(last, tail), *self._latest(last, MODEL_TAIL, "llm")}
        self.origins = find_origins(target, info, sorted(near, key=_row_of))
        best = self.origins[0] if self.origins else None
        if best is None or best.number == target.number:
            return
        others = {cause.number: cause for cause in self.origins[1:]}
        between = {step.number: step for step in near if {step.number, step.end_number} & {*best.events}}
        for position in sorted(between, reverse=True):
            step = between[position]
            if best.number < position < target.number:
                known = others.pop(position, None)
                yield (
                    known
                    or SuspectedCause(
                        position,
                        step.component,
                        step.name,
                        "between",
                        "is on the path",
                        best.strength,
                        (step.end_number,),
                    ),
                    (),
                )
        left = [
            cause
            for number, cause in others.items()
            if number != target.number and cause.kind != "decided"  # too weak beside another origin
        ]
        yield best, left[:_MOST_OTHERS]

    def _find_links(self, step: SpanStep) -> Iterator[SuspectedCause]:
        """Yield the steps that a step follows from, the closest first."""
        earlier = self._latest(step.number, _LOOKED_BACK)
        yield from _find_attempts(step, earlier)
        if step.component == "llm":
            for source in self._sources_read(step):
                events = (source.step.end_number, step.number)
                yield _make_link(source.step, "read", source.reason, events)
        elif (reason := _stop_reason(step.end)) is not None:
            yield from _find_stopping_answer(step, reason, self._latest(step.end_number, _LOOKED_BACK))
        elif step.start:
            yield from _find_sources(step, earlier)
        around = step.parent if step.start else step.row
        if around >= 0 and self._spans.number[around] < step.number:
            parent = self._step(around)
            yield _make_link(parent, "inside", f"{format_step(step)} ran inside it", (parent.number,))


def _find_attempts(step: SpanStep, earlier: Sequence[SpanStep]) -> Iterator[SuspectedCause]:
    """Yield the first attempt of the same call, where the step is a later one."""
    of = {lenient.mapping(event.get("metadata")).get("retry_of") for event in (step.end, step.start)} - {None}
    for first in earlier:
        if first.id in of:
            yield _make_link(
                first, "retry", f"{failed_with(first)}, and was tried again", (first.end_number,)
            )
            return


def _row_of(step: SpanStep) -> int:
    return step.row


def _find_stopping_answer(
    step: SpanStep, reason: str, earlier: Sequence[SpanStep]
) -> Iterator[SuspectedCause]:
    """Yield the last answer before a team stopped, with the word in it that the reason quotes."""
    answers = [other for other in earlier if other.component == "llm" and other.number > step.number]
    for last in answers[-1:]:
        quoted = [word for word in _QUOTED.findall(reason) if normal(word) in last.outputs_text]
        words = (
            f"{quoted[0]!r}, which the team stopped at"
            if quoted
            else "the last answer before the team stopped"
        )
        yield _make_link(last, "stopped", f"wrote {words}", (last.end_number, step.end_number))


def _find_sources(step: SpanStep, earlier: Sequence[SpanStep]) -> Iterator[SuspectedCause]:
    """Yield the steps that wrote or returned the inputs of a call."""
    view = FailureView(step, FailureInfo("unknown", ""), earlier)
    if view.writer is not None:
        wrote = _format_values(view.leaves) if step.arguments else ""
        added = _format_values(view.added)
        request = f"wrote {wrote}" if step.component in _NODES else f"asked for {step.name}({wrote})"
        reason = short(request, _LONGEST, "...")
        reason += f"; the program added {added}" if added else ""
        yield _make_link(view.writer, "asked_for", reason, (view.writer.end_number, step.number))
    supplied: dict[SpanStep, list[Leaf]] = {}
    for leaf in (*view.leaves, *view.added):
        if leaf.value is None or isinstance(leaf.value, bool):
            continue
        source = next((other for other in earlier if contains(other.outputs_text, leaf)), None)
        if source is None or source is view.writer:
            continue
        # Where a model wrote the call, the span around it, and a step that had read the value itself, say nothing new.
        if view.writer is None or (
            source.row != view.writer.parent and not contains(source.inputs_text, leaf)
        ):
            supplied.setdefault(source, []).append(leaf)
    for source, leaves in supplied.items():
        shown = _format_values(leaves, len(leaves))
        events = (source.end_number, step.number)
        yield _make_link(source, "took", f"supplied {short(shown, _LONGEST, '...')}", events, shown)


def _format_values(leaves: Sequence[Leaf], most: int = 4) -> str:
    """Return the first values with their names, those without content last."""
    full = sorted(leaves, key=lambda leaf: leaf.value in (None, "", [], {}))
    return ", ".join(leaf.shown for leaf in full[:most])


def _make_link(
    step: SpanStep, kind: str, reason: str, events: tuple[int, ...], value: str | None = None
) -> SuspectedCause:
    """Return a cause that is a step of the chain; its strength is not used."""
    return SuspectedCause(
        step.number,
        step.component,
        step.name,
        kind,
        reason,
        (),
        tuple(number for number in events if number),
        value,
    )


def _link_to_json(cause: SuspectedCause, others: Sequence[SuspectedCause]) -> dict[str, Any]:
    """Return one step of the chain as JSON."""
    shown = (
        max(cause.events, default=cause.number)
        if cause.kind == "itself"
        else min(cause.events, default=cause.number)
    )
    return cause.to_json() | {
        "others": [
            {key: other.to_json()[key] for key in ("number", "component", "component_name", "kind", "reason")}
            for other in others
        ],
        "look": f"namel3ss debug inspect --event {shown}",
    }


def _find_root(step: SpanStep, read: Sequence[SpanStep]) -> dict[str, Any]:
    """Return the end of a chain: the message of a user, the arguments of the program, or the program itself.

    A message of the role `user` that holds what one of the steps `read` produced was composed by the program, or is the
    message of another agent.
    """
    inputs = step.start.get("inputs")
    messages = inputs.get("messages") if isinstance(inputs, dict) else None
    if isinstance(messages, list):
        own = [message for message in lenient.mappings(messages) if _is_from_user(message)]
        user_messages = [message for message in own if not any(holds_output(message, one) for one in read)]
        if user_messages:
            return {"number": step.number, "kind": "user", "words": _message_text(user_messages[-1])}
        if step.component == "llm":
            return {"number": step.number, "kind": "model", "words": None}
    leaf = next((leaf for leaf in iter_leaves(inputs) if leaf.value not in (None, "", [], {})), None)
    if leaf is not None:
        return {"number": step.number, "kind": "inputs", "words": leaf.shown}
    site = step.get("call_site")
    return {"number": step.number, "kind": "program", "words": site if isinstance(site, str) else None}


def _is_from_user(message: dict[str, Any]) -> bool:
    """Return whether a message is a user's: one of a model call, or one of LangChain's in the state of a graph."""
    fields = message.get("fields") if "$type" in message else None
    return message.get("role") == "user" or (isinstance(fields, dict) and fields.get("type") == "human")


def _message_text(message: dict[str, Any]) -> str | None:
    """Return the beginning of the text of a message."""
    holder = message["fields"] if "$type" in message else message
    words = [
        str(leaf.value)
        for leaf in iter_leaves(holder.get("parts", holder.get("content")))
        if leaf.key in {"content", "text", ""}
    ]
    text = " ".join(" ".join(words).split())
    return short(text, _LONGEST, "...") or None


def _format_value(value: Any) -> str:
    return short(repr(value), 80, "...")
