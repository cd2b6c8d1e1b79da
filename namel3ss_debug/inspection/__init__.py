"""Selects events and spans of a recording, and finds the surroundings of one of them."""

from namel3ss_debug.inspection.arrangement import (
    Chosen,
    Row,
    by_beginning,
    forest,
    rows,
    select_spans,
)
from namel3ss_debug.inspection.selection import (
    Events,
    Folded,
    Line,
    Numbered,
    Selection,
    TraceFilter,
    select,
    unknown_name,
)
from namel3ss_debug.inspection.streams import CHUNK, Streamed, Streams, first_token_ms
from namel3ss_debug.inspection.surroundings import Context, context

__all__ = [
    "CHUNK",
    "Chosen",
    "Context",
    "Events",
    "Folded",
    "Line",
    "Numbered",
    "Row",
    "Selection",
    "Streamed",
    "Streams",
    "TraceFilter",
    "by_beginning",
    "context",
    "first_token_ms",
    "forest",
    "rows",
    "select",
    "select_spans",
    "unknown_name",
]
