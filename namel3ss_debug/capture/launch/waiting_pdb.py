"""A pdb in the program, at the line that waits, on the terminal of the debugger's shell.

The shell has put this process into the foreground. pdb reads and writes the terminal itself, because stdin and stdout
belong to the program. `continue` and `quit` return to the shell: the program still waits at its event. A command that
moves lets the program go on, and the shell lets it pass its events until pdb has nothing more to stop at.

Ctrl-C at pdb's prompt ends the line and sends no signal: SIGINT would reach the main thread, an event loop or a parent
process, although the line was typed for a pdb in another thread. While a command runs, Ctrl-C is a signal as usual.
"""

from __future__ import annotations

import os
import pdb  # noqa: T100  (this is what the command runs)
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from types import FrameType, TracebackType
from typing import Any

from namel3ss_debug.capture.core.callsite import CallSites
from namel3ss_debug.capture.core.own_code import PACKAGE_FOLDER
from namel3ss_debug.traces.clocks import perf_counter_ns

_OURS = (PACKAGE_FOLDER, "<namel3ss_debug")  # the second are functions that are made for wrapping
_CTRL_C = "\x03"
_BLOCK = 1 << 16
_LOCAL_MODES, _CHARACTERS = 3, 6


class _Terminal:
    """The terminal as a file of text, as far as pdb uses one.

    Args:
        path: the device. It is named, because a process in another session has no `/dev/tty`.
    """

    encoding = "utf-8"
    errors = "replace"

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)

    def readline(self, _size: int = -1) -> str:
        """Return a line with its end; "" at Ctrl-D.

        Raises:
            KeyboardInterrupt: Ctrl-C was typed.
        """
        with self._ending_lines_at_ctrl_c(), suppress(OSError):  # EIO: the terminal has gone
            line = os.read(self._descriptor, _BLOCK).decode("utf-8", "replace")
            if not line.endswith("\n"):  # the terminal has shown no end of the line
                self.write("\n")
            if line.endswith(_CTRL_C):
                raise KeyboardInterrupt
            return line
        return ""

    @contextmanager
    def _ending_lines_at_ctrl_c(self) -> Iterator[None]:
        before = termios.tcgetattr(self._descriptor)
        modes = termios.tcgetattr(self._descriptor)
        modes[_LOCAL_MODES] |= termios.ICANON | termios.ECHO | termios.ISIG
        modes[_CHARACTERS][termios.VINTR] = bytes([os.fpathconf(self._descriptor, "PC_VDISABLE") & 0xFF])
        modes[_CHARACTERS][termios.VEOL] = _CTRL_C.encode()
        termios.tcsetattr(self._descriptor, termios.TCSADRAIN, modes)
        try:
            yield
        finally:
            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, before)

    def write(self, text: str) -> int:
        """Write a text."""
        left = text.encode("utf-8", "backslashreplace")
        with suppress(OSError):
            while left:
                left = left[os.write(self._descriptor, left) :]
        return len(text)

    def flush(self) -> None:
        """Do nothing: every text is written at once."""

    def isatty(self) -> bool:
        """Return that this is a terminal."""
        return True

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._descriptor

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._descriptor)


class WaitingPdb(pdb.Pdb):
    """pdb at a waiting frame.

    Args:
        terminal: the path of the terminal.
        sites: finds the user's own frames.
        unrecorded: entered while the user types: what the typed code does is no part of the program's run.
        on_pause: called with the nanoseconds for which pdb has paused the program between two events.
        on_end: called when pdb ends after it has let the program go on.
    """

    def __init__(
        self,
        terminal: str,
        sites: CallSites,
        *,
        unrecorded: Callable[[], AbstractContextManager[None]],
        on_pause: Callable[[int], None],
        on_end: Callable[[], None],
    ) -> None:
        self._terminal = _Terminal(terminal)
        stream: Any = self._terminal
        super().__init__(stdin=stream, stdout=stream, nosigint=True)
        self._sites = sites
        self._unrecorded = unrecorded
        self._on_pause = on_pause
        self._on_end = on_end
        self._tracer_before: Any = None

    def run_at(self, frame: FrameType) -> bool:
        """Read commands at a frame; return whether one of them lets the program go on, under pdb."""
        self._tracer_before = sys.gettrace()
        frames = list(_outwards(frame))
        traced = [each.f_trace for each in frames]
        self.reset()
        self.botframe = frames[-1]
        self._interact(frame, None)
        if self._has_stops():
            for each in frames:
                each.f_trace = self.trace_dispatch
            sys.settrace(self.trace_dispatch)
            return True
        for each, function in zip(frames, traced, strict=True):
            each.f_trace = function
        self._end()
        return False

    def interaction(self, *arguments: Any, **options: Any) -> None:
        """Read commands where the program has stopped again."""
        reached = perf_counter_ns()
        self._interact(*arguments, **options)
        self._on_pause(perf_counter_ns() - reached)
        if not self._has_stops():
            self._end()
            self._on_end()

    def _interact(self, *arguments: Any, **options: Any) -> None:
        with self._unrecorded():
            super().interaction(*arguments, **options)

    def _has_stops(self) -> bool:
        """Return whether the program can stop again: a command has moved, or a breakpoint is set."""
        return self.stoplineno != -1 or bool(self.breaks)

    def _end(self) -> None:
        sys.settrace(self._tracer_before)
        self._terminal.close()

    def stop_here(self, frame: FrameType) -> bool:
        """Return whether to stop in a frame: not in our own code, nor in a library that it calls."""
        if not super().stop_here(frame):
            return False
        shown = self._sites.shown
        for each in _outwards(frame):
            if each.f_code.co_filename.startswith(PACKAGE_FOLDER):
                return False
            if shown(each.f_code.co_filename) is not None:
                return True
        return True

    def get_stack(self, frame: FrameType | None, trace: TracebackType | None) -> Any:
        """Return the stack without our own frames, and the index of the frame in it."""
        stack, index = super().get_stack(frame, trace)
        shown = [each for each in stack if not each[0].f_code.co_filename.startswith(_OURS)]
        return shown, max(sum(each in shown for each in stack[: index + 1]) - 1, 0)

    def do_quit(self, arg: str) -> bool | None:
        """Leave pdb; the program goes on with the debugger."""
        del arg
        self.clear_all_breaks()
        return self.do_continue("")

    do_q = do_exit = do_EOF = do_quit  # noqa: N815

    def do_run(self, arg: str) -> bool | None:
        """Refuse to restart the program."""
        del arg
        self.error("the program cannot be started again from here; leave pdb first")
        return None

    do_restart = do_run

    def do_interact(self, arg: str) -> None:
        """Start an interactive interpreter on the terminal."""
        streams = sys.stdin, sys.stdout, sys.stderr
        stream: Any = self._terminal
        sys.stdin = sys.stdout = sys.stderr = stream
        try:
            super().do_interact(arg)
        finally:
            sys.stdin, sys.stdout, sys.stderr = streams


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back
