"""The result of a tool, recorded so that it comes back as it was when a recording answers the call."""

from __future__ import annotations

from typing import Any

from namel3ss_debug.capture.payloads import exact
from namel3ss_debug.capture.spans import Span
from namel3ss_debug.capture.tracer import ExecutionTracer
from namel3ss_debug.traces.clocks import perf_counter_ns

_EXACT = frozenset({int, float, bool, type(None)})


def set_result(span: Span, tracer: ExecutionTracer, value: Any) -> None:
    """Take what a tool returned as the output of its span; what JSON would hide of it is named in `metadata.inexact`.

    Args:
        span: the span of the call.
        tracer: the tracer it belongs to.
        value: what the function returned; it is read now, and not kept.
    """
    kind = type(value)
    if kind in _EXACT or (kind is str and value.isascii()):
        span.set_output({"result": value})
        return
    if not span.is_open or not tracer.keeps_payloads:
        return
    started = perf_counter_ns()
    result = exact(tracer.payloads, value)
    span.set_output({"result": result})
    if result.inexact:
        add_metadata(span, {"inexact": list(result.inexact)})
    tracer.tracing_ns += perf_counter_ns() - started


def add_metadata(span: Span, metadata: dict[str, Any]) -> None:
    """Put something into the metadata of the end event, beside what is there."""
    span.set(metadata={**span.end_fields.get("metadata", {}), **metadata})
