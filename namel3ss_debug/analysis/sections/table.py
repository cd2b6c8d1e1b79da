"""The table of all sections. A new section is one module and one row here.

The document of `analyze`, its reports, the options of the command, the aggregation over several traces and the health
read this table.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from namel3ss_debug.analysis.contract import EVERY_OTHER_SECTION, MERGE, Section, SectionTable
from namel3ss_debug.analysis.failures import errors
from namel3ss_debug.analysis.health import run_health
from namel3ss_debug.analysis.sections import (
    components,
    dependencies,
    event_types,
    handled,
    integrity,
    interactions,
    log_errors,
    optimizations,
    overview,
    patterns,
    performance,
    resources,
)
from namel3ss_debug.analysis.sections.contexts import CONTEXT_FACTS
from namel3ss_debug.analysis.signals import table as signals
from namel3ss_debug.analysis.triggers import triggers
from namel3ss_debug.errors import WrongUsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_ROWS = (
    Section(
        "execution_overview",
        "summary",
        watch=overview.ExecutionOverview,
        needs=("errors", "resource_usage"),
        help="How the run went, by component and event type.",
        findings=overview.find_findings,
        pooling=overview.summarize_overviews,
        in_health=False,
    ),
    Section(
        "component_breakdown",
        "summary",
        compute=components.component_breakdown,
        columns=components.COLUMNS,
        pooling=MERGE,
        in_health=False,
    ),
    Section(
        "event_type_breakdown",
        "summary",
        compute=event_types.event_type_breakdown,
        columns=event_types.COLUMNS,
        pooling=MERGE,
        in_health=False,
    ),
    Section(
        "performance",
        "performance",
        compute=performance.performance,
        points=frozenset({"stack_sample"}),
        help="Slow operations; models and tools with percentiles.",
        columns=performance.COLUMNS,
        findings=performance.find_findings,
        pooling=MERGE,
        has_data=performance.has_operations,
        parts=("performance",),
    ),
    Section(
        "errors",
        "errors",
        watch=errors.Errors,
        help="What failed, and what never ended.",
        columns=errors.COLUMNS,
        findings=errors.find_findings,
        pooling=errors.list_errors_of_traces,
        has_data=errors.has_errors,
        parts=("quality", "stability"),
    ),
    Section(
        "handled_exceptions",
        "handled",
        watch=handled.HandledExceptions,
        help="Exceptions that the program handled, and those after which a result is empty or of another shape.",
        columns=handled.COLUMNS,
        findings=handled.find_findings,
        has_data=handled.has_handled,
        parts=("quality",),
    ),
    Section(
        "signals",
        "signals",
        watch=signals.Signals,
        help="What speaks for a wrong answer in a run without an error.",
        columns=signals.COLUMNS,
        findings=signals.find_findings,
        has_data=signals.has_calls,
        parts=("quality",),
    ),
    Section(
        "log_errors",
        "log-errors",
        watch=log_errors.LogErrors,
        help="Log records of any level that report an error.",
        columns=log_errors.COLUMNS,
        findings=log_errors.find_findings,
        has_data=log_errors.has_records,
        parts=("quality",),
    ),
    Section(
        "resource_usage",
        "resources",
        compute=resources.resource_usage,
        facts=resources.FACTS,
        points=resources.POINTS,
        help="Tokens, cost, memory, CPU, HTTP, and what tracing cost.",
        columns=resources.COLUMNS,
        findings=resources.find_findings,
        pooling=MERGE,
        has_data=resources.has_usage,
        parts=("resources",),
    ),
    Section(
        "integrity",
        "integrity",
        watch=integrity.Integrity,
        help="What is missing, cut or impossible in the trace, as a score.",
        columns=integrity.COLUMNS,
        findings=integrity.find_findings,
        has_data=integrity.has_score,
        parts=("stability",),
        scored=True,
    ),
    Section(
        "dependencies",
        "dependencies",
        watch=dependencies.Dependencies,
        help="Critical path, slack, and what could have run in parallel.",
        columns=dependencies.COLUMNS,
        findings=dependencies.find_findings,
        has_data=dependencies.has_spans,
    ),
    Section(
        "patterns",
        "patterns",
        watch=patterns.Patterns,
        help="Loops, retries, stalls, bursts, and what is repeated.",
        columns=patterns.COLUMNS,
        findings=patterns.find_findings,
        has_data=patterns.has_spans,
    ),
    Section(
        "optimizations",
        "optimizations",
        watch=optimizations.Optimizations,
        facts=CONTEXT_FACTS,
        needs=("dependencies",),
        help="What could be saved: time, tokens and money, each once.",
        columns=optimizations.COLUMNS,
        findings=optimizations.find_findings,
        pooling=optimizations.sum_savings,
        has_data=optimizations.has_savings,
        parts=("resources",),
    ),
    Section(
        "triggers",
        "triggers",
        watch=triggers.Triggers,
        needs=("resource_usage", "patterns"),
        help="Which thresholds of the setting triggers were exceeded.",
        columns=triggers.COLUMNS,
        findings=triggers.find_findings,
        has_data=triggers.has_decided_rules,
    ),
    Section(
        "interactions",
        "interactions",
        compute=interactions.interactions,
        points=frozenset({"agent_message"}),
        help="Who called whom; hand-offs and messages between agents.",
        columns=interactions.COLUMNS,
        findings=interactions.find_findings,
        pooling=MERGE,
        has_data=interactions.has_calls,
        parts=("interactions",),
    ),
    Section(
        "health",
        "health",
        compute=run_health,
        needs=EVERY_OTHER_SECTION,
        help="How much the findings weigh: a score, what lowered it, what to do next.",
        in_health=False,
        scored=True,
    ),
)

SECTIONS: SectionTable = {row.name: row for row in _ROWS}
"""Every section of ours, in the order of the document."""


def in_order(names: Iterable[str], table: Mapping[str, Any] = SECTIONS) -> tuple[str, ...]:
    """Return the sections of these names, in the order of the table.

    Raises:
        WrongUsageError: there is no section of one of the names.
    """
    chosen = frozenset(names)
    unknown = sorted(chosen - table.keys())
    if unknown:
        near = difflib.get_close_matches(unknown[0], table, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(table)}"
        raise WrongUsageError(f"there is no section {unknown[0]!r}; {hint}")
    return tuple(name for name in table if name in chosen)
