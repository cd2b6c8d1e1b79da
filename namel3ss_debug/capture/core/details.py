"""Take samples of the process's resources, which the level `comprehensive` records."""

from __future__ import annotations

import gc
import threading
from typing import Any, Final

from namel3ss_debug.capture.core.resources import cpu_time_ns, memory_mb
from namel3ss_debug.traces.clocks import monotonic

SAMPLE_SECONDS = 1.0
"""The shortest time between samples. They are taken when an event is recorded, which needs no thread of ours."""

_DISK: Final = {
    "syscr": "read_count",
    "syscw": "write_count",
    "read_bytes": "read_bytes",
    "write_bytes": "write_bytes",
}
"""Line of `/proc/self/io` -> its name in psutil."""


def disk() -> dict[str, int]:
    """Return what the process has read and written so far: calls, and bytes of the disk itself; {} without `/proc`."""
    try:
        with open("/proc/self/io", "rb", buffering=0) as file:
            lines = file.read(1024).decode("ascii").splitlines()
        values = dict(line.split(": ") for line in lines)
        return {name: int(values[key]) for key, name in _DISK.items()}
    except (OSError, KeyError, ValueError):
        return {}


class Sampler:
    """Takes a sample of the resources when one is due."""

    def __init__(self) -> None:
        self._next = monotonic()

    def due(self) -> bool:
        """Return whether a sample is due, and if so, schedule the next one."""
        now = monotonic()
        if now < self._next:
            return False
        self._next = now + SAMPLE_SECONDS
        return True

    @staticmethod
    def sample() -> dict[str, Any]:
        """Return the fields of one `resource_sample`: memory in MB, CPU in ms, threads, garbage collections, disk."""
        read = disk()
        return {
            "memory_usage_mb": memory_mb(),
            "cpu_time_ms": cpu_time_ns() / 1e6,
            "metadata": {
                "threads": threading.active_count(),
                "collections": [generation["collections"] for generation in gc.get_stats()],
                **({"disk": read} if read else {}),
            },
        }
