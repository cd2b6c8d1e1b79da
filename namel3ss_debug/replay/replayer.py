"""Replay a trace from its first event to its last, with overrides in place of recorded answers, and count it.

Nothing is executed: a mocked answer is shown in place of the recorded one and marked, with the recorded values beside
it. A re-run executes the program again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from namel3ss_debug.importers.opening import open_nonempty_trace
from namel3ss_debug.replay.debugger.breakpoints import Breakpoint
from namel3ss_debug.replay.debugger.locations import parse_location
from namel3ss_debug.replay.debugger.stepper import Stepper
from namel3ss_debug.replay.overrides.faults import Fault, parse_fault
from namel3ss_debug.replay.overrides.grammar import parse_name
from namel3ss_debug.replay.overrides.mocks import Mock
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.span_table import SpanTableBuilder
from namel3ss_debug.traces.totals import RunningTotals
from namel3ss_debug.wire import lenient


class Replayed(NamedTuple):
    """One event of a replay: its number, the event as shown, the location of a breakpoint it hit, and whether an override changed it."""

    number: int
    event: Event
    breakpoint: str | None = None
    mocked: bool = False


@dataclass(frozen=True)
class Statistics:
    """The totals of a replay.

    `errors` counts the events that report a failure. `cost` is in US dollars, without the calls whose price is unknown:
    `calls_without_price`. `wall_ms` is from the first timestamp to the latest. `breakpoints` counts the hits of each
    location.
    """

    events: int = 0
    by_type: dict[str, int] = field(default_factory=dict)
    by_component: dict[str, int] = field(default_factory=dict)
    errors: int = 0
    tokens: int = 0
    cost: float = 0.0
    wall_ms: float = 0.0
    mocked: int = 0
    breakpoints: dict[str, int] = field(default_factory=dict)
    calls_without_price: int = 0


class ExecutionReplayer:
    """Replay a trace.

    Iterate over it for the events; `statistics` counts those so far.

    Args:
        path: any file of the trace.
        breakpoints: locations at which `Replayed.breakpoint` is set, or `ReplayBreakpoint`s.
        mock_responses: the answers to show instead: by `NAME`, `NAME@N`, `component:name` or component, or as `Mock`;
            faults among them count as `faults`.
        components: only events of these components; all if empty.
        faults: faults as `NAME:timeout`, `NAME@N:status:429` and so on, or as `Fault`.

    Raises:
        TraceNotFoundError: there is no such file.
        UnreadableTraceError: it is no trace, or nothing in it can be read.
        PlaceError: a location does not parse, or the trace does not have it.
        ExpressionError: the condition of a location does not parse.
        MockError: the trace has no such call, or a model's answer does not have its shape.
    """

    def __init__(
        self,
        path: str | Path,
        breakpoints: Iterable[str | Breakpoint] = (),
        mock_responses: Mapping[str, Any] | Iterable[Mock | Fault] = (),
        components: Collection[str] = (),
        faults: Iterable[str | Fault] = (),
    ) -> None:
        self.trace = open_nonempty_trace(path)
        self.components = frozenset(form for name in components for form in (name, name.lower()))
        self._stepper = Stepper(self.trace)
        self._counts = _ReplayCounts()
        for each in breakpoints:
            wanted = each if isinstance(each, Breakpoint) else Breakpoint(each)
            parse_location(wanted.parsed.text, self._stepper.contents)
            self._stepper.add(wanted)
        if isinstance(mock_responses, Mapping):
            mock_responses = [Mock(*parse_name(name), answer) for name, answer in mock_responses.items()]
        for override in mock_responses:
            self._stepper.overrides.add(override)
        for fault in faults:
            self._stepper.overrides.add(parse_fault(fault) if isinstance(fault, str) else fault)

    def __iter__(self) -> Iterator[Replayed]:
        """Yield every event in order."""
        self._counts = counts = _ReplayCounts()
        for number, event, hits in self._stepper.replay():
            if not self.components or event.get("component") in self.components:
                locations = [hit.stop.location for hit in hits]
                marked = lenient.mapping(event.get("metadata")).get("mocked") is True
                replaced = (
                    marked and len(self._stepper.overrides) > 0
                )  # the trace of a re-run has marks as well
                counts.add(event, locations, replaced=replaced)
                yield Replayed(number, event, locations[0] if locations else None, replaced)

    @property
    def statistics(self) -> Statistics:
        """The totals so far of the latest iteration."""
        return self._counts.statistics()


@dataclass
class _ReplayCounts:
    """Count the events of a replay."""

    types: Counter[str] = field(default_factory=Counter)
    components: Counter[str] = field(default_factory=Counter)
    breakpoints: Counter[str] = field(default_factory=Counter)
    totals: RunningTotals = field(default_factory=RunningTotals)
    spans: SpanTableBuilder = field(default_factory=SpanTableBuilder)
    mocked: int = 0

    def add(self, event: Event, hits: list[str], *, replaced: bool) -> None:
        self.types[event["event_type"]] += 1
        self.components[str(event.get("component", ""))] += 1
        self.breakpoints.update(hits)
        place = self.spans.take(event)
        self.totals.add(event, self.spans.table.cost_of(place.span))
        self.mocked += replaced

    def statistics(self) -> Statistics:
        totals = self.totals.totals()
        return Statistics(
            self.types.total(),
            dict(sorted(self.types.items())),
            dict(sorted(self.components.items())),
            totals.errors,
            totals.tokens,
            totals.cost,
            totals.ms,
            self.mocked,
            dict(self.breakpoints),
            totals.unpriced,
        )
