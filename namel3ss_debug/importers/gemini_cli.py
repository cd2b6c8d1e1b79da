"""Read sessions of Gemini CLI, `~/.gemini/tmp/*/chats/session-*.json`, and the later ones with a message on each line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from namel3ss_debug.importers.conversation import AgentSession, Draft, finish, make_answer
from namel3ss_debug.importers.files import peek_objects, read_documents
from namel3ss_debug.importers.tracing import make_trace
from namel3ss_debug.importers.values import parse_count, parse_time, rest_of
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.lines import Problems
from namel3ss_debug.traces.span_events import SpanError
from namel3ss_debug.wire import lenient, parts

_READ: Final = frozenset(
    {"id", "timestamp", "type", "content", "model", "thoughts", "tokens", "toolCalls", "displayContent"}
)
_READ_OF_CALL: Final = frozenset({"id", "name", "args", "result", "status", "timestamp"})
_NOT_TYPED: Final = "<session_context>"
"""How the message of the user begins that Gemini CLI adds."""

_FAILED: Final = {"error": "failed", "cancelled": "cancelled"}


def sniff(head: bytes) -> bool:
    """Return whether the file begins with a session: its id and the hash of its project, or messages with calls of tools."""
    objects = peek_objects(head)
    return (
        bool(objects)
        and "sessionId" in objects[0]
        and (
            "projectHash" in objects[0]
            or any(
                message.get("type") == "gemini" for message in lenient.mappings(objects[0].get("messages"))
            )
        )
    )


def read(
    files: tuple[Path, ...], problems: Problems, consumed: Callable[[int], None] | None = None
) -> Iterator[Event]:
    """Yield the events of a session."""
    session: dict[str, Any] = {}
    messages: dict[str, dict[str, Any]] = {}  # by id: a message that goes on is written again
    for path in files:
        for document in read_documents(path, problems, consumed):
            changed = lenient.mapping(document.get("$set"))
            session |= document if "sessionId" in document else changed
            if "$rewindTo" in document:  # what the user took back was run and paid for
                problems.left_out["rows that take messages back"] += 1
            for message in [*lenient.mappings({**document, **changed}.get("messages")), document]:
                if isinstance(message.get("type"), str):
                    messages[str(message.get("id") or len(messages))] = message
    spans: list[Draft] = []
    session_id = lenient.string(session.get("sessionId"))
    known = {"sessionId", "messages", "startTime", "lastUpdated", "summary"}
    conversation = AgentSession(
        spans, "gemini-cli", "agent:gemini", session_id=session_id, metadata=rest_of(session, known)
    )
    title, asked = lenient.string(session.get("summary")), None
    for message_id, message in messages.items():
        at = parse_time(message.get("timestamp"))
        text = _text_of(message.get("content"))
        if message["type"] == "user":
            asked = at
            if _is_result(message.get("content")):  # as the call of the tool has it
                continue
            decoded = parts.make_message("user", [parts.make_text(text)])
            if text.startswith(_NOT_TYPED):
                conversation.read(decoded, at)
                continue
            title = title or text
            conversation.prompt(text, decoded, at)
        elif message["type"] == "gemini":
            _add_answer(conversation, message_id, message, asked, at)
            asked = at
        else:
            problems.left_out[f"messages of type {message['type']}"] += 1
    source = lenient.drop_empty({"format": "gemini-cli", "title": title})
    yield from make_trace(source, finish(spans) if len(spans) > 1 else [])


def _add_answer(
    conversation: AgentSession,
    message_id: str,
    message: dict[str, Any],
    asked: float | None,
    at: float | None,
) -> None:
    calls = lenient.mappings(message.get("toolCalls"))
    thoughts = [
        ": ".join(str(thought[key]) for key in ("subject", "description") if thought.get(key))
        for thought in lenient.mappings(message.get("thoughts"))
    ]
    answer = make_answer(
        text=_text_of(message.get("content")) or None,
        reasoning="\n\n".join(thoughts) or None,
        tool_calls=[parts.make_call(call.get("id"), call.get("name"), call.get("args")) for call in calls],
        usage=_read_usage(lenient.mapping(message.get("tokens"))),
    )
    model = lenient.string(message.get("model"))
    metadata = {"provider": "google", **rest_of(message, _READ)}
    conversation.answer(message_id, model, answer, at, began=asked, metadata=metadata)
    for number, call in enumerate(calls):
        call_id = lenient.string(call.get("id")) or f"{message_id}.{number}"
        metadata = rest_of(call, _READ_OF_CALL)
        conversation.call(call_id, str(call.get("name") or ""), call.get("args"), at, metadata=metadata)
        ended = parse_time(call.get("timestamp"))
        result, text = _read_result(call.get("result"))
        status = _FAILED.get(str(call.get("status")))
        failure = None if status is None else SpanError(None, text)
        if "status" in call or "result" in call:
            conversation.result(call_id, result, ended, failure=failure, status=status)


def _read_usage(tokens: dict[str, Any]) -> dict[str, int]:
    """Return the counts: the input has the cached tokens and not those of tools, the output not the thoughts."""
    counts = {
        name: parse_count(tokens.get(name)) for name in ("input", "output", "cached", "thoughts", "tool")
    }
    if counts["input"] is None and counts["output"] is None:
        return {}
    return lenient.drop_none(
        {
            "input_tokens": (counts["input"] or 0) + (counts["tool"] or 0),
            "output_tokens": (counts["output"] or 0) + (counts["thoughts"] or 0),
            "cache_read_tokens": counts["cached"],
            "reasoning_tokens": counts["thoughts"],
        }
    )


def _read_result(result: Any) -> tuple[Any, str]:
    """Return the result of a tool, and its text."""
    responses = [
        lenient.mapping(lenient.mapping(item.get("functionResponse")).get("response"))
        for item in lenient.mappings(result)
    ]
    values = [response.get("output", response.get("error", response)) for response in responses]
    value = values[0] if len(values) == 1 else values or result
    return value, value if isinstance(value, str) else ""


def _is_result(content: Any) -> bool:
    """Return whether a message has results of tools and nothing else."""
    items = lenient.mappings(content)
    return bool(items) and all("functionResponse" in item for item in items)


def _text_of(content: Any) -> str:
    if isinstance(content, str):
        return content
    items = content if isinstance(content, list) else [content]
    texts = [item if isinstance(item, str) else lenient.mapping(item).get("text") for item in items]
    return "\n".join(text for text in texts if isinstance(text, str))
