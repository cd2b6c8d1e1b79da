"""A recording replayed: one line for each event, and at the end what it came to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from rich.text import Text

from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.totals import Totals
from namel3ss_debug.views.events import RunningLines
from namel3ss_debug.views.quantities import count, duration, money, tokens
from namel3ss_debug.views.tables import Cell, pairs
from namel3ss_debug.views.terminal import ERROR, HEADING, piece


class Statistics:
    """What was replayed: events by component, time, tokens, cost and failures."""

    def __init__(self) -> None:
        self.events = 0
        self.spans: Counter[str] = Counter()
        self.totals = Totals()

    def add(self, event: Event) -> None:
        """Count one event."""
        self.events += 1
        self.totals = self.totals.add(event)
        if event["event_type"].endswith("_start") and event["event_type"] != "trace_start":
            self.spans[event["component"]] += 1

    def lines(self, width: int) -> Iterator[Text]:
        """The statistics, aligned."""
        kinds = ", ".join(f"{number:,} {component}" for component, number in self.spans.most_common(8))
        totals = self.totals
        yield Text(f"{count(self.events, 'event')} replayed", HEADING, end="")
        rows: list[tuple[str, Cell]] = [
            ("spans", kinds),
            ("took", duration(totals.ms)),
            ("tokens", tokens(totals.tokens) if totals.tokens else ""),
            ("cost", money(totals.cost) if totals.cost_pico else ""),
            ("failures", piece(tokens(totals.errors) if totals.errors else "", ERROR)),
        ]
        yield from pairs(rows, width, indent="  ")


def replayed(events: Iterable[tuple[int, Event]], statistics: Statistics, width: int) -> Iterator[Text]:
    """One line for each event as it is replayed; each is counted on the way."""
    running = RunningLines(width)
    for number, event in events:
        statistics.add(event)
        yield running.line(number, event)
