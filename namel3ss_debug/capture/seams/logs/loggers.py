"""Loggers for agent programs, which write events with a `metadata.category`.

They do nothing while tracing is off. `debug logs` shows what they record.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from namel3ss_debug.capture.core import switch
from namel3ss_debug.capture.payloads.texts import format_value
from namel3ss_debug.capture.seams.functions.hooks import EventId
from namel3ss_debug.capture.seams.logs.records import level_of, record_log


class AgentLogger:
    """Logs what an agent does, decides and makes; category `agents`.

    Args:
        agent: the name of the agent.
    """

    def __init__(self, agent: str) -> None:
        self.agent = agent

    def log_action(
        self, action: str, details: Mapping[str, Any] | None = None, *, level: str | int = "info"
    ) -> EventId:
        """Record an action of the agent as a `log_record`. Details that are no mapping are put under `value`.

        Args:
            action: what the agent did.
            details: further data.
            level: a name, or a number such as `logging.WARNING`.
        """
        return _log(self.agent, action, "agents", details, level)

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
            decision: what was chosen.
            options: what it was chosen from.
            reasoning: why it was chosen.
            confidence: how sure the agent was, from 0 to 1.
            **details: further data.
        """
        inputs = _without_none(options=options, reasoning=reasoning, confidence=confidence, **details)
        return _emit(
            "decision",
            self.agent,
            inputs=inputs,
            outputs={"decision": decision},
            metadata={"category": "agents"},
        )

    def log_state_change(self, before: Any, after: Any, reason: str | None = None) -> EventId:
        """Record that the agent's state changed, as a `state_change` event."""
        metadata = _without_none(category="agents", reason=reason)
        return _emit(
            "state_change", self.agent, inputs={"before": before}, outputs={"after": after}, metadata=metadata
        )

    def log_content_generation(
        self, content: Any, *, kind: str = "text", prompt: Any = None, **details: Any
    ) -> EventId:
        """Record something that the agent generated as a `log_record`, with the content in `metadata.extra`."""
        extra = _without_none(kind=kind, prompt=prompt, content=content, **details)
        return _log(self.agent, f"generated {format_value(kind, str)}", "agents", extra, "info")


class LearningLogger:
    """Logs how an agent learns; category `learning`.

    Args:
        agent: the name of the agent.
    """

    def __init__(self, agent: str) -> None:
        self.agent = agent

    def log_training_step(self, step: int, *, loss: float | None = None, **metrics: Any) -> EventId:
        """Record one step of training with its loss and other figures."""
        return self._log(
            f"training step {format_value(step, str)}", _without_none(step=step, loss=loss, **metrics)
        )

    def log_reward(self, reward: float, *, action: Any = None, state: Any = None, **details: Any) -> EventId:
        """Record a reward, with its action and state."""
        figure = f"{reward:g}" if isinstance(reward, float) else format_value(reward, str)
        return self._log(
            f"reward {figure}", _without_none(reward=reward, action=action, state=state, **details)
        )

    def log_exploration_exploitation(
        self, mode: str, *, epsilon: float | None = None, action: Any = None, **details: Any
    ) -> EventId:
        """Record whether the agent tried something new (`exploration`) or used what it knows (`exploitation`)."""
        return self._log(mode, _without_none(mode=mode, epsilon=epsilon, action=action, **details))

    def _log(self, message: str, details: Mapping[str, Any]) -> EventId:
        return _log(self.agent, message, "learning", details, "info")


class PerformanceLogger:
    """Logs measurements of a program; category `performance`.

    Args:
        name: the measured part of the program.
    """

    def __init__(self, name: str) -> None:
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
        return _emit("performance_marker", name, component="app", metadata=metadata)


def _without_none(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _log(
    name: str, message: str, category: str, details: Mapping[str, Any] | None, level: str | int
) -> EventId:
    level_name = level_of(logging.getLevelName(level) if isinstance(level, int) else format_value(level, str))
    return EventId(record_log(message, level=level_name, logger=name, category=category, extra=details))


def _emit(event_type: str, name: str, *, component: str = "agent", **payloads: Mapping[str, Any]) -> EventId:
    tracer = switch.ACTIVE
    if tracer is None:
        return EventId()
    return EventId(tracer.emit(event_type, component=component, component_name=name, **payloads) or "")
