"""`debug trace --step`: the debugger's shell on a program that runs.

The shell is the parent. Its commands come from the terminal itself, and what it answers goes there, because stdin and
stdout are the program's; without a terminal the commands of `-x` and `-c` are done, and what they answer goes to
stderr.

`quit` ends the program by SIGTERM, after a question where somebody can be asked; `detach` lets it run on by itself.
When the given commands are used up and nobody types, it runs on by itself as well.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TextIO

from namel3ss_debug.errors import WrongUsageError

if TYPE_CHECKING:
    from namel3ss_debug.capture.launch import Target
    from namel3ss_debug.capture.session import Session
    from namel3ss_debug.config import DebugConfiguration
    from namel3ss_debug.replay.given.faults import Fault
    from namel3ss_debug.replay.given.mocks import Mock
    from namel3ss_debug.replay.live_debugger import LiveDebugger


class Stepping(NamedTuple):
    """What a stepped run begins with: the places of `-b`, answers and faults, commands, and whether some are typed.

    `step` says that they are typed because of `--step`, and not because a breakpoint was given without commands.
    """

    breakpoints: Sequence[str]
    mocks: Sequence[Mock | Fault]
    commands: Iterable[str]
    typed_too: bool
    step: bool = False


class Held(NamedTuple):
    """How a session on a program ended: the status of the program, and how many commands could not be done."""

    status: int
    mistakes: int


class Seat(NamedTuple):
    """Where the user sits: the terminal, open for reading and writing, and whether its keys can be given to a program."""

    terminal: TextIO
    controls: bool


def wanted_stepping(
    *,
    step: bool,
    breakpoints: Sequence[str],
    mocks: Sequence[str],
    faults: Sequence[str],
    commands: Sequence[str],
    files: Sequence[Path],
) -> Stepping | None:
    """What the options of a stepped run ask for; None where none of them is given.

    Raises:
        DebugError: a file of commands cannot be read, or an answer or a fault does not parse.
    """
    if not (step or breakpoints or mocks or faults or commands or files):
        return None
    from namel3ss_debug.cli.options import settings
    from namel3ss_debug.cli.stepping import given_commands, opening
    from namel3ss_debug.replay.given.answers import configured_answers

    first, typed_too = opening(given_commands(commands, files), step=step, breakpoints=breakpoints)
    answers = configured_answers(settings(), mocks, faults)
    return Stepping(breakpoints, answers, first, typed_too, step)


def step_program(
    target: Target, session: Session, wanted: Stepping, config: DebugConfiguration, *, python: str
) -> int:
    """Run a program under the debugger's shell.

    Args:
        target: the program.
        session: where it is recorded.
        wanted: what the shell begins with.
        config: the settings in force.
        python: the interpreter to run the program with.

    Returns:
        The exit status of the program, or the negative number of the signal it died by.

    Raises:
        DebugError: a place cannot be used, there is nobody to type commands, or the program cannot be started.
    """
    from dataclasses import asdict

    from namel3ss_debug.capture.foreground import Foreground
    from namel3ss_debug.capture.launch import started
    from namel3ss_debug.cli.stepping import session_breakpoints
    from namel3ss_debug.replay.live import LiveProgram
    from namel3ss_debug.replay.live_debugger import LiveDebugger
    from namel3ss_debug.replay.meeting import Meeting

    if not session.sampled:
        session = replace(session, sampled=True)  # who steps a program wants to see it
    breakpoints = session_breakpoints(config, wanted.breakpoints)
    with seat() as seated, Meeting() as meeting:
        if seated is None and wanted.typed_too:
            leaving_out = ", and leave out --step" if wanted.step else ""
            raise WrongUsageError(
                f"there is no terminal to type commands on: give them with -c or -x{leaving_out}"
            )
        foreground = Foreground(seated.terminal.fileno()) if seated is not None and seated.controls else None
        environment = asdict(session) | {"gate": meeting.address}
        with started(target, session=environment, python=python, apart=foreground is not None) as child:
            program = LiveProgram(child, meeting, foreground, notices(seated))
            try:
                debugger = LiveDebugger(program, breakpoints, wanted.mocks)
                program.go_on()
                status = hold(debugger, wanted, seated).status
                tell_unused(debugger, wanted.breakpoints, breakpoints, Path(session.trace), notices(seated))
                return status
            finally:
                program.end()


def hold(debugger: LiveDebugger, wanted: Stepping, seated: Seat | None, *, jsonl: bool = False) -> Held:
    """Hold the session, and see the program to its end; with `jsonl`, each result is one JSON line on stdout."""
    from namel3ss_debug.cli.stepping import step_through

    program = debugger.program
    commands: Iterable[str] = wanted.commands
    typed_too = wanted.typed_too
    started_at = program.event(1).get("timestamp") if program.count() else None
    terminal = sys.stderr if seated is None else seated.terminal
    mistakes = 0
    while True:
        mistakes += step_through(
            debugger, commands, typed_too=typed_too, jsonl=jsonl, started_at=started_at, terminal=terminal
        )
        if not debugger.over and not program.free:  # nobody has more to say
            program.run_out()
        if program.free or program.has_ended():
            return Held(program.wait(), mistakes)
        if seated is None or not typed_too or may_end(seated.terminal):
            return Held(program.end(), mistakes)
        debugger.over, commands, typed_too = False, (), True


def tell_unused(
    debugger: LiveDebugger,
    given: Sequence[str],
    breakpoints: Sequence[str],
    recorded: Path,
    say: Callable[[str], None],
) -> None:
    """Say which breakpoints, mocks and faults fit nothing that the program did; nothing if the user has ended it.

    Args:
        debugger: the session, whose program has ended.
        given: the places of `-b`.
        breakpoints: all places that were set at the beginning: those of `-b`, then those of the settings.
        recorded: the trace of the program. It holds more than the session has seen if the program was let go.
        say: shows a line to the user.
    """
    from namel3ss_debug.errors import DebugError
    from namel3ss_debug.replay.rerunning.changes import unreached
    from namel3ss_debug.replay.unused import describe_unhit, unhit
    from namel3ss_debug.traces.reader import open_trace

    program = debugger.program
    if program.stopped:
        return
    of_settings = range(len(dict.fromkeys(given)) + 1, len(breakpoints) + 1)
    missed = unhit(debugger.walk.stops, of_settings)
    overrides = debugger.walk.mocks.given if not program.free else ()
    if not (missed or overrides):
        return
    try:
        trace = open_trace(recorded)
        lines = [*describe_unhit(missed, trace), *unreached(overrides, trace)]
    except DebugError:
        return  # the program has removed its trace, which is reported by itself
    for line in lines:
        say(line)


def may_end(terminal: TextIO) -> bool:
    """Whether the user wants to end the program that still runs; as in gdb, Ctrl-D means yes and Ctrl-C no."""
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


def notices(seated: Seat | None) -> Callable[[str], None]:
    """Says something to the user: on the terminal, else on stderr."""
    from namel3ss_debug.cli.boundary import PREFIX, tell

    if seated is None:
        return tell
    terminal = seated.terminal

    def say(text: str) -> None:
        terminal.write(f"{PREFIX}{text}\n")

    return say


@contextmanager
def seat() -> Iterator[Seat | None]:
    """The terminal the user sits at: that of this process, else stdin where it is one; None where there is none."""
    import os

    from namel3ss_debug.capture.foreground import controlling_terminal
    from namel3ss_debug.views.cleaning import IN_OTHER_WORDS

    descriptor = controlling_terminal()
    controls = descriptor is not None
    if descriptor is None and sys.stdin is not None and sys.stdin.isatty():
        descriptor = os.dup(sys.stdin.fileno())
    if descriptor is None:
        yield None
        return
    # unbuffered below: a terminal cannot be sought, which Python wants of a file for reading and writing
    with io.TextIOWrapper(io.FileIO(descriptor, "r+"), errors=IN_OTHER_WORDS, write_through=True) as terminal:
        yield Seat(terminal, controls)
