"""Breakpoints and overrides that fit nothing, with the names that there are."""

import pytest

from namel3ss_debug.replay.debugger.breakpoints import Breakpoint, StopPoint, StopPoints, parse_watch
from namel3ss_debug.replay.debugger.locations import count_contents, parse_location
from namel3ss_debug.replay.overrides.faults import parse_fault
from namel3ss_debug.replay.overrides.mocks import parse_mock
from namel3ss_debug.replay.overrides.unused import (
    UnhitBreakpoint,
    describe_missing_fields,
    describe_unhit,
    describe_unknown,
    describe_unused,
    find_unhit,
)


class Program:
    """A program that called two tools and a model, each from a line of its own."""

    def events(self):
        """Its events."""
        calls = [
            ("tool", "lookup", 8),
            ("tool", "convert", 42),
            ("tool", "convert", 42),
            ("llm", "gpt-4o", 50),
        ]
        for component, name, line in calls:
            start = {"component": component, "component_name": name, "call_site": f"app.py:{line}"}
            yield start | {"event_type": f"{component}_call_start"}
            yield start | {"event_type": f"{component}_call_end"}


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("tool:convrt", "Breakpoint 2 (tool:convrt) was never hit; the program has tools convert, lookup."),
        (
            "llm:claude if n > 3",
            "Breakpoint 2 (llm:claude if n > 3) was never hit; the program has model gpt-4o.",
        ),
        ("agent:boss", "Breakpoint 2 (agent:boss) was never hit."),
        (
            "gpt4",
            "Breakpoint 2 (gpt4) was never hit; the program has tools lookup, convert and model gpt-4o.",
        ),
        ("convert@3", "Breakpoint 2 (convert@3) was never hit; the program has only 2 of it."),
        ("app.py:43", "Breakpoint 2 (app.py:43) was never hit; did you mean 'app.py:42'?."),
        ("error", "Breakpoint 2 (error) was never hit."),
        ("/nowhere/", "Breakpoint 2 (/nowhere/) was never hit."),
    ],
)
def test_a_breakpoint_that_fits_nothing_is_named_with_the_closest_names(place, line):
    """By its number and place, and what the program has of that component."""
    assert list(describe_unhit([UnhitBreakpoint(2, parse_location(place))], Program())) == [
        line.replace("?.", "?")
    ]


@pytest.mark.parametrize("place", ["tool:convert", "CONVERT@2", "app.py:42", "99"])
def test_a_breakpoint_whose_place_was_entered_is_no_mistake(place):
    """An event number is not a name."""
    assert list(describe_unhit([UnhitBreakpoint(1, parse_location(place))], Program())) == []


def test_before_a_program_runs_again_only_names_are_compared():
    """A place without a name, and a name that the trace has, are not mentioned."""
    places = ["tool:convrt", "tool:convert", "app.py:43", "error", "llm:3", "/x/", "42"]
    wanted = [UnhitBreakpoint(number, parse_location(place)) for number, place in enumerate(places, 1)]
    assert list(describe_unknown(wanted, count_contents(Program().events()))) == [
        "Breakpoint 1 (tool:convrt) may never be hit; the trace has tools convert, lookup."
    ]


def test_an_override_that_fits_no_call_is_named():
    """A mistyped name, a component without calls, and a call that was not made; the others are not mentioned."""
    given = [
        parse_mock("convrt:1"),
        parse_fault("tool:convert@3:timeout"),
        parse_mock("llm:{}"),
        parse_mock("agent:1"),
    ]
    assert list(describe_unused(given, count_contents(Program().events()))) == [
        "Mock convrt was never used; the program has tools convert, lookup and model gpt-4o.",
        "Fault tool:convert@3 was never used; it was called only 2 times.",
        "Mock agent was never used.",
    ]


def test_only_enabled_breakpoints_of_the_user_without_a_hit_count():
    """What was hit, switched off, set by the settings or is a watch is left out."""
    stops = [
        StopPoint(1, Breakpoint("tool:a")),
        StopPoint(2, Breakpoint("tool:b"), hits=1),
        StopPoint(3, Breakpoint("tool:c"), enabled=False),
        StopPoint(4, Breakpoint("tool:d")),
        StopPoint(5),
        StopPoint(6, Breakpoint("tool:e")),
    ]
    assert [each.number for each in find_unhit(stops, range(4, 5))] == [1, 6]


def test_a_watch_of_a_field_that_no_event_has_is_named():
    """With the closest field; one whose value only never changed is no mistake."""
    stops = StopPoints()
    for text in ("event.component_nam", "event.component", "state.x"):
        stops.add(parse_watch(text))
    lines = list(describe_missing_fields(stops, Program()))
    assert len(lines) == 1
    assert lines[0].startswith(
        "Watch 1 was never hit: `event.component_nam` does not exist (component_name?)"
    )
