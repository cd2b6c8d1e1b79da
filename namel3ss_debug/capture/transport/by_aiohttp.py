"""Aiohttp: an attempt begins when a connection is asked for; its body leaves a `StreamReader` piece by piece.

`ClientSession._request` itself is left alone: a wrapper around it would move the line that its warnings name.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

from namel3ss_debug.capture.answers import Response
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
    """Wrap one step of an attempt: a failure in it ends the exchange, else `after` hands it to the next.

    An exchange that was given an answer gets a connection to nowhere at its first step, on which that answer waits.
    """

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        async def step(self: Any, *args: Any, **kwargs: Any) -> Any:
            call = _Call(self, args[0] if args else None)
            exchange = before(call)
            token = enter()
            try:
                if before is _Call.mark or exchange is None or exchange.response is None:
                    result = await original(self, *args, **kwargs)
                else:
                    result = _play(call, exchange.response)
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


def _play(call: _Call, response: Response) -> Any:
    """A connection on which a response has arrived already, and where whatever is sent goes nowhere."""
    from aiohttp.connector import Connection  # noqa: PLC0415  (imported with the client)

    connector = call.owner
    protocol = connector._factory()  # noqa: SLF001  (no other way makes a connection without a socket)
    protocol.connection_made(_Nowhere(protocol, connector._loop))  # noqa: SLF001  (as above)
    size = sum(map(len, response.pieces))
    headers = dict(response.headers) | {"content-length": str(size), "connection": "close"}
    head = [f"HTTP/1.1 {response.status} {response.reason}"]
    head += [f"{name}: {value}" for name, value in headers.items()]
    protocol.data_received("\r\n".join([*head, "", ""]).encode() + b"".join(response.pieces))
    return Connection(connector, call.request.connection_key, protocol, connector._loop)  # noqa: SLF001  (as above)


class _Nowhere:
    """An asyncio transport without a wire: it takes what is written, and nothing comes but what was there from the beginning.

    It is none by inheritance, because recording must not import asyncio into a program that does not.
    """

    def __init__(self, protocol: Any, loop: Any) -> None:
        self._protocol = protocol
        self._loop = loop

    def get_extra_info(self, _name: str, default: Any = None) -> Any:
        """Nothing is known of the other side."""
        return default

    def write(self, data: Any) -> None:
        """Nothing is sent."""

    def writelines(self, list_of_data: Any) -> None:
        """Nothing is sent."""

    def get_write_buffer_size(self) -> int:
        """Nothing waits to be sent."""
        return 0

    def pause_reading(self) -> None:
        """Nothing comes."""

    def resume_reading(self) -> None:
        """Nothing comes."""

    def is_closing(self) -> bool:
        """Whether it has been closed."""
        return self._protocol is None

    def close(self) -> None:
        """The other side is gone as well."""
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            self._loop.call_soon(protocol.connection_lost, None)

    def abort(self) -> None:
        """As `close`: there is nothing to lose."""
        self.close()


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
