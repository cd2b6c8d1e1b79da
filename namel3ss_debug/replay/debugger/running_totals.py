"""Running totals at any event of a trace: time, tokens, cost, changed variables, the calls of each tool and model.

Each sum is kept as it was after every event that added to it. A sum at any event is then one search in a sorted array,
for a step back as for a step forward. Sums are whole numbers (1e-12 dollars, nanoseconds), so that they are exactly
what adding up the events in order gives. The calls are counted in the table of spans, when they are shown.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator
from typing import Final

from namel3ss_debug.prices import PICODOLLARS
from namel3ss_debug.replay.debugger.results import CallRow
from namel3ss_debug.replay.debugger.variables import STATE_EVENTS, read_state
from namel3ss_debug.traces.costs import Cost
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.span_table import SpanTable
from namel3ss_debug.traces.totals import RunningTotals, Totals

MOST_NAMES: Final = 1000
"""How many variables are followed."""

_NS_PER_MS = 10**6


class CumulativeTotals:
    """The running totals after each of the events added so far."""

    def __init__(self) -> None:
        self._running = RunningTotals()
        self._timed_from = 0  # the first event that has a timestamp
        self._reached = array("d", [0.0])
        self._spent_at = array("I")
        self._cost, self._tokens = [0], [0]
        self._unpriced = array("I")  # the ends of calls whose price is unknown
        self._changes: dict[str, array[int]] = {}

    def add(self, event: Event, cost: Cost | None) -> None:
        """Add the next event, with the cost of the span that it ends."""
        number, running = len(self._reached), self._running
        unpriced = running.unpriced
        running.add(event, cost)
        if running.reached_at is not None and not self._timed_from:
            self._timed_from = number
        self._reached.append(running.reached_at or 0.0)
        if (running.cost_pico, running.tokens) != (self._cost[-1], self._tokens[-1]):
            self._spent_at.append(number)
            self._cost.append(running.cost_pico)
            self._tokens.append(running.tokens)
        if running.unpriced > unpriced:
            self._unpriced.append(number)
        if event["event_type"] in STATE_EVENTS:
            for name in read_state(event):
                if name in self._changes or len(self._changes) < MOST_NAMES:
                    self._changes.setdefault(name, array("I")).append(number)

    def totals(self, number: int, errors: int) -> Totals:
        """Return the totals up to an event.

        Args:
            number: the event.
            errors: how many events up to it report a failure.
        """
        spent = bisect_right(self._spent_at, number)
        timed = 0 < self._timed_from <= number
        return Totals(
            self._cost[spent],
            self._tokens[spent],
            errors,
            self._reached[self._timed_from] if timed else None,
            self._reached[number] if timed else None,
            bisect_right(self._unpriced, number),
        )

    def cost_of(self, number: int) -> int:
        """Return what one event added to the cost, in 1e-12 dollars."""
        return self.totals(number, 0).cost_pico - self.totals(number - 1, 0).cost_pico

    def changed(self, number: int) -> dict[str, int]:
        """Return name -> number of the last event up to this one that reported its value; see `variables`."""
        found = {name: bisect_right(numbers, number) for name, numbers in self._changes.items()}
        return {name: self._changes[name][changes - 1] for name, changes in found.items() if changes}


def count_calls(spans: SpanTable, component: str, number: int) -> Iterator[CallRow]:
    """Yield a row for each tool (`tool`) or model (`llm`) that was called up to an event, in the order of their first calls.

    The table needs the fact `outline.UNPRICED`.
    """
    for (kind, name), rows in spans.by_operation().items():
        begun = [row for row in rows if spans.number[row] <= number] if kind == component else []
        if not begun:
            continue
        ended = [row for row in begun if 0 < spans.end[row] <= number]
        priced = [spans.cost[row] for row in ended if spans.cost[row] >= 0]
        yield CallRow(
            name=name,
            calls=len(begun),
            failed=sum(spans.failed[row] for row in ended),
            total_ms=sum(max(spans.duration[row], 0) for row in ended) / _NS_PER_MS,
            tokens=sum(spans.tokens[row] for row in ended),
            cost=sum(priced) / PICODOLLARS if priced else None,
            latest=spans.number[begun[-1]],
            calls_without_price=sum(spans.facts["unpriced"][row] > 0 for row in ended),
        )
