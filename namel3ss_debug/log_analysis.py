"""`LogAnalyzer` and its functions: questions of older guides about logs, answered by the analyses of several packages.

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
from namel3ss_debug.inspection.activity import summarize_activity, summarize_learning
from namel3ss_debug.inspection.journey import read_story
from namel3ss_debug.inspection.logs import read_log_lines
from namel3ss_debug.traces.events import LOG_LEVELS
from namel3ss_debug.traces.marks import mark_of
from namel3ss_debug.traces.opening import open_recording
from namel3ss_debug.traces.store import find_trace
from namel3ss_debug.views.journey import document
from namel3ss_debug.views.payloads import json_bytes

SCHEMA = "namel3ss-debug/log-analysis/1"
MOST_STEPS = 1000


class LogAnalyzer:
    """What the logs and events of one recording tell.

    Args:
        path: any file of the recording, the folder it is the newest of, or the beginning of its execution id.

    Raises:
        TraceNotFoundError: no recording answers to it.
        UnreadableTraceError: what is there is no recording, or nothing in it can be read.
    """

    def __init__(self, path: str | Path) -> None:
        directory = Path(load_configuration().config.trace_output_dir)
        self.trace = open_recording(find_trace(str(path), directory))
        self._sections: dict[str, Any] = {}

    def analyze_agent_activity(self, agent: str | None = None) -> dict[str, Any]:
        """What each agent did, or those whose name fits: executions, actions, decisions, calls."""
        return summarize_activity(self.trace.events(), agent)

    def analyze_learning_progress(self, agent: str | None = None) -> dict[str, Any]:
        """How each agent learnt, or those whose name fits: training steps, and every figure from first to last."""
        return summarize_learning(self.trace.events(), agent)

    def find_error_patterns(self) -> dict[str, Any]:
        """What failed, by category, and what recurs: the sections `errors` and `patterns` of `analyze`."""
        return {name: self._section(name) for name in ("errors", "patterns")}

    def analyze_interactions(self) -> dict[str, Any]:
        """Who called whom and what agents told each other: the section `interactions` of `analyze`."""
        interactions: dict[str, Any] = self._section("interactions")
        return interactions

    def get_errors(self, agent: str | None = None, limit: int | None = None) -> list[dict[str, Any]]:
        """What was logged, reported or ended as an error, in order.

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
        """What an event came from, back to its causes, as `debug explain` tells it.

        Args:
            number: the event; the worst failure if left out.

        Returns:
            The explanation; `None` where no event is named and nothing failed.

        Raises:
            UnreadableTraceError: there is no such event.
        """
        number = self._worst_failure() if number is None else number
        return None if number is None else explain(self.trace, number, mark_of(self.trace.path))

    def trace_agent_journey(self, name: str, limit: int = MOST_STEPS) -> dict[str, Any]:
        """All that one agent or component did, in order, as `debug journey` tells it.

        Raises:
            WrongUsageError: nothing of that name is in the recording.
        """
        return document(read_story(self.trace, name, limit=limit))

    def export_analysis(self, path: str | Path | None = None) -> dict[str, Any]:
        """Everything that can be told without a name, as one document; written to a file as JSON where one is named.

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
                Path(path).write_text(json_bytes(document) + "\n", encoding="utf-8")
            except OSError as error:
                raise WrongUsageError(f"cannot write {path}: {error.strerror}; name another file") from error
        return document

    def _section(self, name: str) -> Any:
        """A section of `analyze`; all sections that are needed here are made in one pass."""
        if not self._sections:
            self._sections = analyze(self.trace, ("errors", "patterns", "interactions"))
        return self._sections[name]

    def _worst_failure(self) -> int | None:
        listed = self._section("errors")["failures"]
        worst = min(listed, key=lambda row: (-(row.get("severity") or 0), row["number"]), default=None)
        return None if worst is None else int(worst["number"])


def analyze_session(path: str | Path) -> dict[str, Any]:
    """Everything that the logs of a recording tell, as `LogAnalyzer(path).export_analysis()` gives it.

    Raises:
        TraceNotFoundError: no recording answers to it.
        UnreadableTraceError: what is there is no recording, or nothing in it can be read.
    """
    return LogAnalyzer(path).export_analysis()


def debug_issue(path: str | Path, number: int | None = None) -> dict[str, Any]:
    """What went wrong in a recording, and what it came from.

    Args:
        path: the recording.
        number: the event to explain; the worst failure if left out.

    Returns:
        `errors`, the section of `analyze`; `causality`, the explanation of the event, `None` where nothing failed.

    Raises:
        TraceNotFoundError: no recording answers to it.
        UnreadableTraceError: what is there is no recording, nothing in it can be read, or there is no such event.
    """
    analyzer = LogAnalyzer(path)
    return {
        "schema": SCHEMA,
        "trace": str(analyzer.trace.path),
        "errors": analyzer.find_error_patterns()["errors"],
        "causality": analyzer.find_causality_chain(number),
    }
