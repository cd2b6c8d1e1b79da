"""`debug analyze`: what was slow, what failed and what it cost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from namel3ss_debug.cli.options import (
    format_option,
    open_recording,
    print_document,
    reading,
    report_problem_document,
    settings,
    traces_argument,
)

SECTIONS = {
    "performance": ("performance",),
    "errors": ("errors",),
    "resources": ("resource_usage",),
    "integrity": ("integrity",),
    "dependencies": ("dependencies",),
    "summary": ("execution_overview", "component_breakdown", "event_type_breakdown"),
}
"""Flag to the sections of the document it chooses."""


def analyze(references: Sequence[str], *, chosen: Sequence[str] = (), output_format: str = "table") -> None:
    """Print the analysis of one recording, or one row for each of several.

    Args:
        references: recordings or directories, which mean every recording in them; the latest if empty.
        chosen: the flags of `SECTIONS` that were given; all of them if empty.
        output_format: `table`, `json` or `markdown`.

    Raises:
        TraceNotFoundError: a recording is not there.
        UnreadableTraceError: nothing in a recording can be read.
    """
    config = settings().config
    paths = find_paths(references, Path(config.trace_output_dir))
    sections = [section for flag in chosen for section in SECTIONS[flag]] or None
    documents = [analyse(path, sections, config.slow_ms) for path in paths]
    for document in documents:
        report_problem_document(document["problems"])
    single = len(documents) == 1 and not any(Path(reference).is_dir() for reference in references)
    if output_format == "json":
        print_document(documents[0] if single else {"schema": documents[0]["schema"], "traces": documents})
        return
    show(documents, markdown=output_format == "markdown", single=single)


def find_paths(references: Sequence[str], directory: Path) -> list[Path]:
    """The first files of the recordings that are meant, in the order they were named; of a directory, oldest first.

    Raises:
        TraceNotFoundError: a recording is not there, or a directory holds none.
    """
    from namel3ss_debug.traces.store import find_trace, list_traces

    paths: list[Path] = []
    for reference in references or ["latest"]:
        if Path(reference).is_dir():
            found = [info.path for info in reversed(list_traces(Path(reference)))]
            paths += found or [find_trace(reference, directory)]
        else:
            paths.append(find_trace(reference, directory))
    return paths


def analyse(path: Path, sections: Sequence[str] | None, slow_ms: float) -> dict[str, Any]:
    """The document of one recording, with progress on a terminal.

    Raises:
        UnreadableTraceError: nothing in it can be read.
    """
    from namel3ss_debug.analysis.analyzer import analyze as analyze_trace
    from namel3ss_debug.analysis.totals import Options

    trace = open_recording(path)
    with reading(trace):
        return analyze_trace(trace, sections, trace.progress, Options(slow_ms=slow_ms))


def show(documents: Sequence[dict[str, Any]], *, markdown: bool, single: bool) -> None:
    """Print a report: of one recording in full, of several one row each."""
    from namel3ss_debug.views import blocks
    from namel3ss_debug.views.analysis import report, several
    from namel3ss_debug.views.terminal import console

    found = list(report(documents[0]) if single else several(documents))
    if markdown:
        click.echo("\n".join(blocks.markdown(found)))
        return
    screen = console()
    screen.lines(blocks.lines(found, screen.width))


@click.command("analyze", short_help="Say what was slow, what failed and what it cost.")
@traces_argument
@click.option("--summary", is_flag=True, help="How the run went, by component and event type.")
@click.option("--errors", is_flag=True, help="What failed, and what never ended.")
@click.option("--performance", is_flag=True, help="Slow operations; models and tools with percentiles.")
@click.option("--resources", is_flag=True, help="Tokens, cost, memory, CPU, HTTP, and what tracing cost.")
@click.option(
    "--integrity", is_flag=True, help="What is missing, cut or impossible in the recording, as a score."
)
@click.option(
    "--dependencies", is_flag=True, help="Critical path, slack, and what could have run in parallel."
)
@format_option("table", "json", "markdown")
def command(references: tuple[str, ...], output_format: str, **flags: bool) -> None:
    """Say what was slow, what failed and what it cost.

    TRACE is a recording, or a directory for every recording in it; without it, the latest. The options choose
    sections; without any of them, all are shown.
    """
    analyze(references, chosen=[flag for flag, given in flags.items() if given], output_format=output_format)
