"""Count the chunks of streamed answers, so that a view can show the count in the line of their call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from namel3ss_debug.traces.events import Event, ends_span
from namel3ss_debug.wire import lenient

CHUNK = "stream_chunk"
_MOST_CALLS = 100_000
"""How many calls may be streaming at once; beyond that, the chunks of the earliest call are no longer counted."""


class StreamedAnswer(NamedTuple):
    """The streamed answer of a call: its chunks, how many of them were wanted, and the time to the first token.

    `first_token_ms` is counted from the start of the call; it is None if it is not recorded.
    """

    chunks: int
    wanted: int
    first_token_ms: float | None = None


@dataclass(slots=True)
class _OpenCall:
    """The chunks so far of a call that has not ended, and how many of them were wanted."""

    chunks: int = 0
    wanted: int = 0


class ChunkCounter:
    """The number of chunks of each call that has not ended."""

    def __init__(self) -> None:
        self._calls: dict[str, _OpenCall] = {}
        self._dropped = 0

    def count_chunk(self, event: Event, *, wanted: bool = True) -> bool:
        """Count the next event if it is a chunk of a call, and return whether it is one.

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
                self._dropped += self._calls.pop(next(iter(self._calls))).wanted
            count = self._calls[call] = _OpenCall()
        count.chunks += 1
        count.wanted += wanted
        return True

    def pop_answer(self, event: Event) -> StreamedAnswer | None:
        """Return the streamed answer of the call that ends with this event, and forget the call; None for other events."""
        kind = str(event.get("event_type"))
        if not self._calls or not ends_span(kind):
            return None
        call = event.get("parent_event_id")
        count = self._calls.pop(call, None) if isinstance(call, str) else None
        return (
            None if count is None else StreamedAnswer(count.chunks, count.wanted, read_first_token_ms(event))
        )

    def count_so_far(self, call: str) -> int:
        """Return how many chunks a call has had so far, by the id of its start."""
        return self._calls[call].chunks if call in self._calls else 0

    def count_unfinished(self) -> int:
        """Return how many wanted chunks belong to calls that have not ended."""
        return self._dropped + sum(count.wanted for count in self._calls.values())


def read_first_token_ms(event: Event) -> float | None:
    """Return the time to the first token of an answer, in milliseconds from the start of its call, from its end event."""
    metadata = event.get("metadata")
    value = metadata.get("time_to_first_token_ms") if isinstance(metadata, dict) else None
    return value if lenient.is_number(value) else None
