"""Calls of an app's tools, by its flows and by its models, in the one function through which both go."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from namel3ss_debug.capture.core import task_paths
from namel3ss_debug.capture.core.tracer import OpenSpan, set_result
from namel3ss_debug.capture.namel3ss.messages import describe_error, error_type, full_message
from namel3ss_debug.capture.namel3ss.patches import Seams, import_language_module
from namel3ss_debug.capture.namel3ss.scope import Scope
from namel3ss_debug.capture.namel3ss.values import to_plain
from namel3ss_debug.capture.seams.functions.replies import Reply, take_reply
from namel3ss_debug.capture.seams.processes.commands import INSIDE_TOOL

_BLOCKED = "blocked"
_FAILED = "error"


class RequestedCalls:
    """The tool calls that a model requested last. The language makes the first of them at once."""

    def __init__(self) -> None:
        self._call: tuple[Mapping[str, Any], str] | None = None

    def remember(self, calls: Iterable[Mapping[str, Any]], model_call: str) -> None:
        """Remember the tool calls of a model call."""
        first = next(iter(calls), None)
        self._call = None if first is None else (first, model_call)

    def take(self, name: str) -> tuple[str | None, str] | None:
        """Return the id of the requested call and the id of its model call, once; `None` for another tool."""
        call, self._call = self._call, None
        if call is None or call[0].get("name") != name:
            return None
        return call[0].get("id"), call[1]


class ToolCallRecorder:
    """Records the tool calls of an app.

    Args:
        scope: the running app.
        requested: the calls that models requested.
    """

    def __init__(self, scope: Scope, requested: RequestedCalls) -> None:
        self._scope = scope
        self._requested = requested

    def install(self, seams: Seams) -> None:
        """Replace the function that makes tool calls."""
        seams.replace_function(
            "runtime.tools.executor.run", "_execute_tool_call_internal", self._wrap_tool_call
        )

    def _wrap_tool_call(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Record each tool call. A recorded answer replaces the call."""

        def _execute_tool_call_internal(
            ctx: Any, tool_name: str, args: dict[str, Any], **location: Any
        ) -> tuple[Any, Exception | None]:
            scope, span = self._scope, None
            with scope.guard("a call of a tool could not be recorded"):
                span = self._open(ctx, tool_name, args, location)
            if span is None:
                return tuple(original(ctx, tool_name, args, **location))
            failed: BaseException | None = None
            try:
                with task_paths.ToolCallScope(tool_name):
                    reply = take_reply(scope.tracer, span)
                    if reply is not None and reply.answers:
                        outcome, error = self._make_answer(ctx, tool_name, reply)
                    else:
                        if reply is not None:
                            reply.wait_before()
                        token = INSIDE_TOOL.set(True)
                        try:
                            outcome, error = original(ctx, tool_name, args, **location)
                        finally:
                            INSIDE_TOOL.reset(token)
                    with scope.guard("the result of a tool could not be recorded"):
                        self._record_outcome(span, outcome, error)
                    return outcome, error
            except BaseException as raised:
                failed = raised
                raise
            finally:
                scope.close(span, failed)

        return _execute_tool_call_internal

    def _open(self, ctx: Any, name: str, arguments: dict[str, Any], location: Mapping[str, Any]) -> OpenSpan:
        """Open the span of a call, with the model's id of the call if a model requested it."""
        scope = self._scope
        inputs: dict[str, Any] = {"arguments": to_plain(arguments)}
        metadata: dict[str, Any] = {"chain": scope.chain()}
        metadata |= task_paths.call_metadata()
        requested = self._requested.take(name) if getattr(ctx, "tool_call_source", None) == "ai" else None
        if requested is not None:
            inputs |= {"call_id": requested[0]} if requested[0] else {}
            metadata["asked_in"] = requested[1]
        kind = getattr(ctx.tools.get(name), "kind", None)
        if isinstance(kind, str):
            metadata["kind"] = kind
        return scope.open(
            "tool", name, scope.line(location.get("line"), location.get("column")), inputs, metadata
        )

    def _record_outcome(self, span: OpenSpan, outcome: Any, error: Exception | None) -> None:
        """Record the outcome. A failure is recorded with everything that a re-run needs to fail in the same way."""
        if error is None:
            set_result(span, self._scope.tracer, outcome.result_value)
            return
        failure = {
            "code": outcome.result_kind,
            "message": full_message(error),
            "line": getattr(error, "line", None),
            "column": getattr(error, "column", None),
            "reason": outcome.decision.reason,
        }
        span.set_output({"error": {name: value for name, value in failure.items() if value is not None}})
        span.set(status="failed", error_type=error_type(error), error=describe_error(error))

    def _make_answer(self, ctx: Any, name: str, reply: Reply) -> tuple[Any, Exception | None]:
        """Return the recorded answer to a call, in the language's own types."""
        try:
            value = reply.wait()
        except Exception as error:
            return _make_failure(name, {"code": _FAILED, "message": full_message(error)}, error)
        failure = (reply.outputs or {}).get("error")
        if isinstance(failure, Mapping) and reply.recorded:
            return _make_failure(name, failure, None)
        return _make_outcome(name, "ok", "ok", _to_language_value(ctx, name, value)), None


def _make_failure(name: str, failure: Mapping[str, Any], cause: Exception | None) -> tuple[Any, Exception]:
    """Return the outcome of a failed call, and an error of the language's own at the line of the call."""
    result_kind = _BLOCKED if failure.get("code") == _BLOCKED else _FAILED
    summary = str(failure.get("message") or "")
    error: Exception = import_language_module("errors.base").Namel3ssError(
        summary, line=failure.get("line"), column=failure.get("column")
    )
    error.__cause__ = cause
    import_language_module("runtime.boundary").mark_boundary(error, "tools")
    return _make_outcome(name, result_kind, summary, None, str(failure.get("reason") or "")), error


def _make_outcome(
    name: str, result_kind: str, summary: str, value: Any, reason: str = "policy_allowed"
) -> Any:
    types = import_language_module("runtime.tools.outcome")
    status = _BLOCKED if result_kind == _BLOCKED else "allowed"
    decision = types.ToolDecision(status=status, capability=None, reason=reason, message="")
    return types.ToolCallOutcome(
        tool_name=name, decision=decision, result_kind=result_kind, result_summary=summary, result_value=value
    )


def _to_language_value(ctx: Any, name: str, value: Any) -> Any:
    """Return a value as the language gives it to a flow. Its own tools return objects."""
    declared = ctx.tools.get(name)
    if isinstance(value, dict) or getattr(declared, "declared_as", None) == "foreign":
        return value
    return import_language_module("runtime.values.normalize").ensure_object(value)
