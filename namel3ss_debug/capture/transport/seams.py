"""What the seams of all libraries need: bodies in memory, and staying out of the program's sight."""

from __future__ import annotations

from typing import Any

from namel3ss_debug.capture.exchanges import Exchange


def passes(error: BaseException, exchange: Exchange | None) -> None:
    """An exception that the calling frame caught ends the exchange; to be followed by a bare `raise`.

    The calling frame is taken out of its traceback, so that the program prints it as it would without us.
    """
    if exchange is not None:
        exchange.fail(error)
    trace = error.__traceback__
    error.__traceback__ = None if trace is None else trace.tb_next


def in_memory(body: Any) -> bytes | None:
    """The body of a request where it is in memory; one that is streamed is not read for the recording's sake."""
    if isinstance(body, str):
        return body.encode("utf-8", "replace")
    return bytes(body) if isinstance(body, bytes | bytearray) else None
