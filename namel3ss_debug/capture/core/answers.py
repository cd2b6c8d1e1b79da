"""Answer calls without making them: who may pause the program at an event, and how an answer becomes a response.

Capture does not know where answers come from. A `StepChannel` receives each event once it is in the trace, and the
program goes on when it returns. For the start of a call it may return a reply: the seams then give the answer to the
program and never make the call. Without a channel, none of this is in place.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Mapping
from contextvars import Token
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from namel3ss_debug.traces.events import Event
from namel3ss_debug.wire import lenient

if TYPE_CHECKING:  # imported where a response is made
    from namel3ss_debug.wire.contract import Format
    from namel3ss_debug.wire.faults import Effect
    from namel3ss_debug.wire.framing import Framing

MOCKED = {"mocked": True}
"""The `metadata` at the end of a call that was not made, because the user has mocked it."""

FROM_TRACE = {"answered": "recording"}
"""The `metadata` at the end of a call that was not made, because a trace answered it."""

HTTP_1_1 = "HTTP/1.1"

Step = Literal["head", "piece", "end"]
"""A part of an answer; the answer of a tool has an end alone."""

_REPLY_KEYS = {"answer", "fault", "http", "raised", "given_up", "run"}
_JSON = "application/json"
_TRANSPORT_HEADERS = {"content-length", "transfer-encoding", "connection", "keep-alive"}
_ANSWER_FIELDS = frozenset(
    {"text", "tool_calls", "finish_reason", "response_model", "reasoning", "refusal", "usage", "embeddings"}
)


class RecordedError(NamedTuple):
    """An exception that ended a call: its type as `module.Class` (a built-in one by its name alone) and its text.

    `stack` is the recorded stack trace, or "". `sent` is whether a request was sent before it was raised. `state` is the
    other contents of the exception, see `failures.exception_state`.
    """

    type: str
    text: str
    stack: str = ""
    sent: bool = True
    state: Mapping[str, Any] = MappingProxyType({})


class Response(NamedTuple):
    """An HTTP response that is not sent over the network: a recorded one, or one in place of an exchange.

    Attributes:
        status: the HTTP status; 0 if no head ever arrives.
        reason: the reason phrase of the status.
        headers: the headers, without those about the length of the body.
        pieces: the body, in pieces as it arrived, or as a stream would deliver it.
        raised: the exception that ends it, after the head and the pieces if there are any. Its type is a recorded class,
            or `timeout` or `connection`.
        hangs: whether nothing more arrives, until the program gives up by itself.
        delays: the seconds before the head, before each piece and before the end; those that are missing are 0.
        encoding: how the pieces have yet to be encoded to be what the headers say; "" if they are already.
        version: the version of HTTP.
    """

    status: int
    reason: str
    headers: list[tuple[str, str]]
    pieces: list[bytes]
    raised: RecordedError | None = None
    hangs: bool = False
    delays: tuple[float, ...] = ()
    encoding: str = ""
    version: str = HTTP_1_1

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Response:
        """Read a response from its JSON form, with the pieces in base64."""
        raised = values.get("raised")
        return cls(
            values.get("status") or 0,
            values.get("reason") or "",
            [(name, value) for name, value in values.get("headers") or ()],
            [base64.b64decode(piece) for piece in values.get("pieces") or ()],
            None
            if raised is None
            else RecordedError(
                raised["type"], raised["text"], sent=raised.get("sent", True), state=raised.get("state") or {}
            ),
            bool(values.get("given_up")),
            tuple(values.get("delays") or ()),
            values.get("encoding") or "",
            values.get("version") or HTTP_1_1,
        )


EMPTY_REPORT = Response(200, "OK", [("content-type", _JSON)], [b'{"status":1,"successes":[],"errors":[]}'])
"""The response to an SDK that reports its own usage while nothing may be sent.

Some repeat a report for minutes until it is accepted, and not all accept an empty 204. The members are those that some
of them read.
"""


class CallReply(NamedTuple):
    """What happens to a call: the answer that replaces it, a fault, or its real execution.

    Attributes:
        value: the mocked or recorded value.
        outputs: the `outputs` of the call's end event; `None` if there is no value.
        effect: the fault that is injected into the call.
        recorded_response: the recorded HTTP response.
        raised: the recorded exception of a tool; with `hangs`, the exception with which its connection is lost.
        hangs: whether the call never ends, until the program gives up by itself.
        runs: whether it is made for real, with the network open meanwhile.
        ordered: whether the answer waits for its turn, see `ReplySource.may_end`.
        recorded: whether a trace answers it, and not the user.
        delay: the seconds until a tool answers; a response has delays of its own.
        tries: whether the tool is tried as well, in a copy of the program.
        changed: the new values of the arguments that the recorded tool has changed, by name.
        guarded: `limit` or `breaker` if one of these answers it in place of making it.
        other_model: the model that is asked in place of the one whose circuit is open.
    """

    value: Any = None
    outputs: dict[str, Any] | None = None
    effect: Effect | None = None
    recorded_response: Response | None = None
    raised: RecordedError | None = None
    hangs: bool = False
    runs: bool = False
    ordered: bool = False
    recorded: bool = False
    delay: float = 0.0
    tries: bool = False
    changed: Mapping[str, Any] = MappingProxyType({})
    guarded: str = ""
    other_model: str = ""

    @classmethod
    def from_json(cls, message: Mapping[str, Any]) -> CallReply | None:
        """Read the reply of the shell to a call; `None` if it only lets the call be made."""
        if not _REPLY_KEYS & message.keys():
            return None
        effect, raised = None, message.get("raised")
        if message.get("fault"):
            from namel3ss_debug.wire.faults import Effect  # few calls have a fault

            effect = Effect.from_json(message["fault"])
        return cls(
            message.get("answer"),
            message.get("outputs") or {} if "answer" in message else None,
            effect,
            Response.from_json(message["http"]) if message.get("http") else None,
            None
            if raised is None
            else RecordedError(
                raised["type"], raised["text"], raised.get("stack") or "", state=raised.get("state") or {}
            ),
            bool(message.get("given_up")),
            bool(message.get("run")),
            bool(message.get("ordered")),
            "answer" not in message or bool(message.get("recorded")),
            message.get("delay") or 0.0,
            bool(message.get("try")),
            message.get("changed") or {},
        )

    @property
    def answers(self) -> bool:
        """Whether the call gets an answer and is not made."""
        replaced = self.effect is not None and self.effect.replaces
        named = self.outputs is not None or self.recorded_response is not None or self.raised is not None
        return replaced or named or self.hangs

    def to_metadata(self) -> dict[str, Any]:
        """Return the `metadata` that marks the end of the call; {} if the call was simply made."""
        metadata: dict[str, Any] = {}
        if self.effect is not None:
            metadata["fault"] = self.effect.kind
        if self.guarded:
            metadata["guarded"] = self.guarded
        elif self.effect is not None and self.effect.replaces:
            metadata |= MOCKED
        elif self.answers:
            metadata |= FROM_TRACE if self.recorded else MOCKED
        return metadata


def drop_impossible_cut(reply: CallReply, problem: Callable[[str], None]) -> CallReply:
    """Return the reply without a truncation that has no answer to truncate, which is reported as a problem."""
    if reply.answers or reply.effect is None or reply.effect.kind != "truncate":
        return reply
    problem("an answer that is not recorded cannot be truncated")
    return reply._replace(effect=None)


class StepChannel(Protocol):
    """Receives every event of a process, in order, and may answer calls; its methods never raise an `Exception`."""

    def send_event(self, event: Event, line: bytes) -> CallReply | None:
        """Send an event that was written as this line, and wait until the program may go on.

        Returns:
            How the call that begins with the event is answered; `None` where it is simply made.
        """

    def may_end(self, event_id: str, waited: float) -> bool:
        """Return whether an answer may end now, see `ReplySource.may_end`."""

    def report_listening(self, port: int, site: str | None) -> None:
        """Report that the program listens on this port (0: any) from now on, from this line of its code.

        No client may ever connect, so a program that waits there may wait forever.
        """

    def check_connection(self) -> None:
        """Check that the shell is still connected, while nothing else would show it."""

    def renew(self) -> None:
        """Open a connection of its own for a forked process."""

    def close(self) -> None:
        """Close the channel at the end of the trace of this process."""


class ReplySource(Protocol):
    """Gives the seams the replies to their calls."""

    def take(self, event_id: str) -> CallReply | None:
        """Return the reply to the call that began with this event, once, to the seam that answers the call."""

    def may_end(self, event_id: str, waited: float) -> bool:
        """Return whether an answer may end now.

        Args:
            event_id: the id of the event that the call began with.
            waited: the seconds for which it has waited for its turn already.
        """

    def report_listening(self, port: int, site: str | None) -> None:
        """Report that the program listens on this port from now on, see `StepChannel.report_listening`."""


class Network(Protocol):
    """Closes the network to this process, except for calls that are made for real."""

    def is_closed(self) -> bool:
        """Return whether the network is closed to the running code."""

    def open(self) -> None:
        """Open the network for a request that is made for real."""

    def close(self) -> None:
        """Close the network again when the request was answered or has failed."""

    def open_for(self, span: Any) -> None:
        """Open the network to what runs inside this span, until the span ends; with `None`, to the whole process."""

    def open_here(self) -> Token[bool]:
        """Open the network to what runs from here on, and to what that starts."""

    def close_here(self, token: Token[bool]) -> None:
        """Close the network again to what runs from here on; it stays open to what was started before."""


def make_response(
    reply: CallReply, spoken: Format | None, request: Any, *, method: str, event_id: str
) -> Response | None:
    """Return the response to an HTTP exchange that is not sent; `None` if it is to be sent.

    Args:
        reply: how the exchange is answered.
        spoken: the wire format of the request; `None` where it asks no model.
        request: the body of the request, as JSON has it.
        method: the method of the request.
        event_id: the id of the call's start event.
    """
    effect = reply.effect
    if effect is not None and effect.replaces:
        response = _make_error(effect, spoken)
    elif reply.outputs is not None:
        response = (
            plain_response(reply) if spoken is None else model_response(reply, spoken, request, event_id)
        )
    elif reply.recorded_response is not None:
        response = _fit_headers(reply.recorded_response, method)
    elif reply.raised is not None or reply.hangs:
        response = Response(0, "", [], [], reply.raised, reply.hangs)
    else:
        return None
    if effect is not None and effect.kind == "truncate":
        response = _truncate(response, spoken, request)
    if effect is not None and effect.delay_ms:
        first, *rest = response.delays or (0.0,)
        response = response._replace(delays=(first + effect.delay_ms / 1000, *rest))
    return response


def _make_error(effect: Effect, spoken: Format | None) -> Response:
    from namel3ss_debug.wire.faults import make_error_response  # few calls have a fault

    if effect.raised is not None:
        return Response(0, "", [], [], RecordedError(effect.raised, effect.text))
    status, reason, headers, body = make_error_response(effect, spoken)
    return Response(status, reason, list(headers), [body])


def _fit_headers(recorded_response: Response, method: str) -> Response:
    """Return a recorded response with headers that fit its body: the recorded body is decoded, and may be in pieces."""
    headers = [
        (name, value) for name, value in recorded_response.headers if name.lower() not in _TRANSPORT_HEADERS
    ]
    whole = recorded_response.raised is None and not recorded_response.hangs
    has_body = (
        method != "HEAD" and recorded_response.status >= 200 and recorded_response.status not in (204, 304)
    )
    if whole and has_body and not is_stream(headers):
        headers.append(("content-length", str(sum(map(len, recorded_response.pieces)))))
    return recorded_response._replace(headers=headers)


def is_stream(headers: list[tuple[str, str]]) -> bool:
    """Return whether these are the headers of a stream of events."""
    return find_stream_framing(headers) is not None


def find_stream_framing(headers: list[tuple[str, str]]) -> Framing | None:
    """Return the framing of the stream that a response with these headers is; `None` if it is no stream."""
    from namel3ss_debug.wire.framing import find_framing  # most processes answer nothing

    return find_framing(next((value for name, value in headers if name.lower() == "content-type"), None))


def _truncate(response: Response, spoken: Format | None, request: Any) -> Response:
    """Return the response with its body cut in the middle; nothing in it shows the cut."""
    from namel3ss_debug.wire.faults import cut_response, cut_stream  # few calls have a fault

    if not response.status or response.status >= 400:
        return response
    framing = find_stream_framing(response.headers)
    if framing is not None:
        pieces = cut_stream(response.pieces, framing)
    else:
        pieces = [cut_response(b"".join(response.pieces), spoken, lenient.mapping(request))]
    headers = [(name, value) for name, value in response.headers if name != "content-length"]
    if framing is None:
        headers.append(("content-length", str(sum(map(len, pieces)))))
    return response._replace(headers=headers, pieces=pieces, raised=None, hangs=False)


def model_response(reply: CallReply, spoken: Format, request: dict[str, Any], event_id: str) -> Response:
    """Return what the provider would send if its model had answered so.

    Args:
        reply: the answer; its outputs are those of an `llm_call_end`.
        spoken: the wire format of the request.
        request: the body of the request, as JSON has it.
        event_id: the id of the call's start event, of which the response gets its id.

    Returns:
        The response. An answer that cannot be written in this format is refused with status 400, and the reason is
        the text of the error that the program gets.
    """
    from namel3ss_debug.wire.contract import Answer  # most processes answer nothing

    try:
        outputs = reply.outputs or {}
        fields = {name: value for name, value in outputs.items() if name in _ANSWER_FIELDS}
        answer = Answer(**fields)
        frame: dict[str, Any] = {"response_id": f"mock-{event_id}", "created": int(time.time())}
        if request.get("stream") is True:
            pieces = spoken.codec.encode_stream(answer, request, **frame)
            return Response(200, "OK", [("content-type", spoken.stream_type)], pieces)
        body = lenient.dump(spoken.codec.encode_response(answer, request, **frame))
    except Exception as error:
        why = f"the mocked answer of this call cannot be written as {spoken.name}: {error}"
        return _response(400, "Bad Request", _JSON, lenient.dump(spoken.codec.encode_error(400, "", why)))
    return _response(200, "OK", _JSON, body)


def plain_response(reply: CallReply) -> Response:
    """Return a response with the value as its JSON body, for a request to anything but a model."""
    return _response(200, "OK", _JSON, lenient.dump(reply.value))


def _response(status: int, reason: str, content_type: str, body: bytes) -> Response:
    headers = [("content-type", content_type), ("content-length", str(len(body)))]
    return Response(status, reason, headers, [body])
