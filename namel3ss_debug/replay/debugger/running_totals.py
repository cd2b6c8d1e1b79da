"""Running totals at any event of a trace: time, tokens, cost, the calls of each tool and model, changed variables.

Each sum is kept as it was after every event that added to it. A sum at any event is then one search in a sorted array,
for a step back as for a step forward. Sums are whole numbers (1e-12 dollars, nanoseconds), so that they are exactly
what adding up the events in order gives.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any, Final

from namel3ss_debug.prices import PICODOLLARS
from namel3ss_debug.replay.debugger.kinds import EventKind
from namel3ss_debug.replay.debugger.results import CallRow
from namel3ss_debug.replay.debugger.variables import STATE_EVENTS, read_state
from namel3ss_debug.traces.costs import Seller, call_cost, seller_of
from namel3ss_debug.traces.events import Event, without_pauses
from namel3ss_debug.traces.facts import has_failed, states_amounts
from namel3ss_debug.traces.totals import RunningTotals, Totals

CALLED: Final = ("tool", "llm")
"""The components whose calls are counted."""

MOST_NAMES: Final = 1000
"""How many tools, models and variables are counted separately."""

OTHERS: Final = "(others)"
"""Stands for the tools or models past `MOST_NAMES`."""

MOST_CHANGES: Final = 4_000_000
"""How many changes are kept where every event changes other variables than the ones before."""

_MOST_SETS = 1000
_MOST_OPEN = 100_000
_BITS = 64
_LARGEST = (1 << 2 * _BITS) - 1
_NANOSECONDS = 10**6
_NOTHING: Final = RunningTotals()


class Sums:
    """A sum as it was after each of its parts, exact up to 128 bits.

    Attributes:
        low: the lower 64 bits of each.
        high: the upper 64 bits, from the first sum that has any.
    """

    __slots__ = ("high", "low", "total")

    def __init__(self, low: array[int] | None = None, high: array[int] | None = None) -> None:
        self.low = array("Q") if low is None else low
        self.high = array("Q") if high is None else high
        self.total = self.at(len(self.low))

    def add(self, part: int) -> None:
        """Add the next part, which is not negative."""
        self.total = total = min(self.total + part, _LARGEST)
        self.low.append(total & (1 << _BITS) - 1)
        if total >> _BITS:
            self.high.append(total >> _BITS)

    def at(self, parts: int) -> int:
        """Return the sum of the first `parts` parts."""
        if not parts:
            return 0
        upper = parts - 1 - len(self.low) + len(self.high)
        return self.low[parts - 1] | (self.high[upper] << _BITS if upper >= 0 else 0)


class CallTotals:
    """The calls of one tool or model: the numbers of starts, ends and failed ends, and sums over the ends.

    Attributes:
        priced_from: the number of the first end whose price is known; 0 while there is none.
        unpriced: the numbers of the ends of calls whose price is unknown.
    """

    __slots__ = ("cost", "ends", "failed", "nanoseconds", "priced_from", "starts", "tokens", "unpriced")

    def __init__(self) -> None:
        self.starts, self.ends, self.failed, self.unpriced = (array("I") for _ in range(4))
        self.nanoseconds, self.tokens, self.cost = Sums(), Sums(), Sums()
        self.priced_from = 0

    def to_json(self) -> list[Any]:
        """Return the totals as JSON with arrays in it."""
        sums = (self.nanoseconds, self.tokens, self.cost)
        return [
            self.priced_from,
            self.starts,
            self.ends,
            self.failed,
            self.unpriced,
            *([each.low, each.high] for each in sums),
        ]

    @classmethod
    def from_json(cls, document: list[Any], arrays: Sequence[array[Any]]) -> CallTotals:
        """Rebuild the totals from `to_json`, with the indexes of the arrays in their place."""
        calls = cls()
        calls.priced_from = document[0]
        calls.starts, calls.ends, calls.failed, calls.unpriced = (arrays[index] for index in document[1:5])
        sums = (Sums(arrays[low], arrays[high]) for low, high in document[5:])
        calls.nanoseconds, calls.tokens, calls.cost = sums
        return calls

    def row(self, name: str, number: int) -> CallRow | None:
        """Return the row of the calls up to an event; None where there are none."""
        begun, ended = bisect_right(self.starts, number), bisect_right(self.ends, number)
        if not begun:
            return None
        return CallRow(
            name=name,
            calls=begun,
            failed=bisect_right(self.failed, number),
            total_ms=self.nanoseconds.at(ended) / _NANOSECONDS,
            tokens=self.tokens.at(ended),
            cost=self.cost.at(ended) / PICODOLLARS if 0 < self.priced_from <= number else None,
            latest=self.starts[begun - 1],
            calls_without_price=bisect_right(self.unpriced, number),
        )


class CumulativeTotals:
    """The running totals after each of the events added so far."""

    def __init__(self) -> None:
        self.calls: dict[str, dict[str, CallTotals]] = {component: {} for component in CALLED}
        self.timed_from = 0  # the first event that has a timestamp
        self.reached = array("d", [0.0])
        self.spent_at = array("I")
        self.cost, self.tokens = Sums(), Sums()
        self.unpriced = array("I")  # the ends of calls whose price is unknown
        self.changes: dict[tuple[str, ...], array[int]] = {}
        self.started: dict[int, float] = {}  # start of an open call -> its timestamp
        self.sellers: dict[int, Seller] = {}  # start of an open model call -> the seller, whose prices apply
        self._names: set[str] = set()
        self._changes = 0

    @property
    def count(self) -> int:
        """How many events were added."""
        return len(self.reached) - 1

    def totals(self, number: int, errors: int) -> Totals:
        """Return the totals up to an event.

        Args:
            number: the event.
            errors: how many events up to it report a failure.
        """
        spent = bisect_right(self.spent_at, number)
        timed = 0 < self.timed_from <= number
        return Totals(
            self.cost.at(spent),
            self.tokens.at(spent),
            errors,
            self.reached[self.timed_from] if timed else None,
            self.reached[number] if timed else None,
            bisect_right(self.unpriced, number),
        )

    def cost_of(self, number: int) -> int:
        """Return what one event added to the cost, in 1e-12 dollars."""
        spent = bisect_right(self.spent_at, number)
        added = spent and self.spent_at[spent - 1] == number
        return self.cost.at(spent) - self.cost.at(spent - 1) if added else 0

    def changed(self, number: int) -> dict[str, int]:
        """Return name -> number of the last event up to this one that reported its value; see `variables`."""
        found: dict[str, int] = {}
        for names, numbers in self.changes.items():
            changes = bisect_right(numbers, number)
            for name in names if changes else ():
                found[name] = max(found.get(name, 0), numbers[changes - 1])
        return found

    def rows(self, component: str, number: int) -> Iterator[CallRow]:
        """Yield a row for each name of a component that was called up to an event, in the order of their first calls."""
        for name, calls in self.calls.get(component, {}).items():
            row = calls.row(name, number)
            if row is not None:
                yield row

    def add(self, event: Event, begun: int = 0, kind: EventKind | None = None) -> None:
        """Add the next event.

        Args:
            event: the event.
            begun: for an end, the number of its start; 0 where it has none.
            kind: for an end, the kind of its start, where that is known.
        """
        number = len(self.reached)
        if "paused_before_ms" in event:
            event = without_pauses(event)
        time = event.get("timestamp")
        self._add_time(number, time)
        event_type = event["event_type"]
        start = event_type[-6:] == "_start"
        component, name = event.get("component"), event.get("component_name")
        seller, spent = self.sellers.pop(begun, None) if self.sellers else None, _NOTHING
        if not start and (component == "llm" or states_amounts(event)):
            spent = self._add_cost(number, event, seller)
        if kind is not None:
            component, name = kind.component, kind.name
        if event_type in STATE_EVENTS:
            self._add_changes(number, tuple(read_state(event)))
        elif component in self.calls:
            if start:
                self._calls_of(component, name).starts.append(number)
                if time is not None and len(self.started) < _MOST_OPEN:
                    self.started[number] = time
                if component == "llm":
                    seller = seller_of(event.get("metadata"))
                    if seller is not None and len(self.sellers) < _MOST_OPEN:
                        self.sellers[number] = seller
            elif event_type[-4:] == "_end":
                calls = self._calls_of(component, name)
                self._end_call(calls, number, event, begun, spent)
                if not calls.priced_from and call_cost(event, seller) is not None:
                    calls.priced_from = number

    def _add_time(self, number: int, time: object) -> None:
        latest = self.reached[-1]
        if type(time) is float or type(time) is int:
            if not self.timed_from:
                self.timed_from, latest = number, time
            elif time > latest:
                latest = time
        self.reached.append(latest)

    def _add_cost(self, number: int, event: Event, seller: Seller | None) -> RunningTotals:
        """Add the cost and the tokens of an event, and return them."""
        running = RunningTotals()
        running.add(event, seller)
        if running.cost_pico or running.tokens:
            self.spent_at.append(number)
            self.cost.add(running.cost_pico)
            self.tokens.add(running.tokens)
        if running.unpriced:
            self.unpriced.append(number)
        return running

    def _calls_of(self, component: str, name: str | None) -> CallTotals:
        named, key = self.calls[component], name or ""
        if key not in named:
            if len(named) >= MOST_NAMES:
                key = OTHERS
            named.setdefault(key, CallTotals())
        return named[key]

    def _end_call(
        self, calls: CallTotals, number: int, event: Event, begun: int, spent: RunningTotals
    ) -> None:
        """Add the end of a call."""
        if not begun:  # its start was rotated away
            calls.starts.append(number)
        if has_failed(event):
            calls.failed.append(number)
        calls.ends.append(number)
        started, ended = self.started.pop(begun, None), event.get("timestamp")
        duration: float | None = event.get("duration_ms")
        if duration is None and started is not None and ended is not None:
            duration = max(ended - started, 0.0) * 1000
        calls.nanoseconds.add(round(duration * _NANOSECONDS) if duration is not None else 0)
        calls.cost.add(spent.cost_pico)
        calls.tokens.add(spent.tokens)
        if spent.unpriced:
            calls.unpriced.append(number)

    def _add_changes(self, number: int, names: tuple[str, ...]) -> None:
        """Add the state values that an event reported. Past the limits, later names and changes are left out.

        Names that change together share one array: most programs report the same few sets over and over.
        """
        if not names:
            return
        numbers = self.changes.get(names)
        if numbers is not None:
            numbers.append(number)
            return
        room = MOST_NAMES - len(self._names)
        new = [name for name in names if name not in self._names][: max(room, 0)]
        self._names.update(new)
        known = tuple(name for name in names if name in self._names)
        several = len(self.changes) < _MOST_SETS
        for each in (known,) if several else ((name,) for name in known):
            self._changes += 1
            if self._changes <= MOST_CHANGES and each:
                self.changes.setdefault(each, array("I")).append(number)

    def to_json(self) -> dict[str, Any]:
        """Return the totals as JSON with arrays in it."""
        return {
            "timed_from": self.timed_from,
            "reached": self.reached,
            "spent_at": self.spent_at,
            "cost": [self.cost.low, self.cost.high],
            "tokens": [self.tokens.low, self.tokens.high],
            "unpriced": self.unpriced,
            "changes": [[names, numbers] for names, numbers in self.changes.items()],
            "started": list(self.started.items()),
            "sellers": [[number, *seller] for number, seller in self.sellers.items()],
            "single_changes": self._changes,
            "calls": {
                component: [[name, calls.to_json()] for name, calls in named.items()]
                for component, named in self.calls.items()
            },
        }

    @classmethod
    def from_json(cls, document: dict[str, Any], arrays: Sequence[array[Any]]) -> CumulativeTotals:
        """Rebuild the totals from `to_json`, with the indexes of the arrays in their place."""
        totals = cls()
        totals.timed_from = document["timed_from"]
        totals.reached, totals.spent_at = arrays[document["reached"]], arrays[document["spent_at"]]
        totals.cost, totals.tokens = (
            Sums(*(arrays[index] for index in document[name])) for name in ("cost", "tokens")
        )
        totals.unpriced = arrays[document["unpriced"]]
        totals.changes = {tuple(names): arrays[index] for names, index in document["changes"]}
        totals.started = dict(document["started"])
        totals.sellers = {number: Seller(*seller) for number, *seller in document["sellers"]}
        totals._changes = document["single_changes"]
        totals._names = {name for names in totals.changes for name in names}
        totals.calls = {
            component: {name: CallTotals.from_json(calls, arrays) for name, calls in named}
            for component, named in document["calls"].items()
        }
        return totals
