"""Read a trace as one sequence of events: all segments of all processes, in order, even where files are damaged.

Opening any file of a trace opens all of it. Reading takes constant memory, and an intact event costs little more than
parsing its JSON. What cannot be read is skipped and listed in `Trace.problems`; nothing that can be read is lost, and
no content of a file raises an exception. Files in other formats are read by importers (`namel3ss_debug.importers`),
which the opening function there passes in.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import heapify, heappop, heapreplace
from itertools import count as counter
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from namel3ss_debug.errors import UnreadableTraceError
from namel3ss_debug.traces.events import FORMAT_VERSION, Event
from namel3ss_debug.traces.index import (
    Index,
    IndexBuilder,
    PlaceReader,
    Spool,
    StaleIndexError,
    load_index,
    read_places,
)
from namel3ss_debug.traces.lines import (
    Problem,
    Problems,
    open_regular,
    refuse_other_encodings,
)
from namel3ss_debug.traces.loss_notes import LossNote
from namel3ss_debug.traces.process import (
    LinePlace,
    ProcessReader,
    Resume,
    read_format_version,
)
from namel3ss_debug.traces.store import ProcessFiles, trace_files

__all__ = ["Problem", "Problems", "Trace", "open_trace"]

SCAN_LIMIT = 2_000
"""Up to this number, an event is found by reading from the beginning when there is no index yet."""

PASSES_BEFORE_SPOOL = 2
"""How many times an event of a trace without places is found by a pass, before all events are written to a spool."""


class Importer(Protocol):
    """Reads files in another format."""

    def read(
        self,
        files: tuple[Path, ...],
        problems: Problems,
        consumed: Callable[[int], None] | None = None,
    ) -> Iterator[Event]:
        """Yield the events of one process in order, each with ids and the fields of our format.

        Args:
            files: the files of the process.
            problems: what cannot be read is added to it.
            consumed: called with the size of every piece that was read.
        """


class ImportedReader:
    """Reads the files of one process through an importer; it looks like a `ProcessReader`."""

    def __init__(
        self,
        importer: Importer,
        files: tuple[Path, ...],
        first_file: int,
        problems: Problems,
        consumed: Callable[[int], None] | None,
    ) -> None:
        self.seekable = False
        self.resume: Resume | None = None
        self.note: LossNote | None = None
        self.sizes = {number: _size(file) for number, file in enumerate(files, first_file)}
        self._importer = importer
        self._files = files
        self._first_file = first_file
        self._problems = problems
        self._consumed = consumed
        self._count = 0

    def events(self, resume: Resume | None = None) -> Iterator[Event]:
        """Yield the events; an imported trace is always read from the beginning."""
        del resume
        for event in self._importer.read(self._files, self._problems, self._consumed):
            self._count += 1
            yield event

    def place(self) -> LinePlace:
        """Return a place that only counts events, since the lines of other formats are not events."""
        return LinePlace(self._first_file, self._count - 1, 0)

    def first_time(self) -> float:
        """Return the timestamp of the first event; -inf when it has none."""
        first = next(self._importer.read(self._files, Problems()), {})
        return float(first.get("timestamp", float("-inf")))


Reader = ProcessReader | ImportedReader


class Trace:
    """An opened trace.

    Args:
        path: one of its files.
        find_importer: returns what reads a file in another format; None for a file in our own.

    Attributes:
        path: the file it was opened by.
        problems: what could not be read; filled while reading, started anew at each full pass.
        lost: how many events are missing by the numbers (`seq`) of the others; counted with `problems`.
        rotated_away: how many of these were before the first segment that is left: the trace cannot be re-run.
        progress: called now and then with the bytes read so far and the bytes of all files; may be set.
        marks: called while the events are read, whenever that may have changed, with whether those that follow may hold
            marks of cut or redacted parts; may be set, and is not called where processes are merged.
        change: returns what is read in place of the event with a number, such as the event without secrets; may be set.
    """

    def __init__(self, path: Path, find_importer: Callable[[Path], Importer | None] | None = None) -> None:
        self.path = path
        self._find_importer = find_importer
        self.problems = Problems()
        self.lost = 0
        self.rotated_away = 0
        self.progress: Callable[[int, int], None] | None = None
        self.marks: Callable[[bool], None] | None = None
        self.change: Callable[[int, Event], Event] | None = None
        self.processes: tuple[ProcessFiles, ...] = trace_files(path)
        self._pass_readers: list[Reader] = []
        self._index: Index | None = None
        self._spool: tuple[Index, Spool | None] | None = None
        self._passes = 0
        self._lines = PlaceReader(is_watching=True)
        weakref.finalize(self, self._lines.close)

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file of the trace: process by process, segment by segment."""
        return tuple(file for process in self.processes for file in process.files)

    def is_own(self) -> bool:
        """Return whether the files are in our own format."""
        return self._importer() is None

    @property
    def notes(self) -> list[LossNote]:
        """What the processes noted in the last pass about events that they could not write."""
        return [reader.note for reader in self._pass_readers if reader.note is not None]

    def events(self, start: int = 1) -> Iterator[Event]:
        """Return all events in the order of the trace, from the number `start` on.

        From 1 on this is a full pass, which finds files that are new and starts `problems` anew.
        """
        return self._changed(self._pass() if start <= 1 else self._events_from(start), start)

    def _changed(self, events: Iterator[Event], start: int = 1) -> Iterator[Event]:
        return events if self.change is None else map(self.change, counter(max(start, 1)), events)

    def event(self, number: int) -> Event:
        """Return the event with this number.

        Raises:
            UnreadableTraceError: there is no such event.
        """
        event = self._event(number)
        return event if self.change is None else self.change(number, event)

    def _event(self, number: int) -> Event:
        if number >= 1:
            index = self._index
            if index is not None and index.seekable and number <= index.count:
                try:
                    return self._lines.event(index.place(number), self.files)
                except StaleIndexError:  # `_events_from` finds the index stale as well, and renews it
                    pass
            for event in self._events_from(number):
                return event
        raise self._no_event(number)

    def count(self) -> int:
        """Return how many events the trace has."""
        return self.index().count

    def chosen(self, numbers: Iterable[int]) -> Iterator[tuple[int, Event]]:
        """Yield the events with these numbers, each with its number; in any order, but neighbours cost least.

        Raises:
            UnreadableTraceError: there is no such event.
        """
        todo = iter(numbers)
        index = self.index()
        number = 0

        def places() -> Iterator[LinePlace]:
            nonlocal number
            for number in todo:
                if not 1 <= number <= index.count:
                    raise self._no_event(number)
                yield index.place(number)

        if index.seekable:
            try:
                for event in read_places(places(), self.files):
                    yield number, event if self.change is None else self.change(number, event)
            except StaleIndexError:
                self._index = None
                index.discard()
                yield number, self.event(number)
        for rest in todo:
            yield rest, self.event(rest)

    def index(self) -> Index:
        """Return the index of the trace as it is now: the loaded one, the saved one, a continued one, or a new one."""
        index = self._saved_index()
        if index is None or not index.fits(self.files):
            index = self._build(index)
        self._index = index
        return index

    def has_index(self) -> bool:
        """Return whether there is an index that fits, or that can be continued, so that `index` needs no pass over all."""
        index = self._saved_index()
        return index is not None and (index.fits(self.files) or self._can_continue(index))

    def indexed_events(self) -> Iterator[Event]:
        """Return all events in order, as `events` gives them; where no index fits, one is built in the same pass."""
        index = self._saved_index()
        if index is None or not index.fits(self.files):
            return self._changed(self._indexing(None))
        self._index = index
        return self._changed(self._pass())

    def problems_document(self) -> dict[str, Any]:
        """Return what was skipped or repaired in the last pass, as JSON: how many of each kind, and the first places."""
        problems = self.problems
        return {
            "total": problems.total,
            "kinds": dict(sorted(problems.counts.items())),
            "lost_events": self.lost,
            "rotated_away_events": self.rotated_away,
            "dropped_events": sum(note.dropped for note in self.notes),
            "dropped_because": sorted({note.reason for note in self.notes}),
            "first": [problem._asdict() for problem in problems.first],
        }

    def _pass(self) -> Iterator[Event]:
        readers = self._readers()
        if len(readers) == 1:
            return readers[0].events()
        return (event for _, event in _merged(readers, tracking=False))

    def _importer(self) -> Importer | None:
        """Return what reads the files; asked anew at each pass, since a file may have been empty before."""
        return self._find_importer(self.files[0]) if self._find_importer is not None else None

    def _readers(self, *, tracking: bool = False) -> list[Reader]:
        """Return a reader for each process, and reset everything that a pass fills."""
        self.processes = trace_files(self.path)
        importer = self._importer()
        self.problems.clear()
        self.lost = self.rotated_away = 0
        consumed = self._progress_counter()
        readers: list[Reader] = []
        first_file = 0
        for number, files in self.processes:
            if importer is None:
                reader: Reader = ProcessReader(
                    number,
                    files,
                    first_file,
                    self.problems,
                    self._missing,
                    consumed=consumed,
                    tracking=tracking,
                    marks=self.marks if len(self.processes) == 1 else None,
                )
            else:
                reader = ImportedReader(importer, files, first_file, self.problems, consumed)
            readers.append(reader)
            first_file += len(files)
        self._pass_readers = readers
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

    def _events_from(self, start: int) -> Iterator[Event]:
        """Yield the events from `start` on, by the index where there is one or it pays to build one."""
        index = self._index or load_index(self.files)
        if index is None and start <= SCAN_LIMIT:
            yield from islice(self._pass(), start - 1, None)
            return
        number = start
        for _ in range(2):
            index = self._index
            if index is None or index.count < start:
                index = self.index()
            if not index.seekable:
                spool = self._open_spool(index)
                if spool is not None:
                    yield from spool.events(number)
                    return
                break
            try:
                for event in read_places(index.places(number), self.files):
                    yield event
                    number += 1
                return
            except StaleIndexError:
                self._index = None
                index.discard()
        yield from islice(self._pass(), number - 1, None)

    def _open_spool(self, index: Index) -> Spool | None:
        """Return the events of a trace without places; None for the first few times, when a pass is as good."""
        if self._spool is not None and self._spool[0] is index:
            return self._spool[1]
        self._passes += 1
        if self._passes <= PASSES_BEFORE_SPOOL:
            return None
        spool: Spool | None = None
        try:
            spool = Spool(self._pass())
        except OSError:
            pass  # there is no room; each event is found by a pass
        self._spool = (index, spool if spool is not None and spool.count == index.count else None)
        return self._spool[1]

    def _no_event(self, number: int) -> UnreadableTraceError:
        return UnreadableTraceError(
            f"{self.path}: there is no event {number}; the trace has {self.count()} events, numbered from 1"
        )

    def _saved_index(self) -> Index | None:
        """Return the loaded index or the saved one, whether it fits the current files or not."""
        self.processes = trace_files(self.path)
        return self._index or load_index(self.files)

    def _build(self, old: Index | None) -> Index:
        continued = old if old is not None and self._can_continue(old) else None
        for begin in (continued, None):
            try:
                for _ in self._indexing(begin):
                    pass
            except StaleIndexError:
                continue
            break
        assert self._index is not None
        return self._index

    def _can_continue(self, old: Index) -> bool:
        return len(self.processes) == 1 and old.continues(self.files)

    def _indexing(self, continued: Index | None) -> Iterator[Event]:
        """Yield the events from where an index can be continued, or all of them; the index is complete at the end."""
        readers = self._readers(tracking=True)
        builder = IndexBuilder(self.files, continued)
        resume = continued.resume[0] if continued is not None and continued.resume is not None else None
        last = LinePlace(0, -1, 0)
        try:
            for last, event in _with_places(readers, resume):
                builder.add(last)
                yield event
        except BaseException:
            builder.abandon()
            raise
        going_on = readers[0].resume if len(readers) == 1 else None
        torn = going_on is not None and (last.file, last.offset) >= (going_on.file, going_on.offset)
        self._index = builder.finish(
            seekable=all(reader.seekable for reader in readers),
            sizes={number: size for reader in readers for number, size in reader.sizes.items()},
            resume=going_on,
            resume_count=builder.count - torn,
        )


def open_trace(path: str | Path, find_importer: Callable[[Path], Importer | None] | None = None) -> Trace:
    """Open the trace that a file belongs to; `importers.opening.open_trace` also opens other formats.

    Raises:
        TraceNotFoundError: there is no such file.
        UnreadableTraceError: it is not a regular file, may not be read, is in another encoding, or in an earlier format.
    """
    path = Path(path)
    descriptor = open_regular(path)
    try:
        refuse_other_encodings(path, os.read(descriptor, 4))
    except OSError as error:
        raise UnreadableTraceError(f"{path}: cannot be read: {error.strerror}") from None
    finally:
        os.close(descriptor)
    version = read_format_version(path)
    if version < FORMAT_VERSION:
        raise UnreadableTraceError(
            f"{path}: trace format {version} is too old, this version reads format {FORMAT_VERSION}; record the program again"
        )
    return Trace(path, find_importer)


def _with_places(readers: Sequence[Reader], resume: Resume | None) -> Iterator[tuple[LinePlace, Event]]:
    """Every event in order with its place."""
    if len(readers) > 1:
        yield from _merged(readers, tracking=True)
        return
    reader = readers[0]
    for event in reader.events(resume):
        yield reader.place(), event


def _merged(readers: Sequence[Reader], *, tracking: bool) -> Iterator[tuple[LinePlace, Event]]:
    """Merge processes by time without disturbing the order within any of them.

    What counts is the latest timestamp of a process so far, so that a clock that steps back in one process cannot hold
    up the others. A file is opened when its first timestamp is due, because a trace may have more processes than a
    program may have open files.
    """
    nowhere = LinePlace(0, 0, 0)
    queue: list[tuple[float, int, Event | None, LinePlace, Iterator[Event]]] = [
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


def _size(path: Path) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
