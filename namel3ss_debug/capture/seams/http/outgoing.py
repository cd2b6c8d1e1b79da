"""Requests of `http.client` between the end of their head and the head of their response: recorded, and sent or answered.

A request whose body is in memory is recorded when its head ends. A request whose body is streamed is recorded when
all of the body was sent. In a re-run, a streamed body is kept in memory until the trace has been searched for an
answer to the request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from namel3ss_debug.capture.seams.http.exchanges import AnyExchange, Exchanges, Pairs, enter, leave
from namel3ss_debug.capture.seams.http.null_socket import INCOMPLETE_READ, NullSocket, encode_response
from namel3ss_debug.capture.seams.http.request_bodies import StreamedBody
from namel3ss_debug.capture.seams.http.services import make_trace_header
from namel3ss_debug.capture.seams.http.shared import (
    ErrorFactories,
    fail,
    iter_blocks,
    iter_pieces,
    wait_for_head,
)
from namel3ss_debug.capture.seams.http.traceparent import HEADER

MARK = "_namel3ss_exchange"
"""The attribute in which a connection keeps the request that it sends, and a response keeps its exchange."""

_HTTPS = 443
_ERROR_FACTORIES: ErrorFactories = {"timeout": TimeoutError, "connection": ConnectionResetError}


class OutgoingRequest:
    """A request between the end of its head and the head of its response.

    Attributes:
        exchange: the exchange that records it, once that has begun.
        awaits_body: whether the exchange begins only when the body was sent.
        null_socket: the socket that keeps what is sent; `None` if the request is sent as usual.
        original_socket: the socket that the connection had before.
        busy: whether `http.client` is sending it. If the connection is closed then, the program did not do it.
        is_sending: whether a piece of it is being passed to the connection.
    """

    def __init__(self, connection: Any) -> None:
        first, *lines = [line.decode("latin-1") for line in connection._buffer]  # the lines of the head
        self.method, _, rest = first.partition(" ")
        self.url = _url(connection, rest.rpartition(" ")[0])
        fields = [line.partition(":") for line in lines]
        self.headers: Pairs = [(name, value.strip()) for name, _, value in fields]
        self.exchange: AnyExchange | None = None
        self.awaits_body = False
        self.null_socket: NullSocket | None = None
        self.original_socket: Any = None
        self.busy = False
        self.is_sending = False
        self._block_size = connection.blocksize
        self._sent = StreamedBody()  # with the head, and with what is around the chunks

    def header(self, name: str) -> str:
        """Return the value of a header in lower case, or "" if there is none."""
        return next((value.lower() for key, value in self.headers if key.lower() == name), "")

    def has_body(self) -> bool:
        """Return whether a body follows the head."""
        return self.header("content-length") not in ("", "0") or bool(self.header("transfer-encoding"))

    def keep(self, data: Any) -> Any:
        """Keep a piece of the head or the body, and return what is to be sent in its place."""
        if hasattr(data, "read"):
            return self._keep_each(iter_blocks(data, self._block_size))
        try:
            self._sent.add(b"".join(data) if isinstance(data, list | tuple) else memoryview(data))
        except TypeError:
            return self._keep_each(data) if isinstance(data, Iterable) else data
        return data

    def _keep_each(self, data: Iterable[Any]) -> Iterator[Any]:
        for piece in data:
            self._sent.add(piece)
            yield piece

    def body(self, *, is_whole: bool) -> StreamedBody:
        """Return the body that was sent.

        Args:
            is_whole: whether nothing was to follow.
        """
        body, sent = StreamedBody(), b"".join(self._sent.pieces).partition(b"\r\n\r\n")[2]
        is_chunked = self.header("transfer-encoding") == "chunked"
        body.add(_remove_chunk_headers(sent) if is_chunked else sent)
        if self._sent.pieces:
            body.is_whole = is_whole
        else:  # it was too large to be kept
            body.size = self._sent.size
        return body

    def encoded_response(self) -> Iterator[bytes]:
        """Yield the recorded response as a server would send it.

        Raises:
            BaseException: the recorded error that ends it.
        """
        exchange = self.exchange
        response = None if exchange is None else wait_for_head(exchange, _ERROR_FACTORIES)
        if exchange is None or response is None:
            return
        ends_early = response.raised is not None and response.raised.type == INCOMPLETE_READ
        body = iter_pieces(
            exchange, response._replace(raised=None) if ends_early else response, _ERROR_FACTORIES
        )
        closes = "close" in self.header("connection")
        yield from encode_response(response, body, method=self.method, closes=closes)


class RequestSender:
    """Sends or answers requests, and records them.

    Args:
        exchanges: records them.
        send: the original `HTTPConnection.send`.
    """

    def __init__(self, exchanges: Exchanges, send: Callable[..., Any]) -> None:
        self.exchanges = exchanges
        self._send = send

    def begin(self, connection: Any, message_body: Any) -> OutgoingRequest | None:
        """Begin to record a request whose head ends. Never raises an `Exception`.

        Returns `None` if the request is not recorded.
        """
        tracer = self.exchanges.tracer
        try:
            if not connection._buffer:  # the lines of the head
                return None
            request = OutgoingRequest(connection)
            body = None if message_body is None else _body_in_memory(message_body)
            request.awaits_body = body is None and (message_body is not None or request.has_body())
            if request.awaits_body:
                carried = make_trace_header(tracer, request.url, request.headers, "")
            elif not self._begin(request, body):
                return None
            else:
                carried = request.exchange.carried if request.exchange is not None else None
            if carried is not None:
                connection._output(f"{HEADER}: {carried}".encode())  # as `putheader` does
        except Exception as error:
            tracer.problem("a request of http.client could not be read", error)
            return None
        return request

    def begin_with_body(self, request: OutgoingRequest, *, is_whole: bool) -> None:
        """Begin the exchange of a request whose body is complete, or will not be continued."""
        self._begin(request, request.body(is_whole=is_whole))

    def _begin(self, request: OutgoingRequest, body: bytes | StreamedBody | None) -> bool:
        request.awaits_body = False
        request.exchange = self.exchanges.begin(request.method, request.url, request.headers, body or None)
        if request.exchange is not None:
            request.exchange.sent = False
        return request.exchange is not None

    def prepare(self, request: OutgoingRequest, connection: Any) -> None:
        """Choose the socket for a request: a real one, or one that keeps it until its answer is known.

        Raises:
            BaseException: the wait for its turn was interrupted.
        """
        exchange = request.exchange
        if exchange is None and self.exchanges.tracer.answers is None:
            return
        if exchange is not None and exchange.response is None:
            remove_null_socket(connection)
            if exchange.delivery is not None:
                wait_for_head(exchange, _ERROR_FACTORIES)
            return
        if not isinstance(connection.sock, NullSocket):
            request.original_socket = connection.sock
        request.null_socket = connection.sock = null_socket_for(connection)
        if exchange is not None:
            self._answer(request, request.null_socket)

    def _answer(self, request: OutgoingRequest, null_socket: NullSocket) -> None:
        response = None if request.exchange is None else request.exchange.response
        if response is None:
            return
        null_socket.blocks = request.encoded_response()
        raised = None if response.status else response.raised
        # An error from before the request left is raised where the request is sent, any other where it is answered.
        null_socket.fails_on_send = raised is not None and (not raised.sent or raised.type == "connection")
        if request.original_socket is not None:
            request.original_socket.close()

    def finish_body(self, request: OutgoingRequest, connection: Any) -> None:
        """Begin the exchange of a request whose body was kept, and send the request now if it has no answer.

        Raises:
            BaseException: it could not be sent.
        """
        self.begin_with_body(request, is_whole=True)
        exchange, null_socket = request.exchange, request.null_socket
        if null_socket is None:
            return
        if exchange is not None and exchange.response is not None:
            self._answer(request, null_socket)
            if null_socket.fails_on_send:
                next(null_socket.blocks, None)
            return
        connection.sock = request.original_socket
        if exchange is not None and exchange.delivery is not None:
            wait_for_head(exchange, _ERROR_FACTORIES)
        token = enter(exchange)
        try:
            self._send(connection, b"".join(null_socket.sent))
        finally:
            leave(token, exchange)

    def abandon(self, connection: Any) -> None:
        """End a request without a response when its connection is closed."""
        request = connection.__dict__.get(MARK)
        if request is None or request.busy:
            return
        del connection.__dict__[MARK]
        if request.awaits_body:
            self.begin_with_body(request, is_whole=False)
        if request.exchange is not None:
            request.exchange.close()

    def fail(self, request: OutgoingRequest, connection: Any, error: BaseException) -> None:
        """Record that a request could not be sent completely. A bare `raise` must follow."""
        connection.__dict__.pop(MARK, None)
        if request.awaits_body:
            self.begin_with_body(request, is_whole=False)
        remove_null_socket(connection)
        fail(request.exchange, error)


def null_socket_for(connection: Any) -> NullSocket:
    """Give a connection a socket that is never connected, and reuse the one it has."""
    if isinstance(connection.sock, NullSocket):
        connection.sock.reset()
        return connection.sock
    return NullSocket(connection.host, connection.port, connection.timeout)


def remove_null_socket(connection: Any) -> None:
    """Remove the null socket of a connection, so that the next use opens a real one."""
    sock = getattr(connection, "sock", None)
    if isinstance(sock, NullSocket):
        sock.close()
        connection.sock = None


def _url(connection: Any, target: str) -> str:
    """Return the whole URL of a request. A request to a proxy already has it as its target."""
    if "://" in target.partition("?")[0]:
        return target
    host, port = connection.host, connection.port
    if connection._tunnel_host:  # the server behind a proxy
        host, port = connection._tunnel_host, connection._tunnel_port
    scheme = "https" if connection.default_port == _HTTPS else "http"
    host = "localhost" if "/" in host else f"[{host}]" if ":" in host else host
    netloc = host if port in (None, connection.default_port) else f"{host}:{port}"
    return f"{scheme}://{netloc}{'' if target.startswith('/') else '/'}{target}"


def _body_in_memory(body: Any) -> bytes | None:
    """Return a body that is in memory, as it is sent. A file is streamed, even if it is a file in memory."""
    if hasattr(body, "read"):
        return None
    try:
        return body if isinstance(body, bytes) else bytes(memoryview(body))
    except TypeError:
        return None


def _remove_chunk_headers(sent: bytes) -> bytes:
    """Return a body without its chunk headers; return what is not chunked unchanged."""
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
