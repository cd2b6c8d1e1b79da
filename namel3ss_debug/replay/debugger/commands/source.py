"""`source`: the user's own code at the call site of an event, from its file, or of a cell from the cell's span.

A trace is foreign data, and so are the paths in it: only a regular file with the suffix of a program is read, up to a
limit.
"""

from __future__ import annotations

import os
import re
from itertools import islice
from pathlib import Path
from typing import Final

from namel3ss_debug.errors import TraceNotFoundError, UnreadableTraceError, WrongUsageError
from namel3ss_debug.replay.debugger.results import Result, SourceLines
from namel3ss_debug.replay.debugger.session import DebugSession, refuse_argument
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.lines import open_regular
from namel3ss_debug.wire import lenient

EACH_WAY: Final = 5
MOST_BYTES: Final = 4 * 1024 * 1024
MOST_COLUMNS: Final = 1000
_PROGRAMS: Final = frozenset({".py", ".pyi", ".pyw", ".ai"})
_CELL: Final = re.compile(r"In\[\d+\]")
_MOST_SPANS: Final = 100
_MOST_CELLS: Final = 10_000


def source(session: DebugSession, argument: str) -> Result:
    """Show the lines around the call site of the event, or of the nearest span around it that has one."""
    refuse_argument(argument, "source")
    at, event = _find_site(session)
    site = str(event["call_site"])
    name, _, line = site.rpartition(":")
    if not name or not (line.isascii() and line.isdecimal() and len(line) < 10):
        return SourceLines(site, 0, (), "this is no line of a file")
    if _CELL.fullmatch(name):
        text = _find_cell(session, at, name)
        if text is None:
            return SourceLines(name, int(line), (), "the trace does not hold the text of this cell")
        rows = _lines_around(text.encode(), int(line))
        return SourceLines(name, int(line), rows, None if rows else "the cell does not have this line")
    if Path(name).suffix not in _PROGRAMS:
        return SourceLines(name, int(line), (), "only Python and namel3ss files are shown")
    path = _find_file(session, at, name)
    try:
        rows, changed_at = _read(path, int(line))
    except TraceNotFoundError:
        return SourceLines(str(path), int(line), (), "there is no such file here")
    except UnreadableTraceError:
        return SourceLines(str(path), int(line), (), "it is not a file that can be read")
    except OSError as problem:
        return SourceLines(str(path), int(line), (), f"the file cannot be read: {problem.strerror}")
    if not rows:
        return SourceLines(str(path), int(line), (), "the file no longer has this line")
    happened = event.get("timestamp")
    newer = isinstance(happened, int | float) and changed_at > happened
    return SourceLines(str(path), int(line), rows, newer=newer)


def _find_site(session: DebugSession) -> tuple[int, Event]:
    """Return the selected event, or the nearest start around it, that has a call site."""
    stepper, (at, _) = session.stepper, session.selected_event()
    for number in (at, *reversed(stepper.outline.stack(at)[-_MOST_SPANS:])):
        event = stepper.event_at(number)
        if isinstance(event.get("call_site"), str) and event["call_site"]:
            return number, event
    raise WrongUsageError(f"the trace does not show where in the code event {at} came from")


def _find_cell(session: DebugSession, at: int, name: str) -> str | None:
    """Return the text of a cell, from the latest span of this name that began up to an event."""
    stepper, outline = session.stepper, session.stepper.outline
    cells = outline.kinds.select(lambda event: bool(event["event_type"] == "cell_start"), named=False)
    for number in islice(outline.backward(cells, 1, at + 1), _MOST_CELLS):
        event = stepper.event_at(number)
        text = lenient.mapping(event.get("inputs")).get("source")
        if event.get("component_name") == name and isinstance(text, str):
            return text
    return None


def _find_file(session: DebugSession, at: int, name: str) -> Path:
    """Return the file of a call site: in the folder where the traced program was started, or as it is written."""
    stepper = session.stepper
    starts = (stepper.outline.latest("trace_start", at), 1)
    for number in starts if not os.path.isabs(name) else ():
        metadata = stepper.trace.event(number).get("metadata") if number else None
        folder = metadata.get("cwd") if isinstance(metadata, dict) else None
        if (
            isinstance(folder, str)
            and "\0" not in folder + name
            and os.path.isfile(os.path.join(folder, name))
        ):
            return Path(folder, name)
    return Path(name)


def _read(path: Path, line: int) -> tuple[tuple[tuple[int, str], ...], float]:
    """Return the lines around one, each cut if it is very long, and when the file was last changed."""
    with os.fdopen(open_regular(path), "rb") as file:
        changed_at = os.fstat(file.fileno()).st_mtime
        content = file.read(MOST_BYTES)
    return _lines_around(content, line), changed_at


def _lines_around(content: bytes, line: int) -> tuple[tuple[int, str], ...]:
    """Return the numbered lines around one, each cut if it is very long; none if there is no such line."""
    # Split as bytes: `str.splitlines` also splits at form feeds and Unicode separators, where Python's lines do not end.
    lines = content.splitlines()
    first = max(line - EACH_WAY, 1)
    if not 1 <= line <= len(lines):
        return ()
    shown = (text.decode("utf-8", "replace")[:MOST_COLUMNS] for text in lines[first - 1 : line + EACH_WAY])
    return tuple(enumerate(shown, first))
