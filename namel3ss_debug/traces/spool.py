"""Random access to the events of a trace that can only be read from its beginning.

Compressed files, one JSON document, and files of other writers have no line for each event whose place an index could
hold. Where such a trace is read again and again, its events are written once, in compressed blocks, to a file
without a name, which disappears with the process.
"""

from __future__ import annotations

import json
import tempfile
import weakref
import zlib
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator

import orjson

from namel3ss_debug.traces.events import Event

_BLOCK_EVENTS = 256
_BLOCK_BYTES = 256 * 1024
_FAST = 1
_BY_JSON = b"!"


class Spool:
    """All events of a trace, in compressed blocks.

    Args:
        events: the events in order.

    Raises:
        OSError: there is no room for them.
    """

    def __init__(self, events: Iterable[Event]) -> None:
        self.count = 0
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  (it is read as long as the spool is there)
        weakref.finalize(self, self._file.close)
        self._firsts, self._offsets = array("Q"), array("Q", [0])
        self._loaded: tuple[int, list[bytes]] = (-1, [])
        lines: list[bytes] = []
        size = 0
        for event in events:
            lines.append(_dump(event))
            size += len(lines[-1])
            if len(lines) == _BLOCK_EVENTS or size > _BLOCK_BYTES:
                self._write(lines)
                lines, size = [], 0
        if lines:
            self._write(lines)
        self._file.flush()

    def event(self, number: int) -> Event:
        """Return the event with a number from 1 to `count`."""
        block = bisect_right(self._firsts, number) - 1
        return _load(self._lines(block)[number - self._firsts[block]])

    def events(self, start: int) -> Iterator[Event]:
        """Return the events from a number on."""
        return map(self.event, range(start, self.count + 1))

    def _write(self, lines: list[bytes]) -> None:
        self._firsts.append(self.count + 1)
        self.count += len(lines)
        self._offsets.append(self._offsets[-1] + self._file.write(zlib.compress(b"\n".join(lines), _FAST)))

    def _lines(self, block: int) -> list[bytes]:
        if self._loaded[0] != block:
            self._file.seek(self._offsets[block])
            data = self._file.read(self._offsets[block + 1] - self._offsets[block])
            self._loaded = (block, zlib.decompress(data).split(b"\n"))
        return self._loaded[1]


def _dump(event: Event) -> bytes:
    try:
        return orjson.dumps(event)
    except TypeError:  # an integer beyond 64 bits
        return _BY_JSON + json.dumps(event).encode()


def _load(line: bytes) -> Event:
    event: Event = json.loads(line[1:]) if line.startswith(_BY_JSON) else orjson.loads(line)
    return event
