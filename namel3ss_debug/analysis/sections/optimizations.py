"""Find what a run could have saved: repeated calls, context sent again, work after a failure, slow tools, waiting.

The section:

    {"saves": {"ms": 5200.0, "tokens": 41000, "cost": 0.12},      all kinds together; `cost` null where none is known
     "kinds": [{"kind": "repeated_calls", "what": "...", "count": 3, "saves": {...}, "reason": null}],
     "listed": [{"kind": "repeated_calls", "component": "tool", "component_name": "search", "count": 2,
                 "numbers": [14, 31], "first_number": 9, "saves": {...}}]}

No saving is counted twice. Each call belongs to the first kind in the order of `savings.KINDS` that applies to it. Of
the time that could be saved by running spans at the same time, only the part counts that exceeds the time already
counted inside. `ms` is the time of the calls themselves; where they ran beside others, the run would be shorter by less. How
each kind is found is described in `savings`.
"""

from __future__ import annotations

from math import fsum
from typing import TYPE_CHECKING, Any

from namel3ss_debug.analysis.contract import ColumnSpec, TableSpec
from namel3ss_debug.analysis.findings import HALF, WORTH_MS, format_time, is_worthwhile, make_finding
from namel3ss_debug.analysis.sections.savings import CallKeys, Savings
from namel3ss_debug.analysis.totals import LISTED
from namel3ss_debug.traces.facts import NS_PER_MS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from namel3ss_debug.analysis.findings import Finding, Row, RunAmounts
    from namel3ss_debug.analysis.totals import Options
    from namel3ss_debug.traces.span_table import SpanTable


def _worthwhile(section: Mapping[str, Any]) -> list[Row]:
    return [
        row
        for row in section.get("listed") or ()
        if row["saves"].get("tokens") or row["saves"].get("cost") or (row["saves"].get("ms") or 0) >= WORTH_MS
    ]


COLUMNS = (
    "savings",
    TableSpec(
        "",
        "listed",
        (
            ColumnSpec("what", "kind", "saving"),
            ColumnSpec("where", "", "operation of the run", 14),
            ColumnSpec("calls", "count", "count"),
            ColumnSpec("time", "saves.ms", "time taken"),
            ColumnSpec("tokens", "saves.tokens", "amount"),
            ColumnSpec("cost", "saves.cost", "money"),
            ColumnSpec("n", "numbers", "few numbers"),
        ),
        rows=_worthwhile,
    ),
    "savings left out",
)


class Optimizations(CallKeys):
    """Keeps keys of the request and the answer of each call. Savings are found at the end."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._slow_ns = round(options.slow_ms * NS_PER_MS)

    def result(self, spans: SpanTable, sections: Mapping[str, Any]) -> dict[str, Any]:
        """Return the section."""
        savings = Savings(spans, self, self._slow_ns)
        savings.find_work_after_failures()
        savings.find_repeated()
        savings.find_resent()
        savings.find_slow_tools()
        savings.find_parallel(sections["dependencies"].get("parallel") or {})
        return savings.result()


def sum_savings(spans: SpanTable, sections: Sequence[Row]) -> dict[str, Any]:
    """Return the savings of several traces: those that save most are listed, with their trace."""
    rows = [
        {**spans.path(trace), **row} for trace, section in enumerate(sections) for row in section["listed"]
    ]
    rows.sort(key=lambda row: (-(row["saves"]["cost"] or 0), -row["saves"]["ms"], -row["saves"]["tokens"]))
    kinds = []
    for same in zip(*(section["kinds"] for section in sections), strict=True):
        reasons = {row["reason"] for row in same if row["reason"] is not None}
        kinds.append(
            {
                **same[0],
                "count": sum(row["count"] for row in same),
                "saves": _sum_saves(same),
                "reason": reasons.pop() if len(reasons) == 1 else None,
            }
        )
    return {
        "saves": _sum_saves(sections),
        "kinds": kinds,
        "listed": rows[:LISTED],
        "listed_of": sum(section["listed_of"] for section in sections),
    }


def _sum_saves(rows: Sequence[Row]) -> dict[str, Any]:
    saves = [row["saves"] for row in rows]
    costs = [each["cost"] for each in saves if each["cost"] is not None]
    return {
        "ms": round(fsum(each["ms"] for each in saves), 6),
        "tokens": sum(each["tokens"] for each in saves),
        "cost": round(fsum(costs), 12) if costs else None,
    }


_SAVINGS = {
    "work_after_failure": ("resources", "calls after the failure that ended their parent span"),
    "repeated_calls": ("resources", "calls repeated a request and got the same answer"),
    "resent_context": ("resources", "prompts began as an earlier one and were not read from a cache"),
    "slow_tools": ("performance", "calls of tools took longer than the setting slow_ms"),
}
"""Kind of saving -> the part it lowers, and its description; other sections report the other kinds."""


def has_savings(section: Row) -> bool:
    """Return whether anything could be saved."""
    return any(row["count"] for row in section["kinds"])


def find_findings(section: Row, _sections: Mapping[str, Any], run: RunAmounts) -> Iterator[Finding]:
    """Yield savings: half the share of the run's time, tokens or money that could be saved."""
    for row in section["kinds"]:
        kind, saves = row["kind"], row["saves"]
        if kind not in _SAVINGS or not row["count"]:
            continue
        part, description = _SAVINGS[kind]
        ms = saves["ms"] if (saves["ms"] or 0) >= WORTH_MS else None
        amounts = [format_time(ms)] if ms else []
        amounts += [f"{saves['tokens']:,} tokens"] if saves["tokens"] else []
        listed = [each for each in section["listed"] if each["kind"] == kind]
        events = [number for each in listed for number in each["numbers"] if number]
        evidence = f"{row['count']:,} {description}: {' and '.join(amounts) or 'little'}"
        look = f"inspect --event {events[0]}" if events else "analyze --optimizations"
        share = run.share(ms, saves["tokens"], saves["cost"])
        if not is_worthwhile(None if saves["tokens"] or saves["cost"] else saves["ms"] or 0.0, share):
            continue
        yield make_finding(kind, part, "optimizations", HALF * share, evidence, events, look)
