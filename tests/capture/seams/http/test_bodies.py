"""Bodies as they are read: what a request says by itself, what its headers say of it, and undone encodings."""

from __future__ import annotations

import gzip
import json
import sys
import zlib
from types import ModuleType, SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.capture.core.answers import RecordedError, Response
from namel3ss_debug.capture.seams.http.bodies import (
    AS_RECEIVED,
    Decompressor,
    encode_body,
    parse_outline,
    parse_request_body,
)
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
    for encoding in ("br", "zstd", "compress", "gzip"):
        decompressor = Decompressor(encoding)
        assert [decompressor.feed(piece) for piece in (b"one", b"two")] == [b"one", b"two"]


REAL = {"br": "brotli", "zstd": "backports.zstd" if sys.version_info < (3, 14) else "compression.zstd"}
CODINGS = ["gzip", "x-gzip", "deflate", "deflate-raw", *REAL]


def recorded(pieces: list[bytes], encoding: str, **more: object) -> Response:
    """A recorded response with this body, which was encoded when it was received."""
    headers = [("Content-Encoding", encoding), ("content-length", str(sum(map(len, pieces))))]
    return Response(200, "OK", headers, pieces, encoding=encoding, **more)


@pytest.fixture(scope="module", autouse=True)
def _loaded() -> None:
    for module in REAL.values():
        pytest.importorskip(module)


@given(
    pieces=st.lists(st.binary(max_size=300), min_size=1, max_size=5),
    codings=st.lists(st.sampled_from(CODINGS), min_size=1, max_size=2),
    broken=st.booleans(),
)
def test_an_encoded_body_decodes_to_the_recorded_one(
    pieces: list[bytes], codings: list[str], broken: bool
) -> None:
    """Piece by piece, and also if the connection was lost in the middle; the headers give the length that is sent."""
    raised = RecordedError("connection", "lost") if broken else None
    response = encode_body(recorded(pieces, ", ".join(codings), raised=raised))
    assert dict(response.headers)["content-length"] == str(sum(map(len, response.pieces)))
    assert dict(response.headers)["Content-Encoding"] == ", ".join(codings)
    decompressor = Decompressor(", ".join(codings))
    assert [decompressor.feed(piece) for piece in response.pieces] == pieces
    assert decompressor.decodes


def test_the_coding_of_a_recorded_body_is_named_where_the_header_does_not() -> None:
    """Deflate without the header of zlib, and a body that is not encoded as its header says; both are sent so again."""
    raw = zlib.compressobj(wbits=-15)
    headless = raw.compress(b"hello") + raw.flush()
    for encoding, body, coding in (
        ("deflate", headless, "deflate-raw"),
        ("deflate", zlib.compress(b"hello"), None),
        ("gzip", b"hello", AS_RECEIVED),
        ("x-unknown", b"hello", AS_RECEIVED),
    ):
        decompressor = Decompressor(encoding)
        plain = decompressor.feed(body)
        assert plain == b"hello"
        assert decompressor.recorded_coding == coding
        again = encode_body(recorded([plain], encoding)._replace(encoding=coding or encoding))
        assert again.pieces == [body]


def test_members_of_gzip_may_follow_each_other_and_padding_is_dropped() -> None:
    """As other clients read them."""
    decompressor = Decompressor("gzip")
    assert decompressor.feed(gzip.compress(b"one ") + gzip.compress(b"two") + b"\0\0") == b"one two"
    assert decompressor.recorded_coding is None


def test_a_body_that_cannot_be_encoded_again_loses_its_header(monkeypatch: pytest.MonkeyPatch) -> None:
    """So the program reads it as it is; the one problem that is reported names the encoding that programs use."""
    for name in ENCODINGS:
        monkeypatch.delitem(sys.modules, name, raising=False)
    response = encode_body(recorded([b"hello"], "br"))
    assert response.headers == [("content-length", "5")]
    assert response.pieces == [b"hello"]
    assert "decodes br" in Decompressor("br").problem
    assert Decompressor("aws-chunked").problem is None
    assert Decompressor("gzip").problem is None


TEXTS = st.text(max_size=5) | st.sampled_from(['"', "\\", '\\"', "é\n"]).map(lambda text: text * 800 + "end")
VALUES = st.recursive(
    TEXTS | st.integers() | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
)


@given(VALUES)
def test_the_outline_of_a_long_body_has_everything_but_its_long_texts(value: object) -> None:
    """Whatever quotes and backslashes are in it; a short body is read as it is."""
    whole = {"model": "m", "data": "A" * 70_000, "value": value, "tools": [{"name": "f"}]}
    outline = parse_outline(json.dumps(whole).encode(), [])
    assert (outline["model"], outline["data"], outline["tools"]) == ("m", "", [{"name": "f"}])

    def same(one: object, other: object) -> bool:
        if isinstance(one, dict):
            assert isinstance(other, dict)
            return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
        if isinstance(one, list):
            assert isinstance(other, list)
            return len(one) == len(other) and all(map(same, one, other))
        return one == other or (isinstance(one, str) and len(json.dumps(one)) > 1000)

    assert same(value, outline["value"])
    short = json.dumps({"value": value}).encode()
    if len(short) < 60_000:
        assert parse_outline(short, []) == parse_request_body(short, [])


def test_the_outline_of_what_is_no_json_is_the_body() -> None:
    """Nothing is left out of a body that cannot be read without its texts."""
    body = b"{" + b"a" * 70_000
    assert parse_outline(body, []) == body.decode()
