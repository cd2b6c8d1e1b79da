"""Arrange the spans of a trace as a tree and as a timeline, with a few fields of each span and without payloads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from sys import intern
from typing import Final, NamedTuple

from namel3ss_debug.inspection.selection import Chooser, EventSource, Selection
from namel3ss_debug.inspection.streams import ChunkCounter
from namel3ss_debug.traces.costs import RECORDED, CallCosts, Cost
from namel3ss_debug.traces.events import Event, ends_span, is_unseen, without_pauses
from namel3ss_debug.traces.facts import is_background
from namel3ss_debug.traces.spans import Forest, Span, SpanPairing, build_forest
from namel3ss_debug.wire import lenient

_SURPLUS = 1000
"""How many spans beyond twice the limit are gathered before the surplus is dropped."""

_LONGEST_ERROR = 1000
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
_SHARED_TEXTS: Final = (
    "event_type",
    "parent_event_id",
    "component",
    "component_name",
    "status",
    "task",
    "thread",
)
_CONTINUING_STARTS: Final = frozenset({"request_start", "task_start"})
_ORPHAN_FIELDS: Final = [*_START_FIELDS, *_END_FIELDS]


def select_spans(trace: EventSource, wanted: Selection | None = None) -> Iterator[Span]:
    """Yield the spans whose start or end is wanted, without payloads: as they end, then the incomplete ones, by number.

    The start of a span that continues another trace has `continues`, with its reference to that trace; the start of an
    HTTP exchange has `method` and `url`. The end of a call with a streamed answer has `chunks`, and `first_token_ms` if
    it is known; if the call is open, its start has `chunks`. The end of a call without a recorded cost has the cost of
    its tokens.
    """
    chooser, pairing, counter = Chooser(wanted or Selection()), SpanPairing(), ChunkCounter()
    costs = CallCosts()
    started: set[int] = set()
    for number, event in enumerate(trace.events(), 1):
        is_wanted = chooser.choose(number, event)
        event_type = event["event_type"]
        cost = costs.of(event)
        if event_type[-6:] == "_start":
            pairing.feed(number, _slim_event(event, _START_FIELDS) | _extra_start_fields(event_type, event))
            if is_wanted:
                started.add(number)
        elif ends_span(event_type):
            span = pairing.feed(number, event)
            streamed = counter.pop_answer(event)
            if span is None:  # the pairing has kept this end without its start, with its payloads
                pairing.orphans[-1] = (number, _slim_event(event, _ORPHAN_FIELDS, cost))
                if is_wanted:
                    started.add(number)
            elif is_wanted or span.number in started:
                started.discard(span.number)
                span.end = _slim_event(event, _END_FIELDS, cost)
                if streamed is not None:
                    span.end |= {"chunks": streamed.chunks, "first_token_ms": streamed.first_token_ms}
                yield span
        else:
            counter.count_chunk(event)
    for span in pairing.remaining():
        if span.number in started:
            if span.start is not None and (chunks := counter.count_so_far(span.id)):
                span.start["chunks"] = chunks
            yield span


def _extra_start_fields(event_type: str, event: Event) -> Event:
    """Return further fields of a start: the trace that it continues, the request that it sends, that it was not seen."""
    if event_type in _CONTINUING_STARTS:
        parent = lenient.mapping(event.get("metadata")).get("parent")
        return {"continues": parent} if isinstance(parent, dict) else {}
    if event_type == "http_exchange_start":
        inputs = lenient.mapping(event.get("inputs"))
        return {name: inputs[name] for name in ("method", "url") if isinstance(inputs.get(name), str)}
    if is_background(event):
        return {"background": True}
    return {"metadata": {"seen": False}} if is_unseen(event) else {}


class ChosenSpans(NamedTuple):
    """The trees of the chosen spans, and the number of chosen spans, including those over the limit."""

    forest: Forest
    total: int


def select_forest(
    trace: EventSource, wanted: Selection | None = None, *, limit: int | None = None
) -> ChosenSpans:
    """Return the trees that the wanted spans form; a span whose parent is not among them is a root.

    Args:
        trace: the trace to read.
        wanted: which spans; if left out, all but the commands that libraries run for their own purposes.
        limit: keep only so many spans, the ones that began first.
    """
    links: dict[str, str] = {}
    spans: list[Span] = []
    total = 0
    shows_background = wanted is not None and not wanted.selects_all
    for span in select_spans(_LinkedEvents(trace, links), wanted):
        if not shows_background and span.start is not None and "background" in span.start:
            continue
        total += 1
        spans.append(span)
        # Spans come in the order of their ends. Sorting only now and then bounds the memory without a sort per span.
        if limit is not None and len(spans) > 2 * limit + _SURPLUS:
            spans = _keep_first(spans, limit)
    if limit is not None and len(spans) > limit:
        spans = _keep_first(spans, limit)
    if total > len(spans) or (wanted is not None and not wanted.selects_all):
        known = {span.id for span in spans}
        for span in spans:
            if span.start is not None and not _is_known(span.parent_id, known, links):
                span.start.pop("parent_event_id", None)
    return ChosenSpans(build_forest(spans, links), total)


def _is_known(parent: str | None, known: set[str], links: Mapping[str, str]) -> bool:
    """Return whether a parent is a known span, or is a process that was started inside a known span."""
    seen: set[str] = set()
    while parent is not None and parent not in known and parent not in seen:
        seen.add(parent)
        parent = links.get(parent)
    return parent in known


def _keep_first(spans: list[Span], limit: int) -> list[Span]:
    return sorted(spans, key=lambda span: span.number)[:limit]


@dataclass(frozen=True, slots=True)
class SpanRow:
    """One span as a row of a tree or a timeline, without any drawing.

    `offset_ms` is counted from the first start that is shown; `duration_ms` is None while the span is open. `track` is
    the thread or task in which it ran, empty for the main one; `depth` is 0 for a root. `chunks` counts the chunks of
    its streamed answer, `first_token_ms` is counted from its start.
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
    track: str
    chunks: int = 0
    first_token_ms: float | None = None


def make_rows(trees: Forest) -> list[SpanRow]:
    """Return the rows of a tree, parents before children, siblings by number."""
    nodes = list(trees.walk())
    times = [_find_start_time(node.span) for _, node in nodes]
    first = min((time for time in times if time is not None), default=None)
    return [_make_row(node.span, depth, first) for depth, node in nodes]


def sort_by_start(unsorted: Iterable[SpanRow]) -> list[SpanRow]:
    """Return rows in the order in which the spans began; rows without a time come last."""
    return sorted(unsorted, key=lambda row: (row.offset_ms is None, row.offset_ms or 0.0, row.number))


@dataclass
class _LinkedEvents:
    """A trace that collects, while it is read, in which span each process was started."""

    trace: EventSource
    links: dict[str, str]

    def events(self, start: int = 1) -> Iterator[Event]:
        for event in self.trace.events(start):
            if event["event_type"] == "trace_start" and "parent_event_id" in event:
                self.links[event["event_id"]] = event["parent_event_id"]
            yield event


def _slim_event(event: Event, fields: list[str], cost: Cost | None = None) -> Event:
    """Return the fields that a tree needs; texts that many spans share are kept once."""
    if "paused_before_ms" in event:  # a debugger paused the process; the time without the pauses is shown
        event = without_pauses(event)
    slim = {name: event[name] for name in fields if name in event}
    metadata = event.get("metadata")
    if isinstance(metadata, dict) and isinstance(task_path := metadata.get("lineage"), str):
        slim["task_path"] = intern(task_path)
    for name in _SHARED_TEXTS:
        if name in slim and type(slim[name]) is str:
            slim[name] = intern(slim[name])
    if "error" in slim and isinstance(slim["error"], str):
        slim["error"] = slim["error"][:_LONGEST_ERROR]
    if cost is not None and cost.source != RECORDED:
        slim["cost_estimate"] = cost.dollars
    return slim


def _find_start_time(span: Span) -> float | None:
    """Return when a span began; without its start, this follows from its end and duration."""
    if span.started_at is not None or span.ended_at is None:
        return span.started_at
    return span.ended_at - (span.duration_ms or 0.0) / 1000


def _make_row(span: Span, depth: int, first: float | None) -> SpanRow:
    start_time = _find_start_time(span)
    offset = None if start_time is None or first is None else (start_time - first) * 1000
    event, fields = span.event, span.end or span.start or {}
    return SpanRow(
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
        fields.get("chunks", 0),
        fields.get("first_token_ms"),
    )
