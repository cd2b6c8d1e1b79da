"""Amazon's event stream: binary messages with headers, each with its length and two checksums.

Follows the specification of Smithy, "Amazon Event Stream" (`application/vnd.amazon.eventstream`): a prelude of two
lengths and their CRC-32, headers, the payload, the CRC-32 of all before it; integers are big-endian. A recording holds
the messages as text, so that they can be read, searched and redacted.
"""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple
from zlib import crc32

from namel3ss_debug.wire import lenient

_PRELUDE = struct.Struct("!II")
_NUMBER = struct.Struct("!I")
_SHORT = struct.Struct("!H")
_BEFORE, _AFTER = 12, 4
_LEAST = _BEFORE + _AFTER
_MOST = 24 << 20
"""The most bytes that the specification allows for a message; what claims to be longer is no message."""

_TEXT = 7
_SIZES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""How many bytes the value of a header has, by its type, for types without a length of their own."""


class Message(NamedTuple):
    """One message: its headers that are text, and its payload."""

    headers: dict[str, str]
    payload: bytes


class JsonEvents:
    """Reads a stream as it arrives."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> list[dict[str, Any]]:
        """Take the next bytes and return the events they complete."""
        data = self._rest + chunk
        end = last_end(data)
        self._rest = data[end:]
        return json_events(data[:end])


def cut(data: bytes) -> list[bytes]:
    """The messages of a body as bytes; the rest, where the last message is not whole, comes last."""
    found, start = [], 0
    for end in _ends(data):
        found.append(data[start:end])
        start = end
    return [*found, data[start:]] if start < len(data) else found


def last_end(data: bytes | bytearray) -> int:
    """Where the last whole message ends; 0 where none does."""
    return max(_ends(data), default=0)


def json_events(data: bytes) -> list[dict[str, Any]]:
    """The messages of a body as `{event type: payload}`.

    The answer of a model that Bedrock only passes through comes in pieces, `{"bytes": base64 of its own event}`: for
    these it is that event. An exception is `{"error": {"type", "message"}}`.
    """
    return [_event(message) for message in map(_message, cut(data)) if message is not None]


def _ends(data: bytes | bytearray) -> Iterator[int]:
    """Where each whole message ends, in order."""
    start = 0
    while len(data) - start >= _LEAST:
        total, headers = _PRELUDE.unpack_from(data, start)
        if not _LEAST + headers <= total <= min(_MOST, len(data) - start):
            return
        start += total
        yield start


def _message(data: bytes) -> Message | None:
    """The message in exactly these bytes; None where they are no message."""
    if last_end(data) != len(data) or not data:
        return None
    length = _PRELUDE.unpack_from(data)[1]
    payload = data[_BEFORE + length : -_AFTER]
    return Message(_headers(data[_BEFORE : _BEFORE + length]), payload)


def _headers(data: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    at = 0
    while at < len(data):
        name = data[at + 1 : at + 1 + data[at]]
        at += 1 + len(name)
        kind = data[at] if at < len(data) else -1
        at += 1
        size = _SIZES.get(kind)
        if size is None:
            if len(data) - at < _SHORT.size:
                break
            size = _SHORT.unpack_from(data, at)[0]
            at += _SHORT.size
        if kind == _TEXT:
            found[name.decode("utf-8", "replace")] = data[at : at + size].decode("utf-8", "replace")
        at += size
    return found


def _event(message: Message) -> dict[str, Any]:
    payload = lenient.load(message.payload)
    said = lenient.mapping(payload)
    failed = message.headers.get(":exception-type") or message.headers.get(":error-code")
    if failed is not None:
        words = said.get("message") or said.get("Message") or message.headers.get(":error-message") or ""
        return {"error": {"type": failed, "message": str(words)}}
    kind = message.headers.get(":event-type", "message")
    if kind == "chunk" and isinstance(said.get("bytes"), str):
        return _passed_through(said) or {}
    return {kind: payload}


def told(data: bytes) -> Any:
    """The payload of one message, as text where it is not JSON; an event in base64 that Bedrock passes is decoded."""
    message = _message(data)
    if message is None:
        return data.decode("latin-1")
    payload = lenient.load(message.payload)
    inner = _passed_through(payload)
    if inner is not None:
        return {**payload, "bytes": inner}
    return payload if isinstance(payload, (dict, list)) else message.payload.decode("latin-1")


def retold(data: bytes, value: Any) -> bytes:
    """The same message with another payload, in the form that `told` returns."""
    message = _message(data)
    if message is None:
        return value.encode("latin-1", "replace") if isinstance(value, str) else data
    if isinstance(value, str):
        return _encode(message.headers, value.encode("latin-1", "replace"))
    if _passed_through(lenient.load(message.payload)) is not None:
        value = {**value, "bytes": base64.b64encode(lenient.dump(value["bytes"])).decode()}
    return _encode(message.headers, lenient.dump(value))


def _passed_through(payload: Any) -> dict[str, Any] | None:
    """The event that a payload contains in base64; None where there is none."""
    passed = lenient.mapping(payload).get("bytes")
    if not isinstance(passed, str):
        return None
    try:
        inner = lenient.load(base64.b64decode(passed))
    except (binascii.Error, ValueError):
        return None
    return inner if isinstance(inner, dict) else None


def readable(data: bytes) -> list[dict[str, Any]] | None:
    """Whole messages as `{headers, text}`; None where `written` could not make the same bytes of them again."""
    shown = []
    for message in map(_message, cut(data)):
        if message is None:
            return None
        try:
            shown.append({"headers": message.headers, "text": message.payload.decode()})
        except UnicodeDecodeError:
            return None
    return shown if written(shown) == data else None


def written(messages: object) -> bytes:
    """The bytes of messages in the form that `readable` returns; anything else is left out."""
    return b"".join(
        _encode(lenient.mapping(message.get("headers")), (lenient.string(message.get("text")) or "").encode())
        for message in lenient.mappings(messages)
    )


def encode(event_type: str, payload: dict[str, Any]) -> bytes:
    """One event with a JSON payload, as the bytes of a message."""
    headers = {":event-type": event_type, ":content-type": "application/json", ":message-type": "event"}
    return _encode(headers, lenient.dump(payload))


def _encode(headers: dict[str, Any], payload: bytes) -> bytes:
    """A message whose headers are all text."""
    fields = [(str(name).encode()[:255], str(value).encode()[:0xFFFF]) for name, value in headers.items()]
    head = b"".join(
        bytes([len(name)]) + name + bytes([_TEXT]) + _SHORT.pack(len(value)) + value for name, value in fields
    )
    prelude = _PRELUDE.pack(_LEAST + len(head) + len(payload), len(head))
    data = prelude + _NUMBER.pack(crc32(prelude)) + head + payload
    return data + _NUMBER.pack(crc32(data))
