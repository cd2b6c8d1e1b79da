"""`debug rerun`: run a recorded program again on the answers of its trace. `debug replay --rerun` is the same.

The program's stdout and stderr are its own; what became of the re-run stands on stderr when it is over. With `--format
jsonl` stdout carries the report, behind the results of a walk through it, and what the program prints goes to stderr.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from namel3ss_debug.cli.options import (
    Decorator,
    find_recording,
    format_option,
    open_reference,
    print_rows,
    reading,
    report_problems,
    settings,
    trace_argument,
)
from namel3ss_debug.cli.options import files as complete_files
from namel3ss_debug.cli.stepping import given_commands, opening, session_breakpoints
from namel3ss_debug.cli.trust import require_consent, trust_option
from namel3ss_debug.errors import WrongUsageError

if TYPE_CHECKING:
    from namel3ss_debug.config import DebugConfiguration
    from namel3ss_debug.replay.consent import Consent
    from namel3ss_debug.replay.debugger import Debugger
    from namel3ss_debug.replay.live_debugger import LiveDebugger
    from namel3ss_debug.replay.rerun import Prepared, Wanted
    from namel3ss_debug.replay.rerunning.outcomes import Outcome
    from namel3ss_debug.replay.rerunning.outputs import Outputs
    from namel3ss_debug.replay.starting import Early
    from namel3ss_debug.traces.reader import Trace

STDOUT, STDERR = 1, 2

ONLY_AGAIN = {
    "strict": "--strict",
    "live_from": "--from",
    "offline": "--offline",
    "run_tools": "--run-tools",
    "run_changed_tools": "--run-changed-tools",
    "accept": "--accept",
    "realtime": "--realtime",
    "python": "--python",
}
"""The options of `debug replay` that only a re-run has, by the names of their values."""


def _kinds(ctx: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    """Read `--accept`: one kind in each, or several with commas between them."""
    del parameter
    kinds = tuple(word.strip() for words in given for word in words.split(",") if word.strip())
    if kinds:
        from namel3ss_debug.replay.rerunning.outcomes import ACCEPTABLE

        for kind in kinds:
            if kind not in ACCEPTABLE:
                raise click.UsageError(f"--accept {kind}: use {' or '.join(ACCEPTABLE)}", ctx)
    return kinds


STEPPING_OPTIONS: tuple[Decorator[Any], ...] = (
    click.option("--step", is_flag=True, help="Walk through it; type help for the commands."),
    click.option("-b", "--breakpoint", "breakpoints", multiple=True, metavar="PLACE",
                 help="Stop there: an event type, TYPE:N, a component, component:name, error; may be repeated."),
    click.option("-c", "--command", "commands", multiple=True, metavar="CMD", help="A debugger command to do first."),
    click.option("-x", "--commands", "files", multiple=True, type=click.Path(path_type=Path), metavar="FILE",
                 help="A file of debugger commands to do first."),
)  # fmt: skip
"""The options of a session in the debugger."""

OVERRIDE_OPTIONS: tuple[Decorator[Any], ...] = (
    click.option("-m", "--mock", "mocks", multiple=True, metavar="NAME:JSON",
                 help="Use this answer of a tool or model in place of the recorded one; NAME@N, NAME:@file.json; "
                 "may be repeated."),
    click.option("--fault", "faults", multiple=True, metavar="NAME:FAULT",
                 help="Let these calls go wrong: timeout, error:TYPE:TEXT, status:429, latency:2s, truncate; NAME@N; "
                 "may be repeated."),
)  # fmt: skip
"""The options for answers and faults in place of recorded answers."""

AGAIN_OPTIONS: tuple[Decorator[Any], ...] = (
    click.option("--strict", is_flag=True, help="End the re-run where it first diverges from the trace."),
    click.option("--from", "live_from", type=click.IntRange(min=1), metavar="N",
                 help="Answer the calls before event N from the trace, and ask models and servers for real from there."),
    click.option("--offline", is_flag=True,
                 help="Ask nothing for real behind --from either: answers are given by --mock."),
    click.option("--run-tools", "run_tools", multiple=True, metavar="NAME",
                 help="Run this tool for real in the re-run, or all; may be repeated."),
    click.option("--run-changed-tools", "run_changed_tools", is_flag=True,
                 help="Run the tools whose code has changed since the trace was recorded."),
    click.option("--accept", "accept", multiple=True, metavar="KIND", callback=_kinds,
                 help="Let the re-run succeed with recorded answers that may differ now: stale-tools, stale-models."),
    click.option("--realtime", is_flag=True, help="Let recorded answers take the time that they took."),
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


@dataclass(frozen=True)
class Stepped:
    """How a re-run is walked through.

    Attributes:
        breakpoints: the places of `-b`.
        commands: the commands that are given.
        typed_too: whether some are typed after them.
        walked: the walk through the recording from which it goes on, where it does.
        mistakes: how many of the commands given for that could not be done.
    """

    breakpoints: Sequence[str] = ()
    commands: Sequence[str] = ()
    typed_too: bool = True
    walked: Debugger | None = None
    mistakes: int = 0


class RerunCommand(click.Command):
    """A click command that takes the words behind `--` as a program and its arguments."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Set the program aside, and let click read the rest."""
        program: list[str] = []
        if "--" in args:
            place = args.index("--")
            args, program = args[:place], args[place + 1 :]
            if not program and not ctx.resilient_parsing:
                raise click.UsageError(
                    "no program behind --: name a file, -m package, or module:function", ctx
                )
        rest = super().parse_args(ctx, args)
        ctx.params["program"] = tuple(program)
        return rest


@click.command("rerun", cls=RerunCommand, options_metavar="[OPTIONS]")
@trace_argument
@with_options(OVERRIDE_OPTIONS, AGAIN_OPTIONS, STEPPING_OPTIONS)
@trust_option
@format_option("table", "jsonl", "json")
@click.pass_context
def command(ctx: click.Context, /, reference: str | None, **options: Any) -> int:
    """Run the recorded program again, offline, on the answers of its trace.

    Each call gets its recorded answer, or the one that --mock gives; models and tools are not called. The verdict is
    matched, matched_with_overrides (exit status 0), unverified, diverged (1) or incomplete (2). It is unverified if a
    recorded answer was used although it may differ now: the code of the tool has changed (--run-changed-tools runs
    it), or the request to a model changed because of an override (--from N calls it).

    With --step or a breakpoint, a debugger steps through the program while it runs. A trace of somebody else needs
    your consent: --trust, debug trust, or a program that you name behind --.
    """
    if options["offline"] and not options["live_from"]:
        raise click.UsageError("--offline is for --from; a re-run without it is offline in any case", ctx)
    return rerun_trace(reference, **options)


def rerun_trace(
    reference: str | None,
    *,
    step: bool,
    breakpoints: Sequence[str],
    mocks: Sequence[str],
    faults: Sequence[str],
    commands: Sequence[str],
    files: Sequence[Path],
    output_format: str,
    program: tuple[str, ...] = (),
    trust: bool = False,
    **options: Any,
) -> int:
    """Run a recorded program again, and return the exit status.

    Args:
        reference: the trace; the latest if left out.
        step: whether a debugger steps through it.
        breakpoints: where it stops.
        mocks: answers in place of recorded ones, as `NAME:JSON`.
        faults: what goes wrong, as `NAME:timeout`.
        commands: debugger commands to do first.
        files: files with debugger commands to do before these.
        output_format: `table`, or `jsonl` for one JSON value a line.
        program: the program to run in place of the recorded one, and its arguments.
        trust: whether the user gave `--trust`.
        **options: the further fields of `replay.rerun.Wanted`.

    Raises:
        DebugError: the trace, the program, an answer or a fault cannot be used.
    """
    from namel3ss_debug.cli.replay import all_answers

    jsonl = output_format != "table"
    path = find_recording(reference)
    consent = require_consent(path, trust=trust, named=bool(program), python=options.get("python"))
    at_once = not (step or breakpoints or commands or files or program or options.get("python"))
    with started_early(path, jsonl=jsonl, consent=consent) if at_once else nullcontext() as early:
        trace = open_reference(reference)
        given = given_commands(commands, files)
        answers = all_answers(mocks, faults)
        from namel3ss_debug.replay.rerun import Wanted

        stepped = stepped_by(step=step, breakpoints=breakpoints, commands=given)
        changed = {"live_from": options["live_from"] or 0, "program": program, "consent": consent}
        wanted = Wanted(answers, **options | changed)
        config = settings().config
        prepared = prepared_again(trace, wanted, config)
        status = run_prepared(prepared, config, stepped, jsonl=jsonl, early=early)
        report_problems(trace)
    return status


def started_early(path: Path, *, jsonl: bool, consent: Consent) -> AbstractContextManager[Early | None]:
    """Start the program of a recording while it is seen to whether it can run again; it ends with the block where not.

    Args:
        path: the file of the recording.
        jsonl: whether stdout is for JSON lines, so that what the program prints goes to stderr.
        consent: why the program may be started, of `require_consent`.
    """
    from namel3ss_debug.replay.starting import early

    return early(path, outputs(jsonl=jsonl), consent)


def prepared_again(trace: Trace, wanted: Wanted, config: DebugConfiguration) -> Prepared:
    """See that the program of a recording can run again.

    Raises:
        DebugError: the recording, the program or an answer cannot be used.
    """
    from namel3ss_debug.replay.rerun import prepare

    with reading(trace):
        check_from(trace, wanted.live_from)
        prepared = prepare(trace, wanted, config, folder_for(trace, config))
    trace.progress = None
    return prepared


def run_prepared(
    prepared: Prepared,
    config: DebugConfiguration,
    stepped: Stepped | None,
    *,
    jsonl: bool,
    early: Early | None = None,
) -> int:
    """Run the program, tell what became of the re-run, and give the exit status.

    Raises:
        DebugError: a place cannot be used, or the program cannot be started.
    """
    outcome = (
        walk_again(prepared, config, stepped, jsonl=jsonl)
        if stepped is not None
        else run_again(prepared, early, jsonl=jsonl)
    )
    report(outcome, jsonl=jsonl)
    return outcome.exit_status


def check_from(trace: Trace, live_from: int) -> None:
    """See that the recording has the event of `--from`.

    Raises:
        WrongUsageError: it has not.
    """
    if live_from and live_from > trace.count():  # else nothing is counted before it is read
        raise WrongUsageError(
            f"--from {live_from}: the recording has {trace.count()} events, numbered from 1"
        )


def folder_for(trace: Trace, config: DebugConfiguration) -> Path:
    """Where the re-run is recorded: beside the recording, or in `trace_output_dir` where nothing may be written there."""
    folder = trace.path.resolve().parent
    return folder if os.access(folder, os.W_OK | os.X_OK) else Path(config.trace_output_dir)


def run_again(prepared: Prepared, early: Early | None, *, jsonl: bool) -> Outcome:
    """Let the program run to its end; its output goes to the streams of this process."""
    from namel3ss_debug.cli.boundary import tell
    from namel3ss_debug.replay.rerun import rerun as run

    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    ways = outputs(jsonl=jsonl) if early is None else early.outputs
    return run(prepared, ways, tell, load_report, early)


def outputs(*, jsonl: bool) -> Outputs:
    """Where the output of the program goes."""
    from namel3ss_debug.replay.rerunning.outputs import Outputs

    return Outputs(STDERR if jsonl else STDOUT, STDERR)


def load_report() -> None:
    """Import what tells of a re-run that is as recorded, while the program imports what it needs."""
    from namel3ss_debug.replay.rerunning import outcomes as _  # noqa: F401
    from namel3ss_debug.views import outcomes, rows  # noqa: F401


def walk_again(prepared: Prepared, config: DebugConfiguration, stepped: Stepped, *, jsonl: bool) -> Outcome:
    """Walk through the program as it runs again, in the debugger's shell.

    Where its code is newer than the recording, it is run to its end before, unseen, to learn which answers belong to
    which calls. A session of JSON lines is held by a program, whose commands stand on stdin.
    """
    from namel3ss_debug.capture.foreground import Foreground
    from namel3ss_debug.cli.live import Stepping, hold, notices, seat, tell_unused
    from namel3ss_debug.replay.live_debugger import LiveDebugger
    from namel3ss_debug.replay.meeting import Meeting
    from namel3ss_debug.replay.rerun import reserved_for, running, stepped_outcome
    from namel3ss_debug.replay.rerunning.impasses import CannotGoOnError
    from namel3ss_debug.replay.rerunning.outputs import Ends
    from namel3ss_debug.replay.rerunning.passes import Pass

    walked = stepped.walked
    breakpoints = session_breakpoints(config, stepped.breakpoints) if walked is None else []
    reserved = reserved_for(prepared) if prepared.newer else frozenset()
    stop, mistakes = None, stepped.mistakes
    with nullcontext() if jsonl else seat() as seated, Meeting() as meeting:
        # The standard input is not the program's, which reads what it read then: commands may stand there.
        typed_too = stepped.typed_too and seated is not None
        read = given_lines() if typed_too != stepped.typed_too else ()
        foreground = Foreground(seated.terminal.fileno()) if seated is not None and seated.controls else None
        say = notices(seated)
        for note in prepared.notes:
            say(note)
        ends = Ends(STDERR if jsonl else None, None)
        opening = running(prepared, meeting, None, ends, foreground=foreground, notice=say)
        with opening as program:
            debugger = LiveDebugger(program, breakpoints, prepared.wanted.mocks)
            program.answering = run = Pass(prepared.plan, debugger.walk.mocks, reserved)
            program.go_on()
            tell_unknown(debugger, prepared.trace, stepped.breakpoints, say)
            commands = chain(led_on(debugger, walked) if walked else (), stepped.commands, read)
            try:
                held = hold(debugger, Stepping(breakpoints, (), commands, typed_too), seated, jsonl=jsonl)
                mistakes += 0 if stepped.typed_too else held.mistakes
            except CannotGoOnError as impasse:
                stop = impasse.stop
        outcome = stepped_outcome(prepared, run, program, stop, mistakes)
        if stop is None:
            tell_unused(debugger, stepped.breakpoints, breakpoints, outcome.trace, say)
        return outcome


def tell_unknown(
    debugger: LiveDebugger, trace: Trace, given: Sequence[str], say: Callable[[str], None]
) -> None:
    """Say which places of `-b` have a name that the trace does not hold, before the program runs."""
    if not given:
        return
    from namel3ss_debug.replay.recording.breakpoints import know
    from namel3ss_debug.replay.unused import describe_unknown, unhit

    wanted = [each for each in unhit(debugger.walk.stops) if each.number <= len(given)]
    for line in describe_unknown(wanted, know(trace.events())):
        say(line)


def led_on(debugger: LiveDebugger, walked: Debugger) -> Iterator[str]:
    """The command that leads to where an earlier walk stood; its breakpoints are set there, and stop nothing on the way."""
    from namel3ss_debug.replay.rerunning.landmarks import finder, landmark

    wanted = walked.session.rerun
    number = 1 if wanted is None else wanted.number
    stood = landmark(walked.walk.recording.events(), number) if number > 1 else None
    debugger.session.lead = None if stood is None else finder(stood, debugger.program.events)
    debugger.session.display_as(walked.session)
    yield f"until {number}" if number > 1 else "step"
    debugger.walk.stops.adopt(walked.walk.stops)


def given_lines() -> Iterator[str]:
    """The lines of the standard input, as commands."""
    return iter(()) if sys.stdin is None else (line.rstrip("\r\n") for line in sys.stdin)


def report(outcome: Outcome, *, jsonl: bool) -> None:
    """Say what became of the re-run, and where it is recorded."""
    from namel3ss_debug.cli.boundary import tell
    from namel3ss_debug.views.cleaning import screen_width, shorter_path

    if jsonl:
        from namel3ss_debug.views.divergences import report_rows

        print_rows(report_rows(outcome))
    elif outcome.divergences:
        from namel3ss_debug.views.divergences import report_lines
        from namel3ss_debug.views.terminal import console

        screen = console(stderr=True)
        screen.lines(report_lines(outcome, screen.width))
    elif sys.stderr is not None:
        from namel3ss_debug.views.outcomes import outcome_rows
        from namel3ss_debug.views.rows import write_rows

        write_rows(outcome_rows(outcome, screen_width()), sys.stderr)
    if outcome.trace.exists():
        tell(f"the re-run is recorded in {shorter_path(outcome.trace)}")
    if not jsonl:
        from namel3ss_debug.views.outcomes import verifying_command

        verify = verifying_command(outcome, str(shorter_path(outcome.of)))
        if verify:
            tell(f"to verify: {verify}")


def stepped_by(*, step: bool, breakpoints: Sequence[str], commands: Sequence[str]) -> Stepped | None:
    """How the options of a walk ask a re-run to be walked through; None where they do not."""
    if not (step or breakpoints or commands):
        return None
    return Stepped(breakpoints, *opening(commands, step=step, breakpoints=breakpoints))
