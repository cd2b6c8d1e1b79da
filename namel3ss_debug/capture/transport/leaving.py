"""Requests of `http.client` between the end of their head and the head of their response: recorded, and sent or answered.

One whose body is in memory is recorded where its head ends, and one whose body is streamed when all of it was sent.
Where a recording answers, such a body goes nowhere until it is known what becomes of the request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from namel3ss_debug.capture.exchanges import Exchanges, Pairs, enter, leave
from namel3ss_debug.capture.services import header_for
from namel3ss_debug.capture.traceparent import HEADER
from namel3ss_debug.capture.transport.lines import NOT_WHOLE, Nowhere, on_the_wire
from namel3ss_debug.capture.transport.seams import (
    Natures,
    Watched,
    fail,
    wait_for_head,
    waiting_for_pieces,
)

MARK = "_namel3ss_exchange"
"""Where a connection keeps the request that it sends, and a response the exchange that it belongs to."""

_MOST_KEPT = 1 << 26
"""The most bytes that are kept of a body that is streamed; of a longer one nothing is recorded."""

_HTTPS = 443
_NATURES: Natures = {"timeout": TimeoutError, "connection": ConnectionResetError}


class Request:
    """A request between the end of its head and the head of its response.

    Attributes:
        exchange: what it is recorded as, once that has begun.
        waits: whether it begins only when its body was sent.
        line: the socket to nowhere that it is sent to; `None` where it leaves as it comes.
        before: the socket that the connection had.
        busy: whether `http.client` is at work on it, so that what befalls the connection is not the program's doing.
    """

    def __init__(self, connection: Any) -> None:
        first, *lines = [line.decode("latin-1") for line in connection._buffer]  # noqa: SLF001  (what is to be sent)
        self.method, _, rest = first.partition(" ")
        self.url = _url(connection, rest.rpartition(" ")[0])
        fields = [line.partition(":") for line in lines]
        self.headers: Pairs = [(name, value.strip()) for name, _, value in fields]
        self.exchange: Watched | None = None
        self.waits = False
        self.line: Nowhere | None = None
        self.before: Any = None
        self.busy = False
        self.is_sending = False
        self._pieces: list[bytes] | None = []
        self._size = 0

    def header(self, name: str) -> str:
        """The value of a header in lower case; "" where there is none."""
        return next((value.lower() for key, value in self.headers if key.lower() == name), "")

    def announces_body(self) -> bool:
        """Whether a body follows the head."""
        return self.header("content-length") not in ("", "0") or bool(self.header("transfer-encoding"))

    def sends(self, data: Any) -> Any:
        """What is to be sent in place of `data`, which is kept as it goes: the head, or a piece of the body."""
        if hasattr(data, "read"):
            self._pieces = None
            return data
        try:
            self._keep(b"".join(data) if isinstance(data, list | tuple) else bytes(memoryview(data)))
        except TypeError:
            return self._passing(data) if isinstance(data, Iterable) else data
        return data

    def _passing(self, data: Iterable[Any]) -> Iterator[Any]:
        for piece in data:
            self._keep(piece if isinstance(piece, bytes) else b"")
            yield piece

    def _keep(self, data: bytes) -> None:
        self._size += len(data)
        if self._pieces is None or self._size > _MOST_KEPT:
            self._pieces = None
        else:
            self._pieces.append(data)

    def body(self) -> bytes | None:
        """The body that was sent; `None` where there was none, or it was not kept."""
        if self._pieces is None:
            return None
        sent = b"".join(self._pieces).partition(b"\r\n\r\n")[2]
        return (_without_chunks(sent) if self.header("transfer-encoding") == "chunked" else sent) or None

    def blocks(self) -> Iterator[bytes]:
        """The response that is given, as a server would send it.

        Raises:
            BaseException: what comes in place of it, or of its end.
        """
        exchange = self.exchange
        given = None if exchange is None else wait_for_head(exchange, _NATURES)
        if exchange is None or given is None:
            return
        ends_early = given.raised is not None and given.raised.type == NOT_WHOLE
        body = waiting_for_pieces(exchange, given._replace(raised=None) if ends_early else given, _NATURES)
        closes = "close" in self.header("connection")
        yield from on_the_wire(given, body, method=self.method, closes=closes)


class Leaves:
    """How requests leave: recorded, and where an answer is given, not at all.

    Args:
        exchanges: what records them.
        send: the method of a connection that sends, as it was.
    """

    def __init__(self, exchanges: Exchanges, send: Callable[..., Any]) -> None:
        self.exchanges = exchanges
        self._send = send

    def begin(self, connection: Any, message_body: Any) -> Request | None:
        """The head of a request ends; `None` where that is not recorded. Never raises an `Exception`."""
        tracer = self.exchanges.tracer
        try:
            if not connection._buffer:  # noqa: SLF001  (what is to be sent)
                return None
            request = Request(connection)
            body = None if message_body is None else _in_memory(message_body)
            request.waits = body is None and (message_body is not None or request.announces_body())
            if request.waits:
                carried = header_for(tracer, request.url, request.headers, "")
            elif not self._begin(request, body):
                return None
            else:
                carried = request.exchange.carried if request.exchange is not None else None
            if carried is not None:
                connection._output(f"{HEADER}: {carried}".encode())  # noqa: SLF001  (as each header is put)
        except Exception as error:
            tracer.problem("a request of http.client could not be read", error)
            return None
        return request

    def begin_late(self, request: Request) -> None:
        """The body of a request has come to its end, as far as it will."""
        self._begin(request, request.body())

    def _begin(self, request: Request, body: bytes | None) -> bool:
        request.waits = False
        request.exchange = self.exchanges.begin(request.method, request.url, request.headers, body or None)
        if request.exchange is not None:
            request.exchange.sent = False
        return request.exchange is not None

    def prepare(self, request: Request, connection: Any) -> None:
        """Have the request sent to where it goes, or to nowhere as long as that is not known.

        Raises:
            BaseException: the wait for its turn was broken off.
        """
        exchange = request.exchange
        if exchange is None and self.exchanges.tracer.answers is None:
            return
        if exchange is not None and exchange.response is None:
            connect_anew(connection)
            if exchange.delivery is not None:
                wait_for_head(exchange, _NATURES)
            return
        if not isinstance(connection.sock, Nowhere):
            request.before = connection.sock
        request.line = connection.sock = nowhere(connection)
        if exchange is not None:
            self._answer(request, request.line)

    def _answer(self, request: Request, line: Nowhere) -> None:
        given = None if request.exchange is None else request.exchange.response
        if given is None:
            return
        line.blocks = request.blocks()
        raised = None if given.status else given.raised
        line.refuses = raised is not None and (not raised.sent or raised.type == "connection")
        if request.before is not None:
            request.before.close()

    def send_late(self, request: Request, connection: Any) -> None:
        """The same, and the request leaves now if it has not and is to.

        Raises:
            BaseException: it could not be sent.
        """
        self.begin_late(request)
        exchange, line = request.exchange, request.line
        if line is None:
            return
        if exchange is not None and exchange.response is not None:
            self._answer(request, line)
            if line.refuses:
                next(line.blocks, None)
            return
        connection.sock = request.before
        if exchange is not None and exchange.delivery is not None:
            wait_for_head(exchange, _NATURES)
        token = enter(exchange)
        try:
            self._send(connection, b"".join(line.sent))
        finally:
            leave(token, exchange)

    def give_up(self, connection: Any) -> None:
        """A connection is closed; a request that the program has left on it ends without a response."""
        request = connection.__dict__.get(MARK)
        if request is None or request.busy:
            return
        del connection.__dict__[MARK]
        if request.waits:
            self.begin_late(request)
        if request.exchange is not None:
            request.exchange.close()

    def fail(self, request: Request, connection: Any, error: BaseException) -> None:
        """A request could not be sent, or not to its end; to be followed by a bare `raise`."""
        connection.__dict__.pop(MARK, None)
        if request.waits:
            self.begin_late(request)
        connect_anew(connection)
        fail(request.exchange, error)


def nowhere(connection: Any) -> Nowhere:
    """A socket for a connection that leads nowhere: its own where that does already."""
    if isinstance(connection.sock, Nowhere):
        connection.sock.renew()
        return connection.sock
    return Nowhere(connection.host, connection.port, connection.timeout)


def connect_anew(connection: Any) -> None:
    """Have a connection that leads nowhere opened again when it is needed."""
    sock = getattr(connection, "sock", None)
    if isinstance(sock, Nowhere):
        sock.close()
        connection.sock = None


def _url(connection: Any, target: str) -> str:
    """The whole URL of a request; a proxy is asked for it as it is."""
    if "://" in target.partition("?")[0]:
        return target
    host, port = connection.host, connection.port
    if connection._tunnel_host:  # noqa: SLF001  (who is asked, by way of a proxy)
        host, port = connection._tunnel_host, connection._tunnel_port  # noqa: SLF001  (as above)
    scheme = "https" if connection.default_port == _HTTPS else "http"
    host = "localhost" if "/" in host else f"[{host}]" if ":" in host else host
    where = host if port in (None, connection.default_port) else f"{host}:{port}"
    return f"{scheme}://{where}{'' if target.startswith('/') else '/'}{target}"


def _in_memory(body: Any) -> bytes | None:
    """A body that is in memory, as it is sent; a file that is memory as well is read as a file."""
    if hasattr(body, "read"):
        return None
    try:
        return body if isinstance(body, bytes) else bytes(memoryview(body))
    except TypeError:
        return None


def _without_chunks(sent: bytes) -> bytes:
    """A body that was sent in chunks, without what is around them; what is no such body is left as it is."""
    body, rest = [], sent
    try:
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            length = int(size.partition(b";")[0], 16)
            if not length:
                break
            body.append(rest[:length])
            rest = rest[length + 2 :]
    except ValueError:
        return sent
    return b"".join(body)
