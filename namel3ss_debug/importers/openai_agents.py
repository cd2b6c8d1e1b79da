"""Read what the OpenAI Agents SDK exports: a trace and its spans, as its backend takes them, or one on each line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from namel3ss_debug.importers.files import peek_objects, read_documents
from namel3ss_debug.importers.messages import load, read_answer, read_arguments, read_request
from namel3ss_debug.importers.tracing import make_trace
from namel3ss_debug.importers.values import parse_time, read_usage, rest_of
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.lines import Problems
from namel3ss_debug.traces.span_events import SpanError, SpanFacts
from namel3ss_debug.wire import lenient

_KINDS: Final = {
    "agent": "agent", "generation": "model", "response": "model", "function": "tool", "guardrail": "validation",
    "turn": "turn", "task": "chain", "mcp_tools": "mcp", "transcription": "model", "speech": "model",
}  # fmt: skip
_USAGE: Final = {
    "input_tokens": ("input_tokens", "prompt_tokens"),
    "output_tokens": ("output_tokens", "completion_tokens"),
    "cache_read_tokens": ("cached_input_tokens",),
}
_READ: Final = frozenset({"type", "name", "input", "output", "model", "usage", "response", "response_id"})


def sniff(head: bytes) -> bool:
    """Return whether a span of the SDK is near the beginning."""
    return b"trace.span" in head and any(map(_has_spans, peek_objects(head)))


def _has_spans(value: dict[str, Any]) -> bool:
    return any(each.get("object") == "trace.span" for each in (value, *lenient.mappings(value.get("data"))))


def read(
    files: tuple[Path, ...], problems: Problems, consumed: Callable[[int], None] | None = None
) -> Iterator[Event]:
    """Yield the events of all traces in the files."""
    spans: list[SpanFacts] = []
    groups: dict[str, str] = {}
    title = None
    for path in files:
        for document in read_documents(path, problems, consumed, split="data"):
            for row in lenient.mappings(document.get("data")) or [document]:
                if row.get("object") == "trace":
                    title = title or lenient.string(row.get("workflow_name"))
                    if isinstance(row.get("group_id"), str):
                        groups[str(row.get("id"))] = row["group_id"]
                elif row.get("object") == "trace.span":
                    spans.append(_read_span(row, groups))
    yield from make_trace(lenient.drop_none({"format": "openai-agents", "title": title}), spans)


def _read_span(row: dict[str, Any], groups: dict[str, str]) -> SpanFacts:
    data = lenient.mapping(row.get("span_data"))
    kind = _KINDS.get(str(data.get("type")), "step")
    name = lenient.string(data.get("name")) or lenient.string(data.get("type"))
    usage = read_usage(lenient.mapping(data.get("usage")), _USAGE)
    inputs: dict[str, Any] = {}
    outputs: dict[str, Any] = {}
    if kind == "model":
        response = lenient.mapping(data.get("response"))
        answer = read_answer(response or data.get("output"))
        model = lenient.string(data.get("model")) or answer.response_model
        inputs = lenient.drop_empty({"model": model, **read_request(data.get("input"))})
        outputs, usage, name = answer.to_outputs(), usage or answer.usage, model
    elif kind == "tool":
        inputs = {"arguments": read_arguments(data.get("input"))}
        outputs = lenient.drop_none({"result": load(data.get("output"))})
    error = lenient.mapping(row.get("error"))
    trace_id = lenient.string(row.get("trace_id"))
    ended = parse_time(row.get("ended_at"))
    return SpanFacts(
        kind,
        name,
        span_id=str(row.get("id")),
        parent_id=lenient.string(row.get("parent_id")),
        started=parse_time(row.get("started_at")),
        ended=ended,
        is_open=ended is None,
        inputs=inputs,
        outputs=outputs,
        failure=SpanError(None, str(error.get("message") or "")) if error else None,
        usage=usage if kind == "model" else {},
        execution_id=trace_id,
        session_id=groups.get(trace_id or ""),
        metadata=rest_of({**data, **({"error": error.get("data")} if error else {})}, _READ),
    )
