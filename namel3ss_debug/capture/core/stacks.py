"""Sampling the program's stacks beside its spans, with the sampler of pyinstrument: where the time inside a span went.

The sampler calls back in the running thread, at the first call or return after each `INTERVAL_SECONDS`. The time since
the last callback belongs to the function that ran until then, of Python or of C such as `time.sleep`, so the span is
the current one, in any thread or asyncio task. Nothing is written in a callback: a span writes its samples in a
`stack_sample` before its end, without those of inner spans.

    {"event_type": "stack_sample", "parent_event_id": "7", "component": "tool", "component_name": "search",
     "metadata": {"elapsed_ms": 1520.0, "sampled_ms": 1499.2, "samples": 1391, "left_out_ms": 0.0,
                  "memory": {"first_mb": 61.2, "peak_mb": 93.5, "last_mb": 63.0},
                  "functions": [{"function": "json.decoder.JSONDecoder.decode", "at": "app.py:42", "self_ms": 903.1,
                                 "samples": 840}],
                  "stacks": [{"functions": ["__main__.search", "json.loads", "json.decoder.JSONDecoder.decode"],
                              "self_ms": 899.7}]}}

`at` is the line of the user's own code that runs, or that called the function. A stack has its outermost function
first, that below the debugger's own code which began the span. Three kinds of threads are not sampled:
those that run already when tracing begins, those that Python did not start, and those in which the program has a
profiler of its own. If such a profiler replaces the sampler, `trace_end` reports it as a problem.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from types import CodeType, FrameType
from typing import Any, Final

from namel3ss_debug.capture.core import context
from namel3ss_debug.capture.core.own_code import PACKAGE_FOLDER
from namel3ss_debug.capture.core.patching import Undo
from namel3ss_debug.capture.core.resources import memory_mb
from namel3ss_debug.capture.core.tracer import ExecutionTracer, OpenSpan
from namel3ss_debug.errors import MissingExtraError
from namel3ss_debug.traces.clocks import perf_counter_ns

INTERVAL_SECONDS: Final = 0.001
LEAST_NS: Final = 10_000_000
"""A span with less sampled time than this writes nothing."""

MOST_FUNCTIONS: Final = 20
"""How many functions of a span are written, those that took longest."""

MOST_STACKS: Final = 100
"""How many stacks of a span are written, those that took longest."""

DEEPEST: Final = 60
"""The functions of a stack, of a deeper one the innermost."""

_INSTALL = "pip install 'namel3ss-debug[profile]'"
_MOST_KEPT = 500
_MOST_OPEN = 10_000
_MOST_FRAMES = 200
_MEMORY_EVERY = 8

_REPLACED = "stacks are no longer sampled in a thread in which the program used a profiler of its own (sys.setprofile, cProfile)"

_Key = tuple[CodeType | str, str, CodeType | None, int]
"""A function as its code object, or the name of a C function; its module; the code object and the line of the user's code."""

_Function = tuple[CodeType | str, str]
"""A function as its code object, or the name of a C function; and its module."""


class _SpanSamples:
    """The samples inside one span."""

    __slots__ = ("functions", "left_out_ns", "memory", "sampled_ns", "samples", "stacks")

    def __init__(self) -> None:
        self.functions: dict[_Key, list[int]] = {}
        self.stacks: dict[tuple[_Function, ...], int] = {}  # innermost first
        self.samples = 0
        self.sampled_ns = 0
        self.left_out_ns = 0
        self.memory: list[float] = []  # the first, the highest, the last

    def add(self, key: _Key, stack: tuple[_Function, ...], nanoseconds: int) -> None:
        """Add time in which the function ran."""
        if self.samples % _MEMORY_EVERY == 0:
            self.read_memory()
        self.samples += 1
        self.sampled_ns += nanoseconds
        row = self.functions.get(key)
        if row is not None:
            row[0] += nanoseconds
            row[1] += 1
        elif len(self.functions) < _MOST_KEPT:
            self.functions[key] = [nanoseconds, 1]
        else:
            self.left_out_ns += nanoseconds
        if stack in self.stacks or len(self.stacks) < _MOST_KEPT:
            self.stacks[stack] = self.stacks.get(stack, 0) + nanoseconds

    def read_memory(self) -> None:
        """Note the memory of the process."""
        now = memory_mb()
        if now is not None:
            first, peak, _ = self.memory or (now, now, now)
            self.memory = [first, max(peak, now), now]


class Stacks:
    """Samples the stacks of this process's threads, and writes the samples of each span.

    Args:
        tracer: where the samples go.
        sample_with: `setstatprofile` of pyinstrument, which samples the thread it is called in.
    """

    def __init__(self, tracer: ExecutionTracer, sample_with: Callable[..., None]) -> None:
        self._tracer = tracer
        self._sample_with = sample_with
        self._samples: dict[str, _SpanSamples] = {}
        self._active = True
        self._began = perf_counter_ns()
        self._thread = threading.local()

    def start_thread(self) -> None:
        """Sample the running thread from now on."""
        self._thread.sampled = True
        self._sample_with(_ThreadSampler(self).sample, interval=INTERVAL_SECONDS, timer_type="walltime")

    def stop(self) -> None:
        """Stop sampling; each thread notices this at its next sample."""
        self._active = False

    def renew(self) -> None:
        """Forget the samples after a fork: they belong to the parent process."""
        self._samples.clear()
        self._began = perf_counter_ns()

    def add(self, frame: FrameType, event: str, argument: Any, nanoseconds: int) -> bool:
        """Add one sample, and return whether this thread is to be sampled further."""
        if not self._active:
            return False
        if event == "call":  # the time until now belongs to its caller
            frame = frame.f_back or frame
        if frame.f_code.co_filename.startswith(PACKAGE_FOLDER):
            return True
        holder = context.current()
        span = "" if holder is None else holder.event_id
        found = self._samples.get(span)
        if found is None:
            if len(self._samples) >= _MOST_OPEN:
                return True
            found = self._samples.setdefault(span, _SpanSamples())
            nanoseconds = min(nanoseconds, perf_counter_ns() - getattr(holder, "started", 0))
        key = self._key(frame, event, argument)
        found.add(key, _stack(frame, key), nanoseconds)
        return True

    def _key(self, frame: FrameType, event: str, argument: Any) -> _Key:
        """Return what a sample is counted under: the function, and the nearest line of the user's own code."""
        user: FrameType | None = frame
        shown = self._tracer.sites.shown
        for _ in range(_MOST_FRAMES):
            if user is None or shown(user.f_code.co_filename) is not None:
                break
            user = user.f_back
        else:
            user = None
        place = (None, 0) if user is None else (user.f_code, user.f_lineno)
        if event in ("c_return", "c_exception"):
            name = getattr(argument, "__qualname__", None) or "?"
            return str(name), str(getattr(argument, "__module__", None) or ""), *place
        return frame.f_code, str(frame.f_globals.get("__name__", "")), *place

    def end_span(self, span: OpenSpan, elapsed_ns: int) -> None:
        """Write the samples of a span that ends now."""
        self._report_lost_sampler()
        found = self._samples.pop(span.event_id, None)
        if found is None or found.sampled_ns < LEAST_NS:
            return
        found.read_memory()
        self._write(found, elapsed_ns, span)

    def finish(self) -> None:
        """Write the samples outside of every span, at the end of the process."""
        self._report_lost_sampler()
        found = self._samples.pop("", None)
        if found is not None and found.sampled_ns >= LEAST_NS:
            self._write(found, perf_counter_ns() - self._began, None)

    def _report_lost_sampler(self) -> None:
        """Report once for each thread that the sampler is gone."""
        if getattr(self._thread, "sampled", False) and not _is_ours(sys.getprofile()):
            self._thread.sampled = False
            self._tracer.problem(_REPLACED)

    def _write(self, found: _SpanSamples, elapsed_ns: int, span: OpenSpan | None) -> None:
        tracer = self._tracer
        component, name = ("app", None) if span is None else (span.component, span.name)
        event = tracer.base("stack_sample", component, name, span)
        event["metadata"] = self.to_metadata(found, elapsed_ns)
        tracer.writer.append(event)

    def to_metadata(self, found: _SpanSamples, elapsed_ns: int) -> dict[str, Any]:
        """Return the samples as the metadata of the event."""
        kept = _merge_rows((row[0], row[1], *self._names_of(key)) for key, row in found.functions.items())
        shown, rest = kept[:MOST_FUNCTIONS], kept[MOST_FUNCTIONS:]
        metadata: dict[str, Any] = {
            "elapsed_ms": elapsed_ns / 1e6,
            "sampled_ms": found.sampled_ns / 1e6,
            "samples": found.samples,
            "left_out_ms": (found.left_out_ns + sum(row[0] for row in rest)) / 1e6,
            "functions": [
                {"function": function, **({"at": at} if at else {}), "self_ms": took / 1e6, "samples": count}
                for took, count, function, at in shown
            ],
            "stacks": [
                {"functions": [*map(_name_of, reversed(stack))], "self_ms": took / 1e6}
                for stack, took in sorted(found.stacks.items(), key=lambda item: -item[1])[:MOST_STACKS]
            ],
        }
        if found.memory:
            metadata["memory"] = dict(zip(("first_mb", "peak_mb", "last_mb"), found.memory, strict=True))
        return metadata

    def _names_of(self, key: _Key) -> tuple[str, str]:
        function, module, user, line = key
        path = None if user is None else self._tracer.sites.shown(user.co_filename)
        return _name_of((function, module)), "" if path is None else f"{path}:{line}"


def _stack(frame: FrameType, key: _Key) -> tuple[_Function, ...]:
    """Return the function of a sample and its callers within the span, the innermost first."""
    functions: list[_Function] = [key[:2]]
    caller = frame.f_back if key[0] is frame.f_code else frame
    while caller is not None and len(functions) < DEEPEST:
        code = caller.f_code
        if code.co_filename.startswith(PACKAGE_FOLDER):
            break
        functions.append((code, str(caller.f_globals.get("__name__", ""))))
        caller = caller.f_back
    return tuple(functions)


def _name_of(function: _Function) -> str:
    code, module = function
    name = code if isinstance(code, str) else code.co_qualname
    return f"{module}.{name}" if module else name


_Row = tuple[int, int, str, str]
"""Nanoseconds, samples, function and call site."""


def _merge_rows(rows: Iterable[_Row]) -> list[_Row]:
    """Merge rows of the same name: two functions on one line, or a module that was loaded twice."""
    sums: dict[tuple[str, str], tuple[int, int]] = {}
    for took, count, function, at in rows:
        before = sums.get((function, at), (0, 0))
        sums[function, at] = before[0] + took, before[1] + count
    joined = [(took, count, *key) for key, (took, count) in sums.items()]
    return sorted(joined, key=lambda row: (-row[0], *row[2:]))


class _ThreadSampler:
    """Takes the samples of one thread."""

    __slots__ = ("_last", "_stacks")

    def __init__(self, stacks: Stacks) -> None:
        self._stacks = stacks
        self._last = perf_counter_ns()

    def sample(self, frame: FrameType, event: str, argument: Any) -> None:
        """Take a sample, called by the sampler in the thread itself. It must not raise."""
        try:
            now = perf_counter_ns()
            took, self._last = now - self._last, now
            if not self._stacks.add(frame, event, argument, took):
                sys.setprofile(None)
            self._last = perf_counter_ns()  # the sample itself counts for no function
        except Exception:  # a sample that is missing is no reason to fail the program
            pass


def check(python: str, *, app: bool = False) -> None:
    """Check that the sampler is installed, before a program runs.

    Args:
        python: the interpreter that the program runs with.
        app: whether the program is a namel3ss app, which may use modules of this interpreter.

    Raises:
        MissingExtraError: the interpreter has no pyinstrument.
    """
    if python == sys.executable:
        found = importlib.util.find_spec("pyinstrument") is not None
    elif app:
        from namel3ss_debug.capture.namel3ss.interpreters import can_sample  # only apps need it

        found = can_sample(python)
    else:
        command = [python, "-c", "import pyinstrument"]
        found = subprocess.run(command, capture_output=True, check=False).returncode == 0  # noqa: S603  (the user's own)
    if not found:
        raise MissingExtraError(f"profiling needs pyinstrument in {python}: {_INSTALL}")


def install(tracer: ExecutionTracer) -> tuple[Stacks | None, Undo]:
    """Sample the running thread, and those that start from now on.

    Returns:
        The sampler, `None` without pyinstrument, and a function that ends the sampling.
    """
    try:
        from pyinstrument.low_level.stat_profile import setstatprofile  # an extra
    except ImportError:
        tracer.problem(f"stacks are not sampled: {_INSTALL}")
        return None, lambda: None
    stacks = Stacks(tracer, setstatprofile)

    def begin(_frame: FrameType, _event: str, _argument: Any) -> None:
        stacks.start_thread()

    before = threading.getprofile()
    threading.setprofile(begin)
    if sys.getprofile() is None:
        stacks.start_thread()
    tracer.stacks = stacks
    tracer.at_end.append(stacks.finish)

    def uninstall() -> None:
        stacks.stop()
        tracer.stacks = None
        if threading.getprofile() is begin:
            threading.setprofile(before)
        if _is_ours(sys.getprofile()):
            sys.setprofile(None)

    return stacks, uninstall


def _is_ours(profile: object) -> bool:
    """Return whether the profile function of this thread is the sampler, whose state object stands for it."""
    return type(profile).__module__.startswith("pyinstrument.")
