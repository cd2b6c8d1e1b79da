"""Find which attempt a request is: a request that repeats a failed one is another attempt of it.

Two requests are the same if they have the same content and are made inside the same span. Concurrent requests have
attempts of their own: a failure belongs to its task or thread, and to the next such request there, or to one anywhere
once that task or thread has ended (`asyncio.wait_for` makes a task for each attempt). A program that repeats a failed
request on purpose makes an attempt too, because the two look the same.
"""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from namel3ss_debug.capture.core.context import current_task

Key = tuple[str, str | None]
"""The hash of a request, and the id of the span it was made in."""

_MOST_REQUESTS = 256
_MOST_OF_ONE = 64


@dataclass(frozen=True, eq=False)
class FailedAttempts:
    """The failed attempts of one request.

    Attributes:
        first: the event id of the first.
        count: how many there were.
        worker: the task or thread of the last one.
    """

    first: str
    count: int
    worker: weakref.ref[Any]


class Attempts:
    """The requests of this process whose last attempt has failed. Safe in threads and signal handlers."""

    def __init__(self) -> None:
        self._failed: OrderedDict[Key, list[FailedAttempts]] = OrderedDict()
        self._lock = threading.RLock()

    def renew(self) -> None:
        """Make a new lock after a fork, because the thread that may hold the old one does not exist here."""
        self._lock = threading.RLock()

    def take(self, key: Key) -> FailedAttempts | None:
        """Remove and return the failed attempts that a request beginning here repeats."""
        if not self._failed:  # as nearly always
            return None
        here = _current_worker()
        with self._lock:
            waiting = self._failed.get(key, [])
            found = next((one for one in waiting if one.worker() is here), None)
            found = found or next((one for one in waiting if _has_ended(one.worker())), None)
            if found is not None:
                waiting.remove(found)
                if not waiting:
                    del self._failed[key]
            return found

    def add_failure(self, key: Key, event_id: str, earlier: FailedAttempts | None) -> None:
        """Add an attempt that has failed here, after the `earlier` ones that it repeated."""
        first, count = (event_id, 0) if earlier is None else (earlier.first, earlier.count)
        with self._lock:
            waiting = self._failed.setdefault(key, [])
            waiting.append(FailedAttempts(first, count + 1, weakref.ref(_current_worker())))
            del waiting[:-_MOST_OF_ONE]
            self._failed.move_to_end(key)
            while len(self._failed) > _MOST_REQUESTS:
                self._failed.popitem(last=False)


def _current_worker() -> Any:
    """Return the running task, or else the running thread."""
    return current_task() or threading.current_thread()


def _has_ended(worker: Any) -> bool:
    if worker is None:
        return True
    return not worker.is_alive() if isinstance(worker, threading.Thread) else bool(worker.done())
