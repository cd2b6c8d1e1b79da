"""Show what filled the context of a model call: its largest messages, and how it grew since the first call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from namel3ss_debug.analysis.failures.steps import SpanStep, message_text
from namel3ss_debug.errors import short
from namel3ss_debug.wire import lenient

MOST_MESSAGES: Final = 3
_LONGEST = 80
_OPENING_ROLES = frozenset({"system", "developer"})


def measure_context(step: SpanStep, earlier: Sequence[SpanStep]) -> dict[str, Any] | None:
    """Return what filled the context of a model call, as JSON; None where its messages were not recorded.

    Sizes are characters, because a provider that refuses a call reports no tokens. The calls before it that belong to the
    same conversation, because they begin with the same messages, show how it grew.

    Args:
        step: the model call.
        earlier: the steps before it.
    """
    sizes = _sizes(step)
    if not sizes:
        return None
    messages, total = _messages(step), sum(sizes)
    results = {
        str(inputs["call_id"]): other
        for other in earlier
        if (inputs := lenient.mapping(other.start.get("inputs"))).get("call_id")
    }
    largest = sorted(range(len(sizes)), key=lambda index: (-sizes[index], index))[:MOST_MESSAGES]
    before = [
        (other.number, sum(_sizes(other)), len(_messages(other)))
        for other in earlier
        if other.component == "llm" and _opening(other) == _opening(step)
    ]
    return {
        "messages": len(messages),
        "characters": total,
        "largest": [
            {
                "message": index + 1,
                "role": lenient.string(messages[index].get("role")),
                "characters": sizes[index],
                "share": round(sizes[index] / total, 3) if total else 0.0,
                **_origin(messages[index], results),
                "begins": short(" ".join(message_text(messages[index])[:400].split()), _LONGEST, "..."),
            }
            for index in largest
        ],
        "calls_before": len(before),
        "first_call": None
        if not before
        else {"number": before[0][0], "characters": before[0][1], "messages": before[0][2]},
    }


def _messages(step: SpanStep) -> list[dict[str, Any]]:
    return lenient.mappings(lenient.mapping(step.start.get("inputs")).get("messages"))


def _sizes(step: SpanStep) -> list[int]:
    return [len(message_text(message)) for message in _messages(step)]


def _opening(step: SpanStep) -> str:
    """Return the text of the first message that is not the system's."""
    messages = [message for message in _messages(step) if message.get("role") not in _OPENING_ROLES]
    return message_text(messages[0]) if messages else ""


def _origin(message: dict[str, Any], results: dict[str, SpanStep]) -> dict[str, Any]:
    """Return the call whose result a message holds, with its name, where that is known."""
    for part in lenient.mappings(message.get("parts")):
        found = results.get(str(part.get("id"))) if part.get("type") == "tool_call_response" else None
        if found is not None:
            return {"number": found.number, "component_name": found.name or None}
    return {"number": None, "component_name": None}
