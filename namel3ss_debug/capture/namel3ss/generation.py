"""Finds out from the text of an app which generation of the language it is written in."""

from __future__ import annotations

import re
from pathlib import Path

from namel3ss_debug.errors import TargetError

_OLDER = re.compile(r'(?:app|model|memory|frame|agent|page|flow|ai)\s+"[^"]*".*\{?\s*\Z')
_ONLY_OLDER = re.compile(
    r"(?:module|import)(?:\s|\Z)|use\s+[\w.]+::|(?:app|agent|page|dataset|model|llm|prompt)\s+[A-Za-z_]\w*\s*:"
)
"""First statements that the present language does not have: it has no such imports, and its names are in quotes."""

_MOST_CHARACTERS = 1 << 16


def check_generation(path: Path) -> None:
    """Check that an app is written in the present language, not in the older one with the same suffix.

    The older one has blocks in braces (`app "X" { ... }`), the present one has indented blocks after a colon. The first
    statement shows which it is.

    Args:
        path: the file of the app.

    Raises:
        TargetError: the app is written in the older language, or cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")[:_MOST_CHARACTERS]
    except OSError as error:
        raise TargetError(f"cannot read {path}: {error.strerror}") from error
    if is_older(text):
        raise TargetError(
            f'{path.name} is an app of the older namel3ss language (app "..." {{ ... }}), which cannot be recorded: apps of the '
            'present one begin with spec is "1.0"'
        )


def is_older(text: str) -> bool:
    """Return whether the first statement of a text is one of the older language."""
    lines = [line for line in map(str.strip, text.splitlines()) if line and not line.startswith(("#", "//"))]
    if not lines:
        return False
    first = lines[0]
    if first.endswith("{") or (len(lines) > 1 and lines[1].startswith("{")):
        return True
    return (
        first.startswith('app "')
        or _ONLY_OLDER.match(first) is not None
        or (first.endswith(".") and _OLDER.match(first[:-1]) is not None)
    )
