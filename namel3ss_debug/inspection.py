"""Choose events and spans of a recording, and tell what stands around one of them.

Choosing streams: one pass, and no more memory than the ids of the spans that are chosen and open. What is shown
as a tree or over time keeps a few fields of each span and none of its payloads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Final, Protocol

from namel3ss_debug.expressions import name_fits
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.spans import Forest, Span, SpanPairing, build_forest
from namel3ss_debug.traces.totals import RunningTotals, is_failure

if TYPE_CHECKING:
    from namel3ss_debug.expressions import Expression

Numbered = tuple[int, Event]

LOOK = 50_000
"""How many events `context` reads to either side at most."""

_HEAD = 1000
_ENDED_KEPT = 100_000
_START_FIELDS: Final = [
    "event_type",
    "event_id",
    "parent_event_id",
    "timestamp",
    "component",
    "component_name",
    "retry_count",
    "thread",
    "task",
]
_END_FIELDS: Final = [
    "timestamp",
    "status",
    "error",
    "error_type",
    "duration_ms",
    "tokens_used",
    "cost_estimate",
    "component_name",
]
_ORPHAN_FIELDS: Final = [*_START_FIELDS, *_END_FIELDS]


class Events(Protocol):
    """What is read from a trace: its events in order from a number on."""

    def events(self, start: int = 1) -> Iterator[Event]:
        """All events from the number `start` on."""


@dataclass(frozen=True)
class Selection:
    """Which events are wanted; every condition that is given must hold.

    `agent`, `chain`, `prompt`, `tool` and `llm` name spans, exactly but for upper and lower case, or with `*` and `?`:
    wanted is what belongs to such a span or happened inside one. `components` are the components that are wanted,
    none meaning all.
    """

    agent: str | None = None
    chain: str | None = None
    prompt: str | None = None
    tool: str | None = None
    llm: str | None = None
    components: tuple[str, ...] = ()
    errors_only: bool = False
    where: Expression | None = None

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
        wanted: which events; all of them without.
        limit: how many at most.
    """
    chooser = _Chooser(wanted or Selection())
    events = enumerate(trace.events(), 1)
    return islice(((number, event) for number, event in events if chooser.takes(number, event)), limit)


def select_spans(trace: Events, wanted: Selection | None = None) -> Iterator[Span]:
    """The spans of which the start or the end is wanted, without payloads: as they end, then the others by number."""
    chooser, pairing = _Chooser(wanted or Selection()), SpanPairing()
    started: set[int] = set()
    for number, event in enumerate(trace.events(), 1):
        taken = chooser.takes(number, event)
        event_type = event["event_type"]
        if event_type[-6:] == "_start":
            pairing.feed(number, _slim(event, _START_FIELDS))
            if taken:
                started.add(number)
        elif event_type[-4:] == "_end" and event_type != "trace_end":
            span = pairing.feed(number, event)
            if span is None:
                pairing.orphans[-1] = (number, _slim(event, _ORPHAN_FIELDS))
                if taken:
                    started.add(number)
            elif taken or span.number in started:
                started.discard(span.number)
                span.end = _slim(event, _END_FIELDS)
                yield span
    yield from (span for span in pairing.remaining() if span.number in started)


def forest(trace: Events, wanted: Selection | None = None, *, limit: int | None = None) -> Forest:
    """The trees that the wanted spans form; a span whose parent is not among them is a root.

    Args:
        trace: the trace to read.
        wanted: which spans; all of them without.
        limit: keep only so many spans, those that began first.
    """
    links: dict[str, str] = {}
    found: list[Span] = []
    cut = False
    for span in select_spans(_Linked(trace, links), wanted):
        found.append(span)
        if limit is not None and len(found) > 2 * limit + _HEAD:
            found, cut = _first(found, limit), True
    if limit is not None and len(found) > limit:
        found, cut = _first(found, limit), True
    if cut or (wanted is not None and not wanted.everything):
        known = {span.id for span in found}
        for span in found:
            if span.start is not None and span.parent_id not in known and span.parent_id not in links:
                span.start.pop("parent_event_id", None)
    return build_forest(found, links)


def _first(found: list[Span], limit: int) -> list[Span]:
    return sorted(found, key=lambda span: span.number)[:limit]


@dataclass(frozen=True, slots=True)
class Row:
    """One span as a row of a tree or a timeline, without any drawing.

    `offset_ms` is from the first start that is shown, `duration_ms` is None while open; `lane` is the thread or task it
    ran in, empty for the main one; `depth` is 0 for a root.
    """

    number: int
    end_number: int | None
    depth: int
    component: str
    name: str | None
    label: str
    status: str
    offset_ms: float | None
    duration_ms: float | None
    lane: str


def tree(spans: Iterable[Span], links: Mapping[str, str] | None = None) -> list[Row]:
    """The spans as rows, parents before children, siblings by number."""
    walked = list(build_forest(spans, links).walk())
    begin = min((began for _, node in walked if (began := _began(node.span)) is not None), default=None)
    return [_row(node.span, depth, begin) for depth, node in walked]


def timeline(spans: Iterable[Span], links: Mapping[str, str] | None = None) -> list[Row]:
    """The spans as rows in the order in which they began; those that tell no time come last."""
    rows = tree(spans, links)
    return sorted(rows, key=lambda row: (row.offset_ms is None, row.offset_ms or 0.0, row.number))


@dataclass(frozen=True)
class Context:
    """What stands around one event.

    Attributes:
        number: its place in the trace.
        event: the event.
        other_half: the end of a start or the start of an end, with its number; None where it is not there.
        above: the starts of the spans it is inside, outermost first.
        before: the events before it in the same span, latest last.
        after: the events after it in the same span.
        inside: the first events directly inside its own span.
        inside_total: how many events are directly inside its own span.
        complete: whether everything was looked at; a very large trace is only read near the event.
    """

    number: int
    event: Event
    other_half: Numbered | None = None
    above: tuple[Numbered, ...] = ()
    before: tuple[Numbered, ...] = ()
    after: tuple[Numbered, ...] = ()
    inside: tuple[Numbered, ...] = ()
    inside_total: int = 0
    complete: bool = True


class Indexed(Events, Protocol):
    """A trace in which an event can be found by its number."""

    def event(self, number: int) -> Event:
        """The event with this number."""


def context(trace: Indexed, number: int, *, around: int = 3, inside: int = 20, look: int = LOOK) -> Context:
    """What stands around the event with this number.

    Args:
        trace: the trace.
        number: the place of the event, from 1.
        around: how many neighbours to each side.
        inside: how many of the events inside it are given; all are counted.
        look: how many events are read to either side at most, besides the first thousand of the trace.

    Raises:
        UnreadableTraceError: there is no such event.
    """
    event = trace.event(number)
    kind = event["event_type"]
    is_end = kind.endswith("_end") and kind != "trace_end"
    parent = event.get("parent_event_id")
    sought = _Search(trace, number, look)
    start = sought.find(parent) if is_end else None
    holder = start[1].get("parent_event_id") if start is not None else None if is_end else parent
    above = sought.chain(holder)
    own = parent if is_end else event.get("event_id") if kind.endswith("_start") else None
    end, within, total, reached = _inside(trace, start or (number, event), own, inside, look)
    return Context(
        number,
        event,
        start if is_end else end,
        above,
        sought.siblings(holder, around) if holder is not None else (),
        _after(trace, (end or (number, event))[0], holder, around) if holder is not None else (),
        within,
        total,
        reached and sought.complete,
    )


@dataclass
class _Chooser:
    """Says of one event after the other whether it is wanted; remembers the chosen spans that are open."""

    wanted: Selection
    totals: RunningTotals = field(default_factory=RunningTotals)
    spans: list[_Named] = field(default_factory=list)

    def __post_init__(self) -> None:
        kinds = ("agent", "chain", "prompt", "tool", "llm")
        asked = ((kind, getattr(self.wanted, kind)) for kind in kinds)
        self.spans = [_Named(kind, pattern) for kind, pattern in asked if pattern is not None]
        self.counts_totals = self.wanted.where is not None and "totals" in self.wanted.where.names

    def takes(self, number: int, event: Event) -> bool:
        """Whether the next event is wanted."""
        wanted = self.wanted
        if self.counts_totals:
            self.totals.add(event)
        # Every name is asked of every event: each remembers the spans it has seen begin.
        named = [spans.takes(event) for spans in self.spans]
        if not all(named) or (wanted.components and event.get("component") not in wanted.components):
            return False
        if wanted.errors_only and not is_failure(event):
            return False
        where = wanted.where
        return where is None or where.matches_event(
            number, event, self.totals.totals().scope() if self.counts_totals else {}
        )


class _Named:
    """The spans of one component whose name fits, and everything inside them."""

    def __init__(self, component: str, pattern: str) -> None:
        self.component = component
        self.pattern = pattern
        self.inside: set[str] = set()
        self.ended: deque[str] = deque()  # what outlives its parent still belongs to it

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
        elif taken and kind[-4:] == "_end" and parent in self.inside:
            self.ended.append(parent)
            if len(self.ended) > _ENDED_KEPT:
                self.inside.discard(self.ended.popleft())
        return taken


@dataclass
class _Linked:
    """A trace that notes, while it is read, which process was started inside which span."""

    trace: Events
    links: dict[str, str]

    def events(self, start: int = 1) -> Iterator[Event]:
        for event in self.trace.events(start):
            if event["event_type"] == "trace_start" and "parent_event_id" in event:
                self.links[event["event_id"]] = event["parent_event_id"]
            yield event


def _slim(event: Event, fields: list[str]) -> Event:
    return {name: event[name] for name in fields if name in event}


def _began(span: Span) -> float | None:
    if span.started_at is not None or span.ended_at is None:
        return span.started_at
    return span.ended_at - (span.duration_ms or 0.0) / 1000


def _row(span: Span, depth: int, begin: float | None) -> Row:
    began = _began(span)
    offset = None if began is None or begin is None else (began - begin) * 1000
    event = span.event
    return Row(
        span.number,
        span.end_number,
        depth,
        span.component,
        span.name,
        f"{span.kind} {span.name}" if span.name else span.kind,
        span.status,
        offset,
        span.duration_ms,
        str(event.get("task") or event.get("thread") or ""),
    )


class _Search:
    """Finds starts by id before an event: in the events just before it, and at the head of the trace."""

    def __init__(self, trace: Events, number: int, look: int) -> None:
        first = max(1, number - look)
        self.number = number
        self.starts: dict[str, Numbered] = {}
        self.lowest = first
        self.trace = trace
        self.complete = True
        self._read = number

    def find(self, wanted: str | None) -> Numbered | None:
        """The start with this id, reading further back only as far as needed."""
        if wanted is None:
            return None
        size = 256
        while wanted not in self.starts and self._read > self.lowest:
            begin = max(self.lowest, self._read - size)
            self._gather(begin, self._read)
            self._read, size = begin, size * 4
        if wanted not in self.starts and self.lowest > 1:
            self._gather(1, min(_HEAD + 1, self.lowest))
            self.complete = self.complete and wanted in self.starts
        return self.starts.get(wanted)

    def _gather(self, begin: int, end: int) -> None:
        found = {
            event["event_id"]: (number, event)
            for number, event in enumerate(islice(self.trace.events(begin), end - begin), begin)
            if event["event_type"].endswith("_start") and "event_id" in event
        }
        self.starts = found | self.starts  # where ids repeat, the latest before the event counts

    def chain(self, wanted: str | None) -> tuple[Numbered, ...]:
        """The starts from the outermost to the one with this id; a circle of parents is cut."""
        found: list[Numbered] = []
        seen: set[str] = set()
        while wanted is not None and wanted not in seen:
            seen.add(wanted)
            start = self.find(wanted)
            if start is None:
                break
            if start[1]["event_type"] != "trace_start":
                found.append(start)
            wanted = start[1].get("parent_event_id")
        return tuple(reversed(found))

    def siblings(self, holder: str, around: int) -> tuple[Numbered, ...]:
        """The last events before this one that are directly inside the same span."""
        begin = max(1, self.number - _HEAD)
        before = enumerate(islice(self.trace.events(begin), self.number - begin), begin)
        found = [item for item in before if _directly_inside(item[1], holder)]
        return tuple(found[-around:]) if around else ()


def _directly_inside(event: Event, holder: str) -> bool:
    return event.get("parent_event_id") == holder and event["event_type"][-4:] != "_end"


def _inside(
    trace: Events, start: Numbered, own: str | None, most: int, look: int
) -> tuple[Numbered | None, tuple[Numbered, ...], int, bool]:
    """The end of a span, what is directly inside it, how many there are, and whether its end was reached."""
    within: list[Numbered] = []
    total = 0
    if own is None:
        return None, (), 0, True
    prefix = start[1]["event_type"].removesuffix("_start").removesuffix("_end")
    for read, (number, event) in enumerate(enumerate(trace.events(start[0] + 1), start[0] + 1)):
        if read >= look:
            return None, tuple(within), total, False
        if event.get("parent_event_id") != own:
            continue
        if event["event_type"] == f"{prefix}_end":
            return (number, event), tuple(within), total, True
        if event["event_type"][-4:] != "_end":
            total += 1
            if len(within) < most:
                within.append((number, event))
    return None, tuple(within), total, True


def _after(trace: Events, number: int, holder: str, around: int) -> tuple[Numbered, ...]:
    later = enumerate(islice(trace.events(number + 1), _HEAD), number + 1)
    return tuple(islice((item for item in later if _directly_inside(item[1], holder)), around))
