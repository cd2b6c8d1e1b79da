"""Tests of faults at the prompt, and of the command that runs the program again."""

from __future__ import annotations

import pytest

from namel3ss_debug.replay.debugger import Debugger
from namel3ss_debug.replay.results import Message, Mistake, MocksInForce, Rerun, Stopped


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
    assert session.over
    assert session.session.rerun == Rerun(8)


def test_rerun_takes_nothing_behind_it(session):
    """It is a mistake, and the session goes on."""
    (mistake,) = session.execute("rerun 3")
    assert isinstance(mistake, Mistake)
    assert not session.over
