"""Loggers for agent programs: thin names over the events of the recording, each under a `metadata.category`.

They do nothing while tracing is off. What they record is read back by `debug logs`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from namel3ss_debug.capture import switch
from namel3ss_debug.capture.hooks import EventId
from namel3ss_debug.capture.logs.records import level_of, record_log
from namel3ss_debug.capture.payloads.texts import format_value


class AgentLogger:
    """What an agent does, decides and makes; category `agents`.

    Args:
        agent: the name of the agent.
    """

    def __init__(self, agent: str) -> None:
        self.agent = agent

    def log_action(
        self, action: str, details: Mapping[str, Any] | None = None, *, level: str | int = "info"
    ) -> EventId:
        """Record something the agent did: a `log_record`; details that have no names stand under `value`.

        Args:
            action: what it did.
            details: anything else.
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
        """Record a choice: a `decision` event.

        Args:
            decision: what was chosen.
            options: among what.
            reasoning: why.
            confidence: how sure the agent was, from 0 to 1.
            **details: anything else.
        """
        told = _known(options=options, reasoning=reasoning, confidence=confidence, **details)
        return _emit(
            "decision",
            self.agent,
            inputs=told,
            outputs={"decision": decision},
            metadata={"category": "agents"},
        )

    def log_state_change(self, before: Any, after: Any, reason: str | None = None) -> EventId:
        """Record that the agent's state changed: a `state_change` event."""
        told = _known(category="agents", reason=reason)
        return _emit(
            "state_change", self.agent, inputs={"before": before}, outputs={"after": after}, metadata=told
        )

    def log_content_generation(
        self, content: Any, *, kind: str = "text", prompt: Any = None, **details: Any
    ) -> EventId:
        """Record something the agent wrote or made: a `log_record` with the content in `metadata.extra`."""
        told = _known(kind=kind, prompt=prompt, content=content, **details)
        return _log(self.agent, f"generated {format_value(kind, str)}", "agents", told, "info")


class LearningLogger:
    """How an agent learns; category `learning`.

    Args:
        agent: the name of the agent.
    """

    def __init__(self, agent: str) -> None:
        self.agent = agent

    def log_training_step(self, step: int, *, loss: float | None = None, **metrics: Any) -> EventId:
        """Record one step of training with its loss and other figures."""
        return self._log(f"training step {format_value(step, str)}", _known(step=step, loss=loss, **metrics))

    def log_reward(self, reward: float, *, action: Any = None, state: Any = None, **details: Any) -> EventId:
        """Record a reward, with the action and the state it was for."""
        figure = f"{reward:g}" if isinstance(reward, float) else format_value(reward, str)
        return self._log(f"reward {figure}", _known(reward=reward, action=action, state=state, **details))

    def log_exploration_exploitation(
        self, mode: str, *, epsilon: float | None = None, action: Any = None, **details: Any
    ) -> EventId:
        """Record whether the agent tried something new (`exploration`) or used what it knows (`exploitation`)."""
        return self._log(mode, _known(mode=mode, epsilon=epsilon, action=action, **details))

    def _log(self, message: str, details: Mapping[str, Any]) -> EventId:
        return _log(self.agent, message, "learning", details, "info")


class PerformanceLogger:
    """Figures of a program; category `performance`.

    Args:
        name: the part of the program they are of.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def log_metric(self, metric: str, value: float, *, unit: str | None = None, **details: Any) -> EventId:
        """Record a figure: a `performance_marker`.

        Args:
            metric: what was measured.
            value: the figure.
            unit: its unit.
            **details: anything else; a `category` or an `of` among them stands in place of ours.
        """
        return self._mark(metric, {"value": value, "unit": unit, "of": self.name} | details)

    def log_timing(self, operation: str, duration_ms: float, **details: Any) -> EventId:
        """Record how long something took, in milliseconds unless a `unit` among the details says otherwise."""
        return self._mark(operation, {"value": duration_ms, "unit": "ms", "of": self.name} | details)

    def _mark(self, name: str, told: Mapping[str, Any]) -> EventId:
        metadata = _known(**{"category": "performance", **told})
        return _emit("performance_marker", name, component="app", metadata=metadata)


def _known(**told: Any) -> dict[str, Any]:
    return {name: value for name, value in told.items() if value is not None}


def _log(
    name: str, message: str, category: str, details: Mapping[str, Any] | None, level: str | int
) -> EventId:
    known = level_of(logging.getLevelName(level) if isinstance(level, int) else format_value(level, str))
    return EventId(record_log(message, level=known, logger=name, category=category, extra=details))


def _emit(event_type: str, name: str, *, component: str = "agent", **payloads: Mapping[str, Any]) -> EventId:
    tracer = switch.ACTIVE
    if tracer is None:
        return EventId()
    return EventId(tracer.emit(event_type, component=component, component_name=name, **payloads) or "")
