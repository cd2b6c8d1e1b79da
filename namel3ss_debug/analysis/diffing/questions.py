"""Question and answer of an event, in the parts in which runs can differ: shape, settings, prompt, context, result."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from namel3ss_debug.wire import lenient

if TYPE_CHECKING:
    from collections.abc import Sequence

    from namel3ss_debug.analysis.diffing.rows import Kind
    from namel3ss_debug.traces.events import Event

_OWN: Final = frozenset(
    {
        "chain",
        "lineage",
        "defined_at",
        "asked_in",
        "retry_of",
        "exchange",
        "time_to_first_token_ms",
        "process",
        "tokens_used",
        "usage",
        "cost",
        "cost_estimate",
        "total_tokens",
        "total_cost",
        "duration_ms",
        "uncaught",
        "answered",
        "held_ms",
    }
)
"""Keys of a span's metadata about how it went, not about what was asked or answered."""

INSTRUCTIONS: Final = "instructions"
QUESTION: Final = "question"
HISTORY: Final = "history"

_INSTRUCTING: Final = frozenset({"system", "developer"})
_TOLD: Final = _INSTRUCTING | {"user"}
_RESPONSES: Final = frozenset({"tool_call_response", "server_tool_call_response", "tool_result"})


class ModelParts(NamedTuple):
    """A request to a model.

    Attributes:
        settings: the model and its parameters.
        tools: the tools that it was offered.
        told: the prompt: the messages before the first one that the run itself produced, and every later instruction.
        context: the messages that the run produced: its answers, the results of tools, and the messages after them.
        rest: anything else.
    """

    settings: Any
    tools: Any
    told: list[Any]
    context: list[Any]
    rest: Any


def model_parts(inputs: dict[str, Any]) -> ModelParts:
    """The parts of a request to a model."""
    rest = {
        key: value for key, value in inputs.items() if key not in {"model", "params", "tools", "messages"}
    }
    told, context = told_and_context(inputs.get("messages"))
    settings = {"model": inputs.get("model"), "params": inputs.get("params")}
    return ModelParts(settings, inputs.get("tools"), told, context, rest)


def told_and_context(messages: Any) -> tuple[list[Any], list[Any]]:
    """The messages of the prompt, and those that the run produced."""
    listed = lenient.sequence(messages)
    parts = message_parts(listed)
    told = [message for message, part in zip(listed, parts, strict=True) if part != HISTORY]
    return told, [message for message, part in zip(listed, parts, strict=True) if part == HISTORY]


def message_parts(messages: Sequence[Any]) -> list[str]:
    """The part that each message of a request belongs to: `INSTRUCTIONS`, `QUESTION`, or the run's own `HISTORY`."""
    parts: list[str] = []
    of_the_run = False
    for message in messages:
        role = lenient.string(lenient.mapping(message).get("role"))
        if role in _INSTRUCTING:
            parts.append(INSTRUCTIONS)
        else:
            of_the_run = of_the_run or role not in _TOLD or _responds(message)
            parts.append(HISTORY if of_the_run else QUESTION)
    return parts


def asked_of(event: Event) -> tuple[str, Any]:
    """The field of a start event that holds the question, and its value."""
    inputs = event.get("inputs")
    if isinstance(inputs, dict):
        return "inputs", {key: value for key, value in inputs.items() if key != "call_id"}
    if inputs is not None:
        return "inputs", inputs
    return "metadata", _metadata(event)


def answer_of(event: Event) -> tuple[str, Any]:
    """The field of an end event that holds the answer, and its value."""
    outputs = event.get("outputs")
    return ("outputs", outputs) if outputs is not None else ("metadata", _metadata(event))


def shape_of(kind: Kind, event: Event) -> tuple[object, ...]:
    """The shape of an event as a key: its component, name, and names and types of arguments; see `shape_number`."""
    shape: list[object] = [kind, event.get("step_type")]
    inputs = event.get("inputs")
    if type(inputs) is dict and kind.component != "llm":
        for key, value in inputs.items():
            shape += (key, type(value))
        arguments = inputs.get("arguments")
        if type(arguments) is dict:
            shape.append(None)
            for key, value in arguments.items():
                shape += (key, type(value))
    return tuple(shape)


def shape_number(kind: Kind, event: Event) -> int:
    """The shape as a number that is the same in every process, whatever the order of the arguments."""
    inputs = event.get("inputs")
    shape: list[str] = [kind.type, kind.component, kind.name or "", str(event.get("step_type") or "")]
    if isinstance(inputs, dict) and kind.component != "llm":
        shape += sorted(f"{key}:{type(value).__name__}" for key, value in inputs.items())
        arguments = inputs.get("arguments")
        if isinstance(arguments, dict):
            shape += sorted(f".{key}:{type(value).__name__}" for key, value in arguments.items())
    data = "\n".join(shape).encode(errors="replace")
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "little")


def _metadata(event: Event) -> Any:
    metadata = event.get("metadata")
    if not isinstance(metadata, dict):
        return metadata
    return {key: value for key, value in metadata.items() if key not in _OWN} or None


def _responds(message: Any) -> bool:
    """Whether a message holds nothing but results of tools."""
    parts = lenient.mapping(message).get("parts", lenient.mapping(message).get("content"))
    kinds = [lenient.string(lenient.mapping(part).get("type")) for part in lenient.sequence(parts)]
    return bool(kinds) and all(kind in _RESPONSES for kind in kinds)
