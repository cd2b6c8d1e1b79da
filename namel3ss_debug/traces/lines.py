"""Split the bytes of one trace file into lines, in constant memory and whatever the bytes are.

Lines come in batches with the place of the first one, so that the calling reader pays no more than a step of a
loop for each line. What cannot be read is skipped, counted, and reported by file and line (`Problems`). Gzip is
recognised by its first bytes, not by the name. Nothing here knows what an event is.
"""

from __future__ import annotations

import os
import stat
import zlib
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from namel3ss_debug.errors import TraceNotFoundError, UnreadableTraceError

CHUNK_BYTES = 64 * 1024
"""How much is read at a time; a larger piece no longer fits the processor's cache and is slower."""

LINE_LIMIT = 64 * 1024 * 1024
"""A line longer than this is skipped without being kept in memory."""

FREE_EXPANSION = 64 * 1024 * 1024
EXPANSION_LIMIT = 200
"""Past `FREE_EXPANSION` bytes, gzip data that grows more than this many times is taken for a bomb."""

LONGEST_LINE = 16 * 1024 * 1024
"""A first or a last line that is longer is not looked at."""

PACKED_BYTES = 4 * 1024 * 1024
"""Up to this size a compressed file is read whole to find its last line, which takes a few tenths of a second."""

_GZIP = b"\x1f\x8b"
_GZIP_WINDOW = 31
_ZSTD = b"\x28\xb5\x2f\xfd"
_UTF8_MARK = b"\xef\xbb\xbf"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


class Problem(NamedTuple):
    """Something in a file that could not be read as it is; line 0 means the file as a whole."""

    file: str
    line: int
    what: str


class Problems:
    """What was skipped or repaired while reading: all of it counted by kind, the first hundred with their places.

    `left_out` counts what an importer read well and has no place for in our format, by kind; that is no problem.
    """

    KEPT = 100

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.first: list[Problem] = []
        self.left_out: Counter[str] = Counter()

    def add(self, file: str, line: int, what: str, detail: str = "") -> None:
        """Count a problem of the kind `what`; `detail` is shown with the place but is not part of the kind."""
        self.counts[what] += 1
        if len(self.first) < self.KEPT:
            self.first.append(Problem(file, line, f"{what}: {detail}" if detail else what))

    def clear(self) -> None:
        """Forget everything, before a new pass over the trace."""
        self.counts.clear()
        self.first.clear()
        self.left_out.clear()

    @property
    def total(self) -> int:
        """How many problems there were, of every kind."""
        return self.counts.total()

    def __bool__(self) -> bool:
        return bool(self.counts)


class Batch(NamedTuple):
    """Some consecutive lines of a file, each with its line feed where it has one.

    `offset` is where the first line begins, in bytes (of the decompressed data), `number` its line number from
    1. `whole` is false when the (only) line has no line feed yet: it is torn, or still being written. `read` is the
    piece of the file that contains all lines but the first, with what surrounds them; None where it is not available.
    """

    offset: int
    number: int
    lines: list[bytes]
    whole: bool
    read: bytes | None = None


def open_regular(path: Path) -> int:
    """Open a regular file for reading and return its descriptor; never blocks on a FIFO.

    Raises:
        TraceNotFoundError: there is no such file.
        UnreadableTraceError: it is a directory, a device or a FIFO, or may not be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise TraceNotFoundError(f"{path}: no such file; `namel3ss debug list` shows the traces") from None
    except (OSError, ValueError) as error:
        raise UnreadableTraceError(f"{path}: cannot be opened: {_reason(error)}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UnreadableTraceError(f"{path}: not a regular file; give the .jsonl file of a trace")
    return descriptor


def may_be_read(path: Path) -> bool:
    """Return whether there is a regular file that can be opened for reading."""
    try:
        os.close(open_regular(path))
    except (TraceNotFoundError, UnreadableTraceError):
        return False
    return True


def read_batches(
    path: Path,
    problems: Problems,
    *,
    offset: int = 0,
    number: int = 1,
    consumed: Callable[[int], None] | None = None,
) -> Generator[Batch, None, None]:
    """Yield the lines of a file in batches.

    Args:
        path: the file, plain or gzip.
        problems: what had to be skipped is added to it.
        offset: where to begin, in bytes, in a file that is not compressed; the beginning of a line.
        number: the number of the line that begins there.
        consumed: called with the size in bytes of every piece read from the disk.

    Raises:
        TraceNotFoundError: there is no such file.
        UnreadableTraceError: it is not a regular file, may not be read, or is UTF-16 or zstd.
    """
    descriptor = open_regular(path)
    try:
        if offset:
            os.lseek(descriptor, offset, os.SEEK_SET)
        chunks = _raw_chunks(descriptor, path.name, problems, consumed)
        first = next(chunks, b"")
        if not offset:
            refuse_other_encodings(path, first)
            if first.startswith(_GZIP):
                chunks, first = _inflated(chain((first,), chunks), path.name, problems), b""
                first = next(chunks, b"")
            if first.startswith(_UTF8_MARK):
                first, offset = first[len(_UTF8_MARK) :], len(_UTF8_MARK)
        yield from _split(chain((first,), chunks), path.name, problems, offset, number)
    finally:
        os.close(descriptor)


def refuse_other_encodings(path: Path, head: bytes) -> None:
    """Refuse a file that is recognisably neither UTF-8 text nor gzip, by its first bytes.

    Raises:
        UnreadableTraceError: it is UTF-16 or zstd.
    """
    if head.startswith(_UTF16_MARKS):
        raise UnreadableTraceError(f"{path}: UTF-16 text; convert it with `iconv -f UTF-16 -t UTF-8`")
    if head.startswith(_ZSTD):
        raise UnreadableTraceError(f"{path}: zstd data; decompress it with `zstd -d`")


def head_lines(path: Path) -> list[bytes]:
    """Return the first lines that are not blank, without their line feeds; empty when the file cannot be read.

    It is also empty when the first line is longer than `LONGEST_LINE`: that is no line of a trace but a whole
    document of another tool, which would be read several times.
    """
    if _begins_with_a_document(path):
        return []
    try:
        with closing(read_batches(path, Problems())) as batches:  # else Ctrl-C in its end would be lost
            for batch in batches:
                lines = [line.removesuffix(b"\n") for line in batch.lines if line.strip()]
                if lines:
                    return lines
    except (TraceNotFoundError, UnreadableTraceError):
        pass
    return []


def _begins_with_a_document(path: Path) -> bool:
    try:
        if path.stat().st_size <= LONGEST_LINE:
            return False
        with open(open_regular(path), "rb") as file:
            return b"\n" not in file.read(LONGEST_LINE)
    except (OSError, TraceNotFoundError, UnreadableTraceError):
        return False


def first_line(path: Path) -> bytes:
    """Return the first line that is not blank, without its line feed; empty when there is none or it cannot be read."""
    return next(iter(head_lines(path)), b"")


def last_line(path: Path, limit: int = LONGEST_LINE) -> bytes:
    """Return the last line that ends with a line feed, without it; empty when it is longer than `limit` bytes.

    It is also empty for a compressed file that is damaged or larger than `PACKED_BYTES`: such a file would have to be
    read whole.
    """
    problems = Problems()
    last = b""
    try:
        size = path.stat().st_size
        packed = is_compressed(path)
        reach = (size if size <= PACKED_BYTES else 0) if packed else CHUNK_BYTES
        while reach and not last:
            start = 0 if reach >= size else size - reach
            for batch in read_batches(path, problems, offset=start):
                whole = batch.lines[start > 0 and batch.offset == start :] if batch.whole else []
                last = next((line for line in reversed(whole) if line.strip(b" \t\r\n\0")), last)
            reach = reach * 8 if start and reach < limit else 0
    except (OSError, TraceNotFoundError, UnreadableTraceError):
        return b""
    last = last.removesuffix(b"\n")
    return b"" if (packed and problems) or len(last) > limit else last


def is_compressed(path: Path) -> bool:
    """Return whether a file holds gzip data; False where it cannot be read."""
    try:
        descriptor = open_regular(path)
    except (TraceNotFoundError, UnreadableTraceError):
        return False
    try:
        return os.pread(descriptor, len(_GZIP), 0) == _GZIP
    except OSError:
        return False
    finally:
        os.close(descriptor)


def _raw_chunks(
    descriptor: int,
    name: str,
    problems: Problems,
    consumed: Callable[[int], None] | None,
) -> Iterator[bytes]:
    """Yield the bytes of a file as they are read."""
    while True:
        try:
            chunk = os.read(descriptor, CHUNK_BYTES)
        except OSError as error:
            problems.add(name, 0, "the rest cannot be read", _reason(error))
            return
        if not chunk:
            return
        if consumed is not None:
            consumed(len(chunk))
        yield chunk


def _inflated(chunks: Iterable[bytes], name: str, problems: Problems) -> Iterator[bytes]:
    """Decompress gzip data, member after member, and keep everything before a damaged place."""
    taken = produced = 0
    stream, inside = zlib.decompressobj(wbits=_GZIP_WINDOW), False
    for chunk in chunks:
        taken += len(chunk)
        data = chunk
        while True:
            before, inside = stream.copy(), True
            try:
                piece = stream.decompress(data, CHUNK_BYTES)
            except zlib.error:
                problems.add(name, 0, "damaged gzip data, the rest is lost")
                yield _until_damage(before, data)
                return
            yield piece
            produced += len(piece)
            if produced > FREE_EXPANSION and produced > EXPANSION_LIMIT * taken:
                problems.add(
                    name, 0, f"gzip data that expands more than {EXPANSION_LIMIT} times, not read on"
                )
                return
            data = stream.unconsumed_tail
            if stream.eof:
                data = stream.unused_data.lstrip(b"\0")
                stream, inside = zlib.decompressobj(wbits=_GZIP_WINDOW), False
                if not _GZIP.startswith(data[: len(_GZIP)]):
                    problems.add(name, 0, "something that is not gzip after gzip data, left out")
                    return
            if not data and len(piece) < CHUNK_BYTES:
                break
    if inside:
        problems.add(name, 0, "gzip data that breaks off")


def _until_damage(stream: zlib._Decompress, data: bytes) -> bytes:
    """Return the output of the stream before the error that `data` leads to; zlib itself discards that piece."""
    pieces = []
    try:
        while piece := stream.decompress(data, 1):
            pieces.append(piece)
            data = stream.unconsumed_tail
    except zlib.error:
        pass
    return b"".join(pieces)


def _split(
    chunks: Iterable[bytes], name: str, problems: Problems, offset: int, number: int
) -> Iterator[Batch]:
    """Split chunks into lines, complete ones a batch at a time; lines that are too long or blank are left out."""
    pieces: list[bytes] = []  # of a line whose end has not been read yet
    kept = 0
    skipping = False
    position = offset
    for read in chunks:
        chunk = read
        position += len(chunk)
        if skipping:
            end = chunk.find(b"\n") + 1
            if not end:
                continue
            chunk, skipping, number = chunk[end:], False, number + 1
            offset = position - len(chunk)
        lines = BytesIO(chunk).readlines()  # more than twice as fast as `split`, which goes byte by byte
        rest = lines.pop() if lines and lines[-1][-1:] != b"\n" else b""
        if lines:
            if pieces:
                pieces.append(lines[0])
                lines[0] = b"".join(pieces)
                pieces, kept = [], 0
            yield Batch(offset, number, lines, True, chunk)
            number += len(lines)
            offset = position - len(rest)
        if rest and not pieces and rest[0] == 0 and not rest.strip(b"\0"):
            # A hole left by a power loss, or by truncating the file under its writer: it may be gigabytes long.
            problems.add(name, number, "NUL bytes, left out")
            offset = position
            continue
        if rest:
            pieces.append(rest)
            kept += len(rest)
        if kept > LINE_LIMIT:
            problems.add(name, number, f"a line longer than {LINE_LIMIT >> 20} MiB, left out")
            pieces, kept, skipping = [], 0, True
    if pieces:
        yield Batch(offset, number, [b"".join(pieces)], False)


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
