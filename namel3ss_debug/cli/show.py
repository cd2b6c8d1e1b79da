"""`debug show`: a run as a conversation, on one screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from namel3ss_debug.cli.options import open_reference, reading, report_problems, trace_argument
from namel3ss_debug.cli.reporting import reporting
from namel3ss_debug.views.report import Report

if TYPE_CHECKING:
    from namel3ss_debug.traces.reader import Trace

SCHEMA = "namel3ss-debug/show/1"


@click.command("show")
@trace_argument
@click.option("--full", is_flag=True, help="Show whole texts, not one line for each.")
@click.option("--agent", metavar="NAME", default="", help="Show only what this agent did.")
@click.option(
    "--from", "first", type=click.IntRange(min=1), default=1, metavar="N", help="Begin at this event."
)
@click.option("--errors", is_flag=True, help="Show only failures, handled exceptions and warnings.")
@reporting()
def command(reference: str | None, *, full: bool, agent: str, first: int, errors: bool) -> Report:
    """Show a run as a conversation: what each model read, wrote and called, and what each tool returned.

    What a model had read before is folded to a number of messages. Lines are in the order of time, indented by agent.
    """
    trace = open_reference(reference)
    report = transcript_of(trace, full=full, agent=agent, first=first, errors=errors)
    report_problems(trace)
    return report


def transcript_of(
    trace: Trace, *, full: bool = False, agent: str = "", first: int = 1, errors: bool = False
) -> Report:
    """Return a trace as a conversation; the arguments are the options of the command."""
    from namel3ss_debug.inspection.transcript import read_transcript, select_steps, to_json
    from namel3ss_debug.views.transcript import describe_transcript, heading

    with reading(trace):
        transcript = read_transcript(trace.events())
    steps = list(select_steps(transcript, agent=agent, first=first, errors=errors))
    rows = list(map(to_json, steps))
    document = {
        "schema": SCHEMA,
        "trace": str(trace.path),
        "exit_status": transcript.exit_status,
        "steps_total": len(transcript.steps),
        "steps": rows,
    }
    blocks = [heading(transcript.steps, len(steps)), *describe_transcript(transcript, steps, full=full)]
    return Report(blocks, document, rows=rows)
