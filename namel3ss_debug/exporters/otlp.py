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

from namel3ss_debug.exporters.span_export import (
    KNOWN_TIMES,
    MARK,
    OUTSIDE,
    PROGRAM,
    RERUN,
    ExportedSpan,
    provider_of,
    read_exported,
)
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.span_events import SpanError, SpanFacts
from namel3ss_debug.version import __version__
from namel3ss_debug.views.payloads import json_bytes
from namel3ss_debug.wire import lenient
from namel3ss_debug.wire.conventions import FURTHER_COUNTS, PROVIDERS

LEFT_OUT: Final = (PROGRAM, OUTSIDE, RERUN, KNOWN_TIMES)
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
    **{name: f"namel3ss.usage.{name}" for name in FURTHER_COUNTS},
}
_INTERNAL, _CLIENT, _OK, _ERROR = 1, 3, 1, 2


def export(events: Iterable[Event]) -> Iterator[bytes]:
    """Yield a line for each 512 spans."""
    for request in make_requests(read_exported(events)):
        yield orjson.dumps(request) + b"\n"


def make_requests(spans: Iterable[ExportedSpan]) -> Iterator[dict[str, Any]]:
    """Yield the bodies of requests to a receiver of OTLP, in the form of its JSON."""
    batches = groupby(enumerate(spans), lambda each: (each[0] // SPANS_PER_REQUEST, resource_of(each[1])))
    for (_, about), group in batches:
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


def resource_of(span: ExportedSpan) -> dict[str, Any]:
    """Return the attributes of the program: those that an imported trace has, else those of a program that we recorded."""
    own = {"service.name": span.service or "namel3ss-debug", "telemetry.sdk.language": "python"}
    return span.resource or {**own, "telemetry.sdk.name": "namel3ss-debug"}


def make_span(span: ExportedSpan) -> dict[str, Any]:
    """Return a span in the form of OTLP/JSON: ids in hexadecimal, times in nanoseconds as texts."""
    facts = span.facts
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
        "name": name_span(facts),
        "kind": _CLIENT if facts.kind in ("model", "http") else _INTERNAL,
        "startTimeUnixNano": str(began),
        "endTimeUnixNano": str(ended),
        "attributes": _attributes(make_attributes(span)),
        "events": [*_failure_events(facts, ended), *map(_point_event, span.points)],
        "status": status,
    }
    return {name: value for name, value in document.items() if value not in (None, [], {})}


def name_span(facts: SpanFacts) -> str:
    """Return the name of a span by the conventions, such as `chat gpt-5`."""
    return " ".join(filter(None, (_OPERATIONS.get(facts.kind), facts.name))) or facts.kind


def make_attributes(span: ExportedSpan) -> dict[str, Any]:
    """Return the attributes of a span; one that is None is not known."""
    facts = span.facts
    kind, inputs, outputs = facts.kind, facts.inputs, facts.outputs
    path, _, line = str(facts.fields.get("call_site") or "").rpartition(":")
    attributes: dict[str, Any] = {
        **{name: _attribute(value) for name, value in span.source.items() if name != "resource"},
        "gen_ai.operation.name": _OPERATIONS.get(kind),
        "openinference.span.kind": _OPEN_INFERENCE.get(kind),
        "gen_ai.conversation.id": facts.session_id,
        "error.type": None if facts.failure is None else facts.failure.kind,
        "code.file.path": path or None,
        "code.line.number": int(line) if line.isdecimal() and len(line) < 10 else None,
        "thread.name": facts.fields.get("thread"),
        "namel3ss.task": facts.fields.get("task"),
        "namel3ss.step_type": facts.fields.get("step_type"),
        "namel3ss.retry_count": facts.fields.get("retry_count"),
        "namel3ss.kind": kind,
        "namel3ss.duration_ms": facts.duration_ms if span.began is None else None,
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
    params = lenient.mapping(inputs.get("params"))
    reason, answer = outputs.get("finish_reason"), make_answer(outputs)
    return {
        **{
            f"gen_ai.request.{name}": value if isinstance(value, str) else _attribute(value)
            for name, value in params.items()
        },
        # As OpenInference has them: also those that an attribute cannot hold, such as null.
        "llm.invocation_parameters": json_bytes(params) if params else None,
        "gen_ai.provider.name": PROVIDERS.get(provider, provider) if provider else None,
        "gen_ai.request.model": lenient.string(inputs.get("model")) or facts.name,
        "gen_ai.response.model": lenient.string(outputs.get("response_model")),
        "gen_ai.response.finish_reasons": [reason] if isinstance(reason, str) else None,
        "gen_ai.input.messages": _json(inputs.get("messages")),
        "gen_ai.tool.definitions": _json(inputs.get("tools") or None),
        "gen_ai.output.messages": _json(None if answer is None else [answer]),
    }


def make_answer(outputs: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the answer of a model as the one message that it is in the conventions; None where nothing is known of it."""
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
    return lenient.drop_none(message)


def _failure_events(facts: SpanFacts, ended: int) -> Iterator[dict[str, Any]]:
    failure = facts.failure
    if failure is not None:
        attributes = _attributes(failure_attributes(failure))
        yield {"timeUnixNano": str(ended), "name": "exception", "attributes": attributes}


def failure_attributes(failure: SpanError) -> dict[str, Any]:
    """Return the attributes of the event `exception` of a span that failed."""
    return {
        "exception.type": failure.kind,
        "exception.message": failure.text,
        "exception.stacktrace": failure.stack_trace,
    }


def _point_event(event: Event) -> dict[str, Any]:
    """Return what happened inside of a span, such as a message or a log record, as an event of that span."""
    if event["event_type"] == MARK:
        return {"name": MARK, "attributes": _attributes(_evaluation(event["metadata"]))}
    at = event.get("timestamp")
    time = {} if at is None else {"timeUnixNano": str(int(at * 1e6 + 0.5) * 1000)}
    return {**time, "name": event["event_type"], "attributes": _attributes(point_attributes(event))}


def point_attributes(event: Event) -> dict[str, Any]:
    """Return the attributes of what happened inside of a span; one that is None is not known."""
    return {
        "namel3ss.component": event.get("component"),
        "namel3ss.name": event.get("component_name"),
        **{f"namel3ss.{name}": _json(event.get(name)) for name in ("inputs", "outputs", "metadata", "error")},
    }


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


def _attribute(value: Any) -> Any:
    """Return a value as an attribute holds it: a number, a text, a list of texts, or anything else as a text of JSON.

    A text that would be read as an object or a list is quoted.
    """
    if isinstance(value, str):
        return _json(value) if value[:1] in ("{", "[", '"') else value
    if isinstance(value, (bool, int, float)) or (
        isinstance(value, list) and value and all(isinstance(each, str) for each in value)
    ):
        return value
    return _json(value)


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
