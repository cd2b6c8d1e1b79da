"""`http.client` of the standard library, and with it `urllib.request`, `xmlrpc.client` and whatever else is built on it.

An exchange begins where the head of its request ends, with the body where that is in memory; where the body is
streamed, when all of it was sent, so that it can be told without being read for the recording's sake. What is recorded
itself and sends its requests by `http.client`, as urllib3 does, is not recorded a second time.

Where an answer is given, the connection gets a socket that leads nowhere, and `http.client` does all else by itself.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from namel3ss_debug.capture.exchanges import INSIDE, Exchanges, enter, leave
from namel3ss_debug.capture.patching import Undo, hide_own_frame, replace
from namel3ss_debug.capture.transport.leaving import MARK, Leaves, connect_anew, nowhere
from namel3ss_debug.capture.transport.seams import Watched, fail


def patch(client: Any, exchanges: Exchanges) -> list[Undo]:
    """Record each request of `http.client`."""
    connection, response = client.HTTPConnection, client.HTTPResponse
    leaves, connects = Leaves(exchanges, connection.send), _Connects(exchanges)
    return [
        connects.put_back,
        replace(connection, "__init__", connects.begins),
        replace(connection, "endheaders", lambda original: _ends_head(original, leaves)),
        replace(connection, "send", lambda original: _sends(original, leaves)),
        replace(connection, "getresponse", lambda original: _gets(original, leaves, response)),
        replace(connection, "close", lambda original: _closes(original, leaves.give_up)),
        *(replace(response, name, _reads) for name in ("read", "read1", "readline")),
        replace(response, "readinto", _reads_into),
        replace(response, "close", lambda original: _closes(original, _let_go)),
    ]


def watch(response: Any, exchange: Watched) -> None:
    """Tell an exchange of the head of its response now, and of the body as the program reads it."""
    exchange.respond(response.status, response.getheaders(), response.reason)
    if not _is_over(response):
        response.__dict__[MARK] = exchange
        return
    if exchange.response is not None and exchange.delivery is not None:
        exchange.delivery.wait("end")
    exchange.end()


class _Connects:
    """Where a recording answers, a connection that is opened leads nowhere, whatever its class does to open one.

    Args:
        exchanges: what records its requests.
    """

    def __init__(self, exchanges: Exchanges) -> None:
        self._exchanges = exchanges
        self._undo: dict[type, Undo] = {}
        self._lock = threading.Lock()

    def begins(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Look at each connection that is made for how it connects."""

        def __init__(connection: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807  (it stands in the place of one)
            try:
                original(connection, *args, **kwargs)
            except BaseException as error:
                hide_own_frame(error)
                raise
            if self._exchanges.tracer.network is not None:
                with self._lock:
                    for kind in type(connection).__mro__:
                        if "connect" in vars(kind) and kind not in self._undo:
                            self._undo[kind] = replace(kind, "connect", self._connects)

        return __init__

    def _connects(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def connect(connection: Any) -> None:
            network = self._exchanges.tracer.network
            if INSIDE.get() or network is None or not network.is_closed():
                original(connection)
            else:
                connection.sock = nowhere(connection)

        return connect

    def put_back(self) -> None:
        """Let connections connect."""
        while self._undo:
            self._undo.popitem()[1]()


def _ends_head(original: Callable[..., Any], leaves: Leaves) -> Callable[..., Any]:
    def endheaders(self: Any, message_body: Any = None, **kwargs: Any) -> None:
        request = None if INSIDE.get() else leaves.begin(self, message_body)
        try:
            if request is None:
                connect_anew(self)
                original(self, message_body, **kwargs)
                return
            leaves.prepare(request, self)
            self.__dict__[MARK] = request
            request.busy = True
            token = enter(request.exchange)
            try:
                original(self, message_body, **kwargs)
            finally:
                leave(token, request.exchange)
            if request.waits and message_body is not None:
                leaves.send_late(request, self)
            request.busy = False
        except BaseException as error:
            if request is None:
                hide_own_frame(error)
            else:
                leaves.fail(request, self, error)
            raise
        if request.exchange is not None:
            request.exchange.sent = True

    return endheaders


def _sends(original: Callable[..., Any], leaves: Leaves) -> Callable[..., Any]:
    def send(self: Any, data: Any) -> None:
        request = self.__dict__.get(MARK)
        keeps = request is not None and request.waits and not request.is_sending
        try:
            if not keeps:
                original(self, data)
                return
            request.is_sending = True  # to a proxy, what opens the connection is sent as well
            try:
                original(self, request.sends(data))
            finally:
                request.is_sending = False
        except BaseException as error:
            if keeps and not request.busy:
                leaves.fail(request, self, error)
            else:
                hide_own_frame(error)
            raise

    return send


def _gets(original: Callable[..., Any], leaves: Leaves, known: type) -> Callable[..., Any]:
    def getresponse(self: Any) -> Any:
        request = self.__dict__.pop(MARK, None)
        try:
            if request is None:
                return original(self)
            if request.waits:
                leaves.send_late(request, self)
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
        if exchange is not None and isinstance(response, known):
            watch(response, exchange)
        elif exchange is not None:
            exchange.close()
        return response

    return getresponse


def _reads(original: Callable[..., Any]) -> Callable[..., Any]:
    def read(self: Any, *args: Any, **kwargs: Any) -> Any:
        exchange = self.__dict__.pop(MARK, None)  # one way of reading makes use of another
        try:
            data = original(self, *args, **kwargs)
        except BaseException as error:
            _breaks_off(exchange, error)
            raise
        if exchange is not None:
            _goes_on(self, exchange, data)
        return data

    return read


def _reads_into(original: Callable[..., Any]) -> Callable[..., Any]:
    def readinto(self: Any, buffer: Any) -> Any:
        exchange = self.__dict__.pop(MARK, None)
        try:
            size = original(self, buffer)
        except BaseException as error:
            _breaks_off(exchange, error)
            raise
        if exchange is not None:
            _goes_on(self, exchange, bytes(memoryview(buffer).cast("B")[: size or 0]))
        return size

    return readinto


def _closes(original: Callable[..., Any], tell: Callable[[Any], None]) -> Callable[..., Any]:
    """Wrap the `close` of a connection or a response, which `tell` learns of before."""

    def close(self: Any) -> None:
        tell(self)
        try:
            original(self)
        except BaseException as error:
            hide_own_frame(error)
            raise

    return close


def _let_go(response: Any) -> None:
    exchange = response.__dict__.pop(MARK, None)
    if exchange is not None:
        exchange.close()


def _goes_on(response: Any, exchange: Watched, data: bytes) -> None:
    exchange.receive(data)
    if _is_over(response):
        exchange.end()
    else:
        response.__dict__[MARK] = exchange


def _breaks_off(exchange: Watched | None, error: BaseException) -> None:
    """A body ends by an exception; with one that ends early comes what there was of it."""
    partial = getattr(error, "partial", None)
    if exchange is not None and isinstance(partial, bytes):
        exchange.receive(partial)
    fail(exchange, error)


def _is_over(response: Any) -> bool:
    """Whether nothing is left of a body."""
    return response.fp is None or (response.length == 0 and not response.chunked)
