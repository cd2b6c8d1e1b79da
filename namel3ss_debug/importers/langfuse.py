"""Read exports of Langfuse and answers of its API: a trace with its observations, several of them, or observations alone.

The fields of an observation are `startTime` and the like in the API and in the user interface, and `start_time` in exports to
blob storage and in what the objects of its SDK for Python dump.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from namel3ss_debug.errors import UnreadableTraceError
from namel3ss_debug.importers import own_fields
from namel3ss_debug.importers.files import peek_objects, read_documents
from namel3ss_debug.importers.messages import load, read_answer, read_arguments, read_object, read_request
from namel3ss_debug.importers.tracing import drain, make_trace
from namel3ss_debug.importers.values import parse_cost, parse_time, read_usage, rest_of
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.lines import Problems
from namel3ss_debug.traces.span_events import SpanError, SpanFacts
from namel3ss_debug.wire import lenient
from namel3ss_debug.wire.contract import Answer
from namel3ss_debug.wire.conventions import FURTHER_COUNTS

_KINDS: Final = {
    "GENERATION": "model", "EMBEDDING": "model", "TOOL": "tool", "AGENT": "agent", "CHAIN": "chain",
    "RETRIEVER": "step", "EVALUATOR": "validation", "GUARDRAIL": "validation", "SPAN": "span",
}  # fmt: skip
_USAGE: Final = {
    "input_tokens": ("input", "input_tokens", "prompt_tokens", "promptTokens", "inputUsage"),
    "output_tokens": ("output", "output_tokens", "completion_tokens", "completionTokens", "outputUsage"),
    "cache_read_tokens": ("input_cache_read", "input_cached_tokens", "prompt_details.cache_read", "cache_read_input_tokens"),
    "cache_write_tokens": ("input_cache_creation", "cache_creation_input_tokens"),
    "reasoning_tokens": ("output_reasoning", "output_reasoning_tokens", "completion_details.reasoning"),
    **{name: (name,) for name in FURTHER_COUNTS},
}  # fmt: skip
_UNDERSCORE: Final = re.compile(r"_([a-z])")
_FLAT_COUNTS: Final = ("promptTokens", "completionTokens", "inputUsage", "outputUsage")
_READ: Final = frozenset(
    {
        *("id", "traceId", "startTime", "endTime", "parentObservationId", "type", "name", "statusMessage", "input"),
        *("output", "model", "usageDetails", "costDetails", "totalCost", "inputCost", "outputCost", "inputUsage"),
        *("outputUsage", "totalUsage", "latency", "level", "createdAt", "updatedAt", "projectId", "usage"),
        *("providedCostDetails", "calculatedTotalCost", "calculatedInputCost", "calculatedOutputCost"),
        *("promptTokens", "completionTokens", "totalTokens", "unit", "internalModel", "internalModelId", "metadata"),
        *("modelParameters", "providedModelName"),
    }
)  # fmt: skip


def sniff(head: bytes) -> bool:
    """Return whether there are observations near the beginning, in a trace or alone."""
    return any(
        (
            b'"observations"' in head
            and any(map(_has_observations, (value, lenient.mapping(value.get("trace")))))
        )
        or (b'"observations"' not in head and _is_observation(value))
        or any(
            _is_observation(each) or _has_observations(each) for each in lenient.mappings(value.get("data"))
        )
        for value in peek_objects(head)
    )


def _has_observations(value: Mapping[str, Any]) -> bool:
    return isinstance(value.get("observations"), list)


def _is_observation(value: dict[str, Any]) -> bool:
    row = _in_camel_case(value)
    return row.get("type") in (*_KINDS, "EVENT") and "traceId" in row and "startTime" in row


def _in_camel_case(row: dict[str, Any]) -> dict[str, Any]:
    """Return an observation with the names of the API."""
    return (
        {_UNDERSCORE.sub(_capital, name): value for name, value in row.items()} if "trace_id" in row else row
    )


def _capital(match: re.Match[str]) -> str:
    return match[1].upper()


def read(
    files: tuple[Path, ...], problems: Problems, consumed: Callable[[int], None] | None = None
) -> Iterator[Event]:
    """Yield the events of all traces in the files.

    Raises:
        UnreadableTraceError: there are traces, and of their observations the ids only, as in a list of traces of the API.
    """
    spans: list[SpanFacts] = []
    others: list[Event] = []
    title = judged = None
    lacks_observations = False
    for path in files:
        for document in _traces_in(read_documents(path, problems, consumed, split="observations")):
            trace = lenient.mapping(document.get("trace")) or document
            title = title or lenient.string(trace.get("name"))
            found = (
                [document]
                if _is_observation(document)
                else document.get("observations", trace.get("observations", document.get("data")))
            )
            lacks_observations |= any(isinstance(each, str) for each in lenient.sequence(found))
            for observation in map(_in_camel_case, lenient.mappings(found)):
                if observation.get("type") == "EVENT":
                    others.append(_read_event(observation))
                elif "id" in observation:
                    spans.append(read_observation(observation, trace, problems))
            if document.get("trace") is judged:  # a large export is read in pieces
                continue
            judged = document.get("trace")
            for score in lenient.mappings(trace.get("scores")):
                problems.left_out[f"scores named {score.get('name')}"] += 1
    if lacks_observations and not spans:
        raise UnreadableTraceError(
            f"{files[0]}: traces without their observations; export each by `GET /api/public/traces/ID`, or the observations"
        )
    source = lenient.drop_none({"format": "langfuse", "title": title})
    yield from make_trace(source, drain(spans), others)


def _traces_in(documents: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield documents, and the traces of a list of the API each by itself."""
    for document in documents:
        listed = lenient.mappings(document.get("data"))
        yield from listed if any(map(_has_observations, listed)) else [document]


def read_observation(row: Mapping[str, Any], trace: Mapping[str, Any], problems: Problems) -> SpanFacts:
    """Return the facts of an observation, in the form of the API."""
    kind = _KINDS.get(str(row.get("type")), "span")
    ended = parse_time(row.get("endTime"))
    if kind == "model" and row.get("input") is None:
        problems.left_out["inputs that are not in the export"] += 1
    name = lenient.string(row.get("name"))
    model = lenient.string(row.get("model") or row.get("providedModelName"))
    inputs: dict[str, Any]
    if kind == "model":
        params = {
            name: value
            for name, value in lenient.mapping(load(row.get("modelParameters"))).items()
            if name != "model"
        }
        inputs = lenient.drop_empty({"model": model, **read_request(row.get("input")), "params": params})
        is_embedding = (
            row.get("type") == "EMBEDDING"
        )  # the SDK keeps how many vectors there were, and none of them
        answer = Answer() if is_embedding else read_answer(row.get("output"))
        outputs = answer.to_outputs()
        outputs |= {"response_model": model} if model and (outputs or is_embedding) else {}
    elif kind == "tool":
        inputs = {"arguments": read_arguments(row["input"])} if row.get("input") is not None else {}
        outputs = lenient.drop_none({"result": load(row.get("output"))})
    else:
        inputs, outputs = read_object(row.get("input")), read_object(row.get("output"), "result")
    usage, cost = {}, None
    metadata = load(row.get("metadata"))
    fields = metadata if isinstance(metadata, dict) else lenient.drop_none({"metadata": metadata})
    if kind == "model" or own_fields.select(fields):
        # Of the row itself only these names: its `input` and `output` are what was sent and answered.
        flat = {name: row.get(name) for name in _FLAT_COUNTS}
        counts = lenient.mapping(row.get("usageDetails")) or lenient.mapping(row.get("usage")) or flat
        cached = lenient.mapping(counts.get("prompt_tokens_details")).get("cached_tokens")
        usage = read_usage({"input_cached_tokens": cached, **counts}, _USAGE)
        costs = lenient.mapping(row.get("costDetails"))
        # 0 in the fields of the whole stands for a cost that is not known.
        stated = (row.get("totalCost"), row.get("calculatedTotalCost"))
        cost = parse_cost(costs.get("total"))
        cost = next((value for each in stated if (value := parse_cost(each))), None) if cost is None else cost
    facts = SpanFacts(
        kind,
        (model or name) if kind == "model" else name,
        span_id=str(row["id"]),
        parent_id=lenient.string(row.get("parentObservationId")),
        started=parse_time(row.get("startTime")),
        ended=ended,
        is_open=ended is None and row.get("startTime") is not None,
        inputs=inputs,
        outputs=outputs,
        failure=SpanError(None, str(row.get("statusMessage") or "")) if row.get("level") == "ERROR" else None,
        usage=usage,
        cost=cost,
        execution_id=lenient.string(row.get("traceId")) or lenient.string(trace.get("id")),
        session_id=lenient.string(trace.get("sessionId", trace.get("session_id"))),
        metadata=_rest(row, own_fields.others(fields)),
    )
    return own_fields.restore(facts, fields)


def _rest(row: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return what no field of ours has: further fields of an observation, and its metadata."""
    return rest_of({**rest_of(row, _READ).get("source", {}), **metadata}, ())


def _read_event(row: dict[str, Any]) -> Event:
    """Return an observation without a duration as a log record."""
    metadata = lenient.mapping(load(row.get("metadata")))
    ours = own_fields.select(metadata)
    level = str(row.get("level") or "DEFAULT").lower()
    text = row.get("statusMessage") or row.get("name") or ""
    fields = {
        "event_id": str(row.get("id")),
        "component_name": lenient.string(row.get("name")),
        "timestamp": parse_time(row.get("startTime")),
        "parent_event_id": lenient.string(row.get("parentObservationId")),
        "execution_id": lenient.string(row.get("traceId")),
    }
    event = lenient.drop_none(fields)
    payloads = {
        "inputs": row.get("input"),
        "outputs": row.get("output"),
        "metadata": own_fields.others(metadata),
    }
    payloads["error"] = None if "message" in metadata else row.get("statusMessage")
    restored = own_fields.restore_point(event, ours.get("event_type"), ours.get("component"), payloads)
    record = {
        "level": "info" if level == "default" else level,
        "message": str(text),
        **_rest(row, metadata),
    }
    return restored or {**event, "event_type": "log_record", "component": "log", "metadata": record}
