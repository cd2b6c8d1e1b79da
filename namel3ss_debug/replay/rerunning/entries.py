"""Which event of a program that runs begins the N-th call at a place, counted as the events come."""

from __future__ import annotations

from dataclasses import dataclass, replace

from namel3ss_debug.replay.recording.breakpoints import Place
from namel3ss_debug.replay.recording.nth import Nth
from namel3ss_debug.replay.rerunning.boundaries import ANSWERED
from namel3ss_debug.traces.events import Event


@dataclass(frozen=True)
class _Count:
    """How often a place was entered, and the entry that it means as soon as there is one."""

    place: Place
    times: int = 0
    found: Nth | None = None


class Entries:
    """Counts the calls at the places that are asked for; each from when it was first asked for.

    What gets no answer is not counted: an agent may have the name of a tool.
    """

    def __init__(self) -> None:
        self._counts: dict[Place, _Count] = {}

    def heard(self, number: int, event: Event) -> None:
        """An event has come."""
        if event.get("component") not in ANSWERED:
            return
        for place, count in self._counts.items():
            if count.found is None and place.enters(event):
                times = count.times + 1
                found = Nth(number, event.get("event_id")) if times == place.occurrence else None
                self._counts[place] = replace(count, times=times, found=found)

    def find(self, place: Place) -> Nth | None:
        """The entry that a place with an occurrence means; None as long as there were not so many."""
        return self._counts.setdefault(place, _Count(place)).found
