"""One HTTP exchange as it is recorded: a model call when its shape says so, else an `http_exchange`.

The transports know libraries, this module knows none: it is told that a request leaves, that a response begins,
what bytes arrive, and how it ended. One attempt is one span; an attempt that repeats a failed one counts up
`retry_count` and names the first in `metadata.retry_of`.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterable
from contextvars import ContextVar
from time import perf_counter_ns
from typing import Any
from urllib.parse import urlsplit

from namel3ss_debug import wire
from namel3ss_debug.capture import context
from namel3ss_debug.capture.bodies import Decompressor, readable
from namel3ss_debug.capture.calls import ToolCalls
from namel3ss_debug.capture.spans import Span
from namel3ss_debug.capture.tracer import ExecutionTracer
from namel3ss_debug.wire import sse
from namel3ss_debug.wire.lenient import load

Pairs = list[tuple[str, str]]

INSIDE: ContextVar[bool] = ContextVar("namel3ss_debug_inside_exchange", default=False)
"""Whether the running code is a library that sends an exchange which is recorded already."""

_MOST_FAILED = 256
_KEPT_HEADERS = frozenset(
    {
        "content-type", "content-encoding", "retry-after", "retry-after-ms", "x-should-retry", "x-request-id",
        "request-id", "location", "openai-processing-ms",
    }
)  # fmt: skip


class Exchanges:
    """Records the HTTP traffic of this process.

    Args:
        tracer: where the spans go.
        calls: the tool calls that models asked for.
    """

    def __init__(self, tracer: ExecutionTracer, calls: ToolCalls) -> None:
        self.tracer = tracer
        self.calls = calls
        self.open: set[Exchange] = set()
        self._failed: OrderedDict[tuple[str, str | None], tuple[str, int]] = OrderedDict()
        self._lock = threading.Lock()

    def begin(
        self, method: str, url: str, headers: Iterable[tuple[str, str]], body: bytes | None
    ) -> Exchange | None:
        """A request is about to leave; `None` when it is not recorded. Never raises."""
        try:
            if INSIDE.get() or wire.is_telemetry(url):
                return None
            return Exchange(self, method, url, list(headers), body)
        except Exception as error:
            self.tracer.problem("an HTTP request could not be recorded", error)
            return None

    def attempts(self, key: tuple[str, str | None]) -> tuple[str, int] | None:
        """The id of the first attempt of this request and how many have failed, if any has."""
        with self._lock:
            return self._failed.get(key)

    def failed(self, key: tuple[str, str | None], event_id: str) -> None:
        """Remember that an attempt has failed."""
        with self._lock:
            first, count = self._failed.pop(key, (event_id, 0))
            self._failed[key] = (first, count + 1)
            if len(self._failed) > _MOST_FAILED:
                self._failed.popitem(last=False)

    def succeeded(self, key: tuple[str, str | None]) -> None:
        """Forget the failed attempts: the next request of this kind is a new one."""
        with self._lock:
            self._failed.pop(key, None)

    def abandon(self) -> None:
        """End what the program never read to its end; called when the process ends."""
        for exchange in list(self.open):
            exchange.end(status="partial")


class Exchange:
    """One request and what came back. Its methods never raise."""

    def __init__(self, owner: Exchanges, method: str, url: str, headers: Pairs, body: bytes | None) -> None:
        self._owner = owner
        self._method = method.upper()
        self._url = url
        self._chunks: list[bytes] = []
        self._status = 0
        self._headers: Pairs = []
        self._first_ms: float | None = None
        self._stream: sse.Decoder | None = None
        self._decompressor: Decompressor | None = None
        self._count = 0
        self._done = False
        self._started = perf_counter_ns()
        request = readable(body, _header(headers, "content-type"))
        self._format = wire.recognise(urlsplit(url).path, request) if body else None
        self._key = (wire.canonical_hash(self._method, url, request), context.current_id())
        self._span = self._begin(request, headers, body)
        owner.open.add(self)

    def _begin(self, request: Any, headers: Pairs, body: bytes | None) -> Span:
        tracer = self._owner.tracer
        earlier = self._owner.attempts(self._key)
        exchange: dict[str, Any] = {"method": self._method, "url": tracer.payloads.url(self._url)}
        if body:
            exchange["request_bytes"] = len(body)
            exchange["body_sha256"] = hashlib.sha256(body).hexdigest()
        metadata: dict[str, Any] = {"exchange": exchange}
        if earlier is not None:
            metadata["retry_of"] = earlier[0]
        retries = earlier[1] if earlier is not None else None
        if self._format is None:
            inputs = {"method": self._method, "url": exchange["url"]}
            inputs |= {"headers": dict(tracer.payloads.headers(headers)), "body": request}
            name = urlsplit(self._url).netloc.rpartition("@")[2]
            return tracer.span("http", name, inputs, metadata, retry_count=retries).open(enter=False)
        decoded = self._format.decode_request(request)
        metadata |= {
            "provider": self._format.provider,
            "operation": self._format.operation,
            "format": self._format.name,
        }
        self._owner.calls.returned(decoded.get("messages") or [])
        self._owner.calls.offer(wire.offered_tools(request))
        span = tracer.span("llm", decoded.get("model"), decoded, metadata, retry_count=retries)
        return span.open(enter=False)

    def respond(self, status: int, headers: Iterable[tuple[str, str]]) -> None:
        """The head of the response has arrived."""
        try:
            self._status = status
            self._headers = list(headers)
            self._decompressor = Decompressor(_header(self._headers, "content-encoding"))
            if self._format and "text/event-stream" in (_header(self._headers, "content-type") or ""):
                self._stream = sse.Decoder()
        except Exception as error:
            self._owner.tracer.problem("an HTTP response could not be recorded", error)

    def receive(self, data: bytes, *, decoded: bool = False) -> None:
        """A piece of the body has arrived, as it stood on the wire unless `decoded`."""
        if self._done or not data:
            return
        try:
            plain = data if decoded or self._decompressor is None else self._decompressor.feed(data)
            self._chunks.append(plain)
            if self._stream is not None:
                self._chunk(plain)
        except Exception as error:
            self._owner.tracer.problem("a piece of an HTTP response could not be recorded", error)

    def _chunk(self, plain: bytes) -> None:
        assert self._stream is not None
        assert self._format is not None
        if self._first_ms is None:
            for _name, text in self._stream.feed(plain):
                if self._format.is_content(load(text)):
                    self._first_ms = (perf_counter_ns() - self._started) / 1e6
                    break
        self._span.emit("stream_chunk", readable_chunk(plain), {"index": self._count})
        self._count += 1

    def fail(self, error: BaseException) -> None:
        """The exchange has ended by an exception."""
        self.end(error=error)

    def end(self, *, error: BaseException | None = None, status: str | None = None) -> None:
        """The exchange is over; only the first call counts."""
        if self._done:
            return
        self._done = True
        owner = self._owner
        owner.open.discard(self)
        event_id = self._span.event_id
        try:
            self._finish(status)
        except Exception as problem:
            owner.tracer.problem("the end of an HTTP exchange could not be recorded", problem)
        self._span.close(error)
        if error is not None or self._status >= 400:
            owner.failed(self._key, event_id)
        elif status is None:
            owner.succeeded(self._key)

    def _finish(self, status: str | None) -> None:
        span, body = self._span, b"".join(self._chunks)
        kept = {name.lower(): value for name, value in self._headers if name.lower() in _KEPT_HEADERS}
        exchange: dict[str, Any] = {
            "status": self._status or None,
            "headers": kept,
            "response_bytes": len(body),
        }
        if self._count:
            exchange["chunks"] = self._count
        elif self._format is not None and body:
            exchange["body"] = readable_chunk(body)
        metadata: dict[str, Any] = {
            "exchange": {key: value for key, value in exchange.items() if value is not None}
        }
        if self._first_ms is not None:
            metadata["time_to_first_token_ms"] = self._first_ms
        if self._format is not None and self._status:
            self._finish_llm(body)
        elif self._status:
            shown = readable(body, _header(self._headers, "content-type"))
            span.set_output({"status": self._status, "headers": kept, "body": shown})
        if self._status >= 400:
            self._finish_failed(body)
        if status is not None:
            span.set(status=status)
        span.set(metadata=metadata)

    def _finish_llm(self, body: bytes) -> None:
        assert self._format is not None
        if self._status >= 400:
            return
        whole = self._format.join_stream(body)
        answer = self._format.decode_response(whole)
        self._span.set_output(answer.outputs())
        if self._stream is not None and answer.finish_reason is None:
            self._span.set(status="partial")
        if answer.usage:
            total = answer.usage.get("input_tokens", 0) + answer.usage.get("output_tokens", 0)
            self._span.set(usage=answer.usage, tokens_used=total)
        failure = wire.decode_error(whole) if self._stream is not None else None
        if failure is not None:
            self._span.set(status="failed", error_type=failure[0], error=failure[1])
        self._owner.calls.asked(answer.tool_calls, self._span.event_id)

    def _finish_failed(self, body: bytes) -> None:
        kind, text = wire.decode_error(load(body)) or (None, None)
        self._span.set(
            status="failed",
            error_type=kind or f"HTTP {self._status}",
            error=text or f"HTTP {self._status}",
        )


def readable_chunk(data: bytes) -> dict[str, Any]:
    """Bytes of a body as text where they are text, else as base64."""
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        return {"data": data}


def _header(headers: Pairs, name: str) -> str | None:
    return next((value for key, value in headers if key.lower() == name), None)
