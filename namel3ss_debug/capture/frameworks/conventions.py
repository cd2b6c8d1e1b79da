"""Interprets spans of OpenTelemetry by their attributes (GenAI conventions, OpenInference, OpenLLMetry)."""

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
"""`gen_ai.operation.name`, with which the name of such a span begins too -> what the span stands for."""

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
"""`openinference.span.kind` and `traceloop.span.kind` -> what the span stands for."""

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
_FOLLOWED_DIRECTLY = (
    "pydantic-ai", "pydantic_ai", "langchain", "langgraph", "openai_agents", "openai-agents", "smolagents", "crewai",
    "mcp-python-sdk",
)  # fmt: skip
"""Parts of the names of instrumentations whose frameworks have a seam of their own here."""
_NO_CALL = "(merged)"
"""Part of the names of spans that look like calls and are none: google-adk merges results in them."""


class Meaning(NamedTuple):
    """What a span stands for (`agent chain step tool model validation`), and the name of that."""

    kind: str
    name: str | None


def interpret(scope: str, name: str, attributes: Mapping[str, Any]) -> Meaning | None:
    """Return what a span stands for, or `None` if nothing is known of it.

    Args:
        scope: the name of the instrumentation that made the span.
        name: the name of the span.
        attributes: its attributes at its start.
    """
    if is_followed_directly(scope) or _NO_CALL in name:
        return None
    first, _, rest = name.partition(" ")
    kind = _OPERATIONS.get(str(attributes.get("gen_ai.operation.name")))
    for key in _KIND_KEYS:
        kind = kind or _KINDS.get(str(attributes.get(key)).upper())
    rest = rest.strip("[]") if first in _OPERATIONS else name
    kind = kind or _OPERATIONS.get(first)
    if kind is None:
        return None
    known_name = _first_present(attributes, _NAMES.get(kind, ()))
    return Meaning(kind, str(known_name) if known_name is not None else rest or None)


@lru_cache(maxsize=256)  # a program has few of them
def is_followed_directly(scope: str) -> bool:
    """Return whether the framework of an instrumentation has a seam of its own here."""
    return any(word in scope for word in _FOLLOWED_DIRECTLY)


def read_arguments(attributes: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the arguments of a tool, if its span has them."""
    value = _parse_json(_first_present(attributes, _ARGUMENTS))
    return value if isinstance(value, dict) else None if value is None else {"input": value}


def read_result(attributes: Mapping[str, Any]) -> Any:
    """Return the result of an agent, a chain or a tool, if its span has it."""
    return _parse_json(_first_present(attributes, _RESULTS))


def read_usage(attributes: Mapping[str, Any]) -> dict[str, int]:
    """Return the tokens of a model call."""
    counts = {ours: _first_present(attributes, theirs) for ours, theirs in _USAGE.items()}
    return {name: count for name, count in counts.items() if isinstance(count, int)}


def read_answer(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model's answer, as far as its span has it."""
    messages = _parse_json(attributes.get("gen_ai.output.messages"))
    if not isinstance(messages, list):
        value = attributes.get("output.value")
        return {} if value is None else {"text": str(value)}
    parts = [part for message in messages for part in message.get("parts", ())]
    calls = [
        {name: part.get(name) for name in ("id", "name", "arguments")}
        for part in parts
        if part.get("type") == "tool_call"
    ]
    text = "".join(str(part.get("content", "")) for part in parts if part.get("type") == "text")
    return {"text": text or None, "tool_calls": calls}


def _first_present(attributes: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    for name in names:
        value = attributes.get(name)
        if value is not None:
            return value
    return None


def _parse_json(text: Any) -> Any:
    """Return the value of a JSON text, or the text itself if it is not JSON."""
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text
