"""Select events and spans of a trace, and find the surroundings of one of them."""

from namel3ss_debug.inspection.arrangement import (
    ChosenSpans,
    SpanHalves,
    SpanRow,
    make_rows,
    read_halves,
    select_forest,
    sort_by_start,
)
from namel3ss_debug.inspection.selection import (
    EventLine,
    EventSource,
    FoldedEvents,
    Numbered,
    Selection,
    TraceFilter,
    describe_unknown_name,
    select,
)
from namel3ss_debug.inspection.streams import CHUNK, ChunkCounter, StreamedAnswer, read_first_token_ms
from namel3ss_debug.inspection.surroundings import Surroundings, find_surroundings

__all__ = [
    "CHUNK",
    "ChosenSpans",
    "ChunkCounter",
    "EventLine",
    "EventSource",
    "FoldedEvents",
    "Numbered",
    "Selection",
    "SpanHalves",
    "SpanRow",
    "StreamedAnswer",
    "Surroundings",
    "TraceFilter",
    "describe_unknown_name",
    "find_surroundings",
    "make_rows",
    "read_first_token_ms",
    "read_halves",
    "select",
    "select_forest",
    "sort_by_start",
]
