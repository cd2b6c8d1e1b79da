"""Answers given in place of calls: what may hold the program at an event, and how an answer becomes a response.

Capture does not know where answers come from. Whoever gives them is a `Gate`: it is told every event once it stands in
the recording, the program goes on when it returns, and for the start of a call it may return an answer. The seams give
that answer to the program and never make the call. Without a gate nothing of this is there.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Mapping
from contextvars import Token
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from namel3ss_debug.traces.events import Event
from namel3ss_debug.wire import Answer, Format, find_framing, lenient

if TYPE_CHECKING:  # imported where something goes wrong
    from namel3ss_debug.wire.faults import Effect
    from namel3ss_debug.wire.framing import Framing

MOCKED = {"mocked": True}
"""What the end of a call says in its `metadata` when the user answered it, and it was never made."""

FROM_RECORDING = {"answered": "recording"}
"""The same where a recording answered it."""

Step = Literal["head", "piece", "end"]
"""A part of an answer that is delivered in its turn; a tool's answer has an end alone."""

_SAYS_SOMETHING = {"answer", "fault", "http", "raised", "given_up", "run"}
_JSON = "application/json"
_OF_THE_WIRE = {"content-encoding", "content-length", "transfer-encoding", "connection", "keep-alive"}
_ANSWER_FIELDS = frozenset(
    {"text", "tool_calls", "finish_reason", "response_model", "reasoning", "refusal", "usage"}
)


class Raised(NamedTuple):
    """An exception that ended a call: its type as `module.Class`, a built-in one by its name alone, and its text.

    `stack` is the stack trace that was recorded with it; "" where there is none. `sent` says of a request whether it
    had left by then, where that makes a difference. `state` is what an exception of a tool held besides, see
    `failures.state_of`.
    """

    type: str
    text: str
    stack: str = ""
    sent: bool = True
    state: Mapping[str, Any] = MappingProxyType({})


class Response(NamedTuple):
    """An HTTP response that is not sent over the network: as it was recorded, or what is given in place of an exchange.

    Attributes:
        status: the HTTP status; 0 where no head ever comes.
        reason: the words behind it.
        headers: those that do not speak of the body as it was sent; it is given decoded.
        pieces: the body, as it arrived or as a stream would bring it.
        raised: the exception that ends it, of a recorded class or of a nature, `timeout` or `connection`: after the
            head and the pieces where there are any.
        given_up: whether nothing more ever comes, until the program gives up by itself.
        delays: the seconds before the head, before each piece and before the end; those that are missing are 0.
        encoding: how the body was encoded as it was sent; "" where it was not. Clients that decode it by themselves are
            given it decoded.
    """

    status: int
    reason: str
    headers: list[tuple[str, str]]
    pieces: list[bytes]
    raised: Raised | None = None
    given_up: bool = False
    delays: tuple[float, ...] = ()
    encoding: str = ""

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Response:
        """What the gate is told: the pieces in base64."""
        raised = values.get("raised")
        return cls(
            values.get("status") or 0,
            values.get("reason") or "",
            [(name, value) for name, value in values.get("headers") or ()],
            [base64.b64decode(piece) for piece in values.get("pieces") or ()],
            None if raised is None else Raised(raised["type"], raised["text"], sent=raised.get("sent", True)),
            bool(values.get("given_up")),
            tuple(values.get("delays") or ()),
            values.get("encoding") or "",
        )


REPORTED = Response(200, "OK", [("content-type", _JSON)], [b'{"status":1,"successes":[],"errors":[]}'])
"""What SDKs that report their own use are answered where nothing is to be sent. Some repeat a report for minutes until it is
taken, and of an empty 204 not all believe that it was; the members are those that some look for."""


class Given(NamedTuple):
    """How a call is answered in place of being made, or what happens to it when it is made.

    Attributes:
        value: the answer as it was given.
        outputs: the `outputs` that it makes in the call's end event; `None` where no answer is given as a value.
        effect: what goes wrong at the call.
        played: the recorded response that is given in its place.
        raised: the recorded exception that a tool raises in its place; where it never ends, what its connection is lost
            by.
        given_up: whether it never ends, until the program gives it up by itself.
        runs: whether it is made for real, with the network open meanwhile.
        ordered: whether its answer waits for its turn, see `Answers.may`.
        recorded: whether a recording answers it; else the user does.
        delay: the seconds after which the answer of a tool comes; a response has its own.
    """

    value: Any = None
    outputs: dict[str, Any] | None = None
    effect: Effect | None = None
    played: Response | None = None
    raised: Raised | None = None
    given_up: bool = False
    runs: bool = False
    ordered: bool = False
    recorded: bool = False
    delay: float = 0.0

    @classmethod
    def from_json(cls, word: Mapping[str, Any]) -> Given | None:
        """Read the reply of the gate to a call; `None` where the reply only lets the call be made."""
        if not _SAYS_SOMETHING & word.keys():
            return None
        effect, raised = None, word.get("raised")
        if word.get("fault"):
            from namel3ss_debug.wire.faults import Effect  # noqa: PLC0415  (only here is it needed)

            effect = Effect.from_json(word["fault"])
        return cls(
            word.get("answer"),
            word.get("outputs") or {} if "answer" in word else None,
            effect,
            Response.from_json(word["http"]) if word.get("http") else None,
            None if raised is None else _raised(raised),
            bool(word.get("given_up")),
            bool(word.get("run")),
            bool(word.get("ordered")),
            "answer" not in word or bool(word.get("recorded")),
            word.get("delay") or 0.0,
        )

    @property
    def answers(self) -> bool:
        """Whether the call gets an answer and is not made."""
        replaced = self.effect is not None and self.effect.replaces
        named = self.outputs is not None or self.played is not None or self.raised is not None
        return replaced or named or self.given_up

    def marks(self) -> dict[str, Any]:
        """The `metadata` that marks the end of the call; empty where the call was simply made."""
        marks: dict[str, Any] = {}
        if self.effect is not None:
            marks["fault"] = self.effect.kind
        if self.effect is not None and self.effect.replaces:
            marks |= MOCKED
        elif self.answers:
            marks |= FROM_RECORDING if self.recorded else MOCKED
        return marks


def uncut(given: Given, problem: Callable[[str], None]) -> Given:
    """What becomes of a call, without a cut that cannot be made because no answer is given; that is told in words."""
    if given.answers or given.effect is None or given.effect.kind != "truncate":
        return given
    problem("an answer that is not given here cannot be cut short")
    return given._replace(effect=None)


def _raised(told: Mapping[str, Any]) -> Raised:
    """The exception of a tool, from the reply of the gate."""
    return Raised(told["type"], told["text"], told.get("stack") or "", state=told.get("state") or {})


class Gate(Protocol):
    """Sees every event of a process, in order, and may answer calls; its methods never raise an `Exception`."""

    def passed(self, event: Event, line: bytes) -> Given | None:
        """An event was written, as this line; the program goes on when this returns.

        Returns:
            How the call that begins with the event is answered; `None` where it is simply made.
        """

    def may(self, event_id: str, step: Step, index: int, waited: float) -> bool:
        """Whether a part of an answer may be delivered now, see `Answers.may`."""

    def listens(self, port: int, site: str | None) -> None:
        """The program listens on this port (0: any) from now on, at this place in its code; nobody may ever connect."""

    def look(self) -> None:
        """Check that the other side is still connected, while nothing else would show it."""

    def renew(self) -> None:
        """After a fork: this process is another one now."""

    def close(self) -> None:
        """The recording of this process is over."""


class Answers(Protocol):
    """Where a seam asks whether its call was given an answer."""

    def take(self, event_id: str) -> Given | None:
        """How the call that began with this event is answered; it is given once, to the seam that answers the call."""

    def may(self, event_id: str, step: Step, index: int, waited: float) -> bool:
        """Whether a part of an answer may be delivered now.

        Args:
            event_id: the id of the event that the call began with.
            step: which part.
            index: of a piece, its place among them, from 0.
            waited: the seconds for which it has waited for its turn already.
        """

    def listens(self, port: int, site: str | None) -> None:
        """The program listens on this port from now on, see `Gate.listens`."""


class Network(Protocol):
    """Closes the network to this process, but for calls that are made for real."""

    def is_closed(self) -> bool:
        """Whether the network is closed to the running code."""

    def open(self) -> None:
        """A request that is made for real is about to be sent."""

    def close(self) -> None:
        """The request was answered, or has failed."""

    def open_for(self, span: Any) -> None:
        """Open the network to what runs inside this span, until the span ends; with `None`, to the whole process."""

    def open_here(self) -> Token[bool]:
        """Open the network to what runs from here on, and to what that starts."""

    def close_here(self, token: Token[bool]) -> None:
        """Close the network again to what runs from here on; it stays open to what was started before."""


def response_of(
    given: Given, spoken: Format | None, request: Any, *, method: str, event_id: str
) -> Response | None:
    """The response that an HTTP exchange gets without being sent; `None` where it is to be sent.

    Args:
        given: how the exchange is answered.
        spoken: the wire format of the request; `None` where it asks no model.
        request: the body of the request, as JSON has it.
        method: the method of the request.
        event_id: the id of the call's start event.
    """
    effect = given.effect
    if effect is not None and effect.replaces:
        response = _failed(effect, spoken)
    elif given.outputs is not None:
        response = (
            plain_response(given) if spoken is None else model_response(given, spoken, request, event_id)
        )
    elif given.played is not None:
        response = _played(given.played, method)
    elif given.raised is not None or given.given_up:
        response = Response(0, "", [], [], given.raised, given.given_up)
    else:
        return None
    if effect is not None and effect.kind == "truncate":
        response = _cut(response, spoken, request)
    if effect is not None and effect.delay_ms:
        first, *rest = response.delays or (0.0,)
        response = response._replace(delays=(first + effect.delay_ms / 1000, *rest))
    return response


def _failed(effect: Effect, spoken: Format | None) -> Response:
    from namel3ss_debug.wire.faults import make_error_response  # noqa: PLC0415  (only here is it needed)

    if effect.raised is not None:
        return Response(0, "", [], [], Raised(effect.raised, effect.text))
    status, reason, headers, body = make_error_response(effect, spoken)
    return Response(status, reason, list(headers), [body])


def _played(played: Response, method: str) -> Response:
    """A recorded response, with headers that fit its body: the recorded body is decoded, and may be in pieces."""
    headers = [(name, value) for name, value in played.headers if name.lower() not in _OF_THE_WIRE]
    whole = played.raised is None and not played.given_up
    has_body = method != "HEAD" and played.status >= 200 and played.status not in (204, 304)
    if whole and has_body and not is_stream(headers):
        headers.append(("content-length", str(sum(map(len, played.pieces)))))
    return played._replace(headers=headers)


def is_stream(headers: list[tuple[str, str]]) -> bool:
    """Whether these are the headers of a stream of events."""
    return stream_of(headers) is not None


def stream_of(headers: list[tuple[str, str]]) -> Framing | None:
    """The framing of the stream that a response with these headers is; None where it is no stream."""
    return find_framing(next((value for name, value in headers if name.lower() == "content-type"), None))


def _cut(response: Response, spoken: Format | None, request: Any) -> Response:
    """The response with its body cut in the middle; nothing tells that it is."""
    from namel3ss_debug.wire.faults import cut_response, cut_stream  # noqa: PLC0415  (only here is it needed)

    if not response.status or response.status >= 400:
        return response
    framing = stream_of(response.headers)
    if framing is not None:
        pieces = cut_stream(response.pieces, framing)
    else:
        pieces = [cut_response(b"".join(response.pieces), spoken, lenient.mapping(request))]
    headers = [(name, value) for name, value in response.headers if name != "content-length"]
    if framing is None:
        headers.append(("content-length", str(sum(map(len, pieces)))))
    return response._replace(headers=headers, pieces=pieces, raised=None, given_up=False)


def model_response(given: Given, spoken: Format, request: dict[str, Any], event_id: str) -> Response:
    """What the provider would send if its model had answered so.

    Args:
        given: the answer; its outputs are those of an `llm_call_end`.
        spoken: the wire format of the request.
        request: the body of the request, as JSON has it.
        event_id: the id of the call's start event, of which the response gets its id.

    Returns:
        The response. An answer that cannot be written in this format is refused with status 400, and the reason is
        the text of the error that the program gets.
    """
    try:
        outputs = given.outputs or {}
        fields = {name: value for name, value in outputs.items() if name in _ANSWER_FIELDS}
        answer = Answer(**fields)
        frame: dict[str, Any] = {"response_id": f"mock-{event_id}", "created": int(time.time())}
        if request.get("stream") is True:
            pieces = spoken.codec.encode_stream(answer, request, **frame)
            return Response(200, "OK", [("content-type", spoken.stream_type)], pieces)
        body = lenient.dump(spoken.codec.encode_response(answer, request, **frame))
    except Exception as error:
        why = f"the answer given for this call cannot be written as {spoken.name}: {error}"
        return _response(400, "Bad Request", _JSON, lenient.dump(spoken.codec.encode_error(400, "", why)))
    return _response(200, "OK", _JSON, body)


def plain_response(given: Given) -> Response:
    """The value as the JSON body of a response, for a request that asks no model."""
    return _response(200, "OK", _JSON, lenient.dump(given.value))


def _response(status: int, reason: str, content_type: str, body: bytes) -> Response:
    headers = [("content-type", content_type), ("content-length", str(len(body)))]
    return Response(status, reason, headers, [body])
