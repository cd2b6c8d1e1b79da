"""Aiohttp: an attempt begins when a connection is asked for; its body leaves a `StreamReader` piece by piece.

`ClientSession._request` itself is left alone: a wrapper around it would move the line that its warnings name.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

from namel3ss_debug.capture.exchanges import Exchange, Exchanges, enter, leave
from namel3ss_debug.capture.patching import Undo, replace
from namel3ss_debug.capture.transport.seams import in_memory, passes

_MARK = "_namel3ss_exchange"


class _Reading(NamedTuple):
    """A body that is being read; `response` tells when nobody can close it any more."""

    exchange: Exchange
    response: weakref.ref[Any]


class _Call(NamedTuple):
    """A call of a method that is one step of an attempt: its object, and its first argument."""

    owner: Any
    request: Any

    def mark(self) -> Exchange | None:
        """The exchange that the step before left on the object."""
        exchange: Exchange | None = self.owner.__dict__.pop(_MARK, None)
        return exchange


def patch(client: Any, exchanges: Exchanges) -> list[Undo]:
    """Record each attempt of aiohttp, redirects and repeated requests one by one."""
    from aiohttp import connector, streams  # noqa: PLC0415  (imported with the client)

    reading: dict[int, _Reading] = {}

    def connected(call: _Call, _connection: Any, exchange: Exchange) -> None:
        call.request.__dict__[_MARK] = exchange

    def sent(_call: _Call, response: Any, exchange: Exchange) -> None:
        response.__dict__[_MARK] = exchange

    def started(call: _Call, _response: Any, exchange: Exchange) -> None:
        exchange.respond(call.owner.status, list(call.owner.headers.items()))
        _read_on(reading, call.owner, exchange)

    return [
        replace(
            connector.BaseConnector, "connect", _step(lambda call: _begin(exchanges, call.request), connected)
        ),
        replace(client.ClientRequest, "send", _step(_Call.mark, sent)),
        replace(client.ClientResponse, "start", _step(_Call.mark, started)),
        replace(client.ClientResponse, "close", lambda original: _closes(original, reading)),
        replace(client.ClientResponse, "release", lambda original: _closes(original, reading)),
        replace(streams.StreamReader, "_read_nowait_chunk", lambda original: _reads(original, reading)),
        replace(streams.StreamReader, "set_exception", lambda original: _breaks(original, reading)),
    ]


def _step(
    before: Callable[[_Call], Exchange | None], after: Callable[[_Call, Any, Exchange], None]
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Wrap one step of an attempt: a failure in it ends the exchange, else `after` hands it to the next."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        async def step(self: Any, *args: Any, **kwargs: Any) -> Any:
            call = _Call(self, args[0] if args else None)
            exchange = before(call)
            token = enter()
            try:
                result = await original(self, *args, **kwargs)
            except BaseException as error:
                passes(error, exchange)
                raise
            finally:
                leave(token)
            if exchange is not None:
                after(call, result, exchange)
            return result

        return step

    return make


def _begin(exchanges: Exchanges, request: Any) -> Exchange | None:
    try:
        body = in_memory(getattr(request.body, "_value", request.body))
        headers = [(str(name), str(value)) for name, value in request.headers.items()]
        method, url = str(request.method), str(request.url)
    except Exception as error:
        exchanges.tracer.problem("an aiohttp request could not be read", error)
        return None
    return exchanges.begin(method, url, headers, body)


def _read_on(reading: dict[int, _Reading], response: Any, exchange: Exchange) -> None:
    """Follow the body of a response until it is read, closed, broken, or forgotten by the program."""
    content = response.content
    key = id(content)  # a reader has no room for a mark, nor for a weak reference

    def forgotten(response: weakref.ref[Any]) -> None:
        if key in reading and reading[key].response is response:
            reading.pop(key).exchange.close()

    def arrived() -> None:
        if key in reading and reading[key].exchange is exchange and content.at_eof():
            reading.pop(key).exchange.end()

    reading[key] = _Reading(exchange, weakref.ref(response, forgotten))
    content.on_eof(arrived)


def _reads(original: Callable[..., Any], reading: dict[int, _Reading]) -> Callable[..., Any]:
    def _read_nowait_chunk(self: Any, n: int) -> bytes:
        data: bytes = original(self, n)
        found = reading.get(id(self))
        if found is not None:
            found.exchange.receive(data, decoded=True)
            if self.at_eof():
                reading.pop(id(self)).exchange.end()
        return data

    return _read_nowait_chunk


def _breaks(original: Callable[..., Any], reading: dict[int, _Reading]) -> Callable[..., Any]:
    def set_exception(self: Any, exc: BaseException, *args: Any, **kwargs: Any) -> Any:
        found = reading.pop(id(self), None)
        if found is not None:
            found.exchange.fail(exc)
        return original(self, exc, *args, **kwargs)

    return set_exception


def _closes(original: Callable[..., Any], reading: dict[int, _Reading]) -> Callable[..., Any]:
    def close(self: Any) -> Any:
        found = reading.pop(id(self.content), None)
        if found is not None:
            found.exchange.close()
        return original(self)

    return close
