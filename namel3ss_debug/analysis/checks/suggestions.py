"""Suggest rules to begin with, made from a good run: they allow what it did, and half as much again of what it used.

What its calls did (`learning`) is kept as well: the shape of results, side effects and their order, sources of arguments.

Durations may be three times as long, because another machine may be that much slower. The rules are meant to be read
and changed; the run they come from breaks none of them.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from namel3ss_debug.analysis.analyzer import analyze
from namel3ss_debug.analysis.checks.budgets import measure_run
from namel3ss_debug.analysis.checks.evaluation import evaluate, observe
from namel3ss_debug.analysis.checks.learning import suggest_conduct
from namel3ss_debug.analysis.checks.rules import RuleSource, read_rules
from namel3ss_debug.analysis.sections.handled import name_of_handled

if TYPE_CHECKING:
    from namel3ss_debug.analysis.checks.measures import CheckedRun
    from namel3ss_debug.traces.reader import Trace

MORE: Final = 1.5
SLOWER: Final = 3
_TOOLS = 12
"""With more tools, a list of them is too long for a rule that people read."""


class Suggested(NamedTuple):
    """The rules; the names of those that the run itself breaks; how it ended, as in `execution_overview.status`."""

    rules: list[dict[str, Any]]
    left_out: list[str]
    status: str


def suggest(trace: Trace) -> Suggested:
    """Return the rules that the run itself keeps, in an order that reads well."""
    run, _ = observe(trace, [], None, None, always=True)
    handled = analyze(trace, ["handled_exceptions"])["handled_exceptions"]["sites"]
    suggested = [
        *_suggest_states(),
        {
            "name": "no-new-handled-exceptions",
            "no": "handled_exceptions",
            "except": sorted({name_of_handled(row) for row in handled}),
            "message": "The program handled an exception that the first run did not have",
        },
        *_suggest_budgets(run),
        *_suggest_tools(run),
        *suggest_conduct(trace),
    ]
    report = evaluate(trace, read_rules([RuleSource("--init", suggested)]))
    broken = {rule.rule for rule in report.rules if rule.findings}
    kept = [rule for rule in suggested if rule["name"] not in broken]
    left_out = [rule["name"] for rule in suggested if rule["name"] in broken]
    return Suggested(kept, left_out, run.document["execution_overview"]["status"])


def _suggest_states() -> list[dict[str, Any]]:
    """Return rules that hold for every good run."""
    return [
        {"name": "no-failures", "no": "failures", "message": "A call failed for good"},
        {"name": "no-open-spans", "no": "open_spans", "message": "The run did not come to its end"},
        {"name": "no-secrets", "no": "secrets", "message": "The trace holds a secret"},
        {"name": "whole-recording", "assert": "integrity.score >= 0.9", "level": "warning"},
    ]


def _suggest_budgets(run: CheckedRun) -> list[dict[str, Any]]:
    """Return limits a little above what this run used."""
    values = measure_run(run)
    limits = []
    for measure, name, times in (
        ("duration_ms", "duration", SLOWER),
        ("cost", "cost", MORE),
        ("tokens", "tokens", MORE),
        ("llm_calls", "model-calls", MORE),
        ("tool_calls", "tool-calls", MORE),
    ):
        value = values[measure]
        if value:
            level = {"level": "warning"} if measure == "duration_ms" else {}
            more = value * times
            most = ceil_to_two(ceil(more) if isinstance(value, int) else more)  # counts have whole limits
            limits.append({"name": f"budget-{name}", "limit": f"{measure} <= {most}", **level})
    limits.append(
        {"name": "budget-retries", "limit": f"retries <= {values['retries'] + 2}", "level": "warning"}
    )
    return limits


def _suggest_tools(run: CheckedRun) -> list[dict[str, Any]]:
    """Return a rule that allows only the tools of this run; none where they are too many to list."""
    tools = sorted(name for name in run.measured["tool"] if name and len(name) < 100)
    if not tools or len(tools) > _TOOLS:
        return []
    names = ", ".join('"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"' for name in tools)
    return [
        {
            "name": "known-tools",
            "assert": f"name in [{names}]",
            "on": "tool",
            "message": "A tool that the first run did not call",
        }
    ]


def ceil_to_two(value: float) -> str:
    """Return a number rounded up to two significant digits, as text for an expression."""
    if value >= 10:
        step = 10 ** (len(str(ceil(value))) - 2)
        return str(ceil(value / step) * step)
    written = f"{value:.1e}"
    if float(written) < value:
        digits, _, power = written.partition("e")
        written = f"{float(digits) + 0.1:.1f}e{power}"
    plain = f"{float(written):.12f}".rstrip("0").rstrip(".")
    return str(ceil(value)) if value == ceil(value) else plain
