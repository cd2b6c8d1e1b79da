"""Random access to the events of a trace that can only be read from its beginning.

Compressed files, one JSON document, and files of other writers have no line for each event whose place an index could
hold. Where such a trace is read again and again, its events are written once to a temporary database.
"""

from __future__ import annotations

import marshal
import sqlite3
import weakref
import zlib
from collections.abc import Iterable, Iterator

from namel3ss_debug.traces.events import Event

_FAST = 1


class Spool:
    """All events of a trace, compressed.

    Args:
        events: the events in order.

    Raises:
        OSError: there is no room for them.
    """

    def __init__(self, events: Iterable[Event]) -> None:
        # A database without a name is a temporary file, which disappears when it is closed.
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        weakref.finalize(self, self._database.close)
        # `marshal` keeps integers of any size, and only this process reads it.
        rows = (
            (number, zlib.compress(marshal.dumps(event), _FAST)) for number, event in enumerate(events, 1)
        )
        try:
            self._database.execute("CREATE TABLE events (number INTEGER PRIMARY KEY, event BLOB)")
            self._database.execute("BEGIN")
            self._database.executemany("INSERT INTO events VALUES (?, ?)", rows)
            self._database.execute("COMMIT")
            [self.count] = self._database.execute("SELECT count(*) FROM events").fetchone()
        except sqlite3.Error as error:
            raise OSError(str(error)) from error

    def events(self, start: int) -> Iterator[Event]:
        """Yield the events from a number on."""
        found = self._database.execute("SELECT event FROM events WHERE number >= ? ORDER BY number", (start,))
        for (event,) in found:
            yield marshal.loads(zlib.decompress(event))  # noqa: S302  (written above)
