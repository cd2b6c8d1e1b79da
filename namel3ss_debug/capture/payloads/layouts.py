"""Recognise the layout of JSON: documents and stream events that differ only in some texts and numbers.

Most events of a stream have the layout of the one before, and most answers of a model that of the last answer. One
match of a regular expression finds the texts in them, and they need not be parsed. A document with the layout of one
without secrets has the same names and as many items, so only its texts have to be searched for secrets.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import NamedTuple

_TEXT = rb'"([^"\\]*+(?:\\.[^"\\]*+)*+)"'
_TOKEN = re.compile(_TEXT + rb"(\s*+:)?|-?[0-9][0-9.eE+\-]*+", re.DOTALL)
_NUMBER = rb"-?[0-9][0-9.eE+\-]*+"
SHORT_NUMBER = rb"-?[0-9][0-9.eE+\-]{0,11}+"
"""A number that is too short to be that of a card."""

_MOST_LEARNED = 64
"""How many documents are examined at most. If each has another layout, the search for a common one is not worth it."""
_LONGEST_LEARNED = 4096
"""The longest document that is examined, in characters. A document that matches a known layout may have any length."""

Names = tuple[str, ...]
"""The outermost names of a document. Documents with the same names nearly always have the same layout."""


class Shape(NamedTuple):
    """The layout of events of one kind.

    Attributes:
        pattern: matches such an event; its groups are the texts that are not names, in their order.
        texts: the texts of the event that the pattern was made from, as they were written.
    """

    pattern: re.Pattern[bytes]
    texts: tuple[bytes, ...]


def shape_of(event: bytes, numbers: Collection[bytes]) -> Shape | None:
    """Return the shape of an event, or `None` if it contains no JSON object.

    Args:
        event: its bytes.
        numbers: names of the numbers that are a part of the shape.
    """
    if b"{" not in event:
        return None
    pattern, texts = make_pattern(event, numbers)
    return Shape(_compiled(pattern), texts)


def make_pattern(
    event: bytes, numbers: Collection[bytes] = (), number: bytes = _NUMBER
) -> tuple[bytes, tuple[bytes, ...]]:
    """Return a pattern that matches events with the layout of this one, and the texts in this one.

    Args:
        event: its bytes.
        numbers: names of the numbers that are a part of the shape.
        number: a pattern for the other numbers.
    """
    done = event.index(b"{")
    parts, texts, name = [re.escape(event[:done])], [], b""
    for token in _TOKEN.finditer(event, done):
        text, is_name = token[1], token[2] is not None
        parts.append(re.escape(event[done : token.start()]))
        if is_name:
            name = text
            parts.append(re.escape(token[0]))
        elif text is not None:
            parts.append(_TEXT)
            texts.append(text)
        else:
            parts.append(re.escape(token[0]) if name in numbers else number)
        done = token.end()
    return b"".join([*parts, re.escape(event[done:])]), tuple(texts)


@lru_cache(256)
def _compiled(pattern: bytes) -> re.Pattern[bytes]:
    return re.compile(pattern, re.DOTALL)


def text_of(literal: bytes) -> str:
    """Return a JSON string, written without its quotes, as text.

    Raises:
        ValueError: it is not a JSON string.
    """
    return str(json.loads(b'"' + literal + b'"')) if b"\\" in literal else literal.decode()


class Layouts:
    """Layouts of documents without secrets: for each set of outermost names, the one that occurred twice in a row."""

    def __init__(self) -> None:
        self._patterns: dict[Names, re.Pattern[str]] = {}
        self._last: dict[Names, bytes] = {}
        self._left = _MOST_LEARNED

    def find_texts(self, names: Names, document: str) -> Sequence[str] | None:
        """Return the texts in a document with a known layout, or `None` if its layout is not known."""
        pattern = self._patterns.get(names)
        match = None if pattern is None else pattern.fullmatch(document)
        if match is None:
            return None
        return [text_of(text.encode()) for text in match.groups()] if "\\" in document else match.groups()

    def learn(self, names: Names, document: str) -> None:
        """Remember the layout of a document that has no secrets."""
        if not self._left or len(document) > _LONGEST_LEARNED:
            return
        self._left -= 1
        pattern, _texts = make_pattern(document.encode(), number=SHORT_NUMBER)
        if self._last.get(names) == pattern:
            self._patterns[names] = re.compile(pattern.decode(), re.DOTALL)
        self._last[names] = pattern
