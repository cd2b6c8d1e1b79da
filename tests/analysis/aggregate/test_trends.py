import json
from itertools import combinations, permutations
from math import erfc, sqrt
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from namel3ss_debug.analysis.aggregate import trends as trends_module
from namel3ss_debug.analysis.aggregate.trends import (
    FIGURES,
    MOST,
    Point,
    compute_trend,
    compute_trends,
    kendall_score,
    mann_kendall,
    score_variance,
)

DAY = 86_400


def points(values):
    """A value a day."""
    return [Point(1_700_000_000 + DAY * place, value) for place, value in enumerate(values)]


@given(st.lists(st.integers(-1000, 1000), min_size=4, max_size=25, unique=True))
def test_the_probability_without_ties_is_that_of_scipy(values):
    """It is the exact probability of Kendall's statistic against time, as SciPy computes it."""
    expected = stats.kendalltau(range(len(values)), values, method="exact").pvalue
    assert mann_kendall(values) == pytest.approx(expected, rel=1e-9)


def test_the_variance_with_ties_is_that_of_scipy():
    """Without the step towards 0, the probability is scipy's asymptotic one of the same values."""
    values = [3, 0, 1, 2, 5, 3, 0, 2, 0, 2, 4, 3]
    asymptotic = erfc(abs(kendall_score(values)) / sqrt(2 * score_variance(values)))
    assert asymptotic == pytest.approx(0.526236867, abs=1e-8)
    assert mann_kendall(values) > asymptotic


@given(st.lists(st.integers(0, 99), min_size=2, max_size=6, unique=True))
def test_the_exact_probability_is_the_share_of_all_orders(values):
    """It is counted over every order of the values how often the pairs go one way as far as here."""
    score = abs(kendall_score(values))
    orders = [abs(kendall_score(order)) >= score for order in permutations(values)]
    assert mann_kendall(values) == pytest.approx(sum(orders) / len(orders))


@given(st.lists(st.integers(-5, 5), min_size=4, max_size=40))
def test_the_trend_of_the_mirrored_values_is_the_opposite(values):
    """Direction and slope change sides, and how sure they are does not."""
    told, mirrored = compute_trend(points(values)), compute_trend(points([-value for value in values]))
    opposite = {"rising": "falling", "falling": "rising", "none": "none"}
    assert mirrored["direction"] == opposite[told["direction"]]
    assert mirrored["p_value"] == told["p_value"]
    assert mirrored["slope_per_day"] == pytest.approx(-told["slope_per_day"])
    slopes = [(b - a) / (j - i) for (i, a), (j, b) in combinations(enumerate(values), 2)]
    assert told["slope_per_day"] == pytest.approx(median(slopes))
    assert told["slope_low"] <= told["slope_per_day"] <= told["slope_high"]


def test_a_rise_is_told_with_its_slope():
    """Ten days, each a hundred milliseconds slower than the one before."""
    told = compute_trend(points([1000 + 100 * day for day in range(10)]))
    assert (told["direction"], told["slope_per_day"]) == ("rising", 100)
    assert told["confidence"] > 0.9999


@pytest.mark.parametrize(
    ("values", "direction"),
    [([1, 2, 3], "unknown"), ([1, 2, 3, 4], "none"), ([1, 2, 3, 4, 5], "rising"), ([7] * 20, "none")],
)
def test_few_points_prove_nothing(values, direction):
    """Three say nothing, four can never be sure, and what is always the same goes nowhere."""
    assert compute_trend(points(values))["direction"] == direction


def test_one_wild_run_decides_nothing():
    """The last of twenty equal runs took a thousand times as long."""
    assert compute_trend(points([100 + day % 3 for day in range(19)] + [100_000]))["direction"] == "none"


def test_points_of_one_time_have_no_slope():
    """Nothing is divided by zero."""
    told = compute_trend([Point(5, value) for value in range(6)])
    assert told["slope_per_day"] is None
    assert told["slope_per_run"] == 1
    json.dumps(told, allow_nan=False)


@pytest.mark.parametrize(("seconds", "per_day", "per_run"), [(DAY / 5, 1000, None), (60, None, 200)])
def test_a_change_a_day_is_not_guessed_from_minutes(seconds, per_day, per_run):
    """Six runs within less than a day tell the change from one run to the next."""
    told = compute_trend([Point(seconds * place, 1000 + 200 * place) for place in range(6)])
    assert (told["direction"], told["slope_per_run"]) == ("rising", per_run)
    assert told["slope_per_day"] == pytest.approx(per_day)
    assert (told["slope_low"] is None) == (per_day is None)


def test_of_very_many_points_the_latest_count():
    """What was long ago does not matter any more."""
    told = compute_trend(points([9.0] * 300 + [1.0] * MOST))
    assert (told["points"], told["direction"]) == (MOST, "none")


def test_the_figures_of_runs_that_tell_them():
    """A figure that no run tells is left out; runs may come in any order."""
    runs = [
        (DAY * place, {"duration_ms": 1000.0 + place, "llm_calls": 2, "tool_calls": 1, "tokens": 5})
        for place in range(6)
    ]
    told = compute_trends(reversed(runs))["figures"]
    assert set(told) == {"response_time_ms", "throughput", "tokens"}
    assert told["response_time_ms"]["direction"] == "rising"
    assert told["throughput"]["direction"] == "falling"
    assert told["tokens"]["direction"] == "none"
    assert {figure.name for figure in FIGURES} > set(told)
    assert compute_trends([])["figures"] == {}
    assert trends_module.METHOD in compute_trends([])["method"]
