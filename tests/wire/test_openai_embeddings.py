"""OpenAI embeddings: inputs, sizes, and made-up vectors."""

from __future__ import annotations

import base64
import struct

import pytest

from namel3ss_debug import wire
from namel3ss_debug.wire.openai_embeddings import invent_vector

FORMAT = wire.FORMATS["openai.embeddings"]


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ("a", [{"type": "text", "content": "a"}]),
        (["a", "b"], [{"type": "text", "content": "a"}, {"type": "text", "content": "b"}]),
        ([1, 2], [{"type": "tokens", "content": [1, 2]}]),
        ([[1, 2], [3]], [{"type": "tokens", "content": [1, 2]}, {"type": "tokens", "content": [3]}]),
    ],
)
def test_each_input_is_a_message(given, parts):
    """A text, texts, token numbers or lists of them: one message for each vector."""
    decoded = FORMAT.codec.decode_request({"model": "e", "input": given, "dimensions": 8})
    assert decoded["messages"] == [{"role": "user", "parts": [part]} for part in parts]
    assert decoded["params"] == {"dimensions": 8}
    body = FORMAT.codec.encode_response(
        wire.Answer(), {"input": given, "dimensions": 8}, response_id="", created=0
    )
    assert (FORMAT.codec.decode_response(body).vectors, FORMAT.codec.decode_response(body).dimensions) == (
        len(parts),
        8,
    )


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 1536])
def test_the_size_of_a_packed_vector_is_known(length):
    """Base64 of 32-bit floats has the dimensions of its floats, whatever its padding."""
    packed = base64.b64encode(struct.pack(f"<{length}f", *range(length))).decode()
    answer = FORMAT.codec.decode_response(
        {"data": [{"embedding": packed}], "model": "e", "usage": {"prompt_tokens": 4}}
    )
    assert (answer.vectors, answer.dimensions, answer.usage) == (1, length, {"input_tokens": 4})


def test_a_total_alone_is_the_input():
    """As Voyage tells it: nothing but input is counted where vectors are made."""
    body = {"data": [{"embedding": [0.5]}], "model": "voyage-3.5", "usage": {"total_tokens": 10}}
    assert FORMAT.codec.decode_response(body).usage == {"input_tokens": 10}


def test_a_written_document_is_read_back_as_a_stream_too():
    """Embeddings do not stream: the one chunk is the document."""
    answer = wire.Answer(vectors=2, dimensions=3, response_model="e", usage={"input_tokens": 4})
    chunks = FORMAT.codec.encode_stream(answer, {"input": ["a", "b"]}, response_id="r", created=1)
    assert FORMAT.codec.decode_response(FORMAT.join_stream(b"".join(chunks))) == answer


def test_invent_vectors_do_not_change_between_releases():
    """Equal inputs have equal vectors in every run."""
    assert invent_vector("a", 2) == pytest.approx([0.914726, 0.404074])
