"""Add up what all processes and runs use, in one small SQLite file.

Each call is one transaction at its start, which checks all limits and reserves what the call may need at most, and one
at its end, which replaces the reservation by what it used. `BEGIN IMMEDIATE` lets one process at a time check and
reserve, so that together they never pass a limit. Numbers are whole: 1e-12 dollars, tokens, calls, milliseconds.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

_SCHEMA = """
CREATE TABLE IF NOT EXISTS used (key TEXT PRIMARY KEY, value INTEGER NOT NULL, at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS reserved (key TEXT, owner TEXT, pid INTEGER, value INTEGER, PRIMARY KEY (key, owner)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS moments (key TEXT, at REAL);
CREATE INDEX IF NOT EXISTS moments_by_key ON moments (key, at);
"""
_KEPT_SECONDS = 63 * 86400.0
"""How long a figure is kept after its last change: longer than the longest month."""

_BUSY_SECONDS = 5.0


class LedgerClaim(NamedTuple):
    """What one call needs of one limit.

    Attributes:
        key: the measure and the subject whose use is added up.
        most: how much is allowed.
        kind: `add` for what adds up, `last` for the last value, `since` for the time since the first call, and `rate`
            for calls within `window` seconds.
        adds: what the call adds when it begins.
        reserves: what it may add at most when it ends; 1 if that is not known.
        enforced: whether the call is refused when the limit is reached, and so claims nothing.
    """

    key: str
    most: int
    kind: str = "add"
    adds: int = 0
    reserves: int = 0
    window: float = 0.0
    enforced: bool = True


class Reached(NamedTuple):
    """A limit that a call would pass: the place of its claim, what was used and what other calls have reserved."""

    place: int
    value: int
    reserved: int


class Ledger:
    """The file, as one process uses it.

    Args:
        path: the file, which is created for this user alone.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._connections: dict[int, sqlite3.Connection] = {}

    def claim(self, owner: str, claims: Iterable[LedgerClaim], now: float) -> list[Reached]:
        """Reserve what a call needs, unless a limit that is enforced would be passed; return what was reached.

        Args:
            owner: the call, unique among all processes.
            claims: what it needs.
            now: the time in seconds.
        """
        claims = list(claims)
        with self._transaction() as connection:
            reached = [found for each in enumerate(claims) if (found := self._check(connection, *each, now))]
            if not any(claims[each.place].enforced for each in reached):
                for claim in {each.key: each for each in claims}.values():  # two limits may add up the same
                    self._take(connection, owner, claim, now)
            return reached

    def settle(self, owner: str, used: Mapping[str, int], last: Mapping[str, int], now: float) -> None:
        """Replace what a call has reserved by what it has used; `last` replaces the figure before."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM reserved WHERE owner = ?", (owner,))
            for key, value in used.items():
                _add(connection, key, value, now)
            for key, value in last.items():
                connection.execute("REPLACE INTO used VALUES (?, ?, ?)", (key, value, now))

    def begin(self, key: str, now: float) -> None:
        """Note when the time of a subject begins, if it has not begun."""
        with self._transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO used VALUES (?, ?, ?)", (key, int(now * 1000), now))

    def used(self, key: str) -> int:
        """Return the figure of a key."""
        with self._transaction() as connection:
            return _value(connection, key) or 0

    def _check(
        self, connection: sqlite3.Connection, place: int, claim: LedgerClaim, now: float
    ) -> Reached | None:
        if claim.kind == "rate":
            connection.execute(
                "DELETE FROM moments WHERE key = ? AND at <= ?", (claim.key, now - claim.window)
            )
            (value,) = connection.execute(
                "SELECT COUNT(*) FROM moments WHERE key = ?", (claim.key,)
            ).fetchone()
        elif claim.kind == "since":
            began = _value(connection, claim.key)
            value = 0 if began is None else int(now * 1000) - began
        else:
            value = _value(connection, claim.key) or 0
        reserved = 0
        if claim.kind == "add" and claim.reserves and value + claim.reserves <= claim.most:
            reserved = self._reserved(connection, claim)
        needed = claim.adds or claim.reserves or 1
        return Reached(place, value, reserved) if value + reserved + needed > claim.most else None

    def _reserved(self, connection: sqlite3.Connection, claim: LedgerClaim) -> int:
        """Return what calls in flight have reserved, without those of processes that were killed."""
        self._drop_reservations_of_dead(connection)
        row = connection.execute("SELECT SUM(value) FROM reserved WHERE key = ?", (claim.key,)).fetchone()
        return int(row[0] or 0)

    def _drop_reservations_of_dead(self, connection: sqlite3.Connection) -> None:
        for (pid,) in connection.execute("SELECT DISTINCT pid FROM reserved").fetchall():
            if not _is_alive(pid):
                connection.execute("DELETE FROM reserved WHERE pid = ?", (pid,))

    def _take(self, connection: sqlite3.Connection, owner: str, claim: LedgerClaim, now: float) -> None:
        if claim.kind == "rate":
            connection.execute("INSERT INTO moments VALUES (?, ?)", (claim.key, now))
        elif claim.kind == "since":
            connection.execute(
                "INSERT OR IGNORE INTO used VALUES (?, ?, ?)", (claim.key, int(now * 1000), now)
            )
        elif claim.adds:
            _add(connection, claim.key, claim.adds, now)
        if claim.kind == "add" and claim.reserves:
            row = (claim.key, owner, os.getpid(), claim.reserves)
            connection.execute("REPLACE INTO reserved VALUES (?, ?, ?, ?)", row)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = self._connect()
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    def _connect(self) -> sqlite3.Connection:
        """Return the connection of this process. One from before a fork stays open: closing it may touch the log of the parent."""
        connection = self._connections.get(os.getpid())
        if connection is None:
            os.makedirs(os.path.dirname(self._path), exist_ok=True)
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
            connection = sqlite3.connect(
                self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.executescript(_SCHEMA)
            self._connections[os.getpid()] = connection
        return connection

    def forget_old(self, now: float) -> None:
        """Remove the figures of runs and days that are long over."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM used WHERE at < ?", (now - _KEPT_SECONDS,))
            connection.execute("DELETE FROM moments WHERE at < ?", (now - 60,))
            self._drop_reservations_of_dead(connection)


def _value(connection: sqlite3.Connection, key: str) -> int | None:
    row = connection.execute("SELECT value FROM used WHERE key = ?", (key,)).fetchone()
    return None if row is None else int(row[0])


def _add(connection: sqlite3.Connection, key: str, value: int, now: float) -> None:
    connection.execute(
        "INSERT INTO used VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET value = value + excluded.value, at = excluded.at",
        (key, value, now),
    )


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
