"""Read the events of a trace for users of the library: all of them, or those that a filter selects."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from namel3ss_debug.inspection.selection import TraceFilter, select
from namel3ss_debug.traces.reader import open_trace
from namel3ss_debug.traces.typed_events import TraceEvent


def read_trace(path: str | Path, wanted: TraceFilter | None = None) -> Iterator[TraceEvent]:
    """Yield the events of a trace, in order; with a filter, only the events that it wants.

    Raises:
        TraceNotFoundError: there is no such file.
        UnreadableTraceError: the file is not a regular file, may not be read, or is in another encoding.
    """
    for number, event in select(open_trace(path), wanted):
        yield TraceEvent.from_dict(event, number)
