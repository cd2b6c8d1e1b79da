"""Compare the runs of a new version with those of the old one while they come in: promote, hold or roll back.

A measure is compared block by block, in the order of time: a new run with old runs that ended before. Each block gives
a difference between -1 and 1, whose mean is 0 or less where the new version is no worse. Whether it is worse is tested by
betting on the differences: the capital is the mean of a few games, each of which stakes a fixed share, and bets
against what is true multiply it by 1/a with a probability of at most a, at any time (Ville 1939). So the verdict may be
asked for after every run, as often as wanted. That it stays within a bound (`BOUND`, `SHARE_BOUND`) is shown by opposite bets.
Source: Waudby-Smith and Ramdas (2024), "Estimating means of bounded random variables by betting", J. R. Stat. Soc. B 86(1);
for shares of failures the test is that of Turner, Ly and Gruenwald (2024) up to the choice of bets.

A share (failures, runs marked bad) is compared by its difference. An amount (time, cost, memory) counts as worse where it exceeds
`MARGIN` times the median of the old runs of its block: then no shape of its distribution is assumed, and no outlier decides.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import inf
from statistics import median
from typing import Any, Final, NamedTuple

PROMOTE: Final = "promote"
HOLD: Final = "hold"
ROLL_BACK: Final = "roll back"

WRONG: Final = 0.05
"""The probability of a verdict other than promote on equal versions, however often it is asked for."""

MARGIN: Final = 1.1
"""How many times the old median an amount must be before it counts as worse."""

BOUND, SHARE_BOUND = 1.25, 2.0
"""How many times the old one an amount, and a share, must be shown to stay below for a promotion."""

_GAMES = (0.2, 0.4, 0.7)
"""The shares of the largest possible stake. Small ones find small differences late, large ones find large differences early."""

_BLOCKS = 100
"""Of the old runs that wait, each new run takes this part, so that a long history lasts for about as many new runs."""


class CanaryRun(NamedTuple):
    """One run: when it ended, and its measures by their names in `MEASURES`; None for what is not known."""

    at: float
    values: Mapping[str, float | None]


class CanaryMeasure(NamedTuple):
    """A measure that is compared.

    Attributes:
        unit: of its values; a share has none.
        is_share: whether its values are 0 or 1.
        risk: its part of `WRONG`.
        is_needed: whether a promotion needs it to be within its bound. A few marks only speak against a version.
    """

    unit: str
    is_share: bool
    risk: float
    is_needed: bool = True


MEASURES: Final[Mapping[str, CanaryMeasure]] = {
    "error_rate": CanaryMeasure("", True, 0.6),
    "response_ms": CanaryMeasure("ms", False, 0.1),
    "cost": CanaryMeasure("dollars", False, 0.1),
    "memory_mb": CanaryMeasure("MB", False, 0.1),
    "marked_bad": CanaryMeasure("", True, 0.1, is_needed=False),
}
"""What is compared, by its name. Failures get most of the risk, since rare events need the most runs to be seen."""

WORSE: Final = "worse"
WITHIN: Final = "within bounds"
OPEN: Final = "open"
UNKNOWN: Final = "not known"


class Compared(NamedTuple):
    """What is known of one measure.

    Attributes:
        measure: its name.
        old, new: its mean if it is a share, else its median; None where no run has it.
        blocks: how many blocks were compared.
        finding: `WORSE`, `WITHIN`, `OPEN` (more runs are needed), or `UNKNOWN`: a version has no run with it.
        verdict: what follows of this measure alone.
    """

    measure: str
    old: float | None
    new: float | None
    blocks: int
    finding: str
    verdict: str


class CanaryReport(NamedTuple):
    """The verdict, how many runs of both versions there are, and each measure."""

    verdict: str
    old_runs: int
    new_runs: int
    measures: tuple[Compared, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the report as a document."""
        return {
            "schema": "namel3ss-debug/canary/1",
            **self._asdict(),
            "measures": [each._asdict() for each in self.measures],
        }


Limits = Mapping[str, Sequence[float | None]]
"""Measure -> below which value it may be worse, and above which one worse is a reason to roll back: `CANARY_LIMITS` of the settings."""


def compare(old: Iterable[CanaryRun], new: Iterable[CanaryRun], limits: Limits) -> CanaryReport:
    """Compare two populations.

    The verdict is to roll back where a measure is shown to be worse, and its level is above its second limit; to promote where
    every known and needed measure is shown to be within its bound, or is worse and below its first limit; else to hold.
    """
    earlier, later = (sorted(runs, key=lambda run: run.at) for runs in (old, new))
    found = tuple(_compare_measure(name, earlier, later, limits[name]) for name in MEASURES)
    verdicts = [each.verdict for each in found if each.finding != UNKNOWN]
    heaviest = [HOLD] if not verdicts else [each for each in (ROLL_BACK, HOLD, PROMOTE) if each in verdicts]
    return CanaryReport(heaviest[0], len(earlier), len(later), found)


def _compare_measure(
    name: str, old: Sequence[CanaryRun], new: Sequence[CanaryRun], limits: Sequence[float | None]
) -> Compared:
    measure = MEASURES[name]
    first, second = (inf if limit is None else limit for limit in limits)
    earlier, later = (_known(runs, name) for runs in (old, new))
    if not earlier or not later:
        return Compared(name, _level(measure, earlier), _level(measure, later), 0, UNKNOWN, HOLD)
    blocks = list(_blocks(earlier, later))
    level = _level(measure, later)
    assert level is not None
    if measure.is_share:
        pairs = [(value, sum(before) / len(before)) for value, before in blocks]
        worse = [value - mean for value, mean in pairs]
        fine = [SHARE_BOUND * mean + first - value for value, mean in pairs]
    else:
        # of an odd number of runs, so that an equal run exceeds their median in half of the cases
        medians = [median(before[: (len(before) - 1) | 1]) for _, before in blocks]
        pairs = [(value, middle) for (value, _), middle in zip(blocks, medians, strict=True)]
        worse = [0.5 if value > MARGIN * middle else -0.5 for value, middle in pairs]
        fine = [0.5 if value <= BOUND * middle else -0.5 for value, middle in pairs]
    most = 1.0 if measure.is_share else 0.5
    if is_shown(worse, most, WRONG * measure.risk):
        finding = WORSE
        verdict = PROMOTE if level < first else ROLL_BACK if level > second else HOLD
    elif is_shown(fine, most, WRONG):
        finding, verdict = WITHIN, PROMOTE
    else:
        finding, verdict = OPEN, HOLD if measure.is_needed else PROMOTE
    return Compared(name, _level(measure, earlier), level, len(blocks), finding, verdict)


def is_shown(differences: Iterable[float], most: float, risk: float) -> bool:
    """Return whether bets show that differences have a mean above 0.

    Args:
        differences: in the order of time.
        most: how far they may be below 0.
        risk: the probability with which it may be shown though it is not true.
    """
    capital = [1.0] * len(_GAMES)
    stakes = [share / most for share in _GAMES]
    for difference in differences:
        capital = [amount * (1 + stake * difference) for amount, stake in zip(capital, stakes, strict=True)]
        if sum(capital) >= len(_GAMES) / risk:
            return True  # once it is shown, later runs do not take it back
    return False


def _known(runs: Iterable[CanaryRun], name: str) -> list[tuple[float, float]]:
    return [(run.at, value) for run in runs if (value := run.values.get(name)) is not None]


def _level(measure: CanaryMeasure, runs: Sequence[tuple[float, float]]) -> float | None:
    values = [value for _, value in runs]
    if not values:
        return None
    return sum(values) / len(values) if measure.is_share else median(values)


def _blocks(
    old: Sequence[tuple[float, float]], new: Sequence[tuple[float, float]]
) -> Iterator[tuple[float, list[float]]]:
    """Yield each new run with old runs, at least one, that no other has; which these are does not depend on later runs."""
    events = sorted([(at, 0, value) for at, value in old] + [(at, 1, value) for at, value in new])
    waiting: tuple[deque[float], deque[float]] = (deque(), deque())
    for _, is_new, value in events:
        waiting[is_new].append(value)
        before, after = waiting
        while before and after:
            take = max(1, len(before) // _BLOCKS)
            yield after.popleft(), [before.popleft() for _ in range(take)]
