"""`debug list`: the recordings in a directory."""

from __future__ import annotations

from pathlib import Path

import click

from namel3ss_debug.cli.options import format_option, print_document, trace_directory
from namel3ss_debug.errors import TraceNotFoundError


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
    if output_format == "json":
        document = {"schema": "namel3ss-debug/list/1", "directory": str(folder)}
        print_document(document | {"recordings": recordings_document(found)})
        return
    if not found:
        console(stderr=True).print(f"no recordings in {folder}; make one with: namel3ss debug trace app.py")
        return
    screen = console()
    screen.lines(recording_lines(found, folder, screen.width))
