"""JSON documents with the same layout, such as the answers of a model: one regular expression finds the texts in the next.

A document with the same layout as one without secrets has the same names and as many items; only its texts and
numbers differ. So only its texts have to be searched for secrets.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from namel3ss_debug.capture.shapes import SHORT_NUMBER, text_of, written

_MOST_LEARNED = 64
"""How many documents are examined at most. If each has another layout, the search for a common one is not worth it."""
_LONGEST_LEARNED = 4096
"""The longest document that is examined, in characters. A document that matches a known layout may have any length."""

Names = tuple[str, ...]
"""The outermost names of a document. Documents with the same names nearly always have the same layout."""


class Layouts:
    """Layouts of documents without secrets: for each set of outermost names, the one that occurred twice in a row."""

    def __init__(self) -> None:
        self._patterns: dict[Names, re.Pattern[str]] = {}
        self._last: dict[Names, bytes] = {}
        self._left = _MOST_LEARNED

    def find_texts(self, names: Names, document: str) -> Sequence[str] | None:
        """Return the texts in a document with a known layout, or `None` if its layout is not known."""
        pattern = self._patterns.get(names)
        match = None if pattern is None else pattern.fullmatch(document)
        if match is None:
            return None
        return [text_of(text.encode()) for text in match.groups()] if "\\" in document else match.groups()

    def learn(self, names: Names, document: str) -> None:
        """Remember the layout of a document that has no secrets."""
        if not self._left or len(document) > _LONGEST_LEARNED:
            return
        self._left -= 1
        pattern, _texts = written(document.encode(), number=SHORT_NUMBER)
        if self._last.get(names) == pattern:
            self._patterns[names] = re.compile(pattern.decode(), re.DOTALL)
        self._last[names] = pattern
