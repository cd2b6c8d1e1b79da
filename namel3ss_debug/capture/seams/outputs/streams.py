"""Report what the program writes to its stdout and stderr, where it writes.

The streams keep their objects, types and descriptors: methods in the dict of a stream stand in for `write` and `flush`,
which `io` and `print` look up there by name. There is no pipe and no pseudo-terminal, so `isatty`, buffering and the
order on the screen stay. A buffer is written by its text stream as well; the caller's frame tells the two apart, because
`io` has none of its own.

What C code writes, and what commands write to streams that they inherit, is not seen.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Mapping
from sys import _getframe as frame_at
from typing import Any, Final

from namel3ss_debug.capture.core import typed_code
from namel3ss_debug.capture.core.own_code import CAPTURE_FOLDER
from namel3ss_debug.capture.core.patching import Undo, hide_own_frame, replace
from namel3ss_debug.traces.output import STDERR, STDOUT

Written = Callable[[str, Any], None]
"""Called with the name of a stream, and the text or bytes that were written to it; never raises."""

_NAMES: Final = {1: STDOUT, 2: STDERR}
_OWN_MESSAGE: Final = "namel3ss debug: "

_on_prompt: Written | None = None


def watch(written: Written, inherited: str | None = None) -> list[Undo]:
    """Report what is written from now on, and return the functions that restore everything.

    Args:
        written: called with each write.
        inherited: the `identity` of the process that started this one, whose pipes are no output of the program;
            None for the first process.
    """
    global _on_prompt
    names = _find_shared(inherited)
    written = _without_own(written)
    undo = [_watch_stream(name, getattr(sys, name), written) for name in names.values()]
    if names:
        undo.append(replace(os, "write", lambda original: _make_os_write(original, written, names)))
    _on_prompt = written

    def put_back() -> None:
        global _on_prompt
        _on_prompt = None

    return [*undo, put_back]


def report_prompt(prompt: object) -> None:
    """Report the prompt of an `input()` at a terminal, which C code writes there."""
    if _on_prompt is not None:
        _on_prompt(STDOUT, str(prompt))


def identity() -> str:
    """Return what the descriptors 1 and 2 of this process lead to."""
    return ",".join(filter(None, map(_identity_of, _NAMES)))


def widths() -> dict[str, int]:
    """Return the width of the terminal that each stream leads to, by its name; 0 for none."""
    found = {}
    for descriptor, name in _NAMES.items():
        try:
            found[name] = os.get_terminal_size(descriptor).columns
        except OSError:
            found[name] = 0
    return found


def _without_own(written: Written) -> Written:
    """Leave out what the user prints at a stop, and messages of ours.

    A program may start `debug trace`, and a process without events has no trace.
    """

    def report(name: str, data: Any) -> None:
        if typed_code.THREADS and typed_code.is_running():
            return
        if not data.startswith(_OWN_MESSAGE.encode() if isinstance(data, bytes) else _OWN_MESSAGE):
            written(name, data)

    return report


def _identity_of(descriptor: int) -> str:
    try:
        status = os.fstat(descriptor)
    except OSError:
        return ""
    return f"{status.st_dev}:{status.st_ino}"


def _find_shared(inherited: str | None) -> dict[int, str]:
    """Return the streams that lead where those of the starting process lead, by descriptor."""
    if inherited is None:
        return dict(_NAMES)
    known = inherited.split(",")
    return {number: name for number, name in _NAMES.items() if _identity_of(number) in known}


def _watch_stream(name: str, stream: Any, written: Written) -> Undo:
    """Put our methods into a text stream and its buffer, if it is one of `io`."""
    changed: list[tuple[dict[str, Any], str, Any]] = []

    def put(owner: Any, method: str, ours: Any) -> None:
        owner.__dict__[method] = ours
        changed.append((owner.__dict__, method, ours))

    if isinstance(stream, io.TextIOWrapper):
        write, flush = _make_write(name, stream, written), _make_flush(stream)
        buffer = stream.buffer
        put(stream, "write", write)
        put(stream, "flush", flush)
        if hasattr(buffer, "__dict__"):
            put(buffer, "write", _make_buffer_write(name, buffer, written))

    def put_back() -> None:
        for attributes, method, ours in changed:
            if attributes.get(method) is ours:
                del attributes[method]

    return put_back


def _make_write(name: str, stream: Any, written: Written) -> Any:
    original = stream.write

    def write(text: str, /) -> int:
        try:
            count: int = original(text)
        except BaseException as error:
            hide_own_frame(error)
            raise
        written(name, text)
        return count

    return write


def _make_flush(stream: Any) -> Any:
    original = stream.flush

    def flush() -> None:
        try:
            original()
        except BaseException as error:
            hide_own_frame(error)
            raise

    return flush


def _make_buffer_write(name: str, buffer: Any, written: Written) -> Any:
    original = buffer.write

    def write(data: Any, /) -> int | None:
        try:
            count: int | None = original(data)
        except BaseException as error:
            hide_own_frame(error)
            raise
        # Above is `write` or `flush` of the text stream, or what the doctor put in front of them (`inputs.watching`).
        if count and not frame_at(1).f_code.co_filename.startswith(CAPTURE_FOLDER):
            written(name, bytes(memoryview(data).cast("B")[:count]))
        return count

    return write


def _make_os_write(
    original: Callable[..., int], written: Written, names: Mapping[int, str]
) -> Callable[..., int]:
    def write(fd: Any, data: Any, /) -> int:
        try:
            count = original(fd, data)
        except BaseException as error:
            hide_own_frame(error)
            raise
        if fd in names:
            written(names[fd], bytes(memoryview(data).cast("B")[:count]))
        return count

    return write
