"""What could have run at the same time, and how much sooner the run would have been over.

The model. Spans that ran one after the other inside the same span may be started together unless the later one may
need the earlier one. That is so where there is a recorded or inferred edge between them or between spans inside them;
where the earlier one gave no value by which its use could be seen, or loaded the program, which everything later
needs; where the inputs of the later one were not recorded; and where the later one is another attempt. The work that
the span around them did itself while none of them ran is not moved: it takes as long as it took, and so does its
work to start one child after another. So the least time of a span is this work plus the longest chain of children
that need each other.

The time of a span is computed from those of its children, from the inside to the outside, so a saving inside a span
counts outside only as far as it shortens the time there, and nothing is counted twice. The saving of the
run is the reduction of its own time when this is done for every span. It is shared out among the spans by doing it
for one after the other, the largest gain first, and noting by how much the time of the run falls each time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from namel3ss_debug.analysis.graphs.graphs import Tree
from namel3ss_debug.analysis.graphs.spangraph import RUN, Moment, Row, SpanGraph

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MOST_CHANCES = 20
"""The shares of so many spans in the saving are listed; the rest is one sum."""


class Chance(NamedTuple):
    """Children of one span that could have run at the same time.

    Attributes:
        span: the place of the span.
        saves_ns: by how much the run would have been shorter.
        groups: the places of the children.
    """

    span: int
    saves_ns: int
    groups: list[list[int]]


class Parallel:
    """What a run could save.

    Attributes:
        saves_ns: by how much the run would be shorter.
        chances: the spans with the largest shares in it, the largest first.
        others_ns: the shares of all others.
        levels: for each place how many of its neighbours it had to wait for one after the other: spans of the
            same level inside the same span could have run at the same time.

    Args:
        graph: the run as it was.
        rows: its spans.
        edges: pairs of places: the span that gave, and the one that needs it.
    """

    def __init__(self, graph: SpanGraph, rows: Sequence[Row], edges: Iterable[tuple[int, int]]) -> None:
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
        self._needs = self._lifted(edges)
        self._mark_known(rows)
        self.levels = [0] * size
        self._lasts = [end - begin for begin, end in zip(self._begin_at, self._end_at, strict=True)]
        gains = self._relax_all()
        self._share_out(gains)

    def _lifted(self, edges: Iterable[tuple[int, int]]) -> dict[int, set[int]]:
        """Each edge moved up to the two neighbours that hold its ends, if these ran one after the other."""
        tree = Tree(self._graph.joined_by)
        needs: dict[int, set[int]] = {}
        for giver, taker in edges:
            found = tree.branches(giver, taker)
            if found is not None and self._graph.ended_before(*found):
                needs.setdefault(found[1], set()).add(found[0])
        return needs

    def _mark_known(self, rows: Sequence[Row]) -> None:
        """Note which spans, or spans inside them, have recorded inputs, and outputs; a load records only a part."""
        self._takes = [False, *(row.takes for row in rows)]
        self._gives = [False, *(bool(row.given) for row in rows)]
        for place in range(len(rows), 0, -1):
            above = self._graph.joined_by[place]
            self._takes[above] |= self._takes[place]
            self._gives[above] |= self._gives[place]
        for place, row in enumerate(rows, 1):
            self._takes[place] &= not row.retried
            self._gives[place] &= not row.loads

    def _relax_all(self) -> list[tuple[int, int]]:
        """Shorten every span, from the inside to the outside; return (gain, place) of those that gain."""
        best = self._lasts[:]
        gains = []
        for place in range(len(best) - 1, -1, -1):
            if self._inside[place]:
                relaxed = self._time(place, best, relaxed=True)
                gain = self._time(place, best, relaxed=False) - relaxed
                best[place] = relaxed
                if gain > 0:
                    gains.append((gain, place))
        self.saves_ns = self._lasts[RUN] - best[RUN]
        return gains

    def _share_out(self, gains: list[tuple[int, int]]) -> None:
        """Take the greatest gains one after the other, each on top of those before it, so that no time is saved twice."""
        lasts = self._lasts
        treated: set[int] = set()
        self.chances: list[Chance] = []
        told = 0
        for _, place in sorted(gains, key=lambda gain: (-gain[0], gain[1]))[:MOST_CHANCES]:
            treated.add(place)
            before = lasts[RUN]
            at = place
            while True:
                lasting = self._time(at, lasts, relaxed=at in treated)
                if lasting == lasts[at]:
                    break
                lasts[at] = lasting
                if at == RUN:
                    break
                at = self._graph.joined_by[at]
            saved = before - lasts[RUN]
            groups = self._groups(place) if saved > 0 else []
            if groups:
                told += saved
                self.chances.append(Chance(place, saved, groups))
        self.chances.sort(key=lambda chance: (-chance.saves_ns, chance.span))
        self.others_ns = self.saves_ns - told

    def _time(self, place: int, lasts: list[int], *, relaxed: bool) -> int:
        """The time of a span for given times of its children."""
        return self._at_best(place, lasts) if relaxed else self._in_order(place, lasts)

    def _in_order(self, place: int, lasts: list[int]) -> int:
        """The time if each child starts when as many children have ended as in the real run."""
        begun: dict[int, int] = {}
        done = 0
        joined_at = self._begin_at[place]
        for at, ends, child in self._inside[place]:
            if ends:
                done = max(done, begun[child] + lasts[child])
                joined_at = at
            else:
                begun[child] = done + at - joined_at
        return done + self._end_at[place] - joined_at

    def _at_best(self, place: int, lasts: list[int]) -> int:
        """The time if each child starts as soon as those it needs have ended; also finds the levels of the children."""
        begun: dict[int, int] = {}
        done: dict[int, int] = {}
        own = longest = barrier = barrier_level = most_level = 0
        before = ready = self._begin_at[place]
        for at, ends, child in self._inside[place]:
            if len(begun) == len(done):
                own += at - before
                ready = at
            before = at
            if ends:
                done[child] = finished = begun[child] + lasts[child]
                longest = max(longest, finished)
                most_level = max(most_level, self.levels[child] + 1)
                if not self._gives[child]:
                    barrier = max(barrier, finished)
                    barrier_level = max(barrier_level, self.levels[child] + 1)
                ready = at
            elif self._takes[child]:
                needed = self._needs.get(child, ())
                after = max((done[giver] for giver in needed), default=0)
                begun[child] = max(after, barrier) + at - ready
                level = max((self.levels[giver] + 1 for giver in needed), default=0)
                self.levels[child] = max(level, barrier_level)
            else:
                begun[child], self.levels[child] = longest + at - ready, most_level
        return own + longest + self._end_at[place] - before

    def _groups(self, place: int) -> list[list[int]]:
        """The children of each level that did not all run at the same time, with those that took longest first."""
        levels: dict[int, list[int]] = {}
        for _, ends, child in self._inside[place]:
            if not ends and self._end_at[child] > self._begin_at[child]:
                levels.setdefault(self.levels[child], []).append(child)
        groups = []
        for children in levels.values():
            first_end = min(self._end_at[child] for child in children)
            if len(children) > 1 and max(self._begin_at[child] for child in children) >= first_end:
                groups.append(children)
        groups.sort(key=lambda group: -sum(self._lasts[child] for child in group))
        return groups
