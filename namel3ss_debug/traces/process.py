"""Read the events of one process: its segments one after another, in the order of their `seq`.

The loop in `ProcessReader.events` is the hot path of every command. An event that is JSON, of a known shape,
with numbers in range and the next `seq`, is yielded there; everything else takes the careful path, which repairs and
reorders events, and counts and reports problems.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable, Iterator
from heapq import heappop, heappush
from operator import length_hint
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import orjson

from namel3ss_debug.errors import TraceNotFoundError, UnreadableTraceError
from namel3ss_debug.traces.decoding import (
    NUMBER_LIMIT,
    OTHER_SHAPES,
    SHAPES,
    TIME_LIMIT,
    decode,
    decode_text,
    is_sound,
    items_of,
    learn_shape,
    looks_like_event,
    normalise,
)
from namel3ss_debug.traces.events import FORMAT_VERSION, Event
from namel3ss_debug.traces.lines import (
    Batch,
    Problems,
    first_line,
    is_compressed,
    read_batches,
)
from namel3ss_debug.traces.loss_notes import LossNote, note_of
from namel3ss_debug.traces.media import MARK_BYTES, restore
from namel3ss_debug.traces.names import parse_name
from namel3ss_debug.wire import lenient

WINDOW_EVENTS = 256
WINDOW_BYTES = 8 * 1024 * 1024
"""How far events may be from their place: an emit inside an emit swaps neighbours, no more."""

DOCUMENT_LIMIT = 64 * 1024 * 1024
"""One JSON document over many lines is read whole, up to this size."""

_DOCUMENT_BEGINS = re.compile(rb'\s*[\[{]\s*\{?\s*("schema"\s*:\s*"[^"]*"\s*,\s*)?("events"\s*:\s*\[?)?\s*')


class LinePlace(NamedTuple):
    """The place of an event: the number of its file in the trace, the byte its line begins at, the line's CRC-32."""

    file: int
    offset: int
    checksum: int


class Resume(NamedTuple):
    """Where reading may go on when the last file has grown: file, byte, line number, and the next `seq`."""

    file: int
    offset: int
    line: int
    expected: int


class Missing(Protocol):
    """A callback for gaps in the numbers of the events."""

    def __call__(self, events: int, *, rotated: bool) -> None:
        """Count the events that are missing; `rotated`: they were before the first segment that is left."""


_Ready = list[tuple[LinePlace | None, Event]]
_Line = tuple[str, int]  # the name of a file, and a line of it


class ProcessReader:
    """Reads one process of a trace once.

    Attributes:
        seekable: whether every event has a line of its own, so that its place is enough to read it;
            final after the pass.
        resume: where a further pass could go on, if it can; set after the pass.
        sizes: file number -> bytes read of it.
        note: what the process noted about events that it could not write; final after the pass.

    Args:
        number: 0 for the first process.
        files: its segments in order.
        first_file: the number of the first of them among the files of the trace.
        problems: what is not as it should be is added to it.
        missing: called with the number of lost events.
        consumed: called with the size of every piece read from the disk.
        tracking: whether `place` will be used.
        marks: called, whenever that may have changed, with whether the events that follow may hold marks
            (`may_hold_marks`).
        complete_event: called with each event, in place of putting the events in the order of their numbers: it adds
            the ids that other writers leave out.
    """

    def __init__(
        self,
        number: int,
        files: tuple[Path, ...],
        first_file: int,
        problems: Problems,
        missing: Missing,
        *,
        consumed: Callable[[int], None] | None = None,
        tracking: bool = False,
        marks: Callable[[bool], None] | None = None,
        complete_event: Callable[[Event], None] | None = None,
    ) -> None:
        self.seekable = complete_event is None
        self.resume: Resume | None = None
        self.sizes: dict[int, int] = {}
        self.note: LossNote | None = None
        self._number = number
        self._files = files
        self._first_file = first_file
        self._problems = problems
        self._missing = missing
        self._consumed = consumed
        self._tracking = tracking
        self._marks = marks
        self._file = first_file
        self._batch: Batch | None = None
        self._batch_file = first_file
        self._lines: Iterator[bytes] = iter(())
        self._measured = (0, 0)  # a line of the batch and its offset
        self._place: LinePlace | None = None
        self._expected = 0
        self._began = False
        self._complete_event = complete_event
        self._waiting: list[tuple[int, int, int, _Line, LinePlace | None, Event]] = []
        self._waiting_bytes = 0
        self._waiting_count = 0
        self._has_media = False  # whether a line of the batch may hold media

    def events(self, resume: Resume | None = None) -> Iterator[Event]:
        """Yield the events in order, from `resume` on, which comes from an earlier pass over the same files."""
        loads, waiting, marks, complete = orjson.loads, self._waiting, self._marks, self._complete_event
        shapes = SHAPES if complete is None else OTHER_SHAPES
        self._check_version()
        if resume is not None:
            self._began = True
        expected = before_batch = resume.expected if resume else 0
        for batch in self._batches(resume):
            before_batch = expected
            lines = iter(batch.lines)
            self._batch, self._batch_file, self._lines = batch, self._file, lines
            self._measured = (0, batch.offset)
            if marks is not None:
                marks(bool(waiting) or may_hold_marks(batch))
            has_media = self._has_media = may_hold_media(batch)
            for line in lines:
                try:
                    event = loads(line)
                    numbers, nulls = shapes[(*event, *map(type, event.values()))]
                    sound = (complete is not None or event["seq"] == expected) and (
                        0 <= event["timestamp"] < TIME_LIMIT
                    )
                    for name in numbers:
                        if not 0 <= event[name] < NUMBER_LIMIT:
                            sound = False
                except (ValueError, KeyError, AttributeError, TypeError):
                    sound = False
                if sound:
                    if has_media:
                        self._restore(event)
                    if complete is None:
                        expected += 1
                    else:
                        _complete_without(nulls, event, complete)
                    yield event
                    if not waiting:
                        continue
                elif line == b"\n":
                    continue
                event, self._expected = {}, expected  # frees a large event before it is read again
                ready = self._take_due() if sound else self._read_carefully(line.removesuffix(b"\n"))
                if marks is not None and ready:
                    marks(True)
                for self._place, due in ready:
                    yield due
                self._place = None
                expected = self._expected
        self._expected = expected
        self.resume = self._resume_point(resume, before_batch)
        if marks is not None:
            marks(True)
        for self._place, due in self._take_due(everything=True):  # noqa: B020  (as above)
            yield due
        self._count_missing_at_end()

    def place(self) -> LinePlace:
        """Return the place of the event that was yielded last; needs `tracking`."""
        if self._place is not None:
            return self._place
        batch, index = self._position()
        return self._place_of(batch, index)

    def first_time(self) -> float:
        """Return the timestamp of the first line, without beginning the pass; -inf when it has none."""
        first = _read_line(first_line(self._files[0])) or {}
        return float(first.get("timestamp", float("-inf")))

    def _batches(self, resume: Resume | None) -> Iterator[Batch]:
        """Yield the lines of the files of this process, from the place at which an earlier pass ended."""
        for number, path in enumerate(self._files, self._first_file):
            if resume is not None and number < resume.file:
                continue
            offset, line = 0, 1
            if resume is not None and number == resume.file:
                offset, line = resume.offset, resume.line
            self._file = number
            self.sizes[number] = offset
            try:
                if self._tracking and is_compressed(path):
                    self.seekable = False
                batches = read_batches(
                    path, self._problems, offset=offset, number=line, consumed=self._count_bytes
                )
                yield from self._maybe_document(path, batches) if len(self._files) == 1 else batches
            except (TraceNotFoundError, UnreadableTraceError) as error:
                self._problems.add(path.name, 0, "a file was left out", str(error))

    def _check_version(self) -> None:
        """Warn once for a trace in a later format."""
        path = self._files[0]
        version = read_format_version(path)
        if version > FORMAT_VERSION and self._number == 0:
            what = "written by a later version of namel3ss-debug"
            upgrade = f"trace format {version}, and {FORMAT_VERSION} is known here; upgrade to read all of it"
            self._problems.add(path.name, 1, what, upgrade)

    def _count_bytes(self, size: int) -> None:
        self.sizes[self._file] += size
        if self._consumed is not None:
            self._consumed(size)

    def _maybe_document(self, path: Path, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Pass batches through, but turn one JSON document over many lines into a line for each event."""
        first = next(batches, None)
        if first is None:
            return
        head = next((line for line in first.lines if line.strip()), b"")
        if first.offset > 3 or not _DOCUMENT_BEGINS.fullmatch(head):
            yield first
            yield from batches
            return
        self.seekable = False
        lines, size = list(first.lines), 0
        for batch in batches:
            lines += batch.lines
            size += sum(map(len, batch.lines))
            if size > DOCUMENT_LIMIT:
                what = f"one JSON document larger than {DOCUMENT_LIMIT >> 20} MiB"
                self._problems.add(path.name, 0, what, "make it JSONL with `jq -c '.events[]? // .[]?'`")
                return
        document, complete = b"".join(lines), True
        try:
            values = items_of(orjson.loads(document))
        except orjson.JSONDecodeError:
            values, complete = decode_text(document.decode(errors="replace"), lenient=True)
        if not complete:
            self._problems.add(path.name, 0, "a damaged JSON document, only a part could be read")
        yield Batch(0, 1, [_dump(value) + b"\n" for value in values], whole=True)

    def _position(self) -> tuple[Batch, int]:
        batch = self._batch
        assert batch is not None
        return batch, len(batch.lines) - length_hint(self._lines) - 1

    def _place_of(self, batch: Batch, index: int) -> LinePlace:
        known, offset = self._measured
        for line in batch.lines[known:index]:
            offset += len(line)
        self._measured = (index, offset)
        return LinePlace(self._batch_file, offset, zlib.crc32(batch.lines[index].removesuffix(b"\n")))

    def _read_carefully(self, line: bytes) -> _Ready:
        """Take a line that is not an intact event with the next number; return the events that may be yielded now."""
        batch, index = self._position()
        name, number = self._files[self._batch_file - self._first_file].name, batch.number + index
        values, what = decode(line, whole=batch.whole)
        if what:
            self._problems.add(name, number, what)
        if len(values) > 1:
            self.seekable = False
        place = self._place_of(batch, index) if self._tracking else None
        ready: _Ready = []
        for piece, value in enumerate(values, 1):
            if not looks_like_event(value):
                note = note_of(value)
                if note is None:
                    self._problems.add(name, number, "not an event")
                elif self.note is None or note.dropped >= self.note.dropped:
                    self.note = note
                continue
            if self._has_media:
                self._restore(value)
            if self._complete_event is not None:
                learn_shape(value)
            if not is_sound(value):
                for field in normalise(value):
                    self._problems.add(
                        name, number, "a field of the wrong type or out of range, repaired", field
                    )
            self._accept(value, place, len(line), f"#{self._number}.{name}.{number}.{piece}", ready)
        return ready

    def _restore(self, event: Event) -> None:
        """Put the texts of media into an event, and report those that are missing."""
        missing = restore(event, self._files[self._batch_file - self._first_file])
        if missing:
            self._report(
                self._line(), "media is missing", f"the text of {missing}, which no line before holds"
            )

    def _accept(self, event: Event, place: LinePlace | None, size: int, spare_id: str, ready: _Ready) -> None:
        if self._complete_event is not None:
            self._complete_event(event)
            ready.append((place, event))
            return
        if "event_id" not in event:
            self.seekable = False
            event["event_id"] = spare_id
        self._sort_in(event, place, size, ready)
        self._began = True

    def _sort_in(self, event: Event, place: LinePlace | None, size: int, ready: _Ready) -> None:
        """Sort an event in among its neighbours."""
        seq = event.get("seq")
        if seq is None:
            ready.append((place, event))
        elif seq < self._expected:
            self._report(self._line(), "a number (seq) repeated or too late")
            ready.append((place, event))
        elif seq == self._expected:
            self._expected += 1
            ready.append((place, event))
            ready += self._take_due()
        elif not self._began and self._expected == 0:
            removed = lenient.mapping(event.get("metadata")).get("file_removed") is True
            self._skip_to(seq, self._line(), may_be_rotated=not removed)
            self._expected += 1
            ready.append((place, event))
        else:
            self._waiting_count += 1
            self._waiting_bytes += size
            heappush(self._waiting, (seq, self._waiting_count, size, self._line(), place, event))
            ready += self._take_due()

    def _take_due(self, *, everything: bool = False) -> _Ready:
        """Return the waiting events that may be yielded: those that are next by number, and those for which there is no room."""
        ready: _Ready = []
        waiting = self._waiting
        while waiting and (
            everything
            or waiting[0][0] <= self._expected
            or len(waiting) > WINDOW_EVENTS
            or self._waiting_bytes > WINDOW_BYTES
        ):
            seq, _, size, line, place, event = heappop(waiting)
            self._waiting_bytes -= size
            if seq > self._expected:
                self._skip_to(seq, line)
            if seq < self._expected:
                self._report(line, "a number (seq) repeated or too late")
            else:
                self._expected += 1
            ready.append((place, event))
        return ready

    def _skip_to(self, seq: int, line: _Line, *, may_be_rotated: bool = False) -> None:
        """Count the events whose numbers are missing before `seq`, which is on `line`."""
        lost = seq - self._expected
        parts = parse_name(self._files[0].name)
        rotated = may_be_rotated and parts is not None and parts.segment > 0
        if rotated:
            gone = f"{lost:,} events are lost; the trace cannot be re-run"
            self._report((line[0], 0), "earlier segments were rotated away", gone)
        else:
            self._report(line, "events are missing", f"{lost:,} before the one with seq {seq}")
        self._missing(lost, rotated=rotated)
        self._expected = seq

    def _count_missing_at_end(self) -> None:
        """Count the events after the last one that the process could not write, as it noted."""
        if self.note is None or self.note.next_seq <= self._expected:
            return
        lost = self.note.next_seq - self._expected
        self._report((self._files[-1].name, 0), "events are missing", f"{lost:,} at the end")
        self._missing(lost, rotated=False)

    def _line(self) -> _Line:
        """Return the line of the event that is being read."""
        batch, index = self._position()
        return self._files[self._batch_file - self._first_file].name, batch.number + index

    def _report(self, line: _Line, what: str, detail: str = "") -> None:
        self._problems.add(*line, what, detail)

    def _resume_point(self, resume: Resume | None, before_batch: int) -> Resume | None:
        """Return the point after the last whole line; None when later events could belong before those already yielded."""
        last = self._batch
        if self._waiting or not self.seekable:
            return None
        if last is None or self._batch_file != self._file:
            return resume or Resume(self._file, 0, 1, self._expected)
        if not last.whole:
            return Resume(self._file, last.offset, last.number, before_batch)
        end = last.offset + sum(map(len, last.lines))
        return Resume(self._file, end, last.number + len(last.lines), self._expected)


def _complete_without(nulls: tuple[str, ...], event: Event, complete: Callable[[Event], None]) -> None:
    """Complete an event of another writer without the fields that are null."""
    for name in nulls:
        del event[name]
    complete(event)


def may_hold_marks(batch: Batch) -> bool:
    """Return whether a line may hold the mark of a cut or redacted part: `$truncated` or `[REDACTED`, escaped or not.

    Many lines are searched at once, because searching each event takes several times as long. Where possible, a single
    byte is searched for first, which takes next to no time.
    """
    if batch.read is None:
        return True
    return any(
        b"[REDACTED" in text
        or (b"$" in text and b"$truncated" in text)
        or (b"\\" in text and b"\\u00" in text)
        for text in (batch.read, *batch.lines[:1])
    )


def may_hold_media(batch: Batch) -> bool:
    """Return whether a line may hold media or its digest."""
    pieces = batch.lines if batch.read is None else (batch.read, *batch.lines[:1])
    return any(b"$" in piece and MARK_BYTES in piece for piece in pieces)


_LONGEST_START = 1 << 20


def read_format_version(path: Path) -> int:
    """Return the version of the format that the first line of a file names; `FORMAT_VERSION` where it names none."""
    line = first_line(path)
    # A `trace_start` is small; a document of another tool on one line would be parsed whole, in seven times its size.
    start = (_read_line(line) or {}) if len(line) <= _LONGEST_START else {}
    version = lenient.mapping(start.get("metadata")).get("format")
    return version if start.get("event_type") == "trace_start" and type(version) is int else FORMAT_VERSION


def read_event_line(line: bytes, path: Path) -> Event | None:
    """Return the event on the line of a seekable trace, exactly as a pass yields it; None when there is none.

    Args:
        line: the line.
        path: its file, which holds the texts of its media.
    """
    event = _read_line(line)
    if event is not None and MARK_BYTES in line:
        restore(event, path)
    return event


def _read_line(line: bytes) -> Event | None:
    try:
        intact: Event = orjson.loads(line)
        if is_sound(intact):
            return intact
    except (ValueError, TypeError, AttributeError):
        pass
    values, _ = decode(line)
    if len(values) != 1 or not looks_like_event(values[0]):
        return None
    event: Event = values[0]
    if not is_sound(event):
        normalise(event)
    return event


def _dump(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except (TypeError, ValueError, RecursionError):
        return json.dumps(value).encode()
