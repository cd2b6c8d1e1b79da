"""Selects the wanted events of a recording.

This takes one pass, and only keeps the ids of the chosen spans that are open in memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, Protocol

from namel3ss_debug.expressions import compile_expression, name_fits, nearest
from namel3ss_debug.inspection.streams import Streamed, Streams
from namel3ss_debug.traces.costs import CallCosts, priced
from namel3ss_debug.traces.events import Event, ends_span
from namel3ss_debug.traces.totals import RunningTotals, is_failure

if TYPE_CHECKING:
    from namel3ss_debug.expressions import Expression

Numbered = tuple[int, Event]

_ENDED_KEPT = 100_000
_NAMES_KEPT, _NAMES_SHOWN = 1_000, 6


class Events(Protocol):
    """A trace, as far as it is needed here: its events in order from a number on."""

    def events(self, start: int = 1) -> Iterator[Event]:
        """All events from the number `start` on."""


@dataclass(frozen=True)
class Selection:
    """Which events are wanted; every condition that is given must hold.

    `agent`, `chain`, `prompt`, `tool` and `llm` name spans, exactly but for upper and lower case, or with `*` and `?`:
    wanted is what belongs to such a span or happened inside one. `components` are the components that are wanted,
    none meaning all. `where` is an expression, as `inspect --where` takes it.

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
        """The expression of `where`."""
        return None if isinstance(self.where, str) else self.where

    @property
    def everything(self) -> bool:
        """Whether no condition is given."""
        return self == Selection()


TraceFilter = Selection
"""The name under which library users import it."""


def select(trace: Events, wanted: Selection | None = None, *, limit: int | None = None) -> Iterator[Numbered]:
    """The wanted events with their numbers, in order, as they are read.

    Args:
        trace: the trace to read.
        wanted: which events; all if left out.
        limit: how many at most.
    """
    chooser = Chooser(wanted or Selection())
    events = enumerate(trace.events(), 1)
    return islice(((number, event) for number, event in events if chooser.takes(number, event)), limit)


class Line(NamedTuple):
    """One line of a table: an event with its number, its chunks where these are folded, and its cost.

    `cost` is in US dollars: the recorded cost, or that of the tokens of the call that ends with the event.
    """

    number: int
    event: Event
    streamed: Streamed | None = None
    cost: float | None = None


class Folded:
    """The wanted events, with the chunks of a streamed answer in the line of its call's end, unless `chunks` is set.

    It can be iterated over once. Chunks that belong to no call have lines of their own.

    Attributes:
        left_out: after the last event, how many wanted chunks are in none of the lines.
    """

    def __init__(self, trace: Events, wanted: Selection | None = None, *, chunks: bool = False) -> None:
        self.trace = trace
        self.chunks = chunks
        self.wanted = wanted or Selection()
        self.left_out = 0

    def __iter__(self) -> Iterator[Line]:
        """The lines, as the events are read."""
        chooser, streams, costs = Chooser(self.wanted), Streams(), CallCosts()
        for number, event in enumerate(self.trace.events(), 1):
            taken = chooser.takes(number, event)
            if not self.chunks and streams.folds(event, wanted=taken):
                continue
            streamed, cost = streams.ended(event), costs.of(event)
            if taken:
                yield Line(number, event, streamed, cost and cost.dollars)
            elif streamed is not None:
                self.left_out += streamed.wanted
        self.left_out += streams.left()


@dataclass
class Chooser:
    """Decides for one event after the other whether it is wanted; remembers the chosen spans that are open."""

    wanted: Selection
    totals: RunningTotals = field(default_factory=RunningTotals)
    spans: list[_Named] = field(default_factory=list)

    def __post_init__(self) -> None:
        kinds = ("agent", "chain", "prompt", "tool", "llm")
        asked = ((kind, getattr(self.wanted, kind)) for kind in kinds)
        self.spans = [_Named(kind, pattern) for kind, pattern in asked if pattern is not None]
        condition = self.wanted.condition
        self.counts_totals = condition is not None and "totals" in condition.names
        self.costs = CallCosts() if condition is not None and "cost_estimate" in condition.names else None

    def takes(self, number: int, event: Event) -> bool:
        """Whether the next event is wanted."""
        wanted = self.wanted
        if self.counts_totals:
            self.totals.add(event)
        cost = None if self.costs is None else self.costs.of(event)
        # Every event is checked against every name, because each name remembers the spans that have begun.
        named = [spans.takes(event) for spans in self.spans]
        if not all(named) or (wanted.components and event.get("component") not in wanted.components):
            return False
        if wanted.errors_only and not is_failure(event):
            return False
        where = wanted.condition
        return where is None or where.matches_event(
            number, priced(event, cost), self.totals.totals().scope() if self.counts_totals else {}
        )


def unknown_name(trace: Events, wanted: Selection) -> str:
    """A message about the first wanted name that is not in a trace, with those that are; empty if none is missing."""
    asked = Chooser(wanted).spans
    there: dict[str | None, set[str]] = {spans.component: set() for spans in asked}
    for event in trace.events() if asked else ():
        names, name = there.get(event.get("component")), event.get("component_name")
        if names is not None and name is not None and len(names) < _NAMES_KEPT:
            names.add(name)
    for spans in asked:
        names = there[spans.component]
        if not any(name_fits(name, spans.pattern) for name in names):
            some = ", ".join(sorted(names)[:_NAMES_SHOWN]) + (", ..." if len(names) > _NAMES_SHOWN else "")
            hint = nearest(spans.pattern, names) or (f"; there are {some}" if names else "")
            return f"no {spans.component} is called {spans.pattern!r}{hint}"
    return ""


class _Named:
    """The spans of one component whose name fits, and everything inside them."""

    def __init__(self, component: str, pattern: str) -> None:
        self.component = component
        self.pattern = pattern
        self.inside: set[str] = set()
        self.ended: deque[str] = deque()  # a span that outlives its parent still belongs to it

    def takes(self, event: Event) -> bool:
        """Whether the next event belongs to such a span."""
        parent = event.get("parent_event_id")
        taken = parent is not None and parent in self.inside
        if not taken and event.get("component") == self.component:
            name = event.get("component_name")
            taken = name is not None and name_fits(name, self.pattern)
        kind = event["event_type"]
        if taken and kind[-6:] == "_start" and "event_id" in event:
            self.inside.add(event["event_id"])
        elif taken and ends_span(kind) and parent in self.inside:
            self.ended.append(parent)
            if len(self.ended) > _ENDED_KEPT:
                self.inside.discard(self.ended.popleft())
        return taken
