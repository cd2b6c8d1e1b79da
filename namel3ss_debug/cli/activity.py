"""`debug activity`: all that one agent or component did, in order."""

from __future__ import annotations

import shlex

import click

from namel3ss_debug.cli.options import (
    is_reference,
    limit_option,
    open_reference,
    reading,
    report_problems,
    trace_argument,
)
from namel3ss_debug.cli.reporting import reporting
from namel3ss_debug.errors import WrongUsageError
from namel3ss_debug.views.report import Report

SCHEMA = "namel3ss-debug/activity/1"
LIMIT = 200
"""How many steps are shown without --limit."""


def check_name(name: str, reference: str | None) -> None:
    """Check that the one argument is not a trace.

    Raises:
        WrongUsageError: it is.
    """
    if reference is None and is_reference(name):
        raise WrongUsageError(
            f"{name} is a trace, and NAME is missing: name an agent, a tool or a component before it, "
            f"as in `namel3ss debug activity llm {shlex.quote(name)}`"
        )


@click.command("activity")
@click.argument("name")
@trace_argument
@limit_option("Show at most this many steps; 0 for all.", LIMIT)
@reporting()
def command(name: str, reference: str | None, limit: int) -> Report:
    """Show what one agent or component did, in order: its inputs, its calls, and their outcomes.

    NAME names an agent, a tool, a model or anything else, in upper or lower case, with * and ? as
    wildcards; or a component, such as llm.
    """
    from namel3ss_debug.inspection.activity import read_activity
    from namel3ss_debug.views.activity import describe_activity, to_json

    check_name(name, reference)
    trace = open_reference(reference)
    with reading(trace):
        activity = read_activity(trace, name, limit=limit or None)
    report_problems(trace)
    written = to_json(activity)
    head = {"schema": SCHEMA, "trace": str(trace.path)}
    return Report(describe_activity(activity), head | written, rows=written["steps"])
