"""Read spans of OpenTelemetry whose attributes are plain objects: MLflow's traces, Phoenix's JSON, the SDKs' consoles."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from namel3ss_debug.importers.files import peek_objects, read_documents
from namel3ss_debug.importers.messages import load, read_answer, read_arguments, read_object, read_request
from namel3ss_debug.importers.otel_spans import OtelSpan
from namel3ss_debug.importers.tracing import make_trace
from namel3ss_debug.importers.values import parse_cost, read_usage
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.lines import Problems
from namel3ss_debug.traces.span_events import SpanFacts
from namel3ss_debug.wire import lenient

_BEGAN: Final = (
    "start_time_unix_nano",
    "start_time_unix_ns",
    "start_time_ns",
    "start_time",
    "startTimeUnixNano",
)
_ENDED: Final = ("end_time_unix_nano", "end_time_unix_ns", "end_time_ns", "end_time", "endTimeUnixNano")
_PARENTS: Final = ("parent_span_id", "parent_id", "parentSpanId")
_EVENT_TIMES: Final = ("time_unix_nano", "timestamp_unix_ns", "timestamp")
_LISTS: Final = ("spans", "data", "traces")
_KINDS: Final = {
    "AGENT": "agent", "CHAT_MODEL": "model", "LLM": "model", "EMBEDDING": "model", "TOOL": "tool", "CHAIN": "chain",
    "WORKFLOW": "chain", "TASK": "step", "RETRIEVER": "step", "PARSER": "step", "RERANKER": "step",
    "MEMORY": "memory", "GUARDRAIL": "validation", "EVALUATOR": "validation",
}  # fmt: skip
"""`mlflow.spanType` -> the kind of the span."""

_USAGE: Final = {
    "input_tokens": ("input_tokens",),
    "output_tokens": ("output_tokens",),
    "cache_read_tokens": ("cache_read_input_tokens",),
    "cache_write_tokens": ("cache_creation_input_tokens",),
}


def sniff(head: bytes) -> bool:
    """Return whether a span with plain attributes is near the beginning."""
    return any(next(_find_spans(value), None) is not None for value in peek_objects(head))


def _find_spans(value: Mapping[str, Any], depth: int = 0) -> Iterator[dict[str, Any]]:
    if "context.span_id" in value:
        value = _from_columns(value)
    if isinstance(value.get("attributes"), dict) and (
        "span_id" in value or "span_id" in lenient.mapping(value.get("context"))
    ):
        yield dict(value)
        return
    for name in _LISTS if depth < 4 else ():
        inner = value.get(name)
        for each in [inner] if isinstance(inner, dict) else lenient.mappings(inner):
            yield from _find_spans(each, depth + 1)


def _from_columns(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a span of which each attribute is a column, as a data frame of Phoenix has it: `attributes.llm.model_name`."""
    context = {name: row.get(f"context.{name}") for name in ("trace_id", "span_id")}
    attributes: dict[str, Any] = {}
    for name, value in row.items():
        if name.startswith("attributes.") and value is not None:
            _flatten(name.removeprefix("attributes."), value, attributes)
    return {**row, "context": context, "attributes": attributes}


def _flatten(name: str, value: Any, found: dict[str, Any], depth: int = 0) -> None:
    """Add an attribute; a list of objects, such as messages, as `NAME.0.FIELD` and so on."""
    if isinstance(value, list) and value and all(isinstance(each, dict) for each in value) and depth < 10:
        for number, each in enumerate(value):
            for field, inner in each.items():
                _flatten(f"{name}.{number}.{field}", inner, found, depth + 1)
    else:
        found[name] = value


def read(
    files: tuple[Path, ...], problems: Problems, consumed: Callable[[int], None] | None = None
) -> Iterator[Event]:
    """Yield the events of all traces in the files."""
    spans: list[SpanFacts] = []
    others: list[Event] = []
    for path in files:
        for document in read_documents(path, problems, consumed):
            for row in _find_spans(document):
                facts, points = _read_span(row)
                spans.append(facts)
                others += points
    yield from make_trace({"format": "flat-spans"}, spans, others)


def _first(fields: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((fields[name] for name in names if fields.get(name) is not None), None)


def _read_span(row: dict[str, Any]) -> tuple[SpanFacts, list[Event]]:
    context = {**lenient.mapping(row.get("context")), **row}
    attributes = {name: _plain(value) for name, value in row["attributes"].items()}
    if isinstance(row.get("span_kind"), str):  # Phoenix; an attribute of that name says the same
        attributes.setdefault("openinference.span.kind", row["span_kind"])
    status = row.get("status", row.get("status_code"))
    fields = lenient.mapping(status)
    code = fields.get("status_code", fields.get("code")) if fields else status
    message = fields.get("description") or fields.get("message") or row.get("status_message")
    began, ended = _first(row, _BEGAN), _first(row, _ENDED)
    span = OtelSpan(
        name=row.get("name"),
        trace_id=context.get("trace_id"),
        span_id=context.get("span_id"),
        parent_id=_first(row, _PARENTS),
        began=began,
        ended=ended,
        attributes=attributes,
        status=(str(code).rpartition(".")[2], message),
        events=[
            (
                str(event.get("name") or ""),
                _first(event, _EVENT_TIMES),
                lenient.mapping(event.get("attributes")),
            )
            for event in lenient.mappings(row.get("events"))
        ],
        about=lenient.mapping(lenient.mapping(row.get("resource")).get("attributes")),
    )
    facts, points = span.read()
    return _read_mlflow(facts, attributes), points


def _plain(value: Any) -> Any:
    """Return a value that MLflow keeps as a text of JSON; messages are such texts themselves."""
    if isinstance(value, str) and value[:1] == '"':
        return load(value)
    if isinstance(value, str) and value in ("true", "false", "null"):
        return load(value)
    return value


def _read_mlflow(facts: SpanFacts, attributes: Mapping[str, Any]) -> SpanFacts:
    """Return the facts with what only MLflow's own attributes have."""
    kind = _KINDS.get(str(attributes.get("mlflow.spanType")))
    if kind is None:
        return facts
    known = facts.kind != "span"
    facts = facts if known else replace(facts, kind=kind)
    sent, returned = attributes.get("mlflow.spanInputs"), attributes.get("mlflow.spanOutputs")
    if facts.kind == "model":
        # MLflow 2 has the request and the answer only.
        requested = lenient.string(lenient.mapping(load(sent)).get("model"))
        model = lenient.string(attributes.get("mlflow.llm.model")) or requested
        answer = read_answer(returned)
        usage = (
            read_usage(lenient.mapping(load(attributes.get("mlflow.chat.tokenUsage"))), _USAGE)
            or answer.usage
        )
        cost = parse_cost(lenient.mapping(load(attributes.get("mlflow.llm.cost"))).get("total_cost"))
        inputs = lenient.drop_empty({"model": model, **read_request(sent), **facts.inputs})
        outputs = (
            facts.outputs
            if facts.outputs.get("text") or facts.outputs.get("tool_calls")
            else {**answer.to_outputs(), **facts.outputs}
        )
        name = facts.name if known else model or facts.name
        return replace(facts, name=name, inputs=inputs, outputs=outputs, usage=facts.usage or usage,
                       cost=cost if facts.cost is None else facts.cost)  # fmt: skip
    if facts.kind == "tool":
        passed = facts.inputs if "arguments" in facts.inputs else {"arguments": read_arguments(sent)}
        return replace(
            facts, inputs=passed, outputs=facts.outputs or lenient.drop_none({"result": load(returned)})
        )
    return replace(
        facts,
        inputs=facts.inputs or read_object(sent),
        outputs=facts.outputs or read_object(returned, "result"),
    )
