"""The kinds of events in a recording: type, component, name, call site, failure. There are few, however many events.

What depends on nothing else is asked once for each kind instead of once for each event.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.totals import is_failure

MOST_KINDS: Final = 20_000
"""How many kinds are told apart by name and call site, and how many more by what is left then."""

LONGEST: Final = 1000
"""A name and a call site of more characters together are not told apart."""


class Kind(NamedTuple):
    """What events of a kind have in common.

    Attributes:
        failed: whether they say that something failed.
        told: whether their names and call sites are these; otherwise they are several that are not told apart.
    """

    event_type: str
    component: str | None
    name: str | None
    site: str | None
    failed: bool
    told: bool = True

    def event(self) -> Event:
        """The fields that every event of the kind has."""
        fields = {
            "event_type": self.event_type,
            "component": self.component,
            "component_name": self.name,
            "call_site": self.site,
            "status": "failed" if self.failed else "completed",
        }
        return {name: value for name, value in fields.items() if value is not None}


class Kinds:
    """The kinds of the events taken so far, by number.

    Attributes:
        rows: number -> kind; 0 stands for the events of which no kind is kept at all.
        times: number -> how many events there were.
    """

    def __init__(self, rows: list[Kind] | None = None, times: array[int] | None = None) -> None:
        self.rows: list[Kind | None] = [None, *(rows or ())]
        self.times = array("I", [0]) if times is None else times
        self._numbers = {tuple(kind): number for number, kind in enumerate(self.rows) if kind is not None}

    def take(self, event: Event) -> int:
        """The number of the kind of the next event."""
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
            number = self._new(Kind(*key))
        self.times[number] += 1
        return number

    def counted(self) -> Iterator[tuple[Kind, int]]:
        """Every kind with the number of its events."""
        for kind, times in zip(self.rows, self.times, strict=True):
            if kind is not None:
                yield kind, times

    def wanted(self, test: Callable[[Event], bool], *, named: bool) -> bytearray:
        """Which kinds pass a test: 1 at the number of each, else 0; also where the event itself has to be asked.

        Args:
            test: asks for nothing but what a `Kind` tells.
            named: whether it asks for the name or the call site.
        """
        asked = (kind is None or (named and not kind.told) or test(kind.event()) for kind in self.rows)
        return bytearray(asked)

    def _new(self, kind: Kind) -> int:
        """A number for a new kind; where there are very many, kinds lose their names, and in the end all else."""
        if len(self.rows) > MOST_KINDS or len(kind.name or "") + len(kind.site or "") > LONGEST:
            kind = kind._replace(name=None, site=None, told=False)
            if kind in self._numbers:
                return self._numbers[kind]
        if len(self.rows) > 2 * MOST_KINDS or len(kind.event_type) + len(kind.component or "") > LONGEST:
            return 0
        self._numbers[kind] = len(self.rows)
        self.rows.append(kind)
        self.times.append(0)
        return len(self.rows) - 1
