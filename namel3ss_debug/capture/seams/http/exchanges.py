"""Record HTTP exchanges: as a model call if the request has a known wire format, or else as an `http_exchange`.

The modules `by_*` know the libraries, this module knows none: they report that a request is sent, that a response
begins, the bytes that arrive, and the end. One attempt is one span; an attempt that repeats a failed one counts up
`retry_count` and names the first in `metadata.retry_of`. An exchange keeps the body until it has ended; if the body is
not a model's answer, only as much as can be shown.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import Token
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from namel3ss_debug import wire
from namel3ss_debug.capture.core import announced, context, task_paths
from namel3ss_debug.capture.core.answers import (
    EMPTY_REPORT,
    HTTP_1_1,
    Network,
    ReplySource,
    Response,
    drop_impossible_cut,
    make_response,
)
from namel3ss_debug.capture.core.context import INSIDE, SpanLike
from namel3ss_debug.capture.core.delivery import Delivery, delivery_turn
from namel3ss_debug.capture.core.failures import to_raised
from namel3ss_debug.capture.core.tracer import ExecutionTracer, OpenSpan
from namel3ss_debug.capture.payloads.conversion import Ready
from namel3ss_debug.capture.seams.functions.requested_calls import RequestedCall, ToolCalls
from namel3ss_debug.capture.seams.http import heads
from namel3ss_debug.capture.seams.http.attempts import Attempts
from namel3ss_debug.capture.seams.http.bodies import (
    Decompressor,
    encode_body,
    parse_body,
    parse_outline,
    parse_request_body,
)
from namel3ss_debug.capture.seams.http.chunks import (
    Chunks,
    find_clear_text,
    may_have_split_secrets,
    redact_split_secrets,
)
from namel3ss_debug.capture.seams.http.request_bodies import StreamedBody
from namel3ss_debug.capture.seams.http.services import make_trace_header
from namel3ss_debug.traces.clocks import perf_counter_ns
from namel3ss_debug.wire.billing import read_header_cost, read_header_terms
from namel3ss_debug.wire.framing import EventDecoder, Framing
from namel3ss_debug.wire.lenient import dump, load

Pairs = list[tuple[str, str]]

_DONE = b"data: [DONE]"
"""The end of streams in the form of OpenAI. Programs do not read on after it."""
_LEAST_KEPT_BYTES = 1 << 20
_WITHOUT_BODY = {204, 304}


class Exchanges:
    """Records the HTTP traffic of this process.

    Args:
        tracer: writes the spans.
        calls: the tool calls that models request.
    """

    def __init__(self, tracer: ExecutionTracer, calls: ToolCalls) -> None:
        self.tracer = tracer
        self.calls = calls
        self.open: dict[Exchange, None] = {}  # in the order of their starts
        self.attempts = Attempts()
        self.kept_bytes = _limit_of_kept_bytes(tracer)

    def renew(self) -> None:
        """Forget the open exchanges and the locks after a fork, because they belong to the parent process."""
        self.open.clear()
        self.attempts.renew()

    def reads_ahead(self, body: bytes | StreamedBody | None) -> bool:
        """Return whether a body is to be read before its request begins, because the request may be answered."""
        return isinstance(body, StreamedBody) and self.tracer.answers is not None

    def begin(
        self, method: str, url: str, headers: Iterable[tuple[str, str]], body: bytes | StreamedBody | None
    ) -> AnyExchange | None:
        """Begin to record a request that is about to be sent; None if it is not recorded. Never raises."""
        return self._begin(Exchange.begin, method, url, headers, body)

    def begin_late(
        self, method: str, url: str, headers: Iterable[tuple[str, str]], body: StreamedBody
    ) -> AnyExchange | None:
        """Begin to record a request whose body is sent piece by piece; None if it is not recorded. Never raises."""
        return self._begin(LateExchange, method, url, headers, body)

    def _begin(
        self,
        begin: Callable[..., Exchange | LateExchange],
        method: str,
        url: str,
        headers: Iterable[tuple[str, str]],
        body: bytes | StreamedBody | None,
    ) -> AnyExchange | None:
        try:
            if INSIDE.get():
                return None
            if wire.is_telemetry(url, headers):
                network = self.tracer.network
                return TelemetryRequest() if network is not None and network.is_closed() else None
            if method == "GET" and any(
                name.lower() == "upgrade" and value.lower() == "websocket" for name, value in headers
            ):
                # What follows is no HTTP, so an answer from a trace would lead nowhere.
                self.tracer.unrecorded("a websocket")
                return None
            return begin(self, method, url, headers, body)
        except Exception as error:
            self.tracer.problem("an HTTP request could not be recorded", error)
            return None

    def abandon(self) -> None:
        """End the exchanges that the program never read to the end; called when the process ends."""
        for exchange in list(self.open):
            exchange.close()


class TelemetryRequest:
    """A request by which an SDK reports its own use, while nothing may be sent. It is answered, but not recorded."""

    response: Response | None = EMPTY_REPORT
    delivery: Delivery | None = Delivery()
    network: Network | None = None
    carried: str | None = None
    sent: bool = True

    def ignore(self, *_args: Any, **_more: Any) -> None:
        """Do nothing."""

    respond = receive = fail = end = close = ignore


class LateExchange:
    """A request whose streamed body is being sent, and its response. Its methods never raise.

    Its exchange begins when the body was sent, or when the response or a failure ends the sending before.
    """

    response: Response | None = None
    delivery: Delivery | None = None
    network: Network | None = None
    sent: bool = True

    def __init__(
        self,
        owner: Exchanges,
        method: str,
        url: str,
        headers: Iterable[tuple[str, str]],
        body: StreamedBody,
    ) -> None:
        self._owner = owner
        self._request = method, url, headers, body
        self._trail = owner.tracer.sites.trail(0)
        self._task = context.current_task()
        self._exchange: Exchange | None = None
        self._has_begun = False
        self.carried = make_trace_header(owner.tracer, url, headers, "")

    def begin(self) -> None:
        """Begin the exchange. Only the first call has an effect."""
        if self._has_begun:
            return
        self._has_begun = True
        try:
            with context.as_task(self._task):
                self._exchange = Exchange.begin(self._owner, *self._request, self._trail)
        except Exception as error:
            self._owner.tracer.problem("an HTTP request could not be recorded", error)

    def respond(
        self,
        status: int,
        headers: Iterable[tuple[str, str]],
        reason: str | None = None,
        version: str = HTTP_1_1,
    ) -> None:
        """Take the head of the response."""
        self.begin()
        if self._exchange is not None:
            self._exchange.respond(status, headers, reason, version)

    def receive(self, data: bytes, *, decoded: bool = False) -> None:
        """Take a piece of the body of the response."""
        if self._exchange is not None:
            self._exchange.receive(data, decoded=decoded)

    def fail(self, error: BaseException) -> None:
        """End the exchange with an exception."""
        self.begin()
        if self._exchange is not None:
            self._exchange.fail(error)

    def end(self) -> None:
        """End the exchange, because the body of the response has been read to its end."""
        if self._exchange is not None:
            self._exchange.end()

    def close(self) -> None:
        """End the exchange, because the response was closed."""
        self.begin()
        if self._exchange is not None:
            self._exchange.close()


def pause_before_retry(exchange: AnyExchange | None, attempt: int, failure: int | Exception) -> float | None:
    """Return the seconds before a request is to be sent again; None if it is not. See `Exchange.pause_before_retry`."""
    return exchange.pause_before_retry(attempt, failure) if isinstance(exchange, Exchange) else None


def enter(exchange: AnyExchange | None) -> Token[bool]:
    """Note that a library runs next which sends a recorded exchange."""
    if exchange is not None and exchange.network is not None:
        exchange.network.open()
    return INSIDE.set(True)


def leave(token: Token[bool], exchange: AnyExchange | None) -> None:
    """Note that the library has returned or failed."""
    if exchange is not None and exchange.network is not None:
        exchange.network.close()
    try:
        INSIDE.reset(token)
    except ValueError:  # a coroutine that was never finished is closed in another context
        pass


def _limit_of_kept_bytes(tracer: ExecutionTracer) -> int | None:
    """Return how many bytes of a body are kept if it is only shown; None for all."""
    if not tracer.keeps_payloads:
        return 0
    size = tracer.config.max_payload_size
    return max(_LEAST_KEPT_BYTES, 4 * size) if size else None


class Exchange:
    """One request and its response. Its methods never raise.

    Attributes:
        response: the response for the program, if the request is not to be sent.
        delivery: when the parts of the response may be delivered. Without a response, the seam waits for the head
            before it sends the request.
        network: to be opened while the request is sent.
        carried: the `traceparent` to send with the request.
        sent: a seam sets this to false if the request fails before it is sent and the exception does not show that.
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
    _version = HTTP_1_1
    _head = heads.NONE
    _head_seq: int | None = None
    _first_ms: float | None = None
    _stream: EventDecoder | None = None
    _framing: Framing | None = None
    _decompressor: Decompressor | None = None
    _pieces: Chunks | None = None
    _is_recorded = False
    _marks: Mapping[str, Any] = MappingProxyType({})
    _offers_tools = False
    _requested: Sequence[RequestedCall] = ()

    def __init__(self, owner: Exchanges, method: str, url: str, trail: tuple[list[str], str | None]) -> None:
        self._trail = trail
        self._owner = owner
        self._method = method.upper()
        self._url = url
        self._chunks: list[bytes] = []

    @classmethod
    def begin(
        cls,
        owner: Exchanges,
        method: str,
        url: str,
        headers: Iterable[tuple[str, str]],
        body: bytes | StreamedBody | None,
        trail: tuple[list[str], str | None] | None = None,
    ) -> Exchange:
        """Write the start event of a request, and return its exchange.

        Raises:
            Exception: the request cannot be read.
        """
        exchange = cls(owner, method, url, trail or owner.tracer.sites.trail(0))
        exchange._open(headers, body)
        return exchange

    def _open(self, headers: Iterable[tuple[str, str]], sent: bytes | StreamedBody | None) -> None:
        owner, method, url = self._owner, self._method, self._url
        self._streamed = sent if isinstance(sent, StreamedBody) else None
        body = sent.content if isinstance(sent, StreamedBody) else sent
        is_read = owner.tracer.keeps_payloads or owner.tracer.answers is not None
        request = (parse_request_body if is_read else parse_outline)(body, headers)
        path = urlsplit(url).path
        self._format = wire.recognise(path, request) if body else None
        around = context.current()
        self._inside = None if around is None else around.event_id
        digest = wire.canonical_hash(method, url, request) if is_read else _digest_of(method, url, body)
        self._key = (digest, self._inside)
        if self._format is not None:
            request = self._format.complete(path, request)
        elif method == "POST" and wire.is_batch_request(path, request):
            owner.tracer.uncounted("a batch of model calls")
        self._earlier = owner.attempts.take(self._key)
        self._span = self._begin(around, request, headers, body)
        self._started = perf_counter_ns()  # the debugger may have paused the program at the start event
        if owner.tracer.answers is not None:
            self._take_answer(owner.tracer.answers, request, headers, body)
        self.carried = make_trace_header(owner.tracer, url, headers, self._span.event_id)
        owner.open[self] = None

    def _take_answer(
        self, answers: ReplySource, request: Any, headers: Iterable[tuple[str, str]], body: bytes | None
    ) -> None:
        """Take the answer that this exchange gets instead of being sent, or the fault that it meets."""
        event_id = self._span.event_id
        call_reply = answers.take(event_id)
        if call_reply is None:
            return
        call_reply = drop_impossible_cut(call_reply, self._owner.tracer.problem)
        if call_reply.other_model:
            from namel3ss_debug.capture.guards.other_models import (
                ask_other_model,
            )  # few calls have a fallback

            other = ask_other_model(self._url, headers, body, call_reply.other_model)
            call_reply = call_reply._replace(recorded_response=other)
        response = make_response(call_reply, self._format, request, method=self._method, event_id=event_id)
        self._marks = call_reply.to_metadata()
        self._is_recorded = call_reply.recorded_response is not None or call_reply.recorded
        if response is not None:
            response = self.response = encode_body(response)
            turn = delivery_turn(call_reply, answers.may_end, event_id)
            self.delivery = Delivery(turn, response.delays, len(response.pieces))
            return
        if call_reply.runs:
            self.network = self._owner.tracer.network
        if call_reply.effect is not None:
            self.delivery = Delivery(None, (call_reply.effect.delay_ms / 1000,))

    def pause_before_retry(self, attempt: int, failure: int | Exception) -> float | None:
        """Return the seconds before this request is to be sent again; None if it is not.

        Args:
            attempt: how often the seam has sent it.
            failure: the status of the response, or the exception that the library raised in place of one.
        """
        retries = self._owner.tracer.retries
        # A body that is streamed can be sent once; what a limit or a circuit breaker refused, it refuses again.
        if retries is None or self._streamed is not None or "guarded" in self._marks:
            return None
        try:
            targets = [("host", urlsplit(self._url).netloc.rpartition("@")[2])]
            if self._format is not None:
                targets.append(("model", str(self._span.name)))
            asked, answered = self._head.kept.get("retry-after"), self.response is not None
            return retries.pause(targets, attempt, failure, asked, answered=answered)
        except Exception as error:
            self._owner.tracer.problem("a request could not be sent again", error)
            return None

    def drop_recorded_response(self) -> None:
        """Let the program answer itself where a trace would. What the user gives still replaces its answer."""
        if self._is_recorded and "fault" not in self._marks:
            self.response, self._marks = None, {}

    def _begin(
        self, around: SpanLike | None, request: Any, headers: Iterable[tuple[str, str]], body: bytes | None
    ) -> OpenSpan:
        tracer = self._owner.tracer
        payloads = tracer.payloads
        keeps = tracer.keeps_payloads  # what the level `basic` leaves out is not redacted or digested
        url: Any = payloads.text(payloads.url(self._url)) if keeps else ""
        exchange: dict[str, Any] = {"method": payloads.text(self._method), "url": url, "hash": self._key[0]}
        if self._streamed is not None:
            exchange |= self._streamed.to_json()
            if body is None:
                del exchange["hash"]
        elif body and keeps:
            exchange["request_bytes"] = len(body)
            exchange["body_sha256"] = hashlib.sha256(body).hexdigest()
        chain, site = self._trail
        metadata: dict[str, Any] = {"chain": chain, "exchange": exchange}
        metadata |= task_paths.call_metadata()
        retries = None
        if self._earlier is not None:
            metadata["retry_of"], retries = self._earlier.first, self._earlier.count
        if self._format is None:
            inputs: dict[str, Any] = {}
            if keeps:
                inputs = {"method": self._method, "url": url}
                inputs |= {"headers": dict(payloads.headers(headers)), "body": request}
            name = urlsplit(self._url).netloc.rpartition("@")[2]
            span = tracer.span("http", name, inputs, metadata, retry_count=retries, call_site=site)
            return span.open_within(around)
        announced.mark_recorded(announced.LLM)
        decoded = self._format.codec.decode_request(request)
        metadata |= {
            "provider": self._format.provider,
            "operation": self._format.operation,
            "format": self._format.name,
        }
        self._owner.calls.add_results(decoded.get("messages") or [], self._inside)
        if decoded["tools"]:
            self._offers_tools = True
            self._owner.calls.offer(
                {tool["name"]: tool.get("parameters") for tool in decoded["tools"] if tool.get("name")}
            )
        shown = payloads.request(decoded) if keeps else {}
        span = tracer.span("llm", decoded.get("model"), shown, metadata, retry_count=retries, call_site=site)
        return span.open_within(around)

    def respond(
        self,
        status: int,
        headers: Iterable[tuple[str, str]],
        reason: str | None = None,
        version: str = HTTP_1_1,
    ) -> None:
        """Take the head of the response; `reason` is the text after the status, `version` such as `HTTP/2`."""
        try:
            self._status, self._reason, self._version = status, reason, version
            head = self._head = heads.read(headers)
            self._head_seq = self._owner.tracer.writer.next_seq
            if head.encoding:
                self._decompressor = Decompressor(head.encoding)
            if self._format is not None and self._is_decoded():
                self._framing = wire.find_framing(head.content_type)
                if self._framing is not None:
                    self._stream = self._framing.decoder()
                    tracer = self._owner.tracer
                    redactor = tracer.payloads.redactor if tracer.keeps_payloads else None
                    self._pieces = Chunks(
                        self._framing,
                        redactor,
                        self._emit_chunk,
                        self._next_seq,
                        self._format.call_end,
                        self._add_complete_calls if self._offers_tools else None,
                    )
        except Exception as error:
            self._owner.tracer.problem("an HTTP response could not be recorded", error)

    def receive(self, data: bytes, *, decoded: bool = False) -> None:
        """Take a piece of the body, encoded as on the wire unless `decoded`."""
        if self not in self._owner.open or not data:
            return
        try:
            self._arrived += len(data)
            if decoded:
                self._decompressor = None
            plain = data if self._decompressor is None else self._decompressor.feed(data)
            self._received += len(plain)
            room = None if self._format is not None else self._owner.kept_bytes
            if room is None or self._received <= room:
                self._chunks.append(plain)
            elif (left := room - self._received + len(plain)) > 0:
                self._chunks.append(plain[:left])
            if self._stream is not None:
                self._record_chunk(plain)
        except Exception as error:
            self._owner.tracer.problem("a piece of an HTTP response could not be recorded", error)

    def _record_chunk(self, plain: bytes) -> None:
        assert self._stream is not None
        assert self._pieces is not None
        assert self._format is not None
        if self._first_ms is None and any(map(self._format.codec.is_content, self._stream.feed(plain))):
            self._first_ms = (perf_counter_ns() - self._started) / 1e6
        self._pieces.feed(plain)

    def _add_complete_calls(self) -> None:
        """Add the tool calls in what has arrived of a stream: a program may run them before it reads on."""
        assert self._format is not None
        whole = self._format.join_stream(b"".join(self._chunks), self._head.content_type)
        self._add_requested(self._format.codec.decode_response(whole))

    def _add_requested(self, answer: wire.Answer) -> None:
        calls = [
            *answer.tool_calls,
            *(call for one in answer.further_choices for call in one.get("tool_calls", ())),
        ]
        if calls:
            self._requested = self._owner.calls.add_requested(
                calls, self._span.event_id, self._inside, self._requested
            )

    def _emit_chunk(self, data: bytes, arrived: int | None) -> None:
        metadata = {"index": self._count}
        if arrived is not None:
            metadata["arrived_seq"] = arrived
        self._span.emit("stream_chunk", chunk_to_json(data), metadata)
        self._count += 1

    def _next_seq(self) -> int:
        return self._owner.tracer.writer.next_seq

    def _is_decoded(self) -> bool:
        """Return whether the recorded body is text that can be read, and not in an encoding that cannot be undone."""
        return self._decompressor is None or self._decompressor.decodes

    def fail(self, error: BaseException) -> None:
        """End the exchange with an exception."""
        self._end(error=error)

    def end(self) -> None:
        """End the exchange, because the body has been read to its end."""
        self._end()

    def close(self) -> None:
        """End the exchange, because the response was closed. It is partial if its body was not read to the end."""
        if self in self._owner.open:
            self._end(partial=not self._has_whole_body())

    def _has_whole_body(self) -> bool:
        """Return whether only the terminator can be missing. Whether a stream is complete is known from its content."""
        if self._stream is not None or self._method == "HEAD" or self._status in _WITHOUT_BODY:
            return self._status != 0
        if self._status and b"".join(self._chunks[-3:]).rstrip().endswith(_DONE):
            return True
        length = self._head.length
        return self._status != 0 and length is not None and str(self._arrived) == length.strip()

    def _end(self, *, error: BaseException | None = None, partial: bool = False) -> None:
        """End the exchange. Only the first call has an effect."""
        owner = self._owner
        try:
            del owner.open[self]  # atomic: of two threads, only one goes on
        except KeyError:
            return
        event_id = self._span.event_id
        try:
            self._finish(partial=partial, error=error)
            if error is not None or self._span.end_fields.get("status") == "failed":
                owner.attempts.add_failure(self._key, event_id, self._earlier)
        except Exception as problem:
            owner.tracer.problem("the end of an HTTP exchange could not be recorded", problem)
        self._span.close(error)
        self._chunks.clear()

    def _finish(self, *, partial: bool, error: BaseException | None) -> None:
        owner, span, body = self._owner, self._span, b"".join(self._chunks)
        if self._pieces is not None:
            self._pieces.finish()
        document = load(body) if self._format is not None and self._framing is None else None
        text = raw = None
        if self._format is not None:
            if type(document) is dict and owner.tracer.keeps_payloads:
                text = find_clear_text(owner.tracer.payloads, body, document)
            if self._status and self._is_decoded():
                partial |= self._finish_llm(body, document)
            if text is None and body and not self._count:
                raw = self._redact_split_secrets(body, document)
        elif self._status:
            body = self._redact_split_secrets(body, None)
            shown = parse_body(body, self._head.content_type) if owner.tracer.keeps_payloads else None
            span.set_output({"status": self._status, "headers": self._head.kept, "body": shown})
            raw = body if self._differs_when_encoded(body, shown) else None
        if self._status >= 400:
            self._finish_failed(body)
        elif partial and error is None:
            span.set(status="partial")
        elif isinstance(error, SystemExit) and error.code in (None, 0):
            span.set(status="cancelled")  # the program ended as it wanted, but the request did not
        metadata: dict[str, Any] = {"exchange": self._describe_end(text, raw, error), **self._marks}
        if self._first_ms is not None:
            metadata["time_to_first_token_ms"] = self._first_ms
        span.set(metadata=metadata)

    def _describe_end(self, text: str | None, raw: bytes | None, error: BaseException | None) -> Any:
        """Return `metadata.exchange` of the end event, with the body as a text without secrets or as bytes."""
        payloads, status, reason = self._owner.tracer.payloads, self._status, self._reason
        exchange: dict[str, Any] = {"status": status} if status else {}
        if reason and reason != heads.phrase(status):
            exchange["reason"] = reason
        if self._version != HTTP_1_1:
            exchange["http_version"] = self._version
        exchange["headers"] = self._head.kept
        exchange["response_bytes"] = self._received
        if self._head_seq is not None:
            exchange["head_seq"] = self._head_seq
        if self._decompressor is not None and self._received:
            if self._decompressor.problem is not None:
                self._owner.tracer.report_once(self._decompressor.problem)
            if self._decompressor.recorded_coding is not None:
                exchange["body_coding"] = self._decompressor.recorded_coding
        if self._count:
            exchange["chunks"] = self._count
        elif text is not None:
            exchange["body"] = {"text": Ready(text)}
        elif raw is not None:
            exchange["body"] = chunk_to_json(raw)
        if error is not None:
            raised = to_raised(error, payloads, self._owner.tracer.sites)
            if raised is not None:
                exchange["raised"] = raised if self.sent else {**raised, "sent": False}
        return exchange

    def _redact_split_secrets(self, body: bytes, document: Any) -> bytes:
        """Return a body without the secrets that are split over its events or items; `document` is its parsed JSON."""
        payloads = self._owner.tracer.payloads
        redactor = payloads.redactor
        if redactor is None or not self._owner.tracer.keeps_payloads:
            return body
        framing = self._framing if self._format is not None else wire.find_framing(self._head.content_type)
        if framing is None and not may_have_split_secrets(document, payloads):
            return body
        return redact_split_secrets(body, framing, redactor)

    def _differs_when_encoded(self, body: bytes, shown: Any) -> bool:
        """Return whether encoding the shown form again gives other bytes, so that the body must be recorded too.

        A body with a secret is not recorded: the redactor knows some secrets only by a name in the parsed form.
        """
        if not body or isinstance(shown, bytes) or len(body) != self._received:
            return False
        again = shown.encode("utf-8", "surrogatepass") if isinstance(shown, str) else dump(shown)
        tracer = self._owner.tracer
        return again != body and tracer.keeps_payloads and tracer.payloads.convert(shown).whole

    def _finish_llm(self, body: bytes, document: Any) -> bool:
        """Record the model's answer, and return whether it is a stream that was cut."""
        assert self._format is not None
        if self._status >= 400 or not body:
            return self._stream is not None
        whole = (
            document if type(document) is dict else self._format.join_stream(body, self._head.content_type)
        )
        answer = self._format.codec.decode_response(whole)
        tracer = self._owner.tracer
        if tracer.keeps_payloads:
            self._span.set_output(answer.to_outputs())
        headers = self._head.kept
        cost = read_header_cost(headers) if answer.cost is None else answer.cost
        answer = answer._replace(cost=cost, billing=read_header_terms(headers) | answer.billing)
        self._span.set(**answer.to_usage_fields())
        self._add_requested(answer)
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


def _digest_of(method: str, url: str, body: bytes | None) -> str:
    """Return a digest by which an attempt knows that it repeats another; SDKs send the same bytes again."""
    digest = hashlib.blake2b(body or b"", digest_size=16)
    digest.update(f"\n{method} {url}".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


AnyExchange = Exchange | LateExchange | TelemetryRequest
"""A request that a seam reports: one that is recorded, or an SDK's report of its own use, which is only answered."""


def chunk_to_json(data: bytes) -> dict[str, Any]:
    """Return bytes of a body as text, as messages of an event stream, or else as bytes for base64."""
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        from namel3ss_debug.wire import event_stream  # nearly all answers of models are text

        messages = event_stream.to_json(data)
        return {"data": data} if messages is None else {"messages": messages}
