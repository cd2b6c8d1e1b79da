"""Loggers for agent programs, which write events with a `metadata.category`.

They do nothing while tracing is off and no log files are written (`setup_logging(directory=...)`). `debug logs` shows
what they record. The keywords in `also` are those of the Agent framework, whose programs change only the import.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from namel3ss_debug.capture.core import switch
from namel3ss_debug.capture.payloads.texts import format_value
from namel3ss_debug.capture.seams.functions.hooks import EventId
from namel3ss_debug.capture.seams.logs import files
from namel3ss_debug.capture.seams.logs.records import level_of, record_log

if TYPE_CHECKING:
    from collections.abc import Iterator

F = TypeVar("F", bound=Callable[..., Any])

_SHARED: ContextVar[Mapping[str, Any]] = ContextVar("shared log data", default=MappingProxyType({}))
"""The data of the `trace_context` blocks around, which every record inside gets."""


def also(**names: str) -> Callable[[F], F]:
    """Let a function take further names for its keywords: `also(action_type="action")`."""

    def accept(function: F) -> F:
        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **{names.get(key, key): value for key, value in kwargs.items()})

        return cast("F", call)

    return accept


@contextmanager
def share(data: Mapping[str, Any]) -> Iterator[None]:
    """Add data to every record that an agent logger writes in this block."""
    token = _SHARED.set({**_SHARED.get(), **data})
    try:
        yield
    finally:
        _SHARED.reset(token)


class AgentLogger:
    """Logs what an agent does, decides, makes and learns; category `agents`.

    Args:
        agent: the name of the agent; also `agent_id`.
        role: what the agent is for; also `agent_role`.
    """

    @also(agent_id="agent", agent_role="role")
    def __init__(self, agent: str, role: str | None = None) -> None:
        self.agent = agent
        self.role = role
        self._logger = (
            f"agent.{role or agent}"  # the logger in the log files, as the Agent framework names it
        )

    @also(action_type="action", action_data="details", decision_context="context")
    def log_action(
        self,
        action: str,
        details: Mapping[str, Any] | None = None,
        context: Any = None,
        *,
        level: str | int = "info",
    ) -> EventId:
        """Record an action of the agent as a `log_record`. Details that are no mapping are put under `value`.

        Args:
            action: what the agent did; also `action_type`.
            details: further data; also `action_data`.
            context: what led to the action; also `decision_context`.
            level: a name, or a number such as `logging.WARNING`.
        """
        if context is not None:
            details = {**_to_mapping(details), "decision_context": context}
        return self._log(action, details, level, "agent_action")

    @also(decision_type="decision")
    def log_decision(
        self,
        decision: str,
        *,
        options: Sequence[Any] | None = None,
        reasoning: str | None = None,
        confidence: float | None = None,
        **details: Any,
    ) -> EventId:
        """Record a choice as a `decision` event.

        Args:
            decision: what was chosen; also `decision_type`.
            options: what it was chosen from.
            reasoning: why it was chosen.
            confidence: how sure the agent was, from 0 to 1.
            **details: further data, such as `decision_data`.
        """
        inputs = _without_none(options=options, reasoning=reasoning, confidence=confidence, **details)
        fields = self._fields("agent_decision", {"decision_type": decision, **inputs})
        _write_file("agents", "info", self._logger, f"Agent decision: {format_value(decision, str)}", fields)
        return _emit(
            "decision",
            self.agent,
            inputs={**_SHARED.get(), **inputs},
            outputs={"decision": decision},
            metadata={"category": "agents"},
        )

    @also(old_state="before", new_state="after", trigger="reason")
    def log_state_change(self, before: Any, after: Any, reason: str | None = None) -> EventId:
        """Record that the agent's state changed, as a `state_change` event.

        Args:
            before: the former state; also `old_state`.
            after: the present state; also `new_state`.
            reason: what changed it; also `trigger`.
        """
        data = {"old_state": before, "new_state": after, "trigger": reason}
        _write_file("agents", "info", self._logger, "Agent state change", self._fields("state_change", data))
        metadata = _without_none(category="agents", reason=reason)
        return _emit(
            "state_change", self.agent, inputs={"before": before}, outputs={"after": after}, metadata=metadata
        )

    @also(content_type="kind")
    def log_content_generation(
        self, content: Any = None, *, kind: str = "text", prompt: Any = None, **details: Any
    ) -> EventId:
        """Record something that the agent generated as a `log_record`, with the content in `metadata.extra`.

        Args:
            content: what was generated.
            kind: the kind of content; also `content_type`.
            prompt: what it was generated from.
            **details: further data, such as `content_id` and `metadata`.
        """
        extra = _without_none(kind=kind, prompt=prompt, content=content, **details)
        message = f"generated {format_value(kind, str)}"
        return self._log(message, extra, "info", "content_generation")

    def log_learning_update(
        self, learning_stage: str, update_data: Mapping[str, Any] | None = None, **details: Any
    ) -> EventId:
        """Record what the agent learnt, in the log `learning`.

        Args:
            learning_stage: the stage, such as `bandit`.
            update_data: the figures and choices of the update; the analyses read its numbers.
            **details: further data.
        """
        extra = {"learning_stage": learning_stage, **_to_mapping(update_data), **details}
        message = f"learning update {format_value(learning_stage, str)}"
        return self._log(message, extra, "info", "learning_update", category="learning")

    def log(self, level: str | int, message: object, *args: object, extra: Any = None) -> EventId:
        """Record a message at a level, with `%` arguments and data as for the standard `logging`."""
        text = format_value(message, str)
        try:
            text = text % args if args else text
        except (
            TypeError,
            ValueError,
        ):  # logging, too, goes on after a message that does not fit its arguments
            text = f"{text} {args!r}"
        return self._log(text, extra, level, "log")

    def debug(self, message: object, *args: object, extra: Any = None) -> EventId:
        """Record a message at level `debug`."""
        return self.log("debug", message, *args, extra=extra)

    def info(self, message: object, *args: object, extra: Any = None) -> EventId:
        """Record a message at level `info`."""
        return self.log("info", message, *args, extra=extra)

    def warning(self, message: object, *args: object, extra: Any = None) -> EventId:
        """Record a message at level `warning`."""
        return self.log("warning", message, *args, extra=extra)

    def error(self, message: object, *args: object, extra: Any = None) -> EventId:
        """Record a message at level `error`."""
        return self.log("error", message, *args, extra=extra)

    def critical(self, message: object, *args: object, extra: Any = None) -> EventId:
        """Record a message at level `critical`."""
        return self.log("critical", message, *args, extra=extra)

    def _log(
        self, message: str, details: Any, level: str | int, kind: str, category: str = "agents"
    ) -> EventId:
        if not _is_on():
            return EventId()
        name = level_of(logging.getLevelName(level) if isinstance(level, int) else format_value(level, str))
        data = {**_SHARED.get(), **_to_mapping(details)}
        if kind == "agent_action":
            fields = self._fields(kind, {"action_type": message, "action_data": data})
            _write_file(category, name, self._logger, f"Agent action: {message}", fields)
        else:
            _write_file(category, name, self._logger, message, self._fields(kind, data))
        if self.role is not None:
            data["agent_role"] = self.role
        return EventId(record_log(message, level=name, logger=self.agent, category=category, extra=data))

    def _fields(self, kind: str, data: dict[str, Any]) -> dict[str, Any]:
        return _without_none(agent_id=self.agent, agent_role=self.role, event_type=kind) | data


class LearningLogger:
    """Logs how an agent learns; category `learning`.

    Args:
        agent: the name of the agent; also `agent_id`.
        kind: how it learns, such as `bandit`; also `learning_type`.
    """

    @also(agent_id="agent", learning_type="kind")
    def __init__(self, agent: str | None = None, kind: str | None = None) -> None:
        self.agent = agent or kind or "learning"
        self.kind = kind

    def log_training_step(
        self,
        step: int,
        *,
        loss: float | None = None,
        metrics: Mapping[str, Any] | None = None,
        **details: Any,
    ) -> EventId:
        """Record one step of training with its loss and other figures, one by one or as a mapping `metrics`."""
        data = _without_none(step=step, loss=loss) | _to_mapping(metrics) | details
        return self._log(f"training step {format_value(step, str)}", data, "training_step")

    @also(action_id="action")
    def log_reward(self, reward: float, *, action: Any = None, state: Any = None, **details: Any) -> EventId:
        """Record a reward, with its action (also `action_id`) and state."""
        figure = f"{reward:g}" if isinstance(reward, float) else format_value(reward, str)
        data = _without_none(reward=reward, action=action, state=state, **details)
        return self._log(f"reward {figure}", data, "reward")

    @also(action_selected="action")
    def log_exploration_exploitation(
        self,
        mode: str | None = None,
        *,
        exploration: bool | None = None,
        epsilon: float | None = None,
        action: Any = None,
        **details: Any,
    ) -> EventId:
        """Record whether the agent tried something new (`exploration`) or used what it knows (`exploitation`).

        Args:
            mode: one of the two; taken from `exploration` if left out.
            exploration: whether the agent tried something new.
            epsilon: how likely that was.
            action: what it did; also `action_selected`.
            **details: further data.
        """
        mode = mode or ("exploitation" if exploration is False else "exploration")
        data = _without_none(mode=mode, epsilon=epsilon, action=action, **details)
        return self._log(mode, data, "exploration_exploitation")

    def _log(self, message: str, details: Mapping[str, Any], kind: str) -> EventId:
        if not _is_on():
            return EventId()
        data = {**_SHARED.get(), **details}
        fields = _without_none(agent_id=self.agent, learning_type=self.kind, event_type=kind) | data
        _write_file("learning", "info", f"learning.{self.kind or self.agent}", message, fields)
        return EventId(record_log(message, level="info", logger=self.agent, category="learning", extra=data))


class PerformanceLogger:
    """Logs measurements of a program; category `performance`.

    Args:
        name: the measured part of the program.
    """

    def __init__(self, name: str | None = None) -> None:
        self.name = name

    def log_metric(self, metric: str, value: float, *, unit: str | None = None, **details: Any) -> EventId:
        """Record a measurement as a `performance_marker`.

        Args:
            metric: what was measured.
            value: the measured value.
            unit: its unit.
            **details: further data; a `category` or an `of` among them replaces the default.
        """
        return self._mark(metric, {"value": value, "unit": unit, "of": self.name} | details)

    def log_timing(self, operation: str, duration_ms: float, **details: Any) -> EventId:
        """Record how long something took, in milliseconds unless the details have another `unit`."""
        return self._mark(operation, {"value": duration_ms, "unit": "ms", "of": self.name} | details)

    def _mark(self, name: str, details: Mapping[str, Any]) -> EventId:
        metadata = _without_none(**{"category": "performance", **details})
        _write_file("performance", "info", "performance", name, _without_none(**details))
        return _emit("performance_marker", name, component="app", metadata=metadata)


def _without_none(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _to_mapping(details: Any) -> dict[str, Any]:
    """Return data as a mapping; data of another kind under `value`."""
    if details is None:
        return {}
    return dict(details) if isinstance(details, Mapping) else {"value": details}


def _is_on() -> bool:
    return switch.ACTIVE is not None or files.ACTIVE is not None


def _write_file(category: str, level: str, logger: str, message: str, fields: Mapping[str, Any]) -> None:
    if files.ACTIVE is not None:
        files.ACTIVE.write(category, level, logger, message, fields)


def _emit(event_type: str, name: str, *, component: str = "agent", **payloads: Mapping[str, Any]) -> EventId:
    tracer = switch.ACTIVE
    if tracer is None:
        return EventId()
    return EventId(tracer.emit(event_type, component=component, component_name=name, **payloads) or "")
