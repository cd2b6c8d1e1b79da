import pytest

from namel3ss_debug.analysis.failures.claims import Claim
from namel3ss_debug.analysis.failures.weak_failures import MOST_KEPT, WeakFailures


def weak(*signs, began=None):
    """Weak failures of (number, source, words), in spans that began at another number."""
    found = WeakFailures()
    for number, source, words in signs:
        claim = Claim(words, None, 0.5, source, "outputs")
        end = {"event_type": "tool_call_end", "component": "tool", "timestamp": 1.0}
        found.add(number, end, claim, 0, began or number)
    return found


@pytest.mark.parametrize(
    ("sign", "left"),
    [
        ((9, "log", "lookup: the service is down"), 0),
        ((9, "log", "the service is up"), 1),
        ((9, "log", "late"), 1),
        ((9, "output", "api: the service is down"), 1),
    ],
)
def test_what_repeats_a_failure_is_left_out(sign, left):
    """A log record that has its words; an output only where the failure was inside its span."""
    remaining = weak(sign).remaining([(4, "the service is down")])
    assert len(remaining) == left


def test_an_output_repeats_what_failed_inside_it():
    """Its span began before the failure and ended after it."""
    sign, failed = (9, "output", "api: the service is down"), [(4, "the service is down")]
    assert weak(sign, began=3).remaining(failed) == []
    assert len(weak(sign, began=5).remaining(failed)) == 1


def test_a_weak_failure_is_told_once():
    """A log record that repeats the words of an output before it reports that one; two equal calls are two."""
    found = weak(
        (3, "output", "Error: gone for good"),
        (4, "log", "Error: gone for good"),
        (6, "output", "Error: gone for good"),
    )
    assert [row.number for row in found.remaining([])] == [3, 6]


def test_more_than_can_be_kept_are_counted():
    """The first are kept."""
    found = weak(*((number, "log", f"thing {number}") for number in range(MOST_KEPT + 400)))
    assert (len(found.kept), found.more) == (MOST_KEPT, 400)
