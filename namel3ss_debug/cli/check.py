"""`debug check`: hold recordings against rules, and tell CI what they did that is not allowed."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from namel3ss_debug.cli.analyze import find_paths
from namel3ss_debug.cli.options import (
    files,
    format_option,
    leave_out_bad_baselines,
    open_recording,
    open_reference,
    quoted,
    reading,
    report_problems,
    settings,
    traces_argument,
    write_file,
    write_json,
)

if TYPE_CHECKING:
    from namel3ss_debug.analysis.checking.baselines import Baseline
    from namel3ss_debug.analysis.checking.findings import CheckReport
    from namel3ss_debug.analysis.checking.rules import CheckRule
    from namel3ss_debug.config import Loaded

RULES_FILE = "debug.rules.json"
"""What `--init` writes where no `--rules FILE` is given."""

OF_BASELINE: list[object] = [
    {"name": "baseline", "baseline": ["failures", "duration", "cost", "tokens", "calls"]},
    {"name": "baseline-path", "baseline": "path", "level": "warning"},
]
"""The rules that hold where there are baselines and no rule is about them."""


def gather(
    loaded: Loaded, files: Sequence[str], texts: Sequence[str], *, with_baseline: bool
) -> list[CheckRule]:
    """The rules of the settings, then those of the files, then those of the options.

    Raises:
        RuleError: one of them is not as it should be.
    """
    from namel3ss_debug.analysis.checking.rules import RuleSource, read_file, read_option, read_rules

    where = loaded.sources["checks"]
    folder = loaded.file.parent.parent if loaded.file is not None else Path()
    sources = [RuleSource(f"{where}: checks", list(loaded.config.checks), folder)]
    sources += [read_file(Path(name)) for name in files]
    sources += [read_option(text) for text in texts]
    found = read_rules(sources)
    if with_baseline and not any(rule.kind == "baseline" for rule in found):
        found += read_rules([RuleSource("--baseline", OF_BASELINE)])
    return found


def earlier_runs(references: Sequence[str], loaded: Loaded, checked: Sequence[Path]) -> Baseline | None:
    """What the baselines were like; the recordings that are checked are none of them.

    Raises:
        TraceNotFoundError: a baseline is not there, or a directory holds no other recording.
    """
    from namel3ss_debug.analysis.checking.evaluation import read_baseline
    from namel3ss_debug.errors import TraceNotFoundError
    from namel3ss_debug.traces.store import trace_files

    if not references:
        return None
    found = find_paths(references, Path(loaded.config.trace_output_dir), [])
    own = {trace_files(path)[0].files[0] for path in checked}
    others = [path for path in dict.fromkeys(found) if trace_files(path)[0].files[0] not in own]
    if not others:
        raise TraceNotFoundError("--baseline: there is no recording but the one that is checked")
    return read_baseline([open_recording(path) for path in leave_out_bad_baselines(others)])


def hold(path: Path, rules: Sequence[CheckRule], baseline: Baseline | None, loaded: Loaded) -> CheckReport:
    """Check one recording, with progress on a terminal.

    Raises:
        UnreadableTraceError: nothing in it can be read.
        RuleError: a rule cannot be evaluated.
    """
    from namel3ss_debug.analysis.checking.evaluation import evaluate
    from namel3ss_debug.analysis.totals import Options

    config = loaded.config
    trace = open_recording(path)
    redaction = {"keys": config.redact_keys, "patterns": config.redact_patterns}
    with reading(trace):
        report = evaluate(
            trace,
            rules,
            baseline=baseline,
            ignore=config.diff_ignore,
            redaction=redaction,
            options=Options(slow_ms=config.slow_ms, triggers=config.triggers),
        )
    report_problems(trace)
    return report


def write_reports(reports: Sequence[CheckReport], files: dict[str, str], fail_on: str) -> None:
    """Write the files that were asked for.

    Raises:
        WrongUsageError: one cannot be written.
    """
    from namel3ss_debug.views.checks import check_markdown
    from namel3ss_debug.views.payloads import json_bytes
    from namel3ss_debug.views.reports import gitlab, junit, sarif

    root = Path.cwd()
    for kind, name in files.items():
        if kind == "junit":
            content = junit.junit(reports, fail_on)
        elif kind == "markdown":
            content = (check_markdown(reports) + "\n").encode("utf-8", "replace")
        else:
            document = sarif.sarif(reports, root) if kind == "sarif" else gitlab.gitlab(reports, root)
            content = (json_bytes(document, indent=True) + "\n").encode()
        write_file(Path(name), content)


def tell_github(reports: Sequence[CheckReport]) -> None:
    """Write annotations on stderr, where the runner reads them too, and append to the summary of the step.

    The summary is there by itself, so where it cannot be written, that is one line, and the check is what it is.
    """
    from namel3ss_debug.cli.boundary import tell
    from namel3ss_debug.views.checks import check_markdown
    from namel3ss_debug.views.reports import github

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
            tell(f"the step summary {summary} is not written: {error.strerror}")


def show(
    reports: Sequence[CheckReport], output_format: str, *, single: bool, left_out: Sequence[Path] = ()
) -> None:
    """Print the answer; the runner of GitHub finds no command in it.

    Args:
        reports: what was found.
        output_format: `table`, `json` or `markdown`.
        single: whether one recording was named, and no directory.
        left_out: the re-runs in the directories, which were not checked.
    """
    from namel3ss_debug.cli.boundary import tell
    from namel3ss_debug.views.checks import check_lines, check_markdown
    from namel3ss_debug.views.payloads import json_bytes
    from namel3ss_debug.views.quantities import count
    from namel3ss_debug.views.terminal import console

    if output_format == "json":
        documents = [report.to_json() for report in reports]
        several = {
            "schema": documents[0]["schema"],
            "traces": documents,
            "left_out": list(map(str, left_out)),
        }
        whole = documents[0] if single else several
        written = json_bytes(whole, indent=True) + "\n"
        write_json(written.replace("##[", "##\\u005b"))
    elif output_format == "markdown":
        click.echo(check_markdown(reports))
    else:
        screen = console()
        screen.lines(check_lines(reports, screen.width))
    if left_out:
        them = "it" if len(left_out) == 1 else "them"
        tell(f"{count(len(left_out), 're-run')} left out; name {them} to check {them}")


def tell_marked_bad(paths: Sequence[Path]) -> None:
    """Say on stderr which of the checked traces are marked bad: that no rule is broken does not make them good."""
    from namel3ss_debug.cli.boundary import tell
    from namel3ss_debug.traces.marks import BAD, mark_of
    from namel3ss_debug.views.cleaning import shorter_path

    for path in paths:
        mark = mark_of(path)
        if mark is not None and mark.judgement == BAD:
            tell(f"{shorter_path(path)} is {mark.describe()}")


NOT_GOOD = {
    "failed": "the run failed",
    "killed": "the run never ended",
    "interrupted": "Ctrl-C ended the run",
    "open": "the run has not ended, or something in it never did",
}
"""Status of a run -> what is said when rules are made of it."""


def write_first_rules(references: Sequence[str], files: Sequence[str]) -> int:
    """Write rules that a run keeps, to the file of `--rules`.

    Raises:
        WrongUsageError: the file is there already, or several files or recordings were given.
    """
    from namel3ss_debug.analysis.checking.suggestions import suggest
    from namel3ss_debug.cli.boundary import tell
    from namel3ss_debug.errors import WrongUsageError
    from namel3ss_debug.traces.marks import BAD, mark_of
    from namel3ss_debug.views.payloads import json_bytes

    if len(references) > 1 or len(files) > 1:
        raise WrongUsageError("--init takes one recording and writes one file")
    path = Path(files[0] if files else RULES_FILE)
    taken = {rule.name for rule in gather(settings(), (), (), with_baseline=False)}
    trace = open_reference(references[0] if references else None)
    with reading(trace):
        suggested, left_out, status = suggest(trace)
    rules = [rule for rule in suggested if rule["name"] not in taken]
    try:
        write_file(path, (json_bytes({"checks": rules}, indent=True) + "\n").encode(), new=True)
    except FileExistsError:
        raise WrongUsageError(
            f"{path} is there already; name another file with --rules, or remove it"
        ) from None
    mark = mark_of(trace.path)
    if mark is not None and mark.judgement == BAD:
        tell(f"{trace.path.name} is {mark.describe()}; take rules from a run that is not marked bad")
    if status in NOT_GOOD or left_out:
        broken = f", so these rules are left out: {', '.join(left_out)}" if left_out else ""
        tell(
            f"{NOT_GOOD.get(status, 'the run breaks some rules')}{broken}; take rules from a run that completed"
        )
    if len(rules) < len(suggested):
        names = ", ".join(rule["name"] for rule in suggested if rule["name"] in taken)
        tell(f"rules of these names are in the setting checks already, and are left out: {names}")
    named = f" {quoted(references[0])}" if references and quoted(references[0]) else ""
    click.echo(f"{path}: {len(rules)} rules; namel3ss debug check{named} --rules {shlex.quote(str(path))}")
    return 0


@click.command("check")
@traces_argument
@click.option(
    "--rules",
    "rules",
    metavar="FILE",
    shell_complete=files,
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
    shell_complete=files,
    multiple=True,
    help="A run to compare with, or a directory of them: nothing may be worse than there.",
)
@click.option(
    "--fail-on",
    type=click.Choice(("error", "warning", "note")),
    default="error",
    show_default=True,
    help="The lightest finding that ends with status 1.",
)
@click.option(
    "--junit", metavar="FILE", shell_complete=files, help="Write JUnit XML, a test case for each rule."
)
@click.option(
    "--sarif", metavar="FILE", shell_complete=files, help="Write SARIF 2.1.0, located in your source."
)
@click.option("--gitlab", metavar="FILE", shell_complete=files, help="Write a code quality report of GitLab.")
@click.option("--markdown", metavar="FILE", shell_complete=files, help="Write the answer as Markdown.")
@click.option(
    "--github/--no-github",
    default=None,
    help="Annotations and step summary of GitHub Actions; by itself where GITHUB_ACTIONS is true.",
)
@click.option(
    "--init", is_flag=True, help=f"Write rules that this run keeps, to --rules FILE or {RULES_FILE}."
)
@format_option("table", "json", "markdown")
def command(
    references: tuple[str, ...],
    rules: tuple[str, ...],
    rule: tuple[str, ...],
    baselines: tuple[str, ...],
    fail_on: str,
    output_format: str,
    *,
    github: bool | None,
    init: bool,
    **files: str | None,
) -> int:
    """Hold recordings against rules, and end with status 1 where there are findings.

    TRACE is a recording, or a directory for every recording in it, but for re-runs; without it, the latest. The rules
    are those of the setting checks, of --rules and of --rule together.
    """
    from namel3ss_debug.analysis.checking.findings import has_level
    from namel3ss_debug.errors import WrongUsageError

    wanted = {kind: name for kind, name in files.items() if name}
    if init:
        if rule or baselines or wanted:
            raise click.UsageError("--init takes TRACE and --rules FILE only")
        return write_first_rules(references, rules)
    loaded = settings()
    chosen = gather(loaded, rules, rule, with_baseline=bool(baselines))
    if not chosen:
        raise WrongUsageError(
            "there are no rules; give --rules FILE or --rule EXPR, write some with --init, "
            "or set checks in .namel3ss/debug.json"
        )
    reruns: list[Path] = []
    paths = find_paths(references, Path(loaded.config.trace_output_dir), reruns)
    baseline = earlier_runs(baselines, loaded, paths)
    reports = [hold(path, chosen, baseline, loaded) for path in paths]
    actions = os.environ.get("GITHUB_ACTIONS") == "true" if github is None else github
    write_reports(reports, wanted, fail_on)
    if actions:
        tell_github(reports)
    single = len(reports) == 1 and not any(Path(reference).is_dir() for reference in references)
    show(reports, output_format, single=single, left_out=reruns)
    tell_marked_bad(paths)
    return int(any(has_level(report.findings, fail_on) for report in reports))
