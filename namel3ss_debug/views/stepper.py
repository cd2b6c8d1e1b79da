"""The shell of the debugger: reads commands, hands them to the core, draws what comes back.

On a terminal commands are read with line editing; elsewhere they are the lines of stdin. All that a command means
is in `replay`; here it is only drawn.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from rich.text import Text

from namel3ss_debug.replay.results import (
    Breakpoints,
    Frame,
    Help,
    Listing,
    Message,
    Mistake,
    OpenSpans,
    Quit,
    Result,
    Stack,
    Stopped,
    TotalsSoFar,
    Value,
)
from namel3ss_debug.traces.events import Event
from namel3ss_debug.views.events import event_line, title
from namel3ss_debug.views.payloads import json_text
from namel3ss_debug.views.quantities import duration, money, tokens
from namel3ss_debug.views.tables import Cell, Column, name, number, pairs, prose, table
from namel3ss_debug.views.terminal import (
    COMPONENT_STYLES,
    DIM,
    ERROR,
    HEADING,
    WARNING,
    Piece,
    clean,
    line,
    piece,
)

if TYPE_CHECKING:
    from namel3ss_debug.replay.debugger import Debugger

MARK = "-> "
VALUE_LINES = 200


def drive(debugger: Debugger, commands: Iterable[str], show: Callable[[Result], None]) -> int:
    """Do one line of commands after the other until they end or one of them quits.

    Ctrl-C ends the command that runs, and not the session.

    Returns:
        How many commands could not be done.
    """
    mistakes = 0
    for words in commands:
        try:
            for result in debugger.results(words):
                mistakes += isinstance(result, Mistake)
                show(result)
        except KeyboardInterrupt:
            show(Mistake("interrupted"))
        if debugger.over:
            break
    return mistakes


def typed(debugger: Debugger) -> Iterator[str]:
    """The lines a user types: with editing, history and completion on a terminal, else the lines of stdin."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        for words in sys.stdin:
            yield words.rstrip("\n")
        return
    from prompt_toolkit import PromptSession  # noqa: PLC0415  (only a person at a terminal pays for it)
    from prompt_toolkit.completion import WordCompleter  # noqa: PLC0415

    from namel3ss_debug.replay.debugger import COMMANDS  # noqa: PLC0415

    names = [each.name for each in COMMANDS]
    session: PromptSession[str] = PromptSession(completer=WordCompleter(names, sentence=True))
    while True:
        walk = debugger.walk
        try:
            yield session.prompt(f"(debug {walk.position}/{walk.total}) ")
        except KeyboardInterrupt:
            continue
        except EOFError:
            return


def drawn(result: Result, width: int, started_at: float | None = None) -> Iterator[Text]:
    """A result as lines; `started_at` is the time that events are counted from."""
    if isinstance(result, Stopped):
        yield from _stopped(result, width, started_at)
    elif isinstance(result, Listing):
        for place, event in result.rows:
            yield _marked(place, event, width, started_at, current=place == result.current)
    elif isinstance(result, Stack):
        own = bool(result.frames) and result.frames[-1].number == result.current
        yield from _frames(result.frames[:-1] if own else result.frames)
        if result.event is not None:
            yield _marked(result.current, result.event, width, started_at, current=True)
    elif isinstance(result, OpenSpans):
        frames = _frames(result.frames, nested=False)
        yield from frames if result.frames else (line(("no span is open here", DIM)),)
    elif isinstance(result, Value):
        yield from json_text(result.value, width, VALUE_LINES)
    elif isinstance(result, Breakpoints):
        yield from _breakpoints(result, width)
    elif isinstance(result, TotalsSoFar):
        yield from totals_lines(result, width)
    elif isinstance(result, Help):
        yield from _help(result, width)
    elif isinstance(result, Message | Mistake):
        yield Text(clean(result.text), ERROR if isinstance(result, Mistake) else "", end="")
    else:
        assert isinstance(result, Quit)


def totals_lines(totals: TotalsSoFar, width: int) -> Iterator[Text]:
    """What the recording has come to."""
    rows: list[tuple[str, Cell]] = [
        ("event", f"{totals.number:,} of {totals.total:,}"),
        ("time", duration(totals.ms)),
        ("tokens", tokens(totals.tokens)),
        ("cost", money(totals.cost) if totals.cost else ""),
        ("failures", Piece(tokens(totals.errors), ERROR if totals.errors else "")),
    ]
    yield from pairs(rows, width)


def _stopped(stop: Stopped, width: int, started_at: float | None) -> Iterator[Text]:
    if stop.breakpoint is not None:
        yield line((f"breakpoint {stop.breakpoint}, ", WARNING), (stop.place or "", WARNING))
    if stop.event is None:
        yield line((f"before the first of {stop.total:,} events", DIM))
        return
    yield _marked(stop.number, stop.event, width, started_at, current=True)
    if stop.reason == "end":
        yield line(("end of the recording", DIM))


def _marked(place: int, event: Event, width: int, started_at: float | None, *, current: bool) -> Text:
    row = Text(MARK if current else " " * len(MARK), HEADING, end="")
    return (
        Text(end="")
        .append_text(row)
        .append_text(event_line(place, event, width=width - len(MARK), started_at=started_at))
    )


def _frames(frames: Iterable[Frame], *, nested: bool = True) -> Iterator[Text]:
    """Open spans, each further to the right than the one around it where they are nested."""
    for depth, frame in enumerate(frames):
        label = title(
            {"event_type": frame.event_type, "component": frame.component, "component_name": frame.name}
        )
        before = f"   {frame.number:>5}  " + "  " * min(depth, 10) * nested
        yield Text(end="").append(before, DIM).append_text(label)


def _breakpoints(found: Breakpoints, width: int) -> Iterator[Text]:
    if not found.rows:
        yield line(("no breakpoints; break PLACE sets one", DIM))
        return
    columns = (number("n"), name("place", 16), prose("kind", 4), number("hits"))
    rows = []
    for row in found.rows:
        kinds = ["once" if row.temporary else "", "" if row.enabled else "off"]
        style = "" if row.enabled else DIM
        rows.append(
            (
                str(row.number),
                piece(row.place, style, 400),
                piece(", ".join(filter(None, kinds)), DIM),
                str(row.hits),
            )
        )
    yield from table(columns, rows, width)


def _help(found: Help, width: int) -> Iterator[Text]:
    if len(found.rows) == 1:
        row = found.rows[0]
        yield line((row.usage, HEADING))
        yield line(f"  {row.help}")
        if row.aliases:
            yield line((f"  also: {', '.join(row.aliases)}", DIM))
        return
    columns = (Column("command"), Column("also"), prose("what it does", 20))
    rows = [
        (Piece(row.name, COMPONENT_STYLES["llm"]), Piece(", ".join(row.aliases), DIM), row.help)
        for row in found.rows
    ]
    yield from table(columns, rows, width)
