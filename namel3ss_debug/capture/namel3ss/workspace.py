"""The folder of a re-run: it looks like the app's own folder, in which a re-run changes nothing.

The language stores its memory, its records and its reports beside the app. A re-run gets a folder with copies of the
sources, of the settings and of what the language stores, with links to everything else, and with the memory that the
recorded run began with. The database of its records, which may be anywhere, is copied too.
"""

from __future__ import annotations

import os
import shutil
from itertools import islice
from pathlib import Path

from namel3ss_debug.capture.namel3ss.memory import restore

_LANGUAGE_FOLDER = ".namel3ss"
_OUTPUTS_OF_RUNS = frozenset(
    {"memory", "traces", "execution", "explain", "run", "errors", "outcome", "observability", "audit", "spec", "observe.jsonl", "debug"}
)  # fmt: skip
_NEVER_SOURCES = frozenset({".git", ".venv", "venv", "node_modules", "__pycache__", "debug"})
_COPIED = frozenset({".ai", ".toml", ".yaml", ".json"})
_RECORDS = "records"
_DATABASE_SUFFIXES = ("", "-wal", "-journal")
"""The suffixes of the files of an SQLite database that belong to its contents."""

_LARGEST_FILE = 1 << 24
_MOST_FILES = 1000


def mirror(root: Path, into: Path, snapshot: str | None) -> Path:
    """Create the folder of a re-run.

    Args:
        root: the folder of the app.
        into: the folder to create; the caller removes it.
        snapshot: the memory to begin with; None for an empty one.

    Returns:
        The folder.
    """
    _copy_folder(root, into)
    if (root / _LANGUAGE_FOLDER).is_dir():
        (into / _LANGUAGE_FOLDER).mkdir(exist_ok=True)
        for entry in sorted((root / _LANGUAGE_FOLDER).iterdir()):
            if entry.name not in _OUTPUTS_OF_RUNS:
                _copy_stored(entry, into / _LANGUAGE_FOLDER / entry.name)
    if snapshot is not None:
        restore(into, snapshot)
    return into


def copy_database(file: Path, into: Path) -> Path:
    """Copy a database of records that is a file, including its journal.

    Args:
        file: the database, which need not exist.
        into: a folder. It gets one copy, which later calls return.
    """
    copy = into / _RECORDS / file.name
    if not copy.parent.is_dir():
        copy.parent.mkdir(parents=True)
        for suffix in _DATABASE_SUFFIXES:
            source = file.with_name(file.name + suffix)
            if source.is_file():
                shutil.copyfile(source, copy.with_name(source.name))
    return copy


def _copy_folder(folder: Path, into: Path) -> None:
    """Copy a folder. Folders that contain sources of the language are created, anything else is linked."""
    into.mkdir(parents=True)
    for entry in sorted(folder.iterdir()):
        if entry.name == _LANGUAGE_FOLDER:
            continue
        if entry.is_dir() and not entry.is_symlink() and _contains_sources(entry):
            _copy_folder(entry, into / entry.name)
        elif entry.suffix in _COPIED and _is_small(entry):
            shutil.copyfile(entry, into / entry.name)
        else:
            os.symlink(entry, into / entry.name)


def _contains_sources(folder: Path) -> bool:
    return folder.name not in _NEVER_SOURCES and any(folder.rglob("*.ai"))


def _copy_stored(entry: Path, into: Path) -> None:
    """Copy what the language stores, because the app may write to it. What is too large is linked."""
    if entry.is_symlink() or not (_is_small(entry) or _is_small_folder(entry)):
        os.symlink(entry, into)
    elif entry.is_dir():
        shutil.copytree(entry, into, symlinks=True)
    else:
        shutil.copyfile(entry, into)


def _is_small(entry: Path) -> bool:
    return entry.is_file() and entry.stat().st_size < _LARGEST_FILE


def _is_small_folder(entry: Path) -> bool:
    if not entry.is_dir():
        return False
    files = list(islice(entry.rglob("*"), _MOST_FILES))
    return len(files) < _MOST_FILES and sum(path.lstat().st_size for path in files) < _LARGEST_FILE
