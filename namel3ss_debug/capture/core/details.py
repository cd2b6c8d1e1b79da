"""Add what the level `comprehensive` records: variables of the user's code, and samples of the process's resources."""

from __future__ import annotations

import gc
import threading
from types import FrameType, FunctionType, ModuleType
from typing import Any, Final

from namel3ss_debug.capture.core.callsite import CallSites
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

_CODE_TYPES = (ModuleType, FunctionType, type)
_IPYTHON_NAMES = frozenset({"In", "Out", "exit", "quit", "get_ipython", "open"})
_CELL_INPUTS = "_ih"  # IPython keeps the source of all cells among the variables of each


def variables(frame: FrameType) -> dict[str, Any]:
    """Return the local variables of a frame without code; of a module its globals, of a notebook cell those of the session.

    In a cell, names that IPython itself keeps there and names with a leading underscore are left out, as in its `%who`.
    """
    values = frame.f_locals
    of_cell = _CELL_INPUTS in values
    return {
        name: value
        for name, value in list(values.items())
        if not name.startswith("_" if of_cell else "__")
        and not isinstance(value, _CODE_TYPES)
        and not (of_cell and name in _IPYTHON_NAMES)
    }


def variables_at(frame: FrameType | None, sites: CallSites) -> dict[str, Any] | None:
    """Return the variables of this frame, or of the innermost user frame above it."""
    while frame is not None and sites.shown(frame.f_code.co_filename) is None:
        frame = frame.f_back
    return None if frame is None else variables(frame)


def variables_of_failure(error: BaseException, sites: CallSites) -> dict[str, Any] | None:
    """Return the variables of the innermost user frame that the exception passed."""
    found, trace = None, error.__traceback__
    while trace is not None:
        if sites.shown(trace.tb_frame.f_code.co_filename) is not None:
            found = trace.tb_frame
        trace = trace.tb_next
    return None if found is None else variables(found)


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
