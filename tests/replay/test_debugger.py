"""The debugger's core: lines of commands in, results out."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.errors import PlaceError
from namel3ss_debug.expressions import compile_expression, event_scope
from namel3ss_debug.replay import history as history_module
from namel3ss_debug.replay.breakpoints import Breakpoint, find_nth
from namel3ss_debug.replay.commands import COMMANDS
from namel3ss_debug.replay.debugger import Debugger, split_commands
from namel3ss_debug.replay.history import BEGINNING, Fold, History
from namel3ss_debug.replay.results import Mistake, Quit, Stopped, as_json
from namel3ss_debug.traces.totals import Totals


@pytest.fixture
def session(listed, support):
    """A debugger on the support agent's recording."""
    return Debugger(listed(support))


def numbers(session, *lines):
    """Where the walk stands after each line."""
    found = []
    for line in lines:
        session.execute(line)
        found.append(session.walk.position)
    return found


def mistake(session, line):
    """The text of the one mistake that a line is."""
    (result,) = session.execute(line)
    assert isinstance(result, Mistake)
    assert "\n" not in result.text
    return result.text


def test_steps_go_from_event_to_event(session):
    """The walk begins before the first event and stays at the edges with a word about them."""
    assert numbers(session, "s", "n", "step 3", "back", "rs 2", "reverse-step 99") == [1, 2, 5, 4, 2, 0]
    assert session.execute("rs") == [Stopped(0, None, "start", 16)]
    (last,) = session.execute("step 99")
    assert (last.number, last.reason) == (16, "end")
    assert session.execute("n")[0].reason == "end"


def test_next_passes_the_chunks_of_a_stream(listed):
    """`next` goes by events that are no stream chunks, both ways; `step` stands at every one."""
    kinds = ["trace_start", "llm_call_start", *["stream_chunk"] * 3, "llm_call_end", "stream_chunk"]
    events = [{"event_type": kind, "event_id": str(place)} for place, kind in enumerate(kinds, 1)]
    walked = Debugger(listed(events))
    assert numbers(walked, "n", "n", "n", "rn", "next 2", "rn", "s", "n", "goto 4", "rn 2") == [
        1,
        2,
        6,
        2,
        7,
        6,
        7,
        7,
        4,
        1,
    ]
    assert walked.execute("goto 6")[0].reason == "goto"
    assert walked.execute("n")[0].reason == "end"
    assert numbers(walked, "goto 5", "rn 9", "rn") == [5, 0, 0]


def test_a_step_to_the_last_event_is_a_step(session):
    """Only trying to go on from there says that the recording is over."""
    assert [session.execute("step 16")[0].reason, session.execute("step")[0].reason] == ["step", "end"]


def test_goto_and_restart(session, support):
    """An event is reached by its number."""
    assert session.execute("goto 9") == [Stopped(9, support[8], "goto", 16)]
    assert numbers(session, "goto end", "goto start", "goto 16", "restart") == [16, 0, 16, 0]
    assert mistake(session, "goto 17") == "there is no event 17; the recording has 16 events, numbered from 1"
    assert "'x' is not a number" in mistake(session, "goto x")
    assert mistake(session, "goto") == "write goto N, goto start or goto end"
    assert "is not a number" in mistake(session, "goto ²")


def test_a_blank_line_repeats_the_last_command(session):
    """As in pdb; a command that deletes is not repeated."""
    assert numbers(session, "step 2", "", "  ", "rs", "") == [2, 4, 6, 5, 4]
    session.execute("break llm")
    session.execute("clear")
    assert session.execute("") == []


def test_commands_are_joined_by_two_semicolons(session):
    """Each of them gives its result, a mistake leaves the rest undone, and the whole line is repeated."""
    results = session.execute('b tool:"search" ;; c ;; p component_name ;; w')
    assert [type(result).__name__ for result in results] == ["Message", "Stopped", "Value", "Stack"]
    assert len(session.execute("s ;; foo ;; s")) == 2
    assert numbers(session, "goto 1", "s ;; s", "") == [1, 3, 5]


def test_semicolons_in_quotes_join_nothing():
    """A text in an expression may hold them; a lone apostrophe is no quote."""
    assert split_commands("p 'a;;b' ;; p \"c;;'\";;s") == ["p 'a;;b'", 'p "c;;\'"', "s"]
    assert split_commands("b /don't/;;c") == ["b /don't/", "c"]
    assert split_commands(";;;; ;;") == []


def test_continue_stops_at_breakpoints_and_at_the_end(session):
    """Forwards and backwards the same events are found; hits are counted."""
    session.execute("break llm:gpt-4o")
    session.execute("break error")
    assert numbers(session, "c", "c", "c", "c") == [3, 7, 14, 16]
    assert numbers(session, "rc", "rc", "rc", "rc") == [14, 7, 3, 0]
    assert [(row.number, row.hits) for row in session.execute("info breakpoints")[0].rows] == [(1, 4), (2, 2)]


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
    session.execute("tbreak llm")
    assert numbers(session, "c", "c") == [3, 16]
    assert session.execute("b")[0].rows == ()


def test_breakpoints_on_one_event_are_all_counted(session):
    """The first is the one that is told, the other ones have their hit."""
    session.execute("b error ;; b if n == 7 ;; tbreak /timed out/ ;; c")
    assert [(row.number, row.hits) for row in session.walk.rows()] == [(1, 1), (2, 1)]


def test_conditions_ask_for_totals_and_state(session):
    """What has come together up to an event can stop the walk, in both directions."""
    session.execute("b if totals.cost > 0.3 and state.turns == 1")
    assert numbers(session, "c", "c", "rc", "rc") == [12, 16, 12, 0]
    session.execute("clear ;; b state_change if state.turns == 2")
    assert numbers(session, "c", "rc") == [13, 0]


def test_breakpoints_are_deleted_and_switched_off(session):
    """By number, by place, or all of them."""
    session.execute("b llm ;; b tool ;; b error")
    assert session.execute("clear tool")[0].text == "deleted breakpoint 2"
    assert session.execute("disable 1")[0].rows[0].enabled is False
    assert numbers(session, "c") == [7]
    session.execute("restart ;; enable")
    assert numbers(session, "c") == [3]
    assert mistake(session, "clear 9") == "there is no breakpoint 9; there are 1 at llm, 3 at error"
    assert session.execute("clear 3 1")[0].text == "deleted breakpoints 3 1"
    assert mistake(session, "clear") == "there are no breakpoints; 'break PLACE' sets one"
    assert mistake(session, "disable") == "there are no breakpoints; 'break PLACE' sets one"


def test_where_is_the_stack_of_spans(session):
    """An event stands in the spans around it, a start and an end in their own as well."""
    stack = {
        number: [f.number for f in session.execute(f"goto {number};;w")[1].frames]
        for number in (1, 2, 5, 6, 7, 16)
    }
    assert stack == {1: [], 2: [2], 5: [2, 5], 6: [2, 5], 7: [2, 5], 16: [2]}
    assert session.execute("restart ;; where")[1].frames == ()


def test_print_evaluates_at_the_current_event(session):
    """Fields, derived names, totals and state are those of this event; before the first everything is null."""
    values = session.execute(
        "goto 12 ;; p outputs.text ;; p totals.tokens ;; p n ;; p state.topic ;; p [llm, tool]"
    )
    assert [result.value for result in values[1:]] == ["A refund", 150, 12, "refund", ["gpt-4o-mini", None]]
    assert [r.value for r in session.execute("restart;;p error;;p n;;p totals.ms;;p state.turns")[1:]] == [
        None,
        0,
        0.0,
        None,
    ]
    assert mistake(session, "p duratoin_ms") == (
        "expression, column 1: unknown name 'duratoin_ms'; did you mean 'duration_ms'?"
    )
    assert mistake(session, "p") == "print needs an expression, such as print outputs.text"


def test_list_shows_the_events_around(session):
    """Eleven around the current one, around another, or from one to another."""
    listing = session.execute("goto 8 ;; l")[1]
    assert ([n for n, _ in listing.rows], listing.current) == (list(range(3, 14)), 8)
    assert [n for n, _ in session.execute("list 1")[0].rows] == list(range(1, 12))
    assert [n for n, _ in session.execute("list 14, 99")[0].rows] == [14, 15, 16]
    assert session.execute("list 5, 4")[0].rows == ()
    assert "is not a number" in mistake(session, "list x")


def test_info_tells_what_has_come_together(session):
    """Totals and open spans at this event."""
    totals, spans = session.execute("goto 12 ;; info totals ;; info spans")[1:]
    assert (totals.cost, totals.tokens, totals.errors, totals.ms) == (0.375, 150, 1, 11000.0)
    assert [frame.number for frame in spans.frames] == [2]
    assert mistake(session, "info brekpoints").startswith(
        "there is no info 'brekpoints'; did you mean 'breakpoints'?"
    )
    assert mistake(session, "info").startswith("write info breakpoints|")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("contineu", "unknown command 'contineu'; did you mean 'continue'?; 'help' lists the commands"),
        ("zzz", "unknown command 'zzz'; 'help' lists the commands"),
        ("help zzz", "unknown command 'zzz'; 'help' lists the commands"),
        ("b tool:serch", "tool:serch: the recording holds no such name; did you mean 'search'?"),
        ("b llm if", "llm if: a condition is needed after 'if', such as duration_ms > 500"),
        ("b llm if tokens > 5", "expression, column 1: unknown name 'tokens'"),
        ("step 0", "0 is no number of events; write 1 or more"),
        ("step x", "'x' is not a number; write a number of events"),
        ("step " + "9" * 5000, "is not a number"),
        ("continue 3", "continue takes no argument, not '3'"),
    ],
)
def test_a_mistake_is_one_line_and_the_session_goes_on(session, line, message):
    """What is wrong, the nearest that is right, and the next command works."""
    assert message in mistake(session, line)
    assert numbers(session, "s") == [1]
    assert session.walk.rows() == ()


def test_help_lists_every_command(session):
    """Each with its names; one command is explained by any of its names."""
    assert len(session.execute("help")[0].rows) == len(COMMANDS)
    assert session.execute("h rc")[0].rows[0].name == "reverse-continue"


def test_no_letter_of_pdb_has_another_meaning():
    """Whoever types pdb's letters blindly gets what they mean there, or is told that there is no such command."""
    pdb = {
        "h": "help", "w": "where", "d": "down", "u": "up", "b": "break", "cl": "clear", "s": "step", "n": "next",
        "unt": "until", "r": "return", "c": "continue", "cont": "continue", "j": "jump", "l": "list", "ll": "longlist",
        "a": "args", "p": "print", "rv": "retval", "q": "quit", "exit": "quit", "bt": "where", "run": "restart",
    }  # fmt: skip
    ours = {word: command.name for command in COMMANDS for word in (command.name, *command.aliases)}
    assert {word: ours[word] for word in pdb if word in ours} == {
        word: pdb[word] for word in pdb if word in ours
    }
    assert len(ours) == sum(1 + len(command.aliases) for command in COMMANDS)


def test_quit_ends_the_session(session):
    """What stands after it on the line is not done."""
    assert session.execute("q ;; s") == [Quit()]
    assert (session.over, session.walk.position) == (True, 0)


def test_breakpoints_can_be_given_from_the_beginning(listed, support):
    """They are checked against the recording at once."""
    session = Debugger(listed(support), ["error", Breakpoint("llm", condition="n > 11")])
    assert numbers(session, "c", "c") == [7, 12]
    with pytest.raises(PlaceError, match="did you mean 'search'"):
        Debugger(listed(support), ["tool:serch"])


def test_every_result_is_json(session):
    """One object for each result, for programs that drive the debugger."""
    lines = (
        "b error ;; c ;; l ;; w ;; p outputs ;; info spans ;; info totals ;; info breakpoints ;; help ;; q"
    )
    answers = [json.loads(json.dumps(as_json(result))) for result in [*session.execute(lines), Mistake("x")]]
    assert [answer["result"] for answer in answers] == (
        [
            "message",
            "stopped",
            "listing",
            "stack",
            "value",
            "openspans",
            "totalssofar",
            "breakpoints",
            "help",
            "quit",
            "mistake",
        ]
    )
    assert answers[1]["breakpoint"] == 1
    assert answers[7]["rows"] == [
        {"number": 1, "place": "error", "temporary": False, "enabled": True, "hits": 1}
    ]


def test_it_walks_through_a_real_trace(written, support):
    """The same on a file, through its index."""
    session = Debugger(written(support))
    assert numbers(session, "b error", "c", "rs", "goto end", "rc") == [0, 7, 6, 16, 7]


def test_an_empty_recording_has_nowhere_to_go(listed):
    """No command fails on it."""
    session = Debugger(listed([]))
    lines = ["s", "rs", "c", "rc", "w", "l", "p n", "info totals", "info spans", "b", "goto 0", "restart"]
    assert not any(isinstance(result, Mistake) for line in lines for result in session.execute(line))
    assert "the recording holds no llm" in mistake(session, "b llm")


EVENT = st.builds(
    lambda kind, ident, parent, more: {
        "event_type": kind,
        "event_id": ident,
        "parent_event_id": parent,
        **more,
    },
    st.sampled_from(
        [
            "llm_call_start",
            "llm_call_end",
            "tool_call_start",
            "tool_call_end",
            "error_occurred",
            "state_change",
        ]
    ),
    st.sampled_from("abcdef"),
    st.sampled_from("abcdef"),
    st.fixed_dictionaries(
        {"component": st.sampled_from(["llm", "tool"]), "component_name": st.sampled_from(["x", "y"])},
        optional={
            "tokens_used": st.integers(0, 9),
            "cost_estimate": st.floats(0, 1),
            "timestamp": st.floats(0, 100),
            "outputs": st.dictionaries(st.sampled_from("xyz"), st.integers(0, 3), max_size=2),
        },
    ),
)
EVENTS = st.lists(EVENT, max_size=30)
PLACES = st.sampled_from(
    [
        "llm",
        "tool:x",
        "error",
        "y",
        "llm:2",
        "x@3",
        "llm_call_end",
        "llm if tokens_used > 3",
        "if totals.tokens > 12",
        "if state.x == 1",
        "/y/",
        "tool_call_start:2",
        "if n % 3 == 0",
        "x@2 if tokens_used > 1",
        "if totals.errors == 2",
    ]
)


def folded(events):
    """The states after each event, by one plain fold."""
    fold = Fold(BEGINNING)
    states = [fold.state()]
    for event in events:
        fold.add(event)
        states.append(fold.state())
    return states


def small_steps(walk):
    """Snapshots so close together that short recordings have several."""
    walk.history.every = 4
    return walk


@given(EVENTS, st.integers(0, 30), st.integers(1, 40))
def test_stepping_back_undoes_stepping(listed, events, begin, count):
    """`step` n times then `reverse-step` n times is the identity on state."""
    session = Debugger(listed(events))
    small_steps(session.walk).go(begin)
    before = (session.walk.position, session.walk.state, session.walk.stack())
    taken = min(count, len(events) - session.walk.position)
    for _ in range(taken):
        session.execute("step")
    for _ in range(taken):
        session.execute("reverse-step")
    assert (session.walk.position, session.walk.state, session.walk.stack()) == before


@given(EVENTS, st.lists(st.integers(0, 30), min_size=1, max_size=6))
def test_goto_is_as_many_steps_from_the_start(listed, events, targets):
    """Wherever the walk was before, the state at an event is that of one fold from the beginning."""
    states = folded(events)
    session = Debugger(listed(events))
    small_steps(session.walk)
    for target in targets:
        number = min(target, len(events))
        session.execute(f"goto {number}")
        assert session.walk.state == states[number]


@given(EVENTS, st.lists(PLACES, min_size=1, max_size=3), st.integers(0, 30))
def test_runs_stop_at_what_a_filter_selects(listed, events, places, begin):
    """`continue` and `reverse-continue` stop at exactly the events a filter over all events selects."""
    recording = listed(events)
    stops = [Breakpoint(place) for place in places]
    nths = [find_nth(stop.parsed, events) for stop in stops]
    selected, totals, state = [], Totals(), {}
    for number, event in enumerate(events, 1):
        totals = totals.add(event)
        state |= event.get("outputs", {}) if event["event_type"] == "state_change" else {}
        asked = zip(stops, nths, strict=True)
        if any(stop.stops(number, event, totals.scope(), state, nth) for stop, nth in asked):
            selected.append(number)
    session = Debugger(recording)
    for stop in stops:
        session.walk.add(stop)
    small_steps(session.walk).go(begin)
    begin = session.walk.position

    def run(command):
        found = []
        while (stopped := session.execute(command)[0]).reason == "breakpoint":
            found.append(stopped.number)
        return found

    assert run("continue") == [number for number in selected if number > begin]
    last = session.walk.position
    assert run("reverse-continue") == [number for number in reversed(selected) if number < last]
    assert (last, session.walk.position) == (len(events), 0)


@given(EVENTS, st.sampled_from(["n", "totals.tokens", "state.x", "[llm, tool]", "outputs.x"]))
def test_print_agrees_with_a_fold(listed, events, text):
    """The value at any event is that of the expression over what a fold from the beginning gives."""
    session = Debugger(listed(events))
    small_steps(session.walk)
    expression, state, totals = compile_expression(text), {}, Totals()
    for number, event in enumerate(events, 1):
        totals = totals.add(event)
        state |= event.get("outputs", {}) if event["event_type"] == "state_change" else {}
        session.execute(f"goto {number}")
        assert session.execute(f"p {text}")[0].value == expression.evaluate(
            event_scope(number, event, totals.scope(), state)
        )


def test_snapshots_are_thinned_when_they_hold_too_much(listed, monkeypatch):
    """Memory stays bounded with many open spans, and every state is still right."""
    monkeypatch.setattr(history_module, "MOST_KEPT", 2000)
    events = [{"event_type": "tool_call_start", "event_id": str(n), "component": "tool"} for n in range(400)]
    history = History(listed(events), every=8)
    assert len(history.at(400).open) == 400
    assert sum(len(state.open) for state in history._snapshots) <= 4000
    assert history.every > 8
    for number in (399, 7, 250, 0, 128, 129):
        assert [*history.at(number).open] == [str(n) for n in range(number)]


def test_a_step_back_reads_no_more_than_a_block(listed):
    """Once a place was reached, a step back from it reads a bounded number of events."""
    recording = listed([{"event_type": "log_record"}] * 5000)
    session = Debugger(recording)
    session.execute("goto 5000 ;; info totals")
    read = SimpleNamespace(events=0)
    events = recording.events

    def counted(start=1):
        for event in events(start):
            read.events += 1
            yield event

    recording.events = counted
    for _ in range(20):
        session.execute("rs ;; info totals ;; where")
    assert read.events <= 20 * (session.walk.history.every + 1)
