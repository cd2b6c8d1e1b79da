"""Decode HTTP bodies piece by piece, encode recorded ones again, and read bodies by their content type."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from namel3ss_debug.capture.core.answers import Response
from namel3ss_debug.wire.lenient import load

_WINDOW_BITS = {"gzip": 31, "x-gzip": 31, "deflate": 15, "deflate-raw": -15}
"""Content coding -> the `wbits` with which zlib reads and writes it."""
_RAW_DEFLATE = "deflate-raw"
"""`deflate` without the two bytes of zlib before it. Some servers send it under the same name, and clients accept both."""
AS_RECEIVED = "identity"
"""The coding of a recorded body that was not decoded."""

_LONG_BODY = 1 << 16
_LONG_TEXT = 1 << 10
_MOST_PIECES = 20_000

_ZSTD = ("compression.zstd", "backports.zstd")
"""The module of the standard library from Python 3.14 on, and its backport."""
_SPECIFIED = frozenset({"gzip", "x-gzip", "deflate", "br", "zstd"})


class Decompressor:
    """Undoes a content encoding as the pieces arrive. A body in an unknown encoding stays as it is.

    Attributes:
        decodes: whether this process can undo the encoding.

    Args:
        encoding: the value of the `content-encoding` header.
    """

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        codings = _split(encoding)
        decoders = [_find_decoder(coding) for coding in reversed(codings)]
        self._decoders: list[Callable[[bytes], bytes]] = [each for each in decoders if each is not None]
        self.decodes = len(self._decoders) == len(codings)
        self._has_decoded = self._failed = False
        self._is_raw_deflate = False
        self._is_deflate = codings == ["deflate"]

    def feed(self, data: bytes) -> bytes:
        """Decode a piece. A piece that is not encoded correctly is returned as it is, and so are all after it."""
        if self._failed or not self.decodes:
            return data
        # The low half of the first byte of zlib is 8 (RFC 1950, 2.2).
        if self._is_deflate and data and not self._has_decoded and data[0] & 15 != 8:
            self._is_raw_deflate = True
            self._decoders = [_ZlibDecoder(_RAW_DEFLATE).decode]
        try:
            plain = data
            for decode in self._decoders:
                plain = decode(plain)
        except Exception:  # each library has exceptions of its own
            self._failed = True
            return data
        self._has_decoded = True
        return plain

    @property
    def recorded_coding(self) -> str | None:
        """The coding that gives the received body from the recorded one; None if it is the one in the header."""
        if not self.decodes or (self._failed and not self._has_decoded):
            return AS_RECEIVED
        return _RAW_DEFLATE if self._is_raw_deflate else None

    @property
    def problem(self) -> str | None:
        """What to report if this process cannot undo an encoding that programs use; None for any other."""
        if self.decodes or not _SPECIFIED.issuperset(_split(self._encoding)):
            return None
        return f"a response was recorded as it was received, because no module that decodes {self._encoding} was loaded"


def encode_body(response: Response) -> Response:
    """Return a recorded response, whose body is decoded, as its server had encoded it.

    Each piece can be decoded as soon as it arrives. If this process cannot encode the body, the response is returned
    without its `content-encoding`.
    """
    if response.encoding in {"", AS_RECEIVED} or not response.pieces:
        return response
    encoders = [_find_encoder(coding) for coding in _split(response.encoding)]
    headers, pieces = response.headers, response.pieces
    last = len(pieces) - 1 if response.raised is None and not response.hangs else None
    for encoder in encoders:
        if encoder is None:
            plain = [(name, value) for name, value in headers if name.lower() != "content-encoding"]
            return response._replace(headers=plain, encoding="")
        pieces = [
            encoder.compress(piece) + (encoder.finish() if index == last else encoder.flush())
            for index, piece in enumerate(pieces)
        ]
    size = str(sum(map(len, pieces)))
    headers = [(name, size if name.lower() == "content-length" else value) for name, value in headers]
    return response._replace(headers=headers, pieces=pieces, encoding="")


def _split(encoding: str) -> list[str]:
    """Return the codings of a `content-encoding` header, in the order in which they were applied."""
    codings = (coding.strip().lower() for coding in encoding.split(","))
    return [coding for coding in codings if coding not in {"", "identity"}]


def _find_decoder(coding: str) -> Callable[[bytes], bytes] | None:
    """Return the decoder of a content coding, or None if this process has none.

    Nothing is imported: an HTTP library has imported the module of an encoding before it accepts that encoding.
    """
    if coding in _WINDOW_BITS:
        return _ZlibDecoder(coding).decode
    if coding == "br" and (brotli := _loaded("brotli", "brotlicffi")) is not None:
        decoder = brotli.Decompressor()
        decode: Callable[[bytes], bytes] = getattr(decoder, "process", None) or decoder.decompress
        return decode
    if coding == "zstd" and (zstd := _loaded(*_ZSTD)) is not None:
        return _Frames(zstd.ZstdDecompressor).decode
    if coding == "zstd" and (zstandard := _loaded("zstandard")) is not None:
        return _Frames(lambda: zstandard.ZstdDecompressor().decompressobj()).decode
    return None


class _Encoder(NamedTuple):
    """Encodes a body: `flush` and `finish` return what is still missing of the pieces so far, and of the whole."""

    compress: Callable[[bytes], bytes]
    flush: Callable[[], bytes]
    finish: Callable[[], bytes]


def _find_encoder(coding: str) -> _Encoder | None:
    """Return an encoder from the same modules as the decoder, or None if this process has none."""
    if coding in _WINDOW_BITS:
        zlib_object = zlib.compressobj(wbits=_WINDOW_BITS[coding])
        return _Encoder(zlib_object.compress, lambda: zlib_object.flush(zlib.Z_SYNC_FLUSH), zlib_object.flush)
    if coding == "br" and (brotli := _loaded("brotli", "brotlicffi")) is not None:
        brotli_object = brotli.Compressor()
        compress = getattr(brotli_object, "process", None) or brotli_object.compress
        return _Encoder(compress, brotli_object.flush, brotli_object.finish)
    if coding == "zstd" and (zstd := _loaded(*_ZSTD)) is not None:
        frame = zstd.ZstdCompressor()
        return _Encoder(frame.compress, lambda: frame.flush(frame.FLUSH_BLOCK), frame.flush)
    if coding == "zstd" and (zstandard := _loaded("zstandard")) is not None:
        stream = zstandard.ZstdCompressor().compressobj()
        return _Encoder(
            stream.compress, lambda: stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK), stream.flush
        )
    return None


def _loaded(*names: str) -> Any:
    """Return the first of these modules that the program has imported, or None."""
    return next((sys.modules[name] for name in names if sys.modules.get(name) is not None), None)


class _ZlibDecoder:
    """Undoes a coding of zlib. One gzip member may follow another; anything else behind the end is dropped."""

    def __init__(self, coding: str) -> None:
        self._window_bits = _WINDOW_BITS[coding]
        self._inner = zlib.decompressobj(self._window_bits)
        self._has_ended = False

    def decode(self, data: bytes) -> bytes:
        """Decode a piece."""
        plain = []
        while data:
            if self._inner.eof:
                self._has_ended = True
                self._inner = zlib.decompressobj(self._window_bits)
            try:
                plain.append(self._inner.decompress(data))
            except zlib.error:
                if not self._has_ended:
                    raise
                break
            data = self._inner.unused_data
        return b"".join(plain)


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
    """Return the body of a request: as JSON if it looks like that, as most do, or else by its content type.

    A compressed body is decoded. Programs compress with the time in the header, so the bytes differ in each run.
    """
    value = load(body) if body and body[:1] in b"{[" else None
    if value is not None:
        return value
    described = {name.lower(): value for name, value in headers} if body else {}
    encoding = described.get("content-encoding")
    plain = Decompressor(encoding).feed(body) if body and encoding else body
    return parse_body(plain, described.get("content-type"))


def parse_outline(body: bytes | None, headers: Iterable[tuple[str, str]]) -> Any:
    """Return the body of a request as `parse_request_body`, with its long texts left empty where it is long JSON.

    A request repeats a conversation with its documents, of which the level `basic` records nothing.
    """
    if body and len(body) >= _LONG_BODY and body[:1] in b"{[":
        outline = _without_long_texts(body)
        value = None if outline is None else load(outline)
        if value is not None:
            return value
    return parse_request_body(body, headers)


def _without_long_texts(body: bytes) -> bytes | None:
    r"""Return JSON without the long texts in it; `None` where it has none, or too many texts for this to be cheap.

    A text with `\"` in it is several pieces here, of which each is left out by itself.
    """
    pieces = body.split(b'"', _MOST_PIECES)
    if len(pieces) > _MOST_PIECES:
        return None
    is_inside = False
    for index, piece in enumerate(pieces):
        backslashes = len(piece) - len(piece.rstrip(b"\\")) if is_inside else 0
        if is_inside and len(piece) > _LONG_TEXT:
            pieces[index] = b"\\" * (backslashes % 2)
        if not backslashes % 2:
            is_inside = not is_inside
    return b'"'.join(pieces)


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
