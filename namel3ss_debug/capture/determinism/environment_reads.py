"""Environment variables that the program reads by name, each once, with what it had then.

The seam is the dict inside `os.environ` and `os.environb`, so these stay what they are. A variable that the program has
set itself is not read from outside. Going through all variables (`dict(os.environ)`, `items()`) is told as such; it is
mostly done to hand them to a child process, and tells nothing of what mattered.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, ItemsView, Iterator, ValuesView
from types import FrameType
from typing import Any

from namel3ss_debug.capture import interruptions, processes
from namel3ss_debug.capture.patching import Undo

_PASSED = frozenset({"os", "_collections_abc", "collections.abc"})
_VIEWS = (ItemsView.__iter__.__code__, ValuesView.__iter__.__code__)
_value = dict.__getitem__

Note = Callable[[str, str | None, FrameType], None]
"""Told a variable that was read: its name, its value or `None` where it was not set, and the frame that read it."""

Listed = Callable[[FrameType], None]
"""Told the frame that went through all variables."""


class _Watched(dict[bytes, bytes]):
    """The variables of the process: works as before, and reports what is read."""

    __slots__ = ()

    def __getitem__(self, key: bytes) -> bytes:
        reads = _reads
        if reads is not None and key not in reads.known:
            frame = sys._getframe(2)  # noqa: SLF001  (past the method of `os.environ`)
            if id(frame) != reads.view or frame.f_code not in _VIEWS:
                reads.read(key, self.get(key))
        return _value(self, key)

    def __iter__(self) -> Iterator[bytes]:
        if _reads is not None:
            _reads.list_all()
        return super().__iter__()

    def __setitem__(self, key: bytes, value: bytes) -> None:
        if _reads is not None:
            _reads.known.add(key)
        super().__setitem__(key, value)
        if key == b"PYTHONPATH":
            processes.keep_hook(value)

    def __delitem__(self, key: bytes) -> None:
        if _reads is not None:
            _reads.known.add(key)
        super().__delitem__(key)
        if key == b"PYTHONPATH":
            processes.keep_hook()

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)


class Reads:
    """What the program has read so far.

    Args:
        note: told each variable when it is read for the first time.
        listed: told where all were gone through.

    Attributes:
        known: the variables that need not be told: told already, or the program's own.
        view: the identity of the frame that goes through all of `items()` or `values()`, once it was found to do so.
    """

    def __init__(self, note: Note, listed: Listed) -> None:
        self.known: set[bytes] = set()
        self._note = note
        self._listed = listed
        self._going_through: tuple[int, int] | None = None
        self.view = 0

    def read(self, key: bytes, value: bytes | None) -> None:
        """Note that a variable is read; raises nothing of its own."""
        try:
            frame = _reader()
            if frame is None:
                return
            if (id(frame), frame.f_lasti) == self._going_through:
                self.view = id(sys._getframe(3))  # noqa: SLF001  (past `_Watched` and the method of `os.environ`)
                return
            self.known.add(key)
            self._note(os.fsdecode(key), None if value is None else os.fsdecode(value), frame)
        except Exception as error:  # the program gets its variable
            if interruptions.is_of_the_program(error):
                raise

    def list_all(self) -> None:
        """Note that all names are listed; the values that the same instruction then reads belong to that."""
        try:
            frame, self.view = _reader(), 0
            if frame is not None:
                self._going_through = id(frame), frame.f_lasti
                self._listed(frame)
        except Exception as error:  # as above
            if interruptions.is_of_the_program(error):
                raise


_reads: Reads | None = None


def install(reads: Reads) -> Undo:
    """Watch the variables of this process from now on."""
    global _reads  # noqa: PLW0603  (one environment a process)
    holders: list[Any] = [
        holder for holder in (os.environ, getattr(os, "environb", None)) if holder is not None
    ]
    if not all(type(getattr(holder, "_data", None)) is dict for holder in holders):
        return _nothing  # somebody has put another mapping there
    watched = _Watched(os.environ._data)  # type: ignore[attr-defined]  # noqa: SLF001  (no public seam sees reads)
    _reads = reads
    for holder in holders:
        holder._data = watched  # noqa: SLF001  (as above)

    def put_back() -> None:
        global _reads  # noqa: PLW0603  (as above)
        _reads = None
        plain = dict(watched)
        for holder in holders:
            if holder._data is watched:  # noqa: SLF001  (as above)
                holder._data = plain  # noqa: SLF001  (as above)

    return put_back


def _reader() -> FrameType | None:
    """The frame that reads, past the methods of `os.environ`."""
    frame: FrameType | None = sys._getframe(3)  # noqa: SLF001  (the documented way to a frame)
    while frame is not None and frame.f_globals.get("__name__") in _PASSED:
        frame = frame.f_back
    return frame


def _nothing() -> None:
    """Do nothing: nothing was put in place."""
