"""What a failing run did that no passing run did, and what every passing run did that it did not.

The failing run is compared with each passing one. A finding is a place that differs from every passing run in the same
respect (that it is there at all, what was asked, what came of it, how often it was tried), and whose call, or answer,
is in no passing run at any other place either. So things that vary among the passing runs are no findings.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from namel3ss_debug.analysis.diffing.comparison import (
    DETAILED,
    LISTED,
    SCHEMA,
    Comparison,
    Reading,
    Run,
    Side,
    read_run,
    side_of,
)
from namel3ss_debug.analysis.diffing.differences import (
    ADDED,
    ANSWERS,
    KINDS,
    MISSING,
    ORDER,
    RETRY,
    Difference,
    with_origins,
)
from namel3ss_debug.analysis.diffing.masks import Masks
from namel3ss_debug.analysis.diffing.rows import NOBODY, Rows, question

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
        differences: the first of them in the order of the failing run; `a` is the first passing run, `b` the failing
            one.
        first: the first after which it did not go on as that passing run did; where there is none, the first of all.
        read, read_next: as in `Diff`, for the first passing run and the failing one.
    """

    passing: tuple[Side, ...]
    failing: Side
    kinds: dict[str, int]
    differences: tuple[Difference, ...]
    first: Difference | None
    read: Reading | None
    read_next: Reading | None

    @property
    def same(self) -> bool:
        """Whether nothing sets it apart."""
        return not self.kinds

    def to_json(self) -> dict[str, Any]:
        """The document of `diff --baseline ... --format json`."""
        return {
            "schema": SCHEMA,
            "passing": [vars(side).copy() for side in self.passing],
            "failing": vars(self.failing).copy(),
            "same": self.same,
            "kinds": self.kinds,
            "first": None if self.first is None else self.first.to_json(),
            "read": None if self.read is None else self.read.to_json(),
            "read_next": None if self.read_next is None else self.read_next.to_json(),
            "differences": [found.to_json() for found in self.differences],
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
    good = [read_run(trace, masks) for trace in passing]
    bad = read_run(failing, masks)
    first = Comparison(good[0], bad)
    apart = _apart(first, good, bad)
    listed = [first.difference(place, kind) for _, place, kind in apart[:LISTED]]
    details = first.details(listed[:DETAILED], masks)
    found = with_origins(
        replace(each, detail=details.get((each.number_a, each.number_b, each.kind))) for each in listed
    )
    chosen = next((place for place, each in enumerate(found) if each.lasting), 0)
    return BaselineDiff(
        passing=tuple(map(side_of, good)),
        failing=side_of(bad),
        kinds={kind: number for kind in KINDS if (number := sum(each[2] == kind for each in apart))},
        differences=tuple(found),
        first=found[chosen] if found else None,
        read=first.reading(apart[chosen][1], masks) if found else None,
        read_next=first.reading(apart[chosen][1], masks, following=True) if found else None,
    )


def _apart(first: Comparison, good: Sequence[Run], bad: Run) -> list[tuple[int, int, str]]:
    """The differences from the first passing run that set the failing run apart from all passing runs."""
    others = [_Aspects(Comparison(run, bad)) for run in good[1:]]
    gone = [_missing(first), *(_in_both(Comparison(good[0], run)) for run in good[1:])]
    everywhere = frozenset.intersection(*gone)
    asked = [_keys(run.rows, question) for run in good]
    answered = [_keys(run.rows, _answer) for run in good]

    def sets_apart(place: int, kind: str) -> bool:
        a, b = first.entries[place][:2]
        if kind == MISSING:
            return a in everywhere
        respects = [found.of(b) for found in others]
        if all(kind in found for found in respects) and kind in {ADDED, ORDER, RETRY}:
            return True
        of_answer = kind in ANSWERS
        aspect = _QUESTION if kind == ADDED else _aspect(kind)
        known, key = (answered, _answer) if of_answer else (asked, question)
        return all(aspect in found for found in respects) and not any(
            key(bad.rows, b) in each for each in known
        )

    return [found for found in first.places() if sets_apart(*found[1:])]


class _Aspects:
    """In which respects each row of the failing run differs from one passing run."""

    def __init__(self, comparison: Comparison) -> None:
        self._rows = comparison.b.rows
        self._found = {
            entry.b: frozenset({*kinds, *map(_aspect, kinds)}) | (_ALL if ADDED in kinds else _NONE)
            for entry, kinds in zip(comparison.entries, comparison.kinds, strict=True)
            if entry.b != NOBODY
        }

    def of(self, row: int) -> frozenset[str]:
        """The kinds of differences of a row; a row inside an equal row is equal, a row inside a new row is new."""
        while row != NOBODY:
            if row in self._found:
                return self._found[row]
            row = self._rows.parent[row]
        return _NONE


def _aspect(kind: str) -> str:
    """What a kind of difference is about: the question, the answer, or the kind itself."""
    if kind in {ADDED, MISSING, ORDER, RETRY}:
        return kind
    return _ANSWER if kind in ANSWERS else _QUESTION


def _missing(comparison: Comparison) -> frozenset[int]:
    """The rows of the first run that the second does not have."""
    return frozenset(
        entry.a for entry, kinds in zip(comparison.entries, comparison.kinds, strict=True) if MISSING in kinds
    )


def _in_both(comparison: Comparison) -> frozenset[int]:
    """The rows of the first run that the second has as well, at their place or inside equal rows."""
    rows = comparison.a.rows
    lost = _missing(comparison)
    return frozenset(row for row in range(len(rows)) if row not in lost)


def _keys(rows: Rows, key: Any) -> frozenset[object]:
    return frozenset(key(rows, row) for row in range(len(rows)))


def _answer(rows: Rows, row: int) -> object:
    return (rows.shape[row], rows.answered[row], rows.status_of(row))
