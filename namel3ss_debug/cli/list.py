"""`debug list`: the traces in a directory, and how their runs ended."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from namel3ss_debug.cli.options import format_option, print_document, settings, trace_directory
from namel3ss_debug.errors import TraceNotFoundError
from namel3ss_debug.traces.marks import BAD, JUDGEMENTS
from namel3ss_debug.traces.outcomes import NOT_GOOD, OUTCOMES

if TYPE_CHECKING:
    from namel3ss_debug.traces.marks import Mark
    from namel3ss_debug.traces.store import TraceInfo


_NAMES = (*OUTCOMES, *JUDGEMENTS)


def marks_of(found: Sequence[TraceInfo]) -> dict[Path, Mark]:
    """Return the marks of traces, by path; say on stderr which ones have no effect."""
    from namel3ss_debug.cli.boundary import tell
    from namel3ss_debug.traces.marks import find_mark

    marks = {}
    for info in found:
        mark = find_mark(info.path, info.execution_id)
        if isinstance(mark, str):
            tell(mark)
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
@format_option("table", "json")
def command(directory: Path | None, failed: bool, outcomes: tuple[str, ...], output_format: str) -> None:
    """List the recordings in DIRECTORY, the newest first; without it, those in trace_output_dir.

    Each has its outcome: completed, failed (by an exception or an exit status), killed, interrupted (by Ctrl-C), stopped
    (a server, by SIGTERM) or running, and marked good or bad where you judged it; and its duration, cost and errors.
    """
    from namel3ss_debug.analysis.summary.listed import summarise
    from namel3ss_debug.cli.analyze import tell_left_out
    from namel3ss_debug.traces.lines import may_be_read
    from namel3ss_debug.traces.store import look_through
    from namel3ss_debug.views.recordings import list_document, list_lines
    from namel3ss_debug.views.terminal import console

    folder = directory or trace_directory()
    if not folder.is_dir() and (directory is not None or folder.exists()):
        what = "not a directory" if folder.exists() else "no such directory"
        raise TraceNotFoundError(f"{folder}: {what}; give one that holds recordings")
    infos, others = look_through(folder)
    tell_left_out(
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
    if output_format == "json":
        document = {"schema": "namel3ss-debug/list/1", "directory": str(folder)}
        print_document(document | {"recordings": list_document(found, marks)})
        return
    if not infos:
        console(stderr=True).print(f"no recordings in {folder}; make one with: namel3ss debug trace app.py")
        return
    if not found:
        console(stderr=True).print(
            f"no recordings in {folder} with the outcome {', '.join(name for name in _NAMES if name in wanted)}"
        )
        return
    screen = console()
    screen.lines(list_lines(found, folder, screen.width, marks))
