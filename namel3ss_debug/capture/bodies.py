"""HTTP bodies piece by piece: undoing their content encoding, and reading them as what they say they are."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterable
from typing import Any

from namel3ss_debug.wire.lenient import load

_ZLIB_WINDOWS = {"gzip": 31, "x-gzip": 31, "deflate": 15}


class Decompressor:
    """Undoes a content encoding as the pieces arrive; an encoding that is not known passes as it is.

    Args:
        encoding: the value of the `content-encoding` header.
    """

    def __init__(self, encoding: str | None) -> None:
        self._decoder = _decoder(encoding.strip().lower()) if encoding else None

    def feed(self, data: bytes) -> bytes:
        """What this piece decodes to; a piece that is not encoded as it should be comes back as it is."""
        if self._decoder is None:
            return data
        try:
            plain: bytes = self._decoder.decompress(data)
        except Exception:  # each library has exceptions of its own
            self._decoder = None
            return data
        return plain


def _decoder(encoding: str) -> Any:
    """What undoes a content encoding piece by piece; None where this process cannot."""
    if encoding in _ZLIB_WINDOWS:
        return zlib.decompressobj(_ZLIB_WINDOWS[encoding])
    if encoding == "br":
        brotli = sys.modules.get("brotli") or sys.modules.get("brotlicffi")
        return brotli.Decompressor() if brotli else None
    if encoding == "zstd":
        zstandard = sys.modules.get("zstandard")
        return zstandard.ZstdDecompressor().decompressobj() if zstandard else None
    return None


def readable_request(body: bytes | None, headers: Iterable[tuple[str, str]]) -> Any:
    """The body of a request; what its headers say it is counts where it does not look like JSON, which most do."""
    value = load(body) if body and body[:1] in b"{[" else None
    if value is not None:
        return value
    content_type = next((value for name, value in headers if name.lower() == "content-type"), None)
    return readable(body, content_type)


def readable(body: bytes | None, content_type: str | None) -> Any:
    """A body as a person would want to see it: parsed JSON, text, or the bytes themselves."""
    if not body:
        return None
    if body[:1] in b"{[" or (content_type is not None and "json" in content_type.lower()):
        value = load(body)
        if value is not None:
            return value
    try:
        return body.decode()
    except UnicodeDecodeError:
        return body
