"""Select the wanted events of a trace.

This takes one pass, and keeps only the table of spans in memory.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from namel3ss_debug.expressions import compile_expression, name_fits, nearest
from namel3ss_debug.importers.opening import open_trace
from namel3ss_debug.inspection.streams import ChunkCounter, StreamedAnswer
from namel3ss_debug.traces.costs import priced
from namel3ss_debug.traces.events import Event, NumberedEvents
from namel3ss_debug.traces.span_table import NOWHERE, EventPlace, SpanTableBuilder
from namel3ss_debug.traces.totals import RunningTotals, is_failure
from namel3ss_debug.traces.typed_events import TraceEvent
from namel3ss_debug.traces.variables import VariableHistory

if TYPE_CHECKING:
    from namel3ss_debug.expressions import Expression

Numbered = tuple[int, Event]

_NAMES_KEPT, _NAMES_SHOWN = 1_000, 6


class EventSource(Protocol):
    """A trace whose events can be read in order."""

    def events(self, start: int = 1) -> Iterator[Event]:
        """Yield all events from the number `start` on."""


class IndexedEvents(NumberedEvents, Protocol):
    """A trace in which several events can be found by their numbers."""

    def chosen(self, numbers: Iterable[int]) -> Iterator[Numbered]:
        """Yield the events with these numbers."""


@dataclass(frozen=True)
class Selection:
    """The conditions for events that are wanted; all conditions must be met.

    `agent`, `chain`, `prompt`, `tool` and `llm` are names of spans, in upper or lower case, with `*` and `?` for
    anything: an event is wanted if it belongs to such a span or happened inside one. `components` are the wanted
    components; empty means all. `where` is an expression, as in `inspect --where`.

    Raises:
        ExpressionError: `where` does not parse.
    """

    agent: str | None = None
    chain: str | None = None
    prompt: str | None = None
    tool: str | None = None
    llm: str | None = None
    components: Collection[str] = ()
    errors_only: bool = False
    where: Expression | str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.where, str):
            object.__setattr__(self, "where", compile_expression(self.where))

    @property
    def condition(self) -> Expression | None:
        """Return the expression of `where`."""
        return None if isinstance(self.where, str) else self.where

    @property
    def selects_all(self) -> bool:
        """Return whether there is no condition."""
        return self == Selection()


TraceFilter = Selection
"""The name of `Selection` for users of the library."""


def select(
    trace: EventSource, wanted: Selection | None = None, *, limit: int | None = None
) -> Iterator[Numbered]:
    """Yield the wanted events with their numbers, in order, as they are read.

    Args:
        trace: the trace to read.
        wanted: which events; all if left out.
        limit: how many events at most.
    """
    numbered = enumerate(trace.events(), 1)
    if wanted is None or wanted.selects_all:
        return islice(numbered, limit)
    chooser = Chooser(wanted)
    return islice((item for item in numbered if chooser.choose(*item)), limit)


class EventLine(NamedTuple):
    """One line of a table: an event with its number, its chunks if these are folded, and its cost.

    `cost` is in US dollars: the recorded cost, or the cost of the tokens of the call that ends with the event.
    """

    number: int
    event: Event
    streamed: StreamedAnswer | None = None
    cost: float | None = None


class FoldedEvents:
    """The wanted events. The chunks of a streamed answer are in the line of its call's end, unless `chunks` is set.

    It can be iterated over once. Chunks that belong to no call have lines of their own. Events that no view needs
    (`SpanTable.is_quiet`) have none, unless `quiet` is set.

    Attributes:
        left_out: after the last event, the number of wanted chunks that are in none of the lines.
        left_out_quiet: the same of the events that no view needs.
    """

    def __init__(
        self,
        trace: EventSource,
        wanted: Selection | None = None,
        *,
        chunks: bool = False,
        quiet: bool = False,
    ) -> None:
        self.trace = trace
        self.chunks = chunks
        self.quiet = quiet
        self.wanted = wanted or Selection()
        self.left_out = self.left_out_quiet = 0

    def __iter__(self) -> Iterator[EventLine]:
        """Yield the lines, as the events are read."""
        chooser, counter = Chooser(self.wanted), ChunkCounter()
        for number, event in enumerate(self.trace.events(), 1):
            is_wanted, place = chooser.choose(number, event), chooser.place
            if not self.quiet and chooser.builder.table.is_quiet(event, place.span):
                self.left_out_quiet += is_wanted
                continue
            if not self.chunks and counter.count_chunk(event, place, wanted=is_wanted):
                continue
            streamed, cost = counter.pop_answer(event, place), chooser.builder.table.cost_of(place.span)
            if is_wanted:
                yield EventLine(number, event, streamed, cost and cost.dollars)
            elif streamed is not None:
                self.left_out += streamed.wanted
        self.left_out += counter.count_unfinished()


@dataclass
class Chooser:
    """A chooser of wanted events, one after the other, that remembers the chosen spans.

    Attributes:
        builder: takes each event into the table of spans.
        place: where the last event belongs.
    """

    wanted: Selection
    builder: SpanTableBuilder = field(default_factory=SpanTableBuilder)
    place: EventPlace = NOWHERE
    totals: RunningTotals = field(default_factory=RunningTotals)
    spans: list[_NamedSpans] = field(default_factory=list)

    def __post_init__(self) -> None:
        kinds = ("agent", "chain", "prompt", "tool", "llm")
        patterns = ((kind, getattr(self.wanted, kind)) for kind in kinds)
        self.spans = [_NamedSpans(kind, pattern) for kind, pattern in patterns if pattern is not None]
        condition = self.wanted.condition
        self.counts_totals = condition is not None and "totals" in condition.names
        self.variables = VariableHistory() if condition is not None and "locals" in condition.text else None

    def choose(self, number: int, event: Event) -> bool:
        """Take the next event and return whether it is wanted."""
        wanted = self.wanted
        self.place = self.builder.take(event)
        cost = self.builder.table.cost_of(self.place.span)
        if self.counts_totals:
            self.totals.add(event, cost)
        complete = None if self.variables is None else self.variables.complete(event)
        # Every event is checked against every name, because each name remembers the spans that have begun.
        are_inside = [spans.take(event, self.place) for spans in self.spans]
        if not all(are_inside) or (wanted.components and event.get("component") not in wanted.components):
            return False
        if wanted.errors_only and not is_failure(event):
            return False
        where = wanted.condition
        event = priced(complete or event, cost)
        return where is None or where.matches_event(
            number, event, self.totals.totals().scope() if self.counts_totals else {}
        )


def describe_unknown_name(trace: EventSource, wanted: Selection) -> str:
    """Return a message about the first wanted name that a trace lacks, with the names it has; empty if it lacks none."""
    wanted_spans = Chooser(wanted).spans
    names_by_component: dict[str | None, set[str]] = {spans.component: set() for spans in wanted_spans}
    for event in trace.events() if wanted_spans else ():
        names, name = names_by_component.get(event.get("component")), event.get("component_name")
        if names is not None and name is not None and len(names) < _NAMES_KEPT:
            names.add(name)
    for spans in wanted_spans:
        names = names_by_component[spans.component]
        if not any(name_fits(name, spans.pattern) for name in names):
            some = ", ".join(sorted(names)[:_NAMES_SHOWN]) + (", ..." if len(names) > _NAMES_SHOWN else "")
            hint = nearest(spans.pattern, names) or (f"; there are {some}" if names else "")
            return f"no {spans.component} is called {spans.pattern!r}{hint}"
    return ""


class _NamedSpans:
    """The spans of one component whose name fits, and all spans inside them, by their rows."""

    def __init__(self, component: str, pattern: str) -> None:
        self.component = component
        self.pattern = pattern
        self.inside: set[int] = set()

    def take(self, event: Event, place: EventPlace) -> bool:
        """Take the next event and return whether it belongs to such a span."""
        belongs = place.parent in self.inside
        if not belongs and event.get("component") == self.component:
            name = event.get("component_name")
            belongs = name is not None and name_fits(name, self.pattern)
        if belongs and place.span >= 0:
            self.inside.add(place.span)
        return belongs


def read_trace(path: str | Path, wanted: TraceFilter | None = None) -> Iterator[TraceEvent]:
    """Yield the events of a trace, in order; with a filter, only the events that it wants.

    Raises:
        TraceNotFoundError: there is no such file.
        UnreadableTraceError: the file is not a regular file, may not be read, or is in another encoding.
    """
    for number, event in select(open_trace(path), wanted):
        yield TraceEvent.from_dict(event, number)
