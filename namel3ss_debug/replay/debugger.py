"""The debugger without a terminal: lines of commands go in, results come out.

A shell, a script and a program that reads JSON lines drive the same `Debugger`; nothing here reads or prints.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from namel3ss_debug.errors import DebugError
from namel3ss_debug.replay.breakpoints import Breakpoint, parse_place
from namel3ss_debug.replay.commands import COMMANDS, Command, find_command
from namel3ss_debug.replay.history import Recording
from namel3ss_debug.replay.results import Mistake, Quit, Result
from namel3ss_debug.replay.walk import Walk

__all__ = ["COMMANDS", "Debugger", "split_commands"]


class Debugger:
    """A session: a walk through one recording, the last command, and whether it is over.

    Args:
        recording: the opened trace.
        breakpoints: places to stop at from the beginning.

    Raises:
        PlaceError: a place does not parse or cannot match.
        ExpressionError: the condition of a place does not parse.
    """

    def __init__(self, recording: Recording, breakpoints: Iterable[str | Breakpoint] = ()) -> None:
        self.walk = Walk(recording)
        self.over = False
        self._last = ""
        for wanted in breakpoints:
            checked = wanted if isinstance(wanted, Breakpoint) else Breakpoint(wanted)
            parse_place(checked.parsed.text, self.walk.known)
            self.walk.add(checked)

    def execute(self, line: str) -> list[Result]:
        """Do what a line says and return what came of it.

        A blank line repeats the last command, and `;;` parts several commands. What cannot be done is a
        `Mistake`, after which the rest of the line is left undone; nothing is raised for it.
        """
        return list(self.results(line))

    def results(self, line: str) -> Iterator[Result]:
        """The same as `execute`, each result as soon as it is there."""
        whole = line.strip() or self._last
        repeats = True
        for part in split_commands(whole):
            try:
                command, argument = _parse(part)
                repeats = repeats and command.repeats
                result = command.run(self.walk, argument)
            except DebugError as problem:
                yield Mistake(str(problem))
                return
            self._last = whole if repeats else ""
            yield result
            if isinstance(result, Quit):
                self.over = True
                return


def split_commands(line: str) -> list[str]:
    """The commands of a line, parted at every `;;` that is not inside quotes."""
    parts, start, quote = [], 0, ""
    for place, character in enumerate(line):
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'" and line.find(character, place + 1) > 0:
            quote = character
        elif character == ";" and line.startswith(";;", place) and place >= start:
            parts.append(line[start:place])
            start = place + 2
    parts.append(line[start:])
    return [part.strip() for part in parts if part.strip()]


def _parse(text: str) -> tuple[Command, str]:
    word, _, argument = text.partition(" ")
    return find_command(word), argument.strip()
