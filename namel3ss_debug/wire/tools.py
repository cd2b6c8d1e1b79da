"""Tools in requests: those that a request offers the model, and the results that it returns to it."""

from __future__ import annotations

from typing import Any

from namel3ss_debug.wire import lenient
from namel3ss_debug.wire.parts import Part, call

_READ = {"type", "name", "description", "parameters", "input_schema", "format", "function", "custom"}


def decode_tools(body: object) -> list[dict[str, Any]]:
    """The tools of a request as `{name, description, parameters, type}`, null fields left out.

    Every provider's form is read: OpenAI chat nests a tool under `function` or `custom`, OpenAI responses
    and Anthropic do not, Anthropic calls the schema `input_schema`, old chat requests have `functions`. Tools of
    a `namespace` are tools with its name. Other fields of a tool, such as `strict` or `server_label`, stay beside
    these.
    """
    request = lenient.mapping(body)
    old = [{"type": "function", **function} for function in lenient.mappings(request.get("functions"))]
    return [
        _decode_tool(tool)
        for group in lenient.mappings(request.get("tools")) + old
        for tool in _tools_of(group)
    ]


def _tools_of(tool: dict[str, Any]) -> list[dict[str, Any]]:
    """The tools that a namespace groups; else the tool itself."""
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
    rest = {name: value for name, value in {**tool, **nested}.items() if name not in _READ}
    return lenient.known(known) | lenient.present(rest)


def function_calls(message: dict[str, Any]) -> list[Part]:
    """The tool calls of a message that has them as `tool_calls` of functions, in the form an `Answer` has."""
    calls = []
    for entry in lenient.mappings(message.get("tool_calls")):
        function = lenient.mapping(entry.get("function"))
        arguments = lenient.load_arguments(function.get("arguments"))
        calls.append(call(entry.get("id"), function.get("name"), arguments))
    return calls


def encode_function_calls(calls: list[Part], response_id: str) -> list[Part]:
    """The form that `function_calls` reads; a call without an id gets one made of the response's id and its place."""
    return [
        {
            "id": made.get("id") or f"call_{response_id}_{place}",
            "type": "function",
            "function": {
                "name": made.get("name") or "",
                "arguments": lenient.dump_arguments(made.get("arguments")),
            },
        }
        for place, made in enumerate(calls)
    ]


def offered_tool(name: object, request: Part) -> Part:
    """The tool of this name that a request offers; {} where it offers none."""
    return next((tool for tool in decode_tools(request) if tool.get("name") == name), {})


def custom_input(made: Part, request: Part) -> str | None:
    """The input of a call, where the request offers the tool as one that takes a text (`custom`), else None."""
    if offered_tool(made.get("name"), request).get("type") != "custom":
        return None
    arguments = made.get("arguments")
    return arguments if isinstance(arguments, str) else lenient.dump_arguments(arguments)


def offered_tools(body: object) -> tuple[str, ...]:
    """The names of the tools that a request offers, in its order; a tool without a name is left out."""
    return tuple(tool["name"] for tool in decode_tools(body) if tool.get("name"))


def tool_results(messages: list[Part]) -> list[tuple[str, str | None, Any]]:
    """The results of tools in a decoded request, as `(call id, tool name, response)`.

    The name is that of the call with the same id in an earlier message, None where there is none.
    A result without a call id has the id "".
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
