"""Give a re-run the inputs of its trace.

Reads are matched by task path and line of code, in whichever process or order the work is done this time. A read that
is not in the trace gets the last recorded value plus the time since then.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from namel3ss_debug.capture.seams.inputs.read_sites import ReadSite
from namel3ss_debug.traces.inputs import Recorded

OnNew = Callable[[str, str], None]
"""Called with a read that is not in the trace: the source (`clock`, `uuid1`, `environment`, `stdin`) and the call site."""


class ReplayedInputs:
    """Gives a re-run what was read in its trace, each value once.

    Args:
        recorded: the inputs of the trace.
        on_new: called at each read that is not in the trace.
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
        self.file_key, self.files_of = recorded.file_key, recorded.files_of

    def clock(self, path: str, place: ReadSite) -> int | None:
        """Return the recorded value for a read of the clock; `None` once the re-run goes on with real inputs."""
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
        """Return the recorded time, node and sequence of a `uuid1`; `None` if the trace has no more."""
        values = None if self.live else self._uuids.get(path)
        return bytes.fromhex(values.popleft()) if values else None

    def reads_variable(self, name: str, value: str | None, call_site: str) -> None:
        """Report the read of a variable that is set, but was not read in the trace."""
        if not self.live and value is not None and name not in self._environment:
            self._on_new("environment", call_site)
