"""The debugger's commands: one function each, in one table with their names, aliases and help.

A name that pdb has means here what it means there, moved from lines of code to events; what goes backwards is
named as in gdb and rr.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from namel3ss_debug.errors import PlaceError, WrongUsageError
from namel3ss_debug.expressions import compile_expression, nearest
from namel3ss_debug.replay.breakpoints import Breakpoint, parse_place
from namel3ss_debug.replay.results import (
    Breakpoints,
    Help,
    HelpRow,
    Listing,
    Message,
    OpenSpans,
    Quit,
    Result,
    Stack,
    TotalsSoFar,
    Value,
)
from namel3ss_debug.replay.walk import Walk

_LISTED = 11
_MOST_LISTED = 1000

Run = Callable[[Walk, str], Result]


class Command(NamedTuple):
    """A command: what it is called, how it is written, what it does, and whether a blank line repeats it."""

    name: str
    aliases: tuple[str, ...]
    usage: str
    help: str
    run: Run
    repeats: bool = True


def find_command(word: str) -> Command:
    """The command that goes by a name or an alias.

    Raises:
        WrongUsageError: there is none; the message suggests the nearest.
    """
    if word not in _BY_NAME:
        raise WrongUsageError(
            f"unknown command {word!r}{nearest(word, _LONG_NAMES)}; 'help' lists the commands"
        )
    return _BY_NAME[word]


def _help(_: Walk, argument: str) -> Result:
    asked = COMMANDS if not argument else (find_command(argument.split(maxsplit=1)[0]),)
    return Help(tuple(HelpRow(each.name, each.aliases, each.usage, each.help) for each in asked))


def _step(walk: Walk, argument: str) -> Result:
    return walk.step(_count(argument))


def _reverse_step(walk: Walk, argument: str) -> Result:
    return walk.step(-_count(argument))


def _next(walk: Walk, argument: str) -> Result:
    return walk.past_chunks(_count(argument))


def _reverse_next(walk: Walk, argument: str) -> Result:
    return walk.past_chunks(-_count(argument))


def _continue(walk: Walk, argument: str) -> Result:
    _nothing(argument, "continue")
    return walk.run()


def _reverse_continue(walk: Walk, argument: str) -> Result:
    _nothing(argument, "reverse-continue")
    return walk.run_back()


def _goto(walk: Walk, argument: str) -> Result:
    total = walk.total
    named = {"start": 0, "end": total}
    number = named[argument] if argument in named else _number(argument, "goto N, goto start or goto end")
    if not 0 <= number <= total:
        raise WrongUsageError(
            f"there is no event {number}; the recording has {total} events, numbered from 1"
        )
    return walk.go(number)


def _restart(walk: Walk, argument: str) -> Result:
    _nothing(argument, "restart")
    return walk.go(0)


def _break(walk: Walk, argument: str) -> Result:
    return _set(walk, argument, temporary=False) if argument else Breakpoints(walk.rows())


def _tbreak(walk: Walk, argument: str) -> Result:
    return _set(walk, argument, temporary=True) if argument else Breakpoints(walk.rows())


def _set(walk: Walk, argument: str, *, temporary: bool) -> Result:
    parse_place(argument)  # a place that does not parse need not wait for the recording to be read
    number = walk.add(Breakpoint(parse_place(argument, walk.known), temporary=temporary))
    return Message(f"{'temporary breakpoint' if temporary else 'breakpoint'} {number} at {argument.strip()}")


def _clear(walk: Walk, argument: str) -> Result:
    """Without an argument all, otherwise by number or by place."""
    if not walk.breakpoints:
        raise WrongUsageError("there are no breakpoints; 'break PLACE' sets one")
    numbers = list(walk.breakpoints) if not argument else _chosen(walk, argument)
    for number in numbers:
        walk.remove(number)
    return Message(f"deleted breakpoint{'s' * (len(numbers) > 1)} {' '.join(map(str, numbers))}")


def _chosen(walk: Walk, argument: str) -> list[int]:
    places = [number for number, found in walk.breakpoints.items() if found.parsed.text == argument]
    if places:
        return places
    words = argument.split()
    if not all(word.isdecimal() and int(word) in walk.breakpoints for word in words):
        there = ", ".join(f"{row.number} at {row.place}" for row in walk.rows())
        raise PlaceError(f"there is no breakpoint {argument}; there are {there}")
    return list(dict.fromkeys(map(int, words)))


def _enable(walk: Walk, argument: str) -> Result:
    return _switch(walk, argument, on=True)


def _disable(walk: Walk, argument: str) -> Result:
    return _switch(walk, argument, on=False)


def _switch(walk: Walk, argument: str, *, on: bool) -> Result:
    if not walk.breakpoints:
        raise WrongUsageError("there are no breakpoints; 'break PLACE' sets one")
    for number in _chosen(walk, argument) if argument else list(walk.breakpoints):
        walk.breakpoints[number] = replace(walk.breakpoints[number], enabled=on)
    return Breakpoints(walk.rows())


def _where(walk: Walk, argument: str) -> Result:
    _nothing(argument, "where")
    return Stack(walk.stack(), walk.position, walk.event)


def _print(walk: Walk, argument: str) -> Result:
    if not argument:
        raise WrongUsageError("print needs an expression, such as print outputs.text")
    return Value(argument, walk.value(compile_expression(argument)))


def _list(walk: Walk, argument: str) -> Result:
    """`list`, `list N` around it, `list FIRST, LAST`."""
    words = argument.replace(",", " ").split()
    numbers = [_number(word, "list, list N or list FIRST, LAST") for word in words]
    if len(numbers) > 2:
        raise WrongUsageError("write list, list N or list FIRST, LAST")
    middle = numbers[0] if numbers else walk.position
    first = max(1, middle - _LISTED // 2)
    last = first + _LISTED - 1
    if len(numbers) == 2:
        first, last = max(1, numbers[0]), min(numbers[1], numbers[0] + _MOST_LISTED - 1)
    return Listing(walk.around(first, last), walk.position)


def _info(walk: Walk, argument: str) -> Result:
    topics: dict[str, Callable[[], Result]] = {
        "breakpoints": lambda: Breakpoints(walk.rows()),
        "spans": lambda: OpenSpans(walk.state.frames()),
        "totals": lambda: _totals(walk),
        "cost": lambda: _totals(walk),
        "errors": lambda: _totals(walk),
    }
    if argument not in topics:
        said = f"there is no info {argument!r}{nearest(argument, list(topics))}; " if argument else ""
        raise WrongUsageError(f"{said}write info {'|'.join(topics)}")
    return topics[argument]()


def _totals(walk: Walk) -> TotalsSoFar:
    totals = walk.state.totals
    return TotalsSoFar(walk.position, walk.total, totals.cost, totals.tokens, totals.errors, totals.ms)


def _quit(_walk: Walk, _argument: str) -> Result:
    return Quit()


def _nothing(argument: str, name: str) -> None:
    if argument:
        raise WrongUsageError(f"{name} takes no argument, not {argument!r}")


def _count(argument: str) -> int:
    count = _number(argument, "a number of events") if argument else 1
    if count < 1:
        raise WrongUsageError(f"{argument} is no number of events; write 1 or more")
    return count


def _number(word: str, usage: str) -> int:
    if not (word.isdecimal() and len(word) <= 15):
        raise WrongUsageError(f"{word!r} is not a number; write {usage}" if word else f"write {usage}")
    return int(word)


COMMANDS: tuple[Command, ...] = (
    Command("help", ("h", "?"), "help [COMMAND]", "list the commands, or explain one", _help),
    Command("step", ("s", "step_into"), "step [COUNT]", "go to the next event", _step),
    Command("next", ("n", "step_over"), "next [COUNT]", "go to the next event, past stream chunks", _next),
    Command("reverse-step", ("rs", "back"), "reverse-step [COUNT]", "go back to the event before", _reverse_step),
    Command("reverse-next", ("rn",), "reverse-next [COUNT]", "go back to the event before, past chunks", _reverse_next),
    Command("continue", ("c", "cont"), "continue", "go on to the next breakpoint, or to the end", _continue),
    Command("reverse-continue", ("rc",), "reverse-continue", "go back to the breakpoint before, or the start", _reverse_continue),
    Command("goto", (), "goto N|start|end", "go to an event by its number", _goto),
    Command("restart", ("run",), "restart", "go before the first event", _restart),
    Command("break", ("b", "breakpoint"), "break [PLACE [if CONDITION]]", "set a breakpoint, or list them", _break),
    Command("tbreak", (), "tbreak [PLACE [if CONDITION]]", "set a breakpoint that stops once", _tbreak),
    Command("clear", ("cl",), "clear [NUMBER ...|PLACE]", "delete breakpoints, or all of them", _clear, repeats=False),
    Command("enable", (), "enable [NUMBER ...|PLACE]", "make breakpoints stop again", _enable),
    Command("disable", (), "disable [NUMBER ...|PLACE]", "keep breakpoints from stopping", _disable),
    Command("where", ("w", "bt"), "where", "the spans that the current event is inside", _where),
    Command("print", ("p",), "print EXPRESSION", "the value of an expression at the current event", _print),
    Command("list", ("l",), "list [N|FIRST, LAST]", "the events around the current one", _list),
    Command("info", ("i",), "info breakpoints|spans|totals|cost|errors", "what is set, open, or added up so far", _info),
    Command("quit", ("q", "exit"), "quit", "leave the debugger", _quit, repeats=False),
)  # fmt: skip
"""Every command. The letters of pdb that are missing here wait for the meaning they have there."""

_BY_NAME = {word: command for command in COMMANDS for word in (command.name, *command.aliases)}
_LONG_NAMES = [word for word in _BY_NAME if len(word) > 2]
