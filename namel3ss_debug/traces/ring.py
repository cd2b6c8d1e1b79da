"""The ring: shared memory that holds a burst of events, safe from a kill, until they are written to their segment.

Writing to a file takes longer than making the event. While events come fast, the writer therefore copies each into a
memory mapping of a hidden file beside the segment, and writes many at once. The kernel keeps such pages even if the
process is killed, so an event is as safe there as after a write. When the recording of a process that died is opened,
the events that are left in the ring are moved into the segment (`complete`); while the process lives, or where the
folder may not be written to, a reader takes them from the ring (`Remainder`).

The file: a page with four numbers of 64 bits (a mark, `base`, `head`, and a length) and as many bytes of the
beginning of the segment, which show that the two belong together; then `SIZE` bytes of events. `base` is the offset in
the segment at which the first of these bytes belongs, `head` the offset after the last event. The segment takes
precedence: of the ring only the bytes from the end of the segment to `head` count, and none where `base` is after
that end.
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
"""How many bytes of the beginning of its segment a ring repeats, at most."""

SAFE = frozenset({"ext2", "ext3", "ext4", "xfs", "tmpfs", "overlay"})
"""File systems on which a read sees the contents of a mapping, and a store to space once written cannot fail."""

FIRST = 4096
LAST = FIRST + SIZE
"""Where events begin in the file, and where they end."""

CLOSED = sys.maxsize // 2
"""The place `at` in a ring that is no longer in use: nothing fits after it."""

MARK, BASE, HEAD, LENGTH = range(4)
_MAGIC = int.from_bytes(b"\xffn3ring1", "little")
_NUMBERS = struct.Struct("=4Q")

_file_systems: dict[int, str] = {}


class Ring:
    """The writer's side: its own ring, which no other process writes to.

    The writer itself puts events into it, in its hot path: `view[at:end] = line`, then `marks[HEAD]`,
    which commits the event in one store, then `at`.

    Attributes:
        view: the shared memory.
        marks: its first page as numbers.
        at: where in `view` the next event begins; `CLOSED` when the ring is no longer used.
        base: the offset in the segment of the first byte in the ring.
        room: up to where events are put in without checking whether it is time to spill.
        due: the monotonic time from which on it is time to spill.
        spilled: how many bytes went through the ring before those that are in it now.
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
        self._partly = False  # whether some of its contents may be in the segment already
        self._turn = 0

    def begin(self, base: int) -> None:
        """Start using the ring for the events that follow the byte `base` of its segment."""
        self.base = base
        self.marks[BASE] = self.marks[HEAD] = base
        self.marks[MARK] = _MAGIC

    def spill(
        self, segment: int, libc_write: Callable[[int, bytes, int], int] | None, *, last: bool = False
    ) -> bool:
        """Write the contents of the ring to its segment, and make room.

        A signal handler or a finalizer may emit, and spill, after any call in here. Python runs neither between a
        comparison and the system call or the stores that follow it; `_turn` shows whether one has spilled before.

        Args:
            segment: the descriptor of the segment.
            libc_write: `write` of the C library, to be used instead of `os.write`.
            last: whether the ring is not used any more after this.

        Returns:
            Whether nothing is left; otherwise the C library's `errno` is the reason.

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
        """Stop using the ring, even if it is not empty; return how many bytes were put into it."""
        passed, self.at = self.passed, CLOSED
        return passed

    def discard(self) -> None:
        """Remove the file; the memory is freed when the last user of the mapping has released it."""
        path, self._path = self._path, None
        if path is not None:  # else another ring may be there by now
            try:
                os.unlink(path)
            except OSError:
                pass

    def _move(self, turn: int, at: int, end: int) -> None:
        """After others cut or extended the segment: nothing in the ring is in it, so the ring begins at its end."""
        head = end + at - FIRST
        if turn == self._turn and at == self.at:
            self._turn = turn + 1
            self.marks[HEAD] = 0
            self.marks[BASE] = self.base = end
            self.marks[HEAD] = head
            self._partly = False


class ForeignRingError(Exception):
    """The file at the place of a ring is no ring, belongs to another recording, or is damaged."""


class Remainder:
    """The reader's side: the events in a ring that are not in its segment, also while the writer goes on.

    Args:
        descriptor: the descriptor of the ring's file; closed by `close`.
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
            if self._numbers()[BASE] == base:  # else the writer has spilled meanwhile, and put in others
                return data

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def check(self, segment: int) -> bool:
        """Whether the ring was ever used.

        Args:
            segment: the descriptor of the segment it should belong to.

        Raises:
            ForeignRingError: it does not belong to the segment, or is damaged.
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
    """The path of the ring of a segment."""
    return segment.with_name(f".{segment.name}.ring")


def segment_of(ring: Path) -> Path | None:
    """The segment of a ring, by its name; `None` for any other name."""
    name = ring.name
    return ring.with_name(name[1:-5]) if name.startswith(".") and name.endswith(".ring") else None


def create(segment: Path, descriptor: int, begins: bytes) -> Ring | None:
    """Make a ring for a segment; `None` where the file system is not known to be safe, or refuses.

    Args:
        segment: the path of the segment.
        descriptor: the descriptor of the segment.
        begins: the first bytes of the segment, at most `BEGINS`.
    """
    path = ring_path(segment)
    try:
        if _file_system(os.fstat(descriptor).st_dev) not in SAFE:
            return None
        ring = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            made = os.write(ring, bytes(LAST)) == LAST  # a full disk shows now, and not by a signal later
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
        descriptor: the descriptor of the segment, opened for reading.

    Raises:
        ForeignRingError: the file there does not belong to the segment.
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
    """Move the events that a dead writer left in its ring into the segment, and remove the ring.

    Nothing is done where a writer is still active, or where the segment may not be written to; readers then take the
    rest from the ring. The modification time of the segment stays that of the writer's last change.
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
    """Remove the ring of a segment that is removed; any other file of that name stays."""
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
    """The type of the file system on a device, by its name in the kernel; empty where it is not known."""
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
    """Whether there were more than `rate` events a second between two counts, each given with its time."""
    return now[0] - before[0] > rate * (now[1] - before[1])
