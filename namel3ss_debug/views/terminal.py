"""The one edge through which anything reaches the terminal.

A trace is foreign data: `clean` turns every control, direction and invisible character of it into text that shows what
it is, `text` and `line` build rich `Text` objects from cleaned data only, and `console` prints them with markup,
emoji codes and highlighting switched off. Colour appears on a terminal only, and never where `NO_COLOR` is set.
"""

from __future__ import annotations

import io
import os
import sys
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import groupby, islice
from typing import TYPE_CHECKING, NamedTuple, TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.text import Span, Text

if TYPE_CHECKING:
    from rich.style import StyleType

ELLIPSIS = "…"
DEFAULT_WIDTH = 80
MIN_WIDTH = 40
LINES_AT_ONCE = 100
MAX_MARKS = 4
"""How many combining marks one character may carry; more of them would climb over the lines around."""

PROGRESS_AFTER_SECONDS = 0.5
PROGRESS_EVERY_SECONDS = 0.1

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
DIM, HEADING, ERROR, WARNING, GOOD = "dim", "bold", "red", "yellow", "green"

_INVISIBLE_LETTERS = frozenset("\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0\u034f\u180b\u180c\u180d\u180f")
"""Characters that Unicode calls letters, symbols or marks and that show nothing at all."""


def visible(character: str) -> str:
    """What stands on the screen for one character that must not reach it: `^[`, or its number in hexadecimal."""
    code = ord(character)
    if code < 0x20 or code == 0x7F:
        return "^" + chr(code ^ 0x40)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _harmless(character: str) -> bool:
    return character.isprintable() and character not in _INVISIBLE_LETTERS


class _Shown(dict[int, str]):
    """A table for `str.translate` that is filled as characters turn up."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        if character == "\n" or _harmless(character):
            shown = character
        else:
            shown = " " if unicodedata.category(character) == "Zs" else visible(character)
        self[code] = shown
        return shown


_SHOWN = _Shown()


def clean(value: object, limit: int | None = None, *, multiline: bool = False) -> str:
    """The text of `value` with nothing in it that a terminal would obey.

    Controls, direction marks, invisible and unassigned characters show as `^[` or by number, a run of combining marks is
    capped. Line ends and tabs become one space, or stay as line ends and four spaces where `multiline` is set.

    Args:
        value: anything; what is no string is shown as `str` gives it.
        limit: the largest number of characters kept; a longer text ends with an ellipsis.
        multiline: whether line ends are kept.
    """
    content = value if isinstance(value, str) else str(value)
    cut = limit is not None and len(content) > limit
    if cut and limit is not None:
        content = content[: max(limit - 1, 0)]
    if not (content.isascii() and content.isprintable()):
        content = content.replace("\r\n", "\n").replace("\t", "    " if multiline else " ")
        if not multiline:
            content = content.replace("\n", " ")
        content = content.translate(_SHOWN)
        if not content.isascii():
            content = _without_towers(content)
    if cut and limit is not None and len(content) >= limit:
        content = content[: limit - 1]
    return content + ELLIPSIS if cut else content


def _without_towers(content: str) -> str:
    """Cap runs of combining marks, and give a base to a mark that has none and would fall on our own text."""
    if not any(unicodedata.category(character).startswith("M") for character in set(content)):
        return content
    pieces: list[str] = []
    for is_mark, run in groupby(content, lambda character: unicodedata.category(character).startswith("M")):
        piece = "".join(run)
        if is_mark:
            piece = piece[:MAX_MARKS] + (ELLIPSIS if len(piece) > MAX_MARKS else "")
            if not pieces or pieces[-1].endswith(("\n", " ")):
                piece = "\u25cc" + piece
        pieces.append(piece)
    return "".join(pieces)


def text(value: object, style: StyleType = "", limit: int | None = None, *, multiline: bool = False) -> Text:
    """Cleaned data as a rich `Text`; the only way data becomes something to print."""
    return Text(clean(value, limit, multiline=multiline), style, end="")


class Piece(NamedTuple):
    """Cleaned text in one style: what a `Text` is, where there are too many of them to be made."""

    plain: str
    style: str = ""

    @property
    def spans(self) -> list[Span]:
        """A piece has one style only."""
        return []


def piece(value: object, style: str = "", limit: int | None = None) -> Piece:
    """Cleaned data as a `Piece`."""
    return Piece(clean(value, limit), style)


def cells(content: str) -> int:
    """How many cells of a terminal a cleaned text takes."""
    return len(content) if content.isascii() else cell_len(content)


def line(*parts: Text | str | tuple[object, StyleType]) -> Text:
    """One line of parts: our own words as `str`, data with a style as a pair, or a finished `Text`."""
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
    """Cleaned pieces side by side on one line of at most `width` cells; what does not fit is cut off."""
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


def shorten(content: str, width: int, *, middle: bool = False, tail: int = 0) -> str:
    """Cut a cleaned text to `width` cells with an ellipsis at its end, in its middle, or before its last `tail` characters."""
    if cells(content) <= width:
        return content
    if width <= 1:
        return ELLIPSIS[:width]
    room = width - 1
    kept = _tail(content, room // 2 if middle else min(tail, room)) if middle or tail else ""
    return _head(content, room - cells(kept)) + ELLIPSIS + kept


def _head(content: str, width: int) -> str:
    taken = content[:width]
    while cells(taken) > width:
        taken = taken[:-1]
    return taken


def _tail(content: str, width: int) -> str:
    taken = content[-width:] if width else ""
    while taken and (cells(taken) > width or unicodedata.category(taken[0]).startswith("M")):
        taken = taken[1:]  # a mark at the front would fall on the ellipsis
    return taken


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


def console(*, stderr: bool = False, width: int | None = None, stream: TextIO | None = None) -> Terminal:
    """A console on a stream, or on stdout or stderr as they are now; colours are the sixteen of the user's own theme."""
    stream = stream or (sys.stderr if stderr else sys.stdout)
    if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
        stream.reconfigure(errors="backslashreplace")  # a terminal of another encoding shows what it can
    coloured = wants_colour(stream)
    return Terminal(
        file=stream,
        markup=False,
        emoji=False,
        highlight=False,
        width=width or screen_width(),
        color_system="standard" if coloured else None,
        force_terminal=coloured,
        force_interactive=False,
        legacy_windows=False,
    )


def wants_colour(stream: TextIO) -> bool:
    """Whether colours go to this stream: `NO_COLOR`, then `FORCE_COLOR`, then whether it is a terminal."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def screen_width() -> int:
    """The columns to write for: `COLUMNS`, else the terminal of any standard stream, else 80."""
    given = os.environ.get("COLUMNS", "")
    if given.isdecimal() and int(given[:5]):
        return max(int(given[:5]), MIN_WIDTH)
    for stream in (sys.__stdout__, sys.__stderr__, sys.__stdin__):
        try:
            if stream is not None:
                return max(os.get_terminal_size(stream.fileno()).columns or DEFAULT_WIDTH, MIN_WIDTH)
        except (OSError, ValueError):
            continue
    return DEFAULT_WIDTH


@contextmanager
def byte_progress(what: str) -> Iterator[Callable[[int, int], None] | None]:
    """Something to call with the bytes done and the bytes in all, which shows the share on a terminal's stderr.

    Nothing is shown for the first half second, and the line is gone at the end. `None` where there is no terminal.

    Args:
        what: what the user reads, such as `reading trace.jsonl`.
    """
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield None
        return
    shown_at = time.monotonic() - PROGRESS_EVERY_SECONDS + PROGRESS_AFTER_SECONDS
    shown = False

    def show(done: int, total: int) -> None:
        nonlocal shown, shown_at
        if time.monotonic() - shown_at >= PROGRESS_EVERY_SECONDS:
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
