"""How the body of a streamed answer is divided into events, by the content type of the response.

Models stream as server-sent events, as lines of JSON (Ollama), or as binary messages (Amazon's event stream). A
framing finds the events; their contents are read by a format.
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
        """Take the next bytes and return the events they complete; data that is not a JSON object is left out."""


@dataclass(frozen=True)
class Framing:
    """One way to divide a body into events.

    `decoder` makes a decoder for one stream, `events` reads a whole body, also one that was cut. `cut` splits a body,
    or a piece of one, into the bytes of its events; the rest, where the last event is not whole, comes last.
    """

    content_type: str
    decoder: Callable[[], EventDecoder]
    events: Callable[[bytes], list[Json]]
    cut: Callable[[bytes], list[bytes]]
    last_end: Callable[[bytes | bytearray], int]
    """The end of the last whole event in these bytes, which begin with an event; 0 where there is none."""
    told: Callable[[bytes], Any]
    """The content of the bytes of one event: JSON, else text."""
    retold: Callable[[bytes, Any], bytes]
    """The bytes of the same event with another content."""
    may_end: Callable[[bytes], bool]
    """Whether an event may end in these bytes, which follow others."""


class _Lines:
    """Lines of JSON as they arrive."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []

    def feed(self, chunk: bytes) -> list[Json]:
        """Take the next bytes and return the events they complete."""
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
"""The framing that nearly all providers use."""

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


@lru_cache(maxsize=64)  # a program receives few different ones
def framing_of(content_type: str | None) -> Framing | None:
    """The framing of a response with this `content-type`; None where it is not a stream of events."""
    return FRAMINGS.get((content_type or "").partition(";")[0].strip().lower())
