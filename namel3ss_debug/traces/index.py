"""Random access to the events of a trace: an index of their places, or a temporary copy where they have no places.

The index is in a file in the user's cache directory. With it, `event(900_000)` of a large trace takes two reads. It is never required and never trusted: every block
has a checksum, every place has the CRC-32 of its line, and in any doubt the caller builds it anew. The index of a trace
of one process that only grew is continued. Layout: a magic line, blocks of up to `BLOCK` entries (places
as 64-bit numbers, checksums as 32-bit numbers, CRC-32 of the block), then a JSON footer with its length and CRC-32.
"""

from __future__ import annotations

import hashlib
import io
import marshal
import os
import struct
import sys
import tempfile
import weakref
import zlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import IO, Any, NamedTuple

import orjson

from namel3ss_debug.errors import TraceNotFoundError, UnreadableTraceError
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.lines import LINE_LIMIT, first_line, open_regular
from namel3ss_debug.traces.process import LinePlace, Resume, read_event_line

VERSION = 1
BLOCK = 4096
"""Entries in a block: what is read and checked to find one event."""

WRITTEN_FROM = 1024 * 1024
"""The index of a smaller trace is not worth a file: building it takes milliseconds."""

MOST_FILES = 100
"""How many indexes the cache directory keeps; the oldest are removed first."""

_MAGIC = b"namel3ss-debug index\n"
_ENTRY = 12
_OFFSET_BITS = 48
_OFFSET_MASK = (1 << _OFFSET_BITS) - 1
_BLOCK_BYTES = BLOCK * _ENTRY + 4
_TAIL = struct.Struct("<II")
_MOST_FOOTER = 256 * 1024 * 1024
_MOST_OPEN_FILES = 32
_BUFFER = 32 * 1024
_LOOKED_BACK = 28 * 1024  # how much before a line is read with it, on the way backwards
_FAST = 1  # the level of compression of a spool
_SPOOL_BLOCK = 64


class Identity(NamedTuple):
    """The state of a file of the trace when it was indexed; `size` is how many bytes of it were read."""

    path: str
    device: int
    inode: int
    size: int
    modified_ns: int
    head: str


class StaleIndexError(Exception):
    """The index is damaged or does not fit the trace any more; build it anew."""


def close_file(file: IO[bytes]) -> None:
    """Close a file that is only read.

    Closing moves the offset back over what was read ahead. A forked process shares the offset, and may have done it already.
    """
    with suppress(OSError):
        file.close()


class Index:
    """An index that was read or has just been built.

    Attributes:
        count: how many events the trace has.
        seekable: whether places are known; otherwise only the count is.
        files: the files it was made of.
        resume: where a further pass could go on, with the number of events up to there.
    """

    def __init__(self, file: IO[bytes], footer: dict[str, Any]) -> None:
        self.count = int(footer["count"])
        self.seekable = bool(footer["seekable"])
        self.files = [Identity(*identity) for identity in footer["files"]]
        saved = footer["resume"]
        self.resume: tuple[Resume, int] | None = (Resume(*saved[:4]), int(saved[4])) if saved else None
        self._file = file
        weakref.finalize(
            self, close_file, file
        )  # in a circle of references a file would go first, with a warning
        self._loaded: tuple[int, array[int], array[int]] | None = None

    def place(self, number: int) -> LinePlace:
        """Return the place of event `number` (from 1).

        Raises:
            StaleIndexError: the index is damaged.
        """
        block, entry = divmod(number - 1, BLOCK)
        if self._loaded is None or self._loaded[0] != block:
            self._loaded = (block, *self._read_block(block))
        place, checksum = self._loaded[1][entry], self._loaded[2][entry]
        return LinePlace(place >> _OFFSET_BITS, place & _OFFSET_MASK, checksum)

    def places(self, start: int) -> Iterator[LinePlace]:
        """Yield the places of the events from number `start` on."""
        while start <= self.count:
            block, entry = divmod(start - 1, BLOCK)
            places, checksums = self._read_block(block)
            for place, checksum in zip(places[entry:], checksums[entry:], strict=True):
                yield LinePlace(place >> _OFFSET_BITS, place & _OFFSET_MASK, checksum)
            start += len(places) - entry

    def discard(self) -> None:
        """Remove a stale index, so that it is not used again."""
        try:
            index_path(Path(self.files[0].path)).unlink(missing_ok=True)
        except (OSError, RuntimeError, IndexError):
            pass

    def fits(self, files: Sequence[Path]) -> bool:
        """Return whether the files are unchanged since they were indexed."""
        return len(files) == len(self.files) and all(
            _unchanged(identity, path) for identity, path in zip(self.files, files, strict=True)
        )

    def continues(self, files: Sequence[Path]) -> bool:
        """Return whether the files only grew at the end, so that the index can be continued.

        The caller must know that they all belong to one process.
        """
        known = len(self.files)
        if self.resume is None or len(files) < known or not known:
            return False
        if not all(_unchanged(old, path) for old, path in zip(self.files[:-1], files, strict=False)):
            return False
        last, now = self.files[-1], identify(files[known - 1])
        return (
            now is not None
            and now._replace(size=last.size, modified_ns=last.modified_ns) == last
            and now.size >= last.size
        )

    def block(self, block: int) -> bytes:
        """Return the bytes of the block with this number (from 0) in the file.

        Raises:
            StaleIndexError: the index is damaged.
        """
        entries = min(BLOCK, self.count - block * BLOCK)
        try:
            self._file.seek(len(_MAGIC) + block * _BLOCK_BYTES)
            data = self._file.read(entries * _ENTRY + 4)
        except (OSError, ValueError) as error:
            raise StaleIndexError(str(error)) from error
        if len(data) != entries * _ENTRY + 4 or zlib.crc32(data[:-4]) != int.from_bytes(data[-4:], "little"):
            raise StaleIndexError("damaged block")
        return data

    def _read_block(self, block: int) -> tuple[array[int], array[int]]:
        data = self.block(block)
        places = (len(data) - 4) // _ENTRY * 8
        return _array("Q", data[:places]), _array("I", data[places:-4])


class IndexBuilder:
    """Makes an `Index` from the places of events, which are added one after the other.

    Args:
        files: the files of the trace, in its order.
        continued: an index to go on from, at its `resume` point.
    """

    def __init__(self, files: Sequence[Path], continued: Index | None = None) -> None:
        self.count = 0
        self._places = array("Q")
        self._checksums = array("I")
        self._identities = [identify(path) for path in files]  # before the pass: growth during it is growth
        large = sum(state.size for state in self._identities if state is not None) >= WRITTEN_FROM
        self._file, self._target = _temporary(files[0] if large else None)
        self._file.write(_MAGIC)
        if continued is not None and continued.resume is not None:
            whole, rest = divmod(continued.resume[1], BLOCK)
            for block in range(whole):
                self._file.write(continued.block(block))
            self.count = whole * BLOCK
            for number in range(self.count + 1, self.count + rest + 1):
                self.add(continued.place(number))

    def add(self, place: LinePlace) -> None:
        """Append the place of the next event."""
        self.count += 1
        self._places.append(place.file << _OFFSET_BITS | place.offset)
        self._checksums.append(place.checksum)
        if len(self._places) == BLOCK:
            self._flush()

    def abandon(self) -> None:
        """Remove everything when the pass was broken off."""
        self._file.close()
        if self._target is not None:
            Path(self._file.name).unlink(missing_ok=True)

    def finish(
        self, *, seekable: bool, sizes: dict[int, int], resume: Resume | None, resume_count: int
    ) -> Index:
        """Write the index to the cache directory, if that is possible, and return it.

        Args:
            seekable: whether the places can be used.
            sizes: file number -> bytes that were read of that file.
            resume: where a further pass can go on.
            resume_count: how many events there are before that point.
        """
        self._flush()
        files = [
            identity._replace(size=sizes.get(number, identity.size))
            for number, identity in enumerate(self._identities)
            if identity is not None
        ]
        footer = {
            "version": VERSION,
            "byteorder": sys.byteorder,
            "count": self.count,
            "seekable": seekable,
            "files": [list(identity) for identity in files],
            "resume": [*resume, resume_count] if resume and seekable else None,
        }
        data = orjson.dumps(footer)
        try:
            self._file.write(with_tail(data))
            self._file.flush()
            self._publish(complete=len(files) == len(self._identities))
        except OSError:
            pass  # the temporary file serves this process
        return Index(self._file, footer)

    def _flush(self) -> None:
        if self._places:
            data = self._places.tobytes() + self._checksums.tobytes()
            self._file.write(data + zlib.crc32(data).to_bytes(4, "little"))
            self._places, self._checksums = array("Q"), array("I")

    def _publish(self, *, complete: bool) -> None:
        if self._target is None:
            return
        if complete:
            os.replace(self._file.name, self._target)
            _prune(self._target.parent)
        else:
            os.unlink(self._file.name)


def read_places(places: Iterable[LinePlace], files: tuple[Path, ...]) -> Iterator[Event]:
    """Read events at their places.

    Raises:
        StaleIndexError: there is another line at a place.
    """
    lines = PlaceReader()
    try:
        for place in places:
            yield lines.event(place, files)
    finally:
        lines.close()


class PlaceReader:
    """Reads events at their places, from files that stay open from one to the next.

    Going backwards, the bytes before a line are read with it, so that it costs no more than going forwards.

    Args:
        is_watching: whether a file is opened anew when it has changed.
    """

    def __init__(self, *, is_watching: bool = False) -> None:
        self._is_watching = is_watching
        self._opened: dict[int, tuple[object, io.BufferedReader]] = {}
        self._buffered_from: dict[int, int] = {}

    def event(self, place: LinePlace, files: tuple[Path, ...]) -> Event:
        """Return the event at a place.

        Raises:
            StaleIndexError: there is another line at the place.
        """
        try:
            path = files[place.file]
            file = self._file(place.file, path)
            if place.offset < self._buffered_from.setdefault(place.file, place.offset):
                self._buffered_from[place.file] = max(place.offset - _LOOKED_BACK, 0)
                file.seek(self._buffered_from[place.file])
                file.peek(1)
            file.seek(place.offset)
            line = file.readline(LINE_LIMIT + 1).removesuffix(b"\n")
        except (OSError, ValueError, IndexError, TraceNotFoundError, UnreadableTraceError) as error:
            raise StaleIndexError(str(error)) from error
        event = read_event_line(line, path) if zlib.crc32(line) == place.checksum else None
        if event is None:
            raise StaleIndexError("the trace has changed")
        return event

    def close(self) -> None:
        """Close the files."""
        while self._opened:
            close_file(self._opened.popitem()[1][1])

    def _file(self, number: int, path: Path) -> io.BufferedReader:
        state = None
        if self._is_watching:
            now = os.stat(path)
            state = (path, now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns)
        known = self._opened.get(number)
        if known is not None and known[0] == state:
            return known[1]
        if known is not None or len(self._opened) >= _MOST_OPEN_FILES:
            self._opened.pop(number if known is not None else next(iter(self._opened)))[1].close()
        file: io.BufferedReader = io.BufferedReader(io.FileIO(open_regular(path)), _BUFFER)
        self._opened[number] = state, file
        return file


class Spool:
    """A temporary copy of all events of a trace that can only be read from its beginning, compressed.

    Compressed files, one JSON document, and files of other writers have no line for each event whose place an index
    could hold. Where such a trace is read again and again, its events are written once.

    Args:
        events: the events in order.

    Raises:
        OSError: there is no room for them.
    """

    def __init__(self, events: Iterable[Event]) -> None:
        import sqlite3  # few traces need it

        self.count = 0
        # A database without a name is a temporary file, which disappears when it is closed.
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        weakref.finalize(self, self._database.close)
        try:
            self._database.execute("CREATE TABLE blocks (number INTEGER PRIMARY KEY, events BLOB)")
            self._database.execute("BEGIN")
            self._database.executemany("INSERT INTO blocks VALUES (?, ?)", self._blocks(iter(events)))
            self._database.execute("COMMIT")
        except sqlite3.Error as error:
            raise OSError(str(error)) from error

    def events(self, start: int) -> Iterator[Event]:
        """Yield the events from a number on."""
        number, skipped = divmod(start - 1, _SPOOL_BLOCK)
        blocks = self._database.execute(
            "SELECT events FROM blocks WHERE number >= ? ORDER BY number", (number,)
        )
        for (block,) in blocks:
            # This process has written it.
            yield from marshal.loads(zlib.decompress(block))[skipped:]  # noqa: S302
            skipped = 0

    def _blocks(self, events: Iterator[Event]) -> Iterator[tuple[int, bytes]]:
        """Yield blocks of events with their numbers, from 0; compressing single events would take eight times as long."""
        while block := [*islice(events, _SPOOL_BLOCK)]:
            # `marshal` keeps integers of any size.
            yield self.count // _SPOOL_BLOCK, zlib.compress(marshal.dumps(block), _FAST)
            self.count += len(block)


def load_index(files: Sequence[Path]) -> Index | None:
    """Return the index that an earlier run has written for these files; None when there is none, or it is damaged.

    The caller checks whether it still fits (`fits`, `continues`).
    """
    try:
        file = index_path(files[0]).open("rb")
    except (OSError, RuntimeError):
        return None
    try:
        footer = read_footer(file, _MAGIC)
        if footer["version"] == VERSION and footer["byteorder"] == sys.byteorder:
            return Index(file, footer)
    except (StaleIndexError, OSError, ValueError, TypeError, KeyError, IndexError):
        pass
    file.close()
    return None


def index_path(first: Path) -> Path:
    """Return where the index of the trace with this first file is kept.

    Raises:
        RuntimeError: there is no home directory.
    """
    base = os.environ.get("XDG_CACHE_HOME", "")
    directory = (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "namel3ss-debug"
    name = hashlib.sha256(os.fsencode(os.path.realpath(first))).hexdigest()[:32]
    return directory / f"{name}.index"


def identify(path: Path) -> Identity | None:
    """Return the state of a file now; None when it cannot be read."""
    try:
        descriptor = open_regular(path)
    except (TraceNotFoundError, UnreadableTraceError):
        return None
    try:
        state = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    head = hashlib.sha256(first_line(path)).hexdigest()
    return Identity(str(path), state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, head)


def _unchanged(identity: Identity, path: Path) -> bool:
    """Return whether a file is unchanged; its first line is only read after the cheaper checks have passed."""
    try:
        state = os.stat(path)
    except OSError:
        return False
    now = (str(path), state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns)
    return now == identity[:5] and identify(path) == identity


def read_footer(file: IO[bytes], magic: bytes) -> dict[str, Any]:
    """Return the JSON at the end of a file that begins with a magic line; its length and CRC-32 follow it.

    Raises:
        ValueError: the file is of another kind, or damaged.
    """
    if file.read(len(magic)) != magic:
        raise ValueError("it does not begin as it should")
    end = file.seek(-_TAIL.size, os.SEEK_END)
    length, checksum = _TAIL.unpack(file.read(_TAIL.size))
    if length > min(_MOST_FOOTER, end):
        raise ValueError("damaged footer")
    file.seek(end - length)
    data = file.read(length)
    if zlib.crc32(data) != checksum:
        raise ValueError("damaged footer")
    footer: dict[str, Any] = orjson.loads(data)
    return footer


def with_tail(footer: bytes) -> bytes:
    """Return a footer with its length and CRC-32, as `read_footer` reads it at the end of a file."""
    return footer + _TAIL.pack(len(footer), zlib.crc32(footer))


def _temporary(first: Path | None) -> tuple[IO[bytes], Path | None]:
    """Return a temporary file beside its target, and the target; a file without a name where the cache cannot be written."""
    if first is None:
        return tempfile.TemporaryFile(), None
    try:
        target = index_path(first)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = tempfile.NamedTemporaryFile(dir=target.parent, prefix="new-", suffix=".tmp", delete=False)  # noqa: SIM115
    except (OSError, RuntimeError):
        return tempfile.TemporaryFile(), None
    return file, target


def _prune(directory: Path) -> None:
    found = sorted((os.stat(path).st_mtime, path) for path in directory.glob("*.index"))
    for _, path in found[:-MOST_FILES]:
        path.unlink(missing_ok=True)


def _array(kind: str, data: bytes) -> array[int]:
    numbers: array[int] = array(kind)
    numbers.frombytes(data)
    return numbers
