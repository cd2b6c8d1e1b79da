"""`debug list`: the recordings in a directory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from namel3ss_debug.cli.options import format_option, print_document, trace_directory
from namel3ss_debug.errors import TraceNotFoundError

if TYPE_CHECKING:
    from namel3ss_debug.traces.marks import Mark
    from namel3ss_debug.traces.store import TraceInfo


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
@format_option("table", "json")
def command(directory: Path | None, output_format: str) -> None:
    """List the recordings in DIRECTORY, the newest first; without it, those in trace_output_dir."""
    from namel3ss_debug.cli.analyze import tell_left_out
    from namel3ss_debug.traces.lines import may_be_read
    from namel3ss_debug.traces.store import look_through
    from namel3ss_debug.views.recordings import recording_lines, recordings_document
    from namel3ss_debug.views.terminal import console

    folder = directory or trace_directory()
    if not folder.is_dir() and (directory is not None or folder.exists()):
        what = "not a directory" if folder.exists() else "no such directory"
        raise TraceNotFoundError(f"{folder}: {what}; give one that holds recordings")
    found, others = look_through(folder)
    tell_left_out(
        str(folder), [path.name for path in others if not may_be_read(path)], "that may not be read"
    )
    marks = marks_of(found)
    if output_format == "json":
        document = {"schema": "namel3ss-debug/list/1", "directory": str(folder)}
        print_document(document | {"recordings": recordings_document(found, marks)})
        return
    if not found:
        console(stderr=True).print(f"no recordings in {folder}; make one with: namel3ss debug trace app.py")
        return
    screen = console()
    screen.lines(recording_lines(found, folder, screen.width, marks))
