"""Record environment variables that the program reads by name, each once, with their value then.

The seam is the dict inside `os.environ` and `os.environb`, so these stay what they are. A variable that the program has
set itself is not read from outside. A listing of all variables (`dict(os.environ)`, `items()`) is recorded as such: most
programs do this to pass them to a child process, and it does not show which of them mattered.
"""

from __future__ import annotations

import os
from collections.abc import Callable, ItemsView, Iterator, ValuesView
from sys import _getframe as frame_at
from types import FrameType
from typing import Any

from namel3ss_debug.capture.core import interruptions
from namel3ss_debug.capture.core.patching import Undo
from namel3ss_debug.capture.seams.processes import processes

_SKIPPED_MODULES = frozenset({"os", "_collections_abc", "collections.abc"})
_VIEWS = (ItemsView.__iter__.__code__, ValuesView.__iter__.__code__)
_value = dict.__getitem__

Note = Callable[[str, str | None, FrameType], None]
"""Called with a variable that was read: its name, its value or `None` if it is not set, and the frame that read it."""

Listed = Callable[[FrameType], None]
"""Called with the frame that listed all variables."""


class _WatchedVariables(dict[bytes, bytes]):
    """The variables of the process: works as before, and reports reads."""

    __slots__ = ()

    def __getitem__(self, key: bytes) -> bytes:
        reads = _reads
        if reads is not None and key not in reads.known:
            frame = frame_at(2)  # past the method of `os.environ`
            if id(frame) != reads.listing_frame or frame.f_code not in _VIEWS:
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
            processes.keep_boot_folder(value)

    def __delitem__(self, key: bytes) -> None:
        if _reads is not None:
            _reads.known.add(key)
        super().__delitem__(key)
        if key == b"PYTHONPATH":
            processes.keep_boot_folder()

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)


class Reads:
    """The variables that the program has read so far.

    Args:
        note: called with each variable when it is read for the first time.
        listed: called with the frame that lists all.

    Attributes:
        known: the variables that are recorded already, or that the program has set itself.
        listing_frame: the identity of the frame that iterates over `items()` or `values()`, once this is known.
    """

    def __init__(self, note: Note, listed: Listed) -> None:
        self.known: set[bytes] = set()
        self._note = note
        self._listed = listed
        self._listing_at: tuple[int, int] | None = None
        self.listing_frame = 0

    def read(self, key: bytes, value: bytes | None) -> None:
        """Record that a variable is read; raises nothing of its own."""
        try:
            frame = _reading_frame()
            if frame is None:
                return
            if (id(frame), frame.f_lasti) == self._listing_at:
                self.listing_frame = id(
                    frame_at(3)
                )  # past `_WatchedVariables` and the method of `os.environ`
                return
            self.known.add(key)
            self._note(os.fsdecode(key), None if value is None else os.fsdecode(value), frame)
        except Exception as error:  # the program gets its variable in any case
            if interruptions.is_from_signal_handler(error):
                raise

    def list_all(self) -> None:
        """Record that all names are listed; the values that the same instruction then reads belong to the listing."""
        try:
            frame, self.listing_frame = _reading_frame(), 0
            if frame is not None:
                self._listing_at = id(frame), frame.f_lasti
                self._listed(frame)
        except Exception as error:  # as above
            if interruptions.is_from_signal_handler(error):
                raise


_reads: Reads | None = None


def install(reads: Reads) -> Undo:
    """Watch the variables of this process from now on."""
    global _reads  # one environment a process
    holders: list[Any] = [
        holder for holder in (os.environ, getattr(os, "environb", None)) if holder is not None
    ]
    if not all(type(getattr(holder, "_data", None)) is dict for holder in holders):
        return _do_nothing  # the program has replaced the mapping
    watched = _WatchedVariables(os.environ._data)  # type: ignore[attr-defined]  # no public seam sees reads
    _reads = reads
    for holder in holders:
        holder._data = watched

    def put_back() -> None:
        global _reads
        _reads = None
        plain = dict(watched)
        for holder in holders:
            if holder._data is watched:
                holder._data = plain

    return put_back


def _reading_frame() -> FrameType | None:
    """Return the frame that reads, outside of the methods of `os.environ`."""
    frame: FrameType | None = frame_at(3)
    while frame is not None and frame.f_globals.get("__name__") in _SKIPPED_MODULES:
        frame = frame.f_back
    return frame


def _do_nothing() -> None:
    """Do nothing, because nothing was replaced."""
