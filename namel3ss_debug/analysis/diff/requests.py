"""Split the request and the answer of an event into the parts in which runs can differ."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from namel3ss_debug.wire import lenient

if TYPE_CHECKING:
    from collections.abc import Sequence

    from namel3ss_debug.traces.events import Event

_MEASUREMENT_KEYS: Final = frozenset(
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
        "paused_ms",
    }
)
"""Keys of a span's metadata that describe how it ran, not its request or its answer."""

INSTRUCTIONS: Final = "instructions"
QUESTION: Final = "question"
HISTORY: Final = "history"

_INSTRUCTION_ROLES: Final = frozenset({"system", "developer"})
_PROMPT_ROLES: Final = _INSTRUCTION_ROLES | {"user"}
_RESULT_TYPES: Final = frozenset({"tool_call_response", "server_tool_call_response", "tool_result"})


class RowKind(NamedTuple):
    """The kind of a row: its event type without `_start`, its component and the component's name."""

    type: str
    component: str
    name: str | None

    @property
    def label(self) -> str:
        """Return the name of the kind in a path: the component's name, else the component, else the type."""
        return self.name or self.component or self.type


class ModelRequest(NamedTuple):
    """The parts of a request to a model.

    Attributes:
        settings: the model and its parameters.
        tools: the tools that it was offered.
        prompt: the messages before the first one that the run itself produced, and every later instruction.
        context: the messages that the run produced: its answers, the results of tools, and the messages after them.
        other: all other fields.
    """

    settings: Any
    tools: Any
    prompt: list[Any]
    context: list[Any]
    other: Any


def split_model_request(inputs: dict[str, Any]) -> ModelRequest:
    """Split a request to a model into its parts."""
    other = {
        key: value for key, value in inputs.items() if key not in {"model", "params", "tools", "messages"}
    }
    prompt, context = split_messages(inputs.get("messages"))
    settings = {"model": inputs.get("model"), "params": inputs.get("params") or None}
    return ModelRequest(settings, inputs.get("tools") or None, prompt, context, other)


def split_messages(messages: Any) -> tuple[list[Any], list[Any]]:
    """Return the messages of the prompt, and those that the run produced."""
    listed = lenient.sequence(messages)
    parts = classify_messages(listed)
    prompt = [message for message, part in zip(listed, parts, strict=True) if part != HISTORY]
    return prompt, [message for message, part in zip(listed, parts, strict=True) if part == HISTORY]


def classify_messages(messages: Sequence[Any]) -> list[str]:
    """Return the part that each message belongs to: `INSTRUCTIONS`, `QUESTION` or the run's own `HISTORY`."""
    parts: list[str] = []
    of_the_run = False
    for message in messages:
        role = lenient.string(lenient.mapping(message).get("role"))
        if role in _INSTRUCTION_ROLES:
            parts.append(INSTRUCTIONS)
        else:
            of_the_run = of_the_run or role not in _PROMPT_ROLES or _holds_only_results(message)
            parts.append(HISTORY if of_the_run else QUESTION)
    return parts


def request_field(event: Event) -> tuple[str, Any]:
    """Return the name and the value of the field of a start event that holds the request."""
    inputs = event.get("inputs")
    if isinstance(inputs, dict):
        known = {key: value for key, value in inputs.items() if key != "call_id"}
        return "inputs", _without_empty(event, known)
    if inputs is not None:
        return "inputs", inputs
    return "metadata", _metadata(event)


def answer_field(event: Event) -> tuple[str, Any]:
    """Return the name and the value of the field of an end event that holds the answer."""
    outputs = event.get("outputs")
    if outputs is None:
        return "metadata", _metadata(event)
    return "outputs", _without_empty(event, outputs) if isinstance(outputs, dict) else outputs


def _without_empty(event: Event, fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a model call that hold something: a trace of another writer lacks the others."""
    return lenient.drop_empty(fields) if event.get("component") == "llm" else fields


def shape_key(kind: RowKind, event: Event) -> tuple[object, ...]:
    """Return a hashable key of an event's component and name, and of the names and types of its arguments."""
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


def shape_digest(kind: RowKind, event: Event) -> int:
    """Return the shape as a number that is the same in every process, whatever the order of the arguments."""
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
    """Return the metadata of an event without the keys that only describe how it ran."""
    metadata = event.get("metadata")
    if not isinstance(metadata, dict):
        return metadata
    return {key: value for key, value in metadata.items() if key not in _MEASUREMENT_KEYS} or None


def _holds_only_results(message: Any) -> bool:
    """Return whether a message holds nothing but results of tools."""
    parts = lenient.mapping(message).get("parts", lenient.mapping(message).get("content"))
    kinds = [lenient.string(lenient.mapping(part).get("type")) for part in lenient.sequence(parts)]
    return bool(kinds) and all(kind in _RESULT_TYPES for kind in kinds)
