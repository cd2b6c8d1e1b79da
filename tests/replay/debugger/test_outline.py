"""The shape of a recording, against what its definitions say."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from namel3ss_debug.replay.debugger.outline import Outline

NO_LEVEL = {"stream_chunk", "resource_sample", "stack_sample", "file_access", "inputs_read"}
SPAN = st.builds(
    lambda kind, event_id, parent: {
        "event_type": f"tool_call_{kind}",
        "event_id": event_id,
        "parent_event_id": parent,
    },
    st.sampled_from(["start", "end"]),
    st.sampled_from("abc"),
    st.sampled_from("abcp"),
)
OTHER = st.fixed_dictionaries(
    {
        "event_type": st.sampled_from(
            [
                "agent_execution_start",
                "decision",
                "stream_chunk",
                "resource_sample",
                "stack_sample",
                "inputs_read",
                "trace_start",
                "trace_end",
                "error_occurred",
            ]
        ),
        "event_id": st.sampled_from("abcd"),
    },
    optional={
        "parent_event_id": st.sampled_from("abcdp"),
        "component": st.sampled_from(["tool", "agent"]),
        "component_name": st.sampled_from("xy"),
        "status": st.sampled_from(["failed", "completed"]),
    },
).map(lambda event: event | ({"event_id": "p"} if event["event_type"] == "trace_start" else {}))
EVENT = SPAN | OTHER
EVENTS = st.integers(0, 40).flatmap(lambda size: st.lists(EVENT, min_size=size, max_size=size))


def made(events):
    """An outline of some events."""
    outline = Outline()
    for number, event in enumerate(events, 1):
        outline.add({"component": "app", "event_id": f"e{number}"} | event)
    return outline


class Tree:
    """The same, worked out from the definitions by looking through everything again and again."""

    def __init__(self, events):
        self.events = [None, *events]
        self.around, self.end, self.own, self.level, self.processes = {}, {}, {}, {}, {}
        for number in range(1, len(self.events)):
            self.place(number)

    def place(self, number):
        """Where an event belongs."""
        event = self.events[number]
        event_type, parent = event["event_type"], event.get("parent_event_id")
        own = self.opened(parent, number) if self.is_end(event) else 0
        if own:
            self.end[own] = number
            self.own[number] = own
            self.level[number] = self.open_around(self.around[own], number)
        else:
            self.level[number] = self.inside(parent, number)
        self.around[number] = own or self.level[number]
        if event_type == "trace_start":
            self.processes[event["event_id"]] = self.level[number]

    @staticmethod
    def is_end(event):
        """Whether an event may end a span."""
        return event["event_type"].endswith("_end") and event["event_type"] != "trace_end"

    def is_start(self, number):
        """Whether an event begins a span."""
        event_type = self.events[number]["event_type"]
        return event_type.endswith("_start") and event_type != "trace_start"

    def begins(self, number):
        """Whether an event begins a span or a process."""
        return self.events[number]["event_type"].endswith("_start")

    def is_open(self, start, number):
        """Whether a span has not ended before or at an event."""
        return self.end.get(start, number + 1) > number

    def opened(self, wanted, number):
        """The latest open start with an id."""
        starts = [
            start
            for start in range(1, number)
            if self.is_start(start)
            and self.events[start]["event_id"] == wanted
            and self.is_open(start, number)
        ]
        return max(starts, default=0)

    def inside(self, wanted, number):
        """The open start that something with this parent happened inside."""
        opened = self.opened(wanted, number)
        if opened:
            return opened
        known = [
            start
            for start in range(1, number)
            if self.begins(start) and self.events[start]["event_id"] == wanted
        ]
        latest = max(known, default=0)
        return self.open_around(
            latest if latest and self.is_start(latest) else self.processes.get(wanted, 0), number
        )

    def open_around(self, start, number):
        """A start, or the nearest around it that is open after an event."""
        while start and not self.is_open(start, number):
            start = self.around[start]
        return start

    def members(self, level):
        """The events of a level."""
        return [
            number
            for number, found in self.level.items()
            if found == level and self.events[number]["event_type"] not in NO_LEVEL
        ]

    def following(self, number):
        """The next one in the level, else the end around it."""
        level = self.level[number]
        return min(
            (member for member in self.members(level) if member > number), default=self.end.get(level, 0)
        )

    def preceding(self, number):
        """The one before in the level, else the start around it."""
        level = self.level[number]
        return max((member for member in self.members(level) if member < number), default=level)


@settings(max_examples=300)
@given(EVENTS)
def test_the_shape_is_that_of_the_tree(events):
    """Every look-up gives what its definition says, with ids that repeat, lost starts and work that outlives its parent."""
    outline, tree = made(events), Tree(events)
    assert outline.count == len(events)
    for number in range(1, len(events) + 1):
        assert outline.enclosing(number) == tree.around[number]
        assert outline.end(number) == tree.end.get(number, 0)
        assert outline.following(number) == tree.following(number)
        assert outline.preceding(number) == tree.preceding(number)


@given(EVENTS)
def test_what_is_open_and_the_stack_are_those_of_the_tree(events):
    """The open spans after each event, and the way from each event outwards."""
    outline, tree = made(events), Tree(events)
    for number in range(1, len(events) + 1):
        starts = [start for start in range(1, number + 1) if tree.is_start(start)]
        assert outline.open_at(number) == [start for start in starts if tree.is_open(start, number)]
        own = tree.own.get(number) or (number if tree.is_start(number) else tree.level[number])
        chain = []
        while own:
            chain.insert(0, own)
            own = tree.around[own]
        assert outline.stack(number) == [start for start in chain if tree.end.get(start, number) >= number]


@given(EVENTS, st.integers(0, 45))
def test_the_latest_of_a_type_and_the_failures(events, number):
    """They are those that a look through all events finds."""
    outline = made(events)
    starts = [
        n for n, event in enumerate(events, 1) if event["event_type"] == "tool_call_start" and n <= number
    ]
    assert outline.latest("tool_call_start", number) == max(starts, default=0)
    failed = [
        n
        for n, event in enumerate(events, 1)
        if (event.get("status") == "failed" or event["event_type"] == "error_occurred")
        and not event["event_type"].endswith("_start")
    ]
    assert list(outline.failures) == failed


@given(st.lists(EVENT, max_size=80), st.integers(0, 90), st.integers(0, 90), st.integers(0, 3))
def test_wanted_kinds_are_found_both_ways(events, first, end, more):
    """Forwards and backwards give the events a filter selects, with few kinds and with more than a byte can tell."""
    events = events + [{"event_type": "decision", "component_name": str(n)} for n in range(100 * more)]
    outline = made(events)

    def wanted(event):
        return event["event_type"].endswith("_start") or event.get("component_name") in {"x", "7", "250"}

    end += 100 * more
    asked = outline.kinds.select(wanted, named=True)
    selected = [n for n, event in enumerate(events, 1) if first <= n < end and wanted(event)]
    assert list(outline.forward(asked, first, end)) == selected
    assert list(outline.backward(asked, first, end)) == selected[::-1]


def test_many_late_events_cost_no_way_up_each():
    """Work that names a span deep inside others that have all ended finds what is open without walking all of them again."""
    depth = 5000
    events = [
        {"event_type": "tool_call_start", "event_id": str(n), "parent_event_id": str(n - 1)}
        for n in range(depth)
    ]
    events += [
        {"event_type": "tool_call_end", "event_id": f"e{n}", "parent_event_id": str(n)}
        for n in range(1, depth)
    ]
    outline = made(events)
    walked = 0

    class Counting(dict):
        def get(self, *args):
            nonlocal walked
            walked += 1
            return super().get(*args)

    outline._around = Counting(outline._around)
    for _ in range(100):
        outline.add({"event_type": "decision", "event_id": "x", "parent_event_id": str(depth - 1)})
        assert outline.enclosing(outline.count) == 1
    assert walked < 2 * depth


@pytest.mark.parametrize("length", [1, 300, 5000])
def test_names_that_are_not_told_apart_have_no_kind(monkeypatch, length):
    """Past the limit the kind of an event is not given, and a search by name has to ask the event."""
    monkeypatch.setattr("namel3ss_debug.replay.debugger.kinds.MOST_KINDS", 5)
    names = [f"{n}" * length for n in range(9)]
    outline = made([{"event_type": "decision", "component": "app", "component_name": name} for name in names])
    untold = [number for number in range(1, 10) if outline.kind(number) is None]
    assert untold == ([6, 7, 8, 9] if length < 5000 else list(range(1, 10)))
    named = outline.kinds.select(lambda event: event.get("component_name") == names[0], named=True)
    assert list(outline.forward(named, 1, 10)) == sorted({1, *untold})
    typed = outline.kinds.select(lambda event: event["component"] == "llm", named=False)
    assert list(outline.forward(typed, 1, 10)) == []
    assert outline.latest("decision", 9) == 9
