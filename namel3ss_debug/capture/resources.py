"""What the process uses, read cheaply enough to stand in every span."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress

cpu_time_ns = time.process_time_ns
"""CPU time of the whole process so far, in nanoseconds."""

_MB = 1024 * 1024
_PAGE = os.sysconf("SC_PAGE_SIZE")
_ROOM, _FIELDS = 128, 7
_HIGH = 256
_kept: list[int] = []
"""The open file and its inode, where there is one."""


def memory_mb() -> float | None:
    """Resident memory of the process in MB (1,048,576 bytes), or `None` where it cannot be read."""
    try:
        pages = os.pread(_kept[0], _ROOM, 0).split()
    except (OSError, IndexError):
        pages = []
    if len(pages) != _FIELDS:  # not open yet; or the program has closed it, and its number is another's now
        pages = _first_read()
    try:
        return round(int(pages[1]) * _PAGE / _MB, 2)
    except (IndexError, ValueError):
        return _memory_mb_by_psutil()


def _first_read() -> list[bytes]:
    """What the system tells of the memory of this process; its file is kept open, at a number no program comes to."""
    _kept.clear()
    try:
        with open("/proc/self/statm", "rb", buffering=0) as file:
            with suppress(OSError):
                _kept.append(fcntl.fcntl(file.fileno(), fcntl.F_DUPFD_CLOEXEC, _HIGH))
                _kept.append(os.fstat(_kept[0]).st_ino)
            return file.read(_ROOM).split()
    except OSError:
        return []


def _renew() -> None:
    """After a fork: what is open tells of the other process. What the program has put in its place stays."""
    with suppress(OSError, ValueError):
        file, inode = _kept
        if os.fstat(file).st_ino == inode:
            os.close(file)
    _kept.clear()


os.register_at_fork(after_in_child=_renew)


def _memory_mb_by_psutil() -> float | None:
    try:
        import psutil  # noqa: PLC0415  (only where /proc is missing)

        return round(psutil.Process().memory_info().rss / _MB, 2)
    except Exception:  # psutil's own kinds are many, and memory is only a figure beside the event
        return None
