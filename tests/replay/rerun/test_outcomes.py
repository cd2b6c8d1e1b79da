"""Tests of what came of a re-run."""

from __future__ import annotations

import pytest

from namel3ss_debug.replay.rerun.attempts import Attempt
from namel3ss_debug.replay.rerun.divergences import Divergence, Match, summarize
from namel3ss_debug.replay.rerun.effects import Effects
from namel3ss_debug.replay.rerun.outcomes import (
    LiveChange,
    RerunOutcome,
    changes_since,
    make_outcome,
    other_numbers,
)
from namel3ss_debug.replay.rerun.plan import Plan
from namel3ss_debug.replay.rerun.recorded_calls import read_recorded
from namel3ss_debug.replay.rerun.requests import Request
from namel3ss_debug.replay.rerun.tool_code import StaleTool
from namel3ss_debug.replay.rerun.unanswered import UnansweredCall

ASKED = Request("llm", "m", ())


def outcome(**fields):
    """An outcome that is as recorded but for these fields."""
    as_recorded = {
        "of": None,
        "trace": None,
        "status": 0,
        "recorded_status": 0,
        "stop": None,
        "problem": "",
        "divergences": (),
        "summary": summarize((), ()),
        "recorded": None,
    }
    return RerunOutcome(**as_recorded | fields)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, 0),
        ({"recorded_status": None, "status": 3}, 0),
        ({"status": 3}, 1),
        ({"status": 3, "live_since": 7}, 1),
        ({"status": 0, "recorded_status": 1, "live_since": 7}, 0),
        ({"status": 1, "recorded_status": 1, "live_since": 7}, 1),
        ({"status": -6}, 1),
        ({"unused": ("Mock a was never used.",)}, 1),
        ({"divergences": (Divergence("new", 1, ASKED, None),)}, 1),
        ({"refused": ({"event_type": "divergence"},)}, 1),
        ({"stop": UnansweredCall("new", ASKED)}, 1),
        ({"stop": UnansweredCall("strict", ASKED), "status": -9}, 1),
        ({"stop": UnansweredCall("open", ASKED), "status": -9}, 2),
        ({"stop": UnansweredCall("unusable", ASKED)}, 2),
        ({"problem": "the program cannot be started"}, 2),
        ({"mistakes": 1}, 2),
        ({"left": True, "status": -9}, 1),
        ({"left": True, "recorded_status": None}, 2),
        ({"stuck": True}, 0),
        ({"left": True, "stuck": True}, 2),
        ({"interrupted": True, "status": -2, "problem": "x"}, 130),
    ],
)
def test_the_exit_status_says_what_came_of_a_re_run(fields, status):
    """0: matched; 1: diverged; 2: the program could not go on, or was ended before its end; 130: Ctrl-C."""
    assert outcome(**fields).exit_status == status


AFTER_OVERRIDE = summarize((), [Match(7, 6, "exact", overridden=True), Match(11, 10, "after_override")])
OVERRIDDEN = summarize((), [Match(7, 6, "exact", overridden=True)])
STALE = (StaleTool("lookup", ("tools.py:lookup has changed",), (5,)),)


@pytest.mark.parametrize(
    ("fields", "verdict", "status", "verify"),
    [
        ({}, "matched", 0, ()),
        ({"summary": OVERRIDDEN}, "matched_with_overrides", 0, ()),
        ({"live_since": 7}, "changed", 0, ()),
        ({"live_since": 7, "status": 3}, "changed", 1, ()),
        ({"live_since": 7, "live_change": LiveChange(7, 8, "it ends", is_same=False)}, "changed", 0, ()),
        ({"live_since": 7, "live_change": LiveChange(0, 0, "it ends", is_same=True)}, "matched", 0, ()),
        ({"summary": AFTER_OVERRIDE}, "unverified", 1, ("--live-from 10",)),
        (
            {"summary": AFTER_OVERRIDE, "accepted": frozenset({"stale-tools"})},
            "unverified",
            1,
            ("--live-from 10",),
        ),
        (
            {"summary": AFTER_OVERRIDE, "accepted": frozenset({"stale-models"})},
            "matched_with_overrides",
            0,
            (),
        ),
        ({"stale_tools": STALE}, "unverified", 1, ("--run-changed-tools",)),
        ({"stale_tools": (StaleTool("mail", kept=True),)}, "unverified", 1, ("--run-tools mail",)),
        (
            {"stale_tools": STALE, "summary": AFTER_OVERRIDE},
            "unverified",
            1,
            ("--run-changed-tools", "--live-from 10"),
        ),
        ({"stale_tools": STALE, "accepted": frozenset({"stale-tools"})}, "matched_with_overrides", 0, ()),
        ({"stale_tools": STALE, "status": 3}, "diverged", 1, ("--run-changed-tools",)),
        ({"stop": UnansweredCall("unusable", ASKED)}, "incomplete", 2, ()),
        ({"left": True}, "incomplete", 2, ()),
        ({"interrupted": True}, "incomplete", 130, ()),
    ],
)
def test_a_verdict_says_what_was_verified(listed, boundary_events, fields, verdict, status, verify):
    """Answers that may differ now are unverified unless the user accepts their kind; the report names what verifies them."""
    made = boundary_events()
    for request in ("one", "two"):
        made.say(made.ask(request), "yes")
    found = outcome(recorded=read_recorded(listed(made.events)), **fields)
    assert (found.verdict, found.exit_status, found.verifying_options) == (verdict, status, verify)


@pytest.mark.parametrize(
    "fields", [{"interrupted": True}, {"problem": "x"}, {"stop": UnansweredCall("open", ASKED)}]
)
def test_a_program_that_was_ended_has_not_ended_otherwise(fields):
    """Its status is not its own."""
    assert outcome(status=3).ended_otherwise
    assert not outcome(status=3, **fields).ended_otherwise


@pytest.mark.parametrize("ended", [True, False])
def test_an_outcome_is_told_in_the_numbers_of_its_trace(listed, boundary_events, ended):
    """Events may have arrived in another order; a guess that turned out wrong is ambiguous, and nothing is missing before the end."""
    made, again = boundary_events(), boundary_events()
    made.say(made.ask("first"), "one")
    made.say(made.ask("second", chain=("app.py:other",)), "two")
    run = Attempt(Plan(read_recorded(listed(made.events))), None)
    again.add("inputs_read", None, metadata={"new": {"stdin": {"app.py:3": 1}, "clock": {"app.py:7": 2}}})
    again.add("divergence", None)
    again.ask("first, but otherwise")
    again.ask("first")
    for number, event in enumerate(again.events, 1):
        run.observe(number, event)
        if event["event_type"] == "llm_call_start":
            run.reply(number, event)
    told = make_outcome(
        run,
        of="run.jsonl",
        trace="again.jsonl",
        status=1,
        recorded_status=0,
        stop=None,
        problem="x",
        ended=ended,
        effects=Effects(),
        numbers={3: 2, 4: 3},
    )
    kinds = [(found.kind, found.number) for found in told.divergences]
    assert kinds == [("ambiguous", 2)] + [("missing", 0)] * ended
    assert (told.of, told.trace, told.status, told.problem) == ("run.jsonl", "again.jsonl", 1, "x")
    assert (told.recorded_status, told.real, told.stuck) == (0 if ended else None, 0, False)
    assert told.refused == (again.events[1],)
    assert told.new_inputs == (("clock", "app.py:7", 2), ("stdin", "app.py:3", 1))


def test_what_a_program_runs_on_is_compared():
    """Python, commit and packages, and nothing where all is the same."""
    then = {
        "python": "3.11.7",
        "git_commit": "a" * 40,
        "packages": {"openai": "1.0", "httpx": "2", "gone": "3"},
    }
    assert changes_since(then, then) == ()
    now = {
        "python": "3.12.1",
        "git_commit": "b" * 40,
        "packages": {"openai": "1.1", "httpx": "2", "new": "1"},
    }
    assert changes_since(then, now) == (
        "recorded on Python 3.11.7, run again on 3.12.1",
        "recorded at commit aaaaaaaaaa, run again at bbbbbbbbbb",
        "other packages: openai 1.0 then, 1.1 now, gone 3 then, not there now",
    )


def test_a_run_that_never_began_is_compared_with_nothing():
    """There is nothing to say."""
    assert changes_since({"python": "3.11.7"}, {}) == ()


def test_numbers_of_a_trace_are_those_of_its_order():
    """Events of two processes arrive in another order than their times."""
    events = [{"event_id": name} for name in ("1", "p1.1", "2")]
    assert other_numbers(events, events) == {}
    assert other_numbers(events, [events[0], events[2], events[1]]) == {1: 1, 2: 3, 3: 2}
