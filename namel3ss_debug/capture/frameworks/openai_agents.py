"""The OpenAI Agents SDK: a tracing processor beside those that are there, which goes on when others are set.

An agent is an agent, a turn a turn of it, a hand-off an `agent_message` from one to the other, a guardrail a
validation. The workflow and its task are one chain. Where tracing is disabled in the SDK there is no structure; the
traffic is recorded all the same.
"""

from __future__ import annotations

import re
import sys
from asyncio import CancelledError
from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

from namel3ss_debug.capture.frameworks.reading import made_before, read
from namel3ss_debug.capture.frameworks.structure import Structure
from namel3ss_debug.capture.patching import Undo, replace
from namel3ss_debug.capture.tools import runs_as
from namel3ss_debug.wire.lenient import load

_NO_NAME = re.compile("[^a-zA-Z0-9_]")
_RESULTS = {"speech": "output", "transcription": "output", "mcp_tools": "result", "custom": "data"}
"""Other types of spans, recorded as steps: where their result stands."""
_REFUSED = "was manually rejected by user."
"""How the SDK words that a person refused a tool."""


def follow(module: Any, structure: Structure) -> list[Undo]:
    """Register a processor with each provider of traces, when the program makes it; learn which functions are made tools.

    Args:
        module: `agents.tracing.provider`, or `agents.tool`.
        structure: where to tell.
    """
    if module.__name__ == "agents.tool":
        for tool in made_before(module.FunctionTool):
            read(structure, _learn, tool)
        return [replace(module, "function_schema", lambda original: _describing(original, structure))]
    processor = Processor(structure)
    kind = module.DefaultTraceProvider
    setup = sys.modules.get("agents.tracing.setup")
    existing = getattr(setup, "GLOBAL_TRACE_PROVIDER", None)
    if existing is not None:
        existing.register_processor(processor)

    def making(original: Callable[..., Any]) -> Callable[..., Any]:
        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807  (it stands in the place of one)
            original(self, *args, **kwargs)
            self.register_processor(processor)

        return __init__

    def setting(original: Callable[..., Any]) -> Callable[..., Any]:
        def set_processors(self: Any, processors: Any) -> None:
            original(self, processors)
            self.register_processor(processor)

        return set_processors

    return [
        replace(kind, "__init__", making),
        replace(kind, "set_processors", setting),
        processor.stop,
    ]


def _learn(tool: Any) -> None:
    """What a tool runs; earlier versions do not tell that of one that is made."""
    runs_as(tool.name, getattr(tool, "__wrapped__", None))


def _describing(original: Callable[..., Any], structure: Structure) -> Callable[..., Any]:
    def function_schema(func: Any, *args: Any, **kwargs: Any) -> Any:
        schema = original(func, *args, **kwargs)
        read(structure, lambda: runs_as(schema.name, func))
        return schema

    return function_schema


class Processor:
    """What the SDK tells its processors, told to a `Structure`; with the interface of `agents.TracingProcessor`."""

    def __init__(self, structure: Structure) -> None:
        self._structure: Structure | None = structure
        self._before: dict[str, BaseException | None] = {}

    def stop(self) -> None:
        """Tell nothing from now on."""
        self._structure = None

    def on_trace_start(self, trace: Any) -> None:
        """A workflow begins."""
        if self._structure is not None:
            group = getattr(trace, "group_id", None)
            metadata = {"group_id": group} if group else None
            self._begins(trace.trace_id)
            self._structure.begin(trace.trace_id, "chain", trace.name, metadata=metadata)

    def on_trace_end(self, trace: Any) -> None:
        """It has ended."""
        if self._structure is not None:
            self._structure.end(trace.trace_id, error=self._cancelled(trace.trace_id))

    def on_span_start(self, span: Any) -> None:
        """Something in a workflow begins."""
        structure, data = self._structure, span.span_data
        if structure is None:
            return
        key, parent, kind = span.span_id, span.parent_id or span.trace_id, data.type
        self._begins(key)
        if kind == "agent":
            known = {name: getattr(data, name, None) for name in ("tools", "handoffs", "output_type")}
            metadata = {name: value for name, value in known.items() if value}
            structure.begin(key, "agent", data.name, parent=parent, metadata=metadata)
        elif kind == "turn":
            metadata = {"turn": data.turn}
            structure.begin(
                key, "agent", data.agent_name, parent=parent, prefix="agent_turn", metadata=metadata
            )
        elif kind == "guardrail":
            structure.begin(key, "validation", data.name, parent=parent)
        elif kind == "function":
            # What it is called with is told after the start, and the model's call names it.
            structure.begin_tool(key, data.name, _arguments(data.input), parent=parent)
        elif kind in {"generation", "response"}:
            structure.begin_model(key, getattr(data, "model", None), parent=parent)
        elif kind in _RESULTS:
            name = getattr(data, "name", None) or getattr(data, "server", None) or kind
            structure.begin(key, "chain", name, parent=parent, prefix="chain_step", metadata={"type": kind})
        else:  # a task is its workflow, a hand-off is told when its goal is known
            structure.skip(key, parent)

    def on_span_end(self, span: Any) -> None:
        """It has ended."""
        structure, data = self._structure, span.span_data
        if structure is None:
            return
        key, kind = span.span_id, data.type
        error, cancelled = span.error, self._cancelled(span.span_id)
        if error:
            structure.failed(key, "error", str(error.get("message")))
        if kind == "guardrail":
            structure.end(key, {"triggered": data.triggered}, cancelled)
        elif kind == "handoff":
            self._hand_off(structure, span)
        elif kind == "function":
            arguments = _arguments(data.input)
            if _may_be_held(data, error):
                structure.hold_tool(key, arguments)
            structure.end_tool(key, data.output, arguments=arguments)
        elif kind in {"generation", "response"}:
            if not structure.is_recorded(key):
                _end_model(structure, key, data)
        else:
            structure.end(key, getattr(data, _RESULTS[kind], None) if kind in _RESULTS else None, cancelled)

    def _begins(self, key: str) -> None:
        """Remember what is being handled where something begins."""
        if (handled := _interrupting()) is not None:
            self._before[key] = handled

    def _cancelled(self, key: str) -> BaseException | None:
        """What has cancelled that which ends; the SDK ends it as if it had gone well."""
        cancelled = _interrupting()
        return None if cancelled is self._before.pop(key, None) else cancelled

    def _hand_off(self, structure: Structure, span: Any) -> None:
        data, parent = span.span_data, structure.parent_of(span.span_id)
        tool = _NO_NAME.sub(
            "_", f"transfer_to_{data.to_agent}"
        ).lower()  # as the SDK calls it, unless it is told to
        inputs = {"from": data.from_agent, "to": data.to_agent}
        structure.tell(
            "agent_message",
            parent=parent,
            component="agent",
            component_name=data.from_agent,
            inputs=inputs,
            metadata={"framework": structure.framework, "kind": "handoff"} | structure.answer(tool, parent),
        )
        structure.end(span.span_id)

    def shutdown(self) -> None:
        """The SDK ends; the tracer has its own end."""

    def force_flush(self) -> None:
        """Nothing waits here."""


def _interrupting() -> BaseException | None:
    """The interruption that is on its way through the running code, if there is one."""
    error = sys.exc_info()[1]
    return error if isinstance(error, CancelledError | KeyboardInterrupt) else None


def _end_model(structure: Structure, key: str, data: Any) -> None:
    """Tell of a model call that nobody has recorded where it was made."""
    if data.type == "generation":
        structure.end_model(key, *_generated(data), inputs={"model": data.model, "messages": data.input})
    else:
        structure.end_model(key, *_responded(data), inputs={"messages": data.input})


def _may_be_held(data: Any, error: Any) -> bool:
    """Whether a tool may have waited for a person instead of running, which tells nothing, or was refused by one."""
    if not error:
        return data.output is None
    told = error.get("data")
    return isinstance(told, Mapping) and str(told.get("error")).endswith(_REFUSED)


def _arguments(told: Any) -> dict[str, Any] | None:
    """The arguments of a tool, which are told as JSON."""
    value = load(told.encode()) if isinstance(told, str) else told
    return value if isinstance(value, dict) else None


def _generated(data: Any) -> tuple[dict[str, Any], None, dict[str, int]]:
    """Outputs and usage of a chat completion that the SDK told of."""
    said = [part for part in data.output or () if isinstance(part, Mapping)]
    text = "".join(part["content"] for part in said if isinstance(part.get("content"), str))
    return {"text": text} if said else {}, None, _usage(data.usage)


def _responded(data: Any) -> tuple[dict[str, Any], None, dict[str, int]]:
    """Outputs and usage of a response that the SDK told of."""
    response = data.response
    outputs = {} if response is None else {"text": getattr(response, "output_text", None)}
    return outputs, None, _usage(getattr(response, "usage", None))


_COUNTS = {
    "input_tokens": ("input_tokens",),
    "output_tokens": ("output_tokens",),
    "cache_read_tokens": ("input_tokens_details", "cached_tokens"),
    "cache_write_tokens": ("input_tokens_details", "cache_write_tokens"),
    "reasoning_tokens": ("output_tokens_details", "reasoning_tokens"),
}
"""Where a count stands in the usage, as an object or as a mapping."""


def _usage(told: Any) -> dict[str, int]:
    counts = {ours: reduce(_member, path, told) for ours, path in _COUNTS.items()}
    return {name: count for name, count in counts.items() if isinstance(count, int)}


def _member(holder: Any, name: str) -> Any:
    return holder.get(name) if isinstance(holder, Mapping) else getattr(holder, name, None)
