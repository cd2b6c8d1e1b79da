"""Text for a terminal without rich: cleaning of foreign data, its width in cells, and styled pieces.

`clean` is the one way from data to text. Nothing here needs rich, so a command with little output does not wait for its
import; `terminal` builds on this.
"""

from __future__ import annotations

import codecs
import io
import os
import re
import sys
import unicodedata
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TextIO

if TYPE_CHECKING:
    from rich.text import Span

ELLIPSIS = "…"
DEFAULT_WIDTH = 80
MIN_WIDTH = 40
MAX_MARKS = 4
"""How many combining marks one character may carry; more of them would climb over the lines around."""

DIM, HEADING, ERROR, WARNING, GOOD = "dim", "bold", "red", "yellow", "green"

_OTHERWISE = dict(zip("…─━│└├╴╶╸╺╼▁▂▃▄▅▆▇█", "*-=|`|--==>12345678", strict=True))
"""Our drawing characters, each with a replacement of the same width for streams whose encoding lacks it."""

_FAILING_OR_NUMBERS = frozenset({"strict", "surrogateescape", "backslashreplace"})
"""Error handlers of streams as Python opens them, and as the command line sets them for other output than views."""

_TONES = re.compile("[\U0001f3fb-\U0001f3ff]")

_INVISIBLE_LETTERS = frozenset("\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0\u034f\u180b\u180c\u180d\u180f")
"""Characters that Unicode calls letters, symbols or marks and that show nothing at all."""


def visible(character: str) -> str:
    """Return the replacement for a character that must not reach the screen: `^[`, or its number in hexadecimal."""
    code = ord(character)
    if code < 0x20 or code == 0x7F:
        return "^" + chr(code ^ 0x40)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


class _Shown(dict[int, str]):
    """A table for `str.translate` that is filled as characters turn up."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        if character == "\n" or (character.isprintable() and character not in _INVISIBLE_LETTERS):
            shown = character
        else:
            shown = " " if unicodedata.category(character) == "Zs" else visible(character)
        self[code] = shown
        return shown


_SHOWN = _Shown()


def clean(value: object, limit: int | None = None, *, multiline: bool = False) -> str:
    """Return the text of `value` without anything that a terminal would obey.

    Controls, direction marks, invisible and unassigned characters show as `^[` or by number, a run of combining marks
    is capped. Line ends and tabs become one space, or stay as line ends and four spaces where `multiline` is set.

    Args:
        value: anything; a value that is no string is converted by `str`.
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
            content = _without_towers(_TONES.sub(_tone, content))
    if cut and limit is not None and len(content) >= limit:
        content = content[: limit - 1]
    return content + ELLIPSIS if cut else content


def _tone(found: re.Match[str]) -> str:
    """Return a skin tone after a symbol, where it takes no cell, and elsewhere its number, as it would take two."""
    before = found.string[found.start() - 1 : found.start()]
    return found[0] if before and unicodedata.category(before) == "So" else visible(found[0])


def _without_towers(content: str) -> str:
    """Cap runs of combining marks, and give a base to a mark without one, which would combine with our own text."""
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


class Piece(NamedTuple):
    """Cleaned text in one style: a light replacement for `Text` where there are very many."""

    plain: str
    style: str = ""

    @property
    def spans(self) -> list[Span]:
        """A piece has one style only."""
        return []


def piece(value: object, style: str = "", limit: int | None = None) -> Piece:
    """Return cleaned data as a `Piece`."""
    return Piece(clean(value, limit), style)


def cells(content: str) -> int:
    """Return how many cells of a terminal a cleaned text takes."""
    if content.isascii():
        return len(content)
    from rich.cells import cell_len  # most of what is shown is ASCII

    return cell_len(content)


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
        taken = taken[1:]  # a mark at the front would combine with the ellipsis
    return taken


def wrapped(own: str, width: int, first: int) -> list[str]:
    """Return one line of text in pieces of at most `width` cells, the first of `first`, broken after a blank if there is one."""
    pieces: list[str] = []
    at, room = 0, first
    while True:
        piece = own[at : at + room]
        while cells(piece) > room:
            piece = piece[:-1]
        if at + len(piece) >= len(own):
            pieces.append(piece)
            return pieces
        place = piece.rfind(" ", len(piece) // 2) + 1
        taken = piece[:place] if place else piece
        pieces.append(taken.rstrip(" "))
        at, room = at + len(taken), width


def _in_other_words(error: UnicodeError) -> tuple[str | bytes, int]:
    """Replace the characters that an encoding lacks: ours by others of the same width, the rest by numbers."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    content, at = error.object, error.start
    if content[at] in _OTHERWISE:
        return _OTHERWISE[content[at]], at + 1
    return codecs.backslashreplace_errors(
        UnicodeEncodeError(error.encoding, content, at, at + 1, error.reason)
    )


IN_OTHER_WORDS = "namel3ss_debug.in_other_words"
codecs.register_error(IN_OTHER_WORDS, _in_other_words)


def take_every_character(stream: TextIO) -> None:
    """Let a stream replace characters that its encoding lacks, instead of failing."""
    if isinstance(stream, io.TextIOWrapper) and stream.errors in _FAILING_OR_NUMBERS:
        stream.reconfigure(errors=IN_OTHER_WORDS)


def shorter_path(path: Path) -> str:
    """Return the path from the working directory, where it lies below it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)


def wants_colour(stream: TextIO) -> bool:
    """Return whether colours go to this stream: `NO_COLOR` decides, then `FORCE_COLOR`, then whether it is a terminal."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def screen_width() -> int:
    """Return the columns to write for: `COLUMNS`, else the terminal of any standard stream, else 80."""
    columns = os.environ.get("COLUMNS", "")[:5]
    if columns.isdecimal() and int(columns):
        return max(int(columns), MIN_WIDTH)
    for stream in (sys.__stdout__, sys.__stderr__, sys.__stdin__):
        try:
            if stream is not None:
                return max(os.get_terminal_size(stream.fileno()).columns or DEFAULT_WIDTH, MIN_WIDTH)
        except (OSError, ValueError):
            continue
    return DEFAULT_WIDTH
