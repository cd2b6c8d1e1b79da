"""Digests of what a call was asked and answered, and of the beginnings of its prompt.

A prompt is the tools that are offered and then the messages, in the order in which a provider reads them, so that
its cache can reuse the part with which two prompts begin alike. The keys of the beginnings are checksums that are
continued from message to message. Of a long conversation not every beginning is kept: the first `_EACH`, then every
eighth, then every sixty-fourth, always at the same places.
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
"""Shorter prompts are not looked at: a token is at least a byte, and caches need at least so many tokens."""

_EACH = 48
_EIGHTH = 512
_NO_KEY = -1
_CUT = b'"$truncated":'
_HIDDEN = b"[REDACTED:"


class Prompt(NamedTuple):
    """A question to a model.

    Attributes:
        key: equal where the questions are; below zero where the question is not known.
        beginnings: the key of each beginning that is kept, the shortest first.
        sizes: how many bytes each of them is long.
        size: how many bytes the whole of it is long; 0 for a short one, whose beginnings are not kept.
    """

    key: int
    beginnings: Sequence[int]
    sizes: Sequence[int]
    size: int


_new = tuple.__new__
_UNKNOWN = Prompt(_NO_KEY, (), (), 0)


def prompt_of(start: Event) -> Prompt:
    """Return the prompt of a model call."""
    inputs = start.get("inputs")
    messages = inputs.get("messages") if type(inputs) is dict else None
    if inputs is None or type(messages) is not list or not messages:
        return _UNKNOWN
    tools, params = inputs.get("tools"), inputs.get("params")
    try:
        told = dumps(messages)
    except (TypeError, ValueError):
        told = lenient.dump(messages)
    if _is_cut(told):
        return _UNKNOWN
    hidden = _is_hidden(told)
    crc, adler, size = crc32(told), adler32(told), len(told)
    if tools or params:
        others = lenient.dump([tools, params], ordered=True)
        crc, adler, size = crc32(others, crc), adler32(others, adler), size + len(others)
    key = _NO_KEY if hidden else crc << 31 ^ adler
    if size < LEAST_BYTES:
        return _new(Prompt, (key, (), (), 0))
    return _new(Prompt, (key, *_beginnings(tools, messages)))


def _beginnings(tools: Any, messages: list[Any]) -> tuple[list[int], list[int], int]:
    """Return the keys of the beginnings of a prompt, the size of each in bytes, and the size of all."""
    told = lenient.dump(tools) if tools else b""
    crc, adler, size = crc32(told), adler32(told), len(told)
    beginnings, sizes = [], []
    for place, message in enumerate(messages, 1):
        told = lenient.dump(message)
        crc, adler = crc32(told, crc), adler32(told, adler)
        size += len(told)
        if place <= _EACH or not place % (8 if place <= _EIGHTH else 64):
            beginnings.append(crc << 31 ^ adler)
            sizes.append(size)
    return beginnings, sizes, size


def question_key(start: Event) -> int:
    """Return a key of the arguments of a tool; below zero where they are not known."""
    inputs = start.get("inputs")
    if type(inputs) is not dict:
        return _NO_KEY
    return key_of(inputs.get("arguments", inputs))


def answer_key(end: Event) -> int:
    """Return a key of the answer, without the ids that a provider gives each call; below zero where it is not known.

    It only has to distinguish the answers to one question, for which 32 bits are enough.
    """
    outputs = end.get("outputs")
    if type(outputs) is not dict:
        return _NO_KEY
    calls = outputs.get("tool_calls")
    if calls and type(calls) is list:
        return crc32(lenient.dump([outputs.get("text"), *map(_without_id, calls)], ordered=True))
    answer = outputs.get("result")
    if answer is None:
        answer = outputs.get("text", outputs)
    told = answer.encode(errors="replace") if type(answer) is str else lenient.dump(answer, ordered=True)
    return _NO_KEY if _is_cut(told) else crc32(told)


def _without_id(call: Any) -> Any:
    return [call.get("name"), call.get("arguments")] if type(call) is dict else call


def key_of(value: object) -> int:
    """Return a number of 63 bits for a JSON value; below zero where a part of it was cut or redacted."""
    told = lenient.dump(value, ordered=True)
    if _is_cut(told) or _is_hidden(told):
        return _NO_KEY
    return crc32(told) << 31 ^ adler32(told)


def _is_cut(told: bytes) -> bool:
    """Return whether a part was cut; a single byte is looked for first, which is several times as fast."""
    return b"$" in told and _CUT in told


def _is_hidden(told: bytes) -> bool:
    """Return whether a part was redacted; a text that ends with a letter rare in JSON is looked for first."""
    return b"[REDACTED" in told and _HIDDEN in told
