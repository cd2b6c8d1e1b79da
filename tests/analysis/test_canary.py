"""A new version is promoted, kept back or rolled back by sequential tests; simulations print their seeds."""

from collections import Counter
from random import Random

import pytest

from namel3ss_debug.analysis.canary import (
    HOLD,
    MEASURES,
    OPEN,
    PROMOTE,
    ROLL_BACK,
    UNKNOWN,
    WITHIN,
    WORSE,
    CanaryRun,
    compare,
    is_shown,
)
from namel3ss_debug.config.values import CANARY_LIMITS

LONG_AGO = -1e9
HISTORY = pytest.param(1000, 0.2, marks=pytest.mark.slow)
"""A simulation with 1,000 old runs takes some seconds."""


def make_run(rng, at, failing, slow=1.0):
    """A run of an agent, some of which fail; a judge has marked every tenth."""
    return CanaryRun(
        at,
        {
            "error_rate": float(rng.random() < failing),
            "response_ms": rng.lognormvariate(8, 0.6) * slow,
            "cost": rng.lognormvariate(-4, 0.5),
            "memory_mb": rng.gauss(200, 20),
            "marked_bad": float(rng.random() < failing) if rng.random() < 0.1 else None,
        },
    )


def simulate(seed, old, new, failing, failing_new, slow=1.0):
    """The report on so many runs of each version: as many old ones side by side, or a history of more."""
    rng = Random(seed)
    earlier = [make_run(rng, LONG_AGO + i if old > new else i, failing) for i in range(old)]
    later = [make_run(rng, i + 0.5, failing_new, slow) for i in range(new)]
    return compare(earlier, later, CANARY_LIMITS)


def verdicts(seeds, *arguments):
    """How often each verdict was given."""
    found = Counter(simulate(seed, *arguments).verdict for seed in seeds)
    print(f"{arguments}: seeds {seeds.start} to {seeds.stop - 1}: {dict(found)}")
    return found


@pytest.mark.parametrize(("old", "failing"), [(200, 0.02), (200, 0.2), HISTORY])
def test_equal_versions_are_rolled_back_in_at_most_five_of_a_hundred_cases(old, failing):
    """However often the verdict was asked for: what was shown once stays."""
    found = verdicts(range(200), old, 200, failing, failing)
    assert found[ROLL_BACK] <= 0.05 * 200


@pytest.mark.parametrize(("old", "failing"), [(200, 0.25), HISTORY])
def test_twice_the_failures_are_rolled_back_by_200_runs(old, failing):
    """In at least 95 of a hundred cases."""
    found = verdicts(range(200), old, 200, failing, 2 * failing)
    assert found[ROLL_BACK] >= 0.95 * 200


def test_equal_versions_are_promoted_once_there_are_enough_runs():
    """In nine of ten cases by 600 runs."""
    found = verdicts(range(50), 600, 600, 0.2, 0.2)
    assert found[PROMOTE] >= 45


def test_a_slower_version_is_rolled_back_above_the_limit():
    """Worse and below the first limit is promoted, between the limits it is for a person to decide."""
    for scale, verdict in ((1.0, ROLL_BACK), (0.2, HOLD), (0.01, PROMOTE)):
        rng = Random(7)
        populations = [
            [CanaryRun(i, {"response_ms": rng.lognormvariate(8, 0.2) * scale * slow}) for i in range(300)]
            for slow in (1.0, 1.5)
        ]
        report = compare(*populations, CANARY_LIMITS)
        assert report.verdict == verdict
        (time,) = (each for each in report.measures if each.finding != UNKNOWN)
        assert (time.measure, time.finding) == ("response_ms", WORSE)


def test_a_verdict_does_not_change_with_the_runs_that_follow():
    """What was shown at some run is shown at every later one, though the level may come back."""
    rng = Random(3)
    old = [make_run(rng, i, 0.1) for i in range(400)]
    new = [make_run(rng, i + 0.5, 0.6 if i < 100 else 0.1) for i in range(400)]
    findings = [
        compare([run for run in old if run.at < end], new[:end], CANARY_LIMITS).measures[0].finding
        for end in range(10, 400, 30)
    ]
    assert WORSE in findings
    assert set(findings[findings.index(WORSE) :]) == {WORSE}


def test_without_runs_or_measures_nothing_is_promoted():
    """A measure that only one version has is not known, and decides nothing beside those that are."""
    some = [CanaryRun(i, {"cost": 1.0}) for i in range(300)]
    for old, new in (([], []), (some, []), ([], some)):
        report = compare(old, new, CANARY_LIMITS)
        assert report.verdict == HOLD
        assert {each.finding for each in report.measures} == {UNKNOWN}
    findings = {each.measure: each.finding for each in compare(some, some, CANARY_LIMITS).measures}
    assert findings == dict.fromkeys(MEASURES, UNKNOWN) | {"cost": WITHIN}
    assert compare(some[:1], some[:1], CANARY_LIMITS).measures[2].finding == OPEN


def test_no_failures_at_all_are_shown_to_be_fine():
    """With no failure in either version, some 200 runs show that there are less than two in a hundred more."""
    runs = [CanaryRun(i, {"error_rate": 0.0}) for i in range(400)]
    assert compare(runs, runs, CANARY_LIMITS).verdict == PROMOTE
    assert compare(runs[:50], runs[:50], CANARY_LIMITS).verdict == HOLD


@pytest.mark.parametrize("risk", [0.05, 0.005])
def test_bets_on_a_fair_game_seldom_win(risk):
    """The risk holds over the whole course of 1,000 rounds, for a mean of exactly 0; three deviations are chance."""
    rng = Random(11)
    won = sum(is_shown((rng.choice((-1.0, 1.0)) for _ in range(1000)), 1.0, risk) for _ in range(1000))
    print(f"seed 11: won {won} of 1,000 at a risk of {risk}")
    assert won <= 1000 * risk + 3 * (1000 * risk) ** 0.5
