"""Run a recorded program again on its recorded answers: `debug rerun`.

The program's stdout and stderr are its own; the outcome is printed to stderr when it is over. With `--format jsonl`
stdout carries the report, behind the results of a stepping session, and what the program prints goes to stderr.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from namel3ss_debug.cli.boundary import notify
from namel3ss_debug.cli.options import (
    complete_files,
    find_trace_file,
    open_reference,
    print_rows,
    reading,
    report_problems,
    results_format_option,
    settings,
    trace_argument,
)
from namel3ss_debug.cli.rerun_options import (
    AGAIN_OPTIONS,
    OVERRIDE_OPTIONS,
    STEPPING_OPTIONS,
    load_overrides,
    with_options,
)
from namel3ss_debug.cli.stepping import first_commands, read_commands, session_breakpoints
from namel3ss_debug.cli.trust import require_consent, trust_option
from namel3ss_debug.errors import WrongUsageError

if TYPE_CHECKING:
    from namel3ss_debug.analysis.checks.rules import CheckRule
    from namel3ss_debug.config import DebugConfiguration
    from namel3ss_debug.replay.debugger.interpreter import Debugger, LiveDebugger
    from namel3ss_debug.replay.rerun.outcomes import RerunOutcome
    from namel3ss_debug.replay.rerun.preparation import Prepared, RerunOptions
    from namel3ss_debug.traces.reader import Trace

STDOUT, STDERR = 1, 2


@dataclass(frozen=True)
class Stepped:
    """How a re-run is stepped through.

    Attributes:
        breakpoints: the locations of `-b`.
        commands: the debugger commands of the options.
        typed_too: whether further commands are typed.
        earlier: the session in the trace that this one continues, if any.
        mistakes: how many commands of that session failed.
    """

    breakpoints: Sequence[str] = ()
    commands: Sequence[str] = ()
    typed_too: bool = True
    earlier: Debugger | None = None
    mistakes: int = 0


class RerunCommand(click.Command):
    """A click command that takes the words after `--` as a program and its arguments."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Set the program aside, and let click read the rest."""
        program: list[str] = []
        if "--" in args:
            place = args.index("--")
            args, program = args[:place], args[place + 1 :]
            if not program and not ctx.resilient_parsing:
                raise click.UsageError(
                    "no program after --: name a file, -m package, or module:function", ctx
                )
        rest = super().parse_args(ctx, args)
        ctx.params["program"] = tuple(program)
        return rest


@click.command("rerun", cls=RerunCommand, options_metavar="[OPTIONS]")
@trace_argument
@click.option("--answers", type=click.Path(path_type=Path), metavar="FILE", shell_complete=complete_files,
              help="A trace, of another tool too, that answers the program named in place of TRACE.")  # fmt: skip
@with_options(OVERRIDE_OPTIONS, AGAIN_OPTIONS, STEPPING_OPTIONS)
@trust_option
@results_format_option
@click.pass_context
def command(ctx: click.Context, /, reference: str | None, answers: Path | None, **options: Any) -> int:
    """Run the recorded program again, offline, on the answers of its trace.

    Each call gets its recorded answer, or its mock; models and tools are not called. The verdict is
    matched, matched_with_overrides, changed (exit status 0), unverified, diverged (1) or incomplete (2). It is unverified
    if a recorded answer was used although it may differ now: the code of the tool has changed (--run-changed-tools runs
    it), or the request to a model changed after an override.

    --live-from N tries a change: what comes before event N is answered, everything after it runs for real, and the
    difference to the trace is shown. The verdict is then changed; --check RULES decides whether that is a success.

    `rerun app.py --answers prod.otlp.json` answers a program from a trace of another tool: requests are matched by their
    messages, tools by name and arguments, which the report calls approximate.

    With --step or a breakpoint, a debugger steps through the program while it runs. A trace of somebody else, or a
    changed one, needs your consent: --trust, or debug trust.
    """
    if options["yes"] and not options["live_from"]:
        raise click.UsageError("--yes is for --live-from; without it nothing runs for real unasked", ctx)
    if answers is not None:
        options["program"] = (*([reference] if reference else []), *options["program"])
        if not options["program"]:
            raise click.UsageError(
                "--answers needs the program that it answers: rerun app.py --answers FILE", ctx
            )
        reference = str(answers)
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
    jsonl: bool,
    program: tuple[str, ...] = (),
    trust: bool = False,
    yes: bool = False,
    rules: Sequence[str] = (),
    **options: Any,
) -> int:
    """Run a recorded program again, and return the exit status.

    Args:
        reference: the trace; the latest if left out.
        step: whether a debugger steps through it.
        breakpoints: where it stops.
        mocks: answers in place of recorded ones, as `NAME:JSON`.
        faults: faults, as `NAME:timeout`.
        commands: debugger commands to do first.
        files: files with debugger commands to do before these.
        jsonl: whether each result is one JSON value on each line.
        program: the program to run in place of the recorded one, and its arguments.
        trust: whether the user gave `--trust`.
        yes: whether the user gave `--yes`.
        rules: the files of rules that decide whether it succeeds.
        **options: the further fields of `RerunOptions`.

    Raises:
        DebugError: the trace, the program, an answer or a fault cannot be used.
    """
    path = find_trace_file(reference)
    consent = require_consent(path, trust=trust, program=program, python=options.get("python"))
    trace = open_reference(reference)
    words = read_commands(commands, files)
    overrides = load_overrides(mocks, faults)
    from namel3ss_debug.replay.rerun.preparation import RerunOptions

    stepped = None
    if step or breakpoints or words:
        stepped = Stepped(breakpoints, *first_commands(words, step=step, breakpoints=breakpoints))
    changed = {"live_from": options["live_from"] or 0, "program": program, "consent": consent}
    wanted = RerunOptions(overrides, **options | changed)
    config = settings().config
    chosen: Sequence[CheckRule] = ()
    if rules:
        from namel3ss_debug.cli.check import gather

        chosen = gather(settings(), rules, ())  # a mistake in them is reported before anything runs
    prepared = prepared_again(trace, wanted, config)
    if wanted.live_from:
        from namel3ss_debug.cli.live import confirm_live

        confirm_live(prepared, yes=yes)
    status = run_prepared(prepared, config, stepped, chosen, jsonl=jsonl)
    report_problems(trace)
    return status


def prepared_again(
    trace: Trace, wanted: RerunOptions, config: DebugConfiguration, folder: Path | None = None
) -> Prepared:
    """Check that the program of a trace can run again.

    Args:
        trace: the trace.
        wanted: what the user wants.
        config: the settings in force.
        folder: where it is recorded; beside the trace if left out and that folder is writable.

    Raises:
        DebugError: the trace, the program, an answer or `--live-from` cannot be used.
    """
    from namel3ss_debug.replay.rerun.preparation import prepare

    with reading(trace):
        if wanted.live_from and wanted.live_from > trace.count():  # counting reads the whole trace
            raise WrongUsageError(
                f"--live-from {wanted.live_from}: the trace has {trace.count()} events, numbered from 1"
            )
        beside = trace.path.resolve().parent
        writable = os.access(beside, os.W_OK | os.X_OK)
        folder = folder or (beside if writable else Path(config.trace_output_dir))
        prepared = prepare(trace, wanted, config, folder)
    trace.progress = None
    return prepared


def run_prepared(
    prepared: Prepared,
    config: DebugConfiguration,
    stepped: Stepped | None,
    rules: Sequence[CheckRule] = (),
    *,
    jsonl: bool,
) -> int:
    """Run the program, report the outcome, and return the exit status.

    Args:
        prepared: the program and its answers.
        config: the settings in force.
        stepped: how it is stepped through; None for a run to its end.
        rules: the rules that decide whether it succeeds.
        jsonl: whether each result is one JSON value on each line.

    Raises:
        DebugError: a location cannot be used, or the program cannot be started.
    """
    outcome = (
        step_again(prepared, config, stepped, jsonl=jsonl)
        if stepped is not None
        else run_again(prepared, jsonl=jsonl)
    )
    found = None
    if outcome.live_since:
        from namel3ss_debug.cli.live import compare_live, print_diff

        outcome, found = compare_live(outcome)
    if found is not None and outcome.verdict == "changed":
        print_rows([{"result": "diff"} | found.to_json()]) if jsonl else print_diff(found)
    report(outcome, jsonl=jsonl)
    # A re-run that diverges is no run of the changed program, so its rules say nothing.
    if not rules or outcome.verdict in ("diverged", "incomplete") or not outcome.trace.exists():
        return outcome.exit_status
    from namel3ss_debug.cli.live import check_live

    return int(not check_live(outcome.trace, rules))


def run_again(prepared: Prepared, *, jsonl: bool) -> RerunOutcome:
    """Run the program to its end; its output goes to the streams of this process."""
    from namel3ss_debug.replay.rerun.running import OutputEnds
    from namel3ss_debug.replay.rerun.running import rerun as run

    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    return run(prepared, OutputEnds(STDERR if jsonl else None), notify, load_report)


def load_report() -> None:
    """Import the usual report while the program imports what it needs."""
    from namel3ss_debug.replay.rerun import outcomes as _  # noqa: F401
    from namel3ss_debug.views import divergences  # noqa: F401


def step_again(
    prepared: Prepared, config: DebugConfiguration, stepped: Stepped, *, jsonl: bool
) -> RerunOutcome:
    """Step through the program as it runs again, in the debugger's shell.

    A session of JSON lines is controlled by a program, whose commands arrive on stdin.
    """
    from namel3ss_debug.capture.launch.foreground import Foreground
    from namel3ss_debug.cli.stepping import (
        SteppingOptions,
        make_notifier,
        report_unused,
        step_to_end,
        user_terminal,
    )
    from namel3ss_debug.replay.debugger.interpreter import LiveDebugger
    from namel3ss_debug.replay.debugger.step_channel import StepServer
    from namel3ss_debug.replay.rerun.attempts import Attempt
    from namel3ss_debug.replay.rerun.running import OutputEnds, running, stepped_outcome
    from namel3ss_debug.replay.rerun.unanswered import CannotGoOnError

    earlier = stepped.earlier
    breakpoints = session_breakpoints(config, stepped.breakpoints) if earlier is None else []
    stop, mistakes = None, stepped.mistakes
    with nullcontext() if jsonl else user_terminal() as seated, StepServer() as step_server:
        # The program reads its recorded input, so stdin may hold commands.
        typed_too = stepped.typed_too and seated is not None
        lines = () if typed_too == stepped.typed_too or sys.stdin is None else sys.stdin
        read = (line.rstrip("\r\n") for line in lines)
        foreground = Foreground(seated.terminal.fileno()) if seated is not None and seated.controls else None
        say = make_notifier(seated)
        for note in prepared.notes:
            say(note)
        ends = OutputEnds(STDERR if jsonl else None, None)
        opening = running(prepared, step_server, None, ends, foreground=foreground, notice=say)
        with opening as program:
            debugger = LiveDebugger(program, breakpoints, prepared.wanted.overrides)
            program.answering = run = Attempt(prepared.plan, debugger.stepper.overrides)
            program.go_on()
            note_unknown(debugger, prepared.trace, stepped.breakpoints, say)
            commands = chain(lead_to_earlier(debugger, earlier) if earlier else (), stepped.commands, read)
            try:
                stepped_result = step_to_end(
                    debugger, SteppingOptions(breakpoints, (), commands, typed_too), seated, jsonl=jsonl
                )
                mistakes += 0 if lines else stepped_result.mistakes  # those on stdin are typed too
            except CannotGoOnError as error:
                stop = error.stop
        outcome = stepped_outcome(prepared, run, program, stop, mistakes)
        if stop is None:
            report_unused(debugger, stepped.breakpoints, breakpoints, outcome.trace, say)
        return outcome


def note_unknown(
    debugger: LiveDebugger, trace: Trace, words: Sequence[str], say: Callable[[str], None]
) -> None:
    """Report the names in `-b` that the trace does not hold, before the program runs."""
    if not words:
        return
    from namel3ss_debug.replay.debugger.locations import count_contents
    from namel3ss_debug.replay.overrides.unused import describe_unknown, find_unhit

    wanted = [each for each in find_unhit(debugger.stepper.stops) if each.number <= len(words)]
    for line in describe_unknown(wanted, count_contents(trace.events())):
        say(line)


def lead_to_earlier(debugger: LiveDebugger, earlier: Debugger) -> Iterator[str]:
    """Yield the command that leads to the current event of an earlier session; its breakpoints are set there."""
    from namel3ss_debug.replay.rerun.event_position import find_position, make_finder

    wanted = earlier.session.rerun
    number = 1 if wanted is None else wanted.number
    position = find_position(earlier.stepper.trace.events(), number) if number > 1 else None
    debugger.session.find_event = None if position is None else make_finder(position, debugger.program.events)
    debugger.session.copy_displays(earlier.session)
    yield f"until {number}" if number > 1 else "step"
    debugger.stepper.stops.copy_from(earlier.stepper.stops)


def report(outcome: RerunOutcome, *, jsonl: bool) -> None:
    """Report the outcome of the re-run, and where it is recorded."""
    from namel3ss_debug.views.cleaning import shorter_path

    if jsonl:
        from namel3ss_debug.views.divergences import report_rows

        print_rows(report_rows(outcome))
    elif sys.stderr is not None:
        from namel3ss_debug.views.divergences import report_lines
        from namel3ss_debug.views.terminal import console

        screen = console(stderr=True)
        screen.lines(report_lines(outcome, screen.width))
    if outcome.trace.exists():
        notify(f"the re-run is recorded in {shorter_path(outcome.trace)}")
    if not jsonl:
        from namel3ss_debug.views.outcomes import verifying_command

        verify = verifying_command(outcome, str(shorter_path(outcome.of)))
        if verify:
            notify(f"to verify: {verify}")
