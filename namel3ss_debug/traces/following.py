"""Read a trace while it grows: whole lines from all files of all processes, each file from where it was left.

The reader never changes or locks the files, and the program does not know of it. A line that cannot be read yet is tried
again, and one that never can is left to the commands that read the finished trace.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from heapq import merge
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO

from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.lines import first_line
from namel3ss_debug.traces.loss_notes import read_note
from namel3ss_debug.traces.names import parse_name
from namel3ss_debug.traces.process import read_event_line
from namel3ss_debug.traces.store import is_written, trace_files

CHUNK_BYTES = 1 << 20


class Follower:
    """Reads whole lines from all files of a growing trace, each file from where it was left."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._names: list[str] = []
        self._processes: dict[int, _Process] = {}

    def events(self) -> Iterator[Event]:
        """Yield the events that were written since the last call, the processes merged by time as the reader does it."""
        for _, event in self.timed_events():
            yield event

    def timed_events(self) -> Iterator[tuple[float, Event]]:
        """Yield the same, each with the latest time of its process until then, by which the processes are merged."""
        self._find_files()
        yield from merge(*(each.events() for each in self._processes.values()), key=itemgetter(0))

    @property
    def process_count(self) -> int:
        """How many processes have written until now."""
        return len(self._processes)

    def is_over(self) -> bool:
        """Return whether no process writes any more, as far as the files of the last call show.

        Each process has written its end, or has closed its last file. It may have begun another just now.
        """
        return not any(each.is_written() for each in self._processes.values())

    def unended(self) -> list[int]:
        """Return the numbers of the processes that write no more and recorded no end, as one does that was killed."""
        return [
            number
            for number, each in self._processes.items()
            if not each.is_written() and not each.has_ended()
        ]

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

    def has_ended(self) -> bool:
        """Return whether it recorded its end, or noted it where nothing could be written any more."""
        return self._ended or any(
            note.ended for file in self.files if (note := read_note(file)[1]) is not None
        )

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
