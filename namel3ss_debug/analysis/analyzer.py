"""One trace in, one document out: the JSON of `analyze`, for the command and for programs."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from namel3ss_debug.analysis import plugins
from namel3ss_debug.analysis.contract import Fold
from namel3ss_debug.analysis.folds import FOLDS, Analysis, in_order
from namel3ss_debug.analysis.totals import Options
from namel3ss_debug.traces.reader import Trace, open_trace
from namel3ss_debug.traces.store import ending

if TYPE_CHECKING:
    from collections.abc import Collection

SectionTable = Mapping[str, Callable[[Options], Fold]]
"""Section name -> what makes its fold."""

SCHEMA = "namel3ss-debug/analyze/1"


def analyze(
    trace: Trace,
    sections: Collection[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
    options: Options | None = None,
) -> dict[str, Any]:
    """Read a trace once and say what is in it.

    Args:
        trace: an opened trace.
        sections: the names of the sections wanted, out of `folds.FOLDS` and those that installed packages add; all
            of them if left out.
        progress: called now and then with the bytes read so far and the bytes of all files.
        options: what the user has set about the analyses.

    Returns:
        A document of JSON values, the same for the same trace. `trace` says what was read, `problems` what
        could not be, and every section stands under its name.

    Raises:
        WrongUsageError: there is no section of one of the names.
    """
    trace.progress = progress
    return fold(trace, section_table(sections), sections, options).document


class Folded(NamedTuple):
    """A trace that was read: its analysis, which has given its results, and the document."""

    analysis: Analysis
    document: dict[str, Any]


def section_table(sections: Collection[str] | None) -> SectionTable:
    """Every section there is: ours, and those that installed packages add, which are only looked for where they matter.

    Raises:
        WrongUsageError: there is no section of one of the names.
    """
    if sections is not None and FOLDS.keys() >= set(sections):
        return FOLDS
    table: dict[str, Callable[[Options], Fold]] = {**FOLDS, **dict(plugins.found(FOLDS, sections))}
    if sections is not None:
        in_order(sections, table)
    return table


def fold(
    trace: Trace,
    table: SectionTable,
    sections: Collection[str] | None,
    options: Options | None,
) -> Folded:
    """Read a trace once, as `analyze` does, with the sections of a table."""
    with _collecting_rarely():
        analysis = Analysis(sections, options, table)
        trace.marks = analysis.expect_marks if "integrity" in analysis.folds else None
        events = iter(trace.events())
        first = list(islice(events, 1))
        analysis.feed_all(chain(first, events))
        trace.marks = None
        problems = _problems(trace)
        results = analysis.results({"problems": problems, "ending": ending(trace.processes)})
    errors = plugins.errors(analysis.folds)
    document = {
        "schema": SCHEMA,
        "trace": {
            "path": str(trace.path),
            "execution_id": first[0].get("execution_id") if first else None,
            "events": analysis.events,
            "processes": len(trace.processes),
            "files": [str(file) for file in trace.files],
        },
        **{name: section for name, section in results.items() if name not in errors},
        "problems": problems,
    }
    return Folded(analysis, document | ({"plugin_errors": errors} if errors else {}))


@contextmanager
def _collecting_rarely() -> Iterator[None]:
    """Let the garbage collector run a hundredth as often: what is kept has no circles, and looking for them takes a sixth of all time."""
    young, *old = gc.get_threshold()
    gc.set_threshold(100 * young, *old)
    try:
        yield
    finally:
        gc.set_threshold(young, *old)


def _problems(trace: Trace) -> dict[str, Any]:
    """What could not be read as it stands: by kind, and the first of it by place."""
    problems = trace.problems
    return {
        "total": problems.total,
        "kinds": dict(sorted(problems.counts.items())),
        "lost_events": trace.lost,
        "rotated_away_events": trace.rotated_away,
        "first": [{"file": file, "line": line, "what": what} for file, line, what in problems.first],
    }


class TraceAnalyzer:
    """The analyses of one trace, for programs: `TraceAnalyzer("trace.jsonl").analyze()`.

    Args:
        path: any file of the trace.
        sections: the names of the sections wanted; all of them if left out.
        slow_ms: how many milliseconds an operation may take before it counts as slow.

    Raises:
        TraceNotFoundError: there is nothing at that path.
        UnreadableTraceError: what is there is no trace.
    """

    def __init__(
        self, path: str | Path, *, sections: Collection[str] | None = None, slow_ms: float = 1000.0
    ) -> None:
        self.trace = open_trace(Path(path))
        self.sections = sections
        self.options = Options(slow_ms=slow_ms)

    def analyze(self) -> dict[str, Any]:
        """The document that `namel3ss debug analyze --format json` prints.

        Raises:
            WrongUsageError: there is no section of one of the names.
        """
        return analyze(self.trace, self.sections, options=self.options)
