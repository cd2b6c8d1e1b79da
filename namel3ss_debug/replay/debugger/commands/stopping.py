"""The commands for breakpoints and watches, and for the commands that run there."""

from __future__ import annotations

import re

from namel3ss_debug.errors import PlaceError, WrongUsageError
from namel3ss_debug.replay.debugger.breakpoints import Breakpoint, StopPoint, parse_watch
from namel3ss_debug.replay.debugger.locations import parse_location
from namel3ss_debug.replay.debugger.results import Breakpoints, Message, Result
from namel3ss_debug.replay.debugger.session import CommandList, DebugSession, parse_number
from namel3ss_debug.replay.overrides.grammar import in_line

_PLAIN_TYPE = re.compile(r"[A-Za-z_][\w.]*")
_LONGEST_NAME = 1000
_NONE_SET = "there are no breakpoints; 'break LOCATION' sets one"


def set_break(session: DebugSession, argument: str) -> Result:
    """Set a breakpoint at a location; without one, list the breakpoints."""
    return _set(session, argument) if argument else Breakpoints(session.stepper.stops.rows())


def set_temporary(session: DebugSession, argument: str) -> Result:
    """Set a breakpoint that stops once; without a location, list the breakpoints."""
    return _set(session, argument, temporary=True) if argument else Breakpoints(session.stepper.stops.rows())


def set_here(session: DebugSession, argument: str) -> Result:
    """Set a breakpoint at a location; without one, at the type and name of the current event."""
    if argument:
        return _set(session, argument)
    event = session.stepper.event
    if event is None:
        raise WrongUsageError("breakpoint sets one at the current event, and there is none before the first")
    event_type, name = event["event_type"], event.get("component_name")
    if not _PLAIN_TYPE.fullmatch(event_type) or len(name or "") > _LONGEST_NAME:
        return _set(session, str(session.stepper.position))
    return _set(session, event_type if name is None else f"{event_type} if component_name == {name!r}")


def watch(session: DebugSession, argument: str) -> Result:
    """Watch an expression; without one, list the breakpoints and watches."""
    if not argument:
        return Breakpoints(session.stepper.stops.rows())
    stop = session.stepper.stops.add(parse_watch(argument))
    return Message(f"{stop.title} on {stop.location}")


def condition(session: DebugSession, argument: str) -> Result:
    """Replace the condition of a breakpoint, or remove it."""
    stop, text = _parse_numbered(session, argument, "condition N EXPRESSION")
    stop.set_condition(text)
    return Message(f"{stop.title} {f'stops at {stop.location}' if text else 'no longer has a condition'}")


def ignore(session: DebugSession, argument: str) -> Result:
    """Ignore the next hits of a breakpoint."""
    stop, text = _parse_numbered(session, argument, "ignore N COUNT")
    stop.ignore = parse_number(text, "ignore N COUNT") if text else 0
    if not stop.ignore:
        return Message(f"{stop.title} stops at its next hit")
    hits = "hit" if stop.ignore == 1 else f"{stop.ignore} hits"
    return Message(f"the next {hits} of {stop.title} will not stop")


def commands(session: DebugSession, argument: str) -> Result:
    """Begin to collect the commands of a breakpoint."""
    if not argument or not argument.split(maxsplit=1)[0].isdecimal():
        argument = f"{session.stepper.stops.latest} {argument}".strip()
    stop, first = _parse_numbered(session, argument, "commands N, and the commands on lines of their own")
    session.collecting = CommandList(stop, [first] if first else [], one_line=bool(first))
    return Message(f"type the commands of {stop.title}, one on each line, and end")


def clear(session: DebugSession, argument: str) -> Result:
    """Delete breakpoints: by number, by location, or all."""
    stops = session.stepper.stops
    chosen = _parse_chosen(session, argument)
    for stop in chosen:
        stops.remove(stop.number)
    names = ("watch", "watches") if all(stop.watch for stop in chosen) else ("breakpoint", "breakpoints")
    return Message(f"deleted {names[len(chosen) > 1]} {' '.join(str(stop.number) for stop in chosen)}")


def enable(session: DebugSession, argument: str) -> Result:
    """Enable breakpoints."""
    return _switch(session, argument, on=True)


def disable(session: DebugSession, argument: str) -> Result:
    """Disable breakpoints."""
    return _switch(session, argument, on=False)


def _set(session: DebugSession, argument: str, *, temporary: bool = False) -> Result:
    stepper = session.stepper
    parse_location(argument)  # an error need not wait until a large trace is read for its contents
    location = parse_location(argument, stepper.contents)
    stop = stepper.stops.add(StopPoint(breakpoint=Breakpoint(location), temporary=temporary))
    return Message(f"{stop.title} at {stop.location}")


def _switch(session: DebugSession, argument: str, *, on: bool) -> Result:
    for stop in _parse_chosen(session, argument):
        stop.enabled = on
    return Breakpoints(session.stepper.stops.rows())


def _parse_numbered(session: DebugSession, argument: str, usage: str) -> tuple[StopPoint, str]:
    """Parse the number of a breakpoint, and return the breakpoint and the rest of the argument."""
    word, _, rest = argument.partition(" ")
    if not len(session.stepper.stops):
        raise WrongUsageError(_NONE_SET)
    stop = session.stepper.stops.find(parse_number(word, usage))
    if stop is None:
        raise _no_such_breakpoint(session, word)
    return stop, rest.strip()


def _parse_chosen(session: DebugSession, argument: str) -> list[StopPoint]:
    """Return the breakpoints of a location, or of some numbers, or all of them."""
    stops = list(session.stepper.stops)
    if not stops:
        raise WrongUsageError(_NONE_SET)
    if not argument:
        return stops
    named = [stop for stop in stops if stop.location == argument]
    if named and not argument.isdecimal():
        return named
    words = dict.fromkeys(argument.replace(",", " ").split())
    by_number = {str(stop.number): stop for stop in stops}
    chosen = [by_number[word] for word in words if word in by_number]
    if len(chosen) < len(words):
        raise _no_such_breakpoint(session, argument)
    return chosen


def _no_such_breakpoint(session: DebugSession, argument: str) -> PlaceError:
    rows = session.stepper.stops.rows()
    there = ", ".join(f"{row.number} at {in_line(row.location)}" for row in rows[:6])
    more = ", ..." if len(rows) > 6 else ""
    return PlaceError(f"there is no breakpoint {in_line(argument)}; those set: {there}{more}")
