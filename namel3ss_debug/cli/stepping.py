"""What `replay --step` and `trace --step` share: where a session stops, what it does first, and how it is shown."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from namel3ss_debug.cli.options import settings, write_json

if TYPE_CHECKING:
    from namel3ss_debug.config import DebugConfiguration
    from namel3ss_debug.replay.debugger import Debugger
    from namel3ss_debug.views.stepper import Show
    from namel3ss_debug.views.transcript import Transcript

ERRORS = "error"
WARNINGS = (
    'if status in ["partial", "skipped", "cancelled", "timeout"]'
    ' or lower(metadata.level) in ["warning", "error", "critical"]'
)
"""The place of every event that warns: what ended, but not well, and what the program logged as a warning or worse."""


def session_breakpoints(config: DebugConfiguration, given: Sequence[str] = ()) -> list[str]:
    """The places where a session stops from the beginning: those given, and then those of the settings.

    Raises:
        SettingError: a place of the settings does not parse.
    """
    from namel3ss_debug.errors import DebugError, SettingError
    from namel3ss_debug.replay.recording.breakpoints import parse_place

    for place in config.auto_breakpoints:
        try:
            parse_place(place)
        except DebugError as problem:
            source = settings().sources["auto_breakpoints"]
            raise SettingError(f"{source}: auto_breakpoints: {place!r}: {problem}") from None
    wanted = [
        *given,
        *config.auto_breakpoints,
        *([ERRORS] if config.break_on_errors else ()),
        *([WARNINGS] if config.break_on_warnings else ()),
    ]
    return list(dict.fromkeys(wanted))


def set_held(debugger: Debugger, places: Iterable[str]) -> None:
    """Set breakpoints at those of some places that the recording holds; settings are not about one recording alone.

    Raises:
        PlaceError: a place does not parse.
        ExpressionError: the condition of a place does not parse.
    """
    from namel3ss_debug.errors import PlaceError
    from namel3ss_debug.replay.recording.breakpoints import Breakpoint, parse_place

    for place in places:
        wanted = Breakpoint(place)
        with suppress(PlaceError):
            parse_place(place, debugger.walk.known)
            debugger.walk.add(wanted)


def read_commands(path: Path) -> Iterator[str]:
    """The commands in a file; blank lines and those that begin with # are none.

    Raises:
        WrongUsageError: the file cannot be read.
    """
    from namel3ss_debug.errors import WrongUsageError

    try:
        content = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise WrongUsageError(f"cannot read commands from {path}: {reason}; give a text file") from error
    for line in content.split("\n"):  # a text in a command may hold what else ends a line
        if line.strip() and not line.lstrip().startswith("#"):
            yield line


def given_commands(commands: Iterable[str], files: Iterable[Path]) -> list[str]:
    """The commands of `-x FILE` and then those of `-c`.

    Raises:
        WrongUsageError: a file cannot be read.
    """
    return [*chain.from_iterable(map(read_commands, files)), *commands]


def opening(given: Sequence[str], *, step: bool, breakpoints: Sequence[str]) -> tuple[list[str], bool]:
    """The commands that a session on a program begins with, and whether more are typed after them.

    Args:
        given: the commands of `-c` and `-x`.
        step: whether `--step` was given.
        breakpoints: the places of `-b`.
    """
    typed_too = step or bool(breakpoints and not given)
    if given or not typed_too:
        return list(given), typed_too
    return ["continue" if breakpoints else "step"], typed_too


def step_through(
    debugger: Debugger,
    commands: Iterable[str],
    *,
    typed_too: bool,
    jsonl: bool,
    started_at: float | None,
    terminal: TextIO | None = None,
) -> int:
    """Hold a session: the commands that were given, then those that are typed.

    Args:
        debugger: the session.
        commands: what is done first.
        typed_too: whether commands are read after them, from the terminal or from stdin.
        jsonl: whether each result is one JSON line on stdout.
        started_at: the time that events are counted from.
        terminal: the terminal, opened for reading and writing, where stdin and stdout belong to a program.

    Returns:
        How many commands could not be done.
    """
    from namel3ss_debug.views.stepper import drive, result_drawer, typed
    from namel3ss_debug.views.transcript import Transcript

    transcript = Transcript()
    show = result_writer(transcript) if jsonl else result_drawer(debugger, started_at, transcript, terminal)
    lines = chain(commands, typed(debugger, terminal) if typed_too else ())
    return drive(debugger, lines, show, transcript)


def result_writer(transcript: Transcript) -> Show:
    """Writes each result as one JSON line, at once, for a program that reads along."""
    from namel3ss_debug.replay.results import Result, as_json
    from namel3ss_debug.views.payloads import json_bytes

    def write(result: Result) -> None:
        row = json_bytes(as_json(result))
        transcript.note(row)
        write_json(row + "\n")
        sys.stdout.flush()

    return write
