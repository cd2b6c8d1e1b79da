"""Name the breakpoints and overrides that no call of a program matched, with the closest names that there are.

A mistyped name is no error while a program runs: the call may still come. Once the program has ended, or where a trace
tells what it calls, the user learns which names fit nothing.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from typing import Final, NamedTuple, Protocol

from namel3ss_debug.errors import MockError
from namel3ss_debug.expressions import name_fits
from namel3ss_debug.replay.given.answers import calls_of
from namel3ss_debug.replay.given.calls import in_line, parts
from namel3ss_debug.replay.given.faults import Fault
from namel3ss_debug.replay.given.mocks import Mock
from namel3ss_debug.replay.recording.breakpoints import Known, Place, know, name_of_place, nearest_site
from namel3ss_debug.replay.walking.stops import Stop
from namel3ss_debug.traces.events import Event

MOST_NAMES: Final = 6
_NOUNS: Final = {"llm": "model", "mcp": "MCP call", "http": "HTTP exchange", "log": "logger"}
_FIRST: Final = ("tool", "llm", "agent")
"""The components whose names a user most likely meant; the others follow."""


class Events(Protocol):
    """A trace, as far as it is needed here."""

    def events(self) -> Iterator[Event]:
        """All events in order."""


class Wanted(NamedTuple):
    """A breakpoint by its number and place."""

    number: int
    place: Place


def unhit(stops: Iterable[Stop], of_settings: Container[int] = ()) -> list[Wanted]:
    """Return the breakpoints of a session that were never hit.

    Args:
        stops: what is set.
        of_settings: the numbers of those that the settings have set. Settings are not about one program alone, so it
            is no mistake if one of these stops nowhere.
    """
    return [
        Wanted(stop.number, stop.breakpoint.parsed)
        for stop in stops
        if stop.breakpoint is not None and stop.enabled and not stop.hits and stop.number not in of_settings
    ]


def describe_unhit(wanted: Sequence[Wanted], trace: Events) -> Iterator[str]:
    """Yield a line for each breakpoint whose place no event of the program entered, or too few.

    A breakpoint whose place was entered, and whose condition was never true there, is no mistake.

    Args:
        wanted: the breakpoints that were never hit.
        trace: the events of the program, which has ended.
    """
    if not wanted:
        return
    entries = [0] * len(wanted)
    for event in trace.events():
        for index, each in enumerate(wanted):
            entries[index] += each.place.enters(event)
    known = know(trace.events())
    for each, entered in zip(wanted, entries, strict=True):
        start = f"Breakpoint {each.number} ({in_line(each.place.text)}) was never hit"
        named = name_of_place(each.place.text)
        if entered and (each.place.occurrence or 0) > entered:
            yield f"{start}; the program has {'only 1' if entered == 1 else f'only {entered}'} of it."
        elif not entered and named is not None:
            yield f"{start}{_describe_names(*named, known, 'the program has')}."
        elif not entered and each.place.number is None:
            site = nearest_site(each.place.text, known)
            yield start + (site or ".")


def describe_unknown(wanted: Iterable[Wanted], known: Known) -> Iterator[str]:
    """Yield a line for each breakpoint whose name is not in the trace of a program that is about to run again.

    New code may call more, so this is no error.

    Args:
        wanted: the breakpoints.
        known: what the trace holds.
    """
    for each in wanted:
        named = name_of_place(each.place.text)
        if named is not None and known.complete and not count_calls(*named, known):
            names = _describe_names(*named, known, "the trace has")
            yield f"Breakpoint {each.number} ({in_line(each.place.text)}) may never be hit{names}."


def describe_unused(given: Iterable[Mock | Fault], known: Known) -> Iterator[str]:
    """Yield a line for each mock and fault that no call of the program could match.

    Args:
        given: the mocks and faults; those of the settings that fit no call are passed over.
        known: what the program has called.
    """
    for what in given:
        try:
            calls_of(what, known)
        except MockError:
            component, name = parts(what.name, known)
            noun = "Fault" if isinstance(what, Fault) else "Mock"
            made = count_calls(component, name, known)
            if made:
                times = "only once" if made == 1 else f"only {made} times"
                yield f"{noun} {in_line(what.name)}@{what.nth} was never used; it was called {times}."
            else:
                names = _describe_names(component, name, known, "the program has")
                yield f"{noun} {in_line(what.name)} was never used{names}."


def count_calls(component: str | None, name: str | None, known: Known) -> int:
    """Return how many calls, or entries into other spans, a component and a name mean; None means any of them."""
    if name is None:
        return known.components[component or ""]
    kinds = known.names if component is None else [component]
    return sum(
        times for kind in kinds for held, times in known.names.get(kind, {}).items() if name_fits(held, name)
    )


def _describe_names(component: str | None, name: str | None, known: Known, subject: str) -> str:
    """Return the words `; the program has tools convert, lookup`, the closest names first; empty if there are none."""
    listed = []
    room = MOST_NAMES
    kinds = sorted(
        known.names, key=lambda kind: (_FIRST.index(kind) if kind in _FIRST else len(_FIRST), kind)
    )
    for kind in kinds if component is None else [component]:
        names = [held for held, times in known.names.get(kind, {}).items() if times]
        names.sort(key=lambda held: (-_likeness(held, name or ""), held))
        shown = names[:room]
        room -= len(shown)
        if shown:
            more = ", ..." if len(shown) < len(names) else ""
            listed.append(f"{_noun(kind, len(names))} {', '.join(map(in_line, shown))}{more}")
    return f"; {subject} {' and '.join(listed)}" if listed else ""


def _noun(kind: str, count: int) -> str:
    """Return what the calls of a component are called: `tool`, `tools`."""
    noun = _NOUNS.get(kind, kind)
    return noun if count == 1 else f"{noun}s"


def _likeness(one: str, other: str) -> float:
    """Return how alike two names are, from 0 to 1, but for upper and lower case."""
    return SequenceMatcher(None, one.casefold(), other.casefold()).ratio()
