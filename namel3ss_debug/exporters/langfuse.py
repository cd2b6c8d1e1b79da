"""Export a trace in the shape of Langfuse's own export: a trace with its observations.

A trace of ours with several runs has a line for each, as one file of Langfuse holds one trace. To send a trace to Langfuse,
use OTLP, which its documentation recommends.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from namel3ss_debug.exporters.otlp import make_answer
from namel3ss_debug.exporters.span_export import (
    CHUNKS,
    FINE_TIMES,
    JSON_TEXT,
    MODEL,
    OUTSIDE,
    PROGRAM,
    RERUN,
    ExportedSpan,
    failure_of,
    format_moment,
    make_span_id,
    own_fields,
    read_exported,
)
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.facts import since_epoch
from namel3ss_debug.traces.span_events import SpanFacts
from namel3ss_debug.views.payloads import json_bytes
from namel3ss_debug.wire import lenient
from namel3ss_debug.wire.conventions import FURTHER_COUNTS

LEFT_OUT: Final = (PROGRAM, OUTSIDE, CHUNKS, RERUN, FINE_TIMES, MODEL, JSON_TEXT)

TYPES: Final = {
    "agent": "AGENT",
    "chain": "CHAIN",
    "tool": "TOOL",
    "model": "GENERATION",
    "validation": "GUARDRAIL",
}
"""Kind of a span -> type of an observation; any other is a SPAN."""

_LEVELS: Final = {"debug": "DEBUG", "warning": "WARNING", "error": "ERROR", "critical": "ERROR"}


def export(events: Iterable[Event]) -> Iterator[bytes]:
    """Yield a line for each run of the trace."""
    runs: dict[str, list[ExportedSpan]] = {}
    for span in read_exported(events):
        runs.setdefault(span.trace_id, []).append(span)
    for trace_id, spans in runs.items():
        spans.sort(key=lambda span: span.number)
        yield (json_bytes(_document(trace_id, spans)) + "\n").encode()


def _document(trace_id: str, spans: list[ExportedSpan]) -> dict[str, Any]:
    first = spans[0].facts
    trace = {
        "id": trace_id,
        "name": first.name or first.kind,
        "timestamp": _moment(spans[0].began),
        "sessionId": first.session_id,
    }
    observations = [each for span in spans for each in (_observation(span), *_events(span))]
    return {"trace": lenient.drop_none(trace), "observations": observations}


def _observation(span: ExportedSpan) -> dict[str, Any]:
    facts = span.facts
    kind, failure = facts.kind, failure_of(facts)
    inputs: Any = dict(facts.inputs) or None
    outputs: Any = dict(facts.outputs) or None
    model = None
    if kind == "tool":
        inputs, outputs = facts.inputs.get("arguments"), facts.outputs.get("result")
    elif kind == "model":
        tools = facts.inputs.get("tools")
        inputs = lenient.drop_none({"messages": facts.inputs.get("messages"), "tools": tools}) or None
        outputs = make_answer(facts.outputs)
        model = facts.outputs.get("response_model") or facts.inputs.get("model") or facts.name
    whole = {
        "id": facts.span_id,
        "traceId": span.trace_id,
        "parentObservationId": facts.parent_id,
        "type": TYPES.get(kind, "SPAN"),
        "name": facts.name,
        "startTime": _moment(span.began),
        "endTime": None if facts.is_open else _moment(span.ended),
        "level": "ERROR" if failure is not None else "DEFAULT",
        "statusMessage": failure or None,
        "input": inputs,
        "output": outputs,
        "model": model,
        "modelParameters": facts.inputs.get("params") if kind == "model" else None,
        "usageDetails": _usage(facts) or None,
        "costDetails": None if facts.cost is None else {"total": facts.cost},
        "metadata": {**span.source, **own_fields(span)},
    }
    return lenient.drop_none(whole)


def _usage(facts: SpanFacts) -> dict[str, int]:
    sides = {"input": facts.usage.get("input_tokens"), "output": facts.usage.get("output_tokens")}
    return lenient.drop_none({
        **sides,
        "total": sum(filter(None, sides.values())) if facts.usage else None,
        "input_cached_tokens": facts.usage.get("cache_read_tokens"),
        "input_cache_creation": facts.usage.get("cache_write_tokens"),
        "output_reasoning_tokens": facts.usage.get("reasoning_tokens"),
        **{name: facts.usage.get(name) for name in FURTHER_COUNTS},
    })  # fmt: skip


def _events(span: ExportedSpan) -> Iterator[dict[str, Any]]:
    """Yield what happened inside of a span as observations without a duration."""
    for point in span.points:
        if point["event_type"] == "stream_chunk":
            continue
        metadata, at = lenient.mapping(point.get("metadata")), point.get("timestamp")
        whole = {
            "id": make_span_id(str(point.get("execution_id") or ""), point["event_id"]),
            "traceId": span.trace_id,
            "parentObservationId": span.facts.span_id,
            "type": "EVENT",
            "name": point.get("component_name"),
            "startTime": None if at is None else _moment(since_epoch(at)),
            "level": _LEVELS.get(str(metadata.get("level")), "DEFAULT"),
            "statusMessage": point.get("error") or lenient.string(metadata.get("message")),
            "input": point.get("inputs"),
            "output": point.get("outputs"),
            "metadata": {
                **metadata,
                "namel3ss.event_type": point["event_type"],
                "namel3ss.component": point.get("component"),
            },
        }
        yield lenient.drop_none(whole)


def _moment(at: int | None) -> str | None:
    return None if at is None else format_moment(at)
