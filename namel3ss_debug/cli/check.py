"""`debug check`: check traces against rules, and report to CI what they did that is not allowed."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from namel3ss_debug.cli.boundary import notify
from namel3ss_debug.cli.options import (
    complete_files,
    open_reference,
    open_trace_file,
    quoted,
    reading,
    report_problems,
    settings,
    traces_argument,
    write_file,
)
from namel3ss_debug.cli.paths import find_baselines, find_paths
from namel3ss_debug.cli.reporting import reporting
from namel3ss_debug.errors import RuleError, WrongUsageError
from namel3ss_debug.exporters import FINDING_EXPORTERS
from namel3ss_debug.views.report import Report

if TYPE_CHECKING:
    from namel3ss_debug.analysis.checks.findings import CheckReport
    from namel3ss_debug.analysis.checks.measures import Baseline
    from namel3ss_debug.analysis.checks.rules import CheckRule
    from namel3ss_debug.config import Loaded

RULES_FILE = "debug.rules.json"
"""What `--init` writes where no `--rules FILE` is given."""

ENOUGH_TIMES = 5
"""From how many baselines on more time is an error: the times of fewer runs tell little about their spread."""


def rules_of_baseline(times: int) -> list[object]:
    """Return the rules that hold if there are baselines and no rule is about them.

    Args:
        times: how many baselines there are.
    """
    time: dict[str, object] = {"name": "baseline-time", "baseline": "duration"}
    return [
        {"name": "baseline", "baseline": ["failures", "cost", "tokens", "calls"]},
        {"name": "baseline-divergence", "baseline": "divergence"},
        time | ({"level": "warning"} if times < ENOUGH_TIMES else {}),
    ]


def gather(
    loaded: Loaded, files: Sequence[str], texts: Sequence[str], baseline: Baseline | None = None
) -> list[CheckRule]:
    """Return the rules of the settings, then those of the files, then those of the options.

    Raises:
        RuleError: one of them is not as it should be.
    """
    from namel3ss_debug.analysis.checks.rules import RuleSource, read_file, read_option, read_rules

    where = loaded.sources["checks"]
    folder = loaded.file.parent.parent if loaded.file is not None else Path()
    sources = [RuleSource(f"{where}: checks", list(loaded.config.checks), folder)]
    sources += [read_file(Path(name)) for name in files]
    sources += [read_option(text) for text in texts]
    found = read_rules(sources)
    for rule in found:
        if rule.limit is not None and rule.limit.is_timed:
            raise RuleError(
                f"{rule.name}: window, for and every are about a growing trace; put the rule into alert_rules, "
                "or evaluate it with: namel3ss debug monitor --rules FILE"
            )
    if baseline is not None and not any(rule.kind == "baseline" for rule in found):
        found += read_rules([RuleSource("--baseline", rules_of_baseline(len(baseline.paths)))])
    return found


def earlier_runs(references: Sequence[str], loaded: Loaded, checked: Sequence[Path]) -> Baseline | None:
    """Return the figures of the baselines, without the traces that are checked.

    Raises:
        TraceNotFoundError: a baseline is not there, or a directory holds no other trace.
    """
    from namel3ss_debug.analysis.checks.evaluation import read_baseline

    if not references:
        return None
    found = find_baselines(references, Path(loaded.config.trace_output_dir), checked)
    return read_baseline([open_trace_file(path) for path in found])


def hold(path: Path, rules: Sequence[CheckRule], baseline: Baseline | None, loaded: Loaded) -> CheckReport:
    """Check one trace, with progress on a terminal.

    Raises:
        UnreadableTraceError: nothing in it can be read.
        RuleError: a rule cannot be evaluated.
    """
    from namel3ss_debug.analysis.checks.evaluation import evaluate
    from namel3ss_debug.analysis.totals import Options

    config = loaded.config
    trace = open_trace_file(path, redacted=False)
    redaction = {"keys": config.redact_keys, "patterns": config.redact_patterns}
    with reading(trace):
        report = evaluate(
            trace,
            rules,
            baseline=baseline,
            ignore=config.diff_ignore,
            redaction=redaction,
            options=Options(
                slow_ms=config.slow_ms, triggers=config.triggers, error_indicators=config.error_indicators
            ),
        )
    report_problems(trace)
    return report


def write_reports(reports: Sequence[CheckReport], files: dict[str, str], fail_on: str) -> None:
    """Write the files that were asked for.

    Raises:
        WrongUsageError: one cannot be written.
    """
    from namel3ss_debug.views.checks import check_markdown

    exporters = {row.name: row for row in FINDING_EXPORTERS}
    for kind, name in files.items():
        if kind in exporters:
            content = exporters[kind].load().export(reports, Path.cwd(), fail_on)
        else:  # --markdown, which is a view and no exporter
            content = (check_markdown(reports) + "\n").encode("utf-8", "replace")
        write_file(Path(name), content)


def exporter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add an option for each exporter of findings that writes a file."""
    for row in reversed(FINDING_EXPORTERS):
        if row.is_file:
            command = click.option(
                f"--{row.name}", metavar="FILE", shell_complete=complete_files, help=row.help
            )(command)
    return command


def write_github_annotations(reports: Sequence[CheckReport]) -> None:
    """Write annotations on stderr, where the runner reads them too, and append to the summary of the step.

    The summary is there by itself, so where it cannot be written, that is one line, and the check is what it is.
    """
    from namel3ss_debug.exporters import github
    from namel3ss_debug.views.checks import check_markdown

    root = Path(os.environ.get("GITHUB_WORKSPACE") or Path.cwd())
    for line in github.annotation_lines(reports, root):
        click.echo(line, err=True)
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        content = (check_markdown(reports) + "\n\n").encode("utf-8", "replace")
        try:
            with Path(summary).open("ab") as file:
                file.write(content[: max(0, github.SUMMARY_BYTES - file.tell())])
        except OSError as error:
            notify(f"the step summary {summary} is not written: {error.strerror}")


def check_document(
    reports: Sequence[CheckReport], *, single: bool, left_out: Sequence[Path]
) -> dict[str, Any]:
    """Return the JSON document.

    Args:
        reports: the reports on the traces.
        single: whether one trace was named, and no directory.
        left_out: the re-runs in the directories, which were not checked.
    """
    documents = [report.to_json() for report in reports]
    if single:
        return documents[0]
    return {"schema": documents[0]["schema"], "traces": documents, "left_out": list(map(str, left_out))}


def report_marked_bad(paths: Sequence[Path]) -> None:
    """Say on stderr which of the checked traces are marked bad: that no rule is broken does not make them good."""
    from namel3ss_debug.traces.marks import BAD, mark_of
    from namel3ss_debug.views.cleaning import shorter_path

    for path in paths:
        mark = mark_of(path)
        if mark is not None and mark.judgement == BAD:
            notify(f"{shorter_path(path)} is {mark.describe()}")


NOT_GOOD = {
    "failed": "the run failed",
    "killed": "the run never ended",
    "interrupted": "Ctrl-C ended the run",
    "open": "the run has not ended, or something in it never did",
}
"""Status of a run -> what is said when rules are made of it."""


def write_first_rules(references: Sequence[str], files: Sequence[str]) -> Report:
    """Write rules that a run keeps, to the file of `--rules`.

    Raises:
        WrongUsageError: the file is there already, or several files or traces were named.
    """
    from namel3ss_debug.analysis.checks.suggestions import suggest
    from namel3ss_debug.traces.marks import BAD, mark_of
    from namel3ss_debug.views.blocks import Note
    from namel3ss_debug.views.payloads import json_bytes

    if len(references) > 1 or len(files) > 1:
        raise WrongUsageError("--init takes one trace and writes one file")
    path = Path(files[0] if files else RULES_FILE)
    taken = {rule.name for rule in gather(settings(), (), ())}
    trace = open_reference(references[0] if references else None)
    with reading(trace):
        suggested, left_out, status = suggest(trace)
    rules = [rule for rule in suggested if rule["name"] not in taken]
    try:
        write_file(path, (json_bytes({"checks": rules}, indent=True) + "\n").encode(), new=True)
    except FileExistsError:
        raise WrongUsageError(
            f"{path} exists already; name another file with --rules, or remove it"
        ) from None
    mark = mark_of(trace.path)
    if mark is not None and mark.judgement == BAD:
        notify(f"{trace.path.name} is {mark.describe()}; take rules from a run that is not marked bad")
    if status in NOT_GOOD or left_out:
        broken = f", so these rules are left out: {', '.join(left_out)}" if left_out else ""
        notify(
            f"{NOT_GOOD.get(status, 'the run breaks some rules')}{broken}; take rules from a run that completed"
        )
    if len(rules) < len(suggested):
        names = ", ".join(rule["name"] for rule in suggested if rule["name"] in taken)
        notify(f"rules of these names are in the setting checks already, and are left out: {names}")
    named = f" {quoted(references[0])}" if references and quoted(references[0]) else ""
    check = f"namel3ss debug check{named} --rules {shlex.quote(str(path))}"
    return Report(
        [Note(f"{path}: {len(rules)} rules; {check}", "", is_line=True)],
        {"schema": "namel3ss-debug/rules/1", "file": str(path), "checks": rules},
    )


@click.command("check")
@traces_argument
@click.option(
    "--rules",
    "rules",
    metavar="FILE",
    shell_complete=complete_files,
    multiple=True,
    help="Rules of a JSON file; may be given several times.",
)
@click.option(
    "--rule",
    metavar="RULE",
    multiple=True,
    help="One rule: an expression that must be true of the run, or a rule as JSON.",
)
@click.option(
    "--baseline",
    "baselines",
    metavar="TRACE",
    shell_complete=complete_files,
    multiple=True,
    help="A run to compare with, or a directory of them: the run must be no worse.",
)
@click.option(
    "--fail-on",
    type=click.Choice(("error", "warning", "note")),
    default="error",
    show_default=True,
    help="The lowest severity that ends with status 1.",
)
@exporter_options
@click.option(
    "--markdown", metavar="FILE", shell_complete=complete_files, help="Write the result as Markdown."
)
@click.option(
    "--github/--no-github",
    default=None,
    help="Annotations and step summary of GitHub Actions; the default where GITHUB_ACTIONS is true.",
)
@click.option(
    "--canary",
    is_flag=True,
    help="Compare the runs of a new version with those of --against: promote (status 0), roll back (1) or hold (4).",
)
@click.option(
    "--against",
    metavar="TRACE",
    shell_complete=complete_files,
    multiple=True,
    help="A run of the old version for --canary, or a directory of them; may be repeated.",
)
@click.option(
    "--init", is_flag=True, help=f"Write rules that this run keeps, to --rules FILE or {RULES_FILE}."
)
@reporting()
def command(
    references: tuple[str, ...],
    rules: tuple[str, ...],
    rule: tuple[str, ...],
    baselines: tuple[str, ...],
    fail_on: str,
    *,
    github: bool | None,
    canary: bool,
    against: tuple[str, ...],
    init: bool,
    **files: str | None,
) -> Report:
    """Check traces against rules, and end with status 1 if there are findings.

    TRACE is a trace, or a directory for every trace in it, except re-runs; without it, the latest. The rules
    are those of the setting checks, of --rules and of --rule together. With --canary, all TRACE together are compared
    with another version instead.
    """
    from namel3ss_debug.analysis.checks.findings import has_severity
    from namel3ss_debug.views.checks import check_blocks
    from namel3ss_debug.views.quantities import count

    wanted = {kind: name for kind, name in files.items() if name}
    if canary or against:
        if rule or rules or baselines or wanted or init:
            raise click.UsageError("--canary takes TRACE... and --against only")
        from namel3ss_debug.cli.canary import compare_versions

        return compare_versions(references, against, settings())
    if init:
        if rule or baselines or wanted:
            raise click.UsageError("--init takes TRACE and --rules FILE only")
        return write_first_rules(references, rules)
    loaded = settings()
    reruns: list[Path] = []
    paths = find_paths(references, Path(loaded.config.trace_output_dir), reruns)
    baseline = earlier_runs(baselines, loaded, paths)
    chosen = gather(loaded, rules, rule, baseline)
    if not chosen:
        raise WrongUsageError(
            "there are no rules; give --rules FILE or --rule EXPR, write some with --init, "
            "or set checks in .namel3ss/debug.json"
        )
    reports = [hold(path, chosen, baseline, loaded) for path in paths]
    actions = os.environ.get("GITHUB_ACTIONS") == "true" if github is None else github
    write_reports(reports, wanted, fail_on)
    if actions:
        write_github_annotations(reports)
    single = len(reports) == 1 and not any(Path(reference).is_dir() for reference in references)
    failed = any(has_severity(report.findings, fail_on) for report in reports)

    def notices() -> None:
        if reruns:
            them = "it" if len(reruns) == 1 else "them"
            notify(f"{count(len(reruns), 're-run')} left out; name {them} to check {them}")
        report_marked_bad(paths)

    return Report(
        check_blocks(reports),
        check_document(reports, single=single, left_out=reruns),
        status=int(failed),
        notices=notices,
    )
