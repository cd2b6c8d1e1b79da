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
