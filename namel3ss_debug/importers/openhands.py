"""Read events of OpenHands: the list of version 0, with actions and observations, and those of its SDK, version 1."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from namel3ss_debug.importers.conversation import AgentSession, Draft, finish, make_answer
from namel3ss_debug.importers.files import peek_objects, read_documents
from namel3ss_debug.importers.messages import read_message
from namel3ss_debug.importers.tracing import make_trace
from namel3ss_debug.importers.values import (
    parse_cost,
    parse_number,
    parse_time,
    plain_counts,
    read_usage,
    rest_of,
)
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.lines import Problems
from namel3ss_debug.traces.span_events import SpanError
from namel3ss_debug.wire import lenient, openai_chat, parts

_NO_TOOL: Final = frozenset(
    {"message", "system", "finish", "reject", "recall", "change_agent_state", "null", "condensation"}
)
"""Actions of version 0 that run nothing."""

_USAGE: Final = {
    "input_tokens": ("prompt_tokens",),
    "output_tokens": ("completion_tokens",),
    "cache_read_tokens": ("cache_read_tokens",),
    "cache_write_tokens": ("cache_write_tokens",),
    "reasoning_tokens": ("reasoning_tokens",),
}


def sniff(head: bytes) -> bool:
    """Return whether there are events of one of the two versions near the beginning."""
    values = peek_objects(head)
    inner = [each for value in values for each in (_events_in(value) or [])[:20]]
    return any(_is_old(value) or _is_new(value) for value in (*values, *inner))


def _events_in(value: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """Return the events in a document: `items` has them in an answer of the API of version 1; None where it is an event.

    Before 0.9 the history of an evaluation is a list of pairs, an action and what was observed.
    """
    found = next((value[name] for name in ("history", "events", "items") if name in value), None)
    if not isinstance(found, list):
        return None
    return lenient.mappings([each for item in found for each in (item if isinstance(item, list) else [item])])


def _is_old(event: Mapping[str, Any]) -> bool:
    return (
        "source" in event
        and "message" in event
        and ("action" in event or "observation" in event)
        and "id" in event
    )


def _is_new(event: Mapping[str, Any]) -> bool:
    return (
        isinstance(event.get("kind"), str)
        and ("source" in event or {"id", "timestamp"} <= event.keys())
        and event["kind"].endswith(("Event", "Observation", "Condensation"))
    )


def read(
    files: tuple[Path, ...], problems: Problems, consumed: Callable[[int], None] | None = None
) -> Iterator[Event]:
    """Yield the events of the sessions in the files."""
    spans: list[Draft] = []
    for path in files:
        runs: dict[str, _OpenHandsSession] = {}
        for document in read_documents(path, problems, consumed):
            events = _events_in(document)
            run = path.stem
            if events is not None and "instance_id" in document:  # a line of `output.jsonl`, of an evaluation
                run += f" {document['instance_id']}"
            if run not in runs:
                runs[run] = _OpenHandsSession(spans, run, problems)
            session = runs[run]
            session.set_metrics(document)
            for event in [document] if events is None else events:
                session.add(event)
        for session in runs.values():
            session.end()
    yield from make_trace({"format": "openhands"}, finish(spans) if len(spans) > len(files) else [])


class _OpenHandsSession:
    def __init__(self, spans: list[Draft], run: str, problems: Problems) -> None:
        self._run = run
        self._problems = problems
        self._conversation = AgentSession(spans, "openhands", f"{run} agent")
        self._calls: dict[str, str] = {}  # id of an action -> that of the call
        self._answers: dict[str, Draft] = {}
        self._stats: dict[str, Any] = {}
        self._count = 0

    def add(self, event: dict[str, Any]) -> None:
        """Take the next event."""
        self._count += 1
        at = parse_time(event.get("timestamp"))
        if _is_new(event):
            self._add_new(event, at)
        elif _is_old(event):
            self._add_old(event, at)
        else:
            self._problems.left_out["objects that are no events"] += 1

    def set_metrics(self, document: Mapping[str, Any]) -> None:
        """Take the amounts of the whole session, as the result of an evaluation has them."""
        if isinstance(document.get("metrics"), dict):
            self._stats = {"metrics": document["metrics"]}

    def end(self) -> None:
        """Put the amounts of the whole session on the agent, where its calls state none."""
        if any(answer["usage"] for answer in self._answers.values()):
            return
        total: dict[str, int] = {}
        cost: float | None = None
        for stats in self._stats.values():
            metrics = lenient.mapping(stats)
            for name, count in read_usage(
                lenient.mapping(metrics.get("accumulated_token_usage")), _USAGE
            ).items():
                total[name] = total.get(name, 0) + count
            spent = parse_cost(metrics.get("accumulated_cost"))
            cost = cost if spent is None else (cost or 0.0) + spent
        self._conversation.span |= {"usage": total, "cost": cost or None}

    def _add_old(self, event: dict[str, Any], at: float | None) -> None:
        action, observation = event.get("action"), event.get("observation")
        arguments = lenient.mapping(event.get("args"))
        details = lenient.mapping(event.get("tool_call_metadata"))
        key = str(event.get("id"))
        if observation is not None:
            self._add_result(str(event.get("cause")), event, at)
        elif event.get("source") == "user" and action == "message":
            text = str(arguments.get("content") or event.get("message") or "")
            self._conversation.prompt(text, parts.make_message("user", [parts.make_text(text)]), at)
        elif action == "system":
            self._conversation.read(read_message({"role": "system", "content": arguments.get("content")}), at)
        elif event.get("source") == "agent":
            response = lenient.mapping(details.get("model_response"))
            response = {**response, "usage": plain_counts(response.get("usage"))} if response else {}
            answer_id = str(response.get("id") or f"{self._run} {key}")
            if answer_id not in self._answers:
                answer = openai_chat.decode_response(response)
                if not response:
                    answer = make_answer(text=str(arguments.get("content") or arguments.get("thought") or ""))
                self._answers[answer_id] = self._conversation.answer(
                    answer_id, answer.response_model, answer, at
                )
            if isinstance(action, str) and action not in _NO_TOOL:
                call_id = f"{self._run} {details.get('tool_call_id') or key}"
                name = lenient.string(details.get("function_name")) or str(action)
                read = {"thought", "impl_source", "translated_ipython_code"}
                passed = {name: value for name, value in arguments.items() if name not in read}
                self._conversation.call(call_id, name, passed, at)
                self._calls[key] = call_id
        else:
            self._problems.left_out[f"events of type {action}"] += 1

    def _add_result(self, cause: str, event: dict[str, Any], at: float | None) -> None:
        call_id = self._calls.get(cause)
        if call_id is None:
            self._problems.left_out[f"observations of type {event.get('observation')}"] += 1
            return
        content = event.get("content", event.get("message"))
        extras = lenient.mapping(event.get("extras"))
        code = lenient.mapping(extras.get("metadata")).get("exit_code", extras.get("exit_code"))
        failed = event.get("observation") == "error" or (parse_number(code) or 0) > 0
        failure = SpanError(None, str(content)) if failed else None
        self._conversation.result(call_id, content, at, failure=failure)

    def _add_new(self, event: dict[str, Any], at: float | None) -> None:
        kind = event["kind"]
        if kind == "ActionEvent":
            self._add_action(event, at)
        elif kind in ("ObservationEvent", "AgentErrorEvent", "UserRejectObservation"):
            observation = lenient.mapping(event.get("observation"))
            text = "\n".join(
                block["text"]
                for block in lenient.mappings(observation.get("content"))
                if isinstance(block.get("text"), str)
            )
            code = observation.get("exit_code")
            shown = text or event.get("error") or event.get("rejection_reason") or observation
            failed = (
                kind != "ObservationEvent" or observation.get("is_error") or (parse_number(code) or 0) > 0
            )
            call_id = self._calls.get(str(event.get("action_id")), f"{self._run} {event.get('tool_call_id')}")
            if call_id not in self._conversation.tools:
                # The result of an action that is not in the file, which may be a part of the session.
                self._conversation.call(call_id, str(event.get("tool_name") or "tool"), {}, at)
            failure = SpanError(None, str(shown)) if failed else None
            self._conversation.result(call_id, shown, at, failure=failure)
        elif kind in ("MessageEvent", "SystemPromptEvent"):
            message = lenient.mapping(event.get("llm_message")) or {
                "role": "system",
                "content": event.get("system_prompt"),
            }
            decoded = read_message({**message, "content": message.get("content") or ""})
            if event.get("source") == "agent" and kind == "MessageEvent":
                answer_id = str(event.get("llm_response_id") or event.get("id"))
                self._answers[answer_id] = self._conversation.answer(
                    answer_id, None, make_answer(decoded), at
                )
            elif event.get("source") == "user":
                text = "\n".join(parts.select_texts(decoded["parts"]))
                self._conversation.prompt(text, decoded, at)
            else:
                self._conversation.read(decoded, at)
        elif kind == "ConversationStateUpdateEvent" and event.get("key") in ("stats", "full_state"):
            value = lenient.mapping(event.get("value"))
            self._stats = lenient.mapping(lenient.mapping(value.get("stats", value)).get("usage_to_metrics"))
        else:
            self._problems.left_out[f"events of type {kind}"] += 1

    def _add_action(self, event: dict[str, Any], at: float | None) -> None:
        call = lenient.mapping(event.get("tool_call"))
        action = lenient.mapping(event.get("action"))
        name = str(event.get("tool_name") or call.get("name") or action.get("kind") or "")
        arguments = lenient.load_arguments(call.get("arguments")) if call.get("arguments") else action
        made = parts.make_call(event.get("tool_call_id"), name, arguments)
        answer_id = str(event.get("llm_response_id") or event.get("id"))
        draft = self._answers.get(answer_id)
        if draft is None:
            texts = [block.get("text") for block in lenient.mappings(event.get("thought"))]
            answer = make_answer(
                text="\n".join(text for text in texts if isinstance(text, str)) or None,
                tool_calls=[made],
                reasoning=lenient.string(event.get("reasoning_content")) or None,
            )
            model = next((lenient.mapping(stats).get("model_name") for stats in self._stats.values()), None)
            read = {
                "id",
                "timestamp",
                "source",
                "thought",
                "reasoning_content",
                "action",
                "tool_name",
                "tool_call_id",
            }
            metadata = rest_of(event, read | {"tool_call", "kind", "llm_response_id"})
            self._answers[answer_id] = self._conversation.answer(
                answer_id, lenient.string(model), answer, at, metadata=metadata
            )
        else:
            draft["outputs"] = {
                **draft["outputs"],
                "tool_calls": [*draft["outputs"].get("tool_calls", []), made],
            }
        if name != "finish":
            call_id = f"{self._run} {event.get('tool_call_id') or event.get('id')}"
            self._calls[str(event.get("id"))] = call_id
            self._conversation.call(call_id, name, arguments, at)
