"""The debugger's commands: one function and one row of a table each, with names, aliases and help.

A name that pdb has means the same here, with events for lines of code and spans for calls. Commands that go backwards
are named as in gdb and rr, and no letter of pdb has another meaning.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from namel3ss_debug.errors import WrongUsageError
from namel3ss_debug.expressions import NAMES, nearest
from namel3ss_debug.replay.debugger.commands import looking, moving, sessions, source, stopping
from namel3ss_debug.replay.debugger.results import Help, HelpRow, Result
from namel3ss_debug.replay.debugger.session import DebugSession, quote

Run = Callable[[DebugSession, str], Result]


class DebuggerCommand(NamedTuple):
    """A command.

    Attributes:
        name: its name.
        aliases: its other names.
        usage: how it is written.
        help: what it does, in one line.
        group: its heading in the help.
        takes: the kind of its argument, for completion: `location`, `expression`, `event`, `breakpoint`, `command`,
            `info`, `mock`, `file`, or none of these.
        run: the function.
        repeats: whether a blank line repeats it.
        more: what `help COMMAND` adds; each line is a paragraph.
    """

    name: str
    aliases: tuple[str, ...]
    usage: str
    help: str
    group: str
    takes: str
    run: Run
    repeats: bool = True
    more: str = ""

    def row(self) -> HelpRow:
        """Return its row in the help."""
        return HelpRow(self.name, self.aliases, self.usage, self.help, self.group, self.more)


def find_command(word: str) -> DebuggerCommand:
    """Return the command with a name or an alias.

    Raises:
        WrongUsageError: there is none; the message suggests the nearest.
    """
    if word not in _BY_NAME:
        head = re.match(r"\w*", word)
        value = f"; 'print {word}' shows a value" if head and head[0] in NAMES and len(word) < 60 else ""
        hint = (
            _suggest_command(word) or nearest(word[:60], _LONG_NAMES) or f"{value}; 'help' lists the commands"
        )
        raise WrongUsageError(f"unknown command {quote(word)}{hint}")
    return _BY_NAME[word]


def _suggest_command(word: str) -> str:
    """Return the words "; did you mean ...?" for an argument without its command: an event, a search, a topic of `info`."""
    if len(word) > 60:
        return ""
    command = (
        "info"
        if word in looking.TOPICS
        else "goto"
        if word.isdecimal()
        else "search"
        if word[0] == "/"
        else ""
    )
    return f"; did you mean {quote(f'{command} {word}')}?" if command else ""


def parse_command(text: str) -> tuple[DebuggerCommand, str]:
    """Split a command from its argument; as in pdb, no space is needed before an argument that begins with a mark.

    Raises:
        WrongUsageError: there is no such command.
    """
    word, *rest = text.split(maxsplit=1)
    joined = _JOINED.match(word)
    if word not in _BY_NAME and joined is not None and joined[0] in _BY_NAME:
        return _BY_NAME[joined[0]], text[joined.end() :].strip()
    return find_command(word), rest[0].strip() if rest else ""


def _help(session: DebugSession, argument: str) -> Result:
    """Show all commands, or one of them."""
    del session
    shown = COMMANDS if not argument else (find_command(argument.split(maxsplit=1)[0]),)
    return Help(tuple(each.row() for each in shown))


_MOVES: Final = "It stops at the first breakpoint or watch on the way."
_LEVEL: Final = "A level is what happened directly inside one span; pieces of streamed answers are skipped."
_LOCATIONS: Final = (
    "A location is an event type (llm_call_end, or llm_call_start:3 for the third), a component (llm, tool:2), a name "
    "(tool:search, llm:gpt-4o, agent:Writer, search@2), error, file.py:42, /regex/, or the number of an event."
    "\nWith 'if CONDITION' it stops only where that is true; 'break if totals.cost > 0.1' tests every event."
    "\nA component or a name stops where its spans begin; with a condition every event of it is tested."
)
_EXPRESSIONS: Final = (
    "The names are the fields of the event, kind, name, llm, tool, agent, n (its number), totals.cost, totals.tokens, "
    "totals.errors, totals.ms, and state.NAME; a missing field is null."
    '\nOperators are as in Python: duration_ms > 500 and tool == "search". Functions: len lower upper startswith endswith '
    "contains matches text any all min max abs round."
)
_WAITING: Final = (
    "What the event does not have is a Python expression, such as self.city, where a live program waits: it is evaluated in "
    "the innermost function of your code that has its names, and what it does is not recorded."
)
_FROM_SELECTED: Final = "After 'up', it starts from the selected span."
_SELECTED: Final = (
    "After 'up' it reads the start of the selected span; totals and state stay those of the current event."
)

_MORE: Final[dict[str, str]] = {
    "step": f"In a live program, a step past the last event lets the program go on to its next one.\n{_MOVES}",
    "next": f"At a start, it leads to the end of that span, and from anywhere else to the next event at the same level; after the last one, to the end of the span around. Where a span never ended, to the next event outside it. {_FROM_SELECTED}\n{_LEVEL}\n{_MOVES}",
    "return": f"From an end, it leads to the end of the span around. Where the span never ended, to the end of the trace. {_FROM_SELECTED}\n{_MOVES}",
    "until": f"Without an argument, it leads to the next event at the same level or further out; at a start, unlike next, that may be a concurrent span. {_FROM_SELECTED}\nIn a live program, N may be an event that has not happened yet.\n{_MOVES}",
    "continue": "In a live program, it also ends where the program ends.",
    "goto": "Breakpoints on the way do not stop it, and count no hits. 'start' is before the first event.",
    "search": "A /REGEX/ is case-sensitive, TEXT is not; values are searched, and numbers in inputs and outputs only. The field with the match is shown below the event, as p reads it. Without an argument, the last search goes on. ?REGEX? goes backwards.",
    "reverse-step": _MOVES,
    "reverse-next": f"At an end, it leads to the start of that span, and from anywhere else to the event before at the same level; from the first one, to the start of the span around. {_FROM_SELECTED}\n{_LEVEL}\n{_MOVES}",
    "reverse-finish": f"From a start, it leads to the start of the span around. {_FROM_SELECTED}\n{_MOVES}",
    "reverse-continue": "With a watch, it leads to the event that last changed the value.",
    "rsearch": "Without an argument, the last search goes on, backwards.",
    "break": f"Without an argument, it lists what is set.\n{_LOCATIONS}",
    "breakpoint": f"Without an argument, the location is the type and the name of the current event.\n{_LOCATIONS}",
    "tbreak": f"It is deleted when it stops.\n{_LOCATIONS}",
    "watch": f"It stops at each event that changes the value; events that lack the field are passed. reverse-continue finds the event that changed it last.\n{_EXPRESSIONS}",
    "condition": "Without an expression, the condition is removed.",
    "ignore": "Ignored hits still count. Without a count, no hits are ignored.",
    "commands": "The lines that follow are the commands, up to a line 'end' or, as in pdb, up to a command that moves; commands on the same line end with it. Without N, it is the breakpoint that was set last. 'end' alone removes the commands.\nIf the first is 'silent', the stop is not shown.",
    "clear": "N is the number that 'break' lists.",
    "where": "The outermost is the first. A start and an end are inside their own span. Below the spans stands the Python stack of your code, the innermost function last; of a trace, its functions without their lines.",
    "up": "args, print, source, list and messages then read the start of that span, and retval its end; next, return, until, reverse-next and reverse-finish start from it. The next move ends the selection.",
    "down": "The innermost is the current event itself.",
    "list": "Eleven around the current event; again, those that follow; N: around N; FIRST, LAST: from one to the other, or LAST events if it is the smaller number; '.': around the current event again.",
    "longlist": "For a long span, a hundred events before and after the current one.",
    "args": f"{_SELECTED}",
    "retval": "For a start, the outputs of its end, even if that is later; for a failure, the error.",
    "print": f"{_EXPRESSIONS}\n{_WAITING}\n{_SELECTED}",
    "pp": f"{_EXPRESSIONS}\n{_WAITING}",
    "locals": "At the event where a live program waits: those of the innermost function of your code, with the attributes of self, and those of its callers. Elsewhere those that the level comprehensive has recorded.",
    "inspect": "NAME is a variable of a state_change, or the key of a memory_operation; anything else is an expression.",
    "display": f"Without an argument, it shows all of them now.\n{_EXPRESSIONS}",
    "undisplay": "N is the number that 'display' shows; without an argument, all of them.",
    "source": "At a call of a tool, its whole body; elsewhere five lines before and after the call site of the event, or of the nearest span around it that has one.",
    "messages": "The call is the one around the event, the one that requested its tool, or the latest before it in the same spans. --diff compares with the call before in the same conversation: messages added, dropped, changed, truncated.",
    "info": "A prefix is enough: info b. If it fits several topics, the first in this list is shown.",
    "mock": "JSON alone answers this call; NAME:JSON and --all NAME:JSON every call of that name, in a live program those that have not run yet. NAME is the name of a tool or a model, a component, or component:name; NAME@N only its N-th call. NAME:@file.json reads the answer from a file. The reply says which calls are meant.\nIn a trace, it is shown in place of the recorded answer, which stays beside it; in a live program, it answers the call.",
    "fault": "NAME is as for mock; FAULT is timeout, error:TYPE:TEXT, status:429, latency:2s or truncate. unmock removes it.",
    "rerun": "The program runs offline, on its recorded answers with the mocks and faults set here. This session ends; its breakpoints, watches and displays are kept, and stop nothing before this event.",
    "unmock": "Without an argument, all of them.",
    "bookmark": "goto NAME leads there.",
    "pdb": "It begins at the innermost line of your code, in the thread, task or process that waits. 'continue' and 'quit' come back here, and the program still waits. Commands that move, such as 'next', let the program go on: its events are recorded and do not stop it, until 'continue' comes back at the next event; with breakpoints of pdb, 'continue' leads to these.\nCtrl-C at its prompt discards the line. What you type there is not recorded.",
    "detach": "The session ends then. A trace has no program to detach.",
    "save": "A file that this session wrote is replaced; any other file is left alone.",
}
"""Name of a command -> what `help COMMAND` adds; each line is a paragraph."""

GROUPS: Final = ("moving", "backwards", "stopping", "looking", "answers", "session")

_TABLE: Final = (
    DebuggerCommand("step", ("s", "step_into"), "step [COUNT]", "go to the next event, into spans", "moving", "", moving.step),
    DebuggerCommand("next", ("n", "step_over"), "next [COUNT]", "go to the next event at this level, over spans", "moving", "", moving.step_over),
    DebuggerCommand("return", ("r", "finish"), "return", "go on to the end of the current span", "moving", "", moving.finish),
    DebuggerCommand("until", ("unt",), "until [N]", "go on to event N, or to the next one not deeper inside", "moving", "event", moving.until),
    DebuggerCommand("continue", ("c", "cont"), "continue", "go on to the next breakpoint, or to the end", "moving", "", moving.run_on),
    DebuggerCommand("goto", ("jump", "j"), "goto N|start|end|BOOKMARK", "move to an event by its number or name", "moving", "event", moving.goto),
    DebuggerCommand("restart", ("run",), "restart", "move before the first event", "moving", "", moving.restart),
    DebuggerCommand("search", (), "search /REGEX/|TEXT|?REGEX?", "go to the next event that holds it", "moving", "", moving.search),
    DebuggerCommand("reverse-step", ("rs", "back", "reverse-stepi", "rsi"), "reverse-step [COUNT]", "go back to the event before, into spans", "backwards", "", moving.step_back),
    DebuggerCommand("reverse-next", ("rn", "reverse-nexti", "rni"), "reverse-next [COUNT]", "go back at this level, over spans", "backwards", "", moving.step_back_over),
    DebuggerCommand("reverse-finish", ("rf",), "reverse-finish", "go back to the start of the current span", "backwards", "", moving.finish_back),
    DebuggerCommand("reverse-continue", ("rc",), "reverse-continue", "go back to the breakpoint before, or to the start", "backwards", "", moving.run_back),
    DebuggerCommand("rsearch", ("reverse-search",), "rsearch /REGEX/|TEXT", "go back to the event before that holds it", "backwards", "", moving.search_back),
    DebuggerCommand("break", ("b",), "break [LOCATION [if CONDITION]]", "set a breakpoint, or list them", "stopping", "location", stopping.set_break, repeats=False),
    DebuggerCommand("breakpoint", (), "breakpoint [LOCATION [if CONDITION]]", "set a breakpoint, here without a location", "stopping", "location", stopping.set_here, repeats=False),
    DebuggerCommand("tbreak", ("tb",), "tbreak [LOCATION [if CONDITION]]", "set a breakpoint that stops once", "stopping", "location", stopping.set_temporary, repeats=False),
    DebuggerCommand("watch", (), "watch [EXPRESSION [if CONDITION]]", "stop where the value changes", "stopping", "expression", stopping.watch, repeats=False),
    DebuggerCommand("condition", (), "condition N [EXPRESSION]", "stop at breakpoint N only where it is true", "stopping", "breakpoint", stopping.condition, repeats=False),
    DebuggerCommand("ignore", (), "ignore N [COUNT]", "ignore the next hits of breakpoint N", "stopping", "breakpoint", stopping.ignore, repeats=False),
    DebuggerCommand("commands", (), "commands [N] [COMMAND ;; ...]", "the commands that run where breakpoint N stops, up to end", "stopping", "breakpoint", stopping.commands, repeats=False),
    DebuggerCommand("enable", (), "enable [N ...|LOCATION]", "enable breakpoints again", "stopping", "breakpoint", stopping.enable, repeats=False),
    DebuggerCommand("disable", (), "disable [N ...|LOCATION]", "disable breakpoints", "stopping", "breakpoint", stopping.disable, repeats=False),
    DebuggerCommand("clear", ("cl", "delete"), "clear [N ...|LOCATION]", "delete breakpoints, or all of them", "stopping", "breakpoint", stopping.clear, repeats=False),
    DebuggerCommand("where", ("w", "bt", "backtrace"), "where", "the spans around the event, and the Python stack there", "looking", "", looking.where),
    DebuggerCommand("up", ("u",), "up [COUNT]", "select the span around", "looking", "", looking.up),
    DebuggerCommand("down", ("d",), "down [COUNT]", "select the span inside again", "looking", "", looking.down),
    DebuggerCommand("list", ("l",), "list [N|FIRST, LAST|.]", "the events around, and those after them", "looking", "event", looking.list_events),
    DebuggerCommand("longlist", ("ll",), "longlist", "all events inside the current span", "looking", "", looking.longlist),
    DebuggerCommand("args", ("a",), "args", "the inputs of the event or its span", "looking", "", looking.arguments),
    DebuggerCommand("retval", ("rv",), "retval", "the outputs of the event or its span", "looking", "", looking.returned),
    DebuggerCommand("locals", (), "locals", "the variables of your code at the event or its span", "looking", "", looking.local_variables),
    DebuggerCommand("print", ("p",), "print EXPRESSION", "the value of an expression at this event", "looking", "expression", looking.print_value),
    DebuggerCommand("pp", (), "pp EXPRESSION", "the same, all of it over several lines", "looking", "expression", looking.print_pretty),
    DebuggerCommand("inspect", (), "inspect NAME|EXPRESSION", "a recorded variable or any other value", "looking", "expression", looking.inspect),
    DebuggerCommand("whatis", (), "whatis EXPRESSION", "what kind of value it is", "looking", "expression", looking.whatis),
    DebuggerCommand("display", (), "display [EXPRESSION]", "show a value at every stop", "looking", "expression", looking.display, repeats=False),
    DebuggerCommand("undisplay", (), "undisplay [N ...|EXPRESSION]", "stop showing a value", "looking", "", looking.undisplay, repeats=False),
    DebuggerCommand("source", (), "source", "the code that the event came from", "looking", "", source.source),
    DebuggerCommand("messages", (), "messages [--diff] [N]", "what the model read at this call, or what is new in it", "looking", "event", looking.messages),
    DebuggerCommand("info", ("i",), f"info {'|'.join(looking.TOPICS)}", "what is set or open, and the running totals", "looking", "info", looking.info),
    DebuggerCommand("when", (), "when", "the number of the current event", "looking", "", looking.when),
    DebuggerCommand("mock", (), "mock [[--all] NAME:JSON|JSON]", "replace an answer", "answers", "mock", sessions.mock, repeats=False),
    DebuggerCommand("fault", (), "fault [NAME:FAULT]", "inject a fault at a call", "answers", "mock", sessions.fault, repeats=False),
    DebuggerCommand("unmock", (), "unmock [NAME]", "restore the recorded answer", "answers", "mock", sessions.unmock, repeats=False),
    DebuggerCommand("rerun", (), "rerun", "run the program again up to here, and debug it", "answers", "", sessions.rerun, repeats=False),
    DebuggerCommand("bookmark", ("checkpoint",), "bookmark [NAME [N]]", "name the event, or list the names", "session", "", sessions.bookmark, repeats=False),
    DebuggerCommand("save", (), "save FILE", "write the session so far to a file", "session", "file", sessions.save, repeats=False),
    DebuggerCommand("pdb", (), "pdb", "look around with pdb in a live program, where it waits", "session", "", sessions.run_pdb, repeats=False),
    DebuggerCommand("detach", (), "detach", "let a live program run on by itself", "session", "", sessions.detach, repeats=False),
    DebuggerCommand("help", ("h", "?"), "help [COMMAND]", "list the commands, or explain one", "session", "command", _help),
    DebuggerCommand("quit", ("q", "exit", "EOF"), "quit", "leave the debugger", "session", "", sessions.leave, repeats=False),
)  # fmt: skip

COMMANDS: Final = tuple(each._replace(more=_MORE.get(each.name, "")) for each in _TABLE)
"""Every command, group by group."""

_BY_NAME = {word: command for command in COMMANDS for word in (command.name, *command.aliases)}
_LONG_NAMES = [word for word in _BY_NAME if len(word) > 2]
_JOINED = re.compile(r"\?|[A-Za-z_-]+(?=[^\w\s-])")
