"""The steps of a flow: every statement as a chain step with its line, and what the language itself tells of its way through them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from namel3ss_debug.capture.logs.records import level_of, record_log
from namel3ss_debug.capture.namel3ss.messages import kind as kind_of
from namel3ss_debug.capture.namel3ss.places import Body, Place
from namel3ss_debug.capture.namel3ss.scope import Scope
from namel3ss_debug.capture.namel3ss.seams import Seams
from namel3ss_debug.capture.namel3ss.values import plain, variables
from namel3ss_debug.capture.spans import Span
from namel3ss_debug.traces.events import LOG_LEVELS

_NAMES: Mapping[str, tuple[str, str]] = {
    "Let": ("let", "name"),
    "Set": ("set", "target"),
    "AskAIStmt": ("ask ai", "ai_name"),
    "RunAgentStmt": ("run agent", "agent_name"),
    "Create": ("create", "record_name"),
    "Save": ("save", "record_name"),
    "Find": ("find", "record_name"),
    "Update": ("update", "record_name"),
    "Delete": ("delete", "record_name"),
    "ForEach": ("for each", "name"),
    "RunAgentsParallelStmt": ("run agents in parallel", ""),
    "ParallelBlock": ("parallel", ""),
    "OrchestrationBlock": ("orchestration", ""),
    "TryCatch": ("try", ""),
    "RepeatWhile": ("repeat while", ""),
    "EnqueueJob": ("enqueue job", "job_name"),
    "LogStmt": ("log", ""),
    "MetricStmt": ("metric", ""),
}
"""Class of a statement -> how it begins in the source, and the attribute that names what it is about."""

_TYPES = {
    "If": "condition",
    "Match": "decision",
    "TryCatch": "decision",
    "Repeat": "loop",
    "RepeatWhile": "loop",
    "ForEach": "loop",
    "ParallelBlock": "parallel",
    "RunAgentsParallelStmt": "parallel",
    "OrchestrationBlock": "merge",
}
_TOOL_CALL = "ToolCallExpr"
_CAPITAL = re.compile(r"(?<!^)(?=[A-Z])")

_RECORDS = {"Save", "Find", "Update", "Delete"}
"""Statements whose value is what they saved or found, or how many records they changed."""

_DECISIONS = {
    "decision_if",
    "decision_repeat",
    "decision_for_each",
    "case_taken",
    "otherwise_taken",
    "catch_taken",
}
"""Steps of the language that say what was chosen."""

_PAIRS = {
    "flow_call_start": ("chain", "chain_execution", "callee_flow"),
    "pipeline_call_start": ("chain", "chain_execution", "pipeline"),
    "job_start": ("chain", "chain_execution", ""),
    "function_enter": ("chain", "chain_step", ""),
    "parallel_task_start": ("chain", "chain_step", ""),
    "orchestration_branch_start": ("chain", "chain_step", "branch_name"),
}
"""Steps of the language that begin something -> component, event types, and the member of their data with its name."""

_BODIES = {"flow_call_start": "flow", "function_enter": "function", "job_start": "job"}
"""Those of them in which statements stand."""

_ENDS = {
    "flow_call_end": "flow_call_start",
    "flow_call_error": "flow_call_start",
    "pipeline_call_end": "pipeline_call_start",
    "pipeline_call_error": "pipeline_call_start",
    "job_finish": "job_start",
    "function_return": "function_enter",
    "function_error": "function_enter",
    "parallel_task_end": "parallel_task_start",
    "orchestration_branch_end": "orchestration_branch_start",
}
_LEADING = re.compile(
    r"(?:parallel task start|entered function|orchestration branch|call pipeline|call flow|job)\s+"
)


class Steps:
    """Records flows, their statements and agents.

    Args:
        scope: where the app is.
    """

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._paired: list[tuple[str, Span]] = []
        self._failed: tuple[int, Body | None] = (0, None)
        """The exception that passes through statements, by its id, and what the innermost of them stands in."""

    def install(self, seams: Seams) -> None:
        """Replace what runs them."""
        seams.method("runtime.executor.core", "Executor", "run", self._flow)
        seams.function("runtime.executor.stmt.core", "execute_statement", self._statement)
        seams.function("runtime.execution.recorder", "record_step", self._step)
        seams.function("runtime.executor.agents", "run_agent_call", self._agent)

    def _flow(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """A flow is a chain; the outermost one tells its input and what it returns."""
        scope = self._scope

        def run(executor: Any, *args: Any, **kwargs: Any) -> Any:
            depth, span = len(self._paired), None
            scope.running.append(Body("flow", executor.ctx.flow.name))
            with scope.quiet("a flow could not be recorded"):
                span = self._open_flow(executor.ctx)
            error: BaseException | None = None
            try:
                result = original(executor, *args, **kwargs)
                if span is not None:
                    span.set_output({"result": plain(result.last_value)})
                return result
            except BaseException as raised:
                error = raised.__cause__ or raised
                with scope.quiet("the failure of a flow could not be recorded"):
                    self._tell(raised)
                raise
            finally:
                self._forget(depth)
                scope.close(span, error)
                scope.running.pop()

        return run

    def _open_flow(self, ctx: Any) -> Span:
        inputs = {"input": ctx.locals.get("input"), "state": ctx.state or None}
        inputs = {name: plain(value) for name, value in inputs.items() if value is not None}
        return self._scope.open(
            "chain", ctx.flow.name, self._scope.places.at(ctx.flow, self._scope.body), inputs
        )

    def _tell(self, error: BaseException) -> None:
        """An app that fails says so once, where it failed."""
        scope, cause = self._scope, error.__cause__ or error
        scope.failure = id(error)
        line = getattr(error, "line", None) or getattr(cause, "line", None)
        failed, body = self._failed
        within = body if failed == id(cause) else scope.body
        place = scope.places.line(line, getattr(error, "column", None), within)
        details = getattr(error, "details", None)
        told = {
            name: value
            for name, value in (details if isinstance(details, dict) else {}).items()
            if isinstance(value, str)
        }
        scope.emit(
            "error_occurred",
            "chain",
            scope.flow,
            place if place.site else scope.place,
            metadata=told,
            status="cancelled" if isinstance(cause, KeyboardInterrupt) else "failed",
            error=scope.words(cause),
            error_type=kind_of(cause),
        )

    def _statement(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Run a statement inside a span where it is one that has a span; a change of state is told after it."""
        scope = self._scope

        def execute_statement(ctx: Any, stmt: Any, *args: Any, **kwargs: Any) -> Any:
            before, depth, span = scope.place, len(self._paired), None
            error: BaseException | None = None
            with scope.quiet("a statement could not be recorded"):
                span = self._open_statement(ctx, stmt)
            try:
                result = original(ctx, stmt, *args, **kwargs)
                with scope.quiet("the value of a statement could not be recorded"):
                    _outcome(span, ctx, stmt)
                    if type(stmt).__name__ == "LogStmt":
                        self._log(ctx, stmt)
                return result
            except BaseException as raised:
                if type(raised).__name__ != "_ReturnSignal":  # how the language leaves a flow
                    error = raised
                    if self._failed[0] != id(raised):
                        self._failed = (id(raised), scope.body)
                elif type(stmt).__name__ == "Return" and span is not None:
                    span.set_output({"result": plain(getattr(raised, "value", None))})
                raise
            finally:
                self._forget(depth)
                scope.close(span, error)
                if type(stmt).__name__ == "Set" and error is None:
                    with scope.quiet("a change of state could not be recorded"):
                        self._state(ctx, stmt, scope.place)
                scope.place = before

        return execute_statement

    def _open_statement(self, ctx: Any, stmt: Any) -> Span:
        scope = self._scope
        scope.place = place = scope.places.at(stmt, scope.body)
        told = {"locals": variables(ctx.locals, ctx.state)} if scope.shows_variables else None
        step_type = _type_of(stmt)
        return scope.open("chain", name_of(stmt), place, None, told, prefix="chain_step", step_type=step_type)

    def _log(self, ctx: Any, stmt: Any) -> None:
        """What a flow logs, where the settings want records of its level."""
        level = level_of(str(stmt.level))
        least = LOG_LEVELS.get(self._scope.tracer.config.log_level)
        if least is not None and LOG_LEVELS.get(level, least) >= least:
            message = str(plain(ctx.last_value))
            record_log(message, level=level, logger=self._scope.flow, call_site=self._scope.place.site or "")

    def _state(self, ctx: Any, stmt: Any, place: Place) -> None:
        """What a flow has put into its state."""
        path = getattr(stmt.target, "path", None)
        if path and isinstance(ctx.state, dict) and path[0] in ctx.state:
            self._scope.emit(
                "state_change", "chain", self._scope.flow, place, outputs={path[0]: plain(ctx.state[path[0]])}
            )

    def _step(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """What the language notes of its way: choices become decisions, what begins and ends becomes a span."""

        def record_step(ctx: Any, kind: str, what: str, **fields: Any) -> Any:
            with self._scope.quiet("a step of a flow could not be recorded"):
                if kind in _DECISIONS:
                    self._decided(kind, what, fields)
                elif kind in _PAIRS:
                    self._begun(kind, what, fields)
                elif kind in _ENDS:
                    self._ended(
                        _ENDS[kind], fields.get("because") or what if kind.endswith("_error") else None
                    )
            return original(ctx, kind, what, **fields)

        return record_step

    def _decided(self, kind: str, what: str, fields: Mapping[str, Any]) -> None:
        """Tell which way a branch or a loop went, and why."""
        scope, data = self._scope, fields.get("data") or {}
        chosen = data.get("value", data.get("count", what))
        asked = {"condition": data["condition"]} if "condition" in data else None
        reason = {"reason": fields["because"]} if fields.get("because") else {}
        name = kind.removeprefix("decision_").removesuffix("_taken").replace("_", " ")
        place = scope.line(fields.get("line"), fields.get("column"))
        scope.emit(
            "decision", "chain", name, place, inputs=asked, outputs={"decision": chosen}, metadata=reason
        )

    def _begun(self, kind: str, what: str, fields: Mapping[str, Any]) -> None:
        """Open the span of a step whose end the language tells apart."""
        component, prefix, member = _PAIRS[kind]
        scope, data = self._scope, fields.get("data") or {}
        name = data.get(member) or _name_in(what)
        body = Body(_BODIES[kind], str(name)) if kind in _BODIES else None
        # The line of a job is its own, of all else that of the call.
        told_of = body if kind == "job_start" else scope.body
        place = scope.places.line(fields.get("line"), fields.get("column"), told_of)
        step_type = "parallel" if kind == "parallel_task_start" else None
        span = scope.open(
            component, name, place if place.site else scope.place, prefix=prefix, step_type=step_type
        )
        if body is not None:
            scope.running.append(body)
        self._paired.append((kind, span))

    def _ended(self, kind: str, failed: str | None) -> None:
        """Close the span of such a step; what began inside it and never ended is forgotten."""
        scope = self._scope
        while self._paired:
            begun, span = self._paired.pop()
            if begun in _BODIES:
                scope.running.pop()
            if begun == kind:
                if failed is not None:
                    span.set(status="failed", error=failed)
                scope.close(span)
                return

    def _forget(self, depth: int) -> None:
        """What a statement has begun is over with it."""
        while len(self._paired) > depth:
            begun, _span = self._paired.pop()
            if begun in _BODIES:
                self._scope.running.pop()

    def _agent(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Run an agent inside a span of its own."""
        scope = self._scope

        def run_agent_call(ctx: Any, agent_name: str, *args: Any, **kwargs: Any) -> Any:
            before, span = scope.place, None
            error: BaseException | None = None
            with scope.quiet("an agent could not be recorded"):
                span = self._open_agent(ctx, agent_name, args, kwargs)
            try:
                result = original(ctx, agent_name, *args, **kwargs)
                if span is not None:
                    span.set_output({"result": plain(result[0])})
                return result
            except BaseException as raised:
                error = raised
                raise
            finally:
                scope.close(span, error)
                scope.place = before

        return run_agent_call

    def _open_agent(self, ctx: Any, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Span:
        """The span of an agent, at the line that calls it."""
        scope = self._scope
        line, column, *_ = (*args[2:4], None, None)
        told = {name: kwargs[name] for name in ("agent_id", "role") if kwargs.get(name)}
        agent = ctx.agents.get(name)
        if agent is not None:
            told["ai"] = getattr(agent, "ai_name", None)
        scope.place = scope.line(line, column)
        return scope.open("agent", name, scope.place, None, told)


def name_of(stmt: Any) -> str:
    """A statement as its step is named: how it begins in the source."""
    kind = type(stmt).__name__
    begins, attribute = _NAMES.get(kind, (_CAPITAL.sub(" ", kind.removesuffix("Stmt")).lower(), ""))
    about = getattr(stmt, attribute, None) if attribute else None
    if about is None:
        return begins
    path = getattr(about, "path", None)
    return f"{begins} state.{'.'.join(path)}" if path else f"{begins} {getattr(about, 'name', about)}"


def _type_of(stmt: Any) -> str | None:
    expression = getattr(stmt, "expression", None)
    if type(expression).__name__ == _TOOL_CALL:
        return "tool_call"
    return _TYPES.get(type(stmt).__name__)


def _outcome(span: Span | None, ctx: Any, stmt: Any) -> None:
    """What a statement has made: the value of the variable that it sets, or what it did with records."""
    if span is None:
        return
    if type(stmt).__name__ in _RECORDS:
        span.set_output({"result": plain(ctx.last_value)})
        return
    target = stmt.name if type(stmt).__name__ == "Let" else getattr(stmt, "target", None)
    name = getattr(target, "name", target)
    if isinstance(name, str) and name in ctx.locals:
        span.set_output({"result": plain(ctx.locals[name])})


def _name_in(what: str) -> str:
    """The name in the words of a step, such as `parallel task start a`."""
    return _LEADING.sub("", what).strip().removesuffix(" started").removesuffix(" start").strip("'\"")
