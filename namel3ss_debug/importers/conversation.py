"""Make spans of a session that is kept as a conversation: an agent, its turns, calls of models and tools.

Such a session has each message once, while a request to a model repeats all of them. The inputs of a model call here
are the messages that are new since the call before, and the parameter `conversation` says that it went on with it, as
for a provider that keeps the messages itself. So a long session is not copied for each of its calls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from namel3ss_debug.traces.span_events import SpanError, SpanFacts
from namel3ss_debug.wire import lenient, parts
from namel3ss_debug.wire.contract import Answer

Draft = dict[str, Any]
"""The arguments of a `SpanFacts`, while they are gathered."""


class AgentSession:
    """One agent's part of a session. Its methods take what happened, in order.

    Args:
        spans: the drafts of the session in the order in which the spans began; this conversation adds its own.
        agent: the name of the agent.
        span_id: the id of the agent's span; those of its turns derive from it.
        parent_id: the span that the agent was started in.
        session_id: the id of the session.
        metadata: of the agent's span.
    """

    def __init__(
        self,
        spans: list[Draft],
        agent: str,
        span_id: str,
        *,
        parent_id: str | None = None,
        session_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        self._spans = spans
        self.session_id = session_id
        self.span: Draft = {
            "kind": "agent", "name": agent, "span_id": span_id, "parent_id": parent_id, "session_id": session_id,
            "metadata": dict(metadata or {}),
        }  # fmt: skip
        spans.append(self.span)
        self._turn: Draft | None = None
        self._turns = 0
        self._prompt: tuple[str, float | None] | None = None
        self._new: list[Any] = []  # messages that no model has read yet
        self._has_read = False
        self.models: dict[str, Draft] = {}
        self.tools: dict[str, Draft] = {}

    def _pass(self, at: float | None) -> None:
        """Extend the agent and its turn to this time."""
        if at is None:
            return
        for span in (self.span, self._turn):
            if span is not None:
                span["started"] = min(span.get("started", at), at)
                span["ended"] = max(span.get("ended", at), at)

    def prompt(self, text: str, message: Any, at: float | None = None) -> None:
        """Take a message of the user, which begins a turn as soon as a model reads it."""
        self._prompt = (text, at)
        self.read(message, at)

    def read(self, message: Any, at: float | None = None) -> None:
        """Take any other message for the model."""
        self._new.append(message)
        if self._prompt is None:
            self._pass(at)

    def forget(self) -> None:
        """Begin with an empty context: the conversation was compacted or cleared."""
        self._has_read = False
        self._new = []

    def answer(
        self,
        answer_id: str,
        model: str | None,
        answer: Answer,
        at: float | None = None,
        *,
        began: float | None = None,
        **more: Any,
    ) -> Draft:
        """Take what a model wrote, and return the span of its call.

        Args:
            answer_id: unique in the session.
            model: the model.
            answer: what it wrote.
            at: when it had written it.
            began: when it was called.
            more: further arguments of the `SpanFacts`.
        """
        self._begin_turn()
        self._pass(at)
        self.parent.pop("status", None)  # the model goes on after the user interrupted it
        params = {"conversation": self.session_id or True} if self._has_read else {}
        inputs = {"model": model, "messages": self._new, "params": params}
        self._new, self._has_read = [], True
        draft = {
            "kind": "model", "name": model, "span_id": answer_id, "parent_id": self.parent["span_id"],
            "session_id": self.session_id, "started": began, "ended": at, "inputs": lenient.drop_empty(inputs),
            "outputs": answer.to_outputs(), "usage": answer.usage, "cost": answer.cost, **more,
        }  # fmt: skip
        self.models[answer_id] = draft
        self._spans.append(draft)
        return draft

    def call(
        self,
        call_id: str,
        name: str,
        arguments: Any,
        at: float | None = None,
        *,
        shown_id: str | None = None,
        **more: Any,
    ) -> Draft:
        """Take the call of a tool, and return its span, which is open until `result`.

        Args:
            call_id: unique in the session.
            name: the name of the tool.
            arguments: what it was called with.
            at: when.
            shown_id: the id that the model gave the call, where that is not unique.
            more: further arguments of the `SpanFacts`.
        """
        self._begin_turn()
        self._pass(at)
        values = arguments if isinstance(arguments, dict) else {"input": arguments}
        inputs = {"arguments": values, "call_id": shown_id or call_id}
        draft = {
            "kind": "tool", "name": name, "span_id": f"tool:{call_id}", "parent_id": self.parent["span_id"],
            "session_id": self.session_id, "started": at, "is_open": True, "inputs": inputs, **more,
        }  # fmt: skip
        self.tools[call_id] = draft
        self._spans.append(draft)
        return draft

    def result(
        self,
        call_id: str,
        result: Any,
        at: float | None = None,
        *,
        failure: SpanError | None = None,
        is_read: bool = True,
        **more: Any,
    ) -> Draft | None:
        """Take the result of a tool, which the model reads, and return the span; None where no such call is known."""
        self._pass(at)
        draft = self.tools.get(call_id)
        if is_read:
            shown_id = call_id if draft is None else draft["inputs"]["call_id"]
            response = parts.make("tool_call_response", id=shown_id, response=result)
            self._new.append(parts.make_message("tool", [response]))
        if draft is None or not draft.get("is_open"):
            return None
        outputs = {} if result is None else {"result": result}
        draft |= {"is_open": False, "ended": at, "outputs": outputs, "failure": failure, **more}
        if draft["started"] is None and at is not None and more.get("duration_ms") is not None:
            # In what `claude -p` prints, a message of the model has no time, and the result of a subagent how long it took.
            draft["started"] = at - more["duration_ms"] / 1e3
            self._pass(draft["started"])
        return draft

    def cancel(self, at: float | None = None) -> None:
        """Take that the user interrupted the turn."""
        self._pass(at)
        if self._turn is not None:
            self._turn["status"] = "partial"

    @property
    def parent(self) -> Draft:
        """The span that calls are in: the turn, or the agent where there are no turns."""
        return self.span if self._turn is None else self._turn

    def _begin_turn(self) -> None:
        if self._prompt is None:
            return
        (text, at), self._prompt = self._prompt, None
        self._turns += 1
        self._turn = {
            "kind": "turn", "name": self.span["name"], "span_id": f"{self.span['span_id']}:turn{self._turns}",
            "parent_id": self.span["span_id"], "session_id": self.session_id, "inputs": {"input": text},
        }  # fmt: skip
        self._spans.append(self._turn)
        self._pass(at)


def make_answer(message: Mapping[str, Any] | None = None, **fields: Any) -> Answer:
    """Return an answer whose fields are of the right types, from a message in the form of OpenTelemetry GenAI."""
    content = lenient.mappings((message or {}).get("parts"))
    texts = parts.select_texts(content)
    calls = [
        parts.make_call(part.get("id"), part.get("name"), part.get("arguments"))
        for part in content
        if part.get("type") == "tool_call"
    ]
    thoughts = parts.select_texts(content, "reasoning")
    return Answer(
        **{
            "text": "".join(texts) if texts else None,
            "tool_calls": calls,
            "reasoning": "\n\n".join(thoughts) or None,
            **fields,
        }
    )


def finish(spans: Sequence[Draft]) -> list[SpanFacts]:
    """Return the spans of a session."""
    return [SpanFacts(**draft) for draft in spans]
