"""Read the JSON of Jaeger's user interface and API; times are in microseconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from namel3ss_debug.importers.files import peek_objects, read_documents
from namel3ss_debug.importers.otel_spans import OtelSpan
from namel3ss_debug.importers.tracing import make_trace
from namel3ss_debug.importers.values import parse_number
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.lines import Problems
from namel3ss_debug.traces.span_events import SpanFacts
from namel3ss_debug.wire import lenient


def sniff(head: bytes) -> bool:
    """Return whether traces with Jaeger's names of ids are near the beginning."""
    return b'"traceID"' in head and any(
        "traceID" in trace and isinstance(trace.get("spans"), list)
        for value in peek_objects(head)
        for trace in (value, *lenient.mappings(value.get("data")))
    )


def read(
    files: tuple[Path, ...], problems: Problems, consumed: Callable[[int], None] | None = None
) -> Iterator[Event]:
    """Yield the events of all traces in the files."""
    spans: list[SpanFacts] = []
    others: list[Event] = []
    for path in files:
        for document in read_documents(path, problems, consumed):
            for trace in lenient.mappings(document.get("data")) or [document]:
                processes = lenient.mapping(trace.get("processes"))
                for row in lenient.mappings(trace.get("spans")):
                    facts, points = _read_span(row, processes).read()
                    spans.append(facts)
                    others += points
    yield from make_trace({"format": "jaeger"}, spans, others)


def _read_tags(value: Any) -> dict[str, Any]:
    return {str(tag["key"]): tag.get("value") for tag in lenient.mappings(value) if "key" in tag}


def _read_span(row: dict[str, Any], processes: Mapping[str, Any]) -> OtelSpan:
    tags = _read_tags(row.get("tags"))
    began, duration = parse_number(row.get("startTime")), parse_number(row.get("duration"))
    # A span that follows from another one only, such as a consumer's, stands below it.
    references = lenient.mappings(row.get("references"))
    parents = sorted(references, key=lambda each: each.get("refType") != "CHILD_OF")
    process = lenient.mapping(processes.get(str(row.get("processID"))))
    failed = str(tags.get("error")).lower() == "true"
    if failed:
        del tags["error"]
    logs = [(each, _read_tags(each.get("fields"))) for each in lenient.mappings(row.get("logs"))]
    return OtelSpan(
        name=row.get("operationName"),
        trace_id=row.get("traceID"),
        span_id=row.get("spanID"),
        parent_id=parents[0].get("spanID") if parents else None,
        began=began,
        ended=began + duration if began is not None and duration is not None else None,
        attributes=tags,
        status=("ERROR" if failed else None, None),
        events=[(str(fields.get("event") or "log"), each.get("timestamp"), fields) for each, fields in logs],
        about=lenient.drop_none({"service.name": process.get("serviceName")}),
    )
