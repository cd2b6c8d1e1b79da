"""Deliver alerts: keep them on disk first, send each state of an episode once to each channel, and go on until it is taken.

What is put is in one SQLite file before anything is sent, so a killed monitor loses nothing: the next one sends it. A
channel that fails is left alone for growing pauses, and its alerts wait in order. Several monitors of a folder share the
file, and one of them sends at a time. What they see of a rule about one subject is one episode, although each of them dates it by
its own looks.
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

from namel3ss_debug.analysis.findings import compute_fingerprint
from namel3ss_debug.config import DebugConfiguration
from namel3ss_debug.errors import DebugError, MissingExtraError
from namel3ss_debug.monitoring.alert import FIRING, PENDING, Alert
from namel3ss_debug.monitoring.channels import CHANNELS, AlertDocument, Channel, DeliveryError, read_channels
from namel3ss_debug.traces.folders import make_trace_folder, open_private
from namel3ss_debug.traces.redaction.documents import redact_document
from namel3ss_debug.traces.redaction.redactor import Redactor

FILE: Final = ".alerts.sqlite"
LONGEST_PAUSE: Final = 300.0
"""Seconds; the first pause is 2 s, and each further one twice as long."""

KEEP_SECONDS: Final = 30 * 86_400.0
"""How long it is known which alerts were sent."""

_WINDOW_SECONDS = 60.0
_SEEN_SECONDS = 3600.0
"""So long after it was last seen an episode goes on whose end no monitor has seen, because it was killed or looked only once."""

_TABLES = """
CREATE TABLE IF NOT EXISTS deliveries (number INTEGER PRIMARY KEY, channel TEXT NOT NULL, episode TEXT NOT NULL,
    state TEXT NOT NULL, alert TEXT NOT NULL, subject TEXT NOT NULL, seen REAL NOT NULL, done REAL,
    refused INTEGER NOT NULL DEFAULT 0, UNIQUE (channel, episode, state));
CREATE TABLE IF NOT EXISTS channels (name TEXT PRIMARY KEY, failures INTEGER NOT NULL, due REAL NOT NULL);
"""
_GOES_ON = """channel = ? AND subject = ? AND state = 'firing' AND NOT EXISTS (SELECT 1 FROM deliveries AS ended
    WHERE ended.channel = deliveries.channel AND ended.episode = deliveries.episode AND ended.state = 'resolved')"""


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

    def put(self, alert: Alert, now: float) -> None:
        """Keep an alert for the channels that take it, once for its episode and state.

        One that is pending goes nowhere, and neither does the end of an episode that never fired.
        """
        if alert.state == PENDING:
            return
        subject = compute_fingerprint(alert.fingerprint, alert.trace)
        (self._firing.add if alert.state == FIRING else self._firing.discard)(subject)
        takers = [channel.name for channel in self.channels if channel.takes(alert.severity)]
        if not takers:
            return
        document = alert.to_json()
        if self._redactor is not None:
            document = redact_document(document, self._redactor)
        with self._open() as database:
            database.execute("BEGIN IMMEDIATE")
            for name in takers:
                known = database.execute(
                    f"SELECT episode FROM deliveries WHERE {_GOES_ON} AND seen > ?",  # noqa: S608
                    (name, subject, now - _SEEN_SECONDS),
                ).fetchone()
                is_new = known is None and alert.began > _last_end(database, name, subject)
                if is_new if alert.state == FIRING else known is not None:
                    episode = alert.episode if known is None else known[0]
                    text = json.dumps({**document, "episode": episode})
                    database.execute(
                        "INSERT OR IGNORE INTO deliveries (channel, episode, state, alert, subject, seen) VALUES (?, ?, ?, ?, ?, ?)",
                        (name, episode, alert.state, text, subject, now),
                    )
            self._note_seen(database, now)
            database.execute("COMMIT")

    def _note_seen(self, database: sqlite3.Connection, now: float) -> None:
        """Note that the alerts that this monitor sees are not over."""
        database.executemany(
            "UPDATE deliveries SET seen = ? WHERE subject = ? AND state = 'firing' AND seen < ?",
            [(now, subject, now - _WINDOW_SECONDS) for subject in self._firing],
        )

    def flush(self, now: float) -> list[str]:
        """Send what is due, and return a line for each problem.

        It may wait for a receiver for some seconds, and may be called in another thread than `put`. Where another
        process is sending, it returns at once.
        """
        if not self.channels:
            return []
        with self._open() as database, open(f"{self._path}.lock", "wb", opener=open_private) as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return []
            self._note_seen(database, now)
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
                f"UPDATE deliveries SET done = NULL WHERE {_GOES_ON} AND done <= ? AND NOT refused",  # noqa: S608
                [(name, subject, now - kind.renewed) for subject in tuple(self._firing)],
            )
        lately = database.execute(
            "SELECT count(*) FROM deliveries WHERE channel = ? AND done > ?", (name, now - _WINDOW_SECONDS)
        ).fetchone()[0]
        waiting = database.execute(
            "SELECT number, alert FROM deliveries WHERE channel = ? AND done IS NULL ORDER BY number LIMIT ?",
            (name, max(0, channel.per_minute - lately)),
        ).fetchall()
        for number, text in waiting:
            refused = False
            try:
                _deliver(channel, json.loads(text), now)
            except DeliveryError as error:
                refused = error.final
                if not refused:
                    failures = (failures or 0) + 1
                    pause = max(error.wait, min(2.0 ** min(failures, 30), LONGEST_PAUSE))
                    _note(database, name, failures, now + pause)
                    left = self._count_waiting(database, channel)
                    yield f"alert channel {name}: {error}; alerts that wait: {left}, next attempt in {pause:g} s"
                    return
                yield f"alert channel {name}: {error}; this alert is not sent"
            database.execute(
                "UPDATE deliveries SET done = ?, refused = ? WHERE number = ?", (now, refused, number)
            )
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


def _deliver(channel: Channel, alert: AlertDocument, now: float) -> None:
    """Deliver an alert; whatever else goes wrong is a failure too, which other alerts and channels outlive."""
    try:
        CHANNELS[channel.kind].load().deliver(channel, alert, now)
    except DeliveryError:
        raise
    except Exception as error:  # its text may hold the token
        raise DeliveryError(f"{channel.address} could not be used ({type(error).__name__})") from None


def _last_end(database: sqlite3.Connection, name: str, subject: str) -> float:
    """Return when the last episode ended; one that began before is the same, seen by another monitor."""
    query = "SELECT alert FROM deliveries WHERE channel = ? AND subject = ? AND state = 'resolved' ORDER BY number DESC LIMIT 1"
    ended = database.execute(query, (name, subject)).fetchone()
    return float(json.loads(ended[0])["ended"]) if ended is not None else float("-inf")


def _note(database: sqlite3.Connection, name: str, failures: int, due: float) -> None:
    database.execute("INSERT OR REPLACE INTO channels VALUES (?, ?, ?)", (name, failures, due))
