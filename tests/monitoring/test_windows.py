"""Calls in windows of time."""

import random

import pytest

from namel3ss_debug.analysis.distributions import percentile
from namel3ss_debug.monitoring.windows import Call, CallWindow, Usual


def call(at, ms=100.0, *, failed=False, cost=0, share=None, number=1, component="llm"):
    """A call that ended at a time."""
    return Call(number, at, component, "m", int(ms * 1e6), failed, False, False, 10, 8, 2, cost, share)


def test_a_window_has_the_sums_of_its_time_only():
    """A call leaves after the window, to the second."""
    window = CallWindow(60.0, ["error_rate"])
    for second in range(120):
        each = call(1000.0 + second, failed=second < 60)
        window.add(each, each.amounts())
        window.expire(1000.0 + second)
    assert 60 <= window.sum("calls") <= 61
    assert window.sum("failures") <= 1
    window.expire(1119.0 + 62)
    assert window.sum("calls") == window.sum("tokens") == 0
    assert window.error_rate() is None


def test_a_rate_is_known_once_the_window_was_full():
    """Before that, a start would look like a slow program."""
    window = CallWindow(60.0, ["calls_per_minute"])
    for second in range(0, 90, 3):
        each = call(1000.0 + second)
        window.add(each, each.amounts())
    assert window.per_minute(1059.0) is None
    window.expire(1087.0)
    assert window.per_minute(1087.0) == pytest.approx(20, abs=1)


def test_percentiles_are_those_of_the_latest_values():
    """Also while values come and go."""
    noise, values = random.Random(4), []
    window = CallWindow(100.0, ["p95_ms"])
    for second in range(300):
        each = call(second, noise.uniform(1, 1000))
        values.append((second, each.duration_ns))
        window.add(each, each.amounts())
        window.expire(second)
    kept = sorted(value for at, value in values if at > 199)
    assert window.percentile_ms(95) == pytest.approx(percentile(kept, 95) / 1e6)


def test_slow_calls_count_in_percentiles_however_long_they_last():
    """What is far above the usual values is left out of these, and not of percentiles."""
    window = CallWindow(600.0, ["p50_ms", "slowdown"])
    for second in range(300):
        each = call(second, 1000 if second < 100 else 10_000)
        window.add(each, each.amounts())
        window.expire(second)
    assert window.percentile_ms(50) == 10_000
    assert window.usual["duration_ns"].jump() == 10


def test_five_values_far_above_all_others_are_a_jump():
    """Not four, and not values that such calls have now and then."""
    usual = Usual(3600.0, 1)
    for at in range(40):
        usual.add(at, 100 + at % 7)
    assert usual.jump() < 1.1
    for at in range(40, 44):
        usual.add(at, 500)
    assert usual.jump() < 1.1
    usual.add(44, 500)
    assert usual.jump() == pytest.approx(500 / 103, rel=0.05)


def test_what_is_wrong_for_long_does_not_become_usual():
    """A hundred slow calls after forty quick ones are still slow, until three of five are quick."""
    usual = Usual(3600.0, 1)
    for at in range(40):
        usual.add(at, 100)
        usual.expire(at)
    for at in range(40, 140):
        usual.add(at, 500)
        usual.expire(at)
    assert usual.jump() == 5
    for at in (140, 141):
        usual.add(at, 100)
        assert usual.jump() == 5
    usual.add(142, 100)
    assert usual.jump() == 1


def test_the_fullest_context_of_the_window_is_kept():
    """With the call that filled it."""
    window = CallWindow(10.0, ["context_share"])
    for at, share in enumerate((0.2, 0.95, 0.5, 0.4)):
        each = call(at, share=share, number=at)
        window.add(each, each.amounts())
    assert window.context() == (0.95, 1)
    window.expire(12.0)
    assert window.context() == (0.5, 2)
