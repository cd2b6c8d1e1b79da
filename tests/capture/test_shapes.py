"""Events of a stream that are written alike."""

from __future__ import annotations

import pytest

from namel3ss_debug.capture.shapes import shape_of, text_of

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
