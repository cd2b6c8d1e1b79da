"""Read memory and processor time of running programs of this machine: a program that only computes records nothing."""

from __future__ import annotations

import os

import psutil

_MB = 1024 * 1024
_SLACK_SECONDS = 5.0


class LoadReader:
    """Reads the load of processes. An id that was given to another process meanwhile is not read."""

    def __init__(self) -> None:
        self._processes: dict[int, psutil.Process | None] = {}

    def read(self, pid: int, began: float) -> tuple[float, float] | None:
        """Return the seconds of processor time and the MB of memory of a process; None where it is gone or another one.

        Args:
            pid: its id.
            began: when its trace began, before which it was there.
        """
        try:
            if pid not in self._processes:
                process = psutil.Process(pid)
                self._processes[pid] = process if process.create_time() <= began + _SLACK_SECONDS else None
            process_or_none = self._processes[pid]
            if process_or_none is None:
                return None
            times = process_or_none.cpu_times()
            return times.user + times.system, process_or_none.memory_info().rss / _MB
        except (psutil.Error, OSError, ValueError):
            return None


def read_machine_mb() -> float | None:
    """Return the memory of this machine in MB; None where that is not known."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / _MB
    except (OSError, ValueError):
        return None
