"""Decode what a text hides from the rules: percent, JSON and HTML escapes, and base64.

Nothing is decoded twice: the decoded text is searched like any other. A long run of base64 is decoded wholly, whatever
it holds, and everything in it that may be a text is searched.
"""

from __future__ import annotations

import re
import string
from binascii import a2b_base64
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from namel3ss_debug.late_patterns import compile_late

LONGEST = 65_536
"""How many characters of a text with escapes, and of base64 in a text that arrives in pieces, are decoded at most."""

_AROUND = 1200
"""How many characters around the escapes are searched with them; no secret, with its name, is longer but for keys."""

SHORTEST_RUN = 24
"""A run of base64 with fewer characters than this is too short for a secret with its name."""

# An escape may itself be escaped, `%252F` or `\\u002f`, where one text was put into another. Only ASCII matters.
_PERCENT = compile_late(r"%(?:25){0,3}([2-7][0-9A-Fa-f]|0[9AaDd])")
_IN_JSON = compile_late(r"(?<!\\)\\{1,8}(?:u00([2-7][0-9A-Fa-f])|/)")
_MARKS_IN_JSON = ("\\/", *(f"\\u00{digit}" for digit in range(2, 8)))
_IN_HTML = compile_late(
    r"&(?:amp;){0,3}(?:(quot|apos|lt|gt|equals|colon)|#0{0,4}(3[489]|43|47|58|6[0-2])|#[xX]0{0,4}([2-7][0-9A-Fa-f]));"
)
_HTML_NAMES = {"quot": '"', "apos": "'", "lt": "<", "gt": ">", "equals": "=", "colon": ":"}
_QUERY_PART = r"[\w.\-]{1,64}=[^\s&=\"'+]{1,80}\+"
_QUERY = compile_late(rf"[?&]{_QUERY_PART}")
_FORM = compile_late(_QUERY_PART)
BEGUN_ESCAPE = compile_late(
    r"%[0-9A-Fa-f]{0,7}\Z|&(?:amp;){0,3}#?[0-9A-Za-z]{0,6}\Z|\\{1,8}(?:u[0-9A-Fa-f]{0,3})?\Z"
)
"""What may be the beginning of an escape, at the end of a text that goes on."""

# In each group of four characters of the base64 of ASCII, three have a bit that is never set. Of random runs, such as
# hashes and images, one in 32,768 passes.
_RUN = compile_late(rf"[A-Za-z0-9+/_\-]{{{SHORTEST_RUN},}}")
_IS_TEXT = compile_late(r"(?:[A-Za-f][A-HQ-Xg-nw-z0-3][ABEFIJMNQRUVYZcdghklopstwx014589][A-Za-z0-9+/_\-]){5}")
_TEXT_BEHIND = compile_late(lambda: rf"[/_\-]{_IS_TEXT.pattern}")
"""A text in base64 that a character of base64 separates from what is before it, as in a path: `/files/dG9rZW4...`."""

_LONGEST_PATH = 300
_BLOCK = 2048
_ALPHABETS = [
    (string.ascii_letters + string.digits + signs, compile_late(rf"[A-Za-z0-9{signs}]{{{_BLOCK},}}+"))
    for signs in ("+/", "_-")
]
_LONG = 2 * _BLOCK
"""A run so long is data, such as an image or a document: what looks like a token in it is one by chance."""

_HEAD, _TAIL = 2048, 512
_CLASSES = [
    bytes(0 if chr(code) in members else 1 for code in range(256))
    for members in (
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        "abcdefghijklmnopqrstuvwxyz",
        "0123456789",
    )
]
_LACKS = b"\1" * 200
_PERIOD = 4
"""Three equal bytes, and each pixel of three equal bytes, are four characters that repeat."""

_TEXT_BYTES = bytes(1 if code in b"\0\t\n\r" or 32 <= code < 127 else 0 for code in range(256))
_SHORTEST_TEXT = 12
_HAS_TEXT = b"\1" * _SHORTEST_TEXT
_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
_FROM_URL_SAFE = str.maketrans("-_", "+/")


class View(NamedTuple):
    """A text with its escapes decoded.

    Attributes:
        text: the decoded text.
        starts: where each part of it begins; a part is one decoded character, or a text without escapes.
        origins: for each part, where it begins in the text itself.
        end: where the part of the text itself ends.
    """

    text: str
    starts: list[int]
    origins: list[int]
    end: int

    def origin(self, start: int, end: int) -> tuple[int, int]:
        """Return the beginning and the end, in the text itself, of `text[start:end]`."""
        return self._place(start), self._place(end - 1, last=True)

    def position(self, origin: int) -> int:
        """Return the place in `text` of a place in the text itself, or the place that is nearest to it."""
        if origin <= self.origins[0]:
            return 0
        part = bisect_right(self.origins, origin) - 1
        following = self.starts[part + 1] if part + 1 < len(self.starts) else len(self.text)
        return min(self.starts[part] + origin - self.origins[part], following)

    def _place(self, position: int, *, last: bool = False) -> int:
        part = bisect_right(self.starts, position) - 1
        is_final = part + 1 == len(self.starts)
        length = (len(self.text) if is_final else self.starts[part + 1]) - self.starts[part]
        offset = position - self.starts[part] + last
        if last and offset == length:  # an escape is longer than what it stands for
            return self.end if is_final else self.origins[part + 1]
        return self.origins[part] + offset


def unescape(text: str) -> Iterator[View]:
    """Yield the part of the text around its escapes, with these decoded; nothing if it has none.

    A `+` stands for a blank in the query of a URL and for itself elsewhere; a text with such a query has two views.
    """
    # Nearly every JSON text has backslashes; only these have a character that matters.
    matches = list(_PERCENT.finditer(text)) if "%" in text else []
    if "\\" in text and any(mark in text for mark in _MARKS_IN_JSON):
        matches = sorted([*matches, *_IN_JSON.finditer(text)], key=re.Match.start)
    if "&" in text and ";" in text:
        matches = sorted([*matches, *_IN_HTML.finditer(text)], key=re.Match.start)
    query = None
    if "+" in text:
        query = _FORM.match(text)
        if query is None and ("?" in text or "&" in text):
            query = _QUERY.search(text)
    places = [place for match in [query, *matches[:1], *matches[-1:]] if match for place in match.span()]
    if not places:
        return
    done = first = max(0, min(places) - _AROUND)
    last = min(len(text), max(places) + _AROUND, first + LONGEST)
    parts: list[str] = []
    starts: list[int] = []
    origins: list[int] = []
    length = 0
    for match in matches:
        if match.end() > last:
            break
        char = _decode_escape(match)
        for part, origin in ((text[done : match.start()], done), (char, match.start())):
            if part:
                parts.append(part)
                starts.append(length)
                origins.append(origin)
                length += len(part)
        done = match.end()
    if done < last:
        parts.append(text[done:last])
        starts.append(length)
        origins.append(done)
    if matches:
        yield View("".join(parts), starts, origins, last)
    if query or ("%" in text and "+" in text):
        decoded = "".join(part if len(part) == 1 else part.replace("+", " ") for part in parts)
        yield View(decoded, starts, origins, last)


class Shortened(NamedTuple):
    """A text without the middles of its long runs of base64.

    Attributes:
        text: the text. The beginning and the end of a run stay and join, so that no rule sees a boundary that is not there.
        gaps: where each middle was in `text`, and its length.
        runs: where the long runs are in the text itself, and in `text`.
    """

    text: str
    gaps: list[tuple[int, int]]
    runs: list[tuple[tuple[int, int], tuple[int, int]]]

    def origin(self, start: int, end: int) -> tuple[int, int]:
        """Return the beginning and the end, in the text itself, of `text[start:end]`."""
        return (
            start + sum(length for place, length in self.gaps if place <= start),
            end + sum(length for place, length in self.gaps if place < end),
        )


def without_data(text: str, may_begin: Callable[[str, int], bool]) -> Shortened:
    """Return a text without those middles of its long runs of base64 in which no token stands on its own.

    All rules take 130 ns for a character of base64, this takes 2.

    Args:
        text: the text.
        may_begin: returns whether a token may begin in characters of base64, up to a place in them.
    """
    parts: list[str] = []
    gaps: list[tuple[int, int]] = []
    runs: list[tuple[tuple[int, int], tuple[int, int]]] = []
    done = length = 0
    for begin, end in _long_runs(text):
        first = length + begin - done
        last = begin + _HEAD
        for start, stop in [*_loose(text, last - len(_LACKS), end - _TAIL, may_begin), (end - _TAIL, end)]:
            if start > last:
                parts.append(text[done:last])
                length += last - done
                gaps.append((length, start - last))
                done = start
            last = max(last, stop)
        runs.append(((begin, end), (first, length + end - done)))
    return Shortened("".join([*parts, text[done:]]) if gaps else text, gaps, runs)


def _loose(text: str, begin: int, end: int, may_begin: Callable[[str, int], bool]) -> list[tuple[int, int]]:
    """Return the parts of a long run in which a token is none by chance, such as behind zeros, in order."""
    found: list[tuple[int, int]] = []
    encoded = text[begin:end].encode()
    for table in _CLASSES:
        lacking = encoded.translate(table)
        place = lacking.find(_LACKS)
        while place >= 0:
            stop = lacking.find(b"\0", place + len(_LACKS))
            stop = len(encoded) if stop < 0 else stop
            following = lacking.find(_LACKS, stop) if stop < len(encoded) else -1
            # Pixels and samples repeat: no token does, but one may begin where they end.
            if encoded[place + _PERIOD : stop] == encoded[place : stop - _PERIOD]:
                place = max(place, stop - len(_LACKS) - _PERIOD)
            beyond = min(stop + _TAIL, len(encoded))
            if may_begin(text[begin + place : begin + beyond], stop - place):
                found.append((begin + place, begin + beyond))
            place = following
    return sorted(found)


def _long_runs(text: str) -> Iterator[tuple[int, int]]:
    """Yield where the long runs of base64 are; looks at one character of each block where there is none."""
    done = 0
    for place in range(0, len(text) - _BLOCK, _BLOCK):
        if place < done:
            continue
        for alphabet, run in _ALPHABETS:
            match = run.match(text, place)
            if match is not None:
                before = text[max(done, place - _BLOCK) : place]
                done = match.end()
                begin = place - len(before) + len(before.rstrip(alphabet))
                if done - begin >= _LONG:
                    yield begin, done
                break


def _decode_escape(match: re.Match[str]) -> str:
    if not match[0].startswith("&"):
        return chr(int(match[1], 16)) if match[1] else "/"
    name, decimal, digits = match.groups()
    return _HTML_NAMES[name] if name else chr(int(decimal) if decimal else int(digits, 16))


def has_base64(text: str, start: int = 0) -> bool:
    """Return whether a run of base64 that may be a text is in the text."""
    return next(_runs(text, start), None) is not None


def _runs(text: str, start: int) -> Iterator[tuple[int, int]]:
    for match in _RUN.finditer(text, start):
        begin, end = match.span()
        if text[begin - 1 : begin] == "\\" and text[begin] in "nrt":
            begin += 1  # the letter of an escape
        if not _IS_TEXT.match(text, begin):
            behind = _TEXT_BEHIND.search(text, begin, min(end, begin + _LONGEST_PATH))
            if behind is None:
                continue
            begin = behind.start() + 1
        yield begin, min(end, begin + LONGEST)


def decode_base64(
    text: str, start: int = 0, long: Sequence[tuple[int, int]] = ()
) -> Iterator[tuple[int, int, str]]:
    """Yield the runs of base64 that are texts: beginning, end, and the text. Images and hashes are none.

    Args:
        text: the text.
        start: where to begin.
        long: where the long runs are, which `hidden_texts` decodes.
    """
    for begin, end in _runs(text, start):
        if any(first <= begin < last for first, last in long):
            continue
        data = text[begin:end].translate(_FROM_URL_SAFE)
        if len(data) % 4 == 1:
            data = data[:-1]
        try:
            # UTF-16, as in the encoded commands of PowerShell, is ASCII with zeros between.
            decoded = a2b_base64(data + "==").replace(b"\0", b"").decode("utf-8", "replace")
        except ValueError:  # not base64 after all
            continue
        yield begin, end + len(text[end : end + 2]) - len(text[end : end + 2].lstrip("=")), decoded


class HiddenText(NamedTuple):
    """A text in a long run of base64.

    Attributes:
        text: the text.
        data: its bytes; they may have zeros that the text has not, as in UTF-16.
        begin: where in the run the base64 of these bytes begins.
    """

    text: str
    data: bytes
    begin: int

    def origin(self, start: int, end: int) -> tuple[int, int]:
        """Return where in the run the base64 of `text[start:end]` is: whole groups of four characters."""
        if len(self.text) == len(self.data):
            first, last = start, end
        elif b"\0" in self.data:
            places = [place for place, code in enumerate(self.data) if code]
            first, last = places[start], places[end - 1] + 1
        else:
            first = len(self.text[:start].encode())
            last = first + len(self.text[start:end].encode())
        return self.begin + first // 3 * 4, self.begin + -(-last // 3) * 4


def hidden_texts(run: str) -> Iterator[HiddenText]:
    """Yield what may be a text in a long run of base64, also between other data.

    What is before the base64 may be of characters of base64 too, as in a path, so all four ways to group it are tried.
    """
    encoded = run.encode().translate(_TO_STANDARD)
    for begin in range(4):
        data = a2b_base64(encoded[begin : begin + (len(encoded) - begin) // 4 * 4])
        is_text = data.translate(_TEXT_BYTES)
        if b"\0" in is_text and (text := _as_utf8(data)) is not None:
            yield HiddenText(text, data, begin)
            return
        place = is_text.find(_HAS_TEXT)
        while place >= 0:
            end = is_text.find(b"\0", place)
            end = len(data) if end < 0 else end
            first = place // 3 * 3  # of a group
            piece = data[first:end]
            # The rest of the group before the text is no part of it, but a place to count from.
            text = piece.translate(None, b"\0").decode("latin-1")
            if len(text) >= _SHORTEST_TEXT:
                yield HiddenText(text, piece, begin + first // 3 * 4)
                if len(piece) == len(data):
                    return
            place = is_text.find(_HAS_TEXT, end)


def _as_utf8(data: bytes) -> str | None:
    try:
        return None if b"\0" in data else data.decode()
    except UnicodeDecodeError:
        return None
