"""`debug diff`: where two runs stop being the same run, and what sets a failing run apart from passing ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from namel3ss_debug.cli.options import (
    complete_files,
    limit_option,
    open_trace_file,
    reading,
    report_problems,
    settings,
)
from namel3ss_debug.cli.paths import find_baselines
from namel3ss_debug.cli.reporting import reporting
from namel3ss_debug.errors import WrongUsageError
from namel3ss_debug.views.report import Report

if TYPE_CHECKING:
    from namel3ss_debug.analysis.diff.baselines import BaselineDiff
    from namel3ss_debug.analysis.diff.comparison import Diff
    from namel3ss_debug.views.blocks import Block

SHOWN = 20
"""The differences that have a row where nobody said how many."""


def report_differences(found: Diff | BaselineDiff, limit: int, notices: Callable[[], None]) -> Report:
    """Return the report on what differs, with status 1 if anything does."""

    def build(width: int | None) -> Iterable[Block]:
        from namel3ss_debug.analysis.diff.comparison import Diff
        from namel3ss_debug.views.diff import baseline_report, report

        if isinstance(found, Diff):
            return report(found, width=width, limit=limit)
        return baseline_report(found, width=width, limit=limit)

    from namel3ss_debug.views.blocks import ForWidth

    return Report([ForWidth(build)], found.to_json(), status=int(not found.same), notices=notices)


@click.command("diff")
@click.argument("references", metavar="A B", nargs=-1, shell_complete=complete_files)
@click.option("--baseline", "baselines", multiple=True, metavar="TRACE", shell_complete=complete_files,
              help="A passing run to compare one failing run with; may be repeated.")  # fmt: skip
@click.option("--ignore", multiple=True, metavar="PATTERN",
              help="Do not compare this key, or this path of keys from the event on; may be repeated.")  # fmt: skip
@limit_option("Show at most N differences one by one.", SHOWN)
@reporting()
def command(
    references: tuple[str, ...],
    baselines: tuple[str, ...],
    ignore: tuple[str, ...],
    limit: int,
) -> Report:
    """Find where two runs diverge.

    A and B are traces. They are aligned by what happened, not by text or time; ids, times and what the setting
    diff_ignore names are not compared. The first lasting difference comes first,
    with what the model had read on both sides.

    With --baseline there is one trace, of a failing run: what it did that no passing run did, and what every
    passing run did that it did not. A directory as a baseline means the runs in it that are marked good
    (`namel3ss debug mark`), or all that are not marked bad if none is.

    Ends with status 0 where the runs are the same, and 1 where they are not.
    """
    from namel3ss_debug.analysis.diff.baselines import diff_baselines
    from namel3ss_debug.analysis.diff.comparison import diff_traces
    from namel3ss_debug.importers.folders import find_any

    wanted = 1 if baselines else 2
    if len(references) != wanted:
        needed = "one failing run with --baseline" if baselines else "two runs, as in: diff A B"
        raise WrongUsageError(f"diff compares {needed}; {len(references)} given")
    config = settings().config
    directory = Path(config.trace_output_dir)
    compared = [find_any(reference, directory) for reference in references]
    passing = find_baselines(baselines, directory, compared) if baselines else []
    traces = [open_trace_file(path) for path in (*passing, *compared)]
    ignored = (*config.diff_ignore, *ignore)
    found: Diff | BaselineDiff
    with ExitStack() as stack:
        for trace in traces:
            stack.enter_context(reading(trace))
        found = (
            diff_baselines(traces[:-1], traces[-1], ignore=ignored)
            if baselines
            else diff_traces(*traces, ignore=ignored)
        )

    def notices() -> None:
        for trace in traces:
            report_problems(trace)

    return report_differences(found, limit, notices)
