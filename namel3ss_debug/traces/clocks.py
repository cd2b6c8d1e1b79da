"""The clocks by which the recorder measures: those of the module `time`, as objects of our own.

Libraries that freeze the time of a test, such as freezegun, look for the functions of `time` in all modules and put their own
there. Spans would then take no time, and each look at the clock of ours would move one that ticks when it is read.
"""

from __future__ import annotations

import importlib.util
import time as _shared
from collections.abc import Callable
from types import ModuleType


def _copy() -> ModuleType:
    """Another module of that kind, whose functions are not those that the program holds; the same one where that cannot be."""
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
