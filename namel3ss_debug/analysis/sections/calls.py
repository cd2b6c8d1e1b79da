"""The calls in which patterns are looked for: a few fields of each, and which of them are at one level.

The request and the answer of a call are kept as checksums of their canonical JSON, so a call takes the same few hundred
bytes whatever its payload. -1 stands for data that was not recorded, and equals nothing.

Two calls are at one level where their nearest enclosing agent, chain or tool is the same. The turns of an agent and the
steps of a chain do not separate the calls in them. The steps, chains and agents hold the calls of models, tools and
memory, so they are a level of their own beside these. Steps within steps are at one level if they have the same depth,
and so are calls within model calls: no call is at one level with those that run inside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

import orjson

from namel3ss_debug.analysis.distributions import milliseconds
from namel3ss_debug.analysis.sections.usage import dollars
from namel3ss_debug.traces.facts import instant
from namel3ss_debug.traces.span_table import AT_TOP

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from namel3ss_debug.traces.events import Event
    from namel3ss_debug.traces.span_table import SpanTable

LLM, TOOL, MEMORY, STEP, CHAIN, AGENT, DECISION, OTHER = range(8)
"""The kinds of calls; `OTHER` are spans that only enclose, such as turns and prompts."""

COMPLETED, FAILED, OPEN = range(3)
"""The outcomes of a call."""

UNKNOWN = -1
LONGEST_TEXT = 240
"""The most bytes of the arguments of a tool that are kept; longer ones are known by their checksum only."""

WAITING = frozenset(
    [
        "accepted",
        "creating",
        "in_progress",
        "initializing",
        "not_ready",
        "pending",
        "processing",
        "queued",
        "running",
        "scheduled",
        "started",
        "starting",
        "submitted",
        "waiting",
        "working",
    ]
)
"""Values of `status` or `state` in an answer that ask to call again later."""

CURSORS = frozenset(
    [
        "after",
        "continuation",
        "continuation_token",
        "continue",
        "cursor",
        "end_cursor",
        "marker",
        "next",
        "next_cursor",
        "next_page",
        "next_page_token",
        "next_token",
        "page",
        "page_token",
        "scroll_id",
        "starting_after",
        "token",
    ]
)
"""The names of cursors: an answer holds one, and the next request passes it on to continue there."""

_KINDS = {"llm": LLM, "tool": TOOL, "chain": CHAIN, "agent": AGENT, "memory": MEMORY}
_OWNERS = frozenset({TOOL, CHAIN, AGENT})
_CALLS = frozenset({LLM, TOOL, MEMORY})
_ENCLOSING = frozenset({STEP, CHAIN, AGENT})
_CHOICES = ("chosen", "choice", "branch", "outcome", "decision", "result", "selected")
_CONDITIONS = frozenset({"decision", "condition"})
Operation = tuple[str, str]
"""A component and a name, such as tool and search."""


class PatternCall(NamedTuple):
    """One call, or one span around calls.

    Attributes:
        number, end_number: its events; the end is 0 for a span that never ended.
        row, parent: its row, `AT_TOP` for one event alone, and what `SpanTable.parent` has; at the top, the id of the run.
        kind: one of `LLM` to `OTHER`.
        operation: its component and name.
        request, answer: checksums of the arguments and of the answer; `UNKNOWN` where they were not recorded.
        began: nanoseconds since the epoch, where known.
        duration_ns: where known.
        outcome: `COMPLETED`, `FAILED` or `OPEN`.
        retried: whether it is recorded as an attempt after a failed one.
        size: of a model call, how many messages its request has.
        tokens: all of its tokens.
        cost: 1e-12 dollars, where known.
        text: the arguments of a tool as JSON, or the choice of a decision; empty where it is too long.
        cursor_in, cursor_out: checksums of the cursors in the request and in the answer; 0 where there is none.
        asks_to_wait: whether the answer asks to call again later.
        choice: whether it is a decision, whose answer is the way that was chosen.
    """

    number: int
    end_number: int
    row: int
    parent: int | str
    kind: int
    operation: Operation
    request: int
    answer: int
    began: int | None
    duration_ns: int | None
    outcome: int
    retried: bool
    size: int = 0
    tokens: int = 0
    cost: int | None = None
    text: bytes = b""
    cursor_in: int = 0
    cursor_out: int = 0
    asks_to_wait: bool = False
    choice: bool = False


class Reader:
    """Makes calls out of spans and events. Equal operations share one object."""

    def __init__(self) -> None:
        self._operations: dict[Operation, Operation] = {}

    def _operation(self, component: str, name: str) -> Operation:
        operation = (component, name)
        return self._operations.setdefault(operation, operation)

    def call(self, spans: SpanTable, row: int, start: Event, end: Event) -> PatternCall:
        """Return the call of a span."""
        kind = _kind_of(start)
        request, answer, text, size, cursor_in, cursor_out, asks_to_wait = _payload_fields(kind, start, end)
        choice = start.get("step_type") in _CONDITIONS or end.get("step_type") in _CONDITIONS
        if choice and answer != UNKNOWN:
            text = _dump_short(end.get("outputs"))
        failed, cost = bool(spans.failed[row]), spans.cost[row]
        if failed:
            answer = checksum(f"{end.get('error_type')}: {end.get('error')}")
        began, duration = spans.began[row], spans.duration[row]
        return PatternCall(
            *(spans.number[row], spans.end[row], row, _parent_of(start, spans.parent[row])),
            *(kind, spans.operations[spans.operation[row]], request, answer),
            began if began >= 0 else None,
            duration if duration >= 0 else None,
            FAILED if failed else COMPLETED if end else OPEN,
            bool(spans.retried[row]),
            size,
            spans.tokens[row],
            cost if cost >= 0 and (kind == LLM or "cost_estimate" in end) else None,
            text,
            *(cursor_in, cursor_out),
            asks_to_wait,
            choice,
        )

    def open_call(self, number: int, row: int, parent: int, start: Event) -> PatternCall:
        """Return the call of a span that has only begun: its place among the others, without its payloads."""
        operation = self._operation(start["component"], start.get("component_name") or "")
        where = (number, 0, row, _parent_of(start, parent), _kind_of(start), operation)
        return PatternCall(*where, UNKNOWN, UNKNOWN, instant(start.get("timestamp")), None, OPEN, False)

    def point_call(self, number: int, event: Event, parent: int) -> PatternCall:
        """Return the call of an event without an end: an access to the memory, or a decision.

        Args:
            number: its number.
            event: the event.
            parent: what `SpanTable.parent` would have for it.
        """
        inputs, outputs, began = event.get("inputs"), event.get("outputs"), event.get("timestamp")
        deciding = event["event_type"] == "decision"
        if deciding:
            chosen = _choice_of(outputs, event.get("metadata"))
            request = UNKNOWN if inputs is None else checksum(inputs)
            answer, text = UNKNOWN if chosen is None else checksum(chosen), _dump_short(chosen)
        else:
            request = checksum([event.get("metadata", {}).get("operation"), inputs])
            answer, text = UNKNOWN if outputs is None else checksum(outputs), _dump_short(inputs)
        return PatternCall(
            *(number, number, AT_TOP, _parent_of(event, parent)),
            DECISION if deciding else MEMORY,
            self._operation(event["component"], event.get("component_name") or ""),
            *(request, answer, instant(began), 0),
            *(FAILED if "error" in event else COMPLETED, False),
            text=text,
            choice=deciding,
        )


def _parent_of(event: Event, parent: int) -> int | str:
    """Return the parent; at the top the id of the run, so that several runs in one trace are kept apart."""
    return str(event.get("execution_id")) if parent == AT_TOP else parent


def _kind_of(start: Event) -> int:
    """Return the kind of a span. The event type distinguishes steps and turns from chains and agents."""
    kind = _KINDS.get(start["component"], OTHER)
    if kind == CHAIN and start["event_type"] == "chain_step_start":
        return STEP
    return OTHER if kind == AGENT and start["event_type"] == "agent_turn_start" else kind


def _payload_fields(kind: int, start: Event, end: Event) -> tuple[int, int, bytes, int, int, int, bool]:
    """Return the fields of a call that come from its payloads, in their order."""
    request, answer, text, size, cursor_in, cursor_out, asks_to_wait = UNKNOWN, UNKNOWN, b"", 0, 0, 0, False
    if kind == OTHER:
        return request, answer, text, size, cursor_in, cursor_out, asks_to_wait
    inputs, outputs = start.get("inputs"), end.get("outputs")
    if kind == TOOL:
        if inputs is not None:
            arguments = inputs.get("arguments", inputs)
            text = _dump(arguments)
            request, cursor_in = crc32(text) if text else UNKNOWN, _cursor_of(arguments)
            text = text if len(text) <= LONGEST_TEXT else b""
        if outputs is not None:
            result = outputs.get("result", outputs)
            answer, cursor_out, asks_to_wait = checksum(result), _cursor_of(result), _asks_to_wait(result)
        return request, answer, text, size, cursor_in, cursor_out, asks_to_wait
    if inputs is not None:
        request = checksum(inputs)
    if kind == LLM:
        messages = inputs.get("messages") if inputs is not None else None
        size = len(messages) if isinstance(messages, list) else 0
        outputs = _answer(outputs)
    if outputs is not None:
        answer = checksum(outputs)
    return request, answer, text, size, cursor_in, cursor_out, asks_to_wait


def _answer(outputs: Any) -> Any:
    """Return the answer of a model without the ids that are new each time; None where it was not recorded."""
    if not isinstance(outputs, dict) or ("text" not in outputs and "tool_calls" not in outputs):
        return outputs or None
    calls = outputs.get("tool_calls")
    request = [
        [call.get("name"), call.get("arguments")] if isinstance(call, dict) else call
        for call in (calls if isinstance(calls, list) else ())
    ]
    return [outputs.get("text"), request]


def _dump(value: Any) -> bytes:
    """Return a value as canonical JSON; b"" for a value that is not JSON."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        return b""


def checksum(value: Any) -> int:
    """Return a number that is equal where the canonical JSON of two values is; `UNKNOWN` for a value that is not JSON."""
    if value is None:
        return crc32(b"null")
    dumped = _dump(value)
    return crc32(dumped) if dumped else UNKNOWN


def _dump_short(value: Any) -> bytes:
    """Return a value as canonical JSON; b"" where that is too long to be kept."""
    text = b"" if value is None else _dump(value)
    return text if len(text) <= LONGEST_TEXT else b""


def _cursor_of(payload: Any) -> int:
    """Return the checksum of the value under a name of `CURSORS`; 0 where there is none."""
    if type(payload) is dict:
        for name, value in payload.items():
            if name in CURSORS and value and isinstance(value, str | int):
                return crc32(str(value).encode(errors="replace")) or 1  # 0 means that there is no cursor
    return 0


def _asks_to_wait(result: Any) -> bool:
    """Return whether a result, or its status, is a word of `WAITING`."""
    if type(result) is dict:
        result = result.get("status", result.get("state"))
    return (
        isinstance(result, str)
        and len(result) < 20
        and result.lower().replace(" ", "_").replace("-", "_") in WAITING
    )


def _choice_of(outputs: Any, metadata: Any) -> Any:
    """Return the way that a decision went: the value under a name of `_CHOICES`, else all of its outputs."""
    for payload in (outputs, metadata):
        if isinstance(payload, dict):
            for name in _CHOICES:
                if name in payload:
                    return payload[name]
    return outputs if outputs is not None else metadata


class Levels(NamedTuple):
    """The calls that are at one level with each other, each list by number.

    Attributes:
        calls: those of models, tools and memory.
        enclosing: steps, chains and agents.
    """

    calls: list[list[PatternCall]]
    enclosing: list[list[PatternCall]]


def group_levels(calls: Iterable[PatternCall]) -> Levels:
    """Group calls, which are in the order of their numbers, by the agent, chain or tool around them."""
    kinds: list[int] = []
    owners: list[tuple[int, int, int]] = []  # the owner, and how many calls and steps lie between
    indexes: dict[int | str, int] = {}
    tops: dict[int | str, int] = {}
    levels: tuple[dict[tuple[int, int], list[PatternCall]], dict[tuple[int, int], list[PatternCall]]] = (
        {},
        {},
    )
    for index, call in enumerate(calls):
        above = indexes.get(call.parent)
        if above is None:
            owner, depth, steps = tops.setdefault(call.parent, -1 - len(tops)), 0, 0
        elif kinds[above] in _OWNERS:
            owner, depth, steps = above, 0, 0
        else:
            owner, depth, steps = owners[above]
            # A call and the calls inside it are at different depths: they neither follow each other nor run in parallel.
            depth += kinds[above] in _CALLS
            steps += kinds[above] == STEP
        kinds.append(call.kind)
        owners.append((owner, depth, steps))
        if call.row != AT_TOP:
            indexes[call.row] = index
        if call.kind in _CALLS:
            levels[0].setdefault((owner, depth), []).append(call)
        elif call.kind in _ENCLOSING:
            levels[1].setdefault((owner, steps), []).append(call)
    return Levels(list(levels[0].values()), list(levels[1].values()))


def follows(call: PatternCall, earlier: PatternCall) -> bool:
    """Return whether a call began after another one had ended."""
    return 0 < earlier.end_number < call.number


def argument_values(call: PatternCall) -> dict[str, Any] | None:
    """Return the arguments of a tool if they are an object and were short enough to be kept."""
    if not call.text:
        return None
    values = orjson.loads(call.text)
    return values if isinstance(values, dict) else None


MOST_NUMBERS = 20
"""The most event numbers that are listed with a pattern; its `count` is the number of all."""


def pattern_to_json(
    kind: str,
    calls: Sequence[PatternCall],
    confidence: float,
    cost: dict[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Return a pattern as JSON.

    Args:
        kind: one of `patterns.KINDS`.
        calls: the calls that prove it, at least one; the operation is that of the first.
        confidence: from 0 to 1.
        cost: a result of `sum_cost`; None for that of the calls.
        **more: further fields of patterns of this kind.
    """
    component, name = calls[0].operation
    return {
        "kind": kind,
        "component": component,
        "component_name": name or None,
        "count": len(calls),
        "numbers": [call.number for call in calls[:MOST_NUMBERS]],
        "confidence": round(confidence, 3),
        "cost": sum_cost(calls) if cost is None else cost,
        **more,
    }


def sum_cost(calls: Iterable[PatternCall], more_ns: int = 0) -> dict[str, Any]:
    """Return the time, tokens and money of some calls; the money is None where no call has a known cost."""
    duration_ns, tokens, amount, priced = more_ns, 0, 0, False
    for call in calls:
        duration_ns += call.duration_ns or 0
        tokens += call.tokens
        if call.cost is not None:
            amount += call.cost
            priced = True
    return {"ms": milliseconds(duration_ns), "tokens": tokens, "usd": dollars(amount) if priced else None}


def operation_to_json(operation: Operation) -> dict[str, Any]:
    """Return an operation as a row of a list of operations."""
    component, name = operation
    return {"component": component, "component_name": name or None}


def parse_json(text: bytes) -> Any:
    """Return the value of a short JSON text; None where no text was kept."""
    return orjson.loads(text) if text else None


def repetition_confidence(times: int) -> float:
    """Return the confidence in something that happened this many times: 0.75 for three, 0.94 for five."""
    return 1 - 0.5 ** (times - 1)
