"""Urllib3, and with it requests and boto: one `_make_request` is one attempt; a body is recorded as it is read.

Before version 2, `_make_request` returns a response of `http.client`, and the body is recorded there.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from namel3ss_debug.capture.core.answers import HTTP_1_1, Response
from namel3ss_debug.capture.core.patching import Undo, replace
from namel3ss_debug.capture.seams.http.by_http_client import record_response
from namel3ss_debug.capture.seams.http.exchanges import AnyExchange, Exchanges, LateExchange, enter, leave
from namel3ss_debug.capture.seams.http.null_socket import BlockStream, encode_response
from namel3ss_debug.capture.seams.http.outgoing import MARK
from namel3ss_debug.capture.seams.http.request_bodies import StreamedBody
from namel3ss_debug.capture.seams.http.shared import (
    VERSIONS,
    ErrorFactories,
    LazyHeaders,
    body_in_memory,
    fail,
    iter_blocks,
    iter_pieces,
    iter_sent,
    raise_body_error,
    wait_for_head,
)
from namel3ss_debug.capture.seams.http.traceparent import HEADER


def patch(pool: Any, exchanges: Exchanges) -> list[Undo]:
    """Record each attempt of urllib3."""
    from urllib3._version import __version__
    from urllib3.response import HTTPResponse

    returns_http_client = int(__version__.partition(".")[0]) < 2

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def _make_request(self: Any, conn: Any, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
            if kwargs.get("multiplexed"):  # urllib3-future returns a promise of a response
                exchanges.tracer.unrecorded("multiplexed niquests")
                return original(self, conn, method, url, *args, **kwargs)
            if _is_substitute(conn):
                return original(self, conn, method, url, *args, **kwargs)
            passed = args[0] if args else kwargs.get("body")
            body: Any = body_in_memory(passed)
            if body is None and passed is not None:
                pieces, body = _iter_body(passed, conn, method, kwargs), StreamedBody()
                if exchanges.reads_ahead(body):
                    body = StreamedBody.read(pieces)
            exchange = _begin(exchanges, self, method, url, args, kwargs, body)
            if isinstance(body, StreamedBody) and (body.is_whole or isinstance(exchange, LateExchange)):
                sent = (
                    iter_sent(pieces, body, exchange)
                    if isinstance(exchange, LateExchange)
                    else iter(body.pieces)
                )
                args, kwargs = _with_argument(0, "body", sent, args, kwargs)
            token = enter(exchange)
            try:
                raise_body_error(body)
                response = None
                if exchange is not None and exchange.delivery is not None:
                    error_factories = _error_factories(self, url)
                    recorded = wait_for_head(exchange, error_factories)
                    if recorded is not None:
                        received = iter_pieces(exchange, recorded, error_factories)
                        response = _read_response(recorded, received, method)
                        if not returns_http_client:
                            response = _make_response(
                                HTTPResponse, recorded, response, self, method, url, kwargs
                            )
                if response is None:
                    if exchange is not None and exchange.carried is not None:
                        args, kwargs = _with_trace_header(exchange.carried, self, args, kwargs)
                    response = original(self, conn, method, url, *args, **kwargs)
            except BaseException as error:
                fail(exchange, error)
                raise
            finally:
                leave(token, exchange)
            if exchange is None:
                return response
            if returns_http_client:
                record_response(response, exchange)
                return response
            return _record_body(exchange, response, kwargs)

        return _make_request

    attempts = replace(pool.HTTPConnectionPool, "_make_request", make)
    if returns_http_client:
        return [
            attempts,
            replace(
                HTTPResponse,
                "read_chunked",
                lambda original: _wrap_read_chunked(original, _http_client_response),
            ),
        ]
    has_read1 = hasattr(HTTPResponse, "read1")  # from 2.2 on
    read1 = [replace(HTTPResponse, "read1", _wrap_read)] if has_read1 else []
    return [
        attempts,
        replace(HTTPResponse, "read", _wrap_read),
        *read1,
        replace(
            HTTPResponse,
            "read_chunked",
            lambda original: _wrap_read_chunked(original, lambda response: response),
        ),
        replace(HTTPResponse, "drain_conn", _wrap_close),
        replace(HTTPResponse, "close", _wrap_close),
    ]


def _is_substitute(connection: Any) -> bool:
    """Return whether something stands in for the connection, such as a cassette of vcrpy.

    What it sends is recorded where it sends it.
    """
    owner = next((kind for kind in type(connection).__mro__ if "getresponse" in vars(kind)), None)
    return owner is None or owner.__module__.partition(".")[0] not in {"urllib3", "http"}


def _with_trace_header(
    carried: str, pool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of an attempt with the `traceparent` header added to a copy of the headers."""
    headers = (args[1] if len(args) > 1 else kwargs.get("headers")) or pool.headers or {}
    headers = headers.copy()
    headers[HEADER] = carried
    return _with_argument(1, "headers", headers, args, kwargs)


def _with_argument(
    place: int, name: str, value: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of an attempt with another value for one of them."""
    if len(args) > place:
        return (*args[:place], value, *args[place + 1 :]), kwargs
    return args, {**kwargs, name: value}


def _iter_body(body: Any, connection: Any, method: str, kwargs: dict[str, Any]) -> Iterator[Any]:
    """Yield the pieces of a streamed body, as the library itself reads them from a file or an iterator."""
    try:
        from urllib3.util.request import body_to_chunks
    except ImportError:  # before version 2
        if kwargs.get("chunked") or not hasattr(body, "read"):
            yield from body
        else:
            yield from iter_blocks(body, connection.blocksize)
        return
    chunks, _length = body_to_chunks(body, method, connection.blocksize)
    yield from chunks or ()


def _record_body(exchange: AnyExchange, response: Any, kwargs: dict[str, Any]) -> Any:
    """Return the response after recording its head; its body is recorded as the program reads it."""
    version = VERSIONS.get(response.version, HTTP_1_1)
    exchange.respond(response.status, _pairs(response.headers), response.reason, version)
    body = getattr(response, "_body", None)
    if body is None:
        response.__dict__[MARK] = exchange
    else:  # read at construction
        exchange.receive(body, decoded=bool(kwargs.get("decode_content", True)))
        exchange.end()
    return response


def _pairs(headers: Any) -> list[tuple[str, str]]:
    """Return what `list(headers.items())` returns, faster.

    `list` first asks for the length, for which urllib3 goes through all headers in Python.
    """
    by_name = getattr(headers, "_container", None)
    if type(by_name) is not dict:
        return list(iter(headers.items()))
    return [(values[0], value) for values in by_name.values() for value in values[1:]]


def _error_factories(pool: Any, url: str) -> ErrorFactories:
    """Return the exceptions that an attempt of this pool raises."""
    from urllib3 import exceptions

    return {
        "timeout": lambda text: exceptions.ReadTimeoutError(pool, url, text),
        "connection": exceptions.ProtocolError,
    }


def _read_response(recorded: Response, body: Iterator[bytes], method: str) -> Any:
    """Return a response as `http.client` reads it, from a connection without a server."""
    from http.client import HTTPResponse

    stream = BlockStream(encode_response(recorded, body, method=method))
    response = HTTPResponse(stream, method=method)  # type: ignore[arg-type]  # it only calls `makefile` of a socket
    response.begin()
    return response


def _make_response(
    make: Any,
    recorded: Response,
    http_response: Any,
    pool: Any,
    method: str,
    url: str,
    kwargs: dict[str, Any],
) -> Any:
    """Return a response as the pool would have made it."""
    names = ("preload_content", "decode_content", "enforce_content_length")
    settings = {name: kwargs[name] for name in names if name in kwargs}
    if "version_string" in inspect.signature(make).parameters:  # from 2.2 on
        # That of the connection, also if the server answers in an older version.
        settings["version_string"] = HTTP_1_1 if recorded.version.startswith("HTTP/1.") else recorded.version
    response = make(
        body=http_response,
        headers=http_response.msg.items(),
        status=http_response.status,
        version=next((number for number, name in VERSIONS.items() if name == recorded.version), 11),
        reason=http_response.reason,
        original_response=http_response,
        request_method=method,
        request_url=url,
        **settings,
    )
    response.retries = kwargs.get("retries")
    response._connection = kwargs.get("response_conn")  # as the pool does it
    response._pool = pool
    return response


def _begin(
    exchanges: Exchanges,
    pool: Any,
    method: str,
    url: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    body: bytes | StreamedBody | None,
) -> AnyExchange | None:
    try:
        headers = (args[1] if len(args) > 1 else kwargs.get("headers")) or pool.headers or {}
        if url.startswith("/"):  # a request to a proxy has the whole URL
            url = f"{pool.scheme}://{pool.host}{f':{pool.port}' if pool.port else ''}{url}"
    except Exception as error:
        exchanges.tracer.problem("a urllib3 request could not be read", error)
        return None
    pairs = LazyHeaders(lambda: [(str(name), str(value)) for name, value in headers.items()])
    if isinstance(body, StreamedBody) and not body.is_whole:
        return exchanges.begin_late(method, url, pairs, body)
    return exchanges.begin(method, url, pairs, body)


def _wrap_read(original: Callable[..., Any]) -> Callable[..., Any]:
    def read(self: Any, amt: Any = None, decode_content: Any = None, *args: Any, **kwargs: Any) -> Any:
        exchange = self.__dict__.get(MARK)
        try:
            data = original(self, amt, decode_content, *args, **kwargs)
        except BaseException as error:
            fail(exchange, error)
            raise
        if exchange is not None:
            exchange.receive(data, decoded=_is_decoded(self, decode_content))
            if _is_read(self, data, amt):
                exchange.end()
        return data

    return read


def _http_client_response(response: Any) -> Any:
    """Return the response of `http.client` from which a response of urllib3 before version 2 reads."""
    return response._fp  # it has no other name


def _wrap_read_chunked(original: Callable[..., Any], find_marked: Callable[[Any], Any]) -> Callable[..., Any]:
    """Wrap the generator that reads a body in chunks. `find_marked` returns the object that holds the exchange."""

    def read_chunked(self: Any, amt: Any = None, decode_content: Any = None) -> Iterator[bytes]:
        marks = getattr(find_marked(self), "__dict__", {})
        exchange = marks.get(MARK)
        chunks = iter(original(self, amt, decode_content))
        while True:
            # The response closes itself before it raises that the body is incomplete, and `close` would end the exchange.
            mark = marks.pop(MARK, None)
            try:
                data = next(chunks, None)
            except BaseException as error:
                fail(exchange, error)
                raise
            if mark is not None:
                marks[MARK] = mark
            if data is None:
                break
            if exchange is not None:
                exchange.receive(data, decoded=_is_decoded(self, decode_content))
            yield data
        if exchange is not None and amt != 0:
            exchange.end()

    return read_chunked


def _wrap_close(original: Callable[..., Any]) -> Callable[..., Any]:
    def close(self: Any) -> Any:
        exchange = self.__dict__.pop(MARK, None)
        if exchange is not None:
            exchange.close()
        return original(self)

    return close


def _is_decoded(response: Any, decode_content: Any) -> bool:
    return bool(response.decode_content if decode_content is None else decode_content)


def _is_read(response: Any, data: Any, amount: Any) -> bool:
    """Return whether a body has been read to its end: an empty read, or a connection that was returned to the pool."""
    if amount != 0 and not data:  # `read(0)` is empty before the end too
        return True
    try:
        decoder = response._decoder  # the only way to see whether it holds undelivered data
        undelivered = len(response._decoded_buffer) or getattr(decoder, "has_unconsumed_tail", False)
        return bool(response.isclosed() and not undelivered)
    except Exception:  # a later read or `close` ends the exchange
        return False
