"""`debug explain [N]`: the chain of causes back from one event of a trace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from namel3ss_debug.cli.options import (
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

if TYPE_CHECKING:
    from namel3ss_debug.traces.marks import Mark
    from namel3ss_debug.traces.reader import Trace


class EventNumber(click.IntRange):
    """The number of an event, or a trace, whose first failure is meant."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the event number, or the path of a trace as it is."""
        from namel3ss_debug.cli.options import is_trace_file

        return value if is_trace_file(str(value)) else super().convert(value, param, ctx)


def find_event(trace: Trace, mark: Mark | None) -> int:
    """Return the event to explain where the user names none: the marked one, else the first failure.

    Raises:
        WrongUsageError: nothing failed.
    """
    from namel3ss_debug.analysis.analyzer import analyze

    if mark is not None and mark.event is not None:
        return mark.event
    errors = analyze(trace, ["errors"])["errors"]
    for row in (*errors["failures"], *errors["weak_failures"], *errors["open_spans"]):
        return int(row["number"])
    raise WrongUsageError(
        f"nothing failed in {trace.path}: give the number of an event, as in `namel3ss debug explain 3`; show lists them"
    )


@click.command("explain")
@click.argument("number", metavar="[N]", required=False, type=EventNumber(min=1))
@trace_argument
@reporting()
def command(number: int | str | None, reference: str | None) -> Report:
    """Show the chain of causes behind an event; without N, behind the first failure.

    N is the number of an event, as every command shows it. For a failure, it shows the likeliest origin; for any
    other event, what requested it and where its inputs came from, back to the user's message.
    """
    from namel3ss_debug.analysis.failures.explain import SCHEMA, explain
    from namel3ss_debug.traces.marks import mark_of
    from namel3ss_debug.views.explain import explain as shown

    if isinstance(number, str):
        if reference is not None:
            raise click.UsageError(
                f"{number} is a trace, and {reference} follows it", click.get_current_context()
            )
        number, reference = None, number
    trace = open_reference(reference)
    with reading(trace):
        mark = mark_of(trace.path)
        if number is None:
            number = find_event(trace, mark)
        document = {"schema": SCHEMA, "trace": str(trace.path), **explain(trace, number, mark)}
    report_problems(trace)
    report_ignored_mark(trace.path)
    return Report(shown(document, quoted(reference or "")), document)
