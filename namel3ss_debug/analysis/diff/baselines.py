"""Find what sets a failing run apart from all passing runs.

The failing run is compared with each passing one. A finding differs from every passing run in the same respect: that it
is there at all, its request, its answer, or its number of attempts. Besides, its request or its answer must not occur
anywhere else in a passing run. So anything that varies among the passing runs is no finding.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from namel3ss_debug.analysis.diff.comparison import (
    DETAILED,
    LISTED,
    SCHEMA,
    ComparedRun,
    ModelReading,
    RunComparison,
    Side,
    load_run,
    summarize_run,
)
from namel3ss_debug.analysis.diff.differences import (
    ADDED,
    ANSWERS,
    KINDS,
    MISSING,
    ORDER,
    RETRY,
    RunDifference,
    mark_carried_changes,
)
from namel3ss_debug.analysis.diff.masks import Masks
from namel3ss_debug.analysis.diff.rows import NO_ROW, Rows, request_key

if TYPE_CHECKING:
    from namel3ss_debug.traces.reader import Trace

_QUESTION, _ANSWER = "question", "answer"
_NONE: frozenset[str] = frozenset()
_ALL = frozenset({ADDED, _QUESTION, _ANSWER})


@dataclass(frozen=True)
class BaselineDiff:
    """What sets a failing run apart from passing ones.

    Attributes:
        passing: the passing runs.
        failing: the failing run.
        kinds: how many findings there are of each kind.
        differences: the first of them in the order of the failing run; `a` is the first passing run, `b` the failing one.
        first: the first lasting difference; where none lasts, the first of all.
        read, read_next: as in `Diff`, for the first passing run and the failing one.
    """

    passing: tuple[Side, ...]
    failing: Side
    kinds: dict[str, int]
    differences: tuple[RunDifference, ...]
    first: RunDifference | None
    read: ModelReading | None
    read_next: ModelReading | None

    @property
    def same(self) -> bool:
        """Return whether nothing sets the failing run apart."""
        return not self.kinds

    def to_json(self) -> dict[str, Any]:
        """Return the document of `diff --baseline ... --format json`."""
        return {
            "schema": SCHEMA,
            "passing": [vars(side).copy() for side in self.passing],
            "failing": vars(self.failing).copy(),
            "same": self.same,
            "kinds": self.kinds,
            "first": None if self.first is None else self.first.to_json(),
            "read": None if self.read is None else self.read.to_json(),
            "read_next": None if self.read_next is None else self.read_next.to_json(),
            "differences": [difference.to_json() for difference in self.differences],
            "not_listed": sum(self.kinds.values()) - len(self.differences),
        }


def diff_baselines(
    passing: Sequence[str | Path | Trace], failing: str | Path | Trace, *, ignore: Iterable[str] = ()
) -> BaselineDiff:
    """Find what a failing run did that no passing run did, and what every passing run did that it did not.

    Args:
        passing: one passing run or more, each as any file of its trace.
        failing: the failing run.
        ignore: keys and paths that are not compared, as in the setting `diff_ignore`.

    Raises:
        TraceNotFoundError: there is nothing at a path.
        UnreadableTraceError: what is there is not a trace.
        ValueError: there is no passing run.
    """
    if not passing:
        raise ValueError("there is no passing run to compare with")
    masks = Masks(ignore)
    good = [load_run(trace, masks) for trace in passing]
    bad = load_run(failing, masks)
    first = RunComparison(good[0], bad)
    distinctive = _find_distinctive(first, good, bad)
    listed = [first.difference(index, kind) for _, index, kind in distinctive[:LISTED]]
    details = first.load_details(listed[:DETAILED], masks)
    differences = mark_carried_changes(
        replace(difference, detail=details.get((difference.number_a, difference.number_b, difference.kind)))
        for difference in listed
    )
    chosen = next((index for index, difference in enumerate(differences) if difference.lasting), 0)
    return BaselineDiff(
        passing=tuple(map(summarize_run, good)),
        failing=summarize_run(bad),
        kinds={
            kind: number
            for kind in KINDS
            if (number := sum(difference[2] == kind for difference in distinctive))
        },
        differences=tuple(differences),
        first=differences[chosen] if differences else None,
        read=first.find_reading(distinctive[chosen][1], masks) if differences else None,
        read_next=first.find_reading(distinctive[chosen][1], masks, following=True) if differences else None,
    )


def _find_distinctive(
    first: RunComparison, good: Sequence[ComparedRun], bad: ComparedRun
) -> list[tuple[int, int, str]]:
    """Return the differences from the first passing run that set the failing run apart from all of them."""
    others = [_Aspects(RunComparison(run, bad)) for run in good[1:]]
    gone = [_missing_rows(first), *(_common_rows(RunComparison(good[0], run)) for run in good[1:])]
    everywhere = frozenset.intersection(*gone)
    request = [_keys(run.rows, request_key) for run in good]
    answer = [_keys(run.rows, _answer) for run in good]

    def is_distinctive(index: int, kind: str) -> bool:
        a, b = first.aligned[index][:2]
        if kind == MISSING:
            return a in everywhere
        aspects = [other.of(b) for other in others]
        if all(kind in kinds for kinds in aspects) and kind in {ADDED, ORDER, RETRY}:
            return True
        of_answer = kind in ANSWERS
        aspect = _QUESTION if kind == ADDED else _aspect_of(kind)
        known, key = (answer, _answer) if of_answer else (request, request_key)
        return all(aspect in kinds for kinds in aspects) and not any(
            key(bad.rows, b) in difference for difference in known
        )

    return [change for change in first.list_changes() if is_distinctive(*change[1:])]


class _Aspects:
    """The respects in which each row of the failing run differs from one passing run."""

    def __init__(self, comparison: RunComparison) -> None:
        self._rows = comparison.b.rows
        self._by_row = {
            pair.b: frozenset({*kinds, *map(_aspect_of, kinds)}) | (_ALL if ADDED in kinds else _NONE)
            for pair, kinds in zip(comparison.aligned, comparison.kinds, strict=True)
            if pair.b != NO_ROW
        }

    def of(self, row: int) -> frozenset[str]:
        """Return the kinds of differences of a row, those of the nearest aligned row around it where it has none."""
        while row != NO_ROW:
            if row in self._by_row:
                return self._by_row[row]
            row = self._rows.parent[row]
        return _NONE


def _aspect_of(kind: str) -> str:
    """Return what a kind of difference concerns: the request, the answer, or the kind itself."""
    if kind in {ADDED, MISSING, ORDER, RETRY}:
        return kind
    return _ANSWER if kind in ANSWERS else _QUESTION


def _missing_rows(comparison: RunComparison) -> frozenset[int]:
    """Return the rows of the first run that the second run lacks."""
    return frozenset(
        pair.a for pair, kinds in zip(comparison.aligned, comparison.kinds, strict=True) if MISSING in kinds
    )


def _common_rows(comparison: RunComparison) -> frozenset[int]:
    """Return the rows of the first run that the second has too, at their place or inside equal rows."""
    rows = comparison.a.rows
    lost = _missing_rows(comparison)
    return frozenset(row for row in range(len(rows)) if row not in lost)


def _keys(rows: Rows, key: Any) -> frozenset[object]:
    return frozenset(key(rows, row) for row in range(len(rows)))


def _answer(rows: Rows, row: int) -> object:
    """Return a key of the whole answer; it is equal where two rows have the same answer."""
    return (rows.shape[row], rows.answer[row], rows.status_of(row))
