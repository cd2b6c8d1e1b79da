"""Remember what the user allowed to be re-run: folders, and traces by their content.

Both stand in `trusted.json` in the user's configuration directory. A folder counts only as long as no other user can
write to it.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from namel3ss_debug.errors import WrongUsageError
from namel3ss_debug.traces.signing import configuration_folder
from namel3ss_debug.wire import lenient

FILE: Final = "trusted.json"

_MOST_TRACES: Final = 1000
_BLOCK: Final = 1 << 20
_WORLD_WRITABLE: Final = 0o002


@dataclass(frozen=True)
class Trusted:
    """What the user allowed: folders by their real paths, and traces by the digests of their files."""

    folders: tuple[str, ...] = ()
    traces: tuple[str, ...] = ()


def load_trusted() -> Trusted:
    """Return what the user allowed; nothing, where the file is missing, damaged, or writable by others."""
    path = _path()
    try:
        if path is None or not _is_own(path):
            return Trusted()
        document = lenient.mapping(json.loads(path.read_bytes()))
    except (OSError, ValueError, RecursionError):
        return Trusted()
    folders, traces = (lenient.sequence(document.get(name)) for name in ("folders", "traces"))
    return Trusted(
        tuple(each for each in folders if isinstance(each, str)),
        tuple(each for each in traces if isinstance(each, str)),
    )


def save_trusted(trusted: Trusted) -> Path:
    """Write what the user allowed, in one step, and return the file.

    Raises:
        WrongUsageError: there is no configuration directory, or it cannot be written to.
    """
    path = _path()
    if path is None:
        raise WrongUsageError("there is no configuration directory to remember it in; set XDG_CONFIG_HOME")
    document: dict[str, Any] = {
        "folders": sorted(trusted.folders),
        "traces": list(trusted.traces[-_MOST_TRACES:]),
    }
    part = path.with_name(f".{FILE}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        part.unlink(missing_ok=True)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=1)
        part.replace(path)
    except OSError as error:
        raise WrongUsageError(f"cannot write {path}: {error.strerror}; set XDG_CONFIG_HOME") from None
    return path


def trustworthy_folder(folder: Path) -> str:
    """Return the real path of a folder that may be trusted.

    Raises:
        WrongUsageError: it is no folder, it belongs to somebody else, or everybody can write to it.
    """
    real = os.path.realpath(folder)
    try:
        found = os.stat(real)
    except OSError as error:
        raise WrongUsageError(f"cannot trust {folder}: {error.strerror}") from None
    if not stat.S_ISDIR(found.st_mode):
        raise WrongUsageError(
            f"cannot trust {folder}: it is not a folder; name the folder that holds the trace"
        )
    if found.st_uid != os.geteuid():
        raise WrongUsageError(f"cannot trust {folder}: it belongs to another user")
    if found.st_mode & _WORLD_WRITABLE:
        raise WrongUsageError(f"cannot trust {folder}: everybody can write to it; chmod o-w it first")
    return real


def is_below_trusted_folder(files: Iterable[Path], trusted: Trusted) -> bool:
    """Return whether all files of a trace lie below trusted folders, and no other user could have put them there."""
    return bool(trusted.folders) and all(
        any(_is_safely_below(Path(os.path.realpath(file)), Path(folder)) for folder in trusted.folders)
        for file in files
    )


def content_digest(files: Iterable[Path]) -> str:
    """Return a digest of the content of all files of a trace.

    Raises:
        OSError: a file cannot be read.
    """
    state = hashlib.blake2b(digest_size=32)
    for path in files:
        with path.open("rb") as file:
            state.update(b"%d:" % os.fstat(file.fileno()).st_size)
            while block := file.read(_BLOCK):
                state.update(block)
    return state.hexdigest()


def _path() -> Path | None:
    folder = configuration_folder()
    return None if folder is None else folder / FILE


def _is_own(path: Path) -> bool:
    found = os.lstat(path)
    return (
        not stat.S_ISLNK(found.st_mode)
        and found.st_uid == os.geteuid()
        and not found.st_mode & _WORLD_WRITABLE
    )


def _is_safely_below(file: Path, folder: Path) -> bool:
    """Return whether a file is below a folder, with only the user's own folders in between."""
    if not file.is_relative_to(folder):
        return False
    try:
        between = [folder, *(parent for parent in file.parents if parent.is_relative_to(folder))]
        return all(map(_is_own, [file, *between]))
    except OSError:
        return False
