"""How many events of each type there were."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from namel3ss_debug.analysis.contract import ColumnSpec, TableSpec

if TYPE_CHECKING:
    from namel3ss_debug.analysis.totals import Options
    from namel3ss_debug.traces.span_table import SpanTable

COLUMNS = (
    TableSpec(
        "Events",
        "",
        (ColumnSpec("type", "", "name", 20), ColumnSpec("events", "value", "count")),
        most=None,
    ),
)


def event_type_breakdown(spans: SpanTable, _options: Options) -> dict[str, Any]:
    """Return `{event type: count}`, the most frequent first."""
    return dict(sorted(spans.types.items(), key=lambda item: (-item[1], item[0])))
