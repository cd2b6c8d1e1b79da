"""Find an event of a trace again in its re-run, where event numbers differ.

What happened inside an answered call, such as an HTTP request of a tool, does not happen again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from namel3ss_debug.replay.rerun.requests import VALUED
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.inputs import EVENT_TYPE as INPUTS_READ
from namel3ss_debug.wire import lenient


class EventPosition(NamedTuple):
    """An event, by what stays the same in a re-run.

    Attributes:
        event_type: its type.
        name: the name of its component.
        nth: which event of this type and name it is, from 1, outside of answered calls.
    """

    event_type: str
    name: str | None
    nth: int


def find_position(events: Iterable[Event], number: int) -> EventPosition | None:
    """Return the position of an event; inside an answered call, that of the call; of an input, that of the next event.

    Args:
        events: those of the trace, from the first on.
        number: the number of the event.

    Returns:
        None if no such event is left.
    """
    counts: Counter[tuple[str, str | None]] = Counter()
    answered: dict[str, EventPosition] = {}  # ids of the starts of answered calls
    # Id of an event inside an answered call -> the start of the outermost such call.
    inside: dict[str, EventPosition] = {}
    for place, event in enumerate(events, 1):
        event_type, name = event["event_type"], lenient.string(event.get("component_name"))
        event_id, parent = event.get("event_id", ""), event.get("parent_event_id") or ""
        enclosing = inside.get(parent)
        if enclosing is None and not event_type.endswith("_end"):
            enclosing = answered.get(parent)
        if enclosing is not None:
            inside[event_id] = enclosing
        elif event_type == INPUTS_READ:
            continue
        else:
            counts[event_type, name] += 1
            enclosing = EventPosition(event_type, name, counts[event_type, name])
            if _is_answered(event):
                answered[event_id] = enclosing
        if place >= number:
            return enclosing
    return None


def _is_answered(event: Event) -> bool:
    """Return whether an event starts a call that is answered by a value; calls that were only reported happen again."""
    starts = event.get("component") in VALUED and event["event_type"].endswith("_start")
    return starts and lenient.mapping(event.get("metadata")).get("seen") is not False


def make_finder(wanted: EventPosition, events: Callable[[int], Iterator[Event]]) -> Callable[[], int]:
    """Return a function that finds an event in a program that runs again.

    Args:
        wanted: the event.
        events: returns the events so far, from a number on.

    Returns:
        A function that returns the number of the event; 0 before it has happened.
    """
    looked_at = matched = 0

    def find() -> int:
        nonlocal looked_at, matched
        for event in events(looked_at + 1) if matched < wanted.nth else ():
            looked_at += 1
            matched += (event["event_type"], event.get("component_name")) == wanted[:2]
            if matched == wanted.nth:
                break
        return looked_at if matched == wanted.nth else 0

    return find
