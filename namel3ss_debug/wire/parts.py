"""Make message parts in the form of OpenTelemetry GenAI from the blocks that providers send.

The shapes are those of `gen-ai-input-messages.json` (semantic-conventions-genai): text, reasoning,
tool_call, tool_call_response, server_tool_call, server_tool_call_response, blob, uri, file. A part keeps the fields of
its block that the conventions do not name; a block of a kind that they do not know is kept whole.
"""

from __future__ import annotations

import marshal
from collections.abc import Callable, Iterable
from typing import Any

from namel3ss_debug.wire import lenient

Part = dict[str, Any]

_TEXT_KEYS = frozenset({"type", "text"})
_CACHE_ENTRIES = 512
_LARGEST_CACHED = 1 << 14
"""How many bytes a message may have, as `marshal` writes it, to be cached."""

_decoded_messages: dict[tuple[Callable[[Part], Part], bytes], Part] = {}


def make(kind: str, block: Part | None = None, read: tuple[str, ...] = (), **fields: Any) -> Part:
    """Make a part of the fields that are not None, and of all fields of `block` but those in `read`."""
    skipped = {"type", *read}
    rest = {name: value for name, value in (block or {}).items() if name not in skipped}
    return {"type": kind, **lenient.drop_empty(rest), **lenient.drop_none(fields)}


def make_unknown(block: Part) -> Part:
    """Keep a block of a kind that the conventions do not know whole, under its own type."""
    return {**block, "type": lenient.string(block.get("type")) or "unknown"}


def make_text(content: str, block: Part | None = None) -> Part:
    """Make a part of plain text."""
    if block is None or block.keys() <= _TEXT_KEYS:
        return {"type": "text", "content": content}
    return make("text", block, ("text",), content=content)


def make_call_part(call: Part) -> Part:
    """Make a part of a tool call in the form of an `Answer`, `{id, name, arguments}`."""
    return make("tool_call", call)


def make_call(call_id: object, name: object, arguments: object) -> Part:
    """Make a tool call in the form of an `Answer`; without an id, the field is left out."""
    call = {"name": lenient.string(name) or "", "arguments": arguments}
    known_id = lenient.string(call_id)
    return call if known_id is None else {"id": known_id, **call}


def make_media(
    reference: object, modality: str | None, block: Part | None = None, read: tuple[str, ...] = ()
) -> Part:
    """Make a part of content behind a URL: a blob if it is a `data:` URL, otherwise a uri."""
    url = lenient.string(reference) or ""
    if not url.startswith("data:"):
        return make("uri", block, read, modality=modality, uri=url)
    head, _, content = url[5:].partition(",")
    return make_blob(content, head.partition(";")[0], modality, block, read)


def make_blob(
    content: object,
    mime_type: object,
    modality: str | None,
    block: Part | None = None,
    read: tuple[str, ...] = (),
) -> Part:
    """Make a part of content that is in the message itself, in base64 as the provider sent it."""
    mime = lenient.string(mime_type)
    kind = modality or find_modality(mime or "")
    return make("blob", block, read, mime_type=mime, modality=kind, content=lenient.string(content) or "")


def find_modality(mime_type: str) -> str:
    """Return the modality that the conventions have for a MIME type."""
    family = mime_type.partition("/")[0]
    return family if family in {"image", "audio", "video"} else "document"


def decode_content(content: object, decode: Callable[[Part], Part]) -> list[Part]:
    """Return the parts of a message's content, which is text, one block, or a list of blocks; `decode` reads a block."""
    parts: list[Part] = []
    for item in content if isinstance(content, list) else [content]:
        if isinstance(item, str) and item:
            parts.append(make_text(item))
        elif isinstance(item, dict):
            parts.append(decode(item))
    return parts


def encode_content(content: list[Part], encode: Callable[[Part], Part]) -> str | list[Part]:
    """Return parts as the content of a message: a plain text alone as text, otherwise as blocks; `encode` makes a block."""
    if len(content) == 1 and content[0].keys() == {"type", "content"} and content[0]["type"] == "text":
        return str(content[0]["content"])
    return [encode(part) for part in content]


def encode_tool_result(response: Any, encode: Callable[[Part], Part]) -> Any:
    """Return the result of a tool as `decode_tool_result` reads it."""
    is_decoded = isinstance(response, list) and all(
        isinstance(part, dict) and "type" in part for part in response
    )
    return [encode(part) for part in response] if is_decoded else response


def rest_of(part: Part, *read: str) -> Part:
    """Return the fields of a part beside its type and those that are read."""
    return {name: value for name, value in part.items() if name != "type" and name not in read}


def data_url(blob: Part) -> str:
    """Return the `data:` URL of a blob."""
    return f"data:{blob.get('mime_type') or ''};base64,{blob.get('content') or ''}"


def select_texts(parts: list[Part], kind: str = "text") -> list[str]:
    """Return the contents of the parts of one kind, `text` or `reasoning`."""
    return [
        part["content"] for part in parts if part["type"] == kind and isinstance(part.get("content"), str)
    ]


def decode_tool_result(content: object, decode: Callable[[Part], Part]) -> Any:
    """Return the result of a tool: its text if it is a single text, decoded parts if it is more, otherwise unchanged."""
    if not isinstance(content, list):
        return content
    parts = decode_content(content, decode)
    if len(parts) == 1 and parts[0].keys() == {"type", "content"} and parts[0]["type"] == "text":
        return parts[0]["content"]
    return parts


def make_request(body: Part, read: set[str], messages: list[Part], tools: list[Part]) -> Part:
    """Make a request in the form of every codec; fields of the body that are not in `read` are its `params`."""
    params = {name: value for name, value in body.items() if name not in read}
    return {
        "model": lenient.string(body.get("model")),
        "messages": messages,
        "tools": tools,
        "params": params,
    }


def make_message(role: object, content: list[Part], rest: Part | None = None) -> Part:
    """Make a message; fields of the wire message that are not read stay beside role and parts."""
    return {**lenient.drop_empty(rest or {}), "role": lenient.string(role) or "unknown", "parts": content}


def decode_messages(sent: Iterable[Part], decode: Callable[[Part], Part]) -> list[Part]:
    """Decode the messages of a request, each one once, since later requests of a conversation repeat it.

    Args:
        sent: the messages as they were parsed from JSON.
        decode: decodes a message; its result may depend on nothing else.

    Returns:
        The decoded messages. They must not be changed, because other requests share them.
    """
    return [_decode_once(message, decode) for message in sent]


def _decode_once(message: Part, decode: Callable[[Part], Part]) -> Part:
    try:
        data = marshal.dumps(message, 2)
    except ValueError:  # nested too deep
        return decode(message)
    # `marshal` tells 1, 1.0 and true apart, which are equal as keys. Its copy of the message is decoded, because the
    # program may change its own message later.
    decoded = _decoded_messages.get((decode, data))
    if decoded is None:
        if len(data) > _LARGEST_CACHED:
            return decode(message)
        if len(_decoded_messages) >= _CACHE_ENTRIES:
            _decoded_messages.clear()
        decoded = _decoded_messages[decode, data] = decode(marshal.loads(data))  # noqa: S302  (the bytes were made three lines above)
    return decoded
