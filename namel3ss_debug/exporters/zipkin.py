"""Export a trace as spans of Zipkin v2, a JSON list, as OpenTelemetry writes its spans for Zipkin.

Zipkin knows texts only, so attributes are its `tags`; an event with attributes is an annotation `"NAME": {...}`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from namel3ss_debug.exporters.otlp import (
    failure_attributes,
    make_attributes,
    name_span,
    point_attributes,
    resource_of,
)
from namel3ss_debug.exporters.span_export import (
    FINE_TIMES,
    OUTSIDE,
    PROGRAM,
    RERUN,
    TYPES,
    ExportedSpan,
    read_exported,
)
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.facts import since_epoch
from namel3ss_debug.views.payloads import json_bytes
from namel3ss_debug.wire import lenient

LEFT_OUT: Final = (PROGRAM, OUTSIDE, RERUN, FINE_TIMES, TYPES)


def export(events: Iterable[Event]) -> Iterator[bytes]:
    """Yield one document, a span on each line."""
    start = "[\n"
    for span in read_exported(events):
        yield (start + json_bytes(_span(span))).encode()
        start = ",\n"
    yield b"\n]\n" if start != "[\n" else b"[]\n"


def _span(span: ExportedSpan) -> dict[str, object]:
    facts = span.facts
    about = dict(resource_of(span))
    service = about.pop("service.name", None)
    tags: dict[str, str] = {
        name: value if isinstance(value, str) else json_bytes(value)
        for name, value in {**make_attributes(span), **about}.items()
        if value is not None
    }
    if facts.failure is not None:
        tags["error"] = facts.failure.text
    whole = {
        "traceId": span.trace_id,
        "id": facts.span_id,
        "parentId": facts.parent_id,
        "name": name_span(facts),
        "kind": "CLIENT" if facts.kind in ("model", "http") else None,
        "timestamp": None if span.began is None else span.began // 1000,
        # Zipkin takes no duration of 0
        "duration": None
        if span.ended is None or span.began is None
        else max((span.ended - span.began) // 1000, 1),
        "localEndpoint": {"serviceName": service} if isinstance(service, str) else None,
        "annotations": list(_annotations(span)) or None,
        "tags": tags,
    }
    return lenient.drop_none(whole)


def _annotations(span: ExportedSpan) -> Iterator[dict[str, Any]]:
    failure = span.facts.failure
    if failure is not None:
        yield _annotation("exception", span.ended, failure_attributes(failure))
    for point in span.points:
        at = point.get("timestamp")
        moment = None if at is None else since_epoch(at)
        yield _annotation(point["event_type"], moment, point_attributes(point))


def _annotation(name: str, at: int | None, attributes: dict[str, Any]) -> dict[str, Any]:
    value = f"{json_bytes(name)}: {json_bytes(lenient.drop_none(attributes))}"
    return lenient.drop_none({"timestamp": None if at is None else at // 1000, "value": value})
