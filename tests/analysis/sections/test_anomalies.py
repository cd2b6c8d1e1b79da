from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from namel3ss_debug.analysis.sections.anomalies import Spread


@pytest.fixture
def found(recording, analysed):
    """What is found in the recording, by kind."""

    def found(kind):
        patterns = analysed(recording.events, ["patterns"])["patterns"]["found"]
        return [each for each in patterns if each["kind"] == kind]

    return found


@given(st.lists(st.integers(-1000, 1000), min_size=10, max_size=40))
def test_the_unit_is_the_deviation_of_scipy(values):
    """The unit of a score is the median absolute deviation by 0.6745, as SciPy computes the deviation."""
    deviation = stats.median_abs_deviation(values)
    if deviation:
        assert Spread.of(values).unit == pytest.approx(deviation / 0.6745)


@given(st.lists(st.floats(-1e6, 1e6).map(lambda value: round(value, 9)), min_size=10, max_size=40))
def test_the_score_is_that_of_iglewicz_and_hoaglin(values):
    """0.6745 (x - median) / MAD, and without a MAD the mean distance times 1.2533 in its place."""
    middle = median(values)
    distances = [abs(value - middle) for value in values]
    spread = Spread.of(values)
    if median(distances):
        assert spread.score(values[0]) == pytest.approx(0.6745 * (values[0] - middle) / median(distances))
    elif any(distances):
        mean = sum(distances) / len(distances)
        assert spread.score(values[0]) == pytest.approx((values[0] - middle) / (1.253314 * mean))
    else:
        assert spread is None


def test_few_values_have_no_spread():
    """Of nine values none can be said to be far out."""
    assert Spread.of([1.0, 2.0, 3.0] * 3) is None


def test_a_slow_call_among_many_is_an_anomaly(recording, found):
    """It says against what, how far, and what it cost more than the median."""
    for n in range(20):
        recording.span("tool", "t", n, n + 0.1 + 0.001 * (n % 5))
    recording.span("tool", "t", 30, 32)
    (anomaly,) = found("anomaly")
    assert (anomaly["measure"], anomaly["side"], anomaly["count"], anomaly["of"]) == (
        "duration_ms",
        "high",
        1,
        21,
    )
    assert anomaly["numbers"] == [41]
    assert anomaly["furthest"] == pytest.approx(2000)
    assert anomaly["median"] == pytest.approx(102)
    assert anomaly["cost"]["ms"] == pytest.approx(1898)
    assert anomaly["confidence"] > 0.9


def test_an_answer_of_few_tokens_is_an_anomaly(recording, found):
    """Both sides count: a call that was cut short is as strange as one that ran on."""
    for n in range(15):
        recording.span("llm", "m", n, n + 0.5, tokens_used=2000 + n)
    recording.span("llm", "m", 20, 20.5, tokens_used=90)
    (anomaly,) = found("anomaly")
    assert (anomaly["measure"], anomaly["side"], anomaly["furthest"]) == ("tokens", "low", 90)


def test_microseconds_are_no_anomaly(recording, found):
    """Ten times as long as the others is nothing where it is nothing."""
    for n in range(20):
        recording.span("tool", "t", n, n + 1e-5 * (1 + n % 3))
    recording.span("tool", "t", 30, 30.0005)
    assert found("anomaly") == []
