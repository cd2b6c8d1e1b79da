"""One trace in, one document out: the JSON of `analyze`, for the command and for programs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from namel3ss_debug.analysis import plugins
from namel3ss_debug.analysis.contract import Section
from namel3ss_debug.analysis.folds import Analysis
from namel3ss_debug.analysis.halves import Asked, collecting_rarely, read_in_two, read_whole
from namel3ss_debug.analysis.sections.table import SECTIONS, in_order
from namel3ss_debug.analysis.totals import Options
from namel3ss_debug.importers.opening import open_nonempty_trace
from namel3ss_debug.traces.marks import mark_at
from namel3ss_debug.traces.reader import Trace
from namel3ss_debug.traces.store import ending

if TYPE_CHECKING:
    from collections.abc import Collection

    from namel3ss_debug.prices import Table

SCHEMA = "namel3ss-debug/analyze/2"

RENAMED_KEYS = {
    "recordings": "aggregate",
    "groups[].recordings": "groups[].traces",
    "errors.recurring[].recordings": "errors.recurring[].traces",
    "integrity.checks.mended_lines": "integrity.checks.repaired_lines",
    "triggers.fired": "triggers.triggered",
    "triggers.fired_count": "triggers.triggered_count",
    "health.findings[].finding": "health.findings[].id",
    "health.findings[].words": "health.findings[].evidence",
    "health.findings[].numbers": "health.findings[].events",
    "health.findings[].next": "health.findings[].suggestion",
    "health.parts.*.lowered_by[].finding": "health.parts.*.lowered_by[].id",
    "health.parts.*.lowered_by[].by": "health.parts.*.lowered_by[].weight",
    "health.sections.*.lowered_by[].finding": "health.sections.*.lowered_by[].id",
    "health.sections.*.lowered_by[].by": "health.sections.*.lowered_by[].weight",
}
"""Key of version 1 of the document -> its key in version 2. Rules of `check` may use both."""


def analyze(
    trace: Trace,
    sections: Collection[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
    options: Options | None = None,
    *,
    in_two: bool = False,
    own_prices: Table | None = None,
) -> dict[str, Any]:
    """Read a trace once and analyze it.

    Args:
        trace: an opened trace.
        sections: the names of the sections wanted, out of `sections.table.SECTIONS` and those that installed packages add; all
            of them if left out.
        progress: called now and then with the bytes read so far and the bytes of all files.
        options: what the user has set about the analyses.
        in_two: whether the later half of a long trace may be read in a process of its own; only where the program
            that runs may be imported once more, as `multiprocessing` does.
        own_prices: the prices of the user that this process uses, which such a process is to use as well.

    Returns:
        A document of JSON values, the same for the same trace. `trace` describes what was read, `problems`
        what could not be read, and each section is under its name.

    Raises:
        WrongUsageError: there is no section of one of the names.
    """
    trace.progress = progress
    return fold(
        trace, section_table(sections), sections, options, in_two=in_two, own_prices=own_prices
    ).document


class Folded(NamedTuple):
    """A trace that was read: its analysis, whose results have been taken, and the document."""

    analysis: Analysis
    document: dict[str, Any]


def section_table(sections: Collection[str] | None) -> Mapping[str, Section]:
    """Return the table of sections: ours, and those that installed packages add, which are looked up only if needed.

    Raises:
        WrongUsageError: there is no section of one of the names.
    """
    wanted = None if sections is None or "health" in sections else sections  # the health reads all of them
    if wanted is not None and SECTIONS.keys() >= set(wanted):
        return SECTIONS
    table = {**SECTIONS, **{row.name: row for row in plugins.load_sections(SECTIONS, wanted)}}
    if sections is not None:
        in_order(sections, table)
    return table


def fold(
    trace: Trace,
    table: Mapping[str, Section],
    sections: Collection[str] | None,
    options: Options | None,
    *,
    in_two: bool = False,
    own_prices: Table | None = None,
) -> Folded:
    """Read a trace once, as `analyze` does, with the sections of a table."""
    asked = Asked(sections, options, table)
    with collecting_rarely():
        analysis, execution_id = read_whole(trace, asked)
        problems = trace.problems_document()
        mark = mark_at(trace.processes[0].files[0])
        known = {
            "problems": problems,
            "ending": ending(trace.processes),
            "noted_status": next((note.exit_status for note in trace.notes if note.ended), None),
            "mark": None if mark is None else mark.to_json(),
        }
        results = analysis.results(known)
    errors = plugins.describe_errors(analysis.folds)
    document = {
        "schema": SCHEMA,
        "trace": {
            "path": str(trace.path),
            "execution_id": execution_id,
            "mark": known["mark"],
            "events": analysis.events,
            "processes": len(trace.processes),
            "files": [str(file) for file in trace.files],
        },
        **{name: section for name, section in results.items() if name not in errors},
        "problems": problems,
    }
    return Folded(analysis, document | ({"plugin_errors": errors} if errors else {}))


class TraceAnalyzer:
    """The analyses of one trace, for programs: `TraceAnalyzer("trace.jsonl").analyze()`.

    Args:
        path: any file of the trace.
        sections: the names of the sections wanted; all of them if left out.
        slow_ms: how many milliseconds an operation may take before it counts as slow.

    Raises:
        TraceNotFoundError: there is nothing at that path.
        UnreadableTraceError: what is there is not a trace, or nothing in it can be read.
    """

    def __init__(
        self, path: str | Path, *, sections: Collection[str] | None = None, slow_ms: float = 1000.0
    ) -> None:
        self.trace = open_nonempty_trace(path)
        self.sections = sections
        self.options = Options(slow_ms=slow_ms)

    def analyze(self) -> dict[str, Any]:
        """Return the document that `namel3ss debug analyze --format json` prints.

        Raises:
            WrongUsageError: there is no section of one of the names.
        """
        return analyze(self.trace, self.sections, options=self.options)
