"""Trust folders whose traces may be re-run (`debug trust`), and ask for consent in every command that re-runs a trace."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from namel3ss_debug.errors import WrongUsageError

if TYPE_CHECKING:
    from namel3ss_debug.replay.rerun.consent import Consent, PlannedRun


def trust_option(function: Any) -> Any:
    """Add the option `--trust` to a command that runs a trace again."""
    return click.option(
        "--trust", is_flag=True, help="Run what the trace names, even if somebody else recorded it."
    )(function)


def require_consent(
    path: Path, *, trust: bool = False, named: bool = False, python: str | None = None
) -> Consent:
    """Return why a trace may be re-run, before any process is started for it.

    A trace that this user recorded needs no consent. For any other one, a terminal shows what would be run, asks once,
    and remembers the answer for that content.

    Args:
        path: a file of the trace.
        trust: whether the user gave `--trust`.
        named: whether the user named the program, which is consent to that program alone.
        python: the interpreter that the user named.

    Raises:
        TrustError: it is not allowed.
        Abort: the user pressed Ctrl-C at the question.
    """
    from namel3ss_debug.replay.rerun.consent import is_allowed, planned_run, refusal
    from namel3ss_debug.traces.signing import find_flaw, load_key, signed_lines
    from namel3ss_debug.traces.store import trace_files

    files = [file for process in trace_files(path) for file in process.files]
    events = list(signed_lines(files))
    flaw = find_flaw(events, load_key())
    if not flaw:
        return "signature"
    if trust or is_allowed(files):
        return "user"
    if named:
        return "program"
    planned = planned_run(events, python or sys.executable)
    if planned is None:  # `prepare` reports that, and checks the signatures again
        return "signature"
    if not is_confirmed(path, flaw, planned):
        raise refusal(path, flaw, planned)
    remember(files)
    return "user"


def is_confirmed(path: Path, flaw: str, planned: PlannedRun) -> bool:
    """Show what would be run on the terminal, and return whether the user allows it; false without a terminal."""
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr and sys.stderr.isatty()):
        return False
    from namel3ss_debug.replay.rerun.consent import named_variables
    from namel3ss_debug.views.cleaning import clean

    rows = {
        "program": planned.command,
        "arguments": planned.arguments,
        "folder": planned.folder,
        "interpreter": planned.interpreter,
        "variables": named_variables(planned),
    }
    click.echo(f"{clean(path)} is not a trace of yours ({clean(flaw)}). A re-run would start:", err=True)
    for name, value in rows.items():
        if value:
            click.echo(f"  {name:<12} {clean(value)}", err=True)
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

    A trace that you recorded is signed with a key of yours and needs no permission. DIR must belong to you, and nobody
    else may write to it. Without this, a re-run of a foreign trace asks, or takes --trust.
    """
    import os

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
