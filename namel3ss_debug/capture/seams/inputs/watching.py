"""Record for the doctor which line of code prints a line of the output, and which opens a file.

A re-run does not need this. It shows where a program behaves differently when it runs again. Files are watched in every
process, output in the first alone.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from sys import _getframe as frame_at
from types import FrameType
from typing import Any, Final

from namel3ss_debug.capture.core.patching import Undo

MOST_LINES: Final = 20_000
"""How many lines of output are recorded."""

_CODE: Final = (".py", ".pyc", ".pyi", ".so", ".pth", ".zip", ".dist-info")
_WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

Printed = Callable[[int, FrameType], None]
"""Called with the number of a line of output, from 0, and the frame that began it."""

Opened = Callable[[str, str, FrameType], None]
"""Called with the path of an opened file, whether it is `read`, `written` or `missing`, and the frame."""


def watch_output(printed: Printed) -> list[Undo]:
    """Report which line of code prints which line; do nothing if `sys.stdout` cannot be watched."""
    stream: Any = sys.stdout
    try:
        original = stream.write
        line, fresh = 0, True

        def write(text: str, /) -> int:
            nonlocal line, fresh
            if fresh and text and line < MOST_LINES:
                printed(line, frame_at(1))
            if text:
                line, fresh = line + text.count("\n"), text.endswith("\n")
            count: int = original(text)
            return count

        stream.write = write
    except Exception:
        return []

    def put_back() -> None:
        stream.__dict__.pop("write", None)

    return [put_back]


def _database(named: str) -> str | None:
    """Return the file of a database; None if it is in memory alone, or temporary."""
    from urllib.parse import unquote, urlsplit

    if named.startswith("file:"):
        parts = urlsplit(named)
        named = "" if "mode=memory" in parts.query else unquote(parts.path)
    return None if named in ("", ":memory:") else named


def watch_files(opened: Opened) -> list[Undo]:
    """Report which line of code opens which file, except for files of code and of the interpreter."""
    active = True
    own = tuple(
        {os.path.realpath(path) + os.sep for path in (sys.prefix, sys.base_prefix)}
        | {"/dev/", "/proc/", "/sys/", "/etc/", "/usr/", "/lib/"}
    )

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        """Report the opening of a file, from an audit event. A database of SQLite counts as read."""
        if event not in ("open", "sqlite3.connect") or not active:
            return
        path, mode, flags = (*arguments, 0, 0)[:3]
        if isinstance(path, bytes):
            path = os.fsdecode(path)
        if event != "open":
            path = _database(os.fspath(path))
        if not isinstance(path, str) or path.endswith(_CODE) or os.path.abspath(path).startswith(own):
            return
        writes = (
            any(letter in mode for letter in "wax+")
            if isinstance(mode, str)
            else bool(int(flags or 0) & _WRITING)
        )
        use = "written" if writes else "read" if event != "open" or os.path.lexists(path) else "missing"
        opened(os.path.abspath(path), use, frame_at(2))

    def guarded(event: str, arguments: tuple[Any, ...]) -> None:
        try:
            hook(event, arguments)
        except Exception:
            return

    sys.addaudithook(guarded)

    def put_back() -> None:
        nonlocal active
        active = False  # an audit hook cannot be removed

    return [put_back]
