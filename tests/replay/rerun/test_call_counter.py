"""Tests of counting entries into places as events come."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.replay.debugger.locations import Occurrence, find_occurrence, parse_location
from namel3ss_debug.replay.rerun.overriding import CallCounter


@given(st.lists(st.sampled_from(["llm", "tool:search", "tool:read"]), max_size=12), st.integers(1, 4))
def test_it_finds_what_a_look_at_all_events_finds(calls, nth):
    """For every place, after every event."""
    places = [parse_location(f"llm:{nth}"), parse_location(f"tool:search@{nth}"), parse_location("tool")]
    entries = CallCounter()
    assert [entries.find(place) for place in places] == [None, None, None]
    events = []
    for number, call in enumerate(calls, 1):
        component, _, name = call.partition(":")
        event = {"event_type": f"{component}_call_start", "component": component, "event_id": f"e{number}"}
        events.append(event | ({"component_name": name} if name else {}))
        entries.observe(number, events[-1])
        assert [entries.find(place) for place in places] == [
            find_occurrence(place, events) for place in places
        ]


def test_an_agent_is_no_call_of_the_tool_that_has_its_name():
    """The first call of it is that of the tool."""
    entries, place = CallCounter(), parse_location('"search"@1')
    entries.find(place)
    shapes = [("agent_execution_start", "agent"), ("tool_call_start", "tool"), ("tool_call_start", "tool")]
    for number, (kind, component) in enumerate(shapes, 1):
        event = {"event_type": kind, "component": component, "component_name": "search"}
        entries.observe(number, event | {"event_id": f"e{number}"})
    assert entries.find(place) == Occurrence(2)
