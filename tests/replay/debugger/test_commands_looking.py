"""The commands that look around, and those of the session."""

from __future__ import annotations

import os

import pytest

from namel3ss_debug.replay.debugger import session as session_module
from namel3ss_debug.replay.debugger.commands import looking, sessions
from namel3ss_debug.replay.debugger.interpreter import Debugger
from namel3ss_debug.replay.debugger.results import BookmarkRow, CallRow, Displayed, Message, Mistake, Save
from namel3ss_debug.traces import source_files


def mistake(session, line):
    """The text of the one mistake that a line is."""
    (result,) = session.execute(line)
    assert isinstance(result, Mistake)
    return result.text


def last(session, line):
    """The last result of a line."""
    return session.execute(line)[-1]


def listed_numbers(session, line):
    """The numbers of the events that a line lists."""
    return [number for number, _ in last(session, line).rows]


def test_where_is_the_stack_of_spans(session):
    """An event stands in the spans around it, a start and an end in their own as well."""
    stack = {
        number: [f.number for f in last(session, f"goto {number};;w").frames]
        for number in (1, 2, 5, 6, 7, 16)
    }
    assert stack == {1: [], 2: [2], 5: [2, 5], 6: [2, 5], 7: [2, 5], 16: [2]}
    assert last(session, "restart ;; where").frames == ()


def test_up_and_down_choose_a_span(session):
    """From the event outwards and back; a move begins at the event again."""
    assert last(session, "goto 6 ;; where").selected is None
    assert last(session, "up").selected == 1
    assert last(session, "u 5").selected == 0
    assert mistake(session, "up") == "this is the outermost; there is no span around it"
    assert last(session, "down").selected == 1
    assert last(session, "d 9").selected is None
    assert mistake(session, "down") == "this is the innermost, the current event itself"
    assert last(session, "up ;; s ;; w").selected is None
    assert (
        last(session, "goto 7 ;; u").selected == 0
    )  # the end is in its own span, and the one around is the next
    session.execute("goto 2")
    assert mistake(session, "u") == "this is the outermost; there is no span around it"


def test_what_is_looked_at_is_that_of_the_chosen_span(session):
    """args, retval, print, source and list speak of its start, and totals of the current event."""
    session.execute("goto 6 ;; up")
    assert (last(session, "args").value, last(session, "args").number) == ({"arguments": {"q": "refund"}}, 5)
    assert last(session, "retval").value == {"status": "failed", "error": "Read timed out"}
    assert [last(session, f"p {name}").value for name in ("n", "tool", "totals.tokens")] == [5, "search", 100]
    assert last(session, "list").current == 5
    assert last(session, "up ;; p n").value == 2
    assert last(session, "source").line == 10
    assert last(session, "down ;; down ;; p n").value == 6


def test_args_and_retval_are_those_of_the_event_or_its_span(session):
    """An event without any has those of its span; the outputs may still be ahead."""
    assert (
        last(session, "goto 5 ;; a").value
        == last(session, "goto 6 ;; a").value
        == last(session, "goto 7 ;; a").value
    )
    assert (last(session, "goto 3 ;; rv").value, last(session, "rv").number) == ({"text": "look it up"}, 4)
    assert last(session, "goto 4 ;; retval").value == {"text": "look it up"}
    assert last(session, "goto 6 ;; retval").value == {"message": "searching"}
    assert last(session, "goto 7 ;; retval").expression == "error"
    assert last(session, "goto 16 ;; retval").value is None
    session.execute("goto 1")
    assert mistake(session, "retval") == "no span is open here"
    session.execute("restart")
    assert mistake(session, "args") == "the current position is before the first event; step goes to it"


def test_retval_of_a_span_that_never_ended(listed):
    """There is nothing to show."""
    session = Debugger(listed([{"event_type": "tool_call_start", "event_id": "1"}]))
    session.execute("s")
    assert mistake(session, "rv") == "the span of event 1 has not ended in this trace"


def test_print_evaluates_at_the_current_event(session):
    """Fields, derived names, totals and state are those of this event; before the first everything is null."""
    values = session.execute(
        "goto 12 ;; p outputs.text ;; p totals.tokens ;; p n ;; p state.topic ;; p [llm, tool]"
    )
    assert [result.value for result in values[1:]] == ["A refund", 150, 12, "refund", ["gpt-4o-mini", None]]
    values = session.execute("restart;;p error;;p n;;p totals.ms;;p state.turns")
    assert [result.value for result in values[1:]] == [None, 0, 0.0, None]
    assert mistake(session, "p duratoin_ms") == (
        "expression, column 1: unknown name 'duratoin_ms'; did you mean 'duration_ms'?"
    )
    assert mistake(session, "p") == "print needs an expression, such as print outputs.text"
    assert (last(session, "pp event").pretty, last(session, "p event").pretty) == (True, False)


@pytest.mark.parametrize(
    ("expression", "kind"),
    [
        ("n", "whole number"),
        ("totals.ms", "number"),
        ("error", "null"),
        ("n > 3", "true or false"),
        ("outputs", "object of 1 name"),
        ("outputs.text", "text of 8 characters"),
        ("[n, n]", "list of 2 items"),
    ],
)
def test_whatis_tells_the_kind_of_a_value(session, expression, kind):
    """In words, with its size."""
    assert last(session, f"goto 12 ;; whatis {expression}") == Message(kind)


def test_inspect_shows_a_variable_or_a_value(session):
    """A variable goes by its own name, with the event that set it; names of the language keep their meaning."""
    value = last(session, "goto 12 ;; inspect turns")
    assert (value.expression, value.value, value.number, value.pretty) == ("state.turns", 1, 10, True)
    assert last(session, "inspect outputs.text").value == "A refund"
    assert mistake(session, "inspect turn").endswith(
        "no variable of this name is recorded up to here; did you mean 'turns'?"
    )
    assert mistake(session, "inspect zzz").endswith("is recorded up to here; there are topic, turns")
    session.execute("restart")
    assert mistake(session, "inspect turns") == "turns: no variable of this name is recorded up to here"
    assert (last(session, "inspect true").value, last(session, "inspect null").value) == (True, None)
    assert mistake(session, "inspect otputs").endswith("did you mean 'outputs'?")


def test_display_shows_values_at_every_stop(session):
    """Until it is undone, by number or by its text."""
    assert last(session, "display n").rows == (Displayed(1, "n", 0),)
    session.execute("display state.turns")
    assert last(session, "goto 12").displayed == (Displayed(1, "n", 12), Displayed(2, "state.turns", 1))
    assert last(session, "b 13 ;; c").displayed[0].value == 13
    assert last(session, "display") == last(session, "info display")
    assert last(session, "undisplay 1").rows == (Displayed(2, "state.turns", 2),)
    assert mistake(session, "undisplay 1") == "nothing is displayed as '1'; those displayed: 2 state.turns"
    assert last(session, "undisplay state.turns").rows == ()
    assert mistake(session, "undisplay").startswith("nothing is displayed; 'display EXPRESSION'")
    assert last(session, "display n").rows == (Displayed(3, "n", 13),)
    assert last(session, "undisplay ;; s").displayed == ()


def test_what_the_memory_holds_is_state_too(listed):
    """What was written to memory or read from it goes by its key, until it is deleted."""
    session = Debugger(
        listed(
            [
                {"event_type": "memory_operation", "metadata": {"operation": "write"}, "inputs": {"key": "order", "value": 1}},
                {"event_type": "state_change", "outputs": {"step": 1}},
                {"event_type": "memory_operation", "metadata": {"operation": "read"}, "inputs": {"key": "order", "value": 2}},
                {"event_type": "memory_operation", "metadata": {"operation": "read"}, "inputs": {"key": "other"}},
                {"event_type": "memory_operation", "metadata": {"operation": "delete"}, "inputs": {"key": "order"}},
            ]
        )
    )  # fmt: skip
    seen = [last(session, f"goto {number} ;; p state").value for number in range(6)]
    assert seen == [
        {},
        {"order": 1},
        {"order": 1, "step": 1},
        {"order": 2, "step": 1},
        seen[3],
        {"order": None, "step": 1},
    ]
    assert (last(session, "goto 4 ;; inspect order").value, last(session, "inspect order").number) == (2, 3)
    session.execute("goto end ;; watch state.order")
    assert [last(session, "rc").number for _ in range(3)] == [3, 1, 0]


def test_there_are_only_so_many_displays(session, monkeypatch):
    """A script that adds them without end is told."""
    monkeypatch.setattr(session_module, "MOST_DISPLAYED", 1)
    session.execute("display n")
    assert mistake(session, "display n") == "1 expressions are displayed; undisplay some first"


def test_list_shows_the_events_around_and_goes_on(session):
    """Eleven around the current one, then those after; around another; from one to another; so many from one."""
    listing = last(session, "goto 8 ;; l")
    assert ([n for n, _ in listing.rows], listing.current) == (list(range(3, 14)), 8)
    assert listed_numbers(session, "l") == [14, 15, 16]
    assert "'list .' begins again" in mistake(session, "l")
    assert listed_numbers(session, "list .") == list(range(3, 14))
    assert listed_numbers(session, "list 1") == list(range(1, 12))
    assert listed_numbers(session, "list 14, 99") == [14, 15, 16]
    assert listed_numbers(session, "list 5, 4") == [5, 6, 7, 8, 9]
    assert listed_numbers(session, "list 5, 5") == [5]
    assert listed_numbers(session, "bookmark here ;; list here") == list(range(3, 14))
    assert listed_numbers(session, "s ;; l") == list(range(4, 15))
    assert "is not a number" in mistake(session, "list x")
    assert mistake(session, "list 1 2 3").startswith("write list")


def test_a_long_list_is_cut(listed):
    """No one asks for more than a thousand events by mistake."""
    session = Debugger(listed([{"event_type": "decision"}] * 1500))
    assert len(last(session, "list 1, 1500").rows) == looking.MOST_LISTED


def test_longlist_is_the_whole_span(session):
    """All that happened inside the current one, or the chosen one, with its start and end."""
    assert listed_numbers(session, "goto 6 ;; ll") == [5, 6, 7]
    assert listed_numbers(session, "up ;; up ;; longlist") == list(range(2, 17))
    assert last(session, "ll").current == 2
    assert listed_numbers(session, "restart ;; ll") == list(range(1, 17))


def test_longlist_leaves_out_other_spans_and_most_of_a_long_one(listed):
    """What happened meanwhile elsewhere is not of it; of a long one the events around here are listed."""
    events = [
        {"event_type": "agent_execution_start", "event_id": "a"},
        {"event_type": "agent_execution_start", "event_id": "b"},
        *({"event_type": "decision", "parent_event_id": "ab"[place % 2]} for place in range(1000)),
        {"event_type": "agent_execution_end", "parent_event_id": "a"},
    ]
    session = Debugger(listed(events))
    listing = last(session, "goto 501 ;; ll")
    each_way = looking.LONGLIST_EACH_WAY
    assert [number for number, _ in listing.rows] == list(range(501 - 2 * each_way, 502 + 2 * each_way, 2))
    assert listing.left_out == 502 - len(listing.rows)
    listing = last(session, "goto 1 ;; ll")
    assert (listing.rows[0][0], listing.rows[1][0], len(listing.rows)) == (1, 3, each_way + 1)


def test_info_tells_what_has_come_together(session):
    """Totals and open spans at this event, calls by name, failures."""
    totals, spans = session.execute("goto 12 ;; info totals ;; info spans")[1:]
    assert (totals.cost, totals.tokens, totals.errors, totals.ms) == (0.375, 150, 1, 11000.0)
    assert [frame.number for frame in spans.frames] == [2]
    assert last(session, "info tools").rows == (CallRow("search", 2, 1, 940.0, 0, None, 8),)
    assert [(row.name, row.calls, row.tokens, row.cost) for row in last(session, "info cost").rows] == [
        ("gpt-4o", 1, 100, 0.25),
        ("gpt-4o-mini", 1, 50, 0.125),
    ]
    assert [number for number, _ in last(session, "i errors").rows] == [7]
    assert last(session, "goto 6 ;; info errors").rows == ()
    assert last(session, "when") == Message("event 6 of 16")
    assert mistake(session, "info brekpoints").startswith(
        "there is no info 'brekpoints'; did you mean 'breakpoints'?"
    )
    assert mistake(session, "info frame") == "there is no info 'frame'; did you mean 'where'?"
    assert mistake(session, "info").startswith("write info breakpoints|")
    assert (last(session, "i b"), last(session, "info tot")) == (
        last(session, "b"),
        last(session, "info totals"),
    )
    assert mistake(session, "info totals 3") == "info totals takes no argument, not '3'"


def test_of_very_many_open_spans_the_latest_are_listed(listed):
    """And how many began before those."""
    session = Debugger(
        listed([{"event_type": "mine_start", "event_id": str(place)} for place in range(1200)])
    )
    spans = last(session, "goto 1100 ;; info spans")
    assert ([frame.number for frame in spans.frames], spans.left_out) == (list(range(101, 1101)), 100)


def test_only_the_latest_failures_are_listed(listed):
    """And how many came before."""
    session = Debugger(listed([{"event_type": "error_occurred", "error": "no"}] * 50))
    failures = last(session, "goto 40 ;; info errors")
    assert ([number for number, _ in failures.rows], failures.earlier) == (list(range(21, 41)), 20)


@pytest.fixture
def talk(listed):
    """A debugger on two agents that talk to models at the same time, in turns."""

    def said(*texts):
        return [{"role": "user", "parts": [{"type": "text", "text": text}]} for text in texts]

    def call(ident, parent, *texts, **more):
        inputs = {"model": "m", "messages": said(*texts)} | more
        return {
            "event_type": "llm_call_start",
            "event_id": ident,
            "parent_event_id": parent,
            "inputs": inputs,
        }

    def end(start):
        return {"event_type": "llm_call_end", "event_id": f"{start}e", "parent_event_id": start}

    return Debugger(
        listed(
            [
                {"event_type": "agent_execution_start", "event_id": "a"},
                {"event_type": "agent_execution_start", "event_id": "b"},
                call("3", "a", "one", tools=[{"name": "search"}, {"function": {"name": "send"}}]),
                call("4", "b", "eins"),
                {"event_type": "stream_chunk", "parent_event_id": "3"},
                end("3"),
                end("4"),
                {"event_type": "agent_turn_start", "event_id": "8", "parent_event_id": "a"},
                call("9", "8", "one", "two"),
                {"event_type": "agent_turn_start", "event_id": "10", "parent_event_id": "b"},
                call("11", "10", "zwei"),
                end("9"),
                {"event_type": "llm_call_start", "event_id": "13", "inputs": {"messages": {"$truncated": 4}}},
                {"event_type": "llm_call_start", "event_id": "14", "inputs": "lost"},
            ]
        )
    )


def test_messages_are_those_of_the_call(talk):
    """The call around the event or, outside of any, the latest before it in the same spans; or that of another event."""
    assert [last(talk, f"goto {place} ;; messages").number for place in (3, 5, 6, 7, 9, 12)] == [
        3,
        3,
        3,
        4,
        9,
        9,
    ]
    found = last(talk, "messages 5")
    assert (found.model, len(found.messages), found.tools) == ("m", 1, ("search", "send"))
    assert last(talk, "info messages 5") == found
    assert last(talk, "goto 8 ;; messages").number == 3
    assert last(talk, "messages 13").messages == ({"$truncated": 4},)
    assert last(talk, "messages 14").messages == ()
    assert mistake(talk, "messages 2") == "no model was called up to event 2"
    assert mistake(talk, "messages 99").startswith("there is no event 99")
    assert mistake(talk, "messages --dif") == "write messages [--diff] [N]"


def test_messages_at_a_tool_are_those_of_the_call_that_asked_for_it(listed):
    """Also where other agents without spans asked since; where none did, those of the latest call."""

    def call(ident, asked):
        yield {"event_type": "llm_call_start", "event_id": ident, "inputs": {"messages": [ident]}}
        calls = [{"id": asked, "name": "find", "arguments": {}}]
        yield {"event_type": "llm_call_end", "parent_event_id": ident, "outputs": {"tool_calls": calls}}

    def tool(ident, call_id):
        inputs = {"arguments": {}, "call_id": call_id}
        yield {"event_type": "tool_call_start", "event_id": ident, "inputs": inputs}
        yield {"event_type": "http_exchange_start", "event_id": f"{ident}h", "parent_event_id": ident}

    events = [*call("m1", "c1"), *call("m2", "c2"), *tool("t1", "c1"), *tool("t2", "c2"), *tool("t3", "c3")]
    session = Debugger(listed(events))
    assert [last(session, f"messages {number}").number for number in (5, 6, 7, 8, 9)] == [1, 1, 3, 3, 3]


def test_messages_are_compared_with_the_call_before_in_the_conversation(talk):
    """Of agents that work at the same time, each is compared with its own."""
    found = last(talk, "messages --diff 9")
    assert (found.number, found.before, [change.kind for change in found.changes]) == (
        9,
        3,
        ["same", "added"],
    )
    found = last(talk, "messages 11 --diff")
    assert (found.number, found.before, [change.kind for change in found.changes]) == (11, 4, ["changed"])
    found = last(talk, "messages --diff 3")
    assert (found.before, [change.kind for change in found.changes]) == (None, ["added"])


def test_messages_of_branches_without_spans_are_compared_with_their_own(listed):
    """Threads and tasks that share a system message are told apart by what follows it, else by where they ran."""

    def calls(task, *texts):
        messages = [{"role": "user", "parts": [{"type": "text", "text": text}]} for text in texts]
        yield {"event_type": "llm_call_start", "task": task, "inputs": {"messages": messages}}
        yield {"event_type": "llm_call_end"}

    session = Debugger(
        listed(
            [
                *calls("t1", "be brief", "Oslo?"),
                *calls("t2", "be brief", "Rome?"),
                *calls("t3", "be brief", "Oslo?", "4 °C"),
                *calls("t2", "be brief", "Rome?", "19 °C"),
                *calls("t1", "be brief", "summary"),
                *calls("t4", ["deep"]),
            ]
        )
    )
    before = [last(session, f"messages --diff {number}").before for number in (1, 3, 5, 7, 9, 11)]
    assert before == [None, 1, 1, 3, 1, 9]


@pytest.fixture
def coded(listed, tmp_path):
    """Makes a debugger on a recording whose events came from call sites in a folder."""

    def make(*sites, cwd=tmp_path):
        start = {"event_type": "trace_start", "event_id": "1", "metadata": {"cwd": str(cwd)}}
        events = [{"event_type": "decision", "call_site": site, "timestamp": 2e9} for site in sites]
        return Debugger(listed([start, *events]))

    (tmp_path / "app.py").write_text("".join(f"line {place}\n" for place in range(1, 21)))
    return make


def test_source_shows_the_code_of_the_call_site(coded, tmp_path):
    """Five lines each way, from where the program was started, or by an absolute path."""
    session = coded("app.py:10", f"{tmp_path}/app.py:2", "app.py:20")
    shown = last(session, "goto 2 ;; source")
    assert (shown.file, shown.line, shown.problem) == (str(tmp_path / "app.py"), 10, None)
    assert shown.rows == tuple((place, f"line {place}") for place in range(5, 16))
    assert [place for place, _ in last(session, "s ;; source").rows] == list(range(1, 8))
    assert [place for place, _ in last(session, "s ;; source").rows] == list(range(15, 21))
    assert not shown.newer
    os.utime(tmp_path / "app.py", (3e9, 3e9))
    assert last(session, "source").newer


def test_source_shows_the_body_of_a_tool(listed, tmp_path):
    """At the start and the end of a call, from its first decorator to its last line; a long one is cut, a lost one is its call."""
    body = ["@tool", "def look(", "    city", "):", *["    pass"] * 80]
    (tmp_path / "app.py").write_text("\n".join(["import x", "", *body, "", "look('Oslo')"]))
    begun = {"event_type": "trace_start", "event_id": "1", "metadata": {"cwd": str(tmp_path)}}

    def call(defined_at):
        tool = {"component": "tool", "component_name": "look", "timestamp": 2e9}
        start = tool | {"event_id": "2", "metadata": {"defined_at": defined_at}, "call_site": "app.py:88"}
        end = tool | {"event_type": "tool_call_end", "parent_event_id": "2"}
        return Debugger(listed([begun, start | {"event_type": "tool_call_start"}, end]))

    for session in (call("app.py:3"), call("app.py:4")):
        for number in (2, 3):
            shown = last(session, f"goto {number} ;; source")
            assert (shown.line, shown.rows[-1][1], shown.newer) == (shown.rows[0][0], "    pass", False)
    assert (len(shown.rows), shown.more) == (60, 23)
    assert last(call("gone.py:3"), "goto 2 ;; source").line == 88


@pytest.mark.parametrize(
    ("site", "problem"),
    [
        ("gone.py:3", "there is no such file here"),
        ("app.py:21", "the file no longer has this line"),
        ("app.py:0", "the file no longer has this line"),
        ("app.py", "this is no line of a file"),
        ("app.py:x", "this is no line of a file"),
        ("/etc/passwd:1", "only Python and namel3ss files are shown"),
        ("secret.txt:1", "only Python and namel3ss files are shown"),
        ("In[3]:1", "the trace does not hold the text of this cell"),
        ("folder.py:1", "there is no such file here"),
        ("pipe.py:1", "there is no such file here"),
        ("a\0b.py:1", "it is not a file that can be read"),
        (f"{'x' * 5000}.py:1", "it is not a file that can be read"),
    ],
)
def test_source_reads_nothing_but_programs(coded, tmp_path, site, problem):
    """A recording names any file; only a regular one of a program is read, and none that would wait."""
    (tmp_path / "secret.txt").write_text("x\n")
    (tmp_path / "folder.py").mkdir()
    os.mkfifo(tmp_path / "pipe.py")
    shown = last(coded(site), "goto 2 ;; source")
    assert (shown.problem, shown.rows) == (problem, ())
    for name in ("folder.py", "pipe.py"):
        shown = last(coded(f"{tmp_path}/{name}:1"), "goto 2 ;; source")
        assert (shown.problem, shown.rows) == ("it is not a file that can be read", ())


def test_source_of_a_cell_is_in_its_span(listed):
    """The latest cell of the name has the text, also if the code was defined in an earlier cell than the running one."""

    def cell(name, text, number):
        start = {
            "event_type": "cell_start",
            "event_id": f"{number}",
            "component": "cell",
            "component_name": name,
        }
        end = {"event_type": "cell_end", "event_id": f"{number + 1}", "parent_event_id": f"{number}"}
        return start | {"inputs": {"source": text}}, end

    first, again = cell("In[2]", "old", 1), cell("In[2]", "def ask():\n    call()", 3)
    running, end = cell("In[3]", "ask()", 5)
    call = {"event_type": "llm_call_start", "event_id": "7", "parent_event_id": "5", "call_site": "In[2]:2"}
    session = Debugger(listed([*first, *again, running, call, end]))
    shown = last(session, "goto 6 ;; source")
    assert (shown.file, shown.line, shown.problem) == ("In[2]", 2, None)
    assert shown.rows == ((1, "def ask():"), (2, "    call()"))


def test_source_reads_a_bounded_part(coded, tmp_path, monkeypatch):
    """A huge file is not read whole, and a huge line is cut."""
    monkeypatch.setattr(source_files, "MOST_BYTES", 100)
    (tmp_path / "app.py").write_text("x" * 50 + "\n" + "y" * 5000 + "\n")
    assert len(last(coded("app.py:2"), "goto 2 ;; source").rows[1][1]) == 49
    monkeypatch.setattr(source_files, "MOST_BYTES", 10_000)
    assert len(last(coded("app.py:2"), "goto 2 ;; source").rows[1][1]) == source_files.MOST_COLUMNS


def test_source_counts_lines_as_python_does(coded, tmp_path):
    """A form feed between functions and a line separator in a text end no line."""
    (tmp_path / "app.py").write_bytes("one\x0c\ntwo = 'a\u2028b\x85'\r\nthree\rfour\n".encode())
    shown = last(coded("app.py:3"), "goto 2 ;; source")
    assert shown.rows == ((1, "one\x0c"), (2, "two = 'a\u2028b\x85'"), (3, "three"), (4, "four"))


def test_source_of_an_event_without_a_call_site(session):
    """It is that of the nearest span around it that has one."""
    assert last(session, "goto 4 ;; source").line == 42
    assert last(session, "goto 6 ;; source").line == 10
    session.execute("goto 1")
    assert mistake(session, "source") == "the trace does not show where in the code event 1 came from"
    session.execute("restart")
    assert "before the first event" in mistake(session, "source")


def test_bookmarks_name_events(session, support):
    """The current one or another; a name can be given again."""
    assert last(session, "goto 7 ;; bookmark failed") == Message("bookmark failed at event 7")
    session.execute("bookmark begin 2 ;; bookmark failed 9 ;; restart ;; checkpoint zero")
    rows = last(session, "bookmark").rows
    assert rows == (
        BookmarkRow("zero", 0, None),
        BookmarkRow("begin", 2, support[1]),
        BookmarkRow("failed", 9, support[8]),
    )
    assert last(session, "info bookmarks").rows == rows
    assert last(session, "goto failed").number == 9
    for name in ("start", "end", "12", "a b c", "-x", "x" * 99, "\x1b"):
        assert isinstance(last(session, f"bookmark {name}"), Mistake)


def test_there_are_only_so_many_bookmarks(session, monkeypatch):
    """A script that sets them without end is told."""
    monkeypatch.setattr(sessions, "MOST_BOOKMARKS", 1)
    session.execute("bookmark x ;; bookmark x 3")
    assert mistake(session, "bookmark y") == "1 bookmarks are set, which is the most"


def test_mocks_are_given_and_taken_back(session, support):
    """The answer stands in place of the recorded one until it is removed, and the walk stays where it is."""
    assert last(session, 'goto 9 ;; mock search@2:{"found": 2}') == Message(
        "mock for search, this call only (event 8)"
    )
    session.execute('mock llm:"text"')
    assert last(session, "p outputs.result.found").value == 2
    assert last(session, "p metadata.recorded.outputs.result").value == "30 days"
    assert [(row.name, row.nth, row.answer) for row in last(session, "mock").rows] == [
        ("search", 2, {"found": 2}),
        ("llm", None, "text"),
    ]
    assert last(session, "info mocks") == last(session, "mock")
    assert mistake(session, "unmock serch") == "there is no mock for serch; did you mean 'search'?"
    assert last(session, "unmock search") == Message("1 mock removed")
    assert last(session, "goto 9").event == support[8]
    session.execute("mock search:1")
    assert last(session, "unmock") == Message("2 mocks removed")
    assert mistake(session, "unmock") == "there is no mock; 'mock NAME:JSON' sets one"


def test_save_is_left_to_whoever_shows_the_results(session):
    """The core knows what was said, and not how it looked."""
    assert session.execute("save notes of today.txt") == [Save("notes of today.txt")]
    assert "save needs the name of a file" in mistake(session, "save")


@pytest.fixture
def with_variables(listed):
    """A debugger on two calls in a function: its variables as differences, and the globals of its module once."""

    def call(number, values, **more):
        record = {"scope": "app.py:main"} | more
        return {
            "event_type": "tool_call_start",
            "event_id": f"{number}",
            "component": "tool",
            "metadata": {"locals": values, "locals_record": record},
        }

    def end(number):
        return {"event_type": "tool_call_end", "event_id": f"{number}", "parent_event_id": f"{number - 1}"}

    module = {"scope": "app.py", "values": {"LIMIT": 3}}
    first = call(1, {"city": "Oslo", "turn": 0, "rows": {"$type": "list"}}, globals=module)
    second = call(3, {"turn": 1}, since="1", not_compared=["rows"], module="1")
    log = {"event_type": "log_record", "event_id": "5", "component": "log"}
    return Debugger(listed([first, end(2), second, end(4), log]))


def test_locals_are_all_variables_at_the_event(with_variables):
    """Forwards and backwards, at a start and at its end, all variables of that moment are there."""
    found = last(with_variables, "goto 4 ;; locals")
    assert (found.number, found.scope) == (3, "app.py:main")
    assert found.values == {"city": "Oslo", "turn": 1, "rows": {"$type": "list"}}
    assert (found.module, found.module_number) == ({"LIMIT": 3}, 1)
    assert last(with_variables, "rs 3 ;; locals").values["turn"] == 0
    with_variables.execute("goto 5")
    assert mistake(with_variables, "locals").startswith("no variables are recorded here")


def test_print_shows_a_variable_and_how_old_it_is(with_variables):
    """A variable that was compared is a value; for another, and for a global, the event that recorded it is named."""
    assert last(with_variables, "goto 3 ;; p city").value == "Oslo"
    rows = last(with_variables, "p rows")
    assert (rows.number, rows.values, len(rows.notes)) == (1, {"rows": {"$type": "list"}}, 1)
    limit = last(with_variables, "p LIMIT")
    assert (limit.number, limit.scope, limit.values) == (1, "app.py", {"LIMIT": 3})
    assert "nowhere" in mistake(with_variables, "p nowhere")


def test_conditions_read_all_variables(with_variables):
    """A breakpoint stops where a variable has its value, although the event does not repeat it."""
    with_variables.execute('b tool if metadata.locals.city == "Oslo" and metadata.locals.turn == 1 ;; goto 0')
    assert last(with_variables, "c").number == 3
    assert last(with_variables, "p metadata.locals.city").value == "Oslo"
