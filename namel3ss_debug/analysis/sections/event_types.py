"""How many events of each type there were."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from namel3ss_debug.analysis.contract import BaseFold, ColumnSpec, TableSpec

if TYPE_CHECKING:
    from namel3ss_debug.analysis.totals import Options, TraceTotals

COLUMNS = (
    TableSpec(
        "Events",
        "",
        (ColumnSpec("type", "", "name", 20), ColumnSpec("events", "value", "count")),
        most=None,
        detail=True,
    ),
)


class EventTypeBreakdown(BaseFold):
    """Events by type; the driver counts them anyway, so this only puts them in order."""

    spans = "none"

    def __init__(self, _options: Options) -> None:
        pass

    def result(self, totals: TraceTotals) -> dict[str, Any]:
        """`{event type: count}`, the most frequent first."""
        return dict(sorted(totals.types.items(), key=lambda item: (-item[1], item[0])))
