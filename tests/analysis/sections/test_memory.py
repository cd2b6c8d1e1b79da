import math
import random

import pytest


@pytest.fixture
def leak(recording, analysed):
    """The leak of the first process, of readings given as (seconds, megabytes)."""

    def leak(readings):
        for at, mb in readings:
            recording.add("resource_sample", at, memory_usage_mb=mb)
        return analysed(recording.events, ["resource_usage"])["resource_usage"]["memory"]["processes"][0][
            "leak"
        ]

    return leak


def test_memory_that_rises_all_the_time_grows(leak):
    """One MB a minute, with noise, is 60 MB per hour, and the interval holds it."""
    noise = random.Random(3)
    found = leak([(10 * n, round(100 + n / 6 + noise.uniform(-0.2, 0.2), 2)) for n in range(120)])
    assert found["verdict"] == "grows"
    assert found["low_mb_per_hour"] < 60 < found["high_mb_per_hour"]
    assert found["mb_per_hour"] == pytest.approx(60, abs=1)
    assert (found["confidence"], found["points"], found["reason"]) == (0.95, 120, None)


def test_what_a_program_takes_to_start_is_no_leak(leak):
    """Memory that rises at first and then stays is steady, though the slope of it all is above zero."""
    found = leak([(n, min(50.0 + 4 * n, 210.0)) for n in range(100)])
    assert found["verdict"] == "steady"
    assert found["second_half_mb_per_hour"] == 0


@pytest.mark.parametrize("seconds", [312, 900, 3000])
def test_a_queue_worker_that_warms_up_ever_more_slowly_has_no_leak(leak, seconds):
    """Its caches fill, to 60 MB more; at no time while they do is it growth by the hour."""
    noise = random.Random(5)
    found = leak(
        [
            (second, 140 - 60 * math.exp(-1.8 * second / 300) + noise.uniform(-1, 1))
            for second in range(0, seconds, 5)
        ]
    )
    assert found["verdict"] == "steady"


def test_memory_that_falls_shrinks(leak):
    """The interval lies below zero."""
    assert leak([(n, 200.0 - n) for n in range(40)])["verdict"] == "shrinks"


@pytest.mark.parametrize(
    ("readings", "reason"),
    [
        ([(0, 10.0), (3600, 900.0)], "fewer than 10 readings"),
        ([(n / 10, 10.0 + n) for n in range(50)], "less than 30 seconds of readings"),
        ([(5, 10.0)] * 20, "less than 30 seconds of readings"),
    ],
)
def test_two_points_or_a_moment_are_no_leak(leak, readings, reason):
    """Nothing is said, and why not."""
    found = leak(readings)
    assert (found["verdict"], found["mb_per_hour"], found["reason"]) == (None, None, reason)


def test_processes_are_told_apart_by_the_ids_of_their_events(recording, analysed):
    """Each has its own readings; the one that grows comes first."""
    for n in range(60):
        recording.add("resource_sample", n, memory_usage_mb=300.0, event_id=f"{n + 1}")
        recording.add("resource_sample", n, memory_usage_mb=100.0 + n, event_id=f"p3.{n + 1}")
    memory = analysed(recording.events, ["resource_usage"])["resource_usage"]["memory"]
    assert [(row["process"], row["leak"]["verdict"]) for row in memory["processes"]] == [
        ("p3", "grows"),
        ("p0", "steady"),
    ]
    assert memory["process_count"] == 2


def test_a_reading_without_a_time_counts_for_all_but_the_slope(recording, analysed):
    """It may be the peak."""
    recording.add("resource_sample", 0, memory_usage_mb=300.0)
    del recording.events[0]["timestamp"]
    [row] = analysed(recording.events, ["resource_usage"])["resource_usage"]["memory"]["processes"]
    assert (row["peak_mb"], row["seconds"], row["ended_at"]) == (300.0, None, None)
