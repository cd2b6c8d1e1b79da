"""Read and write server-sent events.

Reading follows the WHATWG HTML standard, section 9.2.6 "Interpreting an event stream", with one deviation:
`parse` also returns an event whose closing blank line never came, because the stream may have been cut.
"""

from __future__ import annotations

import re
from typing import Any

from namel3ss_debug.wire import lenient

_LINE_END = re.compile(rb"\r\n|\n|\r")
_ENDS = (b"\r\n\r\n", b"\n\n", b"\r\r")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class SseDecoder:
    """A reader of a stream that arrives in chunks, which may be split anywhere, even inside a character."""

    def __init__(self) -> None:
        self._line: list[bytes] = []
        self._name = ""
        self._data: list[str] = []
        self._first_line = True
        self._after_return = False

    def feed(self, chunk: bytes) -> list[tuple[str, str]]:
        """Take the next bytes and return the events that they complete, as `(event name, data text)`."""
        if not chunk:
            return []
        if self._after_return and chunk.startswith(b"\n"):  # the second half of a CR LF that was split
            chunk = chunk[1:]
        self._after_return = chunk.endswith(b"\r")
        *ended, rest = _LINE_END.split(chunk)
        events: list[tuple[str, str]] = []
        for line in ended:
            self._line.append(line)
            events += self._take(b"".join(self._line))
            self._line.clear()
        if rest:
            self._line.append(rest)
        return events

    def close(self) -> list[tuple[str, str]]:
        """Return the event that was still open when the stream ended, if it has data."""
        line = b"".join(self._line)
        self._line.clear()
        events = self._take(line) if line else []
        return events + self._dispatch()

    def _take(self, line: bytes) -> list[tuple[str, str]]:
        """Interpret one line without its end."""
        if self._first_line:
            self._first_line = False
            line = line.removeprefix(_BYTE_ORDER_MARK)
        if not line:
            return self._dispatch()
        name, _, value = line.partition(b":")
        text = value.removeprefix(b" ").decode("utf-8", "replace")
        if name == b"data":
            self._data.append(text)
        elif name == b"event":
            self._name = text
        return []

    def _dispatch(self) -> list[tuple[str, str]]:
        """Return the event collected so far; without data there is none."""
        events = [(self._name or "message", "\n".join(self._data))] if self._data else []
        self._name = ""
        self._data.clear()
        return events


def parse(raw: bytes) -> list[tuple[str, str]]:
    """Return all events of a stream as `(event name, data text)`; the name is "message" if the event has none."""
    decoder = SseDecoder()
    return decoder.feed(raw) + decoder.close()


def parse_json(raw: bytes) -> list[dict[str, Any]]:
    """Return the events of a stream whose data are JSON objects; skip `[DONE]` and torn data."""
    values = (lenient.load(data) for _, data in parse(raw))
    return [value for value in values if isinstance(value, dict)]


class SseJsonDecoder:
    """A reader of events whose data are JSON objects, from a stream that arrives in chunks."""

    def __init__(self) -> None:
        self._decoder = SseDecoder()

    def feed(self, chunk: bytes) -> list[dict[str, Any]]:
        """Take the next bytes and return the events that they complete; skip data that is not a JSON object."""
        values = (lenient.load(data) for _, data in self._decoder.feed(chunk))
        return [value for value in values if isinstance(value, dict)]


def find_last_end(data: bytes | bytearray) -> int:
    """Return the end of the last whole event in these bytes; 0 if there is none."""
    if data.endswith(_ENDS):
        return len(data)
    return max((data.rfind(end) + len(end) for end in _ENDS if end in data), default=0)


def split(data: bytes) -> list[bytes]:
    """Return the events in these bytes, each with its blank line; the bytes of an incomplete last event come last."""
    for end in _ENDS:
        if end in data:
            *events, rest = data.split(end)
            return [event + end for event in events] + ([rest] if rest else [])
    return [data] if data else []


def read_content(event: bytes) -> Any:
    """Return the content of one event: its data as JSON, else as text; without data (a comment), its bytes as text."""
    if event.startswith(b"data: {") and event.find(b"\n") >= len(event) - 2:  # nearly all events
        value = lenient.load(event[6:])
        if value is not None:
            return value
    if not _has_data(event):
        return event.decode("utf-8", "replace")
    return lenient.load_or_text("\n".join(data for _, data in parse(event)))


def replace_content(event: bytes, value: Any) -> bytes:
    """Return the same event with another content, in the form that `read_content` returns."""
    data = value.encode() if isinstance(value, str) else lenient.dump(value)
    if not _has_data(event):
        return data
    end = b"\r\n" if b"\r\n" in event else b"\n"
    lines = [line for line in _LINE_END.split(event.strip(b"\r\n")) if not line.startswith(b"data")]
    lines += [b"data: " + line for line in data.split(b"\n")]
    return end.join([*lines, b"", b""])


def _has_data(event: bytes) -> bool:
    return any(line.startswith(b"data") for line in _LINE_END.split(event))


def encode(data: dict[str, Any], name: str | None = None) -> bytes:
    """Return one event with JSON data, as bytes."""
    return (f"event: {name}\n".encode() if name else b"") + b"data: " + lenient.dump(data) + b"\n\n"


def split_text(text: str, most: int = 4) -> list[str]:
    """Split a text into at most `most` deltas of about the same length; return none for empty text."""
    size = max(1, -(-len(text) // most))
    return [text[start : start + size] for start in range(0, len(text), size)]


class GrowingTexts:
    """The texts inside a document that grow delta by delta.

    Each text is joined once, at the end: appending every delta to a string would take quadratic time in long streams.
    """

    def __init__(self) -> None:
        self._growing: dict[tuple[int, str], tuple[dict[str, Any], list[str]]] = {}

    def add(self, owner: dict[str, Any], key: str, piece: object) -> None:
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
