"""HTTPX, its successor httpx2, and with them most SDKs: the transports that open connections."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import Any

from namel3ss_debug.capture.core import delivery
from namel3ss_debug.capture.core.answers import Response
from namel3ss_debug.capture.core.patching import Undo, replace
from namel3ss_debug.capture.seams.http.exchanges import (
    AnyExchange,
    Exchange,
    Exchanges,
    LateExchange,
    enter,
    leave,
    pause_before_retry,
)
from namel3ss_debug.capture.seams.http.request_bodies import StreamedBody
from namel3ss_debug.capture.seams.http.shared import (
    ErrorFactories,
    LazyHeaders,
    add_trace_header,
    fail,
    iter_known,
    iter_pieces,
    iter_pieces_async,
    iter_sent,
    iter_sent_async,
    raise_body_error,
    remove_trace_header,
    wait_for_head,
    wait_for_head_async,
)


def patch(httpx: Any, exchanges: Exchanges) -> list[Undo]:
    """Record each request of a transport of HTTPX or of its successor. One call is one attempt, or several by `retries`."""
    seam = _Seam(httpx, exchanges)
    return [
        replace(httpx.HTTPTransport, "handle_request", seam.wrap),
        replace(httpx.AsyncHTTPTransport, "handle_async_request", seam.wrap_async),
    ]


class _Seam:
    """The functions around the transports of one library."""

    def __init__(self, httpx: Any, exchanges: Exchanges) -> None:
        self.httpx, self.exchanges = httpx, exchanges
        self.tee, self.async_tee = _tee_classes(httpx)
        self.sending = _sending_class(httpx)
        self.error_factories: ErrorFactories = {
            "timeout": httpx.ReadTimeout,
            "connection": httpx.ConnectError,
        }
        self.passing = (httpx.TimeoutException, httpx.NetworkError, httpx.RemoteProtocolError)

    def wrap(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def handle_request(transport: Any, request: Any) -> Any:
            attempt = 0
            while True:
                attempt += 1
                stream, body = request.stream, _find_body(self.httpx, request)
                if self.exchanges.reads_ahead(body):
                    body = StreamedBody.read(stream)
                exchange = _begin(self.exchanges, transport, request, body, self.sending)
                token = enter(exchange)
                response = pause = None
                try:
                    raise_body_error(body)
                    if exchange is not None and exchange.delivery is not None:
                        response = _make_response(
                            self.httpx,
                            exchange,
                            wait_for_head(exchange, self.error_factories),
                            self.error_factories,
                        )
                    if response is None:
                        add_trace_header(request.headers, exchange)
                        response = original(transport, request)
                except self.passing as error:
                    fail(exchange, error)
                    if (pause := pause_before_retry(exchange, attempt, error)) is None:
                        raise
                except BaseException as error:
                    fail(exchange, error)
                    raise
                finally:
                    leave(token, exchange)
                    _restore(request, stream, exchange)
                if response is not None:
                    if exchange is None:
                        return response
                    response = _record_response(exchange, response, self.tee)
                    if (pause := _pause_after(exchange, attempt, response)) is None:
                        return response
                    with suppress(*self.passing):
                        for _ in response.stream:  # the trace has the error, and the connection is kept
                            pass
                    response.stream.close()
                time.sleep(pause or 0.0)

        return handle_request

    def wrap_async(self, original: Callable[..., Any]) -> Callable[..., Any]:
        async def handle_async_request(transport: Any, request: Any) -> Any:
            attempt = 0
            while True:
                attempt += 1
                stream, body = request.stream, _find_body(self.httpx, request)
                if self.exchanges.reads_ahead(body):
                    body = await StreamedBody.read_async(stream)
                exchange = _begin(self.exchanges, transport, request, body, self.sending)
                token = enter(exchange)
                response = pause = None
                try:
                    raise_body_error(body)
                    if exchange is not None and exchange.delivery is not None:
                        response = _make_response(
                            self.httpx,
                            exchange,
                            await wait_for_head_async(exchange, self.error_factories),
                            self.error_factories,
                        )
                    if response is None:
                        add_trace_header(request.headers, exchange)
                        response = await original(transport, request)
                except self.passing as error:
                    fail(exchange, error)
                    if (pause := pause_before_retry(exchange, attempt, error)) is None:
                        raise
                except BaseException as error:
                    fail(exchange, error)
                    raise
                finally:
                    leave(token, exchange)
                    _restore(request, stream, exchange)
                if response is not None:
                    if exchange is None:
                        return response
                    response = _record_response(exchange, response, self.async_tee)
                    if (pause := _pause_after(exchange, attempt, response)) is None:
                        return response
                    with suppress(*self.passing):
                        async for _ in response.stream:  # as above
                            pass
                    await response.stream.aclose()
                await delivery.sleep(pause or 0.0)

        return handle_async_request


def _find_body(httpx: Any, request: Any) -> bytes | StreamedBody:
    """Return the body that a request sends: all of it if it is in memory, or else a streamed one.

    `request.content` is no way to read it: a redirected or rebuilt request has only the stream, and an event hook may
    have replaced the stream.
    """
    if isinstance(request.stream, httpx.ByteStream):
        return b"".join(request.stream)
    return StreamedBody()


def _is_mocked(transport: Any) -> bool:
    """Return whether respx answers the requests of a transport: it replaces a method of the pools of httpcore."""
    pool = type(getattr(transport, "_pool", None))
    methods = (getattr(pool, name, None) for name in ("handle_request", "handle_async_request"))
    return any(getattr(method, "__module__", "") == "respx.mocks" for method in methods)


def _begin(
    exchanges: Exchanges,
    transport: Any,
    request: Any,
    body: bytes | StreamedBody,
    sending: Callable[..., Any],
) -> AnyExchange | None:
    """Begin to record a request. The stream of a body that is not known yet is replaced by one that follows it.

    A mock of the program answers in a re-run as well, because the program may count its calls.
    """
    headers = LazyHeaders(lambda: _pairs(request.headers))
    asked = request.method, str(request.url), headers
    if isinstance(body, StreamedBody) and not body.is_whole:
        exchange = exchanges.begin_late(*asked, body)
    else:
        exchange = exchanges.begin(*asked, body)
    if isinstance(exchange, Exchange) and exchange.response is not None and _is_mocked(transport):
        exchange.drop_recorded_response()
    if isinstance(body, StreamedBody) and (body.is_whole or isinstance(exchange, LateExchange)):
        request.stream = sending(request.stream, body, exchange)
    return exchange


def _record_response(exchange: AnyExchange, response: Any, tee: Any) -> Any:
    """Return the response after recording its head, with a body that is recorded as the program reads it."""
    exchange.respond(
        response.status_code, _pairs(response.headers), response.reason_phrase, response.http_version
    )
    response.stream = tee(response.stream, exchange)
    return response


def _pause_after(exchange: AnyExchange, attempt: int, response: Any) -> float | None:
    """Return the seconds before a request that got this response is to be sent again; None if it is not."""
    return (
        pause_before_retry(exchange, attempt, response.status_code) if response.status_code >= 400 else None
    )


def _restore(request: Any, stream: Any, exchange: AnyExchange | None) -> None:
    """Restore the headers and the stream of a request: a redirect sends the stream again, or finds it consumed."""
    remove_trace_header(request.headers, exchange)
    request.stream = stream


def _pairs(headers: Any) -> list[tuple[str, str]]:
    """Return what `headers.multi_items()` returns, which looks for the encoding once for each name and value."""
    try:
        return [(name.decode("ascii").lower(), value.decode("ascii")) for name, value in headers.raw]
    except UnicodeDecodeError:
        pairs: list[tuple[str, str]] = headers.multi_items()
        return pairs


class _Pieces:
    """The body of a recorded response for both kinds of client. A second iteration continues the first one."""

    def __init__(self, exchange: AnyExchange, response: Response, error_factories: ErrorFactories) -> None:
        self._pieces = iter_pieces(exchange, response, error_factories)
        self._pieces_async = iter_pieces_async(exchange, response, error_factories)

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._pieces_async

    def close(self) -> None:
        """Do nothing: there is no connection."""

    async def aclose(self) -> None:
        """Do nothing: there is no connection."""


def _make_response(
    httpx: Any, exchange: AnyExchange, response: Response | None, error_factories: ErrorFactories
) -> Any:
    """Return the response as the transport would have made it."""
    if response is None:
        return None
    if response.pieces or response.raised is not None:
        error_factories = {**error_factories, "connection": httpx.ReadError}
    texts = {"http_version": response.version, "reason_phrase": response.reason}
    extensions = {name: text.encode("ascii", "replace") for name, text in texts.items()}
    stream = _Pieces(exchange, response, error_factories)
    return httpx.Response(response.status, headers=response.headers, stream=stream, extensions=extensions)


def _sending_class(httpx: Any) -> Any:
    """Return the class of streams that pass a streamed body on as it is sent, or the pieces of one that was read."""
    sync_stream: Any = httpx.SyncByteStream
    async_stream: Any = httpx.AsyncByteStream

    class Sending(sync_stream, async_stream):  # type: ignore[misc]  # the bases are only known at run time
        def __init__(self, stream: Any, body: StreamedBody, exchange: LateExchange) -> None:
            self._stream = stream
            self._body = body
            self._exchange = exchange

        def __iter__(self) -> Iterator[bytes]:
            if self._body.is_whole:
                return iter(self._body.pieces)
            return iter_sent(self._stream, self._body, self._exchange)

        def __aiter__(self) -> AsyncIterator[bytes]:
            if self._body.is_whole:
                return iter_known(self._body.pieces)
            return iter_sent_async(self._stream, self._body, self._exchange)

        def close(self) -> None:
            self._stream.close()

        async def aclose(self) -> None:
            await self._stream.aclose()

    return Sending


def _tee_classes(httpx: Any) -> tuple[Any, Any]:
    sync_stream: Any = httpx.SyncByteStream
    async_stream: Any = httpx.AsyncByteStream

    class Tee(sync_stream):  # type: ignore[misc]  # the base is only known at run time
        def __init__(self, stream: Any, exchange: AnyExchange) -> None:
            self._stream = stream
            self._exchange = exchange

        def __iter__(self) -> Iterator[bytes]:
            try:
                for chunk in self._stream:
                    self._exchange.receive(chunk)
                    yield chunk
            except GeneratorExit:
                raise
            except BaseException as error:
                fail(self._exchange, error)
                raise
            self._exchange.end()

        def close(self) -> None:
            self._exchange.close()
            self._stream.close()

    class AsyncTee(async_stream):  # type: ignore[misc]  # as above
        def __init__(self, stream: Any, exchange: AnyExchange) -> None:
            self._stream = stream
            self._exchange = exchange

        async def __aiter__(self) -> AsyncIterator[bytes]:
            try:
                async for chunk in self._stream:
                    self._exchange.receive(chunk)
                    yield chunk
            except GeneratorExit:
                raise
            except BaseException as error:
                fail(self._exchange, error)
                raise
            self._exchange.end()

        async def aclose(self) -> None:
            self._exchange.close()
            await self._stream.aclose()

    return Tee, AsyncTee
