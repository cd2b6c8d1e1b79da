"""`LogAnalyzer` and its functions: analyses of logs under the names of older guides, made by the analyses of several packages.

Each answer is a document of JSON values: the one that the command of the same meaning prints, where there is one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from namel3ss_debug.analysis.analyzer import analyze
from namel3ss_debug.analysis.failures.explain import explain
from namel3ss_debug.config import load_configuration
from namel3ss_debug.errors import WrongUsageError
from namel3ss_debug.expressions import name_fits
from namel3ss_debug.importers.opening import open_nonempty_trace
from namel3ss_debug.inspection.activity import read_activity
from namel3ss_debug.inspection.log_summaries import summarize_activity, summarize_learning
from namel3ss_debug.inspection.logs import read_log_lines
from namel3ss_debug.traces.events import LOG_LEVELS
from namel3ss_debug.traces.folders import open_private
from namel3ss_debug.traces.marks import mark_of
from namel3ss_debug.traces.store import find_trace
from namel3ss_debug.views.activity import to_json
from namel3ss_debug.views.payloads import json_bytes

SCHEMA = "namel3ss-debug/log-analysis/1"
MOST_STEPS = 1000


class LogAnalyzer:
    """Analyze the logs and events of one trace.

    Args:
        path: any file of the trace, the folder in which it is the newest, or the beginning of its execution id.

    Raises:
        TraceNotFoundError: there is no such trace.
        UnreadableTraceError: it is not a trace, or nothing in it can be read.
    """

    def __init__(self, path: str | Path) -> None:
        directory = Path(load_configuration().config.trace_output_dir)
        self.trace = open_nonempty_trace(find_trace(str(path), directory))
        self._sections: dict[str, Any] = {}

    def analyze_agent_activity(self, agent: str | None = None) -> dict[str, Any]:
        """Return what each agent did, or those whose name fits: executions, actions, decisions, calls."""
        return summarize_activity(self.trace.events(), agent)

    def analyze_learning_progress(self, agent: str | None = None) -> dict[str, Any]:
        """Return how each agent learnt, or those whose name fits: training steps, and every figure from first to last."""
        return summarize_learning(self.trace.events(), agent)

    def find_error_patterns(self) -> dict[str, Any]:
        """Return what failed, by category, and what recurs: the sections `errors` and `patterns` of `analyze`."""
        return {name: self._section(name) for name in ("errors", "patterns")}

    def analyze_interactions(self) -> dict[str, Any]:
        """Return the calls between components and the messages between agents: the section `interactions` of `analyze`."""
        interactions: dict[str, Any] = self._section("interactions")
        return interactions

    def get_errors(self, agent: str | None = None, limit: int | None = None) -> list[dict[str, Any]]:
        """Return what was logged, reported or ended as an error, in order.

        Args:
            agent: only those of agents and loggers whose name fits.
            limit: at most so many.
        """
        found: list[dict[str, Any]] = []
        for line in read_log_lines(enumerate(self.trace.events(), 1)):
            if LOG_LEVELS.get(line.level, 0) < LOG_LEVELS["error"]:
                continue
            if agent is not None and not (name_fits(line.agent, agent) or name_fits(line.source, agent)):
                continue
            if limit is not None and len(found) >= limit:
                break
            found.append(
                {
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
            )
        return found

    def find_causality_chain(self, number: int | None = None) -> dict[str, Any] | None:
        """Return the causal chain of an event, as `debug explain` shows it.

        Args:
            number: the event; the worst failure if left out.

        Returns:
            The explanation; `None` where no event is named and nothing failed.

        Raises:
            UnreadableTraceError: there is no such event.
        """
        if number is None:
            failures = self._section("errors")["failures"]
            worst = min(failures, key=lambda row: (-(row.get("severity") or 0), row["number"]), default=None)
            number = None if worst is None else int(worst["number"])
        return None if number is None else explain(self.trace, number, mark_of(self.trace.path))

    def trace_agent_journey(self, name: str, limit: int = MOST_STEPS) -> dict[str, Any]:
        """Return all that one agent or component did, in order, as `debug activity` shows it.

        Raises:
            WrongUsageError: nothing of that name is in the trace.
        """
        return to_json(read_activity(self.trace, name, limit=limit))

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
                with open(path, "w", encoding="utf-8", opener=open_private) as file:
                    file.write(json_bytes(document) + "\n")
            except OSError as error:
                raise WrongUsageError(f"cannot write {path}: {error.strerror}; name another file") from error
        return document

    def _section(self, name: str) -> Any:
        """Return a section of `analyze`; all sections that are needed here are made in one pass."""
        if not self._sections:
            self._sections = analyze(self.trace, ("errors", "patterns", "interactions"))
        return self._sections[name]


def analyze_session(path: str | Path) -> dict[str, Any]:
    """Return all analyses of the logs of a trace, as `LogAnalyzer(path).export_analysis()` does.

    Raises:
        TraceNotFoundError: there is no such trace.
        UnreadableTraceError: it is not a trace, or nothing in it can be read.
    """
    return LogAnalyzer(path).export_analysis()


def debug_issue(path: str | Path, number: int | None = None) -> dict[str, Any]:
    """Return what went wrong in a trace, and its causes.

    Args:
        path: the trace.
        number: the event to explain; the worst failure if left out.

    Returns:
        `errors`, the section of `analyze`; `causality`, the explanation of the event, `None` where nothing failed.

    Raises:
        TraceNotFoundError: there is no such trace.
        UnreadableTraceError: it is not a trace, nothing in it can be read, or there is no such event.
    """
    analyzer = LogAnalyzer(path)
    return {
        "schema": SCHEMA,
        "trace": str(analyzer.trace.path),
        "errors": analyzer.find_error_patterns()["errors"],
        "causality": analyzer.find_causality_chain(number),
    }
