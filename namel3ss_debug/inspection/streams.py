"""Chunks of streamed answers: counted, so that a view can show the count in the line of their call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from namel3ss_debug.traces.events import Event, ends_span
from namel3ss_debug.wire import lenient

CHUNK = "stream_chunk"
_MOST_CALLS = 100_000
"""How many calls may be streaming at once; if there are more, the chunks of the earliest are forgotten."""


class Streamed(NamedTuple):
    """The streamed answer of a call: how many chunks, how many of them were wanted, and when the first token came.

    `first_token_ms` is counted from the start of the call, None where it is not recorded.
    """

    chunks: int
    wanted: int
    first_token_ms: float | None = None


@dataclass(slots=True)
class _Count:
    chunks: int = 0
    wanted: int = 0


class Streams:
    """Counts the chunks of every call until its end comes."""

    def __init__(self) -> None:
        self._calls: dict[str, _Count] = {}
        self._given_up = 0

    def folds(self, event: Event, *, wanted: bool = True) -> bool:
        """Return whether the next event is a chunk of a call, and if so, count it.

        Args:
            event: the event.
            wanted: whether the event was selected.
        """
        if event.get("event_type") != CHUNK:
            return False
        call = event.get("parent_event_id")
        if not isinstance(call, str):
            return False
        count = self._calls.get(call)
        if count is None:
            if len(self._calls) >= _MOST_CALLS:
                self._given_up += self._calls.pop(next(iter(self._calls))).wanted
            count = self._calls[call] = _Count()
        count.chunks += 1
        count.wanted += wanted
        return True

    def ended(self, event: Event) -> Streamed | None:
        """The streamed answer of the call that ends with this event; None where it is no such end."""
        kind = str(event.get("event_type"))
        if not self._calls or not ends_span(kind):
            return None
        call = event.get("parent_event_id")
        count = self._calls.pop(call, None) if isinstance(call, str) else None
        return None if count is None else Streamed(count.chunks, count.wanted, first_token_ms(event))

    def chunks(self, call: str) -> int:
        """How many chunks a call has had so far, by the id of its start."""
        return self._calls[call].chunks if call in self._calls else 0

    def left(self) -> int:
        """How many wanted chunks belong to calls that have not ended."""
        return self._given_up + sum(count.wanted for count in self._calls.values())


def first_token_ms(event: Event) -> float | None:
    """The time to the first token of an answer, in milliseconds from the start of its call, as recorded in the end."""
    metadata = event.get("metadata")
    value = metadata.get("time_to_first_token_ms") if isinstance(metadata, dict) else None
    return value if lenient.is_number(value) else None
