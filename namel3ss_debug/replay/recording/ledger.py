"""What a recording has come to at any of its events: totals, the calls of each tool and model, changed variables.

Sums are kept as they stood after each event that added to them, so that a sum at any event is one search in a
sorted array, whichever way a walk came there. They are whole numbers (1e-12 dollars, nanoseconds), so that they
are what adding the events up in order gives.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any, Final

from namel3ss_debug.prices import PICODOLLARS
from namel3ss_debug.replay.recording.kinds import Kind
from namel3ss_debug.replay.recording.variables import TELLING, told
from namel3ss_debug.replay.results import CallRow
from namel3ss_debug.traces.costs import Seller, call_cost, seller_of
from namel3ss_debug.traces.events import SPAN_FAILURES, Event, unheld
from namel3ss_debug.traces.totals import RunningTotals, Totals

CALLED: Final = ("tool", "llm")
"""The components whose calls are counted."""

MOST_NAMES: Final = 1000
"""How many tools and how many models are told apart, and of how many variables the changes are known."""

OTHERS: Final = "(others)"
"""Stands for the tools or models past `MOST_NAMES`."""

MOST_CHANGES: Final = 4_000_000
"""How many places of changes are kept, where every event changes other variables than the ones before."""

_MOST_SETS = 1000
_MOST_OPEN = 100_000
_WORD = 64
_LARGEST = (1 << 2 * _WORD) - 1
_NANOSECONDS = 10**6
_NOTHING: Final = RunningTotals()


class Sums:
    """A sum as it stood after each of its parts; exact up to 128 bits, where it stays.

    Attributes:
        low: the lower 64 bits of each.
        high: the upper ones, from the first sum that has any.
    """

    __slots__ = ("high", "low", "total")

    def __init__(self, low: array[int] | None = None, high: array[int] | None = None) -> None:
        self.low = array("Q") if low is None else low
        self.high = array("Q") if high is None else high
        self.total = self.at(len(self.low))

    def add(self, part: int) -> None:
        """Take the next part, which is not negative."""
        self.total = total = min(self.total + part, _LARGEST)
        self.low.append(total & (1 << _WORD) - 1)
        if total >> _WORD:
            self.high.append(total >> _WORD)

    def at(self, parts: int) -> int:
        """The sum of the first so many parts."""
        if not parts:
            return 0
        upper = parts - 1 - len(self.low) + len(self.high)
        return self.low[parts - 1] | (self.high[upper] << _WORD if upper >= 0 else 0)


class Calls:
    """The calls of one tool or model: the numbers of starts, ends and failed ends, and sums over the ends.

    Attributes:
        priced_from: the number of the first end whose price is known; 0 while there is none.
        unpriced: the numbers of the ends of which nobody knows what the call cost.
    """

    __slots__ = ("cost", "ends", "failed", "nanoseconds", "priced_from", "starts", "tokens", "unpriced")

    def __init__(self) -> None:
        self.starts, self.ends, self.failed, self.unpriced = (array("I") for _ in range(4))
        self.nanoseconds, self.tokens, self.cost = Sums(), Sums(), Sums()
        self.priced_from = 0

    def told(self) -> list[Any]:
        """Everything that makes it, as JSON with arrays in it."""
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
    def of(cls, told: list[Any], arrays: Sequence[array[Any]]) -> Calls:
        """Make it of what `told` gave, which has the places of the arrays in their stead."""
        calls = cls()
        calls.priced_from = told[0]
        calls.starts, calls.ends, calls.failed, calls.unpriced = (arrays[place] for place in told[1:5])
        sums = (Sums(arrays[low], arrays[high]) for low, high in told[5:])
        calls.nanoseconds, calls.tokens, calls.cost = sums
        return calls

    def row(self, name: str, number: int) -> CallRow | None:
        """The calls up to an event; None where there are none."""
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


class Ledger:
    """The sums of the events taken so far."""

    def __init__(self) -> None:
        self.calls: dict[str, dict[str, Calls]] = {component: {} for component in CALLED}
        self.timed_from = 0  # the first event that has a timestamp
        self.reached = array("d", [0.0])
        self.spent_at = array("I")
        self.cost, self.tokens = Sums(), Sums()
        self.unpriced = array("I")  # the ends of which nobody knows what the call cost
        self.changes: dict[tuple[str, ...], array[int]] = {}
        self.began: dict[int, float] = {}  # start of an open call -> its timestamp
        self.sellers: dict[int, Seller] = {}  # start of an open call of a model -> who is paid for it
        self._names: set[str] = set()
        self._changes = 0

    @property
    def count(self) -> int:
        """How many events were taken."""
        return len(self.reached) - 1

    def totals(self, number: int, errors: int) -> Totals:
        """The totals up to an event.

        Args:
            number: the event.
            errors: how many events up to it say that something failed.
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
        """What one event added to the cost, in 1e-12 dollars."""
        spent = bisect_right(self.spent_at, number)
        added = spent and self.spent_at[spent - 1] == number
        return self.cost.at(spent) - self.cost.at(spent - 1) if added else 0

    def changed(self, number: int) -> dict[str, int]:
        """Name -> number of the event that last told its value, up to an event; see `variables`."""
        found: dict[str, int] = {}
        for names, numbers in self.changes.items():
            place = bisect_right(numbers, number)
            for name in names if place else ():
                found[name] = max(found.get(name, 0), numbers[place - 1])
        return found

    def rows(self, component: str, number: int) -> Iterator[CallRow]:
        """The calls of each name of a component up to an event, in the order in which the names came up."""
        for name, calls in self.calls.get(component, {}).items():
            row = calls.row(name, number)
            if row is not None:
                yield row

    def add(self, event: Event, begun: int = 0, kind: Kind | None = None) -> None:
        """Take the next event.

        Args:
            event: the event.
            begun: of an end, the number of its start; 0 where it has none.
            kind: of an end, the kind of its start, where that is known.
        """
        number = len(self.reached)
        if "held_before_ms" in event:
            event = unheld(event)
        time = event.get("timestamp")
        self._reach(number, time)
        event_type = event["event_type"]
        start = event_type[-6:] == "_start"
        component, name = event.get("component"), event.get("component_name")
        seller, spent = self.sellers.pop(begun, None) if self.sellers else None, _NOTHING
        if not start and (
            component == "llm" or "tokens_used" in event or "cost_estimate" in event or "usage" in event
        ):
            spent = self._spend(number, event, seller)
        if kind is not None:
            component, name = kind.component, kind.name
        if event_type in TELLING:
            self._change(number, tuple(told(event)))
        elif component in self.calls:
            if start:
                self._call(component, name).starts.append(number)
                if time is not None and len(self.began) < _MOST_OPEN:
                    self.began[number] = time
                if component == "llm":
                    self._sell(number, event)
            elif event_type[-4:] == "_end":
                calls = self._call(component, name)
                self._return(calls, number, event, begun, spent)
                if not calls.priced_from and call_cost(event, seller) is not None:
                    calls.priced_from = number

    def _reach(self, number: int, time: object) -> None:
        latest = self.reached[-1]
        if type(time) is float or type(time) is int:
            if not self.timed_from:
                self.timed_from, latest = number, time
            elif time > latest:
                latest = time
        self.reached.append(latest)

    def _sell(self, number: int, start: Event) -> None:
        seller = seller_of(start.get("metadata"))
        if seller is not None and len(self.sellers) < _MOST_OPEN:
            self.sellers[number] = seller

    def _spend(self, number: int, event: Event, seller: Seller | None) -> RunningTotals:
        """Add what an event cost, at its number."""
        running = RunningTotals()
        running.add(event, seller)
        if running.cost_pico or running.tokens:
            self.spent_at.append(number)
            self.cost.add(running.cost_pico)
            self.tokens.add(running.tokens)
        if running.unpriced:
            self.unpriced.append(number)
        return running

    def _call(self, component: str, name: str | None) -> Calls:
        named, key = self.calls[component], name or ""
        if key not in named:
            if len(named) >= MOST_NAMES:
                key = OTHERS
            named.setdefault(key, Calls())
        return named[key]

    def _return(self, calls: Calls, number: int, event: Event, begun: int, spent: RunningTotals) -> None:
        """Add a call that has ended."""
        if not begun:  # its start was rotated away
            calls.starts.append(number)
        status = event.get("status")
        if status in SPAN_FAILURES or (status is None and event.get("error") is not None):
            calls.failed.append(number)
        calls.ends.append(number)
        calls.nanoseconds.add(self._nanoseconds(event, begun))
        calls.cost.add(spent.cost_pico)
        calls.tokens.add(spent.tokens)
        if spent.unpriced:
            calls.unpriced.append(number)

    def _nanoseconds(self, event: Event, begun: int) -> int:
        began, ended = self.began.pop(begun, None), event.get("timestamp")
        duration: float | None = event.get("duration_ms")
        if duration is None and began is not None and ended is not None:
            duration = max(ended - began, 0.0) * 1000
        return round(duration * _NANOSECONDS) if duration is not None else 0

    def _change(self, number: int, names: tuple[str, ...]) -> None:
        """Note which values of the state an event told; of very many names and changes the later ones are left out."""
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

    def told(self) -> dict[str, Any]:
        """Everything that makes it, as JSON with arrays in it."""
        return {
            "timed_from": self.timed_from,
            "reached": self.reached,
            "spent_at": self.spent_at,
            "cost": [self.cost.low, self.cost.high],
            "tokens": [self.tokens.low, self.tokens.high],
            "unpriced": self.unpriced,
            "changes": [[names, numbers] for names, numbers in self.changes.items()],
            "began": list(self.began.items()),
            "sellers": [[number, *seller] for number, seller in self.sellers.items()],
            "single_changes": self._changes,
            "calls": {
                component: [[name, calls.told()] for name, calls in named.items()]
                for component, named in self.calls.items()
            },
        }

    @classmethod
    def of(cls, told: dict[str, Any], arrays: Sequence[array[Any]]) -> Ledger:
        """Make it of what `told` gave, which has the places of the arrays in their stead."""
        ledger = cls()
        ledger.timed_from = told["timed_from"]
        ledger.reached, ledger.spent_at = arrays[told["reached"]], arrays[told["spent_at"]]
        ledger.cost, ledger.tokens = (
            Sums(*(arrays[place] for place in told[name])) for name in ("cost", "tokens")
        )
        ledger.unpriced = arrays[told["unpriced"]]
        ledger.changes = {tuple(names): arrays[place] for names, place in told["changes"]}
        ledger.began = dict(told["began"])
        ledger.sellers = {number: Seller(*seller) for number, *seller in told["sellers"]}
        ledger._changes = told["single_changes"]
        ledger._names = {name for names in ledger.changes for name in names}
        ledger.calls = {
            component: {name: Calls.of(calls, arrays) for name, calls in named}
            for component, named in told["calls"].items()
        }
        return ledger
