"""One trace in, one document out: the JSON of `analyze`, for the command and for programs."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from namel3ss_debug.analysis.computing import compute_sections, start_table
from namel3ss_debug.analysis.contract import Section
from namel3ss_debug.analysis.sections.table import SECTIONS, in_order
from namel3ss_debug.analysis.totals import Options
from namel3ss_debug.importers.opening import open_nonempty_trace
from namel3ss_debug.traces.marks import mark_at
from namel3ss_debug.traces.reader import Trace
from namel3ss_debug.traces.store import ending

if TYPE_CHECKING:
    from collections.abc import Collection

    from namel3ss_debug.traces.span_table import SpanTable

SCHEMA = "namel3ss-debug/analyze/2"


def analyze(
    trace: Trace,
    sections: Collection[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
    options: Options | None = None,
) -> dict[str, Any]:
    """Read a trace once and analyze it.

    Args:
        trace: an opened trace.
        sections: the names of the sections wanted, out of `sections.table.SECTIONS`; all of them if left out.
        progress: called now and then with the bytes read so far and the bytes of all files.
        options: what the user has set about the analyses.

    Returns:
        A document of JSON values, the same for the same trace. `trace` describes what was read, `problems`
        what could not be read, and each section is under its name.

    Raises:
        WrongUsageError: there is no section of one of the names.
    """
    trace.progress = progress
    if sections is not None:
        in_order(sections)
    return analyze_trace(trace, SECTIONS, sections, options).document


class AnalyzedTrace(NamedTuple):
    """A trace that was read: its table of spans, and the document."""

    spans: SpanTable
    document: dict[str, Any]


def analyze_trace(
    trace: Trace,
    table: Mapping[str, Section],
    sections: Collection[str] | None,
    options: Options | None,
) -> AnalyzedTrace:
    """Read a trace once, as `analyze` does, with the sections of a table."""
    options = options or Options()
    builder = start_table(str(trace.path), sections, options, table)
    integrity = builder.table.watchers.get("integrity")
    # The reader reports to the section `integrity` where payloads may have been cut or redacted.
    trace.marks = None if integrity is None else integrity.expect_marks
    with collecting_rarely():
        events = trace.events()
        first = list(islice(events, 1))
        builder.add(chain(first, events))
        trace.marks = None
        problems = trace.problems_document()
        mark = mark_at(trace.processes[0].files[0])
        spans = builder.settle()
        spans.traces = [trace]
        spans.about = [
            {
                "problems": problems,
                # By its last line; that of a document of another tool is the whole file, parsed once more.
                "ending": ending(trace.processes) if trace.is_own() else "unknown",
                "noted_status": next((note.exit_status for note in trace.notes if note.ended), None),
                "mark": None if mark is None else mark.to_json(),
            }
        ]
        results = compute_sections(spans, sections, options, table)
    document = {
        "schema": SCHEMA,
        "trace": {
            "path": str(trace.path),
            "execution_id": first[0].get("execution_id") if first else None,
            "mark": spans.about[0]["mark"],
            "events": builder.count,
            "processes": len(trace.processes),
            "files": [str(file) for file in trace.files],
        },
        **results,
        "problems": problems,
    }
    return AnalyzedTrace(spans, document)


@contextmanager
def collecting_rarely() -> Iterator[None]:
    """Let the garbage collector run a hundredth as often: there are no cycles, and it takes a sixth of all time."""
    young, *old = gc.get_threshold()
    gc.set_threshold(100 * young, *old)
    try:
        yield
    finally:
        gc.set_threshold(young, *old)


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
