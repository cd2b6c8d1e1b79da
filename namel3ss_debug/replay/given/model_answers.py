"""What a model can answer, as the user writes it: a text, or an object with a text, tool calls or both."""

from __future__ import annotations

from typing import Any

from namel3ss_debug.errors import MockError
from namel3ss_debug.expressions import nearest
from namel3ss_debug.replay.given.calls import in_line
from namel3ss_debug.replay.given.members import MODEL_MEMBERS, MODEL_TEXTS
from namel3ss_debug.wire import Answer, lenient

SHAPE = (
    """a text, or an object such as {"text": "...", "tool_calls": [{"name": "search", "arguments": {}}]}"""
)

_CALL = ["name", "arguments", "id"]
_KINDS = {
    dict: "an object",
    list: "a list",
    str: "a text",
    bool: "true or false",
    int: "a number",
    float: "a number",
}


def model_answer(name: str, given: Any, number: int) -> Answer:
    """A model's answer in the form that every provider's format can encode.

    `finish_reason` stays None where it is not given: each provider has its own words for it.

    Args:
        name: whose answer it is, for the message.
        given: the answer as the user wrote it.
        number: the number of the call's first event; tool calls without an id get one made of it.

    Raises:
        MockError: it does not have the shape of a model's answer; the message says which that is.
    """
    if isinstance(given, str):
        return Answer(text=given)
    if not isinstance(given, dict):
        raise _misshapen(name, f"this is {_kind(given)}")
    if not given:
        raise _misshapen(name, "this is an empty object")
    for key, value in given.items():
        if key != "tool_calls" and key not in MODEL_TEXTS:
            raise _misshapen(name, f"it has no {key[:40]!r}{nearest(key, list(MODEL_MEMBERS))}")
        if key in MODEL_TEXTS and not isinstance(value, str | None):
            raise _misshapen(name, f"{key!r} is {_kind(value)} here, not a text")
    calls = given.get("tool_calls") or []
    if not isinstance(calls, list):
        raise _misshapen(name, f"'tool_calls' is {_kind(calls)} here, not a list")
    texts = {key: value for key, value in given.items() if key in MODEL_TEXTS}
    return Answer(
        **texts, tool_calls=[_tool_call(name, call, f"call_{number}_{n}") for n, call in enumerate(calls, 1)]
    )


def _tool_call(name: str, call: Any, new_id: str) -> dict[str, Any]:
    """A tool call as an answer has it: `{id, name, arguments}`."""
    if not isinstance(call, dict) or not isinstance(call.get("name"), str) or not call["name"]:
        raise _misshapen(name, "each of 'tool_calls' is an object with a 'name'")
    for key in call:
        if key not in _CALL:
            raise _misshapen(name, f"a tool call has no {key[:40]!r}{nearest(key, _CALL)}")
    given = call.get("id")
    return {
        "id": given if isinstance(given, str) and given else new_id,
        "name": call["name"],
        "arguments": lenient.load_arguments(call.get("arguments")),
    }


def _misshapen(name: str, what: str) -> MockError:
    return MockError(f"{in_line(name)}: a model's answer is {SHAPE}; {what}")


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), "null" if value is None else "something else")
