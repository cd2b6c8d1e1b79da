"""Read trajectories of mini-swe-agent: a list of messages, alone or in a document with the outcome."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from namel3ss_debug.importers.conversation import AgentSession, Draft, finish, make_answer
from namel3ss_debug.importers.files import peek, read_bytes, repair
from namel3ss_debug.importers.messages import read_message
from namel3ss_debug.importers.tracing import make_trace
from namel3ss_debug.importers.values import parse_cost, parse_time, plain_counts, rest_of
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.lines import Problems
from namel3ss_debug.traces.span_events import SpanError
from namel3ss_debug.wire import lenient, openai_chat, parts

_ACTION: Final = re.compile(r"```(?:bash|mswea_bash_command)\s*\n(.*?)\n```", re.DOTALL)
_FENCE: Final = re.compile("```(?:bash|mswea_bash_command)")
_STATUS: Final = re.compile(r"\A\s*<returncode>(-?\d+)</returncode>")


def sniff(head: bytes) -> bool:
    """Return whether there is a list of messages, with commands in the answers or under the name of the format."""
    for value in peek(head):
        document = lenient.mapping(value)
        if str(document.get("trajectory_format")).startswith("mini-swe-agent"):
            return True
        messages = lenient.mappings(document.get("messages") if document else value)
        if (
            any(
                message.get("role") == "assistant" and _FENCE.search(str(message.get("content")))
                for message in messages
            )
            and messages[0].get("role") == "system"
        ):
            return True
    return False


def read(
    files: tuple[Path, ...], problems: Problems, consumed: Callable[[int], None] | None = None
) -> Iterator[Event]:
    """Yield the events of the trajectories in the files."""
    spans: list[Draft] = []
    for path in files:
        text = read_bytes(path, problems, consumed).decode(errors="replace")
        value = lenient.load(text)
        if value is None:
            problems.add(path.name, 0, "damaged JSON, only the part before it could be read")
            value = repair(text)
        document = lenient.mapping(value)
        messages = lenient.mappings(document.get("messages") if document else value)
        if messages:
            _read_messages(messages, document, spans, path.stem)
    yield from make_trace({"format": "mini-swe-agent"}, finish(spans))


def _read_messages(
    messages: list[dict[str, Any]], document: dict[str, Any], spans: list[Draft], run: str
) -> None:
    info = lenient.mapping(document.get("info"))
    config = lenient.mapping(lenient.mapping(info.get("config")).get("model"))
    conversation = AgentSession(
        spans,
        "mini-swe-agent",
        f"{run} agent",
        metadata=rest_of({**document, **info}, {"messages", "info", "config"}),
    )
    open_calls: list[str] = []
    counted = False
    for number, message in enumerate(messages):
        extra = lenient.mapping(message.get("extra"))
        at = parse_time(extra.get("timestamp", message.get("timestamp")))
        role = message.get("role")
        if role == "assistant":
            body = lenient.mapping(extra.get("response"))
            response = openai_chat.decode_response({**body, "usage": plain_counts(body.get("usage"))})
            cost = parse_cost(extra.get("cost"))
            counted |= cost is not None
            calls = _read_calls(message, f"{run} {number}")
            answer = make_answer(
                read_message({"role": "assistant", "content": message.get("content")}),
                tool_calls=[call for _, call in calls],
                usage=response.usage,
                finish_reason=response.finish_reason,
            )
            model = response.response_model or lenient.string(config.get("model_name"))
            conversation.answer(
                f"{run} {number}", model, answer, at, **({} if cost is None else {"cost": cost})
            )
            open_calls = [call_id for call_id, _ in calls]
            for call_id, call in calls:
                conversation.call(call_id, call["name"], call["arguments"], at)
        elif open_calls and role in ("user", "tool"):
            _read_result(conversation, open_calls.pop(0), message, at)
        else:
            text = str(message.get("content") or "")
            take = (
                conversation.read
                if role == "system"
                else lambda *each, shown=text: conversation.prompt(shown, *each)
            )
            take(read_message(message), at)
    stats = lenient.mapping(info.get("model_stats"))
    if not counted:
        conversation.span["cost"] = parse_cost(stats.get("instance_cost"))
    status = lenient.string(info.get("exit_status"))
    if status and status not in ("Submitted", "submitted"):
        conversation.span["failure"] = SpanError(status, status)


def _read_calls(message: dict[str, Any], span_id: str) -> list[tuple[str, parts.Part]]:
    """Return the commands of an answer: calls of tools, or blocks of code in its text."""
    found = []
    for call in lenient.mappings(message.get("tool_calls")):
        function = lenient.mapping(call.get("function"))
        arguments = lenient.load_arguments(function.get("arguments"))
        found.append(parts.make_call(call.get("id"), function.get("name"), arguments))
    if not found and isinstance(message.get("content"), str):
        found = [
            parts.make_call(None, "bash", {"command": text})
            for text in _ACTION.findall(message["content"])[:1]
        ]
    return [(f"{span_id} {call.get('id', index)}", call) for index, call in enumerate(found)]


def _read_result(conversation: AgentSession, call_id: str, message: dict[str, Any], at: float | None) -> None:
    content = message.get("content")
    extra = lenient.mapping(message.get("extra"))
    status: Any = extra.get("returncode")
    if status is None and isinstance(content, str) and (found := _STATUS.match(content)):
        status = int(found[1])
    failure = None
    if status not in (None, 0):
        failure = SpanError(None, content if isinstance(content, str) else str(content))
    conversation.result(call_id, content, at, failure=failure)
