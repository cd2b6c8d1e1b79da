"""Whether a change of order is harmless: this is proved for each two rows that changed places, never assumed.

Two rows may change places where neither could have waited for the other. First, they ran at the same time in one of the
runs, or each ran, in one of them, while the other's lane was active. Second, in neither run was a value that the one
gave, directly or through others, among the inputs of the other, and neither states that it depends on the other. The
values are those of `flows`. Where a recording does not hold the inputs, nothing is proved.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from namel3ss_debug.analysis.diffing.rows import NEVER, Rows
from namel3ss_debug.analysis.graphs.fingerprints import Fingerprints
from namel3ss_debug.analysis.graphs.flows import flows
from namel3ss_debug.analysis.graphs.spangraph import RUN, Row

if TYPE_CHECKING:
    from namel3ss_debug.analysis.diffing.alignment import Siblings
    from namel3ss_debug.traces.events import Event
    from namel3ss_debug.traces.reader import Trace

MOST_ROWS: Final = 2_000
"""The flow of values between rows that changed places is followed through at most so many rows."""

_MOST_PAIRS = 100_000
_MOST_GIVEN, _MOST_TAKEN = 128, 512


def harmless(siblings: Siblings, sides: Sequence[tuple[Trace, Rows]]) -> frozenset[int]:
    """The moved pairs that only changed places with rows that they could not have waited for.

    Args:
        siblings: the matched rows inside one row, and which of them were moved.
        sides: both runs.

    Returns:
        Places in `siblings.pairs`.
    """
    if len(siblings.moved) * len(siblings.pairs) > _MOST_PAIRS:
        return frozenset()
    changed = {place: _changed_places(siblings.pairs, place) for place in siblings.moved}
    at_once = [_Times(rows, [pair[side] for pair in siblings.pairs]) for side, (_, rows) in enumerate(sides)]
    proved = {
        place: others
        for place, others in changed.items()
        if all(_free(at_once, place, other) for other in others)
    }
    if not proved:
        return frozenset()
    concerned = sorted({*proved, *(other for others in proved.values() for other in others)})
    first, last = concerned[0], concerned[-1]
    among = range(first, last + 1)
    for side, (trace, rows) in enumerate(sides):
        reached = _reached(trace, rows, [siblings.pairs[place][side] for place in among])
        if reached is None:
            return frozenset()
        proved = {
            place: others
            for place, others in proved.items()
            if not any(
                other - first in reached[place - first] or place - first in reached[other - first]
                for other in others
            )
        }
    return frozenset(proved)


def _changed_places(pairs: Sequence[tuple[int, int]], place: int) -> list[int]:
    """The pairs that are before this one in one run and after it in the other."""
    a, b = pairs[place]
    return [other for other, (i, j) in enumerate(pairs) if (i - a) * (j - b) < 0]


class _Times:
    """When the rows of one run ran, by the numbers of their events."""

    def __init__(self, rows: Rows, chosen: Sequence[int]) -> None:
        self._rows, self._chosen = rows, chosen
        self._extents: dict[int, tuple[int, int]] = {}
        for row in chosen:
            begin, end = self._extents.get(rows.lane[row], (NEVER, 0))
            self._extents[rows.lane[row]] = (
                min(begin, rows.first_attempt[row]),
                max(end, rows.end_number[row]),
            )

    def at_once(self, one: int, other: int) -> bool:
        """Whether two of them ran at the same time."""
        return _meet(self._span(self._chosen[one]), self._span(self._chosen[other]))

    def beside(self, one: int, other: int) -> bool:
        """Whether the first ran while the lane of the other, which must not be its own, was active."""
        first, lane = self._chosen[one], self._rows.lane[self._chosen[other]]
        return lane != self._rows.lane[first] and _meet(self._span(first), self._extents[lane])

    def _span(self, row: int) -> tuple[int, int]:
        return self._rows.first_attempt[row], self._rows.end_number[row]


def _free(runs: Sequence[_Times], one: int, other: int) -> bool:
    """Whether, by their times, neither of two rows can have waited for the other."""
    return any(times.at_once(one, other) for times in runs) or (
        any(times.beside(one, other) for times in runs) and any(times.beside(other, one) for times in runs)
    )


def _meet(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def _reached(trace: Trace, rows: Rows, chosen: Sequence[int]) -> list[set[int]] | None:
    """For each of some neighbours the places of those that its values reached, directly or through others.

    None where there are too many rows inside them, or where the recording does not hold what they gave.
    """
    inside = _inside(rows, chosen)
    if inside is None:
        return None
    listed = sorted(inside)
    places = {row: place for place, row in enumerate(listed, 1)}
    parents = [RUN, *(places.get(rows.parent[row], RUN) for row in listed)]
    given = _flow_rows(trace, rows, listed)
    if not any(row.given for row in given):
        return None
    edges = {*flows(given, parents), *_told(given)}
    onward: list[set[int]] = [set() for _ in chosen]
    for giver, taker in edges:
        onward[inside[listed[giver - 1]]].add(inside[listed[taker - 1]])
    return [_closure(onward, place) for place in range(len(chosen))]


def _inside(rows: Rows, chosen: Sequence[int]) -> dict[int, int] | None:
    """Each of the rows and everything inside it -> the place of that row; None where these are too many."""
    found: dict[int, int] = {}
    stack = [(row, place) for place, row in enumerate(chosen)]
    while stack:
        row, place = stack.pop()
        found[row] = place
        if len(found) > MOST_ROWS:
            return None
        stack += [(child, place) for child in rows.children_of(row)]
    return found


def _flow_rows(trace: Trace, rows: Rows, listed: Sequence[int]) -> list[Row]:
    """The rows with the values that they gave and were given, read again from the trace."""
    numbers = {rows.number[row] for row in listed}
    numbers |= {rows.end_number[row] for row in listed if rows.end_number[row] != NEVER}
    fingerprints = Fingerprints()
    given: dict[int, array[int]] = {}
    taken: dict[int, array[int]] = {}
    told: dict[int, Event] = {}
    for number, event in trace.chosen(sorted(numbers)):
        given[number] = fingerprints.of(event.get("outputs"), _MOST_GIVEN)
        taken[number] = fingerprints.of(event.get("inputs"), _MOST_TAKEN)
        told[number] = {key: event[key] for key in ("event_id", "depends_on") if key in event}
    nothing: array[int] = array("q")
    return [
        Row(
            number=rows.number[row],
            end_number=0 if rows.end_number[row] == NEVER else rows.end_number[row],
            began_at=None,
            ended_at=None,
            duration_ns=None,
            id=told[rows.number[row]].get("event_id"),
            end_id=told.get(rows.end_number[row], {}).get("event_id"),
            parent_id=None,
            component=rows.what(row).component,
            name=rows.what(row).name or "",
            needs=tuple(_texts(told[rows.number[row]].get("depends_on"))),
            given=given.get(rows.end_number[row], nothing),
            taken=taken[rows.number[row]],
            takes=True,
            retried=False,
        )
        for row in listed
    ]


def _told(rows: Sequence[Row]) -> list[tuple[int, int]]:
    """The edges that are recorded as `depends_on`."""
    places = {event_id: place for place, row in enumerate(rows, 1) for event_id in (row.id, row.end_id)}
    return [
        (places[event_id], taker)
        for taker, row in enumerate(rows, 1)
        for event_id in row.needs
        if event_id in places
    ]


def _closure(onward: Sequence[set[int]], start: int) -> set[int]:
    reached: set[int] = set()
    stack = [start]
    while stack:
        for place in onward[stack.pop()] - reached:
            reached.add(place)
            stack.append(place)
    return reached - {start}


def _texts(value: object) -> Iterable[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
