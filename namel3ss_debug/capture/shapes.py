"""The layout of stream events: most are like the one before, but for a text or two and some numbers.

An event of a known shape need not be read as JSON: one match tells the texts in it. What a number says does not matter,
except where it tells which of several texts a piece belongs to.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from functools import lru_cache
from typing import NamedTuple

_TEXT = rb'"([^"\\]*+(?:\\.[^"\\]*+)*+)"'
_TOKEN = re.compile(_TEXT + rb"(\s*+:)?|-?[0-9][0-9.eE+\-]*+", re.DOTALL)
_NUMBER = rb"-?[0-9][0-9.eE+\-]*+"
SHORT_NUMBER = rb"-?[0-9][0-9.eE+\-]{0,11}+"
"""A number that is too short for that of a card."""


class Shape(NamedTuple):
    """How events of one kind are written, and what the texts in them were.

    Attributes:
        pattern: matches such an event; its groups are the texts that are no names, in their order.
        texts: those of the event that it was taken from, as they were written.
    """

    pattern: re.Pattern[bytes]
    texts: tuple[bytes, ...]


def shape_of(event: bytes, numbers: Collection[bytes]) -> Shape | None:
    """The shape of an event; `None` where it holds no JSON object.

    Args:
        event: its bytes.
        numbers: names of the numbers that are a part of the shape.
    """
    if b"{" not in event:
        return None
    pattern, texts = written(event, numbers)
    return Shape(_compiled(pattern), texts)


def written(
    event: bytes, numbers: Collection[bytes] = (), number: bytes = _NUMBER
) -> tuple[bytes, tuple[bytes, ...]]:
    """A pattern of what is written like an event that holds a JSON object, and the texts in it.

    Args:
        event: its bytes.
        numbers: names of the numbers that are a part of the shape.
        number: a pattern of the others.
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


def text_of(written: bytes) -> str:
    """A text of JSON without its quotes.

    Raises:
        ValueError: it is none.
    """
    return str(json.loads(b'"' + written + b'"')) if b"\\" in written else written.decode()
