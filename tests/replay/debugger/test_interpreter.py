"""The debugger's core: lines of commands in, results out."""

from __future__ import annotations

import json

import pytest

from namel3ss_debug.errors import ExpressionError, MockError, PlaceError
from namel3ss_debug.replay.debugger.breakpoints import Breakpoint
from namel3ss_debug.replay.debugger.commands import COMMANDS
from namel3ss_debug.replay.debugger.interpreter import Debugger, split_commands
from namel3ss_debug.replay.debugger.results import Message, Mistake, Quit, Stopped, Value, to_json
from namel3ss_debug.replay.overrides.mocks import parse_mock


def numbers(session, *lines):
    """Where the walk stands after each line."""
    found = []
    for line in lines:
        session.execute(line)
        found.append(session.stepper.position)
    return found


def told(results):
    """The kinds of results, and what is in those that are one value."""
    return [
        result.number
        if isinstance(result, Stopped)
        else result.value
        if isinstance(result, Value)
        else type(result).__name__
        for result in results
    ]


def mistake(session, line):
    """The text of the one mistake that a line is."""
    (result,) = session.execute(line)
    assert isinstance(result, Mistake)
    assert "\n" not in result.text
    return result.text


def test_a_blank_line_repeats_the_last_command(session):
    """As in pdb; what sets or deletes something is not done again."""
    assert numbers(session, "step 2", "", "  ", "rs", "") == [2, 4, 6, 5, 4]
    for line in ("break llm", "watch n", "display n", "bookmark x", "ignore 1 2", "mock search:1", "clear 1"):
        assert session.execute(line)
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
    assert split_commands(r'mock t:"say \"hi" ;; p "\";;"') == [r'mock t:"say \"hi"', r'p "\";;"']


@pytest.mark.parametrize(
    ("line", "value"),
    [("p(n)", 3), ("p[n]", [3]), ("p\tn", 3), ("print   n + 1 ", 4), ('p"x"', "x"), ("p n ;;", 3)],
)
def test_a_mark_may_follow_a_command_at_once(session, line, value):
    """As in pdb, `p(n)` is `p (n)`."""
    session.execute("goto 3")
    assert session.execute(line)[0].value == value


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("contineu", "unknown command 'contineu'; did you mean 'continue'?"),
        ("zzz", "unknown command 'zzz'; 'help' lists the commands"),
        ("errors", "unknown command 'errors'; did you mean 'info errors'?"),
        ("cost", "unknown command 'cost'; did you mean 'info cost'?"),
        ("12", "unknown command '12'; did you mean 'goto 12'?"),
        ("/S-00", "unknown command '/S-00'; did you mean 'search /S-00'?"),
        ("outputs.text", "unknown command 'outputs.text'; 'print outputs.text' shows a value; 'help'"),
        ("x" * 5000, "unknown command 'xxx"),
        ("help zzz", "unknown command 'zzz'; 'help' lists the commands"),
        ("\x1b[2J", r"unknown command '\x1b[2J'"),
        ("b tool:serch", "tool:serch: the trace has no such name; did you mean 'search'?"),
        ("b 17", "the trace has 16 events"),
        ("b llm if", "llm if: a condition is needed after 'if', such as duration_ms > 500"),
        ("b llm if toknes > 5", "expression, column 1: unknown name 'toknes'"),
        ("tbreak /(/", "/(/: the pattern is not a regular expression"),
        ("watch totals.", "expression, column"),
        ("watch 1 + 1", "1 + 1: nothing in it can change"),
        ("display", ""),
        ("step 0", "0 times is not possible; write how many as a number from 1"),
        ("step x", "'x' is not a number; write how many as a number from 1"),
        ("step -1", "'-1' is not a number"),
        ("step " + "9" * 5000, "is not a number"),
        ("next ²", "is not a number"),
        ("continue 3", "continue takes no argument, not '3'"),
        ("return 3", "return takes no argument, not '3'"),
        *(
            (f"{command} 3", f"{command} takes no argument, not '3'")
            for command in (
                "where",
                "longlist",
                "args",
                "retval",
                "source",
                "when",
                "restart",
                "detach",
                "quit",
            )
        ),
        ("reverse-finish 3", "reverse-finish takes no argument, not '3'"),
        ("reverse-continue 3", "reverse-continue takes no argument, not '3'"),
        ("condition 1", "there are no breakpoints; 'break LOCATION' sets one"),
        ("commands 1", "there are no breakpoints; 'break LOCATION' sets one"),
        ("mock search:{1}", "not JSON at column"),
        ("mock serch:1", "did you mean 'search'?"),
        ("unmock search", "there is no mock for search; 'mock NAME:JSON' sets one"),
        ("save", "save needs the name of a file"),
        ("breakpoint", "breakpoint sets one at the current event, and there is none before the first"),
        ("inspect", "inspect needs an expression, such as inspect outputs.text"),
    ],
)
def test_a_mistake_is_one_line_and_the_session_goes_on(session, line, message):
    """What is wrong, the nearest that is right, and the next command works."""
    if message:
        found = mistake(session, line)
        assert message in found
        assert len(found) < 400
        assert "\x1b" not in found
    assert numbers(session, "s") == [1]
    assert session.stepper.stops.rows() == ()


def test_quit_ends_the_session(session):
    """What stands after it on the line is not done."""
    for word in ("q", "quit", "exit", "EOF"):
        session.ended = False
        assert session.execute(f"{word} ;; s") == [Quit()]
        assert (session.ended, session.stepper.position) == (True, 0)


def test_breakpoints_and_mocks_can_be_given_from_the_beginning(listed, support):
    """They are checked against the recording at once."""
    given = ["error", Breakpoint("llm", condition="n > 11"), "13", Breakpoint("14", temporary=True)]
    session = Debugger(listed(support), given, ["search@2:1"])
    assert numbers(session, "c", "c", "c", "c", "c") == [7, 12, 13, 14, 15]
    assert [row.number for row in session.stepper.stops.rows()] == [1, 2, 3]
    assert session.execute("goto 9 ;; p outputs.result")[1].value == 1
    assert (
        Debugger(listed(support), overrides=[parse_mock('llm:"x"')]).stepper.overrides.rows()[0].answer == "x"
    )
    with pytest.raises(PlaceError, match="did you mean 'search'"):
        Debugger(listed(support), ["tool:serch"])
    with pytest.raises(ExpressionError):
        Debugger(listed(support), ["llm if ("])
    with pytest.raises(MockError):
        Debugger(listed(support), overrides=["nowhere:1"])


def test_commands_of_a_breakpoint_are_collected_line_by_line(session):
    """Lines up to `end` belong to it; a line that is no command is refused and left out, and nothing is done yet."""
    session.execute("break error")
    assert (
        session.execute("commands 1")[0].text
        == "type the commands of breakpoint 1, one on each line, and end"
    )
    assert session.collecting
    assert session.execute("print error") == []
    assert "unknown command 'prnit'" in mistake(session, "prnit n")
    assert "cannot stand among the commands of a breakpoint" in mistake(session, "commands 1")
    assert session.execute("") == []
    assert session.execute("p n ;; where") == []
    assert session.execute("end") == [Message("breakpoint 1 has 3 commands")]
    assert not session.collecting
    assert session.stepper.position == 0
    assert session.execute("") == []
    assert told(session.execute("continue ;; p tool")) == [7, "Read timed out", 7, "Stack", "search"]
    assert session.stepper.stops.rows()[0].commands == ("print error", "p n", "where")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("commands 1 p n ;; p tool", ("p n", "p tool")),
        ("commands p n", ("p n",)),
        ("commands 1 ;; p n ;; end", ("p n",)),
        ("commands 1 p n ;; end ;; goto 2", ("p n",)),
        ("commands 1 end", ()),
        ("commands ;; end", ()),
        ("commands 1 silent ;; continue", ("silent", "continue")),
        ("commands 1 p n ;; up ;; rs ;; goto 2", ("p n", "up", "rs")),
        ("commands 1 quit ;; end ;; goto 2", ("quit",)),
    ],
)
def test_commands_can_be_given_on_one_line(session, line, expected):
    """They end with the line or with `end`, after which the rest of the line is done; none takes them away."""
    session.execute("break error ;; commands 1 w")
    results = session.execute(line)
    assert not any(isinstance(result, Mistake) for result in results)
    assert not session.collecting
    assert session.stepper.stops.rows()[0].commands == expected
    assert session.stepper.position == (2 if "goto" in line else 0)


def test_a_command_that_moves_ends_the_commands_of_a_breakpoint(session):
    """As in pdb; `end`, which gdb wants, may follow, once."""
    session.execute("break error ;; commands 1")
    assert session.execute("p n") == []
    assert session.execute("c") == [Message("breakpoint 1 has 2 commands")]
    assert not session.collecting
    assert session.execute("end") == []
    assert numbers(session, "s", "") == [1, 2]
    assert "unknown command 'end'" in mistake(session, "end")


def test_commands_that_are_none_are_refused_on_one_line(session):
    """What the breakpoint had stays."""
    session.execute("break error ;; commands 1 w")
    for line in ("commands 1 foo", "commands 1 p n ;; foo", "commands 1 commands 1"):
        assert isinstance(session.execute(line)[-1], Mistake)
        assert not session.collecting
    assert session.stepper.stops.rows()[0].commands == ("w",)
    assert "there is no breakpoint 2" in mistake(session, "commands 2")


def test_a_breakpoint_whose_commands_go_on_does_not_stop(session):
    """With `silent` nothing is said of the stop; a command that moves is the last; the stops on the way are told in order."""
    session.execute("break tool ;; commands 1 silent ;; p n ;; continue")
    session.execute("break error ;; commands 2 continue")
    assert told(session.execute("continue ;; p tool")) == [5, 7, 8, 16, None]
    session.execute("clear 2")
    assert told(session.execute("reverse-continue")) == [8, 16]


def test_commands_run_where_a_temporary_breakpoint_or_a_watch_stopped(session):
    """The breakpoint is gone, and what it had to do is done; a watch has commands as well."""
    session.execute("tbreak error ;; commands 1 p n")
    session.execute("watch state.turns ;; commands 2 p state.turns")
    assert told(session.execute("continue")) == [7, 7]
    assert [row.number for row in session.stepper.stops.rows()] == [2]
    assert told(session.execute("continue")) == [10, 1]


def test_a_mistake_among_the_commands_ends_the_line(session):
    """What comes after it is not done, and the walk stays where the breakpoint stopped."""
    session.execute("break error ;; commands 1 goto 99 ;; p n")
    results = session.execute("continue ;; step")
    assert [type(result).__name__ for result in results] == ["Stopped", "Mistake"]
    assert session.stepper.position == 7


def test_every_result_is_json(session):
    """One object for each result, for programs that drive the debugger."""
    lines = [
        "b error ;; watch state.turns ;; display n ;; c ;; c ;; l ;; ll ;; w ;; p outputs ;; a ;; retval",
        "source ;; messages ;; messages --diff ;; mock search:1 ;; bookmark x ;; bookmark ;; display ;; when ;; save x",
        "info spans ;; info totals ;; info breakpoints ;; info tools ;; info cost ;; info errors ;; info mocks",
        "foo",
        "help ;; q",
    ]
    results = [result for line in lines for result in session.execute(line)]
    answers = [json.loads(json.dumps(to_json(result))) for result in results]
    assert {answer["result"] for answer in answers} == {
        *(
            "message",
            "stopped",
            "listing",
            "stack",
            "value",
            "source",
            "messages",
            "messagechanges",
            "bookmarks",
        ),
        *(
            "displays",
            "openspans",
            "totalssofar",
            "breakpoints",
            "calls",
            "failures",
            "mocksinforce",
            "mistake",
        ),
        *("save", "help", "quit"),
    }
    assert (answers[3]["breakpoint"], answers[3]["displayed"][0]["value"]) == (1, 7)
    assert answers[4]["changed"] == {"old": None, "new": 1}


def test_detach_is_for_a_program(listed, support):
    """In a recording nothing can be let go, which one line says; help and the commands of a breakpoint know it."""
    session = Debugger(listed(support), ["llm"])
    for line in ("detach", "p 1;;detach"):
        assert (
            session.execute(line)[-1].text
            == "detach lets a running program go, and a trace has none; quit leaves"
        )
    assert not session.ended
    assert session.execute("help detach")[0].rows[0].help == "let a live program run on by itself"
    session.execute("commands")
    assert session.execute("detach")[0].text == "breakpoint 1 has 1 command"


def test_no_letter_of_pdb_has_another_meaning():
    """Whoever types pdb's letters blindly gets what they mean there; every command has one meaning."""
    pdb = {
        "h": "help", "w": "where", "d": "down", "u": "up", "b": "break", "cl": "clear", "s": "step", "n": "next",
        "unt": "until", "r": "return", "c": "continue", "cont": "continue", "j": "goto", "l": "list", "ll": "longlist",
        "a": "args", "p": "print", "rv": "retval", "q": "quit", "exit": "quit", "bt": "where", "run": "restart",
        "pp": "pp", "whatis": "whatis", "source": "source", "display": "display", "undisplay": "undisplay",
        "tbreak": "tbreak", "ignore": "ignore", "condition": "condition", "commands": "commands", "EOF": "quit",
    }  # fmt: skip
    ours = {word: command.name for command in COMMANDS for word in (command.name, *command.aliases)}
    assert {word: ours[word] for word in pdb} == pdb
    assert len(ours) == sum(1 + len(command.aliases) for command in COMMANDS)
    assert {word for word in ours if len(word) == 1} - set(pdb) == {"?", "i"}


def test_help_lists_every_command_group_by_group(session):
    """Each with its names; one command is explained by any of its names, with more than its line."""
    rows = session.execute("help")[0].rows
    assert len(rows) == len(COMMANDS)
    groups = list(dict.fromkeys(row.group for row in rows))
    assert groups == ["moving", "backwards", "stopping", "looking", "answers", "session"]
    assert [row.group for row in rows] == sorted((row.group for row in rows), key=groups.index)
    assert all(row.usage.startswith(row.name) and len(row.help) < 60 for row in rows)
    (explained,) = session.execute("h rc")[0].rows
    assert explained.name == "reverse-continue"
    assert "watch" in explained.more
    assert session.execute("?")[0].rows == rows
    assert session.execute("?rc")[0].rows == (explained,)


def test_it_walks_through_a_real_trace(written, support):
    """The same on a file, through its index."""
    session = Debugger(written(support))
    assert numbers(session, "b error", "c", "rs", "goto end", "rc") == [0, 7, 6, 16, 7]


def test_an_empty_recording_has_nowhere_to_go(listed):
    """No move or look fails on it without a word."""
    session = Debugger(listed([]))
    moves = ["s", "n", "r", "unt", "c", "rs", "rn", "rf", "rc", "goto 0", "restart"]
    looks = [
        "w",
        "l",
        "ll",
        "p n",
        "info totals",
        "info spans",
        "info errors",
        "info tools",
        "b",
        "display n",
    ]
    assert not any(isinstance(result, Mistake) for line in moves + looks for result in session.execute(line))
    for line in ("a", "rv", "source", "messages", "up", "down", "search x", "b llm", "b 1", "goto 1"):
        assert mistake(session, line)
    assert session.stepper.position == 0
