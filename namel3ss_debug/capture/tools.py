"""The user's own functions as tools: a function becomes a tool span when a model was offered a tool of its name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import CodeType, TracebackType
from typing import Any, Self

from namel3ss_debug.capture import context, rewrite
from namel3ss_debug.capture.calls import AskedCall, ToolCalls
from namel3ss_debug.capture.spans import Span
from namel3ss_debug.capture.tracer import ExecutionTracer


def install(tracer: ExecutionTracer) -> tuple[ToolCalls, Callable[[], None]]:
    """Record calls of functions that models are offered as tools.

    Returns:
        The table of calls that models ask for, and a function that takes the seam away again.
    """
    calls = ToolCalls(on_offer=_offer, on_unseen=lambda call, result: _record_unseen(tracer, call, result))

    def call(name: str, code: CodeType, arguments: dict[str, Any]) -> ToolCall | None:
        if _inside_hook(name):
            return None
        return ToolCall(tracer, calls, name, code, arguments)

    rewrite.CALL = call

    def uninstall() -> None:
        rewrite.CALL = None
        rewrite.HOT.clear()

    return calls, uninstall


class ToolCall:
    """One call of a tool function, as the rewritten function runs it."""

    handled = False
    value: Any = None

    def __init__(
        self, tracer: ExecutionTracer, calls: ToolCalls, name: str, code: CodeType, arguments: dict[str, Any]
    ) -> None:
        shown = {key: value for key, value in arguments.items() if key not in {"self", "cls"}}
        asked = calls.take(name, shown)
        inputs: dict[str, Any] = {"arguments": shown}
        metadata: dict[str, Any] = {}
        path = tracer.sites.shown(code.co_filename)
        if path is not None:
            metadata["defined_at"] = f"{path}:{code.co_firstlineno}"
        if asked is not None:
            inputs["call_id"] = asked.call_id
            metadata["asked_in"] = asked.asked_in
        site = tracer.sites.above(code) or metadata.get("defined_at")
        self._span = tracer.span("tool", name, inputs, metadata, call_site=site)

    def ret(self, value: Any) -> Any:
        """Take what the function returned."""
        self._span.set_output({"result": value})
        return value

    def __enter__(self) -> Self:
        self._span.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._span.leave()
        self._span.close(error)


def _offer(names: Iterable[str]) -> None:
    rewrite.HOT.update(names)


def _inside_hook(name: str) -> bool:
    """Whether a hook has just opened the span of this very call."""
    span = context.current()
    return isinstance(span, Span) and span.component == "tool" and span.name == name


def _record_unseen(tracer: ExecutionTracer, call: AskedCall, result: Any) -> None:
    metadata = {"asked_in": call.asked_in, "seen": False}
    inputs = {"arguments": call.arguments, "call_id": call.call_id}
    span = tracer.span("tool", call.name, inputs, metadata).open(enter=False)
    span.set_output({"result": result})
    span.set(duration_ms=None)
    span.close()
