"""Ask before a re-run calls anything for real (`--live-from`), and report how its run differs from the trace."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from namel3ss_debug.cli.options import settings
from namel3ss_debug.errors import WrongUsageError

if TYPE_CHECKING:
    from namel3ss_debug.analysis.checks.rules import CheckRule
    from namel3ss_debug.analysis.diff.comparison import Diff
    from namel3ss_debug.replay.rerun.live_part import LivePart
    from namel3ss_debug.replay.rerun.outcomes import RerunOutcome
    from namel3ss_debug.replay.rerun.preparation import Prepared

_MOST_COMMANDS: Final = 8
_SHOWN: Final = 8
"""How many differences have a row; `diff` shows all."""


def confirm_live(prepared: Prepared, *, yes: bool, asked_by: str = "") -> None:
    """Show which models, tools and commands will run, with the estimated cost, and ask.

    Args:
        prepared: the re-run.
        yes: whether the user gave `--yes`.
        asked_by: what runs it; `--live-from N` if left out.

    Raises:
        WrongUsageError: nobody can be asked, or the user declined.
    """
    from namel3ss_debug.replay.rerun.consent import MOST_SHOWN
    from namel3ss_debug.replay.rerun.live_part import find_live_part

    plan = prepared.plan
    part = find_live_part(plan.recorded, plan.live_from)
    # The answers of a trace of somebody else are data: its arguments and commands are shown as a whole.
    rows = list(describe_live_part(part, whole=plan.supplied is not None))
    unreadable = next((name for name, text in rows if len(text) > MOST_SHOWN), "")
    if unreadable and not yes:
        raise WrongUsageError(
            f"a {unreadable} of the live part has more than {MOST_SHOWN} characters, too many to ask about: "
            "read it with namel3ss debug inspect, and add --yes"
        )
    is_terminal = sys.stdin and sys.stdin.isatty() and sys.stderr and sys.stderr.isatty()
    if not yes and not is_terminal:
        run = "; ".join(f"{name}: {text}" for name, text in rows)
        named = asked_by or f"--live-from {part.live_from}"
        raise WrongUsageError(f"{named} runs for real: {run}. Nobody can be asked here: add --yes")
    print_rows(f"From event {part.live_from} on, these run for real, as in the trace:", rows)
    note = "What the models request there runs too."
    if part.live_from > 1:
        note += " Earlier tools do not run again: what they changed is as it is now."
    print_rows(note, ())
    if not yes and not click.confirm("Run them?", default=False, err=True):
        raise WrongUsageError("nothing was run")


def print_rows(head: str, rows: Sequence[tuple[str, str]]) -> None:
    """Print a sentence, and rows of a name and a text, on stderr; long ones are wrapped."""
    from namel3ss_debug.views.tables import pairs
    from namel3ss_debug.views.terminal import Piece, clean, console, wrapped_lines

    screen = console(stderr=True)
    screen.lines(wrapped_lines(clean(head), screen.width))
    screen.lines(
        pairs([(name, Piece(clean(text))) for name, text in rows], screen.width, indent="  ", whole=True)
    )


def describe_live_part(part: LivePart, *, whole: bool) -> Iterator[tuple[str, str]]:
    """Yield what a live part calls for real, each with the name of its kind.

    Args:
        part: the recorded calls.
        whole: whether all arguments and all commands are shown.
    """
    from namel3ss_debug.views.quantities import count, money

    if part.models:
        cost = f", about {money(part.cost)}" if part.unpriced < part.models.total() else ""
        unknown = f", {count(part.unpriced, 'call')} of unknown cost" if part.unpriced else ""
        yield "models", f"{_counted(part.models)}{cost}{unknown}"
    if whole:
        yield from (("tool", call) for call in part.arguments)
    elif part.tools:
        yield "tools", _counted(part.tools)
    if part.offered:
        yield "offered", f"{', '.join(part.offered)} (tools that the models did not request)"
    commands = list(dict.fromkeys(part.commands))
    shown = commands if whole else commands[:_MOST_COMMANDS]
    yield from (("command", command) for command in shown)
    if len(commands) > len(shown):
        yield "command", f"and {len(commands) - len(shown)} more"
    if part.servers:
        yield "servers", ", ".join(dict.fromkeys(part.servers))
    if part.hosts:
        yield "requests", _counted(part.hosts)
    if not (part.models or part.tools or part.commands or part.hosts):
        yield "calls", "none in the trace"


def _counted(names: Counter[str]) -> str:
    return ", ".join(name if times == 1 else f"{name} ({times} calls)" for name, times in names.items())


def compare_live(outcome: RerunOutcome) -> tuple[RerunOutcome, Diff | None]:
    """Compare a re-run with its trace if a part of it was live, and write the verdict that follows into its trace.

    Returns:
        The outcome with the change, and all differences; None if nothing was live, or the re-run has no trace.
    """
    if not outcome.live_since or not outcome.trace.exists():
        return outcome, None
    from namel3ss_debug.analysis.diff.comparison import diff_traces
    from namel3ss_debug.replay.rerun.outcomes import LiveChange
    from namel3ss_debug.replay.rerun.running import with_verdict
    from namel3ss_debug.views.diff import describe_outcome

    found = diff_traces(outcome.of, outcome.trace, ignore=settings().config.diff_ignore)
    first = found.first
    numbers = (0, 0) if first is None else (first.number_a or 0, first.number_b or 0)
    change = LiveChange(*numbers, describe_outcome(found), found.same)
    return with_verdict(replace(outcome, live_change=change)), found


def print_diff(found: Diff) -> None:
    """Print the differences between the trace and the live run, to stderr."""
    from namel3ss_debug.views.diff import brief_report
    from namel3ss_debug.views.renderers.screen import render
    from namel3ss_debug.views.report import Report

    render(Report([*brief_report(found, limit=_SHOWN)], found.to_json()), sys.stderr, "")


def check_live(path: Path, rules: Sequence[CheckRule]) -> bool:
    """Check the trace of a re-run against rules, print the findings to stderr, and return whether it keeps all of them.

    Raises:
        RuleError: a rule cannot be used.
    """
    from namel3ss_debug.analysis.checks.findings import has_severity
    from namel3ss_debug.cli.check import hold
    from namel3ss_debug.views.checks import check_blocks
    from namel3ss_debug.views.renderers.screen import render
    from namel3ss_debug.views.report import Report

    report = hold(path, rules, None, settings())
    render(Report(check_blocks([report]), report.to_json()), sys.stderr, "")
    return not has_severity(report.findings, "error")
