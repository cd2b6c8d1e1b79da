"""Relay the output of a program to the user, and hold it back while a guess may still be wrong.

A re-run may have to be restarted. The user sees the output of one run, byte for byte: output that was already shown is
left out when it is repeated, and output that is held back is discarded with the run that printed it.

If the user's stream is a terminal, the program gets one as well, of the same size. If stdout and stderr lead to the
same place, they share one stream, which keeps their order.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import tempfile
import termios
import threading
import tty
import zlib
from collections.abc import Iterator
from typing import IO, Final, NamedTuple

PATIENCE_SECONDS: Final = 5.0
"""How long to wait for output after the program's end, while a process that it started still holds the stream."""

_BLOCK = 1 << 16
_IN_MEMORY = 1 << 20


class OutputEnds(NamedTuple):
    """The descriptors that a program gets for stdout and stderr; None for those of this process."""

    stdout: int | None
    stderr: int | None


class OutputRelay:
    """The streams for stdout and stderr.

    Args:
        stdout: where stdout leads; None for a stream that is not relayed.
        stderr: the same for stderr.

    Attributes:
        differs: whether a run printed something else than an earlier one that was already shown.
    """

    def __init__(self, stdout: int | None, stderr: int | None) -> None:
        self._out = _make_stream(stdout)
        shared = stdout is not None and stderr is not None and _same(stdout, stderr)
        self._err = self._out if shared else _make_stream(stderr)
        self._streams = [
            stream for stream in (self._out, None if shared else self._err) if stream is not None
        ]
        self._early_ends: OutputEnds | None = None
        self.differs = False

    def open_early(self) -> OutputEnds:
        """Open the streams for a run that may begin later; their output is held back until it is settled."""
        self._early_ends = self._open()
        self.hold()
        return self._early_ends

    def _open(self) -> OutputEnds:
        out = None if self._out is None else self._out.open()
        if self._err is None or self._err is self._out:
            return OutputEnds(out, out if self._err is not None else None)
        return OutputEnds(out, self._err.open())

    @contextlib.contextmanager
    def run(self) -> Iterator[OutputEnds]:
        """Open the streams for a run, and yield the program's descriptors, which `started` closes."""
        ends, self._early_ends = self._early_ends or self._open(), None
        try:
            yield ends
        finally:
            self.started()
            for stream in self._streams:
                stream.finish()

    def started(self) -> None:
        """Close the program's descriptors in this process, once the program has them."""
        for stream in self._streams:
            stream.close_program_end()

    def hold(self) -> None:
        """Hold back the output of this run from now on."""
        for stream in self._streams:
            stream.hold()

    def settle(self, *, shown: bool) -> None:
        """Show or discard the output that is held back, once it is known whether the run counts."""
        for stream in self._streams:
            stream.settle(shown=shown)
            self.differs = self.differs or stream.differs


class _Stream:
    """One stream from the program to a descriptor."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._lock = threading.Lock()
        self._buffer: IO[bytes] | None = None
        self._shown = 0
        self._checksum = 0  # of the output that was shown
        self._received = 0  # bytes of this run
        self._repeated_checksum = 0  # of the part of this run that repeats it
        self._thread: threading.Thread | None = None
        self._program_end = -1
        self._closed = False
        self.differs = False

    def open(self) -> int:
        """Open the stream for a run, and return the program's descriptor."""
        with self._lock:
            self._received = self._repeated_checksum = 0
        source, self._program_end = _terminal(self._target) if os.isatty(self._target) else os.pipe()
        self._thread = threading.Thread(target=self._pass_on, args=(source,), daemon=True)
        self._thread.start()
        return self._program_end

    def close_program_end(self) -> None:
        if self._program_end >= 0:
            os.close(self._program_end)
            self._program_end = -1

    def hold(self) -> None:
        with self._lock:
            if self._buffer is None:
                self._buffer = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115  (`settle` closes it)

    def finish(self) -> None:
        """Read the rest of the output after the program has ended."""
        if self._thread is not None:
            self._thread.join(PATIENCE_SECONDS)
        with self._lock:
            self.differs = self.differs or self._received < self._shown

    def settle(self, *, shown: bool) -> None:
        with self._lock:
            if self._buffer is None:
                return
            with self._buffer as buffer:
                buffer.seek(0)
                while shown and (block := buffer.read(_BLOCK)):
                    self._show(block)
            self._buffer = None

    def _pass_on(self, source: int) -> None:
        try:
            while (block := _read(source)) and not self._closed:
                with self._lock:
                    self._take(block)
        finally:
            os.close(source)  # a program that still prints then gets SIGPIPE, as without a relay

    def _take(self, block: bytes) -> None:
        # After a restart, the program prints again what was shown already: compare that, and relay only the rest.
        before = max(self._shown - self._received, 0)
        repeated, block = block[:before], block[before:]
        if repeated:
            self._repeated_checksum = zlib.crc32(repeated, self._repeated_checksum)
            if len(repeated) == before and self._repeated_checksum != self._checksum:
                self.differs = True
        self._received += len(repeated) + len(block)
        if block and self._buffer is not None:
            self._buffer.write(block)
        elif block:
            self._show(block)

    def _show(self, block: bytes) -> None:
        self._shown += len(block)
        self._checksum = zlib.crc32(block, self._checksum)
        view = memoryview(block)
        try:
            while view and not self._closed:
                try:
                    view = view[os.write(self._target, view) :]
                except BlockingIOError:  # the terminal is non-blocking, and its reader slow
                    select.select([], [self._target], [])
        except OSError:
            self._closed = True


def _make_stream(target: int | None) -> _Stream | None:
    try:
        return None if target is None else _Stream(_open(target))
    except OSError:  # our caller has closed it
        return None


def _open(target: int) -> int:
    os.fstat(target)
    return target


def _same(one: int, other: int) -> bool:
    """Return whether two descriptors lead to the same place."""
    try:
        first, second = os.fstat(one), os.fstat(other)
    except OSError:
        return False
    return (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino)


def _read(source: int) -> bytes:
    try:
        return os.read(source, _BLOCK)
    except OSError as error:
        if error.errno == errno.EIO:  # on Linux, the end of a terminal is an error
            return b""
        raise


def _terminal(like: int) -> tuple[int, int]:
    """Open a terminal of the same size as another, in raw mode, and return our descriptor and the program's."""
    ours, theirs = os.openpty()
    with contextlib.suppress(OSError, termios.error):
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, fcntl.ioctl(like, termios.TIOCGWINSZ, b"\0" * 8))
        tty.setraw(theirs)
    return ours, theirs
