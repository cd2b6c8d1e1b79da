"""The debugger's commands: one function each, in one table with their names, aliases and help.

A name that pdb has means here what it means there, moved from lines of code to events and from calls to spans; what
goes backwards is named as in gdb and rr, and no letter of pdb has another meaning.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from namel3ss_debug.errors import WrongUsageError
from namel3ss_debug.expressions import NAMES, nearest
from namel3ss_debug.replay.results import Help, HelpRow, Result
from namel3ss_debug.replay.walking.commands import (
    conversation,
    looking,
    moving,
    searching,
    sessions,
    source,
    stopping,
    told,
)
from namel3ss_debug.replay.walking.commands.arguments import shown
from namel3ss_debug.replay.walking.commands.more import MORE
from namel3ss_debug.replay.walking.session import Session

__all__ = ["COMMANDS", "GROUPS", "Command", "find_command", "parse_command"]

Run = Callable[[Session, str], Result]


class Command(NamedTuple):
    """A command.

    Attributes:
        name: what it is called.
        aliases: what else it is called.
        usage: how it is written.
        help: what it does, in a line.
        group: where it stands in the help.
        takes: what its argument is, for completion: `place`, `expression`, `event`, `breakpoint`, `command`, `info`,
            `mock`, `file`, or nothing of these.
        run: what does it.
        repeats: whether a blank line repeats it.
        more: the rest of the help.
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
        """How the help shows it."""
        return HelpRow(self.name, self.aliases, self.usage, self.help, self.group, self.more)


def find_command(word: str) -> Command:
    """The command that goes by a name or an alias.

    Raises:
        WrongUsageError: there is none; the message suggests the nearest.
    """
    if word not in _BY_NAME:
        head = re.match(r"\w*", word)
        value = f"; 'print {word}' shows a value" if head and head[0] in NAMES and len(word) < 60 else ""
        hint = _meant(word) or nearest(word[:60], _LONG_NAMES) or f"{value}; 'help' lists the commands"
        raise WrongUsageError(f"unknown command {shown(word)}{hint}")
    return _BY_NAME[word]


def _meant(word: str) -> str:
    """The words "; did you mean ...?" for what is no command but stands behind one: an event, a search, a topic of `info`."""
    if len(word) > 60:
        return ""
    command = (
        "info" if word in told.TOPICS else "goto" if word.isdecimal() else "search" if word[0] == "/" else ""
    )
    return f"; did you mean {shown(f'{command} {word}')}?" if command else ""


def parse_command(text: str) -> tuple[Command, str]:
    """A command and its argument; as in pdb, no space is needed where the argument begins with a mark.

    Raises:
        WrongUsageError: there is no such command.
    """
    word, *rest = text.split(maxsplit=1)
    joined = _JOINED.match(word)
    if word not in _BY_NAME and joined is not None and joined[0] in _BY_NAME:
        return _BY_NAME[joined[0]], text[joined.end() :].strip()
    return find_command(word), rest[0].strip() if rest else ""


def _help(session: Session, argument: str) -> Result:
    """All commands, or one of them."""
    del session
    asked = COMMANDS if not argument else (find_command(argument.split(maxsplit=1)[0]),)
    return Help(tuple(each.row() for each in asked))


GROUPS: Final = ("moving", "backwards", "stopping", "looking", "answers", "session")

_TABLE: Final = (
    Command("step", ("s", "step_into"), "step [COUNT]", "go to the next event, into spans", "moving", "", moving.step),
    Command("next", ("n", "step_over"), "next [COUNT]", "go to the next event at this level, over spans", "moving", "", moving.step_over),
    Command("return", ("r", "finish"), "return", "go on to the end of the current span", "moving", "", moving.finish),
    Command("until", ("unt",), "until [N]", "go on to event N, or to the next one not deeper inside", "moving", "event", moving.until),
    Command("continue", ("c", "cont"), "continue", "go on to the next breakpoint, or to the end", "moving", "", moving.run_on),
    Command("jump", ("j",), "jump N|BOOKMARK", "move to an event without stopping on the way", "moving", "event", moving.jump),
    Command("goto", (), "goto N|start|end|BOOKMARK", "move to an event by its number or name", "moving", "event", moving.goto),
    Command("restart", ("run",), "restart", "move before the first event", "moving", "", moving.restart),
    Command("search", (), "search /REGEX/|TEXT|?REGEX?", "go to the next event that holds it", "moving", "", searching.search),
    Command("reverse-step", ("rs", "back", "reverse-stepi", "rsi"), "reverse-step [COUNT]", "go back to the event before, into spans", "backwards", "", moving.step_back),
    Command("reverse-next", ("rn", "reverse-nexti", "rni"), "reverse-next [COUNT]", "go back at this level, over spans", "backwards", "", moving.step_back_over),
    Command("reverse-finish", ("rf",), "reverse-finish", "go back to the start of the current span", "backwards", "", moving.finish_back),
    Command("reverse-continue", ("rc",), "reverse-continue", "go back to the breakpoint before, or to the start", "backwards", "", moving.run_back),
    Command("rsearch", ("reverse-search",), "rsearch /REGEX/|TEXT", "go back to the event before that holds it", "backwards", "", searching.search_back),
    Command("break", ("b",), "break [PLACE [if CONDITION]]", "set a breakpoint, or list them", "stopping", "place", stopping.set_break, repeats=False),
    Command("breakpoint", (), "breakpoint [PLACE [if CONDITION]]", "set a breakpoint, here without a place", "stopping", "place", stopping.set_here, repeats=False),
    Command("tbreak", ("tb",), "tbreak [PLACE [if CONDITION]]", "set a breakpoint that stops once", "stopping", "place", stopping.set_temporary, repeats=False),
    Command("watch", (), "watch [EXPRESSION [if CONDITION]]", "stop where the value changes", "stopping", "expression", stopping.watch, repeats=False),
    Command("condition", (), "condition N [EXPRESSION]", "stop at breakpoint N only where it is true", "stopping", "breakpoint", stopping.condition, repeats=False),
    Command("ignore", (), "ignore N [COUNT]", "let the next hits of breakpoint N pass", "stopping", "breakpoint", stopping.ignore, repeats=False),
    Command("commands", (), "commands [N] [COMMAND ;; ...]", "what is done where breakpoint N stops, up to end", "stopping", "breakpoint", stopping.commands, repeats=False),
    Command("enable", (), "enable [N ...|PLACE]", "let breakpoints stop again", "stopping", "breakpoint", stopping.enable, repeats=False),
    Command("disable", (), "disable [N ...|PLACE]", "keep breakpoints from stopping", "stopping", "breakpoint", stopping.disable, repeats=False),
    Command("clear", ("cl", "delete"), "clear [N ...|PLACE]", "delete breakpoints, or all of them", "stopping", "breakpoint", stopping.clear, repeats=False),
    Command("where", ("w", "bt", "backtrace"), "where", "the spans that the current event is inside", "looking", "", looking.where),
    Command("up", ("u",), "up [COUNT]", "choose the span around", "looking", "", looking.up),
    Command("down", ("d",), "down [COUNT]", "choose the span inside again", "looking", "", looking.down),
    Command("list", ("l",), "list [N|FIRST, LAST|.]", "the events around, and those after them", "looking", "event", looking.list_events),
    Command("longlist", ("ll",), "longlist", "all events inside the current span", "looking", "", looking.longlist),
    Command("args", ("a",), "args", "the inputs of the event or its span", "looking", "", looking.arguments),
    Command("retval", ("rv",), "retval", "the outputs of the event or its span", "looking", "", looking.returned),
    Command("print", ("p",), "print EXPRESSION", "the value of an expression at this event", "looking", "expression", looking.print_value),
    Command("pp", (), "pp EXPRESSION", "the same, all of it over several lines", "looking", "expression", looking.print_pretty),
    Command("inspect", (), "inspect NAME|EXPRESSION", "a recorded variable or any other value", "looking", "expression", looking.inspect),
    Command("whatis", (), "whatis EXPRESSION", "what kind of value it is", "looking", "expression", looking.whatis),
    Command("display", (), "display [EXPRESSION]", "show a value at every stop", "looking", "expression", looking.display, repeats=False),
    Command("undisplay", (), "undisplay [N ...|EXPRESSION]", "show it no longer", "looking", "", looking.undisplay, repeats=False),
    Command("source", (), "source", "the code that the event came from", "looking", "", source.source),
    Command("messages", (), "messages [--diff] [N]", "what the model read at this call, or what is new in it", "looking", "event", conversation.messages),
    Command("info", ("i",), f"info {'|'.join(told.TOPICS)}", "what is set, open, or added up so far", "looking", "info", told.info),
    Command("when", (), "when", "the number of the current event", "looking", "", told.when),
    Command("mock", (), "mock [NAME:JSON]", "give an answer in place of the recorded one", "answers", "mock", sessions.mock, repeats=False),
    Command("fault", (), "fault [NAME:FAULT]", "let a call go wrong", "answers", "mock", sessions.fault, repeats=False),
    Command("unmock", (), "unmock [NAME]", "let the recorded answer stand again", "answers", "mock", sessions.unmock, repeats=False),
    Command("rerun", (), "rerun", "run the program again up to here, and debug it", "answers", "", sessions.rerun, repeats=False),
    Command("bookmark", ("checkpoint",), "bookmark [NAME [N]]", "give the event a name, or list the names", "session", "", sessions.bookmark, repeats=False),
    Command("save", (), "save FILE", "write down what was shown so far", "session", "file", sessions.save, repeats=False),
    Command("detach", (), "detach", "let a live program run on by itself", "session", "", sessions.detach, repeats=False),
    Command("help", ("h", "?"), "help [COMMAND]", "list the commands, or explain one", "session", "command", _help),
    Command("quit", ("q", "exit", "EOF"), "quit", "leave the debugger", "session", "", sessions.leave, repeats=False),
)  # fmt: skip

COMMANDS: Final = tuple(each._replace(more=MORE.get(each.name, "")) for each in _TABLE)
"""Every command, group by group."""

_BY_NAME = {word: command for command in COMMANDS for word in (command.name, *command.aliases)}
_LONG_NAMES = [word for word in _BY_NAME if len(word) > 2]
_JOINED = re.compile(r"\?|[A-Za-z_-]+(?=[^\w\s-])")
