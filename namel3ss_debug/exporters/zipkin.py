"""Export a trace as spans of Zipkin v2, a JSON list. Zipkin knows texts only, so attributes are its `tags`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from namel3ss_debug.exporters.otlp import make_attributes
from namel3ss_debug.exporters.span_export import ExportedSpan, failure_of, read_exported
from namel3ss_debug.traces.events import Event
from namel3ss_debug.views.payloads import json_bytes
from namel3ss_debug.wire import lenient


def export(events: Iterable[Event]) -> Iterator[bytes]:
    """Yield one document, a span on each line."""
    start = "[\n"
    for span in read_exported(events):
        yield (start + json_bytes(_span(span))).encode()
        start = ",\n"
    yield b"\n]\n" if start != "[\n" else b"[]\n"


def _span(span: ExportedSpan) -> dict[str, object]:
    facts = span.facts
    tags: dict[str, str] = {
        name: value if isinstance(value, str) else json_bytes(value)
        for name, value in make_attributes(facts).items()
        if value is not None
    }
    if (failure := failure_of(facts)) is not None:
        tags["error"] = failure
    whole = {
        "traceId": span.trace_id,
        "id": facts.span_id,
        "parentId": facts.parent_id,
        "name": facts.name or facts.kind,
        "kind": "CLIENT" if facts.kind in ("model", "http") else None,
        "timestamp": None if span.began is None else span.began // 1000,
        # Zipkin takes no duration of 0
        "duration": None
        if span.ended is None or span.began is None
        else max((span.ended - span.began) // 1000, 1),
        "localEndpoint": {"serviceName": span.service or "namel3ss-debug"},
        "tags": tags,
    }
    return lenient.drop_none(whole)
