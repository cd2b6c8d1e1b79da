"""Estimate what could have run at the same time, and how much sooner the run would have ended.

The model. Spans that ran one after the other inside the same span may be started together unless the later one may need
the earlier one. It may need it in any of these cases: there is a recorded or inferred edge between them or between
spans inside them; the earlier one has no outputs by which their use could be seen, or loaded the program, which
everything later needs; the inputs of the later one were not recorded; the later one is another attempt; they are
steps of jobs that arrive one after the other, as of a queue worker: the same operations again after each pause. The span around
them is not shortened itself: the work that it did while none of them ran takes as long as it took, and so does its work
to start one child after another. So the least time of a span is this work plus the longest chain of children that need
each other.

The time of a span is computed from those of its children, from the inside to the outside. So a saving inside a span
counts outside only as far as it shortens the time there, and nothing is counted twice. The saving of the run is the
reduction of its own time when this is done for every span. It is shared out among the spans: the largest gains are
taken one after the other, and each gets the time by which the run becomes shorter.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

from namel3ss_debug.analysis.sections.graphs import JumpTree
from namel3ss_debug.analysis.sections.spangraph import RUN, GraphSpan, Moment, SpanGraph
from namel3ss_debug.traces.facts import NS_PER_MS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MOST_CHANCES = 20
"""The shares of this many spans in the saving are listed; the rest is one sum."""

_PAUSE_NS: Final = 100 * NS_PER_MS
"""A program in which nothing runs for so long waits for its next job."""

_LEAST_JOBS: Final = 3


class Chance(NamedTuple):
    """Children of one span that could have run at the same time.

    Attributes:
        span: the index of the span.
        saves_ns: by how much the run would have been shorter.
        groups: the indexes of the children.
    """

    span: int
    saves_ns: int
    groups: list[list[int]]


class Parallel:
    """The time that a run could save.

    Attributes:
        saves_ns: by how much the run would be shorter.
        chances: the spans with the largest shares in it, the largest first.
        others_ns: the shares of all others.
        levels: for each index how many of its neighbours it had to wait for one after the other. Spans of the same level
            inside the same span could have run at the same time.

    Args:
        graph: the run as it was.
        rows: its spans.
        edges: pairs of indexes: the source, and the target that needs it.
    """

    def __init__(self, graph: SpanGraph, rows: Sequence[GraphSpan], edges: Iterable[tuple[int, int]]) -> None:
        self._graph = graph
        size = len(graph.parents)
        self._inside: list[list[Moment]] = [[] for _ in range(size)]
        for moment in graph.moments:
            self._inside[graph.joined_by[moment.span]].append(moment)
        self._begin_at = [0] * size
        self._end_at = [0] * size
        for at, ends, span in graph.moments:
            (self._end_at if ends else self._begin_at)[span] = at
        self._end_at[RUN] = graph.wall_ns
        self._needs = self._lift_edges(edges)
        self._mark_known(rows)
        for children in self._inside:
            if _are_jobs(children, rows):
                for _, _, child in children:
                    self._has_inputs[child] = (
                        False  # a job was not there before; a step may need all earlier ones
                    )
        self.levels = [0] * size
        self._durations = [end - begin for begin, end in zip(self._begin_at, self._end_at, strict=True)]
        gains = self._relax_all()
        self._share_out(gains)

    def _lift_edges(self, edges: Iterable[tuple[int, int]]) -> dict[int, set[int]]:
        """Return the edges moved up to the two neighbours that hold their ends, where these ran one after the other."""
        tree = JumpTree(self._graph.joined_by)
        needs: dict[int, set[int]] = {}
        for source, target in edges:
            branches = tree.branches(source, target)
            if branches is not None and self._graph.ended_before(*branches):
                needs.setdefault(branches[1], set()).add(branches[0])
        return needs

    def _mark_known(self, rows: Sequence[GraphSpan]) -> None:
        """Note for each span whether it, or a span inside it, has recorded inputs, and outputs.

        The span of loading the program counts as one without outputs, so everything later needs it.
        """
        self._has_inputs = [False, *(row.has_inputs for row in rows)]
        self._has_outputs = [False, *(bool(row.output_keys) for row in rows)]
        for index in range(len(rows), 0, -1):
            above = self._graph.joined_by[index]
            self._has_inputs[above] |= self._has_inputs[index]
            self._has_outputs[above] |= self._has_outputs[index]
        for index, row in enumerate(rows, 1):
            self._has_inputs[index] &= not row.retried
            self._has_outputs[index] &= not row.loads

    def _relax_all(self) -> list[tuple[int, int]]:
        """Shorten every span, from the inside to the outside, and return (gain, index) of those that gain."""
        best = self._durations[:]
        gains = []
        # A span has a higher index than the span it runs in, so backwards is from the inside to the outside.
        for index in range(len(best) - 1, -1, -1):
            if self._inside[index]:
                relaxed = self._duration_of(index, best, relaxed=True)
                gain = self._duration_of(index, best, relaxed=False) - relaxed
                best[index] = relaxed
                if gain > 0:
                    gains.append((gain, index))
        self.saves_ns = self._durations[RUN] - best[RUN]
        return gains

    def _share_out(self, gains: list[tuple[int, int]]) -> None:
        """Take the greatest gains one after the other, each on top of those before it, so that no time is saved twice."""
        durations = self._durations
        treated: set[int] = set()
        self.chances: list[Chance] = []
        listed_ns = 0
        for _, index in sorted(gains, key=lambda gain: (-gain[0], gain[1]))[:MOST_CHANCES]:
            treated.add(index)
            before = durations[RUN]
            at = index
            while True:
                duration = self._duration_of(at, durations, relaxed=at in treated)
                if duration == durations[at]:
                    break
                durations[at] = duration
                if at == RUN:
                    break
                at = self._graph.joined_by[at]
            saved = before - durations[RUN]
            groups = self._groups(index) if saved > 0 else []
            if groups:
                listed_ns += saved
                self.chances.append(Chance(index, saved, groups))
        self.chances.sort(key=lambda chance: (-chance.saves_ns, chance.span))
        self.others_ns = self.saves_ns - listed_ns

    def _duration_of(self, index: int, durations: list[int], *, relaxed: bool) -> int:
        """Return the duration of a span for given durations of its children."""
        return self._best_duration(index, durations) if relaxed else self._duration_in_order(index, durations)

    def _duration_in_order(self, index: int, durations: list[int]) -> int:
        """Return the duration if each child starts when as many children have ended as in the real run."""
        begun: dict[int, int] = {}
        done = 0
        joined_at = self._begin_at[index]
        for at, ends, child in self._inside[index]:
            if ends:
                done = max(done, begun[child] + durations[child])
                joined_at = at
            else:
                begun[child] = done + at - joined_at
        return done + self._end_at[index] - joined_at

    def _best_duration(self, index: int, durations: list[int]) -> int:
        """Return the duration if each child starts as soon as its needs are met; also set the children's levels."""
        begun: dict[int, int] = {}
        done: dict[int, int] = {}
        self_ns = longest = barrier = barrier_level = most_level = 0
        before = ready = self._begin_at[index]
        for at, ends, child in self._inside[index]:
            if len(begun) == len(done):
                self_ns += at - before
                ready = at
            before = at
            if ends:
                done[child] = finished = begun[child] + durations[child]
                longest = max(longest, finished)
                most_level = max(most_level, self.levels[child] + 1)
                if not self._has_outputs[child]:
                    barrier = max(barrier, finished)
                    barrier_level = max(barrier_level, self.levels[child] + 1)
                ready = at
            elif self._has_inputs[child]:
                needed = self._needs.get(child, ())
                after = max((done[source] for source in needed), default=0)
                begun[child] = max(after, barrier) + at - ready
                level = max((self.levels[source] + 1 for source in needed), default=0)
                self.levels[child] = max(level, barrier_level)
            else:
                begun[child], self.levels[child] = longest + at - ready, most_level
        return self_ns + longest + self._end_at[index] - before

    def _groups(self, index: int) -> list[list[int]]:
        """Return the children of each level that did not all run at the same time; groups that took longest come first."""
        levels: dict[int, list[int]] = {}
        for _, ends, child in self._inside[index]:
            if not ends and self._end_at[child] > self._begin_at[child]:
                levels.setdefault(self.levels[child], []).append(child)
        groups = []
        for children in levels.values():
            first_end = min(self._end_at[child] for child in children)
            if len(children) > 1 and max(self._begin_at[child] for child in children) >= first_end:
                groups.append(children)
        groups.sort(key=lambda group: -sum(self._durations[child] for child in group))
        return groups


def _are_jobs(moments: Sequence[Moment], rows: Sequence[GraphSpan]) -> bool:
    """Return whether children ran one after the other, most often the same operations again after each pause."""
    jobs: list[list[tuple[str, str]]] = []
    ended_at: int | None = None
    running = 0
    for at, ends, child in moments:
        if ends:
            running, ended_at = running - 1, at
            continue
        if running:
            return False
        running = 1
        operation = (rows[child - 1].component, rows[child - 1].name)
        if ended_at is None or at - ended_at >= _PAUSE_NS:
            jobs.append([operation])
        else:
            jobs[-1].append(operation)
    if len(jobs) < _LEAST_JOBS:
        return False
    (_, most), *_ = Counter(map(tuple, jobs)).most_common(1)
    return 3 * most >= 2 * len(jobs)
