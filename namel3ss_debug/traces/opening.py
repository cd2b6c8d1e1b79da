"""Opens a recording, or raises an error that says why there is nothing in it."""

from __future__ import annotations

from pathlib import Path

from namel3ss_debug.errors import UnreadableTraceError
from namel3ss_debug.traces.reader import Trace, open_trace


def open_recording(path: str | Path) -> Trace:
    """Open a trace that holds at least one event.

    Raises:
        TraceNotFoundError: there is no such file.
        UnreadableTraceError: nothing in it can be read.
    """
    trace = open_trace(path)
    if next(trace.events(), None) is None:
        first = next(iter(trace.problems.first), None)
        unfinished = "it is empty" if not trace.path.stat().st_size else "only the beginning of a line"
        told = first is not None and first.line and "torn" not in first.what
        why = f"line {first.line}: {first.what}" if first is not None and told else unfinished
        raise UnreadableTraceError(
            f"{path}: there is no event in it ({why}); give the .jsonl file of a recording"
        )
    return trace
