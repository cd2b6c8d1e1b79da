"""Decode HTTP bodies piece by piece, and read them by their content type."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterable
from typing import Any

from namel3ss_debug.wire.lenient import load

_ZLIB_WINDOWS = {"gzip": 31, "x-gzip": 31, "deflate": 15}

_ZSTD = ("compression.zstd", "backports.zstd")
"""The module of the standard library from Python 3.14 on, and its backport."""


class Decompressor:
    """Undoes a content encoding as the pieces arrive. A body in an unknown encoding stays as it is.

    Args:
        encoding: the value of the `content-encoding` header.
    """

    def __init__(self, encoding: str | None) -> None:
        self._decode = _find_decoder(encoding.strip().lower()) if encoding else None

    def feed(self, data: bytes) -> bytes:
        """Decode a piece. A piece that is not encoded correctly is returned as it is, and so are all after it."""
        if self._decode is None:
            return data
        try:
            return self._decode(data)
        except Exception:  # each library has exceptions of its own
            self._decode = None
            return data


def _find_decoder(encoding: str) -> Callable[[bytes], bytes] | None:
    """Return the decoder of a content encoding, or None if this process has none.

    Nothing is imported: an HTTP library has imported the module of an encoding before it accepts that encoding.
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
    """Undoes zstd, where one frame may follow another.

    Args:
        begin: makes the decoder of one frame.
    """

    def __init__(self, begin: Callable[[], Any]) -> None:
        self._begin = begin
        self._frame = begin()

    def decode(self, data: bytes) -> bytes:
        """Decode a piece, which may contain the end of one frame and the beginning of the next."""
        plain = []
        while data:
            if self._frame.eof:
                self._frame = self._begin()
            plain.append(self._frame.decompress(data))
            data = self._frame.unused_data
        return b"".join(plain)


def parse_request_body(body: bytes | None, headers: Iterable[tuple[str, str]]) -> Any:
    """Return the body of a request: as JSON if it looks like that, as most do, or else by its content type."""
    value = load(body) if body and body[:1] in b"{[" else None
    if value is not None:
        return value
    content_type = next((value for name, value in headers if name.lower() == "content-type"), None)
    return parse_body(body, content_type)


def parse_body(body: bytes | None, content_type: str | None) -> Any:
    """Return a body as a reader wants to see it: parsed JSON, text, or the bytes themselves."""
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
