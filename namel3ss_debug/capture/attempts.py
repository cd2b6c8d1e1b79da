"""Which attempt of a request this is: a request that repeats a failed one is another attempt of it.

Two requests are the same when they ask the same from inside the same span. Of several that run at the same time,
each has attempts of its own: a failure belongs to the task or thread it happened in, and is taken up by the next
such request there, or anywhere once that task or thread is over (`asyncio.wait_for` makes a task for each attempt).
A program that repeats a failed request of its own accord makes an attempt too: nothing tells the two apart.
"""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from namel3ss_debug.capture.context import current_task

Key = tuple[str, str | None]
"""The hash of a request, and the id of the span it was made in."""

_MOST_REQUESTS = 256
_MOST_OF_ONE = 64


@dataclass(frozen=True, eq=False)
class Failed:
    """Attempts of one request that have failed: the event of the first, how many, and where the last one ran."""

    first: str
    count: int
    strand: weakref.ref[Any]


class Attempts:
    """The requests of this process whose last attempt has failed; safe between threads and in signal handlers."""

    def __init__(self) -> None:
        self._failed: OrderedDict[Key, list[Failed]] = OrderedDict()
        self._lock = threading.RLock()

    def renew(self) -> None:
        """After a fork: make a new lock, for the thread that may hold the old one does not exist here."""
        self._lock = threading.RLock()

    def take_up(self, key: Key) -> Failed | None:
        """The failed attempts that a request beginning here repeats; they are its own from now on."""
        if not self._failed:  # as nearly always
            return None
        here = strand()
        with self._lock:
            waiting = self._failed.get(key, [])
            found = next((one for one in waiting if one.strand() is here), None)
            found = found or next((one for one in waiting if _is_over(one.strand())), None)
            if found is not None:
                waiting.remove(found)
                if not waiting:
                    del self._failed[key]
            return found

    def failed(self, key: Key, event_id: str, earlier: Failed | None) -> None:
        """An attempt that ran here has failed, after those that it had taken up."""
        first, count = (event_id, 0) if earlier is None else (earlier.first, earlier.count)
        with self._lock:
            waiting = self._failed.setdefault(key, [])
            waiting.append(Failed(first, count + 1, weakref.ref(strand())))
            del waiting[:-_MOST_OF_ONE]
            self._failed.move_to_end(key)
            while len(self._failed) > _MOST_REQUESTS:
                self._failed.popitem(last=False)


def strand() -> Any:
    """The running task, else the running thread."""
    return current_task() or threading.current_thread()


def _is_over(strand: Any) -> bool:
    if strand is None:
        return True
    return not strand.is_alive() if isinstance(strand, threading.Thread) else bool(strand.done())
