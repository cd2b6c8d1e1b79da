"""The commands that say where the walk stops: breakpoints, watches, and what is done there."""

from __future__ import annotations

import re

from namel3ss_debug.errors import PlaceError, WrongUsageError
from namel3ss_debug.replay.given.calls import in_line
from namel3ss_debug.replay.recording.breakpoints import Breakpoint, parse_place
from namel3ss_debug.replay.results import Breakpoints, Message, Result
from namel3ss_debug.replay.walking.commands.arguments import number
from namel3ss_debug.replay.walking.session import Collecting, Session
from namel3ss_debug.replay.walking.stops import Stop, parse_watch, set_condition

_PLAIN_TYPE = re.compile(r"[A-Za-z_][\w.]*")
_LONGEST_NAME = 1000


def set_break(session: Session, argument: str) -> Result:
    """A breakpoint at a place; without one, the breakpoints."""
    return _set(session, argument) if argument else Breakpoints(session.walk.rows())


def set_temporary(session: Session, argument: str) -> Result:
    """A breakpoint that stops once; without a place, the breakpoints."""
    return _set(session, argument, temporary=True) if argument else Breakpoints(session.walk.rows())


def set_here(session: Session, argument: str) -> Result:
    """A breakpoint at a place; without one, at what the current event is."""
    if argument:
        return _set(session, argument)
    event = session.walk.event
    if event is None:
        raise WrongUsageError("breakpoint sets one at the current event, and there is none before the first")
    event_type, name = event["event_type"], event.get("component_name")
    if not _PLAIN_TYPE.fullmatch(event_type) or len(name or "") > _LONGEST_NAME:
        return _set(session, str(session.walk.position))
    return _set(session, event_type if name is None else f"{event_type} if component_name == {name!r}")


def watch(session: Session, argument: str) -> Result:
    """A watch of an expression; without one, the breakpoints and watches."""
    if not argument:
        return Breakpoints(session.walk.rows())
    stop = session.walk.stops.add(parse_watch(argument))
    return Message(f"{stop.called} on {stop.place}")


def condition(session: Session, argument: str) -> Result:
    """Another condition for a breakpoint, or none."""
    stop, text = _numbered(session, argument, "condition N EXPRESSION")
    set_condition(stop, text)
    asked = f"stops at {stop.place}" if text else "has no condition any more"
    return Message(f"{stop.called} {asked}")


def ignore(session: Session, argument: str) -> Result:
    """Let the next hits of a breakpoint pass."""
    stop, text = _numbered(session, argument, "ignore N COUNT")
    stop.ignore = number(text, "ignore N COUNT") if text else 0
    if not stop.ignore:
        return Message(f"{stop.called} stops at its next hit")
    hits = "hit passes" if stop.ignore == 1 else f"{stop.ignore} hits pass"
    return Message(f"the next {hits} by {stop.called}")


def commands(session: Session, argument: str) -> Result:
    """Begin to collect what is done where a breakpoint stops."""
    if not argument or not argument.split(maxsplit=1)[0].isdecimal():
        argument = f"{session.walk.stops.latest} {argument}".strip()
    stop, first = _numbered(session, argument, "commands N, and the commands on lines of their own")
    session.collecting = Collecting(stop, [first] if first else [], one_line=bool(first))
    return Message(f"type the commands of {stop.called}, one on each line, and end")


def clear(session: Session, argument: str) -> Result:
    """Take breakpoints away: by number, by place, or all."""
    stops = session.walk.stops
    chosen = _chosen(session, argument)
    for stop in chosen:
        stops.remove(stop.number)
    names = ("watch", "watches") if all(stop.watch for stop in chosen) else ("breakpoint", "breakpoints")
    return Message(f"deleted {names[len(chosen) > 1]} {' '.join(str(stop.number) for stop in chosen)}")


def enable(session: Session, argument: str) -> Result:
    """Let breakpoints stop again."""
    return _switch(session, argument, on=True)


def disable(session: Session, argument: str) -> Result:
    """Keep breakpoints from stopping."""
    return _switch(session, argument, on=False)


def _set(session: Session, argument: str, *, temporary: bool = False) -> Result:
    walk = session.walk
    parse_place(argument)  # what does not parse need not wait for the recording to be read
    place = parse_place(argument, walk.known)
    stop = walk.stops.add(Stop(breakpoint=Breakpoint(place), temporary=temporary))
    return Message(f"{stop.called} at {stop.place}")


def _switch(session: Session, argument: str, *, on: bool) -> Result:
    for stop in _chosen(session, argument):
        stop.enabled = on
    return Breakpoints(session.walk.rows())


def _numbered(session: Session, argument: str, usage: str) -> tuple[Stop, str]:
    """The breakpoint whose number comes first, and what stands behind it."""
    word, _, rest = argument.partition(" ")
    if not len(session.walk.stops):
        raise _none_set()
    stop = session.walk.stops.find(number(word, usage))
    if stop is None:
        raise _not_there(session, word)
    return stop, rest.strip()


def _chosen(session: Session, argument: str) -> list[Stop]:
    """Those of a place, or those of the numbers, or all where nothing is said."""
    stops = list(session.walk.stops)
    if not stops:
        raise _none_set()
    if not argument:
        return stops
    named = [stop for stop in stops if stop.place == argument]
    if named and not argument.isdecimal():
        return named
    words = dict.fromkeys(argument.replace(",", " ").split())
    by_number = {str(stop.number): stop for stop in stops}
    chosen = [by_number[word] for word in words if word in by_number]
    if len(chosen) < len(words):
        raise _not_there(session, argument)
    return chosen


def _none_set() -> WrongUsageError:
    return WrongUsageError("there are no breakpoints; 'break PLACE' sets one")


def _not_there(session: Session, argument: str) -> PlaceError:
    rows = session.walk.rows()
    there = ", ".join(f"{row.number} at {in_line(row.place)}" for row in rows[:6])
    more = ", ..." if len(rows) > 6 else ""
    return PlaceError(f"there is no breakpoint {in_line(argument)}; those set: {there}{more}")
