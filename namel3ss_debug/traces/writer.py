"""Writes the events of a process: each line is in the kernel before the call returns, none is lost or glued to another.

Each process writes its own files, opened with `O_APPEND | O_EXCL`, mode 0600, so that no two processes ever share one.
With the default buffer of one event a line is in the kernel before `append` returns, so that a killed process loses
nothing: it is written to the file at once, or, while events come fast, put into the `ring`, from where many are written
together. What cannot be written is counted, reported once on stderr, and never reaches the program as an exception. A
line is numbered (`seq`) in the same step in which it is written, so that a gap in the numbers means a loss.
"""

from __future__ import annotations

import errno
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from os import write
from pathlib import Path
from time import sleep

from orjson import OPT_APPEND_NEWLINE, dumps

from namel3ss_debug.traces import folders
from namel3ss_debug.traces import ring as rings
from namel3ss_debug.traces.clocks import monotonic
from namel3ss_debug.traces.events import Event, without_payload
from namel3ss_debug.traces.libc import LibcWrite, last_error, libc_write
from namel3ss_debug.traces.names import segment_path
from namel3ss_debug.traces.ring import CLOSED, FIRST, HEAD, LAST, Ring

BURST_EVENTS, BURST_RATE = 32, 1000.0
"""The ring is used once so many events in a row came faster than so many a second, and left below half that rate."""

ASK_AGAIN_EVENTS = 10_000
"""After how many events making a ring is tried again, where it failed."""

SPILL_SECONDS = 0.05
"""How long events may stay in the ring before the next one causes them to be written to the file."""

_DUMPS = OPT_APPEND_NEWLINE


class TraceWriter:
    """Appends the events of this process to its own segments.

    Args:
        first: the path of the first segment of the trace's first process.
        first_process: whether this process is the first one; any other claims the next free `.p<n>` when it
            first has something to write.
        header: makes the `trace_start` event of a segment from its process number, segment number and seq.
        buffer_size: how many events may wait; 1 writes each before `append` returns.
        flush_interval: seconds an event may wait in a buffer.
        rotate_max_bytes: begin a new segment when the current one has grown so large; 0 for never.
        rotate_keep: how many segments to keep; 0 for all.
        link_latest: keep `trace_latest.jsonl` beside the file pointing to it.
        joins: whether another program may have begun the trace; then this process is its next one.
        sign: signs an event in place; `None` for a trace that is unsigned.
    """

    bursts = getattr(sys, "_is_gil_enabled", lambda: True)()
    """Whether a burst of events may go through a ring, which relies on the GIL."""

    def __init__(
        self,
        first: Path,
        *,
        first_process: bool,
        header: Callable[[int, int, int], Event],
        buffer_size: int = 1,
        flush_interval: float = 1.0,
        rotate_max_bytes: int = 0,
        rotate_keep: int = 0,
        link_latest: bool = True,
        joins: bool = False,
        sign: Callable[[Event], None] | None = None,
    ) -> None:
        self.first = first
        self._sign = sign
        self.dropped, self.process, self.segment, self.prefix = 0, 0, -1, ""
        self._first_process, self._joins = first_process, joins
        self._header = header
        self._buffer_size, self._flush_interval = buffer_size, flush_interval
        self._segment_size = rotate_max_bytes or sys.maxsize
        self._rotate_keep = rotate_keep
        self._link_latest = link_latest
        self._libc_write: LibcWrite | None = None
        self._warned, self.generation = False, 0
        self.ahead: Callable[[Event], str] | None = None  # writes events that come first, by `append_before`
        self._reset()

    def _reset(self) -> None:
        """The state a process starts with; after a fork the child calls it."""
        self._lock = threading.RLock()
        self._next, self._fd = 0, -1
        self._written = 0  # bytes, without those of the ring that is in use
        self._full_at = 0  # the value of `size` at which the next segment begins
        self._begins = b""  # the first bytes of the segment; empty where it shall not have a ring
        self._ring: Ring | None = None
        self._measured, self._failed_until = (0, 0.0), 0.0  # a number and the time when it was taken
        self._opening = False  # whether a segment or a ring is being opened
        self._torn = False
        self._early: list[bytes] = []
        self._buffer: list[bytes] = []
        self._flusher: threading.Thread | None = None

    @property
    def started(self) -> bool:
        """Whether this process has begun a segment."""
        return self.segment >= 0

    @property
    def next_seq(self) -> int:
        """The number that the next event of this process gets."""
        return self._next

    @property
    def events(self) -> int:
        """How many events have reached the kernel."""
        return self._next - self.dropped - len(self._buffer) - len(self._early)

    @property
    def size(self) -> int:
        """How many bytes these events take in all segments."""
        return self._written if self._ring is None else self._written + self._ring.passed

    def begin(self) -> None:
        """Begin the first segment now, so that there is a recording even if nothing happens."""
        with self._lock:
            if self._fd < 0:
                self._open_segment()

    def append(self, event: Event) -> str:
        """Number the event, write it, and return its id.

        The keys `event_id` and `seq` must already be in `event`; their values are set here. Errors of the file system
        are never raised: an event that cannot be written is counted in `dropped`. Of an event that JSON refuses, the
        part that it accepts is written.
        """
        if self.ahead is not None and (event_id := self.ahead(event)):
            return event_id
        while (ring := self._ring) is not None:
            seq = self._next
            event["seq"] = seq
            event["event_id"] = event_id = f"{self.prefix}{seq + 1}"
            try:
                line = dumps(event, None, _DUMPS)
            except TypeError:
                line = dumps(without_payload(event), None, _DUMPS)
            at = ring.at
            end = at + len(line)
            where = slice(at, end)
            if end > ring.room or monotonic() > ring.due:
                break
            if seq == self._next and at == ring.at:  # as in `_commit`; no other thread runs in between either
                self._next = seq + 1
                ring.view[where] = line
                ring.marks[HEAD] = ring.base + end - FIRST
                ring.at = end
                return event_id
        return self._append_in_turn(event)

    def append_before(self, event: Event, before: Event) -> str:
        """Append `before`, and `event` too if one write does both; the id of `event`, "" if it is not yet appended."""
        if self._ring is None and self.bursts and self._buffer_size <= 1:
            return self._append_in_turn(event, before)
        self.append_inputs(before)
        return ""

    def append_inputs(self, event: Event) -> str:
        """Append an `inputs_read` event, which is signed under the lock, like its number."""
        return self._append_in_turn(event)

    def _append_in_turn(self, event: Event, before: Event | None = None) -> str:
        """Append an event under the lock, when it cannot just go into the ring; `before` goes into the same write."""
        with self._lock:
            if self._ring is not None:
                self._relieve(self._ring)
            if (self._written if self._ring is None else self.size) >= self._full_at:
                self._open_segment()
            done = False
            while not done:
                seq = self._next
                if before is None:
                    done = self._commit(seq, self._line(event, seq))
                else:
                    done = self._commit(seq, self._line(before, seq) + self._line(event, seq + 1), 2)
            if self._ring is None and self._next - self._measured[0] >= BURST_EVENTS:
                self._measure()
        event_id: str = event["event_id"]
        return event_id

    def _line(self, event: Event, seq: int) -> bytes:
        """The line of an event, which gets this number; for one that JSON refuses, the part that it accepts."""
        event["seq"] = seq
        event["event_id"] = f"{self.prefix}{seq + 1}"
        if self._sign is not None and event["event_type"] == "inputs_read":
            self._sign(event)
        try:
            return dumps(event, None, _DUMPS)
        except TypeError:
            return dumps(without_payload(event), None, _DUMPS)

    def flush(self) -> None:
        """Write the waiting events: those in the buffer to the kernel, those in the ring to the file."""
        with self._lock:
            self._leave_ring()
            if self._buffer:
                lines, self._buffer = self._buffer, []
                data = (b"\n" if self._torn else b"") + b"".join(lines)
                self._finish(data, 0, len(lines))
            if folders.is_removed(self._fd):
                self._warn("the recording was removed while it was written")

    def close(self) -> None:
        """Flush and close the segment; a later `append` would open the next one."""
        with self._lock:
            self.flush()
            ring, self._ring = self._ring, None
            if ring is not None:  # a full disk: readers of the recording find the rest in the ring's file
                self._written += ring.abandon()
            folders.close_segment(self._fd)
            self._fd, self._full_at = -1, 0

    def hold_the_gil(self) -> None:
        """Write without releasing the GIL from now on, because the process starts a second thread.

        Beside a thread that computes, each event would wait a switch interval (5 ms) after `os.write` to get it back.
        """
        if self._libc_write is None:
            self._libc_write = libc_write()

    def before_fork(self) -> None:
        """Take the lock and empty the buffer, so that the child starts from a clean state."""
        self._lock.acquire()
        self.flush()

    def after_fork_in_parent(self) -> None:
        """Release the lock."""
        self._lock.release()

    def after_fork_in_child(self) -> None:
        """Become the writer of a further process, which opens its own file when it has something to write."""
        folders.close_segment(self._fd)
        if self._ring is not None:
            self._ring.abandon()  # it is the parent's
        self._reset()
        self.generation += 1
        self._first_process = self._joins = False
        self.dropped, self.process, self.segment, self.prefix = 0, 0, -1, ""

    def _commit(self, seq: int, line: bytes, events: int = 1) -> bool:
        """Take the number, or several, and write the line; `False` where the number was taken meanwhile.

        A signal handler or a finalizer may emit in this same thread in the middle of another emit, and take the number.
        Python runs them after a call or a backward jump, and there is none between the comparison and the system call.
        """
        if self._buffer_size > 1:
            return self._wait(seq, line)  # nothing is written together there
        if self._ring is not None:
            return self._put(self._ring, seq, line, events)
        if self._torn:
            line = b"\n" + line
        fd, libc, size = self._fd, self._libc_write, len(line)
        try:
            if seq != self._next:
                return False
            self._next = seq + events
            written = write(fd, line) if libc is None else libc(fd, line, size)
        except OSError as error:
            self._refused(line, error, events)
            return True
        if written != size:
            self._finish(line, written, events)
            return True
        self._torn = False
        self._written += size
        return True

    def _put(self, ring: Ring, seq: int, line: bytes, events: int) -> bool:
        """Put the line into the ring, like `_commit`; the line is lost where neither the ring nor the file has room."""
        at = ring.at
        end = at + len(line)
        where = slice(at, end)
        if end > LAST:
            if self._leave_ring() or seq != self._next:
                return False
            self._next = seq + events
            self.dropped += events
            return True
        if seq != self._next or at != ring.at:
            return False
        self._next = seq + events
        ring.view[where] = line
        ring.marks[HEAD] = ring.base + end - FIRST
        ring.at = end
        return True

    def _measure(self) -> None:
        """Begin to use a ring where the last events came fast enough for that."""
        now = monotonic()
        last, self._measured = self._measured, (self._next, now)
        if self._buffer_size > 1 or not self.bursts or not rings.comes_fast(last, self._measured, BURST_RATE):
            return
        if self._torn or not self._begins or self._opening or self._ring is not None:
            return  # the last two conditions: a signal handler was faster
        self._opening = True
        try:
            ring = rings.create(segment_path(self.first, self.process, self.segment), self._fd, self._begins)
            if ring is not None:
                self._take(ring)
            else:
                self._measured = (self._next + ASK_AGAIN_EVENTS, now)
        finally:
            self._opening = False

    def _take(self, ring: Ring) -> None:
        """Let all further events go through the ring; those emitted meanwhile come before them in the file."""
        fd, ring.room, ring.due = self._fd, self._room(), monotonic() + SPILL_SECONDS
        try:
            while fd == self._fd:
                seq = self._next
                ring.begin(os.fstat(fd).st_size)
                if seq == self._next and fd == self._fd:
                    self._ring = ring
                    return
        except OSError:  # a signal handler has closed the segment
            pass
        ring.discard()

    def _relieve(self, ring: Ring) -> None:
        """Write the contents of the ring to the file, and stop using the ring where events come slowly again."""
        now = monotonic()
        if ring.at <= ring.room and now <= ring.due:
            return  # another thread has done it
        last, self._measured = self._measured, (self._next + 1, now)
        if not rings.comes_fast(last, self._measured, BURST_RATE / 2):
            self._leave_ring()
        elif self._spill(ring):
            ring.room = self._room()
        ring.due = now + SPILL_SECONDS

    def _room(self) -> int:
        """Up to where the ring may be filled before it is spilled: to its half, or to the end of the segment."""
        return FIRST + min((LAST - FIRST) // 2, self._full_at - self.size)

    def _leave_ring(self) -> bool:
        """Spill the ring and stop using it; `False` where the file system refuses, and the ring stays in use."""
        ring = self._ring
        if ring is None:
            return True
        if not self._spill(ring, last=True):
            return False
        ring.discard()
        if self._ring is ring:  # else a signal handler has left it, and another ring may be in use by now
            self._written += ring.spilled
            self._ring = None
        return True

    def _spill(self, ring: Ring, *, last: bool = False) -> bool:
        try:
            if ring.spill(self._fd, self._libc_write, last=last):
                return True
            error = last_error()
        except OSError as refused:
            if ring.at == CLOSED:  # a signal handler has left it, and the segment
                return True
            error = refused
        if self._opened_again(error):
            return self._spill(ring, last=last)
        ring.room = LAST
        self._warn(error.strerror or str(error))
        return False

    def _wait(self, seq: int, line: bytes) -> bool:
        if seq != self._next:
            return False
        self._next = seq + 1
        self._buffer.append(line)
        if self._flusher is None and self._flush_interval > 0:
            self._flusher = threading.Thread(target=self._flush_forever, name="namel3ss-flush", daemon=True)
            self._flusher.start()
        if len(self._buffer) >= self._buffer_size:
            self.flush()
        return True

    def _flush_forever(self) -> None:
        mine = threading.current_thread()
        while self._flusher is mine:
            sleep(min(self._flush_interval, threading.TIMEOUT_MAX))
            self.flush()

    def _finish(self, data: bytes, written: int, events: int = 1) -> None:
        """Write the rest of the lines after a partial write; after an error remember that a line is torn."""
        if written < 0:  # how the C library reports an error
            self._refused(data, last_error(), events)
            return
        try:
            while written < len(data):
                self._torn = self._torn or written > 0
                written += write(self._fd, data[written:])
        except OSError as error:
            there = data[:written]
            self._torn = self._torn and not there.endswith(b"\n")
            self._written += written
            self._refused(data[written:], error, events - there.lstrip(b"\n").count(b"\n"))
            return
        self._torn = False
        self._written += written

    def _refused(self, data: bytes, error: OSError, events: int = 1) -> None:
        """Count what could not be written; events that are emitted while the first segment is opened wait for it."""
        if self._fd < 0 and self._opening:
            self._early += data.splitlines(keepends=True)
            return
        if self._opened_again(error):
            self._finish(data, 0, events)
            return
        self.dropped += events
        if self._fd >= 0:  # where there is no segment, that was reported already
            self._warn(error.strerror or str(error))

    def _opened_again(self, error: OSError) -> bool:
        """Open the segment again if the program has closed it; raises what a signal handler of the program raised."""
        if error.errno is None:  # such as the TimeoutError of an alarm
            raise error
        if error.errno == errno.EBADF and self._fd >= 0:
            with suppress(OSError):
                self._fd = folders.reopen_segment(self.first, self.process, self.segment)
                return True
        return False

    def _open_segment(self) -> None:
        """Begin the next segment; keep the old one when that fails.

        Events that a signal handler emits meanwhile go to the old segment; where there is none, they wait for the new
        one. So the header is always the first line.
        """
        if self._opening or monotonic() < self._failed_until:
            return
        self._opening = True
        seq = self._next
        if self._fd < 0:  # the first segment: events emitted meanwhile come after its header
            self._next = seq + 1
        try:
            self.flush()
            fd = self._create()
            self.segment += 1
            try:
                written, header = self._write_header(fd, seq)
            except OSError:
                os.close(fd)
                self.dropped += self._fd >= 0
                self._begins = b""
                raise
            old, self._fd, self._torn = self._fd, fd, written < header
            self._full_at = self._written + self._segment_size
            self._measured = (self._next, monotonic())
            self._written += written
            folders.close_segment(old)
            linked = self._first_process and self._link_latest
            folders.tidy(self.first, self.process, self.segment, self._rotate_keep, linked=linked)
        except OSError as error:
            if error.errno is None:  # as in `_opened_again`
                raise
            self.dropped += self._fd < 0  # the header, as above: its number is missing now
            self._failed_until = monotonic() + 1.0
            self._warn(error.strerror or str(error))
        finally:
            self._opening = False
            early, self._early = self._early, []
            for line in early:
                self._finish(line, 0)

    def _create(self) -> int:
        if self._ring is not None:
            raise OSError(errno.ENOSPC, "no room for what stands in the ring")
        segment = self.segment + 1
        folders.make_private_folder(self.first.parent)
        if segment or (self._first_process and not self._joins):
            return folders.create_segment(self.first, self.process, segment)
        fd, process = folders.claim_process(self.first, 0 if self._first_process else self.process + 1)
        self.process, self.prefix = process, f"p{process}." if process else ""
        return fd

    def _write_header(self, fd: int, seq: int) -> tuple[int, int]:
        """Write the header of a segment, with a number taken as in `_commit`; return the bytes written and wanted."""
        event = self._header(self.process, self.segment, seq)
        while True:
            if self._fd >= 0:
                seq = self._next
            event["seq"], event["event_id"] = seq, f"{self.prefix}{seq + 1}"
            event.setdefault("metadata", {})["first_seq"] = seq
            if self._sign is not None:
                self._sign(event)
            line = dumps(event, None, _DUMPS)
            size = len(line)
            self._begins = line[: rings.BEGINS]
            if self._fd < 0:
                return write(fd, line), size
            if seq == self._next:
                self._next = seq + 1
                return write(fd, line), size

    def _warn(self, reason: str) -> None:
        if self._warned:
            return
        self._warned = True
        text = f"namel3ss debug: recording stopped: {reason}: {self.first}; the program goes on\n"
        with suppress(OSError):
            os.write(2, text.encode(errors="replace"))
