"""`debug mark`: the user's judgement of a run, kept beside its trace."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from namel3ss_debug.cli.options import (
    find_trace_file,
    open_trace_file,
    report_ignored_mark,
    trace_directory,
)
from namel3ss_debug.cli.reporting import reporting
from namel3ss_debug.errors import WrongUsageError
from namel3ss_debug.views.report import Records, Report

if TYPE_CHECKING:
    from namel3ss_debug.traces.marks import Mark


def read_arguments(first: str | None, second: str | None) -> tuple[str | None, str | None]:
    """Return the trace and the judgement; a single `good` or `bad` judges the latest trace.

    Raises:
        WrongUsageError: the second word is no judgement.
    """
    from namel3ss_debug.traces.marks import JUDGEMENTS

    if second is None and first in JUDGEMENTS and not Path(first).exists():
        return None, first
    if second is not None and second not in JUDGEMENTS:
        raise WrongUsageError(f"{second!r} is not a judgement; give good or bad behind the trace")
    return first, second


def report_mark(path: Path, mark: Mark | None) -> Report:
    """Return the report on the mark of a trace."""
    from namel3ss_debug.traces.marks import SCHEMA
    from namel3ss_debug.views.blocks import Note
    from namel3ss_debug.views.cleaning import shorter_path
    from namel3ss_debug.views.quantities import moment

    when = f", {moment(mark.when)} UTC" if mark is not None and mark.when else ""
    described = "outcome not judged" if mark is None else mark.describe() + when
    written = None if mark is None else mark.to_json()
    document = {"schema": SCHEMA, "trace": str(path), "mark": written}
    row = {"trace": str(path), **(written or {})}
    shown = Note(f"{shorter_path(path)}: {described}", "", is_line=True)
    return Report([shown], document, tables={"mark": Records([row])})


@click.command("mark")
@click.argument("first", metavar="[TRACE]", required=False)
@click.argument("second", metavar="[good|bad]", required=False)
@click.option("--why", metavar="TEXT", help="The reason, in a few words.")
@click.option("--event", type=click.IntRange(min=1), metavar="N", help="The event that shows it.")
@click.option("--clear", is_flag=True, help="Remove the mark.")
@reporting()
def command(
    first: str | None, second: str | None, *, why: str | None, event: int | None, clear: bool
) -> Report:
    """Judge a run: good or bad, and why.

    A run without errors may still be wrong, and only you can judge that. The mark is kept in a file beside the trace. list,
    analyze, explain, report, check --baseline and diff --baseline read it. Without a judgement, show the mark.
    """
    from namel3ss_debug.traces.marks import Mark, clear_mark, mark_of, write_mark

    reference, judgement = read_arguments(first, second)
    if judgement is None and (why is not None or event is not None):
        raise WrongUsageError("--why and --event belong to a judgement; give good or bad")
    if judgement is not None and clear:
        raise WrongUsageError("--clear removes the mark; leave out good or bad")
    if reference in {None, "latest"}:
        trace_directory()
    trace = open_trace_file(find_trace_file(reference))
    if event is not None:
        trace.event(event)
    if judgement is not None:
        written = Mark(judgement, " ".join((why or "").split()), event, time.time())
        return report_mark(trace.path, write_mark(trace.path, written))
    if clear:
        clear_mark(trace.path)
    report_ignored_mark(trace.path)
    return report_mark(trace.path, mark_of(trace.path))
