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


class DiffPiece(NamedTuple):
    """A piece of two texts that are compared: `kind` is `same`, `dropped`, `added` or `skipped`."""

    kind: str
    text: str


def diff_texts(old: str, new: str) -> tuple[DiffPiece, ...]:
    """Return the differences between two texts.

    The pieces that are not `added` make up the old text, those that are not `dropped` the new one. There are a few
    hundred at most: the rest of the text after these is dropped and added as a whole, and so are lines that have little
    in common.
    """
    before, after = _LINE.findall(old), _LINE.findall(new)
    pieces: list[DiffPiece] = []
    i = j = 0
    for block in matching_blocks(before, after):
        if len(pieces) > _MOST_PIECES:
            pieces += [DiffPiece("dropped", "".join(before[i:])), DiffPiece("added", "".join(after[j:]))]
            break
        pieces += _diff_words("".join(before[i : block.old]), "".join(after[j : block.new]))
        i, j = block.old + block.size, block.new + block.size
        pieces.append(DiffPiece("same", "".join(before[block.old : i])))
    return _join_pieces(pieces)


def shorten_equal_text(pieces: Sequence[DiffPiece], characters: int = 80) -> tuple[DiffPiece, ...]:
    """Return the pieces with only so many equal characters beside a change; `skipped` pieces count the rest."""
    shown: list[DiffPiece] = []
    for index, piece in enumerate(pieces):
        head = characters if index else 0
        tail = characters if index < len(pieces) - 1 else 0
        left_out = len(piece.text) - head - tail
        if piece.kind != "same" or left_out <= characters:
            shown.append(piece)
            continue
        shown += [
            DiffPiece("same", piece.text[:head]),
            DiffPiece("skipped", f"… {left_out:,} characters …"),
            DiffPiece("same", piece.text[len(piece.text) - tail :]),
        ]
    return tuple(piece for piece in shown if piece.text)


def _diff_words(old: str, new: str) -> list[DiffPiece]:
    """Return the differences between some lines by words, or whole lines if they are long or have little in common."""
    whole = [DiffPiece("dropped", old), DiffPiece("added", new)]
    if not old or not new or len(old) + len(new) > _LONGEST_FOR_WORDS:
        return whole
    before, after = _WORD.findall(old), _WORD.findall(new)
    pieces: list[DiffPiece] = []
    equal_characters = i = j = 0
    for block in matching_blocks(before, after):
        equal = "".join(before[block.old : block.old + block.size])
        end = block.old + block.new + 2 * block.size
        is_inside = block.old + block.new > 0 and end < len(before) + len(after)
        if equal.isspace() and is_inside:
            continue  # a space between two changes belongs to both
        pieces.append(DiffPiece("dropped", "".join(before[i : block.old])))
        pieces.append(DiffPiece("added", "".join(after[j : block.new])))
        pieces.append(DiffPiece("same", equal))
        equal_characters += len(equal)
        i, j = block.old + block.size, block.new + block.size
    is_short = len(pieces) <= _MOST_PIECES
    return (
        pieces if is_short and equal_characters >= _LEAST_SHARE_IN_COMMON * min(len(old), len(new)) else whole
    )


def _join_pieces(pieces: Iterable[DiffPiece]) -> tuple[DiffPiece, ...]:
    """Return the pieces without empty ones, with at most one dropped and one added piece between two equal ones."""
    joined: list[DiffPiece] = []
    nonempty = (piece for piece in pieces if piece.text)
    for is_same, group in groupby(nonempty, lambda piece: piece.kind == "same"):
        run = list(group)
        kinds = ("same",) if is_same else ("dropped", "added")
        joined += [
            DiffPiece(kind, "".join(piece.text for piece in run if piece.kind == kind)) for kind in kinds
        ]
    return tuple(piece for piece in joined if piece.text)
