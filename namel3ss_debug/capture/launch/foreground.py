"""Give the terminal to one of two programs: the debugger's shell, or the program that it steps.

The program runs in a process group of its own, so that Ctrl-C in the shell does not reach it. A process that is not in
the foreground of its terminal is stopped when it reads from it or changes its settings (SIGTTIN, SIGTTOU). The shell
sees that, lends it the terminal, and takes the terminal back at the next event. This is what a shell does with its jobs
(POSIX.1-2017, General Terminal Interface, 11.1.4).
"""

from __future__ import annotations

import contextlib
import os
import signal
import termios
from collections.abc import Iterator

WANTS_TERMINAL = frozenset({signal.SIGTTIN, signal.SIGTTOU})
"""Signals that stop a process in the background that wants to read from the terminal, or to configure it."""


class Foreground:
    """The terminal of this process, which it can lend.

    Args:
        descriptor: the open terminal.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._own = os.getpgrp()
        self.lent = False

    def lend(self, group: int) -> None:
        """Give the terminal to a process group."""
        self.lent = True
        self._give(group)

    def take_back(self) -> None:
        """Take the terminal back for the debugger, if it was lent."""
        if self.lent:
            self.lent = False
            self._give(self._own)

    @contextlib.contextmanager
    def lending_modes(self) -> Iterator[None]:
        """Restore the modes of the terminal after the block: a program that has it may die with the echo off."""
        before = termios.tcgetattr(self.descriptor)
        try:
            yield
        finally:
            self.take_back()
            with contextlib.suppress(termios.error):  # the terminal has gone
                termios.tcsetattr(self.descriptor, termios.TCSADRAIN, before)

    def _give(self, group: int) -> None:
        # A process in the background is stopped by SIGTTOU for this call, unless it blocks that signal.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
        try:
            with contextlib.suppress(OSError):  # the group or the terminal is gone
                os.tcsetpgrp(self.descriptor, group)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def terminal_path() -> str:
    """Return the path of the terminal this process was started on, by which processes of other sessions open it too."""
    import psutil  # only where a pdb is asked for

    return psutil.Process().terminal() or "/dev/tty"


def controlling_terminal() -> int | None:
    """Open the terminal this process was started on; None if there is none."""
    try:
        return os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return None
