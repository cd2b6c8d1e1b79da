"""Read a run as values for programs: its model calls, its tool calls, its failures, and its totals."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from namel3ss_debug.traces.costs import CallCosts
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.output import EVENT_TYPE as OUTPUT
from namel3ss_debug.traces.output import STDOUT, TOOL_CALL, read_pieces
from namel3ss_debug.traces.spans import Span, spans
from namel3ss_debug.traces.totals import RunningTotals, Totals, is_failure
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


def read_run(events: Iterable[Event]) -> RecordedRun:
    """Read a trace into memory, as the calls and failures of a run."""
    all_events = list(events)
    totals, costs, recovered = RunningTotals(), CallCosts(), set[str]()
    dollars: dict[int, float | None] = {}
    for number, event in enumerate(all_events, 1):
        totals.add(event)
        cost = costs.of(event)
        dollars[number] = None if cost is None else cost.dollars
    all_spans = sorted(spans(all_events), key=lambda span: span.number)
    for span in all_spans:
        first = lenient.mapping((span.start or {}).get("metadata")).get("retry_of")
        if isinstance(first, str) and span.status == "completed":
            recovered.add(first)
    failures = [
        _make_failure(span.end_number or span.number, span.end or {}, span)
        for span in all_spans
        if span.failed and not _is_recovered(span, recovered)
    ]
    failures += [
        _make_failure(number, event, None)
        for number, event in enumerate(all_events, 1)
        if event["event_type"] == "error_occurred" and is_failure(event)
    ]
    return RecordedRun(
        [_make_tool_call(span) for span in all_spans if span.component == "tool"],
        [_make_model_call(span, dollars) for span in all_spans if span.component == "llm"],
        sorted(failures, key=lambda failure: failure.number),
        [span.name for span in all_spans if span.name],
        totals.totals(),
        "".join(
            piece.text
            for event in all_events
            if event["event_type"] == OUTPUT
            for piece in read_pieces(0, event)
            if piece.stream == STDOUT and not TOOL_CALL.search(piece.task)
        ),
    )


def _is_recovered(span: Span, recovered: set[str]) -> bool:
    """Return whether a failed attempt is one of several, of which one succeeded."""
    first = lenient.mapping((span.start or {}).get("metadata")).get("retry_of", span.id)
    return span.component in _ATTEMPTS and first in recovered


def _make_failure(number: int, event: Event, span: Span | None) -> RunFailure:
    name = event.get("component_name") if span is None else span.name
    component = str(event.get("component", "")) if span is None else span.component
    start = {} if span is None else span.start or {}
    return RunFailure(
        f"{component} {name}" if name else component,
        lenient.string(event.get("error_type")),
        lenient.string(event.get("error")),
        lenient.string(event.get("call_site", start.get("call_site"))),
        number,
    )


def _make_tool_call(span: Span) -> RecordedToolCall:
    inputs, end = lenient.mapping((span.start or {}).get("inputs")), span.end or {}
    return RecordedToolCall(
        span.name or "",
        lenient.mapping(inputs.get("arguments")),
        lenient.mapping(end.get("outputs")).get("result"),
        lenient.string(end.get("error")),
        lenient.string(end.get("error_type")),
        span.status,
        lenient.string(inputs.get("call_id")),
        span.duration_ms if end.get("duration_ms") is not None else None,
        span.number,
    )


def _make_model_call(span: Span, dollars: dict[int, float | None]) -> ModelCall:
    inputs, end = lenient.mapping((span.start or {}).get("inputs")), span.end or {}
    outputs = lenient.mapping(end.get("outputs"))
    return ModelCall(
        span.name or "",
        lenient.mappings(inputs.get("messages")),
        lenient.string(outputs.get("text")),
        lenient.mappings(outputs.get("tool_calls")),
        lenient.string(outputs.get("finish_reason")),
        lenient.count(end.get("tokens_used")),
        dollars.get(span.end_number or 0),
        lenient.string(end.get("error")),
        lenient.string(end.get("error_type")),
        span.status,
        span.duration_ms if end.get("duration_ms") is not None else None,
        span.number,
    )
