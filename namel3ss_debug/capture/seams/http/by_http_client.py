"""`http.client` of the standard library, and with it `urllib.request`, `xmlrpc.client` and whatever else is built on it.

An exchange begins when the head of its request ends, if the body is in memory. If the body is streamed, the exchange
begins when all of it was sent, so that the body need not be read just to record it. A library that is recorded itself
and sends its requests with `http.client`, such as urllib3, is not recorded a second time.

In a re-run, the connection gets a socket that is never connected, and `http.client` does everything else itself.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from namel3ss_debug.capture.core.answers import HTTP_1_1
from namel3ss_debug.capture.core.context import INSIDE
from namel3ss_debug.capture.core.patching import Undo, hide_own_frame, replace
from namel3ss_debug.capture.seams.http.exchanges import AnyExchange, Exchanges, enter, leave
from namel3ss_debug.capture.seams.http.outgoing import (
    MARK,
    RequestSender,
    null_socket_for,
    remove_null_socket,
)
from namel3ss_debug.capture.seams.http.shared import VERSIONS, fail


def patch(client: Any, exchanges: Exchanges) -> list[Undo]:
    """Record each request of `http.client`."""
    connection, response = client.HTTPConnection, client.HTTPResponse
    sender, connect_patches = RequestSender(exchanges, connection.send), _ConnectPatches(exchanges)
    return [
        connect_patches.undo,
        replace(connection, "__init__", connect_patches.wrap_init),
        replace(connection, "endheaders", lambda original: _wrap_endheaders(original, sender)),
        replace(connection, "send", lambda original: _wrap_send(original, sender)),
        replace(connection, "getresponse", lambda original: _wrap_getresponse(original, sender, response)),
        replace(connection, "close", lambda original: _wrap_close(original, sender.abandon)),
        *(replace(response, name, _wrap_read) for name in ("read", "read1", "readline")),
        replace(response, "readinto", _wrap_readinto),
        replace(response, "close", lambda original: _wrap_close(original, _close_exchange)),
    ]


def record_response(response: Any, exchange: AnyExchange) -> None:
    """Record the head of a response now, and its body as the program reads it."""
    version = VERSIONS.get(response.version, HTTP_1_1)
    exchange.respond(response.status, response.getheaders(), response.reason, version)
    if not _is_read(response):
        response.__dict__[MARK] = exchange
        return
    if exchange.response is not None and exchange.delivery is not None:
        exchange.delivery.wait("end")
    exchange.end()


class _ConnectPatches:
    """Patches that keep connections offline while a re-run answers, in every class that opens its own.

    Args:
        exchanges: records the requests.
    """

    def __init__(self, exchanges: Exchanges) -> None:
        self._exchanges = exchanges
        self._undo: dict[type, Undo] = {}
        self._lock = threading.Lock()

    def wrap_init(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Patch the `connect` method of the class of each connection that is created."""

        def __init__(connection: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807  (it replaces one)
            try:
                original(connection, *args, **kwargs)
            except BaseException as error:
                hide_own_frame(error)
                raise
            if self._exchanges.tracer.network is not None:
                with self._lock:
                    for kind in type(connection).__mro__:
                        if "connect" in vars(kind) and kind not in self._undo:
                            self._undo[kind] = replace(kind, "connect", self._wrap_connect)

        return __init__

    def _wrap_connect(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def connect(connection: Any) -> None:
            network = self._exchanges.tracer.network
            if INSIDE.get() or network is None or not network.is_closed():
                original(connection)
            else:
                connection.sock = null_socket_for(connection)

        return connect

    def undo(self) -> None:
        """Restore the `connect` methods."""
        while self._undo:
            self._undo.popitem()[1]()


def _wrap_endheaders(original: Callable[..., Any], sender: RequestSender) -> Callable[..., Any]:
    def endheaders(self: Any, message_body: Any = None, **kwargs: Any) -> None:
        request = None if INSIDE.get() else sender.begin(self, message_body)
        try:
            if request is None:
                remove_null_socket(self)
                original(self, message_body, **kwargs)
                return
            sender.prepare(request, self)
            self.__dict__[MARK] = request
            request.busy = True
            token = enter(request.exchange)
            try:
                original(self, message_body, **kwargs)
            finally:
                leave(token, request.exchange)
            if request.awaits_body and message_body is not None:
                sender.finish_body(request, self)
            request.busy = False
        except BaseException as error:
            if request is None:
                hide_own_frame(error)
            else:
                sender.fail(request, self, error)
            raise
        if request.exchange is not None:
            request.exchange.sent = True

    return endheaders


def _wrap_send(original: Callable[..., Any], sender: RequestSender) -> Callable[..., Any]:
    def send(self: Any, data: Any) -> None:
        request = self.__dict__.get(MARK)
        kept = request is not None and request.awaits_body and not request.is_sending
        try:
            if not kept:
                original(self, data)
                return
            request.is_sending = True  # opening a connection through a proxy calls `send` again
            try:
                original(self, request.keep(data))
            finally:
                request.is_sending = False
        except BaseException as error:
            if kept and not request.busy:
                sender.fail(request, self, error)
            else:
                hide_own_frame(error)
            raise

    return send


def _wrap_getresponse(
    original: Callable[..., Any], sender: RequestSender, response_class: type
) -> Callable[..., Any]:
    def getresponse(self: Any) -> Any:
        request = self.__dict__.pop(MARK, None)
        try:
            if request is None:
                return original(self)
            if request.awaits_body:
                sender.finish_body(request, self)
            exchange = request.exchange
            if exchange is not None:
                exchange.sent = True
            token = enter(exchange)
            try:
                response = original(self)
            finally:
                leave(token, exchange)
        except BaseException as error:
            fail(None if request is None else request.exchange, error)
            raise
        if exchange is not None and isinstance(response, response_class):
            record_response(response, exchange)
        elif exchange is not None:
            exchange.close()
        return response

    return getresponse


def _wrap_read(original: Callable[..., Any]) -> Callable[..., Any]:
    def read(self: Any, *args: Any, **kwargs: Any) -> Any:
        # The read methods call each other, and only the outermost one may record.
        exchange = self.__dict__.pop(MARK, None)
        try:
            data = original(self, *args, **kwargs)
        except BaseException as error:
            _record_failure(exchange, error)
            raise
        if exchange is not None:
            _record_chunk(self, exchange, data)
        return data

    return read


def _wrap_readinto(original: Callable[..., Any]) -> Callable[..., Any]:
    def readinto(self: Any, buffer: Any) -> Any:
        exchange = self.__dict__.pop(MARK, None)
        try:
            size = original(self, buffer)
        except BaseException as error:
            _record_failure(exchange, error)
            raise
        if exchange is not None:
            _record_chunk(self, exchange, bytes(memoryview(buffer).cast("B")[: size or 0]))
        return size

    return readinto


def _wrap_close(original: Callable[..., Any], before_close: Callable[[Any], None]) -> Callable[..., Any]:
    """Wrap the `close` of a connection or a response, and call `before_close` first."""

    def close(self: Any) -> None:
        before_close(self)
        try:
            original(self)
        except BaseException as error:
            hide_own_frame(error)
            raise

    return close


def _close_exchange(response: Any) -> None:
    exchange = response.__dict__.pop(MARK, None)
    if exchange is not None:
        exchange.close()


def _record_chunk(response: Any, exchange: AnyExchange, data: bytes) -> None:
    exchange.receive(data)
    if _is_read(response):
        exchange.end()
    else:
        response.__dict__[MARK] = exchange


def _record_failure(exchange: AnyExchange | None, error: BaseException) -> None:
    """End an exchange with the exception that ended its body, after recording the bytes that it carries."""
    partial = getattr(error, "partial", None)
    if exchange is not None and isinstance(partial, bytes):
        exchange.receive(partial)
    fail(exchange, error)


def _is_read(response: Any) -> bool:
    """Return whether a body has been read to its end."""
    return response.fp is None or (response.length == 0 and not response.chunked)
