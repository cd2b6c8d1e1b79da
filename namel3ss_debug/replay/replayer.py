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
from namel3ss_debug.replay.debugger.locations import (
    Occurrence,
    TraceContents,
    count_contents,
    find_occurrence,
    parse_location,
)
from namel3ss_debug.replay.debugger.results import Numbered
from namel3ss_debug.replay.debugger.variables import read_state
from namel3ss_debug.replay.overrides.active import Overrides
from namel3ss_debug.replay.overrides.faults import Fault, parse_fault
from namel3ss_debug.replay.overrides.grammar import parse_name
from namel3ss_debug.replay.overrides.mocks import Mock
from namel3ss_debug.traces.costs import CallCosts, Cost, priced
from namel3ss_debug.traces.events import Event, ends_span
from namel3ss_debug.traces.totals import RunningTotals
from namel3ss_debug.wire import lenient

_MOST_NAMES = 1000


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
        self.breakpoints = [
            each if isinstance(each, Breakpoint) else Breakpoint(each) for each in breakpoints
        ]
        if isinstance(mock_responses, Mapping):
            mock_responses = [Mock(*parse_name(name), answer) for name, answer in mock_responses.items()]
        overrides = [
            *mock_responses,
            *(parse_fault(each) if isinstance(each, str) else each for each in faults),
        ]
        self._contents = contents = count_contents(
            self.trace.events() if overrides or self.breakpoints else ()
        )
        for each in self.breakpoints:
            parse_location(each.parsed.text, contents)
        self.overrides = Overrides(
            lambda: contents, lambda location: find_occurrence(location, self.trace.events())
        )
        for override in overrides:
            self.overrides.add(override)
        self._counts = _ReplayCounts()

    def __iter__(self) -> Iterator[Replayed]:
        """Yield every event in order."""
        self._counts = counts = _ReplayCounts()
        occurrences = [find_occurrence(each.parsed, self.trace.events()) for each in self.breakpoints]
        reads_cost = any(each.reads("cost_estimate") for each in self.breakpoints)
        state = _ReplayState(self._contents, reads_cost=reads_cost)
        mocked: dict[str, Numbered] = {}
        for number, event in enumerate(self.trace.events(), 1):
            state.add(event)
            shown = self._override(number, event, mocked)
            if self.components and event.get("component") not in self.components:
                continue
            pairs = zip(self.breakpoints, occurrences, strict=True)
            hits = [each.parsed.text for each, found in pairs if state.hits(each, found, number, shown)]
            replaced = shown is not event and lenient.mapping(shown.get("metadata")).get("mocked") is True
            counts.add(shown, hits, replaced=replaced)
            yield Replayed(number, shown, hits[0] if hits else None, replaced)

    @property
    def statistics(self) -> Statistics:
        """The totals so far of the latest iteration."""
        return self._counts.statistics()

    def _override(self, number: int, event: Event, mocked: dict[str, Numbered]) -> Event:
        """Return the event as it is shown; `mocked` keeps the starts of overridden calls by id until they end."""
        if not len(self.overrides):
            return event
        if "event_id" in event and self.overrides.has_for(number, event):
            mocked[event["event_id"]] = (number, event)
        start = None
        if ends_span(event["event_type"]):
            start = mocked.pop(event.get("parent_event_id", ""), None)
        return self.overrides.apply(number, event, start)


class _ReplayState:
    """The totals, state and costs up to an event, for the conditions of breakpoints."""

    def __init__(self, contents: TraceContents, *, reads_cost: bool) -> None:
        self._contents = contents
        self.totals = RunningTotals()
        self.state: dict[str, Any] = {}
        self._costs = CallCosts() if reads_cost else None
        self._cost: Cost | None = None

    def add(self, event: Event) -> None:
        """Add the next event."""
        self.totals.add(event)
        self._cost = None if self._costs is None else self._costs.of(event)
        for name, value in read_state(event).items():
            if name in self.state or len(self.state) < _MOST_NAMES:
                self.state[name] = value

    def hits(self, wanted: Breakpoint, occurrence: Occurrence | None, number: int, event: Event) -> bool:
        """Return whether the latest event hits a breakpoint."""
        totals = self.totals.totals().scope() if wanted.reads("totals", "state") else {}
        return wanted.enabled and wanted.stops(
            number, priced(event, self._cost), totals, self.state, occurrence, lambda: self._contents
        )


@dataclass
class _ReplayCounts:
    """Count the events of a replay."""

    types: Counter[str] = field(default_factory=Counter)
    components: Counter[str] = field(default_factory=Counter)
    breakpoints: Counter[str] = field(default_factory=Counter)
    totals: RunningTotals = field(default_factory=RunningTotals)
    mocked: int = 0

    def add(self, event: Event, hits: list[str], *, replaced: bool) -> None:
        self.types[event["event_type"]] += 1
        self.components[str(event.get("component", ""))] += 1
        self.breakpoints.update(hits)
        self.totals.add(event)
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
