"""Export a trace as OTLP/JSON: spans of OpenTelemetry with the attributes of the GenAI conventions.

The document is that of the file exporter of OpenTelemetry, a request of OTLP on each line, so that any collector takes it.
Names of attributes: semantic-conventions-genai at v1.41; costs, which have none there, as in OpenInference; what no
convention names as `namel3ss.*`, which our own import reads back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any, Final

import orjson

from namel3ss_debug.exporters.span_export import MARK, ExportedSpan, provider_of, read_exported
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.span_events import SpanFacts
from namel3ss_debug.version import __version__
from namel3ss_debug.views.payloads import json_bytes
from namel3ss_debug.wire import lenient

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.41.0"
SPANS_PER_REQUEST: Final = 512

_OPERATIONS = {
    "agent": "invoke_agent",
    "turn": "invoke_agent",
    "chain": "invoke_workflow",
    "tool": "execute_tool",
    "model": "chat",
}
_OPEN_INFERENCE = {"step": "CHAIN", "validation": "GUARDRAIL", "prompt": "PROMPT"}
"""Kinds without an operation in the conventions, as Phoenix and MLflow know them."""

_NAMES = {
    "agent": "gen_ai.agent.name",
    "turn": "gen_ai.agent.name",
    "chain": "gen_ai.workflow.name",
    "tool": "gen_ai.tool.name",
    "model": "gen_ai.request.model",
}
_USAGE = {
    "input_tokens": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "cache_read_tokens": "gen_ai.usage.cache_read.input_tokens",
    "cache_write_tokens": "gen_ai.usage.cache_creation.input_tokens",
    "reasoning_tokens": "gen_ai.usage.reasoning.output_tokens",
}
_PROVIDERS = {
    "google": "gcp.gen_ai",
    "gemini": "gcp.gemini",
    "bedrock": "aws.bedrock",
    "mistral": "mistral_ai",
}
"""The names of providers that the convention has otherwise."""

_INTERNAL, _CLIENT, _OK, _ERROR = 1, 3, 1, 2


def export(events: Iterable[Event]) -> Iterator[bytes]:
    """Yield a line for each 512 spans."""
    for request in make_requests(read_exported(events)):
        yield orjson.dumps(request) + b"\n"


def make_requests(spans: Iterable[ExportedSpan]) -> Iterator[dict[str, Any]]:
    """Yield the bodies of requests to a receiver of OTLP, in the form of its JSON."""
    batches = groupby(enumerate(spans), lambda each: (each[0] // SPANS_PER_REQUEST, each[1].service))
    for (_, service), group in batches:
        about = {"service.name": service or "namel3ss-debug", "telemetry.sdk.language": "python"}
        scope = {"name": "namel3ss-debug", "version": __version__}
        found = [make_span(span) for _, span in group]
        yield {
            "resourceSpans": [
                {
                    "resource": {"attributes": _attributes(about)},
                    "scopeSpans": [{"scope": scope, "spans": found, "schemaUrl": SCHEMA_URL}],
                    "schemaUrl": SCHEMA_URL,
                }
            ]
        }


def make_span(span: ExportedSpan) -> dict[str, Any]:
    """Return a span in the form of OTLP/JSON: ids in hexadecimal, times in nanoseconds as texts."""
    facts = span.facts
    operation = _OPERATIONS.get(facts.kind)
    status: dict[str, Any] = {} if facts.is_open or facts.status == "cancelled" else {"code": _OK}
    if facts.failure is not None:
        status = lenient.drop_none({"code": _ERROR, "message": facts.failure.text})
    # Receivers refuse a span without times; one that is open, or has none, takes no time.
    began = span.began if span.began is not None else span.ended or 0
    ended = span.ended if span.ended is not None else began
    document = {
        "traceId": span.trace_id,
        "spanId": facts.span_id,
        "parentSpanId": facts.parent_id,
        "name": " ".join(filter(None, (operation, facts.name))) or facts.kind,
        "kind": _CLIENT if facts.kind in ("model", "http") else _INTERNAL,
        "startTimeUnixNano": str(began),
        "endTimeUnixNano": str(ended),
        "attributes": _attributes(make_attributes(facts)),
        "events": [*_failure_events(facts, ended), *map(_point_event, span.points)],
        "status": status,
    }
    return {name: value for name, value in document.items() if value not in (None, [], {})}


def make_attributes(facts: SpanFacts) -> dict[str, Any]:
    """Return the attributes of a span; one that is None is not known."""
    kind, inputs, outputs = facts.kind, facts.inputs, facts.outputs
    path, _, line = str(facts.fields.get("call_site") or "").rpartition(":")
    attributes: dict[str, Any] = {
        "gen_ai.operation.name": _OPERATIONS.get(kind),
        "openinference.span.kind": _OPEN_INFERENCE.get(kind),
        "gen_ai.conversation.id": facts.session_id,
        "error.type": None if facts.failure is None else facts.failure.kind,
        "code.file.path": path or None,
        "code.line.number": int(line) if line.isdecimal() and len(line) < 10 else None,
        "namel3ss.kind": kind,
        "namel3ss.status": "open" if facts.is_open else facts.status,
        "llm.cost.total": facts.cost,
        **{theirs: facts.usage.get(ours) for ours, theirs in _USAGE.items()},
    }
    if kind in _NAMES:
        attributes[_NAMES[kind]] = facts.name
    else:
        attributes["namel3ss.name"] = facts.name
    if kind == "model":
        return attributes | _model_attributes(facts)
    if kind == "tool":
        attributes["gen_ai.tool.call.id"] = inputs.get("call_id")
        attributes["gen_ai.tool.call.arguments"] = _json(inputs.get("arguments"))
        attributes["gen_ai.tool.call.result"] = _json(outputs.get("result"))
        return attributes
    attributes["input.value"] = _json(dict(inputs)) if inputs else None
    attributes["output.value"] = _json(dict(outputs)) if outputs else None
    return attributes


def _model_attributes(facts: SpanFacts) -> dict[str, Any]:
    inputs, outputs = facts.inputs, facts.outputs
    provider = provider_of(facts)
    params = {
        f"gen_ai.request.{name}": value if isinstance(value, (str, int, float)) else _json(value)
        for name, value in lenient.mapping(inputs.get("params")).items()
    }
    reason = outputs.get("finish_reason")
    return {
        **params,
        "gen_ai.provider.name": _PROVIDERS.get(provider, provider) if provider else None,
        "gen_ai.request.model": lenient.string(inputs.get("model")) or facts.name,
        "gen_ai.response.model": lenient.string(outputs.get("response_model")),
        "gen_ai.response.finish_reasons": [reason] if isinstance(reason, str) else None,
        "gen_ai.input.messages": _json(inputs.get("messages")),
        "gen_ai.tool.definitions": _json(inputs.get("tools") or None),
        "gen_ai.output.messages": _json(_answer(outputs)),
    }


def _answer(outputs: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """Return the answer of a model as the one message that it is in the conventions."""
    text, calls = outputs.get("text"), lenient.mappings(outputs.get("tool_calls"))
    reasoning = outputs.get("reasoning")
    if text is None and not calls and reasoning is None:
        return None
    content = [
        *([{"type": "reasoning", "content": reasoning}] if reasoning else []),
        *([] if text is None else [{"type": "text", "content": text}]),
        *({"type": "tool_call", **call} for call in calls),
    ]
    message = {"role": "assistant", "parts": content, "finish_reason": outputs.get("finish_reason")}
    return [lenient.drop_none(message)]


def _failure_events(facts: SpanFacts, ended: int) -> Iterator[dict[str, Any]]:
    failure = facts.failure
    if failure is not None:
        attributes = {
            "exception.type": failure.kind,
            "exception.message": failure.text,
            "exception.stacktrace": failure.stack_trace,
        }
        yield {"timeUnixNano": str(ended), "name": "exception", "attributes": _attributes(attributes)}


def _point_event(event: Event) -> dict[str, Any]:
    """Return what happened inside of a span, such as a message or a log record, as an event of that span."""
    if event["event_type"] == MARK:
        return {"name": MARK, "attributes": _attributes(_evaluation(event["metadata"]))}
    attributes = {
        "namel3ss.name": event.get("component_name"),
        **{f"namel3ss.{name}": _json(event.get(name)) for name in ("inputs", "outputs", "metadata", "error")},
    }
    at = event.get("timestamp")
    time = {} if at is None else {"timeUnixNano": str(int(at * 1e6 + 0.5) * 1000)}
    return {**time, "name": event["event_type"], "attributes": _attributes(attributes)}


def _evaluation(mark: Mapping[str, Any]) -> dict[str, Any]:
    """Return the user's judgement of the run as the conventions name that of a judge."""
    return {
        "gen_ai.evaluation.name": "mark",
        "gen_ai.evaluation.score.label": mark.get("judgement"),
        "gen_ai.evaluation.explanation": mark.get("why"),
    }


def _json(value: Any) -> str | None:
    """Return a value as a text of JSON; a text as it is, unless it would be read as JSON."""
    if value is None:
        return None
    if isinstance(value, str):
        try:
            orjson.loads(value)
        except orjson.JSONDecodeError:
            return value
    return json_bytes(value)


def _attributes(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": name, "value": _any_value(value)} for name, value in values.items() if value is not None]


def _any_value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)} if -(1 << 63) <= value < 1 << 63 else {"stringValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_any_value(each) for each in value]}}
    return {"stringValue": str(value)}
