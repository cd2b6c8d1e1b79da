"""Deliver alerts: keep them on disk first, send each state of an episode once to each channel, and go on until it is taken.

What is put is in one SQLite file before anything is sent, so a killed monitor loses nothing: the next one sends it. A
channel that fails is left alone for growing pauses, and its alerts wait in order. Several monitors of a folder share the
file, and one of them sends at a time.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from namel3ss_debug.config import DebugConfiguration
from namel3ss_debug.errors import DebugError, MissingExtraError
from namel3ss_debug.monitoring.alert import FIRING, PENDING, Alert
from namel3ss_debug.monitoring.channels import CHANNELS, Channel, DeliveryError, read_channels
from namel3ss_debug.traces.folders import make_trace_folder, open_private
from namel3ss_debug.traces.redaction.documents import redact_document
from namel3ss_debug.traces.redaction.redactor import Redactor

FILE: Final = ".alerts.sqlite"
LONGEST_PAUSE: Final = 300.0
"""Seconds; the first pause is 2 s, and each further one twice as long."""

KEEP_SECONDS: Final = 30 * 86_400.0
"""How long it is known which alerts were sent."""

_WINDOW_SECONDS = 60.0
_TABLES = """
CREATE TABLE IF NOT EXISTS deliveries (number INTEGER PRIMARY KEY, channel TEXT NOT NULL, episode TEXT NOT NULL,
    state TEXT NOT NULL, alert TEXT NOT NULL, done REAL, UNIQUE (channel, episode, state));
CREATE TABLE IF NOT EXISTS channels (name TEXT PRIMARY KEY, failures INTEGER NOT NULL, due REAL NOT NULL);
"""


class Outbox:
    """The alerts of a folder of traces that wait for their channels, or were sent.

    Args:
        folder: the folder of the traces.
        configuration: the settings, with the channels.
        now: seconds since 1970.
        environ: the environment, with the secrets of the channels; `os.environ` if left out.

    Raises:
        SettingError: a channel is not as it should be.
        MissingExtraError: a channel needs a package that is not installed.
        DebugError: the file cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        configuration: DebugConfiguration,
        now: float,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self.channels = read_channels(configuration, environ)
        for channel in self.channels:
            package = CHANNELS[channel.kind].package
            if package and find_spec(package) is None:
                raise MissingExtraError(
                    f"the channel {channel.name} needs {package}: pip install 'namel3ss-debug[alerts]'"
                )
        self._redactor = (
            Redactor(configuration.redact_keys, configuration.redact_patterns)
            if configuration.redact
            else None
        )
        self._path = folder / FILE
        self._firing: set[str] = set()
        if self.channels:
            make_trace_folder(folder)
            with self._open() as database:
                database.executescript(_TABLES)
                database.execute("DELETE FROM deliveries WHERE done < ?", (now - KEEP_SECONDS,))

    def put(self, alert: Alert) -> None:
        """Keep an alert for the channels that take it, once for its episode and state.

        One that is pending goes nowhere, and neither does the end of an episode that never fired.
        """
        if alert.state == PENDING:
            return
        (self._firing.add if alert.state == FIRING else self._firing.discard)(alert.episode)
        takers = [channel.name for channel in self.channels if channel.takes(alert.severity)]
        if not takers:
            return
        document = alert.to_json()
        if self._redactor is not None:
            document = redact_document(document, self._redactor)
        text = json.dumps(document)
        with self._open() as database:
            database.executemany(
                "INSERT OR IGNORE INTO deliveries (channel, episode, state, alert) SELECT ?1, ?2, ?3, ?4"
                " WHERE ?3 = 'firing' OR EXISTS (SELECT 1 FROM deliveries WHERE channel = ?1 AND episode = ?2)",
                [(name, alert.episode, alert.state, text) for name in takers],
            )

    def flush(self, now: float) -> list[str]:
        """Send what is due, and return a line for each problem.

        It may wait for a receiver for some seconds, and may be called in another thread than `put`. Where another
        process is sending, it returns at once.
        """
        if not self.channels:
            return []
        with open(f"{self._path}.lock", "wb", opener=open_private) as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return []
            with self._open() as database:
                return [line for channel in self.channels for line in self._flush(database, channel, now)]

    def count_waiting(self) -> int:
        """Return how many deliveries to the channels of the setting wait."""
        if not self.channels:
            return 0
        with self._open() as database:
            return sum(self._count_waiting(database, channel) for channel in self.channels)

    def _flush(self, database: sqlite3.Connection, channel: Channel, now: float) -> Iterator[str]:
        name, kind = channel.name, CHANNELS[channel.kind]
        failures, due = database.execute(
            "SELECT max(failures), max(due) FROM channels WHERE name = ?", (name,)
        ).fetchone()
        if due is not None and now < due:
            return
        if kind.renewed:
            database.executemany(
                "UPDATE deliveries SET done = NULL WHERE channel = ? AND episode = ? AND state = 'firing' AND done <= ?",
                [(name, episode, now - kind.renewed) for episode in tuple(self._firing)],
            )
        lately = database.execute(
            "SELECT count(*) FROM deliveries WHERE channel = ? AND done > ?", (name, now - _WINDOW_SECONDS)
        ).fetchone()[0]
        waiting = database.execute(
            "SELECT number, alert FROM deliveries WHERE channel = ? AND done IS NULL ORDER BY number LIMIT ?",
            (name, max(0, channel.per_minute - lately)),
        ).fetchall()
        for number, text in waiting:
            try:
                kind.load().deliver(channel, json.loads(text), now)
            except DeliveryError as error:
                if not error.final:
                    failures = (failures or 0) + 1
                    pause = max(error.wait, min(2.0 ** min(failures, 30), LONGEST_PAUSE))
                    _note(database, name, failures, now + pause)
                    left = self._count_waiting(database, channel)
                    yield f"alert channel {name}: {error}; alerts that wait: {left}, next attempt in {pause:g} s"
                    return
                yield f"alert channel {name}: {error}; this alert is not sent"
            database.execute("UPDATE deliveries SET done = ? WHERE number = ?", (now, number))
            _note(database, name, 0, 0.0)
            failures = 0

    def _count_waiting(self, database: sqlite3.Connection, channel: Channel) -> int:
        query = "SELECT count(*) FROM deliveries WHERE channel = ? AND done IS NULL"
        return int(database.execute(query, (channel.name,)).fetchone()[0])

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """Open the file, for this thread; what the block changed is on the disk when it ends.

        Raises:
            DebugError: it cannot be read or written.
        """
        try:
            os.close(open_private(str(self._path), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC))
            # Each statement is its own transaction: a delivery is noted before the next one begins.
            with closing(sqlite3.connect(self._path, isolation_level=None)) as database:
                yield database
        except (OSError, sqlite3.Error) as error:
            raise DebugError(f"{self._path}: {error}; alerts cannot be kept there") from None


def _note(database: sqlite3.Connection, name: str, failures: int, due: float) -> None:
    database.execute("INSERT OR REPLACE INTO channels VALUES (?, ?, ?)", (name, failures, due))
