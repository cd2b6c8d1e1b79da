"""Durations are compared with those of baselines, with an interval for the difference."""

from __future__ import annotations

import json
import random

import orjson
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.analysis.aggregate.slower import (
    MOST_CALLS,
    compare_operation,
    compare_with_baselines,
    estimate_shift,
)
from namel3ss_debug.cli.main import debug

MS = 1_000_000


def row(now, before):
    """Return the row for durations in milliseconds."""
    return compare_operation(("tool", "t"), [int(value * MS) for value in now], [int(v * MS) for v in before])


def test_the_difference_of_an_operation_has_its_interval():
    """Ten calls that take 5 ms longer are slower, by 2 to 8 ms; the other way round they are faster."""
    before = [10, 11, 12, 13, 14, 15, 16, 17, 18, 19]
    made = row([value + 5 for value in before], before)
    assert (made["difference_ms"], made["verdict"], made["change"]) == (5.0, "slower", 0.3448)
    assert (made["low_ms"], made["high_ms"]) == (2.0, 8.0)
    assert row(before, [value + 5 for value in before])["verdict"] == "faster"


@pytest.mark.parametrize(
    ("now", "before", "verdict"),
    [
        ([], [1, 1], "gone"),
        ([1, 1], [], "new"),
        ([9, 9, 9], [1, 1, 1], "unknown"),
        ([9, 9, 9, 9], [1, 1, 1, 1], "slower"),
        ([1, 2, 3, 4], [1, 2, 3, 4], "same"),
    ],
)
def test_few_calls_decide_nothing(now, before, verdict):
    """Below four calls on a side nothing is claimed."""
    assert row(now, before)["verdict"] == verdict


def test_equal_distributions_are_seldom_called_different():
    """Of 400 comparisons of like samples, about 5 % are called slower or faster: the interval keeps its word."""
    source = random.Random(7)
    wrong = 0
    for _ in range(400):
        now, before = ([source.lognormvariate(3, 0.6) for _ in range(15)] for _ in range(2))
        wrong += row(now, before)["verdict"] != "same"
    assert wrong <= 32


@given(
    st.lists(st.integers(1, 10**9), min_size=4, max_size=12),
    st.lists(st.integers(1, 10**9), min_size=4, max_size=12),
)
def test_the_estimate_lies_in_its_interval_and_turns_with_the_sides(now, before):
    """Exchanged sides give the negative of everything."""
    middle, low, high = estimate_shift(now, before)
    assert low <= middle <= high
    assert estimate_shift(before, now) == (-middle, -high, -low)


def test_many_calls_are_thinned_evenly():
    """Extremes and median are kept."""
    values = list(range(100 * MOST_CALLS))
    middle, low, high = estimate_shift([value + 7_000 for value in values], values)
    assert low < 7_000 < high
    assert abs(middle - 7_000) < 200


def test_traces_are_compared_by_operation(recording, tmp_path):
    """Failed calls are left out; the operation with the most lost time comes first."""
    paths = []
    for name, took in (("before", 10), ("now", 30)):
        for call in range(5):
            start = recording.start("tool", "look", call)
            recording.end(start, call + (took + call) / 1000)
        recording.end(recording.start("tool", "look", 8), 8.0, status="failed")
        paths.append(tmp_path / f"{name}.jsonl")
        paths[-1].write_bytes(b"\n".join(map(orjson.dumps, recording.events)) + b"\n")
        recording.events.clear()
    comparison = compare_with_baselines([paths[1]], [paths[0]])
    (made,) = comparison["operations"]
    assert (comparison["slower"], made["calls"], made["baseline_calls"]) == (1, 5, 5)
    assert made["difference_ms"] == pytest.approx(20, abs=1)


def test_the_command_shows_what_became_slower(recording, tmp_path):
    """Beside the sections, in the report and in JSON; a baseline that is the trace itself is refused."""
    for call in range(5):
        recording.span("tool", "look", call, call + 0.01)
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(map(orjson.dumps, recording.events)) + b"\n")
    recording.events.clear()
    for call in range(5):
        recording.span("tool", "look", call, call + 0.03)
    (tmp_path / "b.jsonl").write_bytes(b"\n".join(map(orjson.dumps, recording.events)) + b"\n")
    paths = [str(tmp_path / "b.jsonl"), "--baseline", str(tmp_path / "a.jsonl")]
    shown = CliRunner().invoke(debug, ["analyze", *paths]).stdout
    assert "Against the baseline" in shown
    assert "slower" in shown
    document = json.loads(CliRunner().invoke(debug, ["analyze", *paths, "--format", "json"]).stdout)
    assert document["baseline_comparison"]["slower"] == 1
    assert document["performance"]
    refused = CliRunner().invoke(debug, ["analyze", paths[0], "--baseline", paths[0]])
    assert "no trace other than those that are compared with it" in refused.stderr
