"""Read runs of LangSmith: exports, answers of its API, and the batches that its SDK sends, where `post` and `patch` merge."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from namel3ss_debug.importers.files import peek_objects, read_documents
from namel3ss_debug.importers.messages import read_answer, read_arguments, read_object, read_request
from namel3ss_debug.importers.tracing import drain, make_trace
from namel3ss_debug.importers.values import parse_cost, parse_time, read_usage, rest_of
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.lines import Problems
from namel3ss_debug.traces.span_events import SpanError, SpanFacts
from namel3ss_debug.wire import lenient

_KINDS: Final = {"llm": "model", "embedding": "model", "tool": "tool", "chain": "chain", "retriever": "step",
                 "prompt": "prompt", "parser": "step"}  # fmt: skip
_USAGE: Final = {
    "input_tokens": ("input_tokens", "prompt_tokens"),
    "output_tokens": ("output_tokens", "completion_tokens"),
}
_DETAILS: Final = (
    ("input_token_details", "cache_read", "cache_read_tokens"),
    ("input_token_details", "cache_creation", "cache_write_tokens"),
    ("output_token_details", "reasoning", "reasoning_tokens"),
)
_LISTS: Final = ("post", "patch", "runs", "child_runs")
_READ: Final = frozenset(
    {
        *("id", "trace_id", "parent_run_id", "dotted_order", "run_type", "name", "start_time", "end_time", "inputs"),
        *("outputs", "error", "events", "child_runs", "session_id", "prompt_tokens", "completion_tokens"),
        *("total_tokens", "total_cost", "prompt_cost", "completion_cost", "child_run_ids", "status"),
    }
)  # fmt: skip


def sniff(head: bytes) -> bool:
    """Return whether a run is near the beginning."""
    if b'"dotted_order"' not in head and b'"run_type"' not in head:
        return False
    return any(next(_runs_of(value), None) is not None for value in peek_objects(head))


def _runs_of(value: Mapping[str, Any], depth: int = 0) -> Iterator[dict[str, Any]]:
    if "run_type" in value or "dotted_order" in value:
        run_id = value.get("id") or _ids_of(value)[-1]  # a patch of the SDK for JavaScript has no id
        if run_id:
            yield {**value, "id": run_id}
    for name in _LISTS if depth < 100 else ():
        for run in lenient.mappings(value.get(name)):
            yield from _runs_of(run, depth + 1)


def _ids_of(run: Mapping[str, Any]) -> list[str]:
    """Return the ids in the `dotted_order` of a run, from the root to the run: `TIME` `Z` `ID` for each, with dots between."""
    return [each.partition("Z")[2] for each in str(run.get("dotted_order") or "").split(".")]


def read(
    files: tuple[Path, ...], problems: Problems, consumed: Callable[[int], None] | None = None
) -> Iterator[Event]:
    """Yield the events of all runs in the files."""
    runs: dict[str, dict[str, Any]] = {}
    for path in files:
        for document in read_documents(path, problems, consumed):
            for run in _runs_of(document):
                known = runs.setdefault(str(run["id"]), {})
                # A patch has what is known at the end; what it leaves empty is from the post.
                known |= {
                    name: value
                    for name, value in run.items()
                    if value not in (None, {}, []) or name not in known
                }
    ordered = sorted(runs.values(), key=lambda run: str(run.get("dotted_order") or ""))
    runs.clear()
    yield from make_trace({"format": "langsmith"}, map(read_run, drain(ordered)))


def read_run(run: Mapping[str, Any]) -> SpanFacts:
    """Return the facts of a run, in the form of the API."""
    kind = _KINDS.get(str(run.get("run_type")), "chain")
    inputs, outputs = lenient.mapping(run.get("inputs")), lenient.mapping(run.get("outputs"))
    name, failure = lenient.string(run.get("name")), None
    if run.get("error"):
        text = str(run["error"])
        kind_of, colon, _ = text.partition("(") if "(" in text.partition(":")[0] else text.partition(":")
        failure = SpanError(kind_of if colon and kind_of.isidentifier() else None, text)
    usage: dict[str, int] = {}
    cost = None
    settings = lenient.mapping(lenient.mapping(run.get("extra")).get("metadata"))
    passed = lenient.mapping(lenient.mapping(run.get("extra")).get("invocation_params"))
    models = (
        settings.get("ls_model_name"),
        inputs.get("model"),
        passed.get("model"),
        passed.get("model_name"),
    )
    model = next(filter(None, map(lenient.string, models)), None)
    metadata = rest_of(run, _READ)
    if kind == "model":
        answer = read_answer(outputs) if outputs else read_answer(None)
        stated = lenient.mapping(outputs.get("usage_metadata")) or lenient.mapping(
            settings.get("usage_metadata")
        )
        stated = stated or _find_usage(outputs)
        usage = read_usage(stated or run, _USAGE) or answer.usage
        for group, theirs, ours in _DETAILS:
            count = lenient.count(lenient.mapping(stated.get(group)).get(theirs))
            usage |= {} if count is None else {ours: count}
        cost = parse_cost(stated.get("total_cost", run.get("total_cost")))
        inputs = lenient.drop_empty({"model": model, **read_request(inputs)})
        outputs = answer.to_outputs()
        name = model or name
        provider = lenient.string(settings.get("ls_provider"))
        metadata = lenient.drop_none({"provider": provider}) | metadata
    elif kind == "tool":
        only = inputs.get("input") if inputs.keys() == {"input"} else inputs
        inputs = {"arguments": read_arguments(only)}
        outputs = lenient.drop_none({"result": outputs.get("output", outputs)}) if outputs else {}
    else:
        inputs, outputs = read_object(inputs), read_object(outputs, "result")
    ended = parse_time(run.get("end_time"))
    parent = lenient.string(run.get("parent_run_id"))
    chain = _ids_of(run)
    if parent is None and len(chain) > 1:
        parent = chain[-2] or None
    return SpanFacts(
        kind,
        name,
        span_id=str(run["id"]),
        parent_id=parent,
        started=parse_time(run.get("start_time")),
        ended=ended,
        is_open=ended is None,
        inputs=inputs,
        outputs=outputs,
        failure=failure,
        usage=usage,
        cost=cost,
        execution_id=lenient.string(run.get("trace_id")),
        session_id=lenient.string(settings.get("session_id") or settings.get("thread_id")),
        metadata=metadata,
    )


def _find_usage(outputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the counts in an answer of LangChain: of the provider, or of the message of the first generation."""
    counts = lenient.mapping(lenient.mapping(outputs.get("llm_output")).get("token_usage"))
    groups = outputs.get("generations")
    first = groups[0] if isinstance(groups, list) and groups else None
    first = first[0] if isinstance(first, list) and first else first
    message = lenient.mapping(lenient.mapping(first).get("message"))
    return lenient.mapping(lenient.mapping(message.get("kwargs", message)).get("usage_metadata")) or counts
