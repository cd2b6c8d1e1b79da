"""Divergences in words, and that no text of a recording harms the screen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from namel3ss_debug.replay.rerun.divergences import Difference, Divergence, Match, difference_of, summarize
from namel3ss_debug.replay.rerun.outcomes import LiveChange, RerunOutcome
from namel3ss_debug.replay.rerun.recorded_calls import RecordedCall
from namel3ss_debug.replay.rerun.requests import Request
from namel3ss_debug.replay.rerun.tool_code import StaleTool
from namel3ss_debug.replay.rerun.unanswered import UnansweredCall
from namel3ss_debug.views.divergences import report_lines, report_rows
from namel3ss_debug.views.outcomes import verifying_command
from namel3ss_debug.views.payloads import json_bytes
from namel3ss_debug.wire.value_changes import PathChange


class Starts:
    """What the report asks of a recording: the start event of a boundary, and what the tools among them are called."""

    def __init__(self, said="where is it?", tools=()):
        self.said = said
        self.tools = dict(tools)

    @property
    def calls(self):
        """A tool at each of its numbers, and a model at any other."""
        made = {number: RecordedCall(number, request(number)) for number in range(40)}
        return made | {
            number: RecordedCall(number, request(number, name, kind="tool"))
            for number, name in self.tools.items()
        }

    def start(self, number):
        """The event."""
        message = {"role": "user", "parts": [{"type": "text", "content": self.said}]}
        return {
            "event_type": "llm_call_start",
            "event_id": str(number),
            "component": "llm",
            "component_name": "m",
            "inputs": {"messages": [message]},
        }


def request(number, name="gpt-4o", site="app.py:42", kind="llm"):
    """A question."""
    return Request(kind, name, (), call_site=site, number=number, event=Starts().start(number))


def changed(number=5, name="gpt-4o", old="plan a trip", new="plan a long trip"):
    """A question that was changed."""
    messages = [[{"role": "user", "parts": [{"type": "text", "content": text}]}] for text in (old, new)]
    difference = difference_of(
        "llm",
        {"messages": messages[0], "params": {"temperature": 0}},
        {"messages": messages[1], "params": {"temperature": 1}},
    )
    return Divergence(
        "changed", number, request(number, name), RecordedCall(7, request(7, name, "app.py:40")), difference
    )


def outcome(*divergences, matches=(), said="where is it?", tools=(), **fields):
    """What came of a run with these divergences."""
    given = {"status": 0, "recorded_status": 0, "stop": None, "problem": ""} | fields
    return RerunOutcome(
        Path("run.jsonl"), Path("again.jsonl"), divergences=divergences,
        summary=summarize(divergences, list(matches)), recorded=Starts(said, tools), **given,
    )  # fmt: skip


def lines(found, width=80):
    """The report as plain lines."""
    return [row.plain for row in report_lines(found, width)]


def test_a_run_without_divergence_is_three_lines():
    """The verdict, how it ended, and how it was answered."""
    found = outcome(matches=[Match(3, 3, "exact"), Match(5, 5, "exact")])
    assert lines(found) == [
        "The re-run matches the trace.",
        "  program   ended with status 0, as recorded",
        "  answered  2 as recorded",
    ]
    assert found.exit_status == 0


def test_a_changed_question_shows_both_sides_and_what_differs():
    """The line of code then and now, the words of the message, and the parameter."""
    told = lines(outcome(changed(), matches=[Match(5, 7, "changed"), Match(9, 9, "exact")]))
    assert told[:5] == [
        "changed  the request changed, and got the recorded answer",
        "  now       calls gpt-4o, app.py:42, event 5",
        "  recorded  calls gpt-4o, app.py:40, event 7",
        "  ~   1 user      plan a {+long +}trip",
        "  ~ params.temperature  0 -> 1",
    ]
    assert "  reconverges  at event 9, for 1 call, to the end" in told


def test_what_is_missing_and_what_came_too_early_are_told_by_their_words():
    """There is no difference to show, so the last message is shown."""
    missing = Divergence("missing", 0, None, RecordedCall(7, request(7)))
    order = Divergence(
        "order",
        3,
        request(3),
        RecordedCall(7, request(7)),
    )
    told = lines(outcome(order, missing, said="plan a trip"))
    assert "  ahead of  calls gpt-4o, app.py:42, event 7: plan a trip" in told
    assert "  now       no longer called" in told


@pytest.mark.parametrize(
    ("fields", "status", "verdict"),
    [
        ({"status": 1}, 1, "The re-run ended differently from the trace."),
        ({"status": 1, "recorded_status": 1}, 0, "The re-run matches the trace."),
        ({"status": 1, "recorded_status": None}, 0, "The re-run matches the trace."),
        (
            {"status": 1, "live_since": 5, "live_from": 4},
            1,
            "The re-run matches the trace up to event 4, and its live part failed.",
        ),
        (
            {"live_since": 5, "live_from": 4},
            0,
            "The re-run matches the trace up to event 4, and is live from there.",
        ),
        (
            {"live_since": 5, "live_change": LiveChange(6, 8, "it ends with status 0", is_same=False)},
            0,
            "Your change took effect: from event 6 (8 in the re-run) on the run differs, and",
        ),
        ({"interrupted": True, "status": -2}, 130, "The re-run was interrupted."),
        ({"problem": "no"}, 2, "The re-run could not go on."),
        ({"mistakes": 1}, 2, "The re-run matches the trace."),
        (
            {"refused": ({"event_type": "divergence", "metadata": {"address": "a:1"}},)},
            1,
            "The re-run ended differently from the trace.",
        ),
        (
            {"stop": UnansweredCall("open", request(3), RecordedCall(3, request(3)))},
            2,
            "The re-run matches the trace so far, but was ended before the program finished.",
        ),
    ],
)
def test_the_verdict_and_the_status_say_the_same(fields, status, verdict):
    """For every way in which a re-run can end."""
    found = outcome(**fields)
    assert found.exit_status == status
    assert lines(found)[0] == verdict


def test_answers_that_came_too_early_to_matter_are_named():
    """With the option that asks again."""
    matches = [Match(3, 3, "exact", overridden=True), Match(5, 7, "after_override")]
    told = " ".join(" ".join(lines(outcome(matches=matches))).split())
    assert "answered 1 unverified, 1 by your overrides" in told
    assert told.endswith(
        "Event 5 (recorded as 7): the request changed after your override, and got the recorded answer. "
        "Use --live-from 7 to call the model."
    )


def test_a_tool_that_was_asked_too_early_is_run_by_an_option_of_its_own():
    """What is asked for real from an event on are models and servers; tools are not."""
    found = outcome(
        matches=[Match(7, 7, "after_override"), Match(9, 9, "after_override")], tools={7: "search"}
    )
    told = " ".join(" ".join(lines(found)).split())
    assert "The re-run is not verified: 1 stale tool, 1 stale model call." in told
    assert (
        "Event 7: the arguments of search changed after your override, and got the recorded answer." in told
    )
    assert "Use --run-tools search to run it." in told
    assert verifying_command(found, "run.jsonl") == (
        "namel3ss debug rerun run.jsonl --run-tools search --live-from 9"
    )


def test_a_stale_tool_is_reported_with_what_changed_and_what_runs_it():
    """In the text and in the JSON; accepted, it stays visible."""
    stale = (StaleTool("lookup", ("tools.py:convert has changed",), (5, 9)),)
    found = outcome(stale_tools=stale, options=("--mock 'a:1'", "-- app.py"))
    told = " ".join(" ".join(lines(found)).split())
    assert "The re-run is not verified: 1 stale tool." in told
    assert (
        "lookup has changed since the trace was recorded: tools.py:convert has changed; its recorded result was used "
        "(events 5, 9). Use --run-changed-tools to run it." in told
    )
    command = "namel3ss debug rerun run.jsonl --mock 'a:1' --run-changed-tools -- app.py"
    assert verifying_command(found, "run.jsonl") == command
    row = list(report_rows(found))[-1]
    assert (row["verdict"], row["reasons"][0]["kind"], row["reasons"][0]["accepted"]) == (
        "unverified",
        "stale-tools",
        False,
    )
    accepted = outcome(stale_tools=stale, accepted=frozenset({"stale-tools"}))
    told = " ".join(" ".join(lines(accepted)).split())
    assert "The re-run matches the trace, except for what you accepted: 1 stale tool." in told
    assert "Accepted by --accept stale-tools." in told
    assert verifying_command(accepted, "run.jsonl") == ""


def test_tools_that_a_change_could_reach_stand_in_one_line():
    """With what has changed, and the option that settles it."""
    tools = (
        StaleTool("lookup", ("a.py:f has changed",), (7,)),
        StaleTool("mail", ("a.py:f has changed",), (9,)),
    )
    told = " ".join(" ".join(lines(outcome(unknown_tools=tools))).split())
    assert "The re-run is not verified: 2 unknown tools." in told
    assert "whether lookup, mail would return the same now: a.py:f has changed; its recorded result" in told
    assert "(events 7, 9). Use --run-changed-tools to run them, or --accept unknown-code." in told


def test_where_the_code_is_the_same_the_doctor_is_named():
    """As the cause is none that the report can tell; not where nothing parted, or it could not go on."""
    hint = "  - no code is newer than the trace; namel3ss debug doctor finds what makes the"
    assert hint in lines(outcome(changed(), same_code=True))
    assert hint not in lines(outcome(changed()))
    assert hint not in lines(outcome(same_code=True))
    assert hint not in lines(outcome(changed(), same_code=True, problem="no"))


def test_questions_that_differ_by_the_same_are_told_once():
    """An edited prompt stands in every call behind it; another difference is told by itself, and all are counted."""
    found = outcome(changed(5), changed(9, new="plan a short trip"), changed(11), changed(13))
    told = lines(found)
    assert told[:4] == [
        "changed  the request changed, and got the recorded answer",
        "  now       calls gpt-4o, app.py:42, event 5",
        "  recorded  calls gpt-4o, app.py:40, event 7",
        "  the same  at events 11, 13",
    ]
    assert [row for row in told if row.startswith("changed ")] == [told[0]] * 2
    assert "The re-run diverges from the trace: 4 changed." in told
    assert [row["number"] for row in report_rows(found) if row["result"] == "divergence"] == [5, 9, 11, 13]


def test_how_calls_were_answered_is_told_whole():
    """On two lines where one is too short."""
    matches = [
        Match(number, number, how) for number, how in enumerate(("exact", "changed", "after_override"), 1)
    ]
    found = outcome(matches=[*matches, Match(9, 9, "exact", overridden=True)], real=12, out_of_order=3)
    told = lines(found, width=60)
    assert told[2:4] == [
        "  answered  1 as recorded, 1 to changed requests, 1",
        "            unverified, 1 by your overrides, 12 for real",
    ]


def test_a_program_that_was_ended_in_the_debugger_is_not_told_as_one_that_came_to_its_end():
    """Its calls are as recorded as far as it went."""
    told = lines(outcome(matches=[Match(3, 3, "exact")], left=True, status=-15, recorded_status=None))
    assert told[0] == "The re-run matches the trace so far, but was ended before the program finished."
    assert "  program   ended by you before it finished" in told


def test_a_service_that_is_gone_is_not_told_as_a_closed_network():
    """Nobody listens on its port of loopback any more."""
    gone = {"event_type": "divergence", "metadata": {"address": "127.0.0.1:6379", "nobody": True}}
    told = " ".join(" ".join(lines(outcome(refused=(gone,)))).split())
    assert "a connection to 127.0.0.1:6379: nothing listens there" in told


def test_very_many_divergences_are_counted():
    """The first ones are shown."""
    told = lines(outcome(*(changed(number, new=f"plan {number}") for number in range(1, 31))))
    assert sum(line.startswith("changed  ") for line in told) == 20
    assert "… 10 further divergences; --format jsonl shows all" in told


HOSTILE = st.text(st.sampled_from("ab\x1b[31m\x07\u202e\n\r\x9b漢:_* "), max_size=40)


@given(HOSTILE, HOSTILE, st.integers(40, 120))
def test_no_foreign_text_reaches_the_screen_as_it_is(old, new, width):
    """No control character, and no line wider than the screen."""
    found = outcome(
        changed(name=old, old=old, new=new),
        Divergence("missing", 0, None, RecordedCall(7, request(7, new, old))),
        Divergence("new", 3, request(3, old, new, "tool"), None, Difference()),
        said=new,
        stop=UnansweredCall("new", request(3, old, new), call=new),
        notes=(old,),
        new_inputs=((old, new, 2),),
        refused=({"event_type": "divergence", "component_name": old, "call_site": new},),
    )
    for row in lines(found, width):
        assert row.isprintable(), row
        assert cell_len(row) <= width


def test_what_was_read_anew_is_told_by_its_line_and_of_libraries_in_one():
    """Their threads read the clock as it comes; the document for programs has each place."""
    reads = (
        ("clock", "app.py:12", 1),
        ("clock", "trace/__init__.py:Span.end", 2),
        ("clock", "trace/__init__.py:Span.start", 1),
        ("stdin", "", 1),
    )
    told = [row.strip() for row in lines(outcome(new_inputs=reads)) if "new input" in row]
    assert told == [
        "new input  clock at app.py:12, read 1 time more than recorded",
        "new input  stdin, read 1 time more than recorded",
        "new input  clock, read 3 times more by libraries than recorded",
    ]


def test_the_rows_for_programs_are_json_and_tell_the_same():
    """One for each divergence, and one for the whole."""
    found = outcome(
        changed(),
        matches=[Match(5, 7, "changed")],
        stop=UnansweredCall("strict", request(5), RecordedCall(7, request(7))),
    )
    first, last = (json.loads(json_bytes(row)) for row in report_rows(found))
    assert (first["result"], first["kind"], first["number"]) == ("divergence", "changed", 5)
    assert first["recorded"]["call_site"] == "app.py:40"
    assert first["messages"][0]["kind"] == "changed"
    assert first["paths"] == [{"path": "$.params.temperature", "kind": "changed", "old": 0, "new": 1}]
    assert (last["result"], last["divergences"], last["exit_status"]) == ("rerun", {"changed": 1}, 1)
    assert last["stopped"]["kind"] == "strict"


def test_a_line_of_output_that_differs_is_shown_on_both_sides():
    """Each by itself, from a little before its first difference where it is too long for the width."""
    old, new = f"Customer: {'x' * 100} sent it", f"Customer: {'x' * 100} lost it"
    change = PathChange("stdout line 1", "changed", old, new)
    rows = lines(outcome(Divergence("output", 3, None, None, Difference(paths=(change,)))), 80)
    place = rows.index("  ~ stdout line 1")
    assert rows[place + 1 : place + 3] == [
        f"    - …{'x' * 19} sent it",
        f"    + …{'x' * 19} lost it",
    ]
