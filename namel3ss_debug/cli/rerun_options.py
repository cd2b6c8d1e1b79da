"""Define the options of `debug rerun` and `debug replay`, and read what they have in common."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from namel3ss_debug.cli.options import Decorator, complete_files, settings
from namel3ss_debug.config.unverified import ACCEPTABLE

if TYPE_CHECKING:
    from namel3ss_debug.replay.overrides.faults import Fault
    from namel3ss_debug.replay.overrides.mocks import Mock


def _kinds(ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Read `--accept`: one kind in each, or several with commas between them."""
    del parameter
    kinds = tuple(word.strip() for each in values for word in each.split(",") if word.strip())
    if kinds:
        for kind in kinds:
            if kind not in ACCEPTABLE:
                raise click.UsageError(f"--accept {kind}: use {' or '.join(ACCEPTABLE)}", ctx)
    return kinds


def _patterns(ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Read `--ignore`: a regular expression in each."""
    del parameter
    for each in values:
        try:
            re.compile(each)
        except re.error as error:
            raise click.UsageError(f"--ignore {each}: {error}", ctx) from None
    return values


STEPPING_OPTIONS: tuple[Decorator[Any], ...] = (
    click.option("--step", is_flag=True, help="Step through it; type help for the commands."),
    click.option("-b", "--breakpoint", "breakpoints", multiple=True, metavar="LOCATION",
                 help="Stop at this LOCATION: an event type, TYPE:N, a component, component:name, error; may be repeated."),
    click.option("-c", "--command", "commands", multiple=True, metavar="CMD", help="A debugger command to run first."),
    click.option("-x", "--commands", "files", multiple=True, type=click.Path(path_type=Path), metavar="FILE",
                 help="A file of debugger commands to run first."),
)  # fmt: skip
"""The options of a session in the debugger."""

OVERRIDE_OPTIONS: tuple[Decorator[Any], ...] = (
    click.option("-m", "--mock", "mocks", multiple=True, metavar="NAME:JSON",
                 help="Mock a tool or model: use this answer in place of the recorded one; NAME@N, NAME:@file.json; "
                 "may be repeated."),
    click.option("--fault", "faults", multiple=True, metavar="NAME:FAULT",
                 help="Inject a fault into these calls: timeout, error:TYPE:TEXT, status:429, latency:2s, truncate; NAME@N; "
                 "may be repeated."),
)  # fmt: skip
"""The options for answers and faults in place of recorded answers."""

AGAIN_OPTIONS: tuple[Decorator[Any], ...] = (
    click.option("--strict", is_flag=True, help="End the re-run where it first diverges from the trace."),
    click.option("--live-from", "live_from", type=click.IntRange(min=1), metavar="N",
                 help="Answer the calls before event N from the trace, and run models, tools and commands for real from there; "
                 "asks first."),
    click.option("--yes", is_flag=True, help="Do not ask before --live-from runs anything for real."),
    click.option("--check", "rules", multiple=True, metavar="RULES", shell_complete=complete_files,
                 help="Let the rules of this file decide whether the re-run succeeds; may be repeated."),
    click.option("--run-tools", "run_tools", multiple=True, metavar="NAME",
                 help="Run this tool for real in the re-run, or all; may be repeated."),
    click.option("--run-changed-tools", "run_changed_tools", is_flag=True,
                 help="Run the tools whose code has changed since the trace was recorded, or may have."),
    click.option("--try-tools", "try_tools", is_flag=True, callback=lambda _ctx, _parameter, value: "changed" if value else "",
                 help="Run each tool whose code has changed, or may have, in a copy of the program that can change nothing, and "
                 "count it as verified if it returns its recorded result."),
    click.option("--run-commands", "run_commands", multiple=True, metavar="[NAME]", is_flag=False, flag_value="all",
                 help="Run the commands of this program for real in the re-run, such as git; all without a NAME; may be repeated."),
    click.option("--accept", "accept", multiple=True, metavar="KIND", callback=_kinds,
                 help=f"Let the re-run succeed with recorded answers that may differ now: {', '.join(ACCEPTABLE)}."),
    click.option("--ignore", "ignore", multiple=True, metavar="PATTERN", callback=_patterns,
                 help="Do not compare what this regular expression matches in the output, and no file with such a path; may be repeated."),
    click.option("--realtime", is_flag=True, help="Let answers take their recorded time."),
    click.option("--python", metavar="PATH", shell_complete=complete_files,
                 help="The Python to run the program again with."),
)  # fmt: skip
"""The options of a re-run."""


def with_options(*tables: tuple[Decorator[Any], ...]) -> Decorator[Any]:
    """Add the options of some tables to a command, in their order."""

    def decorate(function: Any) -> Any:
        for option in reversed([*chain.from_iterable(tables)]):
            function = option(function)
        return function

    return decorate


def load_overrides(mocks: Sequence[str], faults: Sequence[str]) -> tuple[Mock | Fault, ...]:
    """Return the mocks and faults of the settings and of the options.

    Raises:
        DebugError: one of them does not parse.
    """
    loaded = settings()
    if not (mocks or faults or loaded.config.mocks or loaded.config.faults):
        return ()
    from namel3ss_debug.replay.overrides.active import load_overrides as load

    return load(loaded, mocks, faults)
