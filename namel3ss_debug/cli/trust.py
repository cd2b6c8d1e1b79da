"""Trust folders whose traces may be re-run (`debug trust`), and ask for consent in every command that re-runs a trace."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from namel3ss_debug.errors import WrongUsageError

if TYPE_CHECKING:
    from namel3ss_debug.replay.rerun.consent import Consent, PlannedRun
    from namel3ss_debug.traces.verification import Verification

_MOST_CHANGES: Final = 20
_LONGEST_CHANGE: Final = 400
"""How many characters of the payload of a changed event are shown; `inspect` shows all of it."""


def trust_option(function: Any) -> Any:
    """Add the option `--trust` to a command that runs a trace again."""
    return click.option(
        "--trust", is_flag=True, help="Run what the trace names, even if somebody else recorded it."
    )(function)


def require_consent(
    path: Path, *, trust: bool = False, program: Sequence[str] = (), python: str | None = None
) -> Consent:
    """Return why a trace may be re-run, before any process is started for it.

    A trace that this user recorded and nobody changed needs no consent. For any other one, a terminal shows what was
    changed and what would be run, asks once, and remembers the answer for that content.

    Args:
        path: a file of the trace.
        trust: whether the user gave `--trust`.
        program: the program that the user named in place of the recorded one, which gets the same answers.
        python: the interpreter that the user named.

    Raises:
        TrustError: it is not allowed.
        Abort: the user pressed Ctrl-C at the question.
    """
    from namel3ss_debug.replay.rerun.consent import is_allowed, refusal, too_long
    from namel3ss_debug.traces.signing import load_key
    from namel3ss_debug.traces.store import trace_files
    from namel3ss_debug.traces.verification import verify

    processes = trace_files(path)
    files = [file for process in processes for file in process.files]
    found = verify(processes, load_key())
    if found.is_own:
        return "signature"
    if trust or is_allowed(files):
        return "user"
    planned = _plan(path, python or sys.executable, program)
    if planned is None:  # `prepare` reports that, and verifies the trace again
        return "signature"
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr and sys.stderr.isatty()):
        raise refusal(path, found, planned)
    unreadable = planned.unreadable()
    if unreadable:
        raise too_long(path, found, unreadable)
    if not is_confirmed(path, found, planned):
        raise refusal(path, found, planned)
    remember(files)
    return "user"


def _plan(path: Path, python: str, program: Sequence[str]) -> PlannedRun | None:
    """Return what a re-run of a trace would start; None if neither it nor the user names a program."""
    from namel3ss_debug.importers.opening import open_trace
    from namel3ss_debug.replay.rerun.consent import planned_run
    from namel3ss_debug.replay.rerun.preparation import keep_program_events
    from namel3ss_debug.replay.rerun.recorded_calls import read_recorded
    from namel3ss_debug.traces.events import Event

    kept: list[Event] = []
    trace = open_trace(path)
    recorded = read_recorded(trace, keep_program_events(kept, trace.events()))
    started = (recorded.start(number) for number in recorded.calls if recorded.records_itself(number))
    return planned_run(kept, started, python, program)


def is_confirmed(path: Path, found: Verification, planned: PlannedRun) -> bool:
    """Show what was changed and what would be run, and return whether the user allows it."""
    from namel3ss_debug.replay.rerun.consent import describe_change, describe_verification
    from namel3ss_debug.views.cleaning import clean, screen_width

    width = screen_width() - 15
    click.echo(f"{clean(describe_verification(path, found))}.", err=True)
    for change in found.changes[:_MOST_CHANGES]:
        click.echo(f"  {clean(describe_change(change))}", err=True)
        for name in ("inputs", "outputs"):
            if change.event.get(name):
                click.echo(f"    {name} {clean(json.dumps(change.event[name]), _LONGEST_CHANGE)}", err=True)
    if len(found.changes) > _MOST_CHANGES:
        click.echo(f"  and {len(found.changes) - _MOST_CHANGES} more", err=True)
    click.echo(
        "Did you edit it? A re-run would start:" if found.changes else "A re-run would start:", err=True
    )
    for name, value in planned.rows():
        shown = clean(value)
        for start in range(0, len(shown), width):  # all of it, in lines that no terminal cuts
            click.echo(f"  {'' if start else name:<12} {shown[start : start + width]}", err=True)
    return click.confirm("Run it?", default=False, err=True)


def remember(files: list[Path]) -> None:
    """Allow a trace of this content from now on; without a configuration directory, the user is asked again."""
    from namel3ss_debug.traces.trust import content_digest, load_trusted, save_trusted

    trusted = load_trusted()
    with suppress(OSError, WrongUsageError):
        save_trusted(replace(trusted, traces=(*trusted.traces, content_digest(files))))


@click.command("trust")
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@click.option("--list", "shows", is_flag=True, help="List the folders that are trusted.")
@click.option("--remove", type=click.Path(path_type=Path), metavar="DIR", help="Stop trusting this folder.")
@click.pass_context
def command(ctx: click.Context, /, folder: Path | None, *, shows: bool, remove: Path | None) -> None:
    """Allow re-runs of every trace below DIR, including those that somebody else recorded.

    A trace that you recorded is signed with a key of yours and needs no permission, as long as it is not changed. DIR
    must belong to you, and nobody else may write to it. Without this, a re-run of any other trace asks, or takes --trust.
    """
    from namel3ss_debug.traces.trust import load_trusted, save_trusted, trustworthy_folder
    from namel3ss_debug.views.cleaning import clean

    if sum((folder is not None, shows, remove is not None)) != 1:
        raise click.UsageError("give one of: DIR, --list, --remove DIR", ctx)
    trusted = load_trusted()
    if folder is not None:
        real = trustworthy_folder(folder)
        save_trusted(replace(trusted, folders=tuple({*trusted.folders, real})))
        click.echo(f"traces below {clean(real)} may be run again")
    elif remove is not None:
        real = os.path.realpath(remove)
        if real not in trusted.folders:
            raise WrongUsageError(f"{remove} is not trusted; namel3ss debug trust --list shows what is")
        save_trusted(replace(trusted, folders=tuple({*trusted.folders} - {real})))
        click.echo(f"traces below {clean(real)} may no longer be run again")
    else:
        for each in sorted(trusted.folders):
            click.echo(clean(each))
