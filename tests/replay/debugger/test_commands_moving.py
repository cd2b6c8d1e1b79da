"""The commands that move, one by one, on the support agent's recording."""

from __future__ import annotations

import pytest

from namel3ss_debug.replay.debugger.interpreter import Debugger
from namel3ss_debug.replay.debugger.results import Mistake, Stopped


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


def test_steps_go_from_event_to_event(session):
    """The walk begins before the first event and stays at the edges with a word about them."""
    assert numbers(session, "s", "step_into", "step 3", "back", "rs 2", "reverse-step 99") == [
        1,
        2,
        5,
        4,
        2,
        0,
    ]
    assert session.execute("rs") == [Stopped(0, None, "start", 16)]
    (last,) = session.execute("step 99")
    assert (last.number, last.reason) == (16, "end")
    assert session.execute("n")[0].reason == "end"


def test_a_step_to_the_last_event_is_a_step(session):
    """Only trying to go on from there says that the recording is over."""
    assert [session.execute("step 16")[0].reason, session.execute("step")[0].reason] == ["step", "end"]


def test_next_passes_over_spans(session):
    """From a start it leads to the end; otherwise to the next event at this level; step_over is the same."""
    assert numbers(session, "n", "n", "n", "n") == [1, 2, 16, 16]
    assert numbers(session, "goto 3", "next", "n", "step_over", "n 2", "n 99") == [3, 4, 5, 7, 9, 16]
    assert numbers(session, "rn", "rn", "goto 10", "rn", "rn", "rn", "rn 2", "rn 9") == [
        2,
        1,
        10,
        9,
        8,
        7,
        4,
        0,
    ]


def test_next_passes_the_chunks_of_a_stream(listed):
    """`next` goes by events that are no pieces of an answer, both ways; `step` stands at every one."""
    kinds = [
        "trace_start",
        "llm_call_start",
        *["stream_chunk"] * 3,
        "llm_call_end",
        "stream_chunk",
        "decision",
    ]
    events = [{"event_type": kind, "event_id": str(place)} for place, kind in enumerate(kinds, 1)]
    for event in (*events[2:6],):
        event["parent_event_id"] = "2"
    walked = Debugger(listed(events))
    assert numbers(walked, "n", "n", "n", "rn", "step 2", "n", "n", "rn", "rn", "rn") == [
        1,
        2,
        6,
        2,
        4,
        6,
        8,
        6,
        2,
        1,
    ]
    assert numbers(walked, "goto 5", "rn", "goto 7", "n", "goto 7", "rn") == [5, 2, 7, 8, 7, 6]


def test_return_goes_to_the_end_of_the_span(session):
    """From inside to its end, from there to the end of the span around; finish and reverse-finish mirror each other."""
    assert [result.reason for result in session.execute("goto 6 ;; r ;; r ;; r")] == [
        "goto",
        "return",
        "return",
        "end",
    ]
    assert numbers(session, "goto 3", "finish", "goto 10", "return", "goto 6", "rf", "rf", "rf") == [
        3,
        4,
        10,
        16,
        6,
        5,
        2,
        0,
    ]
    assert session.execute("goto 9 ;; reverse-finish")[1].reason == "return"


def test_until_goes_no_deeper_and_never_back(session):
    """Without a number past what is inside; with one to that event, which must come later."""
    assert numbers(
        session, "goto 2", "unt", "goto 5", "unt", "unt", "until 13", "bookmark x", "goto 3", "unt x"
    ) == [
        *(2, 16, 5, 7, 8, 13, 13, 3, 13),
    ]
    assert session.execute("until end")[0].reason == "until"
    assert mistake(session, "until 4") == "event 4 is not after event 16; goto 4 moves back to it"
    assert mistake(session, "until 17").startswith("there is no event 17; the trace has 16 events")
    assert "is not a number or a bookmark" in mistake(session, "until xx")


@pytest.mark.parametrize(
    ("chosen", "move", "number"),
    [
        ("up", "r", 7),
        ("up 2", "r", 16),
        ("up", "n", 7),
        ("up", "n 2", 8),
        ("up 2", "n", 16),
        ("up", "until", 7),
        ("up 2", "until", 16),
        ("up", "rf", 5),
        ("up 2", "rf", 2),
        ("up", "rn", 4),
        ("up 2", "rn", 1),
        ("up 2 ;; down", "r", 7),
        ("up 2 ;; down 2", "n", 7),
        ("up 2", "s", 7),
    ],
)
def test_moves_are_meant_from_the_chosen_span(session, chosen, move, number):
    """As in pdb: after `up`, return ends the chosen span, and next passes over it; a step is a step."""
    assert numbers(session, f"goto 6 ;; {chosen} ;; {move}") == [number]


def test_moves_from_a_chosen_span_never_lead_back(listed):
    """What began beside a span that never ended, and before the current event, is not what comes next."""
    rows = [
        {"event_type": "agent_turn_start", "event_id": "1"},
        {"event_type": "decision", "event_id": "2"},
        {"event_type": "decision", "event_id": "3", "parent_event_id": "1"},
        {"event_type": "decision", "event_id": "4"},
        {"event_type": "decision", "event_id": "5"},
    ]
    session = Debugger(listed(rows))
    assert numbers(session, "goto 3 ;; up ;; n", "goto 3 ;; up ;; n 2", "goto 3 ;; up ;; until") == [4, 5, 4]


def test_goto_and_jump_take_numbers_edges_and_bookmarks(session, support):
    """An event is reached by what it is called; breakpoints on the way count nothing."""
    session.execute("break if true")
    assert session.execute("goto 9") == [Stopped(9, support[8], "goto", 16)]
    session.execute("bookmark here")
    assert numbers(session, "goto end", "jump start", "j 16", "goto here", "restart", "j here", "run") == [
        *(16, 0, 16, 9, 0, 9, 0),
    ]
    assert session.stepper.stops.rows()[0].hits == 0
    assert mistake(session, "goto 17") == "there is no event 17; the trace has 16 events, numbered from 1"
    assert mistake(session, "goto hree") == ("'hree' is not a number or a bookmark; did you mean 'here'?")
    assert mistake(session, "goto") == "write goto N, goto start or goto end"
    assert mistake(session, "jump") == "write goto N, goto start or goto end"
    assert "is not a number" in mistake(session, "goto ²")
    assert "is not a number" in mistake(session, "goto " + "9" * 99)


def test_moves_stop_at_breakpoints_on_the_way(session):
    """As in pdb and gdb; the event that a move leads to is arrived at, which is no hit."""
    session.execute("break error")
    stopped = {
        line: session.execute(line)[-1]
        for line in ("goto 2 ;; n", "goto 2 ;; r", "goto 2 ;; unt", "restart ;; step 9")
    }
    assert {(stop.number, stop.reason, stop.breakpoint) for stop in stopped.values()} == {
        (7, "breakpoint", 1)
    }
    stopped = {
        line: session.execute(line)[-1] for line in ("goto end ;; rn", "goto end ;; rf", "goto end ;; rs 12")
    }
    assert {(stop.number, stop.reason, stop.breakpoint) for stop in stopped.values()} == {
        (7, "breakpoint", 1)
    }
    assert session.stepper.stops.rows()[0].hits == 7
    assert [session.execute(f"goto 6 ;; {move}")[1].reason for move in ("s", "r", "n")] == [
        "step",
        "return",
        "step",
    ]
    assert session.stepper.stops.rows()[0].hits == 7


def test_search_goes_to_the_event_that_holds_it(session):
    """A regular expression as it is written, a text in upper and lower case; both ways, and on from there."""
    assert numbers(session, "search REFUND", "search", "search") == [5, 10, 12]
    assert mistake(session, "search") == "no event after event 12 holds 'REFUND'"
    assert numbers(session, "rsearch", "search ?time.?d out?", "rsearch /gpt/", "search /gpt/ ", "") == [
        10,
        7,
        4,
        11,
        12,
    ]
    assert session.execute("search /gpt/")[0].reason == "search"
    assert mistake(session, "search /GPT/") == "no event after event 14 holds '/GPT/'"
    assert session.stepper.position == 14
    assert "not a regular expression" in mistake(session, "search /(/")
    assert "quantifier" in mistake(session, "search /(a+)+/")
    assert "at most 1000" in mistake(session, "search " + "x" * 2000)


def test_search_finds_numbers_that_were_asked_or_answered(listed):
    """An order number is none of text in JSON; a timestamp is not what the event holds."""
    call = {"event_type": "tool_call_start", "timestamp": 4711.0, "inputs": {"arguments": {"order": 4711}}}
    session = Debugger(
        listed([{"event_type": "decision", "timestamp": 4711.0}, call, {"event_type": "decision"}])
    )
    assert numbers(
        session, "search 4711", "goto end", "reverse-search 471", "goto start", r"search /^47\d\d$/"
    ) == [
        2,
        3,
        2,
        0,
        2,
    ]


def test_a_search_tells_where_the_event_holds_it(listed):
    """The path is one that `p` reads; of the value comes what fits and what is around, also where folding changes lengths."""
    long = "x" * 500
    message = {
        "role": "user",
        "parts": [{"type": "text", "content": f"{long}Straße ßß REFUND, please{long}"}],
    }
    call = {"event_type": "llm_call_start", "inputs": {"messages": [message], "odd key": {"n": 4711}}}
    session = Debugger(listed([call]))

    def where(words):
        (stopped,) = session.execute(f"goto start ;; {words}")[1:]
        return stopped.found

    path = "inputs.messages[0].parts[0].content"
    whole = message["parts"][0]["content"]
    assert where("search refund") == (path, whole[310:510], "REFUND", f", please{long}"[:200])
    assert where("search strasse")[2:] == ("Straße", f" ßß REFUND, please{long}"[:200])
    assert where("search /R[EF]+/")[2] == "RE"
    assert where("search 47") == ("inputs['odd key'].n", "", "47", "11")
    assert session.execute(f"p {where('search 4711').path}")[0].value == 4711
    assert session.execute("goto 1")[0].found is None


def test_a_search_needs_words(session):
    """Before the first search there is nothing to go on with; what is no /regex/ is a text."""
    assert mistake(session, "search") == "search needs a text or a /regex/; after that, search alone goes on"
    assert "no event after event 0 holds '//'" in mistake(session, "search //")
    assert numbers(session, "search app.py:4") == [3]
    assert numbers(session, "goto end", "rsearch ?timed?") == [16, 7]
