"""The debugger's session on a program that runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from namel3ss_debug.replay.debugger import Debugger
from namel3ss_debug.replay.given.faults import Fault
from namel3ss_debug.replay.given.mocks import Mock
from namel3ss_debug.replay.live import LiveProgram
from namel3ss_debug.replay.recording.breakpoints import Breakpoint
from namel3ss_debug.replay.results import Detached, Mistake, Result

ON_ANSWERS: Final = "the program lives on recorded answers and cannot be let go: continue, or quit"
"""Why a program whose calls are answered cannot be detached."""


class LiveDebugger(Debugger):
    """A session on a running program: a move that Ctrl-C ends stands at the event the program has come to.

    Args:
        program: the program; the answers that the session gives are its own from now on.
        breakpoints: places to stop at from the beginning.
        mocks: answers to give in place of calls, as they are written or parsed.

    Raises:
        DebugError: as for any session.
    """

    def __init__(
        self,
        program: LiveProgram,
        breakpoints: Iterable[str | Breakpoint] = (),
        mocks: Iterable[str | Mock | Fault] = (),
    ) -> None:
        super().__init__(program, breakpoints, mocks, program)
        self.program = program
        program.mocks = self.walk.mocks

    def results(self, line: str) -> Iterator[Result]:
        """The results of a line, as soon as they are there."""
        before = self.walk.position, self.walk.total
        try:
            for result in super().results(line):
                if isinstance(result, Detached) and self.program.answering is not None:
                    self.over = False
                    yield Mistake(ON_ANSWERS)
                    return
                yield result
                if isinstance(result, Detached):  # it is shown before anything that the program prints
                    self.program.detach()
        except KeyboardInterrupt:
            position, total = self.walk.position, self.walk.total
            if (position, total) == before:
                raise
            yield self.session.arrived(self.walk.go(position if total == before[1] else total, "interrupt"))
