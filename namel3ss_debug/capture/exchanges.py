"""One HTTP exchange as it is recorded: a model call when its shape says so, else an `http_exchange`.

The transports know libraries, this module knows none: it is told that a request leaves, that a response begins,
what bytes arrive, and how it ended. One attempt is one span; an attempt that repeats a failed one counts up
`retry_count` and names the first in `metadata.retry_of`. An exchange keeps the body until it is over; of a body
that is no model's answer, no more than can be shown of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from contextvars import ContextVar, Token
from functools import partial
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from namel3ss_debug import wire
from namel3ss_debug.capture import beneath, context, heads
from namel3ss_debug.capture.answers import REPORTED, Answers, Network, Response, response_of, uncut
from namel3ss_debug.capture.attempts import Attempts
from namel3ss_debug.capture.bodies import Decompressor, readable, readable_request
from namel3ss_debug.capture.calls import ToolCalls
from namel3ss_debug.capture.chunks import TELLING, Chunks, may_be_in_pieces, without_pieces
from namel3ss_debug.capture.context import Holder
from namel3ss_debug.capture.delivery import Delivery, in_turn
from namel3ss_debug.capture.determinism import lineage
from namel3ss_debug.capture.failures import describe
from namel3ss_debug.capture.payloads import parsed
from namel3ss_debug.capture.services import header_for
from namel3ss_debug.capture.spans import Span
from namel3ss_debug.capture.tracer import ExecutionTracer
from namel3ss_debug.traces.clocks import perf_counter_ns
from namel3ss_debug.wire.billing import read_header_cost, read_header_terms
from namel3ss_debug.wire.framing import EventDecoder, Framing
from namel3ss_debug.wire.lenient import dump, load

Pairs = list[tuple[str, str]]

INSIDE: ContextVar[bool] = ContextVar("namel3ss_debug_inside_exchange", default=False)
"""Whether the running code is a library that sends an exchange which is recorded already."""

_DONE = b"data: [DONE]"
"""What streams in the manner of OpenAI end with, behind which programs do not read."""
_LEAST_ROOM = 1 << 20
_WITHOUT_BODY = {204, 304}


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
            if wire.is_telemetry(url, headers):
                network = self.tracer.network
                return Report() if network is not None and network.is_closed() else None
            if method == "GET" and _opens_websocket(headers):
                self.tracer.unrecorded("a websocket")
                return None
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


def _opens_websocket(headers: Iterable[tuple[str, str]]) -> bool:
    """Whether a request asks for its connection, on which no HTTP follows: an answer to it from a recording leads nowhere."""
    return any(name.lower() == "upgrade" and value.lower() == "websocket" for name, value in headers)


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

    _received = 0
    _arrived = 0
    _count = 0
    _status = 0
    _reason: str | None = None
    _head = heads.NONE
    _head_seq: int | None = None
    _first_ms: float | None = None
    _stream: EventDecoder | None = None
    _framing: Framing | None = None
    _decompressor: Decompressor | None = None
    _pieces: Chunks | None = None
    _marks: Mapping[str, Any] = MappingProxyType({})

    def __init__(
        self, owner: Exchanges, method: str, url: str, headers: Iterable[tuple[str, str]], body: bytes | None
    ) -> None:
        self._owner = owner
        self._method = method.upper()
        self._url = url
        self._chunks: list[bytes] = []
        request = readable_request(body, headers)
        path = urlsplit(url).path
        self._format = wire.recognise(path, request) if body else None
        around = context.current()
        self._inside = None if around is None else around.event_id
        self._key = (wire.canonical_hash(self._method, url, request), self._inside)
        if self._format is not None:
            request = self._format.complete(path, request)
        elif self._method == "POST" and wire.is_batch_request(path, request):
            owner.tracer.uncounted("a batch of model calls")
        self._earlier = owner.attempts.take_up(self._key)
        self._span = self._begin(around, request, headers, body)
        self._started = perf_counter_ns()  # after the debugger may have held the program at the start
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
        given = uncut(given, self._owner.tracer.problem)
        response = response_of(given, self._format, request, method=self._method, event_id=event_id)
        self.response = response
        self._marks = given.marks()
        if response is not None:
            turn = in_turn(given, answers.may, event_id)
            self.delivery = Delivery(turn, response.delays, len(response.pieces))
            return
        if given.runs:
            self.network = self._owner.tracer.network
        if given.effect is not None:
            self.delivery = Delivery(None, (given.effect.delay_ms / 1000,))

    def _begin(
        self, around: Holder | None, request: Any, headers: Iterable[tuple[str, str]], body: bytes | None
    ) -> Span:
        tracer = self._owner.tracer
        payloads = tracer.payloads
        url: Any = payloads.text(payloads.url(self._url))
        exchange = {"method": payloads.text(self._method), "url": url, "hash": self._key[0]}
        if body:
            exchange["request_bytes"] = len(body)
            exchange["body_sha256"] = hashlib.sha256(body).hexdigest()
        chain, site = tracer.sites.trail(0)
        metadata: dict[str, Any] = {"chain": chain, "exchange": exchange}
        if lineage.active():
            metadata["lineage"] = lineage.current().told  # names of code and numbers, other ones in each task
        retries = None
        if self._earlier is not None:
            metadata["retry_of"], retries = self._earlier.first, self._earlier.count
        if self._format is None:
            inputs = {"method": self._method, "url": url}
            inputs |= {"headers": dict(payloads.headers(headers)), "body": request}
            name = urlsplit(self._url).netloc.rpartition("@")[2]
            told = parsed.ready_object(payloads, metadata, exchange, texts=chain)
            span = tracer.span("http", name, inputs, told, retry_count=retries, call_site=site)
            return span.open_within(around)
        beneath.recorded(beneath.LLM)
        decoded = self._format.codec.decode_request(request)
        metadata |= {
            "provider": self._format.provider,
            "operation": self._format.operation,
            "format": self._format.name,
        }
        self._owner.calls.returned(decoded.get("messages") or [], self._inside)
        if decoded["tools"]:
            self._owner.calls.offer(tuple(tool["name"] for tool in decoded["tools"] if tool.get("name")))
        shown = parsed.ready_request(payloads, decoded)
        told = parsed.ready_object(payloads, metadata, exchange, texts=chain)
        span = tracer.span("llm", decoded.get("model"), shown, told, retry_count=retries, call_site=site)
        return span.open_within(around)

    def respond(self, status: int, headers: Iterable[tuple[str, str]], reason: str | None = None) -> None:
        """The head of the response has arrived; `reason` is what stands behind the status."""
        try:
            self._status, self._reason = status, reason
            head = self._head = heads.read(headers)
            self._head_seq = self._owner.tracer.writer.next_seq
            if head.encoding:
                self._decompressor = Decompressor(head.encoding)
            if self._format is not None:
                self._framing = wire.find_framing(head.content_type)
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
        if self._status and b"".join(self._chunks[-3:]).rstrip().endswith(_DONE):
            return True
        length = self._head.length
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
        text = raw = None
        if self._format is not None:
            text = self._clear_text(body, document)
            if self._status:
                partial |= self._finish_llm(body, document)
            if text is None and body and not self._count:
                raw = self._without_pieces(body, document)
        elif self._status:
            body = self._without_pieces(body, None)
            shown = readable(body, self._head.content_type)
            span.set_output({"status": self._status, "headers": self._head.kept, "body": shown})
            raw = body if self._is_written_otherwise(body, shown) else None
        if self._status >= 400:
            self._finish_failed(body)
        elif partial and error is None:
            span.set(status="partial")
        metadata: dict[str, Any] = {"exchange": self._told(text, raw, error), **self._marks}
        if self._first_ms is not None:
            metadata["time_to_first_token_ms"] = self._first_ms
        span.set(metadata=metadata)

    def _told(self, text: str | None, raw: bytes | None, error: BaseException | None) -> Any:
        """What the end of the exchange tells of it; its body as a text that has no secrets, or as bytes."""
        payloads, status, reason = self._owner.tracer.payloads, self._status, self._reason
        exchange: dict[str, Any] = {"status": status} if status else {}
        if reason and reason != heads.phrase(status):
            exchange["reason"] = reason
        exchange["headers"] = self._head.kept
        exchange["response_bytes"] = self._received
        if self._head_seq is not None:
            exchange["head_seq"] = self._head_seq
        if self._count:
            exchange["chunks"] = self._count
        elif text is not None:
            exchange["body"] = {"text": text}
        elif raw is not None:
            exchange["body"] = readable_chunk(raw)
        if error is not None:
            failure = describe(error, payloads, with_trace=False)
            if failure.error_type is not None:
                exchange["raised"] = {"type": failure.error_type, "text": failure.error}
                if not self.sent:
                    exchange["raised"]["sent"] = False
        elif (
            text is not None
            and "reason" not in exchange
            and parsed.texts_are_clear(payloads, exchange["headers"])
        ):
            return parsed.ready_object(payloads, exchange, exchange["body"])
        return parsed.ready(payloads, exchange)

    def _clear_text(self, body: bytes, document: Any) -> str | None:
        """The text of an answer where it is known to have no secrets, as that of most is."""
        if type(document) is not dict:
            return None
        return parsed.clear_text(self._owner.tracer.payloads, body, document, TELLING, self._may_be_in_pieces)

    def _may_be_in_pieces(self, document: Any) -> bool:
        return may_be_in_pieces(document, partial(parsed.is_clear, self._owner.tracer.payloads))

    def _without_pieces(self, body: bytes, document: Any) -> bytes:
        """A body without the secrets that its events or its items spell in pieces; `document` is what it says as JSON."""
        payloads = self._owner.tracer.payloads
        redactor = payloads.redactor
        if redactor is None or not self._owner.tracer.keeps_payloads:
            return body
        framing = self._framing if self._format is not None else wire.find_framing(self._head.content_type)
        if framing is None and not self._may_be_in_pieces(document):
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
        whole = (
            document if type(document) is dict else self._format.join_stream(body, self._head.content_type)
        )
        answer = self._format.codec.decode_response(whole)
        self._span.set_output(parsed.ready(self._owner.tracer.payloads, answer.to_outputs()))
        headers = self._head.kept
        cost = read_header_cost(headers) if answer.cost is None else answer.cost
        answer = answer._replace(cost=cost, billing=read_header_terms(headers) | answer.billing)
        self._span.set(**answer.to_usage_fields())
        if answer.tool_calls:
            self._owner.calls.asked(answer.tool_calls, self._span.event_id, self._inside)
        failure = (wire.decode_failure if self._stream is None else wire.decode_error)(whole)
        if failure is not None:
            self._span.set(status="failed", error_type=failure[0], error=failure[1])
        return self._stream is not None and failure is None and answer.finish_reason is None

    def _finish_failed(self, body: bytes) -> None:
        kind, text = wire.decode_error(load(body)) or (None, None)
        if kind in (None, "error"):
            kind = self._head.kept.get("x-amzn-errortype", "").partition(":")[0] or kind
        self._span.set(
            status="failed",
            error_type=kind or f"HTTP {self._status}",
            error=text or self._reason or heads.phrase(self._status) or f"HTTP {self._status}",
        )


def readable_chunk(data: bytes) -> dict[str, Any]:
    """Bytes of a body as text where they are text, as messages where they are these, else as base64."""
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        from namel3ss_debug.wire import event_stream  # noqa: PLC0415  (a model's answer is text nearly always)

        messages = event_stream.to_json(data)
        return {"data": data} if messages is None else {"messages": messages}
