"""Tests of counting entries into places as events come."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.replay.recording.breakpoints import find_nth, parse_place
from namel3ss_debug.replay.recording.nth import Nth
from namel3ss_debug.replay.rerunning.entries import Entries


@given(st.lists(st.sampled_from(["llm", "tool:search", "tool:read"]), max_size=12), st.integers(1, 4))
def test_it_finds_what_a_look_at_all_events_finds(calls, nth):
    """For every place, after every event."""
    places = [parse_place(f"llm:{nth}"), parse_place(f"tool:search@{nth}"), parse_place("tool")]
    entries = Entries()
    assert [entries.find(place) for place in places] == [None, None, None]
    events = []
    for number, call in enumerate(calls, 1):
        component, _, name = call.partition(":")
        event = {"event_type": f"{component}_call_start", "component": component, "event_id": f"e{number}"}
        events.append(event | ({"component_name": name} if name else {}))
        entries.heard(number, events[-1])
        assert [entries.find(place) for place in places] == [find_nth(place, events) for place in places]


def test_an_agent_is_no_call_of_the_tool_that_has_its_name():
    """The first call of it is that of the tool."""
    entries, place = Entries(), parse_place('"search"@1')
    entries.find(place)
    shapes = [("agent_execution_start", "agent"), ("tool_call_start", "tool"), ("tool_call_start", "tool")]
    for number, (kind, component) in enumerate(shapes, 1):
        event = {"event_type": kind, "component": component, "component_name": "search"}
        entries.heard(number, event | {"event_id": f"e{number}"})
    assert entries.find(place) == Nth(2, "e2")
