"""`debug report`: one page about a failure, for an issue tracker."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from namel3ss_debug.cli.options import (
    format_option,
    open_recording,
    print_document,
    reading,
    report_problems,
    settings,
    tell_ignored_mark,
    trace_argument,
    write_file,
)


def chosen(words: str | None, reference: str | None) -> tuple[str, Path]:
    """What the user says is wrong, and the recording; one argument alone is the recording where it names one.

    Raises:
        TraceNotFoundError: there is no such recording.
    """
    from namel3ss_debug.cli.options import trace_directory
    from namel3ss_debug.errors import TraceNotFoundError
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
        raise TraceNotFoundError(f"{error}; several WORDS stand in quotes") from None


def write(output: Path | None, content: str | dict[str, Any]) -> None:
    """Write the page where it is to go.

    Raises:
        WrongUsageError: the file cannot be written.
    """
    from namel3ss_debug.views.payloads import json_bytes

    if output is None:
        if isinstance(content, str):
            click.echo(content)
        else:
            print_document(content)
        return
    text = content if isinstance(content, str) else json_bytes(content, indent=True)
    write_file(output, (text + "\n").encode("utf-8", "replace"))


@click.command("report")
@click.argument("words", metavar="[WORDS]", required=False)
@trace_argument
@click.argument("more", nargs=-1, metavar="")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write it there."
)
@format_option("markdown", "json")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    words: str | None,
    reference: str | None,
    more: tuple[str, ...],
    output: Path | None,
    output_format: str,
) -> None:
    """Write one page about a failure, for an issue tracker.

    WORDS say what is wrong, in quotes: the failure that fits them best is told, without them the most severe. One
    argument that names a recording is TRACE. Paths below a home are shortened; read the page before it is sent.
    """
    from namel3ss_debug.analysis.issue import SCHEMA, issue
    from namel3ss_debug.cli.analyze import options
    from namel3ss_debug.cli.boundary import tell
    from namel3ss_debug.inspection.leading import read_leading_story
    from namel3ss_debug.views import blocks
    from namel3ss_debug.views.cleaning import shorter_path
    from namel3ss_debug.views.issue_report import page
    from namel3ss_debug.views.journey import document as journey_document

    if more:
        raise click.UsageError("put WORDS in quotes, as in: report 'it orders twice'", ctx)
    words, path = chosen(words, reference)
    trace = open_recording(path)
    with reading(trace):
        told = issue(trace, words, options(settings().config))
        about = told["failure"] or told["origin"] or next(iter(told["open_spans"]), None)
        before = (
            None if about is None else read_leading_story(trace, about.get("end_number") or about["number"])
        )
    report_problems(trace)
    tell_ignored_mark(trace.path)
    if words and told["chosen_by"] == "severity":
        tell("no failure fits these words; the page tells of the most severe")
    document = {
        "schema": SCHEMA,
        **told,
        "journey": None if before is None else journey_document(before)["steps"],
    }
    if output_format == "json":
        write(output, document)
    else:
        write(output, "\n".join(blocks.markdown(page(told, before))))
    if output is not None:
        tell(f"the page is in {shorter_path(output)}")
