"""Where the events of a monitor are read: traces that grow, finished traces, and folders in which traces appear."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from heapq import merge
from math import inf
from operator import itemgetter
from pathlib import Path
from typing import Final

from namel3ss_debug.errors import UnreadableTraceError
from namel3ss_debug.importers import find_importer
from namel3ss_debug.importers.opening import open_trace
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.following import Follower
from namel3ss_debug.traces.names import parse_name

SETTLE_SECONDS: Final = 0.25
"""Of several processes, events wait so long for earlier ones of the others, so that their numbers are those of the trace."""

LOOK_AGAIN_SECONDS: Final = 10.0
"""How often all files of a folder are looked at in which none was added or removed."""


class TraceSource:
    """Reads a trace once, while it grows or as it is.

    Attributes:
        path: its first file.
        is_over: whether nothing can be added any more.
        over_since: the first time at which nobody wrote any more.
        was_written: whether somebody wrote at an earlier look.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_over = False
        self.over_since: float | None = None
        self.was_written = False
        is_own = parse_name(path.name) is not None and find_importer(path) is None
        self._follower: Follower | None = Follower(path) if is_own else None
        self._waiting: list[tuple[float, Event]] = []
        self._was_over = self._has_found = False

    def events(self, now: float) -> Iterator[Event]:
        """Yield the events that are new."""
        if self.is_over:
            return
        if self._follower is None:
            self.is_over, self.over_since = True, now
            yield from open_trace(self.path).events()
            return
        is_first = not self._follower.process_count
        over = not is_first and self._follower.is_over()
        settled = inf if over and self._was_over else now - SETTLE_SECONDS
        waiting, self._waiting, self._has_found = self._waiting, [], False
        for at, event in merge(waiting, self._new_events(self._follower), key=itemgetter(0)):
            if at <= settled or self._follower.process_count == 1:
                yield event
            else:
                self._waiting.append((at, event))
        over = over and not self._has_found
        is_quiet = over or (is_first and self._follower.process_count > 0 and self._follower.is_over())
        self.was_written |= not is_quiet
        self.over_since = (now if self.over_since is None else self.over_since) if is_quiet else None
        # At the first look alone, a process may just have begun its next file.
        self.is_over = over and self._was_over and not self._waiting
        self._was_over = over
        if self.is_over:
            self._follower.close()

    def _new_events(self, follower: Follower) -> Iterator[tuple[float, Event]]:
        for each in follower.timed_events():
            self._has_found = True
            yield each

    def find_gone(self) -> list[int]:
        """Return the processes that write no more and recorded no end."""
        return self._follower.unended() if self._follower is not None and self._follower.process_count else []

    def close(self) -> None:
        """Close the files."""
        if self._follower is not None:
            self._follower.close()


class TraceFolder:
    """A folder in which traces appear, of which those count that were changed since a time."""

    def __init__(self, path: Path, since: float) -> None:
        self._path, self._since = path, since
        self._changed, self._due = -1, float("-inf")

    def find(self, known: Iterable[Path], now: float) -> list[Path]:
        """Return the first files of the traces that are new, except the known ones; oldest first.

        Raises:
            UnreadableTraceError: the folder cannot be read.
        """
        seen = set(known)
        found = []
        try:
            # To look at 5,000 files takes 10 ms. A new file changes its folder; an old one that goes on does not.
            changed = self._path.stat().st_mtime_ns
            if changed == self._changed and now < self._due:
                return []
            self._changed, self._due = changed, now + LOOK_AGAIN_SECONDS
            with os.scandir(self._path) as entries:
                for entry in entries:
                    status = entry.stat(follow_symlinks=False)
                    if status.st_mtime < self._since or not stat.S_ISREG(status.st_mode):
                        continue
                    parts = parse_name(entry.name)
                    path = self._path / f"{parts.stem}.jsonl" if parts is not None else None
                    if path is not None and path not in seen:
                        seen.add(path)
                        found.append((status.st_mtime, path))
        except OSError as error:
            raise UnreadableTraceError(f"{self._path}: {error.strerror}") from None
        return [path for _, path in sorted(found)]
