"""Name the breakpoints and overrides that no call of a program matched, with the closest names that there are.

A mistyped name is no error while a program runs: the call may still be made. Once the program has ended, or if a trace
shows what it calls, the user learns which names match nothing.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from typing import Final, NamedTuple, Protocol

from namel3ss_debug.errors import MockError
from namel3ss_debug.expressions import event_scope, name_fits
from namel3ss_debug.expressions.unmet import UnmetExpression
from namel3ss_debug.replay.debugger.breakpoints import StopPoint
from namel3ss_debug.replay.debugger.locations import (
    Location,
    TraceContents,
    count_contents,
    location_name,
    nearest_site,
)
from namel3ss_debug.replay.overrides.active import find_override_calls
from namel3ss_debug.replay.overrides.faults import Fault
from namel3ss_debug.replay.overrides.grammar import in_line, split_name
from namel3ss_debug.replay.overrides.mocks import Mock
from namel3ss_debug.traces.events import Event

MOST_NAMES: Final = 6
_NOUNS: Final = {"llm": "model", "mcp": "MCP call", "http": "HTTP exchange", "log": "logger"}
_FIRST: Final = ("tool", "llm", "agent")
"""The components whose names a user most likely meant; the others follow."""


class HasEvents(Protocol):
    """A trace, as far as it is needed here."""

    def events(self) -> Iterator[Event]:
        """Yield all events in order."""


class UnhitBreakpoint(NamedTuple):
    """The number and the location of a breakpoint that was not hit."""

    number: int
    location: Location


def find_unhit(stops: Iterable[StopPoint], of_settings: Container[int] = ()) -> list[UnhitBreakpoint]:
    """Return the breakpoints of a session that were never hit.

    Args:
        stops: the breakpoints and watches.
        of_settings: the numbers of those that the settings have set. Settings are not about one program alone, so it
            is no mistake if one of these is never hit.
    """
    return [
        UnhitBreakpoint(stop.number, stop.breakpoint.parsed)
        for stop in stops
        if stop.breakpoint is not None and stop.enabled and not stop.hits and stop.number not in of_settings
    ]


def describe_unhit(unhit: Sequence[UnhitBreakpoint], trace: HasEvents) -> Iterator[str]:
    """Yield a line for each breakpoint whose location no event of the program entered, or too few.

    Of a breakpoint whose location was entered, and whose condition was never true there, the line says why.

    Args:
        unhit: the breakpoints that were never hit.
        trace: the events of the program, which has ended.
    """
    if not unhit:
        return
    entries = [0] * len(unhit)
    conditions = [
        None if each.location.condition is None else UnmetExpression(each.location.condition)
        for each in unhit
    ]
    for number, event in enumerate(trace.events(), 1):
        for index, each in enumerate(unhit):
            entries[index] += each.location.enters(event)
            condition = conditions[index]
            if condition is not None and each.location.covers(event):
                condition.note(event_scope(number, event))
    contents = count_contents(trace.events())
    for each, entered, condition in zip(unhit, entries, conditions, strict=True):
        start = f"Breakpoint {each.number} ({in_line(each.location.text)}) was never hit"
        named = location_name(each.location.text)
        if entered and (each.location.occurrence or 0) > entered:
            yield f"{start}; the program has only {entered} of it."
        elif entered and condition is not None:
            times = "once" if entered == 1 else f"{entered:,} times"
            why = condition.describe_missing()
            yield f"Breakpoint {each.number} was reached {times} and its condition never held{f': {why}' if why else ''}."
        elif not entered and named is not None:
            yield f"{start}{_describe_names(*named, contents, 'the program has')}."
        elif not entered and each.location.number is None:
            site = nearest_site(each.location.text, contents)
            yield start + (site or ".")


def describe_missing_fields(stops: Iterable[StopPoint], trace: HasEvents) -> Iterator[str]:
    """Yield a line for each watch that was never hit and reads a field that no event has.

    Args:
        stops: the breakpoints and watches of a session.
        trace: the events of the program, which has ended.
    """
    tried = [
        (stop.number, UnmetExpression(stop.watch))
        for stop in stops
        if stop.watch is not None and stop.enabled and not stop.hits
    ]
    if not tried:
        return
    for number, event in enumerate(trace.events(), 1):
        scope = event_scope(number, event)
        for _, watched in tried:
            watched.note(scope)
    for number, watched in tried:
        missing = watched.describe_missing()
        if missing:
            yield f"Watch {number} was never hit: {missing}."


def describe_mismatches(stops: Iterable[StopPoint], trace: HasEvents) -> Iterator[str]:
    """Yield a line for each breakpoint whose condition compares values of different types, hit or not.

    Args:
        stops: the breakpoints and watches of a session.
        trace: the events of the program, which has ended.
    """
    tried = [
        (stop.number, stop.breakpoint.parsed, UnmetExpression(stop.breakpoint.parsed.condition))
        for stop in stops
        if stop.breakpoint is not None and stop.enabled and stop.breakpoint.parsed.condition is not None
    ]
    if not tried:
        return
    for number, event in enumerate(trace.events(), 1):
        for _, location, condition in tried:
            if location.covers(event):
                condition.note(event_scope(number, event))
    for number, _, condition in tried:
        mismatches = condition.expression.describe_mismatches()
        if mismatches:
            yield f"Breakpoint {number}: {mismatches}."


def describe_unknown(breakpoints: Iterable[UnhitBreakpoint], contents: TraceContents) -> Iterator[str]:
    """Yield a line for each breakpoint whose name is not in the trace of a program that is about to run again.

    New code may call more, so this is no error.

    Args:
        breakpoints: the breakpoints.
        contents: what the trace holds.
    """
    for each in breakpoints:
        named = location_name(each.location.text)
        if named is not None and contents.complete and not count_calls(*named, contents):
            names = _describe_names(*named, contents, "the trace has")
            yield f"Breakpoint {each.number} ({in_line(each.location.text)}) may never be hit{names}."


def describe_unused(overrides: Iterable[Mock | Fault], contents: TraceContents) -> Iterator[str]:
    """Yield a line for each mock and fault that no call of the program could match.

    Args:
        overrides: the mocks and faults; optional ones are left out.
        contents: what the program has called.
    """
    for override in overrides:
        try:
            find_override_calls(override, contents)
        except MockError:
            component, name = split_name(override.name, contents)
            noun = "Fault" if isinstance(override, Fault) else "Mock"
            made = count_calls(component, name, contents)
            if made:
                times = "only once" if made == 1 else f"only {made} times"
                yield f"{noun} {in_line(override.name)}@{override.nth} was never used; it was called {times}."
            else:
                names = _describe_names(component, name, contents, "the program has")
                yield f"{noun} {in_line(override.name)} was never used{names}."


def count_calls(component: str | None, name: str | None, contents: TraceContents) -> int:
    """Return how many calls, or entries into other spans, a component and a name mean; None means any of them."""
    if name is None:
        return contents.components[component or ""]
    kinds = contents.names if component is None else [component]
    return sum(
        times
        for kind in kinds
        for other, times in contents.names.get(kind, {}).items()
        if name_fits(other, name)
    )


def _describe_names(component: str | None, name: str | None, contents: TraceContents, subject: str) -> str:
    """Return the words `; the program has tools convert, lookup`, the closest names first; empty if there are none."""
    listed = []
    room = MOST_NAMES
    meant = (name or "").casefold()
    kinds = sorted(
        contents.names, key=lambda kind: (_FIRST.index(kind) if kind in _FIRST else len(_FIRST), kind)
    )
    for kind in kinds if component is None else [component]:
        names = [other for other, times in contents.names.get(kind, {}).items() if times]
        names.sort(key=lambda other: (-SequenceMatcher(None, other.casefold(), meant).ratio(), other))
        shown = names[:room]
        room -= len(shown)
        if shown:
            noun = _NOUNS.get(kind, kind) + "s" * (len(names) != 1)
            more = ", ..." if len(shown) < len(names) else ""
            listed.append(f"{noun} {', '.join(map(in_line, shown))}{more}")
    return f"; {subject} {' and '.join(listed)}" if listed else ""
