"""`debug explain N`: the chain of causes back from one event of a trace."""

from __future__ import annotations

import shlex
from typing import Any

import click

from namel3ss_debug.cli.options import (
    is_trace_file,
    open_reference,
    quoted,
    reading,
    report_ignored_mark,
    report_problems,
    trace_argument,
)
from namel3ss_debug.cli.reporting import reporting
from namel3ss_debug.errors import WrongUsageError
from namel3ss_debug.views.report import Report


class EventNumber(click.IntRange):
    """The number of an event. A trace in its place gets a message of its own."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the event number.

        Raises:
            WrongUsageError: it is a trace.
        """
        if is_trace_file(str(value)):
            raise WrongUsageError(
                f"{value} is a trace, and N is missing: give the number of an event before it, "
                f"as in `namel3ss debug explain 3 {shlex.quote(str(value))}`"
            )
        return super().convert(value, param, ctx)


@click.command("explain")
@click.argument("number", metavar="N", type=EventNumber(min=1))
@trace_argument
@reporting()
def command(number: int, reference: str | None) -> Report:
    """Show the chain of causes behind an event.

    N is the number of an event, as every command shows it. For a failure, it shows the likeliest origin; for any
    other event, what requested it and where its inputs came from, back to the user's message.
    """
    from namel3ss_debug.analysis.failures.explain import SCHEMA, explain
    from namel3ss_debug.traces.marks import mark_of
    from namel3ss_debug.views.explain import explain as shown

    trace = open_reference(reference)
    with reading(trace):
        mark = mark_of(trace.path)
        document = {"schema": SCHEMA, "trace": str(trace.path), **explain(trace, number, mark)}
    report_problems(trace)
    report_ignored_mark(trace.path)
    return Report(shown(document, quoted(reference or "")), document)
