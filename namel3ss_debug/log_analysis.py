"""`LogAnalyzer` and its functions: analyses of logs under the names of older guides, made by the analyses of several packages.

Each answer is a document of JSON values: the one that the command of the same meaning prints, where there is one. Keys
beside it, such as `total_logs`, are those of the log analyzer of the Agent framework.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from namel3ss_debug.analysis.analyzer import analyze
from namel3ss_debug.analysis.failures.explain import explain
from namel3ss_debug.capture.core import switch
from namel3ss_debug.config import load_configuration
from namel3ss_debug.errors import WrongUsageError
from namel3ss_debug.expressions import name_fits
from namel3ss_debug.importers.opening import open_nonempty_trace
from namel3ss_debug.inspection.activity import read_activity
from namel3ss_debug.inspection.log_summaries import summarize_activity, summarize_learning
from namel3ss_debug.inspection.logs import LogLine, read_log_lines
from namel3ss_debug.traces.events import LOG_LEVELS
from namel3ss_debug.traces.folders import open_private
from namel3ss_debug.traces.marks import mark_of
from namel3ss_debug.traces.store import find_trace
from namel3ss_debug.views.activity import to_json
from namel3ss_debug.views.payloads import json_bytes

SCHEMA = "namel3ss-debug/log-analysis/1"
MOST_STEPS = 1000
MOST_COMMON = 10
LAST_ACTIONS = 10


class LogAnalyzer:
    """Analyze the logs and events of one trace.

    Args:
        path: any file of the trace, the folder in which it is the newest, or the beginning of its execution id. Left
            out, the trace that this process records, else the newest one.

    Raises:
        TraceNotFoundError: there is no such trace.
        UnreadableTraceError: it is not a trace, or nothing in it can be read.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        if path is None and switch.ACTIVE is not None:
            switch.ACTIVE.flush()
            path = switch.ACTIVE.writer.first
        directory = Path(load_configuration().config.trace_output_dir)
        self.trace = open_nonempty_trace(find_trace("latest" if path is None else str(path), directory))
        self._sections: dict[str, Any] = {}

    def analyze_agent_activity(self, agent: str | None = None) -> dict[str, Any]:
        """Return what each agent did, or those whose name fits: executions, actions, decisions, calls.

        `total_logs`, `action_counts` and `errors` add up the rows in `agents`.
        """
        summary = summarize_activity(self.trace.events(), agent)
        actions: Counter[str] = Counter()
        for row in summary["agents"]:
            actions.update({action["action"]: action["count"] for action in row["actions"]})
        return {
            "total_logs": sum(1 for line in self.read_lines(agent) if line.category != "events"),
            "action_counts": dict(actions.most_common()),
            "errors": len(self.get_errors(agent)),
            **summary,
        }

    def analyze_learning_progress(self, agent: str | None = None) -> dict[str, Any]:
        """Return how each agent learnt, or those whose name fits: training steps, and every figure from first to last.

        `total_training_steps` and `total_rewards` count the records of all rows in `agents`; `reward_sum` adds rewards.
        """
        summary = summarize_learning(self.trace.events(), agent)
        rewards = [row["figures"]["reward"] for row in summary["agents"] if "reward" in row["figures"]]
        return {
            "total_training_steps": sum(row["training_steps"] for row in summary["agents"]),
            "total_rewards": sum(reward["count"] for reward in rewards),
            "reward_sum": sum(reward["mean"] * reward["count"] for reward in rewards),
            **summary,
        }

    def find_error_patterns(self) -> dict[str, Any]:
        """Return what failed, by category, and what recurs: the sections `errors` and `patterns` of `analyze`.

        `total_errors` and `most_common_messages` count what was logged, reported or ended as an error.
        """
        messages = Counter(row["message"] for row in self.get_errors())
        common = [{"message": text, "count": count} for text, count in messages.most_common(MOST_COMMON)]
        return {
            "total_errors": messages.total(),
            "most_common_messages": common,
            **{name: self._section(name) for name in ("errors", "patterns")},
        }

    def analyze_interactions(self) -> dict[str, Any]:
        """Return the calls between components and the messages between agents: the section `interactions` of `analyze`.

        `total_interactions` counts the log `interactions`; `top_viral_content` is what most of them name as
        `content_id`.
        """
        total, content = 0, Counter[str]()
        for line in self.read_lines(None):
            if line.category == "interactions":
                total += 1
                extra = (line.event.get("metadata") or {}).get("extra")
                if isinstance(extra, dict) and isinstance(extra.get("content_id"), str):
                    content[extra["content_id"]] += 1
        viral = [
            {"content_id": name, "interactions": count} for name, count in content.most_common(MOST_COMMON)
        ]
        return {"total_interactions": total, "top_viral_content": viral, **self._section("interactions")}

    def get_errors(self, agent: str | None = None, limit: int | None = None) -> list[dict[str, Any]]:
        """Return what was logged, reported or ended as an error, in order.

        Args:
            agent: only those of agents and loggers whose name fits.
            limit: at most so many.
        """
        errors = (
            _to_json(line)
            for line in self.read_lines(agent)
            if LOG_LEVELS.get(line.level, 0) >= LOG_LEVELS["error"]
        )
        return list(islice(errors, limit))

    def find_causality_chain(
        self, number: int | Mapping[str, Any] | None = None, lookback_seconds: float | None = None
    ) -> dict[str, Any] | None:
        """Return the causal chain of an event, as `debug explain` shows it.

        Args:
            number: the event, by its number or as a row of `get_errors`; the worst failure if left out.
            lookback_seconds: also return the log lines of so many seconds before the event, as `preceding`.

        Returns:
            The explanation; `None` where no event is named and nothing failed.

        Raises:
            UnreadableTraceError: there is no such event.
        """
        if number is None:
            failures = self._section("errors")["failures"]
            worst = min(failures, key=lambda row: (-(row.get("severity") or 0), row["number"]), default=None)
            number = None if worst is None else int(worst["number"])
        elif isinstance(number, Mapping):
            number = int(number["number"])
        if number is None:
            return None
        document = explain(self.trace, number, mark_of(self.trace.path))
        if lookback_seconds is not None:
            document = {**document, "preceding": self._find_preceding(number, lookback_seconds)}
        return document

    def _find_preceding(self, number: int, seconds: float) -> list[dict[str, Any]]:
        """Return the lines of all logs in the seconds before an event, in order."""
        until = [*islice(enumerate(self.trace.events(), 1), number)]
        at = until[-1][1].get("timestamp")
        return [_to_json(line) for line in read_log_lines(until[:-1]) if _is_since(line.event, at, seconds)]

    def trace_agent_journey(self, name: str, limit: int = MOST_STEPS) -> list[dict[str, Any]]:
        """Return all that one agent or component did, in order: the steps of `debug activity`, each with a `message`.

        Raises:
            WrongUsageError: nothing of that name is in the trace.
        """
        activity = read_activity(self.trace, name, limit=limit)
        rows = to_json(activity)["steps"]
        for step, row in zip(activity.steps, rows, strict=True):
            row["timestamp"] = step.event.get("timestamp")
            row["message"] = ": ".join(filter(None, (row["did"], row["inputs"], row["outcome"])))
        return rows  # type: ignore[no-any-return]  # a list of rows, by its schema

    def export_analysis(self, path: str | Path | None = None) -> dict[str, Any]:
        """Return all analyses that need no name, as one document; also written to a file as JSON where one is named.

        Raises:
            WrongUsageError: the file cannot be written.
        """
        document = {
            "schema": SCHEMA,
            "trace": str(self.trace.path),
            "agent_activity": self.analyze_agent_activity(),
            "learning_progress": self.analyze_learning_progress(),
            "error_patterns": self.find_error_patterns(),
            "interactions": self.analyze_interactions(),
            "log_errors": self.get_errors(),
            "causality": self.find_causality_chain(),
        }
        if path is not None:
            try:
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                with open(path, "w", encoding="utf-8", opener=open_private) as file:
                    file.write(json_bytes(document) + "\n")
            except OSError as error:
                raise WrongUsageError(f"cannot write {path}: {error.strerror}; name another file") from error
        return document

    def read_lines(self, agent: str | None) -> Iterator[LogLine]:
        """Yield the lines of all logs, or those of the agents and loggers whose name fits."""
        for line in read_log_lines(enumerate(self.trace.events(), 1)):
            if agent is None or name_fits(line.agent, agent) or name_fits(line.source, agent):
                yield line

    def _section(self, name: str) -> Any:
        """Return a section of `analyze`; all sections that are needed here are made in one pass."""
        if not self._sections:
            self._sections = analyze(self.trace, ("errors", "patterns", "interactions"))
        return self._sections[name]


def _to_json(line: LogLine) -> dict[str, Any]:
    return {
        "number": line.number,
        "timestamp": line.event.get("timestamp"),
        "event_type": line.event["event_type"],
        "category": line.category,
        "level": line.level,
        "agent": line.agent or None,
        "source": line.source,
        "message": line.message,
        "error_type": line.event.get("error_type"),
    }


def analyze_session(path: str | Path | None = None) -> dict[str, Any]:
    """Return all analyses of the logs of a trace, as `LogAnalyzer(path).export_analysis()` does.

    Raises:
        TraceNotFoundError: there is no such trace.
        UnreadableTraceError: it is not a trace, or nothing in it can be read.
    """
    return LogAnalyzer(path).export_analysis()


def debug_issue(
    issue: str | Path, number: int | None = None, *, path: str | Path | None = None
) -> dict[str, Any]:
    """Return what went wrong in a trace, and its causes; for a description, also what its agents did last.

    Args:
        issue: what the user observed, in words ("Agent creator_001 creates no content"), about the trace of this process
            or the newest one. A text without spaces is a trace: its file, its folder, or an execution id.
        number: the event to explain; the worst failure if left out, of the agents in the description if they had one.
        path: the trace that the description is about.

    Returns:
        `errors`, the section of `analyze`; `causality`, the explanation of the event, `None` where nothing failed. For a
        description also `issue`; `agents`, the names of agents and loggers in it; and for each of them `errors` and
        `last_actions` in `activity`.

    Raises:
        TraceNotFoundError: there is no such trace.
        UnreadableTraceError: it is not a trace, nothing in it can be read, or there is no such event.
    """
    if isinstance(issue, Path) or not re.search(r"\s", issue) or Path(issue).exists():
        return _report(LogAnalyzer(issue), number)
    analyzer = LogAnalyzer(path)
    lines = list(analyzer.read_lines(None))
    words = {word.lower() for word in re.findall(r"[\w.-]*\w", issue)}
    names = {
        name
        for line in lines
        for name in (line.agent, line.source if line.category == "agents" else "")
        if name
    }
    agents = sorted(
        name for name in names if name.lower() in words or (" " in name and name.lower() in issue.lower())
    )
    activity = {
        agent: {
            "errors": analyzer.get_errors(agent),
            "last_actions": [_to_json(line) for line in lines if agent in (line.agent, line.source)][
                -LAST_ACTIONS:
            ],
        }
        for agent in agents
    }
    errors = [row for agent in agents for row in activity[agent]["errors"]]
    if number is None and errors:
        number = max(row["number"] for row in errors)
    return {**_report(analyzer, number), "issue": issue, "agents": agents, "activity": activity}


def _report(analyzer: LogAnalyzer, number: int | None) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "trace": str(analyzer.trace.path),
        "errors": analyzer.find_error_patterns()["errors"],
        "causality": analyzer.find_causality_chain(number),
    }


def _is_since(event: Mapping[str, Any], at: Any, seconds: float) -> bool:
    began = event.get("timestamp")
    return isinstance(at, int | float) and isinstance(began, int | float) and at - seconds <= began <= at
