"""Compile regular expressions when they are first used.

The tables of redaction hold some that take a millisecond each. A traced program compiles those that its texts need; a
worker that records nothing none.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, cast


class _LatePattern:
    """Stands for a compiled pattern. Each of its methods is looked up once, so that a later use costs nothing more."""

    def __init__(self, pattern: str | Callable[[], str], flags: int) -> None:
        self._source = pattern
        self._flags = flags

    def __getattr__(self, name: str) -> Any:
        source = self._source
        # `re` remembers what it compiled, so two threads get the same pattern.
        found = getattr(re.compile(source if isinstance(source, str) else source(), self._flags), name)
        setattr(self, name, found)
        return found


def compile_late(pattern: str | Callable[[], str], flags: int = 0) -> re.Pattern[str]:
    """Return what can be used as `re.compile(pattern, flags)`, and compiles it when it is.

    Args:
        pattern: the pattern, or a function that makes it.
        flags: as of `re.compile`.
    """
    return cast("re.Pattern[str]", _LatePattern(pattern, flags))
