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
    show_report,
    trace_argument,
)

SCHEMA = "namel3ss-debug/journey/1"
LIMIT = 200
"""The steps that are shown where nobody said how many."""


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


@click.command("journey")
@click.argument("name")
@trace_argument
@limit_option("At most so many steps; 0 for all.", LIMIT)
@format_option("table", "json", "markdown")
def command(name: str, reference: str | None, limit: int, output_format: str) -> None:
    """Tell what one agent or component did, in order: what it was given, whom it called, what came of it.

    NAME is that of an agent, a tool, a model or anything else with a name, in upper or lower case, with * and ? for
    anything; or a component, such as llm.
    """
    from namel3ss_debug.inspection.journey import read_story
    from namel3ss_debug.views.journey import document, story

    check_name(name, reference)
    trace = open_reference(reference)
    with reading(trace):
        told = read_story(trace, name, limit=limit or None)
    report_problems(trace)
    if output_format == "json":
        print_document({"schema": SCHEMA, "trace": str(trace.path), **document(told)})
    else:
        show_report(story(told), markdown=output_format == "markdown")
