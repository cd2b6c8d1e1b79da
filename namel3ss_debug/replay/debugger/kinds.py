"""The kinds of events in a trace: type, component, name, call site, failure. There are few, however many events.

A test that reads nothing else of an event is evaluated once for each kind instead of once for each event.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.totals import is_failure

MOST_KINDS: Final = 20_000
"""How many kinds are kept with name and call site, and how many more without."""

LONGEST: Final = 1000
"""A name and a call site of more characters together are not kept."""


class EventKind(NamedTuple):
    """The fields that events of a kind have in common.

    Attributes:
        failed: whether they report a failure.
        exact: whether name and call site are those of the events; otherwise the kind stands for many of them.
    """

    event_type: str
    component: str | None
    name: str | None
    site: str | None
    failed: bool
    exact: bool = True

    def to_event(self) -> Event:
        """Return an event with the fields of the kind."""
        fields = {
            "event_type": self.event_type,
            "component": self.component,
            "component_name": self.name,
            "call_site": self.site,
            "status": "failed" if self.failed else "completed",
        }
        return {name: value for name, value in fields.items() if value is not None}


class EventKinds:
    """The kinds of the events added so far, by number.

    Attributes:
        rows: number -> kind; 0 stands for the events of which no kind is kept.
        times: number -> how many events there were.
    """

    def __init__(self) -> None:
        self.rows: list[EventKind | None] = [None]
        self.times = array("I", [0])
        self._numbers: dict[tuple[object, ...], int] = {}

    def add(self, event: Event) -> int:
        """Count the next event, and return the number of its kind."""
        key = (
            event["event_type"],
            event.get("component"),
            event.get("component_name"),
            event.get("call_site"),
            is_failure(event),
            True,
        )
        number = self._numbers.get(key)
        if number is None:
            number = self._add_kind(EventKind(*key))
        self.times[number] += 1
        return number

    def count(self) -> Iterator[tuple[EventKind, int]]:
        """Yield every kind with the number of its events."""
        for kind, times in zip(self.rows, self.times, strict=True):
            if kind is not None:
                yield kind, times

    def select(self, test: Callable[[Event], bool], *, named: bool) -> bytearray:
        """Return 1 at the number of each kind that passes a test, and where the event itself must be read; else 0.

        Args:
            test: reads nothing but the fields of an `EventKind`.
            named: whether it reads the name or the call site.
        """
        return bytearray(
            kind is None or (named and not kind.exact) or test(kind.to_event()) for kind in self.rows
        )

    def _add_kind(self, kind: EventKind) -> int:
        """Return a number for a new kind. Past the limits a kind loses its name and call site, and then all else."""
        if len(self.rows) > MOST_KINDS or len(kind.name or "") + len(kind.site or "") > LONGEST:
            kind = kind._replace(name=None, site=None, exact=False)
            if kind in self._numbers:
                return self._numbers[kind]
        if len(self.rows) > 2 * MOST_KINDS or len(kind.event_type) + len(kind.component or "") > LONGEST:
            return 0
        self._numbers[kind] = len(self.rows)
        self.rows.append(kind)
        self.times.append(0)
        return len(self.rows) - 1
