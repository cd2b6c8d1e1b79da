"""The recorder's own copies of the clocks of the module `time`, which stay real when a test freezes the time.

Libraries that freeze the time of a test, such as freezegun, replace the functions of `time` in all modules. Spans would
then have no duration, and each time the recorder reads a clock that ticks when it is read, it would advance it.
"""

from __future__ import annotations

import importlib.util
import time as _shared
from collections.abc import Callable
from types import ModuleType


def _copy() -> ModuleType:
    """Return a second instance of the module `time`, with functions of its own; the usual module where that is impossible."""
    spec = importlib.util.find_spec("time")
    if spec is None or spec.loader is None:
        return _shared
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_own = _copy()

monotonic: Callable[[], float] = _own.monotonic
perf_counter_ns: Callable[[], int] = _own.perf_counter_ns
time: Callable[[], float] = _own.time
time_ns: Callable[[], int] = _own.time_ns
