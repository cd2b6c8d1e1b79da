"""Tests of what came of a re-run."""

from __future__ import annotations

from namel3ss_debug.replay.rerunning.outcomes import changes_since, other_numbers


def test_what_a_program_runs_on_is_compared():
    """Python, commit and packages, and nothing where all is the same."""
    then = {
        "python": "3.11.7",
        "git_commit": "a" * 40,
        "packages": {"openai": "1.0", "httpx": "2", "gone": "3"},
    }
    assert changes_since(then, then) == ()
    now = {
        "python": "3.12.1",
        "git_commit": "b" * 40,
        "packages": {"openai": "1.1", "httpx": "2", "new": "1"},
    }
    assert changes_since(then, now) == (
        "recorded on Python 3.11.7, run again on 3.12.1",
        "recorded at commit aaaaaaaaaa, run again at bbbbbbbbbb",
        "other packages: openai 1.0 then, 1.1 now, gone 3 then, not there now",
    )


def test_a_run_that_never_began_is_compared_with_nothing():
    """There is nothing to say."""
    assert changes_since({"python": "3.11.7"}, {}) == ()


def test_numbers_of_a_trace_are_those_of_its_order():
    """Events of two processes arrive in another order than their times."""
    events = [{"event_id": name} for name in ("1", "p1.1", "2")]
    assert other_numbers(events, events) == {}
    assert other_numbers(events, [events[0], events[2], events[1]]) == {1: 1, 2: 3, 3: 2}
