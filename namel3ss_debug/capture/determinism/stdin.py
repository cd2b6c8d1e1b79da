"""What the program reads from its standard input, as bytes.

`sys.stdin` is made anew with a file below it that notes what comes; nothing is read ahead of the program that was not
before. `input()` at a terminal goes around `sys.stdin`: there a function in its place, which leaves no frame in
tracebacks, tells the line. (An audit hook would be told too, and of each `id()` and each frame that anything looks at
besides.) A child process that has the standard input of its parent is recorded likewise; one that has a pipe of its
parent's is not, for the parent writes there again.

A tool that a re-run answers reads nothing, so which lines were read in it is noted, and those are passed over then.
"""

from __future__ import annotations

import builtins
import io
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

from namel3ss_debug.capture.patching import Undo, hide_own_frame, replace

Note = Callable[[bytes], None]
"""Told what was read; nothing where the end was reached."""

_note: Note | None = None
_on_line: Callable[[], None] | None = None
_passed: Mapping[str, int] = {}
_text: io.TextIOWrapper | None = None


class _Input(io.FileIO):
    """The file below `sys.stdin`.

    Attributes:
        poses: told the file of the code that asks, says whether this passes for a terminal although it is none.
    """

    poses: Callable[[str], bool] | None = None

    def isatty(self) -> bool:
        poses = self.poses
        asking = sys._getframe(1).f_code.co_filename  # noqa: SLF001  (the classes between are in C)
        return super().isatty() or (poses is not None and poses(asking))

    def readinto(self, buffer: Any, /) -> int | None:
        size = super().readinto(buffer)
        if size is not None:
            _tell(bytes(memoryview(buffer)[:size]))
        return size

    def readall(self) -> bytes:
        data = super().readall()
        _tell(data)
        return data

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(-1 if size is None else size)
        if data is not None:
            _tell(data)
        return data


def is_terminal() -> bool:
    """Whether the standard input of this process is a terminal."""
    try:
        return os.isatty(0)
    except OSError:
        return False


def install(
    note: Note,
    on_line: Callable[[], None],
    passed: Mapping[str, int],
    poses: Callable[[str], bool] | None = None,
) -> Undo:
    """Note what is read from the standard input from now on; only for a program that has not read from it yet.

    Args:
        note: told what was read.
        on_line: told that a line was given to the program.
        passed: how many lines were read in calls of tools, by their lines of work, in what a re-run is one of.
        poses: told the file of the code that asks, says whether the standard input passes for a terminal, as it was one
            in what a re-run is one of.
    """
    global _note, _on_line, _passed, _text
    before = sys.stdin
    if type(before) is not io.TextIOWrapper or before is not sys.__stdin__ or before.fileno() != 0:
        return _stop
    raw = _Input(0, "rb", closefd=False)
    raw.name = before.name  # what the interpreter itself gives it
    buffer = io.BufferedReader(raw, getattr(raw, "_blksize", io.DEFAULT_BUFFER_SIZE))
    text = io.TextIOWrapper(
        buffer, before.encoding, before.errors, newline="\n", line_buffering=before.line_buffering
    )
    text.mode = "r"  # type: ignore[misc]  # as above
    text.readline = _counting(text)  # type: ignore[method-assign]  # `input()` and others find it in the object
    sys.stdin = sys.__stdin__ = text  # type: ignore[misc]
    _note, _on_line, _passed, _text = note, on_line, passed, text
    put_back = replace(builtins, "input", _telling) if raw.isatty() else _stop
    raw.poses = poses

    def stop() -> None:
        put_back()
        _stop()

    return stop


def serve(data: bytes, passed: Mapping[str, int]) -> Undo:
    """Let the program of this process read these bytes from its standard input, until the result is called.

    Args:
        data: all that there is to read.
        passed: as for `install`.
    """
    global _passed, _text
    before, text = sys.stdin, io.TextIOWrapper(io.BytesIO(data), "utf-8", "surrogateescape", newline="\n")
    sys.stdin, _passed, _text = text, passed, text

    def put_back() -> None:
        _stop()
        if sys.stdin is text:
            sys.stdin = before

    return put_back


def pass_over(path: str) -> None:
    """A call of a tool is answered: the lines that it read are not for what comes after it.

    Args:
        path: the line of work of the call.
    """
    if _text is not None and not _text.closed:
        for _ in range(_passed.get(path, 0)):
            _text.readline()


def identity() -> str:
    """An identity of the standard input of this process; empty where there is none."""
    try:
        status = os.fstat(0)
    except OSError:
        return ""
    return f"{status.st_dev}:{status.st_ino}"


def _tell(data: bytes) -> None:
    if _note is not None:
        try:
            _note(data)
        except Exception:  # noqa: S110  (the program gets its input)
            pass


def _telling(plain: Callable[..., str]) -> Callable[..., str]:
    """The function `input`, which also notes a line that did not come through `sys.stdin`."""

    def asked(*arguments: Any, **keywords: Any) -> str:
        around = _goes_around()
        try:
            line = plain(*arguments, **keywords)
        except BaseException as error:
            hide_own_frame(error)
            raise
        if around and _note is not None:
            _tell(f"{line}\n".encode(errors="surrogateescape"))
            _tell_line()
        return line

    return asked


def _goes_around() -> bool:
    """Whether `input()` asks the terminal itself, by the rules of CPython's `builtin_input_impl`."""
    try:
        return sys.stdin.fileno() == 0 and sys.stdout.fileno() == 1 and os.isatty(0) and os.isatty(1)
    except Exception:  # what stands there need not be a file
        return False


def _counting(text: io.TextIOWrapper) -> Callable[..., str]:
    """The `readline` of a file, which also notes each line."""
    plain = text.readline

    def readline(*args: Any) -> str:
        line = plain(*args)
        if line.endswith("\n"):
            _tell_line()
        return line

    return readline


def _tell_line() -> None:
    if _on_line is not None:
        try:
            _on_line()
        except Exception:  # noqa: S110  (as above)
            pass


def _stop() -> None:
    global _note, _on_line, _passed, _text
    _note, _on_line, _passed, _text = None, None, {}, None
