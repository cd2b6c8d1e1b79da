"""`debug diff`: where two runs stop being the same run, and what sets a failing run apart from passing ones."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from namel3ss_debug.cli.options import (
    files,
    format_option,
    limit_option,
    open_recording,
    print_document,
    reading,
    report_problems,
    settings,
    show_report,
)
from namel3ss_debug.errors import WrongUsageError

if TYPE_CHECKING:
    from namel3ss_debug.analysis.diffing.baselines import BaselineDiff
    from namel3ss_debug.analysis.diffing.comparison import Diff

SHOWN = 20
"""The differences that have a row where nobody said how many."""


def show(found: Diff | BaselineDiff, limit: int, output_format: str) -> None:
    """Print what differs."""
    if output_format == "json":
        print_document(found.to_json())
        return
    from namel3ss_debug.analysis.diffing.comparison import Diff
    from namel3ss_debug.views.diff import baseline_report, report
    from namel3ss_debug.views.terminal import console

    markdown = output_format == "markdown"
    width = None if markdown else console().width
    told = (
        report(found, width=width, limit=limit)
        if isinstance(found, Diff)
        else baseline_report(found, width=width, limit=limit)
    )
    show_report(told, markdown=markdown)


@click.command("diff")
@click.argument("references", metavar="A B", nargs=-1, shell_complete=files)
@click.option("--baseline", "baselines", multiple=True, metavar="TRACE", shell_complete=files,
              help="A passing run to compare one failing run with; may be repeated.")  # fmt: skip
@click.option("--ignore", multiple=True, metavar="PATTERN",
              help="Do not compare this key, or this path of keys from the event on; may be repeated.")  # fmt: skip
@limit_option("Show at most N differences one by one.", SHOWN)
@format_option("table", "json", "markdown")
def command(
    references: tuple[str, ...],
    baselines: tuple[str, ...],
    ignore: tuple[str, ...],
    limit: int,
    output_format: str,
) -> int:
    """Say where two runs stop being the same run.

    A and B are recordings. They are aligned by what happened, not by text or time; ids, times and what the setting
    diff_ignore names are not compared. The first difference after which they did not simply go on the same comes first,
    with what the model had read on both sides.

    With --baseline there is one recording, of a failing run: what it did that no passing run did, and what every
    passing run did that it did not.

    Ends with status 0 where the runs are the same, and 1 where they are not.
    """
    from namel3ss_debug.analysis.diffing.baselines import diff_baselines
    from namel3ss_debug.analysis.diffing.comparison import diff_traces
    from namel3ss_debug.traces.store import find_trace

    wanted = 1 if baselines else 2
    if len(references) != wanted:
        needed = "one failing run beside --baseline" if baselines else "two runs, as in: diff A B"
        raise WrongUsageError(f"diff compares {needed}; {len(references)} given")
    config = settings().config
    directory = Path(config.trace_output_dir)
    traces = [open_recording(find_trace(given, directory)) for given in (*baselines, *references)]
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
    show(found, limit, output_format)
    for trace in traces:
        report_problems(trace)
    return int(not found.same)
