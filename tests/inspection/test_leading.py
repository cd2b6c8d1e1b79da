"""What happened right before an event."""

from itertools import islice

import pytest

from namel3ss_debug.inspection.leading import LOOKED_BACK, leading


class Recorded:
    """Some events as a trace."""

    def __init__(self, events):
        self.all = events

    def events(self, start=1):
        """The events from a number on."""
        return islice(iter(self.all), start - 1, None)


def spans(count):
    """As many tools, one after the other, a second each."""
    events = []
    for number in range(count):
        tool = {"component": "tool", "component_name": f"t{number}"}
        begun = {"event_type": "tool_call_start", "event_id": f"s{number}", "timestamp": float(number)}
        ended = {"event_type": "tool_call_end", "parent_event_id": f"s{number}", "status": "completed"}
        events += [begun | tool, ended | tool]
    return Recorded(events)


def test_the_last_steps_are_kept_with_their_numbers():
    """A step is told by the number of its event, and what comes after the event is left out."""
    told = leading(spans(10), 8, most=3)
    assert [(step.number, step.end_number) for step in told.steps] == [(3, 4), (5, 6), (7, 8)]
    assert told.total == 4


@pytest.mark.parametrize("number", [LOOKED_BACK + 2, 3 * LOOKED_BACK])
def test_far_into_a_recording_only_what_is_near_is_read(number):
    """The numbers and the beginning of the run stay those of the whole recording."""
    told = leading(spans(2 * LOOKED_BACK), number, most=2)
    assert [step.number for step in told.steps] == [number - 3, number - 1]
    assert told.began_at == 0.0


def test_where_nothing_has_a_name_there_is_no_story():
    """Events without names are no steps."""
    assert leading(Recorded([{"event_type": "trace_start", "component": "app"}]), 1).steps == []
