"""What the seams of all libraries need: bodies in memory, staying out of the program's sight, and answers part by part."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any

from namel3ss_debug.capture.answers import Raised, Response
from namel3ss_debug.capture.delivery import never, never_on_loop
from namel3ss_debug.capture.exchanges import Exchange, Report
from namel3ss_debug.capture.raising import error_like
from namel3ss_debug.capture.traceparent import HEADER

Watched = Exchange | Report
"""A request that is told of."""

Natures = Mapping[str, Callable[[str], BaseException]]
"""How a library fails: makes its exceptions of the natures `timeout` and `connection` of a text."""

_LOST = Raised("connection", "the connection was lost")


def passes(error: BaseException, exchange: Watched | None) -> None:
    """An exception that the calling frame caught ends the exchange; to be followed by a bare `raise`.

    The calling frame is taken out of its traceback, so that the program prints it as it would without us.
    """
    if exchange is not None:
        exchange.fail(error)
    trace = error.__traceback__
    error.__traceback__ = None if trace is None else trace.tb_next


@contextmanager
def carrying(headers: MutableMapping[str, str], exchange: Watched | None) -> Iterator[None]:
    """While a request is sent, its headers have what it shall carry; the program does not see it afterwards."""
    carried = None if exchange is None else exchange.carried
    if carried is None:
        yield
        return
    headers[HEADER] = carried
    try:
        yield
    finally:
        headers.pop(HEADER, None)


def in_memory(body: Any) -> bytes | None:
    """The body of a request where it is in memory; one that is streamed is not read for the recording's sake."""
    if isinstance(body, str):
        return body.encode("utf-8", "replace")
    return bytes(body) if isinstance(body, bytes | bytearray) else None


def wait_for_head(exchange: Watched, natures: Natures) -> Response | None:
    """Wait for the head of the response that is given; `None` where the request is to be sent.

    Raises:
        BaseException: what comes in place of a head.
    """
    response, delivery = exchange.response, exchange.delivery
    if delivery is not None:
        delivery.wait("head")
    if response is None or response.status:
        return response
    if response.given_up:
        never()
    if delivery is not None:
        delivery.wait("end")
    raise error_like(response.raised or _LOST, natures)


async def reach_head(exchange: Watched, natures: Natures) -> Response | None:
    """As `wait_for_head`, on a loop."""
    response, delivery = exchange.response, exchange.delivery
    if delivery is not None:
        await delivery.reach("head")
    if response is None or response.status:
        return response
    if response.given_up:
        await never_on_loop()
    if delivery is not None:
        await delivery.reach("end")
    raise error_like(response.raised or _LOST, natures)


def waiting_for_pieces(exchange: Watched, response: Response, natures: Natures) -> Iterator[bytes]:
    """The body of the response that is given, each piece in its turn.

    Raises:
        BaseException: what comes in place of the end.
    """
    delivery = exchange.delivery
    assert delivery is not None
    for index, piece in enumerate(response.pieces):
        delivery.wait("piece", index)
        yield piece
    if response.given_up:
        never()
    delivery.wait("end")
    if response.raised is not None:
        raise error_like(response.raised, natures)


async def reaching_pieces(exchange: Watched, response: Response, natures: Natures) -> AsyncIterator[bytes]:
    """As `waiting_for_pieces`, on a loop."""
    delivery = exchange.delivery
    assert delivery is not None
    for index, piece in enumerate(response.pieces):
        await delivery.reach("piece", index)
        yield piece
    if response.given_up:
        await never_on_loop()
    await delivery.reach("end")
    if response.raised is not None:
        raise error_like(response.raised, natures)
