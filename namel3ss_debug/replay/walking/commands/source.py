"""`source`: the user's own code at the call site of an event.

A recording is foreign data, and so is the path in it: only a regular file with the name of a program is read, and of
it no more than a bounded part.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from namel3ss_debug.errors import TraceNotFoundError, UnreadableTraceError, WrongUsageError
from namel3ss_debug.replay.results import Result, Source
from namel3ss_debug.replay.walking.commands.arguments import nothing
from namel3ss_debug.replay.walking.session import Session
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.lines import open_regular

EACH_WAY: Final = 5
MOST_BYTES: Final = 4 * 1024 * 1024
MOST_COLUMNS: Final = 1000
_PROGRAMS: Final = frozenset({".py", ".pyi", ".pyw", ".ai"})
_CELL: Final = re.compile(r"In\[\d+\]")
_MOST_SPANS: Final = 100


def source(session: Session, argument: str) -> Result:
    """The lines around the call site of the event, or of the nearest span around it that has one."""
    nothing(argument, "source")
    at, event = _with_site(session)
    site = str(event["call_site"])
    name, _, line = site.rpartition(":")
    if not name or not (line.isascii() and line.isdecimal() and len(line) < 10):
        return Source(site, 0, (), "this is no line of a file")
    if _CELL.fullmatch(name):
        return Source(name, int(line), (), "a recording does not hold the text of cells")
    if Path(name).suffix not in _PROGRAMS:
        return Source(name, int(line), (), "only Python and namel3ss files are shown")
    path = _found(session, at, name)
    try:
        rows, changed_at = _read(path, int(line))
    except TraceNotFoundError:
        return Source(str(path), int(line), (), "there is no such file here")
    except UnreadableTraceError:
        return Source(str(path), int(line), (), "it is not a file that can be read")
    except OSError as problem:
        return Source(str(path), int(line), (), f"the file cannot be read: {problem.strerror}")
    if not rows:
        return Source(str(path), int(line), (), "the file has no such line any more")
    happened = event.get("timestamp")
    newer = isinstance(happened, int | float) and changed_at > happened
    return Source(str(path), int(line), rows, newer=newer)


def _with_site(session: Session) -> tuple[int, Event]:
    """The event that is looked at or the nearest start around it, whichever says where in the code it came from."""
    walk, at = session.walk, session.looked_at
    if not at:
        raise WrongUsageError("the walk stands before the first event; step goes to it")
    for number in (at, *reversed(walk.outline.stack(at)[-_MOST_SPANS:])):
        event = walk.event_at(number)
        if isinstance(event.get("call_site"), str):
            return number, event
    raise WrongUsageError(f"the recording does not say where in the code event {at} came from")


def _found(session: Session, at: int, name: str) -> Path:
    """The file of a call site: where the traced program was started, or as it is written."""
    walk = session.walk
    starts = (walk.outline.latest("trace_start", at), 1)
    for number in starts if not os.path.isabs(name) else ():
        metadata = walk.recording.event(number).get("metadata") if number else None
        folder = metadata.get("cwd") if isinstance(metadata, dict) else None
        if (
            isinstance(folder, str)
            and "\0" not in folder + name
            and os.path.isfile(os.path.join(folder, name))
        ):
            return Path(folder, name)
    return Path(name)


def _read(path: Path, line: int) -> tuple[tuple[tuple[int, str], ...], float]:
    """The lines around one, each cut where it is very long, and when the file was last changed."""
    with os.fdopen(open_regular(path), "rb") as file:
        changed_at = os.fstat(file.fileno()).st_mtime
        content = file.read(MOST_BYTES)
    # Of bytes: Python's lines do not end at a form feed or a separator of Unicode.
    lines = content.splitlines()
    first = max(line - EACH_WAY, 1)
    if not 1 <= line <= len(lines):
        return (), changed_at
    shown = (text.decode("utf-8", "replace")[:MOST_COLUMNS] for text in lines[first - 1 : line + EACH_WAY])
    return tuple(enumerate(shown, first)), changed_at
