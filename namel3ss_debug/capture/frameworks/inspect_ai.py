"""inspect-ai: each attempt at a sample is a tree, with its solvers, agents, tools and scorers inside it.

Inspect writes spans and events into the transcript of each sample. Its public hooks receive them later, in another
task, and Inspect prints which hooks are enabled. So the methods of the transcript are followed: they run in the task
that does the work. A sample is a chain, a solver or a span of the user's own is a step, and a scorer is a validation.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from namel3ss_debug.capture.core.patching import Undo, replace
from namel3ss_debug.capture.frameworks.structure import Structure, observe, observe_creation, read_safely
from namel3ss_debug.capture.seams.functions import hot_calls, rewrite
from namel3ss_debug.capture.seams.functions.tools import register_functions
from namel3ss_debug.wire import lenient

_GROUPS = {"init", "solvers", "scorers", "tool", "handoff", "checkpoint"}
"""Types of spans that are not recorded: stages of a sample, and tools, which an event of their own describes."""

_KINDS: dict[str, tuple[str, str | None]] = {"agent": ("agent", None), "scorer": ("validation", None)}
"""Type of a span -> component and event types. Any other span is a step."""
_STEP = ("chain", "chain_step")

_TEST_MODEL = "mockllm/"
"""The beginning of the names of Inspect's test models, whose token counts are made up."""

_OBSERVERS: WeakKeyDictionary[Structure, _TranscriptObserver] = WeakKeyDictionary()


def follow(module: Any, structure: Structure) -> list[Undo]:
    """Follow samples, transcripts, tools or files of tasks, depending on the module.

    Raises:
        AttributeError: the module lacks a class or a method that is followed.
    """
    observer = _OBSERVERS.setdefault(structure, _TranscriptObserver(structure))
    name = module.__name__.rpartition(".")[2]

    def before(report: Callable[..., None]) -> Callable[[Any], Any]:
        return lambda original: observe(original, structure, report, lambda _state, _result: None)

    def after(report: Callable[[Any], None]) -> Callable[[Any], Any]:
        return lambda original: observe_creation(original, structure, report)

    if name == "module":  # it loads files of tasks past the finders of modules
        return [
            replace(
                module,
                "SourceFileLoader",
                lambda original: lambda *args: rewrite.find_loader(*args) or original(*args),
            )
        ]
    if name == "_tool":
        return [replace(module, "tool_register", before(_skip_factory))]
    if name == "_tool_def":
        return [replace(module.ToolDef, "__init__", after(_register_tool))]
    if name == "_samples":
        return [
            replace(module.ActiveSample, "__init__", after(observer.begin_sample)),
            replace(module.ActiveSample, "complete", before(observer.end_sample)),
        ]
    return [
        replace(module.Transcript, "_event", before(observer.on_event)),
        replace(module.Transcript, "_event_updated", before(observer.on_update)),
    ]


def _skip_factory(factory: Any, *_args: Any, **_kwargs: Any) -> None:
    """Keep calls of a function that makes a tool out of the trace. It has the name of the tool, but is not the tool."""
    code = hot_calls.code_of(factory)
    if code is not None:
        hot_calls.HOOKED.add(code)


def _register_tool(tool: Any) -> None:
    """Register the function of a tool, which usually has another name than the tool."""
    register_functions(tool.name, tool.tool)


@dataclass(slots=True)
class _Sample:
    """What the end of a sample reports."""

    scores: dict[str, Any] = field(default_factory=dict)
    limit: str | None = None
    failure: tuple[str, str] | None = None


class _Span(NamedTuple):
    """A span of a transcript that has not ended.

    Attributes:
        kind: its type.
        name: its name.
        parent: the id of its parent, if it has one.
        handled: the exception that was being handled when it began.
    """

    kind: str
    name: str
    parent: str | None
    handled: BaseException | None


class _TranscriptObserver:
    """Reports to a `Structure` what the transcripts of samples receive. A sample has the id of its transcript as its key."""

    def __init__(self, structure: Structure) -> None:
        self._structure = structure
        self._samples: dict[int, _Sample] = {}
        self._spans: dict[str, _Span] = {}
        self._scores: dict[str, dict[str, Any]] = {}  # by the id of the scorer's span
        self._tool_span = ""  # the id of the latest span of a tool; the event of the call follows at once
        self._tools: dict[str, str] = {}  # id of the event of a tool -> id of its span

    def begin_sample(self, active: Any) -> None:
        """Begin to record an attempt at a sample."""
        sample, key = active.sample, id(active.transcript)
        self._samples[key] = _Sample()
        inputs = {"input": _format_input(sample.input), "target": sample.target, "choices": sample.choices}
        metadata = {"sample_id": sample.id, "epoch": active.epoch, "model": active.model}
        errors = getattr(active, "error_retries", None)
        if errors:
            metadata["attempt"] = len(errors) + 1
        self._structure.begin(
            key, "chain", f"{active.task}/{sample.id}", inputs=lenient.drop_empty(inputs), metadata=metadata
        )

    def end_sample(self, active: Any) -> None:
        """Record the end of an attempt at a sample, with its output and scores."""
        key = id(active.transcript)
        sample = self._samples.pop(key, _Sample())
        output = getattr(getattr(active, "live_state", None), "output", None)
        outputs = {"output": getattr(output, "completion", None), "scores": sample.scores}
        metadata = {"limit": sample.limit} if sample.limit else None
        if sample.failure is not None and not sample.limit:  # a limit ends the solvers by an exception
            self._structure.mark_failed(key, *sample.failure)
        self._structure.end(key, lenient.drop_empty(outputs), metadata=metadata)

    def on_event(self, transcript: Any, event: Any) -> None:
        """Record something that begins, or that happens at once."""
        report = _REPORTS.get(event.event)
        if report is not None:
            report(self, event, id(transcript))

    def on_update(self, _transcript: Any, event: Any) -> None:
        """Record the end of a model or tool call. An event is also updated in the meantime."""
        structure, key = self._structure, event.uuid
        if event.pending:
            return
        if event.event == "model":
            if structure.is_open(key) and not structure.is_recorded(key):
                self._end_model(key, event)
        elif event.event == "tool" and key in self._tools:
            key = self._tools.pop(key)
            if event.error is not None:
                structure.mark_failed(key, event.error.type, event.error.message)
            structure.end_tool(key, None if event.error is not None else _format_content(event.result))

    def begin_span(self, event: Any, sample: int) -> None:
        """Begin to record a span, and record a hand-off that leads to it."""
        kind, parent = str(event.type), event.parent_id
        self._spans[event.id] = _Span(kind, event.name, parent, sys.exc_info()[1])
        outer = sample if parent is None else parent
        if kind in _GROUPS:
            self._structure.skip(event.id, outer)
            self._tool_span = event.id if kind == "tool" else self._tool_span
            return
        if kind == "agent" and (sender := self._find_sender(parent)) is not None:
            self._hand_off(sender, event.name, outer)
        component, prefix = _KINDS.get(kind, _STEP)
        metadata = None if kind in {event.name, "agent", "scorer"} else {"type": kind}
        self._structure.begin(event.id, component, event.name, parent=outer, prefix=prefix, metadata=metadata)

    def end_span(self, event: Any, sample: int) -> None:
        """Record the end of a span."""
        span = self._spans.pop(event.id, None)
        if span is None or event.id in self._tools.values():  # a tool ends later, with its result
            return
        raised = sys.exc_info()[1]
        error = None if raised is span.handled else raised
        self._structure.end(event.id, self._scores.pop(event.id, None), error)
        if error is not None and span.parent is None and sample in self._samples:
            # An attempt that Inspect is going to repeat has no event for its error.
            self._samples[sample].failure = type(error).__name__, str(error)

    def _find_sender(self, parent: str | None) -> str | None:
        """Return the name of the agent that hands over to the agent that begins inside `parent`."""
        tool = self._spans.get(parent or "")
        if tool is None or not self._is_handoff(tool.parent):
            return None
        outer = self._spans.get(tool.parent or "")
        while outer is not None and outer.kind != "agent":
            outer = self._spans.get(outer.parent or "")
        return "" if outer is None else outer.name

    def _hand_off(self, sender: str, receiver: str, parent: Any) -> None:
        inputs = {"from": sender, "to": receiver}
        handoff = self._structure.parent_of(parent)
        requested = self._structure.take_model_call(f"transfer_to_{receiver}", handoff)
        self._structure.record_event(
            "agent_message",
            parent=handoff,
            component="agent",
            component_name=sender,
            inputs=inputs,
            metadata={"framework": self._structure.framework, "kind": "handoff"} | requested,
        )

    def begin_model(self, event: Any, _sample: int) -> None:
        """Announce a model call."""
        # An event that is complete when it arrives is of a call that was recorded when it was made, or of the cache.
        if event.pending or event.cache == "read":
            self._structure.begin_model(event.uuid, event.model, inputs=lambda: _format_request(event))

    def _end_model(self, key: str, event: Any) -> None:
        if event.error:
            self._structure.mark_failed(key, "error", event.error)
            self._structure.end_model(key)
            return
        is_used = event.cache != "read" and not event.model.startswith(_TEST_MODEL)
        usage = read_safely(self._structure, _read_usage, event.output.usage) if is_used else None
        self._structure.end_model(
            key, read_safely(self._structure, _format_answer, event.output), usage=usage
        )

    def begin_tool(self, event: Any, _sample: int) -> None:
        """Announce a tool call, unless it is a hand-off."""
        span = self._spans.get(self._tool_span)
        if not event.pending or span is None or span.name != event.function or self._is_handoff(span.parent):
            return
        self._tools[event.uuid] = self._tool_span
        self._structure.begin_tool(
            self._tool_span, event.function, event.arguments, parent=span.parent, call_id=event.id
        )

    def _is_handoff(self, span_id: str | None) -> bool:
        span = self._spans.get(span_id or "")
        return span is not None and span.kind == "handoff"

    def add_score(self, event: Any, sample: int) -> None:
        """Keep a score for the end of its scorer and its sample."""
        score = event.score
        outputs = {"value": score.value, "answer": score.answer, "explanation": score.explanation}
        if event.intermediate:
            return
        if event.span_id is not None and self._structure.is_open(event.span_id):
            self._scores[event.span_id] = lenient.drop_none(outputs)
        if sample in self._samples and event.scorer is not None:
            self._samples[sample].scores[event.scorer] = score.value

    def add_limit(self, event: Any, sample: int) -> None:
        """Keep the limit that ended the solvers of a sample."""
        if sample in self._samples:
            self._samples[sample].limit = event.type

    def add_error(self, event: Any, sample: int) -> None:
        """Keep the error of a sample."""
        if sample in self._samples and self._samples[sample].failure is None:
            self._samples[sample].failure = "error", event.error.message


_REPORTS: dict[str, Callable[[_TranscriptObserver, Any, int], None]] = {
    "span_begin": _TranscriptObserver.begin_span,
    "span_end": _TranscriptObserver.end_span,
    "model": _TranscriptObserver.begin_model,
    "tool": _TranscriptObserver.begin_tool,
    "score": _TranscriptObserver.add_score,
    "sample_limit": _TranscriptObserver.add_limit,
    "error": _TranscriptObserver.add_error,
}
"""Kind of an event -> the method that records it."""


def _format_input(sample_input: Any) -> Any:
    """Return the input of a sample: a text, or messages."""
    if isinstance(sample_input, str):
        return sample_input
    return [_format_message(message) for message in sample_input]


def _format_request(event: Any) -> dict[str, Any]:
    tools = [{"name": tool.name, "description": tool.description} for tool in event.tools]
    params = event.config.model_dump(exclude_none=True)
    messages = [_format_message(message) for message in event.input]
    return lenient.drop_empty({"model": event.model, "messages": messages, "tools": tools, "params": params})


def _format_message(message: Any) -> dict[str, Any]:
    """Return a message in the format of OpenTelemetry."""
    content = _format_content(message.content)
    if message.role == "tool":
        part = {"type": "tool_call_response", "id": message.tool_call_id, "response": content}
        return {"role": "tool", "parts": [lenient.drop_none(part)]}
    parts = [{"type": "text", "content": content}] if isinstance(content, str) and content else []
    calls = [{"type": "tool_call", **call} for call in _format_calls(message)]
    return {"role": message.role, "parts": parts + calls if isinstance(content, str) else content + calls}


def _format_content(content: Any) -> Any:
    """Return a text or another plain value as it is, and a list of contents as parts."""
    if not isinstance(content, list):
        return content.model_dump(exclude_none=True) if hasattr(content, "model_dump") else content
    return [
        {"type": "text", "content": part.text}
        if getattr(part, "type", None) == "text"
        else _format_content(part)
        for part in content
    ]


def _format_calls(message: Any) -> list[dict[str, Any]]:
    calls = getattr(message, "tool_calls", None) or ()
    return [{"id": call.id, "name": call.function, "arguments": call.arguments} for call in calls]


def _format_answer(output: Any) -> dict[str, Any]:
    choice = output.choices[0] if output.choices else None
    return {
        "text": output.completion or None,
        "tool_calls": [] if choice is None else _format_calls(choice.message),
        "finish_reason": None if choice is None else choice.stop_reason,
    }


def _read_usage(usage: Any) -> dict[str, int]:
    """Return the token counts. Inspect counts the input without what was read from a cache or written to it."""
    if usage is None:
        return {}
    read, written = usage.input_tokens_cache_read, usage.input_tokens_cache_write
    counts = {
        "input_tokens": usage.input_tokens + (read or 0) + (written or 0),
        "output_tokens": usage.output_tokens,
        "cache_read_tokens": read,
        "cache_write_tokens": written,
        "reasoning_tokens": usage.reasoning_tokens,
    }
    return lenient.drop_none(counts)
