"""What happened right before an event."""

from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.inspection.leading import LOOKED_BACK, read_leading_activity
from namel3ss_debug.views.activity import describe_outcome


class Recorded:
    """Some events as a trace."""

    def __init__(self, events):
        self.all = events

    def events(self, start=1):
        """The events from a number on."""
        return islice(iter(self.all), start - 1, None)

    def event(self, number):
        """The event with this number."""
        return self.all[number - 1]


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
    told = read_leading_activity(spans(10), 8, most=3)
    assert [(step.number, step.end_number) for step in told.steps] == [(3, 4), (5, 6), (7, 8)]
    assert told.total == 4


@pytest.mark.parametrize("number", [LOOKED_BACK + 2, 3 * LOOKED_BACK])
def test_far_into_a_recording_only_what_is_near_is_read(number):
    """The numbers and the beginning of the run stay those of the whole recording."""
    told = read_leading_activity(spans(2 * LOOKED_BACK), number, most=2)
    assert [step.number for step in told.steps] == [number - 3, number - 1]
    assert told.began_at == 0.0


def nested(count, ended):
    """As many agents, each inside the one before, of which the innermost have ended, all as failed, after a last tool."""
    names = [{"component": "agent", "component_name": f"a{number}"} for number in range(count)]
    events = [
        {"event_type": "agent_execution_start", "event_id": f"s{number}", "timestamp": float(number)}
        | ({"parent_event_id": f"s{number - 1}"} if number else {})
        | name
        for number, name in enumerate(names)
    ]
    tool = {"component": "tool", "component_name": "t"}
    events += [
        {"event_type": "tool_call_start", "event_id": "t", "parent_event_id": f"s{count - 1}"} | tool,
        {"event_type": "tool_call_end", "event_id": "u", "parent_event_id": "t", "status": "failed"} | tool,
    ]
    for number in range(count - 1, count - 1 - ended, -1):
        end = {"event_type": "agent_execution_end", "event_id": f"e{number}", "parent_event_id": f"s{number}"}
        events.append(end | {"status": "failed", "duration_ms": 5.0} | names[number])
    return Recorded(events)


@given(st.integers(1, 5), st.data())
def test_only_what_never_ends_is_said_to(count, data):
    """Of what was open at the event the real end is known, and the story has only its beginning."""
    ended = data.draw(st.integers(0, count))
    told = read_leading_activity(nested(count, ended), count + 2)
    *agents, tool = told.steps
    assert (tool.end_number, describe_outcome(tool)) == (count + 2, "fails")
    assert [describe_outcome(step) for step in agents] == ["never ended"] * (count - ended) + [""] * ended
    ends = [None] * (count - ended) + [2 * count + 2 - number for number in range(count - ended, count)]
    assert [step.end_number for step in agents] == ends


@pytest.mark.parametrize("number", [3, LOOKED_BACK + 3])
def test_a_call_that_runs_beside_the_event_is_not_said_to_have_stopped(number):
    """Its end comes later, however far into the recording the event is."""
    told = read_leading_activity(spans(2 * LOOKED_BACK), number, most=1)
    assert [(step.number, step.end_number, describe_outcome(step)) for step in told.steps] == [
        (number, number + 1, "")
    ]


def test_the_end_of_a_process_is_not_that_of_the_tool_that_started_it():
    """It comes before the end of the tool, and is its child as well."""
    tools = spans(2)
    process = {"event_type": "trace_end", "event_id": "p1.2", "parent_event_id": "s1", "component": "app"}
    tools.all.insert(3, process)
    (step,) = read_leading_activity(tools, 3, most=1).steps
    assert (step.number, step.end_number) == (3, 5)


def test_where_nothing_has_a_name_there_is_no_story():
    """Events without names are no steps."""
    assert read_leading_activity(Recorded([{"event_type": "trace_start", "component": "app"}]), 1).steps == []
