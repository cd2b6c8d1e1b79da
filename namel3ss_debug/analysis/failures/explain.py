"""Follow the chain of causes back from one event: its inputs, the step that produced them, and so on.

From a failure the chain first goes to its first origin (`causes`), through the steps that the evidence names.
From any other event, and from the origin on, each step is followed to the first of these that is known:

- `retry`: the attempt before it;
- `asked_for`: the model that asked for the call, by the id of the call, its arguments, or their values;
- `read`: for a model call, the latest result that it read and that the model call before did not;
- `took`: the call that returned a value in its inputs;
- `inside`: the span around it; not for a model call that read a user's message, where the chain ends.

Beside the chain stand the exceptions that the program handled, and the warnings that it logged, in the steps of the chain and
outside of all spans (`signs`); of a context overflow also what filled the context (`overflows`).

The chain ends where none of these is known: at a user's message, at a value that a model made up, or at the program. It
has at most `MOST_STEPS` steps. The last `HISTORY` events before the event are looked at, and the spans around it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from namel3ss_debug.analysis.failures.causes import find_origins
from namel3ss_debug.analysis.failures.failure_fingerprints import compute_fingerprint
from namel3ss_debug.analysis.failures.origins import MODEL_TAIL, TAIL, WATCHED
from namel3ss_debug.analysis.failures.overflows import measure_context
from namel3ss_debug.analysis.failures.resolutions import resolution
from namel3ss_debug.analysis.failures.signs import describe_sign, is_sign, list_signs
from namel3ss_debug.analysis.failures.steps import (
    Numbered,
    SpanStep,
    contains,
    iter_leaves,
    make_steps,
    search_text,
    searchable_text,
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
from namel3ss_debug.traces.events import Event, begins_span, ends_span
from namel3ss_debug.traces.marks import BAD, Mark

SCHEMA = "namel3ss-debug/explain/1"
MOST_STEPS = 12
HISTORY = 20_000
_LOOKED_BACK = 400
_MOST_OTHERS = 3
_MOST_SIGNS_KEPT = 500
_LONGEST = 200
_NOTHING: Event = {}


class ReadableTrace(Protocol):
    """The methods of a trace that this module needs."""

    def events(self, start: int = 1) -> Iterator[Event]:
        """Yield all events from a number on."""

    def event(self, number: int) -> Event:
        """Return the event with this number."""


class _History(NamedTuple):
    """An event's span and the events before it.

    Attributes:
        target: the span, or the event alone.
        events: the latest events before the end of the span, or before the event.
        around: the starts of the spans around it, innermost first.
        whole: whether `events` begins with the trace.
        signs: the latest handled exceptions and warnings before the end of the span.
    """

    target: SpanStep
    events: list[Numbered]
    around: list[Numbered]
    whole: bool
    signs: Sequence[Numbered]


def explain(trace: ReadableTrace, number: int, mark: Mark | None = None) -> dict[str, Any]:
    """Return the chain of causes back from one event, as JSON.

    Args:
        trace: the trace.
        number: the number of the event, from 1. A start event stands for its whole span.
        mark: the user's mark of the run. An event that is marked bad, and did not fail, is explained like a failure.

    Raises:
        UnreadableTraceError: there is no such event.
    """
    event = trace.event(number)
    history = _read_history(trace, number, event)
    chain = _Chain(history)
    info = _find_failure_info(history.target)
    step = history.target
    # The user may have marked either of the two events of the span.
    marked = (
        info is None
        and mark is not None
        and mark.judgement == BAD
        and mark.event in {step.number, step.end_number or step.number}
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
        "resolution": resolution(info.category, origins[0].kind if origins else None)
        if info and not marked
        else None,
        "origins": [cause.to_json() for cause in origins],
        "chain": rows,
        "root": chain.root,
        "complete": chain.complete,
        "signs": list_signs(history.signs, chain.ids(rows), step.number),
        "context": chain.measure_context() if info and info.category == "context_overflow" else None,
    }


def _read_history(trace: ReadableTrace, number: int, event: Event) -> _History:
    """Read up to the event, or to the end of the span that it begins."""
    kind = event["event_type"]
    begins = begins_span(kind)
    wanted = event.get("event_id") if begins else None
    events: deque[Numbered] = deque(maxlen=HISTORY)
    signs: deque[Numbered] = deque(maxlen=_MOST_SIGNS_KEPT)
    running: dict[str, Numbered] = {}
    ended: Event = _NOTHING
    end_number = 0
    for position, other in enumerate(trace.events(), 1):
        other_kind = other["event_type"]
        if position == number and not begins:
            break
        ends = ends_span(other_kind)
        if position > number and ends and other.get("parent_event_id") == wanted:
            ended, end_number = other, position
            break
        if is_sign(other):
            signs.append((position, other))
        if other_kind not in WATCHED:
            continue
        events.append((position, other))
        if other_kind.endswith("_start"):
            running[str(other.get("event_id"))] = position, other
        elif ends and position < number:
            running.pop(str(other.get("parent_event_id")), None)
    target = _make_target(number, event, running, (end_number, ended))
    # A span that never ended is explained by the events before it began.
    if begins and not end_number:
        events = deque(entry for entry in events if entry[0] < number)
    whole = len(events) < HISTORY
    return _History(
        target,
        [entry for entry in events if entry[0] != target.number],
        _find_enclosing(target, running),
        whole,
        signs if not begins or end_number else [entry for entry in signs if entry[0] < number],
    )


def _make_target(
    number: int, event: Event, running: dict[str, Numbered], ended: tuple[int, Event]
) -> SpanStep:
    """Return the span of an event, or the event alone, as a step."""
    kind = event["event_type"]
    if begins_span(kind):
        return SpanStep(number, ended[0], event, ended[1])
    if ends_span(kind):
        begun, start = running.get(str(event.get("parent_event_id")), (number, _NOTHING))
        return SpanStep(begun, number, start, event)
    return SpanStep(number, number, _NOTHING, event)


def _find_enclosing(step: SpanStep, running: dict[str, Numbered]) -> list[Numbered]:
    """Return the starts of the spans around a step, innermost first."""
    parent = step.parent_id if step.start else step.end.get("parent_event_id")
    enclosing: list[Numbered] = []
    while parent is not None and str(parent) in running and len(enclosing) < HISTORY:
        start = running.pop(str(parent))
        enclosing.append(start)
        parent = start[1].get("parent_event_id")
    return enclosing


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
        complete: whether it ends there, and not because earlier events were not read.
    """

    def __init__(self, history: _History) -> None:
        self._history = history
        known = {entry[0]: entry for entry in (*history.around, *history.events)}
        self._steps = make_steps([known[position] for position in sorted(known)])
        self._by_number = {step.number: step for step in self._steps}
        self._by_id = {step.id: step for step in self._steps if step.id}
        self.origins: list[SuspectedCause] = []
        self.root: dict[str, Any] = {}
        self.complete = history.whole

    def measure_context(self) -> dict[str, Any] | None:
        """Return what filled the context of the model call that overflowed: the event itself, or the latest before it."""
        target = self._history.target
        calls = [target, *reversed(self._steps)]
        call = next((step for step in calls if step.component == "llm" and _has_overflowed(step)), None)
        if call is None:
            return None
        return measure_context(call, [step for step in self._steps if 0 < step.end_number < call.number])

    def ids(self, rows: Sequence[dict[str, Any]]) -> set[str]:
        """Return the ids of the spans of the chain, and of those around the event."""
        target = self._history.target
        steps = (target, *(self._by_number.get(row["number"], target) for row in rows))
        around = (start.get("event_id") for _, start in self._history.around)
        return {str(event_id) for event_id in (*(step.id for step in steps), *around) if event_id}

    def rows(self, info: FailureInfo | None) -> list[dict[str, Any]]:
        """Return the steps of the chain, beginning with the event itself."""
        step = self._history.target
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
            for cause, others in self._trace_to_origin(info):
                rows.append(_link_to_json(cause, others))
                seen.add(cause.number)
                step = self._by_number.get(cause.number, step)
        while len(rows) < MOST_STEPS:
            closest: dict[int, SuspectedCause] = {}
            for link in self._find_links(step):
                closest.setdefault(link.number, link)
            links = [link for number, link in closest.items() if number not in seen]
            if not links or (links[0].kind == "inside" and _find_root(step)["kind"] == "user"):
                break
            rows.append(_link_to_json(links[0], links[1 : 1 + _MOST_OTHERS]))
            seen.add(links[0].number)
            step = self._by_number[links[0].number]
        else:
            self.complete = False
        self.root = _find_root(step)
        for row in rows:
            row["reason"] += self._describe_handled(row["number"])
        return rows

    def _describe_handled(self, number: int) -> str:
        """Return what to add to the reason of a step in which an exception was handled; "" for any other step."""
        step = self._by_number.get(number, self._history.target)
        handled = [
            (position, event)
            for position, event in self._history.signs
            if event["event_type"] == "exception_handled"
            and step.id
            and event.get("parent_event_id") == step.id
        ]
        if not handled or step.number != number:
            return ""
        position, event = handled[-1]
        return f"; {event.get('error_type')} had been handled in it at {position}"

    def _trace_to_origin(
        self, info: FailureInfo
    ) -> Iterator[tuple[SuspectedCause, Sequence[SuspectedCause]]]:
        """Yield the steps from a failure to its first origin, through those that the evidence names."""
        target = self._history.target
        tail = self._history.events[-TAIL:]
        models = [entry for entry in self._history.events if entry[1].get("component") == "llm"][-MODEL_TAIL:]
        near = {entry[0]: entry for entry in (*models, *tail)}
        self.origins = find_origins(target, info, make_steps([near[position] for position in sorted(near)]))
        best = self.origins[0] if self.origins else None
        if best is None or best.number == target.number:
            return
        others = {cause.number: cause for cause in self.origins[1:]}
        ends = {step.end_number: step for step in self._steps if step.end_number}
        between = {
            step.number: step
            for number in best.events
            if (step := ends.get(number) or self._by_number.get(number))
        }
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
        left = [cause for number, cause in others.items() if number != target.number]
        yield best, left[:_MOST_OTHERS]

    def _find_links(self, step: SpanStep) -> Iterator[SuspectedCause]:
        """Yield the steps that a step follows from, the closest first."""
        earlier = [other for other in self._steps if 0 < other.end_number < step.number][-_LOOKED_BACK:]
        yield from self._find_attempts(step)
        if step.component == "llm":
            yield from _find_results_read(step, earlier)
        elif step.start:
            yield from _find_sources(step, earlier)
        parent = self._by_id.get(str(step.parent_id if step.start else step.end.get("parent_event_id")))
        if parent is not None and parent.number < step.number:
            yield _make_link(parent, "inside", f"{format_step(step)} ran inside it", (parent.number,))

    def _find_attempts(self, step: SpanStep) -> Iterator[SuspectedCause]:
        """Yield the first attempt of the same call, where the step is a later one."""
        for event in (step.end, step.start):
            metadata = event.get("metadata")
            first = self._by_id.get(str(metadata.get("retry_of"))) if isinstance(metadata, dict) else None
            if first is not None and first.number < step.number:
                yield _make_link(
                    first, "retry", f"{failed_with(first)}, and was tried again", (first.end_number,)
                )
                return


def _find_results_read(step: SpanStep, earlier: Sequence[SpanStep]) -> Iterator[SuspectedCause]:
    """Yield the results that a model call read, first those that the call before it did not read."""
    models = [other for other in earlier if other.component == "llm" and other.parent_id == step.parent_id]
    known = models[-1].inputs_text if models else ""
    results = []
    for other in reversed(earlier):
        outputs = other.end.get("outputs")
        result = outputs.get("result", outputs.get("text")) if isinstance(outputs, dict) else None
        call_id = (
            (other.start.get("inputs") or {}).get("call_id")
            if isinstance(other.start.get("inputs"), dict)
            else None
        )
        text = searchable_text(call_id) if call_id else searchable_text(result)[:160].strip('"')
        if other.component != "llm" and len(text) > 2 and text in step.inputs_text:
            results.append((text in known, other))
    for _, other in sorted(results, key=lambda item: item[0]):
        result = (other.end.get("outputs") or {}).get("result")
        yield _make_link(other, "read", f"returned {_format_value(result)}", (other.end_number, step.number))


def _find_sources(step: SpanStep, earlier: Sequence[SpanStep]) -> Iterator[SuspectedCause]:
    """Yield the steps that wrote or returned the inputs of a call."""
    view = FailureView(step, FailureInfo("unknown", ""), earlier)
    if view.writer is not None:
        wrote = ", ".join(leaf.shown for leaf in view.leaves[:4]) if step.arguments else ""
        yield _make_link(
            view.writer,
            "asked_for",
            f"asked for {step.name}({wrote})"[:_LONGEST],
            (view.writer.end_number, step.number),
        )
    for leaf in view.leaves:
        if search_text(leaf):
            source = next((other for other in earlier if contains(other.outputs_text, leaf)), None)
            if source is not None and source is not view.writer:
                yield _make_link(
                    source, "took", f"supplied {leaf.shown}", (source.end_number, step.number), leaf.shown
                )


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


def _find_root(step: SpanStep) -> dict[str, Any]:
    """Return the end of a chain: the message of a user, the arguments of the program, or the program itself."""
    inputs = step.start.get("inputs")
    messages = inputs.get("messages") if isinstance(inputs, dict) else None
    if isinstance(messages, list):
        user_messages = [
            message for message in messages if isinstance(message, dict) and _is_from_user(message)
        ]
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
