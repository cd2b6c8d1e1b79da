"""Read exports of Langfuse and answers of its API: a trace with its observations, several of them, or observations alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from namel3ss_debug.importers.files import peek_objects, read_documents
from namel3ss_debug.importers.messages import load, read_answer, read_arguments, read_object, read_request
from namel3ss_debug.importers.tracing import make_trace
from namel3ss_debug.importers.values import parse_cost, parse_time, read_usage, rest_of
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.lines import Problems
from namel3ss_debug.traces.span_events import SpanError, SpanFacts
from namel3ss_debug.wire import lenient

_KINDS: Final = {
    "GENERATION": "model", "EMBEDDING": "model", "TOOL": "tool", "AGENT": "agent", "CHAIN": "chain",
    "RETRIEVER": "step", "EVALUATOR": "validation", "GUARDRAIL": "validation", "SPAN": "span",
}  # fmt: skip
_USAGE: Final = {
    "input_tokens": ("input", "input_tokens", "prompt_tokens", "promptTokens"),
    "output_tokens": ("output", "output_tokens", "completion_tokens", "completionTokens"),
    "cache_read_tokens": ("input_cache_read", "input_cached_tokens", "prompt_details.cache_read", "cache_read_input_tokens"),
    "cache_write_tokens": ("input_cache_creation", "cache_creation_input_tokens"),
    "reasoning_tokens": ("output_reasoning", "output_reasoning_tokens", "completion_details.reasoning"),
}  # fmt: skip
_READ: Final = frozenset(
    {
        *("id", "traceId", "startTime", "endTime", "parentObservationId", "type", "name", "statusMessage", "input"),
        *("output", "model", "usageDetails", "costDetails", "totalCost", "inputCost", "outputCost", "inputUsage"),
        *("outputUsage", "totalUsage", "latency", "level", "createdAt", "updatedAt", "projectId", "usage"),
        *("providedCostDetails", "calculatedTotalCost", "calculatedInputCost", "calculatedOutputCost"),
        *("promptTokens", "completionTokens", "totalTokens", "unit", "internalModel", "internalModelId"),
    }
)  # fmt: skip


def sniff(head: bytes) -> bool:
    """Return whether there are observations near the beginning, in a trace or alone."""
    return any(
        (b'"observations"' in head and isinstance(value.get("observations"), list))
        or (b'"observations"' not in head and _is_observation(value))
        or any(map(_is_observation, lenient.mappings(value.get("data"))))
        for value in peek_objects(head)
    )


def _is_observation(value: Mapping[str, Any]) -> bool:
    return value.get("type") in (*_KINDS, "EVENT") and "traceId" in value and "startTime" in value


def read(
    files: tuple[Path, ...], problems: Problems, consumed: Callable[[int], None] | None = None
) -> Iterator[Event]:
    """Yield the events of all traces in the files."""
    spans: list[SpanFacts] = []
    others: list[Event] = []
    title = judged = None
    for path in files:
        for document in read_documents(path, problems, consumed, split="observations"):
            trace = lenient.mapping(document.get("trace")) or document
            title = title or lenient.string(trace.get("name"))
            found = (
                [document]
                if _is_observation(document)
                else document.get("observations", document.get("data"))
            )
            for observation in lenient.mappings(found):
                if observation.get("type") == "EVENT":
                    others.append(_read_event(observation))
                elif "id" in observation:
                    spans.append(_read_observation(observation, trace, problems))
            if document.get("trace") is judged:  # a large export is read in pieces
                continue
            judged = document.get("trace")
            for score in lenient.mappings(trace.get("scores")):
                problems.left_out[f"scores named {score.get('name')}"] += 1
    source = lenient.drop_none({"format": "langfuse", "title": title})
    yield from make_trace(source, spans, others)


def _read_observation(row: dict[str, Any], trace: Mapping[str, Any], problems: Problems) -> SpanFacts:
    kind = _KINDS.get(str(row.get("type")), "span")
    ended = parse_time(row.get("endTime"))
    if kind == "model" and row.get("input") is None:
        problems.left_out["inputs that are not in the export"] += 1
    name = lenient.string(row.get("name"))
    model = lenient.string(row.get("model"))
    inputs: dict[str, Any]
    if kind == "model":
        params = lenient.mapping(load(row.get("modelParameters")))
        inputs = lenient.drop_empty({"model": model, **read_request(row.get("input")), "params": params})
        answer = read_answer(row.get("output"))
        outputs = {**answer.to_outputs(), **({"response_model": model} if model else {})}
    elif kind == "tool":
        inputs = {"arguments": read_arguments(row.get("input"))}
        outputs = lenient.drop_none({"result": load(row.get("output"))})
    else:
        inputs, outputs = read_object(row.get("input")), read_object(row.get("output"))
    usage, cost = {}, None
    if kind == "model":
        counts = lenient.mapping(row.get("usageDetails")) or lenient.mapping(row.get("usage")) or row
        usage = read_usage(counts, _USAGE)
        costs = lenient.mapping(row.get("costDetails"))
        stated = (costs.get("total"), row.get("totalCost"), row.get("calculatedTotalCost"))
        cost = next((value for each in stated if (value := parse_cost(each))), None)
    return SpanFacts(
        kind,
        (model or name) if kind == "model" else name,
        span_id=str(row["id"]),
        parent_id=lenient.string(row.get("parentObservationId")),
        started=parse_time(row.get("startTime")),
        ended=ended,
        is_open=ended is None,
        inputs=inputs,
        outputs=outputs,
        failure=SpanError(None, str(row.get("statusMessage") or "")) if row.get("level") == "ERROR" else None,
        usage=usage,
        cost=cost,
        execution_id=lenient.string(row.get("traceId")) or lenient.string(trace.get("id")),
        session_id=lenient.string(trace.get("sessionId")),
        metadata=rest_of(row, _READ),
    )


def _read_event(row: dict[str, Any]) -> Event:
    """Return an observation without a duration as a log record."""
    level = str(row.get("level") or "DEFAULT").lower()
    text = row.get("statusMessage") or row.get("name") or ""
    fields = {
        "event_type": "log_record",
        "event_id": str(row.get("id")),
        "component": "log",
        "component_name": lenient.string(row.get("name")),
        "timestamp": parse_time(row.get("startTime")),
        "parent_event_id": lenient.string(row.get("parentObservationId")),
        "execution_id": lenient.string(row.get("traceId")),
        "metadata": {
            "level": "info" if level == "default" else level,
            "message": str(text),
            **rest_of(row, _READ),
        },
    }
    return lenient.drop_none(fields)
