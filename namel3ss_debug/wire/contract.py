"""The interface of every wire format: `Answer`, a model's answer in one form for all, and `Codec`, the functions.

A `Format` is a row of the table in `formats`: it recognises the requests of one format and names the module that is its
codec.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from namel3ss_debug.wire import lenient
from namel3ss_debug.wire.framing import SERVER_SENT, find_framing

Json = dict[str, Any]


_OF_ALL_CHOICES = ("response_model", "further_choices")
"""The outputs that belong to all choices of a response."""


class Answer(NamedTuple):
    """A model's answer, in the same form for every provider; a field that the provider did not send is None.

    `finish_reason` is the provider's own word. A tool call is `{id, name, arguments}`. Its arguments are parsed if they
    are JSON; otherwise they are the raw text, because the stream was cut or the model made a mistake.
    `usage` counts tokens under the names of the event format: `input_tokens` includes cached tokens, `output_tokens`
    includes reasoning. The cached and reasoning tokens are counted separately only if the provider sends these counts.
    `vectors` and `dimensions` describe an embedding, `embeddings` are its vectors, which only traces of other tools hold. Of several choices (`n` > 1) this is the first;
    `further_choices` has the others, each as its `outputs`.
    `billing` holds the provider's billing terms for the call, except standard ones; `cost` is the cost that it reports,
    in US dollars. See the module `billing`.
    """

    text: str | None = None
    tool_calls: list[Json] = []  # noqa: RUF012  (it is never changed)
    finish_reason: str | None = None
    response_model: str | None = None
    usage: dict[str, int] = {}  # noqa: RUF012  (as above)
    reasoning: str | None = None
    response_id: str | None = None
    refusal: str | None = None
    vectors: int | None = None
    dimensions: int | None = None
    embeddings: list[list[float]] = []  # noqa: RUF012  (as above)
    billing: dict[str, str] = {}  # noqa: RUF012  (as above)
    cost: float | None = None
    further_choices: list[Json] = []  # noqa: RUF012  (as above)

    def to_choice(self) -> Json:
        """Return the answer as one of several choices."""
        outputs = self.to_outputs()
        return {name: value for name, value in outputs.items() if name not in _OF_ALL_CHOICES}

    def to_outputs(self) -> Json:
        """Return the `outputs` of an `llm_call_end` event, without fields that are null."""
        if self.vectors is not None:
            outputs: Json = {"vectors": self.vectors, "dimensions": self.dimensions}
        else:
            outputs = {"text": self.text, "tool_calls": self.tool_calls, "finish_reason": self.finish_reason}
        outputs["response_model"] = self.response_model
        outputs["reasoning"] = self.reasoning
        outputs["refusal"] = self.refusal
        if self.further_choices:
            outputs["further_choices"] = self.further_choices
        return lenient.drop_none(outputs)

    def to_usage_fields(self) -> Json:
        """Return the fields of an `llm_call_end` event for tokens and money; empty if nothing is known."""
        fields: Json = {}
        if self.usage:
            total = self.usage.get("input_tokens", 0) + self.usage.get("output_tokens", 0)
            fields = {"usage": self.usage, "tokens_used": total}
        if self.billing:
            fields["billing"] = self.billing
        return fields if self.cost is None else {**fields, "cost_estimate": self.cost}


class Codec(Protocol):
    """The functions that read and write a format; a module that has them is a codec.

    The functions that read never raise, whatever the body contains.
    """

    def decode_request(self, body: object, /) -> Json:
        """Return the request as `{"model", "messages", "tools", "params"}`; messages are `{role, parts}`."""

    def decode_response(self, body: object, /) -> Answer:
        """Return the answer in the body of a response that was not streamed, or in a body from `join_stream`."""

    def join_events(self, events: list[Json], /) -> Json:
        """Join the events of a stream, which may be cut, into the body of a response that was not streamed."""

    def is_content(self, event: object, /) -> bool:
        """Return whether one event of a stream contains output of the model: text, reasoning or a tool call."""

    def encode_response(self, answer: Answer, request: Json, *, response_id: str, created: int) -> Json:
        """Return the answer as the body of a response that is not streamed; `created` is in seconds since the epoch."""

    def encode_stream(self, answer: Answer, request: Json, *, response_id: str, created: int) -> list[bytes]:
        """Return the answer as the chunks of a stream, each a whole event, or one document if the format cannot stream."""

    def encode_error(self, status: int, kind: str, message: str) -> Json:
        """Return the body of an error response; an empty `kind` becomes the provider's usual word for the status."""


def _keep_request(path: str, request: Json) -> Json:
    """Return the request unchanged, for formats whose requests have everything in the body."""
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
    complete: Callable[[str, Json], Json] = _keep_request
    """Adds to the request the fields that are only in the URL path or are implied: `model`, `stream`."""
    stream_type: str = SERVER_SENT.content_type
    """The content type of a streamed answer that the codec writes."""
    encode_request: Callable[[Json], Json] | None = None
    """Returns the body of a decoded request, so that it can be sent again; None for formats that are only read."""
    call_end: bytes = rb'"finish_reason":\s*"[^"]'
    """A pattern that is in the event of a stream with which a requested tool call is complete."""

    def join_stream(self, raw: bytes, content_type: str | None = None) -> Json:
        """Return the body that a streamed response would have had without streaming.

        The body of a stream that was cut holds what had arrived.

        Args:
            raw: the streamed body.
            content_type: the content type of the response; without it, the stream is read as server-sent events.
        """
        framing = find_framing(content_type) or SERVER_SENT
        events = framing.parse(raw)
        if events:
            return self.codec.join_events(events)
        document = lenient.load(raw)
        if isinstance(document, list):  # without `alt=sse`, Gemini streams one JSON array of its events
            return self.codec.join_events(lenient.mappings(document))
        return lenient.mapping(document)  # a gateway may send one document in place of the stream
