"""The recorder's own clocks: no program comes to them by those of the module `time`."""

from __future__ import annotations

import sys
import time

from namel3ss_debug.capture.launch.start import initialize_tracing, shutdown_tracing
from namel3ss_debug.traces import clocks
from namel3ss_debug.traces.reader import open_trace

NAMES = ("monotonic", "perf_counter_ns", "time", "time_ns")


def freeze(patch, asked):
    """Put a clock that stands still in the place of each, wherever a module of ours has it, as freezegun does."""
    modules = [module for name, module in sys.modules.items() if name.startswith("namel3ss_debug")]
    for name in NAMES:
        real = getattr(time, name)

        def frozen(name=name):
            asked.append(name)
            return 0

        for module in [time, *modules]:
            for attribute in [held for held, value in vars(module).items() if value is real]:
                patch.setattr(module, attribute, frozen)


def test_they_tell_the_same_time():
    """They are the same functions, under another identity."""
    for name in NAMES:
        before, ours, after = getattr(time, name)(), getattr(clocks, name)(), getattr(time, name)()
        assert before <= ours <= after
        assert getattr(clocks, name) is not getattr(time, name)


def test_a_program_that_freezes_its_time_is_recorded_by_the_real_one(tmp_path, monkeypatch):
    """Its spans take their time and stand at it, and a clock of its own that ticks when it is read is not read by us."""
    tracer = initialize_tracing(trace_output_dir=str(tmp_path), record_randomness=False)
    asked, before = [], time.time()
    try:
        with monkeypatch.context() as patch:
            freeze(patch, asked)
            with tracer.span("tool", "search"):
                sum(range(100_000))
    finally:
        shutdown_tracing()
    _, start, end, _ = open_trace(tracer.writer.first).events()
    assert asked == []
    assert before <= start["timestamp"] <= end["timestamp"] <= time.time()
    assert end["duration_ms"] > 0
