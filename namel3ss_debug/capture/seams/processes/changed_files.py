"""Find files that a command has changed and that the program reads later, and see the signals that the program sends.

A re-run that answers the command leaves such a file as it is, so what the program reads there is not verified. The seam is
an audit hook, which is added when the program runs its first command, because every span then costs an eighth more. A file
counts if it was modified while a command ran, by the time in its inode, and if the program had not opened it for writing
right before.
"""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Callable
from time import sleep as sleep_here
from typing import Any

from namel3ss_debug.capture.core import interruptions
from namel3ss_debug.traces.clocks import time_ns

_EVENTS = frozenset({"open", "os.kill", "os.killpg"})
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_APPEND | os.O_TRUNC | os.O_CREAT
_WRITES = frozenset("wax+")
_OF_THE_KERNEL = ("/proc/", "/sys/", "/dev/")
"""Folders whose files have the time at which they are looked at, so that any command seems to have changed them."""

_MOST_COMMANDS = 256
_MOST_FILES = 1000
_COARSE = 5
"""CLOCK_REALTIME_COARSE of Linux, which file times are taken from; `time` has no name for it."""

_HAS_COARSE_CLOCK = os.uname().sysname == "Linux"
_TICK_NS = 10_000_000


def file_clock_ns() -> int:
    """Return the time that a file would get which is modified now, or a little earlier one."""
    if _HAS_COARSE_CLOCK:
        return time.clock_gettime_ns(_COARSE)
    return time_ns() - _TICK_NS


class ChangedFiles:
    """The files that commands have changed.

    Args:
        report: called with the path of such a file when the program reads it, and with the command.
        on_signal: called with the id of a process, or of a group, that the program sends a signal.
    """

    def __init__(self, report: Callable[[str, Any], None], on_signal: Callable[[int], None]) -> None:
        self._report = report
        self.on_signal = on_signal
        self._commands: deque[tuple[int, int, Any]] = deque(maxlen=_MOST_COMMANDS)
        self._written: dict[str, int] = {}  # by the program itself, and when it opened them
        self._reported: set[str] = set()
        self._is_started = False
        packages = {os.path.realpath(each) + os.sep for each in (sys.prefix, sys.base_prefix)}
        self._skipped = (*packages, *_OF_THE_KERNEL)

    def start(self) -> None:
        """Look at the files that the program opens from now on, the first time; before a command begins."""
        global _active, _is_added  # an audit hook cannot be removed, so there is one for all tracers
        if self._is_started:
            return
        self._is_started = True
        _active = self
        if not _is_added:
            _is_added = True
            sys.addaudithook(_audit)
        # Files that the program wrote until now must be older than the command by a clock of 4 to 10 ms a tick.
        now = time_ns()
        while file_clock_ns() <= now:
            sleep_here(0.001)

    def add(self, began_ns: int, command: Any) -> None:
        """Note a command that has ended, and when it began by `file_clock_ns`."""
        self._commands.append((began_ns, file_clock_ns() + _TICK_NS, command))

    def stop(self) -> None:
        """Look at no file any more."""
        global _active
        if _active is self:
            _active = None

    def look_at(self, path: Any, mode: Any, flags: Any) -> None:
        """Take the arguments of an audit event `open`.

        Raises:
            OSError: the file cannot be looked at.
        """
        writes = (isinstance(mode, str) and not _WRITES.isdisjoint(mode)) or int(flags or 0) & _WRITING
        if not (writes or self._commands) or not isinstance(path, str | bytes | os.PathLike):
            return
        name = os.path.abspath(os.fsdecode(path))
        if name in self._reported or name.startswith(self._skipped):
            return
        if writes:
            if len(self._written) >= _MOST_FILES:
                self._written.pop(next(iter(self._written)))
            self._written[name] = file_clock_ns()
            return
        modified, own = os.stat(name).st_mtime_ns, self._written.get(name, 0)
        for began, ended, command in reversed(self._commands):
            if max(began, own + _TICK_NS) <= modified <= ended and len(self._reported) < _MOST_FILES:
                self._reported.add(name)
                self._report(name, command)
                return


_active: ChangedFiles | None = None
_is_added = False


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _active is None or event not in _EVENTS:
        return
    try:
        if event == "open":
            _active.look_at(*arguments)
        elif arguments[1]:  # signal 0 only asks whether the process is there
            _active.on_signal(arguments[0])
    except Exception as error:  # neither opening a file nor a signal fails because of us
        if interruptions.is_from_signal_handler(error):
            raise
