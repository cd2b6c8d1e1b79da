"""`debug journey`: all that one agent or component did, in order, as a story."""

from __future__ import annotations

import shlex

import click

from namel3ss_debug.cli.options import (
    format_option,
    is_recording,
    limit_option,
    open_reference,
    print_document,
    reading,
    report_problems,
    trace_argument,
)

SCHEMA = "namel3ss-debug/journey/1"
LIMIT = 200
"""The steps that are shown where nobody said how many."""


def journey(name: str, reference: str | None, *, limit: int = LIMIT, output_format: str = "table") -> None:
    """Print the story of a name.

    Args:
        name: of an agent or a component.
        reference: the recording; the latest if left out.
        limit: how many steps are shown at most, 0 for all of them.
        output_format: `table`, `json` or `markdown`.

    Raises:
        WrongUsageError: nothing of that name is in the recording.
        TraceNotFoundError: there is no such recording.
        UnreadableTraceError: nothing in it can be read.
    """
    from namel3ss_debug.cli.analyze import show
    from namel3ss_debug.inspection.journey import journey as tell
    from namel3ss_debug.views.journey import document, story

    check_name(name, reference)
    trace = open_reference(reference)
    with reading(trace):
        told = tell(trace, name, limit=limit or None)
    report_problems(trace)
    if output_format == "json":
        print_document({"schema": SCHEMA, "trace": str(trace.path), **document(told)})
    else:
        show(story(told), markdown=output_format == "markdown")


def check_name(name: str, reference: str | None) -> None:
    """See that the one argument is not a recording.

    Raises:
        WrongUsageError: it is.
    """
    from namel3ss_debug.errors import WrongUsageError

    if reference is None and is_recording(name):
        raise WrongUsageError(
            f"{name} is a recording, and NAME is missing: name an agent, a tool or a component before it, "
            f"as in `namel3ss debug journey llm {shlex.quote(name)}`"
        )


@click.command("journey", short_help="Tell what one agent or component did, in order.")
@click.argument("name")
@trace_argument
@limit_option("At most so many steps; 0 for all.", LIMIT)
@format_option("table", "json", "markdown")
def command(name: str, reference: str | None, limit: int, output_format: str) -> None:
    """Tell what one agent or component did, in order: what it was given, whom it called, what came of it.

    NAME is that of an agent, a tool, a model or anything else with a name, in upper or lower case, with * and ? for
    anything; or a component, such as llm.
    """
    journey(name, reference, limit=limit, output_format=output_format)
