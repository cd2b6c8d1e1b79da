"""The commands that say where the walk stops."""

from __future__ import annotations

import pytest

from namel3ss_debug.replay.debugger import breakpoints as stops_module
from namel3ss_debug.replay.debugger.interpreter import Debugger
from namel3ss_debug.replay.debugger.results import Mistake, Stopped, ValueChange


def numbers(session, *lines):
    """Where the walk stands after each line."""
    found = []
    for line in lines:
        session.execute(line)
        found.append(session.stepper.position)
    return found


def mistake(session, line):
    """The text of the one mistake that a line is."""
    (result,) = session.execute(line)
    assert isinstance(result, Mistake)
    return result.text


def rows(session, *columns):
    """Columns of the rows of `info breakpoints`."""
    return [
        tuple(getattr(row, column) for column in columns)
        for row in session.execute("info breakpoints")[0].rows
    ]


def test_continue_stops_at_breakpoints_and_at_the_end(session):
    """Forwards and backwards the same events are found; hits are counted."""
    assert session.execute("break llm:gpt-4o")[0].text == "breakpoint 1 at llm:gpt-4o"
    session.execute("break error")
    assert numbers(session, "c", "c", "c", "c") == [3, 7, 14, 16]
    assert numbers(session, "rc", "rc", "rc", "rc") == [14, 7, 3, 0]
    assert rows(session, "number", "hits", "kind") == [(1, 4, "break"), (2, 2, "break")]
    assert session.execute("b") == session.execute("info breakpoints") == session.execute("watch")


def test_a_stop_says_which_breakpoint(session, support):
    """The number and the place are in the result, and the recording's own event."""
    session.execute("b tool if retry_count == 1")
    assert session.execute("c") == [Stopped(8, support[7], "breakpoint", 16, 1, "tool if retry_count == 1")]
    assert session.execute("c")[0].reason == "end"


def test_without_breakpoints_continue_goes_to_the_edge(session):
    """Nothing stops the walk, either way."""
    assert numbers(session, "c", "rc") == [16, 0]


def test_a_temporary_breakpoint_stops_once(session):
    """It is gone after its hit."""
    assert session.execute("tbreak llm")[0].text == "temporary breakpoint 1 at llm"
    assert rows(session, "temporary") == [(True,)]
    assert numbers(session, "c", "c") == [3, 16]
    assert session.execute("tbreak")[0].rows == ()


def test_an_event_is_a_place_by_its_number(session):
    """As a line is in pdb, with or without a condition."""
    session.execute("b 9 ;; tb 12 ;; b 13 if state.turns == 2 ;; b 14, n == 1")
    assert numbers(session, "c", "c", "c", "c", "rc", "rc", "rc") == [9, 12, 13, 16, 13, 9, 0]
    assert mistake(session, "b 0") == "0: events are numbered from 1"


@pytest.mark.parametrize(
    ("number", "place", "stops"),
    [
        (3, "llm_call_start if component_name == 'gpt-4o'", [3, 14]),
        (7, "tool_call_end if component_name == 'search'", [7, 9]),
        (1, "trace_start", [1]),
    ],
)
def test_breakpoint_alone_is_here(session, number, place, stops):
    """Where the walk stands, by what the event is; with a place it is `break`."""
    assert session.execute(f"goto {number} ;; breakpoint")[1].text == f"breakpoint 1 at {place}"
    assert numbers(session, "restart", *["c"] * len(stops), "c") == [0, *stops, 16]
    assert session.execute("breakpoint error")[0].text == "breakpoint 2 at error"


@pytest.mark.parametrize("name", ["it's", 'a "b" if c, d', "é \N{GRINNING FACE} \x1b[2J", "x" * 5000, "\\"])
def test_breakpoint_here_takes_any_name(listed, name):
    """Whatever a recording calls things, the breakpoint stops there."""
    session = Debugger(
        listed([{"event_type": "decision", "component_name": name}, {"event_type": "a, b"}] * 2)
    )
    session.execute("goto 1 ;; breakpoint")
    assert numbers(session, "restart", "c") == [0, 1]
    session.execute("goto 2 ;; breakpoint")
    assert numbers(session, "goto 1", "c") == [1, 2]


def test_breakpoints_on_one_event_are_all_counted(session):
    """The first is the one that is told, the other ones have their hit."""
    session.execute("b error ;; b if n == 7 ;; tbreak /timed out/ ;; c")
    assert rows(session, "number", "hits") == [(1, 1), (2, 1)]


def test_conditions_ask_for_totals_and_state(session):
    """What has come together up to an event can stop the walk, in both directions."""
    session.execute("b if totals.cost > 0.3 and state.turns == 1")
    assert numbers(session, "c", "c", "rc", "rc") == [12, 16, 12, 0]
    session.execute("clear ;; b state_change if state.turns == 2")
    assert numbers(session, "c", "rc") == [13, 0]


def test_breakpoints_are_deleted_and_switched_off(session):
    """By number, by place, or all of them."""
    session.execute("b llm ;; b tool ;; b error ;; watch state.turns ;; watch n")
    assert session.execute("clear tool")[0].text == "deleted breakpoint 2"
    assert session.execute("disable 1, 4 5")[0].rows[0].enabled is False
    assert numbers(session, "c", "c") == [7, 16]
    session.execute("restart ;; enable")
    assert numbers(session, "c") == [1]
    assert session.execute("delete 5 4")[0].text == "deleted watches 5 4"
    assert mistake(session, "clear 9") == "there is no breakpoint 9; those set: 1 at llm, 3 at error"
    assert mistake(session, r"clear /\d/") == r"there is no breakpoint /\d/; those set: 1 at llm, 3 at error"
    assert session.execute("clear 3 1 3")[0].text == "deleted breakpoints 3 1"
    for line in ("clear", "disable", "enable", "ignore 1 2", "condition 1 n"):
        assert mistake(session, line) == "there are no breakpoints; 'break LOCATION' sets one"
    assert session.execute("b llm")[0].text == "breakpoint 6 at llm"


def test_a_condition_is_given_and_taken_later(session):
    """It takes the place of the one before, and is shown with the place."""
    session.execute("b llm if n > 3 ;; b 9 ;; watch totals.tokens ;; b if n == 5")
    assert (
        session.execute("condition 1 duration_ms > 5")[0].text
        == "breakpoint 1 stops at llm if duration_ms > 5"
    )
    session.execute("condition 2 tool == 'nowhere' ;; condition 3 n > 4 ;; condition 4 n == 6")
    assert rows(session, "location") == [
        ("llm if duration_ms > 5",),
        ("9 if tool == 'nowhere'",),
        ("totals.tokens if n > 4",),
        ("if n == 6",),
    ]
    assert numbers(session, "c", "c", "c", "c") == [6, 12, 15, 16]
    assert session.execute("condition 1")[0].text == "breakpoint 1 no longer has a condition"
    session.execute("condition 2 ;; condition 3 ;; disable 4")
    assert rows(session, "location")[:3] == [("llm",), ("9",), ("totals.tokens",)]
    assert numbers(session, "restart", *["c"] * 7) == [0, 3, 4, 9, 11, 12, 14, 16]
    session.execute("condition 4 ;; enable 4")
    assert rows(session, "location")[3] == ("if true",)
    assert numbers(session, "restart", "c") == [0, 1]
    assert mistake(session, "condition 1 n >").startswith("expression, column")
    assert mistake(session, "condition") == "write condition N EXPRESSION"
    assert mistake(session, "condition x n") == "'x' is not a number; write condition N EXPRESSION"
    assert "there is no breakpoint 9" in mistake(session, "condition 9 n")
    assert rows(session, "location")[0] == ("llm",)


def test_ignored_hits_pass(session):
    """So many times, whichever command passes them; they are counted."""
    session.execute("b if event_type == 'llm_call_start'")
    assert session.execute("ignore 1 2")[0].text == "the next 2 hits of breakpoint 1 will not stop"
    assert rows(session, "ignore") == [(2,)]
    assert numbers(session, "c", "rc", "rc") == [14, 11, 3]
    assert rows(session, "hits", "ignore") == [(5, 0)]
    assert session.execute("ignore 1 1")[0].text == "the next hit of breakpoint 1 will not stop"
    assert session.execute("ignore 1")[0].text == "breakpoint 1 stops at its next hit"
    assert numbers(session, "restart", "ignore 1 1", "step 9") == [0, 0, 9]
    assert rows(session, "hits", "ignore") == [(6, 0)]
    assert mistake(session, "ignore 1 x") == "'x' is not a number; write ignore N COUNT"


def test_a_watch_stops_where_the_value_changed(session):
    """At the event after which it is another, with both values; backwards at the one that set it last."""
    assert session.execute("watch state.turns")[0].text == "watch 1 on state.turns"
    stopped = session.execute("c")[0]
    assert (stopped.number, stopped.reason, stopped.breakpoint, stopped.location) == (
        10,
        "watch",
        1,
        "state.turns",
    )
    assert stopped.changed == ValueChange(None, 1)
    assert session.execute("c")[0].changed == ValueChange(1, 2)
    assert session.execute("c")[0].reason == "end"
    assert session.execute("rc")[0].changed == ValueChange(1, 2)
    assert numbers(session, "rc", "rc") == [10, 0]
    assert rows(session, "kind", "location", "hits") == [("watch", "state.turns", 4)]


def test_a_watch_may_ask_for_anything(session):
    """Totals, fields of the event, and breakpoints beside it; true is not 1."""
    session.execute("watch totals.cost ;; b 5 ;; watch outputs.turns")
    assert numbers(session, *["c"] * 8) == [4, 5, 10, 12, 13, 16, 16, 16]
    session.execute("clear ;; watch n > 3 and n ;; goto 3")
    assert session.execute("c")[0].changed == ValueChange(False, 4)
    session.execute("clear ;; watch n == 0 or 1")
    assert session.execute("restart ;; c")[1].changed == ValueChange(True, 1)


def test_a_watch_may_have_a_condition(session):
    """As in gdb, behind `if`; the `if` of an expression with `else` is its own."""
    assert session.execute("watch state.turns if n > 10")[0].text == "watch 1 on state.turns if n > 10"
    assert numbers(session, "c", "c") == [13, 16]
    session.execute(
        "clear ;; watch state.turns if state.turns else 0 ;; watch 1 if totals.errors else 0 if n > 3"
    )
    assert rows(session, "location") == [
        ("state.turns if state.turns else 0",),
        ("1 if totals.errors else 0 if n > 3",),
    ]
    assert numbers(session, "goto start ;; c", "c") == [7, 10]
    session.execute("""watch "a if b" + state.topic""")
    assert mistake(session, "watch n if").startswith("expression, column")


def test_a_watch_passes_events_without_the_field(listed):
    """The value is that of the latest event that has it, forwards and backwards; a null that is recorded is a value."""
    plain = {"event_type": "decision"}
    called = [
        {"event_type": "decision", "outputs": {"city": city}} for city in ("Oslo", "Oslo", "Rome", None)
    ]
    session = Debugger(
        listed([plain, called[0], plain, called[1], plain, called[2], plain, called[3], plain])
    )
    session.execute("watch outputs.city ;; watch tokens_used > 5")
    assert numbers(session, "c", "c", "c", "c") == [2, 6, 8, 9]
    assert [session.execute("rc")[0].changed for _ in range(3)] == [
        ValueChange("Rome", None),
        ValueChange("Oslo", "Rome"),
        ValueChange(None, "Oslo"),
    ]
    session.execute("goto 5")
    assert session.execute("c")[0].changed == ValueChange("Oslo", "Rome")


def test_a_watch_of_what_is_nested_too_deep_goes_on(listed):
    """Values that Python cannot compare are taken for changed."""
    deep = []
    for _ in range(100_000):
        deep = [deep]
    events = [{"event_type": "state_change", "outputs": {"x": [deep]}}, {"event_type": "decision"}]
    session = Debugger(listed([*events, {"event_type": "state_change", "outputs": {"x": [[*deep]]}}]))
    session.execute("watch state.x")
    assert session.execute("c")[0].number == 1


def test_there_are_only_so_many_breakpoints(session, monkeypatch):
    """A script that sets them without end is told."""
    monkeypatch.setattr(stops_module, "MOST_STOPS", 2)
    session.execute("b llm ;; b tool")
    assert mistake(session, "b error") == "2 breakpoints are set; clear some first"
    session.execute("clear 1")
    assert session.execute("watch n")[0].text == "watch 3 on n"
