"""The one entry that a place such as `search@2` means, and its end.

Recordings of other writers may have an id more than once, even of spans that are open at the same time.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from namel3ss_debug.traces.events import Event, begins_span, ends_span


class Nth(NamedTuple):
    """The entry that a place with an occurrence means.

    Attributes:
        number: its number.
        event_id: its id, by which its end is known; None where it begins no span.
        end: the number of its end; 0 where that has not come, or is not looked for.
    """

    number: int
    event_id: str | None
    end: int = 0

    def covers(self, number: int, event: Event) -> bool:
        """Whether an event is this entry or its end, which may have come since."""
        if number <= self.number:  # an id may stand in the trace before: what ends there is another span
            return number == self.number
        if self.end:
            return number == self.end
        return ends_span(event["event_type"]) and event.get("parent_event_id") == self.event_id is not None


def entered(number: int, event: Event, end: int) -> Nth:
    """The entry that begins with this event, with the number of its end if it is known."""
    return Nth(number, event.get("event_id") if begins_span(event["event_type"]) else None, end)


def end_of(start: Event, rest: Iterable[tuple[int, Event]]) -> int:
    """The number of the end of a span among the events behind its start; 0 where there is none.

    Of several spans with one id the latest that is open ends first.
    """
    event_id, inner = start.get("event_id"), 0
    if event_id is None or not begins_span(start["event_type"]):
        return 0
    for number, event in rest:
        kind = event["event_type"]
        if begins_span(kind) and event.get("event_id") == event_id:
            inner += 1
        elif ends_span(kind) and event.get("parent_event_id") == event_id:
            if not inner:
                return number
            inner -= 1
    return 0
