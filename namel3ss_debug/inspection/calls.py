"""Read a run as values for programs: its model calls, its tool calls, its failures, and its totals."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.facts import span_status
from namel3ss_debug.traces.output import EVENT_TYPE as OUTPUT
from namel3ss_debug.traces.output import STDOUT, TOOL_CALL, read_pieces
from namel3ss_debug.traces.span_table import AT_TOP, SpanTable, read_spans
from namel3ss_debug.traces.totals import RunningTotals, Totals
from namel3ss_debug.wire import lenient

_ATTEMPTS = ("llm", "http")


@dataclass(frozen=True)
class RecordedToolCall:
    """One call of a tool.

    Attributes:
        name: the tool.
        arguments: its arguments, by name.
        result: its result, in the JSON form of the trace; None if it failed.
        error: the text of its failure.
        error_type: the type of its failure.
        status: as in the trace; `open` if it never ended.
        call_id: the id of the tool call in the model's answer.
        duration_ms: its duration; None if it is not known.
        number: the number of its start event.
    """

    name: str
    arguments: dict[str, Any]
    result: Any
    error: str | None
    error_type: str | None
    status: str
    call_id: str | None
    duration_ms: float | None
    number: int


@dataclass(frozen=True)
class ModelCall:
    """One request to a model, an attempt.

    Attributes:
        model: the requested model.
        messages: the messages of the request, `{role, parts}` each.
        text: the text of its answer.
        tool_calls: the tool calls in its answer, `{id, name, arguments}` each.
        finish_reason: why the answer ended.
        tokens: the tokens of the call; None if they are not recorded.
        cost: the cost in US dollars; None if it is not known.
        error: the text of its failure.
        error_type: the type of its failure.
        status: as in the trace; `open` if it never ended.
        duration_ms: its duration; None if it is not known.
        number: the number of its start event.
    """

    model: str
    messages: list[dict[str, Any]]
    text: str | None
    tool_calls: list[dict[str, Any]]
    finish_reason: str | None
    tokens: int | None
    cost: float | None
    error: str | None
    error_type: str | None
    status: str
    duration_ms: float | None
    number: int

    @property
    def answers(self) -> bool:
        """Return whether it is a final answer, which has a text and no tool calls."""
        return bool(self.text) and not self.tool_calls and self.error is None


@dataclass(frozen=True)
class RunFailure:
    """A failure that no later attempt recovered.

    Attributes:
        what: the failed operation, such as `tool search`.
        error_type: the type of the failure.
        error: its text.
        call_site: the place in the user's code.
        number: the number of the event that reports it.
    """

    what: str
    error_type: str | None
    error: str | None
    call_site: str | None
    number: int


@dataclass(frozen=True)
class RecordedRun:
    """The calls and failures of a run, and its totals.

    Attributes:
        tool_calls: the tool calls, in the order in which they began.
        llm_calls: the model calls, in the order in which they began.
        failures: the failures, in the order of their events.
        names: the names of all spans in the order in which they began.
        totals: tokens, cost and time.
        output: what the program printed to its stdout, apart from its tools.
    """

    tool_calls: list[RecordedToolCall] = field(default_factory=list)
    llm_calls: list[ModelCall] = field(default_factory=list)
    failures: list[RunFailure] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    totals: Totals = field(default_factory=Totals)
    output: str = ""


class _CallEvents(NamedTuple):
    """The events of a span, empty where one is missing, and its row in the table."""

    row: int
    start: Event
    end: Event

    @property
    def first_attempt(self) -> str | None:
        """Return the id of the first attempt of its call; its own id if it is the first."""
        named = lenient.string(lenient.mapping(self.start.get("metadata")).get("retry_of"))
        return named or self.start.get("event_id")


def read_run(events: Iterable[Event]) -> RecordedRun:
    """Read a trace into memory, as the calls and failures of a run."""
    all_events = list(events)
    table, totals = read_spans(all_events), RunningTotals()
    ended = {end: row for row, end in enumerate(table.end)}
    for number, event in enumerate(all_events, 1):
        totals.add(event, table.cost_of(ended.get(number, AT_TOP)))
    calls = [
        _CallEvents(row, all_events[number - 1] if number != end else {}, all_events[end - 1] if end else {})
        for row, (number, end) in enumerate(zip(table.number, table.end, strict=True))
    ]
    recovered = {call.first_attempt for call in calls if span_status(call.end) == "completed"}
    failures = [
        _make_failure(table.end[call.row], call.end, call.start)
        for call in calls
        if table.failed[call.row]
        and not (table.component(call.row) in _ATTEMPTS and call.first_attempt in recovered)
    ]
    failures += [
        _make_failure(number, event, {})
        for number, event in enumerate(all_events, 1)
        if event["event_type"] == "error_occurred"
    ]
    return RecordedRun(
        [_make_tool_call(table, call) for call in calls if table.component(call.row) == "tool"],
        [_make_model_call(table, call) for call in calls if table.component(call.row) == "llm"],
        sorted(failures, key=lambda failure: failure.number),
        [name for call in calls if (name := table.name(call.row))],
        totals.totals(),
        "".join(
            piece.text
            for event in all_events
            if event["event_type"] == OUTPUT
            for piece in read_pieces(0, event)
            if piece.stream == STDOUT and not TOOL_CALL.search(piece.task)
        ),
    )


def _make_failure(number: int, event: Event, start: Event) -> RunFailure:
    component, name = (start or event)["component"], start.get("component_name", event.get("component_name"))
    return RunFailure(
        f"{component} {name}" if name else component,
        lenient.string(event.get("error_type")),
        lenient.string(event.get("error")),
        lenient.string(event.get("call_site", start.get("call_site"))),
        number,
    )


def _make_tool_call(table: SpanTable, call: _CallEvents) -> RecordedToolCall:
    inputs, end = lenient.mapping(call.start.get("inputs")), call.end
    return RecordedToolCall(
        table.name(call.row),
        lenient.mapping(inputs.get("arguments")),
        lenient.mapping(end.get("outputs")).get("result"),
        lenient.string(end.get("error")),
        lenient.string(end.get("error_type")),
        span_status(end),
        lenient.string(inputs.get("call_id")),
        end.get("duration_ms"),
        table.number[call.row],
    )


def _make_model_call(table: SpanTable, call: _CallEvents) -> ModelCall:
    inputs, end = lenient.mapping(call.start.get("inputs")), call.end
    outputs, cost = lenient.mapping(end.get("outputs")), table.cost_of(call.row)
    return ModelCall(
        table.name(call.row),
        lenient.mappings(inputs.get("messages")),
        lenient.string(outputs.get("text")),
        lenient.mappings(outputs.get("tool_calls")),
        lenient.string(outputs.get("finish_reason")),
        lenient.count(end.get("tokens_used")),
        cost and cost.dollars,
        lenient.string(end.get("error")),
        lenient.string(end.get("error_type")),
        span_status(end),
        end.get("duration_ms"),
        table.number[call.row],
    )
