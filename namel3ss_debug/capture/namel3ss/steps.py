"""The steps of a flow: every statement as a chain step with its line, and the steps that the language itself reports."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from namel3ss_debug.capture.core.tracer import OpenSpan
from namel3ss_debug.capture.namel3ss.locations import Definition, SourceLocation
from namel3ss_debug.capture.namel3ss.messages import error_type
from namel3ss_debug.capture.namel3ss.patches import Seams
from namel3ss_debug.capture.namel3ss.scope import Scope
from namel3ss_debug.capture.namel3ss.values import to_plain, variables
from namel3ss_debug.capture.payloads.conversion import Ready
from namel3ss_debug.capture.seams.logs.records import level_of, record_log
from namel3ss_debug.traces.events import LOG_LEVELS

_STATEMENTS: Mapping[str, tuple[str, str]] = {
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
"""Class of a statement -> the words with which it begins in the source, and the attribute with its object."""

_STEP_TYPES = {
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

_RECORD_STATEMENTS = {"Save", "Find", "Update", "Delete"}
"""Statements whose value is the record that they saved or found, or the number of records that they changed."""

_DECISIONS = {
    "decision_if",
    "decision_repeat",
    "decision_for_each",
    "case_taken",
    "otherwise_taken",
    "catch_taken",
}
"""Steps of the language that report a choice."""

_STARTS = {
    "flow_call_start": ("chain", "chain_execution", "callee_flow"),
    "pipeline_call_start": ("chain", "chain_execution", "pipeline"),
    "job_start": ("chain", "chain_execution", ""),
    "function_enter": ("chain", "chain_step", ""),
    "parallel_task_start": ("chain", "chain_step", ""),
    "orchestration_branch_start": ("chain", "chain_step", "branch_name"),
}
"""Step of the language that begins something -> component, prefix of the event types, and the key of the name in its data."""

_DEFINITION_KINDS = {"flow_call_start": "flow", "function_enter": "function", "job_start": "job"}
"""Those of them that begin a definition with statements -> the kind of the definition."""

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
_STEP_PREFIX = re.compile(
    r"(?:parallel task start|entered function|orchestration branch|call pipeline|call flow|job)\s+"
)


class StepRecorder:
    """Records flows, their statements and agents.

    Args:
        scope: the running app.
    """

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._open_pairs: list[tuple[str, OpenSpan]] = []
        self._failed: tuple[int, Definition | None] = (0, None)
        """The id of the exception that passes through statements, and the definition where it was raised."""

    def install(self, seams: Seams) -> None:
        """Replace the functions that run them."""
        seams.replace_method("runtime.executor.core", "Executor", "run", self._wrap_run)
        seams.replace_function("runtime.executor.stmt.core", "execute_statement", self._wrap_statement)
        seams.replace_function("runtime.execution.recorder", "record_step", self._wrap_record_step)
        seams.replace_function("runtime.executor.agents", "run_agent_call", self._wrap_agent_call)

    def _wrap_run(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Record a flow as a chain, with its input and its result."""
        scope = self._scope

        def run(executor: Any, *args: Any, **kwargs: Any) -> Any:
            depth, span = len(self._open_pairs), None
            scope.running.append(Definition("flow", executor.ctx.flow.name))
            with scope.guard("a flow could not be recorded"):
                span = self._open_flow(executor.ctx)
            error: BaseException | None = None
            try:
                result = original(executor, *args, **kwargs)
                if span is not None:
                    span.set_output({"result": to_plain(result.last_value)})
                return result
            except BaseException as raised:
                error = raised.__cause__ or raised
                with scope.guard("the failure of a flow could not be recorded"):
                    self._record_failure(raised)
                raise
            finally:
                self._discard_pairs(depth)
                scope.close(span, error)
                scope.running.pop()

        return run

    def _open_flow(self, ctx: Any) -> OpenSpan:
        inputs = {"input": ctx.locals.get("input"), "state": ctx.state or None}
        inputs = {name: to_plain(value) for name, value in inputs.items() if value is not None}
        return self._scope.open(
            "chain", ctx.flow.name, self._scope.locations.at(ctx.flow, self._scope.definition), inputs
        )

    def _record_failure(self, error: BaseException) -> None:
        """Record the error of an app once, at the location where it occurred."""
        scope, cause = self._scope, error.__cause__ or error
        scope.failure = id(error)
        line = getattr(error, "line", None) or getattr(cause, "line", None)
        failed_id, failed_definition = self._failed
        definition = failed_definition if failed_id == id(cause) else scope.definition
        location = scope.locations.line(line, getattr(error, "column", None), definition)
        details = getattr(error, "details", None)
        metadata = {
            name: value
            for name, value in (details if isinstance(details, dict) else {}).items()
            if isinstance(value, str)
        }
        scope.emit(
            "error_occurred",
            "chain",
            scope.flow,
            location if location.site else scope.location,
            metadata=metadata,
            status="cancelled" if isinstance(cause, KeyboardInterrupt) else "failed",
            error=scope.describe_error(cause),
            error_type=error_type(cause),
        )

    def _wrap_statement(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Record a statement as a span, and a change of state after it."""
        scope = self._scope

        def execute_statement(ctx: Any, stmt: Any, *args: Any, **kwargs: Any) -> Any:
            location_before, depth, span = scope.location, len(self._open_pairs), None
            error: BaseException | None = None
            with scope.guard("a statement could not be recorded"):
                span = self._open_statement(ctx, stmt)
            try:
                result = original(ctx, stmt, *args, **kwargs)
                with scope.guard("the value of a statement could not be recorded"):
                    _record_value(span, ctx, stmt)
                    if type(stmt).__name__ == "LogStmt":
                        self._record_log(ctx, stmt)
                return result
            except BaseException as raised:
                if type(raised).__name__ != "_ReturnSignal":  # the language raises it to return from a flow
                    error = raised
                    if self._failed[0] != id(raised):
                        self._failed = (id(raised), scope.definition)
                elif type(stmt).__name__ == "Return" and span is not None:
                    span.set_output({"result": to_plain(getattr(raised, "value", None))})
                raise
            finally:
                self._discard_pairs(depth)
                scope.close(span, error)
                if type(stmt).__name__ == "Set" and error is None:
                    with scope.guard("a change of state could not be recorded"):
                        self._record_state(ctx, stmt, scope.location)
                scope.location = location_before

        return execute_statement

    def _open_statement(self, ctx: Any, stmt: Any) -> OpenSpan:
        scope = self._scope
        scope.location = location = scope.locations.at(stmt, scope.definition)
        recorder = scope.tracer.variables
        changes = None
        metadata: dict[str, Any] | None = None
        if recorder is not None:
            changes = recorder.compare(
                scope.chain()[-1] if scope.chain() else "app", variables(ctx.locals, ctx.state)
            )
            metadata = {name: Ready(value) for name, value in changes.metadata.items()}
        elif scope.shows_variables:
            metadata = {"locals": variables(ctx.locals, ctx.state)}
        step_type = _find_step_type(stmt)
        span = scope.open(
            "chain",
            describe_statement(stmt),
            location,
            None,
            metadata,
            prefix="chain_step",
            step_type=step_type,
        )
        if recorder is not None and changes is not None and span.is_open:
            recorder.commit(changes, span.event_id)
        return span

    def _record_log(self, ctx: Any, stmt: Any) -> None:
        """Record what a flow logs, if the settings include its level."""
        level = level_of(str(stmt.level))
        lowest = LOG_LEVELS.get(self._scope.tracer.config.log_level)
        if lowest is not None and LOG_LEVELS.get(level, lowest) >= lowest:
            message = str(to_plain(ctx.last_value))
            record_log(
                message, level=level, logger=self._scope.flow, call_site=self._scope.location.site or ""
            )

    def _record_state(self, ctx: Any, stmt: Any, location: SourceLocation) -> None:
        """Record a value that a flow has put into its state."""
        path = getattr(stmt.target, "path", None)
        if path and isinstance(ctx.state, dict) and path[0] in ctx.state:
            self._scope.emit(
                "state_change",
                "chain",
                self._scope.flow,
                location,
                outputs={path[0]: to_plain(ctx.state[path[0]])},
            )

    def _wrap_record_step(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Record a step that the language reports: a choice as a decision, a start with its end as a span."""

        def record_step(ctx: Any, kind: str, what: str, **fields: Any) -> Any:
            with self._scope.guard("a step of a flow could not be recorded"):
                if kind in _DECISIONS:
                    self._record_decision(kind, what, fields)
                elif kind in _STARTS:
                    self._open_pair(kind, what, fields)
                elif kind in _ENDS:
                    self._close_pair(
                        _ENDS[kind], fields.get("because") or what if kind.endswith("_error") else None
                    )
            return original(ctx, kind, what, **fields)

        return record_step

    def _record_decision(self, kind: str, what: str, fields: Mapping[str, Any]) -> None:
        """Record which way a branch or a loop took, and why."""
        scope, data = self._scope, fields.get("data") or {}
        chosen = data.get("value", data.get("count", what))
        inputs = {"condition": data["condition"]} if "condition" in data else None
        reason = {"reason": fields["because"]} if fields.get("because") else {}
        name = kind.removeprefix("decision_").removesuffix("_taken").replace("_", " ")
        location = scope.line(fields.get("line"), fields.get("column"))
        scope.emit(
            "decision", "chain", name, location, inputs=inputs, outputs={"decision": chosen}, metadata=reason
        )

    def _open_pair(self, kind: str, what: str, fields: Mapping[str, Any]) -> None:
        """Open the span of a step whose end the language reports separately."""
        component, prefix, name_key = _STARTS[kind]
        scope, data = self._scope, fields.get("data") or {}
        name = data.get(name_key) or _parse_name(what)
        definition = Definition(_DEFINITION_KINDS[kind], str(name)) if kind in _DEFINITION_KINDS else None
        # The line of a job is that of its definition; the line of everything else is that of the call.
        within = definition if kind == "job_start" else scope.definition
        location = scope.locations.line(fields.get("line"), fields.get("column"), within)
        step_type = "parallel" if kind == "parallel_task_start" else None
        span = scope.open(
            component, name, location if location.site else scope.location, prefix=prefix, step_type=step_type
        )
        if definition is not None:
            scope.running.append(definition)
        self._open_pairs.append((kind, span))

    def _close_pair(self, kind: str, failed: str | None) -> None:
        """Close the span of such a step, and discard the steps inside it that never ended."""
        scope = self._scope
        while self._open_pairs:
            start_kind, span = self._open_pairs.pop()
            if start_kind in _DEFINITION_KINDS:
                scope.running.pop()
            if start_kind == kind:
                if failed is not None:
                    span.set(status="failed", error=failed)
                scope.close(span)
                return

    def _discard_pairs(self, depth: int) -> None:
        """Discard the steps that a statement has begun and not ended."""
        while len(self._open_pairs) > depth:
            start_kind, _span = self._open_pairs.pop()
            if start_kind in _DEFINITION_KINDS:
                self._scope.running.pop()

    def _wrap_agent_call(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Record a call of an agent as a span."""
        scope = self._scope

        def run_agent_call(ctx: Any, agent_name: str, *args: Any, **kwargs: Any) -> Any:
            location_before, span = scope.location, None
            error: BaseException | None = None
            with scope.guard("an agent could not be recorded"):
                span = self._open_agent(ctx, agent_name, args, kwargs)
            try:
                result = original(ctx, agent_name, *args, **kwargs)
                if span is not None:
                    span.set_output({"result": to_plain(result[0])})
                return result
            except BaseException as raised:
                error = raised
                raise
            finally:
                scope.close(span, error)
                scope.location = location_before

        return run_agent_call

    def _open_agent(self, ctx: Any, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> OpenSpan:
        """Open the span of an agent, at the line that calls it."""
        scope = self._scope
        line, column, *_ = (*args[2:4], None, None)
        metadata = {name: kwargs[name] for name in ("agent_id", "role") if kwargs.get(name)}
        agent = ctx.agents.get(name)
        if agent is not None:
            metadata["ai"] = getattr(agent, "ai_name", None)
        scope.location = scope.line(line, column)
        return scope.open("agent", name, scope.location, None, metadata)


def describe_statement(stmt: Any) -> str:
    """Return the name of a statement's step: the words with which it begins in the source."""
    kind = type(stmt).__name__
    keywords, attribute = _STATEMENTS.get(kind, (_CAPITAL.sub(" ", kind.removesuffix("Stmt")).lower(), ""))
    subject = getattr(stmt, attribute, None) if attribute else None
    if subject is None:
        return keywords
    path = getattr(subject, "path", None)
    return f"{keywords} state.{'.'.join(path)}" if path else f"{keywords} {getattr(subject, 'name', subject)}"


def _find_step_type(stmt: Any) -> str | None:
    expression = getattr(stmt, "expression", None)
    if type(expression).__name__ == _TOOL_CALL:
        return "tool_call"
    return _STEP_TYPES.get(type(stmt).__name__)


def _record_value(span: OpenSpan | None, ctx: Any, stmt: Any) -> None:
    """Record the result of a statement: the value of the variable that it sets, or what it did with records."""
    if span is None:
        return
    if type(stmt).__name__ in _RECORD_STATEMENTS:
        span.set_output({"result": to_plain(ctx.last_value)})
        return
    target = stmt.name if type(stmt).__name__ == "Let" else getattr(stmt, "target", None)
    name = getattr(target, "name", target)
    if isinstance(name, str) and name in ctx.locals:
        span.set_output({"result": to_plain(ctx.locals[name])})


def _parse_name(what: str) -> str:
    """Return the name in the text of a step, such as `parallel task start a`."""
    return _STEP_PREFIX.sub("", what).strip().removesuffix(" started").removesuffix(" start").strip("'\"")
