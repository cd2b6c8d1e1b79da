"""Memory and processor time of a process."""

import math

import pytest

from namel3ss_debug.monitoring.processes import ProcessLoad


def load_with(memory, minutes):
    """A process with a reading every five seconds."""
    load = ProcessLoad(1800.0, 0.9)
    for at in range(0, minutes * 60, 5):
        load.add_memory(float(at), memory(at), at)
    return load


def test_memory_that_grows_for_half_an_hour_is_a_leak():
    """A hundred MB an hour."""
    assert load_with(lambda at: 80 + at / 36, 30).mb_per_hour() == pytest.approx(100, abs=1)


def test_a_minute_of_growth_is_unknown():
    """A trend needs a time that carries it: a program of 58 seconds has no growth by the hour."""
    assert load_with(lambda at: 80 + at / 36, 1).mb_per_hour() is None
    assert load_with(lambda at: 80 + at / 36, 14).mb_per_hour() is None


def test_growth_while_a_program_warms_up_is_no_leak():
    """Memory that comes closer to its final size ever more slowly."""
    assert load_with(lambda at: 80 + 200 * (1 - math.exp(-at / 300)), 30).mb_per_hour() < 50
    assert load_with(lambda at: 80.0 if at < 120 else 400.0, 30).mb_per_hour() == 0


def test_a_process_is_busy_as_long_as_it_computes_without_a_pause():
    """A pause of a second ends it."""
    load = ProcessLoad(1800.0, 0.9)
    for at in range(40):
        load.add_cpu(float(at), at * 0.99, at)
    assert load.busy_seconds(39.0) == 39
    assert load.cpu_share() == pytest.approx(0.99)
    load.add_cpu(43.0, 39 * 0.99, 43)
    assert load.busy_seconds(43.0) == 0
