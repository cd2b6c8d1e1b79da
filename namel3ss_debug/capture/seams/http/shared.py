"""What the seams of all libraries share: bodies in memory, hiding our frames, and recorded answers piece by piece."""

from __future__ import annotations

import io
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    MutableMapping,
)
from typing import Any

from namel3ss_debug.capture.core.answers import RecordedError, Response
from namel3ss_debug.capture.core.delivery import wait_forever, wait_forever_on_loop
from namel3ss_debug.capture.core.patching import hide_own_frame
from namel3ss_debug.capture.seams.functions.exceptions import make_similar_error
from namel3ss_debug.capture.seams.http.exchanges import AnyExchange, LateExchange
from namel3ss_debug.capture.seams.http.request_bodies import StreamedBody
from namel3ss_debug.capture.seams.http.traceparent import HEADER

ErrorFactories = Mapping[str, Callable[[str], BaseException]]
"""The exceptions of a library: `timeout` and `connection` -> a function that makes one from its message."""

VERSIONS = {9: "HTTP/0.9", 10: "HTTP/1.0", 11: "HTTP/1.1", 20: "HTTP/2", 30: "HTTP/3"}
"""The versions of HTTP as `http.client` and urllib3 number them."""

_LOST = RecordedError("connection", "the connection was lost")


def fail(exchange: AnyExchange | None, error: BaseException) -> None:
    """End the exchange with an exception, and hide the calling frame, which caught it. A bare `raise` must follow."""
    if exchange is not None:
        exchange.fail(error)
    hide_own_frame(error)


class LazyHeaders:
    """The headers of a request as pairs of strings, read from the library only when they are needed.

    A model call never needs them, and some libraries are slow to list them.

    Args:
        read: reads the headers from the library's own object.
    """

    def __init__(self, read: Callable[[], Iterable[tuple[str, str]]]) -> None:
        self._read = read

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._read())


def add_trace_header(headers: MutableMapping[str, str], exchange: AnyExchange | None) -> None:
    """Add the `traceparent` header to a request that is sent now; `remove_trace_header` takes it out again."""
    if exchange is not None and exchange.carried is not None:
        headers[HEADER] = exchange.carried


def remove_trace_header(headers: MutableMapping[str, str], exchange: AnyExchange | None) -> None:
    """Remove the `traceparent` header after the request was sent, because the program did not set it."""
    if exchange is not None and exchange.carried is not None:
        headers.pop(HEADER, None)


def body_in_memory(body: Any) -> bytes | None:
    """Return the body of a request if it is in memory."""
    if isinstance(body, str):
        return body.encode("utf-8", "replace")
    try:
        return bytes(memoryview(body))
    except TypeError:
        return None


def raise_body_error(body: bytes | StreamedBody | None) -> None:
    """Raise the exception with which the program produced a body that a re-run has read.

    Raises:
        Exception: that exception.
    """
    if isinstance(body, StreamedBody) and body.error is not None:
        raise body.error


def iter_blocks(file: Any, size: int) -> Iterator[bytes]:
    """Yield the blocks of a file, as `http.client` sends them."""
    while block := file.read(size):
        yield block.encode("iso-8859-1") if isinstance(file, io.TextIOBase) else block


class _Sending:
    """A body while it is sent: it is whole when the program has produced all of it, or raised an exception."""

    def __init__(self, body: StreamedBody, exchange: LateExchange) -> None:
        self._body = body
        self._exchange = exchange

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._body.is_whole = error is None or isinstance(error, Exception)
        if error is None:
            self._exchange.begin()


def iter_sent(pieces: Iterable[Any], body: StreamedBody, exchange: LateExchange) -> Iterator[Any]:
    """Yield the pieces of a body that a library sends, and begin its exchange when the body ends."""
    with _Sending(body, exchange):
        for piece in pieces:
            body.add(piece)
            yield piece


async def iter_known(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    """Yield the pieces of a body that was read before."""
    for piece in pieces:
        yield piece


async def iter_sent_async(
    pieces: AsyncIterable[Any], body: StreamedBody, exchange: LateExchange
) -> AsyncIterator[Any]:
    """Do the same as `iter_sent`, in an event loop."""
    with _Sending(body, exchange):
        async for piece in pieces:
            body.add(piece)
            yield piece


def wait_for_head(exchange: AnyExchange, error_factories: ErrorFactories) -> Response | None:
    """Wait for the head of the recorded response, and return that response.

    `None` means that the request is to be sent.

    Raises:
        BaseException: the recorded error, if no head arrived.
    """
    response, delivery = exchange.response, exchange.delivery
    assert delivery is not None
    delivery.wait("head")
    if response is None or response.status:
        return response
    if response.hangs:
        wait_forever()
    delivery.wait("end")
    raise make_similar_error(response.raised or _LOST, error_factories)


async def wait_for_head_async(exchange: AnyExchange, error_factories: ErrorFactories) -> Response | None:
    """Do the same as `wait_for_head`, without blocking the event loop."""
    response, delivery = exchange.response, exchange.delivery
    assert delivery is not None
    await delivery.reach("head")
    if response is None or response.status:
        return response
    if response.hangs:
        await wait_forever_on_loop()
    await delivery.reach("end")
    raise make_similar_error(response.raised or _LOST, error_factories)


def iter_pieces(
    exchange: AnyExchange, response: Response, error_factories: ErrorFactories
) -> Iterator[bytes]:
    """Yield the pieces of the recorded body, each when it is its turn.

    Raises:
        BaseException: the recorded error, if the body did not end normally.
    """
    delivery = exchange.delivery
    assert delivery is not None
    for index, piece in enumerate(response.pieces):
        delivery.wait("piece", index)
        yield piece
    if response.hangs:
        wait_forever()
    delivery.wait("end")
    if response.raised is not None:
        raise make_similar_error(response.raised, error_factories)


async def iter_pieces_async(
    exchange: AnyExchange, response: Response, error_factories: ErrorFactories
) -> AsyncIterator[bytes]:
    """Do the same as `iter_pieces`, without blocking the event loop."""
    delivery = exchange.delivery
    assert delivery is not None
    for index, piece in enumerate(response.pieces):
        await delivery.reach("piece", index)
        yield piece
    if response.hangs:
        await wait_forever_on_loop()
    await delivery.reach("end")
    if response.raised is not None:
        raise make_similar_error(response.raised, error_factories)
