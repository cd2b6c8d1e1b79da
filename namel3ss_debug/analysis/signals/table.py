"""The table of signals, and their section: what speaks for a wrong answer in a run that may have no error.

    {"calls": 12, "left_out": 0, "found": [{"id": "cut_answer", "evidence": "...", "number": 14, "events": [14], "command": "inspect --event 14",
     "component": "llm", "component_name": "gpt-4o"}]}

Each signal is a rule with its evidence; none is a score. A rule that also holds in runs that went well is too wide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from namel3ss_debug.analysis.contract import EVENT, ColumnSpec, TableSpec
from namel3ss_debug.analysis.findings import make_finding
from namel3ss_debug.analysis.signals import answers, requests, tool_calls
from namel3ss_debug.analysis.signals.run_calls import RunCallsReader
from namel3ss_debug.analysis.totals import LISTED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from namel3ss_debug.analysis.findings import Finding, Row, RunAmounts
    from namel3ss_debug.analysis.signals.proofs import Proof
    from namel3ss_debug.analysis.signals.run_calls import RunCalls
    from namel3ss_debug.traces.span_table import SpanTable

_MOST_OF_A_KIND = 3


class Signal(NamedTuple):
    """A rule.

    Attributes:
        id: the id of its findings.
        find: yields what proves it.
        weight: what a finding takes from the quality; the order of findings follows it.
    """

    id: str
    find: Callable[[RunCalls], Iterator[Proof]]
    weight: float


SIGNALS: Final = (
    # It names what came back, which the loop of the patterns (0.7 at most) does not.
    Signal("same_call_again", tool_calls.find_same_calls, 0.71),
    Signal("other_branch", requests.find_other_branches, 0.48),
    Signal("equal_prompts", requests.find_mixed_tasks, 0.48),
    Signal("unit_mismatch", tool_calls.find_unit_mismatches, 0.47),
    Signal("done_twice", tool_calls.find_work_done_twice, 0.47),
    Signal("tool_not_offered", tool_calls.find_tools_not_offered, 0.46),
    Signal("own_observation", answers.find_own_observations, 0.46),
    Signal("unfilled_template", requests.find_unfilled_templates, 0.46),
    Signal("invented_code", tool_calls.find_invented_codes, 0.45),
    Signal("empty_result_used", answers.find_claims_after_nothing, 0.45),
    Signal("user_overruled", tool_calls.find_overruled_users, 0.45),
    Signal("context_lost", requests.find_lost_contexts, 0.44),
    Signal("cut_result", tool_calls.find_cut_results, 0.43),
    Signal("cut_answer", answers.find_cut_answers, 0.43),
    Signal("wrong_weekday", answers.find_wrong_weekdays, 0.43),
    Signal("schema_mismatch", tool_calls.find_schema_violations, 0.42),
    Signal("coerced_output", answers.find_coerced_outputs, 0.42),
    Signal("lost_in_join", requests.find_lost_in_joins, 0.42),
    Signal("stopped_by_word", answers.find_stops_by_a_word, 0.42),
    Signal("announced_step", answers.find_announced_steps, 0.41),
    Signal("repeated_lines", requests.find_repeated_lines, 0.4),
    Signal("invented_claim", answers.find_invented_claims, 0.35),
)
"""Every signal, the surest first."""

COLUMNS = (
    TableSpec(
        "Signals of a wrong answer",
        "found",
        (EVENT, ColumnSpec("signal", "id"), ColumnSpec("evidence", "evidence", "prose", 30)),
    ),
)


class Signals(RunCallsReader):
    """The section: what the signals found in one trace."""

    def result(self, spans: SpanTable, _sections: Mapping[str, Any]) -> dict[str, Any]:
        """Return the section."""
        run = self.settle(spans)
        found = []
        for signal in SIGNALS:
            for proof, _ in zip(signal.find(run), range(_MOST_OF_A_KIND), strict=False):
                component, name = proof.subject
                found.append(
                    {
                        "id": signal.id,
                        "evidence": proof.evidence,
                        "number": proof.events[0],
                        "events": list(proof.events),
                        "command": proof.command,
                        "component": component or None,
                        "component_name": name or None,
                        "weight": signal.weight,
                    }
                )
        return {"calls": len(run.models) + len(run.tools), "left_out": run.left_out, "found": found[:LISTED]}


def has_calls(section: Row) -> bool:
    """Return whether there were calls to look at, or a run that ended before its first call."""
    return bool(section["calls"] or section["found"])


def find_findings(section: Row, _sections: Mapping[str, Any], _run: RunAmounts) -> Iterator[Finding]:
    """Yield what the signals found."""
    for row in section["found"]:
        yield make_finding(
            row["id"], "quality", "signals", row["weight"], row["evidence"], row["events"], row["command"], row=row if row["component"] else None
        )  # fmt: skip
