"""Aiohttp: an attempt begins when a connection is asked for; its body leaves a `StreamReader` piece by piece.

`ClientSession._request` itself is left alone: a wrapper around it would move the line that its warnings name.
"""

from __future__ import annotations

import errno
import re
import weakref
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from namel3ss_debug.capture.answers import Raised, Response
from namel3ss_debug.capture.delivery import never_on_loop
from namel3ss_debug.capture.exchanges import Exchanges, enter, leave
from namel3ss_debug.capture.patching import Undo, hide_own_frame, replace
from namel3ss_debug.capture.raising import error_like
from namel3ss_debug.capture.traceparent import HEADER
from namel3ss_debug.capture.transport.seams import OnDemand, Watched, fail, in_memory

_MARK = "_namel3ss_exchange"
_A_MOMENT = 0.01
"""The seconds after which it is looked again whether the program has read what came before an end."""


class _Reading(NamedTuple):
    """A body that is being read; `response` tells when nobody can close it any more.

    `stopped` is what ended the last wait for more of it, where nothing has come since: who is cancelled while it reads
    may read on.
    """

    exchange: Watched
    response: weakref.ref[Any]
    stopped: BaseException | None = None

    def over(self) -> None:
        """The program reads no further."""
        if self.stopped is None:
            self.exchange.close()
        else:
            self.exchange.fail(self.stopped)


class _Call(NamedTuple):
    """A call of a method that is one step of an attempt: its object, and its first argument."""

    owner: Any
    request: Any

    def mark(self) -> Watched | None:
        """The exchange that the step before left on the object."""
        exchange: Watched | None = self.owner.__dict__.pop(_MARK, None)
        return exchange


def patch(client: Any, exchanges: Exchanges) -> list[Undo]:
    """Record each attempt of aiohttp, redirects and repeated requests one by one."""
    from aiohttp import connector, streams  # noqa: PLC0415  (imported with the client)

    reading: dict[int, _Reading] = {}

    def connected(call: _Call, _connection: Any, exchange: Watched) -> None:
        call.request.__dict__[_MARK] = exchange
        if exchange.carried is not None:  # a request is made anew for each attempt
            call.request.headers[HEADER] = exchange.carried

    def sent(_call: _Call, response: Any, exchange: Watched) -> None:
        response.__dict__[_MARK] = exchange

    def started(call: _Call, _response: Any, exchange: Watched) -> None:
        exchange.respond(call.owner.status, list(call.owner.headers.items()), call.owner.reason)
        _read_on(reading, call.owner, exchange)
        if exchange.response is not None:
            _Feeder(call.owner, exchange, exchange.response).go_on()

    return [
        replace(
            connector.BaseConnector, "connect", _step(lambda call: _begin(exchanges, call.request), connected)
        ),
        replace(client.ClientRequest, "send", _step(_Call.mark, sent)),
        replace(client.ClientResponse, "start", _step(_Call.mark, started, waits_for_response=True)),
        replace(client.ClientResponse, "close", lambda original: _closes(original, reading)),
        replace(client.ClientResponse, "release", lambda original: _closes(original, reading)),
        replace(streams.StreamReader, "_wait", lambda original: _waits(original, reading)),
        replace(streams.StreamReader, "_read_nowait_chunk", lambda original: _reads(original, reading)),
        replace(streams.StreamReader, "set_exception", lambda original: _breaks(original, reading)),
    ]


_CONNECTING = re.compile(r"Cannot connect to host .*? ssl:.*? \[(?P<reason>.*)\]\Z", re.DOTALL)


def _step(
    before: Callable[[_Call], Watched | None],
    after: Callable[[_Call, Any, Watched], None],
    *,
    waits_for_response: bool = False,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Wrap one step of an attempt: a failure in it ends the exchange, else `after` hands it to the next.

    An exchange that was given an answer gets a connection to nowhere at its first step, on which that answer arrives.
    """

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        async def step(self: Any, *args: Any, **kwargs: Any) -> Any:
            call = _Call(self, args[0] if args else None)
            exchange = before(call)
            token = enter(exchange)
            try:
                result = None
                if exchange is not None and exchange.delivery is not None:
                    if before is not _Call.mark:
                        result = await _connected(call, exchange)
                    elif waits_for_response:
                        await _fail_late(exchange)
                if result is None:
                    result = await original(self, *args, **kwargs)
            except BaseException as error:
                fail(exchange, error)
                raise
            finally:
                leave(token, exchange)
            if exchange is not None:
                after(call, result, exchange)
            return result

        return step

    return make


async def _connected(call: _Call, exchange: Watched) -> Any:
    """The connection of an attempt that is given an answer, once its head may come; `None` where the attempt is to be made.

    Raises:
        BaseException: the answer is that there is no connection.
    """
    from aiohttp.client_exceptions import ClientConnectorError  # noqa: PLC0415  (imported with the client)

    response, delivery = exchange.response, exchange.delivery
    assert delivery is not None
    await delivery.reach("head")
    if response is None or response.status:
        return None if response is None else _play(call, response)
    error = None if response.raised is None else _error(response.raised, call.request.connection_key)
    if isinstance(error, ClientConnectorError):
        await delivery.reach("end")
        raise error
    return _play(call, response)


async def _fail_late(exchange: Watched) -> None:
    """Fail where an attempt waits for its response, for aiohttp takes the same exceptions for others where it connects."""
    response, delivery = exchange.response, exchange.delivery
    assert delivery is not None
    if response is None or response.status:
        return
    if response.given_up:
        await never_on_loop()
    await delivery.reach("end")
    raise _error(response.raised or Raised("connection", "the connection was lost"), None)


def _error(raised: Raised, key: Any) -> BaseException:
    """What an attempt is ended by; the key of its connection makes exceptions of connecting."""
    from aiohttp import client_exceptions  # noqa: PLC0415  (imported with the client)

    natures: dict[str, Callable[[str], BaseException]] = {
        "timeout": client_exceptions.ServerTimeoutError,
        "connection": client_exceptions.ClientConnectionError,
    }
    kind: Any = getattr(client_exceptions, raised.type.rpartition(".")[2], None)
    if raised.type == "connection":
        kind = client_exceptions.ClientConnectorError
    is_connector = isinstance(kind, type) and issubclass(kind, client_exceptions.ClientConnectorError)
    if is_connector and kind is not client_exceptions.UnixClientConnectorError and key is not None:
        found = _CONNECTING.match(raised.text)
        text = raised.text if found is None else found["reason"]
        number = errno.ECONNREFUSED if "Connect call failed" in text else None
        error: BaseException = kind(key, OSError(number, text))
        return error
    return error_like(raised, natures)


def _play(call: _Call, response: Response) -> Any:
    """A connection on which the head of a response has arrived already, and where whatever is sent goes nowhere."""
    from aiohttp.connector import Connection  # noqa: PLC0415  (imported with the client)

    connector = call.owner
    protocol = connector._factory()  # noqa: SLF001  (no other way makes a connection without a socket)
    protocol.connection_made(_Nowhere(protocol, connector._loop))  # noqa: SLF001  (as above)
    connection = Connection(connector, call.request.connection_key, protocol, connector._loop)  # noqa: SLF001  (as above)
    if not response.status:
        return connection
    headers = dict(response.headers) | {"connection": "close"}
    if not _tells_its_length(response):
        headers["transfer-encoding"] = "chunked"
    head = [f"HTTP/1.1 {response.status} {response.reason}"]
    head += [f"{name}: {value}" for name, value in headers.items()]
    protocol.data_received("\r\n".join([*head, "", ""]).encode("utf-8", "replace"))
    return connection


def _tells_its_length(response: Response) -> bool:
    return any(name == "content-length" for name, _value in response.headers) or response.status in (204, 304)


class _Feeder:
    """Brings the body of a response that is given to its real parser, piece by piece, by callbacks of the loop.

    A task of its own would be seen by the program, and take a number from its tasks.
    """

    def __init__(self, owner: Any, exchange: Watched, response: Response) -> None:
        self._content = owner.content
        self._protocol = owner._protocol  # noqa: SLF001  (as in `_play`; `None` where the body is over already)
        self._loop = owner._loop  # noqa: SLF001  (as above)
        self._response = response
        self._blocks = self._in_turn(exchange)

    def go_on(self) -> None:
        """Bring what may come now; look again later where something has to wait."""
        if self._protocol is None or self._protocol.transport is None:
            return
        for pause in self._blocks:
            self._loop.call_later(pause, self.go_on)
            return

    def _in_turn(self, exchange: Watched) -> Iterator[float]:
        """Bring everything; yields the seconds until it is to go on."""
        delivery, response = exchange.delivery, self._response
        assert delivery is not None
        chunked = not _tells_its_length(response)
        last = b""
        for index, piece in enumerate(response.pieces):
            yield from delivery.pauses("piece", index)
            if chunked and piece:
                self._protocol.data_received(b"%x\r\n%b\r\n" % (len(piece), piece))
            elif piece:  # the last one ends the body, and waits for the end
                if last:
                    self._protocol.data_received(last)
                last = piece
        if response.given_up:
            return
        yield from delivery.pauses("end")
        if response.raised is not None:
            while self._is_left_to_be_read():
                yield _A_MOMENT
            self._break(response.raised)
        elif chunked or last:
            self._protocol.data_received(last or b"0\r\n\r\n")

    def _is_left_to_be_read(self) -> bool:
        """Whether the program has not read what came, and waits for no more: an exception would take that away."""
        return bool(self._content._buffer) and self._content._waiter is None  # noqa: SLF001  (told nowhere else)

    def _break(self, raised: Raised) -> None:
        from aiohttp import client_exceptions  # noqa: PLC0415  (imported with the client)

        natures = {
            "timeout": client_exceptions.SocketTimeoutError,
            "connection": client_exceptions.ClientPayloadError,
        }
        self._content.set_exception(error_like(raised, natures))


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


def _begin(exchanges: Exchanges, request: Any) -> Watched | None:
    try:
        body = in_memory(getattr(request.body, "_value", request.body))
        method, url = str(request.method), str(request.url)
    except Exception as error:
        exchanges.tracer.problem("an aiohttp request could not be read", error)
        return None
    headers = OnDemand(lambda: [(str(name), str(value)) for name, value in request.headers.items()])
    return exchanges.begin(method, url, headers, body)


def _read_on(reading: dict[int, _Reading], response: Any, exchange: Watched) -> None:
    """Follow the body of a response until it is read, closed, broken, or forgotten by the program."""
    content = response.content
    if content.at_eof():  # all responses without a body share one reader, in every thread
        exchange.end()
        return
    key = id(content)  # a reader has no room for a mark, nor for a weak reference

    def forgotten(response: weakref.ref[Any]) -> None:
        if key in reading and reading[key].response is response:
            reading.pop(key).over()

    def arrived() -> None:
        if key in reading and reading[key].exchange is exchange and content.at_eof():
            reading.pop(key).exchange.end()

    reading[key] = _Reading(exchange, weakref.ref(response, forgotten))
    content.on_eof(arrived)


def _waits(original: Callable[..., Any], reading: dict[int, _Reading]) -> Callable[..., Any]:
    from asyncio import CancelledError  # noqa: PLC0415  (imported with the client)

    async def _wait(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return await original(self, *args, **kwargs)
        except (CancelledError, TimeoutError) as error:
            found = reading.get(id(self))
            if found is not None:  # as another of its kind, for this one holds what the program holds
                reading[id(self)] = found._replace(stopped=type(error)(*error.args))
            hide_own_frame(error)
            raise

    return _wait


def _reads(original: Callable[..., Any], reading: dict[int, _Reading]) -> Callable[..., Any]:
    def _read_nowait_chunk(self: Any, n: int) -> bytes:
        data: bytes = original(self, n)
        found = reading.get(id(self))
        if found is not None:
            if found.stopped is not None:
                reading[id(self)] = found._replace(stopped=None)
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
            found.over()
        return original(self)

    return close
