"""What the process uses, read cheaply enough to stand in every span."""

from __future__ import annotations

import os
import time

cpu_time_ns = time.process_time_ns
"""CPU time of the whole process so far, in nanoseconds."""

_MB = 1024 * 1024
_PAGE = os.sysconf("SC_PAGE_SIZE")


def memory_mb() -> float | None:
    """Resident memory of the process in MB (1,048,576 bytes), or `None` where it cannot be read."""
    try:
        with open("/proc/self/statm", "rb", buffering=0) as file:
            return round(int(file.read(64).split()[1]) * _PAGE / _MB, 2)
    except (OSError, IndexError, ValueError):
        return _memory_mb_by_psutil()


def _memory_mb_by_psutil() -> float | None:
    try:
        import psutil  # noqa: PLC0415  (only where /proc is missing)

        return round(psutil.Process().memory_info().rss / _MB, 2)
    except Exception:  # psutil's own kinds are many, and memory is only a figure beside the event
        return None
