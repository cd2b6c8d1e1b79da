"""The inputs of a recording, given to a re-run.

Reads are found by the line of work and the place in the code, so it does not matter in which process or in what order
the work is done this time. A read that the recording has not gets the last value that was served, moved on by the time
since.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from namel3ss_debug.capture.determinism.places import Place
from namel3ss_debug.traces.inputs import Recorded

OnNew = Callable[[str, str], None]
"""Told a read that the recording has not: the source (`clock`, `uuid1`, `environment`, `stdin`) and the call site."""


class Served:
    """Gives a re-run what the recording read, each value once.

    Args:
        recorded: the inputs of the recording.
        on_new: told each place that reads what the recording has not, at each such read.
    """

    def __init__(self, recorded: Recorded, on_new: OnNew) -> None:
        self._clock = {
            (path, key): deque(values)
            for path, places in recorded.clock.items()
            for key, values in places.items()
        }
        self._uuids = {path: deque(values) for path, values in recorded.uuid1.items()}
        self._left_out = frozenset(recorded.left_out)
        self._environment = frozenset(recorded.environment) | frozenset(recorded.interpreter or ())
        self._on_new = on_new
        self._last = recorded.started, time.monotonic_ns()
        self.live = False
        self.state = recorded.state
        self.stdin_ended = recorded.stdin_ended
        self.stdin_lines = recorded.stdin_lines
        self.terminal = recorded.terminal

    def clock(self, path: str, place: Place) -> int | None:
        """The recorded value for a read of the clock; `None` once the re-run goes on with real inputs."""
        if self.live:
            return None
        values = self._clock.get((path, place.key))
        try:
            value = values.popleft() if values else None
        except IndexError:  # another thread has taken the last one
            value = None
        now = time.monotonic_ns()
        if value is None:
            value, since = self._last
            value += now - since
            if not place.over and place.key not in self._left_out:
                self._on_new("clock", place.call_site or place.key)
        self._last = value, now
        return value

    def uuid_time(self, path: str) -> bytes | None:
        """The recorded time, node and sequence of a `uuid1`; `None` where the recording has no more."""
        values = None if self.live else self._uuids.get(path)
        return bytes.fromhex(values.popleft()) if values else None

    def reads_variable(self, name: str, value: str | None, call_site: str) -> None:
        """The re-run reads a variable; it is new unless the recording read it too, or it is not set."""
        if not self.live and value is not None and name not in self._environment:
            self._on_new("environment", call_site)
