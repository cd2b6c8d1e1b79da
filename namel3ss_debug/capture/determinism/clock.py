"""Reads of the wall clock: each is noted with its place and line of work, and a re-run gets the same.

The seam is the C hook of time-machine, which sends `time.time`, `time_ns`, `clock_gettime(CLOCK_REALTIME)`,
`localtime`, `gmtime` and `strftime` without a time, `datetime.now`, `utcnow` and `today` to one function, wherever the
program has put them. Its Python module is left alone until the program imports it: it loads pytest where that is
installed. `time.ctime()` and `asctime()`, which the hook leaves out, are sent the same way; `uuid1` has its own entry.
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

from namel3ss_debug.capture import interruptions
from namel3ss_debug.capture.determinism import lineage
from namel3ss_debug.capture.determinism.places import Place, Places
from namel3ss_debug.capture.patching import Undo, replace, when_imported

BURST = 10_000
"""How many reads of one place are kept at once; those of a place that reads on faster than `RATE` are then left out."""

RATE = 100
"""How many reads a second a place may go on with."""

LEFT_OUT = -1
"""Kept once in place of a value: from here on the reads of a place are not kept."""

_SECOND = 1_000_000_000
_HOOKED = "time_machine"
_DOCUMENTATION = """What the hook of time-machine looks for, until more is asked of it.

Where pytest runs in a traced program it takes time-machine for a plugin that came too early: PYTEST_DONT_REWRITE.
"""


class Kept(Protocol):
    """Where the reads are kept until they are written."""

    reads: deque[tuple[str, Place, int]]
    """Line of work, place, nanoseconds since the epoch."""

    most: int
    """How many of them may wait."""

    def press(self) -> None:
        """Write soon: there are too many reads, or one that may not wait."""


Serve = Callable[[str, Place], int | None]
"""Asked for the value of a read in a re-run; `None` where the real clock is to be read."""


class Clock:
    """Answers reads of the wall clock.

    Args:
        places: finds where a read comes from.
        kept: takes the reads.
        serve: gives the values of a recording; `None` where there is none.
    """

    def __init__(self, places: Places, kept: Kept, serve: Serve | None = None) -> None:
        import _time_machine  # noqa: PLC0415  (only where the clock is recorded)

        self._place_of = places.at
        self._kept = kept
        self._serve = serve
        self._real: Callable[[], int] = _time_machine.original_time_ns
        self._seconds: Callable[[], float] = _time_machine.original_time
        self._since = time.monotonic()

    def now(self) -> float:
        """Seconds since the epoch, for ourselves: not by way of the hook."""
        try:
            return self._seconds()
        except ValueError:  # there is no hook
            return time.time()

    def read(self, depth: int = 1) -> int:
        """Nanoseconds since the epoch for the code that stands `depth` frames above: what the hook calls at each read."""
        try:
            place = self._place_of(frame_at(depth))
            if place is None or (place.over and self._serve is None):
                return self._real()
            path = lineage.current().path
            value = None if self._serve is None else self._serve(path, place)
            if value is None:
                value = self._real()
            if not place.over:
                place.stored += 1
                if place.stored > BURST and self._too_many(place):
                    place.over = True
                kept = self._kept
                kept.reads.append((path, place, LEFT_OUT if place.over else value))
                if not place.by_library or len(kept.reads) > kept.most:
                    kept.press()
        except Exception as error:  # whatever goes wrong here, the program gets its time
            if interruptions.is_of_the_program(error):
                raise
            return self._real()
        return value

    def _too_many(self, place: Place) -> bool:
        return place.stored > BURST + RATE * (time.monotonic() - self._since)


def install(
    clock: Clock, uuid_time: Callable[[Callable[[], Any]], Any], problem: Callable[[str], None]
) -> list[Undo]:
    """Let `clock` answer every read of the wall clock from now on.

    Args:
        clock: answers the reads.
        uuid_time: answers in place of the C function that `uuid1` has its time from, which it is given.
        problem: told in words what cannot be recorded.

    Returns:
        What puts everything back.
    """
    import _time_machine  # noqa: PLC0415  (as above)

    traveller = _Traveller(clock)
    module = sys.modules.get(_HOOKED)
    if module is None:
        module = sys.modules[_HOOKED] = _stand_in(_time_machine)
    stack: list[Any] = module.__dict__["traveller_stack"]
    hooked = not stack
    if hooked:
        _time_machine.patch()
    stack.insert(0, traveller)

    def put_back() -> None:
        stack: list[Any] = module.__dict__["traveller_stack"]
        if traveller in stack:
            stack.remove(traveller)
        if not stack:
            _time_machine.unpatch()
        if "__getattr__" in module.__dict__ and sys.modules.get(_HOOKED) is module:  # it was never asked for
            del sys.modules[_HOOKED]

    def patch_uuid(uuid: Any) -> list[Undo]:
        if getattr(uuid, "_generate_time_safe", None) is None:
            return []
        return [replace(uuid, "_generate_time_safe", lambda original: lambda: uuid_time(original))]

    undo = [put_back, when_imported({"uuid": patch_uuid}, problem)]
    return [*undo, replace(time, "ctime", _ctime_of(clock)), replace(time, "asctime", _asctime_of(clock))]


class _Traveller:
    """What the hook asks for the time."""

    def __init__(self, clock: Clock) -> None:
        self.time_ns = clock.read

    def _start(self) -> None:
        """Do nothing: it is on the stack from the start."""

    _stop = _start


def _stand_in(hook: ModuleType) -> ModuleType:
    """A stand-in for the module `time_machine` with what the hook needs; it loads the real one for the rest."""
    module = ModuleType(_HOOKED, _DOCUMENTATION)
    spec = importlib.util.find_spec(_HOOKED)
    module.__dict__.update(_time_machine=hook, traveller_stack=[], __spec__=spec)
    if spec is not None:
        spec._initializing = False  # type: ignore[attr-defined]  # noqa: SLF001  (as after an import: each read asks)
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


def _ctime_of(clock: Clock) -> Callable[[Callable[..., str]], Callable[..., str]]:
    def make(original: Callable[..., str]) -> Callable[..., str]:
        def ctime(seconds: Any = None, /) -> str:
            return original(_now(clock) if seconds is None else seconds)

        return ctime

    return make


def _asctime_of(clock: Clock) -> Callable[[Callable[..., str]], Callable[..., str]]:
    def make(original: Callable[..., str]) -> Callable[..., str]:
        def asctime(*moment: Any) -> str:
            return original(*(moment or (time.localtime(_now(clock)),)))

        return asctime

    return make


def _now(clock: Clock) -> int:
    return clock.read(3) // _SECOND  # past this function and what stands in the place of `ctime` or `asctime`
