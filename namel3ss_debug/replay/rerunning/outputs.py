"""What a program prints on its way to the user: passed on as it comes, or held back until it is sure that it counts.

A re-run may have to start over. The user shall see the output of one run, byte for byte: what was passed on before is
left out when it comes again, and what is held back is thrown away with the run that printed it.

Where the user's stream is a terminal, the program gets one as well, of the same size; where stdout and stderr lead to
the same place, they share one way, so that their order stays.
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
"""How long output is waited for after the program's end, where something that it started still holds the stream."""

_BLOCK = 1 << 16
_IN_MEMORY = 1 << 20


class Ends(NamedTuple):
    """The descriptors that a program gets for stdout and stderr; None for the ones of this process."""

    stdout: int | None
    stderr: int | None


class Outputs:
    """The ways of stdout and stderr.

    Args:
        stdout: where stdout leads; None for nowhere that has to be looked after.
        stderr: the same for stderr.

    Attributes:
        differs: whether a run printed something else where an earlier one had been shown already.
    """

    def __init__(self, stdout: int | None, stderr: int | None) -> None:
        self._out = _way(stdout)
        shared = stdout is not None and stderr is not None and _same(stdout, stderr)
        self._err = self._out if shared else _way(stderr)
        self._ways = [way for way in (self._out, None if shared else self._err) if way is not None]
        self._ahead: Ends | None = None
        self.differs = False

    def ahead(self) -> Ends:
        """Open the way for a run that is still to come: what a program prints on it is held back until the run is settled."""
        self._ahead = self._open()
        self.hold()
        return self._ahead

    def _open(self) -> Ends:
        out = None if self._out is None else self._out.open()
        if self._err is None or self._err is self._out:
            return Ends(out, out if self._err is not None else None)
        return Ends(out, self._err.open())

    @contextlib.contextmanager
    def run(self) -> Iterator[Ends]:
        """The way is open for a run; the descriptors are for its program, and are closed by `started`."""
        ends, self._ahead = self._ahead or self._open(), None
        try:
            yield ends
        finally:
            self.started()
            for way in self._ways:
                way.finish()

    def started(self) -> None:
        """The program has its ends: this process lets go of them."""
        for way in self._ways:
            way.let_go()

    def hold(self) -> None:
        """From now on the output of this run is held back."""
        for way in self._ways:
            way.hold()

    def settle(self, *, shown: bool) -> None:
        """What is held back is shown, or thrown away; to be called when the run is over, or comes for sure."""
        for way in self._ways:
            way.settle(shown=shown)
            self.differs = self.differs or way.differs


class _Way:
    """One stream from the program to a descriptor."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._lock = threading.Lock()
        self._held: IO[bytes] | None = None
        self._shown = 0
        self._checksum = 0  # of what was shown
        self._came = 0  # of this run
        self._again = 0  # the checksum of that part of it which this run has printed
        self._thread: threading.Thread | None = None
        self._given = -1
        self._closed = False
        self.differs = False

    def open(self) -> int:
        """Make a way for a run; the end for the program."""
        with self._lock:
            self._came = self._again = 0
        source, self._given = _terminal(self._target) if os.isatty(self._target) else os.pipe()
        self._thread = threading.Thread(target=self._pass_on, args=(source,), daemon=True)
        self._thread.start()
        return self._given

    def let_go(self) -> None:
        if self._given >= 0:
            os.close(self._given)
            self._given = -1

    def hold(self) -> None:
        with self._lock:
            if self._held is None:
                self._held = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115  (`settle` closes it)

    def finish(self) -> None:
        """The program has ended: what it has printed is taken."""
        if self._thread is not None:
            self._thread.join(PATIENCE_SECONDS)
        with self._lock:
            self.differs = self.differs or self._came < self._shown

    def settle(self, *, shown: bool) -> None:
        with self._lock:
            if self._held is None:
                return
            with self._held as held:
                held.seek(0)
                while shown and (block := held.read(_BLOCK)):
                    self._show(block)
            self._held = None

    def _pass_on(self, source: int) -> None:
        try:
            while (block := _read(source)) and not self._closed:
                with self._lock:
                    self._take(block)
        finally:
            os.close(source)  # a program that prints on when nobody listens meets what it would meet anyway

    def _take(self, block: bytes) -> None:
        before = max(self._shown - self._came, 0)
        again, block = block[:before], block[before:]
        if again:
            self._again = zlib.crc32(again, self._again)
            if len(again) == before and self._again != self._checksum:
                self.differs = True
        self._came += len(again) + len(block)
        if block and self._held is not None:
            self._held.write(block)
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
                except BlockingIOError:  # somebody has made it so, and reads slowly
                    select.select([], [self._target], [])
        except OSError:
            self._closed = True


def _way(target: int | None) -> _Way | None:
    try:
        return None if target is None else _Way(_open(target))
    except OSError:  # closed by whoever started us
        return None


def _open(target: int) -> int:
    os.fstat(target)
    return target


def _same(one: int, other: int) -> bool:
    """Whether two descriptors lead to the same place."""
    try:
        first, second = os.fstat(one), os.fstat(other)
    except OSError:
        return False
    return (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino)


def _read(source: int) -> bytes:
    try:
        return os.read(source, _BLOCK)
    except OSError as error:
        if error.errno == errno.EIO:  # the last one that had the terminal has closed it
            return b""
        raise


def _terminal(like: int) -> tuple[int, int]:
    """A terminal of the size of another: our end, and the program's; it leaves every byte as it is."""
    ours, theirs = os.openpty()
    with contextlib.suppress(OSError, termios.error):
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, fcntl.ioctl(like, termios.TIOCGWINSZ, b"\0" * 8))
        tty.setraw(theirs)
    return ours, theirs
