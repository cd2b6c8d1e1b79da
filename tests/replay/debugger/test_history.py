"""The states of a recording, and the ways through it."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from namel3ss_debug.replay.debugger.breakpoints import Breakpoint
from namel3ss_debug.replay.debugger.history import History, IndexedTrace
from namel3ss_debug.replay.debugger.locations import count_contents, find_occurrence
from namel3ss_debug.replay.debugger.results import CallRow, Frame
from namel3ss_debug.replay.debugger.running_totals import CumulativeTotals
from namel3ss_debug.traces.span_table import SpanTableBuilder
from namel3ss_debug.traces.totals import RunningTotals, Totals

EVENT = st.fixed_dictionaries(
    {
        "event_type": st.sampled_from(
            [
                "llm_call_start",
                "llm_call_end",
                "tool_call_start",
                "tool_call_end",
                "state_change",
                "log_record",
            ]
        ),
        "event_id": st.sampled_from("abcdef"),
        "component": st.sampled_from(["llm", "tool", "log"]),
    },
    optional={
        "parent_event_id": st.sampled_from("abcdef"),
        "component_name": st.sampled_from(["x", "y", "X z"]),
        "call_site": st.sampled_from(["app.py:1", "lib/app.py:2"]),
        "status": st.sampled_from(["failed", "completed"]),
        "tokens_used": st.integers(0, 5),
        "timestamp": st.floats(0, 100),
        "outputs": st.dictionaries(st.sampled_from("xyz"), st.integers(0, 3), max_size=2),
    },
)
EVENTS = st.integers(0, 40).flatmap(lambda size: st.lists(EVENT, min_size=size, max_size=size))
LOCATIONS = st.lists(
    st.sampled_from(
        [
            "llm",
            "tool:x",
            "error",
            "y",
            "x*",
            "llm:2",
            "x@3",
            "llm_call_end",
            "app.py:1",
            "7",
            "/y/",
            "'X z'",
            "llm if tokens_used > 3",
            "if totals.tokens > 12",
            "7 if n > 0",
            "x@2 if tokens_used > 1",
            "tool:2 if n",
            "error if n > 5",
        ]
    ),
    max_size=3,
)


def stopping(breakpoints, nths, passing):
    """The numbers at which any of the breakpoints stops, of the events that a history gives."""
    return [
        number
        for number, event, state in passing
        if any(
            each.stops(number, event, state.totals.scope(), {}, nth)
            for each, nth in zip(breakpoints, nths, strict=True)
        )
    ]


@given(EVENTS)
def test_the_state_at_an_event_is_that_of_a_fold(listed, events):
    """Totals, changed variables and open spans at every event are what taking the events one by one gives."""
    history = History(listed(events))
    builder, running, changed, opened = SpanTableBuilder(), RunningTotals(), {}, []
    assert history.at(0).totals == Totals()
    for number, event in enumerate(events, 1):
        place = builder.take(event)
        running.add(event, builder.table.cost_of(place.span))
        event_type = event["event_type"]
        if event_type == "state_change":
            changed |= dict.fromkeys(event.get("outputs", ()), number)
        elif event_type.endswith("_start"):
            frame = Frame(number, event_type, event["component"], event.get("component_name"))
            opened.append((event["event_id"], frame))
        elif event_type.endswith("_end"):
            same = [item for item in opened if item[0] == event.get("parent_event_id")]
            opened = [item for item in opened if not same or item is not same[-1]]
        state = history.at(number)
        assert (state.number, state.totals, state.changed) == (
            number,
            running.totals(),
            changed,
        )
        assert state.frames() == tuple(frame for _, frame in opened)
    assert history.at(len(events) + 5) == history.at(len(events))


def test_a_reading_that_was_broken_off_is_begun_anew(listed, support, monkeypatch):
    """As by Ctrl-C in the middle of an event of a large recording: nothing is counted twice, and nothing is left out."""
    add = CumulativeTotals.add

    def interrupted(self, event, *more):
        if event == support[8]:
            monkeypatch.undo()
            raise KeyboardInterrupt
        add(self, event, *more)

    monkeypatch.setattr(CumulativeTotals, "add", interrupted)
    history = History(listed(support))
    with pytest.raises(KeyboardInterrupt):
        history.refresh()
    assert history.at(16) == History(listed(support)).at(16)
    assert history.outline.count == 16


def test_what_a_call_cost_is_known_at_its_end(listed, support):
    """In dollars; of what costs nothing, nothing is said."""
    assert [History(listed(support)).cost_of(number) for number in (3, 4, 7, 12, 15)] == [
        None,
        0.25,
        None,
        0.125,
        None,
    ]


def one_id(*shapes):
    """Calls of a model that all have one id: a name for a start, tokens for an end."""
    call = {"event_id": "a", "component": "llm", "parent_event_id": "a"}
    return [
        call
        | (
            {"event_type": "llm_call_end", "tokens_used": shape}
            if isinstance(shape, int)
            else {"event_type": "llm_call_start", "component_name": shape}
        )
        for shape in shapes
    ]


@given(EVENTS, LOCATIONS, st.integers(0, 45), st.integers(0, 45), st.sampled_from([1, 3, 100]))
@example(one_id("x", "x", "y", 2), ["x@2 if tokens_used > 1"], 0, 9, 1)  # what ends is the last of three
@example(
    one_id("x", "x", 2, "y", 2, 2), ["x@2 if tokens_used > 1"], 0, 9, 1
)  # the id comes again after its end
def test_nothing_is_passed_that_a_breakpoint_stops_at(listed, events, places, first, end, most_kinds):
    """Both ways, what breakpoints stop at among the events that are passed is what they stop at among all of them."""
    breakpoints = [Breakpoint(place) for place in places]
    nths = [find_occurrence(each.parsed, events) for each in breakpoints]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("namel3ss_debug.replay.debugger.kinds.MOST_KINDS", most_kinds)
        history = History(listed(events))
        history.refresh()
    for each, nth in zip(breakpoints, nths, strict=True):
        assert history.find_occurrence(each.parsed) == nth
    every = [*history.passing(first, end)]
    assert [number for number, _, _ in every] == [
        number for number in range(1, len(events) + 1) if first <= number < end
    ]
    assert [event for _, event, _ in every] == [events[number - 1] for number, _, _ in every]
    expected = stopping(breakpoints, nths, every)
    assert stopping(breakpoints, nths, history.passing(first, end, breakpoints)) == expected
    back = history.passing(first, end, breakpoints, back=True)
    assert stopping(breakpoints, nths, back) == expected[::-1]
    assert [number for number, _, _ in history.passing(first, end, back=True)] == [
        number for number, _, _ in reversed(every)
    ]


@given(EVENTS, st.integers(0, 40))
def test_a_recording_may_grow(listed, events, before):
    """What came since is taken up when it is asked for, and nothing is read twice."""
    recording = listed(events[:before])
    history = History(recording)
    assert history.outline.count == len(recording.listed)
    asked = []
    read = recording.events
    recording.events = lambda start=1: asked.append(start) or read(start)
    recording.listed = events
    whole = History(listed(events))
    assert history.contents == whole.contents == count_contents(events)
    for number in range(len(events) + 1):
        assert history.at(number) == whole.at(number)
    assert asked == ([before + 1] if len(events) > before else [])


def test_only_what_may_match_is_decoded(listed, support):
    """A search for a place reads the events it stops at, and with a condition those of its name."""
    recording = listed(support)
    history = History(recording)
    history.refresh()
    asked = []
    read = recording.event
    recording.event = lambda number: asked.append(number) or read(number)
    recording.events = None
    for place, expected in (
        ("tool:search", [5, 8]),
        ("error", [7]),
        ("tool:search if duration_ms > 5", [5, 7, 8, 9]),
        ("llm:2", [11, 12]),
        ("llm_call_end:2 if n", [12]),
        ("13", [13]),
        ("app.py:42", [3]),
    ):
        for back in (False, True):
            history.find_occurrence(Breakpoint(place).parsed)
            asked.clear()
            assert [item[0] for item in history.passing(1, 17, [Breakpoint(place)], back=back)] == (
                expected[::-1] if back else expected
            )
            assert {*asked} == {*expected}
    assert [*history.passing(1, 17, [])] == []


def test_the_same_through_files(written, support):
    """A trace in a file is walked through by its index, with the same answers."""
    trace = written(support)
    assert isinstance(trace, IndexedTrace)
    history = History(trace)
    assert [number for number, _, _ in history.passing(1, 17, [Breakpoint("llm"), Breakpoint("7")])] == [
        3,
        7,
        11,
        14,
    ]
    assert [event for _, event, _ in history.passing(1, 99, back=True)] == support[::-1]
    assert history.find_occurrence(Breakpoint("llm:2").parsed) == find_occurrence(
        Breakpoint("llm:2").parsed, support
    )
    assert history.at(8).totals.tokens == 100
    assert [frame.number for frame in history.at(8).frames()] == [2, 8]


def test_calls_by_name(listed, support):
    """How often each tool and model was called up to an event, what failed, and what it came to."""
    history = History(listed(support))
    assert history.calls_at(9, "tool") == (CallRow("search", 2, 1, 940.0, 0, None, 8),)
    assert history.calls_at(13, "llm") == (
        CallRow("gpt-4o", 1, 0, 1000.0, 100, 0.25, 3),
        CallRow("gpt-4o-mini", 1, 0, 1000.0, 50, 0.125, 11),
    )
    assert history.calls_at(2, "llm") == ()


def test_a_pass_that_was_broken_off_is_begun_again(listed, support):
    """After an interruption nothing half taken stays."""
    recording = listed(support)
    history = History(recording)
    read = recording.events

    def interrupted(start=1):
        for number, event in enumerate(read(start), start):
            if number == 9:
                raise KeyboardInterrupt
            yield event

    recording.events = interrupted
    with pytest.raises(KeyboardInterrupt):
        history.refresh()
    recording.events = read
    assert history.outline.count == len(support)
    assert history.at(16) == History(listed(support)).at(16)


def test_a_name_that_is_not_told_apart_is_read_from_its_event(listed, monkeypatch):
    """Where there are too many names to keep, the stack and the counts are still right."""
    monkeypatch.setattr("namel3ss_debug.replay.debugger.kinds.MOST_KINDS", 3)
    events = [
        {"event_type": "tool_call_start", "event_id": f"{n}", "component": "tool", "component_name": f"t{n}"}
        for n in range(9)
    ]
    history = History(listed(events))
    assert [frame.name for frame in history.at(9).frames()] == [f"t{n}" for n in range(9)]
    assert history.find_occurrence(Breakpoint("t7@1").parsed).number == 8
    assert not history.contents.complete
    assert Breakpoint("t8").parsed.text == "t8"
