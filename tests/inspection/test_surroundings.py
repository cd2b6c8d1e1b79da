"""What stands around one event."""

from __future__ import annotations

import json

import pytest

from namel3ss_debug.errors import UnreadableTraceError
from namel3ss_debug.inspection import find_surroundings
from namel3ss_debug.traces.reader import open_trace


def numbers(found):
    """The numbers of numbered events."""
    return [number for number, _ in found]


def test_the_surroundings_of_an_end(run):
    """An end has its start as its other half, and the events inside are those of the span."""
    around = find_surroundings(run, 9)
    assert around.other_half[0] == 5
    assert numbers(around.above) == [2]
    assert (numbers(around.inside), around.inside_total) == ([6], 1)
    assert (numbers(around.before), numbers(around.after)) == ([4, 5], [11])
    assert around.complete


def test_the_surroundings_of_a_start(run):
    """A start has its end as its other half, and its neighbours in the same span."""
    around = find_surroundings(run, 2)
    assert (around.other_half[0], around.above) == (12, ())
    assert (numbers(around.inside), around.inside_total) == ([4, 5, 11], 3)
    open_span = find_surroundings(run, 13)
    assert (open_span.other_half, numbers(open_span.above), numbers(open_span.before)) == (None, [3], [8])


def test_the_surroundings_of_a_plain_event(run):
    """An event that is no span stands inside the spans above it, outermost first."""
    around = find_surroundings(run, 6)
    assert (around.other_half, numbers(around.above), around.inside_total) == (None, [2, 5], 0)


def test_an_event_that_is_not_there_has_no_surroundings(run):
    """The message says which numbers there are."""
    with pytest.raises(UnreadableTraceError, match="no event 14; the trace has 13 events"):
        find_surroundings(run, 14)


def test_a_circle_of_parents_ends(tmp_path):
    """Hostile parents do not hang the search."""
    path = tmp_path / "trace.jsonl"
    events = [
        {"event_type": "a_start", "event_id": "1", "parent_event_id": "2", "component": "a"},
        {"event_type": "a_start", "event_id": "2", "parent_event_id": "1", "component": "a"},
    ]
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    assert len(find_surroundings(open_trace(path), 2).above) <= 2


def test_far_from_its_span_an_event_is_looked_at_in_part(tmp_path, recording):
    """Beyond the bound of looking, what is not found is said to be incomplete instead of read for ever."""
    made = recording
    made.event("trace_start", component="app")
    for _ in range(1500):
        made.event("log_record", component="log")
    far = made.start("agent", "A")
    for _ in range(100):
        made.event("log_record", far, component="log")
    path = tmp_path / "trace.jsonl"
    path.write_text("".join(json.dumps(event) + "\n" for event in made.events))
    trace = open_trace(path)
    near, cut = find_surroundings(trace, 1550), find_surroundings(trace, 1550, look=10)
    assert (numbers(near.above), near.complete) == ([1502], True)
    assert (numbers(cut.above), cut.complete) == ([], False)
