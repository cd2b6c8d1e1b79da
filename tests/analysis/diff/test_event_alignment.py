"""Events of two runs beside each other: each once, in the order of both, moved ones at both of their places."""

from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.analysis.diff.comparison import RunComparison, load_run
from namel3ss_debug.analysis.diff.event_alignment import EventPair, align_events, map_events
from namel3ss_debug.analysis.diff.masks import Masks


def compare(a, b):
    """Align two traces."""
    return RunComparison(load_run(a, Masks()), load_run(b, Masks()))


def test_events_only_one_run_has_stand_alone():
    """What the first run did alone precedes what the second did alone at the same place."""
    assert align_events([1, 2, 4], [1, 3, 5], {1: 1, 4: 5}) == [
        EventPair(1, 1),
        EventPair(2, 0, "a"),
        EventPair(0, 3, "b"),
        EventPair(4, 5),
    ]


def test_a_moved_event_stands_at_both_places():
    """Each of its places names the event of the other run."""
    assert align_events([1, 2, 3], [1, 2, 3], {1: 2, 2: 3, 3: 1}) == [
        EventPair(3, 1, "b"),
        EventPair(1, 2),
        EventPair(2, 3),
        EventPair(3, 1, "a"),
    ]


@given(st.permutations(range(1, 9)), st.sets(st.integers(1, 8)), st.sets(st.integers(1, 8)))
def test_each_event_has_one_place(order, ours, theirs):
    """Whatever was moved or left out, every event of both runs stands once, in the order of its run."""
    mine, others = sorted(ours), sorted(theirs)
    pairs = align_events(mine, others, dict(zip(range(1, 9), order, strict=True)))
    assert [pair.a for pair in pairs if pair.alone != "b"] == mine
    assert [pair.b for pair in pairs if pair.alone != "a"] == others


def test_events_inside_equal_spans_are_mapped(written, support_run):
    """Of two equal runs, each start and end has the same event of the other."""
    path = written(support_run)
    assert map_events(compare(path, path)) == {number: number for number in range(1, 17)}


def test_events_of_a_run_that_did_more_are_mapped_past_it(written, support_run):
    """A call that only one run made shifts the numbers after it."""
    shorter = [event for number, event in enumerate(support_run, 1) if number not in {8, 9}]
    same = map_events(compare(written(shorter, "a.jsonl"), written(support_run, "b.jsonl")))
    assert {number: same[number] for number in (5, 7, 8, 14)} == {5: 5, 7: 7, 8: 10, 14: 16}
