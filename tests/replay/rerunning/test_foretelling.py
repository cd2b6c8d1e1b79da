"""Tests of answers that are told before they are asked for: a run with them is the run without them."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.capture.foretold import asked
from namel3ss_debug.replay.rerunning.impasses import CannotGoOnError
from namel3ss_debug.replay.rerunning.passes import Pass
from namel3ss_debug.replay.rerunning.plans import Plan
from namel3ss_debug.replay.rerunning.recorded import read_recorded

STEPS = st.lists(
    st.tuples(st.sampled_from(["ask", "call"]), st.integers(0, 3), st.sampled_from("ab")), max_size=8
)
ROOM = st.lists(st.integers(0, 3), min_size=1, max_size=4)


def perform(made, steps, answers=True):
    """The calls of a program one after the other, with their answers where wanted; yields after each beginning."""
    for kind, what, function in steps:
        chain = ("app.py:main", f"app.py:{function}")
        if kind == "ask":
            start = made.ask(f"question {what}", chain=chain)
            yield
            if answers:
                made.say(start, f"answer {len(made.events)}")
        else:
            start = made.call("search", {"q": what})
            yield
            if answers:
                made.give(start, "search", len(made.events))


def record(listed, made, steps):
    """The recording of a program."""
    for _ in perform(made, steps):
        pass
    return read_recorded(listed(made.events), None, asked)


def waiting(run, made, steps):
    """The words of a run that waits at each call; the last is the reason why it could not go on, where it could not."""
    for _ in perform(made, steps, answers=False):
        number, event = len(made.events), made.events[-1]
        run.heard(number, event)
        try:
            yield run.word(number, event)
        except CannotGoOnError as impasse:
            yield impasse.stop.kind
            return


def ahead(run, made, steps, rooms):
    """The same of a run that takes what it is told ahead, of which there is now more, now less."""
    told = deque()
    for place, _ in enumerate(perform(made, steps, answers=False)):
        room = rooms[place % len(rooms)]
        while len(told) < room and (further := run.foretell()) is not None:
            told.append(further)
        number, event = len(made.events), made.events[-1]
        run.heard(number, event)
        if told and told[0].asked == asked(event):
            taken = told.popleft()
            run.taken(number, event, taken.number)
            yield taken.word
            continue
        told.clear()
        run.void()
        try:
            yield run.word(number, event)
        except CannotGoOnError as impasse:
            yield impasse.stop.kind
            return


@given(then=STEPS, now=STEPS, rooms=ROOM, strict=st.booleans())
def test_what_is_told_ahead_is_what_would_have_been_answered(
    listed, boundary_events, then, now, rooms, strict
):
    """Whatever the program does now, it gets the same answers, parts from the recording in the same places, and is not misled."""
    recorded = record(listed, boundary_events(), then)
    plan = Plan(recorded, strict=strict)
    one, other = Pass(plan, None), Pass(plan, None)
    words = list(waiting(one, boundary_events(), now))
    assert list(ahead(other, boundary_events(), now, rooms)) == words
    assert not other.misled
    assert other.divergences(ended=True) == one.divergences(ended=True)
    assert (other.restart is None) == (one.restart is None)


@given(steps=STEPS)
def test_the_same_program_never_has_to_wait(listed, boundary_events, steps):
    """Every answer of the recording is foretold, in its order, and then no more."""
    recorded = record(listed, boundary_events(), steps)
    run = Pass(Plan(recorded), None)
    assert [run.foretell().number for _ in recorded.boundaries] == list(recorded.boundaries)
    assert run.foretell() is None


def test_what_is_put_back_comes_again(listed, boundary_events):
    """An answer for which there was no room is the next one."""
    run = Pass(Plan(record(listed, boundary_events(), [("call", 1, "a"), ("call", 2, "a")])), None)
    first = run.foretell()
    run.put_back(first)
    assert run.foretell() is first
    assert run.foretell().number > first.number


def test_an_answer_that_another_process_has_got_misleads(listed, boundary_events):
    """Taken where it was given already, the pass does not count."""
    made = boundary_events()
    run = Pass(Plan(record(listed, boundary_events(), [("call", 1, "a")])), None)
    told = run.foretell()
    made.call("search", {"q": 1})
    run.word(1, made.events[-1])
    run.taken(1, made.events[-1], told.number)
    assert run.misled


@pytest.mark.parametrize("plan", [{"run_tools": frozenset({"search"})}, {"live_from": 1}])
def test_nothing_is_foretold_where_the_recording_alone_does_not_decide(listed, boundary_events, plan):
    """A tool that is run for real, or an event from which on the recording counts no more."""
    run = Pass(Plan(record(listed, boundary_events(), [("call", 1, "a")]), **plan), None)
    assert run.foretell() is None


def test_answers_are_told_again_from_where_the_run_is(listed, boundary_events):
    """What was told and not taken comes again; behind an answer that was asked for, the next one does."""
    made = boundary_events()
    calls = [("call", what, "a") for what in range(5)]
    run = Pass(Plan(record(listed, boundary_events(), calls)), None)

    def told(times):
        return [run.foretell().number for _ in range(times)]

    def call(what):
        made.call("search", {"q": what})
        return len(made.events), made.events[-1]

    assert told(3) == [1, 3, 5]
    run.void()
    assert told(2) == [1, 3]
    run.taken(*call(0), 1)
    run.void()
    assert told(2) == [3, 5]
    run.word(*call(2))  # the second call was left out
    assert told(1) == [7]
    run.put_back(run.foretell())
    run.void()
    assert told(2) == [7, 9]
    assert run.foretell() is None


def test_what_was_taken_late_leaves_nothing_of_what_was_told_before_it(listed, boundary_events):
    """A run that has skipped an answer is told the ones behind the taken one again, and no earlier one."""
    made = boundary_events()
    run = Pass(Plan(record(listed, boundary_events(), [("call", what, "a") for what in range(4)])), None)
    assert [run.foretell().number for _ in range(3)] == [1, 3, 5]
    made.call("search", {"q": 1})
    run.taken(1, made.events[0], 3)
    run.void()
    assert run.foretell().number == 5


def unsure(made, kind):
    """A recorded call whose answer has to be asked for."""
    address = {"method": "GET", "url": "http://127.0.0.1:8000/", "hash": "h"}
    if kind == "MCP":
        made.add("mcp_end", "mcp", made.add("mcp_start", "mcp", component_name="ping", metadata={"mcp": {}}))
    elif kind == "own server":
        metadata = {"exchange": address}
        made.add("http_exchange_start", "http", component_name="127.0.0.1:8000", metadata=metadata)
        made.add(
            "http_exchange_end", "http", made.events[-1]["event_id"], metadata={"exchange": {"status": 200}}
        )
    elif kind == "no end":
        made.call("search", {})
    elif kind == "secret":
        made.give(made.call("search", {}), "search", "[REDACTED:key]")
    elif kind == "given up":
        made.add("tool_call_end", "tool", made.call("search", {}), status="cancelled")
    else:
        made.give(made.call("search", {}), "search", 7)


@pytest.mark.parametrize(
    "kind", ["MCP", "own server", "no end", "secret", "given up", "not told apart", "sure"]
)
def test_only_an_answer_that_is_certain_is_foretold(listed, boundary_events, kind):
    """Nothing behind another one is, either."""
    made = boundary_events()
    unsure(made, kind)
    made.give(made.call("search", {"q": 1}), "search", 8)
    tell_apart = (lambda _event: "") if kind == "not told apart" else asked
    run = Pass(Plan(read_recorded(listed(made.events), None, tell_apart)), None)
    assert (run.foretell() is not None) is (kind == "sure")


def test_an_answer_that_is_foretold_takes_its_time_where_that_is_wanted(listed, boundary_events):
    """As one that is asked for."""
    run = Pass(Plan(record(listed, boundary_events(), [("ask", 1, "a")]), realtime=True), None)
    assert "delays" in run.foretell().word["http"]
