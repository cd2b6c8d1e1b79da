"""Tests of breakpoints and watches by themselves: how they are written, and when a value is another one."""

from __future__ import annotations

import pytest

from namel3ss_debug.replay.debugger.breakpoints import is_same, parse_watch


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (1, 1.0, True),
        (1, True, False),
        (True, 1, False),
        (0.0, False, False),
        ("1", 1, False),
        ([1], [1.0], True),
        (None, None, True),
        ({"a": 1}, {"a": 2}, False),
    ],
)
def test_values_are_compared_as_json(old, new, expected):
    """A number is the same in both forms, and no truth value."""
    assert is_same(old, new) is expected


def test_values_that_are_nested_too_deeply_to_compare_count_as_different():
    """Nobody knows whether they are. How deep that is differs between Pythons."""

    class Deep:
        def __eq__(self, other):
            raise RecursionError

        __hash__ = None

    assert is_same([Deep()], [Deep()]) is False


@pytest.mark.parametrize(
    ("text", "watched", "condition"),
    [
        ("totals.cost", "totals.cost", None),
        ("totals.cost if n > 3", "totals.cost", "n > 3"),
        ("error if n > 3 else name", "error if n > 3 else name", None),
        ("(error if n > 3 else name) if n > 5", "(error if n > 3 else name)", "n > 5"),
        ("error == 'x if y'", "error == 'x if y'", None),
        ("error == 'x if y' if n > 3", "error == 'x if y'", "n > 3"),
    ],
)
def test_the_condition_of_a_watch_begins_at_the_first_if_that_is_no_part_of_its_expression(
    text, watched, condition
):
    """An `if` of `x if c else y` and one in quotes are parts of it."""
    stop = parse_watch(text)
    assert (stop.watch.text, stop.condition and stop.condition.text) == (watched, condition)
    assert stop.location == text
