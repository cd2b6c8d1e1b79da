"""Urllib3, and with it requests and boto: one `_make_request` an attempt, bodies where they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from namel3ss_debug.capture.exchanges import INSIDE, Exchange, Exchanges
from namel3ss_debug.capture.transport.seams import Undo, in_memory, replace


def patch(pool: Any, exchanges: Exchanges) -> list[Undo]:
    """Urllib3, and with it requests: one `_make_request` an attempt, bodies where they are read."""
    from urllib3.response import HTTPResponse  # noqa: PLC0415  (imported with the pool)

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def _make_request(self: Any, conn: Any, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
            body = args[0] if args else kwargs.get("body")
            headers = args[1] if len(args) > 1 else kwargs.get("headers")
            whole = f"{self.scheme}://{self.host}{f':{self.port}' if self.port else ''}{url}"
            pairs = list((headers or self.headers or {}).items())
            exchange = exchanges.begin(method, whole, pairs, in_memory(body))
            if exchange is None:
                return original(self, conn, method, url, *args, **kwargs)
            token = INSIDE.set(True)
            try:
                response = original(self, conn, method, url, *args, **kwargs)
            except BaseException as error:
                exchange.fail(error)
                raise
            finally:
                INSIDE.reset(token)
            exchange.respond(response.status, list(response.headers.items()))
            if getattr(response, "_body", None):
                exchange.receive(response._body, decoded=True)  # noqa: SLF001  (read at construction)
                exchange.end()
            else:
                response._namel3ss_exchange = exchange  # noqa: SLF001  (our own mark)
            return response

        return _make_request

    return [
        replace(pool.HTTPConnectionPool, "_make_request", make),
        replace(HTTPResponse, "read", _reads),
        replace(HTTPResponse, "read1", _reads),
        replace(HTTPResponse, "read_chunked", _chunks),
        replace(HTTPResponse, "close", _closes),
    ]


def _reads(original: Callable[..., Any]) -> Callable[..., Any]:
    def read(self: Any, *args: Any, **kwargs: Any) -> Any:
        exchange = self.__dict__.pop("_namel3ss_exchange", None)
        if exchange is None:
            return original(self, *args, **kwargs)
        try:
            data = original(self, *args, **kwargs)
        except BaseException as error:
            exchange.fail(error)
            raise
        exchange.receive(data, decoded=True)
        _go_on(self, exchange, over=not data or not args or args[0] is None)
        return data

    return read


def _chunks(original: Callable[..., Any]) -> Callable[..., Any]:
    def read_chunked(self: Any, *args: Any, **kwargs: Any) -> Iterator[bytes]:
        exchange = self.__dict__.pop("_namel3ss_exchange", None)
        for data in original(self, *args, **kwargs):
            if exchange is not None:
                exchange.receive(data, decoded=True)
            yield data
        if exchange is not None:
            exchange.end()

    return read_chunked


def _closes(original: Callable[..., Any]) -> Callable[..., Any]:
    def close(self: Any) -> None:
        exchange = self.__dict__.pop("_namel3ss_exchange", None)
        original(self)
        if exchange is not None:
            exchange.end()

    return close


def _go_on(response: Any, exchange: Exchange, *, over: bool) -> None:
    if over:
        exchange.end()
    else:
        response._namel3ss_exchange = exchange  # noqa: SLF001  (our own mark)
