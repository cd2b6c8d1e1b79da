"""Agents, teams and workflows of agno: their runs, streamed or not, and the tools that stream, such as a delegation.

agno reports its work only to the consumer of a stream, so its public methods are followed. A team is an agent. It
delegates with a tool that is a generator: the member works while the tool is iterated, and so it is inside the tool's
span. A workflow is a chain, and its steps are steps.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from inspect import isasyncgen, isawaitable, iscoroutinefunction, isgenerator, isgeneratorfunction
from types import FrameType
from typing import Any, NamedTuple

from namel3ss_debug.capture.core import context
from namel3ss_debug.capture.core.patching import Undo, hide_own_frame, replace
from namel3ss_debug.capture.core.tracer import OpenSpan
from namel3ss_debug.capture.frameworks.structure import (
    Structure,
    read_safely,
    run_async_in_span,
    run_in_span,
)

_RUNS = ("run", "arun", "continue_run", "acontinue_run")
_STEPS = ("execute", "aexecute", "execute_stream", "aexecute_stream")
_DELEGATION = "delegate_task"
"""The beginning of the names of the tools with which a team passes a task to its members."""

_FAILURES = frozenset({"RunError", "TeamRunError", "WorkflowError"})
"""The events with which a stream reports that a run failed."""


class _MethodKind(NamedTuple):
    """How the methods of a class are recorded; the other fields are as for `Structure.begin`."""

    methods: tuple[str, ...]
    component: str = "chain"
    prefix: str | None = None
    step_type: str | None = None


_KINDS = {
    "Agent": _MethodKind(_RUNS, "agent"),
    "Team": _MethodKind(_RUNS, "agent"),
    "Workflow": _MethodKind(_RUNS),
    "Step": _MethodKind(_STEPS, prefix="chain_step"),
    "Steps": _MethodKind(_STEPS, prefix="chain_step"),
    "Parallel": _MethodKind(_STEPS, prefix="chain_step", step_type="parallel"),
    "Condition": _MethodKind(_STEPS, prefix="chain_step", step_type="condition"),
    "Loop": _MethodKind(_STEPS, prefix="chain_step", step_type="loop"),
    "Router": _MethodKind(_STEPS, prefix="chain_step", step_type="decision"),
}


def follow(module: Any, structure: Structure) -> list[Undo]:
    """Follow the class of the module that has its name: `Team` of `agno.team.team`.

    Raises:
        AttributeError: the module lacks the class.
    """
    name = module.__name__.rpartition(".")[2].capitalize()
    kind, owner = _KINDS[name], getattr(module, name)
    return [
        replace(owner, method, lambda original: _wrap(original, structure, kind))
        for method in kind.methods
        if method in vars(owner)
    ]


def _wrap(original: Callable[..., Any], structure: Structure, kind: _MethodKind) -> Callable[..., Any]:
    """Return a method that runs inside a span, whether it returns a result, an awaitable or a generator."""

    def begin(run: _AgnoRun, key: object, frame: FrameType | None = None) -> None:
        read_safely(structure, _begin, structure, kind, run, key, frame)

    def end(run: _AgnoRun, key: object, error: BaseException | None) -> None:
        read_safely(structure, _end, structure, run, key, error)

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        run = _AgnoRun(self, args, kwargs)
        if is_sync and not run.is_streamed():
            key = object()
            begin(run, key)
            try:
                result = original(self, *args, **kwargs)
            except BaseException as error:
                hide_own_frame(error)
                end(run, key, error)
                raise
            run.result = result
            end(run, key, None)
            return result
        result = original(self, *args, **kwargs)
        if isgenerator(result):
            return run_in_span(result, partial(begin, run), partial(end, run), run.note)
        if isasyncgen(result):
            return run_async_in_span(result, partial(begin, run), partial(end, run), run.note)
        return wait(run, result) if isawaitable(result) else result

    async def wait(run: _AgnoRun, awaited: Awaitable[Any]) -> Any:
        key = object()
        begin(run, key)
        try:
            run.result = await awaited
        except BaseException as error:
            hide_own_frame(error)
            end(run, key, error)
            raise
        end(run, key, None)
        return run.result

    is_sync = not original.__name__.startswith("a") and not isgeneratorfunction(original)
    if not iscoroutinefunction(original):
        return call

    async def call_async(self: Any, *args: Any, **kwargs: Any) -> Any:
        return await wait(_AgnoRun(self, args, kwargs), original(self, *args, **kwargs))

    return call_async


class _AgnoRun:
    """A run of an agent, a team, a workflow or a step.

    Attributes:
        runner: the object that runs.
        passed: its input, as it was passed.
        result: the result, or the last item of a stream.
    """

    def __init__(self, runner: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.runner = runner
        self.passed = args[0] if args else kwargs.get("input", kwargs.get("step_input"))
        self.result: Any = None
        self._stream = kwargs.get("stream")

    def is_streamed(self) -> bool:
        """Return whether the run will return a generator."""
        return bool(getattr(self.runner, "stream", None) if self._stream is None else self._stream)

    def note(self, item: Any) -> None:
        """Remember an item of a stream."""
        self.result = item


def _begin(
    structure: Structure, kind: _MethodKind, run: _AgnoRun, key: object, frame: FrameType | None
) -> None:
    name = str(getattr(run.runner, "name", None) or type(run.runner).__name__)
    passed: Any = run.passed
    if type(passed).__name__ == "StepInput":
        passed = passed.input
    if kind.component == "agent":
        _record_delegation(structure, name, passed)
    structure.begin(
        key,
        kind.component,
        name,
        prefix=kind.prefix,
        inputs={} if passed is None else {"input": passed},
        step_type=kind.step_type,
        frame=frame,
    )


def _end(structure: Structure, run: _AgnoRun, key: object, error: BaseException | None) -> None:
    """Record the end of a run. An agent reports its failure in its result, or with the last item of a stream."""
    content = getattr(run.result, "content", None)
    status = getattr(run.result, "status", None)
    if getattr(status, "value", None) == "ERROR" or getattr(run.result, "event", None) in _FAILURES:
        structure.mark_failed(key, "error", str(content))
    structure.end(key, None if content is None else {"result": content}, error)


def _record_delegation(structure: Structure, receiver: str, task: Any) -> None:
    """Record the message with which a team passes a task on, if the running code is inside such a tool."""
    span = context.current()
    if (
        not isinstance(span, OpenSpan)
        or span.component != "tool"
        or not str(span.name).startswith(_DELEGATION)
    ):
        return
    team = span._parent
    while isinstance(team, OpenSpan) and team.component != "agent":
        team = team._parent
    if isinstance(team, OpenSpan):
        metadata = {"framework": structure.framework, "from": team.name, "to": receiver, "kind": "handoff"}
        structure.record_event(
            "agent_message",
            component="agent",
            component_name=team.name,
            outputs={"text": task},
            metadata=metadata,
        )
