"""Open a trace in any format that has an importer."""

from __future__ import annotations

from pathlib import Path

from namel3ss_debug.errors import UnreadableTraceError
from namel3ss_debug.importers import find_importer
from namel3ss_debug.traces import reader
from namel3ss_debug.traces.reader import Trace


def open_trace(path: str | Path) -> Trace:
    """Open the trace that a file belongs to, in our format or one that has an importer.

    Raises:
        TraceNotFoundError: there is no such file.
        UnreadableTraceError: it is not a regular file, may not be read, or is in another encoding.
    """
    return reader.open_trace(path, find_importer)


def open_nonempty_trace(path: str | Path) -> Trace:
    """Open a trace that holds at least one event.

    Raises:
        TraceNotFoundError: there is no such file.
        UnreadableTraceError: nothing in it can be read.
    """
    trace = open_trace(path)
    if next(trace.events(), None) is None:
        first = next(iter(trace.problems.first), None)
        if first is not None and first.line and "torn" not in first.what:
            why = f"line {first.line}: {first.what}"
        else:
            why = "only the beginning of a line" if trace.path.stat().st_size else "it is empty"
        raise UnreadableTraceError(
            f"{path}: there is no event in it ({why}); give the .jsonl file of a trace"
        )
    return trace
