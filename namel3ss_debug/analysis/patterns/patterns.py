"""What a run does again and again, at the same time, far too often, or not at all.

The section:

    {"spans": 41, "spans_left_out": 0,
     "method": {"loop": {"least_rounds": 3, ...}, ...},      how each kind is found, with the parameters
     "counts": {"loop": 1, "sequence": 2},                   how many were found of each kind
     "found": [{"kind": "loop", "form": "same call", "component": "tool", "component_name": "search",
                "count": 5, "numbers": [12, 15, 18, 21, 24], "confidence": 0.938,
                "cost": {"ms": 840.0, "tokens": 5210, "usd": 0.0132}, ...}]}

`found` has the kinds in the order of `KINDS`, of one kind first what cost most. `numbers` are those of the start events
that prove it, the first `MOST_NUMBERS` of `count`; `cost.usd` is null where no price is known. The methods are those of
`loops`, `sequences`, `bursts`, `anomalies` and `decisions`.

The first `MOST_SPANS` spans and decisions are looked at; how many came after them is `spans_left_out`.
"""

from __future__ import annotations

from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from namel3ss_debug.analysis.patterns import anomalies, bursts, decisions, loops, sequences
from namel3ss_debug.analysis.patterns.calls import Reader, levels_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from namel3ss_debug.analysis.nesting import MeasuredSpan
    from namel3ss_debug.analysis.patterns.calls import Call
    from namel3ss_debug.analysis.totals import Options, Totals
    from namel3ss_debug.traces.events import Event

MOST_SPANS = 50_000
MOST_LISTED = 50
KINDS = (
    *("loop", "retries", "stall", "one way", "polling"),
    *("anomaly", "burst", "paging", "parallel", "sequence"),
)
"""The kinds of patterns, the most important first."""

_number = attrgetter("number")


class Patterns:
    """Keeps a few fields of the first spans; what is in them is looked for at the end."""

    events: frozenset[str] = frozenset({"trace_start", "memory_operation", "decision"})
    needs: tuple[str, ...] = ()

    def __init__(self, options: Options) -> None:
        self._slow_ms = options.slow_ms
        self._calls: list[Call] = []
        self._beyond = float("inf")
        self._taken = 0
        self._reader = Reader()
        self._links: dict[str, tuple[int, str]] = {}

    def span(self, span: MeasuredSpan) -> None:
        """Take a span that ended; an end alone has no place among the others."""
        start = span.start
        if start:
            self._taken += 1
            if span.number < self._beyond:
                self._add(self._reader.call(span))

    open_span = span

    def event(self, number: int, event: Event) -> None:
        """Take a decision or an access to the memory, or remember in which span a process was started."""
        if event["event_type"] != "trace_start":
            self._taken += 1
            if number < self._beyond:
                self._add(self._reader.point(number, event))
        elif "parent_event_id" in event:
            self._link(event["event_id"], (number, event["parent_event_id"]))

    def _link(self, process: str, link: tuple[int, str]) -> None:
        self._links[process] = min(self._links.get(process, link), link)

    def _add(self, call: Call) -> None:
        self._calls.append(call)
        if len(self._calls) > MOST_SPANS + MOST_SPANS // 4:
            self._keep_first()

    def _keep_first(self) -> None:
        self._calls.sort(key=_number)
        if len(self._calls) > MOST_SPANS:
            del self._calls[MOST_SPANS:]
            self._beyond = self._calls[-1].number

    def merge(self, later: Patterns) -> None:
        """Add what a later part of the trace has found."""
        self._taken += later._taken
        self._calls += later._calls
        self._keep_first()
        for process, link in later._links.items():
            self._link(process, link)

    def result(self, _totals: Totals) -> dict[str, Any]:
        """The section."""
        self._keep_first()
        by_kind: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
        for found in self._found():
            by_kind[found["kind"]].append(found)
        return {
            "spans": len(self._calls),
            "spans_left_out": self._taken - len(self._calls),
            "method": _methods(self._slow_ms),
            "counts": {kind: len(found) for kind, found in by_kind.items() if found},
            "found": [found for kind in KINDS for found in sorted(by_kind[kind], key=_rank)[:MOST_LISTED]],
        }

    def _found(self) -> Iterator[dict[str, Any]]:
        calls = self._calls
        links = {process: parent for process, (_, parent) in self._links.items()}
        levels = levels_of(calls, links)
        both = [*levels.calls, *levels.parts]
        yield from chain.from_iterable(map(loops.loops, both))
        last = calls[-1].number if self._taken > len(calls) else None
        yield from bursts.stalls(calls, bursts.at_least_ns(self._slow_ms), last)
        yield from decisions.one_way(calls)
        yield from anomalies.anomalies(calls)
        yield from bursts.bursts(calls)
        yield from sequences.parallel_groups(both)
        yield from sequences.sequences(both)


def _rank(found: dict[str, Any]) -> tuple[float, ...]:
    """What cost most first, sequences by how much of the run they cover; then what came first."""
    cost = found["cost"]["ms"] * found["confidence"]
    return -cost, -found["count"], *found["numbers"][:1]


def _methods(slow_ms: float) -> dict[str, dict[str, Any]]:
    """How each kind is found, in words where there is a name for it, with the parameters."""
    z_score = "modified z-score by median and MAD, Iglewicz and Hoaglin (1993)"
    return {
        "loop": {"least_rounds": loops.LEAST_ROUNDS, "longest_cycle": loops.LONGEST_CYCLE},
        "stall": {
            "method": z_score,
            "far_out": anomalies.FAR_OUT,
            "least_values": anomalies.LEAST_VALUES,
            "least_ms": slow_ms,
        },
        "one way": {"least_decisions": decisions.LEAST_DECISIONS},
        "anomaly": {
            "method": f"{z_score}, of logarithms",
            "far_out": anomalies.FAR_OUT,
            "least_values": anomalies.LEAST_VALUES,
            "least_factor": anomalies.LEAST_FACTOR,
            "least_ms": anomalies.LEAST_NS / 1e6,
            "least_tokens": anomalies.LEAST_TOKENS,
        },
        "burst": {
            "method": "automaton of two states, Kleinberg (2002)",
            "faster": bursts.FASTER,
            "transition": bursts.TRANSITION,
            "least_calls": bursts.LEAST_CALLS,
        },
        "paging": {"least_pages": loops.LEAST_PAGES},
        "sequence": {"longest": sequences.LONGEST, "least_times": sequences.LEAST_TIMES},
    }
