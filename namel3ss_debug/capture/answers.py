"""Answers given in place of calls: what may hold the program at an event, and how an answer becomes a response.

Capture does not know where answers come from. Whoever gives them is a `Gate`: it is told every event once it stands in
the recording, the program goes on when it returns, and for the start of a call it may return an answer. The seams give
that answer to the program and never make the call. Without a gate nothing of this is there.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple, Protocol

from namel3ss_debug.traces.events import Event
from namel3ss_debug.wire import Answer, Format, lenient

MOCKED = {"mocked": True}
"""What the end of a call says in its `metadata` when it was answered here, and never made."""

_JSON = "application/json"
_EVENTS = "text/event-stream"
_ANSWER_FIELDS = frozenset(
    {"text", "tool_calls", "finish_reason", "response_model", "reasoning", "refusal", "usage"}
)


class Given(NamedTuple):
    """An answer in place of a call: the value as it was given, and the `outputs` it makes in the call's end event."""

    value: Any
    outputs: dict[str, Any]


class Gate(Protocol):
    """What every event passes, in the order of the numbers of its process; its methods never raise an `Exception`."""

    def passed(self, event: Event, line: bytes) -> Given | None:
        """An event stands in the recording, on this line; the program goes on when this returns.

        Returns:
            The answer to the call that begins with the event, if it is given one.
        """

    def renew(self) -> None:
        """After a fork: this process is another one now."""

    def close(self) -> None:
        """The recording of this process is over."""


class Answers(Protocol):
    """Where a seam asks whether its call was given an answer."""

    def take(self, event_id: str) -> Given | None:
        """The answer to the call that began with this event; whoever takes it answers the call with it."""


class Response(NamedTuple):
    """An HTTP response that was never sent: the body stands in pieces, as a stream would bring them."""

    status: int
    reason: str
    headers: list[tuple[str, str]]
    pieces: list[bytes]


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
        fields = {name: value for name, value in given.outputs.items() if name in _ANSWER_FIELDS}
        answer = Answer(**fields)
        frame: dict[str, Any] = {"response_id": f"mock-{event_id}", "created": int(time.time())}
        if request.get("stream") is True:
            return _response(200, "OK", _EVENTS, spoken.encode_stream(answer, request, **frame))
        body = lenient.dump(spoken.encode_response(answer, request, **frame))
    except Exception as error:
        why = f"the answer given for this call cannot be written as {spoken.name}: {error}"
        return _response(400, "Bad Request", _JSON, [lenient.dump(spoken.encode_error(400, "", why))])
    return _response(200, "OK", _JSON, [body])


def plain_response(given: Given) -> Response:
    """The value as the JSON body of a response, for a request that asks no model."""
    return _response(200, "OK", _JSON, [lenient.dump(given.value)])


def _response(status: int, reason: str, content_type: str, pieces: list[bytes]) -> Response:
    headers = [("content-type", content_type)]
    if content_type != _EVENTS:
        headers.append(("content-length", str(sum(map(len, pieces)))))
    return Response(status, reason, headers, pieces)
