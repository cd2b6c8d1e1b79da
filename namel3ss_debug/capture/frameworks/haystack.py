"""Pipelines, components and agents of Haystack, as they report themselves to its tracer.

Haystack has one tracer, the program's or one that does nothing. It stays: the proxy in front of it is followed. A
pipeline is a chain, and a component is a step of it, a prompt, or the agent that it runs. A step of an agent is a turn.
Model and tool calls are recorded where they are made. The output of a component is not known if the spans of the
program's tracer have a `set_content_tag` of their own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ContextDecorator
from types import FrameType, TracebackType
from typing import Any

from namel3ss_debug.capture.core.patching import Undo, hide_own_frame, replace
from namel3ss_debug.capture.frameworks.current_span import GENERATOR
from namel3ss_debug.capture.frameworks.structure import Structure, observe, read_safely

_PIPELINES = frozenset({"haystack.pipeline.run", "haystack.async_pipeline.run"})
_STEP_TYPES = {"Router": "condition", "Joiner": "merge", "ToolInvoker": "tool_call"}
"""End of the name of a component's class -> the type of its step."""
_MEMORY = {"Retriever": "search", "DocumentWriter": "write"}
"""End of the name of a component's class -> what it does with the memory."""


def follow(module: Any, structure: Structure) -> list[Undo]:
    """Follow what Haystack reports to the proxy of the tracer, and the outputs that it sets in spans.

    Args:
        module: `haystack.tracing.tracer`.
        structure: receives the reports.

    Raises:
        AttributeError: the module lacks the proxy, or the base class of spans.
    """
    open_operations: dict[int, _TracedOperation] = {}  # by the id of the span

    def make_trace(original: Callable[..., Any]) -> Callable[..., Any]:
        def trace(self: Any, operation_name: str, *args: Any, **kwargs: Any) -> Any:
            def make() -> Any:
                return original(self, operation_name, *args, **kwargs)

            tags = args[0] if args else kwargs.get("tags")
            caller = sys._getframe(1)  # the frame that knows the component and its inputs
            recorded = read_safely(structure, _describe, operation_name, tags or {}, caller)
            return (
                make() if recorded is None else _TracedOperation(structure, make, recorded, open_operations)
            )

        return trace

    def note_output(span: Any, key: str, value: Any) -> None:
        operation = open_operations.get(id(span))
        if operation is not None and key.endswith(".output"):
            operation.outputs = value

    def make_tag(original: Callable[..., Any]) -> Callable[..., Any]:
        return observe(original, structure, note_output, lambda *_ended: None)

    return [
        replace(module.ProxyTracer, "trace", make_trace),
        replace(module.Span, "set_content_tag", make_tag),
    ]


class _TracedOperation(AbstractContextManager[Any], ContextDecorator):
    """An operation that Haystack traces, from entering its context manager to leaving it."""

    def __init__(
        self,
        structure: Structure,
        make: Callable[[], AbstractContextManager[Any]],
        recorded: Mapping[str, Any],
        open_operations: dict[int, _TracedOperation],
    ) -> None:
        self._structure = structure
        self._make = make
        self._manager = make()
        self._recorded = recorded
        self._open = open_operations
        self._span: Any = None
        self.outputs: Any = None

    def _recreate_cm(self) -> _TracedOperation:
        """Return a new operation for each call of a decorated function, as `contextlib` does."""
        return _TracedOperation(self._structure, self._make, self._recorded, self._open)

    def __enter__(self) -> Any:
        caller = sys._getframe(1)  # a generator of the framework may be suspended in the operation
        frame = caller if caller.f_code.co_flags & GENERATOR else None
        self._structure.begin(self, frame=frame, **self._recorded["begin"])
        try:
            self._span = self._manager.__enter__()
        except BaseException as error:
            hide_own_frame(error)
            self._structure.end(self, error=error)
            raise
        self._open[id(self._span)] = self
        return self._span

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self._open.pop(id(self._span), None)
        final_error = error
        try:
            handled = self._manager.__exit__(kind, error, trace)
            final_error = None if handled else error
        except BaseException as raised:
            hide_own_frame(raised)
            final_error = raised
            raise
        finally:
            self._end(final_error)
        return handled

    def _end(self, error: BaseException | None) -> None:
        structure, memory = self._structure, self._recorded.get("memory")
        if isinstance(error, GeneratorExit):  # the consumer has stopped, which is not an error
            error = None
        if memory is not None and error is None:
            structure.record_event(
                "memory_operation",
                parent=self,
                component="memory",
                component_name=self._recorded["begin"]["name"],
                outputs=self.outputs,
                metadata={"framework": structure.framework, "operation": memory},
            )
        structure.end(self, self.outputs, error)


def _describe(operation: str, tags: Mapping[str, Any], caller: FrameType) -> dict[str, Any] | None:
    """Return how an operation is recorded: the arguments of `Structure.begin`; `None` if it is not.

    Args:
        operation: the name of the operation.
        tags: what Haystack reports about it.
        caller: the frame that calls the tracer, which knows the component and its inputs.
    """
    if operation in _PIPELINES:
        pipeline = type(caller.f_locals.get("self")).__name__
        name = (tags.get("haystack.pipeline.metadata") or {}).get("name") or pipeline
        inputs = tags.get("haystack.pipeline.input_data")
        return {"begin": {"component": "chain", "name": name, "inputs": inputs}}
    if operation == "haystack.component.run":
        return _describe_component(tags, caller)
    if operation == "haystack.agent.run":
        agent, runner = caller.f_locals.get("self"), caller.f_back
        inputs = None if runner is None else runner.f_locals.get("agent_inputs")
        name = getattr(agent, "__component_name__", None) or type(agent).__name__
        return {"begin": {"component": "agent", "name": name, "inputs": inputs}}
    if operation == "haystack.agent.step":
        agent = caller.f_locals.get("self")
        name = getattr(agent, "__component_name__", None) or type(agent).__name__
        metadata = {"turn": tags.get("haystack.agent.step", 0) + 1}
        return {"begin": {"component": "agent", "name": name, "prefix": "agent_turn", "metadata": metadata}}
    if operation == "haystack.agent.hook":
        operation = str(tags.get("haystack.agent.hook.name"))
    elif operation.startswith("haystack."):  # the calls of models and tools, which are recorded elsewhere
        return None
    return {"begin": {"component": "chain", "name": operation, "prefix": "chain_step"}}


def _describe_component(tags: Mapping[str, Any], caller: FrameType) -> dict[str, Any] | None:
    kind = str(tags.get("haystack.component.type"))
    if str(tags.get("haystack.component.fully_qualified_type")).startswith(
        "haystack.components.agents.agent."
    ):
        return None  # it is recorded as the agent
    begin = {
        "component": "prompt" if kind.endswith("PromptBuilder") else "chain",
        "name": str(tags.get("haystack.component.name")),
        "inputs": caller.f_locals.get("inputs"),
        "metadata": {"class": kind},
    }
    if begin["component"] == "chain":
        step_type = next((_STEP_TYPES[end] for end in _STEP_TYPES if kind.endswith(end)), None)
        begin |= {"prefix": "chain_step", "step_type": step_type}
    return {"begin": begin, "memory": next((_MEMORY[end] for end in _MEMORY if kind.endswith(end)), None)}
