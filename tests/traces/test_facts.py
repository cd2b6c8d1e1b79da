import pytest

from namel3ss_debug.traces.facts import LONGEST_NS, whole_ns


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1.5, 1_500_000),
        (0, 0),
        (-3, 0),
        ("2", 0),
        (None, 0),
        (True, 0),
        (1e300, LONGEST_NS),
        (float("nan"), 0),
    ],
)
def test_a_time_becomes_whole_nanoseconds_or_nothing(value, expected):
    """What is no time is 0 and what is too long is cut."""
    assert whole_ns(value, 1_000_000) == expected
