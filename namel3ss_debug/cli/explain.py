"""`debug explain [N]`: the chain of causes back from one event of a trace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import click

from namel3ss_debug.cli.options import (
    is_reference,
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
    """The number of an event, or a trace, whose first failure or final answer is meant."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the event number, or the path of a trace as it is."""
        return value if is_reference(str(value)) else super().convert(value, param, ctx)


class ToExplain(NamedTuple):
    """The number of an event, and whether it is the final answer of a run that is marked bad."""

    number: int
    is_outcome: bool = False


def find_event(trace: Trace, mark: Mark | None) -> ToExplain:
    """Return the event to explain where the user names none: the marked one, the final answer, or the first failure.

    The final answer stands for a run that is marked bad, if nothing failed after it.

    Raises:
        WrongUsageError: nothing failed.
    """
    from namel3ss_debug.analysis.analyzer import analyze
    from namel3ss_debug.analysis.failures.explain import find_final_answer
    from namel3ss_debug.traces.marks import BAD

    if mark is not None and mark.event is not None:
        return ToExplain(mark.event)
    errors = analyze(trace, ["errors"])["errors"]
    if mark is not None and mark.judgement == BAD:
        number, end = find_final_answer(trace)
        if number and all(failure["end_number"] < end for failure in errors["failures"]):
            return ToExplain(number, is_outcome=True)
    for row in (*errors["failures"], *errors["weak_failures"], *errors["open_spans"]):
        return ToExplain(int(row["number"]))
    raise WrongUsageError(
        f"nothing failed in {trace.path}: give the number of an event, as in `namel3ss debug explain 3`; show lists them"
    )


@click.command("explain")
@click.argument("number", metavar="[N]", required=False, type=EventNumber(min=1))
@trace_argument
@reporting()
def command(number: int | str | None, reference: str | None) -> Report:
    """Show the chain of causes behind an event; without N, behind the first failure.

    In a run that is marked bad, it is the marked event, or else the final answer.

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
        found = find_event(trace, mark) if number is None else ToExplain(number)
        causes = explain(trace, found.number, mark, is_outcome=found.is_outcome)
        document = {"schema": SCHEMA, "trace": str(trace.path), **causes}
    report_problems(trace)
    report_ignored_mark(trace.path)
    return Report(shown(document, quoted(reference or "")), document)
