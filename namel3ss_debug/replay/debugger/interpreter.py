"""The debugger without a terminal: lines of commands go in, results come out.

A shell, a script and a program that reads JSON lines drive the same `Debugger`; nothing here reads or prints.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

from namel3ss_debug.errors import DebugError, WrongUsageError
from namel3ss_debug.replay.debugger.breakpoints import Breakpoint
from namel3ss_debug.replay.debugger.commands import parse_command
from namel3ss_debug.replay.debugger.live import LiveProgram
from namel3ss_debug.replay.debugger.locations import parse_location
from namel3ss_debug.replay.debugger.results import Detached, Message, Mistake, Quit, Rerun, Result, Stopped
from namel3ss_debug.replay.debugger.session import CommandList, DebugSession
from namel3ss_debug.replay.debugger.stepper import SteppedProgram, Stepper
from namel3ss_debug.replay.overrides.faults import Fault
from namel3ss_debug.replay.overrides.mocks import Mock, parse_mock
from namel3ss_debug.traces.events import NumberedEvents

MOST_COMMANDS: Final = 1000
"""How many commands a breakpoint may have."""

MOVING: Final = ("moving", "backwards")
"""The groups of commands that end the commands of a breakpoint."""

LEAVING: Final = ("quit", "detach", "rerun")
"""The commands that end the session, and so the commands of a breakpoint too."""

SILENT: Final = "silent"
END: Final = "end"
ON_ANSWERS: Final = "the program depends on recorded answers and cannot be detached; continue, or quit"
"""Why a program whose calls are answered cannot be detached."""

_QUOTED_OR_END: Final = re.compile(r""""(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|;;""", re.DOTALL)


class Debugger:
    """Execute lines of commands on one trace.

    Args:
        trace: the opened trace.
        breakpoints: locations to stop at from the beginning.
        overrides: mocks as they are written or parsed, and parsed faults.
        program: the program that produces the trace, if it still runs.

    Attributes:
        stepper: the current event and the moves.
        session: what else the user has set.
        ended: whether `quit`, `detach` or `rerun` has ended the session.
        remaining: the commands of a line after the one that ended the session.

    Raises:
        PlaceError: a location does not parse or cannot match.
        ExpressionError: the condition of a location does not parse.
        MockError: a mock does not parse, or the trace has no such call.
    """

    def __init__(
        self,
        trace: NumberedEvents,
        breakpoints: Iterable[str | Breakpoint] = (),
        overrides: Iterable[str | Mock | Fault] = (),
        program: SteppedProgram | None = None,
    ) -> None:
        self.stepper = Stepper(trace, program)
        self.session = DebugSession(self.stepper)
        self.ended = False
        self.remaining: list[str] = []
        self._last = ""
        self._completed = (
            False  # a move has completed the commands of a breakpoint; an `end` may still follow
        )
        for each in breakpoints:
            wanted = each if isinstance(each, Breakpoint) else Breakpoint(each)
            parse_location(wanted.parsed.text, self.stepper.contents)
            self.stepper.add(wanted)
        for override in overrides:
            self.stepper.overrides.add(parse_mock(override) if isinstance(override, str) else override)

    @property
    def collecting(self) -> bool:
        """Whether lines are collected as the commands of a breakpoint, up to `end`."""
        return self.session.collecting is not None

    def stop_collecting(self) -> Message:
        """Stop collecting commands; the breakpoint keeps those it had."""
        collecting, self.session.collecting = self.session.collecting, None
        title = "" if collecting is None else f" of {collecting.stop.title}"
        return Message(f"the commands{title} stay as they were")

    def execute(self, line: str) -> list[Result]:
        """Execute a line, and return the results.

        A blank line repeats the last command, and `;;` separates several commands. A command that cannot be done gives
        a `Mistake`, and the rest of the line is skipped; it raises nothing. If a breakpoint with commands stops, the
        results of these follow.
        """
        return list(self.results(line))

    def results(self, line: str) -> Iterator[Result]:
        """Execute a line, and yield each result as soon as it is there."""
        whole = line.strip()
        if not (whole or self.collecting):
            whole = self._last
        todo = deque(split_commands(whole))
        due: deque[str] = deque()  # the commands of a breakpoint come before the rest of the line
        repeats = True
        while (due or todo) and not self.ended:
            scripted = bool(due)
            part = due.popleft() if due else todo.popleft()
            begun_at = self.stepper.position
            try:
                collecting = self.session.collecting
                if collecting is not None:
                    yield from self._collect(collecting, part)
                    continue
                if part == END and self._completed:
                    continue
                self._completed = False
                command, argument = parse_command(part)
                result = self.session.complete(command.run(self.session, argument))
                begun = self.session.collecting
            except DebugError as problem:
                if self.stepper.position != begun_at:  # a live program moved, and then could not go on
                    self.session.reset_selection()
                if self.session.collecting is not None and self.session.collecting.one_line:
                    self.session.collecting = None  # do not set commands of a line with a mistake
                yield Mistake(str(problem))
                break
            if begun is not None and begun.one_line:  # the rest of the line belongs to the breakpoint
                todo.extendleft(begun.lines)
                begun.lines.clear()
                repeats = False
                continue
            if not scripted:
                repeats = repeats and command.repeats
                self._last = whole if repeats else ""
            if isinstance(result, Stopped):
                due = deque(self.stepper.due)
                if due and due[0] == SILENT:
                    due.popleft()
                    continue
            self.ended = isinstance(result, Quit | Detached | Rerun)
            yield result
        self.remaining = list(todo) if self.ended else []
        collecting = self.session.collecting
        if collecting is not None and collecting.one_line:
            yield self._finish_collecting(collecting)

    def _collect(self, collecting: CommandList, line: str) -> Iterator[Result]:
        """Add a line to the commands of a breakpoint."""
        if line == END:
            yield self._finish_collecting(collecting)
            return
        if len(collecting.lines) >= MOST_COMMANDS:
            raise WrongUsageError(f"a breakpoint has at most {MOST_COMMANDS} commands; write end")
        moves = _check_collected(line)
        collecting.lines.append(line)
        if moves:
            self._completed = True
            yield self._finish_collecting(collecting)

    def _finish_collecting(self, collecting: CommandList) -> Result:
        """Set the collected commands."""
        self.session.collecting = None
        many = len(collecting.lines)
        collecting.stop.commands = tuple(collecting.lines)
        return Message(f"{collecting.stop.title} has {many or 'no'} command{'s' * (many != 1)}")


class LiveDebugger(Debugger):
    """Execute lines of commands on a running program; a move that Ctrl-C ends stops at the program's latest event.

    Args:
        program: the program; it uses the overrides of the session from now on.
        breakpoints: locations to stop at from the beginning.
        overrides: mocks and faults, as they are written or parsed.

    Raises:
        DebugError: as for `Debugger`.
    """

    def __init__(
        self,
        program: LiveProgram,
        breakpoints: Iterable[str | Breakpoint] = (),
        overrides: Iterable[str | Mock | Fault] = (),
    ) -> None:
        super().__init__(program, breakpoints, overrides, program)
        self.program = program
        program.overrides = self.stepper.overrides

    def results(self, line: str) -> Iterator[Result]:
        """Execute a line, and yield each result as soon as it is there."""
        before = self.stepper.position, self.stepper.total
        try:
            for result in super().results(line):
                if isinstance(result, Detached) and self.program.answering is not None:
                    self.ended = False
                    yield Mistake(ON_ANSWERS)
                    return
                yield result
                if isinstance(
                    result, Detached
                ):  # after the result, which is shown before the program prints on
                    self.program.detach()
        except KeyboardInterrupt:
            position, total = self.stepper.position, self.stepper.total
            if (position, total) == before:
                raise
            stopped = self.stepper.go(position if total == before[1] else total, "interrupt")
            yield self.session.complete(stopped)


def split_commands(line: str) -> list[str]:
    """Split a line into its commands, at every `;;` outside quotes."""
    parts, start = [], 0
    for found in _QUOTED_OR_END.finditer(line):
        if found[0] == ";;":
            parts.append(line[start : found.start()])
            start = found.end()
    parts.append(line[start:])
    return [part.strip() for part in parts if part.strip()]


def _check_collected(line: str) -> bool:
    """Refuse a command that a breakpoint cannot have; return whether it moves, and so is the last one, as in pdb.

    Raises:
        WrongUsageError: it is no command, or needs further lines itself.
    """
    if line == SILENT:
        return False
    command, _ = parse_command(line)
    if command.name == "commands":
        raise WrongUsageError("commands cannot stand among the commands of a breakpoint; write end first")
    return command.group in MOVING or command.name in LEAVING
