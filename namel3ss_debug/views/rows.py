"""Lines of styled pieces, laid out and written without rich: for short output that must appear at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TextIO

from namel3ss_debug.views.cleaning import (
    DIM,
    ERROR,
    GOOD,
    HEADING,
    WARNING,
    Piece,
    piece,
    shorten,
    take_every_character,
    wants_colour,
    wrapped,
)

Row = tuple[Piece, ...]
"""The pieces of one line, cleaned and side by side."""

_GAP = "  "
_LEAST = 12
_CODES = {HEADING: 1, DIM: 2, ERROR: 31, GOOD: 32, WARNING: 33}
"""The codes of the styles (ECMA-48, "select graphic rendition")."""


def shortened(whole: Piece, width: int) -> Piece:
    """Return a piece, cut where it takes more than `width` cells."""
    return Piece(shorten(whole.plain, width), whole.style)


def labelled(items: Iterable[tuple[str, Piece | str]], width: int, *, indent: str = "") -> Iterator[Row]:
    """Yield a dim label and its value on each line, the values aligned; items with an empty value are left out.

    Args:
        items: the labels, which are our own words, and the values; a `str` is cleaned here.
        width: the cells a line may take.
        indent: the text before each line.
    """
    cleaned = [(label, piece(value) if isinstance(value, str) else value) for label, value in items]
    shown = [(label, value) for label, value in cleaned if value.plain]
    widest = max((len(label) for label, _ in shown), default=0)
    room = max(width - len(indent) - widest - len(_GAP), _LEAST)
    for label, value in shown:
        for place, part in enumerate(wrapped(value.plain, room, room)):
            name = "" if place else label
            gap = Piece(" " * (widest - len(name)) + _GAP)
            yield Piece(indent), Piece(name, DIM), gap, Piece(part, value.style)


def write_rows(rows: Iterable[Row], stream: TextIO) -> None:
    """Write lines to a stream, in colours where it takes them."""
    coloured = wants_colour(stream)
    take_every_character(stream)
    stream.writelines(
        "".join(_coloured(part) if coloured else part.plain for part in row) + "\n" for row in rows
    )


def _coloured(part: Piece) -> str:
    code = _CODES.get(part.style)
    return part.plain if code is None else f"\x1b[{code}m{part.plain}\x1b[0m"
