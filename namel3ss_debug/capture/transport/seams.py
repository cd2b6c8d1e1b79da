"""What the seams of all libraries share: bodies in memory, hiding our frames, and answers part by part."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import Any

from namel3ss_debug.capture.answers import Raised, Response
from namel3ss_debug.capture.delivery import never, never_on_loop
from namel3ss_debug.capture.exchanges import Exchange, Report
from namel3ss_debug.capture.patching import hide_own_frame
from namel3ss_debug.capture.raising import error_like
from namel3ss_debug.capture.traceparent import HEADER

Watched = Exchange | Report
"""A request that is told of."""

Natures = Mapping[str, Callable[[str], BaseException]]
"""How a library fails: makes its exceptions of the natures `timeout` and `connection` of a text."""

_LOST = Raised("connection", "the connection was lost")


def fail(exchange: Watched | None, error: BaseException) -> None:
    """End the exchange by an exception, and hide the calling frame, which caught it; to be followed by a bare `raise`."""
    if exchange is not None:
        exchange.fail(error)
    hide_own_frame(error)


class OnDemand:
    """The headers of a request as pairs of texts, which are made of the library's own when somebody asks for them.

    Of a call of a model nobody does, and a library may take its time to tell them.

    Args:
        read: makes them.
    """

    def __init__(self, read: Callable[[], Iterable[tuple[str, str]]]) -> None:
        self._read = read

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._read())


def carry(headers: MutableMapping[str, str], exchange: Watched | None) -> None:
    """Give a request that is sent now what it shall carry; `carry_no_more` takes it back."""
    if exchange is not None and exchange.carried is not None:
        headers[HEADER] = exchange.carried


def carry_no_more(headers: MutableMapping[str, str], exchange: Watched | None) -> None:
    """What a request carried is not seen by the program afterwards, which has given it no such header."""
    if exchange is not None and exchange.carried is not None:
        headers.pop(HEADER, None)


def in_memory(body: Any) -> bytes | None:
    """The body of a request where it is in memory; one that is streamed is not read for the recording's sake."""
    if isinstance(body, str):
        return body.encode("utf-8", "replace")
    return bytes(body) if isinstance(body, (bytes, bytearray)) else None


def wait_for_head(exchange: Watched, natures: Natures) -> Response | None:
    """Wait for the head of the response that is given; `None` where the request is to be sent then.

    Raises:
        BaseException: what comes in place of a head.
    """
    response, delivery = exchange.response, exchange.delivery
    assert delivery is not None
    delivery.wait("head")
    if response is None or response.status:
        return response
    if response.given_up:
        never()
    delivery.wait("end")
    raise error_like(response.raised or _LOST, natures)


async def reach_head(exchange: Watched, natures: Natures) -> Response | None:
    """As `wait_for_head`, on a loop."""
    response, delivery = exchange.response, exchange.delivery
    assert delivery is not None
    await delivery.reach("head")
    if response is None or response.status:
        return response
    if response.given_up:
        await never_on_loop()
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
