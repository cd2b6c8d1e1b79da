"""The spans of a run as a network of work: who waited for whom, what decided the duration of the run.

The model. A span's own work is what it did while it did not wait. It is split at the points where a child began (a
fork) and where one ended (a join). Between two joins the span goes on by itself; at a join it goes on only when the
child that ended is done. So a child begins when its parent has been joined by everything that had ended by then, and
has done the piece of its own work that lies between. A parent ends when its children have joined it and it has done the
last piece. A span that outlives its parent is joined by the nearest ancestor that is still open. The root of all is the
run, from the first event of a span to the last.

This is the happens-before relation that CRISP reads from the times of a trace (Zhang and others, "CRISP: Critical Path
Analysis of Large-Scale Microservice Architectures", USENIX ATC 2022), put into the network of the critical path method,
which adds slack to it. The order is that of the event numbers, which is right within a process even where clocks are
coarse. Lengths come from the timestamps; a time before that of an earlier event counts as equal to it. So the length of
the network is the wall time, to the nanosecond.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from namel3ss_debug.analysis.sections.graphs import Arrow, OpenAncestors, WorkNetwork
from namel3ss_debug.traces.facts import LONGEST_NS
from namel3ss_debug.traces.span_table import AT_TOP

if TYPE_CHECKING:
    from array import array
    from collections.abc import Mapping, Sequence

    from namel3ss_debug.traces.span_table import SpanTable

RUN = 0
"""The index of the run itself, which holds all spans; the spans are numbered from 1."""

NO_OWNER = -1
_NEVER = 1 << 62


class GraphSpan(NamedTuple):
    """The data that is kept of one span.

    Attributes:
        number, end_number: the numbers of its events; `end_number` is 0 for a span that never ended.
        began_at, ended_at: nanoseconds since the epoch; None where not recorded.
        duration_ns: the recorded duration, else the time between the events; None where neither is recorded.
        id, end_id: the ids of its two events.
        row: its row in the table of spans.
        component, name: those of the span.
        needs: the ids in `depends_on`.
        output_keys, input_keys: the keys of the values in its outputs and inputs, as made by `fingerprints`.
        has_inputs: whether its inputs were recorded.
        retried: whether it is an attempt that follows a failed one.
        loads: whether the program was loaded in it.
        produced_ids, consumed_ids: the ids of the calls and results that it produced and used; see `flows.call_links`.
    """

    number: int
    end_number: int
    began_at: int | None
    ended_at: int | None
    duration_ns: int | None
    id: str | None
    end_id: str | None
    row: int
    component: str
    name: str
    needs: tuple[str, ...]
    output_keys: array[int]
    input_keys: array[int]
    has_inputs: bool
    retried: bool
    loads: bool = False
    produced_ids: tuple[str, ...] = ()
    consumed_ids: tuple[str, ...] = ()


class Moment(NamedTuple):
    """One event of a span: its time (nanoseconds from the beginning of the run), and the index of the span."""

    at: int
    ends: bool
    span: int


def find_parents(rows: Sequence[GraphSpan], spans: SpanTable) -> tuple[list[int], int]:
    """Return the parent of each span as an index into the rows, from 1, `RUN` where there is none; and how many are lost.

    Args:
        rows: the spans by number.
        spans: the table that they are from.
    """
    indexes = {span.row: index for index, span in enumerate(rows, 1)}
    named = [spans.parent[span.row] for span in rows]
    lost = sum(parent != AT_TOP and parent not in indexes for parent in named)
    return [RUN, *(indexes.get(parent, RUN) for parent in named)], lost


def list_moments(rows: Sequence[GraphSpan], last_at: int | None) -> list[Moment]:
    """Return all events of the spans in order; spans that never ended end with the run, inner ones first.

    Args:
        rows: the spans by number.
        last_at: the latest timestamp of the trace in nanoseconds.
    """
    order = [(row.number, 0, index) for index, row in enumerate(rows, 1)]
    # Of spans without an end, the one that began last ends first: it is the innermost.
    order += [(row.end_number or _NEVER - index, 1, index) for index, row in enumerate(rows, 1)]
    order.sort()
    moments: list[Moment] = []
    first = now = 0
    began = [0] * (len(rows) + 1)
    for _, ends, index in order:
        row = rows[index - 1]
        at = row.began_at
        if ends:
            at = row.ended_at if row.end_number else last_at
            if at is None and row.end_number:
                at = began[index] + (row.duration_ns or 0)
        if not moments:
            first = now = at or 0
        elif at is not None and at > now:
            now = at
        if not ends:
            began[index] = now
        now = min(now, first + LONGEST_NS)
        moments.append(Moment(now - first, bool(ends), index))
    return moments


class SpanGraph:
    """The network of a run.

    Attributes:
        moments: the events of the spans in order.
        parents: the span around each; `RUN` at the top. Indexes count from 1, the run itself is 0.
        joined_by: the span that waited for the end of this one: the parent, or an ancestor that was still open.
        order: where in `moments` each span begins and ends.
        network: moments and the work between them; an arrow's owner is the index of the span that worked.
        slack: by how many nanoseconds each span could have ended later without the run taking longer.
        self_ns: how many nanoseconds each span worked itself: the time up to the beginning of a child or to its own end.
            It waited during the time up to the end of a child.
        path: the critical path: (owner, begin, length) in nanoseconds from the beginning.

    Args:
        parents: the parent of each index.
        moments: as `list_moments` returns them.
        needs: for each index the spans it needs, which ended before it began.
    """

    def __init__(self, parents: list[int], moments: list[Moment], needs: Mapping[int, Sequence[int]]) -> None:
        size = len(parents)
        self.parents = parents
        self.moments = moments
        self.joined_by = list(parents)
        self.order = [[-1, -1] for _ in range(size)]
        for index, moment in enumerate(moments):
            self.order[moment.span][moment.ends] = index
        self.network = WorkNetwork()
        self.self_ns = [0] * size
        ended = self._build(needs)
        allowed, earliest = self.network.latest(), self.network.earliest
        self.slack = [allowed[node] - earliest[node] for node in ended]
        self.path = _merge_path(self.network)

    def _build(self, needs: Mapping[int, Sequence[int]]) -> list[int]:
        """Fill the network, and return the moment at which each span ends."""
        add, earliest = self.network.add, self.network.earliest
        begin = add()
        size = len(self.parents)
        last = [begin] * size
        ended = [begin] * size
        seen = [0] * size
        open_now = OpenAncestors(self.parents)
        for at, ends, span in self.moments:
            parent = self.parents[span]
            if not ends:
                before = last[parent]
                owner = open_now.find(parent)
                self.self_ns[owner] += at - seen[owner]
                seen[owner] = seen[span] = at
                arrows = [Arrow(before, at - earliest[before], owner)]
                arrows += [Arrow(ended[needed], 0, NO_OWNER) for needed in needs.get(span, ())]
                last[span] = add(arrows)
                continue
            ended[span] = end = add([Arrow(last[span], at - earliest[last[span]], span)])
            self.self_ns[span] += at - seen[span]
            open_now.close(span)
            joining = open_now.find(parent)
            seen[joining] = at
            self.joined_by[span] = joining
            last[joining] = add([Arrow(end, 0, NO_OWNER), Arrow(last[joining], 0, NO_OWNER)])
            last[span] = end
        ended[RUN] = add([Arrow(last[RUN], 0, RUN)])
        return ended

    @property
    def wall_ns(self) -> int:
        """Return the nanoseconds from the first event of a span to the last."""
        return self.network.length

    def ended_before(self, one: int, other: int) -> bool:
        """Return whether a span had ended when another began."""
        return self.order[one][1] < self.order[other][0]


def _merge_path(network: WorkNetwork) -> list[tuple[int, int, int]]:
    """Return the critical path without pieces of length 0, neighbours of one owner merged."""
    pieces: list[tuple[int, int, int]] = []
    for begin, arrow in network.critical_path():
        if arrow.length:
            if pieces and pieces[-1][0] == arrow.owner:
                owner, first, length = pieces.pop()
                pieces.append((owner, first, length + arrow.length))
            else:
                pieces.append((arrow.owner, begin, arrow.length))
    return pieces
