"""Read the memory and CPU time of the process, cheaply enough for every span."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress

from namel3ss_debug.capture.core import interruptions

cpu_time_ns = time.process_time_ns
"""CPU time of the whole process so far, in nanoseconds."""

_MB = 1024 * 1024
_PAGE = os.sysconf("SC_PAGE_SIZE")
_ROOM, _FIELDS = 128, 7
_HIGH = 256
SHARED_NS = 5_000_000
"""Spans that end within this time share one reading of the memory, unless they took longer themselves."""

TOGETHER_NS = 2_000_000
"""Spans that end within this time share one reading in any case: mostly a span and the last of its children."""

_kept: list[int] = []
"""The open file and its inode, if there is one."""

_shared: tuple[int, float | None] = (-SHARED_NS, None)
"""When the memory was last read for a span, and the result."""


def memory_mb() -> float | None:
    """Return the resident memory of the process in MB (1,048,576 bytes), or `None` if it cannot be read."""
    try:
        pages = os.pread(_kept[0], _ROOM, 0).split()
    except IndexError:
        pages = []
    except OSError as error:
        if error.errno is None:  # raised by a signal handler of the program
            raise
        pages = []
    if len(pages) != _FIELDS:  # not open yet, or the program has closed it and reused the descriptor
        pages = _first_read()
    try:
        return round(int(pages[1]) * _PAGE / _MB, 2)
    except (IndexError, ValueError):
        return _memory_mb_by_psutil()


def memory_mb_of_span(ended: int, lasted: int) -> float | None:
    """Return the resident memory at the end of a span in MB, or `None` if it cannot be read.

    It is read again only if it may have changed: a read costs as much as the rest of the end event.

    Args:
        ended: when the span has ended, nanoseconds of `time.perf_counter_ns`.
        lasted: for how many nanoseconds it was open.
    """
    global _shared  # one process, one figure
    when, memory = _shared
    if not 0 <= ended - when < (SHARED_NS if lasted < SHARED_NS else TOGETHER_NS):
        memory = memory_mb()
        _shared = ended, memory
    return memory


def _first_read() -> list[bytes]:
    """Read the memory of this process, and keep the file open on a high descriptor, which programs do not reuse."""
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
    """Close the file after a fork: it shows the memory of the parent. A file that the program put in its place stays."""
    with suppress(OSError, ValueError):
        file, inode = _kept
        if os.fstat(file).st_ino == inode:
            os.close(file)
    _kept.clear()
    global _shared
    _shared = -SHARED_NS, None


os.register_at_fork(after_in_child=_renew)

try:
    with open("/proc/self/statm", "rb", buffering=0):
        pass
except OSError:
    # Its import reads the environment. Later, when inputs are recorded, that would look like a read of the program.
    with suppress(ImportError):
        import psutil  # noqa: F401


def _memory_mb_by_psutil() -> float | None:
    try:
        import psutil  # only where /proc is missing

        return round(psutil.Process().memory_info().rss / _MB, 2)
    except Exception as error:  # psutil has many error classes, and the figure is optional
        if interruptions.is_from_signal_handler(error):
            raise
        return None
