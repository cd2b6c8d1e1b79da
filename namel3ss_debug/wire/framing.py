"""The ways in which the body of a streamed answer is divided into events, by the content type of the response.

Models stream as server-sent events, as lines of JSON (Ollama), or as binary messages (Amazon's event stream, in
`event_stream`). A framing finds the events; a format reads their contents.

Server-sent events are read by the WHATWG HTML standard, section 9.2.6 "Interpreting an event stream", with two
deviations: an event whose closing blank line never came counts too, because the stream may have been cut, and the names
of events are not read, because every provider repeats them in the data.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from namel3ss_debug.wire import event_stream, lenient

Json = dict[str, Any]

_LINE_END = re.compile(rb"\r\n|\n|\r")
_ENDS = (b"\r\n\r\n", b"\n\n", b"\r\r")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


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


def _load_objects(texts: Iterable[str | bytes]) -> list[Json]:
    """Return the JSON objects among some texts; `[DONE]` and torn data are none."""
    return [value for value in map(lenient.load, texts) if isinstance(value, dict)]


# --- lines of JSON


class _LineDecoder:
    """A reader of lines of JSON that arrive in chunks."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []

    def feed(self, chunk: bytes) -> list[Json]:
        """Take the next bytes and return the events that they complete."""
        *ended, rest = chunk.split(b"\n")
        if ended:
            ended[0] = b"".join([*self._rest, ended[0]])
            self._rest.clear()
        self._rest.append(rest)
        return _load_objects(ended)


def _replace_line(_line: bytes, value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else lenient.dump(value) + b"\n"


# --- server-sent events


class SseDecoder:
    """A reader of server-sent events that arrive in chunks, which may be split anywhere, even inside a character."""

    def __init__(self) -> None:
        self._line: list[bytes] = []
        self._data: list[str] = []
        self._first_line = True
        self._after_return = False

    def feed(self, chunk: bytes) -> list[Json]:
        """Take the next bytes and return the JSON objects in the events that they complete."""
        return _load_objects(self.feed_texts(chunk))

    def feed_texts(self, chunk: bytes) -> list[str]:
        """Take the next bytes and return the data of the events that they complete."""
        if not chunk:
            return []
        if self._after_return and chunk.startswith(b"\n"):  # the second half of a CR LF that was split
            chunk = chunk[1:]
        self._after_return = chunk.endswith(b"\r")
        *ended, rest = _LINE_END.split(chunk)
        if ended:
            ended[0] = b"".join([*self._line, ended[0]])
            self._line.clear()
        if rest:
            self._line.append(rest)
        return [text for line in ended for text in self._take(line)]

    def close(self) -> list[str]:
        """Return the data of the event that was still open when the stream ended, if it has any."""
        line = b"".join(self._line)
        self._line.clear()
        return [*(self._take(line) if line else []), *self._take(b"")]

    def _take(self, line: bytes) -> list[str]:
        """Interpret one line without its end; a blank line completes an event."""
        if self._first_line:
            self._first_line = False
            line = line.removeprefix(_BYTE_ORDER_MARK)
        if line:
            name, _, value = line.partition(b":")
            if name == b"data":
                self._data.append(value.removeprefix(b" ").decode("utf-8", "replace"))
            return []
        texts = ["\n".join(self._data)] if self._data else []
        self._data.clear()
        return texts


def parse_sse(raw: bytes) -> list[str]:
    """Return the data of all events of a stream."""
    decoder = SseDecoder()
    return decoder.feed_texts(raw) + decoder.close()


def find_last_sse_end(data: bytes | bytearray) -> int:
    """Return the end of the last whole event in these bytes; 0 if there is none."""
    if data.endswith(_ENDS):
        return len(data)
    return max((data.rfind(end) + len(end) for end in _ENDS if end in data), default=0)


def split_sse(data: bytes) -> list[bytes]:
    """Return the events in these bytes, each with its blank line; the bytes of an incomplete last event come last."""
    for end in _ENDS:
        if end in data:
            *events, rest = data.split(end)
            return [event + end for event in events] + ([rest] if rest else [])
    return [data] if data else []


def read_sse(event: bytes) -> Any:
    """Return the content of one event: its data as JSON, else as text; without data (a comment), its bytes as text."""
    if event.startswith(b"data: {") and event.find(b"\n") >= len(event) - 2:  # nearly all events
        value = lenient.load(event[6:])
        if value is not None:
            return value
    if not _has_data(event):
        return event.decode("utf-8", "replace")
    return lenient.load_or_text("\n".join(parse_sse(event)))


def replace_sse(event: bytes, value: Any) -> bytes:
    """Return the same event with another content, in the form that `read_sse` returns."""
    data = value.encode() if isinstance(value, str) else lenient.dump(value)
    if not _has_data(event):
        return data
    end = b"\r\n" if b"\r\n" in event else b"\n"
    lines = [line for line in _LINE_END.split(event.strip(b"\r\n")) if not line.startswith(b"data")]
    lines += [b"data: " + line for line in data.split(b"\n")]
    return end.join([*lines, b"", b""])


def _has_data(event: bytes) -> bool:
    return any(line.startswith(b"data") for line in _LINE_END.split(event))


def encode_sse(data: Json, name: str | None = None) -> bytes:
    """Return one event with JSON data, as bytes."""
    return (f"event: {name}\n".encode() if name else b"") + b"data: " + lenient.dump(data) + b"\n\n"


# --- texts that stream delta by delta


def split_text(text: str, most: int = 4) -> list[str]:
    """Split a text into at most `most` deltas of about the same length; return none for empty text."""
    size = max(1, -(-len(text) // most))
    return [text[start : start + size] for start in range(0, len(text), size)]


class GrowingTexts:
    """The texts inside a document that grow delta by delta.

    Each text is joined once, at the end: appending every delta to a string would take quadratic time in long streams.
    """

    def __init__(self) -> None:
        self._growing: dict[tuple[int, str], tuple[Json, list[str]]] = {}

    def add(self, owner: Json, key: str, piece: object) -> None:
        """Append `piece` to the text at `owner[key]`; ignore a piece that is not text."""
        if not isinstance(piece, str):
            return
        growing = self._growing.get((id(owner), key))
        if growing is None:
            owner[key] = lenient.string(owner.get(key)) or ""
            growing = self._growing[id(owner), key] = (owner, [owner[key]])
        growing[1].append(piece)

    def finish(self) -> None:
        """Write every text to its place; `add` may be called again afterwards."""
        for (_, key), (owner, pieces) in self._growing.items():
            owner[key] = "".join(pieces)
        self._growing.clear()


# --- the table


def _has_line_end(data: bytes) -> bool:
    return b"\n" in data or b"\r" in data


SERVER_SENT = Framing(
    "text/event-stream",
    SseDecoder,
    lambda raw: _load_objects(parse_sse(raw)),
    split_sse,
    find_last_sse_end,
    read_sse,
    replace_sse,
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
            lambda raw: _load_objects(raw.split(b"\n")),
            lambda raw: raw.splitlines(keepends=True),
            lambda data: data.rfind(b"\n") + 1,
            lambda line: lenient.load_or_text(line.decode("utf-8", "replace")),
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
