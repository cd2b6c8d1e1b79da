"""The shell of the debugger: read commands, execute them, show the results, and keep a transcript.

On a terminal, commands are read with line editing; elsewhere they are the lines of stdin. `replay.debugger` executes
them, and `views.results` draws the results.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from rich.text import Text

from namel3ss_debug.replay.debugger.results import Message, Mistake, Result, Save
from namel3ss_debug.views.quantities import count
from namel3ss_debug.views.results import draw_result
from namel3ss_debug.views.terminal import DIM, Terminal, clean, console, line

if TYPE_CHECKING:
    from namel3ss_debug.replay.debugger.interpreter import Debugger

MOST_LINES = 100_000
LEAVING = "Ctrl-C again, Ctrl-D or quit leaves the debugger"
END_OF_COMMANDS, LEAVE = "end", "quit"

Show = Callable[[Result], None]


class Transcript:
    """The typed and shown lines of a session as plain text, the last hundred thousand of them.

    Attributes:
        left_out: how many earlier lines were dropped.
    """

    def __init__(self) -> None:
        self.left_out = 0
        self._lines: deque[str] = deque()
        self._written: set[Path] = set()

    def add(self, row: str) -> None:
        """Keep one line."""
        self._lines.append(row)
        if len(self._lines) > MOST_LINES:
            self._lines.popleft()
            self.left_out += 1

    def add_command(self, prompt: str, words: str) -> None:
        """Keep a line that was typed."""
        self.add(prompt + clean(words))

    def add_all(self, rows: Iterable[Text]) -> Iterator[Text]:
        """Yield the same lines, and keep each."""
        for row in rows:
            self.add(row.plain)
            yield row

    def save(self, wanted: Save) -> Message | Mistake:
        """Write the session to a file that only the user can read; a file that this session wrote before is replaced."""
        shown = clean(wanted.file)
        try:
            path = Path(wanted.file).expanduser().absolute()
            flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if path in self._written else os.O_EXCL)
            descriptor = os.open(path, flags, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
                if self.left_out:
                    file.write(f"... {self.left_out:,} earlier lines are left out\n")
                file.writelines(f"{row}\n" for row in self._lines)
        except FileExistsError:
            return Mistake(f"{shown} exists already; give the name of a new file")
        except (OSError, ValueError, RuntimeError) as error:  # a null in the name, an unknown home directory
            why = error.strerror if isinstance(error, OSError) else error
            return Mistake(f"cannot write {shown}: {why}; give another file")
        self._written.add(path)
        return Message(f"saved {count(len(self._lines), 'line')} in {shown}")


def run_commands(
    debugger: Debugger, commands: Iterable[str], show: Show, transcript: Transcript | None = None
) -> int:
    """Execute one line of commands after the other, until they end or one of them ends the session.

    Ctrl-C ends the running command, not the session.

    Args:
        debugger: the session.
        commands: the lines; the next one is read when the one before is done.
        show: shows a result.
        transcript: keeps the lines for `save`.

    Returns:
        How many commands failed.
    """
    transcript = Transcript() if transcript is None else transcript
    mistakes = 0
    for words in commands:
        try:
            transcript.add_command(prompt(debugger), words)
            for answer in debugger.results(words):
                result = transcript.save(answer) if isinstance(answer, Save) else answer
                mistakes += isinstance(result, Mistake)
                show(result)
        except KeyboardInterrupt:
            show(Mistake("interrupted"))
        if debugger.ended:
            break
    return mistakes


def make_drawer(
    debugger: Debugger, started_at: float | None, transcript: Transcript, terminal: TextIO | None
) -> Show:
    """Return a function that draws each result on the screen and adds it to the transcript.

    Args:
        debugger: the session of the results.
        started_at: the time that events are counted from.
        transcript: keeps the lines as well.
        terminal: the terminal to draw on; stdout if None.
    """
    cost_of = debugger.stepper.history.cost_of

    def draw(result: Result) -> None:
        screen = console(stream=terminal)  # a terminal may have been resized since the last one
        screen.lines(transcript.add_all(draw_result(result, screen.width, started_at, cost_of)))
        screen.file.flush()

    return draw


def read_lines(debugger: Debugger, terminal: TextIO | None = None) -> Iterator[str]:
    """Return the lines that the user types: with editing, history and completion on a terminal, else from stdin.

    Args:
        debugger: the session the lines are for.
        terminal: the terminal, opened for reading and writing, if stdin and stdout belong to a program.
    """
    if terminal is None and not (sys.stdin.isatty() and sys.stdout.isatty()):
        return (words.rstrip("\r\n") for words in sys.stdin)
    dumb = os.environ.get("TERM", "") in {"", "dumb", "unknown"}
    read = _plain_reader(debugger, terminal) if dumb else _editing_reader(debugger, terminal)
    return _TypedLines(debugger, read, console(stream=terminal))


Reader = Callable[[], str | None]
"""Reads what is typed up to Enter: None if Ctrl-C discarded it; raises EOFError, and KeyboardInterrupt on an empty line."""


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
                note = self.debugger.stop_collecting().text if self.debugger.collecting else LEAVING
                self.screen.lines([line((note, DIM))])
                continue
            self.interrupted = False
            if words is not None:
                self.pasted.extend(split_pasted(words))
        return self.pasted.popleft()


def split_pasted(words: str) -> list[str]:
    """Split typed or pasted text into lines; an empty line of a paste does not repeat a command."""
    rows = words.split("\n")  # not `splitlines`: a text in a command may hold other line separators
    return rows if len(rows) < 2 else [row for row in rows if row.strip()]


def _editing_reader(debugger: Debugger, terminal: TextIO | None) -> Reader:
    """Return a reader with line editing; Ctrl-C discards what is typed."""
    # prompt_toolkit is slow to load, and scripts need none
    from namel3ss_debug.views.prompt import line_editor

    session = line_editor(debugger, lambda: prompt(debugger), terminal)

    def read() -> str | None:
        try:
            return session.prompt()
        except KeyboardInterrupt:
            if session.default_buffer.text:
                return None
            raise

    return read


def _plain_reader(debugger: Debugger, terminal: TextIO | None) -> Reader:
    """Return a reader for a terminal that cannot place the cursor, with the terminal's own line editing."""

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
    """Return the prompt: the current event number, or a plain mark while the commands of a breakpoint are collected."""
    if debugger.collecting:
        return "> "
    return f"(debug {debugger.stepper.position}/{debugger.stepper.total}) "
