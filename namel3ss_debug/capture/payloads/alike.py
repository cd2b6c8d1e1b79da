"""JSON documents with the same layout, as the answers of a model have: one match finds the texts in the next.

A document with the same layout as one without secrets has the same names and as many items; only its texts and
numbers differ. So only its texts have to be searched for secrets.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from namel3ss_debug.capture.shapes import SHORT_NUMBER, text_of, written

_MOST = 64
"""So often at most it is looked how a document is written: where each is written in another way, it is worth nothing."""
_LONGEST = 4096
"""A longer document has more in it than is worth a pattern; one that is written like a shorter one may have any length."""

Names = tuple[str, ...]
"""The outermost names of a document: those that have the same are written alike nearly always."""


class Alike:
    """How clear documents are written; of each kind the way that came twice in a row."""

    def __init__(self) -> None:
        self._patterns: dict[Names, re.Pattern[str]] = {}
        self._last: dict[Names, bytes] = {}
        self._left = _MOST

    def texts(self, names: Names, document: str) -> Sequence[str] | None:
        """The texts in a document that is written like a clear one; `None` where it is not known to be."""
        pattern = self._patterns.get(names)
        found = None if pattern is None else pattern.fullmatch(document)
        if found is None:
            return None
        return [text_of(text.encode()) for text in found.groups()] if "\\" in document else found.groups()

    def learn(self, names: Names, document: str) -> None:
        """Remember how a document is written that is clear."""
        if not self._left or len(document) > _LONGEST:
            return
        self._left -= 1
        pattern, _texts = written(document.encode(), number=SHORT_NUMBER)
        if self._last.get(names) == pattern:
            self._patterns[names] = re.compile(pattern.decode(), re.DOTALL)
        self._last[names] = pattern
