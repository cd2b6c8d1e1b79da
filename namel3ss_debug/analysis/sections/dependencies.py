"""Which span needed which, what decided the duration of the run, and what could have run at the same time.

The section, all times in milliseconds, `number` that of a span's start event:

    {"spans": 41, "spans_left_out": 0, "lost_parents": 0,
     "wall_ms": 5200.0,                      from the first event of a span to the last; shares are of the whole run
     "work_ms": 6100.0,                      the self time of all spans together
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
listed, nor those that follow from other edges. `critical_path.listed` is in the order of time, `number` null for what
the program did outside of any span. `schedule` has the spans with most time on the critical path and the longest, in
order; all of them where there are no more than a hundred. A span could have taken `slack_ms` longer without the run
taking longer, if everything else had gone as it did. The figures of `parallel` are null, with a
`reason`, where the trace does not hold enough data.

The longest `MOST_SPANS` spans are looked at; `spans_left_out` counts the others. Commands that libraries run for their
own purposes are left out: the program could not start them at another time. The models are
those of `spangraph` (critical path), `flows` and `fingerprints` (inferred edges) and `parallel`.
"""

from __future__ import annotations

from collections import Counter
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from orjson import dumps, loads

from namel3ss_debug.analysis.contract import EVENT, ColumnSpec, TableSpec
from namel3ss_debug.analysis.distributions import milliseconds
from namel3ss_debug.analysis.findings import HALF, format_share, format_time, is_worthwhile, make_finding
from namel3ss_debug.analysis.sections.fingerprints import NONE, Fingerprints
from namel3ss_debug.analysis.sections.flows import call_links, find_flows
from namel3ss_debug.analysis.sections.graphs import JumpTree
from namel3ss_debug.analysis.sections.parallel import Parallel
from namel3ss_debug.analysis.sections.spangraph import RUN, GraphSpan, SpanGraph, find_parents, list_moments
from namel3ss_debug.analysis.totals import LISTED
from namel3ss_debug.traces.facts import LONGEST_NS, instant
from namel3ss_debug.traces.span_table import SpanWatcher

if TYPE_CHECKING:
    from array import array
    from collections.abc import Iterator, Mapping

    from namel3ss_debug.analysis.findings import Finding, Row, RunAmounts
    from namel3ss_debug.analysis.totals import Options
    from namel3ss_debug.traces.events import Event
    from namel3ss_debug.traces.span_table import SpanTable


def _longest(section: Mapping[str, Any]) -> list[Row]:
    """Return the spans with most time on the critical path first."""
    return sorted(
        section.get("schedule") or (),
        key=lambda row: (-(row["critical_ms"] or 0), -(row["duration_ms"] or 0), row["number"] or 0),
    )


_SPAN = ColumnSpec("span", "", "operation")
COLUMNS = (
    TableSpec(
        "{violations.count:span} began before what it needs had ended",
        "violations.listed",
        (EVENT, _SPAN, ColumnSpec("needs", "needs", "count"), ColumnSpec("early ms", "early_ms", "early")),
        total="violations.count",
        alarming=True,
    ),
    "critical path",
    TableSpec(
        "",
        "critical_path.operations",
        (
            ColumnSpec("operation", "", "operation or not"),
            ColumnSpec("spans", "spans", "amount"),
            ColumnSpec("ms", "ms", "ms"),
            ColumnSpec("share", "share", "share"),
        ),
    ),
    TableSpec(
        "Spans on the path",
        "schedule",
        (
            EVENT,
            _SPAN,
            ColumnSpec("ms", "duration_ms", "ms"),
            ColumnSpec("on the path", "critical_ms", "ms"),
            ColumnSpec("slack ms", "slack_ms", "ms"),
            ColumnSpec("needs", "needs", "numbers"),
        ),
        "slack: how much longer without delaying the run",
        total="spans",
        rows=_longest,
    ),
    "parallel",
    TableSpec(
        "{parallel.saves_ms:ms} could be saved in parallel",
        "parallel.chances",
        (
            EVENT,
            ColumnSpec("inside", "", "operation of the run", 14),
            ColumnSpec("saves ms", "saves_ms", "ms"),
            ColumnSpec("could have run at the same time", "groups", "groups", 16),
        ),
        "{parallel.share:share} of the run, by what was recorded",
    ),
    "spans left out",
)

MOST_SPANS = 12_000
MOST_OUTPUT_KEYS = 128
MOST_INPUT_KEYS = 512
MOST_UNREAD = 16_000_000
"""The most bytes of payloads that wait until it is known whether their spans are among the longest."""
_MOST_NEEDS = 100
_MOST_GROUPS = 5
_MOST_IN_GROUP = 20
_OPEN = LONGEST_NS + 1

_NOT_RECORDED = "the trace does not hold the inputs and outputs of the spans"
_TOO_LITTLE = "the outputs of the spans are too short to be recognised where they were used"

_new = tuple.__new__


class Dependencies(SpanWatcher):
    """Keeps the longest spans and the values that went between spans. The graph is made at the end."""

    def __init__(self, _options: Options) -> None:
        self._rows: list[GraphSpan] = []
        self._least = (-1, 0)
        self._spans = 0
        self._has_outputs = False
        self._fingerprints = Fingerprints()
        self._unread: dict[int, bytes] = {}
        self._unread_bytes = 0

    def span(self, spans: SpanTable, row: int, start: Event, end: Event) -> None:
        """Keep a span while it is among the longest, with its payloads still unread.

        An end without a start has no place in the graph. A span that never ended counts as one that ran until the trace
        ended.
        """
        if not start or spans.background[row]:
            return
        number, duration = spans.number[row], spans.duration[row]
        length = max(duration, 0) if end else _OPEN
        self._spans += 1
        self._has_outputs = self._has_outputs or bool(end.get("outputs"))
        if (length, -number) < self._least:
            return
        inputs, outputs = start.get("inputs"), end.get("outputs")
        output_keys = input_keys = NONE
        if inputs or outputs:
            # Finding keys is slow, and most of the spans that are the longest so far will not be at the end.
            try:
                unread = dumps((outputs, inputs))
            except (TypeError, ValueError):
                output_keys, input_keys = self._keys(outputs, inputs)
            else:
                self._unread[number] = unread
                self._unread_bytes += len(unread)
        needs = end.get("depends_on", start.get("depends_on")) or ()
        component, name = spans.operations[spans.operation[row]]
        facts = (
            *(number, spans.end[row], instant(start.get("timestamp")), instant(end.get("timestamp"))),
            duration if duration >= 0 else None,
            *(start.get("event_id"), end.get("event_id"), row),
            *(component, name, _ids(needs), output_keys, input_keys, bool(inputs), bool(spans.retried[row])),
            start["event_type"] == "app_load_start",
            *call_links(component, inputs, outputs),
        )
        self._rows.append(_new(GraphSpan, facts))
        if len(self._rows) > MOST_SPANS + MOST_SPANS // 4:
            self._keep_longest()
        if self._unread_bytes > MOST_UNREAD:
            self._keep_longest()
            self._read()

    def _keys(self, outputs: Any, inputs: Any) -> tuple[array[int], array[int]]:
        """Return the keys of the outputs and of the inputs of a span, those of the messages first."""
        if isinstance(inputs, dict) and "messages" in inputs:
            inputs = {name: inputs[name] for name in sorted(inputs, key="messages".__eq__)}
        return self._fingerprints.find_keys(outputs, MOST_OUTPUT_KEYS), self._fingerprints.find_keys(
            inputs, MOST_INPUT_KEYS
        )

    def _read(self) -> None:
        """Find the keys of the waiting payloads."""
        unread = self._unread
        for index, row in enumerate(self._rows):
            payloads = unread.pop(row.number, None)
            if payloads is not None:
                output_keys, input_keys = self._keys(*loads(payloads))
                self._rows[index] = row._replace(output_keys=output_keys, input_keys=input_keys)
        self._unread_bytes = 0

    def _keep_longest(self) -> None:
        """Drop the shortest spans beyond `MOST_SPANS`."""
        if len(self._rows) > MOST_SPANS:
            self._rows.sort(key=_rank, reverse=True)
            for row in islice(self._rows, MOST_SPANS, None):
                self._unread_bytes -= len(self._unread.pop(row.number, b""))
            del self._rows[MOST_SPANS:]
            self._least = _rank(self._rows[-1])

    def result(self, spans: SpanTable, _sections: Mapping[str, Any]) -> dict[str, Any]:
        """Return the section."""
        self._keep_longest()
        self._read()
        rows = sorted(self._rows, key=attrgetter("number"))
        parents, lost = find_parents(rows, spans)
        recorded, unresolved = _find_recorded_edges(rows)
        edges = _Edges(rows, parents, recorded)
        graph = SpanGraph(parents, list_moments(rows, spans.last_at), edges.needs)
        too_many = len(rows) < self._spans
        # Every share of a report is one of the whole run, start-up included.
        run_ns = spans.wall or graph.wall_ns
        report = _Report(rows, graph, edges, run_ns, has_outputs=self._has_outputs)
        return {
            "spans": self._spans,
            "spans_left_out": self._spans - len(rows),
            "lost_parents": lost,
            **report.work(),
            "edges": {
                "nesting": sum(parent != RUN for parent in parents),
                "recorded": len(edges.recorded),
                "inferred": len(edges.inferred),
                "unresolved": unresolved,
                "listed": report.edges(),
            },
            "violations": report.violations(),
            "critical_path": report.critical_path(),
            **report.schedule("the trace holds more spans than are looked at" if too_many else None),
        }


class _Edges:
    """The edges of the graph, by the indexes of the spans.

    Attributes:
        recorded, inferred: (source, target) -> how many values; recorded edges have none.
        late: recorded edges whose target began before the source had ended.
        needs: target -> its sources of both kinds that had ended.
    """

    def __init__(self, rows: list[GraphSpan], parents: list[int], recorded: list[tuple[int, int]]) -> None:
        tree = JumpTree(parents)
        apart = [pair for pair in recorded if tree.branches(*pair) is not None]
        self.late = [(source, target) for source, target in apart if not _ended_before(rows, source, target)]
        late = set(self.late)
        self.recorded = {pair: 0 for pair in apart if pair not in late}
        self.inferred = find_flows(rows, parents)
        self.needs: dict[int, list[int]] = {}
        for source, target in sorted({**self.recorded, **self.inferred}):
            self.needs.setdefault(target, []).append(source)

    def pairs(self) -> list[tuple[int, int]]:
        """Return all edges that hold, in order."""
        return sorted({*self.recorded, *self.inferred})


class _Report:
    """The parts of the section as JSON."""

    def __init__(
        self, rows: list[GraphSpan], graph: SpanGraph, edges: _Edges, run_ns: int, *, has_outputs: bool
    ) -> None:
        self._rows = rows
        self._has_outputs = has_outputs
        self._graph = graph
        self._edges = edges
        self._run_ns = run_ns
        self._critical = [0] * (len(rows) + 1)
        for owner, _, length in graph.path:
            self._critical[owner] += length

    def _span_json(self, index: int) -> dict[str, Any]:
        """Return the number, the component and the name of a span."""
        if index == RUN:
            return {"number": None, "component": None, "component_name": None}
        row = self._rows[index - 1]
        return {"number": row.number, "component": row.component, "component_name": row.name or None}

    def work(self) -> dict[str, Any]:
        """Return the wall time, the work, and their ratio."""
        wall, work = self._graph.wall_ns, sum(self._graph.self_ns[1:])
        return {
            "wall_ms": milliseconds(wall) if self._rows else None,
            "work_ms": milliseconds(work) if self._rows else None,
            "parallelism": round(work / wall, 3) if wall else None,
        }

    def edges(self) -> list[dict[str, Any]]:
        """Return the recorded edges, then the inferred ones, those of most values first."""
        listed = [(0, pair, "recorded") for pair in sorted(self._edges.recorded)]
        inferred = ((values, pair, "inferred") for pair, values in self._edges.inferred.items())
        listed += sorted(inferred, key=lambda edge: (-edge[0], edge[1]))
        return [
            {
                "from": self._rows[source - 1].number,
                "to": self._rows[target - 1].number,
                "kind": kind,
                "values": values,
            }
            for values, (source, target), kind in listed[:LISTED]
        ]

    def violations(self) -> dict[str, Any]:
        """Return the spans that began before the spans that they depend on had ended."""
        late = self._edges.late
        order, moments = self._graph.order, self._graph.moments
        listed = []
        for source, target in late[:LISTED]:
            early = moments[order[source][1]].at - moments[order[target][0]].at
            needs = self._rows[source - 1]
            listed.append(
                {
                    **self._span_json(target),
                    "needs": needs.number,
                    "needed_ended": bool(needs.end_number),
                    "early_ms": milliseconds(early),
                }
            )
        return {"count": len(late), "listed": listed}

    def critical_path(self) -> dict[str, Any]:
        """Return the critical path of the run, step by step and by operation."""
        times: Counter[tuple[str, str]] = Counter()
        spans: Counter[tuple[str, str]] = Counter()
        for index, length in enumerate(self._critical):
            if length:
                row = self._rows[index - 1] if index else None
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
                    "share": round(times[component, name] / self._run_ns, 6),
                }
                for component, name in operations[:LISTED]
            ],
            "listed": [
                {**self._span_json(owner), "begin_ms": milliseconds(begin), "ms": milliseconds(length)}
                for owner, begin, length in self._graph.path[:LISTED]
            ],
        }

    def schedule(self, reason: str | None) -> dict[str, Any]:
        """Return the spans with their slack, and those that could have run at the same time."""
        parallel = Parallel(self._graph, self._rows, self._edges.pairs())
        graph = self._graph
        moments, order = graph.moments, graph.order
        durations = [0] * len(graph.parents)
        for index in range(1, len(durations)):
            durations[index] = moments[order[index][1]].at - moments[order[index][0]].at
        most = sorted(
            range(1, len(durations)), key=lambda index: (-self._critical[index], -durations[index], index)
        )
        listed = [
            {
                **self._span_json(index),
                "parent": self._span_json(graph.parents[index])["number"],
                "level": parallel.levels[index],
                "needs": [
                    self._rows[source - 1].number for source in self._edges.needs.get(index, ())[:LISTED]
                ],
                "begin_ms": milliseconds(moments[order[index][0]].at),
                "duration_ms": milliseconds(durations[index]),
                "open": not self._rows[index - 1].end_number,
                "critical_ms": milliseconds(self._critical[index]),
                "slack_ms": milliseconds(graph.slack[index]),
            }
            for index in sorted(most[:LISTED])
        ]
        return {"schedule": listed, "parallel": self._parallel(parallel, reason)}

    def _parallel(self, parallel: Parallel, reason: str | None) -> dict[str, Any]:
        """Return the spans that could have run at the same time, or the reason why they are not known."""
        if not self._rows:
            reason = "there are no spans"
        elif not any(row.output_keys for row in self._rows):
            reason = _TOO_LITTLE if self._has_outputs else _NOT_RECORDED
        if reason is not None:
            return {"saves_ms": None, "share": None, "others_ms": None, "reason": reason, "chances": []}
        return {
            "saves_ms": milliseconds(parallel.saves_ns),
            "share": round(parallel.saves_ns / self._run_ns, 6) if self._run_ns else None,
            "others_ms": milliseconds(parallel.others_ns),
            "reason": None,
            "chances": [
                {
                    **self._span_json(span),
                    "saves_ms": milliseconds(saves),
                    "groups": [
                        [self._rows[child - 1].number for child in group[:_MOST_IN_GROUP]]
                        for group in groups[:_MOST_GROUPS]
                    ],
                }
                for span, saves, groups in parallel.chances
            ],
        }


def _find_recorded_edges(rows: list[GraphSpan]) -> tuple[list[tuple[int, int]], int]:
    """Return the edges recorded as `depends_on`, as (source, target), and how many ids belong to no span here."""
    if not any(row.needs for row in rows):
        return [], 0
    indexes: dict[str, int] = {}
    for index, row in enumerate(rows, 1):
        for event_id in (row.id, row.end_id):
            if event_id is not None:
                indexes.setdefault(event_id, index)
    pairs: set[tuple[int, int]] = set()
    unresolved = 0
    for target, row in enumerate(rows, 1):
        for event_id in row.needs:
            source = indexes.get(event_id)
            if source is None:
                unresolved += 1
            else:
                pairs.add((source, target))
    return sorted(pairs, key=lambda pair: (pair[1], pair[0])), unresolved


def _ended_before(rows: list[GraphSpan], source: int, target: int) -> bool:
    ended = rows[source - 1].end_number
    return 0 < ended < rows[target - 1].number


def _rank(row: GraphSpan) -> tuple[int, int]:
    """Return a sort key: the longest span last, of equal ones the earliest; spans without an end count as longest."""
    return (max(row.duration_ns or 0, 0) if row.end_number else _OPEN, -row.number)


def _ids(needs: object) -> tuple[str, ...]:
    if not isinstance(needs, (list, tuple)):
        return ()
    return tuple(event_id for event_id in needs[:_MOST_NEEDS] if isinstance(event_id, str))


def has_spans(section: Row) -> bool:
    """Return whether there were spans."""
    return bool(section["spans"])


def find_findings(section: Row, _sections: Mapping[str, Any], _run: RunAmounts) -> Iterator[Finding]:
    """Yield what could have run in parallel, and what began too early."""
    parallel = section.get("parallel") or {}
    chances = [row["number"] for row in parallel.get("chances") or () if row.get("number")]
    saves, share = parallel.get("saves_ms") or 0.0, parallel.get("share") or 0.0
    share = share if is_worthwhile(saves, share) else 0.0
    evidence = (
        f"{format_time(saves)} ({format_share(share)}) would be saved by running independent work in parallel"
    )
    yield make_finding("one_after_the_other", "performance", "dependencies", HALF * share, evidence, chances, "analyze --dependencies")  # fmt: skip
    violations = section.get("violations") or {}
    if violations.get("count"):
        listed = violations.get("listed") or []
        events = [row[key] for row in listed for key in ("number", "from", "to") if row.get(key)]
        evidence = f"{violations['count']:,} began before what they need had ended"
        look = f"inspect --event {events[0]}" if events else "analyze --dependencies"
        yield make_finding("began_too_early", "quality", "dependencies", 0.1, evidence, events, look)
