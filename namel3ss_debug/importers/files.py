"""Read the files of other writers: the beginning of one, its JSON lines, its JSON documents, and what is left of a damaged one."""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from namel3ss_debug.errors import TraceNotFoundError, UnreadableTraceError
from namel3ss_debug.traces.lines import Problems, open_regular, read_batches

HEAD_BYTES: Final = 256 * 1024
"""How much of the beginning of a file an importer sees."""

LARGEST_REPAIRED: Final = 16 * 1024 * 1024
"""A damaged document with more characters than this is not repaired: it would take seconds."""

LARGEST_WHOLE: Final = 8 * 1024 * 1024
"""A document of more bytes is read in pieces where it is an array, or the importer names one in it."""

_PIECE: Final = 100
_BRACKET = re.compile(rb'[^"{}\[\]]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"[^"{}\[\]]*+)*+[{}\[\]]', re.DOTALL)
"""What is before the next bracket outside of strings, and the bracket: a match for each string would take twice as long."""

_GZIP: Final = b"\x1f\x8b"
_LARGEST_UNPACKED: Final = 1 << 30
_PEEKED_LINES: Final = 20
_BEGINNING = re.compile(r"(?:\A\s*|(?<=\n))[{\[]")
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|["{}\[\],]', re.DOTALL)
_CLOSES = {"{": "}", "[": "]"}


class Row(NamedTuple):
    """A JSON object on a line of a file; a document that is an object counts as one on line 1."""

    file: str
    line: int
    value: dict[str, Any]


def read_head(path: Path) -> bytes:
    """Return the first bytes of a file, of a compressed one those of its content; empty when it cannot be read."""
    try:
        descriptor = open_regular(path)
    except (TraceNotFoundError, UnreadableTraceError):
        return b""
    try:
        head = os.read(descriptor, HEAD_BYTES)
        if head.startswith(_GZIP):
            head = zlib.decompressobj(wbits=31).decompress(head, HEAD_BYTES)
    except (OSError, zlib.error):
        return b""
    finally:
        os.close(descriptor)
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip(b"\0 \t\r\n")
    return text if text.startswith((b"{", b"[")) else head  # protobuf may begin with the byte of a line end


@lru_cache(maxsize=2)
def peek(head: bytes) -> list[Any]:
    """Return the JSON values near the beginning of a file; of a document that is cut there, what is before the cut."""
    lines = [line for line in head.split(b"\n")[:_PEEKED_LINES] if line.strip()]
    values = []
    for line in lines:
        try:
            values.append(orjson.loads(line))
        except ValueError:
            continue
    if (
        2 * len(values) >= len(lines) and values
    ):  # a document over many lines has a few that parse by themselves
        return values
    document = repair(head.decode(errors="replace"))
    return [] if document is None else [document]


def peek_objects(head: bytes) -> list[dict[str, Any]]:
    """Return the JSON objects near the beginning of a file; those of an array count as well."""
    found = []
    for value in peek(head):
        found += value if isinstance(value, list) else [value]
    return [value for value in found if isinstance(value, dict)]


def repair(text: str) -> Any:
    """Return the part of a JSON text that can be read, its brackets closed where it breaks off; None where there is none."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        text = text[: error.pos] if error.pos else text
    except ValueError:
        return None
    if len(text) > LARGEST_REPAIRED:
        return None
    # The text is cut behind the last value that is complete, and as often again as what is left does not parse: a key
    # without its value is still before the first cut.
    cuts = [0]
    for token in _TOKEN.finditer(text):
        if token[0] == '"':  # a string that breaks off; what is inside of it is no structure
            break
        if token[0][0] != '"':
            cuts.append(token.start() if token[0] == "," else token.end())
    for cut in reversed(cuts[-3:]):
        stack: list[str] = []
        for token in _TOKEN.finditer(text, 0, cut):
            if token[0] in _CLOSES:
                stack.append(token[0])
            elif token[0] in "}]" and stack:
                stack.pop()
        try:
            return orjson.loads(text[:cut] + "".join(_CLOSES[each] for each in reversed(stack)))
        except ValueError:
            continue
    return None


def read_rows(path: Path, problems: Problems, consumed: Callable[[int], None] | None = None) -> Iterator[Row]:
    """Yield the JSON objects on the lines of a file, as they are read; other lines are noted in `problems`."""
    for batch in read_batches(path, problems, consumed=consumed):
        for number, line in enumerate(batch.lines, batch.number):
            if not line.strip():
                continue
            try:
                value = orjson.loads(line)
            except ValueError:
                value = repair(line.decode(errors="replace")) if not batch.whole else None
                problems.add(path.name, number, "not JSON" if batch.whole else "a torn last line")
            if isinstance(value, dict):
                yield Row(path.name, number, value)
            elif value is not None:
                problems.add(path.name, number, "not a JSON object")


def read_objects(
    path: Path, problems: Problems, consumed: Callable[[int], None] | None = None
) -> Iterator[dict[str, Any]]:
    """Yield the objects on the lines of a file, or of an array that has them."""
    if read_head(path).startswith(b"["):
        yield from read_documents(path, problems, consumed)
    else:
        yield from (row.value for row in read_rows(path, problems, consumed))


def read_documents(
    path: Path, problems: Problems, consumed: Callable[[int], None] | None = None, *, split: str = ""
) -> Iterator[dict[str, Any]]:
    """Yield the objects of a file that is one JSON document, an array of them, or one on each line.

    Of a damaged document, the part before the damage is read.

    Args:
        path: the file.
        problems: what cannot be read is added to it.
        consumed: called with the size of every piece that was read.
        split: the name of an array in the document: a large document is yielded in pieces, each with some of its items and
            with all other fields, because parsed at once it would take seven times its size.
    """
    if _has_rows(read_head(path)):
        for row in read_rows(path, problems, consumed):
            yield row.value
        return
    for value in _load(path, problems, consumed, split):
        if isinstance(value, dict):
            yield value
        else:
            problems.add(path.name, 1, "not a JSON object")


def read_bytes(path: Path, problems: Problems, consumed: Callable[[int], None] | None = None) -> bytes:
    """Return the content of a file, unpacked."""
    descriptor = open_regular(path)
    with os.fdopen(descriptor, "rb") as file:
        data = file.read()
    if consumed is not None:
        consumed(len(data))
    if data.startswith(_GZIP):
        stream = zlib.decompressobj(wbits=31)
        try:
            data = stream.decompress(data, _LARGEST_UNPACKED)
        except zlib.error:
            problems.add(path.name, 0, "damaged gzip data, the rest is lost")
            return b""
        if not stream.eof:
            problems.add(path.name, 0, "gzip data that breaks off")
    return data.removeprefix(b"\xef\xbb\xbf")


def _has_rows(head: bytes) -> bool:
    """Return whether the first two lines are JSON objects."""
    first, _, rest = head.partition(b"\n")
    second = rest.lstrip().partition(b"\n")[0]
    try:
        return isinstance(orjson.loads(first), dict) and second[:1] == b"{"
    except ValueError:
        return False


def _load(
    path: Path, problems: Problems, consumed: Callable[[int], None] | None, split: str
) -> Iterator[Any]:
    data = read_bytes(path, problems, consumed)
    if len(data) > LARGEST_WHOLE:
        places = _find_items(data, split.encode())
        if places is not None:
            yield from _load_pieces(data, *places, split)
            return
    try:
        documents = [orjson.loads(data)]
    except ValueError:
        documents = _load_several(data.decode(errors="replace"), path.name, problems)
    del data
    for document in documents:
        if isinstance(document, list):
            yield from document
        elif document is not None:
            yield document


def _load_several(text: str, name: str, problems: Problems) -> list[Any]:
    """Return the documents of a text that has one after another, as the console exporter of OpenTelemetry prints spans.

    What the program printed between them is left out. Of a damaged document, the part before the damage is returned.
    """
    decoder, at = json.JSONDecoder(parse_int=_parse_int), 0
    found: list[Any] = []
    while (start := _BEGINNING.search(text, at)) is not None:
        if text[at : start.start()].strip():
            problems.add(name, 1 + text.count("\n", 0, at), "not JSON")
        try:
            value, at = decoder.raw_decode(text, start.end() - 1)
        except (ValueError, RecursionError):
            problems.add(name, 0, "damaged JSON, only the part before it could be read")
            return [*found, repair(text[start.end() - 1 :])]
        found.append(value)
    return found


def _parse_int(text: str) -> int | float:
    """Return a number as orjson does: arithmetic with a float fails on an integer that is larger than any float."""
    return int(text) if len(text) < 20 else float(text)


def _find_items(data: bytes, name: bytes) -> tuple[list[tuple[int, int]], int, int] | None:
    """Return where the items of an array are in a document, and where the array begins and ends.

    The array is the document itself, or the member of that name; None where there is none, or the brackets do not fit.
    """
    wanted = 1 if data.lstrip()[:1] == b"[" else 2
    member = re.compile(rb'"%s"\s*:\s*\[\Z' % re.escape(name))
    depth = begun = 0
    array = -1
    found: list[tuple[int, int]] = []
    for token in _BRACKET.finditer(data):
        end = token.end()
        bracket = data[end - 1]
        if bracket in b"{[":
            depth += 1
            if array >= 0:
                if depth == wanted + 1:
                    begun = end - 1
            elif depth == wanted and bracket == 0x5B and (wanted == 1 or member.search(token[0])):
                array = end - 1
        else:
            if array >= 0:
                if depth == wanted + 1 and bracket == 0x7D:
                    found.append((begun, end))
                elif depth == wanted:
                    return (found, array, end) if found else None
            depth -= 1
    return None


def _load_pieces(
    data: bytes, items: list[tuple[int, int]], begun: int, ended: int, name: str
) -> Iterator[Any]:
    rest = orjson.loads(data[:begun] + b"[]" + data[ended:])
    for first in range(0, len(items), _PIECE):
        piece = [orjson.loads(data[start:end]) for start, end in items[first : first + _PIECE]]
        if isinstance(rest, dict):
            yield {**rest, name: piece}
        else:
            yield from piece
