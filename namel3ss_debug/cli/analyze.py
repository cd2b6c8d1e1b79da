"""`debug analyze`: what was slow, what failed and what it cost."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import orjson

from namel3ss_debug.cli.boundary import notify
from namel3ss_debug.cli.options import (
    open_trace_file,
    quoted,
    reading,
    report_ignored_mark,
    report_problem_document,
    settings,
    traces_argument,
)
from namel3ss_debug.cli.paths import find_baselines, find_paths
from namel3ss_debug.cli.reporting import reporting
from namel3ss_debug.errors import TraceNotFoundError
from namel3ss_debug.views.report import Report

if TYPE_CHECKING:
    from namel3ss_debug.analysis.totals import Many, Options
    from namel3ss_debug.config import DebugConfiguration
    from namel3ss_debug.views.blocks import Block


class SectionsCommand(click.Command):
    """A command with an option for each flag of the table of sections, which is loaded when the command is used."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the arguments, then the options of the sections, then all other options."""
        from namel3ss_debug.analysis.sections.table import SECTIONS

        flags: dict[str, str] = {}
        for section in SECTIONS.values():
            if section.flag:
                flags[section.flag] = flags.get(section.flag) or section.help
        arguments, *others = super().get_params(ctx)
        # The prefix keeps the names of flags apart from those of the other parameters.
        options = [
            click.Option([f"--{flag}", f"section_{flag.replace('-', '_')}"], is_flag=True, help=text)
            for flag, text in flags.items()
        ]
        return [arguments, *options, *others]


def options(config: DebugConfiguration) -> Options:
    """Return the options of the analyses that the settings hold."""
    from namel3ss_debug.analysis.totals import Options

    return Options(slow_ms=config.slow_ms, triggers=config.triggers, error_indicators=config.error_indicators)


def within(paths: Iterable[Path], last: str) -> list[Path]:
    """Return the traces that began within a time such as `7d`.

    Raises:
        TraceNotFoundError: there are none.
        WrongUsageError: it is no time.
    """
    found = since(paths, last)
    if not found:
        raise TraceNotFoundError(f"no trace began in the last {last}; `namel3ss debug list` shows them")
    return found


def since(paths: Iterable[Path], last: str) -> list[Path]:
    """Return the traces that began within a time, where there may be none."""
    from namel3ss_debug.analysis.aggregate.windows import find_began, parse_seconds

    begin = time.time() - parse_seconds(last)
    return [path for path in paths if find_began(path) >= begin]


def one(
    path: Path,
    sections: Sequence[str] | None,
    config: DebugConfiguration,
    reference: str = "",
    *,
    whole: bool = True,
) -> Report:
    """Return the analysis of one trace.

    Args:
        path: its first file.
        sections: the names of the sections; None for all.
        config: the settings.
        reference: how the user named it; empty for the latest.
        whole: whether the terminal shows the tables.

    Raises:
        UnreadableTraceError: nothing in it can be read.
    """
    from namel3ss_debug.analysis.analyzer import analyze
    from namel3ss_debug.views.analysis import report

    trace = open_trace_file(path)
    with reading(trace):
        document = analyze(trace, sections, trace.progress, options(config))
    report_problem_document(document["problems"])
    report_ignored_mark(path)
    return Report(report(document, whole=whole, reference=quoted(reference)), document)


def several(
    paths: Sequence[Path],
    sections: Sequence[str] | None,
    by: str | None,
    config: DebugConfiguration,
    reruns: Sequence[Path] = (),
    *,
    whole: bool = True,
) -> Report:
    """Return the analysis of several traces together.

    Args:
        paths: the traces.
        sections: the names of the sections; None for all.
        by: what they are grouped by.
        config: the settings.
        reruns: the re-runs that are left out.
        whole: whether the terminal shows the tables.

    Raises:
        UnreadableTraceError: nothing in any of them can be read.
    """
    from namel3ss_debug.analysis.aggregate.many import AnalysisRequest, analyze_many
    from namel3ss_debug.views.analysis import several as report
    from namel3ss_debug.views.terminal import byte_progress

    def fold(*, documents: bool) -> Many:
        request = AnalysisRequest(
            sections=None if sections is None else tuple(sections),
            options=options(config),
            prices=config.prices,
            by=by,
            documents=documents,
            left_out=tuple(map(str, reruns)),
        )
        with byte_progress(f"reading {len(paths):,} traces") as progress:
            many = analyze_many(paths, request, progress)
        for failed in many.document["aggregate"]["unreadable"]:
            notify(failed["error"])
        report_problem_document(many.document["problems"])
        return many

    def blocks() -> Iterator[Block]:
        yield from report(fold(documents=False), whole=whole)

    def document() -> dict[str, Any]:
        many = fold(documents=True)
        # The documents of the traces are JSON already, so they are not decoded to be encoded again.
        return many.document | {"traces": map(orjson.Fragment, many.traces)}

    return Report(blocks(), document)


@click.command("analyze", cls=SectionsCommand)
@traces_argument
@click.option("--all", "everything", is_flag=True, help="Show every section whole.")
@click.option(
    "--section",
    "named",
    multiple=True,
    metavar="NAME",
    help="A section by its name in the JSON; repeatable.",
)
@click.option("--last", metavar="TIME", help="Only traces of this period until now, such as 12h, 7d or 2w.")
@click.option(
    "--by",
    type=click.Choice(("day", "version", "agent")),
    help="Group several traces, with a row for each.",
)
@click.option(
    "--baseline",
    "baselines",
    multiple=True,
    metavar="TRACES",
    help="Compare the time of each operation with this trace, or all in a directory; repeatable.",
)
@reporting()
def command(
    references: Sequence[str],
    named: tuple[str, ...],
    last: str | None,
    by: str | None,
    baselines: tuple[str, ...],
    *,
    everything: bool,
    **flags: bool,
) -> Report:
    """Report what was slow, what failed and what it cost.

    TRACE is a trace, or a directory for every trace in it; without it, the latest, or with --last or --by every
    trace. Several are analyzed together. Without options the terminal shows one screen: the outcome, the findings,
    where the time went and what it cost. The options choose sections and show their tables; --all shows every one.
    The other formats have everything in any case.
    """
    from namel3ss_debug.analysis.sections.table import SECTIONS

    config = settings().config
    directory = Path(config.trace_output_dir)
    if not references and (last or by):
        references = [str(directory)]
    reruns: list[Path] = []
    paths = find_paths(references, directory, reruns)
    if last is not None:
        paths, reruns = within(paths, last), since(reruns, last)
    chosen = {name.removeprefix("section_") for name, is_set in flags.items() if is_set}
    sections = [row.name for row in SECTIONS.values() if row.flag.replace("-", "_") in chosen]
    sections += named
    wanted = None if everything else sections or None
    whole = everything or bool(sections)
    if len(paths) == 1 and not by and not any(Path(reference).is_dir() for reference in references):
        made = one(paths[0], wanted, config, references[0] if references else "", whole=whole)
    else:
        made = several(paths, wanted, by, config, reruns, whole=whole)
    if baselines:
        others = find_baselines(baselines, directory, paths)
        made = add_comparison(made, paths, others, brief=not whole)
    return made


def add_comparison(
    report: Report, paths: Sequence[Path], baselines: Sequence[Path], *, brief: bool
) -> Report:
    """Return a report with the comparison of its traces with baselines at the end, and in its document.

    Raises:
        UnreadableTraceError: nothing in one of them can be read.
    """
    from namel3ss_debug.analysis.aggregate.slower import compare_with_baselines
    from namel3ss_debug.views.baseline_comparison import describe_comparison

    comparison = compare_with_baselines(paths, baselines)
    return replace(
        report,
        blocks=chain(report.blocks, describe_comparison(comparison, brief=brief)),
        document=lambda: {**report.find_document(), "baseline_comparison": comparison},
    )
