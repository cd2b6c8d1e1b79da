"""Messages that come again with each request."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug import wire
from namel3ss_debug.wire import parts

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-1, 1) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture(autouse=True)
def _nothing_seen(monkeypatch):
    monkeypatch.setattr(parts, "_decoded_messages", {})


def test_a_message_is_decoded_when_first_seen():
    """The same message in a later request is not decoded again, and a message of another codec is."""
    decoded = []

    def decode(message):
        decoded.append(message)
        return {"role": message["role"]}

    said, asked = {"role": "user", "content": "a"}, {"role": "user", "content": "b"}
    first = parts.decode_messages([said], decode)
    assert parts.decode_messages([dict(said), asked], decode)[0] is first[0]
    assert decoded == [said, asked]
    parts.decode_messages([said], lambda message: decode({**message}))
    assert decoded == [said, asked, said]


@given(st.lists(st.dictionaries(st.text(max_size=3), VALUES, max_size=3), max_size=4))
def test_what_was_seen_is_told_from_what_only_looks_like_it(sent):
    """Two conversations give each its own messages, also where they differ by `1`, `1.0` and `true` alone."""
    for message, shown in zip(
        sent, parts.decode_messages(sent, lambda message: {"is": message}), strict=True
    ):
        assert repr(shown) == repr({"is": message})


def test_what_a_program_changes_later_is_not_seen():
    """A message that was given as a program's own object is that of the moment."""
    message = {"content": [{"type": "text", "text": "a"}]}
    before = parts.decode_messages([message], lambda told: {"parts": told["content"]})
    message["content"][0]["text"] = "b"
    assert before == [{"parts": [{"type": "text", "text": "a"}]}]


def test_no_more_is_kept_than_there_is_room_for():
    """A message of a megabyte is not kept, and neither are thousands of small ones."""
    for number in range(2000):
        parts.decode_messages([{"content": number}], dict)
    parts.decode_messages([{"content": "a" * (1 << 20)}], dict)
    assert len(parts._decoded_messages) <= 512
    assert max(len(key) for _, key in parts._decoded_messages) < 100


def test_what_is_nested_too_deep_is_decoded_each_time():
    """A body of a thousand levels is a request like any other."""
    deep = []
    for _ in range(5000):
        deep = [deep]
    request = {"model": "m", "messages": [{"role": "user", "content": deep}]}
    found = wire.FORMATS["openai.chat"].codec.decode_request(request)
    assert found["messages"] == [{"role": "user", "parts": []}]
    assert not parts._decoded_messages
