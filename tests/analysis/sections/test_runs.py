from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.analysis.sections.runs import Lookup, Runs

STRETCHES = st.lists(st.tuples(st.integers(0, 12), st.integers(1, 6)), max_size=12)


def filled(values, first=1, *, loose=False):
    """Runs with these values, from events in a row."""
    runs = Runs(loose=loose)
    for event, value in enumerate(values, first):
        runs.add(value, event)
    return runs


@given(STRETCHES)
def test_every_number_is_found_at_its_first_event(stretches):
    """Whatever overlaps, the first event of a number is found, and every further one is a repeat."""
    values = [value for begin, length in stretches for value in range(begin, begin + length)]
    events = defaultdict(list)
    for event, value in enumerate(values, 1):
        events[value].append(event)
    lookup = Lookup(filled(values), most=1000)
    first = {value: same[0] for value, same in events.items()}
    assert [lookup.event(value) for value in range(20)] == [first.get(value) for value in range(20)]
    assert lookup.repeated == len(values) - len(events)
    assert lookup.repeats == sorted(event for same in events.values() for event in sorted(same)[1:])


def test_a_million_numbers_in_a_row_are_one_run():
    """What follows each other takes no memory."""
    runs = filled(range(1_000_000))
    assert len(runs) == 1
    assert runs.is_recent(5)
    assert not runs.is_recent(1_000_000)


def test_only_the_first_repeats_are_kept():
    """A trace in which every event has the same id does not fill the memory with their places."""
    lookup = Lookup(filled([7] * 5000), most=20)
    assert (lookup.repeated, lookup.repeats) == (4999, list(range(2, 22)))
