"""Compare two runs: what differs, where they first diverge for good, whether they reconverge, and what each cost."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from namel3ss_debug.analysis.diff.alignment import Alignment, RowPair, align
from namel3ss_debug.analysis.diff.differences import (
    ADDED,
    ANSWERS,
    KINDS,
    MISSING,
    ORDER,
    RESULT,
    RETRY,
    STATUS,
    Detail,
    RunDifference,
    find_duplicates,
    find_kinds,
    make_detail,
    make_difference,
    mark_carried_changes,
    mark_lasting_values,
    pair_messages,
)
from namel3ss_debug.analysis.diff.masks import Masks
from namel3ss_debug.analysis.diff.ordering import find_harmless_moves
from namel3ss_debug.analysis.diff.output import LineDifference, compare_output
from namel3ss_debug.analysis.diff.rows import NEVER, NO_ROW, Rows, read_rows
from namel3ss_debug.importers.opening import open_nonempty_trace
from namel3ss_debug.traces.reader import Trace
from namel3ss_debug.wire.value_changes import PathChange

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from namel3ss_debug.traces.events import Event
    from namel3ss_debug.wire.conversations import MessageChange

SCHEMA: Final = "namel3ss-debug/diff/2"

LISTED: Final = 1_000
"""The most differences that are listed one by one; `kinds` counts all."""

DETAILED: Final = 100
"""The most differences whose events are read again to find what exactly differs."""

RECONVERGED_AFTER: Final = 3
"""Two runs have reconverged where this many rows in a row are the same; at the end fewer are enough."""

_MOST_LOOKED_AHEAD = 500
_MOST_STEPS = 3


@dataclass(frozen=True)
class Side:
    """One of the runs.

    Attributes:
        path: the file it was opened by.
        execution_id, target: those in its first event.
        events: how many it has.
        duration_ms: from the first timestamp to the last.
        tokens, cost: of all calls; the cost in US dollars, None where no call has a known price.
        unpriced: how many model calls have no known price; the cost leaves them out.
        memory_mb: the peak memory of the process; None where it was not recorded.
        errors, model_calls, tool_calls: how many there were.
        exit_status: of the program; None where it is not known.
        problems: how many places of the file the reader could not read; the comparison may lack events there.
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


class RunReconvergence(NamedTuple):
    """The point where two runs are the same again after they had diverged.

    Attributes:
        number_a, number_b: the first events that are the same again.
        in_a_row: how many spans and events from there on are the same.
        to_the_end: whether both runs end with these.
    """

    number_a: int
    number_b: int
    in_a_row: int
    to_the_end: bool


class ModelReading(NamedTuple):
    """The messages that the model read in each run before the runs diverged.

    Attributes:
        number_a, number_b: the model calls.
        messages: the messages of both, paired.
    """

    number_a: int
    number_b: int
    messages: tuple[MessageChange, ...]

    @property
    def same(self) -> bool:
        """Return whether the model read the same messages in both."""
        return all(change.kind == "same" for change in self.messages)

    def to_json(self) -> dict[str, Any]:
        """Return the two calls and the messages that differ."""
        changed = [change._asdict() for change in self.messages if change.kind != "same"]
        return {"a": self.number_a, "b": self.number_b, "same": self.same, "messages": changed}


@dataclass(frozen=True)
class Diff:
    """The differences between two runs.

    Attributes:
        a, b: the runs.
        kinds: how many differences there are of each kind; kinds without any are left out.
        differences: the first `LISTED` of them in the order of the second run.
        first: the first lasting difference; where none lasts, the first of all; None where the runs are the same.
        read: what the model had read where they diverged; None where no model call comes before.
        read_next: what the next model call read, where they did not diverge at a model call; None where both runs do not
            have one.
        reconvergence: where they reconverged after `first`; None where they did not, or never diverged.
        reordered: how many rows are in another order because they ran side by side; they are no differences.
        payloads: whether arguments and results were compared; False where only one run holds them.
    """

    a: Side
    b: Side
    kinds: dict[str, int]
    differences: tuple[RunDifference, ...]
    first: RunDifference | None
    read: ModelReading | None
    read_next: ModelReading | None
    reconvergence: RunReconvergence | None
    reordered: int
    payloads: bool

    @property
    def same(self) -> bool:
        """Return whether nothing differs."""
        return not self.kinds

    def to_json(self) -> dict[str, Any]:
        """Return the document of `diff --format json`."""
        return {
            "schema": SCHEMA,
            "a": vars(self.a).copy(),
            "b": vars(self.b).copy(),
            "same": self.same,
            "kinds": self.kinds,
            "first": None if self.first is None else self.first.to_json(),
            "read": None if self.read is None else self.read.to_json(),
            "read_next": None if self.read_next is None else self.read_next.to_json(),
            "reconvergence": None if self.reconvergence is None else self.reconvergence._asdict(),
            "reordered": self.reordered,
            "payloads_compared": self.payloads,
            "differences": [difference.to_json() for difference in self.differences],
            "not_listed": sum(self.kinds.values()) - len(self.differences),
        }


def diff_traces(a: str | Path | Trace, b: str | Path | Trace, *, ignore: Iterable[str] = ()) -> Diff:
    """Compare two runs and find where they diverge.

    Args:
        a: the first run, as any file of its trace.
        b: the second.
        ignore: keys and paths that are not compared, as the setting `diff_ignore` has them.

    Raises:
        TraceNotFoundError: there is nothing at a path.
        UnreadableTraceError: the file there is not a trace.
    """
    masks = Masks(ignore)
    return compare(load_run(a, masks), load_run(b, masks), masks)


class ComparedRun(NamedTuple):
    """A trace with the rows that were read from it."""

    trace: Trace
    rows: Rows


def load_run(trace: str | Path | Trace, masks: Masks) -> ComparedRun:
    """Load a run for `compare`.

    Raises:
        TraceNotFoundError: there is nothing at the path.
        UnreadableTraceError: the file there is not a trace.
    """
    opened = trace if isinstance(trace, Trace) else open_nonempty_trace(trace)
    return ComparedRun(opened, read_rows(opened, masks))


def compare(a: ComparedRun, b: ComparedRun, masks: Masks) -> Diff:
    """Compare two runs that were loaded with the same masks."""
    return find_differences(RunComparison(a, b), masks)


def find_differences(comparison: RunComparison, masks: Masks) -> Diff:
    """Return what differs between two aligned runs."""
    a, b = comparison.a, comparison.b
    changes = comparison.list_changes()
    kinds = Counter(kind for _, _, kind in changes)
    listed = [comparison.difference(index, kind) for _, index, kind in changes[:LISTED]]
    effects = [
        *_compare_exit_statuses(a, b),
        *map(_describe_line, compare_output(a.rows.output, b.rows.output, masks)),
    ]
    lasting = next((difference for difference in listed if difference.lasting), None)
    details = comparison.load_details([*listed[:DETAILED], *filter(None, [lasting])], masks)
    listed = mark_lasting_values(
        [
            replace(
                difference, detail=details.get((difference.number_a, difference.number_b, difference.kind))
            )
            for difference in listed
        ],
        effects,
    )
    first = (
        next((index for index, difference in enumerate(listed) if difference.lasting), 0) if listed else None
    )
    for index in reversed(find_duplicates(listed)):  # backwards, so that the indexes before stay valid
        kinds[listed[index].kind] -= 1
        del listed[index], changes[index]
        first = first - 1 if first is not None and index < first else first
    detailed = mark_carried_changes(listed)
    kinds.update(difference.kind for difference in effects)
    detailed += effects
    pair_index = None if first is None else changes[first][1]
    return Diff(
        a=summarize_run(a),
        b=summarize_run(b),
        kinds={kind: kinds[kind] for kind in KINDS if kinds[kind]},
        differences=tuple(detailed[: LISTED + len(effects)]),
        first=next(iter(effects), None) if first is None else detailed[first],
        read=None if pair_index is None else comparison.find_reading(pair_index, masks),
        read_next=None if pair_index is None else comparison.find_reading(pair_index, masks, following=True),
        reconvergence=None
        if pair_index is None
        else comparison.find_reconvergence(pair_index, changes[first or 0][2]),
        reordered=comparison.reordered,
        payloads=comparison.payloads,
    )


class RunComparison:
    """Two aligned runs.

    Attributes:
        aligned: the pairs of rows of both runs, in one order.
        payloads: whether both runs hold payloads.
        harmless: the pairs in another order because they ran side by side.
        reordered: how many pairs these are.
        kinds: the kinds of the differences of each pair.
    """

    def __init__(self, a: ComparedRun, b: ComparedRun) -> None:
        self.a, self.b = a, b
        self.payloads = a.rows.payloads == b.rows.payloads
        for rows in (a.rows, b.rows):
            rows.compute_subtrees(payloads=self.payloads)
        alignment = align(a.rows, b.rows, payloads=self.payloads)
        self.aligned = alignment.aligned
        self.harmless = self._find_harmless(alignment)
        self.reordered = len(self.harmless)
        self.kinds = [self._kinds_of(pair) for pair in self.aligned]
        self._tasks = self._map_tasks()

    def _find_harmless(self, alignment: Alignment) -> frozenset[tuple[int, int]]:
        """Return the pairs of rows that changed their order because they ran side by side."""
        return frozenset(
            siblings.pairs[index]
            for siblings in alignment.reordered
            for index in find_harmless_moves(siblings, (self.a.rows, self.b.rows))
        )

    def _kinds_of(self, pair: RowPair) -> tuple[str, ...]:
        """Return the kinds of the differences of a pair, with `ORDER` where a change of order may matter."""
        kinds = find_kinds(pair, self.a.rows, self.b.rows, payloads=self.payloads)
        if pair.moved and (pair.a, pair.b) not in self.harmless:
            return (ORDER, *kinds)
        return kinds

    def _map_tasks(self) -> dict[int, int]:
        """Return the tasks of the first run -> those of the second."""
        tasks: dict[int, int] = {}
        for pair in self.aligned:
            if NO_ROW not in (pair.a, pair.b):
                tasks.setdefault(self.a.rows.task[pair.a], self.b.rows.task[pair.b])
        return tasks

    def task_at(self, index: int) -> int | None:
        """Return the task that a pair of rows ran in, as a number of the second run."""
        pair = self.aligned[index]
        if pair.b != NO_ROW:
            return self.b.rows.task[pair.b]
        return self._tasks.get(self.a.rows.task[pair.a])

    def list_changes(self) -> list[tuple[int, int, str]]:
        """Return all differences in order.

        Each is the event number in the second run at which it shows, the index of the pair of rows, and its kind.
        """
        changes: list[tuple[int, int, str]] = []
        reached = 0
        rows = self.b.rows
        for index, (pair, kinds) in enumerate(zip(self.aligned, self.kinds, strict=True)):
            begins = reached if pair.b == NO_ROW else rows.number[pair.b]
            ends = reached if pair.b == NO_ROW else rows.end_number[pair.b]
            is_leaf = self._is_leaf(index)
            if ends == NEVER:  # a span left open differs where the last row inside it that did not end began
                ends = begins if is_leaf else self.b.rows.events + 1
            reached = max(reached, ends if is_leaf else begins)
            changes += [(ends if kind in ANSWERS else begins, index, kind) for kind in kinds]
        changes.sort(key=lambda change: change[:2])
        return changes

    def difference(self, index: int, kind: str) -> RunDifference:
        """Return the difference of this kind at a pair of rows, without its detail."""
        return make_difference(
            kind, self.aligned[index], self.a.rows, self.b.rows, lasting=self._is_lasting(index, kind)
        )

    def _is_lasting(self, index: int, kind: str) -> bool:
        """Return whether the runs went on differently after a difference.

        The next steps in the same task decide. These are the steps up to the next model call, which reads what
        happened before it, or three steps. A recovered retry never lasts, a difference at the very end always does.
        """
        pair = self.aligned[index]
        if kind == RETRY and self._has_recovered(pair):
            return False
        if kind not in ANSWERS and any(other in ANSWERS for other in self.kinds[index]):
            return True
        behind = pair.subtree_end if kind in ANSWERS | {ADDED, MISSING} else index + 1
        task = self.task_at(index)
        ahead = range(behind, min(behind + _MOST_LOOKED_AHEAD, len(self.aligned)))
        following = islice((other for other in ahead if self.task_at(other) == task), _MOST_STEPS)
        for other in list(following) or ahead[:_MOST_STEPS]:
            if self._differs(other):
                return True
            if self._component_at(other) == "llm":
                return False
        return not ahead

    def _has_recovered(self, pair: RowPair) -> bool:
        """Return whether a call succeeded in both runs."""
        return (
            NO_ROW not in (pair.a, pair.b)
            and self.a.rows.status_of(pair.a) == self.b.rows.status_of(pair.b) == "completed"
        )

    def _differs(self, index: int) -> bool:
        """Return whether the rows of a pair themselves differ.

        Differences inside them do not count, nor does another answer or status of a row that has rows inside: it
        follows from those.
        """
        kinds = self.kinds[index]
        pair = self.aligned[index]
        if pair.subtree_end > index + 1:
            kinds = tuple(kind for kind in kinds if kind not in ANSWERS)
        return any(kind != RETRY or not self._has_recovered(pair) for kind in kinds)

    def _component_at(self, index: int) -> str:
        """Return the component of a pair, that of the second run where it has one."""
        pair = self.aligned[index]
        return (
            self.b.rows.kind_of(pair.b).component
            if pair.b != NO_ROW
            else self.a.rows.kind_of(pair.a).component
        )

    def find_reconvergence(self, index: int, kind: str) -> RunReconvergence | None:
        """Return where the runs were the same again after the difference at a pair of rows."""
        start = self.aligned[index].subtree_end if kind in ANSWERS else index + 1
        run: list[int] = []
        for other in [*range(start, len(self.aligned)), None]:
            if other is not None and not self._differs(other) and self._is_leaf(other):
                run.append(other)
                continue
            if other is not None and not self._differs(other):
                continue  # the rows inside this one decide
            if len(run) >= RECONVERGED_AFTER or (run and other is None):
                first = self.aligned[run[0]]
                return RunReconvergence(
                    self.a.rows.number[first.a], self.b.rows.number[first.b], len(run), other is None
                )
            run = []
        return None

    def _is_leaf(self, index: int) -> bool:
        """Return whether no pair is inside this one."""
        return self.aligned[index].subtree_end == index + 1

    def find_reading(self, index: int, masks: Masks, *, following: bool = False) -> ModelReading | None:
        """Return what the model read in both runs at or before a pair of rows.

        Args:
            index: the index of the pair.
            masks: what is not compared.
            following: whether to take the next model call instead; None if the pair itself is a model call.
        """
        task = self.task_at(index)
        pair = self.aligned[index]
        is_model_call = self._component_at(index) == "llm" and NO_ROW not in (pair.a, pair.b)
        if following and is_model_call:
            return None
        way = (
            range(index + 1, min(index + _MOST_LOOKED_AHEAD, len(self.aligned)))
            if following
            else range(index, max(index - _MOST_LOOKED_AHEAD, -1), -1)
        )
        for other in way:
            pair = self.aligned[other]
            if (
                NO_ROW in (pair.a, pair.b)
                or self._component_at(other) != "llm"
                or self.task_at(other) != task
            ):
                continue
            numbers = self.a.rows.number[pair.a], self.b.rows.number[pair.b]
            old, new = self.a.trace.event(numbers[0]), self.b.trace.event(numbers[1])
            return ModelReading(*numbers, pair_messages(old, new, masks))
        return None

    def load_details(
        self, chosen: Iterable[RunDifference], masks: Masks
    ) -> dict[tuple[int | None, int | None, str], Detail]:
        """Read the events of some differences again and return their details."""
        listed = list(chosen)
        old = _load_events(self.a.trace, (difference.number_a for difference in listed))
        new = _load_events(self.b.trace, (difference.number_b for difference in listed))
        return {
            (difference.number_a, difference.number_b, difference.kind): make_detail(
                difference.kind, old.get(difference.number_a), new.get(difference.number_b), masks
            )
            for difference in listed
        }


def summarize_run(run: ComparedRun) -> Side:
    """Return the totals of a run."""
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


def _compare_exit_statuses(a: ComparedRun, b: ComparedRun) -> Iterator[RunDifference]:
    """Yield the difference between the exit statuses of two programs, if they differ."""
    then, now = a.rows.exit_status, b.rows.exit_status
    if then is not None and now is not None and then != now:
        detail = Detail(paths=(PathChange("$.exit_status", "changed", then, now),))
        yield RunDifference(
            STATUS, "app", "trace", a.rows.target, b.rows.target, a.rows.events, b.rows.events, (),
            lasting=True, detail=detail,
        )  # fmt: skip


def _describe_line(line: LineDifference) -> RunDifference:
    """Return the difference that another printed line is."""
    old, new = line.a, line.b
    change = PathChange(
        f"$.{line.stream}[{line.place - 1}]",
        "added" if old is None else "dropped" if new is None else "changed",
        None if old is None else old.text,
        None if new is None else new.text,
    )
    return RunDifference(
        RESULT, "app", "output", line.stream, line.stream,
        None if old is None else old.number, None if new is None else new.number, (),
        lasting=True, detail=Detail(paths=(change,)),
    )  # fmt: skip


def _load_events(trace: Trace, numbers: Iterable[int | None]) -> dict[int | None, Event]:
    """Read some events of a trace, by their numbers."""
    wanted: Iterator[int] = (number for number in numbers if number is not None)
    return dict(trace.chosen(sorted(set(wanted))))
