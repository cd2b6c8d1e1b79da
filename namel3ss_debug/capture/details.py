"""What the level `comprehensive` adds: the variables of the user's code, and samples of the process' resources."""

from __future__ import annotations

import gc
import threading
from types import FrameType, FunctionType, ModuleType
from typing import Any, Final

from namel3ss_debug.capture.callsite import CallSites
from namel3ss_debug.capture.resources import cpu_time_ns, memory_mb
from namel3ss_debug.traces.clocks import monotonic

SAMPLE_SECONDS = 1.0
"""At most one sample in this time; taken when an event is recorded, so that no thread of ours is needed."""

_DISK: Final = {
    "syscr": "read_count",
    "syscw": "write_count",
    "read_bytes": "read_bytes",
    "write_bytes": "write_bytes",
}
"""Line of `/proc/self/io` to what psutil calls it."""

_NO_VALUES = (ModuleType, FunctionType, type)
_OF_IPYTHON = frozenset({"In", "Out", "exit", "quit", "get_ipython", "open"})
_ITS_INPUTS = "_ih"  # all cells that were run so far, as IPython keeps them among the variables of each


def variables(frame: FrameType) -> dict[str, Any]:
    """The local variables of a frame, but for code; for a module its global variables, for a cell those of the session.

    What IPython keeps among these is left out, with all that begin with an underscore, as in its own `%who`.
    """
    values = frame.f_locals
    of_cell = _ITS_INPUTS in values
    return {
        name: value
        for name, value in list(values.items())
        if not name.startswith("_" if of_cell else "__")
        and not isinstance(value, _NO_VALUES)
        and not (of_cell and name in _OF_IPYTHON)
    }


def variables_at(frame: FrameType | None, sites: CallSites) -> dict[str, Any] | None:
    """The variables of this frame, or of the innermost user frame above it."""
    while frame is not None and sites.shown(frame.f_code.co_filename) is None:
        frame = frame.f_back
    return None if frame is None else variables(frame)


def variables_of_failure(error: BaseException, sites: CallSites) -> dict[str, Any] | None:
    """The variables of the innermost user frame the exception passed."""
    found, trace = None, error.__traceback__
    while trace is not None:
        if sites.shown(trace.tb_frame.f_code.co_filename) is not None:
            found = trace.tb_frame
        trace = trace.tb_next
    return None if found is None else variables(found)


def disk() -> dict[str, int]:
    """What the process has read and written so far: calls, and bytes of the disk itself; empty where Linux does not tell."""
    try:
        with open("/proc/self/io", "rb", buffering=0) as file:
            lines = file.read(1024).decode("ascii").splitlines()
        told = dict(line.split(": ") for line in lines)
        return {name: int(told[key]) for key, name in _DISK.items()}
    except (OSError, KeyError, ValueError):
        return {}


class Sampler:
    """Says when a sample is due, and takes it."""

    def __init__(self) -> None:
        self._next = monotonic()

    def due(self) -> bool:
        """Whether it is time; if so, the next time is set."""
        now = monotonic()
        if now < self._next:
            return False
        self._next = now + SAMPLE_SECONDS
        return True

    @staticmethod
    def sample() -> dict[str, Any]:
        """The fields of one `resource_sample`: memory in MB, CPU in ms, threads, garbage collections, disk."""
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
