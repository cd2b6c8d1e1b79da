"""Where a walk through a recording stood, told so that the program comes there again: numbers of events differ in a re-run.

What happened inside a call that is answered, such as a request that a tool made or its look at the clock, does not
happen again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from namel3ss_debug.replay.rerunning.boundaries import VALUED
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.inputs import EVENT_TYPE as INPUTS_READ
from namel3ss_debug.wire import lenient


class Landmark(NamedTuple):
    """An event, by what is the same in a re-run.

    Attributes:
        event_type: its type.
        name: the name of its component.
        nth: of the events of this type and name, outside of answered calls, the how-manieth it is.
    """

    event_type: str
    name: str | None
    nth: int


def landmark(events: Iterable[Event], number: int) -> Landmark | None:
    """What leads a re-run to an event: inside an answered call, its start; where inputs were read, the next event.

    Args:
        events: those of the recording, from the first on.
        number: the number of the event.

    Returns:
        None where no such event is left.
    """
    counts: Counter[tuple[str, str | None]] = Counter()
    answered: dict[str, Landmark] = {}  # ids of the starts of answered calls
    inside: dict[str, Landmark] = {}  # ids of the events inside these, and the start of the outermost one
    for place, event in enumerate(events, 1):
        event_type, name = event["event_type"], lenient.string(event.get("component_name"))
        event_id, parent = event.get("event_id", ""), event.get("parent_event_id") or ""
        around = inside.get(parent)
        if around is None and not event_type.endswith("_end"):
            around = answered.get(parent)
        if around is not None:
            inside[event_id] = around
        elif event_type == INPUTS_READ:
            continue
        else:
            counts[event_type, name] += 1
            around = Landmark(event_type, name, counts[event_type, name])
            if _is_answered(event):
                answered[event_id] = around
        if place >= number:
            return around
    return None


def _is_answered(event: Event) -> bool:
    """Whether an event starts a call that is answered by a value; what no function was seen to run in happens again."""
    starts = event.get("component") in VALUED and event["event_type"].endswith("_start")
    return starts and lenient.mapping(event.get("metadata")).get("seen") is not False


def finder(wanted: Landmark, events: Callable[[int], Iterator[Event]]) -> Callable[[], int]:
    """What looks for an event in a program that runs again.

    Args:
        wanted: the event.
        events: gives the events that there are by now, from a number on.

    Returns:
        A function that gives the number of the event; 0 as long as it has not come.
    """
    looked_at = met = 0

    def find() -> int:
        nonlocal looked_at, met
        for event in events(looked_at + 1) if met < wanted.nth else ():
            looked_at += 1
            met += (event["event_type"], event.get("component_name")) == wanted[:2]
            if met == wanted.nth:
                break
        return looked_at if met == wanted.nth else 0

    return find
