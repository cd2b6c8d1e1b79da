"""Make the events of our format from the plain facts of spans, as a framework or the trace of another tool reports them.

An importer makes a `SpanFacts` of each span that it reads, and yields `make_events(spans)`. For spans with attributes
by a convention of OpenTelemetry, `read_span` finds the facts; the seam that follows OpenTelemetry in a running program
uses it too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from operator import itemgetter
from typing import Any, Final, NamedTuple

from namel3ss_debug.traces.events import Event, span_prefix
from namel3ss_debug.wire import conventions, lenient
from namel3ss_debug.wire.conventions import Meaning

KINDS: Final[Mapping[str, tuple[str, str]]] = {
    "model": ("llm", "llm_call"),
    "turn": ("agent", "agent_turn"),
    "step": ("chain", "chain_step"),
}
"""Kind of a span -> its component and the beginning of its event types; any other kind is a component."""


class SpanError(NamedTuple):
    """How a span failed: the type of the error if it is known, its text, and the traceback if there is one."""

    kind: str | None
    text: str
    stack_trace: str | None = None


@dataclass(frozen=True)
class SpanFacts:
    """What is known of a span. Whatever its source does not report stays None or empty, and is left out of the events.

    Attributes:
        kind: `agent`, `turn`, `chain`, `step`, `tool`, `model`, `prompt`, `validation`, or any component.
        name: the name of the agent, the tool, the model, ...
        span_id: its id, unique in the trace; the start event has it.
        parent_id: the `span_id` of its parent.
        started: when it started, in seconds since 1970.
        ended: when it ended.
        duration_ms: how long it took, where that is known more exactly, or without its times.
        is_open: whether its end is missing, because the program died or still runs.
        inputs: of a model call `model`, `messages`, `tools` and `params`, of a tool `arguments` and `call_id`, else any.
        outputs: of a model call `text`, `tool_calls`, `finish_reason` and `response_model`; of a tool `result`.
        failure: the error that ended it.
        status: `completed`, `failed`, `cancelled`, `timeout`, `skipped` or `partial`, if the source reports more than
            whether it failed.
        usage: the token counts of a model call, by the names of the format.
        cost: US dollars, as the source reports them.
        execution_id: the run that it belongs to.
        session_id: the conversation that it belongs to.
        metadata: further data of the start event.
        fields: further fields of the start event, such as `call_site`, `thread`, `step_type` or `retry_count`.
    """

    kind: str
    name: str | None = None
    span_id: str = ""
    parent_id: str | None = None
    started: float | None = None
    ended: float | None = None
    duration_ms: float | None = None
    is_open: bool = False
    inputs: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, Any] = field(default_factory=dict)
    failure: SpanError | None = None
    status: str | None = None
    usage: Mapping[str, int] = field(default_factory=dict)
    cost: float | None = None
    execution_id: str | None = None
    session_id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def component(self) -> str:
        """The component of its events."""
        return KINDS.get(self.kind, (self.kind, ""))[0]

    @property
    def prefix(self) -> str:
        """The type of its events, without `_start` and `_end`."""
        return KINDS[self.kind][1] if self.kind in KINDS else span_prefix(self.kind)

    def start_event(self) -> Event:
        """Return the start event, which has no number yet."""
        return self._make_event(
            "_start",
            event_id=self.span_id,
            timestamp=self.started,
            parent_event_id=self.parent_id,
            status="started",
            inputs=dict(self.inputs),
            metadata=dict(self.metadata),
            **self.fields,
        )

    def end_event(self) -> Event:
        """Return the end event, which has no number yet."""
        duration_ms, failure = self.duration_ms, self.failure
        if duration_ms is None and self.started is not None and self.ended is not None:
            duration_ms = max(round((self.ended - self.started) * 1000, 6), 0.0)
        return self._make_event(
            "_end",
            event_id=f"{self.span_id}.end",
            timestamp=self.ended,
            parent_event_id=self.span_id,
            status=self.status or ("completed" if failure is None else "failed"),
            outputs=dict(self.outputs),
            duration_ms=duration_ms,
            error=None if failure is None else failure.text,
            error_type=None if failure is None else failure.kind,
            stack_trace=None if failure is None else failure.stack_trace,
            usage=dict(self.usage),
            tokens_used=count_tokens(self.usage),
            cost_estimate=self.cost,
        )

    def _make_event(self, suffix: str, **fields: Any) -> Event:
        event = {
            "event_type": self.prefix + suffix,
            "execution_id": self.execution_id,
            "session_id": self.session_id,
            "component": self.component,
            "component_name": self.name,
            **fields,
        }
        return {name: value for name, value in event.items() if value is not None and value != {}}


def count_tokens(usage: Mapping[str, int]) -> int | None:
    """Return the total of the token counts of a model call; None if it has none."""
    return usage.get("input_tokens", 0) + usage.get("output_tokens", 0) if usage else None


def make_events(spans: Iterable[SpanFacts], others: Iterable[Event] = ()) -> Iterator[Event]:
    """Yield the events of some spans in the order of a trace, numbered from 0.

    They are ordered by time. An event without a time follows the one before it, and no span starts before its parent
    or ends before it starts, whatever their clocks show. At the same time, a span lies inside its parent. A parent that
    is none of the spans is left out, so that its children are at the top.

    Args:
        spans: the spans, in any order if they have times; else in the order in which they started.
        others: events that are no spans, such as messages and log records, with `parent_event_id` where it is known.
    """
    spans, others = list(spans), list(others)
    ids = {span.span_id for span in spans}
    children: dict[str | None, list[SpanFacts | Event]] = {}
    for span in spans:
        children.setdefault(span.parent_id if span.parent_id in ids else None, []).append(span)
    for other in others:
        parent = other.get("parent_event_id")
        children.setdefault(parent if parent in ids else None, []).append(other)
    # The sort is stable: the order of the tree breaks ties.
    placed = sorted(_place(spans, children), key=itemgetter(0))
    del spans, others, children
    placed.reverse()
    seq = -1
    while placed:  # what was read is not needed any more, and an analysis needs the room
        _, event = placed.pop()
        seq += 1
        if "parent_event_id" in event and event["parent_event_id"] not in ids:
            event = {name: value for name, value in event.items() if name != "parent_event_id"}
        yield {**event, "seq": seq}


def _place(
    spans: Iterable[SpanFacts], children: Mapping[str | None, list[SpanFacts | Event]]
) -> Iterator[tuple[float, Event]]:
    """Yield the events in the order of the tree, each with the time that places it among all; without recursion."""
    now = float("-inf")
    # What is still to be placed: the rest of each list of children, and the span and time that the list belongs to.
    open_lists: list[tuple[Iterator[SpanFacts | Event], SpanFacts | None, float]] = [
        (chain(_by_time(children.get(None, ())), spans), None, now)
    ]
    seen: set[str] = (
        set()
    )  # a span that appears twice is placed once; one that is its own ancestor is at the top
    while open_lists:
        rest, span, begun = open_lists[-1]
        each = next(rest, None)
        if each is None:
            open_lists.pop()
            if span is not None and not span.is_open:
                now = max(begun, span.ended) if span.ended is not None else max(begun, now)
                yield now, span.end_event()
        elif not isinstance(each, SpanFacts):
            now = max(begun, each.get("timestamp", now))
            yield now, each
        elif each.span_id not in seen:
            seen.add(each.span_id)
            now = max(begun, each.started if each.started is not None else now)
            yield now, each.start_event()
            open_lists.append((iter(_by_time(children.get(each.span_id, ()))), each, now))


def _by_time(each: Iterable[SpanFacts | Event]) -> list[SpanFacts | Event]:
    """Return spans and events by their times, each without a time behind the one before it."""
    now = float("-inf")
    timed: list[tuple[float, SpanFacts | Event]] = []
    for one in each:
        time = one.started if isinstance(one, SpanFacts) else one.get("timestamp")
        now = now if time is None else time
        timed.append((now, one))
    return [one for _, one in sorted(timed, key=itemgetter(0))]


# --- facts from the attributes of OpenTelemetry


def read_span(meaning: Meaning, attributes: conventions.Attributes) -> SpanFacts:
    """Return what the attributes of a span of OpenTelemetry tell of it, by any of the conventions in use.

    Args:
        meaning: the kind and the name of the span, from `conventions.interpret`.
        attributes: all attributes of the span; at its start, those that it has so far.
    """
    facts = SpanFacts(meaning.kind, meaning.name, session_id=conventions.read_session_id(attributes))
    if meaning.kind == "model":
        return replace(
            facts,
            inputs=conventions.read_request(attributes),
            outputs=conventions.read_answer(attributes),
            usage=conventions.read_usage(attributes),
            cost=conventions.read_cost(attributes),
        )
    result = conventions.read_result(attributes)
    if meaning.kind == "tool":
        call_id = lenient.string(attributes.get("gen_ai.tool.call.id", attributes.get("ai.toolCall.id")))
        inputs = {"arguments": conventions.read_arguments(attributes), "call_id": call_id}
        outputs = {} if result is None else {"result": result}
        return replace(facts, inputs=lenient.drop_none(inputs), outputs=outputs)
    outputs = result if isinstance(result, dict) else {} if result is None else {"result": result}
    return replace(facts, inputs=conventions.read_inputs(attributes), outputs=outputs)
