"""One HTTP exchange as it is recorded: a model call when its shape says so, else an `http_exchange`.

The transports know libraries, this module knows none: it is told that a request leaves, that a response begins,
what bytes arrive, and how it ended. One attempt is one span; an attempt that repeats a failed one counts up
`retry_count` and names the first in `metadata.retry_of`. An exchange keeps the body until it is over; of a body
that is no model's answer, no more than can be shown of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextvars import ContextVar, Token
from functools import lru_cache, partial
from time import perf_counter_ns
from typing import Any
from urllib.parse import urlsplit

from namel3ss_debug import wire
from namel3ss_debug.capture import beneath, context
from namel3ss_debug.capture.answers import REPORTED, Answers, Network, Response, response_of
from namel3ss_debug.capture.attempts import Attempts
from namel3ss_debug.capture.bodies import Decompressor, readable, readable_request
from namel3ss_debug.capture.calls import ToolCalls
from namel3ss_debug.capture.chunks import Chunks, may_be_in_pieces, without_pieces
from namel3ss_debug.capture.delivery import Delivery, in_turn
from namel3ss_debug.capture.determinism import lineage
from namel3ss_debug.capture.failures import describe
from namel3ss_debug.capture.payloads import Ready, parsed
from namel3ss_debug.capture.services import header_for
from namel3ss_debug.capture.spans import Span
from namel3ss_debug.capture.tracer import ExecutionTracer
from namel3ss_debug.wire.framing import EventDecoder, Framing
from namel3ss_debug.wire.lenient import dump, load

Pairs = list[tuple[str, str]]

INSIDE: ContextVar[bool] = ContextVar("namel3ss_debug_inside_exchange", default=False)
"""Whether the running code is a library that sends an exchange which is recorded already."""

_LEAST_ROOM = 1 << 20
_WITHOUT_BODY = {204, 304}
_KEPT_HEADERS = frozenset(
    {
        "content-type", "content-encoding", "content-disposition", "retry-after", "retry-after-ms", "x-should-retry",
        "x-request-id", "request-id", "apim-request-id", "x-amzn-requestid", "location", "link", "etag", "last-modified",
        "mcp-session-id", "www-authenticate",
    }
)  # fmt: skip
_KEPT_FAMILIES = ("x-ratelimit-", "ratelimit-", "openai-", "anthropic-")


class Exchanges:
    """Records the HTTP traffic of this process.

    Args:
        tracer: where the spans go.
        calls: the tool calls that models asked for.
    """

    def __init__(self, tracer: ExecutionTracer, calls: ToolCalls) -> None:
        self.tracer = tracer
        self.calls = calls
        self.open: dict[Exchange, None] = {}  # in order of their beginning
        self.attempts = Attempts()
        self.room = _room(tracer)

    def renew(self) -> None:
        """After a fork: what is open belongs to the other process, and so do the locks."""
        self.open.clear()
        self.attempts.renew()
        self.calls.renew()

    def begin(
        self, method: str, url: str, headers: Iterable[tuple[str, str]], body: bytes | None
    ) -> Exchange | Report | None:
        """A request is about to leave; `None` when it is not recorded. Never raises."""
        try:
            if INSIDE.get():
                return None
            if wire.is_telemetry(url):
                network = self.tracer.network
                return Report() if network is not None and network.is_closed() else None
            return Exchange(self, method, url, headers, body)
        except Exception as error:
            self.tracer.problem("an HTTP request could not be recorded", error)
            return None

    def abandon(self) -> None:
        """End what the program never read to its end; called when the process ends."""
        for exchange in list(self.open):
            exchange.close()


class Report:
    """A request by which an SDK reports its own use, where nothing is to be sent: answered, and not recorded."""

    response: Response | None = REPORTED
    delivery: Delivery | None = Delivery()
    network: Network | None = None
    carried: str | None = None
    sent: bool = True

    def respond(self, status: int, headers: Iterable[tuple[str, str]], reason: str | None = None) -> None:
        """Nothing."""

    def receive(self, data: bytes, *, decoded: bool = False) -> None:
        """Nothing."""

    def fail(self, error: BaseException) -> None:
        """Nothing."""

    def end(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


def enter(exchange: Exchange | Report | None) -> Token[bool]:
    """What runs next is a library that sends an exchange which is recorded."""
    if exchange is not None and exchange.network is not None:
        exchange.network.open()
    return INSIDE.set(True)


def leave(token: Token[bool], exchange: Exchange | Report | None) -> None:
    """The library has answered or failed."""
    if exchange is not None and exchange.network is not None:
        exchange.network.close()
    try:
        INSIDE.reset(token)
    except ValueError:  # a coroutine that was never finished is closed in another context
        pass


def _room(tracer: ExecutionTracer) -> int | None:
    """How many bytes are kept of a body that is only shown; `None`: all."""
    if not tracer.keeps_payloads:
        return 0
    size = tracer.config.max_payload_size
    return max(_LEAST_ROOM, 4 * size) if size else None


class Exchange:
    """One request and what came back. Its methods never raise.

    Where `response` is not `None`, the request is not to be sent, and that response is what the program gets, delivered
    as `delivery` says. Where there is a delivery alone, its head is waited for before the request is sent. A `network`
    is to be opened while it is sent. `carried` is the `traceparent` that it is to be sent with. A seam sets `sent` to
    false where the request fails before it has left, and that is not told by the exception.
    """

    response: Response | None = None
    delivery: Delivery | None = None
    network: Network | None = None
    carried: str | None = None
    sent: bool = True

    def __init__(
        self, owner: Exchanges, method: str, url: str, headers: Iterable[tuple[str, str]], body: bytes | None
    ) -> None:
        self._owner = owner
        self._method = method.upper()
        self._url = url
        self._chunks: list[bytes] = []
        self._received = 0
        self._arrived = 0
        self._status = 0
        self._reason: str | None = None
        self._headers: Pairs = []
        self._content_type: str | None = None
        self._first_ms: float | None = None
        self._stream: EventDecoder | None = None
        self._framing: Framing | None = None
        self._decompressor: Decompressor | None = None
        self._count = 0
        self._pieces: Chunks | None = None
        request = readable_request(body, headers)
        path = urlsplit(url).path
        self._format = wire.recognise(path, request) if body else None
        self._inside = context.current_id()
        self._key = (wire.canonical_hash(self._method, url, request), self._inside)
        if self._format is not None:
            request = self._format.complete(path, request)
        self._earlier = owner.attempts.take_up(self._key)
        self._span = self._begin(request, headers, body)
        self._started = perf_counter_ns()  # after the debugger may have held the program at the start
        self._marks: dict[str, Any] = {}
        self._head_seq: int | None = None
        if owner.tracer.answers is not None:
            self._ask(owner.tracer.answers, request)
        self.carried = header_for(owner.tracer, url, headers, self._span.event_id)
        owner.open[self] = None

    def _ask(self, answers: Answers, request: Any) -> None:
        """Take what becomes of this exchange in place of, or beside, being sent."""
        event_id = self._span.event_id
        given = answers.take(event_id)
        if given is None:
            return
        response = response_of(given, self._format, request, method=self._method, event_id=event_id)
        self.response = response
        self._marks = given.marks()
        if response is not None:
            turn = in_turn(given, answers.may, event_id)
            self.delivery = Delivery(turn, response.delays, len(response.pieces))
            return
        if given.runs:
            self.network = self._owner.tracer.network
        if given.effect is not None and given.effect.kind == "truncate":
            self._marks = {}
            self._owner.tracer.problem("an answer that is not given here cannot be cut short")
        elif given.effect is not None:
            self.delivery = Delivery(None, (given.effect.delay_ms / 1000,))

    def _begin(self, request: Any, headers: Iterable[tuple[str, str]], body: bytes | None) -> Span:
        tracer = self._owner.tracer
        exchange: dict[str, Any] = {"method": self._method, "url": tracer.payloads.url(self._url)}
        exchange["hash"] = Ready(self._key[0])
        if body:
            exchange["request_bytes"] = len(body)
            exchange["body_sha256"] = Ready(hashlib.sha256(body).hexdigest())
        chain, site = tracer.sites.trail(0)
        metadata: dict[str, Any] = {"chain": chain, "exchange": exchange}
        if lineage.active():
            metadata["lineage"] = lineage.current().path
        retries = None
        if self._earlier is not None:
            metadata["retry_of"], retries = self._earlier.first, self._earlier.count
        if self._format is None:
            inputs = {"method": self._method, "url": exchange["url"]}
            inputs |= {"headers": dict(tracer.payloads.headers(headers)), "body": request}
            name = urlsplit(self._url).netloc.rpartition("@")[2]
            span = tracer.span("http", name, inputs, metadata, retry_count=retries, call_site=site)
            return span.open(enter=False)
        beneath.recorded(beneath.LLM)
        decoded = self._format.codec.decode_request(request)
        metadata |= {
            "provider": self._format.provider,
            "operation": self._format.operation,
            "format": self._format.name,
        }
        self._owner.calls.returned(decoded.get("messages") or [], self._inside)
        self._owner.calls.offer(tuple(tool["name"] for tool in decoded["tools"] if tool.get("name")))
        shown = parsed.request(tracer.payloads, decoded)
        model = decoded.get("model")
        span = tracer.span("llm", model, shown, metadata, retry_count=retries, call_site=site)
        return span.open(enter=False)

    def respond(self, status: int, headers: Iterable[tuple[str, str]], reason: str | None = None) -> None:
        """The head of the response has arrived; `reason` is what stands behind the status."""
        try:
            self._status, self._reason = status, reason
            self._headers = list(headers)
            self._content_type = _header(self._headers, "content-type")
            self._head_seq = self._owner.tracer.writer.next_seq
            self._decompressor = Decompressor(_header(self._headers, "content-encoding"))
            if self._format is not None:
                self._framing = wire.framing_of(self._content_type)
                if self._framing is not None:
                    self._stream = self._framing.decoder()
                    tracer = self._owner.tracer
                    redactor = tracer.payloads.redactor if tracer.keeps_payloads else None
                    self._pieces = Chunks(self._framing, redactor, self._emit_chunk, self._next_seq)
        except Exception as error:
            self._owner.tracer.problem("an HTTP response could not be recorded", error)

    def receive(self, data: bytes, *, decoded: bool = False) -> None:
        """A piece of the body has arrived, as it stood on the wire unless `decoded`."""
        if self not in self._owner.open or not data:
            return
        try:
            self._arrived += len(data)
            plain = data if decoded or self._decompressor is None else self._decompressor.feed(data)
            self._received += len(plain)
            room = None if self._format is not None else self._owner.room
            if room is None or self._received <= room:
                self._chunks.append(plain)
            elif (left := room - self._received + len(plain)) > 0:
                self._chunks.append(plain[:left])
            if self._stream is not None:
                self._chunk(plain)
        except Exception as error:
            self._owner.tracer.problem("a piece of an HTTP response could not be recorded", error)

    def _chunk(self, plain: bytes) -> None:
        assert self._stream is not None
        assert self._pieces is not None
        assert self._format is not None
        if self._first_ms is None and any(map(self._format.codec.is_content, self._stream.feed(plain))):
            self._first_ms = (perf_counter_ns() - self._started) / 1e6
        self._pieces.feed(plain)

    def _emit_chunk(self, data: bytes, arrived: int | None) -> None:
        metadata = {"index": self._count}
        if arrived is not None:
            metadata["arrived_seq"] = arrived
        self._span.emit("stream_chunk", readable_chunk(data), metadata)
        self._count += 1

    def _next_seq(self) -> int:
        return self._owner.tracer.writer.next_seq

    def fail(self, error: BaseException) -> None:
        """The exchange has ended by an exception."""
        self._end(error=error)

    def end(self) -> None:
        """The body has been read to its end."""
        self._end()

    def close(self) -> None:
        """The response is closed; where its body was not read to the end, the exchange is partial."""
        if self in self._owner.open:
            self._end(partial=not self._is_whole())

    def _is_whole(self) -> bool:
        """Whether no more can be missing than an end that is known: a stream tells its end by what it says."""
        if self._stream is not None or self._method == "HEAD" or self._status in _WITHOUT_BODY:
            return self._status != 0
        length = _header(self._headers, "content-length")
        return self._status != 0 and length is not None and str(self._arrived) == length.strip()

    def _end(self, *, error: BaseException | None = None, partial: bool = False) -> None:
        """The exchange is over; only the first call counts."""
        owner = self._owner
        try:
            del owner.open[self]  # in one step: of two threads, one goes on
        except KeyError:
            return
        event_id = self._span.event_id
        try:
            self._finish(partial=partial, error=error)
            if error is not None or self._span.end_fields.get("status") == "failed":
                owner.attempts.failed(self._key, event_id, self._earlier)
        except Exception as problem:
            owner.tracer.problem("the end of an HTTP exchange could not be recorded", problem)
        self._span.close(error)
        self._chunks.clear()

    def _finish(self, *, partial: bool, error: BaseException | None) -> None:
        span, body = self._span, b"".join(self._chunks)
        if self._pieces is not None:
            self._pieces.finish()
        document = load(body) if self._format is not None and self._framing is None else None
        named = [(name.lower(), value) for name, value in self._headers]
        kept = {n: value for n, value in named if n in _KEPT_HEADERS or n.startswith(_KEPT_FAMILIES)}
        exchange: dict[str, Any] = {
            "status": self._status or None,
            "reason": _unusual(self._status, self._reason),
            "headers": kept,
            "response_bytes": self._received,
            "head_seq": self._head_seq,
        }
        if self._count:
            exchange["chunks"] = self._count
        elif self._format is not None and body:
            exchange["body"] = self._shown_body(body, document)
        if error is not None:
            failure = describe(error, self._owner.tracer.payloads, with_trace=False)
            if failure.error_type is not None:
                exchange["raised"] = {"type": failure.error_type, "text": failure.error}
                if not self.sent:
                    exchange["raised"]["sent"] = False
        metadata: dict[str, Any] = {
            "exchange": {key: value for key, value in exchange.items() if value is not None}
        }
        metadata |= self._marks
        if self._first_ms is not None:
            metadata["time_to_first_token_ms"] = self._first_ms
        if self._format is not None and self._status:
            partial |= self._finish_llm(body, document)
        elif self._status:
            body = self._without_pieces(body, None)
            shown = readable(body, self._content_type)
            span.set_output({"status": self._status, "headers": kept, "body": shown})
            if self._is_written_otherwise(body, shown):
                metadata["exchange"]["body"] = readable_chunk(body)
        if self._status >= 400:
            self._finish_failed(body)
        elif partial and error is None:
            span.set(status="partial")
        span.set(metadata=parsed.ready(self._owner.tracer.payloads, metadata))

    def _shown_body(self, body: bytes, document: Any) -> dict[str, Any]:
        clear = self._without_pieces(body, document)
        shown = readable_chunk(clear)
        if clear is body and type(document) is dict and "text" in shown:
            parsed.vouch(self._owner.tracer.payloads, shown["text"], document)
        return shown

    def _without_pieces(self, body: bytes, document: Any) -> bytes:
        """A body without the secrets that its events or its items spell in pieces; `document` is what it says as JSON."""
        payloads = self._owner.tracer.payloads
        redactor = payloads.redactor
        if redactor is None or not self._owner.tracer.keeps_payloads:
            return body
        framing = self._framing if self._format is not None else wire.framing_of(self._content_type)
        if framing is None and not may_be_in_pieces(document, partial(parsed.is_clear, payloads)):
            return body
        return without_pieces(body, framing, redactor)

    def _is_written_otherwise(self, body: bytes, shown: Any) -> bool:
        """Whether the JSON that is shown of the body, written again, gives other bytes, which are then to be kept too.

        Not where something in it is secret: a name tells that beside a value that is read, and not in a text.
        """
        if not body or isinstance(shown, bytes) or len(body) != self._received:
            return False
        again = shown.encode("utf-8", "surrogatepass") if isinstance(shown, str) else dump(shown)
        tracer = self._owner.tracer
        return again != body and tracer.keeps_payloads and tracer.payloads.convert(shown).whole

    def _finish_llm(self, body: bytes, document: Any) -> bool:
        """Read the model's answer, from the JSON that it is or else from the body; whether it is a stream that was cut."""
        assert self._format is not None
        if self._status >= 400 or not body:
            return self._stream is not None
        whole = document if type(document) is dict else self._format.join_stream(body, self._content_type)
        answer = self._format.codec.decode_response(whole)
        self._span.set_output(parsed.ready(self._owner.tracer.payloads, answer.outputs()))
        if answer.usage:
            total = answer.usage.get("input_tokens", 0) + answer.usage.get("output_tokens", 0)
            self._span.set(usage=answer.usage, tokens_used=total)
        self._owner.calls.asked(answer.tool_calls, self._span.event_id, self._inside)
        failure = wire.decode_error(whole) if self._stream is not None else None
        if failure is not None:
            self._span.set(status="failed", error_type=failure[0], error=failure[1])
        return self._stream is not None and failure is None and answer.finish_reason is None

    def _finish_failed(self, body: bytes) -> None:
        kind, text = wire.decode_error(load(body)) or (None, None)
        self._span.set(
            status="failed",
            error_type=kind or f"HTTP {self._status}",
            error=text or self._reason or _phrase(self._status) or f"HTTP {self._status}",
        )


def readable_chunk(data: bytes) -> dict[str, Any]:
    """Bytes of a body as text where they are text, as messages where they are these, else as base64."""
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        from namel3ss_debug.wire import event_stream  # noqa: PLC0415  (a model's answer is text nearly always)

        messages = event_stream.readable(data)
        return {"data": data} if messages is None else {"messages": messages}


def _unusual(status: int, reason: str | None) -> str | None:
    """What stands behind the status, where it is not what always does."""
    return None if not reason or reason == _phrase(status) else reason


@lru_cache(64)
def _phrase(status: int) -> str:
    """What always stands behind a status."""
    from http import HTTPStatus  # noqa: PLC0415  (every library that has a response has imported it)

    return next((one.phrase for one in HTTPStatus if one == status), "")


def _header(headers: Pairs, name: str) -> str | None:
    for key, value in headers:
        if key.lower() == name:
            return value
    return None
