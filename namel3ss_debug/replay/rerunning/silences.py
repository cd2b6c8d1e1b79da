"""A re-run that waits for something that will never come: recognised and reported, instead of waiting for ever.

That is an answer that it was not given in the recording either, because somebody interrupted it; or requests to a
server of its own, for a re-run answers what the program asks, and does not ask the program. It has come to that where
the program listens on a port, nobody is connected to it, no processor is busy, and nothing has happened for longer than
ever in the recording.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final

from namel3ss_debug.errors import RerunError

LOOK_SECONDS: Final = 1.0
"""After so long a silence it is looked whether the program listens, and then each time so much later."""

_MARGIN_SECONDS: Final = 2.0
_BUSY: Final = 0.2
"""What part of a processor a program may use that only waits; servers look up now and then."""


class Silence:
    """How long nothing has come of a program, and whether it will.

    Args:
        state: tells what the program does: its processor time so far in seconds, and the ports on which it waits.
        longest: tells for how many seconds nothing happened in the recording, at most.
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

    def broken(self) -> None:
        """Something has come."""
        self._since, self._used = self._now(), None

    def look(self, servers: Mapping[int, str], never: Callable[[], Exception | None] = lambda: None) -> None:
        """Look whether the program can only be waiting for what does not come.

        Args:
            servers: where it began to listen on a port; 0 for a port that it did not choose.
            never: tells why nothing will come, where it waits for an answer that never came.

        Raises:
            RerunError: it is.
        """
        now = self._now()
        if now - (self._since if self._used is None else self._used[0]) < LOOK_SECONDS:
            return
        used, ports = self._state()
        before, self._used = self._used, (now, used)
        stop = never()
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
            raise RerunError(_told(min(ports), servers))


def _told(port: int, servers: Mapping[int, str]) -> str:
    """Which server waits, and what can be done."""
    where = servers.get(port) or servers.get(0)
    return (
        f"{where or 'the program'} listens on port {port} and waits for requests from outside, "
        "which a re-run does not repeat: it would wait for ever; "
        "ask it from within the program, as by the test client of its framework, "
        "or walk through what was recorded with debug replay --step"
    )
