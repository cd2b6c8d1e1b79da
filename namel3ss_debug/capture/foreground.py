"""Which of two programs the keys of a terminal go to: the debugger's shell, or the program that it steps.

The program runs in a process group of its own, so that Ctrl-C at the shell does not reach it. A process that is not in
the foreground of its terminal is stopped when it reads from it or changes how it works (SIGTTIN, SIGTTOU); whoever
waits for the program sees that, lends it the terminal, and takes the terminal back at the next event. This is what a
shell does with its jobs (POSIX.1-2017, General Terminal Interface, 11.1.4).
"""

from __future__ import annotations

import contextlib
import os
import signal

WANTS_TERMINAL = frozenset({signal.SIGTTIN, signal.SIGTTOU})
"""A process that is stopped by one of these wants to read from the terminal, or to set it up."""


class Foreground:
    """The terminal of this process.

    Args:
        descriptor: the open terminal.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._own = os.getpgrp()
        self.lent = False

    def lend(self, group: int) -> None:
        """Let the keys go to a process group."""
        self.lent = True
        self._give(group)

    def take_back(self) -> None:
        """Let the keys come here again, if they were lent."""
        if self.lent:
            self.lent = False
            self._give(self._own)

    def _give(self, group: int) -> None:
        # Whoever is not in the foreground is stopped by SIGTTOU for asking, unless it holds that signal back.
        held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
        try:
            with contextlib.suppress(OSError):  # the group, or the terminal, is not there any more
                os.tcsetpgrp(self.descriptor, group)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, held)


def controlling_terminal() -> int | None:
    """The terminal this process was started on, opened; None where there is none."""
    try:
        return os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return None
