from array import array
from statistics import pstdev, quantiles

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.analysis.distributions import (
    LEAST_FOR_OUTLIERS,
    PERCENTILES,
    describe,
    far_out,
    percentile,
)

DURATIONS = st.lists(st.integers(0, 10**13), min_size=2, max_size=60)


@given(DURATIONS)
def test_percentiles_are_those_of_the_standard_library(values):
    """Linear interpolation gives what `statistics.quantiles` calls inclusive."""
    hundredths = quantiles(values, n=100, method="inclusive")
    for percent in PERCENTILES:
        assert percentile(sorted(values), percent) == pytest.approx(hundredths[percent - 1], rel=1e-12)


@given(DURATIONS)
def test_the_deviation_is_that_of_the_population(values):
    """Mean, deviation and extremes agree with the standard library, in milliseconds."""
    figures = describe(array("q", values))
    assert figures["stddev_ms"] == pytest.approx(pstdev(values) / 1e6, abs=1e-6, rel=1e-9)
    assert figures["mean_ms"] == pytest.approx(sum(values) / len(values) / 1e6, abs=1e-6)
    assert (figures["min_ms"], figures["max_ms"]) == (min(values) / 1e6, max(values) / 1e6)


@given(DURATIONS)
def test_figures_are_those_of_numpy(values):
    """Percentiles, deviation and the fence of outliers agree with NumPy."""
    figures = describe(array("q", values))
    for percent in PERCENTILES:
        told = figures[f"p{percent}_ms"]
        assert told == pytest.approx(np.percentile(values, percent) / 1e6, abs=1e-6, rel=1e-9)
    assert figures["stddev_ms"] == pytest.approx(np.std(values) / 1e6, abs=1e-6, rel=1e-9)
    low, high = np.percentile(values, [25, 75])
    fence = far_out(values)
    if len(values) < LEAST_FOR_OUTLIERS:
        assert fence is None
    else:
        middle = np.median(values)
        assert fence == pytest.approx(max(high + 3 * (high - low), 2 * middle, middle + 10e6), rel=1e-9)


def test_one_value_is_every_percentile():
    """A single duration has no deviation and is its own percentiles."""
    figures = describe(array("q", [2_500_000]))
    assert figures.pop("stddev_ms") == 0
    assert set(figures.values()) == {2.5}


def test_no_values_have_no_figures():
    """Where nothing was measured, nothing is claimed to be zero."""
    assert set(describe(array("q")).values()) == {None}
