"""Arrange the spans of a trace as a tree and as a timeline, with a few facts of each span and without payloads."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from namel3ss_debug.inspection.selection import Chooser, EventSource, IndexedEvents, Selection
from namel3ss_debug.inspection.streams import CHUNK
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.facts import NS_PER_MS, instant, span_status
from namel3ss_debug.traces.span_table import AT_TOP, PARENT_LOST, Fact, SpanTable, SpanTableBuilder
from namel3ss_debug.wire import lenient

_LONGEST_ERROR = 1000
_CONTINUING_KINDS: Final = frozenset({"request", "task"})


class SpanLook(NamedTuple):
    """What a tree shows of a span besides its figures.

    `track` is the thread or task in which it ran, empty for the main one, and `task_path` the tasks around that one too.
    `request` is the method and the URL of an HTTP exchange. `origin` is what a request or a task continues: the id of
    another run of ours with that of the event, or the id of the trace of another tracer.
    """

    kind: str
    status: str
    track: str
    task_path: str
    retries: object
    error: str | None
    error_type: str | None
    request: tuple[str | None, str | None] = (None, None)
    origin: tuple[str, str] | None = None


def _look(start: Event, end: Event) -> SpanLook:
    event = start or end
    kind = str(event["event_type"]).removesuffix("_start").removesuffix("_end")
    error, metadata, inputs = (
        end.get("error"),
        lenient.mapping(event.get("metadata")),
        lenient.mapping(start.get("inputs") if kind == "http_exchange" else None),
    )
    track = str(event.get("task") or event.get("thread") or "")
    origin = lenient.mapping(metadata.get("parent")) if start and kind in _CONTINUING_KINDS else {}
    return SpanLook(
        kind,
        span_status(end),
        track,
        lenient.string(metadata.get("lineage")) or track,
        event.get("retry_count"),
        None if error is None else str(error)[:_LONGEST_ERROR],
        lenient.string(end.get("error_type")),
        (lenient.string(inputs.get("method")), lenient.string(inputs.get("url"))),
        _find_origin(origin),
    )


def _find_origin(origin: dict[str, Any]) -> tuple[str, str] | None:
    if "execution_id" in origin:
        return str(origin["execution_id"]), str(origin.get("event_id", ""))
    return (str(origin.get("trace_id", "")), "") if origin else None


_FACTS: Final = (
    Fact("look", _look, interned=True),
    Fact("ended", lambda _, end: -1 if "timestamp" not in end else instant(end["timestamp"])),
)


@dataclass(frozen=True, slots=True)
class ChosenSpans:
    """The trees of the chosen spans. A span whose parent is not among them is a root.

    Attributes:
        spans: the table of all spans.
        children: row -> the rows of the chosen spans inside it; for `AT_TOP` the roots.
        total: the number of chosen spans, including those over the limit.
        chunks: row -> how many chunks its streamed answer has.
        lost_parents: how many of the roots name a parent that is not in the trace before them.
    """

    spans: SpanTable
    children: dict[int, list[int]]
    total: int
    chunks: Counter[int]
    lost_parents: int

    def walk(self) -> Iterator[tuple[int, int]]:
        """Yield the depth and the row of each span, parents before children; a trace may be nested too deep to recurse."""
        stack = [(0, row) for row in reversed(self.children.get(AT_TOP, ()))]
        while stack:
            depth, row = stack.pop()
            yield depth, row
            stack += [(depth + 1, child) for child in reversed(self.children.get(row, ()))]

    def look(self, row: int) -> SpanLook:
        """Return what is shown of a span besides its figures."""
        look: SpanLook = self.spans.value(self.spans.facts["look"][row])
        return look

    def began(self, row: int) -> int | None:
        """Return when a span began, in nanoseconds since the epoch; without its start, this follows from its end."""
        began, ended = self.spans.began[row], self.ended(row)
        return began if began >= 0 else None if ended is None else ended - max(self.spans.duration[row], 0)

    def ended(self, row: int) -> int | None:
        """Return when a span ended, in nanoseconds since the epoch."""
        ended = self.spans.facts["ended"][row]
        return ended if ended >= 0 else None

    def took_ms(self, row: int) -> float | None:
        """Return the duration of a span; None where it is not known."""
        return _milliseconds(self.spans.duration[row])

    def first_token_ms(self, row: int) -> float | None:
        """Return the time to the first token of a streamed answer."""
        return _milliseconds(self.spans.first_token[row]) if self.chunks[row] else None


def _milliseconds(nanoseconds: int) -> float | None:
    return nanoseconds / NS_PER_MS if nanoseconds >= 0 else None


def select_forest(
    trace: EventSource, wanted: Selection | None = None, *, limit: int | None = None, quiet: bool = False
) -> ChosenSpans:
    """Return the trees of the spans whose start or end is wanted.

    Args:
        trace: the trace to read.
        wanted: which spans; all if left out.
        limit: keep only so many spans, the ones that began first.
        quiet: keep the commands that libraries run for their own purposes too.
    """
    chooser = Chooser(wanted or Selection(), SpanTableBuilder(facts=_FACTS))
    chosen, chunks = set[int](), Counter[int]()
    for number, event in enumerate(trace.events(), 1):
        if chooser.choose(number, event):
            chosen.add(chooser.place.span)
        if event["event_type"] == CHUNK:
            chunks[chooser.place.parent] += 1
    spans = chooser.builder.settle()
    rows = sorted(row for row in chosen if row >= 0 and (quiet or not spans.background[row]))
    kept = rows[:limit]
    among, children = set(kept), defaultdict[int, list[int]](list)
    for row in kept:
        children[spans.parent[row] if spans.parent[row] in among else AT_TOP].append(row)
    lost = sum(spans.parent[row] <= PARENT_LOST for row in kept) if chooser.wanted.selects_all else 0
    return ChosenSpans(spans, children, len(rows), chunks, lost)


class SpanHalves(NamedTuple):
    """The start and the end of a span, empty where the trace does not have it; `row` is that in the table of spans."""

    row: int
    start: Event
    end: Event


def read_halves(trace: IndexedEvents, chosen: ChosenSpans) -> Iterator[SpanHalves]:
    """Yield the events of the chosen spans, read by their numbers."""
    spans = chosen.spans
    for row in sorted(row for _, row in chosen.walk()):
        first, end = spans.number[row], spans.end[row]
        events = dict(trace.chosen([first, end] if 0 < first < end else [first or end]))
        # A span that lost its start has the number of its end.
        yield SpanHalves(row, {} if first == end else events[first], events.get(end, {}))


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


def make_rows(chosen: ChosenSpans) -> list[SpanRow]:
    """Return the rows of a tree, parents before children, siblings by number."""
    walked = list(chosen.walk())
    first = min((began for _, row in walked if (began := chosen.began(row)) is not None), default=0)
    return [_make_row(chosen, row, depth, first) for depth, row in walked]


def _make_row(chosen: ChosenSpans, row: int, depth: int, first: int) -> SpanRow:
    spans, look, began = chosen.spans, chosen.look(row), chosen.began(row)
    component, name = spans.operations[spans.operation[row]]
    return SpanRow(
        spans.number[row],
        spans.end[row] or None,
        depth,
        component,
        name or None,
        f"{look.kind} {name}".strip(),
        look.status,
        None if began is None else (began - first) / NS_PER_MS,
        chosen.took_ms(row),
        look.track,
        chosen.chunks[row],
        chosen.first_token_ms(row),
    )


def sort_by_start(unsorted: Iterable[SpanRow]) -> list[SpanRow]:
    """Return rows in the order in which the spans began; rows without a time come last."""
    return sorted(unsorted, key=lambda row: (row.offset_ms is None, row.offset_ms or 0.0, row.number))
