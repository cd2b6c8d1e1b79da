"""Read sessions of Claude Code, `~/.claude/projects/*/*.jsonl`: one JSON object on each line.

A message of the model stands on several lines, one for each block of its content, and each repeats the usage so far;
the last one counts. What `claude -p --output-format stream-json` prints is read too: its messages repeat the usage of
their beginning, so that only the total of its last row counts. A subagent is a file `agent-ID.jsonl`, beside the session or below `SESSION/subagents`; in older
versions its lines are in the session itself and marked `isSidechain`. It joins below the call that started it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from namel3ss_debug.importers.conversation import AgentSession, Draft, finish
from namel3ss_debug.importers.files import peek_objects, read_objects
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
from namel3ss_debug.wire import anthropic_messages, lenient
from namel3ss_debug.wire.contract import Answer

_TITLES: Final = {"custom-title": "customTitle", "summary": "summary", "ai-title": "aiTitle"}
"""Type of a row with a title -> its field; the first type of this table that a session has counts."""

_AGENT_TOOLS: Final = frozenset({"Task", "Agent"})
_READ: Final = frozenset(
    {
        *("type", "message", "timestamp", "parentUuid", "isSidechain", "sessionId", "cwd", "version", "gitBranch"),
        *("userType", "agentId", "costUSD", "durationMs", "isApiErrorMessage", "entrypoint", "slug"),
    }
)  # fmt: skip
_TOTALS: Final = {
    "input_tokens": ("inputTokens", "input_tokens"),
    "output_tokens": ("outputTokens", "output_tokens"),
    "cache_read_tokens": ("cacheReadInputTokens", "cache_read_input_tokens"),
    "cache_write_tokens": ("cacheCreationInputTokens", "cache_creation_input_tokens"),
}
_INTERRUPTED: Final = "[Request interrupted by user"
_NOT_TYPED: Final = ("<local-command-", "Caveat: The messages below")
"""How texts begin that stand as messages of the user, who did not type them."""

_REJECTED: Final = "The user doesn't want to proceed with this tool use"
_LOUD: Final = frozenset({"warning", "error"})
_MOST_SUBAGENTS: Final = 10_000


def sniff(head: bytes) -> bool:
    """Return whether a row near the beginning is a message with an id, or any other row of a session."""
    if not any(name in head for name in (b'"uuid"', b'"leafUuid"', b'"session_id"')):
        return False
    return any(
        (
            "uuid" in row
            and row.get("type") in ("user", "assistant")
            and "role" in lenient.mapping(row.get("message"))
        )
        or ("uuid" in row and "parentUuid" in row and "sessionId" in row)
        or (row.get("type") == "summary" and "leafUuid" in row)
        # What `claude -p` prints had no ids of rows at first; with `--output-format json` it is the last row alone.
        or ("session_id" in row and row.get("type") == "system" and row.get("subtype") == "init")
        or ("session_id" in row and row.get("type") == "result" and "num_turns" in row)
        for row in peek_objects(head)
    )


def read(
    files: tuple[Path, ...], problems: Problems, consumed: Callable[[int], None] | None = None
) -> Iterator[Event]:
    """Yield the events of a session and of its subagents."""
    session = _ClaudeSession(problems)
    for path in files:
        for row in read_objects(path, problems, consumed):
            session.add(row)
    seen = {path.name for path in files}
    # A subagent may start others, so the list grows while it is read.
    for path in session.find_subagents(files[0]):
        if path.name not in seen:
            seen.add(path.name)
            for row in read_objects(path, problems, consumed):
                session.add(row)
    yield from session.make_events()


class _SpreadMessage:
    """A message of the model, gathered from its rows."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.content: list[Any] = []
        self.fields: dict[str, Any] = {}
        self.has_results = False

    def add(self, message: dict[str, Any], at: float | None) -> None:
        content = message.get("content")
        self.content += (
            content if isinstance(content, list) else [{"type": "text", "text": content}] if content else []
        )
        self.fields |= lenient.drop_none(message)
        # Claude Code starts a tool as soon as its call is complete, while the model still writes further calls. The
        # call of the model ends here before its first tool returns, so that what was caused stands behind its cause.
        if at is not None and not self.has_results:
            self.draft["ended"] = max(at, self.draft["ended"] or at)

    def answer(self) -> Answer:
        usage = plain_counts(self.fields.get("usage"))
        return anthropic_messages.decode_response(self.fields | {"content": self.content, "usage": usage})


class _ClaudeSession:
    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._spans: list[Draft] = []
        self._others: list[Event] = []
        self._conversations: dict[str, AgentSession] = {}
        self._messages: dict[str, _SpreadMessage] = {}
        self._callers: dict[str, tuple[AgentSession, _SpreadMessage]] = {}  # id of a tool call -> who called
        self._times: dict[str, float | None] = {}  # uuid of a row -> its time
        self._roots: dict[str, str] = {}  # uuid of a row of a sidechain -> that of its first row
        self._agents: dict[str, str] = {}  # id of a subagent -> the id of the tool call that started it
        self._titles: dict[str, str] = {}
        self._total: dict[str, Any] = {}  # the last row of what `claude -p` prints, with the usage of all
        self._first_prompt = ""

    def add(self, value: dict[str, Any]) -> None:
        """Take the next row."""
        kind = str(value.get("type"))
        uuid = lenient.string(value.get("uuid"))
        if kind in _TITLES:
            title = value.get(_TITLES[kind])
            if isinstance(title, str) and title:
                self._titles[kind] = title
            return
        if uuid is not None and uuid in self._times:
            self._problems.left_out["rows that repeat an earlier one"] += 1
            return
        at = parse_time(value.get("timestamp"))
        if uuid is not None:
            self._times[uuid] = at
        if kind == "result" and "session_id" in value:
            self._add_total(value)
            return
        if kind not in ("user", "assistant", "system", "progress"):
            self._problems.left_out[f"rows of type {kind}"] += 1
            return
        if kind == "progress":
            self._add_progress(value)
        elif kind == "system":
            self._add_system(value, at)
        else:
            message = lenient.mapping(value.get("message"))
            conversation = self._find_conversation(value, message)
            (self._add_user if kind == "user" else self._add_assistant)(value, message, conversation, at)

    def _add_total(self, row: dict[str, Any]) -> None:
        """Take the last row of what `claude -p` prints: the amounts of all, and its answer where no row before has one."""
        self._total = row
        conversation = self._find_conversation(row, {})
        if not self._messages and isinstance(row.get("result"), str):
            conversation.answer("result", None, Answer(text=row["result"]))
        if row.get("is_error"):
            text = row.get("result") or row.get("subtype")
            conversation.span["failure"] = SpanError(lenient.string(row.get("subtype")), str(text))
        duration = parse_number(row.get("duration_ms"))
        if duration is not None and "started" not in conversation.span:
            conversation.span["duration_ms"] = duration

    def find_subagents(self, session: Path) -> Iterator[Path]:
        """Yield the files of the subagents that the rows so far name, and of those in the folder of the session."""
        folder = session.with_suffix("") / "subagents"
        try:
            below = sorted(folder.glob("agent-*.jsonl"))[:_MOST_SUBAGENTS]
        except OSError:
            below = []
        done: set[str] = set()
        while todo := [agent for agent in self._agents if agent not in done]:
            for agent in todo:
                done.add(agent)
                name = f"agent-{agent}.jsonl"
                places = (folder / name, session.with_name(name)) if name == Path(name).name else ()
                path = next((path for path in places if path.is_file()), None)
                if path is not None:
                    yield path
                elif agent not in self._conversations and agent not in self._callers:
                    self._problems.left_out["subagents whose file is not beside the session"] += 1
        for path in below:
            call_id = _started_by(path)
            if call_id is not None:
                self._agents.setdefault(path.stem.removeprefix("agent-"), call_id)
            yield path

    def make_events(self) -> Iterator[Event]:
        """Yield the events, once every row was added."""
        for message in self._messages.values():
            answer = message.answer()
            message.draft |= {"outputs": answer.to_outputs(), "usage": {} if self._total else answer.usage}
            if message.draft.get("cost") is None:
                message.draft["cost"] = answer.cost
        if self._total and self._spans:
            models = lenient.mappings(list(lenient.mapping(self._total.get("modelUsage")).values()))
            models = models or [lenient.mapping(self._total.get("usage"))]  # of older versions
            used = [read_usage(counts, _TOTALS) for counts in models]
            total = {name: sum(counts.get(name, 0) for counts in used) for name in _TOTALS}
            total["input_tokens"] += total["cache_read_tokens"] + total["cache_write_tokens"]
            self._spans[0] |= {"usage": total, "cost": parse_cost(self._total.get("total_cost_usd"))}
        for call_id, (conversation, message) in self._callers.items():
            tool, ended = conversation.tools[call_id], message.draft["ended"]
            if tool["started"] is not None and ended is not None:
                tool["started"] = max(tool["started"], ended)
                if tool.get("duration_ms") is not None and tool.get("ended") is not None:
                    # It ran while the model still wrote, so less of its time is behind the call of the model.
                    tool["duration_ms"] = min(
                        tool["duration_ms"], max(tool["ended"] - tool["started"], 0.0) * 1e3
                    )
        for agent, conversation in self._conversations.items():
            caller = self._callers.get(self._agents.get(agent, ""))
            session = self._conversations.get(conversation.session_id or "")
            if conversation.span["parent_id"] is not None:
                continue
            if caller is not None:
                self._join(conversation, caller[0].tools[self._agents[agent]])
            elif (
                session is not None and session is not conversation
            ):  # such as the agent that writes a summary
                conversation.span["parent_id"] = session.span["span_id"]
        title = next((self._titles[kind] for kind in _TITLES if kind in self._titles), self._first_prompt)
        source = {"format": "claude-code", "title": title}
        yield from make_trace(lenient.drop_empty(source), finish(self._spans), self._others)

    def _join(self, conversation: AgentSession, tool: Draft) -> None:
        span = conversation.span
        span["parent_id"] = tool["span_id"]
        name = lenient.mapping(tool["inputs"].get("arguments")).get("subagent_type")
        if isinstance(name, str) and name:
            for each in self._spans:
                if each["kind"] in ("agent", "turn") and each["span_id"].startswith(span["span_id"]):
                    each["name"] = name

    def _find_conversation(self, row: dict[str, Any], message: dict[str, Any]) -> AgentSession:
        session_id = lenient.string(row.get("sessionId", row.get("session_id"))) or "session"
        call_id = lenient.string(row.get("parent_tool_use_id"))
        agent = lenient.string(row.get("agentId")) or call_id
        if call_id is not None:
            self._agents.setdefault(call_id, call_id)
        tool: Draft | None = None
        key = agent or session_id
        if agent is None and row.get("isSidechain"):
            uuid, parent = str(row.get("uuid")), str(row.get("parentUuid"))
            key = self._roots[uuid] = self._roots.get(parent, uuid)
            tool = self._find_caller(message) if key == uuid else None
        found = self._conversations.get(key)
        if found is None:
            is_sub = key != session_id
            fields = {name: row.get(name) for name in ("cwd", "version", "gitBranch", "slug", "entrypoint")}
            found = self._conversations[key] = AgentSession(
                self._spans,
                f"agent-{key[:8]}" if is_sub else "claude-code",
                f"agent:{key}",
                session_id=session_id,
                metadata=rest_of(fields, ()),
            )
            if tool is not None:
                self._join(found, tool)
        return found

    def _find_caller(self, message: dict[str, Any]) -> Draft | None:
        """Return the call of a tool that started a sidechain: its prompt is the first message there."""
        prompt = _text_of(message.get("content"))
        started = [
            conversation.tools[call_id]
            for call_id, (conversation, _) in self._callers.items()
            if conversation.tools[call_id]["name"] in _AGENT_TOOLS
        ]
        return next(
            (tool for tool in reversed(started) if tool["inputs"]["arguments"].get("prompt") == prompt), None
        )

    def _add_assistant(
        self, row: dict[str, Any], message: dict[str, Any], conversation: AgentSession, at: float | None
    ) -> None:
        model = lenient.string(message.get("model"))
        text = _text_of(message.get("content"))
        if model == "<synthetic>" and not row.get("isApiErrorMessage"):
            self._problems.left_out["messages that Claude Code made itself"] += 1
            return
        ids = (message.get("id"), row.get("requestId"), row.get("uuid"))
        answer_id = next((each for each in ids if isinstance(each, str) and each), f"#{len(self._times)}")
        known = self._messages.get(answer_id)
        if known is None:
            duration = parse_number(row.get("durationMs"))
            draft = conversation.answer(
                answer_id,
                None if model == "<synthetic>" else model,
                Answer(),
                at,
                began=self._times.get(str(row.get("parentUuid"))),
                **({} if duration is None else {"duration_ms": duration}),
                metadata={"provider": "anthropic", **rest_of(row, _READ)},
            )
            if row.get("isApiErrorMessage"):
                draft["failure"] = SpanError(lenient.string(row.get("error")), text)
            known = self._messages[answer_id] = _SpreadMessage(draft)
        known.add(message, at)
        cost = parse_cost(row.get("costUSD"))  # of versions before 1.0.9; each row has that of its message
        if cost is not None:
            known.draft["cost"] = cost
        for block in lenient.mappings(message.get("content")):
            call_id = block.get("id")
            if block.get("type") == "tool_use" and isinstance(call_id, str) and call_id not in self._callers:
                conversation.call(call_id, lenient.string(block.get("name")) or "", block.get("input"), at)
                self._callers[call_id] = (conversation, known)

    def _add_user(
        self, row: dict[str, Any], message: dict[str, Any], conversation: AgentSession, at: float | None
    ) -> None:
        content = message.get("content")
        results = [block for block in lenient.mappings(content) if block.get("type") == "tool_result"]
        for block in results:
            self._add_result(row, block, at)
        rest = content
        if isinstance(content, list):
            rest = [block for block in content if block not in results]
        if not rest:
            return
        (decoded,) = anthropic_messages.decode_request({"messages": [{"role": "user", "content": rest}]})[
            "messages"
        ]
        text = _text_of(rest)
        if text.startswith(_INTERRUPTED):
            conversation.read(decoded, at)
            conversation.cancel(at)
        elif row.get("isMeta") or row.get("isCompactSummary") or results or text.startswith(_NOT_TYPED):
            conversation.read(decoded, at)
        else:
            conversation.prompt(text, decoded, at)
            if not row.get("isSidechain") and text and not text.startswith("<"):
                self._first_prompt = self._first_prompt or text

    def _add_result(self, row: dict[str, Any], block: dict[str, Any], at: float | None) -> None:
        call_id = str(block.get("tool_use_id"))
        caller = self._callers.get(call_id)
        if caller is None:
            self._problems.left_out["results of tools whose call is not in the file"] += 1
            return
        conversation, message = caller
        message.has_results = True
        (decoded,) = anthropic_messages.decode_request({"messages": [{"role": "user", "content": [block]}]})[
            "messages"
        ]
        result = decoded["parts"][0].get("response")
        failure: SpanError | None = None
        more: dict[str, Any] = {}
        if block.get("is_error"):
            text = result if isinstance(result, str) else _text_of(block.get("content"))
            failure = SpanError(None, text)
            if text.startswith((_REJECTED, _INTERRUPTED)):
                more["status"] = "cancelled"
        details = row.get("toolUseResult", row.get("tool_use_result"))
        if isinstance(details, dict):
            duration = parse_number(details.get("totalDurationMs", details.get("durationMs")))
            more |= {"metadata": rest_of(details, ())}
            more |= {} if duration is None else {"duration_ms": duration}
            if isinstance(details.get("agentId"), str) and call_id not in self._agents:
                self._agents.setdefault(details["agentId"], call_id)
        conversation.result(call_id, result, at, failure=failure, **more)

    def _add_progress(self, row: dict[str, Any]) -> None:
        data = lenient.mapping(row.get("data"))
        self._problems.left_out[f"rows of type progress ({data.get('type')})"] += 1
        agent, call_id = data.get("agentId"), row.get("parentToolUseID")
        if isinstance(agent, str) and isinstance(call_id, str):
            self._agents.setdefault(agent, call_id)

    def _add_system(self, row: dict[str, Any], at: float | None) -> None:
        kind, level = row.get("subtype"), str(row.get("level"))
        conversation = self._find_conversation(row, {})
        base = {"event_id": f"#{row.get('uuid')}", "parent_event_id": conversation.parent["span_id"]}
        base |= {} if at is None else {"timestamp": at}
        if kind == "compact_boundary":
            conversation.forget()
            metadata = lenient.drop_empty({"source": row.get("compactMetadata")})
            self._others.append(
                base | {"event_type": "memory_summarization", "component": "memory", "metadata": metadata}
            )
        elif level in _LOUD:
            text = str(row.get("content") or lenient.mapping(row.get("error")).get("message") or kind)
            record = {
                "level": level,
                "message": text,
                **rest_of(row, {*_READ, "level", "content", "subtype"}),
            }
            self._others.append(
                base
                | {
                    "event_type": "log_record",
                    "component": "log",
                    "component_name": str(kind),
                    "metadata": record,
                }
            )
        else:
            self._problems.left_out[f"rows of type system ({kind})"] += 1


def _started_by(path: Path) -> str | None:
    """Return the id of the call that started a subagent, which Claude Code 2 writes beside its file."""
    try:
        about = path.with_suffix(".meta.json").read_text(errors="replace")
    except OSError:
        return None
    return lenient.string(lenient.mapping(lenient.load(about)).get("toolUseId"))


def _text_of(content: Any) -> str:
    """Return the texts in the content of a message."""
    if isinstance(content, str):
        return content
    texts = [
        block if isinstance(block, str) else lenient.mapping(block).get("text")
        for block in lenient.sequence(content)
    ]
    return "\n".join(text for text in texts if isinstance(text, str)).strip()
