"""What each component did: one line for agents, one for LLM calls, one for tools, and so on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from namel3ss_debug.analysis.contract import BaseFold, ColumnSpec, TableSpec
from namel3ss_debug.analysis.distributions import milliseconds
from namel3ss_debug.analysis.facts import add_up
from namel3ss_debug.analysis.sections.usage import dollars, used
from namel3ss_debug.traces.facts import is_background, states_amounts

if TYPE_CHECKING:
    from namel3ss_debug.analysis.facts import MeasuredSpan
    from namel3ss_debug.analysis.totals import Options, TraceTotals

COLUMNS = (
    TableSpec(
        "Components",
        "",
        (
            ColumnSpec("component", "", "component", 10),
            ColumnSpec("spans", "count+open", "count"),
            ColumnSpec("errors", "errors", "failed"),
            ColumnSpec("total ms", "total_ms", "ms"),
            ColumnSpec("self ms", "self_ms", "ms"),
            ColumnSpec("tokens", "tokens", "amount"),
            ColumnSpec("cost", "cost", "money"),
        ),
        "total counts nested and parallel work more than once",
        most=None,
    ),
)

_COUNT, _TOTAL, _SELF, _ERRORS, _TOKENS, _COST, _PRICED, _OPEN = range(8)


class ComponentBreakdown(BaseFold):
    """Counts, times, failures, tokens and cost by component.

    Times are sums over spans, so that work done in parallel adds up to more than the wall time; `self_ms`
    leaves out what the children did. Tokens and cost are what the component's own spans state: an agent
    that states the sum of its calls is listed beside the calls, and must not be added to them. Commands that
    libraries run for their own purposes are left out.
    """

    def __init__(self, _options: Options) -> None:
        self._rows: dict[str, list[int]] = {}

    def span(self, span: MeasuredSpan) -> None:
        """Count one span that ended."""
        if is_background(span.start):
            return
        row = self._rows.get(span.component)
        if row is None:
            row = self._rows[span.component] = [0] * 8
        row[_COUNT] += 1
        if span.duration_ns:
            row[_TOTAL] += span.duration_ns
            row[_SELF] += span.self_ns
        if span.failed:
            row[_ERRORS] += 1
        end = span.end
        if span.component == "llm" or states_amounts(end):
            tokens, _, cost = span.used or used(span)
            row[_TOKENS] += tokens
            if cost is not None:
                row[_COST] += cost[0]
                row[_PRICED] += 1

    def open_span(self, span: MeasuredSpan) -> None:
        """Count one span that never ended."""
        if is_background(span.start):
            return
        self._rows.setdefault(span.component, [0] * 8)[_OPEN] += 1

    def merge(self, later: ComponentBreakdown) -> None:
        """Add what a later part of the trace, or another trace, has found."""
        for component, row in later._rows.items():
            add_up(self._rows.setdefault(component, [0] * 8), row)

    def result(self, _totals: TraceTotals) -> dict[str, Any]:
        """`{component: {count, open, total_ms, self_ms, errors, tokens, cost}}`, the longest self time first."""
        ordered = sorted(self._rows.items(), key=lambda item: (-item[1][_SELF], item[0]))
        return {
            component: {
                "count": row[_COUNT],
                "open": row[_OPEN],
                "total_ms": milliseconds(row[_TOTAL]),
                "self_ms": milliseconds(row[_SELF]),
                "errors": row[_ERRORS],
                "tokens": row[_TOKENS],
                "cost": dollars(row[_COST]) if row[_PRICED] else None,
            }
            for component, row in ordered
        }
