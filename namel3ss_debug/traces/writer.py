"""The one place that writes events: a line in the kernel before the call returns, and no lost or glued lines.

Each process writes files of its own, opened `O_APPEND | O_EXCL`, mode 0600, so that no two processes ever share
one. With the default buffer of one event a line is handed to the kernel as one write before `append`
returns: a killed process loses nothing. What cannot be written is counted, said once on stderr, and never
reaches the program as an exception. A line is numbered (`seq`) here, under the lock, so that a gap in the
numbers is a loss.
"""

from __future__ import annotations

import atexit
import fcntl
import itertools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from os import write
from pathlib import Path
from types import FrameType
from typing import Any

from orjson import OPT_APPEND_NEWLINE, dumps

from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.names import LATEST, OWN_NAME, segment_path

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
_DUMPS = OPT_APPEND_NEWLINE


class TraceWriter:
    """Appends the events of this process to its own segments.

    Args:
        first: the path of the first segment of the trace's first process.
        first_process: whether this process is that one; any other claims the next free `.p<n>` when it
            first has something to write.
        header: makes the `trace_start` event of a segment from its process number, segment number and seq.
        buffer_size: how many events may wait; 1 writes each before `append` returns.
        flush_interval: seconds an event may wait in a buffer.
        rotate_max_bytes: begin a new segment when this one has grown so large; 0 never.
        rotate_keep: how many segments to keep; 0 all.
        link_latest: keep `trace_latest.jsonl` beside the file pointing to it.
    """

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
    ) -> None:
        self.first = first
        self.events = 0
        self.bytes = 0
        self.dropped = 0
        self.process = 0
        self.segment = -1
        self.prefix = ""
        self._first_process = first_process
        self._header = header
        self._buffer_size = buffer_size
        self._buffered = buffer_size > 1
        self._flush_interval = flush_interval
        self._segment_size = rotate_max_bytes or sys.maxsize
        self._rotate_keep = rotate_keep
        self._link_latest = link_latest
        self._libc_write: Callable[[int, bytes, int], int] | None = None
        self._warned = False
        self.generation = 0
        self._reset()

    def _reset(self) -> None:
        """The state a process starts with; after a fork the child calls it."""
        self._lock = threading.RLock()
        self._next = 0
        self._fd = -1
        self._full_at = 0  # the value of `bytes` at which the next segment begins
        self._opening = False
        self._failed_until = 0.0
        self._torn = False
        self._early: list[bytes] = []
        self._buffer: list[bytes] = []
        self._flusher: threading.Thread | None = None

    @property
    def started(self) -> bool:
        """Whether this process has begun a segment."""
        return self.segment >= 0

    def begin(self) -> None:
        """Begin the first segment now, so that there is a recording even when nothing happens."""
        with self._lock:
            if self._fd < 0:
                self._open_segment()

    def append(self, event: Event) -> str:
        """Number the event, write it, and return its id.

        The keys `event_id` and `seq` must already stand in `event`; their values are set here. Never raises
        for what the file system does: an event that cannot be written is counted in `dropped`. Of an event that
        JSON refuses, what it takes is written.
        """
        with self._lock:
            if self.bytes >= self._full_at:
                self._open_segment()
            while True:
                seq = self._next
                event["seq"] = seq
                event["event_id"] = event_id = self.prefix + str(seq + 1)
                try:
                    line = dumps(event, None, _DUMPS)
                except TypeError:
                    line = _without_payload(event)
                if self._commit(seq, line):
                    return event_id

    def flush(self) -> None:
        """Hand everything that waits in the buffer to the kernel."""
        with self._lock:
            if self._buffer:
                lines, self._buffer = self._buffer, []
                data = (b"\n" if self._torn else b"") + b"".join(lines)
                self._finish(data, 0, len(lines))

    def close(self) -> None:
        """Flush and close the segment; a later `append` would open the next one."""
        with self._lock:
            self.flush()
            if self._fd >= 0:
                if os.fstat(self._fd).st_nlink == 0:
                    self._warn("the recording was removed while it was written")
                os.close(self._fd)
                self._fd, self._full_at = -1, 0

    def hold_the_gil(self) -> None:
        """Write without giving the GIL away from now on; called when the process starts a second thread.

        `os.write` releases the GIL, and beside one CPU-bound thread each event would then wait a switch interval
        (5 ms) to get it back. The same system call through `ctypes.PyDLL` keeps it.
        """
        if self._libc_write is None:
            self._libc_write = _libc_write()

    def before_fork(self) -> None:
        """Take the lock with nothing waiting in the buffer, so that the child starts from a clean state."""
        self._lock.acquire()
        self.flush()

    def after_fork_in_parent(self) -> None:
        """Go on as before."""
        self._lock.release()

    def after_fork_in_child(self) -> None:
        """Become the writer of a further process, which opens its own file when it has something to write."""
        if self._fd >= 0:
            os.close(self._fd)
        self._reset()
        self.generation += 1
        self._first_process = False
        self.events = self.bytes = self.dropped = 0
        self.process, self.segment, self.prefix = 0, -1, ""

    def _commit(self, seq: int, line: bytes) -> bool:
        """Take the number and write the line; `False` where the number was taken meanwhile.

        A signal handler or a finalizer of this very thread may emit in the middle of another emit, and take the
        number. Python only runs them after a call or a jump back; from the comparison to the system call there is
        neither, so the lines stand in the order of their numbers.
        """
        if self._buffered:
            return self._wait(seq, line)
        if self._torn:
            line = b"\n" + line
        fd, libc, size = self._fd, self._libc_write, len(line)
        try:
            if seq != self._next:
                return False
            self._next = seq + 1
            written = write(fd, line) if libc is None else libc(fd, line, size)
        except OSError as error:
            self._refused(line, error)
            return True
        if written != size:
            self._finish(line, written)
            return True
        self._torn = False
        self.events += 1
        self.bytes += size
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
            time.sleep(self._flush_interval)
            self.flush()

    def _finish(self, data: bytes, written: int, events: int = 1) -> None:
        """Write what is left of whole lines; after an error remember that a line is torn."""
        if written < 0:  # what the C library says of an error
            self._refused(data, _last_error(), events)
            return
        try:
            while written < len(data):
                self._torn = self._torn or written > 0
                written += write(self._fd, data[written:])
        except OSError as error:
            self._refused(data, error, events)
            return
        self._torn = False
        self.events += events
        self.bytes += written

    def _refused(self, data: bytes, error: OSError, events: int = 1) -> None:
        """Count what could not be written; what is emitted while the first segment begins waits for it."""
        if self._fd < 0 and self._opening:
            self._early.append(data)
            return
        self.dropped += events
        if self._fd >= 0:  # where there is no segment, that was told already
            self._warn(error.strerror or str(error))

    def _open_segment(self) -> None:
        """Begin the next segment; keep the old one when that fails.

        What a signal handler emits meanwhile goes to the old segment; where there is none, it waits for the new
        one. So the header is always the first line.
        """
        if self._opening or time.monotonic() < self._failed_until:
            return
        self._opening = True
        seq = self._next
        if self._fd < 0:  # the first segment: whatever is emitted meanwhile comes behind its header
            self._next = seq + 1
        try:
            self.flush()
            fd = self._create()
            fcntl.flock(fd, fcntl.LOCK_SH)  # tells `clean` that somebody still writes here
            self.segment += 1
            try:
                written, header = self._write_header(fd, seq)
            except OSError:
                os.close(fd)
                raise
            old, self._fd, self._torn = self._fd, fd, written < header
            self._full_at = self.bytes + self._segment_size
            self.events += 1
            self.bytes += written
            if old >= 0:
                os.close(old)
            self._tidy()
        except OSError as error:
            self.dropped += self._fd < 0  # the header, whose number is missing now
            self._failed_until = time.monotonic() + 1.0
            self._warn(error.strerror or str(error))
        finally:
            self._opening = False
            early, self._early = self._early, []
            for line in early:
                self._finish(line, 0)

    def _create(self) -> int:
        segment = self.segment + 1
        make_private_folder(self.first.parent)
        if self._first_process or segment:
            return os.open(segment_path(self.first, self.process, segment), _FLAGS, 0o600)
        for process in itertools.count(self.process + 1):
            try:
                fd = os.open(segment_path(self.first, process, 0), _FLAGS, 0o600)
            except FileExistsError:
                continue
            self.process, self.prefix = process, f"p{process}."
            return fd
        raise AssertionError

    def _write_header(self, fd: int, seq: int) -> tuple[int, int]:
        """Write the header of a segment, under a number that is taken as in `_commit`; bytes written and wanted."""
        event = self._header(self.process, self.segment, seq)
        while True:
            if self._fd >= 0:
                seq = self._next
            event["seq"], event["event_id"] = seq, f"{self.prefix}{seq + 1}"
            event.setdefault("metadata", {})["first_seq"] = seq
            line = dumps(event, None, _DUMPS)
            size = len(line)
            if self._fd < 0:
                return write(fd, line), size
            if seq == self._next:
                self._next = seq + 1
                return write(fd, line), size

    def _tidy(self) -> None:
        """Keep the link to the newest trace, and remove the segments that `rotate_keep` says to."""
        oldest = self.segment - self._rotate_keep + 1 if self._rotate_keep else 0
        if self._first_process and self._link_latest and (self.segment == 0 or oldest > 0):
            link_latest(segment_path(self.first, 0, max(oldest, 0)))
        if oldest > 0:
            try:
                os.unlink(segment_path(self.first, self.process, oldest - 1))
            except FileNotFoundError:
                pass

    def _warn(self, reason: str) -> None:
        if self._warned:
            return
        self._warned = True
        text = f"namel3ss debug: recording stopped: {reason}: {self.first}; the program goes on\n"
        try:
            os.write(2, text.encode(errors="replace"))
        except OSError:
            pass


def make_private_folder(folder: Path) -> None:
    """Make a folder and those above it that are missing, readable for its owner alone (mode 0700).

    Raises:
        OSError: it cannot be made.
    """
    if not folder.is_dir():
        make_private_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def link_latest(path: Path) -> None:
    """Point the relative link `trace_latest.jsonl` beside `path` to it, in one step."""
    link, temporary = path.with_name(LATEST), path.with_name(f".{LATEST}.{os.getpid()}")
    try:
        os.symlink(path.name, temporary)
        os.replace(temporary, link)
    except OSError:
        pass  # a file system without links: `latest` is then found by name


def is_own_name(path: Path) -> bool:
    """Whether we, not the user, chose the name of this first segment."""
    return OWN_NAME.match(path.name.removesuffix(".jsonl")) is not None


def flush_on_exit(writer: TraceWriter) -> None:
    """See to it that a buffer is flushed at exit and on SIGTERM; needed only where there is a buffer.

    A handler for SIGTERM is only installed where the program left the default, and dies by the signal after it
    has flushed, as the program would have.
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


def _plain(value: object) -> str | int | float | None:
    """A scalar that JSON takes; anything else by the name of its type."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if value is None or isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**63):
        return value
    return type(value).__name__


def _libc_write() -> Callable[[int, bytes, int], int] | None:
    """`write` of the C library, called without giving the GIL away; -1 on an error."""
    try:
        import ctypes  # noqa: PLC0415  (only programs with threads pay for it)

        function: Any = ctypes.PyDLL(None, use_errno=True).write
    except (ImportError, OSError, AttributeError):
        return None
    function.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t)
    function.restype = ctypes.c_ssize_t
    call: Callable[[int, bytes, int], int] = function
    return call


def _last_error() -> OSError:
    import ctypes  # noqa: PLC0415  (only after a call of the C library)

    return OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _without_payload(event: Event) -> bytes:
    """What can be written of an event that JSON refuses, so that no number is missing."""
    kept: Event = {key: _plain(value) for key, value in event.items() if not isinstance(value, dict | list)}
    return dumps(kept | {"metadata": {"problem": "the payload could not be written as JSON"}}, None, _DUMPS)
