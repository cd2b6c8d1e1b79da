"""`debug report`: one page about a failure, for an issue tracker."""

from __future__ import annotations

import os
from pathlib import Path

import click

from namel3ss_debug.cli.boundary import notify
from namel3ss_debug.cli.options import (
    open_trace_file,
    reading,
    report_ignored_mark,
    report_problems,
    settings,
    trace_argument,
)
from namel3ss_debug.cli.reporting import reporting
from namel3ss_debug.errors import TraceNotFoundError
from namel3ss_debug.views.report import Report


def chosen(words: str | None, reference: str | None) -> tuple[str, Path]:
    """Return the user's description and the trace; one argument alone is the trace where it names one.

    Raises:
        TraceNotFoundError: there is no such trace.
    """
    from namel3ss_debug.cli.options import trace_directory
    from namel3ss_debug.traces.store import find_trace

    directory = trace_directory()
    if words and reference is None and (" " not in words.strip() or os.path.exists(words)):
        try:
            return "", find_trace(words, directory)
        except TraceNotFoundError:
            if Path(words).suffix in {".jsonl", ".gz"}:
                raise
    words = (words or "").strip()
    try:
        return words, find_trace(reference, directory)
    except TraceNotFoundError as error:
        if reference is None or not words or " " in words:
            raise
        raise TraceNotFoundError(f"{error}; put several WORDS in quotes") from None


@click.command("report")
@click.argument("words", metavar="[WORDS]", required=False)
@trace_argument
@click.argument("more", nargs=-1, metavar="")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the page to this file.",
)
@reporting("markdown")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    words: str | None,
    reference: str | None,
    more: tuple[str, ...],
    output: Path | None,
) -> Report:
    """Write one page about a failure, for an issue tracker.

    WORDS describe what is wrong, in quotes: the page is about the failure that matches them best, or without them about
    the most severe. One argument that names a trace is TRACE. Paths below a home are shortened; read the page before it is sent.
    """
    from namel3ss_debug.analysis.issue import SCHEMA, issue
    from namel3ss_debug.cli.analyze import options
    from namel3ss_debug.inspection.leading import read_leading_activity
    from namel3ss_debug.views.activity import to_json as activity_to_json
    from namel3ss_debug.views.cleaning import shorter_path
    from namel3ss_debug.views.issue_report import page

    if more:
        raise click.UsageError("put WORDS in quotes, as in: report 'it orders twice'", ctx)
    words, path = chosen(words, reference)
    trace = open_trace_file(path)
    with reading(trace):
        document = issue(trace, words, options(settings().config))
        about = document["failure"] or document["origin"] or next(iter(document["open_spans"]), None)
        before = (
            None
            if about is None
            else read_leading_activity(trace, about.get("end_number") or about["number"])
        )
    report_problems(trace)
    report_ignored_mark(trace.path)
    if words and document["chosen_by"] == "severity":
        notify("no failure matches these words; the page is about the most severe")
    document = {
        "schema": SCHEMA,
        **document,
        "activity": None if before is None else activity_to_json(before)["steps"],
    }

    def notices() -> None:
        if output is not None:
            notify(f"the page is in {shorter_path(output)}")

    return Report(page(document, before), document, file=output, notices=notices)
