"""The ring: where a burst of events stands, safe from a kill, until it is written to its segment.

A write to a file costs more than making the event does. While events come fast, the writer therefore copies
each to memory that it shares with a hidden file beside the segment, and writes many at once. The kernel keeps such pages
whatever becomes of the process, so an event is as safe there as after a write. Whoever opens the recording of a
process that died brings what was left there into the segment (`complete`); while the process lives, or where the
folder may not be written to, a reader takes it from there (`Remainder`).

The file: a page with four numbers of 64 bits (a mark, `base`, `head`, and a length) and as many bytes of the
beginning of the segment, which tell that the two belong together; then `SIZE` bytes of events. `base` is the offset in
the segment at which the first of these bytes belongs, `head` that behind the last event. What the segment holds is the
truth: of the ring only the bytes from the end of the segment to `head` count, and none where `base` is behind that end.
"""

from __future__ import annotations

import fcntl
import os
import stat
import struct
import sys
from collections.abc import Callable
from os import write
from pathlib import Path

SIZE = 256 * 1024
"""Bytes of events that a ring holds."""

BEGINS = 256
"""How much of the beginning of its segment a ring repeats, at most."""

SAFE = frozenset({"ext2", "ext3", "ext4", "xfs", "tmpfs", "overlay"})
"""File systems on which reading sees what a mapping holds, and a store to space once written cannot fail."""

FIRST = 4096
LAST = FIRST + SIZE
"""Where events begin in the file, and where they end."""

CLOSED = sys.maxsize // 2
"""The place in a ring that is no longer in use: nothing fits behind it."""

MARK, BASE, HEAD, LENGTH = range(4)
_MAGIC = int.from_bytes(b"\xffn3ring1", "little")
_NUMBERS = struct.Struct("=4Q")

_file_systems: dict[int, str] = {}


class Ring:
    """The writer's half: its own ring, which no other process writes to.

    The writer puts events into it itself, in the middle of its hot path: `view[at:end] = line`, then `marks[HEAD]`,
    which commits the event in one store, then `at`.

    Attributes:
        view: the shared memory.
        marks: its first page as numbers.
        at: where in `view` the next event begins; `CLOSED` when the ring is no longer used.
        base: the offset in the segment of what stands first in the ring.
        room: up to where events are put without asking whether it is time to spill.
        due: the monotonic time from which on it is.
        spilled: how many bytes went through the ring before what stands in it now.
    """

    __slots__ = ("_partly", "_path", "_turn", "at", "base", "due", "marks", "room", "spilled", "view")

    def __init__(self, path: Path, descriptor: int, begins: bytes) -> None:
        import mmap  # noqa: PLC0415  (only a burst needs it)

        self._path: str | None = str(path)
        self.view = mmap.mmap(descriptor, LAST)
        self.marks = memoryview(self.view)[:FIRST].cast("Q")
        self.view[_NUMBERS.size : _NUMBERS.size + len(begins)] = begins
        self.marks[LENGTH] = len(begins)
        self.at = self.room = FIRST
        self.base = self.spilled = 0
        self.due = 0.0
        self._partly = False  # whether some of what stands in it may be in the segment already
        self._turn = 0

    def begin(self, base: int) -> None:
        """Let the ring stand for what follows the byte `base` of its segment."""
        self.base = base
        self.marks[BASE] = self.marks[HEAD] = base
        self.marks[MARK] = _MAGIC

    def spill(
        self, segment: int, libc_write: Callable[[int, bytes, int], int] | None, *, last: bool = False
    ) -> bool:
        """Write what stands in the ring to its segment, and make room.

        A signal handler or a finalizer may emit, and spill, after any call in here. Python runs neither between a
        comparison and the system call or the stores that follow it; `_turn` tells whether one has spilled before.

        Args:
            segment: the descriptor of the segment.
            libc_write: `write` of the C library, to be used instead of `os.write`.
            last: whether the ring is not used any more after that.

        Returns:
            Whether nothing is left; otherwise the C library's `errno` says why.

        Raises:
            OSError: the file system refuses.
        """
        while self.at != CLOSED:
            turn, at = self._turn, self.at
            end = os.fstat(segment).st_size
            done = FIRST + end - self.base
            if done != FIRST and not (self._partly and done <= at):
                self._move(turn, at, end)
            elif done == at:
                if turn == self._turn and at == self.at:
                    self._turn = turn + 1
                    self.marks[BASE] = self.base = end
                    self.spilled += at - FIRST
                    self.at = CLOSED if last else FIRST
                    self._partly = False
                    return True
            else:
                data = memoryview(self.view)[done:at]
                size = len(data)
                copy = b"" if libc_write is None else bytes(data)
                if turn == self._turn:
                    self._turn = turn + 1
                    self._partly = True
                    written = write(segment, data) if libc_write is None else libc_write(segment, copy, size)
                    if written <= 0:
                        return False
        return True

    @property
    def passed(self) -> int:
        """How many bytes were put into it."""
        at = self.at
        return self.spilled if at == CLOSED else self.spilled + at - FIRST

    def abandon(self) -> int:
        """Do not use it any more, though something may still stand in it; the bytes that were put into it."""
        passed, self.at = self.passed, CLOSED
        return passed

    def discard(self) -> None:
        """Remove the file; the memory goes when the last that may still look at it has let go."""
        path, self._path = self._path, None
        if path is not None:  # else another one may stand there by now
            try:
                os.unlink(path)
            except OSError:
                pass

    def _move(self, turn: int, at: int, end: int) -> None:
        """Somebody has cut or added to the segment: nothing that stands in the ring is in it, so it belongs behind."""
        head = end + at - FIRST
        if turn == self._turn and at == self.at:
            self._turn = turn + 1
            self.marks[HEAD] = 0
            self.marks[BASE] = self.base = end
            self.marks[HEAD] = head
            self._partly = False


class ForeignRingError(Exception):
    """What stands where a ring would stand is none, or is that of another recording, or damaged."""


class Remainder:
    """The reader's half: what a ring holds that its segment does not, also while the writer goes on.

    Args:
        descriptor: of the ring's file; closed by `close`.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def behind(self, position: int) -> bytes:
        """The committed bytes of the segment from the offset `position` on; empty where they do not begin here."""
        while True:
            _, base, head, _ = self._numbers()
            if not base <= position < head <= base + SIZE:
                return b""
            data = os.pread(self._descriptor, head - position, FIRST + position - base)
            if self._numbers()[BASE] == base:  # else the writer has spilled meanwhile, and put others there
                return data

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)

    def check(self, segment: int) -> bool:
        """Whether the ring was ever begun.

        Args:
            segment: the descriptor of the segment it should belong to.

        Raises:
            ForeignRingError: it does not, or is damaged.
        """
        if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
            raise ForeignRingError("it is not a regular file")
        mark, base, head, length = self._numbers()
        if not mark:
            return False
        if mark != _MAGIC or length > BEGINS:
            raise ForeignRingError("it is not one of ours")
        begins = os.pread(self._descriptor, length, _NUMBERS.size)
        if os.pread(segment, length, 0) != begins:
            raise ForeignRingError("it belongs to another recording")
        if head > base + SIZE and self._numbers() == (mark, base, head, length):  # at rest, not being moved
            raise ForeignRingError("it is damaged")
        return True

    def _numbers(self) -> tuple[int, int, int, int]:
        data = os.pread(self._descriptor, _NUMBERS.size, 0)
        mark, base, head, length = _NUMBERS.unpack(data.ljust(_NUMBERS.size, b"\0"))
        return mark, base, head, length


def ring_path(segment: Path) -> Path:
    """Where the ring of a segment stands."""
    return segment.with_name(f".{segment.name}.ring")


def segment_of(ring: Path) -> Path | None:
    """The segment of a ring, by its name; `None` for any other name."""
    name = ring.name
    return ring.with_name(name[1:-5]) if name.startswith(".") and name.endswith(".ring") else None


def create(segment: Path, descriptor: int, begins: bytes) -> Ring | None:
    """Make a ring for a segment; `None` where the file system is not known to be safe, or refuses.

    Args:
        segment: the path of the segment.
        descriptor: of the segment.
        begins: its first bytes, at most `BEGINS`.
    """
    path = ring_path(segment)
    try:
        if _file_system(os.fstat(descriptor).st_dev) not in SAFE:
            return None
        ring = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            made = os.write(ring, bytes(LAST)) == LAST  # a full disk is told now, and not by a signal later
            return Ring(path, ring, begins) if made else None
        except BaseException:
            made = False
            raise
        finally:
            os.close(ring)
            if not made:
                os.unlink(path)
    except OSError as error:
        if error.errno is None:  # a signal handler of the program has raised it
            raise
        return None
    except (ValueError, ImportError):
        return None


def open_remainder(segment: Path, descriptor: int) -> Remainder | None:
    """The ring of a segment, opened for reading; `None` when there is none. Open it before reading the segment.

    Args:
        segment: the path of the segment.
        descriptor: of the segment, opened for reading.

    Raises:
        ForeignRingError: what stands there does not belong to the segment.
    """
    try:
        ring = os.open(ring_path(segment), os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None
    remainder = Remainder(ring)
    try:
        if remainder.check(descriptor):
            return remainder
    except OSError as error:
        remainder.close()
        raise ForeignRingError(error.strerror or str(error)) from error
    except ForeignRingError:
        remainder.close()
        raise
    remainder.close()
    return None


def complete(segment: Path) -> None:
    """Bring what a writer that has died left in its ring into the segment, and remove the ring.

    Nothing is done where somebody still writes, or where the segment may not be written to; whoever reads it then
    takes the rest from the ring. The time of the last change stays that of the writer.
    """
    try:
        if not os.path.lexists(ring_path(segment)):
            return
        descriptor = os.open(segment, os.O_RDWR | os.O_APPEND | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (OSError, ValueError):
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        state = os.fstat(descriptor)
        rest = _rest(segment, descriptor)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.utime(descriptor, ns=(state.st_atime_ns, state.st_mtime_ns))
        remove_ring(segment)
    except (OSError, ForeignRingError):
        pass
    finally:
        os.close(descriptor)


def holds_more(segment: Path) -> bool:
    """Whether the ring of a segment holds events that the segment does not."""
    try:
        if not os.path.lexists(ring_path(segment)):
            return False
        descriptor = os.open(segment, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return False
    try:
        return bool(_rest(segment, descriptor))
    except (OSError, ForeignRingError):
        return False
    finally:
        os.close(descriptor)


def _rest(segment: Path, descriptor: int) -> bytes:
    remainder = open_remainder(segment, descriptor)
    if remainder is None:
        return b""
    try:
        return remainder.behind(os.fstat(descriptor).st_size)
    finally:
        remainder.close()


def remove_ring(segment: Path) -> None:
    """Remove the ring of a segment that is removed; anything else under that name stays."""
    path = ring_path(segment)
    try:
        ring = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (OSError, ValueError):
        return
    try:
        state = os.fstat(ring)
        begun = os.pread(ring, 8, 0)
        if stat.S_ISREG(state.st_mode) and begun in (b"", bytes(8), _MAGIC.to_bytes(8, sys.byteorder)):
            os.unlink(path)
    except OSError:
        pass
    finally:
        os.close(ring)


def _file_system(device: int) -> str:
    """The type of the file system on a device, as the kernel names it; empty where it does not say."""
    known = _file_systems.get(device)
    if known is None:
        number = f"{os.major(device)}:{os.minor(device)}"
        known = ""
        with Path("/proc/self/mountinfo").open(encoding="utf-8", errors="replace") as mounts:
            for line in mounts:
                mount, _, source = line.partition(" - ")
                if mount.split()[2] == number:
                    known = source.split()[0]
        _file_systems[device] = known
    return known


def comes_fast(before: tuple[int, float], now: tuple[int, float], rate: float) -> bool:
    """Whether from one number to another, each with its time, there were more than `rate` a second."""
    return now[0] - before[0] > rate * (now[1] - before[1])
