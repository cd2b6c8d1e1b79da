"""Count the chunks of streamed answers, so that a view can show the count in the line of their call."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import NamedTuple

from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.span_table import EventPlace
from namel3ss_debug.wire import lenient

CHUNK = "stream_chunk"


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
    """The number of chunks of each call that has not ended, by the row of the call in the table of spans."""

    def __init__(self) -> None:
        self._calls: defaultdict[int, _OpenCall] = defaultdict(_OpenCall)

    def count_chunk(self, event: Event, place: EventPlace, *, wanted: bool = True) -> bool:
        """Count the next event if it is a chunk of a call, and return whether it is one.

        Args:
            event: the event.
            place: where it belongs.
            wanted: whether the event was selected.
        """
        if event["event_type"] != CHUNK or place.parent < 0:
            return False
        count = self._calls[place.parent]
        count.chunks += 1
        count.wanted += wanted
        return True

    def pop_answer(self, event: Event, place: EventPlace) -> StreamedAnswer | None:
        """Return the streamed answer of the call that ends with this event, and forget the call; None for other events."""
        count = self._calls.pop(place.span, None)
        if count is None:
            return None
        return StreamedAnswer(count.chunks, count.wanted, read_first_token_ms(event))

    def count_unfinished(self) -> int:
        """Return how many wanted chunks belong to calls that have not ended."""
        return sum(count.wanted for count in self._calls.values())


def read_first_token_ms(event: Event) -> float | None:
    """Return the time to the first token of an answer, in milliseconds from the start of its call, from its end event."""
    metadata = event.get("metadata")
    value = metadata.get("time_to_first_token_ms") if isinstance(metadata, dict) else None
    return value if lenient.is_number(value) else None
