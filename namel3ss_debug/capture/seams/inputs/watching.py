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

from namel3ss_debug.capture.core.own_code import CAPTURE_FOLDER
from namel3ss_debug.capture.core.patching import Undo
from namel3ss_debug.capture.seams.inputs.opened_files import DATABASE, READ, on_open

MOST_LINES: Final = 20_000
"""How many lines of output are recorded."""

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
                frame = frame_at(1)
                if frame.f_code.co_filename.startswith(CAPTURE_FOLDER) and frame.f_back is not None:
                    frame = frame.f_back  # `outputs.streams` stands in for `write`
                printed(line, frame)
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


def watch_files(opened: Opened) -> list[Undo]:
    """Report which line of code opens which file, except for files of code and of the interpreter."""

    def watch(path: str, access: str, _reads: bool) -> None:
        # A database of SQLite counts as read.
        use = "read" if access in (READ, DATABASE) else "written"
        frame = frame_at(2)
        if frame.f_code.co_filename.startswith(CAPTURE_FOLDER) and frame.f_back is not None:
            frame = frame.f_back  # `file_access` stands in for `open`
        opened(path, use if access != READ or os.path.lexists(path) else "missing", frame)

    return [on_open(watch)]
