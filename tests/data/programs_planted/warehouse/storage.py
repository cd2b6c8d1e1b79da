"""The database of the warehouse."""

import sqlite3
from pathlib import Path

SCHEMA = Path(__file__).with_name("schema.sql")


def connect(path=":memory:"):
    database = sqlite3.connect(path)
    database.row_factory = sqlite3.Row
    database.executescript(SCHEMA.read_text())
    return database


def rows(database, query, *values):
    return [dict(row) for row in database.execute(query, values)]
