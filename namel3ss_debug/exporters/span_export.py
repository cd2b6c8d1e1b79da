"""Read the spans of a trace as they are exported: plain facts, with ids that other tools take.

Ids derive from the trace, so that a trace that is exported twice has the same ids: receivers such as Langfuse only
append, and would show a span with another id twice. Ids that have the form of OpenTelemetry already stay as they are, so that
an imported trace goes back to where it was with its own.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import PurePath
from typing import Any, Final, NamedTuple

from namel3ss_debug.traces.events import Event, begins_span
from namel3ss_debug.traces.facts import NS_PER_MS, NS_PER_SECOND, since_epoch, span_status
from namel3ss_debug.traces.span_events import KINDS, SpanError, SpanFacts
from namel3ss_debug.traces.span_table import EVERY_EVENT, SpanTable, SpanTableBuilder, SpanWatcher
from namel3ss_debug.wire import lenient

TRACE_ID, SPAN_ID = re.compile(r"(?!0+$)[0-9a-f]{32}"), re.compile(r"(?!0+$)[0-9a-f]{16}")

_KIND_OF = {event_type: kind for kind, (_, event_type) in KINDS.items()}
_OF_THE_TRACER: Final = frozenset({"trace_start", "trace_end", "inputs_read", "resource_sample", "output"})
"""Events of which no other tool makes use."""

MARK: Final = "gen_ai.evaluation.result"
"""The type of the event that stands before a trace that its user has marked; the name is that of the conventions."""

PROGRAM: Final = "the program's start, end, reads, output and background calls"
OUTSIDE: Final = "events outside of open spans"
RERUN: Final = "what only a re-run needs, terms of billing, memory and CPU"
FINE_TIMES: Final = "times below a microsecond"
KNOWN_TIMES: Final = "that a time is not known"
UNTIMED: Final = "spans whose start is not known"
MODEL: Final = "the requested model, where another answered"
CHUNKS: Final = "pieces of streamed answers"
JSON_TEXT: Final = "whether a result was an object or its text"
TYPES: Final = "whether an attribute was a number or a text"
"""What formats have no place for; each exporter has its own in `LEFT_OUT`, which `export` shows."""

_FIELDS = ("call_site", "thread", "task", "step_type", "retry_count")
_BATCH = 512


class ExportedSpan(NamedTuple):
    """One span as other tools take it.

    Attributes:
        facts: what is known of it; `span_id` and `parent_id` are as long as those of OpenTelemetry.
        trace_id: the run that it belongs to, 32 hexadecimal digits.
        began, ended: nanoseconds since 1970; None where not known.
        points: what happened inside, such as messages and log records.
        number: the number of its first event.
        service: the name of the program, as the trace has it; empty where it is not known.
    """

    facts: SpanFacts
    trace_id: str
    began: int | None
    ended: int | None
    points: tuple[Event, ...]
    number: int
    service: str = ""

    @property
    def source(self) -> dict[str, Any]:
        """What an imported trace has besides: fields of its tool, for the place where the format takes any."""
        return lenient.mapping(self.facts.metadata.get("source"))

    @property
    def resource(self) -> dict[str, Any]:
        """The attributes of the program, as an imported trace has them."""
        return lenient.mapping(self.source.get("resource"))


def read_exported(events: Iterable[Event]) -> Iterator[ExportedSpan]:
    """Yield the spans of a trace in the order in which they ended, those without an end last.

    Args:
        events: the events of the trace, in order; before them there may be a `MARK`.
    """
    watcher = _Collector()
    builder = SpanTableBuilder(watchers={"exported": watcher}, costs=False)
    batch: list[Event] = []
    for event in events:
        if event["event_type"] == MARK:
            watcher.mark = event
            continue
        batch.append(event)
        if len(batch) == _BATCH:
            builder.add(batch)
            batch.clear()
            yield from watcher.take()
    builder.add(batch)
    builder.settle()
    yield from watcher.take()


class _Collector(SpanWatcher):
    events = EVERY_EVENT

    def __init__(self) -> None:
        self.mark: Event | None = None
        self._service = ""
        self._done: list[ExportedSpan] = []
        self._points: defaultdict[int, list[Event]] = defaultdict(list)
        self._ids: dict[int, str] = {}  # by the number of the first event

    def take(self) -> Iterator[ExportedSpan]:
        """Yield what has ended since the last call."""
        done, self._done = self._done, []
        return iter(done)

    def event(self, number: int, event: Event) -> None:
        event_type = event["event_type"]
        if event_type == "trace_start" and not self._service:
            target = lenient.string(lenient.mapping(event.get("metadata")).get("target")) or ""
            self._service = PurePath(target).stem
        if begins_span(event_type):
            self._ids[number] = make_span_id(str(event.get("execution_id") or ""), event["event_id"])
        if event_type.endswith(("_start", "_end")) or event_type in _OF_THE_TRACER:
            return
        row = self.find_parent(event)
        if row >= 0:
            self._points[row].append({**event, "number": number})

    def span(self, spans: SpanTable, row: int, start: Event, end: Event) -> None:
        if spans.background[row]:  # `uname`, which SDKs run, is nothing that the program did
            return
        first = start or end
        execution_id = str(first.get("execution_id") or "")
        facts = read_facts(start, end)
        began, ended = _times(start, end)
        parent = spans.parent[row]
        facts = replace(
            facts,
            span_id=self._ids.get(spans.number[row])
            or make_span_id(execution_id, f"end {first['event_id']}"),
            parent_id=self._ids.get(spans.number[parent]) if parent >= 0 else None,
        )
        points = tuple(self._points.pop(row, ()))
        if self.mark is not None and self._is_marked(spans, row):
            points, self.mark = (*points, self.mark), None
        self._done.append(
            ExportedSpan(
                facts, find_trace_id(execution_id), began, ended, points, spans.number[row], self._service
            )
        )

    def _is_marked(self, spans: SpanTable, row: int) -> bool:
        """Return whether the mark stands at an event of this span; without an event, at the first at the top."""
        assert self.mark is not None
        number = self.mark["metadata"].get("event")
        return spans.parent[row] < 0 if number is None else number in (spans.number[row], spans.end[row])


def make_span_id(execution_id: str, event_id: str) -> str:
    """Return the id that OpenTelemetry has for a span of a run."""
    return event_id if SPAN_ID.fullmatch(event_id) else _digest(f"{execution_id} {event_id}", 16)


def find_trace_id(execution_id: str) -> str:
    """Return the id that OpenTelemetry has for a run."""
    return execution_id if TRACE_ID.fullmatch(execution_id) else _digest(execution_id, 32)


def _digest(text: str, digits: int) -> str:
    return sha256(f"namel3ss-debug {text}".encode()).hexdigest()[:digits]


def read_facts(start: Event, end: Event) -> SpanFacts:
    """Return the plain facts of a span from its two events; either may be empty."""
    first = start or end
    prefix = first["event_type"].removesuffix("_start").removesuffix("_end")
    fields = {name: first[name] for name in _FIELDS if first.get(name) is not None}
    failed = end.get("error") is not None or end.get("error_type") is not None
    cost = end.get("cost_estimate")
    return SpanFacts(
        kind=_KIND_OF.get(prefix) or str(first["component"]),
        name=first.get("component_name"),
        span_id=first["event_id"],
        started=start.get("timestamp"),
        ended=end.get("timestamp"),
        duration_ms=end.get("duration_ms"),
        is_open=not end,
        inputs=lenient.mapping(start.get("inputs")),
        outputs=lenient.mapping(end.get("outputs")),
        failure=SpanError(end.get("error_type"), str(end.get("error") or ""), end.get("stack_trace"))
        if failed
        else None,
        status=span_status(end) if end else None,
        usage=lenient.mapping(end.get("usage")),
        cost=cost if lenient.is_number(cost) else None,
        execution_id=first.get("execution_id"),
        session_id=first.get("session_id"),
        metadata=lenient.mapping(first.get("metadata")),
        fields=fields,
    )


def _times(start: Event, end: Event) -> tuple[int | None, int | None]:
    """Return when a span began and ended, the end by the recorded duration, which is the more exact."""
    began = start.get("timestamp")
    ended = end.get("timestamp")
    duration = end.get("duration_ms")
    begin = None if began is None else since_epoch(began)
    finish = None if ended is None else since_epoch(ended)
    if duration is not None:
        length = round(duration * NS_PER_MS)
        if begin is not None:
            return begin, begin + length
        if finish is not None:
            return finish - length, finish
    return begin, finish


def own_fields(span: ExportedSpan) -> dict[str, Any]:
    """Return what formats have no field for, under names of ours, for the place where a format takes any."""
    facts = span.facts
    # Without an end, a reader takes a span for one that still runs.
    implied = None if span.ended is None else "completed" if facts.failure is None else "failed"
    status = "open" if facts.is_open else facts.status
    known = {
        "kind": facts.kind,
        "status": None if status == implied else status,
        "provider": provider_of(facts),
        "duration_ms": facts.duration_ms if span.began is None else None,
        "error_type": None if facts.failure is None else facts.failure.kind,
        "stack_trace": None if facts.failure is None else facts.failure.stack_trace,
        **facts.fields,
    }
    return {f"namel3ss.{name}": value for name, value in known.items() if value is not None}


def format_moment(at: int) -> str:
    """Return nanoseconds since 1970 in ISO 8601, to the microsecond."""
    seconds, rest = divmod(at, NS_PER_SECOND)
    time = datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=rest // 1000)
    return time.isoformat(timespec="microseconds").replace("+00:00", "Z")


def failure_of(facts: SpanFacts) -> str | None:
    """Return the error of a span in one text, `TYPE: TEXT` where both are known; None if it has none."""
    if facts.failure is None:
        return None
    return ": ".join(filter(None, facts.failure[:2])) or "failed"


def provider_of(facts: SpanFacts) -> str | None:
    """Return the provider of a model call, as the trace names it."""
    return lenient.string(facts.metadata.get("provider"))
