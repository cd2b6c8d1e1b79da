"""Write the text of an image, a sound or a document once a segment, and later only its digest.

Requests repeat the whole conversation with its images. The first occurrence in a segment is
`{"$media": DIGEST, "text": TEXT}`, each later one `{"$media": DIGEST, "size": CHARACTERS}`. Readers put the text back. A
digest is checked against its text, so a text that was edited is not given for another one.

The texts are not searched for secrets: they are wholly base64, and their type or their first bytes say what they are.
"""

from __future__ import annotations

import re
import string
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import orjson

from namel3ss_debug.errors import TraceNotFoundError, UnreadableTraceError
from namel3ss_debug.late_patterns import compile_late
from namel3ss_debug.traces.lines import Problems, read_batches

MARK = "$media"
MARK_BYTES = b"$media"
"""Is in each line with such a text."""

SHORTEST = 4096
"""A shorter text is not worth a digest, in characters."""

_MOST_KEPT = 128 * 1024 * 1024
"""How many characters of media a reader keeps; more than a segment has by default."""

_DIGEST_BYTES = 16
_BASE64 = (string.ascii_letters + string.digits + "+/=-_\r\n").encode()
# A picture in SVG is text.
_TYPE = (
    r"(?:image/(?!svg)|audio/|video/)[\w.+\-]{1,40}"
    r"|application/(?:pdf|zip|ogg|mp4|epub\+zip|vnd\.(?:openxmlformats|oasis|ms-)[\w.+\-]{1,80})"
)
_IS_TYPE = compile_late(rf"(?:{_TYPE})(?:;.{{0,80}})?\Z", re.IGNORECASE)
_FORMATS = frozenset(
    [
        "wav",
        "mp3",
        "flac",
        "opus",
        "ogg",
        "aac",
        "pcm16",
        "png",
        "jpeg",
        "jpg",
        "gif",
        "webp",
        "mp4",
        "webm",
        "mov",
        "pdf",
        "docx",
        "xlsx",
        "pptx",
    ]
)
_TYPE_NAMES = frozenset({"mime_type", "media_type", "mimeType", "mediaType", "format"})
_HEAD = compile_late(
    rf"data:(?:{_TYPE})(?:;[\w=.+\-]{{1,80}})*;base64,"
    # The first bytes of PNG, JPEG, GIF, RIFF (WebP, WAV), PDF, MP3 (with its tags or without), Ogg, ZIP and MP4.
    r"|(?=iVBORw0KGg|/9j/|R0lGOD|UklGR|JVBERi|SUQz|//[s-vM-P]|T2dnUw|UEsDB|AAAA.GZ0eXB)"
)


class MediaText(str):
    """A text that is media. It is the text itself for everybody but the writer of the trace."""

    __slots__ = ("digest",)

    digest: str


def is_like_media(text: str, siblings: Iterable[tuple[Any, Any]] = ()) -> bool:
    """Return whether a text begins like media, or a type beside it says that it is.

    Args:
        text: the text.
        siblings: the names and values of the object that it is in.
    """
    return len(text) >= SHORTEST and (_HEAD.match(text) is not None or any(map(_declares_media, siblings)))


def find_media(text: str, siblings: Iterable[tuple[Any, Any]] = ()) -> MediaText | None:
    """Return a text that is media; None for any other. The arguments are those of `is_like_media`."""
    if not is_like_media(text, siblings) or not text.isascii():
        return None
    data = text.encode()
    head = _HEAD.match(text)
    if data[head.end() if head else 0 :].translate(None, _BASE64):
        return None
    media = MediaText(text)
    media.digest = _digest_of(data)
    return media


def _declares_media(member: tuple[Any, Any]) -> bool:
    name, value = member
    if name not in _TYPE_NAMES or type(value) is not str:
        return False
    return value.lower() in _FORMATS if name == "format" else _IS_TYPE.match(value) is not None


def _digest_of(data: bytes) -> str:
    return blake2b(data, digest_size=_DIGEST_BYTES).hexdigest()


def to_json(media: MediaText, *, is_known: bool) -> dict[str, Any]:
    """Return the form in which media is written.

    Args:
        media: the text.
        is_known: whether the segment holds the text already.
    """
    if is_known:
        return {MARK: media.digest, "size": len(media)}
    return {MARK: media.digest, "text": str.__str__(media)}


# --- reading

_kept: OrderedDict[tuple[Path, str], str] = OrderedDict()
"""The texts that were read last, by the file that holds them and the digest."""


def restore(event: dict[str, Any], path: Path) -> int:
    """Put the texts of media into an event, in place; return how many of them are missing.

    Args:
        event: an event on a line of the file.
        path: the file, which is searched for a text that was not read before.
    """
    missing = 0
    waiting: list[Any] = [event]
    for container in waiting:  # it grows
        for key, item in container.items() if type(container) is dict else enumerate(container):
            kind = type(item)
            if kind is dict and _is_media(item):
                text = _text_of(item, path)
                if text is None:
                    missing += 1
                else:
                    container[key] = text
            elif kind is dict or kind is list:
                waiting.append(item)
    return missing


def _is_media(value: Mapping[str, Any]) -> bool:
    return len(value) == 2 and type(value.get(MARK)) is str and ("text" in value or "size" in value)


def _text_of(value: Mapping[str, Any], path: Path) -> str | None:
    place = path, value[MARK]
    known = _kept.get(place)
    if known is not None:
        return known
    if "text" in value:
        text = value["text"]
        return text if type(text) is str and _keep(place, text) else None
    _search(path, value[MARK])
    return _kept.get(place)


def _keep(place: tuple[Path, str], text: str) -> bool:
    """Keep a text if it has this digest, and return whether it has."""
    if _digest_of(text.encode("utf-8", "surrogatepass")) != place[1]:
        return False
    _kept[place] = text
    size = sum(map(len, _kept.values()))
    while size > _MOST_KEPT and len(_kept) > 1:
        size -= len(_kept.popitem(last=False)[1])
    return True


def _search(path: Path, digest: str) -> None:
    """Look for the line that holds the text with this digest, and keep the text."""
    wanted = digest.encode("utf-8", "replace")
    try:
        for batch in read_batches(path, Problems()):
            for line in batch.lines if batch.read is None or MARK_BYTES in batch.read else batch.lines[:1]:
                if wanted in line and b'"text"' in line and _keep_from(line, path, digest):
                    return
    except (TraceNotFoundError, UnreadableTraceError):
        return


def _keep_from(line: bytes, path: Path, digest: str) -> bool:
    try:
        waiting: list[Any] = [orjson.loads(line)]
    except ValueError:
        return False
    for value in waiting:  # it grows
        if type(value) is dict:
            if value.get(MARK) == digest and type(value.get("text")) is str:
                return _keep((path, digest), value["text"])
            waiting += value.values()
        elif type(value) is list:
            waiting += value
    return False
