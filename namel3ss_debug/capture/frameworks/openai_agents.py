"""The OpenAI Agents SDK: a tracing processor beside the existing ones, which stays when the program sets others.

An agent is an agent, a turn is a turn of it, a hand-off is an `agent_message` from one to the other, and a guardrail
is a validation. The workflow and its task are one chain. If tracing is disabled in the SDK there is no structure, but
the traffic is recorded all the same.
"""

from __future__ import annotations

import re
import sys
from asyncio import CancelledError
from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

from namel3ss_debug.capture.core.patching import Undo, replace
from namel3ss_debug.capture.frameworks.structure import (
    Structure,
    find_existing_tools,
    observe_creation,
    read_safely,
)
from namel3ss_debug.capture.seams.functions.tools import register_functions
from namel3ss_debug.wire.lenient import load

_NOT_IN_NAMES = re.compile("[^a-zA-Z0-9_]")
_RESULTS = {"speech": "output", "transcription": "output", "mcp_tools": "result", "custom": "data"}
"""Type of another span, which is recorded as a step -> the attribute with its result."""
_REFUSED = "was manually rejected by user."
"""The end of the SDK's message that a person refused a tool."""
_HANDOFFS: dict[str, set[str]] = {}
"""Agent -> the names that hand-offs to it have as tools, where the program chose them."""


def follow(module: Any, structure: Structure) -> list[Undo]:
    """Register a processor with each provider of traces, or learn which functions become tools, and which names do not.

    Args:
        module: `agents.tracing.provider`, `agents.tool`, or `agents.handoffs`.
        structure: receives the reports.
    """
    if module.__name__ == "agents.handoffs":

        def learn(handoff: Any) -> None:
            structure.expect_no_tool(handoff.tool_name)
            _HANDOFFS.setdefault(handoff.agent_name, set()).add(handoff.tool_name)

        for handoff in find_existing_tools(module.Handoff):
            read_safely(structure, learn, handoff)
        return [
            replace(module.Handoff, "__init__", lambda original: observe_creation(original, structure, learn))
        ]
    if module.__name__ == "agents.tool":
        for tool in find_existing_tools(module.FunctionTool):
            read_safely(structure, _learn, tool)
        return [
            replace(module, "function_schema", lambda original: _wrap_function_schema(original, structure))
        ]
    processor = Processor(structure)
    kind = module.DefaultTraceProvider
    setup = sys.modules.get("agents.tracing.setup")
    existing = getattr(setup, "GLOBAL_TRACE_PROVIDER", None)
    if existing is not None:
        existing.register_processor(processor)

    def wrap_init(original: Callable[..., Any]) -> Callable[..., Any]:
        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807  (it replaces one)
            original(self, *args, **kwargs)
            self.register_processor(processor)

        return __init__

    def wrap_set_processors(original: Callable[..., Any]) -> Callable[..., Any]:
        def set_processors(self: Any, processors: Any) -> None:
            original(self, processors)
            self.register_processor(processor)

        return set_processors

    return [
        replace(kind, "__init__", wrap_init),
        replace(kind, "set_processors", wrap_set_processors),
        processor.stop,
    ]


def _learn(tool: Any) -> None:
    """Register the function of a tool. Earlier versions of the SDK do not keep it in the tool."""
    register_functions(tool.name, getattr(tool, "__wrapped__", None))


def _wrap_function_schema(original: Callable[..., Any], structure: Structure) -> Callable[..., Any]:
    def function_schema(func: Any, *args: Any, **kwargs: Any) -> Any:
        schema = original(func, *args, **kwargs)
        read_safely(structure, lambda: register_functions(schema.name, func))
        return schema

    return function_schema


class Processor:
    """Reports to a `Structure` what the SDK reports to its processors; has the interface of `agents.TracingProcessor`."""

    def __init__(self, structure: Structure) -> None:
        self._structure: Structure | None = structure
        self._handled_before: dict[str, BaseException | None] = {}

    def stop(self) -> None:
        """Stop reporting."""
        self._structure = None

    def on_trace_start(self, trace: Any) -> None:
        """Record the beginning of a workflow."""
        if self._structure is not None:
            group = getattr(trace, "group_id", None)
            metadata = {"group_id": group} if group else None
            self._remember_handled(trace.trace_id)
            self._structure.begin(trace.trace_id, "chain", trace.name, metadata=metadata)

    def on_trace_end(self, trace: Any) -> None:
        """Record the end of a workflow."""
        if self._structure is not None:
            self._structure.end(trace.trace_id, error=self._interruption_of(trace.trace_id))

    def on_span_start(self, span: Any) -> None:
        """Record the beginning of something in a workflow."""
        structure, data = self._structure, span.span_data
        if structure is None:
            return
        key, parent, kind = span.span_id, span.parent_id or span.trace_id, data.type
        self._remember_handled(key)
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
            # The SDK sets the arguments after the start, and the call of the model has them too.
            structure.begin_tool(key, data.name, _parse_arguments(data.input), parent=parent)
        elif kind in {"generation", "response"}:
            structure.begin_model(key, getattr(data, "model", None), parent=parent)
        elif kind in _RESULTS:
            name = getattr(data, "name", None) or getattr(data, "server", None) or kind
            structure.begin(key, "chain", name, parent=parent, prefix="chain_step", metadata={"type": kind})
        else:  # a task is the same as its workflow; a hand-off is recorded when its target is known
            structure.skip(key, parent)

    def on_span_end(self, span: Any) -> None:
        """Record the end of something in a workflow."""
        structure, data = self._structure, span.span_data
        if structure is None:
            return
        key, kind = span.span_id, data.type
        error, cancelled = span.error, self._interruption_of(span.span_id)
        if error:
            structure.mark_failed(key, "error", str(error.get("message")))
        if kind == "guardrail":
            structure.end(key, {"triggered": data.triggered}, cancelled)
        elif kind == "handoff":
            self._hand_off(structure, span)
        elif kind == "function":
            arguments = _parse_arguments(data.input)
            if _may_not_have_run(data, error):
                structure.suspend_tool(key, arguments)
            structure.end_tool(key, data.output, arguments=arguments)
        elif kind in {"generation", "response"}:
            if not structure.is_recorded(key):
                _end_model(structure, key, data)
        else:
            structure.end(key, getattr(data, _RESULTS[kind], None) if kind in _RESULTS else None, cancelled)

    def _remember_handled(self, key: str) -> None:
        """Remember the interruption that is being handled when something begins."""
        if (interruption := _current_interruption()) is not None:
            self._handled_before[key] = interruption

    def _interruption_of(self, key: str) -> BaseException | None:
        """Return the interruption that ends a span. The SDK ends the span as if it had succeeded."""
        cancelled = _current_interruption()
        return None if cancelled is self._handled_before.pop(key, None) else cancelled

    def _hand_off(self, structure: Structure, span: Any) -> None:
        data, parent = span.span_data, structure.parent_of(span.span_id)
        # The SDK's default name of the tool, and those of the program.
        default = _NOT_IN_NAMES.sub("_", f"transfer_to_{data.to_agent}").lower()
        names = (default, *sorted(_HANDOFFS.get(data.to_agent, ())))
        call = next(filter(None, (structure.take_model_call(name, parent) for name in names)), {})
        inputs = {"from": data.from_agent, "to": data.to_agent}
        structure.record_event(
            "agent_message",
            parent=parent,
            component="agent",
            component_name=data.from_agent,
            inputs=inputs,
            metadata={"framework": structure.framework, "kind": "handoff"} | call,
        )
        structure.end(span.span_id)

    def shutdown(self) -> None:
        """Do nothing: the tracer has its own end."""

    def force_flush(self) -> None:
        """Do nothing: nothing is buffered."""


def _current_interruption() -> BaseException | None:
    """Return the interruption that is being raised through the running code, if any."""
    error = sys.exc_info()[1]
    return error if isinstance(error, CancelledError | KeyboardInterrupt) else None


def _end_model(structure: Structure, key: str, data: Any) -> None:
    """Record a model call that no seam has recorded."""
    if data.type == "generation":
        messages = [message for message in data.output or () if isinstance(message, Mapping)]
        text = "".join(message["content"] for message in messages if isinstance(message.get("content"), str))
        outputs: dict[str, Any] = {"text": text} if messages else {}
        usage, inputs = data.usage, {"model": data.model, "messages": data.input}
    else:
        response = data.response
        outputs = {} if response is None else {"text": getattr(response, "output_text", None)}
        usage, inputs = getattr(response, "usage", None), {"messages": data.input}
    structure.end_model(key, outputs, usage=_read_usage(usage), inputs=inputs)


def _may_not_have_run(data: Any, error: Any) -> bool:
    """Return whether a tool may have waited for a person instead of running, or was refused by one.

    A tool that waits has no output and no error.
    """
    if not error:
        return data.output is None
    error_data = error.get("data")
    return isinstance(error_data, Mapping) and str(error_data.get("error")).endswith(_REFUSED)


def _parse_arguments(reported: Any) -> dict[str, Any] | None:
    """Return the arguments of a tool, which the SDK reports as JSON."""
    value = load(reported.encode()) if isinstance(reported, str) else reported
    return value if isinstance(value, dict) else None


_COUNT_PATHS = {
    "input_tokens": ("input_tokens",),
    "output_tokens": ("output_tokens",),
    "cache_read_tokens": ("input_tokens_details", "cached_tokens"),
    "cache_write_tokens": ("input_tokens_details", "cache_write_tokens"),
    "reasoning_tokens": ("output_tokens_details", "reasoning_tokens"),
}
"""Count -> its path in the usage, which is an object or a mapping."""


def _read_usage(usage: Any) -> dict[str, int]:
    counts = {field: reduce(_member, path, usage) for field, path in _COUNT_PATHS.items()}
    return {name: count for name, count in counts.items() if isinstance(count, int)}


def _member(holder: Any, name: str) -> Any:
    return holder.get(name) if isinstance(holder, Mapping) else getattr(holder, name, None)
