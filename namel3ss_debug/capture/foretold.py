"""Answers that are told before they are asked for, so that a program on a recording need not wait where it asks as recorded.

The shell knows what comes next as long as the program does what it did then. It tells these answers ahead, each with the
words of its question; a question in the very same words takes the first one and goes on at once. Any other question
makes all that was told ahead void, and waits.
"""

from __future__ import annotations

from collections import deque
from hashlib import sha256
from typing import Any

from orjson import OPT_SORT_KEYS, dumps

from namel3ss_debug.traces.events import Event
from namel3ss_debug.wire import lenient

Word = dict[str, Any]


class Foretold:
    """What was told ahead and not taken yet, in its order."""

    def __init__(self) -> None:
        self._words: deque[Word] = deque()

    def add(self, word: Word) -> None:
        """A word was told ahead: `ahead` is its number, `asked` what `asked` gives of its question."""
        self._words.append(word)

    def clear(self) -> None:
        """All of it is void."""
        self._words.clear()

    def take(self, event: Event) -> Word | None:
        """The word for the call that begins with this event; where it is not for this one, all of them are void."""
        if not self._words:
            return None
        word = self._words.popleft()
        try:
            if word.get("asked") == asked(event):
                return word
        except TypeError:  # an event that JSON refuses; the recording holds what can be told of it
            pass
        self._words.clear()
        return None


def asked(event: Event) -> str:
    """All by which one question of a program differs from another, as one digest; so `1`, `1.0` and `true` differ too.

    Args:
        event: the start event of the call.

    Raises:
        TypeError: it holds what JSON refuses.
    """
    metadata = lenient.mapping(event.get("metadata"))
    lineage = metadata.get("lineage")
    component = event.get("component")
    exchange = lenient.mapping(metadata.get("exchange"))
    what = [
        component,
        event.get("component_name"),
        lineage if isinstance(lineage, str) else event.get("thread", ""),
        event.get("task", ""),
        metadata.get("chain"),
        metadata.get("server"),
        metadata.get("seen"),
        metadata.get("format"),
        [exchange.get(name) for name in ("method", "url", "hash", "body_sha256")],
        None if exchange else event.get("inputs"),
    ]
    return sha256(dumps(what, None, OPT_SORT_KEYS)).hexdigest()
