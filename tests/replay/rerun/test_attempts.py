"""Tests of one run on recorded answers, without a process: events go in, words come out."""

from __future__ import annotations

import base64
import json

import pytest

from namel3ss_debug.errors import DebugError, RerunError
from namel3ss_debug.replay.overrides.active import Overrides
from namel3ss_debug.replay.overrides.faults import parse_fault
from namel3ss_debug.replay.overrides.mocks import parse_mock
from namel3ss_debug.replay.rerun.addresses import SuppliedHosts
from namel3ss_debug.replay.rerun.attempts import Attempt
from namel3ss_debug.replay.rerun.divergences import summarize
from namel3ss_debug.replay.rerun.overriding import CallCounter
from namel3ss_debug.replay.rerun.plan import Plan
from namel3ss_debug.replay.rerun.recorded_calls import read_recorded
from namel3ss_debug.replay.rerun.unanswered import CannotGoOnError, describe_unanswered


class Run:
    """A run of a program that is given its events one by one."""

    def __init__(self, recorded, made, override=(), **plan):
        entries = CallCounter()
        self.overrides = Overrides(lambda: None, entries.find)
        for what in override:
            self.overrides.add(what)
        self.run = Attempt(Plan(recorded, **plan), self.overrides, on_event=entries.observe)
        self.made = made

    @property
    def guesses(self):
        """How many requests got an answer that was recorded for another one."""
        return sum(
            match.how in ("changed", "after_override") and match.recorded > 0 for match in self.run.matches()
        )

    @property
    def ambiguous(self):
        """The requests whose recorded answer another one has requested as well."""
        return [found.number for found in self.run.divergences(ended=False) if found.kind == "ambiguous"]

    def reply(self):
        """What the process is told at the latest event, after it has come."""
        number = len(self.made.events)
        self.run.observe(number, self.made.events[-1])
        return self.run.reply(number, self.made.events[-1])

    def again(self):
        """What it is told that still waits at the latest event."""
        return self.run.reply(len(self.made.events), self.made.events[-1])

    def summarize(self):
        """What became of the run so far."""
        return summarize(self.run.divergences(ended=False), self.run.matches())

    def divergences(self):
        """Kind, number in the run and in the recording of each."""
        return [
            (found.kind, found.number, found.recorded.number if found.recorded else 0)
            for found in self.run.divergences(ended=True)
        ]


@pytest.fixture
def recorded(listed, boundary_events):
    """A recording: a request to a model, a tool, a question, an HTTP-less end; numbers 1, 3, 5."""
    made = boundary_events()
    made.say(made.ask("first"), "one")
    made.give(made.call("search", {"q": "x"}), "search", 7)
    made.say(made.ask("second"), "two")
    return read_recorded(listed(made.events))


@pytest.fixture
def start(recorded, boundary_events):
    """Begins a run on the recording."""

    def begin(*override, **plan):
        return Run(recorded, boundary_events(), override, **plan)

    return begin


def test_the_same_calls_get_their_answers(start):
    """A response, a value, a response; and nothing has parted."""
    run = start()
    run.made.ask("first")
    assert "http" in run.reply()
    run.made.call("search", {"q": "x"})
    assert run.reply()["answer"] == 7
    run.made.ask("second")
    assert "http" in run.reply()
    assert run.divergences() == []
    assert run.guesses == 0


def test_only_calls_have_to_wait_where_the_recording_is_one_line_of_work(start):
    """Not where tools run for real, or where the recording counts no more at some event."""
    assert start().run.plan.answers_calls_only
    assert not start(run_tools=frozenset({"search"})).run.plan.answers_calls_only
    assert not start(live_from=3).run.plan.answers_calls_only


def test_a_guess_is_told_before_its_answer_is_given(start):
    """So that what the program prints from there on can be held back."""
    run = start()
    run.made.ask("first, but otherwise")
    assert "http" in run.reply()
    assert run.guesses == 1


def test_a_call_without_an_answer_waits_until_it_is_given_one(start):
    """Asked again it cannot go on either; with an answer of the user's it can, and the call counts once."""
    run = start()
    run.made.call("other", {})
    for _ in range(2):
        with pytest.raises(CannotGoOnError, match="calls other, and the trace holds no answer for this call"):
            run.run.reply(1, run.made.events[-1])
    run.overrides.add(parse_mock("other:1"))
    assert run.run.reply(1, run.made.events[-1]) == {"answer": 1, "outputs": {"result": 1}}
    assert sorted(kind for kind, *_ in run.divergences()) == ["missing", "missing", "missing", "new"]
    assert [match[2:6] for match in run.run.matches()] == [("new", True, False, False)]


def test_a_secret_that_was_left_out_can_be_given_at_the_call(listed, boundary_events):
    """Until then the call counts as unanswered; then as given, and what is asked with that differs as expected."""
    made = boundary_events()
    made.give(made.call("key", {}), "key", "[REDACTED:key]")
    made.say(made.ask("use [REDACTED:key]"), "done")
    run = Run(read_recorded(listed(made.events)), boundary_events())
    run.made.call("key", {})
    with pytest.raises(CannotGoOnError, match="a secret in the answer was redacted"):
        run.reply()
    assert [match[2:6] for match in run.run.matches()] == [("exact", False, False, True)]
    run.overrides.add(parse_mock('key:"kitten"'))
    assert run.run.reply(1, run.made.events[-1])["answer"] == "kitten"
    run.made.ask("use kitten")
    assert "http" in run.reply()
    assert [match[2:6] for match in run.run.matches()] == [
        ("exact", True, False, False),
        ("after_override", False, False, False),
    ]
    assert run.divergences() == []


@pytest.mark.parametrize("first", [True, False])
def test_a_call_that_is_not_recorded_is_not_made_because_it_would_be_late(start, first):
    """Latency is no answer: the call waits on, whether it was given from the start or at the call."""
    latency = parse_fault("tool:other:latency:1s")
    run = start(*([latency] if first else []))
    run.made.call("other", {})
    with pytest.raises(CannotGoOnError):
        run.reply()
    run.overrides.add(latency)
    with pytest.raises(CannotGoOnError):
        run.again()


@pytest.mark.parametrize("first", [True, False])
def test_a_new_call_waits_on_when_a_mock_that_does_not_fit_is_taken_back(start, first):
    """It is not made, and counts once."""
    misfit = parse_mock("tool:other.result.temp=1")
    run = start(*([misfit] if first else []))
    run.made.call("other", {})
    if not first:
        with pytest.raises(CannotGoOnError):
            run.reply()
        run.overrides.add(misfit)
    with pytest.raises(DebugError):
        run.reply()
    assert [match.unanswered for match in run.run.matches()] == [True]
    run.overrides.remove()
    with pytest.raises(CannotGoOnError):
        run.again()
    run.overrides.add(parse_mock("other:1"))
    assert run.again()["answer"] == 1
    assert [(match.overridden, match.unanswered) for match in run.run.matches()] == [(True, False)]
    assert [kind for kind, *_ in run.divergences()].count("new") == (not first)


def test_a_recorded_call_is_answered_as_recorded_when_a_mock_that_does_not_fit_is_taken_back(start):
    """Until then nobody has answered it."""
    run = start(parse_mock("search.result.temp.deep=1"))
    run.made.call("search", {"q": "x"})
    with pytest.raises(DebugError):
        run.reply()
    assert (run.summarize().overridden, run.summarize().exact) == (0, 0)
    run.overrides.remove("search")
    assert run.again()["answer"] == 7
    assert (run.summarize().overridden, run.summarize().exact) == (0, 1)


def test_a_mock_at_a_strict_stop_stands_in_place_of_a_tool_that_would_be_run(start):
    """As it does from the start."""
    run = start(strict=True, run_tools=frozenset({"search"}))
    run.made.call("search", {"q": "y"})
    with pytest.raises(CannotGoOnError):
        run.reply()
    run.overrides.add(parse_mock("search:9"))
    assert run.again() == {"answer": 9, "outputs": {"result": 9}}
    assert [(match.overridden, match.real) for match in run.run.matches()] == [(True, False)]


@pytest.mark.parametrize(("fault", "runs"), [("search:timeout", False), ("search:latency:2s", True)])
def test_a_fault_reaches_a_tool_that_is_to_be_run(start, fault, runs):
    """An error stands in its place; one that is late is run, later."""
    run = start(parse_fault(fault), run_tools=frozenset({"search"}))
    run.made.call("search", {"q": "x"})
    reply = run.reply()
    assert "fault" in reply
    assert reply.get("run", False) is runs
    assert run.summarize().overridden == (not runs)


@pytest.mark.parametrize("override", [parse_mock('search:"mine"'), parse_fault("search:timeout")])
@pytest.mark.parametrize("first", [True, False])
def test_what_the_user_answers_was_no_guess(start, override, first):
    """The recorded call itself may still come, and nothing has gone wrong."""
    run = start(*([override] if first else []), strict=True)
    run.made.ask("first")
    run.reply()
    run.made.call("search", {"q": "y"})
    if not first:
        with pytest.raises(CannotGoOnError):
            run.reply()
        run.overrides.add(override)
    run.again() if not first else run.reply()
    run.overrides.remove()
    run.made.call("search", {"q": "x"})
    assert run.reply()["answer"] == 7
    assert run.ambiguous == []
    assert "order" not in [kind for kind, *_ in run.divergences()]


@pytest.mark.parametrize("again_first", [False, True])
def test_what_the_user_answers_at_a_stop_is_not_out_of_order(start, again_first):
    """A call that was taken for a recorded one, out of turn, is a new one; others that came late are still told."""
    run = start(strict=True)
    run.made.ask("second")
    with pytest.raises(CannotGoOnError):
        run.reply()
    run.again()
    if again_first:
        run.made.ask("first")
        run.reply()
    run.made.call("search", {"q": "y"})
    with pytest.raises(CannotGoOnError):
        run.reply()
    run.overrides.add(parse_mock('search:"mine"'))
    assert run.again()["answer"] == "mine"
    order = [found.recorded.number for found in run.run.divergences(ended=False) if found.kind == "order"]
    assert order == ([1] if again_first else [])


def test_a_call_that_the_user_answers_at_a_stop_leaves_the_order_of_the_others(listed, boundary_events):
    """What comes after it is compared with what came before it."""
    made = boundary_events()
    for name in ("one", "two", "three"):
        made.give(made.call(name, {"n": 1}), name, name)
    run = Run(read_recorded(listed(made.events)), boundary_events(), strict=True)

    def call(name, number, *override):
        run.made.call(name, {"n": number})
        with pytest.raises(CannotGoOnError):
            run.reply()
        for mock in override:
            run.overrides.add(mock)
        run.again()

    call("two", 1)
    call("three", 2, parse_mock("three:3"))
    run.made.call("one", {"n": 1})
    run.reply()
    (found,) = (one for one in run.run.divergences(ended=False) if one.kind == "order")
    assert (found.number, found.recorded.number) == (1, 1)


def test_a_guess_at_a_strict_stop_that_was_wrong_is_ambiguous(start):
    """Whoever goes on there has taken the recorded answer, which then is asked for in its own words."""
    run = start(strict=True)
    run.made.ask("first")
    run.reply()
    run.made.call("search", {"q": "y"})
    with pytest.raises(CannotGoOnError):
        run.reply()
    assert run.again()["answer"] == 7
    run.made.call("search", {"q": "x"})
    run.reply()
    assert run.ambiguous == [2]


def test_a_recorded_call_that_is_answered_at_a_stop_keeps_its_place_in_the_order(listed, boundary_events):
    """And of the calls before it nothing changes."""
    made = boundary_events()
    made.say(made.ask("first"), "one")
    made.give(made.call("key", {}), "key", "[REDACTED:key]")
    made.say(made.ask("second"), "two")
    run = Run(read_recorded(listed(made.events)), boundary_events())
    run.made.ask("second")
    run.reply()
    run.made.call("key", {})
    with pytest.raises(CannotGoOnError):
        run.reply()
    run.overrides.add(parse_mock('key:"kitten"'))
    run.again()
    run.made.ask("first")
    run.reply()
    assert [match.overridden for match in run.run.matches()] == [False, True, False]
    (found,) = run.run.divergences(ended=True)
    assert (found.kind, found.recorded.number) == ("order", 1)


def test_latency_keeps_no_request_from_the_network_behind_a_fork(start):
    """It is made for real, and late."""
    run = start(parse_fault("llm:latency:1s"), live_from=5)
    run.made.ask("first")
    assert "http" in run.reply()
    run.made.call("search", {"q": "x"})
    run.reply()
    run.made.ask("second")
    reply = run.reply()
    assert (reply["run"], reply["fault"]["kind"]) == (True, "latency")


def test_a_mock_and_latency_are_told_together(start):
    """The answer is the user's, and it comes later."""
    run = start(parse_mock("search:1"), parse_fault("search:latency:2s"))
    run.made.call("search", {"q": "x"})
    assert run.reply() == {
        "fault": {"kind": "latency", "delay_ms": 2000.0},
        "answer": 1,
        "outputs": {"result": 1},
    }


def test_latency_alone_comes_to_the_recorded_answer(start):
    """The answer is the recorded one."""
    run = start(parse_fault("search:latency:2s"))
    run.made.call("search", {"q": "x"})
    reply = run.reply()
    assert (reply["answer"], reply["fault"]["kind"]) == (7, "latency")


def test_an_error_leaves_the_recorded_answer_for_the_next_attempt(start):
    """A retry asks the same and gets it."""
    run = start(parse_fault("search@1:error:ValueError:no"))
    run.made.call("search", {"q": "x"})
    assert run.reply() == {"fault": {"kind": "error", "error_type": "ValueError", "message": "no"}}
    run.made.call("search", {"q": "x"})
    assert run.reply()["answer"] == 7


def asked_for_a_token(made):
    """An authorization server is asked, whose address is that of every test."""
    asked = {"method": "POST", "url": "http://example.org/token", "hash": "h"}
    return made.add(
        "http_exchange_start", "http", inputs={"body": "grant_type=x"}, metadata={"exchange": asked}
    )


@pytest.mark.parametrize(
    ("body", "plan", "goes_on"),
    [
        ({"access_token": "[REDACTED:key]", "token_type": "Bearer", "expires_in": 5}, {}, True),
        ({"access_token": "[REDACTED:key]", "token_type": "Bearer"}, {"live_from": 9}, False),
        (
            {"access_token": "[REDACTED:key]", "token_type": "Bearer"},
            {"run_tools": frozenset({"t"})},
            False,
        ),
        ({"access_token": "[REDACTED:key]"}, {}, False),
        (
            {"access_token": "[REDACTED:key]", "token_type": "Bearer", "id_token": "[REDACTED:jwt]"},
            {},
            False,
        ),
    ],
)
def test_a_token_that_a_program_only_passes_on_may_be_missing(listed, boundary_events, body, plan, goes_on):
    """The stand-in is given where nobody will see it; else, and where the program may read what is missing, the run stops."""
    made = boundary_events()
    start = asked_for_a_token(made)
    exchange = {"status": 200, "headers": {"content-type": "application/json"}}
    made.add(
        "http_exchange_end",
        "http",
        start,
        outputs={"status": 200, "body": body},
        metadata={"exchange": exchange},
    )
    run = Run(read_recorded(listed(made.events)), boundary_events(), **plan)
    asked_for_a_token(run.made)
    if not goes_on:
        with pytest.raises(CannotGoOnError, match="a secret in the answer was redacted"):
            run.reply()
        return
    (piece,) = run.reply()["http"]["pieces"]
    assert json.loads(base64.b64decode(piece)) == body


def test_a_tool_that_is_run_tells_its_other_result(start):
    """As a divergence of its own kind, with both results."""
    run = start(run_tools=frozenset({"search"}))
    call = run.made.call("search", {"q": "x"})
    assert run.reply() == {"run": True}
    run.made.give(call, "search", 8)
    run.run.observe(2, run.made.events[-1])
    assert ("result", 1, 3) in run.divergences()


def test_what_a_tool_asks_that_is_run_goes_out(start, boundary_events):
    """Its requests to other servers, what the recording does not hold, and the processes it starts."""
    run = start(run_tools=frozenset({"all"}))
    call = run.made.call("search", {"q": "x"})
    run.reply()
    run.made.add(
        "http_exchange_start",
        "http",
        call,
        component_name="example.org",
        inputs={"method": "GET", "url": "http://example.org/"},
        metadata={"exchange": {"method": "GET", "url": "http://example.org/", "hash": "h"}},
    )
    assert run.reply() == {"run": True}
    run.made.ask("something new", parent=call, chain=("app.py:search",))
    assert run.reply() == {"run": True}
    run.made.ask("second", parent=call)
    assert "http" in run.reply()
    run.made.add("trace_start", "app", call, metadata={})
    assert run.reply() == {"run": True}
    run.made.add("trace_start", "app", metadata={})
    assert run.reply() == {}


def test_from_the_first_live_call_on_models_and_tools_run_for_real(start):
    """A call that the trace holds before that event is still answered, as another task may make it."""
    run = start(live_from=5)
    run.made.ask("first")
    assert "live" not in run.reply()
    run.made.ask("second")
    assert run.reply() == {"live": True, "run": True}
    run.made.ask("anything")
    assert run.reply() == {"run": True}
    run.made.call("search", {"q": "x"})
    assert run.reply()["answer"] == 7
    run.made.call("search", {"q": "other"})
    assert run.reply() == {"run": True}
    assert run.run.seen.live_since == 2


def test_a_tool_at_the_event_is_the_first_live_call(start):
    """Also with other arguments: its recorded answer is no guess."""
    run = start(live_from=3)
    run.made.ask("first")
    run.reply()
    run.made.call("search", {"q": "other"})
    assert run.reply() == {"live": True, "run": True}
    assert run.divergences() == []


def test_a_live_part_that_is_never_reached_is_reported(start):
    """The program ended before it, so nothing was tried."""
    run = start(live_from=9)
    run.made.ask("first")
    run.reply()
    assert list(run.run.unused_names()) == [
        "--live-from 9 was never reached: every call of the program came before it"
    ]


def test_a_trace_of_somebody_else_runs_only_the_calls_that_were_shown(start):
    """Any other tool call is refused in the live part, unless the user names the tool."""
    hosts = SuppliedHosts((), lambda: (), {})
    run = start(live_from=3, supplied=hosts)
    run.made.ask("first")
    run.reply()
    run.made.call("search", {"q": "x"})
    assert run.reply() == {"live": True, "run": True}
    run.made.call("search", {"q": "other"})
    with pytest.raises(CannotGoOnError, match=r"the question did not show it.*--run-tools search"):
        run.reply()
    named = start(live_from=3, supplied=hosts, run_tools=frozenset({"search"}))
    named.made.ask("first")
    named.reply()
    named.made.call("search", {"q": "other"})
    assert named.reply() == {"live": True, "run": True}


def test_what_a_guess_has_taken_before_a_fork_is_not_asked_for_real(start):
    """The question is the recorded one, and the guess is ambiguous."""
    run = start(live_from=5)
    run.made.ask("first, but otherwise")
    run.reply()
    run.made.ask("first")
    assert "http" in run.reply()
    assert run.ambiguous == [1]


def test_what_is_behind_a_fork_is_not_missing(start):
    """And what was asked for real is no divergence; everything before it counts."""
    run = start(live_from=5)
    run.made.ask("second")
    run.reply()
    run.made.ask("new", chain=("app.py:other",))
    assert run.reply() == {"run": True}
    run.made.ask("first, but otherwise")
    assert run.reply() == {"run": True}
    assert run.divergences() == [("missing", 0, 1), ("missing", 0, 3)]
    assert run.run.seen.real == {1, 2, 3}


@pytest.mark.parametrize(("live_from", "asked_before"), [(3, 1), (9, 3)], ids=["at the fork", "at the end"])
def test_a_new_call_is_asked_for_real_where_all_before_the_fork_has_been_asked(
    start, live_from, asked_before
):
    """Whatever the recording holds there, also where it holds nothing more."""
    run = start(live_from=live_from)
    begin = (
        lambda: run.made.ask("first"),
        lambda: run.made.call("search", {"q": "x"}),
        lambda: run.made.ask("second"),
    )
    for each in begin[:asked_before]:
        each()
        assert "run" not in run.reply()
    run.made.ask("new", chain=("app.py:other",))
    assert run.reply() == {"live": True, "run": True}


def test_a_mock_stands_behind_a_fork_too(start):
    """What the user answers is not asked for real."""
    run = start(parse_mock('llm:"mine"'), live_from=1)
    run.made.ask("first")
    reply = run.reply()
    assert "answer" in reply
    assert "run" not in reply


def test_a_stop_names_what_the_recording_holds_first(start):
    """With `strict`, what was left out; else the question that it may have become."""
    answer = []
    for change in ("second", "first, but otherwise"):
        run = start(strict=True)
        run.made.ask(change)
        with pytest.raises(CannotGoOnError) as problem:
            run.reply()
        answer.append(problem.value.stop.recorded.number)
    assert answer == [1, 1]
    run = start(strict=True)
    run.made.ask("first")
    run.reply()
    run.made.call("search", {"q": "y"})
    with pytest.raises(CannotGoOnError) as problem:
        run.reply()
    assert problem.value.stop.recorded.number == 3


def test_an_answer_of_the_users_to_a_new_call_is_no_guess(start):
    """Nothing of the recording is given there."""
    run = start(parse_mock("other:1"))
    run.made.call("other", {})
    run.reply()
    assert run.guesses == 0


def test_a_new_call_before_the_fork_is_not_asked_for_real(start):
    """The recording still holds something before it that was not asked."""
    run = start(live_from=5)
    run.made.ask("something new", chain=("app.py:other",))
    with pytest.raises(CannotGoOnError):
        run.reply()


def test_strict_stops_at_the_first_divergence_and_a_debugger_may_go_on(start):
    """Asked again, the call gets its answer."""
    run = start(strict=True)
    run.made.ask("first, but otherwise")
    with pytest.raises(CannotGoOnError, match="but the trace holds"):
        run.reply()
    assert "http" in run.run.reply(1, run.made.events[-1])


@pytest.mark.parametrize("tasks", [("Task-1", "Task-2"), ("", "")], ids=["told apart", "not told apart"])
def test_parallel_answers_are_given_in_turn(listed, boundary_events, tasks):
    """The word says that the parts have an order, which the run is asked for; tasks of Trio have no names."""
    made = boundary_events()
    one, two = made.ask("one", task=tasks[0]), made.ask("two", task=tasks[1])
    made.say(two, "two")
    made.say(one, "one")
    run = Run(read_recorded(listed(made.events)), boundary_events())
    first = run.made.ask("one", task=tasks[0])
    assert run.reply()["ordered"] is True
    assert not run.run.may_end(first, 0.0)
    second = run.made.ask("two", task=tasks[1])
    run.reply()
    assert not run.run.may_end(first, 0.0)
    assert run.run.may_end(second, 0.0)
    assert run.run.may_end(first, 0.0)
    assert run.run.may_end("unknown", 0.0)


@pytest.mark.parametrize(
    ("kind", "may"),
    [
        ("answered", False),
        ("mocked", True),
        ("given up", True),
        ("a tool that is run", True),
        ("inside a tool", True),
    ],
)
def test_nobody_waits_for_what_comes_in_no_parts(listed, boundary_events, kind, may):
    """What the user gives, what was given up, what is run for real, and what is inside a tool that was answered."""
    made = boundary_events()
    is_tool = "tool" in kind

    def begin(made):
        return made.call("search", {}, task="Task-1") if is_tool else made.ask("one", task="Task-1")

    one, two = begin(made), made.ask("two", task="Task-2")
    if is_tool:
        made.say(made.ask("inside", parent=one, task="Task-1", chain=("app.py:search",)), "inside")
        made.give(one, "search", 7)
    else:
        made.say(one, "one", status="cancelled" if kind == "given up" else "completed")
    made.say(two, "two")
    override = [parse_mock('llm@1:"mine"')] if kind == "mocked" else []
    tools = frozenset({"search"} if kind == "a tool that is run" else ())
    run = Run(read_recorded(listed(made.events)), boundary_events(), override, run_tools=tools)
    first = begin(run.made)
    run.reply()
    second = run.made.ask("two", task="Task-2")
    run.reply()
    if kind == "inside a tool":
        run.made.give(first, "search", 7)
        run.run.observe(len(run.made.events), run.made.events[-1])
    if kind == "a tool that is run":
        run.made.ask("inside", task="Task-1", chain=("app.py:search",))
        inside = run.made.events[-1]["event_id"]
        run.reply()
        assert run.run.may_end(inside, 0.0)
    assert run.run.may_end(second, 0.0) is may


def test_an_answer_waits_until_the_calls_before_it_have_begun(listed, boundary_events):
    """And no longer, where they go on behind it."""
    made = boundary_events()
    one, two = made.call("search", {}, task="Task-1"), made.ask("two", task="Task-2")
    made.say(two, "two")
    made.give(one, "search", 7)
    run = Run(read_recorded(listed(made.events)), boundary_events())
    second = run.made.ask("two", task="Task-2")
    run.reply()
    assert not run.run.may_end(second, 0.0)
    run.made.call("search", {}, task="Task-1")
    run.reply()
    assert run.run.may_end(second, 0.0)


def test_an_answer_that_the_program_leaves_before_its_end_keeps_nobody_waiting(listed, boundary_events):
    """As an SDK does that closes a stream behind its last words. What comes after it goes without losing patience."""
    made = boundary_events()
    one, two = made.ask("one", task="Task-1"), made.ask("two", task="Task-2")
    made.say(one, "one")
    made.say(two, "two")
    run = Run(read_recorded(listed(made.events)), boundary_events())
    first = run.made.ask("one", task="Task-1")
    run.reply()
    second = run.made.ask("two", task="Task-2")
    run.reply()
    assert not run.run.may_end(second, 0.0)
    run.made.say(first, "one")
    run.run.observe(len(run.made.events), run.made.events[-1])
    assert run.run.may_end(second, 0.0)
    assert run.divergences() == []


def test_a_call_in_which_the_recording_ends_ends_the_run(listed, boundary_events):
    """Nothing was ever answered there."""
    made = boundary_events()
    made.ask("first")
    run = Run(read_recorded(listed(made.events)), boundary_events())
    run.made.ask("first")
    with pytest.raises(CannotGoOnError) as problem:
        run.reply()
    assert problem.value.stop.kind == "open"
    assert describe_unanswered(problem.value.stop).endswith("the trace ends inside this call, at event 1")


def unended(made, kind):
    """A call that never ended, and what came after it."""
    if kind == "inside it":
        call = made.call("search", {}, task="Task-1")
        made.say(made.ask("inside", parent=call, task="Task-1"), "one")
    else:
        made.ask("first", task="Task-1")
    task = "Task-1" if kind == "behind it" else "Task-2"
    for change in ("second", "third"):
        made.say(made.ask(change, task=task), change)


@pytest.mark.parametrize("kind", ["beside it", "inside it", "behind it"])
def test_a_call_that_never_ended_is_waited_for_in_vain_unless_its_end_was_lost(listed, boundary_events, kind):
    """Its end was lost where its line of work went on behind it; then the run stops, and says so."""
    made = boundary_events()
    unended(made, kind)
    run = Run(read_recorded(listed(made.events)), boundary_events())
    if kind == "inside it":
        run.made.call("search", {}, task="Task-1")
    else:
        run.made.ask("first", task="Task-1")
    if kind == "behind it":
        with pytest.raises(CannotGoOnError, match="the end of the call is missing in the trace"):
            run.reply()
        return
    reply = run.reply()
    assert reply.get("http", reply)["given_up"] is True


def test_a_call_that_was_given_up_by_an_interrupt_ends_the_run(listed, boundary_events):
    """Nobody interrupts the re-run. A call that was cancelled before another one was asked is one that the program gave up."""
    made = boundary_events()
    made.say(made.ask("first"), None, status="cancelled")
    made.say(made.ask("second"), None, status="cancelled")
    made.add("error_occurred", "app", error_type="KeyboardInterrupt", metadata={"uncaught": True})
    run = Run(read_recorded(listed(made.events)), boundary_events())
    run.made.ask("first")
    assert run.reply()["http"]["given_up"]
    run.made.ask("second")
    with pytest.raises(CannotGoOnError, match="the trace ends inside this call, at event 3"):
        run.reply()


def no_server():
    """Return that the program runs no server."""
    return ""


def silent(made, *seconds):
    """Set the times of events, so that the trace has these silences."""
    at = 100.0
    for event, time in zip(made.events, (0.0, *seconds), strict=True):
        at += time
        event["timestamp"] = at


@pytest.mark.parametrize(
    ("recorded", "allowed"), [((1.0, 1.0), 11.0), ((1.0, 12.0), 22.0), ((1.0, 200.0), 300.0)]
)
def test_a_program_that_does_nothing_for_longer_than_ever_is_stopped(
    listed, boundary_events, recorded, allowed
):
    """The limit comes on top of the longest silence in the trace, and half of a long one."""
    made = boundary_events()
    made.say(made.ask("first"), "one")
    made.add("agent_message", "agent")
    silent(made, *recorded)
    run = Run(read_recorded(listed(made.events)), boundary_events(), hang_seconds=10.0).run
    run.check_silence(allowed - 0.1, no_server)
    with pytest.raises(RerunError, match="the setting hang_seconds lets it wait longer"):
        run.check_silence(allowed, no_server)
    Run(read_recorded(listed(made.events)), boundary_events()).run.check_silence(9999.0, no_server)


def test_a_server_that_waits_for_requests_from_outside_is_named(start):
    """The line has its place, and what to do."""
    run = start(hang_seconds=1.0).run
    with pytest.raises(
        RerunError, match=r"app\.py:3 listens on port 80, and a re-run does not repeat requests"
    ):
        run.check_silence(60.0, lambda: "app.py:3 listens on port 80")


def test_a_program_that_makes_real_calls_takes_its_time(start):
    """A tool that runs, and a live part, may take longer than when they were recorded."""
    run = start(run_tools=frozenset({"search"}), hang_seconds=1.0)
    call = run.made.call("search", {"q": "x"})
    run.reply()
    run.run.check_silence(9999.0, no_server)
    run.made.give(call, "search", 7)
    run.run.observe(2, run.made.events[-1])
    with pytest.raises(RerunError):
        run.run.check_silence(9999.0, no_server)
    live = start(live_from=1, hang_seconds=1.0)
    live.made.ask("first")
    live.reply()
    live.run.check_silence(9999.0, no_server)


def test_a_program_that_waits_for_an_answer_that_was_never_recorded_is_stopped_there(listed, boundary_events):
    """It waits at a call that it had cancelled; once it has cancelled it again, it may go on."""
    made = boundary_events()
    made.say(made.ask("first", task="Task-1"), None, status="cancelled")
    run = Run(read_recorded(listed(made.events)), boundary_events(), hang_seconds=1.0)
    first = run.made.ask("first", task="Task-1")
    run.reply()
    with pytest.raises(
        CannotGoOnError, match="the program abandoned this call when it was recorded, at event 1"
    ):
        run.run.check_silence(60.0, no_server)
    run.made.say(first, None, status="cancelled")
    run.run.observe(2, run.made.events[-1])
    with pytest.raises(RerunError, match="the program has done nothing"):
        run.run.check_silence(60.0, no_server)


# --- what else a run tells


def test_what_a_run_says_of_itself_is_kept(start):
    """Of its processes the first; each way to the network that was refused; and what it read that is not recorded."""
    run = start()

    def tell(event_type, **fields):
        run.made.add(event_type, None, **fields)
        run.run.observe(len(run.made.events), run.made.events[-1])

    tell("trace_start", metadata={"process": 0})
    tell("trace_start", metadata={"process": 1})
    tell("trace_end", metadata={"status": "completed"})
    run.made.events[-1]["event_id"] = "p1.4"
    run.run.observe(3, run.made.events[-1] | {"metadata": {"status": "of a child"}})
    tell("divergence", outputs={"to": "example.org"})
    tell("log_record")
    for times in (2, 1, "damaged"):
        tell("inputs_read", metadata={"new": {"clock": {"app.py:7": times}}})
    seen = run.run.seen
    assert (seen.first, seen.last) == ({"process": 0}, {"status": "completed"})
    assert [event["outputs"] for event in seen.refused] == [{"to": "example.org"}]
    assert seen.new_inputs == {("clock", "app.py:7"): 3}


@pytest.mark.parametrize(
    ("ask", "call"),
    [
        (lambda made: made.call("search", {"q": "new"}), "search@2"),
        (lambda made: made.call("my tool", {}), '"my tool"'),
        (lambda made: made.ask("new", chain=("app.py:other",)), "llm@2"),
    ],
)
def test_a_call_that_waits_is_named_as_a_mock_names_it(start, ask, call):
    """By the how manieth of its kind it is, or of its name; a name that is no word is quoted."""
    run = start()
    run.made.ask("first")
    run.reply()
    run.made.call("search", {"q": "x"})
    run.reply()
    ask(run.made)
    with pytest.raises(CannotGoOnError) as problem:
        run.reply()
    assert problem.value.stop.call == call


def test_a_recorded_result_that_the_program_cannot_make_is_told(listed, boundary_events):
    """It is a divergence of the result."""
    made = boundary_events()
    made.give(made.call("row", {}), "row", 7)
    run, again = Attempt(Plan(read_recorded(listed(made.events))), None), boundary_events()
    call = again.call("row", {})
    run.reply(1, again.events[0])
    again.give(call, "row", None, metadata={"not_made": "app.Row"})
    run.observe(2, again.events[1])
    (found,) = run.divergences(ended=True)
    assert (found.kind, found.number, found.recorded.number) == ("result", 1, 1)
    assert found.difference.paths[0][:2] == ("$.result", "changed")
    assert found.difference.paths[0].old == "app.Row"


def test_the_end_of_a_tool_that_was_answered_tells_no_divergence(start):
    """Whatever it holds: the value is the recorded one. An end of which nobody knows the beginning tells nothing either."""
    run = start()
    call = run.made.call("search", {"q": "x"})
    run.reply()
    for start_id, metadata in ((call, {}), ("99", {"not_made": "app.Row"})):
        run.made.give(start_id, "search", 7, metadata=metadata)
        run.run.observe(len(run.made.events), run.made.events[-1])
    assert run.run.divergences(ended=False) == ()


def test_a_member_of_a_recorded_answer_is_given_with_the_rest_of_it(listed, boundary_events):
    """Which is read from the recording."""
    made = boundary_events()
    made.give(made.call("search", {}), "search", {"t": 0, "v": 9})
    run = Run(read_recorded(listed(made.events)), boundary_events(), [parse_mock("search.result.t=3")])
    run.made.call("search", {})
    assert run.reply()["answer"] == {"t": 3, "v": 9}


def test_what_follows_from_another_result_of_a_tool_names_it(start):
    """As what follows from a mock does; from the recorded result nothing follows."""
    for result, mocked in ((8, (1,)), (7, ())):
        run = start(run_tools=frozenset({"search"}))
        call = run.made.call("search", {"q": "x"})
        run.reply()
        run.made.give(call, "search", result)
        run.run.observe(2, run.made.events[-1])
        run.made.ask("first, but otherwise")
        run.reply()
        run.made.ask("never asked", chain=("app.py:other",))
        with pytest.raises(CannotGoOnError):
            run.reply()
        (new,) = (found for found in run.run.divergences(ended=False) if found.kind == "new")
        assert new.mocked == mocked
        assert [match.how for match in run.run.matches()][1] == ("after_override" if mocked else "changed")


def test_what_is_asked_deep_inside_a_tool_that_is_run_goes_out_until_the_tool_ends(start):
    """In spans of the program inside it as well, and no more behind its end."""
    run = start(run_tools=frozenset({"search"}))
    address = {"method": "GET", "url": "http://example.org/", "hash": "h"}

    def get(parent):
        run.made.add("http_exchange_start", "http", parent, metadata={"exchange": address})
        return run.reply()

    call = run.made.call("search", {"q": "x"})
    run.reply()
    inner = run.made.add("chain_step_start", "chain", call)
    run.run.observe(2, run.made.events[-1])
    assert get(inner) == {"run": True}
    beside = run.made.add("chain_step_start", "chain")
    run.run.observe(len(run.made.events), run.made.events[-1])
    with pytest.raises(CannotGoOnError):
        get(beside)
    for start_id in (inner, call):
        run.made.give(start_id, "search", 7)
        run.run.observe(len(run.made.events), run.made.events[-1])
    for parent in (inner, call):
        with pytest.raises(CannotGoOnError):
            get(parent)


def test_what_the_package_or_a_tool_that_is_run_asks_by_itself_is_not_missing(listed, boundary_events):
    """The tools of an MCP server, and other servers from inside of the tool; everything else is."""
    made = boundary_events()
    address = {"method": "GET", "url": "http://example.org/", "hash": "h"}
    call = made.call("search", {"q": "x"})
    made.add("http_exchange_start", "http", call, metadata={"exchange": address})
    made.ask("inside", parent=call, chain=("app.py:search",))
    made.give(call, "search", 7)
    for name in ("tools/list", "prompts/list"):
        made.add("mcp_start", "mcp", component_name=name, metadata={"mcp": {}})
    made.add("http_exchange_start", "http", metadata={"exchange": address | {"hash": "other"}})
    run = Run(read_recorded(listed(made.events)), boundary_events(), run_tools=frozenset({"search"}))
    run.made.call("search", {"q": "x"})
    run.reply()
    assert run.divergences() == [("missing", 0, number) for number in (3, 6, 7)]


def test_each_process_is_told_once_that_the_recording_counts_no_more(start):
    """At the first event at which it waits, of whatever kind."""
    run = start(live_from=3)
    run.made.ask("second")
    assert run.reply() == {"live": True, "run": True}
    words = []
    for event_id in ("p2.1", "p2.2", "p3.1", "9"):
        run.made.add("log_record", "log")
        run.made.events[-1]["event_id"] = event_id
        words.append(run.reply())
    assert words == [{"live": True}, {}, {"live": True}, {}]


def test_streams_of_two_tasks_end_in_recorded_order(listed, boundary_events):
    """An end waits for its turn, and no longer than the run is ready to wait."""
    made = boundary_events()
    one, two = made.ask("one", task="Task-1", stream=True), made.ask("two", task="Task-2", stream=True)
    for start in (one, two):
        made.add("stream_chunk", "llm", start, outputs={"text": "x"}, metadata={"index": 0})
    for start in (one, two):
        exchange = {"status": 200, "headers": {}, "chunks": 1}
        made.add("llm_call_end", "llm", start, outputs={"text": "x"}, metadata={"exchange": exchange})
    run = Run(read_recorded(listed(made.events)), boundary_events())
    first = run.made.ask("one", task="Task-1", stream=True)
    run.reply()
    second = run.made.ask("two", task="Task-2", stream=True)
    run.reply()

    assert not run.run.may_end(second, 0.0)
    assert run.run.may_end(second, 9.0)
    assert run.run.may_end(first, 0.0)


def test_answers_take_their_time_where_that_is_wanted(start):
    """As long as they took when they were recorded."""
    for realtime in (False, True):
        run = start(realtime=realtime)
        run.made.ask("first")
        assert ("delays" in run.reply()["http"]) is realtime


def test_a_call_that_the_program_ceased_to_wait_for_takes_its_time(listed, boundary_events):
    """Other calls are answered at once."""
    made = boundary_events()
    made.say(made.ask("fast"), "fast")
    made.say(made.ask("slow", thread="pool_0"), "slow")
    made.events.insert(3, {"event_type": "exception_handled", "event_id": "9", "error_type": "TimeoutError"})
    run = Run(read_recorded(listed(made.events)), boundary_events())
    run.made.ask("fast")
    assert "delays" not in run.reply()["http"]
    run.made.ask("slow", thread="pool_0")
    assert "delays" in run.reply()["http"]


def test_a_run_is_stuck_where_a_recorded_answer_cannot_be_given(listed, boundary_events):
    """Not where the recording holds none, or where it is only not to be given because of `strict`."""
    made = boundary_events()
    made.give(made.call("key", {}), "key", "[REDACTED:key]")
    made.give(made.call("search", {"q": "x"}), "search", 7)
    recorded = read_recorded(listed(made.events))
    stuck = []
    for name, strict in (("key", False), ("other", False), ("search", True)):
        run = Run(recorded, boundary_events(), strict=strict)
        run.made.call(name, {})
        with pytest.raises(CannotGoOnError):
            run.reply()
        stuck.append(run.run.is_stuck())
    assert stuck == [True, False, False]


# --- servers of tools


def connection(made, command, *, parent=None):
    """The start of a connection to an MCP server; its id."""
    return made.add(
        "mcp_start",
        "mcp",
        parent,
        component_name="connect",
        inputs={"command": command},
        metadata={"mcp": {}},
    )


def asked_of(made, connected, name, kind="mcp", **fields):
    """The start of a question to the server behind a connection; its id."""
    return made.add(
        f"{'tool_call' if kind == 'tool' else kind}_start",
        kind,
        component_name=name,
        metadata={"mcp": {"connection": connected}, "chain": ["app.py:main"]},
        **fields,
    )


@pytest.fixture
def served(listed, boundary_events):
    """A recording of a program that asks two MCP servers: of one the tool is listed, of the other it is called."""
    made = boundary_events()
    lists, calls = connection(made, "/usr/bin/lists"), connection(made, "/usr/bin/calls")
    made.add("mcp_end", "mcp", lists, status="completed", outputs={})
    made.add("mcp_end", "mcp", calls, status="completed", outputs={})
    listing = asked_of(made, lists, "tools/list")
    made.add(
        "mcp_end", "mcp", listing, status="completed", outputs={"result": {"tools": [{"name": "weather"}]}}
    )
    made.give(asked_of(made, calls, "search", "tool", inputs={"arguments": {}}), "search", 7)
    return read_recorded(listed(made.events))


@pytest.mark.parametrize(
    ("tools", "runs"),
    [({"weather"}, {"lists"}), ({"search"}, {"calls"}), ({"all"}, {"lists", "calls"}), ({"other"}, set())],
)
def test_the_server_of_a_tool_that_is_run_is_started(served, boundary_events, tools, runs):
    """It is known by the tools that it listed or that were called; what else it is asked is asked of it."""
    run = Run(served, boundary_events(), run_tools=frozenset(tools))
    for name in ("lists", "calls"):
        connected = connection(run.made, f"/elsewhere/{name}")
        assert run.reply().get("run", False) is (name in runs)
        run.made.add("mcp_end", "mcp", connected, status="completed", outputs={})
        run.run.observe(len(run.made.events), run.made.events[-1])
        asked_of(run.made, connected, "prompts/list")
        if name not in runs:
            with pytest.raises(CannotGoOnError):
                run.reply()
            continue
        assert run.reply() == {"run": True}
        run.made.add("trace_start", "app", connected, metadata={})
        assert run.reply() == {"run": True}
