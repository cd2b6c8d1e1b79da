"""What differs between two texts, for people to read: by lines, and by words within lines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

from namel3ss_debug.wire.matching import matching_blocks

_MOST_PIECES = 300
_LONGEST_BY_WORDS = 100_000
_LEAST_IN_COMMON = 0.25

_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_WORD = re.compile(r"\w+|\s+|[^\w\s]")


class Piece(NamedTuple):
    """A piece of two texts that are compared: `kind` is `same`, `dropped`, `added` or `skipped`."""

    kind: str
    text: str


def text_changes(old: str, new: str) -> tuple[Piece, ...]:
    """What differs between two texts.

    The pieces that are not `added` make up the old text, those that are not `dropped` the new one. There are a few
    hundred at most: the rest after these, and lines with little in common, are dropped and added as a whole.
    """
    before, after = _LINE.findall(old), _LINE.findall(new)
    pieces: list[Piece] = []
    i = j = 0
    for block in matching_blocks(before, after):
        if len(pieces) > _MOST_PIECES:
            pieces += [Piece("dropped", "".join(before[i:])), Piece("added", "".join(after[j:]))]
            break
        pieces += _words("".join(before[i : block.old]), "".join(after[j : block.new]))
        i, j = block.old + block.size, block.new + block.size
        pieces.append(Piece("same", "".join(before[block.old : i])))
    return _joined(pieces)


def with_context(pieces: Sequence[Piece], characters: int = 80) -> tuple[Piece, ...]:
    """The pieces, with only so many characters of equal text beside a change; `skipped` ones count what is left out."""
    shown: list[Piece] = []
    for place, piece in enumerate(pieces):
        head = characters if place else 0
        tail = characters if place < len(pieces) - 1 else 0
        left_out = len(piece.text) - head - tail
        if piece.kind != "same" or left_out <= characters:
            shown.append(piece)
            continue
        shown += [
            Piece("same", piece.text[:head]),
            Piece("skipped", f"… {left_out:,} characters …"),
            Piece("same", piece.text[len(piece.text) - tail :]),
        ]
    return tuple(piece for piece in shown if piece.text)


def _words(old: str, new: str) -> list[Piece]:
    """The differences between some lines by words; whole lines where they are long or have little in common."""
    whole = [Piece("dropped", old), Piece("added", new)]
    if not old or not new or len(old) + len(new) > _LONGEST_BY_WORDS:
        return whole
    before, after = _WORD.findall(old), _WORD.findall(new)
    pieces: list[Piece] = []
    same = i = j = 0
    for block in matching_blocks(before, after):
        equal = "".join(before[block.old : block.old + block.size])
        inside = block.old + block.new > 0 and block.old + block.size + block.new + block.size < len(
            before
        ) + len(after)
        if equal.isspace() and inside:
            continue  # a space between two changes belongs to both
        pieces.append(Piece("dropped", "".join(before[i : block.old])))
        pieces.append(Piece("added", "".join(after[j : block.new])))
        pieces.append(Piece("same", equal))
        same += len(equal)
        i, j = block.old + block.size, block.new + block.size
    few = len(pieces) <= _MOST_PIECES
    return pieces if few and same >= _LEAST_IN_COMMON * min(len(old), len(new)) else whole


def _joined(pieces: Iterable[Piece]) -> tuple[Piece, ...]:
    """The pieces without empty ones, with at most one dropped and one added piece between two equal ones."""
    joined: list[Piece] = []
    for same, group in groupby(filter(_text, pieces), lambda piece: piece.kind == "same"):
        listed = list(group)
        kinds = ("same",) if same else ("dropped", "added")
        joined += [Piece(kind, "".join(each.text for each in listed if each.kind == kind)) for kind in kinds]
    return tuple(filter(_text, joined))


def _text(piece: Piece) -> str:
    return piece.text
