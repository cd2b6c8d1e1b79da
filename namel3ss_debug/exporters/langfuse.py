"""Export a trace in the shape of Langfuse's own export: a trace with its observations.

A trace of ours with several runs has a line for each, as one file of Langfuse holds one trace. To send a trace to Langfuse,
use OTLP, which its documentation recommends.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

from namel3ss_debug.exporters.span_export import ExportedSpan, failure_of, provider_of, read_exported
from namel3ss_debug.traces.events import Event
from namel3ss_debug.views.payloads import json_bytes
from namel3ss_debug.wire import lenient

TYPES: Final = {
    "agent": "AGENT",
    "chain": "CHAIN",
    "tool": "TOOL",
    "model": "GENERATION",
    "validation": "GUARDRAIL",
}
"""Kind of a span -> type of an observation; any other is a SPAN."""


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
    observations = [_observation(span) for span in spans]
    return {"trace": lenient.drop_none(trace), "observations": observations}


def _observation(span: ExportedSpan) -> dict[str, Any]:
    facts = span.facts
    kind, failure = facts.kind, failure_of(facts)
    inputs: Any = dict(facts.inputs) or None
    outputs: Any = dict(facts.outputs) or None
    usage, cost, model = None, None, None
    if kind == "tool":
        inputs, outputs = facts.inputs.get("arguments"), facts.outputs.get("result")
    elif kind == "model":
        inputs = {name: facts.inputs[name] for name in ("messages", "tools") if facts.inputs.get(name)}
        model = facts.outputs.get("response_model") or facts.inputs.get("model") or facts.name
        sides = {"input": facts.usage.get("input_tokens"), "output": facts.usage.get("output_tokens")}
        usage = lenient.drop_none({
            **sides,
            "total": sum(filter(None, sides.values())) if facts.usage else None,
            "input_cached_tokens": facts.usage.get("cache_read_tokens"),
            "input_cache_creation": facts.usage.get("cache_write_tokens"),
            "output_reasoning_tokens": facts.usage.get("reasoning_tokens"),
        })  # fmt: skip
        cost = None if facts.cost is None else {"total": facts.cost}
    whole = {
        "id": facts.span_id,
        "traceId": span.trace_id,
        "parentObservationId": facts.parent_id,
        "type": TYPES.get(kind, "SPAN"),
        "name": facts.name or kind,
        "startTime": _moment(span.began),
        "endTime": None if facts.is_open else _moment(span.ended),
        "level": "ERROR" if failure is not None else "DEFAULT",
        "statusMessage": failure,
        "input": inputs,
        "output": outputs,
        "model": model,
        "modelParameters": facts.inputs.get("params") if kind == "model" else None,
        "usageDetails": usage,
        "costDetails": cost,
        "metadata": lenient.drop_none(
            {"provider": provider_of(facts), "call_site": facts.fields.get("call_site")}
        ),
    }
    return lenient.drop_none(whole)


def _moment(at: int | None) -> str | None:
    """Return nanoseconds since 1970 as Langfuse writes times."""
    if at is None:
        return None
    return datetime.fromtimestamp(at / 1e9, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
