"""Prove which changes of order are harmless, for each two rows that changed places.

Two rows may change places if neither could have waited for the other. First, they overlapped in one of the runs, or
each ran, in one of them, while the other's task was active. Second, in neither run did a value from the outputs of the
one reach the inputs of the other, directly or through others, and neither names the other in `depends_on`. The values
are those of `graphs.flows`. Where a trace does not hold the inputs, nothing is proved.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from namel3ss_debug.analysis.diff.rows import NEVER, Rows
from namel3ss_debug.analysis.sections.fingerprints import Fingerprints
from namel3ss_debug.analysis.sections.flows import find_flows
from namel3ss_debug.analysis.sections.spangraph import RUN, GraphSpan
from namel3ss_debug.wire import lenient

if TYPE_CHECKING:
    from namel3ss_debug.analysis.diff.alignment import Siblings
    from namel3ss_debug.traces.events import Event
    from namel3ss_debug.traces.reader import Trace

MOST_ROWS: Final = 2_000
"""The flow of values between rows that changed places is followed through at most this many rows."""

_MOST_PAIRS = 100_000
_MOST_OUTPUTS, _MOST_INPUTS = 128, 512


def find_harmless_moves(siblings: Siblings, sides: Sequence[tuple[Trace, Rows]]) -> frozenset[int]:
    """Return the moved pairs that only changed places with rows that they could not have waited for.

    Args:
        siblings: the matched rows inside one row, and which of them were moved.
        sides: both runs.

    Returns:
        Indexes in `siblings.pairs`.
    """
    if len(siblings.moved) * len(siblings.pairs) > _MOST_PAIRS:
        return frozenset()
    changed = {index: _find_changed_pairs(siblings.pairs, index) for index in siblings.moved}
    run_times = [
        _RunTimes(rows, [pair[side] for pair in siblings.pairs]) for side, (_, rows) in enumerate(sides)
    ]
    proved = {
        index: others
        for index, others in changed.items()
        if all(_is_independent(run_times, index, other) for other in others)
    }
    if not proved:
        return frozenset()
    # A value may reach a row through any row between the two, so those count as well.
    concerned = sorted({*proved, *(other for others in proved.values() for other in others)})
    first, last = concerned[0], concerned[-1]
    among = range(first, last + 1)
    for side, (trace, rows) in enumerate(sides):
        reached = _find_reached(trace, rows, [siblings.pairs[index][side] for index in among])
        if reached is None:
            return frozenset()
        proved = {
            index: others
            for index, others in proved.items()
            if not any(
                other - first in reached[index - first] or index - first in reached[other - first]
                for other in others
            )
        }
    return frozenset(proved)


def _find_changed_pairs(pairs: Sequence[tuple[int, int]], index: int) -> list[int]:
    """Return the pairs that are before this one in one run and after it in the other."""
    a, b = pairs[index]
    return [other for other, (i, j) in enumerate(pairs) if (i - a) * (j - b) < 0]


class _RunTimes:
    """When the rows of one run ran, by the numbers of their events."""

    def __init__(self, rows: Rows, chosen: Sequence[int]) -> None:
        self._rows, self._chosen = rows, chosen
        self._extents: dict[int, tuple[int, int]] = {}
        for row in chosen:
            begin, end = self._extents.get(rows.task[row], (NEVER, 0))
            self._extents[rows.task[row]] = (
                min(begin, rows.first_attempt[row]),
                max(end, rows.end_number[row]),
            )

    def overlaps(self, one: int, other: int) -> bool:
        """Return whether two of them ran at the same time."""
        return _overlap(self._span(self._chosen[one]), self._span(self._chosen[other]))

    def ran_beside(self, one: int, other: int) -> bool:
        """Return whether the first ran while the task of the other was active, and that was another task."""
        first, task = self._chosen[one], self._rows.task[self._chosen[other]]
        return task != self._rows.task[first] and _overlap(self._span(first), self._extents[task])

    def _span(self, row: int) -> tuple[int, int]:
        return self._rows.first_attempt[row], self._rows.end_number[row]


def _is_independent(runs: Sequence[_RunTimes], one: int, other: int) -> bool:
    """Return whether the times show that neither of two rows can have waited for the other."""
    return any(times.overlaps(one, other) for times in runs) or (
        any(times.ran_beside(one, other) for times in runs)
        and any(times.ran_beside(other, one) for times in runs)
    )


def _overlap(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def _find_reached(trace: Trace, rows: Rows, chosen: Sequence[int]) -> list[set[int]] | None:
    """Return for each of some neighbours the indexes of those that its values reached, directly or indirectly.

    None where there are too many rows inside them, or where the trace does not hold their outputs.
    """
    inside = _find_inside(rows, chosen)
    if inside is None:
        return None
    listed = sorted(inside)
    indexes = {row: index for index, row in enumerate(listed, 1)}
    parents = [RUN, *(indexes.get(rows.parent[row], RUN) for row in listed)]
    flow_rows = _load_flow_rows(trace, rows, listed)
    if not any(row.output_keys for row in flow_rows):
        return None
    edges = {*find_flows(flow_rows, parents), *_declared_edges(flow_rows)}
    onward: list[set[int]] = [set() for _ in chosen]
    for source, target in edges:
        onward[inside[listed[source - 1]]].add(inside[listed[target - 1]])
    return [_find_reachable(onward, index) for index in range(len(chosen))]


def _find_inside(rows: Rows, chosen: Sequence[int]) -> dict[int, int] | None:
    """Return each of the rows and everything inside it -> the index of that row; None where these are too many."""
    inside: dict[int, int] = {}
    stack = [(row, index) for index, row in enumerate(chosen)]
    while stack:
        row, index = stack.pop()
        inside[row] = index
        if len(inside) > MOST_ROWS:
            return None
        stack += [(child, index) for child in rows.children_of(row)]
    return inside


def _load_flow_rows(trace: Trace, rows: Rows, listed: Sequence[int]) -> list[GraphSpan]:
    """Read the rows again from the trace, with the keys of the values in their inputs and outputs."""
    numbers = {rows.number[row] for row in listed}
    numbers |= {rows.end_number[row] for row in listed if rows.end_number[row] != NEVER}
    fingerprints = Fingerprints()
    outputs: dict[int, array[int]] = {}
    inputs: dict[int, array[int]] = {}
    ids: dict[int, Event] = {}
    for number, event in trace.chosen(sorted(numbers)):
        outputs[number] = fingerprints.find_keys(event.get("outputs"), _MOST_OUTPUTS)
        inputs[number] = fingerprints.find_keys(event.get("inputs"), _MOST_INPUTS)
        ids[number] = {key: event[key] for key in ("event_id", "depends_on") if key in event}
    nothing: array[int] = array("q")
    return [
        GraphSpan(
            number=rows.number[row],
            end_number=0 if rows.end_number[row] == NEVER else rows.end_number[row],
            began_at=None,
            ended_at=None,
            duration_ns=None,
            id=ids[rows.number[row]].get("event_id"),
            end_id=ids.get(rows.end_number[row], {}).get("event_id"),
            parent_id=None,
            component=rows.kind_of(row).component,
            name=rows.kind_of(row).name or "",
            needs=tuple(
                item
                for item in lenient.sequence(ids[rows.number[row]].get("depends_on"))
                if isinstance(item, str)
            ),
            output_keys=outputs.get(rows.end_number[row], nothing),
            input_keys=inputs[rows.number[row]],
            has_inputs=True,
            retried=False,
        )
        for row in listed
    ]


def _declared_edges(rows: Sequence[GraphSpan]) -> list[tuple[int, int]]:
    """Return the edges that are recorded as `depends_on`."""
    indexes = {event_id: index for index, row in enumerate(rows, 1) for event_id in (row.id, row.end_id)}
    return [
        (indexes[event_id], target)
        for target, row in enumerate(rows, 1)
        for event_id in row.needs
        if event_id in indexes
    ]


def _find_reachable(onward: Sequence[set[int]], start: int) -> set[int]:
    """Return the indexes that can be reached from one along the edges."""
    reached: set[int] = set()
    stack = [start]
    while stack:
        for index in onward[stack.pop()] - reached:
            reached.add(index)
            stack.append(index)
    return reached - {start}
