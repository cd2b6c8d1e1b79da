"""The spans of a recording as a tree and as a timeline, with a few fields of each, and without payloads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from sys import intern
from typing import Final, NamedTuple

from namel3ss_debug.inspection.selection import Chooser, Events, Selection
from namel3ss_debug.inspection.streams import Streams
from namel3ss_debug.traces.costs import RECORDED, CallCosts, Cost
from namel3ss_debug.traces.events import Event, ends_span, is_unseen, unheld
from namel3ss_debug.traces.spans import Forest, Span, SpanPairing, build_forest
from namel3ss_debug.wire import lenient

_ROOM = 1000
"""How many spans more than twice the limit are gathered before the surplus is dropped."""

_ERROR_KEPT = 1000
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
_SHARED: Final = ("event_type", "parent_event_id", "component", "component_name", "status", "task", "thread")
_CONTINUING: Final = frozenset({"request_start", "task_start"})
_ORPHAN_FIELDS: Final = [*_START_FIELDS, *_END_FIELDS]


def select_spans(trace: Events, wanted: Selection | None = None) -> Iterator[Span]:
    """The spans whose start or end is wanted, without payloads: as they end, then those that are not whole, by number.

    The start of a span that continues another recording has `continues`, with its reference to that recording; the
    start of an HTTP exchange has `method` and `url`. The end of a call with a streamed answer has `chunks`, and
    `first_token_ms` where it is known; if the call is open, its start has `chunks`. The end of a call without a
    recorded cost has the cost of its tokens.
    """
    chooser, pairing, streams = Chooser(wanted or Selection()), SpanPairing(), Streams()
    costs = CallCosts()
    started: set[int] = set()
    for number, event in enumerate(trace.events(), 1):
        taken = chooser.takes(number, event)
        event_type = event["event_type"]
        cost = costs.of(event)
        if event_type[-6:] == "_start":
            pairing.feed(number, _slim(event, _START_FIELDS) | _told_besides(event_type, event))
            if taken:
                started.add(number)
        elif ends_span(event_type):
            span = pairing.feed(number, event)
            streamed = streams.ended(event)
            if span is None:
                pairing.orphans[-1] = (number, _slim(event, _ORPHAN_FIELDS, cost))
                if taken:
                    started.add(number)
            elif taken or span.number in started:
                started.discard(span.number)
                span.end = _slim(event, _END_FIELDS, cost)
                if streamed is not None:
                    span.end |= {"chunks": streamed.chunks, "first_token_ms": streamed.first_token_ms}
                yield span
        else:
            streams.folds(event)
    for span in pairing.remaining():
        if span.number in started:
            if span.start is not None and (chunks := streams.chunks(span.id)):
                span.start["chunks"] = chunks
            yield span


def _told_besides(event_type: str, event: Event) -> Event:
    """Further fields of a start: the recording that it continues, what a request asks for, that it was not seen."""
    if event_type in _CONTINUING:
        parent = lenient.mapping(event.get("metadata")).get("parent")
        return {"continues": parent} if isinstance(parent, dict) else {}
    if event_type == "http_exchange_start":
        inputs = lenient.mapping(event.get("inputs"))
        return {name: inputs[name] for name in ("method", "url") if isinstance(inputs.get(name), str)}
    return {"metadata": {"seen": False}} if is_unseen(event) else {}


class Chosen(NamedTuple):
    """The trees of the chosen spans, and how many spans were chosen, including those over the limit."""

    forest: Forest
    total: int


def forest(trace: Events, wanted: Selection | None = None, *, limit: int | None = None) -> Chosen:
    """The trees that the wanted spans form; a span whose parent is not among them is a root.

    Args:
        trace: the trace to read.
        wanted: which spans; all if left out.
        limit: keep only so many spans, those that began first.
    """
    links: dict[str, str] = {}
    found: list[Span] = []
    total = 0
    for span in select_spans(_Linked(trace, links), wanted):
        total += 1
        found.append(span)
        if limit is not None and len(found) > 2 * limit + _ROOM:
            found = _first(found, limit)
    if limit is not None and len(found) > limit:
        found = _first(found, limit)
    if total > len(found) or (wanted is not None and not wanted.everything):
        known = {span.id for span in found}
        for span in found:
            if span.start is not None and not _stands(span.parent_id, known, links):
                span.start.pop("parent_event_id", None)
    return Chosen(build_forest(found, links), total)


def _stands(parent: str | None, known: set[str], links: Mapping[str, str]) -> bool:
    """Whether a parent is among the known spans; for the id of a process, whether the span it was started in is."""
    seen: set[str] = set()
    while parent is not None and parent not in known and parent not in seen:
        seen.add(parent)
        parent = links.get(parent)
    return parent in known


def _first(found: list[Span], limit: int) -> list[Span]:
    return sorted(found, key=lambda span: span.number)[:limit]


@dataclass(frozen=True, slots=True)
class Row:
    """One span as a row of a tree or a timeline, without any drawing.

    `offset_ms` is counted from the first start that is shown, `duration_ms` is None while the span is open; `lane` is
    the thread or task it ran in, empty for the main one; `depth` is 0 for a root. `chunks` counts the chunks of its
    streamed answer, `first_token_ms` is counted from its start.
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
    chunks: int = 0
    first_token_ms: float | None = None


def rows(trees: Forest) -> list[Row]:
    """The rows of a tree, parents before children, siblings by number."""
    walked = list(trees.walk())
    begin = min((began for _, node in walked if (began := _began(node.span)) is not None), default=None)
    return [_row(node.span, depth, begin) for depth, node in walked]


def by_beginning(found: Iterable[Row]) -> list[Row]:
    """Rows in the order in which they began; those without a time come last."""
    return sorted(found, key=lambda row: (row.offset_ms is None, row.offset_ms or 0.0, row.number))


@dataclass
class _Linked:
    """A trace that collects, while it is read, which process was started inside which span."""

    trace: Events
    links: dict[str, str]

    def events(self, start: int = 1) -> Iterator[Event]:
        for event in self.trace.events(start):
            if event["event_type"] == "trace_start" and "parent_event_id" in event:
                self.links[event["event_id"]] = event["parent_event_id"]
            yield event


def _slim(event: Event, fields: list[str], cost: Cost | None = None) -> Event:
    """The fields that a tree needs; texts that many spans share are kept once."""
    if "held_before_ms" in event:
        event = unheld(event)
    slim = {name: event[name] for name in fields if name in event}
    for name in _SHARED:
        if name in slim and type(slim[name]) is str:
            slim[name] = intern(slim[name])
    if "error" in slim and isinstance(slim["error"], str):
        slim["error"] = slim["error"][:_ERROR_KEPT]
    if cost is not None and cost.source != RECORDED:
        slim["cost_estimate"] = cost.dollars
    return slim


def _began(span: Span) -> float | None:
    if span.started_at is not None or span.ended_at is None:
        return span.started_at
    return span.ended_at - (span.duration_ms or 0.0) / 1000


def _row(span: Span, depth: int, begin: float | None) -> Row:
    began = _began(span)
    offset = None if began is None or begin is None else (began - begin) * 1000
    event, told = span.event, span.end or span.start or {}
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
        told.get("chunks", 0),
        told.get("first_token_ms"),
    )
