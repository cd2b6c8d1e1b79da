"""How many events of each type there were."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from namel3ss_debug.analysis.nesting import MeasuredSpan
    from namel3ss_debug.analysis.totals import Options, Totals
    from namel3ss_debug.traces.events import Event


class EventTypeBreakdown:
    """Events by type; the driver counts them anyway, so this only puts them in order."""

    events: frozenset[str] = frozenset()
    needs: tuple[str, ...] = ()
    spans = "none"

    def __init__(self, _options: Options) -> None:
        pass

    def span(self, span: MeasuredSpan) -> None:
        """Spans have no part in this."""

    def open_span(self, span: MeasuredSpan) -> None:
        """Nor have open ones."""

    def event(self, number: int, event: Event) -> None:
        """Nor have point events."""

    def merge(self, later: EventTypeBreakdown) -> None:
        """There is nothing to merge: the counts are in the totals."""

    def renumber(self, by: int) -> None:
        """No numbers of events are kept."""

    def result(self, totals: Totals) -> dict[str, Any]:
        """`{event type: count}`, the most frequent first."""
        return dict(sorted(totals.types.items(), key=lambda item: (-item[1], item[0])))
