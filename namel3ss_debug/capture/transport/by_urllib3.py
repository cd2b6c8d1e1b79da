"""Urllib3, and with it requests and boto: one `_make_request` an attempt, bodies where they are read."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

from namel3ss_debug.capture.answers import Response
from namel3ss_debug.capture.exchanges import Exchanges, enter, leave
from namel3ss_debug.capture.patching import Undo, replace
from namel3ss_debug.capture.traceparent import HEADER
from namel3ss_debug.capture.transport.seams import (
    Natures,
    Watched,
    in_memory,
    passes,
    wait_for_head,
    waiting_for_pieces,
)

_MARK = "_namel3ss_exchange"


def patch(pool: Any, exchanges: Exchanges) -> list[Undo]:
    """Record each attempt of urllib3.

    Raises:
        AttributeError: this version makes its requests in another way.
    """
    from urllib3._version import __version__  # noqa: PLC0415  (imported with the pool)
    from urllib3.response import HTTPResponse  # noqa: PLC0415  (as above)

    if int(__version__.partition(".")[0]) < 2:
        raise AttributeError(f"version {__version__} is older than 2")

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def _make_request(self: Any, conn: Any, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
            exchange = _begin(exchanges, self, method, url, args, kwargs)
            token = enter(exchange)
            try:
                response = None
                if exchange is not None and exchange.delivery is not None:
                    natures = _natures(self, url)
                    given = wait_for_head(exchange, natures)
                    if given is not None:
                        body = waiting_for_pieces(exchange, given, natures)
                        response = _given(HTTPResponse, given, body, self, method, url, kwargs)
                if response is None:
                    args, kwargs = _carrying(exchange, self, args, kwargs)
                    response = original(self, conn, method, url, *args, **kwargs)
            except BaseException as error:
                passes(error, exchange)
                raise
            finally:
                leave(token, exchange)
            return response if exchange is None else _told(exchange, response, kwargs)

        return _make_request

    return [
        replace(pool.HTTPConnectionPool, "_make_request", make),
        replace(HTTPResponse, "read", _reads),
        replace(HTTPResponse, "read1", _reads),
        replace(HTTPResponse, "read_chunked", _chunks),
        replace(HTTPResponse, "drain_conn", _closes),
        replace(HTTPResponse, "close", _closes),
    ]


def _carrying(
    exchange: Watched | None, pool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of an attempt with what it shall carry among the headers, which are a copy then."""
    carried = None if exchange is None else exchange.carried
    if carried is None:
        return args, kwargs
    headers = (args[1] if len(args) > 1 else kwargs.get("headers")) or pool.headers or {}
    headers = headers.copy()
    headers[HEADER] = carried
    if len(args) > 1:
        return (args[0], headers, *args[2:]), kwargs
    return args, {**kwargs, "headers": headers}


def _told(exchange: Watched, response: Any, kwargs: dict[str, Any]) -> Any:
    """The response, whose head is told to the exchange now and whose body as the program reads it."""
    exchange.respond(response.status, list(response.headers.items()), response.reason)
    body = getattr(response, "_body", None)
    if body is None:
        response.__dict__[_MARK] = exchange
    else:  # read at construction
        exchange.receive(body, decoded=bool(kwargs.get("decode_content", True)))
        exchange.end()
    return response


def _natures(pool: Any, url: str) -> Natures:
    """How an attempt of this pool fails."""
    from urllib3 import exceptions  # noqa: PLC0415  (imported with the pool)

    return {
        "timeout": lambda text: exceptions.ReadTimeoutError(pool, url, text),
        "connection": exceptions.ProtocolError,
    }


def _given(
    make: Any,
    given: Response,
    body: Iterator[bytes],
    pool: Any,
    method: str,
    url: str,
    kwargs: dict[str, Any],
) -> Any:
    """A response as the pool would have made it: read by `http.client` from a line that goes nowhere."""
    from http.client import HTTPResponse  # noqa: PLC0415  (imported with the pool)

    has_body = method.upper() != "HEAD" and given.status not in (204, 304)
    line = _Line(_on_the_wire(given, body, has_body=has_body))
    read: Any = HTTPResponse(line, method=method)  # type: ignore[arg-type]  # of a socket it needs this alone
    read.begin()
    names = ("preload_content", "decode_content", "enforce_content_length")
    settings = {name: kwargs[name] for name in names if name in kwargs}
    response = make(
        body=read,
        headers=read.msg.items(),
        status=read.status,
        version=read.version,
        version_string="HTTP/1.1",
        reason=read.reason,
        original_response=read,
        request_method=method,
        request_url=url,
        **settings,
    )
    response.retries = kwargs.get("retries")
    response._connection = kwargs.get("response_conn")  # noqa: SLF001  (as the pool does it)
    response._pool = pool  # noqa: SLF001  (as above)
    return response


def _on_the_wire(given: Response, body: Iterator[bytes], *, has_body: bool) -> Iterator[bytes]:
    """A response as a server sends it; a body whose length nothing tells in chunks."""
    chunked = has_body and not any(name == "content-length" for name, _value in given.headers)
    headers = [*given.headers, *([("transfer-encoding", "chunked")] if chunked else [])]
    lines = [f"HTTP/1.1 {given.status} {given.reason}", *(f"{name}: {value}" for name, value in headers)]
    yield "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")
    if not chunked:
        yield from _last_held_back(body)
        return
    for piece in filter(None, body):
        yield b"%x\r\n%b\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"


def _last_held_back(body: Iterator[bytes]) -> Iterator[bytes]:
    """The pieces of a body that tells its length, which ends with the last one: that waits for the end."""
    last = b""
    for piece in filter(None, body):
        if last:
            yield last
        last = piece
    yield last


class _Line(io.RawIOBase):
    """What `http.client` reads a response from: blocks that come one by one."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._rest = b""

    def makefile(self, _mode: str) -> io.BufferedReader:
        """As of a socket."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        """Whether it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """What there is of the next block."""
        self._rest = self._rest or next(filter(None, self._blocks), b"")
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size


def _begin(
    exchanges: Exchanges, pool: Any, method: str, url: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Watched | None:
    try:
        body = args[0] if args else kwargs.get("body")
        headers = args[1] if len(args) > 1 else kwargs.get("headers")
        pairs = [(str(name), str(value)) for name, value in (headers or pool.headers or {}).items()]
        if url.startswith("/"):  # else whole, because a proxy is asked for it
            url = f"{pool.scheme}://{pool.host}{f':{pool.port}' if pool.port else ''}{url}"
    except Exception as error:
        exchanges.tracer.problem("a urllib3 request could not be read", error)
        return None
    return exchanges.begin(method, url, pairs, in_memory(body))


def _reads(original: Callable[..., Any]) -> Callable[..., Any]:
    def read(self: Any, amt: Any = None, decode_content: Any = None, *args: Any, **kwargs: Any) -> Any:
        exchange = self.__dict__.get(_MARK)
        try:
            data = original(self, amt, decode_content, *args, **kwargs)
        except BaseException as error:
            passes(error, exchange)
            raise
        if exchange is not None:
            exchange.receive(data, decoded=_is_decoded(self, decode_content))
            if _is_over(self, data, amt):
                exchange.end()
        return data

    return read


def _chunks(original: Callable[..., Any]) -> Callable[..., Any]:
    def read_chunked(self: Any, amt: Any = None, decode_content: Any = None) -> Iterator[bytes]:
        exchange = self.__dict__.get(_MARK)
        chunks = iter(original(self, amt, decode_content))
        while True:
            held = self.__dict__.pop(
                _MARK, None
            )  # it closes itself before it says that the body is not whole
            try:
                data = next(chunks, None)
            except BaseException as error:
                passes(error, exchange)
                raise
            if held is not None:
                self.__dict__[_MARK] = held
            if data is None:
                break
            if exchange is not None:
                exchange.receive(data, decoded=_is_decoded(self, decode_content))
            yield data
        if exchange is not None and amt != 0:
            exchange.end()

    return read_chunked


def _closes(original: Callable[..., Any]) -> Callable[..., Any]:
    def close(self: Any) -> Any:
        exchange = self.__dict__.pop(_MARK, None)
        if exchange is not None:
            exchange.close()
        return original(self)

    return close


def _is_decoded(response: Any, decode_content: Any) -> bool:
    return bool(response.decode_content if decode_content is None else decode_content)


def _is_over(response: Any, data: Any, amount: Any) -> bool:
    """Whether nothing is left to be read: said by an empty answer, or by a connection that was given back."""
    if amount != 0 and not data:
        return True
    try:
        decoder = response._decoder  # noqa: SLF001  (what it still holds is told nowhere else)
        held = len(response._decoded_buffer) or getattr(decoder, "has_unconsumed_tail", False)  # noqa: SLF001  (as above)
        return bool(response.isclosed() and not held)
    except Exception:  # told by a later read, or by `close`
        return False
