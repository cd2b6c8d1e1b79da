"""The shell of the debugger: reads commands, hands them to the core, shows what comes back.

On a terminal commands are read with line editing; elsewhere they are the lines of stdin. The meaning of
commands is in `replay`, the drawing of answers in `results`; here is only the loop.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TextIO

from namel3ss_debug.replay.results import Mistake, Result, Save
from namel3ss_debug.views.results import drawn
from namel3ss_debug.views.terminal import DIM, Terminal, console, line
from namel3ss_debug.views.transcript import Transcript

if TYPE_CHECKING:
    from namel3ss_debug.replay.debugger import Debugger

LEAVING = "Ctrl-C again leaves, and so do Ctrl-D and quit"
END_OF_COMMANDS, LEAVE = "end", "quit"

Show = Callable[[Result], None]


def drive(
    debugger: Debugger, commands: Iterable[str], show: Show, transcript: Transcript | None = None
) -> int:
    """Run one line of commands after the other until they end or one of them quits.

    Ctrl-C ends the command that runs, and not the session.

    Args:
        debugger: the session.
        commands: its lines; the next one is asked for when the one before is done.
        show: shows a result.
        transcript: keeps the lines, for `save`.

    Returns:
        How many commands failed.
    """
    transcript = Transcript() if transcript is None else transcript
    mistakes = 0
    for words in commands:
        try:
            transcript.heard(prompt(debugger), words)
            for answer in debugger.results(words):
                result = transcript.saved(answer) if isinstance(answer, Save) else answer
                mistakes += isinstance(result, Mistake)
                show(result)
        except KeyboardInterrupt:
            show(Mistake("interrupted"))
        if debugger.over:
            break
    return mistakes


def result_drawer(
    debugger: Debugger, started_at: float | None, transcript: Transcript, terminal: TextIO | None
) -> Show:
    """A function that draws each result on the screen and adds it to the transcript.

    Args:
        debugger: the session of the results.
        started_at: the time that events are counted from.
        transcript: keeps the lines as well.
        terminal: where they are drawn; stdout if left out.
    """
    cost_of = debugger.walk.history.cost_of

    def draw(result: Result) -> None:
        screen = console(stream=terminal)  # a terminal may have been resized since the last one
        screen.lines(transcript.noted(drawn(result, screen.width, started_at, cost_of)))
        screen.file.flush()

    return draw


def typed(debugger: Debugger, terminal: TextIO | None = None) -> Iterator[str]:
    """The lines a user types: with editing, history and completion on a terminal, else the lines of stdin.

    Args:
        debugger: the session the lines are for.
        terminal: the terminal, opened for reading and writing, where stdin and stdout belong to a program.
    """
    if terminal is None and not (sys.stdin.isatty() and sys.stdout.isatty()):
        return (words.rstrip("\r\n") for words in sys.stdin)
    dumb = os.environ.get("TERM", "") in {"", "dumb", "unknown"}
    read = _plain_reader(debugger, terminal) if dumb else _editing_reader(debugger, terminal)
    return _TypedLines(debugger, read, console(stream=terminal))


Reader = Callable[[], str | None]
"""Reads what is typed up to Enter: None where Ctrl-C took back what had been typed; EOFError, and KeyboardInterrupt on a
line with nothing on it."""


class _TypedLines:
    """An iterator over the lines; not a generator, because Ctrl-C while it waits would end a generator."""

    def __init__(self, debugger: Debugger, read: Reader, screen: Terminal) -> None:
        self.debugger, self.read, self.screen = debugger, read, screen
        self.pasted: deque[str] = deque()
        self.interrupted = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        while not self.pasted:
            try:
                words = self.read()
            except EOFError:
                return END_OF_COMMANDS if self.debugger.collecting else LEAVE
            except KeyboardInterrupt:
                if self.interrupted:
                    return LEAVE
                self.interrupted = not self.debugger.collecting
                told = self.debugger.stop_collecting().text if self.debugger.collecting else LEAVING
                self.screen.lines([line((told, DIM))])
                continue
            self.interrupted = False
            if words is not None:
                self.pasted.extend(_lines(words))
        return self.pasted.popleft()


def _lines(words: str) -> list[str]:
    """The commands in typed or pasted text; empty lines of a paste do not repeat a command."""
    rows = words.split("\n")  # a text in a command may hold what else ends a line
    return rows if len(rows) < 2 else [row for row in rows if row.strip()]


def _editing_reader(debugger: Debugger, terminal: TextIO | None) -> Reader:
    """Reads lines with an editor; Ctrl-C takes back a line that was begun."""
    from namel3ss_debug.views.prompt import line_editor  # noqa: PLC0415  (only a person at a terminal pays for it)

    session = line_editor(debugger, terminal)

    def read() -> str | None:
        try:
            return session.prompt()
        except KeyboardInterrupt:
            if session.default_buffer.text:
                return None
            raise

    return read


def _plain_reader(debugger: Debugger, terminal: TextIO | None) -> Reader:
    """For a terminal that cannot place the cursor: the prompt, and the terminal's own line editing."""

    def read() -> str | None:
        stream = terminal or sys.stdout
        stream.write(prompt(debugger))
        stream.flush()
        try:
            words = (terminal or sys.stdin).readline()
        except KeyboardInterrupt:
            stream.write("\n")
            raise
        if not words:
            stream.write("\n")
            raise EOFError
        return words.rstrip("\r\n")

    return read


def prompt(debugger: Debugger) -> str:
    """The prompt: the position, or a plain mark while the commands of a breakpoint are collected."""
    if debugger.collecting:
        return "> "
    walk = debugger.walk
    return f"(debug {walk.position}/{walk.total}) "
