"""What a span of OpenTelemetry stands for, by its attributes (GenAI conventions, OpenInference, OpenLLMetry)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

_OPERATIONS = {
    "invoke_agent": "agent",
    "agent_run": "agent",
    "invoke_workflow": "chain",
    "invoke_node": "step",
    "execute_tool": "tool",
    "chat": "model",
    "generate_content": "model",
    "text_completion": "model",
    "embeddings": "model",
}
"""`gen_ai.operation.name`, which is also what the name of such a span begins with -> what it stands for."""

_KINDS = {
    "AGENT": "agent",
    "WORKFLOW": "chain",
    "CHAIN": "chain",
    "TASK": "step",
    "RETRIEVER": "step",
    "RERANKER": "step",
    "TOOL": "tool",
    "LLM": "model",
    "EMBEDDING": "model",
    "GUARDRAIL": "validation",
}
"""`openinference.span.kind` and `traceloop.span.kind` -> the same."""

_KIND_KEYS = ("openinference.span.kind", "traceloop.span.kind")
_NAMES = {
    "agent": ("gen_ai.agent.name", "agent.name", "traceloop.entity.name"),
    "chain": ("gen_ai.workflow.name", "traceloop.entity.name"),
    "tool": ("gen_ai.tool.name", "tool.name", "traceloop.entity.name"),
    "model": ("gen_ai.request.model", "llm.model_name", "embedding.model_name"),
}
_ARGUMENTS = ("gen_ai.tool.call.arguments", "input.value", "traceloop.entity.input")
_RESULTS = ("gen_ai.tool.call.result", "output.value", "traceloop.entity.output")
_USAGE = {
    "input_tokens": ("gen_ai.usage.input_tokens", "llm.token_count.prompt"),
    "output_tokens": ("gen_ai.usage.output_tokens", "llm.token_count.completion"),
    "cache_read_tokens": (
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_read_input_tokens",
        "llm.token_count.prompt_details.cache_read",
    ),
    "cache_write_tokens": (
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens",
        "llm.token_count.prompt_details.cache_write",
    ),
    "reasoning_tokens": (
        "gen_ai.usage.reasoning.output_tokens",
        "gen_ai.usage.reasoning_tokens",
        "llm.token_count.completion_details.reasoning",
    ),
}
_FOLLOWED_OTHERWISE = (
    "pydantic-ai", "pydantic_ai", "langchain", "langgraph", "openai_agents", "openai-agents", "smolagents", "crewai",
    "mcp-python-sdk",
)  # fmt: skip
"""Words in the names of instrumentations whose frameworks are followed without them."""
_NO_CALL = "(merged)"
"""In the names of spans that look like those of a call and are none: google-adk puts results together."""


class Meaning(NamedTuple):
    """What a span stands for (`agent chain step tool model validation`), and what it is called."""

    kind: str
    name: str | None


def meaning(scope: str, name: str, attributes: Mapping[str, Any]) -> Meaning | None:
    """What a span stands for; `None` where nothing is known of it.

    Args:
        scope: the name of the instrumentation that made the span.
        name: the name of the span.
        attributes: what is known of it at its start.
    """
    if is_followed_otherwise(scope) or _NO_CALL in name:
        return None
    first, _, rest = name.partition(" ")
    kind = _OPERATIONS.get(str(attributes.get("gen_ai.operation.name")))
    for key in _KIND_KEYS:
        kind = kind or _KINDS.get(str(attributes.get(key)).upper())
    rest = rest.strip("[]") if first in _OPERATIONS else name
    kind = kind or _OPERATIONS.get(first)
    if kind is None:
        return None
    known = _first(attributes, _NAMES.get(kind, ()))
    return Meaning(kind, str(known) if known is not None else rest or None)


@lru_cache(maxsize=256)  # a program has few of them
def is_followed_otherwise(scope: str) -> bool:
    """Whether an instrumentation tells of a framework that is followed without it."""
    return any(word in scope for word in _FOLLOWED_OTHERWISE)


def arguments(attributes: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a tool is called with, where its span says so."""
    found = _json(_first(attributes, _ARGUMENTS))
    return found if isinstance(found, dict) else None if found is None else {"input": found}


def result(attributes: Mapping[str, Any]) -> Any:
    """What came of an agent, a chain or a tool, where its span says so."""
    return _json(_first(attributes, _RESULTS))


def usage(attributes: Mapping[str, Any]) -> dict[str, int]:
    """The tokens of a model call."""
    found = {ours: _first(attributes, theirs) for ours, theirs in _USAGE.items()}
    return {name: count for name, count in found.items() if isinstance(count, int)}


def answer(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """What a model answered, as far as its span tells."""
    said = _json(attributes.get("gen_ai.output.messages"))
    if not isinstance(said, list):
        found = attributes.get("output.value")
        return {} if found is None else {"text": str(found)}
    parts = [part for message in said for part in message.get("parts", ())]
    calls = [
        {name: part.get(name) for name in ("id", "name", "arguments")}
        for part in parts
        if part.get("type") == "tool_call"
    ]
    text = "".join(str(part.get("content", "")) for part in parts if part.get("type") == "text")
    return {"text": text or None, "tool_calls": calls}


def _first(attributes: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    for name in names:
        found = attributes.get(name)
        if found is not None:
            return found
    return None


def _json(text: Any) -> Any:
    """What a text says in JSON; the text itself where it is none."""
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text
