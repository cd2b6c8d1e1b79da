"""Know which threads run what the user types at a stop: that is no part of the program's run, and is not recorded."""

from __future__ import annotations

import threading
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
    """Mark what this thread does inside the block; in the main thread, Ctrl-C interrupts that, and not the program."""
    thread = get_ident()
    THREADS.add(thread)
    try:
        with _interruptible():
            yield
    finally:
        THREADS.discard(thread)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let SIGINT raise KeyboardInterrupt: a handler of the program, as that of `asyncio.run`, would cancel its tasks."""
    import signal  # a program that is not stepped may never load it

    handler = signal.getsignal(signal.SIGINT)
    if handler is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
