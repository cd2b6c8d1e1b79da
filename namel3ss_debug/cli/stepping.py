"""Sessions of the debugger's shell, on a trace (`replay --step`) and on a running program (`trace --step`, `rerun --step`).

On a running program, the shell is the parent. It reads commands from the terminal itself, and answers there, because
stdin and stdout belong to the program. Without a terminal it runs the commands of `-x` and `-c`, and answers on stderr.
`quit` ends the program by SIGTERM, after a question if commands are typed; `detach` lets it run on by itself. It also
runs on by itself when the commands are used up and none are typed.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TextIO

from namel3ss_debug.cli.boundary import PREFIX, notify
from namel3ss_debug.cli.options import settings, write_json
from namel3ss_debug.errors import DebugError, PlaceError, SettingError, WrongUsageError

if TYPE_CHECKING:
    from namel3ss_debug.capture.launch.parent import Target
    from namel3ss_debug.capture.launch.session import Session
    from namel3ss_debug.config import DebugConfiguration
    from namel3ss_debug.replay.debugger.interpreter import Debugger, LiveDebugger
    from namel3ss_debug.replay.debugger.results import Result
    from namel3ss_debug.replay.overrides.faults import Fault
    from namel3ss_debug.replay.overrides.mocks import Mock

WRONG_USAGE = 2
ERRORS = "error"
WARNINGS = (
    'if status in ["partial", "skipped", "cancelled", "timeout"]'
    ' or lower(metadata.level) in ["warning", "error", "critical"]'
)
"""The location of every warning: spans that ended, but not well, and log records from the level warning on."""


def session_breakpoints(config: DebugConfiguration, options: Sequence[str] = ()) -> list[str]:
    """Return the locations where a session stops from the beginning: those of `-b`, then those of the settings.

    Raises:
        SettingError: a location of the settings does not parse.
    """
    from namel3ss_debug.replay.debugger.locations import parse_location

    for location in config.auto_breakpoints:
        try:
            parse_location(location)
        except DebugError as problem:
            source = settings().sources["auto_breakpoints"]
            raise SettingError(f"{source}: auto_breakpoints: {location!r}: {problem}") from None
    wanted = [
        *options,
        *config.auto_breakpoints,
        *([ERRORS] if config.break_on_errors else ()),
        *([WARNINGS] if config.break_on_warnings else ()),
        *(["limit_reached"] if any(row.get("action") == "pause" for row in config.limits) else ()),
    ]
    return list(dict.fromkeys(wanted))


def set_matching(debugger: Debugger, locations: Iterable[str]) -> None:
    """Set breakpoints at those locations that the trace has; those of the settings are not about one trace alone.

    Raises:
        PlaceError: a location does not parse.
        ExpressionError: the condition of a location does not parse.
    """
    from namel3ss_debug.replay.debugger.breakpoints import Breakpoint
    from namel3ss_debug.replay.debugger.locations import parse_location

    for location in locations:
        wanted = Breakpoint(location)
        with suppress(PlaceError):
            parse_location(location, debugger.stepper.contents)
            debugger.stepper.add(wanted)


def read_command_file(path: Path) -> Iterator[str]:
    """Yield the commands in a file, without blank lines and lines that begin with #.

    Raises:
        WrongUsageError: the file cannot be read.
    """
    try:
        content = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise WrongUsageError(f"cannot read commands from {path}: {reason}; give a text file") from error
    for line in content.split("\n"):  # not `splitlines`: a text in a command may hold other line separators
        if line.strip() and not line.lstrip().startswith("#"):
            yield line


def read_commands(commands: Iterable[str], files: Iterable[Path]) -> list[str]:
    """Return the commands of `-x FILE` and then those of `-c`.

    Raises:
        WrongUsageError: a file cannot be read.
    """
    return [*chain.from_iterable(map(read_command_file, files)), *commands]


def first_commands(
    commands: Sequence[str], *, step: bool, breakpoints: Sequence[str]
) -> tuple[list[str], bool]:
    """Return the commands that a session on a program begins with, and whether the user types more after them.

    Args:
        commands: the commands of `-c` and `-x`.
        step: whether there is `--step`.
        breakpoints: the locations of `-b`.
    """
    interactive = step or bool(breakpoints and not commands)
    if commands or not interactive:
        return list(commands), interactive
    return ["continue" if breakpoints else "step"], interactive


def run_session(
    debugger: Debugger,
    commands: Iterable[str],
    *,
    interactive: bool,
    jsonl: bool,
    started_at: float | None,
    terminal: TextIO | None = None,
) -> int:
    """Run a session: some commands first, then those that the user types.

    Args:
        debugger: the session.
        commands: the commands to run first.
        interactive: whether commands are read after them, from the terminal or from stdin.
        jsonl: whether to print each result as one JSON line on stdout.
        started_at: the time that times of events are counted from.
        terminal: the terminal, opened for reading and writing, if stdin and stdout belong to a program.

    Returns:
        How many of `commands` could not be done; the user has seen what was wrong with the others.
    """
    from namel3ss_debug.views.shell import Transcript, make_drawer, read_lines, run_commands

    transcript = Transcript()
    show = make_writer(transcript.add) if jsonl else make_drawer(debugger, started_at, transcript, terminal)
    mistakes = run_commands(debugger, commands, show, transcript)
    if interactive and not debugger.ended:
        run_commands(debugger, read_lines(debugger, terminal), show, transcript)
    return mistakes


def make_writer(keep: Callable[[str], None]) -> Callable[[Result], None]:
    """Return a function that prints each result as one JSON line, at once, for a program that reads along.

    Args:
        keep: called with each line as well.
    """
    from namel3ss_debug.replay.debugger.results import to_json
    from namel3ss_debug.views.payloads import json_bytes

    def write(result: Result) -> None:
        row = json_bytes(to_json(result))
        keep(row)
        write_json(row + "\n")
        sys.stdout.flush()

    return write


class SteppingOptions(NamedTuple):
    """The options of a stepped run.

    Attributes:
        breakpoints: the locations of `-b`.
        overrides: the mocks and faults.
        commands: the commands to run first.
        interactive: whether the user types commands after these.
        step: whether that is because of `--step`, and not because there is a breakpoint without commands.
    """

    breakpoints: Sequence[str]
    overrides: Sequence[Mock | Fault]
    commands: Iterable[str]
    interactive: bool
    step: bool = False


class SteppingOutcome(NamedTuple):
    """The end of a session on a program: the status of the program, and how many commands could not be done."""

    status: int
    mistakes: int


class UserTerminal(NamedTuple):
    """The terminal of the user, open for reading and writing, and whether a program can be put in its foreground."""

    terminal: TextIO
    controls: bool


def parse_stepping(
    *,
    step: bool,
    breakpoints: Sequence[str],
    mocks: Sequence[str],
    faults: Sequence[str],
    commands: Sequence[str],
    files: Sequence[Path],
) -> SteppingOptions | None:
    """Return the options of a stepped run; None if there are none.

    Raises:
        DebugError: a file of commands cannot be read, or a mock or a fault does not parse.
    """
    if not (step or breakpoints or mocks or faults or commands or files):
        return None
    from namel3ss_debug.replay.overrides.active import load_overrides

    first, interactive = first_commands(read_commands(commands, files), step=step, breakpoints=breakpoints)
    overrides = load_overrides(settings(), mocks, faults)
    return SteppingOptions(breakpoints, overrides, first, interactive, step)


def step_program(
    target: Target, session: Session, options: SteppingOptions, config: DebugConfiguration, *, python: str
) -> int:
    """Run a program under the debugger's shell.

    Args:
        target: the program.
        session: the recording session.
        options: the options of the run.
        config: the settings in force.
        python: the interpreter to run the program with.

    Returns:
        The exit status of the program, or the negative number of the signal it died by; 2 if a command of `-c` or `-x`
        could not be done.

    Raises:
        DebugError: a location cannot be used, there is no terminal to type commands on, or the program cannot be started.
    """
    from dataclasses import asdict

    from namel3ss_debug.capture.launch.foreground import Foreground
    from namel3ss_debug.capture.launch.parent import started
    from namel3ss_debug.replay.debugger.interpreter import LiveDebugger
    from namel3ss_debug.replay.debugger.live import LiveProgram
    from namel3ss_debug.replay.debugger.step_channel import StepServer
    from namel3ss_debug.traces.late_ends import write_late_end

    if not session.sampled:
        session = replace(session, sampled=True)  # a stepped program is recorded whatever the sample rate
    breakpoints = session_breakpoints(config, options.breakpoints)
    with user_terminal() as user, StepServer() as step_server:
        if user is None and options.interactive:
            leaving_out = ", and leave out --step" if options.step else ""
            raise WrongUsageError(
                f"there is no terminal to type commands on: give them with -c or -x{leaving_out}"
            )
        foreground = Foreground(user.terminal.fileno()) if user is not None and user.controls else None
        environment = asdict(session) | {"step_socket": step_server.address}
        with started(target, session=environment, python=python, own_group=foreground is not None) as child:
            program = LiveProgram(child, step_server, foreground, make_notifier(user))
            try:
                debugger = LiveDebugger(program, breakpoints, options.overrides)
                program.go_on()
                status, mistakes = step_to_end(debugger, options, user)
                trace = Path(session.trace)
                report_unused(debugger, options.breakpoints, breakpoints, trace, make_notifier(user))
                return WRONG_USAGE if mistakes else status
            finally:
                status = program.end()
                if program.stopped:
                    write_late_end(Path(session.trace), status, stopped_by="the debugger")


def step_to_end(
    debugger: LiveDebugger, options: SteppingOptions, user: UserTerminal | None, *, jsonl: bool = False
) -> SteppingOutcome:
    """Run a session until its program has ended; with `jsonl`, print each result as one JSON line on stdout."""
    program = debugger.program
    commands: Iterable[str] = options.commands
    interactive = options.interactive
    started_at = program.event(1).get("timestamp") if program.count() else None
    terminal = sys.stderr if user is None else user.terminal
    mistakes = 0
    while True:
        mistakes += run_session(
            debugger, commands, interactive=interactive, jsonl=jsonl, started_at=started_at, terminal=terminal
        )
        if not debugger.ended and not program.detached:  # there are no further commands
            program.run_out()
        if program.detached or program.has_ended():
            return SteppingOutcome(program.wait(), mistakes)
        if user is None or not interactive or confirm_end(user.terminal):
            return SteppingOutcome(program.end(), mistakes)
        debugger.ended, commands, interactive = False, (), True


def report_unused(
    debugger: LiveDebugger,
    options: Sequence[str],
    breakpoints: Sequence[str],
    path: Path,
    show: Callable[[str], None],
) -> None:
    """Report the breakpoints, mocks and faults that matched nothing in the program; nothing if the user has ended it.

    Args:
        debugger: the session, whose program has ended.
        options: the locations of `-b`.
        breakpoints: all locations that were set at the beginning: those of `-b`, then those of the settings.
        path: the trace of the program. It has more than the session has seen if the program was detached.
        show: shows a line to the user.
    """
    from namel3ss_debug.importers.opening import open_trace
    from namel3ss_debug.replay.overrides.unused import (
        describe_mismatches,
        describe_missing_fields,
        describe_unhit,
        find_unhit,
    )
    from namel3ss_debug.replay.rerun.overriding import unreached

    program = debugger.program
    if program.stopped:
        return
    of_settings = range(len(dict.fromkeys(options)) + 1, len(breakpoints) + 1)
    missed = find_unhit(debugger.stepper.stops, of_settings)
    overrides = debugger.stepper.overrides.all if not program.detached else ()
    if not (missed or overrides or debugger.stepper.stops):
        return
    try:
        trace = open_trace(path)
        lines = [
            *describe_unhit(missed, trace),
            *describe_missing_fields(debugger.stepper.stops, trace),
            *describe_mismatches(debugger.stepper.stops, trace),
            *unreached(overrides, trace),
        ]
    except DebugError:
        return  # the program has removed its trace, which is reported by itself
    for line in lines:
        show(line)


def confirm_end(terminal: TextIO) -> bool:
    """Ask the user whether to end the program that still runs; as in gdb, Ctrl-D means yes and Ctrl-C no."""
    while True:
        terminal.write("the program has not ended; end it? (y or n) ")
        terminal.flush()
        try:
            answer = terminal.readline()
        except KeyboardInterrupt:
            terminal.write("\n")
            return False
        if not answer:
            terminal.write("\n")
        if not answer or answer.strip().lower() in {"y", "yes"}:
            return True
        if answer.strip().lower() in {"n", "no"}:
            return False


def make_notifier(user: UserTerminal | None) -> Callable[[str], None]:
    """Return a function that shows the user a line: on the terminal, else on stderr."""
    if user is None:
        return notify
    terminal = user.terminal

    def write(text: str) -> None:
        terminal.write(f"{PREFIX}{text}\n")

    return write


@contextmanager
def user_terminal() -> Iterator[UserTerminal | None]:
    """Open the terminal of the user: that of this process, else stdin if it is one; None if there is none."""
    import os

    from namel3ss_debug.capture.launch.foreground import controlling_terminal
    from namel3ss_debug.views.cleaning import IN_OTHER_WORDS

    descriptor = controlling_terminal()
    controls = descriptor is not None
    if descriptor is None and sys.stdin is not None and sys.stdin.isatty():
        descriptor = os.dup(sys.stdin.fileno())
    if descriptor is None:
        yield None
        return
    # Unbuffered below: Python's buffered files for reading and writing must be seekable, and a terminal is not.
    with io.TextIOWrapper(io.FileIO(descriptor, "r+"), errors=IN_OTHER_WORDS, write_through=True) as terminal:
        yield UserTerminal(terminal, controls)
