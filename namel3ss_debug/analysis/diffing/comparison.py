"""Two runs compared: what differs, where they first diverge for good, whether they meet again, and what each took."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from namel3ss_debug.analysis.diffing.alignment import Alignment, Entry, align
from namel3ss_debug.analysis.diffing.differences import (
    ADDED,
    ANSWERS,
    KINDS,
    MISSING,
    ORDER,
    RETRY,
    STATUS,
    Detail,
    Difference,
    detail_of,
    difference_at,
    doubles,
    kinds_at,
    messages_of,
    with_origins,
)
from namel3ss_debug.analysis.diffing.masks import Masks
from namel3ss_debug.analysis.diffing.ordering import harmless
from namel3ss_debug.analysis.diffing.rows import NEVER, NOBODY, Rows, read_rows
from namel3ss_debug.traces.opening import open_recording
from namel3ss_debug.traces.reader import Trace
from namel3ss_debug.wire.value_changes import PathChange

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from namel3ss_debug.traces.events import Event
    from namel3ss_debug.wire.conversations import MessageChange

SCHEMA: Final = "namel3ss-debug/diff/1"

LISTED: Final = 1_000
"""So many differences are listed one by one; `kinds` counts all."""

DETAILED: Final = 100
"""For so many differences the events are read again to find what exactly differs."""

MEETING: Final = 3
"""Two runs have met again where so many places in a row are the same; at the end fewer are enough."""

_LOOKED_AHEAD = 500
_STEPS = 3


@dataclass(frozen=True)
class Side:
    """One of the runs.

    Attributes:
        path: the file it was opened by.
        execution_id, target: those in its first event.
        events: how many it has.
        duration_ms: from the first timestamp to the last.
        tokens, cost: of all calls; the cost in US dollars, None where no price of a call is known.
        unpriced: how many model calls have no known price; the cost is without them.
        memory_mb: the most memory the process had; None where it was not recorded.
        errors, model_calls, tool_calls: how many there were.
        exit_status: of the program; None where it is not known.
        problems: how many places could not be read; events there may be missing in the comparison.
    """

    path: str
    execution_id: str | None
    target: str | None
    events: int
    duration_ms: float | None
    tokens: int
    cost: float | None
    unpriced: int
    memory_mb: float | None
    errors: int
    model_calls: int
    tool_calls: int
    exit_status: int | None
    problems: int


class Meeting(NamedTuple):
    """Where two runs are the same again after they had diverged.

    Attributes:
        number_a, number_b: the first events that are the same again.
        in_a_row: how many spans and events from there on are.
        to_the_end: whether these are all that were left.
    """

    number_a: int
    number_b: int
    in_a_row: int
    to_the_end: bool


class Reading(NamedTuple):
    """What the model read in each run before the runs diverged.

    Attributes:
        number_a, number_b: the model calls.
        messages: the messages of both, paired.
    """

    number_a: int
    number_b: int
    messages: tuple[MessageChange, ...]

    @property
    def same(self) -> bool:
        """Whether it read the same."""
        return all(change.kind == "same" for change in self.messages)

    def to_json(self) -> dict[str, Any]:
        """The calls, and the messages that are not the same."""
        changed = [change._asdict() for change in self.messages if change.kind != "same"]
        return {"a": self.number_a, "b": self.number_b, "same": self.same, "messages": changed}


@dataclass(frozen=True)
class Diff:
    """What differs between two runs.

    Attributes:
        a, b: the runs.
        kinds: how many differences there are of each kind, without the kinds there are none of.
        differences: the first `LISTED` of them in the order of the second run.
        first: the first after which the runs did not go on the same; where there is none, the first of all;
            None where the runs are the same.
        read: what the model had read where they diverged; None where no model call comes before.
        read_next: where they did not diverge at a model call, what the next one read; None where there is none in both.
        met_again: where they met again after `first`; None where they did not, or never diverged.
        reordered: how many rows came in another order, which was proved to be harmless; they are no differences.
        payloads: whether arguments and results were compared; False where a run does not hold them.
    """

    a: Side
    b: Side
    kinds: dict[str, int]
    differences: tuple[Difference, ...]
    first: Difference | None
    read: Reading | None
    read_next: Reading | None
    met_again: Meeting | None
    reordered: int
    payloads: bool

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return not self.kinds

    def to_json(self) -> dict[str, Any]:
        """The document of `diff --format json`."""
        return {
            "schema": SCHEMA,
            "a": vars(self.a).copy(),
            "b": vars(self.b).copy(),
            "same": self.same,
            "kinds": self.kinds,
            "first": None if self.first is None else self.first.to_json(),
            "read": None if self.read is None else self.read.to_json(),
            "read_next": None if self.read_next is None else self.read_next.to_json(),
            "met_again": None if self.met_again is None else self.met_again._asdict(),
            "reordered": self.reordered,
            "payloads_compared": self.payloads,
            "differences": [found.to_json() for found in self.differences],
            "not_listed": sum(self.kinds.values()) - len(self.differences),
        }


def diff_traces(a: str | Path | Trace, b: str | Path | Trace, *, ignore: Iterable[str] = ()) -> Diff:
    """Compare two runs: where they stop being the same run.

    Args:
        a: the first run, as any file of its trace.
        b: the second.
        ignore: keys and paths that are not compared, as the setting `diff_ignore` has them.

    Raises:
        TraceNotFoundError: there is nothing at a path.
        UnreadableTraceError: what is there is not a trace.
    """
    masks = Masks(ignore)
    return compare(read_run(a, masks), read_run(b, masks), masks)


class Run(NamedTuple):
    """A run that was read."""

    trace: Trace
    rows: Rows


def read_run(trace: str | Path | Trace, masks: Masks) -> Run:
    """Read a run for `compare`.

    Raises:
        TraceNotFoundError: there is nothing at the path.
        UnreadableTraceError: what is there is not a trace.
    """
    opened = trace if isinstance(trace, Trace) else open_recording(trace)
    return Run(opened, read_rows(opened, masks))


def compare(a: Run, b: Run, masks: Masks) -> Diff:
    """Compare two runs that were read with the same masks."""
    comparing = Comparison(a, b)
    places = comparing.places()
    kinds = Counter(kind for _, _, kind in places)
    listed = [comparing.difference(place, kind) for _, place, kind in places[:LISTED]]
    first = next((place for place, found in enumerate(listed) if found.lasting), 0) if listed else None
    details = comparing.details([*listed[:DETAILED], *([] if first is None else [listed[first]])], masks)
    listed = [
        replace(found, detail=details.get((found.number_a, found.number_b, found.kind))) for found in listed
    ]
    for place in reversed(doubles(listed)):
        kinds[listed[place].kind] -= 1
        del listed[place], places[place]
        first = first - 1 if first is not None and place < first else first
    detailed = with_origins(listed)
    exits = _exits(a, b)
    if exits is not None:
        kinds[STATUS] += 1
        detailed.append(exits)
    where = None if first is None else places[first][1]
    return Diff(
        a=side_of(a),
        b=side_of(b),
        kinds={kind: kinds[kind] for kind in KINDS if kinds[kind]},
        differences=tuple(detailed[: LISTED + 1]),
        first=exits if first is None else detailed[first],
        read=None if where is None else comparing.reading(where, masks),
        read_next=None if where is None else comparing.reading(where, masks, following=True),
        met_again=None if where is None else comparing.met_again(where, places[first or 0][2]),
        reordered=comparing.reordered,
        payloads=comparing.payloads,
    )


class Comparison:
    """Two runs, aligned.

    Attributes:
        entries: the places of both runs, in one order.
        payloads: whether both runs hold payloads.
        reordered: how many rows came in another order without harm.
        kinds: the kinds of the differences at each place.
    """

    def __init__(self, a: Run, b: Run) -> None:
        self.a, self.b = a, b
        self.payloads = a.rows.payloads == b.rows.payloads
        for rows in (a.rows, b.rows):
            rows.finish(payloads=self.payloads)
        found = align(a.rows, b.rows, payloads=self.payloads)
        self.entries = found.entries
        self.harmless = self._harmless(found)
        self.reordered = len(self.harmless)
        self.kinds = [self._kinds(entry) for entry in self.entries]
        self._lanes = self._common_lanes()

    def _harmless(self, found: Alignment) -> frozenset[tuple[int, int]]:
        """The pairs of rows whose change of order was proved to be harmless."""
        sides = ((self.a.trace, self.a.rows), (self.b.trace, self.b.rows))
        return frozenset(
            siblings.pairs[place]
            for siblings in found.reordered
            if self.payloads
            for place in harmless(siblings, sides)
        )

    def _kinds(self, entry: Entry) -> tuple[str, ...]:
        kinds = kinds_at(entry, self.a.rows, self.b.rows, payloads=self.payloads)
        if entry.moved and (entry.a, entry.b) not in self.harmless:
            return (ORDER, *kinds)
        return kinds

    def _common_lanes(self) -> dict[int, int]:
        """The lanes of the first run -> those of the second."""
        lanes: dict[int, int] = {}
        for entry in self.entries:
            if NOBODY not in (entry.a, entry.b):
                lanes.setdefault(self.a.rows.lane[entry.a], self.b.rows.lane[entry.b])
        return lanes

    def lane(self, place: int) -> int | None:
        """The lane of a place, as a number of the second run."""
        entry = self.entries[place]
        if entry.b != NOBODY:
            return self.b.rows.lane[entry.b]
        return self._lanes.get(self.a.rows.lane[entry.a])

    def places(self) -> list[tuple[int, int, str]]:
        """Every difference: where it shows in the second run, its place among the entries, and its kind; in that order."""
        found: list[tuple[int, int, str]] = []
        reached = 0
        rows = self.b.rows
        for place, (entry, kinds) in enumerate(zip(self.entries, self.kinds, strict=True)):
            begins = reached if entry.b == NOBODY else rows.number[entry.b]
            ends = reached if entry.b == NOBODY else rows.end_number[entry.b]
            leaf = entry.beyond == place + 1
            if ends == NEVER:  # it shows where the last row inside it began that did not end either
                ends = begins if leaf else self.b.rows.events + 1
            reached = max(reached, ends if leaf else begins)
            found += [(ends if kind in ANSWERS else begins, place, kind) for kind in kinds]
        found.sort(key=lambda each: each[:2])
        return found

    def difference(self, place: int, kind: str) -> Difference:
        """The difference of this kind at a place, without its detail."""
        return difference_at(
            kind, self.entries[place], self.a.rows, self.b.rows, lasting=self._lasting(place, kind)
        )

    def _lasting(self, place: int, kind: str) -> bool:
        """Whether the runs did not go on the same after a difference.

        They did where the next steps of the same lane are the same: those up to the next call of a model, which reads
        what came before, or three steps. A retry that recovered never lasts, a difference at the very end always does.
        """
        entry = self.entries[place]
        if kind == RETRY and self._recovered(entry):
            return False
        if kind not in ANSWERS and any(other in ANSWERS for other in self.kinds[place]):
            return True
        behind = entry.beyond if kind in ANSWERS | {ADDED, MISSING} else place + 1
        lane = self.lane(place)
        ahead = range(behind, min(behind + _LOOKED_AHEAD, len(self.entries)))
        following = islice((other for other in ahead if self.lane(other) == lane), _STEPS)
        for other in list(following) or ahead[:_STEPS]:
            if self._differs(other):
                return True
            if self._component(other) == "llm":
                return False
        return not ahead

    def _recovered(self, entry: Entry) -> bool:
        return (
            NOBODY not in (entry.a, entry.b)
            and self.a.rows.status_of(entry.a) == self.b.rows.status_of(entry.b) == "completed"
        )

    def _differs(self, place: int) -> bool:
        """Whether the runs differ at a place, apart from differences inside it, or at its end if rows are inside."""
        kinds = self.kinds[place]
        entry = self.entries[place]
        if entry.beyond > place + 1:
            kinds = tuple(kind for kind in kinds if kind not in ANSWERS)
        return any(kind != RETRY or not self._recovered(entry) for kind in kinds)

    def _component(self, place: int) -> str:
        entry = self.entries[place]
        return (
            self.b.rows.what(entry.b).component if entry.b != NOBODY else self.a.rows.what(entry.a).component
        )

    def met_again(self, place: int, kind: str) -> Meeting | None:
        """Where the runs were the same again after the difference at a place."""
        start = self.entries[place].beyond if kind in ANSWERS else place + 1
        run: list[int] = []
        for other in [*range(start, len(self.entries)), None]:
            if other is not None and not self._differs(other) and self._is_leaf(other):
                run.append(other)
                continue
            if other is not None and not self._differs(other):
                continue  # a row with others inside is the same in itself; those inside decide
            if len(run) >= MEETING or (run and other is None):
                first = self.entries[run[0]]
                return Meeting(
                    self.a.rows.number[first.a], self.b.rows.number[first.b], len(run), other is None
                )
            run = []
        return None

    def _is_leaf(self, place: int) -> bool:
        return self.entries[place].beyond == place + 1

    def reading(self, place: int, masks: Masks, *, following: bool = False) -> Reading | None:
        """What the model read in both runs at a place, or, if that is no model call, at the last one before it.

        Args:
            place: the place among the entries.
            masks: what is not compared.
            following: whether to take the next model call after the place instead; None if the place is a model call.
        """
        lane = self.lane(place)
        entry = self.entries[place]
        asked = self._component(place) == "llm" and NOBODY not in (entry.a, entry.b)
        if following and asked:
            return None
        way = (
            range(place + 1, min(place + _LOOKED_AHEAD, len(self.entries)))
            if following
            else range(place, max(place - _LOOKED_AHEAD, -1), -1)
        )
        for other in way:
            entry = self.entries[other]
            if NOBODY in (entry.a, entry.b) or self._component(other) != "llm" or self.lane(other) != lane:
                continue
            numbers = self.a.rows.number[entry.a], self.b.rows.number[entry.b]
            old, new = self.a.trace.event(numbers[0]), self.b.trace.event(numbers[1])
            return Reading(*numbers, messages_of(old, new, masks))
        return None

    def details(
        self, chosen: Iterable[Difference], masks: Masks
    ) -> dict[tuple[int | None, int | None, str], Detail]:
        """The details of some differences, read again from the traces."""
        listed = list(chosen)
        old = _events(self.a.trace, (found.number_a for found in listed))
        new = _events(self.b.trace, (found.number_b for found in listed))
        return {
            (found.number_a, found.number_b, found.kind): detail_of(
                found.kind, old.get(found.number_a), new.get(found.number_b), masks
            )
            for found in listed
        }


def side_of(run: Run) -> Side:
    """What a run took."""
    rows, trace = run.rows, run.trace
    totals = rows.figures.totals
    timed = totals.began_at is not None
    return Side(
        path=str(trace.path),
        execution_id=rows.execution_id,
        target=rows.target,
        events=rows.events,
        duration_ms=round(totals.ms, 6) if timed else None,
        tokens=totals.tokens,
        cost=None if totals.unpriced and not totals.cost_pico else totals.cost,
        unpriced=totals.unpriced,
        memory_mb=rows.figures.memory_mb,
        errors=totals.errors,
        model_calls=rows.figures.model_calls,
        tool_calls=rows.figures.tool_calls,
        exit_status=rows.exit_status,
        problems=trace.problems.total,
    )


def _exits(a: Run, b: Run) -> Difference | None:
    """The difference between the exit statuses of two programs."""
    then, now = a.rows.exit_status, b.rows.exit_status
    if then is None or now is None or then == now:
        return None
    detail = Detail(paths=(PathChange("$.exit_status", "changed", then, now),))
    ends = (a.rows.events, b.rows.events)
    return Difference(
        STATUS, "app", "trace", a.rows.target, b.rows.target, *ends, (), lasting=True, detail=detail
    )


def _events(trace: Trace, numbers: Iterable[int | None]) -> dict[int | None, Event]:
    wanted: Iterator[int] = (number for number in numbers if number is not None)
    return dict(trace.chosen(sorted(set(wanted))))
