"""Find the line of code that an exception came from, in the stack trace of a failed step, or in what an executor returned."""

from __future__ import annotations

import os
import re
from typing import Any, Final, NamedTuple

from namel3ss_debug.analysis.failures.steps import SpanStep, iter_leaves
from namel3ss_debug.errors import short

_FRAME = re.compile(r'^  File "([^"\n]+)", line (\d+)(?:, in ([^\n]+))?\n((?:    [^\n]*\n?)*)', re.MULTILINE)
_OF_LIBRARIES = re.compile(r"(site|dist)-packages|[/\\]lib[/\\]python3|^<frozen |^<namel3ss_debug ")
_MARKS = frozenset("^~ ")
_LONGEST_STACK: Final = 100_000
_LONGEST_CODE: Final = 400


class _Frame(NamedTuple):
    file: str
    line: int
    function: str | None
    code: str


def find_failing_code(step: SpanStep, folder: str = "") -> dict[str, Any] | None:
    """Return the last line of the program's own in the stack trace of a step, as JSON; None where there is none.

    Where the exception was raised in a library, `raised_at` is its place there. Of code that a model wrote and a tool
    executes, Python knows only `<string>` and the line: its text is in the arguments.

    Args:
        step: the step that failed.
        folder: the working directory of the program; paths below it are shortened.
    """
    stack = step.end.get("stack_trace")
    if not isinstance(stack, str):
        return None
    frames = [
        _Frame(match[1], int(match[2]), match[3], _code_of(match[4]))
        for match in _FRAME.finditer(stack[-_LONGEST_STACK:])
    ]
    own = [frame for frame in frames if not _OF_LIBRARIES.search(frame.file)]
    if not own:
        return None
    found, last = own[-1], frames[-1]
    return {
        "number": step.end_number or step.number,
        "file": _shorten_path(found.file, folder),
        "line": found.line,
        "function": found.function,
        "code": found.code or _find_executed_line(step, found) or None,
        "raised_at": None if found is last else f"{_shorten_path(last.file, folder)}:{last.line}",
    }


def list_code_lines(step: SpanStep) -> list[str]:
    """Return the source lines in the stack trace of a step, and in those that its outputs hold, the innermost first."""
    texts = [step.end.get("stack_trace"), *(leaf.value for leaf in iter_leaves(step.end.get("outputs")))]
    return [
        code
        for text in texts
        if isinstance(text, str) and "Traceback" in text
        for match in reversed(list(_FRAME.finditer(text[-_LONGEST_STACK:])))
        if (code := _code_of(match[4]))
    ]


def _code_of(lines: str) -> str:
    """Return the source lines of a frame, without those that only underline."""
    kept = [line.strip() for line in lines.splitlines() if not _MARKS.issuperset(line)]
    return short("\n".join(kept), _LONGEST_CODE, "...")


def _find_executed_line(step: SpanStep, frame: _Frame) -> str:
    """Return the line of an argument that is code, for a frame in code without a file."""
    if not frame.file.startswith("<"):
        return ""
    for leaf in iter_leaves(step.arguments):
        lines = leaf.value.splitlines() if isinstance(leaf.value, str) else []
        if len(lines) >= max(frame.line, 2):
            return short(lines[frame.line - 1].strip(), _LONGEST_CODE, "...")
    return ""


def _shorten_path(path: str, folder: str) -> str:
    """Return a path relative to a folder if it lies below it; of a library's, what follows the folder of the packages."""
    if folder and path.startswith(folder.rstrip("/\\") + os.sep):
        return path[len(folder.rstrip("/\\")) + 1 :]
    return re.sub(r"^.*(?:site|dist)-packages[/\\]", "", path)
