"""Write the events of a process: each line is in the kernel before the call returns, none is lost or glued to another.

Each process writes its own files, opened with `O_APPEND | O_EXCL`, mode 0600, so that no two processes ever share one.
With the default buffer of one event, each event is one `write` of one whole line, so that a killed process loses
nothing. Nothing is mapped: a file that is truncated under the program costs its events and no more. A line is numbered
(`seq`) in the same step in which it is written, so that a gap in the numbers means a loss.

No error of the file system reaches the program. Events that cannot be written are counted, reported once on stderr, and
noted in the file itself (`loss_notes`), which needs no free space. A file that was removed or replaced is begun anew.
"""

from __future__ import annotations

import atexit
import errno
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from os import write
from pathlib import Path
from time import sleep
from types import FrameType
from typing import Any

from orjson import OPT_APPEND_NEWLINE, OPT_PASSTHROUGH_SUBCLASS, dumps

from namel3ss_debug.traces import folders
from namel3ss_debug.traces.clocks import monotonic
from namel3ss_debug.traces.events import Event, without_payload
from namel3ss_debug.traces.loss_notes import LossNote, add_room, write_note
from namel3ss_debug.traces.media import MediaText, to_json
from namel3ss_debug.traces.names import segment_path
from namel3ss_debug.traces.signing import Sign, line_signer

LibcWrite = Callable[[int, bytes, int], int]
"""Descriptor, data and its length -> bytes written, or -1."""

CHECK_SECONDS = 0.05
"""How often the writer looks whether its file was removed. Each look is a system call of about 0.4 us."""

END_ATTEMPTS = 3
"""How often the last event is written where its file is removed again and again."""

_DUMPS = OPT_APPEND_NEWLINE | OPT_PASSTHROUGH_SUBCLASS
"""So that `MediaText` is refused, and takes the way through the lock on which the media of the segment are known."""
_SUBCLASSED: tuple[type[Any], ...] = (str, int, dict, list)


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
        key: the key that the lines are signed with; `None` for a trace that is unsigned.
    """

    __slots__ = (
        *(
            "_buffer",
            "_buffer_size",
            "_check_at",
            "_early",
            "_ended",
            "_error",
            "_exit_status",
            "_failed_until",
        ),
        *(
            "_fd",
            "_first_process",
            "_flush_interval",
            "_flusher",
            "_full_at",
            "_header",
            "_header_bytes",
            "_joins",
            "_key",
        ),
        *(
            "_libc_write",
            "_link_latest",
            "_lock",
            "_locks_all",
            "_media",
            "_new_media",
            "_next",
            "_opening",
            "_path",
            "_rotate_keep",
            "_segment_size",
            "_sign",
        ),
        *(
            "_torn",
            "_warned",
            "_written",
            "ahead",
            "dropped",
            "first",
            "generation",
            "prefix",
            "process",
            "segment",
        ),
    )  # every event reads ten of these, and Python 3.11 no longer keeps more than 30 attributes in line

    joins_lines = True
    """Whether two events may share one `write`."""

    stores_media = True
    """Whether media is written once a segment, and later as its digest."""

    needs_lock = not getattr(sys, "_is_gil_enabled", lambda: True)()
    """Whether events are only written under the lock."""

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
        key: bytes | None = None,
    ) -> None:
        self.first = first
        self._key = key
        self.dropped, self.process, self.segment, self.prefix = 0, 0, -1, ""
        self._first_process, self._joins = first_process, joins
        self._header = header
        self._buffer_size, self._flush_interval = buffer_size, flush_interval
        self._segment_size = rotate_max_bytes or sys.maxsize
        self._rotate_keep = rotate_keep
        self._link_latest = link_latest
        self._libc_write: LibcWrite | None = None
        self._locks_all = self.needs_lock
        self._warned, self.generation = False, 0
        self.ahead: Callable[[Event], str] | None = None  # writes events that come first, by `append_before`
        self._reset()

    def _reset(self) -> None:
        """Set the state that a process starts with; after a fork the child calls it."""
        self._lock = threading.RLock()
        self._next, self._fd = 0, -1
        self._sign: Sign | None = None  # of the segment that `_fd` writes
        self._path = self.first  # of the segment that is being written
        self._written = 0  # bytes
        self._full_at = 0  # the value of `_written` at which the next segment begins
        self._check_at, self._failed_until = 0.0, 0.0
        self._header_bytes = b""  # the first line of the segment, without the room after it
        self._opening = False  # whether a segment is being opened
        self._torn = False
        self._early: list[bytes] = []
        self._media: set[str] = set()  # the digests of those in the segment
        self._new_media: list[str] = []  # of those in the lines that are being written
        self._buffer: list[bytes] = []
        self._flusher: threading.Thread | None = None
        self._error, self._ended = 0, False  # what a loss note reports
        self._exit_status: int | None = None

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
        return self._written

    def begin(self) -> None:
        """Begin the first segment now, so that there is a trace even if nothing happens."""
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
        # The common case. It needs no lock: only one thread writes, or each write holds the GIL.
        while self._written < self._full_at and monotonic() < self._check_at:
            fd, sign = self._fd, self._sign
            seq = self._next
            event["seq"] = seq
            event["event_id"] = event_id = f"{self.prefix}{seq + 1}"
            try:
                line = dumps(event, None, _DUMPS)
            except TypeError:
                break
            if sign is not None:
                line = sign(line)
            size, libc = len(line), self._libc_write
            if seq == self._next and fd == self._fd:  # as in `_commit`; a line is signed for its segment
                self._next = seq + 1
                try:
                    written = write(fd, line) if libc is None else libc(fd, line, size)
                except OSError as error:
                    with self._lock:
                        self._refused(line, error)
                    return event_id
                if written == size:
                    self._written += size
                    return event_id
                with self._lock:
                    self._finish(line, written)
                return event_id
        return self._append(event)

    def append_before(self, event: Event, before: Event) -> str:
        """Append `before`, and `event` too if one write does both; return the id of `event`, "" if it is not appended."""
        if self.joins_lines and self._buffer_size <= 1:
            return self._append(event, before)
        self.append_inputs(before)
        return ""

    def append_inputs(self, event: Event) -> str:
        """Append an `inputs_read` event, which no other event goes before."""
        return self._append(event)

    def end(self, event: Event, exit_status: int | None) -> None:
        """Append the last event; where there is no room for it, note in the file that the process ended.

        Args:
            event: the `trace_end`.
            exit_status: the exit status of the process, where it is known.
        """
        with self._lock:
            dropped = self.dropped
            for _ in range(END_ATTEMPTS):
                self._failed_until = 0.0  # the last chance: somebody may have removed the folder a moment ago
                self.append(event)
                fd = self._fd
                self.flush()
                if self._fd == fd:
                    break  # else its file was removed, and another one begun
            if self.dropped > dropped:
                self._ended, self._exit_status = True, exit_status
                self._note_losses()

    def _append(self, event: Event, before: Event | None = None) -> str:
        """Append an event; `before` goes into the same write."""
        with self._lock:
            if self._written >= self._full_at or monotonic() >= self._check_at:
                self._check_file()
            while True:
                seq = self._next
                self._new_media = []
                first = b"" if before is None else self._line(before, seq)
                line = self._line(event, seq if before is None else seq + 1)
                if self._commit(seq, first + line if first else line, 1 + (before is not None)):
                    self._media.update(self._new_media)
                    event_id: str = event["event_id"]
                    return event_id

    def _check_file(self) -> None:
        """Begin a segment where the file was removed, or is full."""
        if monotonic() >= self._check_at:
            plain = self._buffer_size <= 1 and not self._torn and not self._locks_all
            self._check_at = monotonic() + CHECK_SECONDS if plain else 0.0
            if folders.is_removed(self._fd):
                self._open_segment(removed=True)
        if self._written >= self._full_at:
            self._open_segment()

    def _line(self, event: Event, seq: int) -> bytes:
        """Return the line of an event, which gets this number; for one that JSON refuses, the part that it accepts."""
        event["seq"] = seq
        event["event_id"] = f"{self.prefix}{seq + 1}"
        try:
            line = dumps(event, self._to_plain, _DUMPS)
        except TypeError:
            line = dumps(without_payload(event), None, _DUMPS)
        return line if self._buffer_size > 1 else self._signed(line)

    def _to_plain(self, value: Any) -> Any:
        """Return a value that JSON refuses in a form that it accepts.

        Raises:
            TypeError: there is none.
        """
        if type(value) is MediaText and self.stores_media:
            is_known = value.digest in self._media or value.digest in self._new_media
            if not is_known:
                self._new_media.append(value.digest)
            return to_json(value, is_known=is_known)
        for kind in _SUBCLASSED:
            if isinstance(value, kind):
                return str.__str__(value) if kind is str else kind(value)
        raise TypeError

    def _signed(self, line: bytes) -> bytes:
        """Return a line, signed for the segment that is written now."""
        return line if self._sign is None else self._sign(line)

    def flush(self) -> None:
        """Hand the events that wait in the buffer to the kernel, and make sure that their file is still there."""
        with self._lock:
            if self._buffer:
                lines, self._buffer = self._buffer, []
                data = (b"\n" if self._torn else b"") + b"".join(map(self._signed, lines))
                self._finish(data, 0, len(lines))
            if folders.is_removed(self._fd):
                self._open_segment(removed=True)

    def close(self) -> None:
        """Flush and close the segment; a later `append` would open the next one."""
        with self._lock:
            self.flush()
            folders.close_segment(self._fd)
            self._fd, self._full_at = -1, 0

    def hold_the_gil(self) -> None:
        """Write without releasing the GIL from now on, because the process starts a second thread.

        Beside a thread that computes, each event would wait a switch interval (5 ms) after `os.write` to get it back.
        """
        if self._libc_write is None:
            self._libc_write = load_libc_write()
            if self._libc_write is None:
                self._locks_all, self._check_at = True, 0.0

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
            self._refused(data, read_libc_error(), events)
            return
        try:
            while written < len(data):
                self._torn = self._torn or written > 0
                written += write(self._fd, data[written:])
        except OSError as error:
            there = data[:written]
            self._torn = self._torn and not there.endswith(b"\n")
            self._check_at = 0.0  # the next line begins with a line feed, which `_commit` adds
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
        self._media.clear()  # what was dropped may have held them
        self._new_media = []
        if self._fd >= 0:  # where there is no segment, that was reported already
            self._error = error.errno or 0
            self._note_losses()
            self._warn(f"recording stopped: {error.strerror or error}")

    def _opened_again(self, error: OSError) -> bool:
        """Open the segment again if the program has closed it; raises what a signal handler of the program raised."""
        if error.errno is None:  # such as the TimeoutError of an alarm
            raise error
        if error.errno == errno.EBADF and self._fd >= 0:
            with suppress(OSError):
                self._fd = folders.reopen_segment(self._path)
                return True
        return False

    def _note_losses(self) -> None:
        """Note in the file how many events were dropped, so that it is known even if there is never room again."""
        note = None
        while note is None or note.dropped != self.dropped:  # a signal handler has dropped events meanwhile
            note = LossNote(self.dropped, self._next, self._error, self._ended, self._exit_status)
            write_note(self._path, self._fd, self._header_bytes, note)

    def _open_segment(self, *, removed: bool = False) -> None:
        """Begin the next segment; keep the old one when that fails.

        Events that a signal handler emits meanwhile go to the old segment; where there is none, they wait for the new
        one. So the header is always the first line.

        Args:
            removed: whether the file of the current segment was removed; then the segment is begun anew.
        """
        if self._opening or monotonic() < self._failed_until:
            return
        self._opening = True
        seq = self._next
        if self._fd < 0:  # the first segment: events emitted meanwhile come after its header
            self._next = seq + 1
        try:
            self.flush()
            fd, process, segment = self._create(removed=removed)
            path = segment_path(self.first, process, segment)
            try:
                header, size = self._write_header(fd, process, segment, seq, removed=removed)
            except OSError:  # an empty file, or half a header, would only be in the way
                os.unlink(path)
                os.close(fd)
                self.dropped += self._fd >= 0
                raise
            sign = None if self._key is None else line_signer(self._key, process, segment)
            old, self._fd, self._sign, self._torn = self._fd, fd, sign, False
            self._path, self._header_bytes, self._media = path, header, set()
            self.process, self.segment, self.prefix = process, segment, _prefix(process)
            self._full_at = self._written + self._segment_size
            self._written += size
            folders.close_segment(old)
            if removed:
                self._warn("the trace file was removed or replaced, which lost events")
            linked = self._first_process and self._link_latest
            folders.tidy(self.first, self.process, self.segment, self._rotate_keep, linked=linked)
        except OSError as error:
            if error.errno is None:  # as in `_opened_again`
                raise
            self.dropped += self._fd < 0  # the header, as above: its number is missing now
            self._failed_until = monotonic() + 1.0
            self._warn(f"recording stopped: {error.strerror or error}")
        finally:
            self._opening = False
            early, self._early = self._early, []
            for line in early:
                self._finish(self._signed(line), 0)

    def _create(self, *, removed: bool) -> tuple[int, int, int]:
        """Create the file of the next segment; return its descriptor and the numbers of its process and segment."""
        # Only the folder of the settings is ours: one that the user names with -o may belong to the repository.
        make = folders.make_trace_folder if self._link_latest else folders.make_private_folder
        make(self.first.parent)
        if self.segment < 0 and (self._joins or not self._first_process):
            fd, process = folders.claim_process(self.first, 0 if self._first_process else self.process + 1)
            self.process, self.prefix = process, _prefix(process)
            return fd, process, 0
        segment = self.segment if removed else self.segment + 1
        while True:
            try:
                return folders.create_segment(self.first, self.process, segment), self.process, segment
            except FileExistsError:
                if not removed:
                    raise
                if self.process and not folders.begins_with(self._path, self._header_bytes):
                    # Not a copy of the removed file: another process has taken the number that became free.
                    return *folders.claim_process(self.first, self.process + 1), 0
                segment += 1

    def _write_header(
        self, fd: int, process: int, segment: int, seq: int, *, removed: bool
    ) -> tuple[bytes, int]:
        """Write the header of a segment, with a number taken as in `_commit`.

        Returns:
            The header without the room after it, and the size of its line.

        Raises:
            OSError: the file system refuses.
        """
        event = self._header(process, segment, seq)
        metadata = event.setdefault("metadata", {})
        while True:
            if self._fd >= 0:
                seq = self._next
            event["seq"], event["event_id"] = seq, f"{_prefix(process)}{seq + 1}"
            metadata["first_seq"] = seq
            if removed:
                metadata["file_removed"] = True
            header = dumps(event)
            if self._key is not None:
                header = line_signer(self._key, process, segment)(header + b"\n")[:-1]
            line = add_room(header)
            if self._fd < 0:
                break
            if seq == self._next:
                self._next = seq + 1
                break
        written = 0
        while written < len(line):
            written += write(fd, line[written:])
        return header, len(line)

    def _warn(self, what: str) -> None:
        if self._warned:
            return
        self._warned = True
        text = f"namel3ss debug: {what}: {self.first}; the program goes on\n"
        with suppress(OSError):
            os.write(2, text.encode(errors="replace"))


def _prefix(process: int) -> str:
    """Return what the event ids of a process begin with."""
    return f"p{process}." if process else ""


def load_libc_write() -> LibcWrite | None:
    """Return `write` of the C library, called without releasing the GIL; `None` where it cannot be loaded."""
    try:
        import ctypes  # only programs with threads pay for it

        function: Any = ctypes.PyDLL(None, use_errno=True).write
    except (ImportError, OSError, AttributeError):
        return None
    function.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t)
    function.restype = ctypes.c_ssize_t
    call: LibcWrite = function
    return call


def read_libc_error() -> OSError:
    """Return the error of the last call of the C library in this thread."""
    import ctypes  # only after such a call

    return OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def flush_on_exit(writer: TraceWriter) -> None:
    """Make sure that a buffer is flushed at exit and on SIGTERM; needed only where there is a buffer.

    A handler for SIGTERM is only installed where the program has kept the default. After flushing, it lets the signal
    end the process, as it would have without the handler.
    """
    atexit.register(writer.flush)

    def flush_and_die(number: int, _frame: FrameType | None) -> None:
        writer.flush()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    if (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    ):
        signal.signal(signal.SIGTERM, flush_and_die)
