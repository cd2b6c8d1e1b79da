"""`debug logs`: the log records of a trace, and what else belongs into a log."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Any

import click

from namel3ss_debug.cli.boundary import notify
from namel3ss_debug.cli.options import (
    find_trace_file,
    open_reference,
    open_trace_file,
    reading,
    report_problems,
    trace_argument,
)
from namel3ss_debug.cli.reporting import reporting
from namel3ss_debug.errors import WrongUsageError
from namel3ss_debug.inspection.logs import CATEGORIES, select_log_lines
from namel3ss_debug.traces.events import LOG_LEVELS
from namel3ss_debug.views.report import Records, Report

if TYPE_CHECKING:
    from namel3ss_debug.inspection.logs import LogLine
    from namel3ss_debug.traces.events import Event
    from namel3ss_debug.views.blocks import Block

SCHEMA = "namel3ss-debug/logs/1"
_POLL_SECONDS = 0.1


LOG_COLUMNS = [
    "number",
    "timestamp",
    "level",
    "category",
    "agent",
    "source",
    "event_type",
    "message",
    "before",
    "after",
    "reason",
    "extra",
    "error_type",
    "error",
    "call_site",
    "event_id",
]


def report_logs(
    reference: str | None, *, agent: str | None, level: str | None, category: str | None
) -> Report:
    """Return the report on the lines of the logs of a trace, which are read while it is written.

    Args:
        reference: the trace; the latest if left out.
        agent: only those of agents and loggers whose name matches.
        level: only those from this level on.
        category: only those of this log.

    Raises:
        TraceNotFoundError: there is no such trace.
        UnreadableTraceError: nothing in it can be read.
    """
    trace = open_reference(reference)

    def read() -> Iterator[LogLine]:
        with reading(trace):
            yield from select_log_lines(
                enumerate(trace.events(), 1), agent=agent, least=level, category=category
            )

    def blocks() -> Iterator[Block]:
        from namel3ss_debug.views.logs import log_table

        found = read()
        first = next(found, None)
        if first is None:
            notify("no log records match; log_level sets which records of the program are recorded")
        else:
            yield log_table(chain([first], found))

    def documents() -> Iterator[dict[str, Any]]:
        from namel3ss_debug.views.logs import document

        yield from map(document, read())

    return Report(
        blocks(),
        {"schema": SCHEMA, "trace": str(trace.path), "lines": lambda: list(documents())},
        rows=documents(),
        tables={"lines": Records(documents(), LOG_COLUMNS)},
        notices=lambda: report_problems(trace),
    )


def report_growing_logs(
    reference: str | None, *, agent: str | None, level: str | None, category: str | None
) -> Report:
    """Return a report that grows with the trace, until no process writes to it any more.

    Its lines have no numbers: an event of another process that comes later may belong before those that were shown.

    Raises:
        TraceNotFoundError: there is no such trace.
        UnreadableTraceError: nothing in it can be read.
    """
    from namel3ss_debug.importers.opening import open_trace
    from namel3ss_debug.traces.store import ending, trace_files
    from namel3ss_debug.views import logs
    from namel3ss_debug.views.blocks import Lines

    path = find_trace_file(reference)
    real = path.resolve()  # the link to the latest may soon lead to another one

    def read() -> Iterator[LogLine]:
        events = ((0, event) for event in _growing(path, real))
        return select_log_lines(events, agent=agent, least=level, category=category)

    def notices() -> None:
        last = trace_files(real)[0].files[-1]  # a first file may have been rotated away meanwhile
        if ending(open_trace(last).processes) == "killed":
            notify("the program wrote no end of its trace: it was killed, or exited by os._exit")

    return Report(
        [Lines(lambda width: (logs.running_line(line, width) for line in read()))],
        rows=(logs.document(line) for line in read()),
        tables={"lines": Records((logs.document(line) for line in read()), LOG_COLUMNS)},
        notices=notices,
        live=True,
    )


def _growing(path: Path, real: Path) -> Iterator[Event]:
    """Yield the events of a trace, until no process writes to it any more.

    Args:
        path: the file as the user named it.
        real: the same without links.

    Raises:
        UnreadableTraceError: there is no event in it, and it is not one that has only just been begun.
    """
    from namel3ss_debug.traces.following import Follower
    from namel3ss_debug.traces.store import ending

    _await_first_line(real)
    trace = open_trace_file(path)
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
    """Wait for the first line of a file that a process writes."""
    from namel3ss_debug.traces.lines import Problems, read_batches
    from namel3ss_debug.traces.store import is_written

    while is_written(path):
        with closing(read_batches(path, Problems())) as batches:
            if any(batch.whole for batch in batches):
                return
        sleep(_POLL_SECONDS)


def write_logs(
    reference: str | None, directory: Path, *, agent: str | None, level: str | None, category: str | None
) -> Report:
    """Write the lines into the files of a folder for each log, and return an empty report.

    Raises:
        TraceNotFoundError: there is no such trace.
        UnreadableTraceError: nothing in it can be read.
        WrongUsageError: the directory cannot be written.
    """
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
    notify(f"wrote {lines} to {count(len(written.files) - 1, 'log')} in {written.folder}")
    return Report(())


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
@reporting()
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
) -> Report:
    """Read the log records of a trace, and its decisions, messages, errors and figures, in order.

    Every trace has the records of the standard logging, from the level of the setting log_level on. It has those of
    structlog and loguru if the program uses our processor for them.
    """
    if directory is not None:
        if follow or ctx.get_parameter_source("format_name") is not click.core.ParameterSource.DEFAULT:
            raise click.UsageError("--write cannot be combined with --follow or --format", ctx)
        return write_logs(reference, directory, agent=agent, level=level, category=category)
    make = report_growing_logs if follow else report_logs
    return make(reference, agent=agent, level=level, category=category)
