"""The names of Langfuse and AgentOps for what the hooks do: programs change the import, and need no server.

Programs that keep these libraries are followed as well (`capture.frameworks`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar, overload

from namel3ss_debug.capture.core import switch
from namel3ss_debug.capture.core.tracer import OpenSpan
from namel3ss_debug.capture.seams.functions import hooks
from namel3ss_debug.capture.seams.functions.wrapping import is_used_bare
from namel3ss_debug.errors import WrongUsageError

F = TypeVar("F", bound=Callable[..., Any])

OBSERVED: Final[Mapping[str, hooks.Hook]] = {
    "span": hooks.trace_chain_step,
    "event": hooks.trace_chain_step,
    "chain": hooks.trace_chain_execution,
    "agent": hooks.trace_agent_execution,
    "generation": hooks.trace_llm_call,
    "embedding": hooks.trace_llm_call,
    "tool": hooks.trace_tool_call,
    "retriever": hooks.trace_tool_call,
    "evaluator": hooks.trace_chain_step,
    "guardrail": hooks.trace_chain_step,
}
"""Type of an observation of Langfuse -> the hook that records it."""


@overload
def observe(function: F, /) -> F: ...
@overload
def observe(
    *, name: str | None = None, as_type: str = "span", capture_input: bool = True, capture_output: bool = True
) -> Callable[[F], F]: ...
def observe(
    function: Any = None,
    /,
    *,
    name: str | None = None,
    as_type: str = "span",
    capture_input: bool = True,
    capture_output: bool = True,
) -> Any:
    """Record each call of a function, as Langfuse's decorator does; bare or with arguments.

    Args:
        function: the function, if the decorator is used bare.
        name: the name of the span; that of the function if left out.
        as_type: what the call is, one of `OBSERVED`.
        capture_input: whether the arguments are recorded.
        capture_output: whether the result is recorded.

    Raises:
        WrongUsageError: there is no such type.
    """
    if as_type not in OBSERVED:
        raise WrongUsageError(f"observe: there is no type {as_type!r}; there are {', '.join(OBSERVED)}")
    if is_used_bare(function):
        return OBSERVED[as_type](function)
    return OBSERVED[as_type](name, capture_inputs=capture_input, capture_outputs=capture_output)


def trace(name: str, **inputs: Any) -> OpenSpan | switch.OffSpan:
    """Return a span around a block, for `with` and `async with`, as Langfuse's `trace` does."""
    tracer = switch.ACTIVE
    return switch.OFF_SPAN if tracer is None else tracer.span("chain", name, inputs=inputs)


class ObservedSession:
    """A session of AgentOps: what it records are markers in the trace.

    Args:
        tags: the labels of the session.
        config: its settings, which are recorded.
    """

    def __init__(self, tags: Sequence[str] = (), config: Mapping[str, Any] | None = None) -> None:
        self.tags = list(tags)
        self.config = dict(config or {})
        self._mark("session_start", self.config)

    def record(self, data: Mapping[str, Any]) -> None:
        """Record figures of the session as a `performance_marker`."""
        self._mark("session_record", data)

    def end_session(self, end_state: str = "Success", **details: Any) -> None:
        """Record how the session ended."""
        self._mark("session_end", {"end_state": end_state, **details})

    def _mark(self, name: str, data: Mapping[str, Any]) -> None:
        switch.get_global_tracer().emit(
            "performance_marker", component="app", component_name=name, metadata={"tags": self.tags, **data}
        )


def start_session(tags: Sequence[str] = (), config: Mapping[str, Any] | None = None) -> ObservedSession:
    """Begin a session, as `agentops.start_session` does, without a server."""
    return ObservedSession(tags, config)
