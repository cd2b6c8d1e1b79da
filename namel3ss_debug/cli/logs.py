"""`debug logs`: the log records of a recording, and what else belongs into a log."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING

import click

from namel3ss_debug.cli.options import (
    find_recording,
    format_option,
    open_recording,
    open_reference,
    print_document,
    print_rows,
    reading,
    report_problems,
    trace_argument,
)
from namel3ss_debug.inspection.logs import CATEGORIES, select_log_lines
from namel3ss_debug.traces.events import LOG_LEVELS

if TYPE_CHECKING:
    from namel3ss_debug.inspection.logs import LogLine
    from namel3ss_debug.traces.events import Event

SCHEMA = "namel3ss-debug/logs/1"
_POLL_SECONDS = 0.1


def show_logs(
    reference: str | None,
    *,
    agent: str | None,
    level: str | None,
    category: str | None,
    output_format: str,
) -> None:
    """Print the lines of the logs of a recording.

    Args:
        reference: the recording; the latest if left out.
        agent: only those of agents and loggers whose name fits.
        level: only those from this level on.
        category: only those of this log.
        output_format: `table`, `json` or `jsonl`.

    Raises:
        TraceNotFoundError: there is no such recording.
        UnreadableTraceError: nothing in it can be read.
    """
    from namel3ss_debug.views import logs

    trace = open_reference(reference)
    with reading(trace):
        found = select_log_lines(enumerate(trace.events(), 1), agent=agent, least=level, category=category)
        if output_format == "jsonl":
            print_rows(map(logs.document, found))
        elif output_format == "json":
            rows = list(map(logs.document, found))
            print_document({"schema": SCHEMA, "trace": str(trace.path), "lines": rows})
        else:
            _show(found)
    report_problems(trace)


def _show(found: Iterator[LogLine]) -> None:
    from namel3ss_debug.cli.boundary import tell
    from namel3ss_debug.views import logs
    from namel3ss_debug.views.terminal import console

    first = next(found, None)
    if first is None:
        tell("nothing in this recording fits; log_level says which records of the program are recorded")
        return

    def whole() -> Iterator[LogLine]:
        yield first
        yield from found

    screen = console()
    screen.lines(logs.lines(whole(), screen.width))


def follow_logs(
    reference: str | None,
    *,
    agent: str | None,
    level: str | None,
    category: str | None,
    output_format: str,
) -> None:
    """Print the lines as they are recorded, from the beginning on, until no process writes the recording any more.

    They have no numbers: an event of another process that comes later may belong before those that were shown.

    Raises:
        TraceNotFoundError: there is no such recording.
        UnreadableTraceError: nothing in it can be read.
    """
    from namel3ss_debug.cli.boundary import tell
    from namel3ss_debug.traces.reader import open_trace
    from namel3ss_debug.traces.store import ending, trace_files
    from namel3ss_debug.views import logs
    from namel3ss_debug.views.terminal import console

    path = find_recording(reference)
    real = path.resolve()  # the link to the latest may soon lead to another one
    events = ((0, event) for event in _growing(path, real))
    screen = console()
    for line in select_log_lines(events, agent=agent, least=level, category=category):
        if output_format == "table":
            screen.lines([logs.running_line(line, screen.width)])
        else:
            print_rows([logs.document(line)])
    last = trace_files(real)[0].files[-1]  # a first file may have been rotated away meanwhile
    if ending(open_trace(last).processes) == "killed":
        tell("the program ended without saying so: it was killed, or left by os._exit")


def _growing(path: Path, real: Path) -> Iterator[Event]:
    """The events of a recording, until no process writes it any more.

    Args:
        path: the file as the user named it.
        real: the same without links.

    Raises:
        UnreadableTraceError: there is no event in it, and it is not one that has only just been begun.
    """
    from namel3ss_debug.cli.follow import Follower
    from namel3ss_debug.traces.store import ending

    _await_first_line(real)
    trace = open_recording(path)
    if ending(trace.processes) != "open":
        yield from trace.events()
        report_problems(trace)
        return
    follower = Follower(real)
    try:
        was_over = False
        while True:
            over = follower.is_over()
            for event in follower.events():
                over = False
                yield event
            if over and was_over:  # at the first look alone, a process may just have begun its next file
                return
            was_over = over
            sys.stdout.flush()
            sleep(_POLL_SECONDS)
    finally:
        follower.close()


def _await_first_line(path: Path) -> None:
    """Wait for the first line of a file that somebody writes."""
    from namel3ss_debug.traces.lines import Problems, read_batches
    from namel3ss_debug.traces.store import is_written

    while is_written(path):
        with closing(read_batches(path, Problems())) as batches:
            if any(batch.whole for batch in batches):
                return
        sleep(_POLL_SECONDS)


def write_logs(
    reference: str | None, directory: Path, *, agent: str | None, level: str | None, category: str | None
) -> None:
    """Write the lines into the files of a folder for each log.

    Raises:
        TraceNotFoundError: there is no such recording.
        UnreadableTraceError: nothing in it can be read.
        WrongUsageError: the directory cannot be written.
    """
    from namel3ss_debug.cli.boundary import tell
    from namel3ss_debug.errors import WrongUsageError
    from namel3ss_debug.views.logs import write_tree
    from namel3ss_debug.views.quantities import count

    trace = open_reference(reference)
    first = next(trace.events())
    about = {
        "schema": "namel3ss-debug/logs-summary/1",
        "trace": str(trace.path),
        "execution_id": first.get("execution_id"),
        "started_at": first.get("timestamp"),
    }
    wanted = (category,) if category else CATEGORIES
    with reading(trace):
        found = (
            line
            for each in wanted
            for line in select_log_lines(
                enumerate(trace.events(), 1), agent=agent, least=level, category=each
            )
        )
        try:
            written = write_tree(found, directory, first.get("timestamp"), about)
        except OSError as error:
            raise WrongUsageError(
                f"{directory}: the logs cannot be written there: {error.strerror}"
            ) from None
    report_problems(trace)
    lines = count(sum(written.counts.values()), "line")
    tell(f"wrote {lines} to {count(len(written.files) - 1, 'log')} in {written.folder}")


@click.command("logs")
@trace_argument
@click.option(
    "--agent", metavar="NAME", help="Of this agent or logger; * and ? stand for anything in a name."
)
@click.option(
    "--level", type=click.Choice(list(LOG_LEVELS), case_sensitive=False), help="From this level on."
)
@click.option("--category", type=click.Choice(CATEGORIES), help="Of this log; without it, all but events.")
@click.option("--follow", is_flag=True, help="Show lines as they are recorded, until the program ends.")
@click.option(
    "--write",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write a file for each agent and logger into DIR, in a folder for each log.",
)
@format_option("table", "json", "jsonl")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    reference: str | None,
    *,
    agent: str | None,
    level: str | None,
    category: str | None,
    follow: bool,
    directory: Path | None,
    output_format: str,
) -> None:
    """Read the log records of a recording, and its decisions, messages, errors and figures, in order.

    Records of the standard logging are in every recording, from the level that the setting log_level says; of
    structlog and loguru where the program was given their processor.
    """
    if directory is not None:
        if follow or output_format != "table":
            raise click.UsageError("--write goes with neither --follow nor --format", ctx)
        write_logs(reference, directory, agent=agent, level=level, category=category)
        return
    if follow and output_format == "json":
        raise click.UsageError(
            "a log that is followed has no end to close a document; use --format jsonl", ctx
        )
    run = follow_logs if follow else show_logs
    run(reference, agent=agent, level=level, category=category, output_format=output_format)
