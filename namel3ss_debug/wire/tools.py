"""Read the tools that a request offers the model, and the tool results that it returns to the model."""

from __future__ import annotations

from typing import Any

from namel3ss_debug.wire import lenient
from namel3ss_debug.wire.parts import Part, make_call

_TOOL_KEYS = {"type", "name", "description", "parameters", "input_schema", "format", "function", "custom"}


def decode_tools(body: object) -> list[dict[str, Any]]:
    """Return the tools of a request as `{name, description, parameters, type}`, without null fields.

    This reads the forms of several providers: OpenAI chat nests a tool under `function` or `custom`, OpenAI responses
    and Anthropic do not, Anthropic calls the schema `input_schema`, old chat requests have `functions`. A tool in a
    `namespace` has its name in a field `namespace`. Other fields of a tool, such as `strict` or `server_label`, are
    kept.
    """
    request = lenient.mapping(body)
    old = [{"type": "function", **function} for function in lenient.mappings(request.get("functions"))]
    return [
        _decode_tool(tool)
        for group in lenient.mappings(request.get("tools")) + old
        for tool in _expand_namespace(group)
    ]


def _expand_namespace(tool: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the tools that a namespace groups; for any other tool, the tool itself."""
    grouped = lenient.mappings(tool.get("tools")) if tool.get("type") == "namespace" else []
    return [{**inner, "namespace": tool.get("name")} for inner in grouped] or [tool]


def _decode_tool(tool: dict[str, Any]) -> dict[str, Any]:
    nested = lenient.mapping(tool.get("function")) or lenient.mapping(tool.get("custom"))
    inner = nested or tool
    known = {
        "name": lenient.string(inner.get("name")),
        "description": lenient.string(inner.get("description")),
        "parameters": inner.get("parameters") or inner.get("input_schema") or inner.get("format"),
        "type": lenient.string(tool.get("type")) or "function",
    }
    rest = {name: value for name, value in {**tool, **nested}.items() if name not in _TOOL_KEYS}
    return lenient.drop_none(known) | lenient.drop_empty(rest)


def decode_function_calls(message: dict[str, Any]) -> list[Part]:
    """Return the `tool_calls` of a message that are calls of functions, in the form of an `Answer`."""
    calls = []
    for block in lenient.mappings(message.get("tool_calls")):
        function = lenient.mapping(block.get("function"))
        arguments = lenient.load_arguments(function.get("arguments"))
        calls.append(make_call(block.get("id"), function.get("name"), arguments))
    return calls


def encode_function_calls(calls: list[Part], response_id: str) -> list[Part]:
    """Return calls in the form that `decode_function_calls` reads.

    A call without an id gets one made of the response's id and the call's index.
    """
    return [
        {
            "id": call.get("id") or f"call_{response_id}_{index}",
            "type": "function",
            "function": {
                "name": call.get("name") or "",
                "arguments": lenient.dump_arguments(call.get("arguments")),
            },
        }
        for index, call in enumerate(calls)
    ]


def find_tool(name: object, request: Part) -> Part:
    """Return the tool of this name that a request offers; {} if it offers none."""
    return next((tool for tool in decode_tools(request) if tool.get("name") == name), {})


def find_custom_input(call: Part, request: Part) -> str | None:
    """Return the input of a call to a tool that takes a text (`custom`) in this request; None for other tools."""
    if find_tool(call.get("name"), request).get("type") != "custom":
        return None
    arguments = call.get("arguments")
    return arguments if isinstance(arguments, str) else lenient.dump_arguments(arguments)


def list_tool_names(body: object) -> tuple[str, ...]:
    """Return the names of the tools that a request offers, in its order, without tools that have no name."""
    return tuple(tool["name"] for tool in decode_tools(body) if tool.get("name"))


def find_tool_results(messages: list[Part]) -> list[tuple[str, str | None, Any]]:
    """Return the results of tools in a decoded request, as `(call id, tool name, response)`.

    The tool name is that of the call with the same id in an earlier message, or None. A result without a call id has
    the id "".
    """
    names: dict[str, str] = {}
    results: list[tuple[str, str | None, Any]] = []
    for message in lenient.mappings(messages):
        for part in lenient.mappings(message.get("parts")):
            call_id = lenient.string(part.get("id")) or ""
            if part.get("type") == "tool_call":
                names[call_id] = lenient.string(part.get("name")) or ""
            elif part.get("type") == "tool_call_response":
                name = lenient.string(part.get("name")) or names.get(call_id) or None
                results.append((call_id, name, part.get("response")))
    return results
