"""Compare a run with earlier good ones: no new failure, and no more time, money or tokens than they used.

The baselines themselves decide how much more is too much. From three of them on, a figure may exceed their median by
three standard deviations, estimated by the median absolute deviation (3 x 1.4826 x MAD; Hampel 1974, "The influence
curve and its role in robust estimation"), or by 5 % of the median where they hardly differ. With one or two the spread
is not known, and the margin is 20 %. In each case a duration may exceed by 100 ms, and a value that one of the
baselines has reached is never too much. A `margin` in a rule replaces this: it is a share of the median.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from namel3ss_debug.analysis.checks.budgets import measure_run, refuse_unpriced
from namel3ss_debug.analysis.checks.comparison import COMPARED
from namel3ss_debug.analysis.checks.conduct import BaseWatcher
from namel3ss_debug.analysis.checks.findings import Violation
from namel3ss_debug.analysis.checks.measures import Baseline, CheckedRun
from namel3ss_debug.analysis.checks.messages import format_value
from namel3ss_debug.analysis.findings import format_subject

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
"""The aspects in which a run can be compared."""

ALONE, SPREAD_FROM, SIGMAS, LEAST = 0.2, 3, 3.0, 0.05
_TO_SIGMA = 1.4826
_FLOORS: Final = {"duration_ms": 100.0}
_DEARER: Final = {"duration": "slower", "cost": "dearer"}


def make_baseline(runs: Sequence[tuple[str, CheckedRun]]) -> Baseline:
    """Make a baseline of some runs and the paths of their traces."""
    values = [measure_run(run) for _, run in runs]
    return Baseline(
        tuple(path for path, _ in runs),
        frozenset(fingerprint for _, run in runs for fingerprint, _ in iter_failures(run)),
        {
            measure: tuple(run[measure] for run in values if run[measure] is not None)
            for measure in FIGURES.values()
        },
    )


def iter_failures(run: CheckedRun) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the failures of a run with their fingerprints."""
    for row in run.document["errors"]["failures"]:
        yield row["fingerprint"], row


def compute_allowed(values: Sequence[float], measure: str, margin: float | None = None) -> float:
    """Return the largest value of a measure that is allowed, for its values in one or more baselines.

    Args:
        values: the values in the baselines.
        measure: its name; a duration may always exceed by 100 ms.
        margin: the share of the median that a rule allows; None to use the spread.
    """
    middle = median(values)
    if margin is not None:
        room = margin * abs(middle)
    elif len(values) < SPREAD_FROM:
        room = ALONE * abs(middle)
    else:
        deviation = median(abs(value - middle) for value in values)
        room = max(SIGMAS * _TO_SIGMA * deviation, LEAST * abs(middle))
    return max(middle + max(room, _FLOORS.get(measure, 0.0)), *values)  # a good run was that high already


Compare = Callable[[str, Collection[str]], Iterable[Violation]]
"""Finds where a run differs in an aspect from the traces of its baselines."""


class AgainstBaseline(BaseWatcher):
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

    def find_violations(self, run: CheckedRun) -> Iterator[Violation]:
        """Yield the aspects in which the run is worse.

        Raises:
            MissingExtraError: the cost is not known because the published prices are not installed.
        """
        assert run.baseline is not None
        for aspect in self._aspects:
            if aspect == "failures":
                yield from self._find_new_failures(run, run.baseline)
            elif aspect in COMPARED:
                yield from self._compare(aspect, run.baseline.paths)
            else:
                yield from self._find_excess(run, run.baseline, aspect)

    def describe_idle(self, run: CheckedRun) -> str:
        """Return which figures no baseline has; "" where one has any of them."""
        assert run.baseline is not None
        if any(run.baseline.figures.get(FIGURES.get(aspect, ""), True) for aspect in self._aspects):
            return ""
        return f"no baseline has its {' or '.join(self._aspects)}"

    def _find_new_failures(self, run: CheckedRun, baseline: Baseline) -> Iterator[Violation]:
        """Yield the failures whose fingerprint is in no baseline."""
        for fingerprint, row in iter_failures(run):
            if fingerprint in baseline.failures:
                continue
            subject = format_subject(row)
            reason = str(row["error"] or row["error_type"] or row["status"])[:160]
            yield Violation(
                subject,
                f"{subject.replace(':', ' ', 1)} failed in a way that no baseline has ({row['category']}): {reason}",
                sorted({row["number"], row["end_number"]}),
                row["call_site"],
                fingerprint,
            )

    def _find_excess(self, run: CheckedRun, baseline: Baseline, aspect: str) -> Iterator[Violation]:
        """Yield a figure that exceeds the baselines by more than the margin."""
        measure = FIGURES[aspect]
        values, value = baseline.figures[measure], measure_run(run)[measure]
        if not values:
            return  # a figure that no baseline has cannot be exceeded
        if value is None:
            refuse_unpriced(run.document, f"baseline {aspect}")
            yield Violation("run", f"{measure} is not known, but the baselines have it", detail=aspect)
            return
        most = compute_allowed(values, measure, self._margin)
        if value <= most:
            return
        middle = median(values)
        worse = _DEARER.get(aspect, f"more {aspect}")
        of = f"of {len(values)} baselines" if len(values) > 1 else "of the baseline"
        yield Violation(
            "run",
            f"{worse} than the baseline: {measure} is {format_value(measure, value)}, "
            f"the median {of} is {format_value(measure, middle)}, allowed is {format_value(measure, most)}",
            self._evidence(run, measure),
            None,
            aspect,
        )

    def _evidence(self, run: CheckedRun, measure: str) -> list[int]:
        """Return the span with the most of a measure."""
        most = run.measured["run"][""].most.get(measure)
        return [most[1]] if most else []
