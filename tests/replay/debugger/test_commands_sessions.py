"""Tests of faults at the prompt, and of the command that runs the program again."""

from __future__ import annotations

import pytest

from namel3ss_debug.errors import RerunError
from namel3ss_debug.replay.debugger.interpreter import Debugger
from namel3ss_debug.replay.debugger.results import Message, Mistake, MocksInForce, Rerun, Stopped


@pytest.fixture
def session(support, written):
    """A session on the support agent's recording."""
    return Debugger(written(support))


def test_a_fault_is_given_listed_and_taken_back(session):
    """As an answer is."""
    assert session.execute("fault search@2:timeout") == [Message("fault search@2:timeout")]
    (listed,) = session.execute("fault")
    assert isinstance(listed, MocksInForce)
    assert [(row.name, row.nth, row.answer) for row in listed.rows] == [("search", 2, {"fault": "timeout"})]
    assert session.execute("info mocks") == [listed]
    session.execute("unmock search@2")
    assert session.execute("fault") == [MocksInForce(())]


def test_a_fault_that_does_not_parse_is_a_mistake(session):
    """One line says what there is."""
    (mistake,) = session.execute("fault search:explodes")
    assert isinstance(mistake, Mistake)
    assert "unknown fault" in mistake.text


def test_a_call_that_only_fails_by_a_fault_stops_at_errors(session):
    """The search at event 9 went well when it was recorded."""
    session.execute("break error")
    session.execute("fault search@2:timeout")
    stops = [session.execute("continue")[0] for _ in range(3)]
    assert [stop.number for stop in stops if isinstance(stop, Stopped)] == [7, 9, 16]
    assert stops[1].event["status"] == "timeout"
    assert session.execute("reverse-continue")[0].number == 9


def test_rerun_ends_the_session_and_says_up_to_where(session):
    """Who holds the session runs the program."""
    session.execute("goto 8")
    assert session.execute("rerun") == [Rerun(8)]
    assert session.ended
    assert session.session.rerun == Rerun(8)


def test_rerun_takes_nothing_behind_it(session):
    """It is a mistake, and the session goes on."""
    (mistake,) = session.execute("rerun 3")
    assert isinstance(mistake, Mistake)
    assert not session.ended


def test_a_program_that_runs_is_not_run_again(session):
    """There is no recording yet to run it on."""
    session.stepper.program = object()
    (mistake,) = session.execute("rerun")
    assert mistake.text.startswith("rerun is for stepping through a trace")
    assert not session.ended


def test_a_rerun_that_is_refused_leaves_the_walk_where_it_is(session):
    """The mistake says why; the answers of the walk were what it was asked for."""
    asked = []

    def refuse(answers):
        asked.append(answers)
        raise RerunError("it was recorded without answers")

    session.execute("goto 8")
    session.execute("mock search:1")
    session.session.prepare = refuse
    assert session.execute("rerun") == [Mistake("it was recorded without answers")]
    assert (session.ended, session.session.rerun, session.stepper.position) == (False, None, 8)
    assert asked == [session.stepper.overrides.all]
    session.session.prepare = len
    session.execute("rerun")
    assert (session.ended, session.session.prepared) == (True, 1)


def test_what_stands_behind_a_rerun_is_left_for_it(session):
    """The commands of a line behind the one that ended the session; of a line that did not end it, there are none."""
    session.execute("step ;; foo ;; step")
    assert session.remaining == []
    session.execute("step ;; rerun ;; print n ;; next")
    assert session.remaining == ["print n", "next"]


def test_another_session_takes_breakpoints_and_displays_over(session, support, written):
    """Numbers, conditions and commands are those that were given; hits are counted anew, and no number is given twice."""
    for line in (
        "break llm if n > 5",
        "watch totals.tokens",
        "tbreak tool",
        "clear 3",
        "display n",
        "commands 1 print n",
        "ignore 2 5",
        "continue",
        "continue",
    ):
        session.execute(line)
    assert [row.hits for row in session.stepper.stops.rows()] != [0, 0]
    later = Debugger(written(support))
    later.stepper.stops.copy_from(session.stepper.stops)
    later.session.copy_displays(session.session)
    assert later.stepper.stops.rows() == tuple(row._replace(hits=0) for row in session.stepper.stops.rows())
    assert later.execute("break error") == [Message("breakpoint 4 at error")]
    assert [row.number for row in later.session.evaluate_displays()] == [1]
    later.execute("clear 1")
    assert session.stepper.stops.find(1) is not None


def test_a_mock_without_a_name_is_for_the_call_here(session):
    """In a trace, the call that the event begins or ends, or the selected one."""
    calls = [event for event in session.stepper.trace.events() if event["event_type"] == "tool_call_start"]
    assert calls
    session.execute("goto start ;; tbreak tool:2 ;; continue")
    number = session.stepper.position
    name = session.stepper.event["component_name"]
    assert (
        session.execute('mock {"x": 1}')[0].text == f"mock for tool:{name}, this call only (event {number})"
    )
    session.execute("return")
    assert session.stepper.event["outputs"] == {"result": {"x": 1}}
    assert session.execute("mock --all 2")[0].text == f"mock for tool:{name}, every call"
    session.execute("goto start")
    assert session.execute("mock 3")[0].text == "no call is here: write mock NAME:JSON"
    assert "write NAME:JSON" in session.execute("mock --all")[0].text
