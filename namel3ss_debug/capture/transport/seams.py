"""Replacing an attribute of a foreign class, putting it back, and staying out of the program's sight meanwhile."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from namel3ss_debug.capture.exchanges import Exchange

Undo = Callable[[], None]
"""Puts back what was replaced."""


def replace(owner: Any, name: str, make: Callable[[Any], Any]) -> Undo:
    """Put `make(original)` in the place of an attribute; the result puts it back.

    What another has put in its place since then stays.
    """
    original = getattr(owner, name)
    ours = functools.wraps(original)(make(original))
    setattr(owner, name, ours)

    def put_back() -> None:
        if getattr(owner, name) is ours:
            setattr(owner, name, original)

    return put_back


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
