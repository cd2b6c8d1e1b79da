"""Forecasts of rising quantities."""

import random

import pytest

from namel3ss_debug.analysis.forecasts import forecast_level, forecast_walk, steps_until, student_t

SEED = 37
RUNS = 1000


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(3, 3.182), (5, 2.571), (10, 2.228), (30, 2.042), (1000, 1.962)]
)
def test_the_quantile_is_that_of_the_tables(freedom, quantile):
    """To a per cent from 3 degrees of freedom on."""
    assert student_t(freedom) == pytest.approx(quantile, rel=0.008)


def linear(noise, count):
    """A latency or an error rate that rises, with noise around the line."""
    slope, spread = noise.uniform(0, 5), noise.uniform(0.5, 20)
    return [100 + slope * index + noise.gauss(0, spread) for index in range(count)]


def walk(noise, count):
    """A context or memory that grows by steps of different sizes."""
    drift = noise.uniform(100, 900)
    values = [500.0]
    while len(values) < count:
        values.append(values[-1] + noise.gauss(drift, drift * 0.6))
    return values


def skewed(noise, count):
    """A context that mostly grows by little, and now and then by a long result."""
    values = [500.0]
    while len(values) < count:
        values.append(values[-1] + noise.lognormvariate(5, 0.6))
    return values


@pytest.mark.parametrize(
    ("make", "forecast"), [(linear, forecast_level), (walk, forecast_walk), (skewed, forecast_walk)]
)
@pytest.mark.parametrize(("known", "ahead"), [(6, 1), (8, 3), (20, 5)])
def test_the_interval_holds_the_value_that_came(make, forecast, known, ahead):
    """In 90 to 98 of a hundred held-out series, which the forecast has not seen the end of."""
    noise = random.Random(SEED)
    held = 0
    for _ in range(RUNS):
        values = make(noise, known + ahead)
        found = forecast(values[:known], ahead)
        held += found.low <= values[-1] <= found.high
    print(f"seed {SEED}: {make.__name__}, {known} known, {ahead} ahead: {held / RUNS:.3f}")
    assert 0.90 <= held / RUNS <= 0.98


@pytest.mark.parametrize("make", [walk, skewed])
def test_the_interval_holds_the_step_at_which_the_limit_was_reached(make):
    """Where a forecast was possible."""
    noise = random.Random(SEED)
    held = possible = 0
    for _ in range(RUNS):
        values = make(noise, 400)
        known, limit = values[:10], values[9] + noise.uniform(2, 40) * (values[9] - values[0]) / 9
        found = steps_until(known, limit)
        if found is not None:
            possible += 1
            reached = next(index for index, value in enumerate(values[10:], 1) if value >= limit)
            held += found.low <= reached <= found.high
    print(f"seed {SEED}: {make.__name__}: {held / possible:.3f} of {possible}")
    assert possible > RUNS / 2
    assert 0.90 <= held / possible <= 0.98


def test_a_quantity_that_does_not_rise_has_no_forecast_of_a_limit():
    """Neither has one that is over it, or of too few values."""
    assert steps_until([5.0, 4, 5, 4, 5, 4], 10) is None
    assert steps_until([5.0, 6, 7], 10) is None
    assert steps_until([5.0, 6, 7, 8, 12], 10) is None
    assert steps_until([1.0, 2, 3, 4, 5, 6], 8.5) == (3, 3, 3)
