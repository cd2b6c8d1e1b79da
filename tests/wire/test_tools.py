"""Tools offered in requests of every form, and results that come back."""

from __future__ import annotations

from namel3ss_debug import wire
from namel3ss_debug.wire.tools import decode_function_calls, encode_function_calls


def test_every_form_of_a_tool_is_read():
    """Nested and flat functions, custom tools, Anthropic's schema, built-in tools and old functions are read."""
    schema = {"type": "object"}
    body = {
        "tools": [
            {
                "type": "function",
                "function": {"name": "a", "description": "d", "parameters": schema, "strict": True},
            },
            {"type": "function", "name": "b", "parameters": schema, "strict": False},
            {"type": "custom", "custom": {"name": "c", "format": {"type": "text"}}},
            {"name": "d", "input_schema": schema, "cache_control": {"type": "ephemeral"}},
            {"type": "web_search_20250305", "name": "web_search", "max_uses": 3},
            {"type": "mcp", "server_label": "files"},
            "nonsense",
        ],
        "functions": [{"name": "e"}],
    }
    assert wire.decode_tools(body) == [
        {"name": "a", "description": "d", "parameters": schema, "type": "function", "strict": True},
        {"name": "b", "parameters": schema, "type": "function", "strict": False},
        {"name": "c", "parameters": {"type": "text"}, "type": "custom"},
        {"name": "d", "parameters": schema, "type": "function", "cache_control": {"type": "ephemeral"}},
        {"name": "web_search", "type": "web_search_20250305", "max_uses": 3},
        {"type": "mcp", "server_label": "files"},
        {"name": "e", "type": "function"},
    ]
    assert wire.list_tool_names(body) == ("a", "b", "c", "d", "web_search", "e")


def test_tools_in_a_namespace_are_offered():
    """Each by its own name, with that of its namespace beside it; a namespace without tools stands for itself."""
    inner = [{"type": "function", "name": "orders", "defer_loading": True}, {"type": "custom", "name": "sql"}]
    groups = [{"type": "namespace", "name": "crm", "tools": inner}, {"type": "namespace", "name": "empty"}]
    assert wire.decode_tools({"tools": groups}) == [
        {"name": "orders", "type": "function", "defer_loading": True, "namespace": "crm"},
        {"name": "sql", "type": "custom", "namespace": "crm"},
        {"name": "empty", "type": "namespace"},
    ]


def test_a_result_without_its_call_has_no_name():
    """A result tells its own name, else that of its call, else none."""
    messages = [
        {"role": "assistant", "parts": [{"type": "tool_call", "id": "1", "name": "f", "arguments": {}}]},
        {
            "role": "tool",
            "parts": [
                {"type": "tool_call_response", "id": "1", "response": "x"},
                {"type": "tool_call_response", "id": "2", "response": None},
                {"type": "tool_call_response", "name": "g", "response": [1]},
            ],
        },
    ]
    assert wire.find_tool_results(messages) == [("1", "f", "x"), ("2", None, None), ("", "g", [1])]


def test_written_calls_of_functions_are_read_back():
    """A call without an id gets one, and no arguments are none."""
    calls = [{"id": "c1", "name": "f", "arguments": {"a": 1}}, {"name": "g"}]
    written = encode_function_calls(calls, "r")
    assert decode_function_calls({"tool_calls": written}) == [
        calls[0],
        {"id": "call_r_1", "name": "g", "arguments": {}},
    ]
