"""Urllib3, and with it requests and boto: one `_make_request` an attempt, bodies where they are read.

Before version 2 that gives a response of `http.client`, whose body is recorded where that is read.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from namel3ss_debug.capture.answers import Response
from namel3ss_debug.capture.exchanges import Exchanges, enter, leave
from namel3ss_debug.capture.patching import Undo, replace
from namel3ss_debug.capture.traceparent import HEADER
from namel3ss_debug.capture.transport.by_http_client import watch
from namel3ss_debug.capture.transport.leaving import MARK
from namel3ss_debug.capture.transport.lines import Line, on_the_wire
from namel3ss_debug.capture.transport.seams import (
    Natures,
    OnDemand,
    Watched,
    fail,
    in_memory,
    wait_for_head,
    waiting_for_pieces,
)


def patch(pool: Any, exchanges: Exchanges) -> list[Undo]:
    """Record each attempt of urllib3."""
    from urllib3._version import __version__  # noqa: PLC0415  (imported with the pool)
    from urllib3.response import HTTPResponse  # noqa: PLC0415  (as above)

    gives_plain = int(__version__.partition(".")[0]) < 2

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def _make_request(self: Any, conn: Any, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
            if kwargs.get("multiplexed"):  # of urllib3-future: what comes back is a promise of a response
                exchanges.tracer.unrecorded("multiplexed niquests")
                return original(self, conn, method, url, *args, **kwargs)
            if _answers_itself(conn):
                return original(self, conn, method, url, *args, **kwargs)
            exchange = _begin(exchanges, self, method, url, args, kwargs)
            token = enter(exchange)
            try:
                response = None
                if exchange is not None and exchange.delivery is not None:
                    natures = _natures(self, url)
                    given = wait_for_head(exchange, natures)
                    if given is not None:
                        body = waiting_for_pieces(exchange, given, natures)
                        response = _read(given, body, method)
                        if not gives_plain:
                            response = _given(HTTPResponse, response, self, method, url, kwargs)
                if response is None:
                    if exchange is not None and exchange.carried is not None:
                        args, kwargs = _carrying(exchange.carried, self, args, kwargs)
                    response = original(self, conn, method, url, *args, **kwargs)
            except BaseException as error:
                fail(exchange, error)
                raise
            finally:
                leave(token, exchange)
            if exchange is None:
                return response
            if gives_plain:
                watch(response, exchange)
                return response
            return _told(exchange, response, kwargs)

        return _make_request

    attempts = replace(pool.HTTPConnectionPool, "_make_request", make)
    if gives_plain:
        return [attempts, replace(HTTPResponse, "read_chunked", lambda original: _chunks(original, _plain))]
    read1 = [replace(HTTPResponse, "read1", _reads)] if hasattr(HTTPResponse, "read1") else []  # from 2.2 on
    return [
        attempts,
        replace(HTTPResponse, "read", _reads),
        *read1,
        replace(HTTPResponse, "read_chunked", lambda original: _chunks(original, lambda response: response)),
        replace(HTTPResponse, "drain_conn", _closes),
        replace(HTTPResponse, "close", _closes),
    ]


def _answers_itself(connection: Any) -> bool:
    """Whether something is in the place of a connection, as a cassette of vcrpy is; what it sends is recorded where it does."""
    answers = next((kind for kind in type(connection).__mro__ if "getresponse" in vars(kind)), None)
    return answers is None or answers.__module__.partition(".")[0] not in {"urllib3", "http"}


def _carrying(
    carried: str, pool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of an attempt with what it shall carry among the headers, which are a copy."""
    headers = (args[1] if len(args) > 1 else kwargs.get("headers")) or pool.headers or {}
    headers = headers.copy()
    headers[HEADER] = carried
    if len(args) > 1:
        return (args[0], headers, *args[2:]), kwargs
    return args, {**kwargs, "headers": headers}


def _told(exchange: Watched, response: Any, kwargs: dict[str, Any]) -> Any:
    """The response, whose head is told to the exchange now and whose body as the program reads it."""
    exchange.respond(response.status, _pairs(response.headers), response.reason)
    body = getattr(response, "_body", None)
    if body is None:
        response.__dict__[MARK] = exchange
    else:  # read at construction
        exchange.receive(body, decoded=bool(kwargs.get("decode_content", True)))
        exchange.end()
    return response


def _pairs(headers: Any) -> list[tuple[str, str]]:
    """What `list(headers.items())` gives, which goes through all of them in Python to say how many they are, and once more."""
    held = getattr(headers, "_container", None)
    if type(held) is not dict:
        return list(iter(headers.items()))
    return [(values[0], value) for values in held.values() for value in values[1:]]


def _natures(pool: Any, url: str) -> Natures:
    """How an attempt of this pool fails."""
    from urllib3 import exceptions  # noqa: PLC0415  (imported with the pool)

    return {
        "timeout": lambda text: exceptions.ReadTimeoutError(pool, url, text),
        "connection": exceptions.ProtocolError,
    }


def _read(given: Response, body: Iterator[bytes], method: str) -> Any:
    """A response as `http.client` would have read it, from a line that goes nowhere."""
    from http.client import HTTPResponse  # noqa: PLC0415  (imported with the pool)

    line = Line(on_the_wire(given._replace(encoding=""), body, method=method))
    read = HTTPResponse(line, method=method)  # type: ignore[arg-type]  # of a socket it needs this alone
    read.begin()
    return read


def _given(make: Any, read: Any, pool: Any, method: str, url: str, kwargs: dict[str, Any]) -> Any:
    """A response as the pool would have made it."""
    names = ("preload_content", "decode_content", "enforce_content_length")
    settings = {name: kwargs[name] for name in names if name in kwargs}
    if "version_string" in inspect.signature(make).parameters:  # from 2.2 on
        settings["version_string"] = "HTTP/1.1"
    response = make(
        body=read,
        headers=read.msg.items(),
        status=read.status,
        version=read.version,
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


def _begin(
    exchanges: Exchanges, pool: Any, method: str, url: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Watched | None:
    try:
        body = args[0] if args else kwargs.get("body")
        headers = (args[1] if len(args) > 1 else kwargs.get("headers")) or pool.headers or {}
        if url.startswith("/"):  # else whole, because a proxy is asked for it
            url = f"{pool.scheme}://{pool.host}{f':{pool.port}' if pool.port else ''}{url}"
    except Exception as error:
        exchanges.tracer.problem("a urllib3 request could not be read", error)
        return None
    pairs = OnDemand(lambda: [(str(name), str(value)) for name, value in headers.items()])
    return exchanges.begin(method, url, pairs, in_memory(body))


def _reads(original: Callable[..., Any]) -> Callable[..., Any]:
    def read(self: Any, amt: Any = None, decode_content: Any = None, *args: Any, **kwargs: Any) -> Any:
        exchange = self.__dict__.get(MARK)
        try:
            data = original(self, amt, decode_content, *args, **kwargs)
        except BaseException as error:
            fail(exchange, error)
            raise
        if exchange is not None:
            exchange.receive(data, decoded=_is_decoded(self, decode_content))
            if _is_over(self, data, amt):
                exchange.end()
        return data

    return read


def _plain(response: Any) -> Any:
    """The response of `http.client` that one of urllib3 before version 2 reads from."""
    return response._fp  # noqa: SLF001  (it has no other name)


def _chunks(original: Callable[..., Any], marked: Callable[[Any], Any]) -> Callable[..., Any]:
    """Wrap the generator that reads a body in chunks; `marked` gives the object that knows its exchange."""

    def read_chunked(self: Any, amt: Any = None, decode_content: Any = None) -> Iterator[bytes]:
        marks = getattr(marked(self), "__dict__", {})
        exchange = marks.get(MARK)
        chunks = iter(original(self, amt, decode_content))
        while True:
            held = marks.pop(MARK, None)  # it closes itself before it says that the body is not whole
            try:
                data = next(chunks, None)
            except BaseException as error:
                fail(exchange, error)
                raise
            if held is not None:
                marks[MARK] = held
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
        exchange = self.__dict__.pop(MARK, None)
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
