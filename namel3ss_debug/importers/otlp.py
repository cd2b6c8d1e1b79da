"""Read OTLP: JSON, also one request on each line, protobuf, and the wrapper of Tempo."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from namel3ss_debug.errors import UnreadableTraceError
from namel3ss_debug.importers.files import peek_objects, read_bytes, read_documents, read_head
from namel3ss_debug.importers.otel_spans import OtelSpan
from namel3ss_debug.importers.tracing import drain, make_trace
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.lines import Problems
from namel3ss_debug.traces.span_events import SpanFacts
from namel3ss_debug.wire import lenient

_DEEPEST: Final = 100
_RESOURCES: Final = ("resourceSpans", "batches", "resource_spans")
_SCOPES: Final = ("scopeSpans", "instrumentationLibrarySpans", "scope_spans")
_REMOTE: Final = 0x300
"""The flags of a span whose parent is of another program: that this is known, and that it is so."""

_PROTOBUF: Final = b"\x0a"
"""The first byte of a request in protobuf: field 1, `resource_spans`, with its length."""


def sniff(head: bytes) -> bool:
    """Return whether an object near the beginning has spans of resources, or the bytes are a request in protobuf."""
    if head[:1] != b"{" and head[:1] != b"[":
        return is_protobuf(head)
    return any(
        next(read_request(document), None) is not None or _resources_of(document) is not None
        for document in peek_objects(head)
    )


def is_protobuf(head: bytes) -> bool:
    """Return whether bytes begin as a request in protobuf: `resource_spans`, which begins with `resource` or `scope_spans`.

    Each field lies inside of the one around it, which text that begins with an empty line does not.
    """
    if not head.startswith(_PROTOBUF):
        return False
    outer, start = _read_length(head, 1)
    inner, inside = _read_length(head, start + 1)
    after = head[inside + inner : inside + inner + 1]
    return (
        head[start : start + 1] in (b"\x0a", b"\x12")
        and inside + inner <= start + outer
        and (inside + inner == start + outer or after in (b"", b"\x12", b"\x1a"))
    )


def _read_length(data: bytes, at: int) -> tuple[int, int]:
    """Return a number of protobuf, seven bits in each byte, and where it ends."""
    length = shift = 0
    for at in range(at, min(at + 5, len(data))):  # noqa: B020, PLR1704
        length |= (data[at] & 0x7F) << shift
        shift += 7
        if not data[at] & 0x80:
            break
    return length, at + 1


def read(
    files: tuple[Path, ...], problems: Problems, consumed: Callable[[int], None] | None = None
) -> Iterator[Event]:
    """Yield the events of all requests in the files.

    Raises:
        UnreadableTraceError: it is protobuf, and opentelemetry-proto is not installed or cannot read it.
    """
    spans: list[SpanFacts] = []
    others: list[Event] = []
    for path in files:
        protobuf = is_protobuf(read_head(path))
        documents = (
            iter((decode_protobuf(read_bytes(path, problems, consumed), str(path)),))
            if protobuf
            else read_documents(path, problems, consumed, split="resourceSpans")
        )
        for document in documents:
            for span in read_request(document):
                facts, points = span.read()
                spans.append(facts)
                others += points
    yield from make_trace({"format": "otlp"}, drain(spans), others)


def decode_protobuf(data: bytes, name: str) -> dict[str, Any]:
    """Return a request in protobuf in the form of its JSON.

    Raises:
        UnreadableTraceError: opentelemetry-proto is not installed, or the data are no request.
    """
    try:
        from google.protobuf.json_format import MessageToDict
        from google.protobuf.message import DecodeError
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    except ImportError:
        raise UnreadableTraceError(
            f"{name}: OTLP in protobuf needs opentelemetry-proto: pip install 'namel3ss-debug[otlp]'"
        ) from None
    message = ExportTraceServiceRequest()
    try:
        message.ParseFromString(data)
    except DecodeError:
        raise UnreadableTraceError(f"{name}: damaged protobuf; it is no request of OTLP") from None
    document: dict[str, Any] = MessageToDict(message)
    return document


def read_request(document: Mapping[str, Any]) -> Iterator[OtelSpan]:
    """Yield the spans of a request in the form of OTLP/JSON."""
    for resource in lenient.mappings(_resources_of(document)):
        about = read_attributes(lenient.mapping(resource.get("resource")).get("attributes"))
        scopes = next((resource[name] for name in _SCOPES if name in resource), None)
        for scope in lenient.mappings(scopes):
            for span in lenient.mappings(scope.get("spans")):
                yield _read_span(span, about)
    for span in lenient.mappings(document.get("data")):  # an answer of Phoenix, `/spans/otlpv1`
        if "trace_id" in span and isinstance(span.get("attributes"), list):
            yield _read_span(span, {})


def _resources_of(document: Mapping[str, Any]) -> Any:
    # The APIs of Tempo and of Jaeger wrap the trace once more.
    inner = lenient.mapping(document.get("trace", document.get("result")))
    return next((each[name] for each in (document, inner) for name in _RESOURCES if name in each), None)


def _read_span(span: Mapping[str, Any], about: Mapping[str, Any]) -> OtelSpan:
    status = lenient.mapping(span.get("status"))
    return OtelSpan(
        name=span.get("name"),
        trace_id=_either(span, "traceId", "trace_id"),
        span_id=_either(span, "spanId", "span_id"),
        parent_id=_either(span, "parentSpanId", "parent_span_id"),
        began=_either(span, "startTimeUnixNano", "start_time_unix_nano"),
        ended=_either(span, "endTimeUnixNano", "end_time_unix_nano"),
        attributes=read_attributes(span.get("attributes")),
        status=(status.get("code"), status.get("message")),
        events=[
            (
                str(event.get("name") or ""),
                _either(event, "timeUnixNano", "time_unix_nano"),
                read_attributes(event.get("attributes")),
            )
            for event in lenient.mappings(span.get("events"))
        ],
        about=about,
        per_second=1e9,
        has_remote_parent=(lenient.count(span.get("flags")) or 0) & _REMOTE == _REMOTE,
    )


def _either(fields: Mapping[str, Any], name: str, other: str) -> Any:
    return fields.get(name, fields.get(other))


def read_attributes(value: Any) -> dict[str, Any]:
    """Return attributes as plain values."""
    if isinstance(value, dict):  # already plain, as some exports have them
        return {name: _read_value(each) if _is_wrapped(each) else each for name, each in value.items()}
    return {
        each["key"]: _read_value(each.get("value"))
        for each in lenient.mappings(value)
        if isinstance(each.get("key"), str)
    }


def _is_wrapped(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and len(value) == 1
        and (next(iter(value)).endswith(("Value", "_value")) or "values" in value)
    )


def _read_value(value: Any, depth: int = 0) -> Any:
    if not isinstance(value, dict) or depth > _DEEPEST:
        return value
    for name, each in value.items():
        if each is None:  # Phoenix writes every field of the union
            continue
        kind = name.replace("_v", "V")
        if kind in ("stringValue", "boolValue", "bytesValue", "doubleValue"):
            return each
        if kind == "intValue":
            try:
                return int(each)
            except (TypeError, ValueError):
                return each
        if kind in ("arrayValue", "values"):
            items = each if kind == "values" else lenient.mapping(each).get("values")
            return [_read_value(item, depth + 1) for item in lenient.sequence(items)]
        if kind == "kvlistValue":
            return {
                str(item.get("key")): _read_value(item.get("value"), depth + 1)
                for item in lenient.mappings(lenient.mapping(each).get("values"))
            }
    return None
