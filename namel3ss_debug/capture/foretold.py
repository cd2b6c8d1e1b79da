"""Answers that are sent ahead of their calls, so that a re-run need not wait at calls that are as recorded.

The shell knows the next calls as long as the program does what it did in the recording. It sends their answers ahead,
each with a digest of the call it is for. A call with that digest takes the first of them and goes on at once. Any
other call discards all answers that were sent ahead, and waits for its own.
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
    """The answers that were sent ahead and not taken yet, in their order."""

    def __init__(self) -> None:
        self._words: deque[Word] = deque()

    def add(self, word: Word) -> None:
        """Add an answer: `ahead` is its number, `asked` the digest of the call that it is for."""
        self._words.append(word)

    def clear(self) -> None:
        """Discard them all."""
        self._words.clear()

    def take(self, event: Event) -> Word | None:
        """The answer for the call that begins with this event; where the next one is for another call, discard all."""
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
    """A digest of all that tells one call from another; `1`, `1.0` and `true` differ.

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
