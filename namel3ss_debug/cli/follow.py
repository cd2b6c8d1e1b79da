"""`debug trace --live`: the events of a trace on stderr while it grows.

The parent reads the files the child writes; the child does not know.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from namel3ss_debug.traces.following import Follower
from namel3ss_debug.views.events import RunningLines
from namel3ss_debug.views.terminal import Terminal, console

POLL_SECONDS = 0.05


@contextmanager
def following(path: Path) -> Iterator[None]:
    """Show the events of the trace at `path` on stderr until the block ends, and those left then."""
    follower, screen, over = Follower(path), console(stderr=True), threading.Event()
    thread = threading.Thread(target=_follow, args=(follower, screen, over), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        follower.close()


def _follow(follower: Follower, screen: Terminal, over: threading.Event) -> None:
    running = RunningLines(screen.width)
    number = 0
    with suppress(OSError):  # stderr was closed: the program goes on
        while True:
            last = over.wait(POLL_SECONDS)
            for event in follower.events():
                number += 1
                shown = running.line(number, event)
                if shown is not None:
                    screen.lines([shown])
            if last:
                return
