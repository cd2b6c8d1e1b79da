"""HTTP bodies piece by piece: undoing their content encoding, and reading them as what they say they are."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterable
from typing import Any

from namel3ss_debug.wire.lenient import load

_ZLIB_WINDOWS = {"gzip": 31, "x-gzip": 31, "deflate": 15}


_ZSTD = ("compression.zstd", "backports.zstd")
"""What the standard library has from Python 3.14 on, and the same for those before it."""


class Decompressor:
    """Undoes a content encoding as the pieces arrive; an encoding that is not known passes as it is.

    Args:
        encoding: the value of the `content-encoding` header.
    """

    def __init__(self, encoding: str | None) -> None:
        self._decode = _decoder(encoding.strip().lower()) if encoding else None

    def feed(self, data: bytes) -> bytes:
        """Decode a piece; a piece that is not encoded as it should be comes back as it is."""
        if self._decode is None:
            return data
        try:
            return self._decode(data)
        except Exception:  # each library has exceptions of its own
            self._decode = None
            return data


def _decoder(encoding: str) -> Callable[[bytes], bytes] | None:
    """The decoder of a content encoding; None where this process has none.

    What is no part of Python is there where the HTTP library has imported it, as it does before it asks for such an
    encoding.
    """
    decode: Callable[[bytes], bytes] | None = None
    if encoding in _ZLIB_WINDOWS:
        decode = zlib.decompressobj(_ZLIB_WINDOWS[encoding]).decompress
    elif encoding == "br":
        brotli = sys.modules.get("brotli") or sys.modules.get("brotlicffi")
        decode = None if brotli is None else brotli.Decompressor().process
    elif encoding == "zstd":
        zstandard = sys.modules.get("zstandard")
        zstd = next((sys.modules[name] for name in _ZSTD if name in sys.modules), None)
        if zstd is not None:
            decode = _Frames(zstd.ZstdDecompressor).decode
        elif zstandard is not None:
            decode = _Frames(lambda: zstandard.ZstdDecompressor().decompressobj()).decode
    return decode


class _Frames:
    """Undoes zstd, of which one frame may follow the other.

    Args:
        begin: makes what undoes one frame.
    """

    def __init__(self, begin: Callable[[], Any]) -> None:
        self._begin = begin
        self._frame = begin()

    def decode(self, data: bytes) -> bytes:
        """Decode a piece, which may hold the end of one frame and the beginning of the next."""
        plain = []
        while data:
            if self._frame.eof:
                self._frame = self._begin()
            plain.append(self._frame.decompress(data))
            data = self._frame.unused_data
        return b"".join(plain)


def readable_request(body: bytes | None, headers: Iterable[tuple[str, str]]) -> Any:
    """The body of a request: JSON where it looks like that, as most do, else what its headers say it is."""
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
