"""Summarize the actions and the learning of agents from the logs of a trace: counts and figures, each in one pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

from namel3ss_debug.expressions import name_fits
from namel3ss_debug.inspection.logs import LogLine, read_log_lines
from namel3ss_debug.traces.events import Event
from namel3ss_debug.wire import lenient

_COUNTED_TYPES: Final = {
    "decision": "decisions",
    "state_change": "state_changes",
    "agent_message": "messages",
}
_MODES: Final = ("exploration", "exploitation")
_NOT_FIGURES: Final = frozenset({"step"})


class _AgentSummary:
    """Counts of what one agent did."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.levels: Counter[str] = Counter()
        self.actions: Counter[str] = Counter()
        self.calls: Counter[tuple[str, str]] = Counter()
        self.duration_ms = 0.0
        self.first: int | None = None
        self.last = 0

    def add(self, line: LogLine) -> None:
        """Count a line of its logs, or the end of one of its spans or of a span inside it."""
        self.first = line.number if self.first is None else self.first
        self.last = line.number
        event = line.event
        if line.category == "events":
            self._add_end(line)
            return
        kind = event["event_type"]
        if kind == "log_record":
            self.levels[line.level] += 1
            if line.category == "agents":
                self.actions[line.message] += 1
        elif kind in _COUNTED_TYPES:
            self.counts[_COUNTED_TYPES[kind]] += 1
        elif kind == "error_occurred":
            self.counts["errors"] += 1

    def _add_end(self, line: LogLine) -> None:
        """Count the end of a call, or of an execution of the agent itself."""
        event = line.event
        if event.get("component") != "agent" or event["event_type"] != "agent_execution_end":
            self.calls[str(event.get("component")), line.source] += 1
            self.counts["failed_calls"] += line.level == "error"
            return
        self.counts["executions"] += 1
        self.counts["failed_executions"] += line.level == "error"
        duration_ms = event.get("duration_ms")
        self.duration_ms += duration_ms if isinstance(duration_ms, int | float) else 0

    def to_json(self, name: str) -> dict[str, Any]:
        names = (
            "executions",
            "failed_executions",
            "failed_calls",
            "decisions",
            "state_changes",
            "messages",
            "errors",
        )
        return {
            "agent": name,
            **{key: self.counts[key] for key in names},
            "duration_ms": round(self.duration_ms, 6),
            "actions": [{"action": text, "count": count} for text, count in _sort_counts(self.actions)],
            "records": dict(_sort_counts(self.levels)),
            "calls": [
                {"component": component, "component_name": name, "count": count}
                for (component, name), count in _sort_counts(self.calls)
            ],
            "first_number": self.first,
            "last_number": self.last,
        }


def summarize_activity(events: Iterable[Event], agent: str | None) -> dict[str, Any]:
    """Return what each agent did: its executions, log records, decisions and calls.

    Args:
        events: the events of a trace, in order.
        agent: only agents whose name matches; `*` and `?` stand for anything.

    Returns:
        `agents`, a row for each by name. Agents are all names that have a span of component `agent`, or a line in the
        log `agents`.
    """
    activities: dict[str, _AgentSummary] = {}
    for line in read_log_lines(enumerate(events, 1)):
        name = line.agent or (line.source if line.category == "agents" else "")
        if name and (agent is None or name_fits(name, agent)):
            activities.setdefault(name, _AgentSummary()).add(line)
    return {"agents": [activities[name].to_json(name) for name in sorted(activities)]}


class _FigureSeries:
    """The figures of one kind, in the order of the trace; only their summary is kept."""

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0
        self.first = self.last = self.least = self.most = 0.0

    def add(self, value: float) -> None:
        if not self.count:
            self.first = self.least = self.most = value
        self.count += 1
        self.total += value
        self.last = value
        self.least, self.most = min(self.least, value), max(self.most, value)

    def to_json(self) -> dict[str, Any]:
        return {
            "count": self.count,
            "first": self.first,
            "last": self.last,
            "min": self.least,
            "max": self.most,
            "mean": self.total / self.count if self.count else None,
        }


class _LearningProgress:
    """The learning of one agent: its training steps, its figures, and its modes."""

    def __init__(self) -> None:
        self.steps = 0
        self.figures: dict[str, _FigureSeries] = {}
        self.modes: Counter[str] = Counter()
        self.records = 0

    def add(self, record: Mapping[str, Any]) -> None:
        """Count one record of the log `learning`."""
        self.records += 1
        self.steps += "step" in record
        mode = record.get("mode")
        if mode in _MODES:
            self.modes[str(mode)] += 1
        for name, value in record.items():
            if name not in _NOT_FIGURES and lenient.is_number(value):
                self.figures.setdefault(name, _FigureSeries()).add(float(value))

    def to_json(self, name: str) -> dict[str, Any]:
        choices = sum(self.modes.values())
        return {
            "agent": name,
            "records": self.records,
            "training_steps": self.steps,
            "figures": {figure: self.figures[figure].to_json() for figure in sorted(self.figures)},
            "exploration_share": self.modes["exploration"] / choices if choices else None,
            **{mode: self.modes[mode] for mode in _MODES},
        }


def summarize_learning(events: Iterable[Event], agent: str | None) -> dict[str, Any]:
    """Return how each agent learnt, by the log `learning`: its training steps and the course of each figure.

    Args:
        events: the events of a trace, in order.
        agent: only agents whose name matches; `*` and `?` stand for anything.

    Returns:
        `agents`, a row for each by name; `figures` are all numbers in its records, such as `loss` and `reward`.
    """
    agents: dict[str, _LearningProgress] = {}
    for line in read_log_lines(enumerate(events, 1)):
        if line.category != "learning":
            continue
        name = line.source or line.agent
        if agent is None or name_fits(name, agent):
            metadata = line.event.get("metadata")
            extra = metadata.get("extra") if isinstance(metadata, dict) else None
            agents.setdefault(name, _LearningProgress()).add(extra if isinstance(extra, dict) else {})
    return {"agents": [agents[name].to_json(name) for name in sorted(agents)]}


def _sort_counts(counted: Counter[Any]) -> list[tuple[Any, int]]:
    """Return the counts, most frequent first, equal ones by name."""
    return sorted(
        ((key, count) for key, count in counted.items() if count), key=lambda item: (-item[1], item[0])
    )
