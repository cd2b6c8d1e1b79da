"""Documents that are written alike."""

from __future__ import annotations

import json

import pytest

from namel3ss_debug.capture.payloads.alike import Layouts

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
