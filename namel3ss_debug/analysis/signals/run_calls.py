"""Read the calls of a run once, for all signals: what each model read, wrote and called, and what each tool got and returned.

A request repeats the conversation so far, so each message is read once, however many requests hold it.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from namel3ss_debug.analysis.failures.claims import claimed_error, may_claim
from namel3ss_debug.analysis.failures.steps import Leaf, is_empty, iter_leaves, normal, read_json
from namel3ss_debug.traces.span_table import SpanWatcher
from namel3ss_debug.wire import lenient
from namel3ss_debug.wire.conversations import is_continuation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from namel3ss_debug.analysis.totals import Options
    from namel3ss_debug.traces.events import Event
    from namel3ss_debug.traces.span_table import SpanTable

_LONGEST = 60_000
_MOST_CALLS = 4_000
"""So many calls of models, and of tools, are read: about a second. The signals of longer runs are those of their beginning."""

_NO_LETTERS = bytes(code for code in range(128) if not chr(code).isalnum())
_CALLERS = frozenset({"agent", "chain", "tool", "prompt", "app"})
_STOPS = ("stop_reason", "termination_reason")
_IDENTIFIER = re.compile(r"(?<![\w.-])(?=[\w.-]*\d)[A-Za-z]{1,8}[-_#]?\d[\w-]{2,24}(?![\w-])")
NUMBER = re.compile(r"(?<![\w.,])-?\d{1,3}(?:,\d{3})+(?:\.\d+)?(?![\w,])|(?<![\w.,-])-?\d+(?:\.\d+)?(?![\w])")


@dataclass(eq=False)
class MessageText:
    """One message, which several requests may hold."""

    role: str
    text: str
    texts: str
    """Only what was written in it: no calls."""
    has_calls: bool

    @cached_property
    def searched(self) -> str:
        """Return its text to search for values."""
        return normal(self.text)

    @cached_property
    def squeezed(self) -> str:
        """Return its letters and digits alone, in lower case."""
        return squeeze(self.text)

    @cached_property
    def specifics(self) -> tuple[str, ...]:
        """Return the identifiers and amounts that were written in it."""
        return find_specifics(self.texts)


@dataclass(eq=False)
class Caller:
    """A span around calls: an agent, a step, or a tool that asks a model."""

    row: int
    number: int
    end_number: int
    component: str
    name: str
    inputs: Any
    outputs: Any
    failed: bool
    parent: int
    conversation: str
    """The id under which a framework keeps the conversation between its runs; "" for none."""


@dataclass(eq=False)
class RunModelCall:
    """One call of a model that ended without failing."""

    row: int
    number: int
    end_number: int
    owner: int
    """The row of the agent around it, else of the span around it; -1 for none."""
    parent: int
    task: str
    site: str
    chain: tuple[str, ...]
    messages: tuple[MessageText, ...]
    tools: dict[str, Any]
    only_functions: bool
    tools_text: str
    text: str
    calls: list[dict[str, Any]]
    finish: str
    limit: int | None
    continues: bool
    structured: bool
    form: dict[str, Any]
    """The schema that its answer was asked to have."""

    def holds(self, squeezed: str) -> bool:
        """Return whether letters and digits are in its request, or in its tools."""
        return (
            any(squeezed in message.squeezed for message in self.messages) or squeezed in self.squeezed_tools
        )

    @cached_property
    def squeezed_tools(self) -> str:
        """Return the letters and digits of the tools that it was offered."""
        return squeeze(self.tools_text)


@dataclass(eq=False)
class RunToolCall:
    """One call of a tool, or a search of a retriever, that ended."""

    row: int
    number: int
    end_number: int
    owner: int
    parent: int
    task: str
    name: str
    call_id: str
    arguments: Any
    result: Any
    failed: bool
    reports_error: bool
    searches: bool

    @cached_property
    def text(self) -> str:
        """Return its result as text."""
        return self.result if isinstance(self.result, str) else _dump(self.result)

    @cached_property
    def leaves(self) -> list[Leaf]:
        """Return the values of its arguments."""
        return list(iter_leaves(read_json(self.arguments)))

    @cached_property
    def returned(self) -> list[Leaf]:
        """Return the values of its result."""
        return list(iter_leaves(read_json(self.result)))

    @property
    def is_empty(self) -> bool:
        """Return whether it returned nothing, but not None."""
        return self.result is not None and not self.failed and is_empty(read_json(self.result))


@dataclass
class RunCalls:
    """The calls of a run, in the order in which they began."""

    models: list[RunModelCall] = field(default_factory=list)
    tools: list[RunToolCall] = field(default_factory=list)
    callers: dict[int, Caller] = field(default_factory=dict)
    failures: list[int] = field(default_factory=list)
    stops: list[tuple[int, str]] = field(default_factory=list)
    left_out: int = 0

    @cached_property
    def by_owner(self) -> dict[tuple[int, str], list[RunModelCall]]:
        """Return the calls of models by agent; of those outside of agents by thread or task."""
        groups: dict[tuple[int, str], list[RunModelCall]] = {}
        for call in self.models:
            groups.setdefault((call.owner, "" if call.owner >= 0 else call.task), []).append(call)
        return groups

    @cached_property
    def by_agent(self) -> dict[str, list[RunModelCall]]:
        """Return the calls of models by the name of the agent: one that runs again goes on with its conversation."""
        groups: dict[str, list[RunModelCall]] = {}
        for call in self.models:
            agent = self.callers.get(call.owner)
            groups.setdefault(agent.name if agent else "", []).append(call)
        return groups

    @cached_property
    def asked(self) -> dict[str, RunModelCall]:
        """Return the call of a model that asked for a tool, by the id of the tool's call."""
        return {
            str(each["id"]): call for call in self.models for each in call.calls if each.get("id") is not None
        }

    @cached_property
    def starts(self) -> list[MessageText]:
        """Return the messages of the system and of users, each once."""
        seen: dict[int, MessageText] = {}
        for call in self.models:
            for message in call.messages:
                if message.role in {"user", "system", "developer"}:
                    seen.setdefault(id(message), message)
        return list(seen.values())

    def writer(self, tool: RunToolCall) -> RunModelCall | None:
        """Return the call of a model that asked for a call of a tool; None where that is not known."""
        found = self.asked.get(tool.call_id) if tool.call_id else None
        if found is not None:
            return found
        arguments = read_json(tool.arguments)
        models = self.models if tool.owner < 0 else self.by_owner.get((tool.owner, ""), [])
        for call in reversed(models):
            if call.end_number < tool.number:
                if any(
                    each.get("name") == tool.name and read_json(each.get("arguments")) == arguments
                    for each in call.calls
                ):
                    return call
                break
        return None

    def last_inside(self, caller: Caller) -> RunModelCall | None:
        """Return the last call of a model between the start and the end of a span."""
        index = bisect_left(self.models, caller.end_number, key=lambda call: call.number) - 1
        return self.models[index] if index >= 0 and self.models[index].number > caller.number else None

    def around(self, row: int) -> Iterator[Caller]:
        """Yield the spans around a row, from inside to outside."""
        while row in self.callers:
            yield self.callers[row]
            row = self.callers[row].parent


class RunCallsReader(SpanWatcher):
    """Keeps what the signals read of each call."""

    events = frozenset({"memory_operation"})

    def __init__(self, _options: Options) -> None:
        self.calls_read = RunCalls()
        self._messages: dict[bytes, MessageText] = {}
        self._inner: set[int] = set()
        self._searches: list[tuple[int, int, Any]] = []

    def event(self, number: int, event: Event) -> None:
        """Take the documents that a retriever found."""
        outputs = lenient.mapping(event.get("outputs"))
        if "documents" in outputs and len(self._searches) < _MOST_CALLS:
            self._searches.append((number, self.find_parent(event), outputs["documents"]))

    def span(self, spans: SpanTable, row: int, start: Event, end: Event) -> None:
        """Take a span that ended."""
        component, run = spans.component(row), self.calls_read
        if spans.failed[row]:
            run.failures.append(spans.number[row])
        if not end:
            return
        if (
            component in {"llm", "tool"}
            and len(run.models if component == "llm" else run.tools) >= _MOST_CALLS
        ):
            run.left_out += 1
        elif component == "llm" and not spans.failed[row]:
            self._mark_inner(spans, row)
            run.models.append(self._read_model(spans, row, start, end))
        elif component == "tool":
            run.tools.append(_read_tool(spans, row, start, end))
        outputs = end.get("outputs")
        if component in _CALLERS and len(run.callers) < _MOST_CALLS:
            run.callers[row] = Caller(
                row, spans.number[row], spans.end[row], component, spans.name(row),
                start.get("inputs"), outputs, bool(spans.failed[row]), spans.parent[row],
                str(lenient.mapping(start.get("metadata")).get("thread_id") or ""),
            )  # fmt: skip
        known = lenient.mapping(outputs)
        for fields in (known, lenient.mapping(known.get("result"))):
            run.stops += [(spans.end[row], fields[key]) for key in _STOPS if isinstance(fields.get(key), str)]

    def _mark_inner(self, spans: SpanTable, row: int) -> None:
        """Note the spans around a call of a model: those of models among them report the same call."""
        parent = spans.parent[row]
        while parent >= 0 and parent not in self._inner:
            self._inner.add(parent)
            parent = spans.parent[parent]

    def _read_model(self, spans: SpanTable, row: int, start: Event, end: Event) -> RunModelCall:
        inputs, outputs = lenient.mapping(start.get("inputs")), lenient.mapping(end.get("outputs"))
        tools = lenient.mappings(inputs.get("tools"))
        params = lenient.mapping(inputs.get("params"))
        metadata = lenient.mapping(start.get("metadata"))
        limit = next(
            (lenient.count(params.get(key)) for key in ("max_tokens", "max_completion_tokens", "max_output_tokens") if key in params),
            None,
        )  # fmt: skip
        messages = lenient.sequence(inputs.get("messages"))
        system = inputs.get("system")
        if isinstance(system, str) and system:
            messages = [{"role": "system", "content": system}, *messages]
        return RunModelCall(
            row, spans.number[row], spans.end[row], -1, spans.parent[row], _task_of(start),
            str(start.get("call_site") or ""), tuple(map(str, lenient.sequence(metadata.get("chain")))),
            tuple(map(self._read_message, messages)),
            {str(tool["name"]): tool.get("parameters") for tool in tools if isinstance(tool.get("name"), str)},
            bool(tools) and all(isinstance(tool.get("parameters"), dict) and isinstance(tool.get("name"), str) for tool in tools),
            _dump(tools) if tools else "",
            lenient.string(outputs.get("text")) or "", lenient.mappings(outputs.get("tool_calls")),
            str(outputs.get("finish_reason") or ""), limit, is_continuation(inputs),
            any(key in params for key in ("response_format", "response_schema", "format", "text")),
            _form_of(params),
        )  # fmt: skip

    def _read_message(self, message: Any) -> MessageText:
        key = lenient.dump(message)
        known = self._messages.get(key)
        if known is None:
            known = self._messages[key] = _make_message(message)
        return known

    def settle(self, spans: SpanTable) -> RunCalls:
        """Return the calls of the run."""
        run = self.calls_read
        run.models = [call for call in run.models if call.row not in self._inner]
        for number, row, documents in self._searches:
            caller = run.callers.get(row)
            inputs = caller.inputs if caller else None
            run.tools.append(
                RunToolCall(
                    row,
                    caller.number if caller else number,
                    number,
                    -1,
                    caller.parent if caller else row,
                    "",
                    caller.name if caller else "retriever",
                    "",
                    inputs,
                    documents,
                    failed=False,
                    reports_error=False,
                    searches=True,
                )
            )
        run.tools = [tool for tool in run.tools if not self._repeats(spans, tool)]
        for call in run.models:
            call.owner = spans.agent[call.row]
        for tool in run.tools:
            tool.owner = spans.agent[tool.row]
            # The tools of LangGraph run in threads of their own.
            tool.task = run.asked[tool.call_id].task if tool.call_id in run.asked else tool.task
        run.models.sort(key=lambda call: call.number)
        run.tools.sort(key=lambda call: call.number)
        run.failures.sort()
        return run

    @staticmethod
    def _repeats(spans: SpanTable, tool: RunToolCall) -> bool:
        """Return whether a tool is the function of a tool of the same name around it."""
        around = spans.parent[tool.row]
        return not tool.searches and around >= 0 and spans.operation[around] == spans.operation[tool.row]


def _read_tool(spans: SpanTable, row: int, start: Event, end: Event) -> RunToolCall:
    inputs, outputs = lenient.mapping(start.get("inputs")), end.get("outputs")
    result = outputs.get("result", outputs) if isinstance(outputs, dict) else outputs
    return RunToolCall(
        row, spans.number[row], spans.end[row], -1, spans.parent[row], _task_of(start),
        spans.name(row), str(inputs.get("call_id") or ""), inputs.get("arguments", inputs), result,
        bool(spans.failed[row]), bool(may_claim(outputs) and claimed_error(end) is not None),
        _SEARCH.search(spans.name(row)) is not None,
    )  # fmt: skip


_SEARCH = re.compile(
    r"search|find|look.?up|query|retriev|fetch|get|list|read|select|browse|load", re.IGNORECASE
)


def _form_of(params: dict[str, Any]) -> dict[str, Any]:
    for asked in (
        lenient.mapping(params.get("response_format")).get("json_schema"),  # chat completions
        lenient.mapping(params.get("text")).get("format"),  # responses
        {"schema": params.get("response_schema")},
    ):
        schema = lenient.mapping(lenient.mapping(asked).get("schema"))
        if schema:
            return schema
    return {}


def _task_of(start: Event) -> str:
    metadata = lenient.mapping(start.get("metadata"))
    return str(metadata.get("lineage") or start.get("task") or start.get("thread") or "")


def _make_message(message: Any) -> MessageText:
    known = lenient.mapping(message)
    role = str(known.get("role") or "")
    parts = known.get("parts", known.get("content"))
    written, whole = [], []
    has_calls = bool(known.get("tool_calls"))
    if isinstance(parts, str):
        written.append(parts)
    for part in lenient.sequence(parts):
        kind = lenient.string(part.get("type")) if isinstance(part, dict) else None
        text = (
            part
            if isinstance(part, str)
            else (part.get("content", part.get("text")) if isinstance(part, dict) else None)
        )
        if kind in {"tool_call_response", "tool_result"}:
            role = "tool"
            response = part.get("response", part.get("result", part.get("content")))
            whole.append(response if isinstance(response, str) else _dump(response))
        elif kind in {"tool_call", "tool_use", "function_call"}:
            has_calls = True
            whole.append(_dump(part))
        elif isinstance(text, str) and kind in {None, "text", "input_text", "output_text"}:
            written.append(text)
        elif part is not None and kind not in {"image", "audio", "blob", "file"}:
            whole.append(_dump(part))
    if known.get("tool_calls"):
        whole.append(_dump(known["tool_calls"]))
    texts = "\n".join(written)[:_LONGEST]
    return MessageText(role, "\n".join((texts, *whole))[: 2 * _LONGEST], texts, has_calls)


def _dump(value: Any) -> str:
    return lenient.dump(value).decode(errors="replace") if value is not None else ""


def squeeze(text: str) -> str:
    """Return the letters and digits of a text, in lower case."""
    # Bytes lose characters in a tenth of the time that a pattern takes.
    return text.lower().encode("ascii", "ignore").translate(None, _NO_LETTERS).decode()


def find_specifics(text: str) -> tuple[str, ...]:
    """Return the identifiers in a text, and its numbers of three digits or more that are no years."""
    found = dict.fromkeys(match[0] for match in _IDENTIFIER.finditer(text[:_LONGEST]))
    for match in NUMBER.finditer(text[:_LONGEST]):
        digits = re.sub(r"\D", "", match[0])
        if len(digits) >= 3 and not re.fullmatch(r"(?:19|20)\d\d", digits) and digits.strip("0"):
            found.setdefault(match[0])
    return tuple(found)
