"""Export a trace as OTLP in protobuf, as collectors and Phoenix take it: one request, as `POST /v1/traces` has it."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from namel3ss_debug.errors import WrongUsageError
from namel3ss_debug.exporters.otlp import LEFT_OUT, make_requests
from namel3ss_debug.exporters.span_export import read_exported
from namel3ss_debug.traces.events import Event

__all__ = ["LEFT_OUT", "encode", "export"]

_IDS = ("traceId", "spanId", "parentSpanId")


def export(events: Iterable[Event]) -> Iterator[bytes]:
    """Yield the messages of one request, which protobuf allows to be concatenated.

    Raises:
        WrongUsageError: opentelemetry-proto is not installed.
    """
    for request in make_requests(read_exported(events)):
        yield encode(request)


def encode(request: Mapping[str, Any]) -> bytes:
    """Return a request in the form of OTLP/JSON as protobuf.

    Raises:
        WrongUsageError: opentelemetry-proto is not installed.
    """
    try:
        from google.protobuf.json_format import ParseDict
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    except ImportError:
        raise WrongUsageError(
            "protobuf needs opentelemetry-proto: pip install 'namel3ss-debug[otlp]', or use --format otlp"
        ) from None
    message = ExportTraceServiceRequest()
    ParseDict(_with_binary_ids(request), message)
    encoded: bytes = message.SerializeToString()
    return encoded


def _with_binary_ids(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the request with ids in base64: JSON of protobuf has bytes so, OTLP/JSON has these ids in hexadecimal."""
    return {
        "resourceSpans": [
            {
                **resource,
                "scopeSpans": [
                    {**scope, "spans": [_with_binary_id(span) for span in scope["spans"]]}
                    for scope in resource["scopeSpans"]
                ],
            }
            for resource in request["resourceSpans"]
        ]
    }


def _with_binary_id(span: Mapping[str, Any]) -> dict[str, Any]:
    ids = {name: base64.b64encode(bytes.fromhex(span[name])).decode() for name in _IDS if name in span}
    return {**span, **ids}
