"""Read the rings of traces that were made before writing went straight to the file.

Early builds copied a burst of events into a memory mapping of a hidden file beside the segment, the ring, and wrote
many to the segment at once. Where such a program was killed, its last events are only in the ring. When its trace is
opened, they are moved into the segment (`complete`); where the folder may not be written to, a reader takes them from
the ring (`Remainder`). A ring is no longer made: others who truncated it killed the program by SIGBUS.

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
from pathlib import Path

SIZE = 256 * 1024
"""Bytes of events that a ring holds."""

BEGINS = 256
"""How many bytes of the beginning of its segment a ring repeats, at most."""

FIRST = 4096
"""Where events begin in the file."""

BASE = 1
_MAGIC = int.from_bytes(b"\xffn3ring1", "little")
_NUMBERS = struct.Struct("=4Q")


class ForeignRingError(Exception):
    """The file at the place of a ring is no ring, belongs to another trace, or is damaged."""


class Remainder:
    """The reader's side: the events in a ring that are not in its segment, also while the writer goes on.

    Args:
        descriptor: the descriptor of the ring's file; closed by `close`.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def behind(self, position: int) -> bytes:
        """Return the committed bytes of the segment from the offset `position` on; empty where they do not begin here."""
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
        """Return whether the ring was ever used.

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
            raise ForeignRingError("it belongs to another trace")
        if head > base + SIZE and self._numbers() == (mark, base, head, length):  # at rest, not being moved
            raise ForeignRingError("it is damaged")
        return True

    def _numbers(self) -> tuple[int, int, int, int]:
        data = os.pread(self._descriptor, _NUMBERS.size, 0)
        mark, base, head, length = _NUMBERS.unpack(data.ljust(_NUMBERS.size, b"\0"))
        return mark, base, head, length


def ring_path(segment: Path) -> Path:
    """Return the path of the ring of a segment."""
    return segment.with_name(f".{segment.name}.ring")


def segment_of(ring: Path) -> Path | None:
    """Return the segment of a ring, by its name; `None` for any other name."""
    name = ring.name
    return ring.with_name(name[1:-5]) if name.startswith(".") and name.endswith(".ring") else None


def open_remainder(segment: Path, descriptor: int) -> Remainder | None:
    """Return the ring of a segment, opened for reading; `None` when there is none. Open it before reading the segment.

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
    """Return whether the ring of a segment holds events that the segment does not."""
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
