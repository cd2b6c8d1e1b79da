"""The answer in an end event: the response or value that the program got, or the exception."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

from namel3ss_debug.replay.rerunning.boundaries import MODEL, VALUED
from namel3ss_debug.traces.events import SPAN_FAILURES, Event
from namel3ss_debug.wire import event_stream, lenient
from namel3ss_debug.wire.values import Flaw, find_flaws, revive

INTERRUPT = "KeyboardInterrupt"
"""The type of the exception that Ctrl-C raises."""

BEARER = "token"
"""The kind of a flaw where the answer of an authorization server lacks its token, which a program passes on as it is."""
_PASSED_ON = {"$.access_token", "$.refresh_token"}
"""Where such an answer has them, beside its `token_type` (RFC 6749, 5.1); to a client they are opaque (1.4)."""

_NOT_ON_THE_WIRE = {"content-encoding", "content-length", "transfer-encoding"}
"""Headers that speak of the body as it was sent; a recording has it decoded."""


class Raised(NamedTuple):
    """An exception that ended a call: its type as `module.Class`, built-in ones by their name alone, and its text.

    `sent` is false of a request that had not left by then, where that makes a difference.
    """

    type: str
    text: str
    sent: bool = True


@dataclass(frozen=True)
class HttpAnswer:
    """A response as it was received.

    Attributes:
        status: the HTTP status; 0 where no head ever came.
        headers: those that are recorded, without the ones that tell how the body was encoded on the wire.
        chunks: the body, in the pieces of a stream, else whole.
        raised: the exception that ended it, after the head and the chunks where there are any.
        given_up: whether it was the program that gave it up, by a timeout of its own or by cancelling.
        whole: whether the body was received to its end.
        reason: what stood behind the status, where it was not what always does.
        encoding: how the body was encoded on the wire; "" where it was not.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    chunks: tuple[bytes, ...]
    raised: Raised | None
    given_up: bool
    whole: bool
    reason: str = ""
    encoding: str = ""


@dataclass(frozen=True)
class ToolAnswer:
    """What a tool gave back, or the exception it raised; with flaws, `value` is not what it was."""

    value: Any
    raised: Raised | None
    given_up: bool
    flaws: tuple[Flaw, ...]


def outputs_of(end: Event) -> dict[str, Any]:
    """What an end event says came out, with the error where it failed."""
    failure = {name: end[name] for name in ("error_type", "error") if name in end}
    return lenient.mapping(end.get("outputs")) | failure


def exchange_of(event: Event) -> dict[str, Any]:
    """What an event tells of an HTTP exchange."""
    return lenient.mapping(lenient.mapping(event.get("metadata")).get("exchange"))


def http_answer(end: Event, pieces: tuple[Any, ...]) -> HttpAnswer:
    """A response.

    Args:
        end: the end event of the exchange, {} where there is none.
        pieces: the outputs of the events that hold the chunks of a stream, in order.
    """
    exchange = exchange_of(end)
    headers = lenient.mapping(exchange.get("headers"))
    raised, given_up = raised_by(end, is_http=True)
    return HttpAnswer(
        status=lenient.count(exchange.get("status")) or 0,
        headers=tuple((name, str(value)) for name, value in headers.items() if name not in _NOT_ON_THE_WIRE),
        chunks=tuple(map(_chunk, pieces)) if pieces else tuple(filter(None, [_body(exchange, end)])),
        raised=raised,
        given_up=given_up or not end,
        whole=bool(end) and raised is None and not given_up and end.get("status") != "partial",
        reason=lenient.string(exchange.get("reason")) or "",
        encoding=(lenient.string(headers.get("content-encoding")) or "").strip().lower(),
    )


def tool_answer(end: Event) -> ToolAnswer:
    """What a tool gave back.

    Args:
        end: the end event of the call, {} where there is none.
    """
    raised, given_up = raised_by(end, is_http=False)
    if raised is not None:
        return ToolAnswer(
            None, raised, given_up, find_flaws(raised.text) + _flaws_of_state(state_raised(end))
        )
    value, flaws = revive(lenient.mapping(end.get("outputs")).get("result"))
    return ToolAnswer(
        value, None, given_up or not end, flaws + _inexact(lenient.mapping(end.get("metadata")))
    )


def flaws_of_end(kind: str, end: Event, *, streamed: bool) -> tuple[Flaw, ...]:
    """What an end event of a boundary of this kind does not hold as it was; the chunks of a stream stand elsewhere."""
    if kind in VALUED:
        return tool_answer(end).flaws
    if streamed:
        return ()
    exchange = exchange_of(end)
    if "body" in exchange or kind == MODEL:
        return flaws_of_chunk(exchange.get("body"))
    return _flaws_of_body(lenient.mapping(end.get("outputs")).get("body"))


def _flaws_of_body(body: Any) -> tuple[Flaw, ...]:
    """What the body of a response that is no model's does not hold as it was."""
    flaws = find_flaws(body)
    if not flaws or not isinstance(lenient.mapping(body).get("token_type"), str):
        return flaws
    return tuple(
        flaw._replace(kind=BEARER) if flaw.kind == "redacted" and flaw.path in _PASSED_ON else flaw
        for flaw in flaws
    )


def flaws_of_chunk(payload: Any) -> tuple[Flaw, ...]:
    """What bytes that are recorded are not as they were."""
    form = lenient.mapping(payload)
    told = form.get("text", form.get("messages"))
    return revive(form.get("data")).flaws if told is None else find_flaws(told)


def state_raised(end: Event) -> dict[str, Any]:
    """What the exception that ended a call of a tool held besides its type and text, as far as it is recorded."""
    return lenient.mapping(lenient.mapping(end.get("metadata")).get("raised"))


def _flaws_of_state(state: dict[str, Any]) -> tuple[Flaw, ...]:
    """What an exception held and is not recorded as it was, but for what is `lost`: without that it is given."""
    parts = (revive(state.get(name)).flaws for name in ("args", "attributes"))
    members = chain.from_iterable(map(_flaws_of_state, lenient.mappings(state.get("exceptions"))))
    return (*chain.from_iterable(parts), *_inexact(state), *members)


def _inexact(told_in: dict[str, Any]) -> tuple[Flaw, ...]:
    """What the recording itself says of a value: that its JSON form does not tell it as it was."""
    told = told_in.get("inexact")
    return tuple(Flaw("opaque", "$", str(one)) for one in told) if isinstance(told, list) else ()


def raised_by(end: Event, *, is_http: bool) -> tuple[Raised | None, bool]:
    """The exception that ended a call, and whether it was the program that gave the call up.

    A response of status 400 or more is a failure and no exception, and so is an error that a stream tells. An interrupt
    from the keyboard is an exception: nobody would interrupt the call again.
    """
    if end.get("status") == "cancelled":
        if end.get("error_type") == INTERRUPT:
            return Raised(INTERRUPT, ""), False
        return None, True
    told = exchange_of(end).get("raised")
    if isinstance(told, dict):
        sent = told.get("sent") is not False
        return Raised(str(told.get("type", "")), str(told.get("text", "")), sent), False
    state = {} if is_http else state_raised(end)
    if isinstance(state.get("type"), str):  # it told a framework how to go on, and so is no failure
        return Raised(state["type"], str(state.get("text", ""))), False
    if end.get("status") not in SPAN_FAILURES:
        return None, False
    if not is_http and _is_told_by_value(end):
        return None, False
    if is_http and exchange_of(end).get("status") is not None and "stack_trace" not in end:
        return None, False
    return Raised(str(end.get("error_type", "")), str(end.get("error", ""))), False


def _is_told_by_value(end: Event) -> bool:
    """Whether a failure is a result that says so, as of a tool of an MCP server, or an error of that protocol with its code."""
    outputs = lenient.mapping(end.get("outputs"))
    return (end.get("error_type") == "tool_error" and "result" in outputs) or "code" in lenient.mapping(
        outputs.get("error")
    )


def _chunk(payload: Any) -> bytes:
    """Bytes that are recorded as text, as the messages of a binary stream, or in the form of bytes."""
    form = lenient.mapping(payload)
    if "messages" in form:
        return event_stream.from_json(form["messages"])
    text = form.get("text")
    if isinstance(text, str):
        return text.encode("utf-8", "surrogatepass")
    value = revive(form.get("data")).value
    return value if isinstance(value, bytes) else b""


def _body(exchange: dict[str, Any], end: Event) -> bytes:
    """The body of a response: its bytes where they are recorded, else what was made of them for people to read."""
    if "body" in exchange:
        return _chunk(exchange["body"])
    body = lenient.mapping(end.get("outputs")).get("body")
    if body is None:
        return b""
    if isinstance(body, str):
        return body.encode("utf-8", "surrogatepass")
    if isinstance(body, dict) and body.get("$type") == "bytes":
        return _chunk({"data": body})
    return lenient.dump(body)
