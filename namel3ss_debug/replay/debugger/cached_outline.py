"""The outline and the running totals of a large trace, kept in the user's cache directory beside its index.

They save reading the whole trace again. They are never required, and rebuilt on any doubt: the file has a version and
a checksum of each of its parts, and names the files of the trace as its index found them, and the prices that its
costs were computed with.
Layout: a magic line, the numbers of all arrays one array after the other, then a JSON footer with their types, lengths
and checksums, and its own length and CRC-32. In the footer an array is written as its index among the arrays.
"""

from __future__ import annotations

import os
import sys
import tempfile
import zlib
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

import orjson

from namel3ss_debug import prices
from namel3ss_debug.replay.debugger.outline import Outline
from namel3ss_debug.replay.debugger.running_totals import CumulativeTotals
from namel3ss_debug.traces.index import Identity, Index, index_path, read_footer, with_tail
from namel3ss_debug.version import __version__

VERSION: Final = 7

KEPT_FROM: Final = 8 * 1024 * 1024
"""The least size of a trace, in bytes, whose outline is kept: building a smaller one takes a tenth of a second."""

MOST_BYTES: Final = 512 * 1024 * 1024
"""How much is kept for all traces together; the least recently used goes first."""

_MAGIC = b"namel3ss-debug outline\n"
_SUFFIX = ".outline"
_TYPES = "HIQd"
_DAMAGED = (OSError, RuntimeError, ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError)

CachedTotals = tuple[Outline, CumulativeTotals]


class OutlinedTrace(NamedTuple):
    """The files that an outline was made from.

    Attributes:
        files: the files of the trace, as they were.
        settled: whether its events keep their numbers when the last file grows.
    """

    files: Sequence[Identity]
    settled: bool

    @classmethod
    def of_index(cls, index: Index) -> OutlinedTrace:
        """Return the files that an index was made from."""
        return cls(index.files, index.resume is not None and index.resume[1] == index.count)

    def grew_to(self, index: Index) -> bool:
        """Return whether an index is of the same trace, which has only grown at its end."""
        if not self.files or not self.settled or len(index.files) < len(self.files):
            return False
        old, new = self.files[-1], index.files[len(self.files) - 1]
        grew = new == old or new.size > old.size
        same = new._replace(size=old.size, modified_ns=old.modified_ns) == old
        return grew and same and list(self.files[:-1]) == index.files[: len(self.files) - 1]


def load(index: Index) -> CachedTotals | None:
    """Return what an earlier run kept of the trace, or of an earlier state of it if it has only grown since.

    Returns:
        None if nothing is kept, or it does not fit.
    """
    try:
        path = _path(index)
        with path.open("rb") as file:
            footer = _read_footer(file)
            outlined = OutlinedTrace([Identity(*each) for each in footer["files"]], footer["settled"])
            if outlined.files != index.files and not outlined.grew_to(index):
                return None
            if footer["prices"] != prices.fingerprint():
                return None
            arrays = _read_arrays(file, footer["arrays"])
        outline = Outline.from_json(footer["outline"], arrays)
        totals = CumulativeTotals.from_json(footer["totals"], arrays)
        if not outline.count == totals.count == footer["count"] <= index.count:
            return None
        os.utime(path)
    except _DAMAGED:
        return None
    return outline, totals


def save(index: Index, outline: Outline, totals: CumulativeTotals) -> None:
    """Keep the outline and totals of a trace if it is large and there is a cache directory.

    Args:
        index: the index of the trace, of as many events.
        outline: its outline.
        totals: its running totals.
    """
    if sum(file.size for file in index.files) < KEPT_FROM:
        return
    outlined = OutlinedTrace.of_index(index)
    arrays: list[array[Any]] = []

    def index_of(value: object) -> int:
        assert isinstance(value, array)
        arrays.append(value)
        return len(arrays) - 1

    document = {
        "count": outline.count,
        "files": [list(file) for file in outlined.files],
        "settled": outlined.settled and outline.can_grow,
        "prices": prices.fingerprint(),
        "outline": outline.to_json(),
        "totals": totals.to_json(),
    }
    try:
        body = orjson.dumps(document, default=index_of)
        layout = [[each.typecode, len(each), zlib.crc32(each)] for each in arrays]
        made_by = [VERSION, __version__, sys.byteorder, [array(kind).itemsize for kind in _TYPES]]
        footer = b'{"made_by":%b,"arrays":%b,%b' % (orjson.dumps(made_by), orjson.dumps(layout), body[1:])
        _write(_path(index), arrays, footer)
    except (OSError, RuntimeError, TypeError):
        return  # the next session builds it again


def _path(index: Index) -> Path:
    return index_path(Path(index.files[0].path)).with_suffix(_SUFFIX)


def _write(path: Path, arrays: list[array[Any]], footer: bytes) -> None:
    """Write the file whole or not at all, and delete the oldest files beyond the limit."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix="new-", suffix=".tmp", delete=False) as file:
        try:
            file.write(_MAGIC)
            for each in arrays:
                file.write(each)
            file.write(with_tail(footer))
            file.close()
            os.replace(file.name, path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
    _prune(path.parent)


def _read_footer(file: IO[bytes]) -> dict[str, Any]:
    footer = read_footer(file, _MAGIC)
    if footer["made_by"] != [VERSION, __version__, sys.byteorder, [array(kind).itemsize for kind in _TYPES]]:
        raise ValueError("another version")
    return footer


def _read_arrays(file: IO[bytes], layout: list[tuple[str, int, int]]) -> list[array[Any]]:
    """Read the arrays of a file, and check each."""
    file.seek(len(_MAGIC))
    arrays = []
    for kind, length, checksum in layout:
        numbers: array[Any] = array(kind)
        numbers.fromfile(file, length)
        if zlib.crc32(numbers) != checksum:
            raise ValueError("damaged array")
        arrays.append(numbers)
    return arrays


def _prune(directory: Path) -> None:
    found = [(path.stat(), path) for path in directory.glob(f"*{_SUFFIX}")]
    found.sort(key=lambda each: -each[0].st_mtime)
    room = MOST_BYTES
    for state, path in found:
        room -= state.st_size
        if room < 0:
            path.unlink(missing_ok=True)
