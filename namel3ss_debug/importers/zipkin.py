"""Read spans of Zipkin v2, a JSON list; times are in microseconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from namel3ss_debug.importers.files import peek_objects, read_documents
from namel3ss_debug.importers.otel_spans import OtelSpan
from namel3ss_debug.importers.tracing import make_trace
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.lines import Problems
from namel3ss_debug.traces.span_events import SpanFacts
from namel3ss_debug.wire import lenient


def sniff(head: bytes) -> bool:
    """Return whether a span with the ids and the endpoint or tags of Zipkin is near the beginning."""
    return b'"traceId"' in head and any(
        {"traceId", "id"} <= value.keys() and not {"type", "startTime"} & value.keys()
        and ("localEndpoint" in value or "tags" in value or "duration" in value)
        for value in peek_objects(head)
    )  # fmt: skip


def read(
    files: tuple[Path, ...], problems: Problems, consumed: Callable[[int], None] | None = None
) -> Iterator[Event]:
    """Yield the events of all spans in the files."""
    spans: list[SpanFacts] = []
    others: list[Event] = []
    for path in files:
        for row in read_documents(path, problems, consumed):
            if "id" in row:
                facts, points = _read_span(row).read()
                spans.append(facts)
                others += points
    yield from make_trace({"format": "zipkin"}, spans, others)


def _read_span(row: dict[str, Any]) -> OtelSpan:
    tags = lenient.mapping(row.get("tags"))
    began, duration = row.get("timestamp"), row.get("duration")
    ended = began + duration if lenient.is_number(began) and lenient.is_number(duration) else None
    span_id, parent_id = str(row["id"]), row.get("parentId")
    if row.get("shared"):  # the server's half of a call has the id of the client's half
        span_id, parent_id = f"{span_id}.server", span_id
    service = lenient.mapping(row.get("localEndpoint")).get("serviceName")
    return OtelSpan(
        name=row.get("name"),
        trace_id=row.get("traceId"),
        span_id=span_id,
        parent_id=parent_id,
        began=began,
        ended=ended,
        attributes=tags,
        status=("ERROR", tags["error"]) if "error" in tags else (None, None),
        events=[
            (str(each.get("value") or ""), each.get("timestamp"), {})
            for each in lenient.mappings(row.get("annotations"))
        ],
        about=lenient.drop_none({"service.name": service}),
    )
