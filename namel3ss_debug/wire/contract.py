"""The interface of every wire format: `Answer`, a model's answer in one form for all, and `Codec`, the functions.

A `Format` is a row of the table in `formats`: how its requests are recognised, and the module that is its codec.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from namel3ss_debug.wire import lenient
from namel3ss_debug.wire.framing import SERVER_SENT, framing_of

Json = dict[str, Any]


class Answer(NamedTuple):
    """A model's answer, in the same form for every provider; a field that the provider did not send is None.

    `finish_reason` is the provider's own word. A tool call is `{id, name, arguments}`, its arguments parsed
    where they are JSON, else the raw text (of a stream that was cut, or after a model's mistake).
    `usage` counts tokens under the names of the event format: `input_tokens` includes cached tokens,
    `output_tokens` includes reasoning; the three parts are there only when the provider sends them.
    `vectors` and `dimensions` describe an embedding. Of several choices (`n` > 1) this is the first.
    `billing` holds the terms, other than its standard ones, on which the provider bills the call, `cost` the cost that
    it reports, in US dollars; see `billing`.
    """

    text: str | None = None
    tool_calls: list[Json] = []  # noqa: RUF012  (nobody adds to it)
    finish_reason: str | None = None
    response_model: str | None = None
    usage: dict[str, int] = {}  # noqa: RUF012  (as above)
    reasoning: str | None = None
    response_id: str | None = None
    refusal: str | None = None
    vectors: int | None = None
    dimensions: int | None = None
    billing: dict[str, str] = {}  # noqa: RUF012  (as above)
    cost: float | None = None

    def outputs(self) -> Json:
        """The `outputs` of an `llm_call_end` event; fields that are null are left out."""
        if self.vectors is not None:
            shown: Json = {"vectors": self.vectors, "dimensions": self.dimensions}
        else:
            shown = {"text": self.text, "tool_calls": self.tool_calls, "finish_reason": self.finish_reason}
        shown["response_model"] = self.response_model
        shown["reasoning"] = self.reasoning
        shown["refusal"] = self.refusal
        return lenient.known(shown)

    def spent(self) -> Json:
        """The fields of an `llm_call_end` event for tokens and money; empty where nothing is known."""
        told: Json = {}
        if self.usage:
            total = self.usage.get("input_tokens", 0) + self.usage.get("output_tokens", 0)
            told = {"usage": self.usage, "tokens_used": total}
        if self.billing:
            told["billing"] = self.billing
        return told if self.cost is None else {**told, "cost_estimate": self.cost}


class Codec(Protocol):
    """How to read and write a format: a module that has these functions is one.

    The functions that read never raise, whatever is in the body.
    """

    def decode_request(self, body: object, /) -> Json:
        """The request as `{"model", "messages", "tools", "params"}`; messages are `{role, parts}`."""

    def decode_response(self, body: object, /) -> Answer:
        """The answer in the body of a response that was not streamed, or in one made by `join_stream`."""

    def join_events(self, events: list[Json], /) -> Json:
        """The events of a stream, which may be cut, as the body of a response that was not streamed."""

    def is_content(self, event: object, /) -> bool:
        """Whether one event of a stream contains output of the model: text, reasoning or a tool call."""

    def encode_response(self, answer: Answer, request: Json, *, response_id: str, created: int) -> Json:
        """The answer as the body of a response that is not streamed; `created` is in seconds since the epoch."""

    def encode_stream(self, answer: Answer, request: Json, *, response_id: str, created: int) -> list[bytes]:
        """The answer as the chunks of a stream, each one whole event (or one document for a format without streams)."""

    def encode_error(self, status: int, kind: str, message: str) -> Json:
        """The body of an error response; an empty `kind` becomes the provider's usual word for the HTTP status."""


def _as_it_is(path: str, request: Json) -> Json:
    del path
    return request


@dataclass(frozen=True)
class Format:
    """One wire format: how to recognise it, and the codec that reads and writes it.

    `name` is ours, `provider` and `operation` are the OpenTelemetry values of `gen_ai.provider.name` and
    `gen_ai.operation.name`. `paths` are endings of URL paths, `accepts` looks at the keys of the request.
    """

    name: str
    provider: str
    operation: str
    paths: tuple[str, ...]
    accepts: Callable[[Json], bool]
    codec: Codec
    complete: Callable[[str, Json], Json] = _as_it_is
    """Adds to the request what is only in the URL path or is implied: `model`, `stream`."""
    stream_type: str = SERVER_SENT.content_type
    """The content type of a streamed answer that is written by the codec."""

    def join_stream(self, raw: bytes, content_type: str | None = None) -> Json:
        """The body that a streamed response would have had without streaming.

        For a stream that was cut, it holds what had arrived. A body that is one JSON document, as a gateway may
        send in place of a stream, is returned unchanged; a list of events (Gemini) is joined.

        Args:
            raw: the body.
            content_type: that of the response; without it, server-sent events are looked for.
        """
        framing = framing_of(content_type) or SERVER_SENT
        events = framing.events(raw)
        if events:
            return self.codec.join_events(events)
        whole = lenient.load(raw)
        return (
            self.codec.join_events(lenient.mappings(whole))
            if isinstance(whole, list)
            else lenient.mapping(whole)
        )
