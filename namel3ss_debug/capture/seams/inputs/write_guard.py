"""Refuse what a test writes or starts, unless its trace holds it.

A committed trace answers the calls of a test without a question, so an edited answer must not decide what a program
writes. While a test is recorded, the paths that it writes to are noted in its trace. While one answers, an audit hook
refuses every other path, and the ways to start a program that are not answered. A temporary folder may always be
written to. Numbers in names do not count, because they are often process ids, nor do random names of `tempfile`. This is no sandbox: code can get around
it on purpose, and libraries in C that call the system themselves are not seen.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, Final

from namel3ss_debug.capture.seams.inputs import opened_files
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.output import normalise
from namel3ss_debug.wire import lenient

WRITTEN: Final = "written"
"""The member of the metadata of a `trace_end` with the paths that a test wrote to."""

_PATHS: Final[Mapping[str, tuple[int, ...]]] = {
    "open": (0,),
    **opened_files.CHANGES,
    "sqlite3.connect": (0,),
}
"""An audit event that writes -> which of its arguments are the paths."""

_STARTS: Final = frozenset({"os.exec", "os.spawn", "os.posix_spawn", "pty.spawn", "os.startfile"})
"""The audit events of starting a program in a way that is not answered."""

_WRITES: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_DEVICES: Final = ("/dev/", "/proc/")
_NUMBER: Final = re.compile(r"\d+")
_IMPORTING: Final = "<frozen importlib"
_PYTEST_IMPORTING: Final = os.path.join("_pytest", "assertion", "rewrite.py")
_OS: Final = ("<frozen os>", os.__file__)
_SUBPROCESS: Final = os.path.join(os.path.dirname(os.__file__), "subprocess.py")

_guard: WriteGuard | None = None
_hooked = False


class WriteGuard:
    """What a test may write.

    Args:
        root: the folder of the user's code, to which paths in a trace are relative.
        scratch: a folder that may always be written to, beside that of the system.
        recorded: the paths in the trace; None while the test is recorded.
        refuse: makes the exception for an effect that is not recorded, from its description.
    """

    def __init__(
        self,
        root: Path,
        scratch: Path,
        recorded: Iterable[str] | None,
        refuse: Callable[[str], BaseException],
    ) -> None:
        self._root = os.path.realpath(root)
        self._free = tuple(
            os.path.join(os.path.realpath(each), "") for each in (scratch, tempfile.gettempdir())
        )
        self._recorded = None if recorded is None else frozenset(map(_pattern, recorded))
        self._refuse = refuse
        self._written: dict[str, None] = {}

    def begin(self) -> None:
        """Watch this process from now on."""
        global _guard, _hooked  # an audit hook cannot be removed
        _guard = self
        if not _hooked:
            _hooked = True
            sys.addaudithook(_audit)

    def end(self) -> list[str]:
        """Watch no longer, and return the paths that were written to."""
        global _guard
        if _guard is self:
            _guard = None
        return list(self._written)

    def check(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Refuse an effect that the trace does not hold."""
        if event in _STARTS:
            if self._recorded is not None and not _is_in_subprocess(sys._getframe(2)):
                raise self._refuse(f"a program is started by {event}, which no trace answers")
            return
        if event == "open" and not _opens_for_writing(*arguments[1:3]):
            return
        for index in _PATHS[event]:
            path = self._find(arguments[index])
            if path is None or _is_importing(sys._getframe(2)):
                continue
            if self._recorded is None:
                self._written[path] = None
            elif _pattern(path) not in self._recorded:
                raise self._refuse(f"{path} would be written ({event}), and the trace holds no such file")

    def _find(self, path: Any) -> str | None:
        """Return a path as a trace names it; None for one that may always be written to."""
        if isinstance(path, int) or path in (None, "", b"", ":memory:", b":memory:"):
            return None
        try:
            real = os.path.realpath(os.fsdecode(path))
        except (TypeError, ValueError):
            return None
        if real.startswith((*self._free, *_DEVICES)):
            return None
        relative = os.path.relpath(real, self._root)
        return real if relative.startswith(os.pardir) else relative


def recorded_paths(events: Iterable[Event], root: Path) -> set[str]:
    """Return the paths that the program of a trace wrote to, relative to the folder of its code if they are below it.

    Args:
        events: the events of the trace.
        root: the folder of the user's code now; that of the trace of a whole program stands in its first line.
    """
    found: set[str] = set()
    recorded_root = os.path.realpath(root)
    for event in events:
        metadata = lenient.mapping(event.get("metadata"))
        if event["event_type"] == "trace_start":
            recorded_root = lenient.string(metadata.get("cwd")) or recorded_root
        elif event["event_type"] == "trace_end":
            found.update(map(str, lenient.sequence(metadata.get(WRITTEN))))
        for path, described in lenient.mapping(metadata.get("digests")).items():
            # A file that is written under another name and then renamed has only an effect.
            if not {"written", "effect"}.isdisjoint(lenient.mapping(described)):
                relative = os.path.relpath(path, recorded_root)
                found.add(path if relative.startswith(os.pardir) else relative)
    return found


def _pattern(path: str) -> str:
    return _NUMBER.sub("#", normalise(f"/{path}"))


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    # Each audit event of the process arrives here.
    if _guard is not None and (event in _PATHS or event in _STARTS) and not opened_files.is_busy():
        _guard.check(event, arguments)


def _opens_for_writing(mode: Any = None, flags: Any = None) -> bool:
    if isinstance(mode, str):
        return bool(set(mode) & set("wax+"))
    return isinstance(flags, int) and bool(flags & _WRITES)


def _is_importing(frame: FrameType | None) -> bool:
    """Return whether a module is being imported, whose compiled code Python keeps, or pytest for its plugins."""
    while frame is not None and frame.f_code.co_filename in _OS:  # `os.makedirs`
        frame = frame.f_back
    name = "" if frame is None else frame.f_code.co_filename
    return name.startswith(_IMPORTING) or name.endswith(_PYTEST_IMPORTING)


def _is_in_subprocess(frame: FrameType | None) -> bool:
    """Return whether `subprocess` starts a program that the trace, or the test, lets run."""
    return frame is not None and frame.f_code.co_filename == _SUBPROCESS
