"""`debug replay`: print the events of a trace, or step through them in the debugger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from namel3ss_debug.cli.boundary import notify
from namel3ss_debug.cli.options import (
    component_names,
    open_reference,
    print_rows,
    reading,
    report_no_events_of,
    report_problems,
    results_format_option,
    settings,
    trace_argument,
)
from namel3ss_debug.cli.rerun_options import (
    OVERRIDE_OPTIONS,
    STEPPING_OPTIONS,
    load_overrides,
    with_options,
)
from namel3ss_debug.cli.stepping import (
    WRONG_USAGE,
    read_commands,
    run_session,
    session_breakpoints,
    set_matching,
)
from namel3ss_debug.cli.trust import require_consent, trust_option

if TYPE_CHECKING:
    from namel3ss_debug.replay.overrides.faults import Fault
    from namel3ss_debug.replay.overrides.mocks import Mock
    from namel3ss_debug.replay.rerun.preparation import Prepared
    from namel3ss_debug.traces.reader import Trace


def replay(
    reference: str | None,
    *,
    step: bool,
    breakpoints: Sequence[str],
    mocks: Sequence[str],
    faults: Sequence[str],
    components: Sequence[str],
    commands: Sequence[str],
    files: Sequence[Path],
    chunks: bool,
    jsonl: bool,
    trust: bool,
) -> int:
    """Replay a trace.

    Args:
        reference: the trace; the latest if left out.
        step: whether to step through it by commands that are typed, or read from stdin.
        breakpoints: locations to stop at.
        mocks: answers to show in place of the recorded ones, as `NAME:JSON`.
        faults: faults to inject, as `NAME:timeout`.
        components: the components whose events are replayed; all if empty.
        commands: debugger commands to run first.
        files: files with debugger commands to run before these.
        chunks: whether the chunks of streamed answers have lines of their own.
        jsonl: whether each result is one JSON value on each line.
        trust: whether the command `rerun` may run the program even if another user recorded it.

    Returns:
        The exit status: 2 if a command could not be done that was not typed, else 0; for a re-run its own.

    Raises:
        DebugError: the trace, a location, a mock or a fault cannot be used.
    """
    trace = open_reference(reference)
    first = read_commands(commands, files)
    overrides = load_overrides(mocks, faults)
    status = 0
    if step or breakpoints or first:
        interactive = step or not first
        status = step_trace(
            trace, breakpoints, overrides, first, interactive=interactive, jsonl=jsonl, trust=trust
        )
    elif components or overrides or chunks or jsonl:
        print_all(trace, components, overrides, chunks=chunks, jsonl=jsonl)
    else:
        from namel3ss_debug.cli.reporting import write_report
        from namel3ss_debug.cli.show import transcript_of

        write_report(transcript_of(trace), "table")
    report_problems(trace)
    return status


def print_all(
    trace: Trace, components: Sequence[str], overrides: Sequence[Mock | Fault], *, chunks: bool, jsonl: bool
) -> None:
    """Print the events, with the overrides in place of what was recorded, and the statistics at the end."""
    from namel3ss_debug.replay.debugger.results import Stopped, to_json
    from namel3ss_debug.replay.replayer import ExecutionReplayer
    from namel3ss_debug.views.replay import replayed_lines, statistics_lines
    from namel3ss_debug.views.terminal import console, line

    replayer = ExecutionReplayer(trace.path, mock_responses=overrides, components=components)
    if not jsonl:
        screen = console()
        screen.lines(replayed_lines(replayer, screen.width, chunks=chunks))
        if components and not replayer.statistics.events:
            report_no_events_of(components)
        else:
            screen.lines(chain([line("")], statistics_lines(replayer.statistics, screen.width)))
        return
    with reading(trace):
        total = trace.count()
    print_rows(to_json(Stopped(item.number, item.event, "step", total)) for item in replayer)
    print_rows([{"result": "statistics"} | asdict(replayer.statistics)])


def step_trace(
    trace: Trace,
    breakpoints: Sequence[str],
    overrides: Sequence[Mock | Fault],
    commands: Sequence[str],
    *,
    interactive: bool,
    jsonl: bool,
    trust: bool = False,
) -> int:
    """Step through the trace: some commands first, then those that the user types.

    If one of them is `rerun`, the program runs again up to the current event, with the overrides, the breakpoints and the
    displays of the session, and the commands after it are for the re-run.

    Returns:
        The exit status: 2 if a command could not be done that was not typed; for a re-run its own.

    Raises:
        DebugError: a breakpoint cannot match, or the trace has no call for a mock.
    """
    from namel3ss_debug.cli.rerun import Stepped, prepared_again, run_prepared
    from namel3ss_debug.replay.debugger.interpreter import Debugger
    from namel3ss_debug.replay.overrides.unused import describe_mismatches, describe_unhit, find_unhit

    def prepare(overrides: tuple[Mock | Fault, ...]) -> Prepared:
        from namel3ss_debug.replay.rerun.preparation import RerunOptions

        consent = require_consent(trace.path, trust=trust)
        return prepared_again(trace, RerunOptions(overrides, consent=consent), config)

    config = settings().config
    of_settings = [each for each in session_breakpoints(config) if each not in breakpoints]
    with reading(trace):
        debugger = Debugger(trace, breakpoints, overrides)
        set_matching(debugger, of_settings)
        started_at = next((event.get("timestamp") for event in trace.events()), None)
        _ = debugger.stepper.outline  # built here, where progress is shown; moves and completion need it
    trace.progress = None
    debugger.session.prepare = prepare
    todo = iter(commands or ["continue" if breakpoints else "step"])
    mistakes = run_session(debugger, todo, interactive=interactive, jsonl=jsonl, started_at=started_at)
    if debugger.session.rerun is not None:
        rest = [*debugger.remaining, *todo]
        stepped = Stepped((), rest, typed_too=interactive or not rest, earlier=debugger, mistakes=mistakes)
        return run_prepared(debugger.session.prepared, config, stepped, jsonl=jsonl)
    if debugger.stepper.position >= debugger.stepper.total:  # else one may still be reached
        stops = debugger.stepper.stops
        missed = find_unhit(stops, range(len(breakpoints) + 1, len(breakpoints) + len(of_settings) + 1))
        for line in (*describe_unhit(missed, trace), *describe_mismatches(stops, trace)):
            notify(line)
    return WRONG_USAGE if mistakes else 0


class ReplayCommand(click.Command):
    """A click command that names the one for `--rerun`, which it had once, whatever options of a re-run are beside it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Refuse `--rerun`, and let click read the rest."""
        if "--rerun" in args:
            raise click.UsageError("replay --rerun is now: rerun", ctx)
        return super().parse_args(ctx, args)


@click.command("replay", cls=ReplayCommand)
@trace_argument
@with_options(STEPPING_OPTIONS[:2], OVERRIDE_OPTIONS)
@click.option("-f", "--filter", "components", multiple=True, metavar="COMPONENT", callback=component_names,
              help="Replay this component only; may be repeated.")  # fmt: skip
@with_options(STEPPING_OPTIONS[2:])
@click.option("--chunks", is_flag=True, help="Show the chunks of streamed answers too.")
@trust_option
@results_format_option
@click.pass_context
def command(ctx: click.Context, /, reference: str | None, **options: Any) -> int:
    """Step through a trace in the debugger, forwards and backwards, with --step or a breakpoint.

    Commands are typed, or read from stdin; with -c or -x and without --step, the debugger runs those and ends. Without
    any option the transcript is printed, as show does; with --filter, --mock, --fault, --chunks or --format jsonl, every
    event on a line, and the totals at the end. JSON is one object on each line, with either name of the format.
    """
    if options["components"] and any(options[name] for name in ("step", "breakpoints", "commands", "files")):
        raise click.UsageError(
            "--filter is for a replay without --step; in the debugger use a breakpoint: -b llm", ctx
        )
    return replay(reference, **options)
