"""What a page says of a run before anything is looked at: the head and the findings of `analyze`, in its words."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from namel3ss_debug.analysis.analyzer import analyze
from namel3ss_debug.analysis.totals import Options
from namel3ss_debug.traces.outcomes import NOT_GOOD
from namel3ss_debug.traces.reader import Trace
from namel3ss_debug.views.analysis import describe_run, run_heading
from namel3ss_debug.views.cleaning import clean
from namel3ss_debug.views.health import describe_finding

LONGEST_TITLE: Final = 200
LONGEST_TEXT: Final = 1000
_SECTIONS: Final = ("execution_overview", "performance", "resource_usage", "handled_exceptions", "health")


def read_facts(trace: Trace, options: Options) -> dict[str, Any]:
    """Return what is known of a run, as JSON, from the sections of `analyze`.

    Args:
        trace: the trace.
        options: what the user has set about the analyses.
    """
    document = analyze(trace, _SECTIONS, options=options)
    overview, findings = document["execution_overview"], document["health"]["findings"]
    lines = {label: line if isinstance(line, str) else line.plain for label, line in describe_run(document)}
    started_at = overview["started_at"]
    return {
        "path": document["trace"]["path"],
        "title": clean(run_heading(document["trace"], overview).title, LONGEST_TITLE),
        "started_at": None if started_at is None else datetime.fromtimestamp(started_at, UTC).isoformat(),
        "outcome": overview["outcome"],
        "is_failure": overview["outcome"] in NOT_GOOD,
        "outcome_text": lines["outcome"],
        "exit_status": overview["exit_status"],
        "wall_ms": overview["duration_ms"],
        "cost": overview["cost"],
        "cost_text": lines["cost"],
        "tokens": overview["tokens"],
        "events": overview["events"],
        "spans": overview["spans"],
        "lines": [[label, line] for label, line in lines.items() if line],
        "findings": [_cut({**row, "text": describe_finding(row)}) for row in findings],
    }


def _cut(finding: dict[str, Any]) -> dict[str, Any]:
    """Return a finding with short texts: its subject may be the name of a tool, which may be of any length."""
    return {
        key: clean(value, LONGEST_TEXT) if isinstance(value, str) else value for key, value in finding.items()
    }
