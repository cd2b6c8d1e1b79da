"""Compare two texts for people to read: by lines, and by words within lines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

from namel3ss_debug.wire.matching import matching_blocks

_MOST_PIECES = 300
_LONGEST_FOR_WORDS = 100_000
"""How many characters of changed lines are compared by words."""

_LEAST_SHARE_IN_COMMON = 0.25
"""The share of the shorter text that must be equal; below it, a comparison by words would only confuse."""

_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_WORD = re.compile(r"\w+|\s+|[^\w\s]")


class Piece(NamedTuple):
    """A piece of two texts that are compared: `kind` is `same`, `dropped`, `added` or `skipped`."""

    kind: str
    text: str


def diff_texts(old: str, new: str) -> tuple[Piece, ...]:
    """Return the differences between two texts.

    The pieces that are not `added` make up the old text, those that are not `dropped` the new one. There are a few
    hundred at most: the rest of the text after these is dropped and added as a whole, and so are lines that have little
    in common.
    """
    before, after = _LINE.findall(old), _LINE.findall(new)
    pieces: list[Piece] = []
    i = j = 0
    for block in matching_blocks(before, after):
        if len(pieces) > _MOST_PIECES:
            pieces += [Piece("dropped", "".join(before[i:])), Piece("added", "".join(after[j:]))]
            break
        pieces += _diff_words("".join(before[i : block.old]), "".join(after[j : block.new]))
        i, j = block.old + block.size, block.new + block.size
        pieces.append(Piece("same", "".join(before[block.old : i])))
    return _join_pieces(pieces)


def shorten_equal_text(pieces: Sequence[Piece], characters: int = 80) -> tuple[Piece, ...]:
    """Return the pieces with only so many equal characters beside a change; `skipped` pieces count the rest."""
    shown: list[Piece] = []
    for index, piece in enumerate(pieces):
        head = characters if index else 0
        tail = characters if index < len(pieces) - 1 else 0
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


def _diff_words(old: str, new: str) -> list[Piece]:
    """Return the differences between some lines by words, or whole lines if they are long or have little in common."""
    whole = [Piece("dropped", old), Piece("added", new)]
    if not old or not new or len(old) + len(new) > _LONGEST_FOR_WORDS:
        return whole
    before, after = _WORD.findall(old), _WORD.findall(new)
    pieces: list[Piece] = []
    equal_characters = i = j = 0
    for block in matching_blocks(before, after):
        equal = "".join(before[block.old : block.old + block.size])
        end = block.old + block.new + 2 * block.size
        is_inside = block.old + block.new > 0 and end < len(before) + len(after)
        if equal.isspace() and is_inside:
            continue  # a space between two changes belongs to both
        pieces.append(Piece("dropped", "".join(before[i : block.old])))
        pieces.append(Piece("added", "".join(after[j : block.new])))
        pieces.append(Piece("same", equal))
        equal_characters += len(equal)
        i, j = block.old + block.size, block.new + block.size
    is_short = len(pieces) <= _MOST_PIECES
    return (
        pieces if is_short and equal_characters >= _LEAST_SHARE_IN_COMMON * min(len(old), len(new)) else whole
    )


def _join_pieces(pieces: Iterable[Piece]) -> tuple[Piece, ...]:
    """Return the pieces without empty ones, with at most one dropped and one added piece between two equal ones."""
    joined: list[Piece] = []
    nonempty = (piece for piece in pieces if piece.text)
    for is_same, group in groupby(nonempty, lambda piece: piece.kind == "same"):
        run = list(group)
        kinds = ("same",) if is_same else ("dropped", "added")
        joined += [Piece(kind, "".join(piece.text for piece in run if piece.kind == kind)) for kind in kinds]
    return tuple(piece for piece in joined if piece.text)
