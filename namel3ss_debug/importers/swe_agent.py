"""Read trajectories of SWE-agent, `.traj`: for each step the answer of the model, the action, and what it showed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from namel3ss_debug.importers.conversation import AgentSession, Draft, finish, make_answer
from namel3ss_debug.importers.files import peek_objects, read_documents
from namel3ss_debug.importers.messages import read_message
from namel3ss_debug.importers.tracing import make_trace
from namel3ss_debug.importers.values import parse_cost, parse_number, read_usage, rest_of
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.lines import Problems
from namel3ss_debug.traces.span_events import SpanError
from namel3ss_debug.wire import lenient, parts

_READ: Final = frozenset(
    {
        *("action", "observation", "response", "thought", "execution_time", "query", "messages"),
        *("role", "content", "agent", "message_type", "tool_calls"),
    }
)
_USAGE: Final = {"input_tokens": ("tokens_sent",), "output_tokens": ("tokens_received",)}


def sniff(head: bytes) -> bool:
    """Return whether the document has a trajectory of actions and observations."""
    return any(
        "action" in step and "observation" in step
        for value in peek_objects(head)
        for step in _steps_of(value)
    )


def _steps_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the steps; of a demonstration, which may have a history only, each answer with the message after it."""
    steps = lenient.mappings(document.get("trajectory"))
    history = lenient.mappings(document.get("history"))
    return steps or [
        {**answer, "response": answer.get("content"), "observation": shown.get("content")}
        for answer, shown in pairwise(history)
        if answer.get("message_type") == "action" and not answer.get("is_demo")
    ]


def read(
    files: tuple[Path, ...], problems: Problems, consumed: Callable[[int], None] | None = None
) -> Iterator[Event]:
    """Yield the events of the trajectories in the files."""
    spans: list[Draft] = []
    for path in files:
        for document in read_documents(path, problems, consumed):
            _read_trajectory(document, spans, f"{path.stem}.{len(spans)}")
    yield from make_trace({"format": "swe-agent"}, finish(spans))


def _read_trajectory(document: dict[str, Any], spans: list[Draft], run: str) -> None:
    history = lenient.mappings(document.get("history"))
    info = lenient.mapping(document.get("info"))
    # Demonstrations stand in the history before the task; they are messages and no steps.
    answers = [
        message for message in history if message.get("role") == "assistant" and not message.get("is_demo")
    ]
    agent = next(
        (message["agent"] for message in history if isinstance(message.get("agent"), str)), "swe-agent"
    )
    config = lenient.mapping(lenient.mapping(document.get("replay_config")).get("agent"))
    model = lenient.string(lenient.mapping(config.get("model")).get("name"))
    conversation = AgentSession(spans, agent, f"{run} agent", metadata=rest_of(info, {"model_stats"}))
    for message in history:
        if message.get("role") == "assistant" and not message.get("is_demo"):
            break
        conversation.read(read_message(message))
    steps = _steps_of(document)
    for number, step in enumerate(steps):
        message = answers[number] if number < len(answers) else {}
        _read_step(conversation, step, message, model, f"{run} {number}")
    stats = lenient.mapping(info.get("model_stats"))
    usage = {name: count for name, count in read_usage(stats, _USAGE).items() if count}
    conversation.span |= {"usage": usage, "cost": parse_cost(stats.get("instance_cost")) or None}
    status = lenient.string(info.get("exit_status"))
    if status and "error" in status:
        conversation.span["failure"] = SpanError(status, status)


def _read_step(
    conversation: AgentSession, step: dict[str, Any], message: dict[str, Any], model: str | None, span_id: str
) -> None:
    text = lenient.string(step.get("response")) or lenient.string(step.get("thought"))
    calls = lenient.mappings(message.get("tool_calls"))
    action = str(step.get("action") or "")
    functions = [lenient.mapping(call.get("function")) for call in calls]
    made = [
        parts.make_call(
            call.get("id"), function.get("name"), lenient.load_arguments(function.get("arguments"))
        )
        for call, function in zip(calls, functions, strict=True)
    ]
    conversation.answer(
        span_id, model, make_answer(text=text, tool_calls=made), metadata=rest_of(step, _READ)
    )
    if not action.strip():
        return
    name = made[0]["name"] if made else action.split(maxsplit=1)[0]
    arguments = made[0]["arguments"] if made else {"command": action}
    call_id = f"{span_id} {made[0].get('id', 'action') if made else 'action'}"
    conversation.call(call_id, name, arguments)
    seconds = parse_number(step.get("execution_time"))
    more: dict[str, Any] = {} if seconds is None else {"duration_ms": seconds * 1e3}
    conversation.result(call_id, step.get("observation"), **more)
