"""The outline and the ledger of a large recording, kept in the user's cache directory beside its index.

They save the pass over a recording that made them. They are never required, and on any doubt made anew: the file
has a version and a checksum of each of its parts, and names the files of the recording as its index found them, and
the prices that its costs were worked out with.
Layout: a magic line, the numbers of all arrays one array after the other, then a JSON footer that tells their types,
lengths and checksums, with its own length and CRC-32. In the footer an array stands as its place among the arrays.
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

from namel3ss_debug import __version__, prices
from namel3ss_debug.replay.recording.ledger import Ledger
from namel3ss_debug.replay.recording.outline import Outline
from namel3ss_debug.traces.index import Identity, Index, index_path, read_footer, with_tail

VERSION: Final = 6

KEPT_FROM: Final = 8 * 1024 * 1024
"""What is made of a smaller recording, in bytes, is not worth a file: making it takes a tenth of a second."""

MOST_BYTES: Final = 512 * 1024 * 1024
"""How much is kept of all recordings together; what was not used for longest goes first."""

_MAGIC = b"namel3ss-debug outline\n"
_SUFFIX = ".outline"
_TYPES = "HIQd"
_DAMAGED = (OSError, RuntimeError, ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError)

Made = tuple[Outline, Ledger]


class Seen(NamedTuple):
    """The recording that an outline was made of.

    Attributes:
        files: its files, as they were.
        settled: whether its events stay as they are when the last file grows.
    """

    files: Sequence[Identity]
    settled: bool

    @classmethod
    def of(cls, index: Index) -> Seen:
        """The recording that an index was made of."""
        return cls(index.files, index.resume is not None and index.resume[1] == index.count)

    def grew_to(self, index: Index) -> bool:
        """Whether an index is of the same recording, with nothing but more events behind those that it had."""
        if not self.files or not self.settled or len(index.files) < len(self.files):
            return False
        old, new = self.files[-1], index.files[len(self.files) - 1]
        grew = new == old or new.size > old.size
        same = new._replace(size=old.size, modified_ns=old.modified_ns) == old
        return grew and same and list(self.files[:-1]) == index.files[: len(self.files) - 1]


def load(index: Index) -> Made | None:
    """What an earlier run kept of the recording; of an earlier state of it, where it only grew since.

    Returns:
        None where nothing is kept that can be trusted.
    """
    try:
        path = _path(index)
        with path.open("rb") as file:
            footer = _footer(file)
            seen = Seen([Identity(*each) for each in footer["files"]], footer["settled"])
            if seen.files != index.files and not seen.grew_to(index):
                return None
            if footer["prices"] != prices.fingerprint():
                return None
            arrays = _arrays(file, footer["arrays"])
        outline, ledger = Outline.of(footer["outline"], arrays), Ledger.of(footer["ledger"], arrays)
        if not outline.count == ledger.count == footer["count"] <= index.count:
            return None
        os.utime(path)
    except _DAMAGED:
        return None
    return outline, ledger


def save(index: Index, outline: Outline, ledger: Ledger) -> None:
    """Keep what was made of a recording, where it is large and there is a cache directory to keep it in.

    Args:
        index: the index of the recording, of as many events.
        outline: its outline.
        ledger: its ledger.
    """
    if sum(file.size for file in index.files) < KEPT_FROM:
        return
    seen = Seen.of(index)
    arrays: list[array[Any]] = []

    def place(value: object) -> int:
        assert isinstance(value, array)
        arrays.append(value)
        return len(arrays) - 1

    told = {
        "count": outline.count,
        "files": [list(file) for file in seen.files],
        "settled": seen.settled and outline.can_grow,
        "prices": prices.fingerprint(),
        "outline": outline.told(),
        "ledger": ledger.told(),
    }
    try:
        body = orjson.dumps(told, default=place)
        layout = [[each.typecode, len(each), zlib.crc32(each)] for each in arrays]
        made_by = [VERSION, __version__, sys.byteorder, [array(kind).itemsize for kind in _TYPES]]
        footer = b'{"made_by":%b,"arrays":%b,%b' % (orjson.dumps(made_by), orjson.dumps(layout), body[1:])
        _write(_path(index), arrays, footer)
    except (OSError, RuntimeError, TypeError):
        return  # it serves this process all the same


def _path(index: Index) -> Path:
    return index_path(Path(index.files[0].path)).with_suffix(_SUFFIX)


def _write(path: Path, arrays: list[array[Any]], footer: bytes) -> None:
    """Write the file whole or not at all, and make room for it."""
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


def _footer(file: IO[bytes]) -> dict[str, Any]:
    footer = read_footer(file, _MAGIC)
    if footer["made_by"] != [VERSION, __version__, sys.byteorder, [array(kind).itemsize for kind in _TYPES]]:
        raise ValueError("another version")
    return footer


def _arrays(file: IO[bytes], layout: list[tuple[str, int, int]]) -> list[array[Any]]:
    """The arrays of a file, each checked."""
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
    found = sorted(((path.stat(), path) for path in directory.glob(f"*{_SUFFIX}")), key=_age)
    room = MOST_BYTES
    for state, path in found:
        room -= state.st_size
        if room < 0:
            path.unlink(missing_ok=True)


def _age(found: tuple[os.stat_result, Path]) -> float:
    return -found[0].st_mtime
