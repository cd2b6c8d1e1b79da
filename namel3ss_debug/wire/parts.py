"""Message parts in the form of OpenTelemetry GenAI, made from what the providers send.

The shapes are those of `gen-ai-input-messages.json` (semantic-conventions-genai): text, reasoning,
tool_call, tool_call_response, server_tool_call, server_tool_call_response, blob, uri, file. Fields of a
block that the conventions do not name stay beside them; content of a kind they do not know is kept whole.
"""

from __future__ import annotations

import marshal
from collections.abc import Callable, Iterable
from typing import Any

from namel3ss_debug.wire import lenient

Part = dict[str, Any]

_TEXT = frozenset({"type", "text"})
_REMEMBERED = 512
_REMEMBERED_SIZE = 1 << 14
_remembered: dict[tuple[Callable[[Part], Part], bytes], Part] = {}


def make(kind: str, block: Part | None = None, read: tuple[str, ...] = (), **fields: Any) -> Part:
    """A part with the given fields, without None, and all fields of `block` but those in `read`."""
    skipped = {"type", *read}
    rest = {name: value for name, value in (block or {}).items() if name not in skipped}
    return {"type": kind, **lenient.present(rest), **lenient.known(fields)}


def unknown(block: Part) -> Part:
    """A block of a kind that the conventions do not know: kept whole under its own type."""
    return {**block, "type": lenient.string(block.get("type")) or "unknown"}


def text(content: str, block: Part | None = None) -> Part:
    """A part of plain text."""
    if block is None or block.keys() <= _TEXT:
        return {"type": "text", "content": content}
    return make("text", block, ("text",), content=content)


def tool_call(call: Part) -> Part:
    """A part for a tool call in the form an `Answer` has: `{id, name, arguments}`."""
    return make("tool_call", call)


def call(call_id: object, name: object, arguments: object) -> Part:
    """A tool call as an `Answer` has it; the id is left out where there is none."""
    found = {"name": lenient.string(name) or "", "arguments": arguments}
    known_id = lenient.string(call_id)
    return found if known_id is None else {"id": known_id, **found}


def media(
    reference: object, modality: str | None, block: Part | None = None, read: tuple[str, ...] = ()
) -> Part:
    """A part for content behind a URL: a blob when it is a `data:` URL, a uri otherwise."""
    url = lenient.string(reference) or ""
    if not url.startswith("data:"):
        return make("uri", block, read, modality=modality, uri=url)
    head, _, content = url[5:].partition(",")
    return blob(content, head.partition(";")[0], modality, block, read)


def blob(
    content: object,
    mime_type: object,
    modality: str | None,
    block: Part | None = None,
    read: tuple[str, ...] = (),
) -> Part:
    """A part for content that is in the message itself, base64 as it came."""
    mime = lenient.string(mime_type)
    kind = modality or modality_of(mime or "")
    return make("blob", block, read, mime_type=mime, modality=kind, content=lenient.string(content) or "")


def modality_of(mime_type: str) -> str:
    """The modality the conventions have for a MIME type."""
    family = mime_type.partition("/")[0]
    return family if family in {"image", "audio", "video"} else "document"


def content_parts(content: object, decode: Callable[[Part], Part]) -> list[Part]:
    """The parts of a message's content, which is text, one block, or a list of blocks; `decode` reads a block."""
    found: list[Part] = []
    for item in content if isinstance(content, list) else [content]:
        if isinstance(item, str) and item:
            found.append(text(item))
        elif isinstance(item, dict):
            found.append(decode(item))
    return found


def texts_of(found: list[Part], kind: str = "text") -> list[str]:
    """The contents of the parts of one kind, `text` or `reasoning`."""
    return [
        part["content"] for part in found if part["type"] == kind and isinstance(part.get("content"), str)
    ]


def tool_response(content: object, decode: Callable[[Part], Part]) -> Any:
    """The result of a tool: its text where it is one text, decoded parts where it is more, else unchanged."""
    if not isinstance(content, list):
        return content
    found = content_parts(content, decode)
    if len(found) == 1 and found[0].keys() == {"type", "content"} and found[0]["type"] == "text":
        return found[0]["content"]
    return found


def request(body: Part, read: set[str], messages: list[Part], tools: list[Part]) -> Part:
    """A request in the form of every codec; fields of the body that are not in `read` are its `params`."""
    params = {name: value for name, value in body.items() if name not in read}
    return {
        "model": lenient.string(body.get("model")),
        "messages": messages,
        "tools": tools,
        "params": params,
    }


def message(role: object, content: list[Part], rest: Part | None = None) -> Part:
    """A message; fields of the wire message that are not read stay beside role and parts."""
    return {**lenient.present(rest or {}), "role": lenient.string(role) or "unknown", "parts": content}


def messages(sent: Iterable[Part], decode: Callable[[Part], Part]) -> list[Part]:
    """The decoded messages of a request; each is decoded once, since later requests of a conversation repeat it.

    Args:
        sent: the messages as they were parsed from JSON.
        decode: decodes a message, independently of anything else.

    Returns:
        The decoded messages, which must not be changed: other requests share these objects.
    """
    return [_when_first_seen(message, decode) for message in sent]


def _when_first_seen(message: Part, decode: Callable[[Part], Part]) -> Part:
    try:
        data = marshal.dumps(message, 2)
    except ValueError:  # nested too deep
        return decode(message)
    known = _remembered.get((decode, data))
    if known is None:
        if len(data) > _REMEMBERED_SIZE:
            return decode(message)
        if len(_remembered) >= _REMEMBERED:
            _remembered.clear()
        known = _remembered[decode, data] = decode(marshal.loads(data))  # noqa: S302  (nobody else holds what is read back)
    return known
