"""`debug replay`: the events of a recording one after the other, a debugger that walks through them, or its program run again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from namel3ss_debug.cli.options import (
    component_names,
    format_option,
    nothing_of,
    open_reference,
    print_rows,
    reading,
    report_problems,
    settings,
    trace_argument,
)
from namel3ss_debug.cli.rerun import (
    AGAIN_OPTIONS,
    ONLY_AGAIN,
    OVERRIDE_OPTIONS,
    STEPPING_OPTIONS,
    with_options,
)
from namel3ss_debug.cli.stepping import given_commands, session_breakpoints, set_held, step_through

if TYPE_CHECKING:
    from namel3ss_debug.replay.given.faults import Fault
    from namel3ss_debug.replay.given.mocks import Mock
    from namel3ss_debug.replay.rerun import Prepared
    from namel3ss_debug.traces.reader import Trace

WRONG_USAGE = 2


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
    output_format: str,
    again: bool,
    **options: Any,
) -> int:
    """Replay a recording.

    Args:
        reference: the recording; the latest if left out.
        step: whether to walk through it by commands that are typed, or stand on stdin.
        breakpoints: places to stop at.
        mocks: answers to show in place of the recorded ones, as `NAME:JSON`.
        faults: what goes wrong, as `NAME:timeout`.
        components: the components whose events are replayed; all if empty.
        commands: debugger commands to do first.
        files: files with debugger commands to do before these.
        chunks: whether the chunks of streamed answers have lines of their own.
        output_format: `table`, or `jsonl` for one JSON value a line.
        again: whether the program runs again.
        **options: how it does: the further fields of `replay.rerun.Wanted`.

    Returns:
        The exit status: 2 where a command could not be done that was not typed, else 0; of a re-run its own.

    Raises:
        DebugError: the recording, a place, an answer or a fault cannot be used.
    """
    if again:
        from namel3ss_debug.cli.rerun import rerun_trace

        return rerun_trace(
            reference,
            step=step,
            breakpoints=breakpoints,
            mocks=mocks,
            faults=faults,
            commands=commands,
            files=files,
            output_format=output_format,
            **options,
        )
    jsonl = output_format != "table"
    trace = open_reference(reference)
    given = given_commands(commands, files)
    answers = all_answers(mocks, faults)
    status = 0
    if step or breakpoints or given:
        status = walk(trace, breakpoints, answers, given, typed_too=step or not given, jsonl=jsonl)
    else:
        show_all(trace, components, answers, chunks=chunks, jsonl=jsonl)
    report_problems(trace)
    return status


def all_answers(mocks: Sequence[str], faults: Sequence[str]) -> tuple[Mock | Fault, ...]:
    """The answers and faults of the settings and those given.

    Raises:
        DebugError: one of them does not parse.
    """
    loaded = settings()
    if not (mocks or faults or loaded.config.mocks or loaded.config.faults):
        return ()
    from namel3ss_debug.replay.given.answers import configured_answers

    return configured_answers(loaded, mocks, faults)


def show_all(
    trace: Trace, components: Sequence[str], mocks: Sequence[Mock | Fault], *, chunks: bool, jsonl: bool
) -> None:
    """Print every event, and the statistics at the end."""
    from namel3ss_debug.replay.replayer import ExecutionReplayer
    from namel3ss_debug.replay.results import Stopped, as_json
    from namel3ss_debug.views.replay import replayed_lines, statistics_lines
    from namel3ss_debug.views.terminal import console, line

    replayer = ExecutionReplayer(trace.path, mock_responses=mocks, components=components)
    if not jsonl:
        screen = console()
        screen.lines(replayed_lines(replayer, screen.width, chunks=chunks))
        if components and not replayer.statistics.events:
            nothing_of(components)
        else:
            screen.lines(chain([line("")], statistics_lines(replayer.statistics, screen.width)))
        return
    with reading(trace):
        total = trace.count()
    print_rows(as_json(Stopped(item.number, item.event, "step", total)) for item in replayer)
    print_rows([{"result": "statistics"} | asdict(replayer.statistics)])


def walk(
    trace: Trace,
    breakpoints: Sequence[str],
    mocks: Sequence[Mock | Fault],
    commands: Sequence[str],
    *,
    typed_too: bool,
    jsonl: bool,
) -> int:
    """Walk through the recording: the commands that were given, then those that are typed.

    Where one of them is `rerun`, the program runs again up to the event at which the walk stood, with the answers, the
    breakpoints and the displays of the walk, and the commands behind it are for that.

    Returns:
        The exit status: 2 where nobody types and a command could not be done; of a re-run its own.

    Raises:
        DebugError: a breakpoint cannot match, or a mock is not for what the recording holds.
    """
    from namel3ss_debug.cli.rerun import Stepped, prepared_again, run_prepared
    from namel3ss_debug.replay.debugger import Debugger

    def prepare(answers: tuple[Mock | Fault, ...]) -> Prepared:
        from namel3ss_debug.replay.rerun import Wanted

        return prepared_again(trace, Wanted(answers), config)

    config = settings().config
    places = [place for place in session_breakpoints(config) if place not in breakpoints]
    with reading(trace):
        debugger = Debugger(trace, breakpoints, mocks)
        set_held(debugger, places)
        started_at = next((event.get("timestamp") for event in trace.events()), None)
        _ = debugger.walk.outline  # read or made once, and kept; moves and completion look into it
    trace.progress = None
    opening = [] if commands else ["continue" if breakpoints else "step"]
    debugger.session.prepare = prepare
    given = iter([*opening, *commands])
    mistakes = step_through(debugger, given, typed_too=typed_too, jsonl=jsonl, started_at=started_at)
    mistakes = 0 if typed_too else mistakes
    if debugger.session.rerun is not None:
        rest = [*debugger.left, *given]
        stepped = Stepped((), rest, typed_too=typed_too or not rest, walked=debugger, mistakes=mistakes)
        return run_prepared(debugger.session.prepared, config, stepped, jsonl=jsonl)
    return WRONG_USAGE if mistakes else 0


@click.command("replay")
@trace_argument
@with_options(STEPPING_OPTIONS[:2], OVERRIDE_OPTIONS)
@click.option("--rerun", "again", is_flag=True,
              help="Run the program again, offline, on its recorded answers: the same as debug rerun.")  # fmt: skip
@with_options(AGAIN_OPTIONS)
@click.option("-f", "--filter", "components", multiple=True, metavar="COMPONENT", callback=component_names,
              help="Replay this component only; may be repeated.")  # fmt: skip
@with_options(STEPPING_OPTIONS[2:])
@click.option("--chunks", is_flag=True, help="Show the chunks of streamed answers too.")
@format_option("table", "jsonl", "json")
@click.pass_context
def command(ctx: click.Context, /, reference: str | None, **options: Any) -> int:
    """Replay a recording: every event on a line, and at the end what it came to.

    With --step or a breakpoint, a debugger walks through it, forwards and backwards. Its commands are typed, or are
    the lines of stdin; with -c and -x and without --step it does those and ends. JSON is an object on each line, by
    either name of the format.

    With --rerun the recorded program runs again, as with debug rerun.
    """
    if options["again"]:
        if options["components"] or options["chunks"]:
            raise click.UsageError(
                "--filter and --chunks are for the events of a recording, without --rerun", ctx
            )
        if options["offline"] and not options["live_from"]:
            raise click.UsageError("--offline is for --from; a re-run without it is offline in any case", ctx)
    else:
        for name, flag in ONLY_AGAIN.items():
            if options[name]:
                raise click.UsageError(f"{flag} is for a program that runs again; use debug rerun", ctx)
            del options[name]
    walked = any(options[name] for name in ("step", "breakpoints", "commands", "files"))
    if options["components"] and walked:
        raise click.UsageError(
            "--filter is for a replay without --step; in a walk use a breakpoint: -b llm", ctx
        )
    return replay(reference, **options)
