"""Compute digests of the request and the answer of a call, and of the beginnings of its prompt.

A prompt is the tools that are offered and then the messages, in the order in which a provider reads them, so that its
cache can reuse the part with which two prompts begin alike. The keys of the beginnings are checksums that are continued
from message to message. Of a long conversation not every beginning is kept: the first `_ALL_UP_TO`, then every eighth,
then every sixty-fourth, always at the same places.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import adler32, crc32

from orjson import dumps

from namel3ss_debug.wire import lenient

if TYPE_CHECKING:
    from collections.abc import Sequence

    from namel3ss_debug.traces.events import Event

LEAST_BYTES = 1024
"""Shorter prompts are ignored: a token is at least a byte, and caches need at least this many tokens."""

_ALL_UP_TO = 48
_EVERY_EIGHTH_UP_TO = 512
_NO_KEY = -1
_CUT = b'"$truncated":'
_HIDDEN = b"[REDACTED:"


class Prompt(NamedTuple):
    """A request to a model.

    Attributes:
        key: equal where the requests are; below zero where the request is not known.
        beginnings: the keys of the beginnings that are kept, the shortest first.
        sizes: the size of each of them in bytes.
        size: the size of the whole prompt in bytes; 0 for a short one, whose beginnings are not kept.
    """

    key: int
    beginnings: Sequence[int]
    sizes: Sequence[int]
    size: int


_new = tuple.__new__
_UNKNOWN = Prompt(_NO_KEY, (), (), 0)


def parse_prompt(start: Event) -> Prompt:
    """Return the prompt of a model call."""
    inputs = start.get("inputs")
    messages = inputs.get("messages") if type(inputs) is dict else None
    if inputs is None or type(messages) is not list or not messages:
        return _UNKNOWN
    tools, params = inputs.get("tools"), inputs.get("params")
    try:
        encoded = dumps(messages)
    except (TypeError, ValueError):
        encoded = lenient.dump(messages)
    if _is_cut(encoded):
        return _UNKNOWN
    hidden = _is_hidden(encoded)
    crc, adler, size = crc32(encoded), adler32(encoded), len(encoded)
    if tools or params:
        others = lenient.dump([tools, params], ordered=True)
        crc, adler, size = crc32(others, crc), adler32(others, adler), size + len(others)
    key = _NO_KEY if hidden else crc << 31 ^ adler
    if size < LEAST_BYTES:
        return _new(Prompt, (key, (), (), 0))
    return _new(Prompt, (key, *_beginnings(tools, messages)))


def _beginnings(tools: Any, messages: list[Any]) -> tuple[list[int], list[int], int]:
    """Return the keys of the beginnings of a prompt, their sizes in bytes, and the size of the whole."""
    encoded = lenient.dump(tools) if tools else b""
    crc, adler, size = crc32(encoded), adler32(encoded), len(encoded)
    beginnings, sizes = [], []
    for index, message in enumerate(messages, 1):
        encoded = lenient.dump(message)
        crc, adler = crc32(encoded, crc), adler32(encoded, adler)
        size += len(encoded)
        if index <= _ALL_UP_TO or not index % (8 if index <= _EVERY_EIGHTH_UP_TO else 64):
            beginnings.append(crc << 31 ^ adler)
            sizes.append(size)
    return beginnings, sizes, size


def arguments_key(start: Event) -> int:
    """Return a key of the arguments of a tool; below zero where they are not known."""
    inputs = start.get("inputs")
    if type(inputs) is not dict:
        return _NO_KEY
    return value_key(inputs.get("arguments", inputs))


def answer_key(end: Event) -> int:
    """Return a key of the answer, without the ids that a provider gives each call; below zero where it is not known.

    It only has to distinguish the answers to one question, for which 32 bits are enough.
    """
    outputs = end.get("outputs")
    if type(outputs) is not dict:
        return _NO_KEY
    calls = outputs.get("tool_calls")
    if calls and type(calls) is list:
        # A call is compared without its id.
        asked = [[call.get("name"), call.get("arguments")] if type(call) is dict else call for call in calls]
        return crc32(lenient.dump([outputs.get("text"), *asked], ordered=True))
    answer = outputs.get("result")
    if answer is None:
        answer = outputs.get("text", outputs)
    encoded = answer.encode(errors="replace") if type(answer) is str else lenient.dump(answer, ordered=True)
    return _NO_KEY if _is_cut(encoded) else crc32(encoded)


def value_key(value: object) -> int:
    """Return a number of 63 bits for a JSON value; below zero where a part of it was cut or redacted."""
    encoded = lenient.dump(value, ordered=True)
    if _is_cut(encoded) or _is_hidden(encoded):
        return _NO_KEY
    return crc32(encoded) << 31 ^ adler32(encoded)


def _is_cut(encoded: bytes) -> bool:
    """Return whether a part was cut. Looking for a single byte first is several times as fast."""
    return b"$" in encoded and _CUT in encoded


def _is_hidden(encoded: bytes) -> bool:
    """Return whether a part was redacted. A text that ends with a letter rare in JSON is looked for first."""
    return b"[REDACTED" in encoded and _HIDDEN in encoded
