"""The debugger without a terminal: lines of commands go in, results come out.

A shell, a script and a program that reads JSON lines drive the same `Debugger`; nothing here reads or prints.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

from namel3ss_debug.errors import DebugError, WrongUsageError
from namel3ss_debug.replay.given.faults import Fault
from namel3ss_debug.replay.given.mocks import Mock, parse_mock
from namel3ss_debug.replay.recording.breakpoints import Breakpoint, parse_place
from namel3ss_debug.replay.recording.history import Recording
from namel3ss_debug.replay.results import Detached, Message, Mistake, Quit, Rerun, Result, Stopped
from namel3ss_debug.replay.walking.commands import parse_command
from namel3ss_debug.replay.walking.session import Collecting, Session
from namel3ss_debug.replay.walking.walk import Program, Walk

MOST_COMMANDS: Final = 1000
"""How many commands a breakpoint may have."""

MOVING: Final = ("moving", "backwards")
"""The groups of commands that end the commands of a breakpoint."""

LEAVING: Final = ("quit", "detach", "rerun")
"""The commands that end the session, and so those of a breakpoint too."""

SILENT: Final = "silent"
END: Final = "end"
_QUOTED_OR_END: Final = re.compile(r""""(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|;;""", re.DOTALL)


class Debugger:
    """A session: a walk through one recording, the last command, and whether it is over.

    Args:
        recording: the opened trace.
        breakpoints: places to stop at from the beginning.
        mocks: answers to give in place of recorded ones, as they are written or parsed, and parsed faults.
        program: the program that is being recorded, where it still runs.

    Attributes:
        walk: the walk.
        session: what else the session remembers.
        over: whether `quit` or `rerun` has ended it.
        left: the commands of the line that ended it which stand behind that.

    Raises:
        PlaceError: a place does not parse or cannot match.
        ExpressionError: the condition of a place does not parse.
        MockError: a mock does not parse, or is for no call of the recording.
    """

    def __init__(
        self,
        recording: Recording,
        breakpoints: Iterable[str | Breakpoint] = (),
        mocks: Iterable[str | Mock | Fault] = (),
        program: Program | None = None,
    ) -> None:
        self.walk = Walk(recording, program)
        self.session = Session(self.walk)
        self.over = False
        self.left: list[str] = []
        self._last = ""
        self._completed = False  # commands of a breakpoint, by one that moves; an `end` may still follow
        for wanted in breakpoints:
            self._set(wanted)
        for mock in mocks:
            self.walk.mocks.add(parse_mock(mock) if isinstance(mock, str) else mock)

    @property
    def collecting(self) -> bool:
        """Whether lines are collected as the commands of a breakpoint, until one says `end`."""
        return self.session.collecting is not None

    def stop_collecting(self) -> Message:
        """Stop collecting commands; the breakpoint keeps those it had."""
        collecting, self.session.collecting = self.session.collecting, None
        called = "" if collecting is None else f" of {collecting.stop.called}"
        return Message(f"the commands{called} stay as they were")

    def execute(self, line: str) -> list[Result]:
        """Do what a line says and return what came of it.

        A blank line repeats the last command, and `;;` parts several commands. What cannot be done is a
        `Mistake`, after which the rest of the line is left undone; nothing is raised for it. Where a breakpoint
        with commands stops, what came of these follows.
        """
        return list(self.results(line))

    def results(self, line: str) -> Iterator[Result]:
        """The same as `execute`, each result as soon as it is there."""
        whole = line.strip()
        if not (whole or self.collecting):
            whole = self._last
        todo = deque(split_commands(whole))
        due: deque[str] = deque()  # what a breakpoint has to say goes before the rest of the line
        repeats = True
        while (due or todo) and not self.over:
            scripted = bool(due)
            part = due.popleft() if due else todo.popleft()
            begun_at = self.walk.position
            try:
                collecting = self.session.collecting
                if collecting is not None:
                    yield from self._collect(collecting, part)
                    continue
                if part == END and self._completed:
                    continue
                self._completed = False
                command, argument = parse_command(part)
                result = self.session.arrived(command.run(self.session, argument))
                begun = self.session.collecting
            except DebugError as problem:
                if self.walk.position != begun_at:  # a live program could not go on from where it had come to
                    self.session.look_anew()
                self._give_up()
                yield Mistake(str(problem))
                break
            if begun is not None and begun.one_line:  # the rest of the line is of the breakpoint
                todo.extendleft(begun.lines)
                begun.lines.clear()
                repeats = False
                continue
            if not scripted:
                repeats = repeats and command.repeats
                self._last = whole if repeats else ""
            if isinstance(result, Stopped):
                due = deque(self.walk.due)
                if due and due[0] == SILENT:
                    due.popleft()
                    continue
            self.over = isinstance(result, Quit | Detached | Rerun)
            yield result
        self.left = list(todo) if self.over else []
        collecting = self.session.collecting
        if collecting is not None and collecting.one_line:
            yield self._collected(collecting)

    def _give_up(self) -> None:
        """After a mistake, do not set commands that were collected from this line only."""
        if self.session.collecting is not None and self.session.collecting.one_line:
            self.session.collecting = None

    def _collect(self, collecting: Collecting, line: str) -> Iterator[Result]:
        """Take a line as one of the commands of a breakpoint."""
        if line == END:
            yield self._collected(collecting)
            return
        if len(collecting.lines) >= MOST_COMMANDS:
            raise WrongUsageError(f"a breakpoint has at most {MOST_COMMANDS} commands; write end")
        moves = _check(line)
        collecting.lines.append(line)
        if moves:
            self._completed = True
            yield self._collected(collecting)

    def _collected(self, collecting: Collecting) -> Result:
        """The commands of a breakpoint are complete."""
        self.session.collecting = None
        many = len(collecting.lines)
        collecting.stop.commands = tuple(collecting.lines)
        return Message(f"{collecting.stop.called} has {many or 'no'} command{'s' * (many != 1)}")

    def _set(self, wanted: str | Breakpoint) -> None:
        given = wanted if isinstance(wanted, Breakpoint) else Breakpoint(wanted)
        parse_place(given.parsed.text, self.walk.known)
        self.walk.add(given)


def split_commands(line: str) -> list[str]:
    """The commands of a line, parted at every `;;` that is not inside quotes."""
    parts, start = [], 0
    for found in _QUOTED_OR_END.finditer(line):
        if found[0] == ";;":
            parts.append(line[start : found.start()])
            start = found.end()
    parts.append(line[start:])
    return [part.strip() for part in parts if part.strip()]


def _check(line: str) -> bool:
    """Refuse a command that cannot be done at a breakpoint; return whether it moves, and so is the last, as in pdb.

    Raises:
        WrongUsageError: it is no command, or would ask for further lines.
    """
    if line == SILENT:
        return False
    command, _ = parse_command(line)
    if command.name == "commands":
        raise WrongUsageError("commands cannot stand among the commands of a breakpoint; write end first")
    return command.group in MOVING or command.name in LEAVING
