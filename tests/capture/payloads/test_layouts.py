"""Documents that are written alike."""

from __future__ import annotations

import json

import pytest

from namel3ss_debug.capture.payloads.layouts import Layouts, shape_of, text_of

NAMES = ("id", "n", "texts")


def written(*texts: str, n: float | bool = 1) -> str:
    """A document with these texts."""
    return json.dumps({"id": texts[0], "n": n, "texts": list(texts[1:])})


@pytest.fixture
def layouts() -> Layouts:
    """What is known after two documents."""
    known = Layouts()
    for text in ("a", "b"):
        assert known.find_texts(NAMES, written(text, "c")) is None
        known.learn(NAMES, written(text, "c"))
    return known


@pytest.mark.parametrize(
    ("document", "texts"),
    [
        (written("d", "e", n=-1.5), ["d", "e"]),
        (written("d", 'a "b"\n', n=12), ["d", 'a "b"\n']),
        (written("d" * 9000, "ü"), ["d" * 9000, "ü"]),
        (written("d", "e", "f"), None),
        (written("d"), None),
        (written("d", "e", n=True), None),
        (written("d", "e", n=4111111111111111), None),
        (written("d", "e").replace("texts", "other"), None),
        (written("d", "e") + " ", None),
    ],
)
def test_what_is_written_alike_tells_its_texts(layouts, document, texts):
    """Numbers may differ while they are short, names and the number of items may not."""
    found = layouts.find_texts(NAMES, document)
    assert (None if found is None else list(found)) == texts


def test_another_kind_of_document_is_known_by_itself(layouts):
    """Each has names of its own."""
    assert layouts.find_texts(("other",), written("d", "e")) is None


def test_where_each_is_written_in_another_way_that_is_given_up():
    """And a document that is long is not learned at all."""
    known = Layouts()
    for n in range(100):
        known.learn(NAMES, written(*"x" * (n + 1)))
    for _ in range(2):
        known.learn(NAMES, written("a", "b"))
    assert known.find_texts(NAMES, written("a", "b")) is None
    long = Layouts()
    for _ in range(2):
        long.learn(NAMES, written("a", "b" * 5000))
    assert long.find_texts(NAMES, written("a", "b")) is None


EVENT = b'data: {"id":"c-1","n":12,"index":0,"delta":{"text":"a \\"b\\""}}\n\n'


@pytest.mark.parametrize(
    ("other", "texts"),
    [
        (EVENT, ("c-1", 'a "b"')),
        (EVENT.replace(b"12", b"-3.5e7").replace(b"c-1", "ü".encode()), ("ü", 'a "b"')),
        (EVENT.replace(b'"index":0', b'"index":1'), None),
        (EVENT.replace(b"delta", b"other"), None),
        (EVENT + EVENT, None),
        (EVENT.replace(b"12", b"null"), None),
    ],
)
def test_another_event_of_the_same_shape_tells_its_texts(other, texts):
    """Numbers may differ, but for those that belong to the shape; names may not."""
    shape = shape_of(EVENT, {b"index"})
    assert shape is not None
    assert shape.texts == (b"c-1", b'a \\"b\\"')
    found = shape.pattern.fullmatch(other)
    assert (None if found is None else tuple(map(text_of, found.groups()))) == texts


def test_what_is_no_object_has_no_shape():
    """The end of a stream is read as it is."""
    assert shape_of(b"data: [DONE]\n\n", ()) is None
