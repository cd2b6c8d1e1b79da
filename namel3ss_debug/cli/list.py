"""`debug list`: the traces in a directory, and how their runs ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from namel3ss_debug.cli.boundary import notify
from namel3ss_debug.cli.options import settings, trace_directory
from namel3ss_debug.cli.reporting import reporting
from namel3ss_debug.errors import TraceNotFoundError
from namel3ss_debug.traces.marks import BAD, JUDGEMENTS
from namel3ss_debug.traces.outcomes import NOT_GOOD, OUTCOMES
from namel3ss_debug.views.report import Report

if TYPE_CHECKING:
    from namel3ss_debug.traces.marks import Mark
    from namel3ss_debug.traces.store import TraceInfo
    from namel3ss_debug.views.blocks import Block


_NAMES = (*OUTCOMES, *JUDGEMENTS)
UNLIMITED = 1000
"""The width of output that has none."""


def marks_of(found: Sequence[TraceInfo]) -> dict[Path, Mark]:
    """Return the marks of traces, by path; print which ones have no effect."""
    from namel3ss_debug.traces.marks import find_mark

    marks = {}
    for info in found:
        mark = find_mark(info.path, info.execution_id)
        if isinstance(mark, str):
            notify(mark)
        elif mark is not None:
            marks[info.path] = mark
    return marks


@click.command("list")
@click.argument("directory", metavar="[DIRECTORY]", required=False, type=click.Path(path_type=Path))
@click.option("--failed", is_flag=True, help="Only runs that failed, were killed, or are marked bad.")
@click.option(
    "--outcome",
    "outcomes",
    multiple=True,
    type=click.Choice(_NAMES),
    help="Only runs with this outcome, or marked good or bad; may be repeated.",
)
@reporting()
def command(directory: Path | None, failed: bool, outcomes: tuple[str, ...]) -> Report:
    """List the traces in DIRECTORY, the newest first; without it, those in trace_output_dir.

    Each has its outcome: completed, failed (by an exception or an exit status), killed, interrupted (by Ctrl-C), stopped
    (a server, by SIGTERM) or running, and marked good or bad where you judged it; and its duration, cost and errors.
    """
    from namel3ss_debug.analysis.sections.listed import summarise
    from namel3ss_debug.cli.paths import report_left_out_files
    from namel3ss_debug.traces.lines import may_be_read
    from namel3ss_debug.traces.store import scan_directory
    from namel3ss_debug.views.traces import list_document

    folder = directory or trace_directory()
    if not folder.is_dir() and (directory is not None or folder.exists()):
        what = "not a directory" if folder.exists() else "no such directory"
        raise TraceNotFoundError(f"{folder}: {what}; give one that holds traces")
    infos, others = scan_directory(folder)
    report_left_out_files(
        str(folder), [path.name for path in others if not may_be_read(path)], "that may not be read"
    )
    marks = marks_of(infos)
    wanted = {*outcomes, *((*NOT_GOOD, BAD) if failed else ())} or set(OUTCOMES)
    rows = zip(infos, summarise(infos, settings().config.prices), strict=True)
    found = [
        (info, summary)
        for info, summary in rows
        if summary.outcome in wanted or (info.path in marks and marks[info.path].judgement in wanted)
    ]

    def blocks() -> Iterator[Block]:
        from namel3ss_debug.views.blocks import ForWidth
        from namel3ss_debug.views.traces import list_blocks

        if not infos:
            notify(f"no traces in {folder}; make one with: namel3ss debug trace app.py")
        elif not found:
            names = ", ".join(name for name in _NAMES if name in wanted)
            notify(f"no traces in {folder} with the outcome {names}")
        else:
            yield ForWidth(lambda width: list_blocks(found, folder, width or UNLIMITED, marks))

    listed = list_document(found, marks)
    head = {"schema": "namel3ss-debug/list/1", "directory": str(folder)}
    return Report(blocks(), head | {"recordings": listed}, rows=listed)
