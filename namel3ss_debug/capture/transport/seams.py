"""Replacing an attribute of a foreign class, and putting it back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Undo = Callable[[], None]
"""Puts back what was replaced."""


def replace(owner: Any, name: str, make: Callable[[Any], Any]) -> Undo:
    """Put `make(original)` in the place of an attribute; the result puts it back."""
    original = getattr(owner, name)
    setattr(owner, name, make(original))
    return lambda: setattr(owner, name, original)


def in_memory(body: Any) -> bytes | None:
    """The body of a request where it is in memory; one that is streamed is not read for the recording's sake."""
    if isinstance(body, str):
        return body.encode()
    return bytes(body) if isinstance(body, bytes | bytearray) else None
