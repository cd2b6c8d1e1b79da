"""`debug analyze`: what was slow, what failed and what it cost."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from namel3ss_debug.cli.options import (
    format_option,
    open_recording,
    print_document,
    quoted,
    reading,
    report_problem_document,
    settings,
    show_report,
    tell_ignored_mark,
    traces_argument,
    write_json,
)

if TYPE_CHECKING:
    from namel3ss_debug.analysis.several.many import Many
    from namel3ss_debug.analysis.totals import Options
    from namel3ss_debug.config import DebugConfiguration

SECTIONS = {
    "performance": ("performance",),
    "errors": ("errors",),
    "resources": ("resource_usage",),
    "integrity": ("integrity",),
    "dependencies": ("dependencies",),
    "patterns": ("patterns",),
    "interactions": ("interactions",),
    "optimizations": ("optimizations",),
    "triggers": ("triggers",),
    "health": ("health",),
    "summary": ("execution_overview", "component_breakdown", "event_type_breakdown"),
}
"""Flag to the sections of the document it chooses."""


SHOWN = 5
"""How many files that are left out are named."""


def options(config: DebugConfiguration) -> Options:
    """What the settings say about the analyses."""
    from namel3ss_debug.analysis.totals import Options

    return Options(slow_ms=config.slow_ms, triggers=config.triggers)


def find_paths(references: Sequence[str], directory: Path, reruns: list[Path] | None) -> list[Path]:
    """A file of each recording that is meant, once each, in the order they were named; of a directory, oldest first.

    Files of a directory that are named like a recording and hold none are left out and named on stderr; one that bears
    a name of ours, or may not be read, is a recording that cannot be read.

    Args:
        references: recordings and directories; the latest if empty.
        directory: where recordings are.
        reruns: takes the re-runs in the directories, which are left out then, unless nothing else is meant; without
            it, they are recordings like all others.

    Raises:
        TraceNotFoundError: a recording is not there, or a directory holds none.
    """
    from namel3ss_debug.traces.lines import may_be_read
    from namel3ss_debug.traces.names import is_own
    from namel3ss_debug.traces.store import find_trace, look_through, trace_files

    paths: list[Path] = []
    for reference in references or ["latest"]:
        if Path(reference).is_dir():
            listed, others = look_through(Path(reference))
            infos = list(reversed(listed))
            real = [info for info in infos if reruns is None or info.rerun_of is None]
            if reruns is not None and real:
                reruns += [info.path for info in infos if info.rerun_of is not None]
            damaged = [path for path in others if is_own(path.name) or not may_be_read(path)]
            tell_left_out(reference, [path.name for path in others if path not in damaged])
            paths += [info.path for info in real or infos] + damaged or [find_trace(reference, directory)]
        else:
            paths.append(find_trace(reference, directory))
    if len(references) < 2:
        return paths
    first: dict[Path, Path] = {}  # a pattern of the shell gives every segment, and the link to the latest
    for path in paths:
        first.setdefault(trace_files(path)[0].files[0], path)
    if reruns:
        reruns[:] = [path for path in dict.fromkeys(reruns) if trace_files(path)[0].files[0] not in first]
    return list(first.values())


def tell_left_out(directory: str, names: Sequence[str], why: str = "without an event") -> None:
    """Say on stderr which files of a directory are left out, and why."""
    from namel3ss_debug.cli.boundary import tell
    from namel3ss_debug.views.quantities import count

    if names:
        listed = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
        tell(f"{directory}: {count(len(names), 'file')} {why} left out: {listed}")


def within(paths: Iterable[Path], last: str) -> list[Path]:
    """Those recordings that began within a time such as `7d`.

    Raises:
        TraceNotFoundError: there are none.
        WrongUsageError: it is no time.
    """
    from namel3ss_debug.errors import TraceNotFoundError

    found = since(paths, last)
    if not found:
        raise TraceNotFoundError(f"no recording began in the last {last}; `namel3ss debug list` shows them")
    return found


def since(paths: Iterable[Path], last: str) -> list[Path]:
    """As `within`, where there may be none."""
    from namel3ss_debug.analysis.several.windows import find_began, parse_seconds

    begin = time.time() - parse_seconds(last)
    return [path for path in paths if find_began(path) >= begin]


def one(
    path: Path,
    sections: Sequence[str] | None,
    config: DebugConfiguration,
    output_format: str,
    reference: str = "",
) -> None:
    """Print the analysis of one recording.

    Args:
        path: its first file.
        sections: the names of the sections; None for all, of which a report shows what matters most.
        config: the settings.
        output_format: `table`, `json` or `markdown`.
        reference: how the user named it; empty for the latest.

    Raises:
        UnreadableTraceError: nothing in it can be read.
    """
    from namel3ss_debug.analysis.analyzer import analyze
    from namel3ss_debug.views.analysis import report

    trace = open_recording(path)
    with reading(trace):
        document = analyze(
            trace, sections, trace.progress, options(config), in_two=True, own_prices=config.prices
        )
    report_problem_document(document["problems"])
    tell_ignored_mark(path)
    report_plugins(document)
    if output_format == "json":
        print_document(document)
    else:
        shown = report(document, brief=sections is None, reference=quoted(reference))
        show_report(shown, markdown=output_format == "markdown")


def several(
    paths: Sequence[Path],
    sections: Sequence[str] | None,
    by: str | None,
    config: DebugConfiguration,
    output_format: str,
    reruns: Sequence[Path] = (),
) -> None:
    """Print the analysis of several recordings together.

    Args:
        paths: the recordings.
        sections: the names of the sections; None for all.
        by: what they are grouped by.
        config: the settings.
        output_format: `table`, `json` or `markdown`.
        reruns: the re-runs that are left out.

    Raises:
        UnreadableTraceError: nothing in any of them can be read.
    """
    from namel3ss_debug.analysis.several.many import AnalysisRequest, analyze_many
    from namel3ss_debug.cli.boundary import tell
    from namel3ss_debug.views.analysis import several as report
    from namel3ss_debug.views.terminal import byte_progress

    request = AnalysisRequest(
        sections=None if sections is None else tuple(sections),
        options=options(config),
        prices=config.prices,
        by=by,
        documents=output_format == "json",
        left_out=tuple(map(str, reruns)),
    )
    with byte_progress(f"reading {len(paths):,} recordings") as progress:
        many = analyze_many(paths, request, progress)
    for failed in many.document["recordings"]["unreadable"]:
        tell(failed["error"])
    report_problem_document(many.document["problems"])
    report_plugins(many.document)
    if output_format == "json":
        print_several(many)
    else:
        show_report(report(many, brief=sections is None), markdown=output_format == "markdown")


def print_several(many: Many) -> None:
    """Write one JSON document; those of the recordings stand in it one a line, as they came."""
    from namel3ss_debug.views.payloads import json_bytes, safe_json

    whole = json_bytes(many.document, indent=True)
    write_json(whole.removesuffix("\n}") + ',\n  "traces": [')
    for place, trace in enumerate(many.traces):
        write_json((",\n    " if place else "\n    ") + safe_json(trace.decode()))
    write_json("\n  ]\n}\n")


def report_plugins(document: dict[str, Any]) -> None:
    """Say on stderr which analysis of an installed package came to nothing, and why."""
    from namel3ss_debug.cli.boundary import tell

    for section, error in document.get("plugin_errors", {}).items():
        tell(f"the section {section} is left out: {error}")


@click.command("analyze")
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
@click.option(
    "--patterns", is_flag=True, help="Loops, retries, stalls, bursts, anomalies, and what comes again."
)
@click.option("--interactions", is_flag=True, help="Who called whom; hand-offs and messages between agents.")
@click.option("--optimizations", is_flag=True, help="What could be saved: time, tokens and money, each once.")
@click.option("--triggers", is_flag=True, help="Which thresholds of the setting triggers were passed.")
@click.option(
    "--health", is_flag=True, help="How much the findings weigh: a score, what lowered it, what to do next."
)
@click.option(
    "--section",
    "named",
    multiple=True,
    metavar="NAME",
    help="A section by its name in the JSON, also one that an installed package adds; repeatable.",
)
@click.option("--last", metavar="TIME", help="Only recordings of this time until now, such as 12h, 7d or 2w.")
@click.option(
    "--by",
    type=click.Choice(("day", "version", "agent")),
    help="Group several recordings, with a row for each.",
)
@format_option("table", "json", "markdown")
def command(
    references: Sequence[str],
    output_format: str,
    named: tuple[str, ...],
    last: str | None,
    by: str | None,
    **flags: bool,
) -> None:
    """Say what was slow, what failed and what it cost.

    TRACE is a recording, or a directory for every recording in it; without it, the latest, or with --last or --by
    every recording. Several are analysed together. The options choose sections and show them whole;
    without any, of each what is most important, and at the end what matters most.
    """
    config = settings().config
    directory = Path(config.trace_output_dir)
    if not references and (last or by):
        references = [str(directory)]
    reruns: list[Path] = []
    paths = find_paths(references, directory, reruns)
    if last is not None:
        paths, reruns = within(paths, last), since(reruns, last)
    chosen = [section for flag, given in flags.items() if given for section in SECTIONS[flag]]
    sections = chosen + list(named) or None
    if len(paths) == 1 and not by and not any(Path(reference).is_dir() for reference in references):
        one(paths[0], sections, config, output_format, references[0] if references else "")
    else:
        several(paths, sections, by, config, output_format, reruns)
