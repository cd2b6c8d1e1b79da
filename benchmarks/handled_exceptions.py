"""What a handled exception costs a traced program: at one clause, when the first events of it have been written.

The same function handles the same exception as Python compiles it, and as `debug trace` does, while nothing is recorded
and while a trace is. The first exceptions of a clause are events; what they cost is shown beside it.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from statistics import median
from time import perf_counter, thread_time
from types import CodeType
from typing import Any

from timing import differences, holds, interleaved, show

import namel3ss_debug
from namel3ss_debug.capture.seams.functions import rewrite

CALLS = 5000
ROUNDS = 60
FIRST_CLAUSES = 200
MOST_US = 2.0
PLAIN, OFF, ON = "as compiled by Python", "edited, nothing is recorded", "edited, recording"
MONITORED = "not edited, counted by sys.monitoring"
"""What the other way would cost, from Python 3.12 on. It is told of the entry only, and of each exception in every library."""

SOURCE = """
def parse(text):
    try:
        return int(text)
    except ValueError:
        return 0

def handle():
    parse("x")
"""


def loop(call: Callable[[], None]) -> float:
    """Seconds of the processor for one call."""
    began = thread_time()
    for _ in range(CALLS):
        call()
    return (thread_time() - began) / CALLS


def make(edited: bool, path: str) -> Callable[[], None]:
    """The function that handles one exception."""
    code = rewrite.compile_source(SOURCE, path) if edited else compile(SOURCE, path, "exec")
    names: dict[str, Any] = {}
    exec(code, names)
    handle: Callable[[], None] = names["handle"]
    return handle


def recorded(handle: Callable[[], None], folder: str) -> float:
    """Seconds for each exception while a trace is recorded, after its first events."""
    namel3ss_debug.initialize_tracing(trace_output_dir=folder, record_randomness=False)
    try:
        for _ in range(30):
            handle()
        return loop(handle)
    finally:
        namel3ss_debug.shutdown_tracing()


def monitored(handle: Callable[[], None]) -> float:
    """Seconds for each exception while `sys.monitoring` calls a function that counts it."""
    monitoring: Any = vars(sys)["monitoring"]
    numbers: defaultdict[tuple[int, type], Iterator[int]] = defaultdict(itertools.count)

    def count(code: CodeType, _offset: int, error: BaseException) -> None:
        next(numbers[id(code), type(error)])

    monitoring.use_tool_id(monitoring.PROFILER_ID, "benchmark")
    monitoring.register_callback(monitoring.PROFILER_ID, monitoring.events.EXCEPTION_HANDLED, count)
    monitoring.set_events(monitoring.PROFILER_ID, monitoring.events.EXCEPTION_HANDLED)
    try:
        return loop(handle)
    finally:
        monitoring.set_events(monitoring.PROFILER_ID, 0)
        monitoring.free_tool_id(monitoring.PROFILER_ID)


def first_events(folder: str) -> float:
    """Microseconds for an exception that becomes an event: the first one of each of many clauses."""
    clauses = [make(True, f"{name}.py") for name in range(FIRST_CLAUSES)]
    namel3ss_debug.initialize_tracing(trace_output_dir=folder, record_randomness=False)
    try:
        taken = []
        for handle in clauses:
            began = perf_counter()
            handle()
            taken.append(perf_counter() - began)
        return median(taken) * 1e6
    finally:
        namel3ss_debug.shutdown_tracing()


def main() -> int:
    """Measure, print, and return the exit status: 0 when the claim holds."""
    with tempfile.TemporaryDirectory() as folder:
        edited = make(True, "handled.py")
        subjects = {
            PLAIN: partial(loop, make(False, "handled.py")),
            OFF: partial(loop, edited),
            ON: partial(recorded, edited, folder),
        }
        if hasattr(sys, "monitoring"):
            subjects[MONITORED] = partial(monitored, make(False, "handled.py"))
        taken = interleaved(subjects, ROUNDS)
        first = first_events(folder)
    print("One exception that a clause handles, in time of a processor:")
    show(taken, 1e6, " us")
    added = {name: median(differences(taken, name, PLAIN)) * 1e6 for name in (OFF, ON)}
    print(
        f"added while nothing is recorded {added[OFF]:.2f} us; one that becomes an event takes {first:.0f} us"
    )
    return 0 if holds("a handled exception, recording", added[ON], MOST_US, " us") else 1


if __name__ == "__main__":
    sys.exit(main())
