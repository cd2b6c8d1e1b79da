"""Aiohttp: an attempt begins when a connection is requested; its body is read from a `StreamReader` piece by piece.

`ClientSession._request` is not wrapped: a wrapper would change the line that aiohttp's warnings name.
"""

from __future__ import annotations

import errno
import re
import weakref
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from namel3ss_debug.capture.core.answers import HTTP_1_1, RecordedError, Response
from namel3ss_debug.capture.core.delivery import wait_forever_on_loop
from namel3ss_debug.capture.core.patching import Undo, hide_own_frame, replace
from namel3ss_debug.capture.seams.functions.exceptions import make_cause, make_similar_error
from namel3ss_debug.capture.seams.http.exchanges import AnyExchange, Exchanges, LateExchange, enter, leave
from namel3ss_debug.capture.seams.http.request_bodies import StreamedBody
from namel3ss_debug.capture.seams.http.shared import LazyHeaders, body_in_memory, fail
from namel3ss_debug.capture.seams.http.traceparent import HEADER

_MARK = "_namel3ss_exchange"
_DECODES = "_namel3ss_decodes"
"""Marks a connection, and then its response, with whether the request asked for a decoded body."""
_PAYLOAD = "_namel3ss_payload"
"""Marks a request with what to send in place of its streamed body."""
_ENCODINGS = frozenset({"gzip", "deflate", "br", "zstd"})
"""The encodings that aiohttp decodes. It passes a body in any other one as it is."""
_POLL_SECONDS = 0.01
"""How often to check whether the program has read what arrived before an error."""


class _Reading(NamedTuple):
    """A body that is being read.

    Attributes:
        exchange: records it.
        response: a weak reference, whose callback runs when the program has dropped the response without closing it.
        decoded: whether aiohttp decodes the body before the program reads it.
        stopped: the exception that ended the last wait for data, if no data has arrived since. A task that was
            cancelled while it read may read on.
    """

    exchange: AnyExchange
    response: weakref.ref[Any]
    decoded: bool
    stopped: BaseException | None = None

    def end(self) -> None:
        """End the exchange when the program reads no further."""
        if self.stopped is None:
            self.exchange.close()
        else:
            self.exchange.fail(self.stopped)


class _Call(NamedTuple):
    """A method call that is one step of an attempt: the object, and the first argument."""

    owner: Any
    request: Any

    async def take_exchange(self) -> AnyExchange | None:
        """Take the exchange that the previous step left on the object."""
        exchange: AnyExchange | None = self.owner.__dict__.pop(_MARK, None)
        return exchange


def patch(client: Any, exchanges: Exchanges) -> list[Undo]:
    """Record each attempt of aiohttp, redirects and repeated requests one by one."""
    from aiohttp import client_proto, connector, http_parser, payload, streams

    reading: dict[int, _Reading] = {}
    sending = _payload_class(payload.Payload)
    encodings = _ENCODINGS if getattr(http_parser, "HAS_ZSTD", False) else _ENCODINGS - {"zstd"}

    def connected(call: _Call, _connection: Any, exchange: AnyExchange) -> None:
        call.request.__dict__[_MARK] = exchange
        # aiohttp makes a new request for each attempt, so the header need not be removed afterwards.
        if exchange.carried is not None:
            call.request.headers[HEADER] = exchange.carried

    def sent(call: _Call, response: Any, exchange: AnyExchange) -> None:
        response.__dict__[_MARK] = exchange
        response.__dict__[_DECODES] = getattr(call.request.protocol, _DECODES, True)

    def started(call: _Call, _response: Any, exchange: AnyExchange) -> None:
        owner = call.owner
        version = HTTP_1_1 if owner.version is None else "HTTP/{}.{}".format(*owner.version)
        exchange.respond(owner.status, list(owner.headers.items()), owner.reason, version)
        encoding = call.owner.headers.get("content-encoding", "").lower()
        decodes = call.owner.__dict__.pop(_DECODES, True) and encoding in encodings
        _follow_body(reading, call.owner, exchange, decoded=decodes)
        if exchange.response is not None:
            _Feeder(call.owner, exchange, exchange.response).feed()

    return [
        replace(
            connector.BaseConnector,
            "connect",
            _step(lambda call: _begin(exchanges, call.request, sending), connected),
        ),
        replace(client.ClientRequest, "write_bytes", _wrap_write_bytes),
        replace(client.ClientRequest, "send", _step(_Call.take_exchange, sent)),
        replace(client.ClientResponse, "start", _step(_Call.take_exchange, started, waits_for_response=True)),
        replace(client_proto.ResponseHandler, "set_response_params", _wrap_set_response_params),
        replace(client.ClientResponse, "close", lambda original: _wrap_close(original, reading)),
        replace(client.ClientResponse, "release", lambda original: _wrap_close(original, reading)),
        replace(streams.StreamReader, "_wait", lambda original: _wrap_wait(original, reading)),
        replace(streams.StreamReader, "_read_nowait_chunk", lambda original: _wrap_read(original, reading)),
        replace(
            streams.StreamReader, "set_exception", lambda original: _wrap_set_exception(original, reading)
        ),
    ]


_CONNECTING = re.compile(r"Cannot connect to host .*? ssl:.*? \[(?P<reason>.*)\]\Z", re.DOTALL)


def _step(
    before: Callable[[_Call], Awaitable[AnyExchange | None]],
    after: Callable[[_Call, Any, AnyExchange], None],
    *,
    waits_for_response: bool = False,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Wrap one step of an attempt. A failure ends the exchange; otherwise `after` passes it to the next step.

    An exchange with a recorded answer gets a connection without a server at its first step. The answer arrives there.
    """

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        async def step(self: Any, *args: Any, **kwargs: Any) -> Any:
            call = _Call(self, args[0] if args else None)
            exchange = await before(call)
            token = enter(exchange)
            try:
                result = None
                if exchange is not None and exchange.delivery is not None:
                    if before is not _Call.take_exchange:
                        result = await _answer_connection(call, exchange)
                    elif waits_for_response:
                        await _raise_recorded_error(exchange)
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


async def _answer_connection(call: _Call, exchange: AnyExchange) -> Any:
    """Return the connection of an attempt that has a recorded answer, when its head is due.

    Returns `None` if the attempt is to be made.

    Raises:
        BaseException: the recorded error, if no connection was made.
    """
    from aiohttp.client_exceptions import ClientConnectorError

    response, delivery = exchange.response, exchange.delivery
    assert delivery is not None
    await delivery.reach("head")
    if response is None or response.status:
        return None if response is None else _open_answered_connection(call, response)
    error = None if response.raised is None else _error(response.raised, call.request.connection_key)
    if isinstance(error, ClientConnectorError):
        await delivery.reach("end")
        raise error
    return _open_answered_connection(call, response)


async def _raise_recorded_error(exchange: AnyExchange) -> None:
    """Raise the recorded error where an attempt waits for its response.

    When aiohttp connects, it turns the same exceptions into others.
    """
    response, delivery = exchange.response, exchange.delivery
    assert delivery is not None
    if response is None or response.status:
        return
    if response.hangs:
        await wait_forever_on_loop()
    await delivery.reach("end")
    raise _error(response.raised or RecordedError("connection", "the connection was lost"), None)


def _error(raised: RecordedError, connection_key: Any) -> BaseException:
    """Return the exception that ends an attempt. Errors of connecting need the `connection_key`."""
    from aiohttp import client_exceptions

    error_factories: dict[str, Callable[[str], BaseException]] = {
        "timeout": client_exceptions.ServerTimeoutError,
        "connection": client_exceptions.ClientConnectionError,
    }
    kind: Any = getattr(client_exceptions, raised.type.rpartition(".")[2], None)
    if raised.type == "connection":
        kind = client_exceptions.ClientConnectorError
    is_connector = isinstance(kind, type) and issubclass(kind, client_exceptions.ClientConnectorError)
    if is_connector and kind is not client_exceptions.UnixClientConnectorError and connection_key is not None:
        # The recorded text already has the host around the reason, which the exception adds again.
        match = _CONNECTING.match(raised.text)
        text = raised.text if match is None else match["reason"]
        number = errno.ECONNREFUSED if "Connect call failed" in text else None
        cause = make_cause(raised.state)
        os_error = cause if isinstance(cause, OSError) else OSError(number, text)
        error: BaseException = kind(connection_key, os_error)
        if cause is not None:
            error.__cause__ = error.__context__ = cause
        return error
    return make_similar_error(raised, error_factories)


def _open_answered_connection(call: _Call, response: Response) -> Any:
    """Return a connection on which the head of a response has already arrived, and which ignores what is sent."""
    from aiohttp.connector import Connection

    connector = call.owner
    protocol = connector._factory()  # no other way makes a connection without a socket
    protocol.connection_made(_NullTransport(protocol, connector._loop))
    connection = Connection(connector, call.request.connection_key, protocol, connector._loop)
    if not response.status:
        return connection
    headers = dict(response.headers) | {"connection": "close"}
    if not _has_known_length(response):
        headers["transfer-encoding"] = "chunked"
    head = [f"{response.version} {response.status} {response.reason}"]
    head += [f"{name}: {value}" for name, value in headers.items()]
    protocol.data_received("\r\n".join([*head, "", ""]).encode("utf-8", "replace"))
    return connection


def _has_known_length(response: Response) -> bool:
    return any(name == "content-length" for name, _value in response.headers) or response.status in (204, 304)


class _Feeder:
    """Feeds the body of a recorded response to its real parser, piece by piece, with callbacks of the loop.

    The program would see a task, and the numbers in the names of its own tasks would change.
    """

    def __init__(self, owner: Any, exchange: AnyExchange, response: Response) -> None:
        self._content = owner.content
        self._protocol = owner._protocol
        self._loop = owner._loop
        self._response = response
        self._pauses = self._feed_all(exchange)

    def feed(self) -> None:
        """Feed everything that is due, and schedule the next call if something has to wait."""
        if self._protocol is None or self._protocol.transport is None:
            return
        for pause in self._pauses:
            self._loop.call_later(pause, self.feed)
            return

    def _feed_all(self, exchange: AnyExchange) -> Iterator[float]:
        """Feed the whole body in its turn. Yields the seconds to wait before the next step."""
        delivery, response = exchange.delivery, self._response
        assert delivery is not None
        chunked = not _has_known_length(response)
        last = b""
        for index, piece in enumerate(response.pieces):
            yield from delivery.pauses("piece", index)
            if chunked and piece:
                self._protocol.data_received(b"%x\r\n%b\r\n" % (len(piece), piece))
            elif piece:  # the last piece completes the body, so it must wait for the recorded end
                if last:
                    self._protocol.data_received(last)
                last = piece
        if response.hangs:
            return
        yield from delivery.pauses("end")
        if response.raised is not None:
            while self._has_unread_data():
                yield _POLL_SECONDS
            self._raise_in_reader(response.raised)
        elif chunked or last:
            self._protocol.data_received(last or b"0\r\n\r\n")

    def _has_unread_data(self) -> bool:
        """Return whether the program has not yet read what arrived. An exception would discard that data."""
        return bool(self._content._buffer) and self._content._waiter is None  # nothing public shows it

    def _raise_in_reader(self, raised: RecordedError) -> None:
        from aiohttp import client_exceptions

        error_factories = {
            "timeout": client_exceptions.SocketTimeoutError,
            "connection": client_exceptions.ClientPayloadError,
        }
        self._content.set_exception(make_similar_error(raised, error_factories))


class _NullTransport:
    """An asyncio transport without a connection: it discards what is written, and receives nothing.

    It does not inherit from `asyncio.Transport`, because recording must not import asyncio into a program that does not.
    """

    def __init__(self, protocol: Any, loop: Any) -> None:
        self._protocol = protocol
        self._loop = loop

    def get_extra_info(self, _name: str, default: Any = None) -> Any:
        """Return the default: there is no peer."""
        return default

    def write(self, data: Any) -> None:
        """Discard the data."""

    def writelines(self, list_of_data: Any) -> None:
        """Discard the data."""

    def get_write_buffer_size(self) -> int:
        """Return 0: nothing waits to be sent."""
        return 0

    def pause_reading(self) -> None:
        """Do nothing: no data arrives."""

    def resume_reading(self) -> None:
        """Do nothing: no data arrives."""

    def is_closing(self) -> bool:
        """Return whether the transport has been closed."""
        return self._protocol is None

    def close(self) -> None:
        """Close the transport, and report a lost connection to the protocol."""
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            self._loop.call_soon(protocol.connection_lost, None)

    def abort(self) -> None:
        """Close the transport: there is no data to lose."""
        self.close()


async def _begin(exchanges: Exchanges, request: Any, sending: Callable[..., Any]) -> AnyExchange | None:
    body: bytes | StreamedBody | None
    try:
        body = body_in_memory(getattr(request.body, "_value", request.body))
        method, url = str(request.method), str(request.url)
    except Exception as error:
        exchanges.tracer.problem("an aiohttp request could not be read", error)
        return None
    headers = LazyHeaders(lambda: [(str(name), str(value)) for name, value in request.headers.items()])
    if body is not None or not request.body:
        return exchanges.begin(method, url, headers, body)
    body = StreamedBody(keeps_all=exchanges.tracer.answers is not None)
    if not exchanges.reads_ahead(body):
        exchange = exchanges.begin_late(method, url, headers, body)
    else:
        length = request._get_content_length() if hasattr(request, "_get_content_length") else None
        with suppress(Exception):  # aiohttp reports it as a failed connection, which the trace holds
            await sending(request.body, body).write_with_length(_Nowhere(), length)
        body.is_whole = True
        exchange = exchanges.begin(method, url, headers, body)
    if body.is_whole or isinstance(exchange, LateExchange):
        request.__dict__[_PAYLOAD] = sending(request.body, body, exchange)
    return exchange


class _Nowhere:
    """A writer of aiohttp that sends nothing."""

    async def write(self, _chunk: Any, **_options: Any) -> None:
        """Do nothing."""

    drain = write_eof = write


class _Following:
    """A writer of aiohttp that keeps what it sends.

    Attributes:
        failed: whether sending has failed.
    """

    def __init__(self, writer: Any, body: StreamedBody) -> None:
        self._writer = writer
        self._body = body
        self.failed = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._writer, name)

    async def write(self, chunk: Any, *args: Any, **kwargs: Any) -> None:
        """Send a piece."""
        self._body.add(chunk)
        try:
            await self._writer.write(chunk, *args, **kwargs)
        except BaseException:
            self.failed = True
            raise


def _payload_class(payload_class: Any) -> Any:
    """Return the class of payloads that follow a streamed body as it is sent, or send the pieces of one that was read."""

    class Sending(payload_class):  # type: ignore[misc]  # the base is only known at run time
        def __init__(self, payload: Any, body: StreamedBody, exchange: LateExchange | None = None) -> None:
            self._payload = payload
            self._body = body
            self._exchange = exchange

        async def write_with_length(self, writer: Any, content_length: int | None) -> None:
            if self._body.is_whole:
                for piece in self._body.pieces:
                    await writer.write(piece)
                return
            following = _Following(writer, self._body)
            try:
                if hasattr(self._payload, "write_with_length"):  # from 3.12 on
                    await self._payload.write_with_length(following, content_length)
                else:
                    await self._payload.write(following)
            except Exception:
                self._body.is_whole = not following.failed
                raise
            self._body.is_whole = True
            if self._exchange is not None:
                self._exchange.begin()

        async def write(self, writer: Any) -> None:
            await self.write_with_length(writer, None)

        def decode(self, *args: Any, **kwargs: Any) -> str:
            text: str = self._payload.decode(*args, **kwargs)
            return text

    return Sending


def _wrap_write_bytes(original: Callable[..., Any]) -> Callable[..., Any]:
    async def write_bytes(self: Any, *args: Any, **kwargs: Any) -> None:
        payload = self.__dict__.pop(_PAYLOAD, None)
        name = "_body" if "_body" in self.__dict__ else "body"  # `_body` from 3.12 on
        program_payload = self.__dict__.get(name)
        if payload is not None and program_payload is not None:
            self.__dict__[name] = payload
        try:
            await original(self, *args, **kwargs)
        except BaseException as error:
            hide_own_frame(error)
            raise
        finally:
            if self.__dict__.get(name) is payload:
                self.__dict__[name] = program_payload

    return write_bytes


def _wrap_set_response_params(original: Callable[..., Any]) -> Callable[..., Any]:
    # A request can override what its session says, and the parser does not show it.
    def set_response_params(self: Any, *args: Any, **kwargs: Any) -> Any:
        self.__dict__[_DECODES] = bool(kwargs.get("auto_decompress", True))
        return original(self, *args, **kwargs)

    return set_response_params


def _follow_body(
    reading: dict[int, _Reading], response: Any, exchange: AnyExchange, *, decoded: bool
) -> None:
    """Follow the body of a response until it is read, closed or broken, or the program drops it."""
    content = response.content
    if content.at_eof():  # all responses without a body share one reader, in every thread
        exchange.end()
        return
    key = id(content)  # a reader has slots, with no room for a mark or a weak reference

    def on_dropped(response: weakref.ref[Any]) -> None:
        if key in reading and reading[key].response is response:
            reading.pop(key).end()

    def on_complete() -> None:
        if key in reading and reading[key].exchange is exchange and content.at_eof():
            reading.pop(key).exchange.end()

    reading[key] = _Reading(exchange, weakref.ref(response, on_dropped), decoded)
    content.on_eof(on_complete)


def _wrap_wait(original: Callable[..., Any], reading: dict[int, _Reading]) -> Callable[..., Any]:
    from asyncio import CancelledError

    async def _wait(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return await original(self, *args, **kwargs)
        except (CancelledError, TimeoutError) as error:
            body = reading.get(id(self))
            if body is not None:  # a copy, because the exception itself keeps the program's objects alive
                reading[id(self)] = body._replace(stopped=type(error)(*error.args))
            hide_own_frame(error)
            raise

    return _wait


def _wrap_read(original: Callable[..., Any], reading: dict[int, _Reading]) -> Callable[..., Any]:
    def _read_nowait_chunk(self: Any, n: int) -> bytes:
        data: bytes = original(self, n)
        body = reading.get(id(self))
        if body is not None:
            if body.stopped is not None:
                reading[id(self)] = body._replace(stopped=None)
            body.exchange.receive(data, decoded=body.decoded)
            if self.at_eof():
                reading.pop(id(self)).exchange.end()
        return data

    return _read_nowait_chunk


def _wrap_set_exception(original: Callable[..., Any], reading: dict[int, _Reading]) -> Callable[..., Any]:
    def set_exception(self: Any, exc: BaseException, *args: Any, **kwargs: Any) -> Any:
        body = reading.pop(id(self), None)
        if body is not None:
            body.exchange.fail(exc)
        return original(self, exc, *args, **kwargs)

    return set_exception


def _wrap_close(original: Callable[..., Any], reading: dict[int, _Reading]) -> Callable[..., Any]:
    def close(self: Any) -> Any:
        body = reading.pop(id(self.content), None)
        if body is not None:
            body.end()
        return original(self)

    return close
