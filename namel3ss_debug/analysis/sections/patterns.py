"""Find what a run does again and again, at the same time, far too often, or not at all.

The section:

    {"spans": 41, "spans_left_out": 0,
     "method": {"loop": {"least_rounds": 3, ...}, ...},      how each kind is detected, with the parameters
     "counts": {"loop": 1, "sequence": 2},                   how many there are of each kind
     "found": [{"kind": "loop", "form": "same call", "component": "tool", "component_name": "search",
                "count": 5, "numbers": [12, 15, 18, 21, 24], "confidence": 0.938,
                "cost": {"ms": 840.0, "tokens": 5210, "usd": 0.0132}, ...}]}

`found` has the kinds in the order of `KINDS`, and within a kind the most expensive first. `numbers` are those of the start events
that prove it, the first `MOST_NUMBERS` of `count`; `cost.usd` is null where no price is known. The methods are those of
`loops`, `sequences`, `bursts` and `decisions`.

The first `MOST_SPANS` spans and decisions are looked at; `spans_left_out` counts the others.
"""

from __future__ import annotations

from collections import Counter
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from namel3ss_debug.analysis.contract import ColumnSpec, TableSpec
from namel3ss_debug.analysis.distributions import OUTLIERS
from namel3ss_debug.analysis.findings import format_operation, format_time, make_finding
from namel3ss_debug.analysis.sections import bursts, decisions, loops, sequences
from namel3ss_debug.analysis.sections.calls import Reader, group_levels
from namel3ss_debug.traces.span_table import SpanWatcher

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from namel3ss_debug.analysis.findings import Finding, Row, RunAmounts
    from namel3ss_debug.analysis.sections.calls import PatternCall
    from namel3ss_debug.analysis.totals import Options
    from namel3ss_debug.traces.events import Event
    from namel3ss_debug.traces.span_table import SpanTable

TROUBLES = frozenset({"loop", "retries", "stall", "one way"})
"""The kinds of patterns whose cost brought nothing."""


def _troubles(section: Mapping[str, Any]) -> list[Row]:
    return [row for row in section.get("found") or () if row["kind"] in TROUBLES]


def _others(section: Mapping[str, Any]) -> list[Row]:
    """Return the patterns that cost nothing, the first three of each kind before all others."""
    seen: Counter[str] = Counter()
    first: list[Row] = []
    later: list[Row] = []
    for row in section.get("found") or ():
        if row["kind"] not in TROUBLES:
            seen[row["kind"]] += 1
            (first if seen[row["kind"]] <= 3 else later).append(row)
    return [*first, *later]


_PATTERN = (
    ColumnSpec("what", "", "pattern", 24),
    ColumnSpec("ms", "cost.ms", "ms if any"),
    ColumnSpec("tokens", "cost.tokens", "amount"),
    ColumnSpec("cost", "cost.usd", "money"),
    ColumnSpec("events", "", "events of a pattern"),
)
COLUMNS = (
    "troubles",
    TableSpec("", "found", _PATTERN, rows=_troubles),
    "other patterns",
    TableSpec("", "found", _PATTERN, rows=_others, most=6),
    "spans not looked at",
)

MOST_SPANS = 50_000
MOST_LISTED = 50
KINDS = (
    *("loop", "retries", "stall", "one way", "polling"),
    *("burst", "paging", "parallel", "sequence"),
)
"""The kinds of patterns, the most important first."""

_number = attrgetter("number")


class Patterns(SpanWatcher):
    """Keeps a few fields of the first spans. The patterns in them are looked for at the end."""

    events: frozenset[str] = frozenset({"memory_operation", "decision"})

    def __init__(self, options: Options) -> None:
        self._slow_ms = options.slow_ms
        self._calls: list[PatternCall] = []
        self._first_left_out = float("inf")
        self._seen = 0
        self._reader = Reader()

    def span(self, spans: SpanTable, row: int, start: Event, end: Event) -> None:
        """Keep a span. An end without a start has no position among the others."""
        if start:
            self._seen += 1
            if spans.number[row] < self._first_left_out:
                self._add(self._reader.call(spans, row, start, end))

    def event(self, number: int, event: Event) -> None:
        """Keep a decision or an access to the memory."""
        self._seen += 1
        if number < self._first_left_out:
            self._add(self._reader.point_call(number, event, self.find_parent(event)))

    def _add(self, call: PatternCall) -> None:
        self._calls.append(call)
        if len(self._calls) > MOST_SPANS + MOST_SPANS // 4:
            self._keep_first()

    def _keep_first(self) -> None:
        """Drop the latest calls beyond `MOST_SPANS`."""
        self._calls.sort(key=_number)
        if len(self._calls) > MOST_SPANS:
            del self._calls[MOST_SPANS:]
            self._first_left_out = self._calls[-1].number

    def result(self, _spans: SpanTable, _sections: Mapping[str, Any]) -> dict[str, Any]:
        """Return the section."""
        self._keep_first()
        by_kind: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
        for pattern in self._find_patterns():
            by_kind[pattern["kind"]].append(pattern)
        return {
            "spans": len(self._calls),
            "spans_left_out": self._seen - len(self._calls),
            "method": _describe_methods(self._slow_ms),
            "counts": {kind: len(listed) for kind, listed in by_kind.items() if listed},
            "found": [row for kind in KINDS for row in sorted(by_kind[kind], key=_rank)[:MOST_LISTED]],
        }

    def _find_patterns(self) -> Iterator[dict[str, Any]]:
        """Yield all patterns of the calls that were kept."""
        calls = self._calls
        levels = group_levels(calls)
        all_levels = [*levels.calls, *levels.enclosing]
        yield from chain.from_iterable(map(loops.find_loops, all_levels))
        last = calls[-1].number if self._seen > len(calls) else None
        yield from bursts.find_stalls(calls, bursts.at_least_ns(self._slow_ms), last)
        yield from decisions.find_one_way(calls)
        yield from bursts.find_bursts(calls)
        yield from sequences.find_parallel_groups(all_levels)
        yield from sequences.find_sequences(all_levels)


def _rank(pattern: dict[str, Any]) -> tuple[float, ...]:
    """Return a sort key: the most expensive first, sequences by how much of the run they cover, then by order."""
    cost = pattern["cost"]["ms"] * pattern["confidence"]
    return -cost, -pattern["count"], *pattern["numbers"][:1]


def _describe_methods(slow_ms: float) -> dict[str, dict[str, Any]]:
    """Return how each kind is detected, by the name of the method where it has one, with the parameters."""
    return {
        "loop": {"least_rounds": loops.LEAST_ROUNDS, "longest_cycle": loops.LONGEST_CYCLE},
        "stall": {"method": OUTLIERS, "least_ms": slow_ms},
        "one way": {"least_decisions": decisions.LEAST_DECISIONS},
        "burst": {
            "method": "calls in a row that began faster than the mean rate of the run",
            "faster": bursts.FASTER,
            "least_calls": bursts.LEAST_CALLS,
        },
        "paging": {"least_pages": loops.LEAST_PAGES},
        "sequence": {"longest": sequences.LONGEST, "least_times": sequences.LEAST_TIMES},
    }


def has_spans(section: Row) -> bool:
    """Return whether there were spans."""
    return bool(section["spans"])


def find_findings(section: Row, _sections: Mapping[str, Any], run: RunAmounts) -> Iterator[Finding]:
    """Yield loops, stalls, and calls that had to be made again."""
    for row in section["found"]:
        cost, confidence, kind, events = row["cost"], row["confidence"], row["kind"], row["numbers"]
        share = run.share(cost["ms"], cost["tokens"], cost["usd"])
        if kind == "loop":
            again = events[min(1, len(events) - 1)]
            evidence = f"{format_operation(row)} was repeated without progress, {row['count']:,} calls"
            yield make_finding("loop", "quality", "patterns", confidence * (0.1 + 0.6 * share), evidence, events, f"replay --step -b {again}", row=row)  # fmt: skip
        elif kind == "stall":
            evidence = f"for {format_time(cost['ms'])} nothing happened in {format_operation(row)}"
            yield make_finding("stall", "performance", "patterns", confidence * 0.6 * share, evidence, events, f"inspect --event {events[0]}", row=row)  # fmt: skip
        elif kind == "retries" and row.get("outcome") == "completed":
            evidence = f"{format_operation(row)} worked only at attempt {row['count']:,}"
            yield make_finding("retries", "stability", "patterns", 0.02 + 0.4 * share, evidence, events, f"inspect --event {events[0]}", row=row)  # fmt: skip
