"""Which values a payload holds, as numbers that are equal where the values are: how data flow is found.

A value is a leaf of the JSON that is not trivial, the arguments or the result of a call as a whole, a line of a
text, or a passage of a longer text. Texts are compared without regard to white space and case; JSON inside a text
is read as JSON. A passage is four words that begin with one of at least six letters: where a passage begins depends on
the text alone and not on where it stands, so that a text that was copied into another is found there
(content-defined sampling, as in Manber, "Finding similar files in a large file system", 1994).

Trivial values, which may be in two places by chance, are texts with less than `LEAST_BITS` bits by length and number of
different characters, single plain words of less than 16 letters, numbers of less than five significant digits, and
placeholders for redacted secrets.
"""

from __future__ import annotations

import re
from array import array
from math import log2
from typing import Any, NamedTuple
from zlib import adler32, crc32

import orjson

LEAST_BITS = 24.0
"""The least information in a text that counts: its length times the logarithm of its number of different characters."""

LEAST_BITS_OF_NAME = 18.0
"""The same for a text with digits and other characters, which is usually an identifier: `A-10293`."""

_MOST_LOOKED_AT = 4_000
_MOST_IN_TEXT = 256
_LONGEST_TEXT = 32_768
_SHORTEST = 6
_LEAST_WORDS = 4
_PASSAGE_WORDS = 4
_ANCHOR_LETTERS = 6
_PLAIN_WORD = re.compile(r"[^\W\d_]{1,15}")
_DIGIT = re.compile(r"\d")
_WORD = re.compile(r"\w+")
_SPACES_FOR_GAPS = {code: " " for code in range(128) if not _WORD.match(chr(code))}
_REDACTED = "[redacted:"
_SKIPPED_FIELDS = frozenset({"type", "role", "finish_reason", "response_model", "$type"})
_WHOLE_FIELDS = ("arguments", "response", "result", "content")
_WHOLE_FIELD_SET = frozenset(_WHOLE_FIELDS)
_CACHED_FROM = 64
_MOST_CACHED = 2_000_000
NONE: array[int] = array("q")
"""The empty array of keys."""


class _Keys(NamedTuple):
    """The keys of whole values, in the order in which they occur, and those of passages."""

    whole: dict[int, None]
    passages: set[int]


class Fingerprints:
    """Finds the keys of payloads. Repeated texts, such as the messages of a conversation, are cached."""

    def __init__(self) -> None:
        self._known: dict[str, _Keys] = {}
        self._room = _MOST_CACHED

    def find_keys(self, payload: Any, most: int) -> array[int]:
        """Return the keys of the values in a payload: numbers of 63 bits in rising order, the same in every process.

        Args:
            payload: JSON.
            most: how many keys there may be; of more, whole values come before passages, those at the end of the
                payload, where a conversation has what is new, come first up to half, and then small keys before large
                ones, so that both sides of a flow have the same.
        """
        whole, passages = self._find_keys(payload)
        if not whole and not passages:
            return NONE
        kept = list(whole)
        if len(kept) > most:
            last = most // 2
            kept[last:] = sorted(kept[last:])[: most - last]
        kept += sorted(passages.difference(whole))[: most - len(kept)]
        return array("q", sorted(kept))

    def _find_keys(self, payload: Any) -> _Keys:
        """Return the keys of the values in a payload, from its end, up to a limit."""
        keys = _Keys({}, set())
        stack = [payload]
        looked_at = 0
        while stack and looked_at < _MOST_LOOKED_AT:
            looked_at += 1
            value = stack.pop()
            kind = type(value)
            if kind is dict:
                stack.extend(item for name, item in value.items() if name not in _SKIPPED_FIELDS)
                if not _WHOLE_FIELD_SET.isdisjoint(value):
                    # Arguments and results are compared as a whole besides.
                    fields = (_key_of_json(value.get(name)) for name in _WHOLE_FIELDS)
                    keys.whole.update({key: None for key in fields if key >= 0})
            elif kind is list:
                stack.extend(value)
            elif kind is str:
                if len(value) >= _SHORTEST:
                    text_keys = self._text_keys(value)
                    keys.whole.update(text_keys.whole)
                    keys.passages.update(text_keys.passages)
            elif (kind is int or kind is float) and is_significant_number(value):
                keys.whole[key_of(repr(value))] = None
        return keys

    def _text_keys(self, text: str) -> _Keys:
        """Return the keys of a text; those of long texts come from a cache."""
        if len(text) < _CACHED_FROM:
            return self._compute_text_keys(text)
        known = self._known.get(text)
        if known is None:
            known = self._compute_text_keys(text)
            if len(text) > self._room:
                self._known.clear()
                self._room = _MOST_CACHED
            if len(text) <= self._room:
                self._room -= len(text)
                self._known[text] = known
        return known

    def _compute_text_keys(self, text: str) -> _Keys:
        """Return the keys of a text: those of the JSON in it, else of the whole text, its lines and its passages."""
        if text[0] in "{[" and len(text) <= _LONGEST_TEXT:
            try:
                inner = orjson.loads(text)
            except orjson.JSONDecodeError:
                pass
            else:
                keys = self._find_keys(inner)
                if (key := _key_of_json(inner)) >= 0:
                    keys.whole[key] = None
                return keys
        if len(text) > _LONGEST_TEXT:
            half = _LONGEST_TEXT // 2
            text = f"{text[:half]}\n{text[-half:]}"
        lowered = text.lower()
        words = lowered.split()
        lines = [" ".join(words)]
        if "\n" in lowered:
            lines += [" ".join(line.split()) for line in lowered.splitlines()[:_MOST_IN_TEXT]]
        whole = {key_of(line): None for line in dict.fromkeys(lines) if is_significant(line)}
        passages = _passages(lowered) if len(words) >= _LEAST_WORDS else set()
        return _Keys(whole, passages)


def key_of(text: str) -> int:
    """Return a number of 63 bits for a text, out of two checksums of different kind."""
    data = text.encode(errors="replace")
    return crc32(data) << 31 ^ adler32(data)  # 63 bits fit a signed item of the array


def _key_of_json(value: Any) -> int:
    """Return the key of an object or a list as a whole; -1 for a trivial one, and for anything else."""
    if not value or (type(value) is not dict and type(value) is not list):
        return -1
    try:
        text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    except (TypeError, ValueError):
        return -1
    return key_of(text) if len(text) >= 32 or len(text) * log2(len(set(text))) >= LEAST_BITS else -1


def is_significant_number(value: float) -> bool:
    """Return whether a number is not trivial: at least five digits without the zeros around them."""
    return len(str(value).partition("e")[0].replace(".", "").lstrip("-0").rstrip("0")) >= 5


def is_significant(text: str) -> bool:
    """Return whether a normalised text is unlikely to be in two places by chance."""
    size = len(text)
    if size < _SHORTEST or text.startswith(_REDACTED):
        return False
    if size < 32:
        least = LEAST_BITS_OF_NAME if _DIGIT.search(text) and not text.isdecimal() else LEAST_BITS
        if size * log2(len(set(text))) < least:
            return False
    return size >= 16 or _PLAIN_WORD.fullmatch(text) is None


def _passages(text: str) -> set[int]:
    # `translate` and `split` find the words of ASCII text faster than the pattern does.
    """Return the keys of the passages of a text."""
    words = text.translate(_SPACES_FOR_GAPS).split() if text.isascii() else _WORD.findall(text)
    last = len(words) - _PASSAGE_WORDS
    # This runs for every word, so it does as little as possible for each.
    anchors = [index for index, word in enumerate(words) if len(word) >= _ANCHOR_LETTERS]
    passages = {
        key_of(" ".join(words[index : index + _PASSAGE_WORDS]))
        for index in anchors
        if index <= last and words[index] != "redacted"
    }
    return set(sorted(passages)[:_MOST_IN_TEXT]) if len(passages) > _MOST_IN_TEXT else passages
