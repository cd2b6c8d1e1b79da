"""A trace as one sequence of events: all segments of all processes, in order, whatever state the files are in.

Opening any file of a trace opens the whole of it. Reading takes constant memory and pays for an intact event
little more than its JSON. What cannot be read is skipped and named in `Trace.problems`; nothing that can be read
is lost, and no file content raises. Files of other writers in our shape are given ids and parents.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heapreplace
from itertools import islice
from pathlib import Path
from typing import IO

from namel3ss_debug.errors import TraceNotFoundError, UnreadableTraceError
from namel3ss_debug.traces.events import Event, TraceEvent
from namel3ss_debug.traces.index import Index, IndexBuilder, StaleIndexError, load_index
from namel3ss_debug.traces.lines import (
    LINE_LIMIT,
    Problem,
    Problems,
    open_regular,
    refuse_other_encodings,
)
from namel3ss_debug.traces.process import Place, ProcessReader, Resume, event_on
from namel3ss_debug.traces.store import ProcessFiles, trace_files

__all__ = ["Problem", "Problems", "Trace", "open_trace", "read_trace"]

SCAN_LIMIT = 2_000
"""Up to this number, an event is found by reading from the beginning when there is no index yet."""

_MOST_OPEN_FILES = 32


class Trace:
    """An opened trace.

    Attributes:
        path: the file it was opened by.
        problems: what could not be read; filled while reading, started anew at each full pass.
        lost: how many events are missing by the numbers (`seq`) of the others; counted with `problems`.
        rotated_away: how many of these stood before the first segment that is left: the trace cannot be re-run.
        progress: called now and then with the bytes read so far and the bytes of all files; may be set.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems = Problems()
        self.lost = 0
        self.rotated_away = 0
        self.progress: Callable[[int, int], None] | None = None
        self.processes: tuple[ProcessFiles, ...] = trace_files(path)
        self._index: Index | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file of the trace: process by process, segment by segment."""
        return tuple(file for process in self.processes for file in process.files)

    def events(self, start: int = 1) -> Iterator[Event]:
        """All events in the order of the trace, from the number `start` on.

        From 1 this is a full pass, which finds files that have come since and starts `problems` anew.
        """
        if start <= 1:
            return self._pass()
        return self._from(start)

    def event(self, number: int) -> Event:
        """The event with this number.

        Raises:
            UnreadableTraceError: there is no such event.
        """
        if number >= 1:
            for event in self._from(number):
                return event
        raise UnreadableTraceError(
            f"{self.path}: there is no event {number}; the trace has {self.count()} events, numbered from 1"
        )

    def count(self) -> int:
        """How many events the trace has."""
        return self._current_index().count

    def _pass(self) -> Iterator[Event]:
        readers = self._readers()
        if len(readers) == 1:
            return readers[0].events()
        return (event for _, event in _merged(readers, tracking=False))

    def _readers(self, *, tracking: bool = False) -> list[ProcessReader]:
        """A reader for each process, with everything that a pass fills started anew."""
        self.processes = trace_files(self.path)
        self.problems.clear()
        self.lost = self.rotated_away = 0
        consumed = self._progress_counter()
        readers = []
        first_file = 0
        for process in self.processes:
            reader = ProcessReader(
                process.number,
                process.files,
                first_file,
                self.problems,
                self._missing,
                consumed=consumed,
                tracking=tracking,
            )
            readers.append(reader)
            first_file += len(process.files)
        return readers

    def _missing(self, events: int, *, rotated: bool) -> None:
        self.lost += events
        if rotated:
            self.rotated_away += events

    def _progress_counter(self) -> Callable[[int], None] | None:
        report = self.progress
        if report is None:
            return None
        done, total = 0, sum(_size(file) for file in self.files)

        def consumed(size: int) -> None:
            nonlocal done
            done += size
            report(done, max(total, done))

        return consumed

    def _from(self, start: int) -> Iterator[Event]:
        """The events from `start` on, by the index where there is one or it pays to build one."""
        index = self._index or load_index(self.files)
        if index is None and start <= SCAN_LIMIT:
            yield from islice(self._pass(), start - 1, None)
            return
        number = start
        for _ in range(2):
            index = self._index
            if index is None or index.count < start:
                index = self._current_index()
            if not index.seekable:
                break
            try:
                for event in _read_places(index.places(number), self.files):
                    yield event
                    number += 1
                return
            except StaleIndexError:
                self._index = None
                index.discard()
        yield from islice(self._pass(), number - 1, None)

    def _current_index(self) -> Index:
        """The index of the trace as it is now: the one at hand, the saved one, continued, or built anew."""
        self.processes = trace_files(self.path)
        files = self.files
        index = self._index or load_index(files)
        if index is None or not index.fits(files):
            index = self._build(index)
        self._index = index
        return index

    def _build(self, old: Index | None) -> Index:
        if old is not None and len(self.processes) == 1 and old.continues(self.files):
            try:
                return self._indexed(old)
            except StaleIndexError:
                pass
        return self._indexed(None)

    def _indexed(self, continued: Index | None) -> Index:
        readers = self._readers(tracking=True)
        builder = IndexBuilder(self.files, continued)
        resume = continued.resume[0] if continued is not None and continued.resume is not None else None
        last = Place(0, -1, 0)
        try:
            for last in _places(readers, resume):
                builder.add(last)
        except BaseException:
            builder.abandon()
            raise
        going_on = readers[0].resume if len(readers) == 1 else None
        torn = going_on is not None and (last.file, last.offset) >= (going_on.file, going_on.offset)
        return builder.finish(
            seekable=all(reader.seekable for reader in readers),
            sizes={number: size for reader in readers for number, size in reader.sizes.items()},
            resume=going_on,
            resume_count=builder.count - torn,
        )


def open_trace(path: str | Path) -> Trace:
    """Open the trace that a file belongs to.

    Raises:
        TraceNotFoundError: there is no such file.
        UnreadableTraceError: it is not a regular file, may not be read, or is in another encoding.
    """
    path = Path(path)
    descriptor = open_regular(path)
    try:
        refuse_other_encodings(path, os.read(descriptor, 4))
    except OSError as error:
        raise UnreadableTraceError(f"{path}: cannot be read: {error.strerror}") from None
    finally:
        os.close(descriptor)
    return Trace(path)


def read_trace(path: str | Path) -> Iterator[TraceEvent]:
    """Yield the events of a trace, in order.

    Raises:
        TraceNotFoundError: there is no such file.
        UnreadableTraceError: it is not a regular file, may not be read, or is in another encoding.
    """
    for number, event in enumerate(open_trace(path).events(), 1):
        yield TraceEvent.from_dict(event, number)


def _places(readers: list[ProcessReader], resume: Resume | None) -> Iterator[Place]:
    """The place of every event in order."""
    if len(readers) > 1:
        yield from (place for place, _ in _merged(readers, tracking=True))
        return
    reader = readers[0]
    for _ in reader.events(resume):
        yield reader.place()


def _merged(readers: list[ProcessReader], *, tracking: bool) -> Iterator[tuple[Place, Event]]:
    """Merge processes by time without disturbing the order within any of them.

    What counts is the latest timestamp a process has shown so far, so that a clock that steps back inside one
    cannot hold up the others. A file is opened when its first timestamp comes up, because a trace may have more
    processes than a program may have open files.
    """
    nowhere = Place(0, 0, 0)
    queue: list[tuple[float, int, Event | None, Place, Iterator[Event]]] = [
        (reader.first_time(), order, None, nowhere, reader.events()) for order, reader in enumerate(readers)
    ]
    heapify(queue)
    while queue:
        time, order, event, place, events = queue[0]
        if event is not None:
            yield place, event
        following = next(events, None)
        if following is None:
            heappop(queue)
            continue
        place = readers[order].place() if tracking else nowhere
        heapreplace(queue, (max(time, following.get("timestamp", time)), order, following, place, events))


def _read_places(places: Iterator[Place], files: tuple[Path, ...]) -> Iterator[Event]:
    """Read events at their places.

    Raises:
        StaleIndexError: another line stands there.
    """
    opened: dict[int, IO[bytes]] = {}
    try:
        for place in places:
            file = opened.get(place.file)
            if file is None:
                if len(opened) >= _MOST_OPEN_FILES:
                    opened.pop(next(iter(opened))).close()
                file = opened[place.file] = _open_file(files, place.file)
            try:
                file.seek(place.offset)
                line = file.readline(LINE_LIMIT + 1).removesuffix(b"\n")
            except (OSError, ValueError) as error:
                raise StaleIndexError(str(error)) from error
            event = event_on(line) if zlib.crc32(line) == place.checksum else None
            if event is None:
                raise StaleIndexError("the trace has changed")
            yield event
    finally:
        for file in opened.values():
            file.close()


def _open_file(files: tuple[Path, ...], number: int) -> IO[bytes]:
    try:
        return os.fdopen(open_regular(files[number]), "rb")
    except (IndexError, TraceNotFoundError, UnreadableTraceError) as error:
        raise StaleIndexError(str(error)) from error


def _size(path: Path) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
