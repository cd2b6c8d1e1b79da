"""The ways in which the body of a streamed answer is divided into events, by the content type of the response.

Models stream as server-sent events, as lines of JSON (Ollama), or as binary messages (Amazon's event stream). A
framing finds the events; a format reads their contents.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from namel3ss_debug.wire import event_stream, lenient, sse

Json = dict[str, Any]


class EventDecoder(Protocol):
    """A reader of a stream that arrives in chunks, which may be split anywhere."""

    def feed(self, chunk: bytes) -> list[Json]:
        """Take the next bytes and return the events that they complete; skip data that is not a JSON object."""


@dataclass(frozen=True)
class Framing:
    """One way to divide a body into events.

    `decoder` makes a decoder for one stream; `parse` reads the events of a whole body, which may have been cut. `split`
    splits a body, or a piece of one, into the bytes of its events; the bytes of an incomplete last event come last.
    """

    content_type: str
    decoder: Callable[[], EventDecoder]
    parse: Callable[[bytes], list[Json]]
    split: Callable[[bytes], list[bytes]]
    find_last_end: Callable[[bytes | bytearray], int]
    """Returns the end of the last whole event in these bytes, which begin with an event; 0 if there is none."""
    read_content: Callable[[bytes], Any]
    """Returns the content of the bytes of one event: JSON, else text."""
    replace_content: Callable[[bytes, Any], bytes]
    """Returns the bytes of an event with another content."""
    can_end: Callable[[bytes], bool]
    """Returns whether an event may end in these bytes, which follow others."""


class _LineDecoder:
    """A reader of lines of JSON that arrive in chunks."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []

    def feed(self, chunk: bytes) -> list[Json]:
        """Take the next bytes and return the events that they complete."""
        *ended, rest = chunk.split(b"\n")
        events: list[Json] = []
        for line in ended:
            self._rest.append(line)
            events += _parse_lines(b"".join(self._rest))
            self._rest.clear()
        if rest:
            self._rest.append(rest)
        return events


def _parse_lines(raw: bytes) -> list[Json]:
    values = (lenient.load(line) for line in raw.split(b"\n") if line.strip())
    return [value for value in values if isinstance(value, dict)]


def _read_line(line: bytes) -> Any:
    return lenient.load_or_text(line.decode("utf-8", "replace"))


def _replace_line(_line: bytes, value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else lenient.dump(value) + b"\n"


def _has_line_end(data: bytes) -> bool:
    return b"\n" in data or b"\r" in data


SERVER_SENT = Framing(
    "text/event-stream",
    sse.SseJsonDecoder,
    sse.parse_json,
    sse.split,
    sse.find_last_end,
    sse.read_content,
    sse.replace_content,
    _has_line_end,
)
"""The framing that nearly all providers use."""

FRAMINGS: dict[str, Framing] = {
    known.content_type: known
    for known in (
        SERVER_SENT,
        Framing(
            "application/x-ndjson",
            _LineDecoder,
            _parse_lines,
            lambda raw: raw.splitlines(keepends=True),
            lambda data: data.rfind(b"\n") + 1,
            _read_line,
            _replace_line,
            _has_line_end,
        ),
        Framing(
            "application/vnd.amazon.eventstream",
            event_stream.EventStreamDecoder,
            event_stream.parse_json,
            event_stream.split,
            event_stream.find_last_end,
            event_stream.read_content,
            event_stream.replace_content,
            bool,
        ),
    )
}
"""Every framing by its content type."""


@lru_cache(maxsize=64)  # a program receives few different ones
def find_framing(content_type: str | None) -> Framing | None:
    """Return the framing of a response with this `content-type`; None if it is not a stream of events."""
    return FRAMINGS.get((content_type or "").partition(";")[0].strip().lower())
