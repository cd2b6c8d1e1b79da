"""Read and write Amazon's event stream: binary messages with headers, each with its length and two checksums.

Follows the specification of Smithy, "Amazon Event Stream" (`application/vnd.amazon.eventstream`): a prelude of two
lengths and their CRC-32, headers, the payload, the CRC-32 of all before it; integers are big-endian. A trace contains
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
_UINT32 = struct.Struct("!I")
_UINT16 = struct.Struct("!H")
_PRELUDE_BYTES, _CHECKSUM_BYTES = 12, 4
_MIN_BYTES = _PRELUDE_BYTES + _CHECKSUM_BYTES
_MAX_BYTES = 24 << 20
"""The most bytes that the specification allows for a message; a longer one is treated as garbage."""

_TEXT_TYPE = 7
_VALUE_BYTES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Type of a header -> bytes of its value. Other types have their length before the value."""


class EventStreamMessage(NamedTuple):
    """One message: its payload, and those of its headers that are text."""

    headers: dict[str, str]
    payload: bytes


class EventStreamDecoder:
    """A reader of a stream that arrives in chunks, which may be split anywhere."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> list[dict[str, Any]]:
        """Take the next bytes and return the events that they complete."""
        data = self._rest + chunk
        end = find_last_end(data)
        self._rest = data[end:]
        return parse_json(data[:end])


def split(data: bytes) -> list[bytes]:
    """Return the messages of a body as bytes; the bytes of an incomplete last message come last."""
    messages, start = [], 0
    for end in _find_ends(data):
        messages.append(data[start:end])
        start = end
    return [*messages, data[start:]] if start < len(data) else messages


def find_last_end(data: bytes | bytearray) -> int:
    """Return the end of the last whole message; 0 if there is none."""
    return max(_find_ends(data), default=0)


def parse_json(data: bytes) -> list[dict[str, Any]]:
    """Return the messages of a body as `{event type: payload}`.

    Bedrock only passes on the answers of some models, as `{"bytes": base64 of the model's own event}`; such a message
    becomes that event. An exception becomes `{"error": {"type", "message"}}`.
    """
    return [_to_event(message) for message in map(_decode_message, split(data)) if message is not None]


def _find_ends(data: bytes | bytearray) -> Iterator[int]:
    """Yield the end of each whole message, in order."""
    start = 0
    while len(data) - start >= _MIN_BYTES:
        total, headers = _PRELUDE.unpack_from(data, start)
        if not _MIN_BYTES + headers <= total <= min(_MAX_BYTES, len(data) - start):
            return
        start += total
        yield start


def _decode_message(data: bytes) -> EventStreamMessage | None:
    """Return the message in exactly these bytes; None if they are no message."""
    if find_last_end(data) != len(data) or not data:
        return None
    length = _PRELUDE.unpack_from(data)[1]
    payload = data[_PRELUDE_BYTES + length : -_CHECKSUM_BYTES]
    return EventStreamMessage(_decode_headers(data[_PRELUDE_BYTES : _PRELUDE_BYTES + length]), payload)


def _decode_headers(data: bytes) -> dict[str, str]:
    headers: dict[str, str] = {}
    position = 0
    while position < len(data):
        name = data[position + 1 : position + 1 + data[position]]
        position += 1 + len(name)
        kind = data[position] if position < len(data) else -1
        position += 1
        size = _VALUE_BYTES.get(kind)
        if size is None:
            if len(data) - position < _UINT16.size:
                break
            size = _UINT16.unpack_from(data, position)[0]
            position += _UINT16.size
        if kind == _TEXT_TYPE:
            headers[name.decode("utf-8", "replace")] = data[position : position + size].decode(
                "utf-8", "replace"
            )
        position += size
    return headers


def _to_event(message: EventStreamMessage) -> dict[str, Any]:
    payload = lenient.load(message.payload)
    fields = lenient.mapping(payload)
    failed = message.headers.get(":exception-type") or message.headers.get(":error-code")
    if failed is not None:
        message_text = (
            fields.get("message") or fields.get("Message") or message.headers.get(":error-message") or ""
        )
        return {"error": {"type": failed, "message": str(message_text)}}
    kind = message.headers.get(":event-type", "message")
    if kind == "chunk" and isinstance(fields.get("bytes"), str):
        return _decode_inner_event(fields) or {}
    return {kind: payload}


def read_content(data: bytes) -> Any:
    """Return the payload of one message, as text if it is not JSON; decode an event that Bedrock passes on in base64."""
    message = _decode_message(data)
    if message is None:
        return data.decode("latin-1")
    payload = lenient.load(message.payload)
    inner = _decode_inner_event(payload)
    if inner is not None:
        return {**payload, "bytes": inner}
    return payload if isinstance(payload, (dict, list)) else message.payload.decode("latin-1")


def replace_content(data: bytes, value: Any) -> bytes:
    """Return the same message with another payload, in the form that `read_content` returns."""
    message = _decode_message(data)
    if message is None:
        return value.encode("latin-1", "replace") if isinstance(value, str) else data
    if isinstance(value, str):
        return _encode_message(message.headers, value.encode("latin-1", "replace"))
    if _decode_inner_event(lenient.load(message.payload)) is not None:
        value = {**value, "bytes": base64.b64encode(lenient.dump(value["bytes"])).decode()}
    return _encode_message(message.headers, lenient.dump(value))


def _decode_inner_event(payload: Any) -> dict[str, Any] | None:
    """Return the event that a payload contains in base64; None if there is none."""
    encoded = lenient.mapping(payload).get("bytes")
    if not isinstance(encoded, str):
        return None
    try:
        inner = lenient.load(base64.b64decode(encoded))
    except (binascii.Error, ValueError):
        return None
    return inner if isinstance(inner, dict) else None


def to_json(data: bytes) -> list[dict[str, Any]] | None:
    """Return whole messages as `{headers, text}`; None if `from_json` could not restore the same bytes."""
    readable = []
    for message in map(_decode_message, split(data)):
        if message is None:
            return None
        try:
            readable.append({"headers": message.headers, "text": message.payload.decode()})
        except UnicodeDecodeError:
            return None
    return readable if from_json(readable) == data else None


def from_json(messages: object) -> bytes:
    """Return the bytes of messages in the form that `to_json` returns; skip anything else."""
    return b"".join(
        _encode_message(
            lenient.mapping(message.get("headers")), (lenient.string(message.get("text")) or "").encode()
        )
        for message in lenient.mappings(messages)
    )


def encode_event(event_type: str, payload: dict[str, Any]) -> bytes:
    """Return one event with a JSON payload, as the bytes of a message."""
    headers = {":event-type": event_type, ":content-type": "application/json", ":message-type": "event"}
    return _encode_message(headers, lenient.dump(payload))


def _encode_message(headers: dict[str, Any], payload: bytes) -> bytes:
    """Return a message whose headers are all text."""
    fields = [(str(name).encode()[:255], str(value).encode()[:0xFFFF]) for name, value in headers.items()]
    head = b"".join(
        bytes([len(name)]) + name + bytes([_TEXT_TYPE]) + _UINT16.pack(len(value)) + value
        for name, value in fields
    )
    prelude = _PRELUDE.pack(_MIN_BYTES + len(head) + len(payload), len(head))
    data = prelude + _UINT32.pack(crc32(prelude)) + head + payload
    return data + _UINT32.pack(crc32(data))
