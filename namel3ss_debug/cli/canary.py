"""`debug check --canary`: whether a new version is promoted or rolled back, for a deployment script."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from namel3ss_debug.cli.boundary import notify
from namel3ss_debug.cli.options import open_trace_file
from namel3ss_debug.cli.paths import find_paths
from namel3ss_debug.errors import WrongUsageError
from namel3ss_debug.views.report import Report

if TYPE_CHECKING:
    from namel3ss_debug.analysis.canary import CanaryRun
    from namel3ss_debug.config import Loaded

STATUS_OF_HOLD = 4


def compare_versions(new: Sequence[str], old: Sequence[str], loaded: Loaded) -> Report:
    """Compare the runs of a new version with those of the old one.

    Raises:
        WrongUsageError: one of them is not named, or both have the same runs.
        TraceNotFoundError: a trace is not there.
    """
    from namel3ss_debug.analysis.canary import HOLD, ROLL_BACK, compare
    from namel3ss_debug.views.canary import canary_blocks
    from namel3ss_debug.views.terminal import byte_progress

    if not new or not old:
        raise WrongUsageError(
            "--canary compares two versions: give the new runs, and the old ones with --against"
        )
    folder = Path(loaded.config.trace_output_dir)
    later, earlier = (find_paths(references, folder, []) for references in (new, old))
    both = {path.resolve() for path in later} & {path.resolve() for path in earlier}
    if both:
        raise WrongUsageError(f"{min(both)} is of both versions; name the new runs and --against apart")
    runs: list[list[CanaryRun]] = []
    total = len(earlier) + len(later)
    with byte_progress(f"reading {total:,} traces") as progress:
        for done, path in enumerate((*earlier, *later)):
            if done in {0, len(earlier)}:
                runs.append([])
            runs[-1] += _read_run(path)
            if progress is not None:
                progress(done, total)
    report = compare(runs[0], runs[1], loaded.config.canary_limits)
    status = {ROLL_BACK: 1, HOLD: STATUS_OF_HOLD}.get(report.verdict, 0)
    return Report(canary_blocks(report), report.to_json(), status=status)


def _read_run(path: Path) -> Iterator[CanaryRun]:
    """Yield the measures of a run that has ended; one that is still written is left out."""
    from namel3ss_debug.analysis.analyzer import analyze_trace
    from namel3ss_debug.analysis.canary import CanaryRun
    from namel3ss_debug.analysis.sections.table import SECTIONS
    from namel3ss_debug.traces.marks import BAD, mark_of
    from namel3ss_debug.traces.outcomes import NOT_GOOD

    document = analyze_trace(
        open_trace_file(path), SECTIONS, ("execution_overview", "resource_usage"), None
    ).document
    overview, resources = document["execution_overview"], document["resource_usage"]
    if overview["outcome"] == "running":
        notify(f"{path} is still running, and is left out")
        return
    mark, cost = mark_of(path), resources["cost"]
    values = {
        "error_rate": float(overview["outcome"] in NOT_GOOD),
        "response_ms": overview["duration_ms"],
        "cost": None if cost["calls_without_price"] else cost["total"],
        "memory_mb": resources["memory"]["peak_mb"],
        "marked_bad": None if mark is None else float(mark.judgement == BAD),
    }
    yield CanaryRun(overview["ended_at"] or path.stat().st_mtime, values)
