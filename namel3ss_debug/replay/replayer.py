"""A recording from its first event to its last, with answers replaced where the user gives others, and statistics.

Nothing is executed: a mocked answer is shown in place of the recorded one and marked, with what was recorded
beside it. Running the program again on other answers is the re-run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from namel3ss_debug.replay.given.answers import Mocks
from namel3ss_debug.replay.given.calls import parse_name
from namel3ss_debug.replay.given.faults import Fault, parse_fault
from namel3ss_debug.replay.given.mocks import Mock
from namel3ss_debug.replay.recording.breakpoints import Breakpoint, Known, find_nth, know, parse_place
from namel3ss_debug.replay.recording.nth import Nth
from namel3ss_debug.replay.recording.variables import told
from namel3ss_debug.replay.results import Numbered
from namel3ss_debug.traces.costs import CallCosts, Cost, priced
from namel3ss_debug.traces.events import Event, ends_span
from namel3ss_debug.traces.opening import open_recording
from namel3ss_debug.traces.totals import RunningTotals
from namel3ss_debug.wire import lenient

_MOST_NAMES = 1000


class Replayed(NamedTuple):
    """One event of a replay: its number, what is shown, the place of a breakpoint it hit, and whether a mock or a fault changed it."""

    number: int
    event: Event
    breakpoint: str | None = None
    mocked: bool = False


@dataclass(frozen=True)
class Statistics:
    """What was replayed.

    `errors` counts the events that say something failed, `cost` is in US dollars, without the calls of which nobody
    knows what they cost: `calls_without_price`; `wall_ms` is from the first timestamp to the latest; `breakpoints`
    counts the hits of each place.
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
    """Replays a recording.

    Iterate over it for the events; `statistics` tells of those that came so far.

    Args:
        path: any file of the trace.
        breakpoints: where `Replayed.breakpoint` is set; as places or `ReplayBreakpoint`.
        mock_responses: the answers to show instead: by `NAME`, `NAME@N`, `component:name` or component, or as `Mock`;
            faults among them count as `faults`.
        faults: what goes wrong, as `NAME:timeout`, `NAME@N:status:429` and so on, or as `Fault`.
        components: only events of these components, none meaning all.

    Raises:
        TraceNotFoundError: there is no such file.
        UnreadableTraceError: it is no trace, or nothing in it can be read.
        PlaceError: a place does not parse, or the recording does not hold it.
        ExpressionError: the condition of a place does not parse.
        MockError: the recording does not hold a call that is mocked or fails, or a model's answer does not have its
            shape.
    """

    def __init__(
        self,
        path: str | Path,
        breakpoints: Iterable[str | Breakpoint] = (),
        mock_responses: Mapping[str, Any] | Iterable[Mock | Fault] = (),
        components: Collection[str] = (),
        faults: Iterable[str | Fault] = (),
    ) -> None:
        self.trace = open_recording(path)
        self.components = frozenset(form for name in components for form in (name, name.lower()))
        self.breakpoints = [
            each if isinstance(each, Breakpoint) else Breakpoint(each) for each in breakpoints
        ]
        given = [
            *_mocks(mock_responses),
            *(parse_fault(each) if isinstance(each, str) else each for each in faults),
        ]
        self._known = known = know(self.trace.events() if given or self.breakpoints else ())
        for each in self.breakpoints:
            parse_place(each.parsed.text, known)
        self.mocks = Mocks(lambda: known, lambda place: find_nth(place, self.trace.events()))
        for what in given:
            self.mocks.add(what)
        self._count = _Count()

    def __iter__(self) -> Iterator[Replayed]:
        """Every event in order."""
        self._count = count = _Count()
        nths = [find_nth(each.parsed, self.trace.events()) for each in self.breakpoints]
        reads_cost = any(each.reads_cost for each in self.breakpoints)
        reached = _Reached(self._known, reads_cost=reads_cost)
        mocked: dict[str, Numbered] = {}
        for number, event in enumerate(self.trace.events(), 1):
            reached.add(event)
            shown = self._answered(number, event, mocked)
            if self.components and event.get("component") not in self.components:
                continue
            pairs = zip(self.breakpoints, nths, strict=True)
            hits = [each.parsed.text for each, nth in pairs if reached.hits(each, nth, number, shown)]
            replaced = shown is not event and lenient.mapping(shown.get("metadata")).get("mocked") is True
            count.add(shown, hits, replaced=replaced)
            yield Replayed(number, shown, hits[0] if hits else None, replaced)

    @property
    def statistics(self) -> Statistics:
        """What was replayed so far in the latest pass."""
        return self._count.statistics()

    def _answered(self, number: int, event: Event, mocked: dict[str, Numbered]) -> Event:
        """The event as it is shown; `mocked` keeps the starts of mocked calls until they end, by their ids."""
        if not len(self.mocks):
            return event
        if "event_id" in event and self.mocks.changes(number, event):
            mocked[event["event_id"]] = (number, event)
        start = None
        if ends_span(event["event_type"]):
            start = mocked.pop(event.get("parent_event_id", ""), None)
        return self.mocks.answered(number, event, start)


def _mocks(given: Mapping[str, Any] | Iterable[Mock | Fault]) -> Iterator[Mock | Fault]:
    if not isinstance(given, Mapping):
        yield from given
        return
    for name, answer in given.items():
        yield Mock(*parse_name(name), answer)


class _Reached:
    """Totals, state and costs on the way through a recording, for the conditions of breakpoints."""

    def __init__(self, known: Known, *, reads_cost: bool) -> None:
        self._known = known
        self.totals = RunningTotals()
        self.state: dict[str, Any] = {}
        self._costs = CallCosts() if reads_cost else None
        self._cost: Cost | None = None

    def add(self, event: Event) -> None:
        """Take the next event."""
        self.totals.add(event)
        self._cost = None if self._costs is None else self._costs.of(event)
        for name, value in told(event).items():
            if name in self.state or len(self.state) < _MOST_NAMES:
                self.state[name] = value

    def hits(self, wanted: Breakpoint, nth: Nth | None, number: int, event: Event) -> bool:
        """Whether the latest event is one that a breakpoint stops at."""
        totals = self.totals.totals().scope() if wanted.reads_totals else {}
        return wanted.enabled and wanted.stops(
            number, priced(event, self._cost), totals, self.state, nth, lambda: self._known
        )


@dataclass
class _Count:
    """Adds up what was replayed."""

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
