"""Export a trace in ATIF 1.6, the format of trajectories of Harbor: a step for each message of a user and each model call.

A step of a model call holds the calls of tools that it asked for, with what they returned as its observation.
ATIF has no durations and no tree: the steps of all agents are in one list, in the order of time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, Final

from namel3ss_debug.exporters.span_export import (
    PROGRAM,
    RERUN,
    ExportedSpan,
    failure_of,
    format_moment,
    own_fields,
    read_exported,
)
from namel3ss_debug.traces.events import Event
from namel3ss_debug.version import __version__
from namel3ss_debug.views.payloads import json_bytes
from namel3ss_debug.wire import lenient, parts
from namel3ss_debug.wire.conventions import FURTHER_COUNTS

SCHEMA_VERSION: Final = "ATIF-v1.6"
ONLY_CALLS: Final = "all but calls of models and their tools, with each message once; parameters, starts, durations, and errors of tools"
"""The tree of agents is left out with it. The error of a tool stands as its result; a tool that did not run has none."""

LEFT_OUT: Final = (PROGRAM, RERUN, ONLY_CALLS)

_FURTHER: Final = ("cache_write_tokens", "reasoning_tokens", *FURTHER_COUNTS)
_Results = dict[str, list[ExportedSpan]]
"""Id of a call -> the tools that it started, in order."""


def export(events: Iterable[Event]) -> Iterator[bytes]:
    """Yield one document."""
    spans = sorted(read_exported(events), key=lambda span: span.number)
    results: _Results = defaultdict(list)
    for span in spans:
        if span.facts.kind == "tool" and span.facts.inputs.get("call_id"):
            results[str(span.facts.inputs["call_id"])].append(span)
    models = [span for span in spans if span.facts.kind == "model"]
    agent = next((span.facts.name for span in spans if span.facts.kind == "agent"), None) or "agent"
    steps = [{"step_id": number, **step} for number, step in enumerate(_steps(models, results), 1)]
    costs = [span.facts.cost for span in models if span.facts.cost is not None]
    totals = {
        "total_prompt_tokens": sum(span.facts.usage.get("input_tokens", 0) for span in models),
        "total_completion_tokens": sum(span.facts.usage.get("output_tokens", 0) for span in models),
        "total_cached_tokens": sum(span.facts.usage.get("cache_read_tokens", 0) for span in models),
        "total_cost_usd": sum(costs) if costs else None,
        "total_steps": len(steps),
    }
    known_model = next((span.facts.name for span in models if span.facts.name), None)
    document = {
        "schema_version": SCHEMA_VERSION,
        "session_id": spans[0].trace_id if spans else "",
        "agent": lenient.drop_none({"name": agent, "version": __version__, "model_name": known_model}),
        "steps": steps,
        "final_metrics": lenient.drop_none(totals),
    }
    yield (json_bytes(document) + "\n").encode()


def _steps(models: Iterable[ExportedSpan], results: _Results) -> Iterator[dict[str, Any]]:
    seen: set[tuple[str, str]] = set()
    for span in models:
        for message in lenient.mappings(span.facts.inputs.get("messages")):
            role = str(message.get("role"))
            text = "\n".join(parts.select_texts(lenient.mappings(message.get("parts"))))
            if role in ("system", "user") and text and (role, text) not in seen:
                seen.add((role, text))
                yield {"source": role, "message": text, **_time(span.began)}
        yield _agent_step(span, results)


def _agent_step(span: ExportedSpan, results: _Results) -> dict[str, Any]:
    facts = span.facts
    calls: list[dict[str, Any]] = [
        {
            "tool_call_id": str(call.get("id") or f"{facts.span_id}.{index}"),
            "function_name": str(call.get("name") or ""),
            "arguments": call.get("arguments") if isinstance(call.get("arguments"), dict) else {},
        }
        for index, call in enumerate(lenient.mappings(facts.outputs.get("tool_calls")))
    ]
    # Some programs give the calls of each answer the same ids again, so each result is taken once.
    observed = [
        {"source_call_id": call["tool_call_id"], "content": _content(found.pop(0))}
        for call in calls
        if (found := results.get(call["tool_call_id"]))
    ]
    metrics = {
        "prompt_tokens": facts.usage.get("input_tokens"),
        "completion_tokens": facts.usage.get("output_tokens"),
        "cached_tokens": facts.usage.get("cache_read_tokens"),
        "cost_usd": facts.cost,
        "extra": {name: facts.usage[name] for name in _FURTHER if name in facts.usage} or None,
    }
    failure = failure_of(facts)
    step = {
        "source": "agent",
        "message": lenient.string(facts.outputs.get("text")) or "",
        "model_name": lenient.string(facts.inputs.get("model")) or facts.name,
        "reasoning_content": lenient.string(facts.outputs.get("reasoning")),
        "tool_calls": calls or None,
        "observation": {"results": observed} if observed else None,
        "metrics": lenient.drop_none(metrics) or None,
        "extra": lenient.drop_none({**span.source, "error": failure, **own_fields(span)}),
    }
    return {**_time(span.began if span.ended is None else span.ended), **lenient.drop_none(step)}


def _content(tool: ExportedSpan) -> str:
    failure = failure_of(tool.facts)
    return as_text(tool.facts.outputs.get("result")) if failure is None else failure


def as_text(result: Any) -> str:
    """Return the result of a tool as its text."""
    return result if isinstance(result, str) else json_bytes(result)


def _time(at: int | None) -> dict[str, str]:
    return {} if at is None else {"timestamp": format_moment(at)}
