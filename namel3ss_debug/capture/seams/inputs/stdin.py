"""Record what the program reads from its standard input, as bytes.

`sys.stdin` is rebuilt on a file that reports what is read; nothing is read earlier than before. `input()` at a terminal
bypasses `sys.stdin`: it is replaced by a function that reports the line and leaves no frame in tracebacks. (An audit hook
would be called as well, but also for each `id()` and each access to a frame.) A child process that inherits the
standard input is recorded likewise; one that reads from a pipe of its parent is not, because the parent writes there
again.

A tool that a re-run answers reads nothing, so the lines that were read in it are noted, and skipped then.
"""

from __future__ import annotations

import builtins
import io
import os
import sys
from collections.abc import Callable, Mapping
from sys import _getframe as frame_at
from typing import Any

from namel3ss_debug.capture.core.patching import Undo, hide_own_frame, replace
from namel3ss_debug.capture.seams.outputs import streams

Note = Callable[[bytes], None]
"""Called with what was read; b"" at the end."""

_note: Note | None = None
_on_line: Callable[[], None] | None = None
_recorded_lines: Mapping[str, int] = {}
_text: io.TextIOWrapper | None = None


class _WatchedInput(io.FileIO):
    """The file below `sys.stdin`.

    Attributes:
        poses: returns whether this is to look like a terminal to the code in this file.
    """

    poses: Callable[[str], bool] | None = None

    def isatty(self) -> bool:
        poses = self.poses
        asking = frame_at(1).f_code.co_filename  # the classes between are in C
        return super().isatty() or (poses is not None and poses(asking))

    def readinto(self, buffer: Any, /) -> int | None:
        size = super().readinto(buffer)
        if size is not None:
            _report(bytes(memoryview(buffer)[:size]))
        return size

    def readall(self) -> bytes:
        data = super().readall()
        _report(data)
        return data

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(-1 if size is None else size)
        if data is not None:
            _report(data)
        return data


def is_terminal() -> bool:
    """Return whether the standard input of this process is a terminal."""
    try:
        return os.isatty(0)
    except OSError:
        return False


def install(
    note: Note,
    on_line: Callable[[], None],
    recorded_lines: Mapping[str, int],
    poses: Callable[[str], bool] | None = None,
) -> Undo:
    """Report what is read from the standard input from now on; only for a program that has not read from it yet.

    Args:
        note: called with what was read.
        on_line: called when the program gets a line.
        recorded_lines: for a re-run, how many lines the calls of tools have read, by task path.
        poses: for a re-run, returns whether the standard input is to look like a terminal to the code in this file.
    """
    global _note, _on_line, _recorded_lines, _text
    before = sys.stdin
    if type(before) is not io.TextIOWrapper or before is not sys.__stdin__ or before.fileno() != 0:
        return _stop
    raw = _WatchedInput(0, "rb", closefd=False)
    raw.name = before.name  # the name that the interpreter itself sets
    buffer = io.BufferedReader(raw, getattr(raw, "_blksize", io.DEFAULT_BUFFER_SIZE))
    text = io.TextIOWrapper(
        buffer, before.encoding, before.errors, newline="\n", line_buffering=before.line_buffering
    )
    text.mode = "r"  # type: ignore[misc]  # as above
    text.readline = _reporting_readline(text)  # type: ignore[method-assign]  # `input()` looks it up on the object
    sys.stdin = sys.__stdin__ = text  # type: ignore[misc]
    _note, _on_line, _recorded_lines, _text = note, on_line, recorded_lines, text
    restore = replace(builtins, "input", _reporting_input) if raw.isatty() else _stop
    raw.poses = poses

    def stop() -> None:
        restore()
        _stop()

    return stop


def serve(data: bytes, recorded_lines: Mapping[str, int]) -> Undo:
    """Let the program of this process read these bytes from its standard input, until the result is called.

    Args:
        data: all that there is to read.
        recorded_lines: as for `install`.
    """
    global _recorded_lines, _text
    before, text = sys.stdin, io.TextIOWrapper(io.BytesIO(data), "utf-8", "surrogateescape", newline="\n")
    sys.stdin, _recorded_lines, _text = text, recorded_lines, text

    def restore() -> None:
        _stop()
        if sys.stdin is text:
            sys.stdin = before

    return restore


def skip_lines_of_call(path: str) -> None:
    """Skip the lines that an answered call of a tool has read: they are not for the code after it.

    Args:
        path: the task path of the call.
    """
    if _text is not None and not _text.closed:
        for _ in range(_recorded_lines.get(path, 0)):
            _text.readline()


def identity() -> str:
    """Return an identity of the standard input of this process; "" if there is none."""
    try:
        status = os.fstat(0)
    except OSError:
        return ""
    return f"{status.st_dev}:{status.st_ino}"


def _report(data: bytes) -> None:
    if _note is not None:
        try:
            _note(data)
        except Exception:  # the program gets its input in any case
            pass


def _reporting_input(plain: Callable[..., str]) -> Callable[..., str]:
    """Return the function `input`, which also reports a line that is not read through `sys.stdin`."""

    def read_line(*arguments: Any, **keywords: Any) -> str:
        bypasses = _bypasses_stdin()
        if bypasses and arguments:
            streams.report_prompt(arguments[0])
        try:
            line = plain(*arguments, **keywords)
        except BaseException as error:
            hide_own_frame(error)
            raise
        if bypasses and _note is not None:
            _report(f"{line}\n".encode(errors="surrogateescape"))
            _report_line()
        return line

    return read_line


def _bypasses_stdin() -> bool:
    """Return whether `input()` reads from the terminal itself, by the rules of CPython's `builtin_input_impl`."""
    try:
        return sys.stdin.fileno() == 0 and sys.stdout.fileno() == 1 and os.isatty(0) and os.isatty(1)
    except Exception:  # the program may have put anything there
        return False


def _reporting_readline(text: io.TextIOWrapper) -> Callable[..., str]:
    """Return the `readline` of a file, which also reports each line."""
    plain = text.readline

    def readline(*args: Any) -> str:
        line = plain(*args)
        if line.endswith("\n"):
            _report_line()
        return line

    return readline


def _report_line() -> None:
    if _on_line is not None:
        try:
            _on_line()
        except Exception:  # as above
            pass


def _stop() -> None:
    global _note, _on_line, _recorded_lines, _text
    _note, _on_line, _recorded_lines, _text = None, None, {}, None
