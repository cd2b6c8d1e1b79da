"""`debug import`: files of other tools as traces."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from namel3ss_debug.cli.boundary import notify
from namel3ss_debug.cli.options import reading, report_problems, settings, trace_directory, write_file
from namel3ss_debug.errors import UnreadableTraceError, WrongUsageError
from namel3ss_debug.importers import IMPORTERS
from namel3ss_debug.traces.events import Event

if TYPE_CHECKING:
    from namel3ss_debug.importers.losses import Losses
    from namel3ss_debug.traces.reader import Trace

_FORMATS = ", ".join(f"{row.name} ({row.description})" for row in IMPORTERS)


@click.command("import")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--output", metavar="FILE", type=click.Path(path_type=Path),
              help="Write to FILE; a folder for several. Without it, to trace_output_dir.")  # fmt: skip
@click.option("--format", "input_format", type=click.Choice([row.name for row in IMPORTERS]), metavar="NAME",
              help=f"The format of the files, where their contents do not show it: {_FORMATS}.")  # fmt: skip
@click.option("--report", is_flag=True, help="Show what is not carried over, and write nothing without -o.")
def command(files: Sequence[Path], *, output: Path | None, input_format: str | None, report: bool) -> int:
    """Convert files of other tools to traces.

    No command needs this: each of these files may stand wherever a command takes TRACE. What our format has no place
    for stays in metadata.source. Secrets are replaced, as in a trace of our own.
    """
    from namel3ss_debug.importers.losses import Losses
    from namel3ss_debug.importers.opening import open_nonempty_trace
    from namel3ss_debug.views.cleaning import clean

    if len(files) > 1 and output is not None and not output.is_dir():
        raise WrongUsageError(f"{output} is no folder; several files are written to a folder")
    settings()
    for file in files:
        trace = open_nonempty_trace(file, format_name=input_format)
        if trace.is_own():
            raise UnreadableTraceError(f"{file}: a trace of our own format, which needs no import")
        losses = Losses()
        with reading(trace):
            if report and output is None:
                for event in trace.events():
                    losses.add(event)
            else:
                _write(trace, output, losses)
        report_problems(trace)
        if report:
            click.echo(clean(f"{file}: {losses.events:,} events in {losses.spans:,} spans"))
            for line in losses.describe(trace.problems.left_out):
                click.echo(clean(f"  {line}"))
    return 0


def _write(trace: Trace, output: Path | None, losses: Losses) -> None:
    name = trace.path.name
    for ending in (".gz", ".json", ".jsonl", ".eval", ".traj"):
        name = name.removesuffix(ending)
    folder = trace_directory() if output is None else output if output.is_dir() else None
    path = output if folder is None else folder / f"{name}.jsonl"
    assert path is not None
    if path.exists() and path.samefile(trace.path):
        raise WrongUsageError(f"{path} is the file itself; give another file with -o")
    if output is None and path.exists() and not _is_import(path):
        raise WrongUsageError(f"{path} is another trace; give another file with -o")
    from namel3ss_debug.views.payloads import json_bytes

    lines = (json_bytes(event) + "\n" for event in _with_run(losses.watch(trace.events()), trace))
    write_file(path, "".join(lines).encode())
    notify(f"{trace.path} was written to {path}")


def _is_import(path: Path) -> bool:
    from namel3ss_debug.traces.lines import first_line

    return b'"source"' in first_line(path)


def _with_run(events: Iterator[Event], trace: Trace) -> Iterator[Event]:
    """Yield the events, each with the id of a run: marks and `list` refer to a trace by it."""
    run = hashlib.sha256(str(trace.path.resolve()).encode(errors="replace")).hexdigest()[:32]
    for event in events:
        yield event if "execution_id" in event else {**event, "execution_id": run}
