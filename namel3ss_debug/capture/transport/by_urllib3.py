"""Urllib3, and with it requests and boto: one `_make_request` an attempt, bodies where they are read."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

from namel3ss_debug.capture.answers import Response
from namel3ss_debug.capture.exchanges import Exchange, Exchanges, enter, leave
from namel3ss_debug.capture.patching import Undo, replace
from namel3ss_debug.capture.transport.seams import in_memory, passes

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
            if exchange is not None and exchange.response is not None:
                response = _given(HTTPResponse, exchange.response, self, method, url, kwargs)
                return _told(exchange, response, kwargs)
            token = enter()
            try:
                response = original(self, conn, method, url, *args, **kwargs)
            except BaseException as error:
                passes(error, exchange)
                raise
            finally:
                leave(token)
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


def _told(exchange: Exchange, response: Any, kwargs: dict[str, Any]) -> Any:
    """The response, whose head is told to the exchange now and whose body as the program reads it."""
    exchange.respond(response.status, list(response.headers.items()))
    body = getattr(response, "_body", None)
    if body is None:
        response.__dict__[_MARK] = exchange
    else:  # read at construction
        exchange.receive(body, decoded=bool(kwargs.get("decode_content", True)))
        exchange.end()
    return response


def _given(make: Any, given: Response, pool: Any, method: str, url: str, kwargs: dict[str, Any]) -> Any:
    """A response as the pool would have made it, and which gives the connection back that it never used."""
    settings = {
        name: kwargs[name] for name in ("preload_content", "decode_content", "retries") if name in kwargs
    }
    return make(
        body=io.BytesIO(b"".join(given.pieces)),
        headers=given.headers,
        status=given.status,
        version=11,
        version_string="HTTP/1.1",
        reason=given.reason,
        connection=kwargs.get("response_conn"),
        pool=pool,
        request_method=method,
        request_url=url,
        **settings,
    )


def _begin(
    exchanges: Exchanges, pool: Any, method: str, url: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Exchange | None:
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
        try:
            for data in original(self, amt, decode_content):
                if exchange is not None:
                    exchange.receive(data, decoded=_is_decoded(self, decode_content))
                yield data
        except GeneratorExit:
            raise
        except BaseException as error:
            passes(error, exchange)
            raise
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
