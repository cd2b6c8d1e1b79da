"""Bodies as they are read: what a request says by itself, what its headers say of it, and undone encodings."""

from __future__ import annotations

import sys
import zlib
from types import ModuleType, SimpleNamespace

import pytest

from namel3ss_debug.capture.seams.http.bodies import Decompressor, parse_request_body
from namel3ss_debug.capture.seams.http.shared import LazyHeaders

JSON = [("Content-Type", "application/json; charset=utf-8")]


@pytest.mark.parametrize(("body", "value"), [(b'{"a": [1]}', {"a": [1]}), (b'["a"]', ["a"])])
def test_a_request_that_is_json_is_read_without_its_headers(body: bytes, value: object) -> None:
    """A body that is an object or an array says so itself, so its headers are not read from the library."""
    headers = LazyHeaders(lambda: pytest.fail("the headers were asked for"))
    assert parse_request_body(body, headers) == value


@pytest.mark.parametrize(
    ("body", "headers", "value"),
    [
        (b'"word"', JSON, "word"),
        (b'"word"', [("content-type", "text/plain")], '"word"'),
        (b"{not json", JSON, "{not json"),
        (b"a=1&b=2", [], "a=1&b=2"),
        (b"\xff\xfe", [], b"\xff\xfe"),
        (b"", JSON, None),
        (None, [], None),
    ],
)
def test_what_headers_say_counts_for_any_other_request(
    body: bytes | None, headers: list[tuple[str, str]], value: object
) -> None:
    """A body that does not look like JSON is JSON where its content type says so, else text, else bytes."""
    assert parse_request_body(body, headers) == value


class OneFrame:
    """A frame as the libraries of zstd undo it: what follows it is left over."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj()

    @property
    def eof(self) -> bool:
        """Whether the frame has ended."""
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        """What stood behind its end."""
        return self._inner.unused_data

    def decompress(self, data: bytes) -> bytes:
        """The next of it."""
        if self._inner.eof:
            raise EOFError
        return self._inner.decompress(data)


ENCODINGS = {
    "brotli": ("br", {"Decompressor": lambda: SimpleNamespace(process=OneFrame().decompress)}),
    "brotlicffi": ("br", {"Decompressor": lambda: SimpleNamespace(process=OneFrame().decompress)}),
    "zstandard": ("zstd", {"ZstdDecompressor": lambda: SimpleNamespace(decompressobj=OneFrame)}),
    "backports.zstd": ("zstd", {"ZstdDecompressor": OneFrame}),
    "compression.zstd": ("zstd", {"ZstdDecompressor": OneFrame}),
}


@pytest.fixture
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Nothing that undoes an encoding but the library that is asked for, as a stand-in of the same shape; its encoding."""
    for name in ENCODINGS:
        monkeypatch.delitem(sys.modules, name, raising=False)
    encoding, members = ENCODINGS[request.param]
    module = ModuleType(request.param)
    vars(module).update(members)
    monkeypatch.setitem(sys.modules, request.param, module)
    return encoding


@pytest.mark.parametrize("library", ENCODINGS, indirect=True)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_body_is_decoded_by_the_library_that_the_program_has(library: str, size: int) -> None:
    """Piece by piece, by whichever of the libraries of an encoding the HTTP library has imported."""
    plain = b'{"text": "' + bytes(range(35, 91)) * 5 + b'"}'
    encoded = zlib.compress(plain)
    decompressor = Decompressor(library)
    pieces = [encoded[start : start + size] for start in range(0, len(encoded), size)]
    assert b"".join(map(decompressor.feed, pieces)) == plain


@pytest.mark.parametrize("library", ["zstandard", "backports.zstd"], indirect=True)
def test_frames_of_zstd_may_follow_each_other(library: str) -> None:
    """As a server writes them that ends one with each piece, whether they come alone or together."""
    frames = [zlib.compress(b"one "), zlib.compress(b"two "), zlib.compress(b"three")]
    decompressor = Decompressor(library)
    assert [decompressor.feed(frame) for frame in frames] == [b"one ", b"two ", b"three"]
    assert Decompressor(library).feed(b"".join(frames)) == b"one two three"


def test_an_encoding_that_cannot_be_undone_passes_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that nobody knows, one whose library is not there, and what is not encoded as it should be."""
    for name in ENCODINGS:
        monkeypatch.delitem(sys.modules, name, raising=False)
    for encoding in ("br", "zstd", "compress", "gzip", None):
        decompressor = Decompressor(encoding)
        assert [decompressor.feed(piece) for piece in (b"one", b"two")] == [b"one", b"two"]
