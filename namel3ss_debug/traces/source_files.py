"""Read the user's own code at a place that a trace names.

A trace is foreign data, and so are the paths in it: only a regular file with the suffix of a program is read, up to a
limit.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from namel3ss_debug.errors import TraceNotFoundError, UnreadableTraceError
from namel3ss_debug.traces.lines import open_regular

EACH_WAY: Final = 5
MOST_BYTES: Final = 4 * 1024 * 1024
MOST_COLUMNS: Final = 1000
MOST_LINES: Final = 60
"""How many lines of a function are shown."""
_PROGRAMS: Final = frozenset({".py", ".pyi", ".pyw", ".ai"})
_SITE: Final = re.compile(r"(.+):([0-9]{1,9})", re.DOTALL)


@dataclass(frozen=True)
class SourceLines:
    """The user's code at a place: numbered lines around `line`, or the problem why it cannot be shown.

    `newer` is true if the file was changed after the event, so that other lines may have run. `more` counts the lines
    of a function that were left out.
    """

    file: str
    line: int
    rows: tuple[tuple[int, str], ...]
    problem: str | None = None
    newer: bool = False
    more: int = 0


def parse_site(site: str) -> tuple[str, int] | None:
    """Return the file and the line of a place such as `app.py:42`; None for anything else."""
    found = _SITE.fullmatch(site)
    return (found[1], int(found[2])) if found else None


def read_source(site: str, folders: Iterable[object], happened: object, *, body: bool = False) -> SourceLines:
    """Return the lines around a place, or the whole function that begins there.

    Args:
        site: the place, as `path.py:42`.
        folders: the folders where the program was started, as the trace names them, for a relative path.
        happened: the time of the event, in seconds since the epoch.
        body: whether the function that begins at the line is wanted, whole.
    """
    parsed = parse_site(site)
    if parsed is None:
        return SourceLines(site, 0, (), "this is no line of a file")
    name, line = parsed
    if Path(name).suffix not in _PROGRAMS:
        return SourceLines(name, line, (), "only Python and namel3ss files are shown")
    path = _find_file(name, folders)
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            changed_at = os.fstat(file.fileno()).st_mtime
            content = file.read(MOST_BYTES)
    except TraceNotFoundError:
        return SourceLines(str(path), line, (), "there is no such file here")
    except UnreadableTraceError:
        return SourceLines(str(path), line, (), "it is not a file that can be read")
    except OSError as problem:
        return SourceLines(str(path), line, (), f"the file cannot be read: {problem.strerror}")
    last = _find_last_line(content, line) if body else 0
    rows = cut_lines(content, line, last)
    if not rows:
        return SourceLines(str(path), line, (), "the file no longer has this line")
    newer = isinstance(happened, int | float) and changed_at > happened
    return SourceLines(str(path), line, rows, newer=newer, more=max(last - rows[-1][0], 0))


def cut_lines(content: bytes, line: int, last: int = 0) -> tuple[tuple[int, str], ...]:
    """Return the numbered lines around one, or those from it to `last`, each cut if it is very long; none if it is not there."""
    # Split as bytes: `str.splitlines` also splits at form feeds and Unicode separators, where Python's lines do not end.
    lines = content.splitlines()
    first = line if last else max(line - EACH_WAY, 1)
    end = min(last, line + MOST_LINES - 1) if last else line + EACH_WAY
    if not 1 <= line <= len(lines):
        return ()
    return tuple(
        enumerate((text.decode("utf-8", "replace")[:MOST_COLUMNS] for text in lines[first - 1 : end]), first)
    )


def _find_last_line(content: bytes, line: int) -> int:
    """Return the last line of the function that begins at a line, or whose first decorator does; 0 if there is none."""
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return 0
    functions = (
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    )
    for node in functions:
        decorators = [] if isinstance(node, ast.Lambda) else node.decorator_list
        if line in (node.lineno, *(each.lineno for each in decorators)):
            return node.end_lineno or 0
    return 0


def _find_file(name: str, folders: Iterable[object]) -> Path:
    """Return the file of a place: in a folder where the traced program was started, or as it is written."""
    for folder in folders if not os.path.isabs(name) else ():
        if (
            isinstance(folder, str)
            and "\0" not in folder + name
            and os.path.isfile(os.path.join(folder, name))
        ):
            return Path(folder, name)
    return Path(name)
