"""Read sessions of Codex CLI, `~/.codex/sessions/**/rollout-*.jsonl`: items of the Responses API, one on each line.

The items that a model writes until it reads something new are one call. `token_count` counts from the beginning of the
session, and may be repeated; a call has the difference. Versions before 0.32 write the items without a wrapper. What
`codex exec --json` prints is read too: it has items of its own, no times, and the tokens of the whole only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from namel3ss_debug.importers.conversation import AgentSession, Draft, finish
from namel3ss_debug.importers.files import peek_objects, read_objects
from namel3ss_debug.importers.tracing import make_trace
from namel3ss_debug.importers.values import parse_count, parse_time, rest_of
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.lines import Problems
from namel3ss_debug.traces.span_events import SpanError
from namel3ss_debug.wire import lenient, openai_responses
from namel3ss_debug.wire.contract import Answer

_COUNTS: Final = {
    "input_tokens": "input_tokens",
    "cached_input_tokens": "cache_read_tokens",
    "cache_write_input_tokens": "cache_write_tokens",
    "output_tokens": "output_tokens",
    "reasoning_output_tokens": "reasoning_tokens",
}
_ITEMS: Final = frozenset(
    {
        "message",
        "reasoning",
        "function_call",
        "function_call_output",
        "custom_tool_call",
        "custom_tool_call_output",
    }
)
_PRINTED: Final = ("thread.", "turn.", "item.", "error")
"""How types of rows begin that `codex exec --json` prints."""

_SHOWN: Final = ("aggregated_output", "result")
"""Fields with what a tool returned, in what `codex exec --json` prints."""

_NOT_TYPED: Final = ("<", "# AGENTS.md")
"""How messages of the user begin that Codex adds."""

_EXIT_CODE: Final = re.compile(r"(?:\AExit code: |\nExit code: |Process exited with code )(\d+)")
_REPEATED: Final = frozenset(
    {"user_message", "agent_message", "agent_reasoning_raw_content", "item_completed"}
)
"""Events that repeat items."""


def sniff(head: bytes) -> bool:
    """Return whether the first rows are of a session of Codex."""
    rows = peek_objects(head)
    if not rows:
        return False
    if any(row.get("type") in ("session_meta", "response_item") and "payload" in row for row in rows):
        return True
    if any(row.get("type") == "thread.started" and "thread_id" in row for row in rows):
        return True
    first = rows[0]
    return (
        {"id", "timestamp"} <= first.keys()
        and "type" not in first
        and ("instructions" in first or any(row.get("record_type") == "state" for row in rows))
    )


def read(
    files: tuple[Path, ...], problems: Problems, consumed: Callable[[int], None] | None = None
) -> Iterator[Event]:
    """Yield the events of a session."""
    session = _CodexSession(problems)
    for path in files:
        for row in read_objects(path, problems, consumed):
            session.add(row)
    yield from session.make_events()


class _CodexSession:
    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._spans: list[Draft] = []
        self._conversation = AgentSession(self._spans, "codex", "agent:codex")
        self._others: list[Event] = []
        self._model: str | None = None
        self._items: list[dict[str, Any]] = []  # what the model wrote in the call that is open
        self._thoughts: list[str] = []
        self._call: Draft | None = None
        self._last_call: Draft | None = None
        self._asked: float | None = None  # when the model got something to read
        self._total: dict[str, int] = {}
        self._calls = 0
        self._title = ""

    def add(self, row: dict[str, Any]) -> None:
        """Take the next row."""
        kind, payload = lenient.string(row.get("type")), row.get("payload")
        at = parse_time(row.get("timestamp"))
        if not isinstance(payload, dict):
            if kind is not None and kind.startswith(_PRINTED):
                self._add_printed(kind, row)
            elif kind in _ITEMS or (kind and kind.endswith(("_call", "_call_output"))):
                self._add_item(row, at)
            elif "id" in row and kind is None:
                self._begin(row)
            else:
                self._problems.left_out[f"rows of type {kind or row.get('record_type')}"] += 1
        elif kind == "session_meta":
            self._begin(payload)
        elif kind == "turn_context":
            self._model = lenient.string(payload.get("model")) or self._model
        elif kind == "response_item":
            self._add_item(payload, at)
        elif kind == "event_msg":
            self._add_event(payload, at)
        elif kind == "compacted":
            self._close()
            self._conversation.forget()
            parent = self._conversation.parent["span_id"]
            event = {"event_type": "memory_summarization", "component": "memory", "parent_event_id": parent}
            event |= {
                "event_id": f"compacted{len(self._others)}",
                "outputs": {"summary": str(payload.get("message", ""))},
            }
            self._others.append(event if at is None else {**event, "timestamp": at})
        elif kind != "token_usage_record":  # which repeats `token_count`
            self._problems.left_out[f"rows of type {kind}"] += 1

    def make_events(self) -> Iterator[Event]:
        """Yield the events, once every row was added."""
        self._close()
        source = lenient.drop_empty({"format": "codex", "title": self._title or None})
        yield from make_trace(source, finish(self._spans) if len(self._spans) > 1 else [], self._others)

    def _begin(self, meta: dict[str, Any]) -> None:
        session_id = lenient.string(meta.get("id"))
        span = self._conversation.span
        if session_id and span["session_id"] is None:
            span["session_id"] = self._conversation.session_id = session_id
            span["metadata"] = rest_of(meta, {"id", "timestamp", "instructions", "base_instructions"})

    def _add_printed(self, kind: str, row: dict[str, Any]) -> None:
        """Take a row of what `codex exec --json` prints."""
        if kind == "thread.started":
            self._begin({"id": row.get("thread_id")})
        elif kind == "turn.completed":
            self._close()
            self._conversation.span["usage"] = _read_counts(row.get("usage"))
        elif kind in ("turn.failed", "error"):
            self._close()
            text = lenient.mapping(row.get("error")).get("message", row.get("message"))
            self._conversation.span["failure"] = SpanError(None, str(text))
        elif kind == "item.completed":
            self._add_done(lenient.mapping(row.get("item")))

    def _add_done(self, item: dict[str, Any]) -> None:
        kind, text = str(item.get("type")), lenient.string(item.get("text"))
        if kind == "reasoning":
            self._thoughts += [] if text is None else [text]
        elif kind == "agent_message":
            content = [{"type": "output_text", "text": text or ""}]
            self._add_written({"role": "assistant", "content": content, "type": "message"}, None)
        elif kind == "error":
            self._add_event({**item, "type": "stream_error"}, None)
        else:
            read = {"id", "type", "status", "exit_code", "error", *_SHOWN}
            call = {"type": "function_call", "call_id": item.get("id"), "name": str(item.get("tool") or kind)}
            arguments = {name: value for name, value in item.items() if name not in read}
            self._add_written({**call, "arguments": lenient.dump(arguments).decode()}, None)
            self._close()
            result = next((item[name] for name in _SHOWN if item.get(name) is not None), None)
            error = lenient.mapping(item.get("error")).get("message", item.get("error"))
            failed = item.get("status") in ("failed", "declined") or error is not None
            failure = SpanError(None, str(error or result or item.get("status"))) if failed else None
            self._conversation.result(str(item.get("id")), result, failure=failure)

    def _add_item(self, item: dict[str, Any], at: float | None) -> None:
        kind, role = lenient.string(item.get("type")), item.get("role")
        if kind and kind.endswith("_output"):
            self._close()
            self._add_output(item, at)
        elif kind == "message" and role != "assistant":
            self._close()
            (message,) = openai_responses.decode_request({"input": [item]})["messages"][:1] or ({},)
            text = "\n".join(
                block["text"]
                for block in lenient.mappings(item.get("content"))
                if isinstance(block.get("text"), str)
            )
            if role == "user" and text and not text.startswith(_NOT_TYPED):
                self._title = self._title or text
                self._conversation.prompt(text, message, at)
            else:
                self._conversation.read(message, at)
            self._asked = at
        else:
            self._add_written(item, at)

    def _add_written(self, item: dict[str, Any], at: float | None) -> None:
        """Take an item that the model wrote: of the call that is open, or the first of a new one."""
        if self._call is not None and self._call["usage"]:
            self._close()
        if self._call is None:
            self._calls += 1
            self._call = self._last_call = self._conversation.answer(
                f"call{self._calls}", self._model, Answer(), at, began=self._asked,
                metadata={"provider": "openai"},
            )  # fmt: skip
        if at is not None:
            self._call["ended"] = max(at, self._call["ended"] or at)
        self._items.append(item)

    def _close(self) -> None:
        """End the call of the model that is open, and begin the calls of tools that it asked for."""
        call, self._call = self._call, None
        if call is None:
            return
        answer = openai_responses.decode_response({"output": self._items})
        if self._thoughts and answer.reasoning is None:
            answer = answer._replace(reasoning="\n\n".join(self._thoughts))
        known = {tool.get("id") for tool in answer.tool_calls}
        searches = [
            {
                "id": item["call_id"],
                "name": str(item["type"]).removesuffix("_call"),
                "arguments": item.get("arguments"),
            }
            for item in self._items
            if str(item.get("type")).endswith("_call") and item.get("call_id") not in (None, *known)
        ]
        answer = answer._replace(tool_calls=[*answer.tool_calls, *searches])
        call["outputs"] = answer.to_outputs()
        for tool in answer.tool_calls:
            call_id = str(tool.get("id") or f"{call['span_id']}.{tool['name']}")
            self._conversation.call(call_id, tool["name"], tool.get("arguments"), call["ended"])
        self._items, self._thoughts = [], []

    def _add_output(self, item: dict[str, Any], at: float | None) -> None:
        call_id = str(item.get("call_id"))
        output = item.get("output", item.get("tools"))
        failure: SpanError | None = None
        more: dict[str, Any] = {}
        loaded = lenient.load(output) if isinstance(output, str) and output.startswith("{") else output
        metadata = lenient.mapping(lenient.mapping(loaded).get("metadata"))
        result = (
            lenient.mapping(loaded)["output"] if metadata and "output" in lenient.mapping(loaded) else output
        )
        fields = lenient.mapping(loaded)
        if "success" in fields and "content" in fields:
            result = fields["content"]
        code = parse_count(metadata.get("exit_code"))
        if code is None and isinstance(result, str) and (found := _EXIT_CODE.search(result[:200])):
            code = int(found[1])
        if code or lenient.mapping(loaded).get("success") is False or item.get("status") == "failed":
            failure = SpanError(None, result if isinstance(result, str) else lenient.dump(result).decode())
        seconds = metadata.get("duration_seconds")
        if lenient.is_number(seconds) and seconds >= 0:
            more["duration_ms"] = seconds * 1e3
        if code is not None:
            more["metadata"] = {"source": {"exit_code": code}}
        if self._conversation.result(call_id, result, at, failure=failure, **more) is None:
            self._problems.left_out["results of tools whose call is not in the file"] += 1
        self._asked = at

    def _add_event(self, event: dict[str, Any], at: float | None) -> None:
        kind = str(event.get("type"))
        if kind == "token_count":
            self._add_tokens(lenient.mapping(event.get("info")))
        elif kind == "agent_reasoning":
            self._thoughts += [event["text"]] if isinstance(event.get("text"), str) else []
        elif kind == "turn_aborted":
            self._close()
            self._conversation.cancel(at)
        elif kind in ("error", "stream_error"):
            parent = self._conversation.parent["span_id"]
            record = {
                "level": "error" if kind == "error" else "warning",
                "message": str(event.get("message", "")),
            }
            entry = {
                "event_type": "log_record",
                "component": "log",
                "component_name": "codex",
                "metadata": record,
            }
            entry |= {"event_id": f"log{len(self._others)}", "parent_event_id": parent}
            self._others.append(entry if at is None else {**entry, "timestamp": at})
        elif kind not in _REPEATED:
            self._problems.left_out[f"rows of type event_msg ({kind})"] += 1

    def _add_tokens(self, info: dict[str, Any]) -> None:
        total = _read_counts(info.get("total_token_usage"))
        if not total:
            return
        used = {name: count - self._total.get(name, 0) for name, count in total.items()}
        if any(count < 0 for count in used.values()):  # a resumed session counts from its beginning
            used = _read_counts(info.get("last_token_usage"))
        self._total = total
        if not any(used.values()):
            return
        if self._last_call is None:
            self._problems.left_out["tokens before the first call of a model"] += 1
            return
        usage = self._last_call["usage"]
        self._last_call["usage"] = {name: count + usage.get(name, 0) for name, count in used.items()}


def _read_counts(counts: Any) -> dict[str, int]:
    fields = lenient.mapping(counts)
    return lenient.drop_none({ours: parse_count(fields.get(theirs)) for theirs, ours in _COUNTS.items()})
