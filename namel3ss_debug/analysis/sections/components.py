"""What each component did: one line for agents, one for LLM calls, one for tools, and so on."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from namel3ss_debug.analysis.contract import ColumnSpec, TableSpec
from namel3ss_debug.analysis.distributions import milliseconds
from namel3ss_debug.analysis.sections.usage import dollars

if TYPE_CHECKING:
    from namel3ss_debug.analysis.totals import Options
    from namel3ss_debug.traces.span_table import SpanTable

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


def component_breakdown(spans: SpanTable, _options: Options) -> dict[str, Any]:
    """Return `{component: {count, open, total_ms, self_ms, errors, tokens, cost}}`, the longest self time first.

    Times are sums over spans, so that work done in parallel adds up to more than the wall time; `self_ms`
    leaves out what the children did. Tokens and cost are what the component's own spans state: an agent
    that states the sum of its calls is listed beside the calls, and must not be added to them. Commands that
    libraries run for their own purposes are left out.
    """
    components: defaultdict[str, list[int]] = defaultdict(list)
    for (component, _), rows in spans.by_operation().items():
        components[component] += [row for row in rows if not spans.background[row]]
    own = {
        component: sum(spans.self_time[row] for row in rows) for component, rows in components.items() if rows
    }
    return {
        component: _component_to_json(spans, components[component], own[component])
        for component in sorted(own, key=lambda component: (-own[component], component))
    }


def _component_to_json(spans: SpanTable, rows: list[int], self_time: int) -> dict[str, Any]:
    ended = sum(spans.end[row] > 0 for row in rows)
    costs = [spans.cost[row] for row in rows if spans.cost[row] >= 0]
    return {
        "count": ended,
        "open": len(rows) - ended,
        "total_ms": milliseconds(sum(max(spans.duration[row], 0) for row in rows)),
        "self_ms": milliseconds(self_time),
        "errors": sum(spans.failed[row] for row in rows),
        "tokens": sum(spans.tokens[row] for row in rows),
        "cost": dollars(sum(costs)) if costs else None,
    }
