"""`debug explain N`: the chain of causes back from one event of a recording."""

from __future__ import annotations

import shlex
from typing import Any

import click

from namel3ss_debug.cli.options import (
    format_option,
    is_recording,
    open_reference,
    print_document,
    quoted,
    reading,
    report_problems,
    show_report,
    tell_ignored_mark,
    trace_argument,
)


class EventNumber(click.IntRange):
    """The number of an event; a recording in its place is told from a mistyped number."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number.

        Raises:
            WrongUsageError: it is a recording.
        """
        from namel3ss_debug.errors import WrongUsageError

        if is_recording(str(value)):
            raise WrongUsageError(
                f"{value} is a recording, and N is missing: give the number of an event before it, "
                f"as in `namel3ss debug explain 3 {shlex.quote(str(value))}`"
            )
        return super().convert(value, param, ctx)


@click.command("explain")
@click.argument("number", metavar="N", type=EventNumber(min=1))
@trace_argument
@format_option("table", "json", "markdown")
def command(number: int, reference: str | None, output_format: str) -> None:
    """Say what an event came from, back to its causes.

    N is the number of an event, as every command shows it. Of a failure, the likeliest origin is told; of anything
    else, who asked for it and who gave it what, back to the words of the user.
    """
    from namel3ss_debug.analysis.failures.explain import SCHEMA, explain
    from namel3ss_debug.traces.marks import mark_of
    from namel3ss_debug.views.explain import explain as shown

    trace = open_reference(reference)
    with reading(trace):
        mark = mark_of(trace.path)
        document = {"schema": SCHEMA, "trace": str(trace.path), **explain(trace, number, mark)}
    report_problems(trace)
    tell_ignored_mark(trace.path)
    named = quoted(reference or "")
    if output_format == "json":
        print_document(document)
    else:
        show_report(shown(document, named), markdown=output_format == "markdown")
