"""Calls of an app's tools, by its flows and by its models, at the one door through which both go."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from namel3ss_debug.capture.determinism import lineage
from namel3ss_debug.capture.namel3ss.messages import kind, message, words
from namel3ss_debug.capture.namel3ss.scope import Scope
from namel3ss_debug.capture.namel3ss.seams import Seams, language
from namel3ss_debug.capture.namel3ss.values import plain
from namel3ss_debug.capture.replies import Reply, take_reply
from namel3ss_debug.capture.results import set_result
from namel3ss_debug.capture.spans import Span

_BLOCKED = "blocked"
_FAILED = "error"


class Asked:
    """The calls of tools that a model has asked for, the latest; the language makes the first of them at once."""

    def __init__(self) -> None:
        self._call: tuple[Mapping[str, Any], str] | None = None

    def asked(self, calls: Iterable[Mapping[str, Any]], asked_in: str) -> None:
        """A model call has ended with these."""
        first = next(iter(calls), None)
        self._call = None if first is None else (first, asked_in)

    def take(self, name: str) -> tuple[str | None, str] | None:
        """The id of the call that asks for this tool, and the model call that it stands in; it is given once."""
        found, self._call = self._call, None
        if found is None or found[0].get("name") != name:
            return None
        return found[0].get("id"), found[1]


class Calls:
    """Records calls of tools.

    Args:
        scope: where the app is.
        asked: the calls that models asked for.
    """

    def __init__(self, scope: Scope, asked: Asked) -> None:
        self._scope = scope
        self._asked = asked

    def install(self, seams: Seams) -> None:
        """Replace what makes them."""
        seams.function("runtime.tools.executor.run", "_execute_tool_call_internal", self._around)

    def _around(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """The door of all calls of tools, recorded; an answer that is given takes the place of the call."""

        def _execute_tool_call_internal(
            ctx: Any, tool_name: str, args: dict[str, Any], **place: Any
        ) -> tuple[Any, Exception | None]:
            scope, span = self._scope, None
            with scope.quiet("a call of a tool could not be recorded"):
                span = self._open(ctx, tool_name, args, place)
            if span is None:
                return tuple(original(ctx, tool_name, args, **place))
            failed: BaseException | None = None
            try:
                with lineage.Call(tool_name):
                    reply = take_reply(scope.tracer, span)
                    if reply is not None and reply.answers:
                        outcome, error = self._answered(ctx, tool_name, reply)
                    else:
                        if reply is not None:
                            reply.before()
                        outcome, error = original(ctx, tool_name, args, **place)
                    with scope.quiet("the result of a tool could not be recorded"):
                        self._tell(span, outcome, error)
                    return outcome, error
            except BaseException as raised:
                failed = raised
                raise
            finally:
                scope.close(span, failed)

        return _execute_tool_call_internal

    def _open(self, ctx: Any, name: str, arguments: dict[str, Any], place: Mapping[str, Any]) -> Span:
        """The span of a call, with the id that the model gave it where a model asked for it."""
        scope = self._scope
        inputs: dict[str, Any] = {"arguments": plain(arguments)}
        metadata: dict[str, Any] = {"chain": scope.chain()}
        metadata |= lineage.told()
        asked = self._asked.take(name) if getattr(ctx, "tool_call_source", None) == "ai" else None
        if asked is not None:
            inputs |= {"call_id": asked[0]} if asked[0] else {}
            metadata["asked_in"] = asked[1]
        made_in = getattr(ctx.tools.get(name), "kind", None)
        if isinstance(made_in, str):
            metadata["kind"] = made_in
        return scope.open("tool", name, scope.line(place.get("line"), place.get("column")), inputs, metadata)

    def _tell(self, span: Span, outcome: Any, error: Exception | None) -> None:
        """What came of it. A failure is told with all that the language needs to fail so again."""
        if error is None:
            set_result(span, self._scope.tracer, outcome.result_value)
            return
        told = {
            "code": outcome.result_kind,
            "message": message(error),
            "line": getattr(error, "line", None),
            "column": getattr(error, "column", None),
            "reason": outcome.decision.reason,
        }
        span.set_output({"error": {name: value for name, value in told.items() if value is not None}})
        span.set(status="failed", error_type=kind(error), error=words(error))

    def _answered(self, ctx: Any, name: str, reply: Reply) -> tuple[Any, Exception | None]:
        """What comes in place of the call, in the language's own types."""
        try:
            value = reply.wait()
        except Exception as error:
            return _failed(name, {"code": _FAILED, "message": message(error)}, error)
        told = (reply.outputs or {}).get("error")
        if isinstance(told, Mapping) and reply.recorded:
            return _failed(name, told, None)
        return _outcome(name, "ok", "ok", _as_value(ctx, name, value)), None


def _failed(name: str, told: Mapping[str, Any], cause: Exception | None) -> tuple[Any, Exception]:
    """What the language is given for a call that failed: an outcome, and an error of its own at the line of the call."""
    came = _BLOCKED if told.get("code") == _BLOCKED else _FAILED
    text = str(told.get("message") or "")
    error: Exception = language("errors.base").Namel3ssError(
        text, line=told.get("line"), column=told.get("column")
    )
    error.__cause__ = cause
    language("runtime.boundary").mark_boundary(error, "tools")
    return _outcome(name, came, text, None, str(told.get("reason") or "")), error


def _outcome(name: str, came: str, summary: str, value: Any, reason: str = "policy_allowed") -> Any:
    types = language("runtime.tools.outcome")
    status = _BLOCKED if came == _BLOCKED else "allowed"
    decision = types.ToolDecision(status=status, capability=None, reason=reason, message="")
    return types.ToolCallOutcome(
        tool_name=name, decision=decision, result_kind=came, result_summary=summary, result_value=value
    )


def _as_value(ctx: Any, name: str, value: Any) -> Any:
    """A value as the language gives it to a flow: tools of its own give objects."""
    declared = ctx.tools.get(name)
    if isinstance(value, dict) or getattr(declared, "declared_as", None) == "foreign":
        return value
    return language("runtime.values.normalize").ensure_object(value)
