"""Know which threads run what the user types at a stop: that is no part of the program's run, and is not recorded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import get_ident

THREADS: set[int] = set()
"""The threads. It is empty nearly always, so callers that are called often look at it first."""


def is_running() -> bool:
    """Return whether this thread runs such code."""
    return get_ident() in THREADS


@contextmanager
def running() -> Iterator[None]:
    """Mark what this thread does inside the block."""
    thread = get_ident()
    THREADS.add(thread)
    try:
        yield
    finally:
        THREADS.discard(thread)
