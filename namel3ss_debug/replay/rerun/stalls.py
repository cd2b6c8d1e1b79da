"""Detect that a re-run waits for something that will never happen, instead of waiting forever.

That is an answer that was never recorded, because somebody interrupted the program; or requests to a server of the
program, because a re-run answers the program's calls but makes none to it. A server stalls if it listens on a port,
nobody is connected, no processor is busy, and the silence has lasted longer than any in the trace.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final

from namel3ss_debug.errors import RerunError

LOOK_SECONDS: Final = 1.0
"""After how long a silence the program is examined, and then again each time."""

_MARGIN_SECONDS: Final = 2.0
_BUSY: Final = 0.2
"""What part of a processor a waiting program may use; servers wake up now and then."""


class StallDetector:
    """Measure the silence of a program, and decide whether it will ever end.

    Args:
        state: returns the processor time so far in seconds, and the ports on which the program waits.
        longest: returns the longest recorded time without an event, in seconds.
        now: the time in seconds.
    """

    def __init__(
        self,
        state: Callable[[], tuple[float, set[int]]],
        longest: Callable[[], float],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._state = state
        self._longest = longest
        self._now = now
        self._since = now()
        self._patience: float | None = None
        self._used: tuple[float, float] | None = None

    def reset(self) -> None:
        """End the silence: an event has arrived."""
        self._since, self._used = self._now(), None

    def check(self, servers: Mapping[int, str], never: Callable[[], Exception | None] = lambda: None) -> None:
        """Check whether the program waits in vain.

        Args:
            servers: port -> where the program began to listen on it; 0 for a port that it did not choose.
            never: returns why nothing will arrive, if it waits for an answer that was never recorded.

        Raises:
            RerunError: it does.
        """
        now = self._now()
        if now - (self._since if self._used is None else self._used[0]) < LOOK_SECONDS:
            return
        used, ports = self._state()
        before, self._used = self._used, (now, used)
        stop = never()
        # Two looks are needed to know how much of a processor the program used in between.
        if not (ports or stop) or before is None:
            return
        if used - before[1] > _BUSY * (now - before[0]):
            self._since = now
            return
        if self._patience is None:
            self._patience = self._longest() + _MARGIN_SECONDS
        if now - self._since >= self._patience:
            if stop is not None:
                raise stop
            raise RerunError(_describe_server(min(ports), servers))


def _describe_server(port: int, servers: Mapping[int, str]) -> str:
    """Describe which server waits, and what to do."""
    where = servers.get(port) or servers.get(0)
    return (
        f"{where or 'the program'} listens on port {port} and waits for requests from outside, "
        "which a re-run does not repeat, so it would wait forever; "
        "send the requests from within the program, for example by the test client of its framework, "
        "or step through the trace with debug replay --step"
    )
