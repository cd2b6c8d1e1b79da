"""The folder in which an app runs again: it looks like the app's own, so that nothing there is changed.

The language keeps its memory, its records and its reports beside the app. A re-run gets a folder with copies of the
sources, of the settings and of what the language keeps, with links to everything else, and with the memory of the
recording's start. The database of its records, which may be anywhere, is a copy as well.
"""

from __future__ import annotations

import os
import shutil
from itertools import islice
from pathlib import Path

from namel3ss_debug.capture.namel3ss.memory import restore

_OWN = ".namel3ss"
_OF_ONE_RUN = frozenset(
    {"memory", "traces", "execution", "explain", "run", "errors", "outcome", "observability", "audit", "spec", "observe.jsonl", "debug"}
)  # fmt: skip
_NEVER_SOURCES = frozenset({".git", ".venv", "venv", "node_modules", "__pycache__", "debug"})
_COPIED = frozenset({".ai", ".toml", ".yaml", ".json"})
_RECORDS = "records"
_DATABASE = ("", "-wal", "-journal")
"""What SQLite adds to the name of a database for the files beside it that belong to its contents."""

_LARGEST_FILE = 1 << 24
_MOST_FILES = 1000


def mirror(root: Path, into: Path, snapshot: str | None) -> Path:
    """Make the folder.

    Args:
        root: the folder of the app.
        into: a folder that is made here; whoever names it removes it.
        snapshot: the memory to begin with; None for an empty one.

    Returns:
        The folder.
    """
    _copy(root, into)
    if (root / _OWN).is_dir():
        (into / _OWN).mkdir(exist_ok=True)
        for entry in sorted((root / _OWN).iterdir()):
            if entry.name not in _OF_ONE_RUN:
                _take_kept(entry, into / _OWN / entry.name)
    if snapshot is not None:
        restore(into, snapshot)
    return into


def copy_database(file: Path, into: Path) -> Path:
    """Copy a database of records that is a file, with what is not in it yet.

    Args:
        file: the database, which need not be there.
        into: a folder, in which one copy is made once.
    """
    copy = into / _RECORDS / file.name
    if not copy.parent.is_dir():
        copy.parent.mkdir(parents=True)
        for suffix in _DATABASE:
            part = file.with_name(file.name + suffix)
            if part.is_file():
                shutil.copyfile(part, copy.with_name(part.name))
    return copy


def _copy(folder: Path, into: Path) -> None:
    """Folders that hold sources of the language are made anew; anything else is linked."""
    into.mkdir(parents=True)
    for entry in sorted(folder.iterdir()):
        if entry.name == _OWN:
            continue
        if entry.is_dir() and not entry.is_symlink() and _holds_sources(entry):
            _copy(entry, into / entry.name)
        elif entry.suffix in _COPIED and _is_small(entry):
            shutil.copyfile(entry, into / entry.name)
        else:
            os.symlink(entry, into / entry.name)


def _holds_sources(folder: Path) -> bool:
    return folder.name not in _NEVER_SOURCES and any(folder.rglob("*.ai"))


def _take_kept(entry: Path, into: Path) -> None:
    """What the language keeps may be written to, so it is copied; what is too large for that is linked."""
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
