"""The lines that a person types, kept between sessions in a file that only this person can read."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

MOST_BYTES = 1_000_000
KEPT_LINES = 2000


def history_file() -> Path | None:
    """Where typed lines are kept, never beside a recording; None for a user who has no home."""
    state = os.environ.get("XDG_STATE_HOME")
    if not state or not Path(state).is_absolute():  # the specification asks for relative ones to be ignored
        try:
            state = str(Path.home() / ".local" / "state")
        except RuntimeError:
            return None
    return Path(state) / "namel3ss-debug" / "history"


def kept_lines(path: Path) -> list[str]:
    """The lines typed before, oldest first; none where they cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(max(path.stat().st_size - MOST_BYTES, 0))
            content = file.read().decode(errors="replace").removesuffix("\n")
            return content.split("\n")[-KEPT_LINES:] if content else []
    except OSError:
        return []


def keep_line(path: Path, words: str) -> None:
    """Add a line; where the file cannot be written, silently keep nothing."""
    row = " ;; ".join(filter(None, map(str.strip, words.split("\n"))))
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if path.exists() and path.stat().st_size > MOST_BYTES:
            _write(path, kept_lines(path))
        _append(path, [row])


def _write(path: Path, rows: Iterable[str]) -> None:
    other = path.with_name(f"{path.name}.{os.getpid()}")
    _append(other, rows)
    other.replace(path)


def _append(path: Path, rows: Iterable[str]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "ab") as file:
        file.write("".join(f"{row}\n" for row in rows).encode(errors="replace"))
