"""Read spans of OpenTelemetry by their attributes, into the fields of our events.

Five conventions are read, also mixed in one span: OpenTelemetry GenAI with its deprecated names (`gen_ai.*`),
OpenInference (`openinference.*`, `llm.*`, `tool.*`), OpenLLMetry (`traceloop.*`, indexed `gen_ai.prompt.N.*`),
AgentOps (`agentops.*`) and that of the Vercel AI SDK (`ai.*`). Every function takes the attributes as they are: values are scalars or lists of them, and a structured value is JSON in a text
or flattened over several attributes. Nothing here raises; whatever has an unexpected form counts as missing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from namel3ss_debug.wire import gemini, lenient, parts
from namel3ss_debug.wire.tools import decode_tools

Attributes = Mapping[str, Any]

_OPERATIONS = {
    "invoke_agent": "agent",
    "agent_run": "agent",
    "invoke_workflow": "chain",
    "invoke_node": "step",
    "retrieval": "step",
    "workflow.run": "chain",
    "executor.process": "step",
    "execute_tool": "tool",
    "chat": "model",
    "generate_content": "model",
    "text_completion": "model",
    "embeddings": "model",
    "llm_call": "model",
    "tool_call": "tool",
    "agent_call": "agent",
    "user_prompt": "chain",
    "schedule_tool_calls": "step",
}
"""`gen_ai.operation.name`, which also begins the name of such a span -> the kind of the span.

The names with a dot are those of Microsoft's Agent Framework, the last five those of Gemini CLI.
"""

_VERCEL = {
    **{f"ai.{name}": "agent" for name in ("generateText", "streamText", "generateObject", "streamObject")},
    **{f"ai.{name}.doGenerate": "model" for name in ("generateText", "generateObject")},
    **{f"ai.{name}.doStream": "model" for name in ("streamText", "streamObject")},
    "ai.toolCall": "tool",
    "ai.embed": "chain",
    "ai.embedMany": "chain",
    "ai.embed.doEmbed": "model",
    "ai.embedMany.doEmbed": "model",
}
"""`ai.operationId` of the Vercel AI SDK -> the kind of the span. Its outer spans repeat the usage of the inner ones."""

_KINDS = {
    "AGENT": "agent",
    "WORKFLOW": "chain",
    "CHAIN": "chain",
    "SESSION": "chain",
    "TASK": "step",
    "OPERATION": "step",
    "RETRIEVER": "step",
    "RERANKER": "step",
    "TOOL": "tool",
    "LLM": "model",
    "EMBEDDING": "model",
    "GUARDRAIL": "validation",
    "EVALUATOR": "validation",
}
"""The value of one of `_KIND_KEYS`, in capitals -> the kind of the span."""

_KIND_KEYS = ("openinference.span.kind", "traceloop.span.kind", "agentops.span.kind")
_REQUEST_TYPES = ("llm.request.type", "gen_ai.request.type")
"""OpenLLMetry and AgentOps mark model calls with one of these attributes in place of a kind."""

_MODELS = (
    "gen_ai.request.model",
    "llm.request.model_name",
    "llm.model_name",
    "embedding.model_name",
    "ai.model.id",
)
_ENTITY_NAMES = ("traceloop.entity.name", "operation.name")
_NAMES = {
    "agent": ("gen_ai.agent.name", "agent.name", "ai.telemetry.functionId", *_ENTITY_NAMES),
    "chain": ("gen_ai.workflow.name", "workflow.name", *_ENTITY_NAMES),
    "step": ("executor.id", *_ENTITY_NAMES),
    "tool": ("gen_ai.tool.name", "tool.name", "ai.toolCall.name", *_ENTITY_NAMES),
    "validation": _ENTITY_NAMES,
}
_AGENTOPS_KINDS = (
    "entity", "agent", "chain", "guardrail", "operation", "session", "task", "tool", "workflow", "http"
)  # fmt: skip
_INPUTS = ("input.value", "traceloop.entity.input", *(f"agentops.{kind}.input" for kind in _AGENTOPS_KINDS))
_OUTPUTS = (
    "output.value",
    "traceloop.entity.output",
    *(f"agentops.{kind}.output" for kind in _AGENTOPS_KINDS),
)
_ARGUMENTS = ("gen_ai.tool.call.arguments", "ai.toolCall.args", *_INPUTS)
_RESULTS = ("gen_ai.tool.call.result", "ai.toolCall.result", *_OUTPUTS)
_SESSIONS = ("gen_ai.conversation.id", "session.id", "traceloop.association.properties.session_id")
_PROVIDERS = ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system")
_RESPONSE_MODELS = ("gen_ai.response.model", "llm.response.model_name", "ai.response.model")
_FINISH_REASONS = ("gen_ai.response.finish_reasons", "llm.finish_reason", "ai.response.finishReason")
_VERCEL_INPUT = ("ai.usage.inputTokens", "ai.usage.promptTokens")
_USAGE = {
    "input_tokens": (
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.prompt_tokens",
        "llm.token_count.prompt",
        *_VERCEL_INPUT,
    ),
    "output_tokens": (
        "gen_ai.usage.output_tokens",
        "gen_ai.usage.completion_tokens",
        "llm.token_count.completion",
        "ai.usage.outputTokens",
        "ai.usage.completionTokens",
    ),
    "cache_read_tokens": (
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_read_input_tokens",
        "llm.token_count.prompt_details.cache_read",
        "ai.usage.inputTokenDetails.cacheReadTokens",
        "ai.usage.cachedInputTokens",
    ),
    "cache_write_tokens": (
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens",
        "llm.token_count.prompt_details.cache_write",
        "ai.usage.inputTokenDetails.cacheWriteTokens",
    ),
    "reasoning_tokens": (
        "gen_ai.usage.reasoning.output_tokens",
        "gen_ai.usage.reasoning_tokens",
        "llm.token_count.completion_details.reasoning",
        "ai.usage.reasoningTokens",
    ),
}
FURTHER_COUNTS: Final = (
    "cache_write_1h_tokens",
    *(f"{side}_{medium}_tokens" for medium in ("audio", "image", "video") for side in ("input", "output")),
    *(f"cache_{medium}_read_tokens" for medium in ("audio", "image", "video")),
    *("web_searches", "file_searches"),
)
"""Counts of `usage` without a name in any convention; our own export has them below `namel3ss.usage.`."""

_USAGE |= {name: (f"namel3ss.usage.{name}",) for name in FURTHER_COUNTS}
PROVIDERS: Final = {
    "google": "gcp.gen_ai",
    "gemini": "gcp.gemini",
    "bedrock": "aws.bedrock",
    "mistral": "mistral_ai",
}
"""Our name of a provider -> that of the GenAI conventions, where it is another."""

_MOST_DOLLARS = 1e12
_PARAMS = "gen_ai.request."
_PARAMS_IN_ONE = "llm.invocation_parameters"
"""OpenInference has all parameters in one text; some instrumentations put the model there as well."""

_PROMPT, _COMPLETION = "gen_ai.prompt.", "gen_ai.completion."
_MESSAGE = "message."
_EMBEDDINGS = "embedding.embeddings."

_WRAPPED_RESULT = '{"type": "function_result"'
"""How the result of a tool begins that Microsoft's Agent Framework wrapped once more."""

NO_CALL = "(merged)"
"""Part of the names of spans that look like tool calls but are none: google-adk merges results in them."""


class Meaning(NamedTuple):
    """The kind of a span (`agent chain step tool model validation`), and the name of the agent, tool, model, ..."""

    kind: str
    name: str | None


def interpret(name: str, attributes: Attributes) -> Meaning | None:
    """Return the meaning of a span, or None if it has none in these conventions.

    Args:
        name: the name of the span.
        attributes: its attributes at its start.
    """
    if NO_CALL in name:
        return None
    first, _, rest = name.partition(" ")
    kind = _VERCEL.get(str(attributes.get("ai.operationId")))
    kind = kind or _OPERATIONS.get(str(attributes.get("gen_ai.operation.name")))
    for key in _KIND_KEYS:
        kind = kind or _KINDS.get(str(attributes.get(key)).upper())
    if kind is None and any(key in attributes for key in _REQUEST_TYPES):
        kind = "model"
    rest = rest.strip("[]") if first in _OPERATIONS else name
    kind = kind or _OPERATIONS.get(first)
    if kind is None:
        return None
    known_name = (
        _find_model(attributes) if kind == "model" else _first_present(attributes, _NAMES.get(kind, ()))
    )
    return Meaning(kind, str(known_name) if known_name is not None else rest or None)


# --- what a span was called with


def read_arguments(attributes: Attributes) -> dict[str, Any] | None:
    """Return the arguments of a tool, if its span has them."""
    value = _parse_json(_first_present(attributes, _ARGUMENTS))
    return value if isinstance(value, dict) else None if value is None else {"input": value}


def read_inputs(attributes: Attributes) -> dict[str, Any]:
    """Return the `inputs` of an agent, a chain, a step or a validation, as far as its span has them."""
    value = _parse_json(_first_present(attributes, _INPUTS))
    return value if isinstance(value, dict) else {} if value is None else {"input": value}


def read_request(attributes: Attributes) -> dict[str, Any]:
    """Return the `inputs` of a model call: `model`, `messages`, `tools` and `params`, as far as its span has them."""
    params = {
        key.removeprefix(_PARAMS): value
        for key, value in attributes.items()
        if key.startswith(_PARAMS) and key != _MODELS[0]
    }
    in_one = lenient.mapping(_parse_json(attributes.get(_PARAMS_IN_ONE)))
    params |= {name: value for name, value in in_one.items() if name not in ("model", "messages", "tools")}
    request = {
        "model": lenient.string(_find_model(attributes)),
        "messages": _read_prompt(attributes),
        "tools": _read_tools(attributes),
        "params": params,
    }
    return lenient.drop_empty(request)


def _find_model(attributes: Attributes) -> Any:
    """Return the model that was requested; OpenInference names that of a call that failed only among its parameters."""
    found = _first_present(attributes, _MODELS)
    return (
        lenient.mapping(_parse_json(attributes.get(_PARAMS_IN_ONE))).get("model") if found is None else found
    )


def read_provider(attributes: Attributes) -> str | None:
    """Return the provider of a model, by the name that the instrumentation has for it."""
    return lenient.string(_first_present(attributes, _PROVIDERS))


def read_session_id(attributes: Attributes) -> str | None:
    """Return the id of the conversation that a span belongs to."""
    value = _first_present(attributes, _SESSIONS)
    return None if value is None else str(value)


# --- what came back


def read_result(attributes: Attributes) -> Any:
    """Return the result of an agent, a chain or a tool, if its span has it."""
    return _parse_json(_first_present(attributes, _RESULTS))


def read_answer(attributes: Attributes) -> dict[str, Any]:
    """Return the `outputs` of a model call, as far as its span has them."""
    if attributes.get("openinference.span.kind") == "EMBEDDING":
        return _read_vectors(attributes)
    messages = (
        _read_messages(attributes.get("gen_ai.output.messages"))
        or [_join_open_inference(item) for item in _read_list(attributes, "llm.output_messages.")]
        or [_join_open_llmetry(item) for item in _read_list(attributes, _COMPLETION)]
        or _read_vercel_answer(attributes)
    )
    reasons = _first_present(attributes, _FINISH_REASONS)
    # A list in the SDK of Python is a tuple in a span. Only the first choice counts, as in an answer on the wire.
    reason = reasons[0] if isinstance(reasons, (list, tuple)) and reasons else reasons
    details = {
        "finish_reason": lenient.string(reason)
        or next((found for each in messages if (found := lenient.string(each.get("finish_reason")))), None),
        "response_model": lenient.string(_first_present(attributes, _RESPONSE_MODELS)),
    }
    if not messages:
        text = _first_present(attributes, ("output.value", "gen_ai.completion"))
        return lenient.drop_none({"text": None if text is None else str(text), **details})
    content = [part for message in messages for part in lenient.mappings(message.get("parts"))]
    calls = [
        parts.make_call(part.get("id"), part.get("name"), part.get("arguments"))
        for part in content
        if part.get("type") == "tool_call"
    ]
    text, reasoning = (
        "".join(str(part.get("content", "")) for part in content if part.get("type") == kind)
        for kind in ("text", "reasoning")
    )
    return {"text": text or None, "tool_calls": calls} | lenient.drop_none({
        "reasoning": reasoning or None, **details
    })  # fmt: skip


def _read_vectors(attributes: Attributes) -> dict[str, Any]:
    """Return the `outputs` of a request for embeddings."""
    items = _read_list(attributes, _EMBEDDINGS)
    vectors = [
        list(each) for item in items if isinstance(each := item.get("embedding.vector"), (list, tuple))
    ]
    return {"vectors": len(vectors), "dimensions": len(vectors[0]), "embeddings": vectors} if vectors else {}


def read_usage(attributes: Attributes) -> dict[str, int]:
    """Return the token counts of a model call, under the names of the event format."""
    counts = {ours: _parse_count(_first_present(attributes, theirs)) for ours, theirs in _USAGE.items()}
    return {name: count for name, count in counts.items() if count is not None}


def read_cost(attributes: Attributes) -> float | None:
    """Return the cost of a model call in US dollars. Only OpenInference has a released attribute for it."""
    cost = attributes.get("llm.cost.total")
    return float(cost) if lenient.is_number(cost) and 0 <= cost < _MOST_DOLLARS else None


# --- messages and tools in three forms


def _read_prompt(attributes: Attributes) -> list[parts.Part]:
    """Return the messages that a model was sent, system instructions first."""
    messages = (
        _read_messages(attributes.get("gen_ai.input.messages"))
        or [_join_open_inference(item) for item in _read_list(attributes, "llm.input_messages.")]
        or [_join_open_llmetry(item) for item in _read_list(attributes, _PROMPT)]
        or _read_vercel_prompt(attributes)
        or [
            parts.make_message("user", [parts.make_text(text)])
            for item in _read_list(attributes, _EMBEDDINGS)
            if isinstance(text := item.get("embedding.text"), str)
        ]
    )
    instructions = _parse_json(attributes.get("gen_ai.system_instructions"))
    system = (
        [parts.make_text(instructions)] if isinstance(instructions, str) else lenient.mappings(instructions)
    )
    return [parts.make_message("system", system), *messages] if system else messages


def _read_messages(value: Any) -> list[parts.Part]:
    """Return messages in the form of OpenTelemetry GenAI: a JSON text, or a list on an event."""
    messages = _parse_json(value)
    if isinstance(messages, dict):  # the answer of Gemini CLI
        messages = [{"role": "model", **messages}]
    return [
        {
            **message,
            "role": "assistant" if message.get("role") == "model" else message.get("role"),
            "parts": _decode_parts(lenient.mappings(message.get("parts"))),
        }
        for message in lenient.mappings(messages)
    ]


def _decode_parts(content: list[parts.Part]) -> list[parts.Part]:
    if content and not any("type" in part for part in content):  # of Gemini CLI, in the form of its API
        decoded = gemini.decode_request({"contents": [{"role": "user", "parts": content}]})["messages"]
        return [part for message in decoded for part in message["parts"]]
    return list(map(decode_part, content))


def decode_part(part: parts.Part) -> parts.Part:
    """Return a part of a message of OpenTelemetry GenAI as our format has it."""
    kind = part.get("type")
    if kind == "tool_call" and isinstance(part.get("arguments"), str):  # Microsoft's Agent Framework
        return {**part, "arguments": lenient.load_arguments(part["arguments"])}
    if kind != "tool_call_response":
        return part
    # The prose of the convention has `result`, its schema `response`; instrumentations follow either.
    part = {"response" if name == "result" else name: value for name, value in part.items()}
    response = part.get("response")
    if isinstance(response, str) and response.startswith(_WRAPPED_RESULT):
        wrapper = lenient.mapping(lenient.load(response))
        part["response"] = wrapper.get("result", response)
    return part


def _join_open_inference(flat: dict[str, Any]) -> parts.Part:
    """Return a message whose fields OpenInference spreads over attributes `message.*`."""
    fields = {key.removeprefix(_MESSAGE): value for key, value in flat.items()}
    content = [
        parts.make_text(item["message_content.text"])
        if isinstance(item.get("message_content.text"), str)
        else parts.make_media(item.get("message_content.image.image.url"), "image")
        for item in _read_list(fields, "contents.")
        if item.get("message_content.type")
        != "tool_use"  # of Anthropic; its call is among `tool_calls` as well
    ]
    calls = [
        parts.make_call(
            call.get("tool_call.id"),
            call.get("tool_call.function.name"),
            lenient.load_arguments(call.get("tool_call.function.arguments")),
        )
        for call in _read_list(fields, "tool_calls.")
    ]
    return _make_message(fields, content, calls)


def _join_open_llmetry(fields: dict[str, Any]) -> parts.Part:
    """Return a message whose fields OpenLLMetry spreads over attributes `gen_ai.prompt.N.*`."""
    calls = [
        parts.make_call(call.get("id"), call.get("name"), lenient.load_arguments(call.get("arguments")))
        for call in _read_list(fields, "tool_calls.")
    ]
    message = _make_message(fields, [], calls)
    reason = lenient.string(fields.get("finish_reason"))
    return message if reason is None else {**message, "finish_reason": reason}


def _read_vercel_prompt(attributes: Attributes) -> list[parts.Part]:
    """Return the messages of the Vercel AI SDK, whose parts have names of their own."""
    messages = []
    for message in lenient.mappings(_parse_json(attributes.get("ai.prompt.messages"))):
        content = parts.decode_content(message.get("content"), _decode_vercel_part)
        messages.append(parts.make_message(message.get("role"), content))
    return messages


def _decode_vercel_part(part: parts.Part) -> parts.Part:
    kind, call_id = part.get("type"), lenient.string(part.get("toolCallId"))
    if kind == "text" and isinstance(part.get("text"), str):
        return parts.make_text(part["text"])
    if kind == "reasoning":
        return parts.make("reasoning", content=lenient.string(part.get("text")))
    if kind == "tool-call":
        arguments = part.get("input", part.get("args"))
        return parts.make_call_part(parts.make_call(call_id, part.get("toolName"), _parse_json(arguments)))
    if kind == "tool-result":
        output = part.get("output", part.get("result"))
        value = output.get("value", output) if isinstance(output, dict) else output
        return parts.make("tool_call_response", id=call_id, response=value)
    return parts.make_unknown(part)


def _read_vercel_answer(attributes: Attributes) -> list[parts.Part]:
    """Return the answer of a model as the Vercel AI SDK has it, as one message."""
    text = lenient.string(_first_present(attributes, ("ai.response.text", "ai.response.object")))
    calls = lenient.mappings(_parse_json(attributes.get("ai.response.toolCalls")))
    reasoning = lenient.string(attributes.get("ai.response.reasoning"))
    content = [parts.make("reasoning", content=reasoning)] if reasoning else []
    content += [parts.make_text(text)] if text else []
    content += [_decode_vercel_part({**call, "type": "tool-call"}) for call in calls]
    return [parts.make_message("assistant", content)] if content else []


def _make_message(fields: dict[str, Any], content: list[parts.Part], calls: list[parts.Part]) -> parts.Part:
    text = lenient.string(fields.get("content"))
    if fields.get("role") == "tool":
        call_id = lenient.string(fields.get("tool_call_id"))
        return parts.make_message("tool", [parts.make("tool_call_response", id=call_id, response=text)])
    if text:
        content = [parts.make_text(text), *content]
    return parts.make_message(
        fields.get("role") or "assistant", [*content, *map(parts.make_call_part, calls)]
    )


def _read_tools(attributes: Attributes) -> list[dict[str, Any]]:
    """Return the tools that a model was offered."""
    offered: Any = lenient.mappings(_parse_json(attributes.get("gen_ai.tool.definitions")))
    if not offered:
        offered = lenient.mappings(
            [_parse_json(text) for text in lenient.sequence(attributes.get("ai.prompt.tools"))]
        )
        offered = [{"parameters": tool.get("inputSchema"), **tool} for tool in offered]
    if not offered:
        schemas = (item.get("tool.json_schema") for item in _read_list(attributes, "llm.tools."))
        offered = lenient.mappings([_parse_json(schema) for schema in schemas])
    if not offered:
        offered = [
            {**item, "parameters": _parse_json(item.get("parameters"))}
            for item in _read_list(attributes, "llm.request.functions.")
        ]
    return decode_tools({"tools": offered})


def _read_list(attributes: Attributes, prefix: str) -> list[dict[str, Any]]:
    """Return the items of a flattened list: `PREFIX0.role` is the field `role` of the first item."""
    items: dict[int, dict[str, Any]] = {}
    for key, value in attributes.items():
        if key.startswith(prefix):
            index, _, field = key.removeprefix(prefix).partition(".")
            if index.isdecimal() and field:
                items.setdefault(int(index), {})[field] = value
    return [items[index] for index in sorted(items)]


def _parse_count(value: Any) -> int | None:
    """Return a count, also one that is text, as exporters write numbers of 64 bits."""
    if isinstance(value, str) and len(value) < 20 and value.isdecimal():
        value = int(value)
    return lenient.count(value)


def _first_present(attributes: Attributes, names: tuple[str, ...]) -> Any:
    return next((value for name in names if (value := attributes.get(name)) is not None), None)


def _parse_json(text: Any) -> Any:
    """Return the value of a JSON text, or the text itself if it is not JSON."""
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
