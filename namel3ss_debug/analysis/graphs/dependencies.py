"""Which span needed which, what decided how long the run took, and what could have run at the same time.

The section, all times in milliseconds, `number` that of a span's start event:

    {"spans": 41, "spans_left_out": 0, "lost_parents": 0,
     "wall_ms": 5200.0,                      from the first event of a span to the last
     "work_ms": 6100.0,                      the own work of all spans together
     "parallelism": 1.173,                   work by wall time
     "edges": {"nesting": 40, "recorded": 1, "inferred": 17, "unresolved": 0,
               "listed": [{"from": 4, "to": 9, "kind": "inferred", "values": 2}]},
     "violations": {"count": 1, "listed": [{..., "needs": 7, "early_ms": 80.0}]},
     "critical_path": {"steps": 23,
                       "operations": [{"component": "llm", "component_name": "gpt-4o", "spans": 5,
                                       "ms": 3900.0, "share": 0.75}],
                       "listed": [{"number": 4, ..., "begin_ms": 12.0, "ms": 800.0}]},
     "schedule": [{"number": 4, ..., "parent": 2, "level": 0, "needs": [], "begin_ms": 12.0,
                   "duration_ms": 800.0, "critical_ms": 800.0, "slack_ms": 0.0}],
     "parallel": {"saves_ms": 900.0, "share": 0.173, "others_ms": 0.0, "reason": null,
                  "chances": [{"number": 2, ..., "saves_ms": 900.0, "groups": [[7, 11]]}]}}

`edges.listed` begins with the recorded ones, then has those with most values. The edges of nesting are not
listed, nor those that follow from the others. `critical_path.listed` is in the order of time, `number` null for what
the program did outside of any span. `schedule` has the spans with most time on the critical path and the longest, in
order; all of them where there are no more than a hundred. `slack_ms` is by how much longer the span could have taken
without the run taking longer, if everything else had gone as it did. The figures of `parallel` are null, with a
`reason`, where the trace does not hold enough data.

The longest `MOST_SPANS` spans are looked at; how many shorter ones were not is `spans_left_out`. The models are
those of `spangraph` (critical path), `flows` and `fingerprints` (inferred edges) and `parallel`.
"""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, Any

from orjson import dumps, loads

from namel3ss_debug.analysis.distributions import milliseconds
from namel3ss_debug.analysis.graphs.fingerprints import NONE, Fingerprints
from namel3ss_debug.analysis.graphs.flows import flows, handed
from namel3ss_debug.analysis.graphs.graphs import Tree
from namel3ss_debug.analysis.graphs.parallel import Parallel
from namel3ss_debug.analysis.graphs.spangraph import RUN, Row, SpanGraph, moments_of, parents_of
from namel3ss_debug.analysis.nesting import LONGEST_NS, instant
from namel3ss_debug.analysis.totals import LISTED

if TYPE_CHECKING:
    from array import array

    from namel3ss_debug.analysis.nesting import MeasuredSpan
    from namel3ss_debug.analysis.totals import Options, Totals
    from namel3ss_debug.traces.events import Event

MOST_SPANS = 12_000
MOST_GIVEN = 128
MOST_TAKEN = 512
MOST_UNREAD = 16_000_000
"""At most so many bytes of payloads wait until it is known whether their spans are among the longest."""
_MOST_NEEDS = 100
_MOST_GROUPS = 5
_MOST_IN_GROUP = 20
_OPEN = LONGEST_NS + 1

_NOT_RECORDED = "the trace does not hold what the spans gave and were given"
_TOO_LITTLE = "what the spans gave is too short to be known again where it was used"

_new = tuple.__new__


class Dependencies:
    """Keeps the longest spans and the values that went between spans; the graph is made at the end."""

    events: frozenset[str] = frozenset({"trace_start"})
    needs: tuple[str, ...] = ()

    def __init__(self, _options: Options) -> None:
        self._rows: list[Row] = []
        self._least = (-1, 0)
        self._spans = 0
        self._gave = False
        self._fingerprints = Fingerprints()
        self._unread: dict[int, bytes] = {}
        self._unread_bytes = 0
        self._links: dict[str, list[tuple[int, str]]] = {}

    def span(self, span: MeasuredSpan) -> None:
        """Take a span that ended; an end without a start has no place in the graph."""
        if span.start:
            self._take(span, max(span.duration_ns or 0, 0))

    def open_span(self, span: MeasuredSpan) -> None:
        """Take a span that never ended: it counts as one that ran until the recording ended."""
        self._take(span, _OPEN)

    def event(self, number: int, event: Event) -> None:
        """Remember in which span a process was started."""
        if "parent_event_id" in event:
            self._links.setdefault(event["event_id"], []).append((number, event["parent_event_id"]))

    def _take(self, span: MeasuredSpan, length: int) -> None:
        """Keep a span while it is among the longest, with its payloads still unread."""
        self._spans += 1
        start, end = span.start, span.end
        self._gave = self._gave or bool(end.get("outputs"))
        if (length, -span.number) < self._least:
            return
        inputs, outputs = start.get("inputs"), end.get("outputs")
        given = taken = NONE
        if inputs or outputs:
            # finding keys is slow, and most spans that are among the longest so far will not be at the end
            try:
                unread = dumps((outputs, inputs))
            except (TypeError, ValueError):
                given, taken = self._keys(outputs, inputs)
            else:
                self._unread[span.number] = unread
                self._unread_bytes += len(unread)
        needs = span.get("depends_on") or ()
        facts = (
            *(
                span.number,
                span.end_number,
                instant(start.get("timestamp")),
                instant(end.get("timestamp")),
                span.duration_ns,
            ),
            *(start.get("event_id"), end.get("event_id"), start.get("parent_event_id")),
            *(span.component, span.name, _ids(needs), given, taken, bool(inputs), span.retried),
            start["event_type"] == "app_load_start",
            *handed(span.component, inputs, outputs),
        )
        self._rows.append(_new(Row, facts))
        if len(self._rows) > MOST_SPANS + MOST_SPANS // 4:
            self._keep_longest()
        if self._unread_bytes > MOST_UNREAD:
            self._keep_longest()
            self._read()

    def _keys(self, outputs: Any, inputs: Any) -> tuple[array[int], array[int]]:
        """The keys of the outputs and of the inputs of a span, the messages first."""
        if isinstance(inputs, dict) and "messages" in inputs:
            inputs = {name: inputs[name] for name in sorted(inputs, key="messages".__eq__)}
        return self._fingerprints.of(outputs, MOST_GIVEN), self._fingerprints.of(inputs, MOST_TAKEN)

    def _read(self) -> None:
        """Find the keys of the payloads that wait."""
        unread = self._unread
        for place, row in enumerate(self._rows):
            payloads = unread.pop(row.number, None)
            if payloads is not None:
                given, taken = self._keys(*loads(payloads))
                self._rows[place] = row._replace(given=given, taken=taken)
        self._unread_bytes = 0

    def _keep_longest(self) -> None:
        if len(self._rows) > MOST_SPANS:
            self._rows.sort(key=_rank, reverse=True)
            for row in islice(self._rows, MOST_SPANS, None):
                self._unread_bytes -= len(self._unread.pop(row.number, b""))
            del self._rows[MOST_SPANS:]
            self._least = _rank(self._rows[-1])

    def merge(self, later: Dependencies) -> None:
        """Add what a later part of the trace has found."""
        self._spans += later._spans
        self._gave = self._gave or later._gave
        self._rows += later._rows
        self._unread |= later._unread
        self._unread_bytes += later._unread_bytes
        self._keep_longest()
        for event_id, links in later._links.items():
            self._links.setdefault(event_id, []).extend(links)

    def result(self, totals: Totals) -> dict[str, Any]:
        """The section."""
        self._keep_longest()
        self._read()
        rows = sorted(self._rows, key=_number)
        parents, lost = parents_of(rows, self._links)
        recorded, unresolved = _recorded(rows)
        graph_of = _Edges(rows, parents, recorded)
        graph = SpanGraph(parents, moments_of(rows, totals.last_at), graph_of.needs)
        report = _Report(rows, graph, graph_of, gave=self._gave)
        return {
            "spans": self._spans,
            "spans_left_out": self._spans - len(rows),
            "lost_parents": lost,
            **report.work(),
            "edges": {
                "nesting": sum(parent != RUN for parent in parents),
                "recorded": len(graph_of.recorded),
                "inferred": len(graph_of.inferred),
                "unresolved": unresolved,
                "listed": report.edges(),
            },
            "violations": report.violations(),
            "critical_path": report.critical_path(),
            **report.schedule(self._reason()),
        }

    def _reason(self) -> str | None:
        """The reason why it is not known what could have run at the same time."""
        if len(self._rows) < self._spans:
            return "the trace holds more spans than are looked at"
        return None


class _Edges:
    """The edges of the graph, by the places of the spans.

    Attributes:
        recorded, inferred: (giver, taker) -> how many values; recorded ones have none.
        late: recorded ones whose taker began before the giver had ended.
        needs: for each taker the givers of both kinds, those that had ended.
    """

    def __init__(self, rows: list[Row], parents: list[int], recorded: list[tuple[int, int]]) -> None:
        tree = Tree(parents)
        apart = [pair for pair in recorded if tree.branches(*pair) is not None]
        self.late = [(giver, taker) for giver, taker in apart if not _ended_before(rows, giver, taker)]
        late = set(self.late)
        self.recorded = {pair: 0 for pair in apart if pair not in late}
        self.inferred = flows(rows, parents)
        self.needs: dict[int, list[int]] = {}
        for giver, taker in sorted({**self.recorded, **self.inferred}):
            self.needs.setdefault(taker, []).append(giver)

    def pairs(self) -> list[tuple[int, int]]:
        """All edges that hold, in order."""
        return sorted({*self.recorded, *self.inferred})


class _Report:
    """The parts of the section."""

    def __init__(self, rows: list[Row], graph: SpanGraph, edges: _Edges, *, gave: bool) -> None:
        self._rows = rows
        self._gave = gave
        self._graph = graph
        self._edges = edges
        self._critical = [0] * (len(rows) + 1)
        for owner, _, length in graph.path:
            self._critical[owner] += length

    def _who(self, place: int) -> dict[str, Any]:
        if place == RUN:
            return {"number": None, "component": None, "component_name": None}
        row = self._rows[place - 1]
        return {"number": row.number, "component": row.component, "component_name": row.name or None}

    def work(self) -> dict[str, Any]:
        """Wall time, work, and their ratio."""
        wall, work = self._graph.wall_ns, sum(self._graph.own[1:])
        return {
            "wall_ms": milliseconds(wall) if self._rows else None,
            "work_ms": milliseconds(work) if self._rows else None,
            "parallelism": round(work / wall, 3) if wall else None,
        }

    def edges(self) -> list[dict[str, Any]]:
        """The edges that were recorded, then those that were inferred from most values."""
        listed = [(0, pair, "recorded") for pair in sorted(self._edges.recorded)]
        inferred = ((values, pair, "inferred") for pair, values in self._edges.inferred.items())
        listed += sorted(inferred, key=lambda edge: (-edge[0], edge[1]))
        return [
            {
                "from": self._rows[giver - 1].number,
                "to": self._rows[taker - 1].number,
                "kind": kind,
                "values": values,
            }
            for values, (giver, taker), kind in listed[:LISTED]
        ]

    def violations(self) -> dict[str, Any]:
        """Spans that began before the spans that they state to depend on had ended."""
        late = self._edges.late
        order, moments = self._graph.order, self._graph.moments
        listed = []
        for giver, taker in late[:LISTED]:
            early = moments[order[giver][1]].at - moments[order[taker][0]].at
            needs = self._rows[giver - 1]
            listed.append(
                {
                    **self._who(taker),
                    "needs": needs.number,
                    "needed_ended": bool(needs.end_number),
                    "early_ms": milliseconds(early),
                }
            )
        return {"count": len(late), "listed": listed}

    def critical_path(self) -> dict[str, Any]:
        """The critical path of the run, step by step and by operation."""
        wall = self._graph.wall_ns
        times: Counter[tuple[str, str]] = Counter()
        spans: Counter[tuple[str, str]] = Counter()
        for place, length in enumerate(self._critical):
            if length:
                row = self._rows[place - 1] if place else None
                operation = (row.component, row.name) if row else ("", "")
                times[operation] += length
                spans[operation] += bool(row)
        operations = sorted(times, key=lambda operation: (-times[operation], operation))
        return {
            "steps": len(self._graph.path),
            "operations": [
                {
                    "component": component or None,
                    "component_name": name or None,
                    "spans": spans[component, name],
                    "ms": milliseconds(times[component, name]),
                    "share": round(times[component, name] / wall, 6),
                }
                for component, name in operations[:LISTED]
            ],
            "listed": [
                {**self._who(owner), "begin_ms": milliseconds(begin), "ms": milliseconds(length)}
                for owner, begin, length in self._graph.path[:LISTED]
            ],
        }

    def schedule(self, reason: str | None) -> dict[str, Any]:
        """The spans with their slack, and what could have run at the same time."""
        parallel = Parallel(self._graph, self._rows, self._edges.pairs())
        graph = self._graph
        moments, order = graph.moments, graph.order
        lasted = [0] * len(graph.parents)
        for place in range(1, len(lasted)):
            lasted[place] = moments[order[place][1]].at - moments[order[place][0]].at
        most = sorted(
            range(1, len(lasted)), key=lambda place: (-self._critical[place], -lasted[place], place)
        )
        listed = [
            {
                **self._who(place),
                "parent": self._who(graph.parents[place])["number"],
                "level": parallel.levels[place],
                "needs": [
                    self._rows[giver - 1].number for giver in self._edges.needs.get(place, ())[:LISTED]
                ],
                "begin_ms": milliseconds(moments[order[place][0]].at),
                "duration_ms": milliseconds(lasted[place]),
                "open": not self._rows[place - 1].end_number,
                "critical_ms": milliseconds(self._critical[place]),
                "slack_ms": milliseconds(graph.slack[place]),
            }
            for place in sorted(most[:LISTED])
        ]
        return {"schedule": listed, "parallel": self._parallel(parallel, reason)}

    def _parallel(self, parallel: Parallel, reason: str | None) -> dict[str, Any]:
        """What could have run at the same time, or the reason why that is not known."""
        if not self._rows:
            reason = "there are no spans"
        elif not any(row.given for row in self._rows):
            reason = _TOO_LITTLE if self._gave else _NOT_RECORDED
        if reason is not None:
            return {"saves_ms": None, "share": None, "others_ms": None, "reason": reason, "chances": []}
        wall = self._graph.wall_ns
        return {
            "saves_ms": milliseconds(parallel.saves_ns),
            "share": round(parallel.saves_ns / wall, 6) if wall else None,
            "others_ms": milliseconds(parallel.others_ns),
            "reason": None,
            "chances": [
                {
                    **self._who(span),
                    "saves_ms": milliseconds(saves),
                    "groups": [
                        [self._rows[child - 1].number for child in group[:_MOST_IN_GROUP]]
                        for group in groups[:_MOST_GROUPS]
                    ],
                }
                for span, saves, groups in parallel.chances
            ],
        }


def _recorded(rows: list[Row]) -> tuple[list[tuple[int, int]], int]:
    """The edges recorded as `depends_on`, as (giver, taker), and how many of its ids belong to no span here."""
    if not any(row.needs for row in rows):
        return [], 0
    places: dict[str, int] = {}
    for place, row in enumerate(rows, 1):
        for event_id in (row.id, row.end_id):
            if event_id is not None:
                places.setdefault(event_id, place)
    pairs: set[tuple[int, int]] = set()
    unresolved = 0
    for taker, row in enumerate(rows, 1):
        for event_id in row.needs:
            giver = places.get(event_id)
            if giver is None:
                unresolved += 1
            else:
                pairs.add((giver, taker))
    return sorted(pairs, key=lambda pair: (pair[1], pair[0])), unresolved


def _ended_before(rows: list[Row], giver: int, taker: int) -> bool:
    ended = rows[giver - 1].end_number
    return 0 < ended < rows[taker - 1].number


def _number(row: Row) -> int:
    return row.number


def _rank(row: Row) -> tuple[int, int]:
    return (max(row.duration_ns or 0, 0) if row.end_number else _OPEN, -row.number)


def _ids(needs: object) -> tuple[str, ...]:
    if not isinstance(needs, (list, tuple)):
        return ()
    return tuple(event_id for event_id in needs[:_MOST_NEEDS] if isinstance(event_id, str))
