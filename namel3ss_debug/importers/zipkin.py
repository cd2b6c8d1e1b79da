"""Read spans of Zipkin v2, a JSON list; times are in microseconds.

Attributes and events of OpenTelemetry stand in it as its specification of exporters says: an attribute as a tag, an event
with attributes as an annotation `"NAME": {...}`, attributes of the program among the tags of each span.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from namel3ss_debug.importers.files import peek_objects, read_documents
from namel3ss_debug.importers.otel_spans import KEPT_RESOURCE, OtelSpan
from namel3ss_debug.importers.tracing import make_trace
from namel3ss_debug.importers.values import parse_number
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.lines import Problems
from namel3ss_debug.traces.span_events import SpanFacts
from namel3ss_debug.wire import lenient

_PROGRAM: Final = frozenset({*KEPT_RESOURCE, "telemetry.sdk.name"})
_TYPED: Final = re.compile(
    r"gen_ai\.request\.(?!(?:model|messages|tools)\Z)|gen_ai\.response\.finish_reasons\Z|llm\.cost\."
)
"""Attributes that are no texts, and that nothing else turns back from the text of JSON that a tag has."""


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
    reports: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for path in files:
        for row in read_documents(path, problems, consumed):
            if "id" in row:
                known = reports.setdefault((str(row.get("traceId")), str(row["id"])), [])
                begun = [each for each in known if _reporter_of(each) == _reporter_of(row)]
                if begun and "timestamp" not in row:  # the rest of a span, reported late
                    begun[0] |= {**row, **begun[0]}
                else:
                    known.append(row)
    spans: list[SpanFacts] = []
    others: list[Event] = []
    for row, span_id, parent_id in _place(reports):
        facts, points = _read_span(row, span_id, parent_id).read()
        spans.append(facts)
        others += points
    yield from make_trace({"format": "zipkin"}, spans, others)


def _place(
    reports: Mapping[tuple[str, str], list[dict[str, Any]]],
) -> Iterator[tuple[dict[str, Any], str, str | None]]:
    """Yield each span with its id and its parent.

    The server's half of a call has the id of the client's half, and is marked `shared`; a message has one for each receiver.
    Each gets an id of its own here. What the server's half called is below it, where that can be seen by the service.
    """
    ordered = {key: sorted(rows, key=lambda row: bool(row.get("shared"))) for key, rows in reports.items()}
    halves = {
        (*key, _service_of(row)): f"{key[1]}.{number}"
        for key, rows in ordered.items()
        for number, row in enumerate(rows)
        if number
    }
    for (trace_id, span_id), rows in ordered.items():
        for number, row in enumerate(rows):
            parent_id = lenient.string(row.get("parentId"))
            if number and row.get("shared") and not rows[0].get("shared"):
                parent_id = span_id
            else:
                parent_id = halves.get((trace_id, str(parent_id), _service_of(row)), parent_id)
            yield row, f"{span_id}.{number}" if number else span_id, parent_id


def _reporter_of(row: Mapping[str, Any]) -> tuple[bool, str | None]:
    return bool(row.get("shared")), _service_of(row)


def _service_of(row: Mapping[str, Any]) -> str | None:
    return lenient.string(lenient.mapping(row.get("localEndpoint")).get("serviceName"))


def _read_span(row: dict[str, Any], span_id: str, parent_id: str | None) -> OtelSpan:
    tags = dict(lenient.mapping(row.get("tags")))
    about = {name: tags.pop(name) for name in _PROGRAM & tags.keys()}
    error = tags.pop("error", None)
    attributes = {name: _load(value) if _TYPED.match(name) else value for name, value in tags.items()}
    began, duration = parse_number(row.get("timestamp")), parse_number(row.get("duration"))
    ended = began + duration if began is not None and duration is not None else None
    return OtelSpan(
        name=row.get("name"),
        trace_id=row.get("traceId"),
        span_id=span_id,
        parent_id=parent_id,
        began=began,
        ended=ended,
        attributes=attributes,
        status=(None, None) if error is None else ("ERROR", error),
        events=list(map(_read_annotation, lenient.mappings(row.get("annotations")))),
        about=lenient.drop_none({"service.name": _service_of(row), **about}),
        per_second=1e6,
    )


def _read_annotation(row: Mapping[str, Any]) -> tuple[str, object, dict[str, Any]]:
    """Return name, time and attributes of an event."""
    text = str(row.get("value") or "")
    fields = lenient.mapping(lenient.load(f"{{{text}}}")) if text[:1] == '"' else {}
    name, attributes = next(iter(fields.items()), (text, None))
    if len(fields) == 1 and isinstance(attributes, dict):
        return name, row.get("timestamp"), attributes
    return text, row.get("timestamp"), {}


def _load(value: Any) -> Any:
    found = lenient.load(value) if isinstance(value, str) else None
    return value if found is None else found
