"""A run against earlier ones that were good: no failure they did not have, and no more time, money or tokens than they.

How much more is too much comes from the baselines themselves. From three of them on, a figure may exceed their median
by three standard deviations, estimated by the median absolute deviation (3 x 1.4826 x MAD; Hampel 1974, "The influence
curve and its role in robust estimation"), or by 5 % of the median where they hardly differ. With one or two the spread
is not known, and the margin is 20 %. In each case a duration may exceed by 100 ms, and a value that one of the
baselines has reached is never too much. A `margin` in a rule replaces this: it is a share of the median.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from namel3ss_debug.analysis.checking.budgets import refuse_unpriced, run_values
from namel3ss_debug.analysis.checking.comparison import COMPARED
from namel3ss_debug.analysis.checking.conduct import Quiet, Run
from namel3ss_debug.analysis.checking.findings import Found, subject_of
from namel3ss_debug.analysis.checking.words import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

FIGURES: Final = {
    "duration": "duration_ms",
    "cost": "cost",
    "tokens": "tokens",
    "calls": "calls",
    "retries": "retries",
}
"""The figures that are compared, by the names they have in a rule."""

ASPECTS: Final = ("failures", *FIGURES, *COMPARED)
"""What a run can be compared in."""

ALONE, SPREAD_FROM, SIGMAS, LEAST = 0.2, 3, 3.0, 0.05
_TO_SIGMA = 1.4826
_FLOORS: Final = {"duration_ms": 100.0}
_DEARER: Final = {"duration": "slower", "cost": "dearer"}


@dataclass(frozen=True, slots=True)
class Baseline:
    """What the earlier runs were like.

    Attributes:
        paths: their recordings, in order.
        failures: the fingerprints of their failures.
        figures: by measure, its value in each run that has one.
    """

    paths: tuple[str, ...]
    failures: frozenset[str]
    figures: Mapping[str, tuple[float, ...]]


def make_baseline(runs: Sequence[tuple[str, Run]]) -> Baseline:
    """Make a baseline of some runs, each given with the path of its recording."""
    values = [run_values(run) for _, run in runs]
    return Baseline(
        tuple(path for path, _ in runs),
        frozenset(print_ for _, run in runs for print_, _ in failures_of(run)),
        {
            measure: tuple(told[measure] for told in values if told[measure] is not None)
            for measure in FIGURES.values()
        },
    )


def failures_of(run: Run) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the failures of a run with their fingerprints."""
    for row in run.document["errors"]["failures"]:
        yield row["fingerprint"], row


def allowed(values: Sequence[float], measure: str, margin: float | None = None) -> float:
    """Return how much of a measure is not too much, given its values in the baselines, of which there is at least one.

    Args:
        values: the values in the baselines.
        measure: its name; a duration may always exceed by 100 ms.
        margin: the share of the median that a rule allows; what the spread justifies if left out.
    """
    middle = median(values)
    if margin is not None:
        room = margin * abs(middle)
    elif len(values) < SPREAD_FROM:
        room = ALONE * abs(middle)
    else:
        deviation = median(abs(value - middle) for value in values)
        room = max(SIGMAS * _TO_SIGMA * deviation, LEAST * abs(middle))
    return max(middle + max(room, _FLOORS.get(measure, 0.0)), *values)


Compare = Callable[[str, Collection[str]], Iterable[Found]]
"""Finds where a run differs in an aspect from the recordings of its baselines."""


class AgainstBaseline(Quiet):
    """`baseline`: the run is no worse than the earlier ones in these aspects."""

    def __init__(
        self,
        aspects: Sequence[str],
        margin: float | None,
        compare: Compare,
    ) -> None:
        self._aspects = aspects
        self._margin = margin
        self._compare = compare

    def found(self, run: Run) -> Iterator[Found]:
        """Yield the aspects in which the run is worse.

        Raises:
            MissingExtraError: the cost is not known because the published prices are not installed.
        """
        assert run.baseline is not None
        for aspect in self._aspects:
            if aspect == "failures":
                yield from self._new_failures(run, run.baseline)
            elif aspect in COMPARED:
                yield from self._compare(aspect, run.baseline.paths)
            else:
                yield from self._more(run, run.baseline, aspect)

    def idle(self, run: Run) -> str:
        """Return whether no baseline has any of the figures."""
        assert run.baseline is not None
        if any(run.baseline.figures.get(FIGURES.get(aspect, ""), True) for aspect in self._aspects):
            return ""
        return f"no baseline tells its {' or '.join(self._aspects)}"

    def _new_failures(self, run: Run, baseline: Baseline) -> Iterator[Found]:
        """Yield the failures whose fingerprint is in no baseline."""
        for known, row in failures_of(run):
            if known in baseline.failures:
                continue
            subject = subject_of(row)
            words = str(row["error"] or row["error_type"] or row["status"])[:160]
            yield Found(
                subject,
                f"{subject.replace(':', ' ', 1)} failed as in no baseline ({row['category']}): {words}",
                sorted({row["number"], row["end_number"]}),
                row["call_site"],
                known,
            )

    def _more(self, run: Run, baseline: Baseline, aspect: str) -> Iterator[Found]:
        """Yield a figure that exceeds the baselines by more than the margin."""
        measure = FIGURES[aspect]
        values, value = baseline.figures[measure], run_values(run)[measure]
        if not values:
            return  # a figure that no baseline has cannot be exceeded
        if value is None:
            refuse_unpriced(run.document, f"baseline {aspect}")
            yield Found("run", f"{measure} is not known, and the baselines tell it", detail=aspect)
            return
        most = allowed(values, measure, self._margin)
        if value <= most:
            return
        middle = median(values)
        worse = _DEARER.get(aspect, f"more {aspect}")
        of = f"of {len(values)} baselines" if len(values) > 1 else "of the baseline"
        yield Found(
            "run",
            f"{worse} than the baseline: {measure} is {shown(measure, value)}, "
            f"the median {of} is {shown(measure, middle)}, allowed is {shown(measure, most)}",
            self._proof(run, measure),
            None,
            aspect,
        )

    def _proof(self, run: Run, measure: str) -> list[int]:
        """Return the span with the most of it."""
        most = run.measured["run"][""].most.get(measure)
        return [most[1]] if most else []
