"""The one edge through which anything reaches the terminal.

A trace is foreign data: `clean` turns every control, direction and invisible character of it into visible
text, `text` and `line` build rich `Text` objects from cleaned data only, and `console` prints them with markup,
emoji codes and highlighting switched off. Colour appears on a terminal only, and never where `NO_COLOR` is set.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.text import Span, Text

from namel3ss_debug.views.cleaning import (
    DIM,
    ELLIPSIS,
    ERROR,
    GOOD,
    HEADING,
    WARNING,
    Piece,
    cells,
    clean,
    piece,
    screen_width,
    shorten,
    take_every_character,
    visible,
    wants_colour,
    wrapped,
)

if TYPE_CHECKING:
    from rich.style import StyleType

__all__ = [
    "COMPONENT_STYLES",
    "DIM",
    "ELLIPSIS",
    "ERROR",
    "GOOD",
    "HEADING",
    "OUTCOME_STYLES",
    "STATUS_STYLES",
    "WARNING",
    "Piece",
    "Terminal",
    "byte_progress",
    "cells",
    "clean",
    "console",
    "fitted",
    "line",
    "piece",
    "screen_width",
    "shorten",
    "text",
    "visible",
    "wants_colour",
    "wrapped_lines",
]

LINES_AT_ONCE = 100
PROGRESS_AFTER_SECONDS = 0.5
PROGRESS_EVERY_SECONDS = 0.1

OUTCOME_STYLES = {
    "failed": ERROR,
    "killed": WARNING,
    "interrupted": WARNING,
    "running": GOOD,
    "unknown": WARNING,
}
STATUS_STYLES = {
    "completed": "",
    "started": "dim",
    "pending": "dim",
    "skipped": "dim",
    "partial": "yellow",
    "cancelled": "yellow",
    "open": "yellow",
    "timeout": "red",
    "failed": "red",
}
COMPONENT_STYLES = {
    "agent": "magenta",
    "llm": "cyan",
    "tool": "green",
    "prompt": "blue",
    "chain": "blue",
    "memory": "yellow",
    "validation": "yellow",
    "http": "dim",
    "log": "dim",
    "app": "dim",
}


def text(value: object, style: StyleType = "", limit: int | None = None, *, multiline: bool = False) -> Text:
    """Return cleaned data as a rich `Text`: the only way to print data."""
    return Text(clean(value, limit, multiline=multiline), style, end="")


def line(*parts: Text | str | tuple[object, StyleType]) -> Text:
    """Return one line of parts: our own words as `str`, data with a style as a pair, or a finished `Text`."""
    whole = Text(end="")
    for part in parts:
        if isinstance(part, Text):
            whole.append_text(part)
        elif isinstance(part, tuple):
            whole.append(clean(part[0]), part[1])
        else:
            whole.append(clean(part))
    return whole


def fitted(parts: Iterable[Piece], width: int) -> Text:
    """Return cleaned pieces side by side on one line of at most `width` cells; what does not fit is cut off."""
    contents: list[str] = []
    spans: list[Span] = []
    at = 0
    for content, style in parts:
        contents.append(content)
        if style:
            spans.append(Span(at, at + len(content), style))
        at += len(content)
    shown = shorten("".join(contents), width)
    kept = [Span(start, min(end, len(shown)), style) for start, end, style in spans if start < len(shown)]
    return Text(shown, spans=kept, end="")


def wrapped_lines(
    words: str, width: int, style: StyleType = "", *, first: str = "", further: str = ""
) -> Iterator[Text]:
    """Yield a cleaned text on as many lines as it needs, `first` before the first and `further` before the others."""
    room = max(width - max(len(first), len(further)), 16)
    for place, part in enumerate(wrapped(words, room, room)):
        yield Text(((further if place else first) + part).rstrip(), style, end="")


class Terminal(Console):
    """A rich console that leaves a closed pipe to the boundary of the command line."""

    def on_broken_pipe(self) -> None:
        """Let the boundary end the command quietly; rich would end it with status 1.

        Raises:
            BrokenPipeError: always.
        """
        raise BrokenPipeError

    def lines(self, lines: Iterable[Text]) -> None:
        """Print lines that are laid out already: nothing is wrapped or cropped, and blocks go out at once."""
        iterator = iter(lines)
        while block := list(islice(iterator, LINES_AT_ONCE)):
            if self.color_system is None:  # without colours a line is its text, and rich has nothing to add
                self.file.write("".join(f"{item.plain}\n" for item in block))
            else:
                self.print(Text("\n").join(block), soft_wrap=True)


def console(
    *, stderr: bool = False, width: int | None = None, stream: TextIO | None = None, drawn: bool = False
) -> Terminal:
    """Return a console on a stream, or on stdout or stderr as they are now; colours are the sixteen of the user's own theme."""
    stream = stream or (sys.stderr if stderr else sys.stdout)
    take_every_character(stream)
    coloured = wants_colour(stream)
    return Terminal(
        file=stream,
        markup=False,
        emoji=False,
        highlight=False,
        width=width or screen_width(),
        color_system="standard" if coloured else None,
        force_terminal=coloured or drawn,  # a screen is drawn anew on every terminal, also without colours
        force_interactive=drawn,
        legacy_windows=False,
    )


_pagers: list[str] = []


def hide_progress(pager: str) -> None:
    """Show no progress from now on, because this pager has the screen."""
    _pagers.append(pager)


@contextmanager
def byte_progress(what: str) -> Iterator[Callable[[int, int], None] | None]:
    """Provide a function to call with the bytes done and the total, which shows the share on a terminal's stderr.

    Nothing is shown for the first half second, and the line is gone at the end. `None` where there is no terminal.

    Args:
        what: the words before the share, such as `reading trace.jsonl`.
    """
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield None
        return
    shown_at = time.monotonic() - PROGRESS_EVERY_SECONDS + PROGRESS_AFTER_SECONDS
    shown = False

    def show(done: int, total: int) -> None:
        nonlocal shown, shown_at
        if not _pagers and time.monotonic() - shown_at >= PROGRESS_EVERY_SECONDS:
            shown, shown_at = True, time.monotonic()
            share = min(100 * done // max(total, 1), 100)
            sys.stderr.write(f"\r{clean(what, 60)}: {share} %\x1b[K")
            sys.stderr.flush()

    try:
        yield show
    finally:
        if shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
