"""How streams are divided into events: server-sent events by the rules of the standard, and streams that are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.wire import framing


@pytest.mark.parametrize(
    ("raw", "events"),
    [
        (b"data: one\n\ndata: two\n\n", ["one", "two"]),
        (b"event: ping\ndata: {}\n\n", ["{}"]),
        (b"data: a\r\ndata: b\r\n\r\n", ["a\nb"]),
        (b"data: a\rdata: b\r\r", ["a\nb"]),
        (b": a comment\n\ndata:no space\n\n", ["no space"]),
        (b"data:  two spaces\n\n", [" two spaces"]),
        (b"event: empty\n\ndata: x\n\n", ["x"]),
        (b"data\n\n", [""]),
        (b"id: 1\nretry: 5\nunknown: x\ndata: y\n\n", ["y"]),
        (b"\xef\xbb\xbfdata: x\n\n", ["x"]),
        ("data: a\u2028b\x85c\n\n".encode(), ["a\u2028b\x85c"]),
        (b"data: cut", ["cut"]),
        (b"data: x\n\n\xef\xbb\xbfdata: y\n\n", ["x"]),
        (b"data: [DONE]\n\n", ["[DONE]"]),
        (b"data: \xe2\x82", ["\N{REPLACEMENT CHARACTER}"]),
        (b"", []),
        (b"\n\n\n", []),
    ],
)
def test_streams_are_read_by_the_standard(raw, events):
    """Line ends, comments, several data lines, unknown fields and a cut end are read as the standard says."""
    assert framing.parse_sse(raw) == events


@given(cuts=st.lists(st.integers(0, 200), max_size=10))
def test_chunks_may_be_split_inside_a_character(cuts):
    """Bytes that arrive in pieces, even half a character or half a line end, give the same events."""
    raw = "event: e\r\ndata: gr\N{LATIN SMALL LETTER U WITH DIAERESIS}\N{SUN WITH FACE}\r\n\r\ndata: 2\r\n\r\n".encode()
    decoder, events = framing.SseDecoder(), []
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), None], strict=True):
        events += decoder.feed_texts(raw[start:end])
    assert events == ["gr\N{LATIN SMALL LETTER U WITH DIAERESIS}\N{SUN WITH FACE}", "2"]
    assert decoder.close() == []


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_bytes_may_come_one_at_a_time(end):
    """A line end of two characters is one line end, also where a chunk ends between them."""
    decoder, events = framing.SseDecoder(), []
    for byte in end.join([b"event: e", b"data: 1", b"", b"data: 2", b"data: 3", b"", b""]):
        events += decoder.feed_texts(bytes([byte]))
    assert [*events, *decoder.close()] == ["1", "2\n3"]


EVENTS = st.lists(
    st.builds(
        lambda name, data, end: end.join([*name, *(b"data: " + line for line in data), b"", b""]),
        st.sampled_from([[], [b"event: delta"], [b": a comment"], [b"id: 7", b"event: x"]]),
        st.sampled_from([[], [b"[DONE]"], [b'{"a": 1}'], [b'{"a":', b"1}"], [b"5"], [b"torn {"]]),
        st.shared(st.sampled_from([b"\n", b"\r\n", b"\r"]), key="end"),
    ).filter(bytes.strip),
    max_size=4,
)


@given(EVENTS, st.sampled_from([b"", b"data: {", b": torn"]))
def test_a_stream_is_cut_into_its_events(events, rest):
    """Each with its blank line, and what is left of one that is not whole; where the last whole one ends is known."""
    stream = b"".join(events) + rest
    assert framing.split_sse(stream) == [*events, *([rest] if rest else [])]
    assert framing.find_last_sse_end(stream) == len(stream) - len(rest)


@given(EVENTS, st.sampled_from([{"b": [2]}, ["c"], "[DONE]", "two\nlines"]))
def test_an_event_says_what_it_was_given_to_say(events, value):
    """Its name and its other lines stay; what has no data is said as a whole."""
    for event in events:
        if b"data" in event:
            said = framing.replace_sse(event, value)
            assert framing.read_sse(said) == value
            assert (b"event: " in said) == (b"event: " in event)
            assert (b"id: 7" in said) == (b"id: 7" in event)
            assert framing.split_sse(said) == [said]
        else:
            assert framing.replace_sse(event, framing.read_sse(event)) == event


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (b'data: {"a": 1}\n\n', {"a": 1}),
        (b'event: x\r\ndata: {"a": 1}\r\n\r\n', {"a": 1}),
        (b'data: {"a":\ndata: 1}\n\n', {"a": 1}),
        (b"data: [DONE]\n\n", "[DONE]"),
        (b"data: 5\n\n", "5"),
        (b'data: "x"\n\n', ["x"]),
        (b"data: {torn\n\n", "{torn"),
        (b": ping\n\n", ": ping\n\n"),
    ],
)
def test_what_an_event_says(event, said):
    """Its data as JSON where they are an object or an array, else as they stand; of a comment, the whole of it."""
    assert framing.read_sse(event) == said


def test_an_event_is_given_as_soon_as_it_is_complete():
    """The decoder waits for the blank line and for nothing after it."""
    decoder = framing.SseDecoder()
    assert decoder.feed_texts(b"data: 1\n") == []
    assert decoder.feed_texts(b"\n") == ["1"]
    assert decoder.feed_texts(b"data: 2\r\n\r") == ["2"]
    assert decoder.feed_texts(b"\ndata: 3") == []
    assert decoder.close() == ["3"]


def test_only_json_objects_count_as_data():
    """`[DONE]`, other JSON values and torn data are left out."""
    assert framing.SERVER_SENT.parse(b'data: {"a":1}\n\ndata: [DONE]\n\ndata: 5\n\ndata: {"b":') == [{"a": 1}]


@given(st.text(), st.integers(1, 9))
def test_pieces_are_the_text(text, most):
    """The pieces of a text, put together, are the text; there are at most as many as asked for, none empty."""
    found = framing.split_text(text, most)
    assert "".join(found) == text
    assert len(found) <= most
    assert all(found)


def test_an_event_is_written_with_and_without_a_name():
    """Writing an event gives its name, one line of JSON and a blank line."""
    assert framing.encode_sse({"type": "ping"}, "ping") == b'event: ping\ndata: {"type":"ping"}\n\n'
    assert framing.encode_sse({"a": "\n"}) == b'data: {"a":"\\n"}\n\n'


def test_texts_grow_where_they_are():
    """Pieces are appended to the text that was there; what is no text is left out, also where it was before."""
    document = {"a": "1", "b": 5}
    texts = framing.GrowingTexts()
    for piece in ("2", None, 7, "3"):
        texts.add(document, "a", piece)
    texts.add(document, "b", "x")
    texts.add(document, "c", None)
    texts.finish()
    assert document == {"a": "123", "b": "x"}
    texts.add(document, "a", "4")
    texts.finish()
    assert document["a"] == "1234"
