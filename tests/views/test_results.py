"""Every result of the debugger as lines: what stands there, and that no foreign text harms or overflows the screen."""

from __future__ import annotations

import re
import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from namel3ss_debug.replay.debugger import results
from namel3ss_debug.replay.debugger.results import (
    BookmarkRow,
    Bookmarks,
    BreakpointRow,
    Breakpoints,
    CallRow,
    CallTable,
    CodeFrame,
    Displayed,
    Displays,
    Failures,
    Frame,
    FrameVariables,
    Help,
    HelpRow,
    Listing,
    Locals,
    Message,
    MessageChanges,
    Messages,
    Mistake,
    MockRow,
    MocksInForce,
    OpenSpans,
    SearchMatch,
    SourceLines,
    Stack,
    Stopped,
    TotalsSoFar,
    Value,
    ValueChange,
)
from namel3ss_debug.views.results import DRAWINGS, draw_result
from namel3ss_debug.wire.conversations import MessageChange

HOSTILE = "\x1b[31mred\x1b]0;owned\x07 [bold]x[/] \u202eevil 漢字 e\u0301\u0301\u0301\u0301\u0301\u0301 \x9b2J\n\x00"
NEVER = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b\u202e]")

CALL = {
    "event_type": "llm_call_start",
    "component": "llm",
    "component_name": "gpt-4o",
    "timestamp": 101.0,
    "inputs": {
        "model": "gpt-4o",
        "messages": [
            {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]},
            {"role": "user", "parts": [{"type": "text", "content": "Where is A-17?"}]},
            {"role": "assistant", "parts": [{"type": "tool_call", "name": "lookup", "arguments": {"order": "A-17"}}]},
        ],
        "tools": [{"name": "lookup"}],
        "params": {"temperature": 0.2},
    },
}  # fmt: skip


def shown(result, width=80):
    """The lines of a result as text."""
    return [row.plain for row in draw_result(result, width, 100.0)]


def with_text(text):
    """One result of every kind with this text wherever text is free."""
    event = {"event_type": text, "component": text, "component_name": text, "status": text, "error": text}
    call = CALL | {"component_name": text, "inputs": {"model": text, "messages": [text, {"role": text, "content": text}], "tools": [text], "params": text}}  # fmt: skip
    tool = {"event_type": "tool_call_start", "component": "tool", "inputs": {"arguments": {text: text}}}
    frame, message = (
        Frame(1, text, text, text),
        {"role": text, "parts": [{"type": text, "content": text}, text]},
    )
    changes = [MessageChange(kind, 0, 0, message, {"role": "user", "content": text + " more"}) for kind in ("same", "added", "dropped", "changed", "truncated", "moved")]  # fmt: skip
    display = Displayed(1, text, text)
    return [
        Stopped(3, event, "breakpoint", 9, 1, text, None, (display, Displayed(2, text, None, text))),
        Stopped(3, event, "watch", 9, 1, text, ValueChange(text, {text: text})),
        Stopped(3, call, "step", 3, waiting=True),
        Stopped(3, tool, "step", 3, waiting=True),
        Stopped(3, call, "search", 3, found=SearchMatch(text, text, text, text)),
        Listing(((3, event), (4, call)), 3, 8),
        Stack((frame, frame), 3, event, 1),
        Stack((frame,), 3, event, code=(CodeFrame(text, text), CodeFrame(text, text, text))),
        OpenSpans((frame,)),
        Value(text, {text: [text, {text: text}]}),
        Value(text, text, pretty=True),
        Value(text, text, frame=CodeFrame(text, text, text)),
        Locals(3, text, {text: text}, {text: [text]}, 2, (text,)),
        FrameVariables(
            3, (CodeFrame(text, text, text, {text: text, "self": {"$type": text, "fields": {text: text}}}),)
        ),
        FrameVariables(3, (CodeFrame(text, text, text, {}),)),
        Displays((display,)),
        SourceLines(text, 2, ((1, text), (2, text))),
        SourceLines(text, 2, (), text),
        Messages(3, text, (message, text, {"role": None, "content": {text: text}}), (text,)),
        MessageChanges(3, 1, tuple(changes)),
        CallTable("tools", (CallRow(text, 1, 1, 2.0, 3, 4.0, 5),)),
        Failures(((3, event),), 2),
        Bookmarks((BookmarkRow(text, 3, event), BookmarkRow(text, 4, None))),
        MocksInForce((MockRow(text, 1, text), MockRow(text, None, {text: text}))),
        Breakpoints((BreakpointRow(1, text, True, False, 2, "watch", 3, (text, text)),)),
        TotalsSoFar(3, 9, 0.5, 10, 1, 20.0),
        Help((HelpRow(text, (text,), text, text, text, text),)),
        Message(text),
        Mistake(text),
    ]


def test_every_kind_of_result_has_a_drawing():
    """The table of drawings and the union of results name the same kinds."""
    assert set(DRAWINGS) == set(typing.get_args(results.Result))


@pytest.mark.parametrize("width", [40, 80, 200])
def test_hostile_text_shows_as_text_and_no_line_is_wider_than_the_screen(width):
    """Escape sequences, markup, direction marks and wide characters are inert in every result; a mistake is one line, however long."""
    for result in with_text(HOSTILE):
        lines = shown(result, width)
        assert lines
        for line in lines:
            assert not NEVER.search(line), result
            assert cell_len(line) <= width or isinstance(result, Mistake), (result, line)


def test_the_python_stack_stands_below_the_spans():
    """Each function with its line and the text of it, in columns that leave room for the text; the innermost is marked."""
    code = (
        CodeFrame("app.py:9", "main", "run()"),
        CodeFrame("app.py:5", "Agent.run", "x = search(self.city)"),
    )
    assert shown(Stack((), 14, CALL, code=code))[1:] == [
        "   your code",
        "      app.py:9  main       run()",
        "   -> app.py:5  Agent.run  x = search(self.city)",
    ]
    assert shown(Stack((), 14, CALL, code=(CodeFrame("app.py", "main"),)))[-1] == "   -> app.py  main"
    long = (CodeFrame("app.py:9", "f" * 300, "run()"),)
    assert shown(Stack((), 14, CALL, code=long))[-1].endswith("f…  run()")


def test_the_variables_of_a_frame_have_a_line_each():
    """The attributes of an object stand below it."""
    values = {"self": {"$type": "app.Agent", "fields": {"city": "Oslo"}}, "plan": None}
    frames = (CodeFrame("app.py:5", "Agent.run", "x", values), CodeFrame("app.py:9", "<module>", "y", {}))
    assert shown(FrameVariables(3, frames)) == [
        "app.py:5  Agent.run",
        "   self = app.Agent",
        "      .city = Oslo",
        "   plan = null",
        "app.py:9  <module>",
        "   no variables",
    ]
    frame = frames[0]
    assert shown(Value("self.city", "Oslo", frame=frame)) == ["in app.py:5, Agent.run", '"Oslo"']


def test_what_is_said_where_nothing_is_set_fits_a_narrow_screen():
    """A hint goes over several lines."""
    for nothing in (Breakpoints(()), Displays(()), Bookmarks(()), MocksInForce(())):
        assert all(len(line) <= 40 for line in shown(nothing, 40))


@given(st.text(max_size=60), st.integers(40, 120))
def test_no_text_breaks_a_drawing(text, width):
    """Whatever stands in a recording, every result is drawn, on lines without line ends or controls."""
    for result in with_text(text):
        assert not any(NEVER.search(line) for line in shown(result, width))


@pytest.mark.parametrize("width", [40, 41, 80])
def test_a_role_of_wide_characters_takes_the_room_of_a_role(width):
    """The texts of all messages begin in one column, and no line is wider than the screen."""
    messages = tuple(
        {"role": role, "content": "a text " * 20} for role in ("user", "用户", "用户用户用户用户")
    )
    rows = shown(Messages(3, "m", messages, ()), width)
    assert all(cell_len(row) <= width for row in rows)
    assert {cell_len(row[: row.index("a text")]) for row in rows if "用" in row or "user" in row} == {14}


def test_a_search_says_where_it_found_the_words():
    """The path stands before as much of the value as fits, on a line of its own where it takes half of the screen."""
    held = SearchMatch("inputs.messages[0].content", "so very long ago " * 9, "refund", " of the order" * 9)

    def told(found, width=80):
        return shown(Stopped(14, CALL, "search", 120, found=found), width)[1:]

    (line,) = told(held)
    assert line == "   inputs.messages[0].content  …go so very long ago refund of the order of the …"
    assert told(held, 40) == ["   inputs.messages[0].content", "   …very long ago refund of the order o…"]
    (line,) = told(held._replace(after=""))
    assert line == "   inputs.messages[0].content  …ong ago so very long ago so very long ago refund"
    assert told(SearchMatch("outputs.text", "a ", "refund", "."), 40) == ["   outputs.text  a refund."]
    call = SearchMatch("outputs.tool_calls[0].arguments.supplier", "", "S-00", "")
    assert told(call, 40) == ["   outputs.tool_calls[0].arguments.suppl", "   ier", "   S-00"]


def test_a_breakpoint_and_a_watch_say_why_the_walk_stopped():
    """The place stands above the event; a watch tells the old and the new value, on lines of their own where they are long."""
    assert shown(Stopped(14, CALL, "breakpoint", 120, 1, "llm:gpt-4o"))[0] == "breakpoint 1, llm:gpt-4o"
    stop = Stopped(14, CALL, "watch", 120, 2, "totals.cost", ValueChange(0.25, 0.375))
    assert shown(stop)[0] == "watch 2, totals.cost: 0.25 -> 0.375"
    stop = Stopped(14, CALL, "watch", 120, 2, "state.plan", ValueChange("a " * 60, "b " * 60))
    assert [line.split()[:2] for line in shown(stop)[:3]] == [["watch", "2,"], ["old", "a"], ["new", "b"]]


def test_what_is_displayed_stands_under_every_stop():
    """Each expression has a line with its value, or with why it has none."""
    rows = (Displayed(1, "totals.tokens", 120), Displayed(3, "len(outputs)", None, "no value here"))
    assert shown(Stopped(14, CALL, "step", 120, displayed=rows))[1:] == [
        "   1: totals.tokens = 120",
        "   3: len(outputs) = (no value here)",
    ]


def test_a_live_stop_shows_what_is_about_to_be_sent():
    """Before a model call stand the model, its parameters and the last messages; before a tool call its arguments."""
    assert shown(Stopped(14, CALL, "step", 14, waiting=True)) == [
        "waiting before this call",
        '->    14  +1.000  llm_call_start gpt-4o  lookup(order="A-17")',
        "   model   gpt-4o",
        "   tools   1 tool",
        '   params  {"temperature": 0.2}',
        "   1 message before; messages shows them",
        "     2 user      Where is A-17?",
        '     3 assistant lookup(order="A-17")',
    ]
    tool = {"event_type": "tool_call_start", "component": "tool", "inputs": {"arguments": {"order": "A-17"}}}
    assert shown(Stopped(15, tool, "step", 15, waiting=True))[2:] == ['   {"order": "A-17"}']


def test_the_selected_span_is_marked():
    """The span that up and down chose has the arrow of pdb, and the event has the mark of the walk."""
    frames = (
        Frame(2, "agent_execution_start", "agent", "Support"),
        Frame(14, "llm_call_start", "llm", "gpt-4o"),
    )
    assert shown(Stack(frames, 14, CALL, 0))[0] == ">      2  agent_execution_start Support"
    assert shown(Stack(frames, 14, CALL))[0] == "       2  agent_execution_start Support"
    assert shown(Stack((), 0, None)) == ["before the first event; no span is open"]


def test_a_long_value_is_cut_and_says_what_shows_it():
    """Print shows the beginning of a value, and pp all of it."""
    value = {f"key {i}": "word " * 30 for i in range(50)}
    lines = shown(Value("outputs", value))
    assert (len(lines), lines[-1]) == (41, "… cut here; pp outputs shows all of it")
    assert shown(Value("outputs", value, pretty=True))[-1] == "}"


def test_messages_are_wrapped_beside_their_role():
    """Texts keep their line ends, calls and results are short, and of a very long text it says how much is left out."""
    messages = (*CALL["inputs"]["messages"], {"role": "tool", "parts": [{"type": "tool_call_response", "response": {"found": 2}}]}, {"role": "user", "content": "one\ntwo " + "word " * 400}, "odd")  # fmt: skip
    lines = shown(Messages(14, "gpt-4o", messages, ("lookup", "mail")))
    assert lines[:6] == [
        "6 messages to gpt-4o, event 14",
        "  1 system    Be brief.",
        "  2 user      Where is A-17?",
        '  3 assistant lookup(order="A-17")',
        '  4 tool      {"found": 2}',
        "  5 user      one",
    ]
    assert lines[6].startswith("              two word word")
    assert lines[-3] == "              … 1,302 more characters: goto 14 ;; pp inputs.messages[4]"
    assert lines[-2:] == ["  6 ?         odd", "tools  lookup, mail"]


def test_changes_of_messages_are_marked_and_the_rest_is_one_line():
    """Added, dropped, changed and truncated messages have a sign; those that stayed are counted."""
    one, two = {"role": "user", "content": "Where is A-17?"}, {"role": "assistant", "content": "Sent."}
    old = {"role": "system", "content": "Be brief and kind."}
    changes = (
        *(MessageChange("same", i, i, one, one) for i in range(12)),
        MessageChange("added", None, 12, None, two),
        MessageChange("dropped", 12, None, one, None),
        MessageChange("changed", 13, 13, old, {"role": "user", "content": "Be brief and rude."}),
        MessageChange("truncated", 14, 14, {"role": "user", "content": "x" * 4000}, {"role": "user", "content": "xxx"}),
    )  # fmt: skip
    assert shown(MessageChanges(14, 9, changes)) == [
        "event 14, against the call at event 9",
        "  12 messages as before",
        "+  13 assistant Sent.",
        "-  13 user      Where is A-17?",
        "~  14 user      (was system) Be brief and [-kind-]{+rude+}.",
        "~  15 user      (cut from 4,000 to 3 characters) xxx",
    ]
    assert shown(MessageChanges(14, None, changes[:1]))[0] == "event 14, the first call"
    assert shown(MessageChanges(14, 9, changes[:2]))[-1] == "nothing changed"


def test_the_source_line_is_marked():
    """The line of the call has the arrow of pdb, and a file that is gone is told."""
    rows = ((9, "def ask():"), (10, "    return client.ask()"))
    assert shown(SourceLines("app.py", 10, rows)) == [
        "app.py:10",
        " 9    def ask():",
        "10 ->     return client.ask()",
    ]
    assert shown(SourceLines("app.py", 10, (), "the file is gone")) == ["app.py:10", "the file is gone"]


def test_tables_of_what_is_set():
    """Breakpoints, mocks, bookmarks and calls are aligned under headers, and nothing of a kind is said in words."""
    rows = (BreakpointRow(1, "tool", False, True, 3), BreakpointRow(2, "totals.cost", True, False, 0, "watch", 2, ("silent", "p n")))  # fmt: skip
    assert [line.split(maxsplit=3) for line in shown(Breakpoints(rows))[1:]] == [
        ["1", "break", "tool", "3"],
        ["2", "watch", "totals.cost", "once, off, ignores 2 more     0  silent ;; p n"],
    ]
    assert shown(MocksInForce((MockRow("search", 2, {"found": 1}),)))[1].split(maxsplit=2) == ["search", "2", '{"found": 1}']  # fmt: skip
    assert shown(Bookmarks((BookmarkRow("here", 14, CALL),)))[1].split() == [
        "here",
        "14",
        "llm_call_start",
        "gpt-4o",
    ]
    calls = CallTable("cost", (CallRow("gpt-4o", 3, 0, 2234.5, 4123, 0.01234, 15),))
    assert shown(calls)[1].split() == ["gpt-4o", "3", "2.23", "s", "4,123", "$0.0123", "15"]
    for empty in (Breakpoints(()), MocksInForce(()), Bookmarks(()), CallTable("tools", ()), Failures(()), OpenSpans(()), Displays(())):  # fmt: skip
        assert len(shown(empty)) == 1


def test_a_cost_says_how_many_calls_it_is_without():
    """Beside the cost, of how many calls nobody knows what they cost; below the models, which these are."""
    pytest.importorskip("genai_prices")
    totals = TotalsSoFar(3, 9, 0.5, 10, 1, 20.0, 2)
    assert "$0.5000  (2 calls of unknown cost)" in "\n".join(shown(totals))
    assert "not known  (1 call of unknown cost)" in "\n".join(shown(TotalsSoFar(3, 9, 0.0, 10, 1, 20.0, 1)))
    rows = (CallRow("a", 3, 0, 2.0, 9, 0.01, 15, 1), CallRow("b", 1, 0, 2.0, 9, None, 17, 1))
    assert shown(CallTable("cost", rows))[3:] == [
        "without a price: a (1 call), b (1 call); the setting prices can give one"
    ]
    assert len(shown(CallTable("tools", rows))) == 3


def test_the_end_of_a_call_shows_what_it_cost():
    """Where the event does not tell it."""
    end = {"event_type": "llm_call_end", "component": "llm", "component_name": "m", "timestamp": 101.0}
    listing = Listing(((14, end), (15, end | {"cost_estimate": 0.25})), 14)
    rows = [row.plain.split() for row in draw_result(listing, 80, 100.0, lambda number: number / 2)]
    assert [row[-1] for row in rows] == ["$7.00", "$0.2500"]


def test_without_published_prices_a_hint_says_how_to_have_them(no_published_prices):
    """The models are not named then: most would have a price."""
    (hint,) = shown(CallTable("cost", (CallRow("b", 1, 0, 2.0, 9, None, 17, 1),)), 120)[2:]
    assert hint.startswith("pip install 'namel3ss-debug[prices]' adds what models cost")


def test_help_has_headings_and_fits():
    """Commands stand under the heading of their group in one aligned table; on a narrow screen the aliases go first."""
    rows = (
        HelpRow("step", ("s", "step_into"), "step [COUNT]", "go to the next event", "moving"),
        HelpRow("reverse-step", ("rs",), "reverse-step", "go back to the event before", "backwards"),
    )
    assert shown(Help(rows))[:4] == [
        "moving",
        "  step          s, step_into  go to the next event",
        "backwards",
        "  reverse-step  rs            go back to the event before",
    ]
    assert shown(Help(rows), 40)[1:2] == ["  step          go to the next event"]
    one = Help((rows[0]._replace(more="More.\nAnd more."),))
    assert shown(one) == [
        "step [COUNT]",
        "  go to the next event",
        "  More.",
        "  And more.",
        "  also: s, step_into",
    ]
