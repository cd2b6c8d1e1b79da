"""Server-sent events: the rules of the standard, and streams that are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.wire import sse


@pytest.mark.parametrize(
    ("raw", "events"),
    [
        (b"data: one\n\ndata: two\n\n", [("message", "one"), ("message", "two")]),
        (b"event: ping\ndata: {}\n\n", [("ping", "{}")]),
        (b"data: a\r\ndata: b\r\n\r\n", [("message", "a\nb")]),
        (b"data: a\rdata: b\r\r", [("message", "a\nb")]),
        (b": a comment\n\ndata:no space\n\n", [("message", "no space")]),
        (b"data:  two spaces\n\n", [("message", " two spaces")]),
        (b"event: empty\n\ndata: x\n\n", [("message", "x")]),
        (b"data\n\n", [("message", "")]),
        (b"id: 1\nretry: 5\nunknown: x\ndata: y\n\n", [("message", "y")]),
        (b"\xef\xbb\xbfdata: x\n\n", [("message", "x")]),
        ("data: a\u2028b\x85c\n\n".encode(), [("message", "a\u2028b\x85c")]),
        (b"data: cut", [("message", "cut")]),
        (b"data: [DONE]\n\n", [("message", "[DONE]")]),
        (b"data: \xe2\x82", [("message", "\N{REPLACEMENT CHARACTER}")]),
        (b"", []),
        (b"\n\n\n", []),
    ],
)
def test_streams_are_read_by_the_standard(raw, events):
    """Line ends, comments, several data lines, unknown fields and a cut end are read as the standard says."""
    assert sse.parse(raw) == events


@given(cuts=st.lists(st.integers(0, 200), max_size=10))
def test_chunks_may_be_split_inside_a_character(cuts):
    """Bytes that arrive in pieces, even half a character or half a line end, give the same events."""
    raw = "event: e\r\ndata: gr\N{LATIN SMALL LETTER U WITH DIAERESIS}\N{SUN WITH FACE}\r\n\r\ndata: 2\r\n\r\n".encode()
    decoder, events = sse.Decoder(), []
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), None], strict=True):
        events += decoder.feed(raw[start:end])
    assert events == [("e", "gr\N{LATIN SMALL LETTER U WITH DIAERESIS}\N{SUN WITH FACE}"), ("message", "2")]
    assert decoder.close() == []


def test_an_event_is_given_as_soon_as_it_is_complete():
    """The decoder waits for the blank line and for nothing after it."""
    decoder = sse.Decoder()
    assert decoder.feed(b"data: 1\n") == []
    assert decoder.feed(b"\n") == [("message", "1")]
    assert decoder.feed(b"data: 2\r\n\r") == [("message", "2")]
    assert decoder.feed(b"\ndata: 3") == []
    assert decoder.close() == [("message", "3")]


def test_only_json_objects_count_as_data():
    """`[DONE]`, other JSON values and torn data are left out."""
    assert sse.json_events(b'data: {"a":1}\n\ndata: [DONE]\n\ndata: 5\n\ndata: {"b":') == [{"a": 1}]


@given(st.text(), st.integers(1, 9))
def test_pieces_are_the_text(text, most):
    """The pieces of a text, put together, are the text; there are at most as many as asked for, none empty."""
    found = sse.pieces(text, most)
    assert "".join(found) == text
    assert len(found) <= most
    assert all(found)


def test_an_event_is_written_with_and_without_a_name():
    """Writing an event gives its name, one line of JSON and a blank line."""
    assert sse.encode({"type": "ping"}, "ping") == b'event: ping\ndata: {"type":"ping"}\n\n'
    assert sse.encode({"a": "\n"}) == b'data: {"a":"\\n"}\n\n'


def test_texts_grow_where_they_are():
    """Pieces are appended to the text that was there; what is no text is left out, also where it was before."""
    document = {"a": "1", "b": 5}
    texts = sse.Texts()
    for piece in ("2", None, 7, "3"):
        texts.add(document, "a", piece)
    texts.add(document, "b", "x")
    texts.add(document, "c", None)
    texts.finish()
    assert document == {"a": "123", "b": "x"}
    texts.add(document, "a", "4")
    texts.finish()
    assert document["a"] == "1234"
