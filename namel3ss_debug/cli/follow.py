"""`debug trace --live`: the events of a trace on stderr while it grows.

The parent reads the files the child writes; the child does not know. A line that cannot be read yet is tried
again, and one that never can is left to the commands that read the finished trace.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from heapq import merge
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO

from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.lines import first_line
from namel3ss_debug.traces.names import parse_name
from namel3ss_debug.traces.process import read_event_line
from namel3ss_debug.traces.store import is_written, trace_files
from namel3ss_debug.views.events import RunningLines
from namel3ss_debug.views.terminal import Terminal, console

POLL_SECONDS = 0.05
CHUNK_BYTES = 1 << 20


class Follower:
    """Reads whole lines from all files of a growing trace, each file from where it was left."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._names: list[str] = []
        self._processes: dict[int, _Process] = {}

    def events(self) -> Iterator[Event]:
        """Yield the events that were written since the last call, the processes merged by time as the reader does it."""
        self._find_files()
        for _, event in merge(*(each.events() for each in self._processes.values()), key=itemgetter(0)):
            yield event

    def is_over(self) -> bool:
        """Return whether no process writes any more, as far as the files of the last call show.

        Each process has written its end, or has closed its last file. It may have begun another just now.
        """
        return not any(each.is_written() for each in self._processes.values())

    def close(self) -> None:
        """Close the files."""
        for each in self._processes.values():
            each.close()

    def _find_files(self) -> None:
        """Add the files that are new; none before the first line of the first names their execution."""
        try:
            names = os.listdir(self.path.parent)
        except OSError:
            return
        if names != self._names and (self._processes or first_line(self.path)):
            self._names = names
            for number, files in trace_files(self.path):
                self._processes.setdefault(number, _Process()).files = files


class _Process:
    """Reads whole lines from the segments of one process, one after the other.

    Attributes:
        files: its segments, in order, as far as there are some.
    """

    def __init__(self) -> None:
        self.files: tuple[Path, ...] = ()
        self._file: BinaryIO | None = None
        self._path = Path()
        self._segment = -1
        self._rest = b""
        self._latest = float("-inf")
        self._ended = False

    def events(self) -> Iterator[tuple[float, Event]]:
        """Yield the events that were written since the last call, each with the latest time of the process until then."""
        while True:
            following = (
                self._following()
            )  # looked for first: lines written before the next segment began are read below
            yield from self._written()
            if following is None or not self._open(*following):
                return

    def is_written(self) -> bool:
        """Return whether it has not written its end, and keeps its last file open."""
        return not self._ended and is_written(self.files[-1])

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _following(self) -> tuple[int, Path] | None:
        """Return the segment after the one that is open, with its number."""
        for path in self.files:
            name = parse_name(path.name)
            number = name.segment if name is not None else 0
            if number > self._segment:
                return number, path
        return None

    def _open(self, number: int, path: Path) -> bool:
        """Continue with this segment, and return whether it can be opened now."""
        try:
            file = path.open("rb")
        except OSError:
            return False
        self.close()
        self._file, self._path, self._segment, self._rest = file, path, number, b""
        return True

    def _written(self) -> Iterator[tuple[float, Event]]:
        file = self._file
        while file is not None and (chunk := file.read(CHUNK_BYTES)):
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            for line in lines:
                event = read_event_line(line, self._path)
                if event is not None:
                    self._latest = max(self._latest, event.get("timestamp", self._latest))
                    self._ended = self._ended or event["event_type"] == "trace_end"
                    yield self._latest, event


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
