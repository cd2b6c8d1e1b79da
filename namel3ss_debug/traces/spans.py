"""Spans: a start event with its end event, paired one event at a time, and the tree they form.

An end names its start (`parent_event_id`), so pairing is one dictionary look-up. Starts with the same id, which only a
damaged or hostile file has, nest like brackets: an end closes the latest. `trace_start` and `trace_end` mark segments
and processes and are no spans.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from namel3ss_debug.traces.events import SPAN_FAILURES, Event, ends_span, is_unseen


class Span:
    """A start and its end, one of which may be missing.

    Attributes:
        number: the place of the start in its trace, from 1; of the end when there is no start.
        start: the start event; None for an end whose start was never seen.
        end: the end event; None while the span is open.
        end_number: the place of the end event, if any.
    """

    __slots__ = ("end", "end_number", "number", "start")

    def __init__(
        self, number: int, start: Event | None, end: Event | None = None, end_number: int | None = None
    ) -> None:
        self.number = number
        self.start = start
        self.end = end
        self.end_number = end_number

    def __repr__(self) -> str:
        return f"Span({self.number}, {self.kind!r}, {self.name!r}, {self.status!r})"

    @property
    def event(self) -> Event:
        """The start, or the end where there is no start."""
        return self.start if self.start is not None else (self.end or {})

    @property
    def id(self) -> str:
        """The id of the start event."""
        if self.start is not None:
            return str(self.start.get("event_id", ""))
        return str((self.end or {}).get("parent_event_id", ""))

    @property
    def parent_id(self) -> str | None:
        """The id of the start event that the span happened inside; unknown (None) without a start."""
        return self.start.get("parent_event_id") if self.start is not None else None

    @property
    def kind(self) -> str:
        """The event type without `_start` or `_end`, such as `llm_call`."""
        return str(self.event.get("event_type", "")).removesuffix("_start").removesuffix("_end")

    @property
    def component(self) -> str:
        """The component of the start."""
        return str(self.event.get("component", ""))

    @property
    def name(self) -> str | None:
        """The component's name: the start's, or the end's where the start has none."""
        name = self.event.get("component_name")
        return name if name is not None or self.end is None else self.end.get("component_name")

    @property
    def status(self) -> str:
        """The status of the end event; `open` when there is none."""
        if self.end is None:
            return "open"
        return self.end.get("status") or ("failed" if self.end.get("error") is not None else "completed")

    @property
    def failed(self) -> bool:
        """Whether the span ended without having done its work."""
        end = self.end
        return end is not None and (
            end.get("status") in SPAN_FAILURES or (end.get("status") is None and end.get("error") is not None)
        )

    @property
    def started_at(self) -> float | None:
        """When it began, in seconds since the epoch; None where that is not known."""
        return None if self.start is None else self.start.get("timestamp")

    @property
    def ended_at(self) -> float | None:
        """When it ended, in seconds since the epoch; None while it is open."""
        return None if self.end is None else self.end.get("timestamp")

    @property
    def duration_ms(self) -> float | None:
        """How long it took in milliseconds: as recorded in the end, else by the two timestamps; None while open.

        None as well where both events were written after it had ended.
        """
        if self.end is None:
            return None
        measured: float | None = self.end.get("duration_ms")
        if measured is not None:
            return measured
        if self.start is not None and is_unseen(self.start):
            return None
        began, ended = self.started_at, self.ended_at
        return None if began is None or ended is None else max(ended - began, 0.0) * 1000


class SpanPairing:
    """Pairs starts with ends while events are fed in, in the order of the trace.

    Attributes:
        open: id -> (number, start event) of the spans that have not ended; the latest where ids repeat.
        orphans: (number, end event) of the ends whose start was not seen, in order.
        links: id -> parent id of the `trace_start` events that have a parent, which connect a child process to
            the span it was started in.
    """

    def __init__(self) -> None:
        self.open: dict[str, tuple[int, Event]] = {}
        self.orphans: list[tuple[int, Event]] = []
        self.links: dict[str, str] = {}
        self._under: dict[str, list[tuple[int, Event]]] = {}  # earlier open starts with the same id

    def feed(self, number: int, event: Event) -> Span | None:
        """Take the next event; return the span it completes, if it does.

        An end without a start returns None and is kept in `orphans`.
        """
        event_type = event["event_type"]
        if ends_span(event_type):
            found = self.finish(number, event)
            return None if found is None else Span(found[0], found[1], event, number)
        if event_type[-6:] == "_start":
            if event_type == "trace_start":
                self._link(event)
            else:
                self.begin(number, event)
        return None

    def begin(self, number: int, start: Event) -> None:
        """Take the start of a span, as `feed` does."""
        event_id = start["event_id"]
        if event_id in self.open:
            self._under.setdefault(event_id, []).append(self.open[event_id])
        self.open[event_id] = (number, start)

    def finish(self, number: int, end: Event) -> tuple[int, Event] | None:
        """Take the end of a span, as `feed` does; return the start of that span, with its number."""
        parent = end.get("parent_event_id", "")
        found = self.open.pop(parent, None)
        if found is None:
            self.orphans.append((number, end))
        elif self._under:
            self._uncover(parent)
        return found

    def remaining(self) -> Iterator[Span]:
        """Return the spans that are not whole, by number: open ones, and ends without a start."""
        under = (item for items in self._under.values() for item in items)
        left = [Span(number, start) for number, start in (*self.open.values(), *under)]
        left += [Span(number, None, end, number) for number, end in self.orphans]
        return iter(sorted(left, key=_number))

    def _uncover(self, event_id: str) -> None:
        """After the latest start with this id has ended, the one before it is the open one again."""
        covered = self._under.get(event_id)
        if covered:
            self.open[event_id] = covered.pop()
            if not covered:
                del self._under[event_id]

    def _link(self, event: Event) -> None:
        parent = event.get("parent_event_id")
        if parent is not None:
            self.links[event["event_id"]] = parent


def spans(events: Iterable[Event], start: int = 1) -> Iterator[Span]:
    """Pair a sequence of events: whole spans as they end, then those that are not whole, by number.

    Args:
        events: events in the order of their trace.
        start: the number of the first of them.
    """
    pairing = SpanPairing()
    feed = pairing.feed
    for number, event in enumerate(events, start):
        span = feed(number, event)
        if span is not None:
            yield span
    yield from pairing.remaining()


@dataclass(slots=True, eq=False)
class Node:
    """A span in the tree, with the spans that happened inside it by number."""

    span: Span
    children: list[Node] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Forest:
    """The trees that the spans of a trace form.

    Attributes:
        roots: the spans without a parent, and those whose parent could not be used, by number.
        lost_parents: how many spans name a parent that is not there.
        cycles: how many circles of parents were cut, each at its lowest number.
        duplicates: how many spans have an id that an earlier span had.
    """

    roots: list[Node]
    lost_parents: int
    cycles: int
    duplicates: int

    def walk(self) -> Iterator[tuple[int, Node]]:
        """Every node with its depth from 0, parents before children; any depth, no recursion."""
        stack = [(0, node) for node in reversed(self.roots)]
        while stack:
            depth, node = stack.pop()
            yield depth, node
            stack.extend((depth + 1, child) for child in reversed(node.children))


def build_forest(spans: Iterable[Span], links: Mapping[str, str] | None = None) -> Forest:
    """Put every span under its parent.

    Where several spans have the id of the parent, the latest one before the child is taken.

    Args:
        spans: in any order.
        links: ids that stand for other ids, see `SpanPairing.links`.
    """
    nodes = [Node(span) for span in sorted(spans, key=_number)]
    by_id: dict[str, list[Node]] = {}
    for node in nodes:
        if node.span.start is not None:
            by_id.setdefault(node.span.id, []).append(node)
    parents: dict[int, Node] = {}
    lost = 0
    for node in nodes:
        wanted = _resolve(node.span.parent_id, by_id, links or {})
        if wanted is None:
            continue
        same = by_id.get(wanted)
        if same is None:
            lost += 1
        else:
            place = bisect_left(same, node.span.number, key=_node_number)
            parents[id(node)] = same[max(place - 1, 0)]
    cycles = _cut_cycles(nodes, parents)
    roots: list[Node] = []
    for node in nodes:
        parent = parents.get(id(node))
        (roots if parent is None else parent.children).append(node)
    duplicates = sum(len(same) - 1 for same in by_id.values())
    return Forest(roots, lost, cycles, duplicates)


def _resolve(wanted: str | None, by_id: Mapping[str, Any], links: Mapping[str, str]) -> str | None:
    seen: set[str] = set()
    while wanted is not None and wanted not in by_id and wanted in links and wanted not in seen:
        seen.add(wanted)
        wanted = links[wanted]
    return wanted


def _cut_cycles(nodes: list[Node], parents: dict[int, Node]) -> int:
    """Make the first span of every circle of parents a root; each chain is walked once."""
    done: set[int] = set()
    cycles = 0
    for node in nodes:
        path: set[int] = set()
        at: Node | None = node
        while at is not None and id(at) not in done and id(at) not in path:
            path.add(id(at))
            at = parents.get(id(at))
        if at is not None and id(at) in path:
            cycles += 1
            lowest, step = at, parents[id(at)]
            while step is not at:
                lowest = min(lowest, step, key=_node_number)
                step = parents[id(step)]
            del parents[id(lowest)]
        done |= path
    return cycles


def _number(span: Span) -> int:
    return span.number


def _node_number(node: Node) -> int:
    return node.span.number
