"""Record reads of the wall clock with their line of code and task path, so that a re-run gets the same values.

The seam is the C hook of time-machine, which sends `time.time`, `time_ns`, `clock_gettime(CLOCK_REALTIME)`,
`localtime`, `gmtime` and `strftime` without a time, `datetime.now`, `utcnow` and `today` to one function, wherever the
program has put them. Its Python module is not imported before the program does so, because it loads pytest where that
is installed. `time.ctime()` and `asctime()`, which the hook leaves out, are replaced; `uuid1` has an entry of its own.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from collections import deque
from collections.abc import Callable
from sys import _getframe as frame_at
from types import ModuleType
from typing import Any, Protocol

from namel3ss_debug.capture.core import interruptions, task_paths
from namel3ss_debug.capture.core.patching import Undo, replace, when_imported
from namel3ss_debug.capture.seams.inputs.read_sites import ReadSite, ReadSites

BURST = 10_000
"""How many reads of one line are kept at once; those of a line that reads on faster than `RATE` are then left out."""

RATE = 100
"""How many further reads a second a line may have."""

LEFT_OUT = -1
"""Kept once in place of a value: the reads of a line are not kept from here on."""

_SECOND = 1_000_000_000
_HOOKED = "time_machine"
_DOCUMENTATION = """A stand-in with what the hook of time-machine needs.

For pytest in a traced program, which would warn that it is imported too early: PYTEST_DONT_REWRITE.
"""


class ClockReads(Protocol):
    """The reads that wait to be written."""

    reads: deque[tuple[str, ReadSite, int]]
    """Task path, line of code, nanoseconds since the epoch."""

    most: int
    """How many of them may wait."""

    def flush_soon(self) -> None:
        """Write soon: there are too many reads, or one that must not wait."""


Serve = Callable[[str, ReadSite], int | None]
"""Returns the value of a read in a re-run; `None` if the real clock is to be read."""


class Clock:
    """Answers reads of the wall clock.

    Args:
        places: finds the line of code that reads.
        kept: stores the reads.
        serve: returns the values of a trace; `None` without one.
    """

    def __init__(self, places: ReadSites, kept: ClockReads, serve: Serve | None = None) -> None:
        import _time_machine  # only where the clock is recorded

        self._place_of = places.at
        self._kept = kept
        self._serve = serve
        self._real: Callable[[], int] = _time_machine.original_time_ns
        self._seconds: Callable[[], float] = _time_machine.original_time
        self._since = time.monotonic()

    def now(self) -> float:
        """Return seconds since the epoch for our own events, without the hook."""
        try:
            return self._seconds()
        except ValueError:  # there is no hook
            return time.time()

    def read(self, depth: int = 1) -> int:
        """Return nanoseconds since the epoch to the code `depth` frames above; the hook calls this at each read."""
        try:
            place = self._place_of(frame_at(depth))
            if place is None or (place.over and self._serve is None):
                return self._real()
            path = task_paths.current().path
            value = None if self._serve is None else self._serve(path, place)
            if value is None:
                value = self._real()
            if not place.over:
                place.stored += 1
                if place.stored > BURST + RATE * (time.monotonic() - self._since):
                    place.over = True
                kept = self._kept
                kept.reads.append((path, place, LEFT_OUT if place.over else value))
                if not place.by_library or len(kept.reads) > kept.most:
                    kept.flush_soon()
        except Exception as error:  # the program gets its time in any case
            if interruptions.is_from_signal_handler(error):
                raise
            return self._real()
        return value


def install(
    clock: Clock, uuid_time: Callable[[Callable[[], Any]], Any], problem: Callable[[str], None]
) -> list[Undo]:
    """Let `clock` answer every read of the wall clock from now on.

    Args:
        clock: answers the reads.
        uuid_time: replaces the C function from which `uuid1` has its time, which is passed to it.
        problem: called with a message about what cannot be recorded.

    Returns:
        The functions that restore everything.
    """
    import _time_machine

    traveller = _Traveller(clock)
    module = sys.modules.get(_HOOKED)
    if module is None:
        module = sys.modules[_HOOKED] = _stand_in(_time_machine)
    stack: list[Any] = module.__dict__["traveller_stack"]
    hooked = not stack
    if hooked:
        _time_machine.patch()
    stack.insert(0, traveller)

    def restore() -> None:
        stack: list[Any] = module.__dict__["traveller_stack"]
        if traveller in stack:
            stack.remove(traveller)
        if not stack:
            _time_machine.unpatch()
        if (
            "__getattr__" in module.__dict__ and sys.modules.get(_HOOKED) is module
        ):  # the program has not imported it
            del sys.modules[_HOOKED]

    def patch_uuid(uuid: Any) -> list[Undo]:
        if getattr(uuid, "_generate_time_safe", None) is None:
            return []
        return [replace(uuid, "_generate_time_safe", lambda original: lambda: uuid_time(original))]

    undo = [restore, when_imported({"uuid": patch_uuid}, problem)]

    def make_ctime(original: Callable[..., str]) -> Callable[..., str]:
        def ctime(seconds: Any = None, /) -> str:
            return original(_now(clock) if seconds is None else seconds)

        return ctime

    def make_asctime(original: Callable[..., str]) -> Callable[..., str]:
        def asctime(*moment: Any) -> str:
            return original(*(moment or (time.localtime(_now(clock)),)))

        return asctime

    return [*undo, replace(time, "ctime", make_ctime), replace(time, "asctime", make_asctime)]


class _Traveller:
    """The object from which the hook gets the time."""

    def __init__(self, clock: Clock) -> None:
        self.time_ns = clock.read

    def _start(self) -> None:
        """Do nothing: it is on the stack from the start."""

    _stop = _start


def _stand_in(hook: ModuleType) -> ModuleType:
    """Return a stand-in for the module `time_machine` with what the hook needs; it loads the real one for the rest."""
    module = ModuleType(_HOOKED, _DOCUMENTATION)
    spec = importlib.util.find_spec(_HOOKED)
    module.__dict__.update(_time_machine=hook, traveller_stack=[], __spec__=spec)
    if spec is not None:
        spec._initializing = False  # type: ignore[attr-defined]  # as after an import: each read asks
        module.__dict__.update(__file__=spec.origin, __loader__=spec.loader, __package__=_HOOKED)
        module.__path__ = list(spec.submodule_search_locations or ())

    def load(name: str) -> Any:
        if spec is None or spec.loader is None or (name.startswith("__") and name.endswith("__")):
            raise AttributeError(f"module {_HOOKED!r} has no attribute {name!r}")
        ours = module.__dict__["traveller_stack"]
        module.__dict__.pop("__getattr__", None)
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            raise AttributeError(f"module {_HOOKED!r} cannot be loaded: {error}") from error
        finally:
            theirs = module.__dict__["traveller_stack"]
            module.__dict__["traveller_stack"] = [*ours, *(one for one in theirs if one not in ours)]
        return getattr(module, name)

    module.__dict__["__getattr__"] = load
    return module


def _now(clock: Clock) -> int:
    return clock.read(3) // _SECOND  # above this function and our `ctime` or `asctime`
