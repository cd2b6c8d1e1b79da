"""Read messages and answers of models that are kept in the form of whatever SDK the program used.

Exports of tracing services have the inputs and outputs that their instrumentations found: bodies of a provider, messages of
LangChain, of the Vercel AI SDK or of OpenTelemetry, or plain text. What has none of these forms is shown as text.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any, Final

import orjson

from namel3ss_debug.importers.conversation import make_answer
from namel3ss_debug.wire import (
    anthropic_messages,
    conventions,
    gemini,
    lenient,
    openai_chat,
    openai_responses,
    parts,
)
from namel3ss_debug.wire.contract import Answer
from namel3ss_debug.wire.tools import decode_tools

_LANGCHAIN_ROLES: Final = {
    "human": "user", "HumanMessage": "user", "HumanMessageChunk": "user",
    "ai": "assistant", "AIMessage": "assistant", "AIMessageChunk": "assistant",
    "system": "system", "SystemMessage": "system", "tool": "tool", "ToolMessage": "tool",
}  # fmt: skip
_ANTHROPIC_BLOCKS: Final = frozenset({"tool_use", "tool_result", "thinking", "redacted_thinking"})
_RESPONSES_BLOCKS: Final = frozenset({"output_text", "refusal"})
_VERCEL_BLOCKS: Final = frozenset({"tool-call", "tool-result"})
_LONGEST_LITERAL: Final = 1 << 20
_DEEPEST: Final = 4


def load(value: Any) -> Any:
    """Return the value of a text of JSON, or of a literal of Python, as some instrumentations have it; else the value."""
    if not isinstance(value, str) or value[:1] not in ("{", "[", '"'):
        return value
    try:
        return orjson.loads(value)
    except ValueError:
        pass
    if len(value) > _LONGEST_LITERAL:
        return value
    try:
        return ast.literal_eval(value)  # evaluates constants only
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return value


def read_request(value: Any) -> dict[str, Any]:
    """Return the `inputs` of a model call: `messages`, and the `tools` and `params` where the value is a whole request."""
    value = load(value)
    if value is None:
        return {}
    if isinstance(value, dict):
        if "contents" in value and "messages" not in value:
            request = gemini.decode_request({**value, **lenient.mapping(value.get("config"))})
            return lenient.drop_empty({name: request[name] for name in ("messages", "tools")})
        inner = next(
            (value[name] for name in ("messages", "input", "prompts", "prompt") if name in value), None
        )
        if inner is not None:
            offered = value.get("tools")
            tools = decode_tools({"tools": lenient.mappings(offered)})
            return lenient.drop_empty({"messages": read_messages(inner), "tools": tools})
    return lenient.drop_empty({"messages": read_messages(value)})


def read_messages(value: Any, depth: int = 0) -> list[parts.Part]:
    """Return messages in the form of OpenTelemetry GenAI."""
    value = load(value)
    if isinstance(value, list):
        if (
            len(value) == 1 and isinstance(value[0], list) and depth < _DEEPEST
        ):  # LangChain: a list for each prompt
            return read_messages(value[0], depth + 1)
        return [read_message(item) for item in value if item is not None]
    return [] if value is None else [read_message(value)]


def read_message(value: Any) -> parts.Part:
    """Return a message."""
    if isinstance(value, (list, tuple)) and len(value) == 2 and all(isinstance(item, str) for item in value):
        return _plain(value[1], str(value[0]))
    if not isinstance(value, dict):
        return _plain(value, "user")
    if isinstance(value.get("kwargs"), dict) and isinstance(value.get("id"), list):  # LangChain, serialised
        name = str(value["id"][-1]) if value["id"] else ""
        value = {"type": name, **value["kwargs"], "role": _LANGCHAIN_ROLES.get(name, name)}
    if isinstance(value.get("data"), dict) and value.get("type") in _LANGCHAIN_ROLES:
        value = {"type": value["type"], **value["data"]}
    kind, role = value.get("type"), value.get("role")
    if role is None and isinstance(kind, str) and kind in _LANGCHAIN_ROLES:
        role = _LANGCHAIN_ROLES[kind]
    if role is None and isinstance(kind, str) and kind.endswith(("_call", "_output", "reasoning", "message")):
        return _only(openai_responses.decode_request({"input": [value]}))
    if "parts" in value:
        return _read_parts(value, role)
    if _is_item(value):
        return _only(openai_responses.decode_request({"input": [value]}))
    if role is None and "content" not in value:
        return _plain(value, "user")
    role = _LANGCHAIN_ROLES.get(str(role), str(role or "user"))
    return _read_content(value, role)


def read_answer(value: Any) -> Answer:
    """Return the answer of a model."""
    value = load(value)
    if value is None:
        return Answer()
    if isinstance(value, list):
        value = [load(item) for item in value]
        if value and all(isinstance(item, dict) and "toolName" in item for item in value):
            return make_answer(
                _vercel_message("assistant", [{**item, "type": "tool-call"} for item in value])
            )
        if len(value) == 1 and isinstance(value[0], dict):
            return read_answer(value[0])
        if any(map(_is_item, lenient.mappings(value))):
            return openai_responses.decode_response({"output": value})
        value = {"role": "assistant", "content": value}
    if not isinstance(value, dict):
        return Answer(text=str(value))
    if _is_item(value):
        return openai_responses.decode_response({"output": [value]})
    if isinstance(value.get("choices"), list):
        return openai_chat.decode_response(value)
    if isinstance(value.get("output"), list) and value.get("object") == "response":
        return openai_responses.decode_response(value)
    if isinstance(value.get("candidates"), list):
        return gemini.decode_response(value)
    generations = value.get("generations")
    if isinstance(generations, list):
        first = generations[0] if generations else None
        first = first[0] if isinstance(first, list) and first else first
        first = lenient.mapping(first)
        return read_answer(first.get("message", first.get("text")))
    if "role" in value or "parts" in value or "content" in value or "kwargs" in value:
        inner = value["content"] if "role" not in value and isinstance(value.get("content"), dict) else value
        message = read_message({"role": "assistant", **inner} if "kwargs" not in inner else inner)
        reason = value.get("finish_reason", value.get("stop_reason"))
        return make_answer(
            message, finish_reason=lenient.string(reason) or lenient.string(message.get("finish_reason"))
        )
    for name in ("output", "message", "text", "completion"):
        if name in value and len(value) == 1:
            return read_answer(value[name])
    return Answer(text=_dump(value))


def _is_item(value: Mapping[str, Any]) -> bool:
    """Return whether a value is an item of the Responses API, as the SDK of Langfuse keeps them."""
    blocks = {block.get("type") for block in lenient.mappings(value.get("content"))}
    return value.get("type") in ("function_call", "reasoning") or bool(blocks & _RESPONSES_BLOCKS)


def read_object(value: Any, name: str = "input") -> dict[str, Any]:
    """Return inputs or outputs of any other span as an object: messages under `messages`, anything else under `name`."""
    value = load(value)
    if isinstance(value, list) and value and all(isinstance(each, dict) and "role" in each for each in value):
        return {"messages": read_messages(value)}
    return value if isinstance(value, dict) else {} if value is None else {name: value}


def read_arguments(value: Any) -> Any:
    """Return the arguments of a tool, an object where they are one."""
    value = load(value)
    if isinstance(value, dict) and value.keys() == {"args", "kwargs"} and not value["args"]:
        return value["kwargs"]  # the decorator `observe` of Langfuse
    return value if isinstance(value, dict) else {} if value is None else {"input": value}


def _plain(value: Any, role: str) -> parts.Part:
    return parts.make_message(_LANGCHAIN_ROLES.get(role, role), [parts.make_text(_dump(value))])


def _dump(value: Any) -> str:
    return value if isinstance(value, str) else lenient.dump(value).decode()


def _read_parts(message: Mapping[str, Any], role: object) -> parts.Part:
    """Return a message of OpenTelemetry, whose parts have types, or of Gemini, whose parts have none."""
    content = lenient.mappings(load(message.get("parts")))
    if all(isinstance(part.get("type"), str) for part in content):
        rest = {name: value for name, value in message.items() if name not in ("role", "parts")}
        return parts.make_message(role or "user", list(map(conventions.decode_part, content)), rest)
    decoded = gemini.decode_request({"contents": [{"role": "user", "parts": content}]})["messages"]
    found = decoded[0]["parts"] if decoded else []
    return parts.make_message("assistant" if role == "model" else role or "user", found)


def _read_content(message: Mapping[str, Any], role: str) -> parts.Part:
    content = load(message.get("content"))
    blocks = {block.get("type") for block in lenient.mappings(content)}
    is_result = role == "tool" or blocks <= {None}
    if is_result and not blocks & {"text", *_VERCEL_BLOCKS, *_ANTHROPIC_BLOCKS}:
        content = message.get("content")  # a tool's result in JSON, in what the SDK of Langfuse sends
    if blocks & _VERCEL_BLOCKS:
        return _vercel_message(role, content)
    calls = _read_calls(message)
    if blocks & _ANTHROPIC_BLOCKS and not calls:
        return _only(anthropic_messages.decode_request({"messages": [{"role": role, "content": content}]}))
    if not isinstance(content, (str, list)) and content is not None:
        content = _dump(content)
    plain = {"role": role, "content": content}
    if role == "tool":
        plain["tool_call_id"] = message.get("tool_call_id")
    if message.get("name"):
        plain["name"] = message["name"]
    decoded = openai_chat.decode_request({"messages": [plain]})["messages"][0]
    known = (
        [part for part in decoded["parts"] if part.get("type") != "tool_use"] if calls else decoded["parts"]
    )
    return {**decoded, "parts": [*known, *map(parts.make_call_part, calls)]}


def _read_calls(message: Mapping[str, Any]) -> list[parts.Part]:
    calls = message.get("tool_calls") or lenient.mapping(message.get("additional_kwargs")).get("tool_calls")
    found = []
    for call in lenient.mappings(load(calls)):
        function = lenient.mapping(call.get("function")) or call
        name = function.get("name") if isinstance(function.get("name"), str) else call.get("function")
        arguments = function.get("arguments", function.get("args", function.get("input")))
        found.append(parts.make_call(call.get("id"), name, lenient.load_arguments(arguments)))
    return found


def _vercel_message(role: str, content: Any) -> parts.Part:
    return _only(conventions.read_request({"ai.prompt.messages": [{"role": role, "content": content}]}))


def _only(request: dict[str, Any]) -> parts.Part:
    """Return the message of a request that was made of one."""
    message: parts.Part = request["messages"][0]
    return message
