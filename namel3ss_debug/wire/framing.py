"""How the events of a streamed answer follow each other in its body, by the content type of the response.

Models stream as server-sent events, as lines of JSON (Ollama), or as binary messages (Amazon's event stream). A
framing finds the events; what they say is the business of a format.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from namel3ss_debug.wire import event_stream, lenient, sse

Json = dict[str, Any]


class EventDecoder(Protocol):
    """Reads a stream as it arrives, in chunks that may be split anywhere."""

    def feed(self, chunk: bytes) -> list[Json]:
        """Take the next bytes and give the events they complete; data that is no JSON object is left out."""


@dataclass(frozen=True)
class Framing:
    """One way to put events into a body.

    `decoder` makes a decoder for one stream, `events` reads a whole body, also one that was cut. `cut` gives a body,
    or a piece of one, as the bytes of its events; what is left of one that is not whole is the last.
    """

    content_type: str
    decoder: Callable[[], EventDecoder]
    events: Callable[[bytes], list[Json]]
    cut: Callable[[bytes], list[bytes]]
    last_end: Callable[[bytes | bytearray], int]
    """Where in these bytes, which begin with an event, the last whole event ends; 0 where none does."""
    told: Callable[[bytes], Any]
    """What the bytes of one event say: JSON, else text."""
    retold: Callable[[bytes, Any], bytes]
    """The bytes of the same event that says something else."""
    may_end: Callable[[bytes], bool]
    """Whether an event may end in these bytes, of which others came before."""


class _Lines:
    """Lines of JSON as they arrive."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []

    def feed(self, chunk: bytes) -> list[Json]:
        """Take the next bytes and give the events they complete."""
        *ended, rest = chunk.split(b"\n")
        found: list[Json] = []
        for line in ended:
            self._rest.append(line)
            found += _lines(b"".join(self._rest))
            self._rest.clear()
        if rest:
            self._rest.append(rest)
        return found


def _lines(raw: bytes) -> list[Json]:
    values = (lenient.load(line) for line in raw.split(b"\n") if line.strip())
    return [value for value in values if isinstance(value, dict)]


def _told_line(line: bytes) -> Any:
    return lenient.load_or_text(line.decode("utf-8", "replace"))


def _retold_line(_line: bytes, value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else lenient.dump(value) + b"\n"


def _ends_line(data: bytes) -> bool:
    return b"\n" in data or b"\r" in data


def _cut_lines(raw: bytes) -> list[bytes]:
    return raw.splitlines(keepends=True)


SERVER_SENT = Framing(
    "text/event-stream",
    sse.JsonEvents,
    sse.json_events,
    sse.cut,
    sse.last_end,
    sse.told,
    sse.retold,
    _ends_line,
)
"""What nearly everybody sends."""

FRAMINGS: dict[str, Framing] = {
    known.content_type: known
    for known in (
        SERVER_SENT,
        Framing(
            "application/x-ndjson",
            _Lines,
            _lines,
            _cut_lines,
            lambda data: data.rfind(b"\n") + 1,
            _told_line,
            _retold_line,
            _ends_line,
        ),
        Framing(
            "application/vnd.amazon.eventstream",
            event_stream.JsonEvents,
            event_stream.json_events,
            event_stream.cut,
            event_stream.last_end,
            event_stream.told,
            event_stream.retold,
            bool,
        ),
    )
}
"""Every framing by its content type."""


@lru_cache(maxsize=64)  # a program gets few of them
def framing_of(content_type: str | None) -> Framing | None:
    """The framing of a response with this `content-type`; None where it is no stream of events."""
    return FRAMINGS.get((content_type or "").partition(";")[0].strip().lower())
