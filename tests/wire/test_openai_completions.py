"""Completions of prompts: OpenAI's older API, and Mistral's that fills in the middle."""

from __future__ import annotations

import pytest

from namel3ss_debug import wire
from namel3ss_debug.wire import framing

FORMAT = wire.FORMATS["openai.completions"]
ANSWER = wire.Answer(
    text="upon a time",
    finish_reason="length",
    response_model="base",
    usage={"input_tokens": 2, "output_tokens": 3},
    response_id="r",
)


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ("a", [{"type": "text", "content": "a"}]),
        (["a", "b"], [{"type": "text", "content": "a"}, {"type": "text", "content": "b"}]),
        ([1, 2], [{"type": "tokens", "content": [1, 2]}]),
        ([[1, 2], [3]], [{"type": "tokens", "content": [1, 2]}, {"type": "tokens", "content": [3]}]),
    ],
)
def test_each_prompt_is_a_message_and_has_its_choice(given, parts):
    """A text, texts, token numbers or lists of them; a written answer says the same to each."""
    asked = {"model": "m", "prompt": given, "suffix": "end"}
    decoded = FORMAT.codec.decode_request(asked)
    assert decoded["messages"] == [{"role": "user", "parts": [part]} for part in parts]
    assert decoded["params"] == {"suffix": "end"}
    body = FORMAT.codec.encode_response(ANSWER, asked, response_id="r", created=1)
    assert [choice["text"] for choice in body["choices"]] == ["upon a time"] * len(parts)


@pytest.mark.parametrize("name", ["openai.completions", "mistral.fim"])
def test_a_written_answer_is_read_back_whole_and_as_a_stream(name):
    """Also the finish reason and the counts, which a stream tells where it was asked to."""
    codec, asked = wire.FORMATS[name].codec, {"prompt": "Once", "stream_options": {"include_usage": True}}
    whole = codec.encode_response(ANSWER, asked, response_id="r", created=1)
    assert codec.decode_response(whole) == ANSWER
    raw = b"".join(codec.encode_stream(ANSWER, asked, response_id="r", created=1))
    events = framing.SERVER_SENT.parse(raw)
    assert codec.decode_response(codec.join_events(events)) == ANSWER
    assert [codec.is_content(event) for event in events].count(True) == len(framing.split_text("upon a time"))


def test_choices_of_a_stream_are_told_apart():
    """Each prompt is answered by chunks of its own, which come as they are made."""
    chunks = [(1, "b"), (0, "a"), (1, "B"), (0, "A")]
    events = [{"choices": [{"index": index, "text": text}]} for index, text in chunks]
    body = FORMAT.codec.join_events([*events, {"choices": [], "usage": {"prompt_tokens": 3}}])
    assert [choice["text"] for choice in body["choices"]] == ["aA", "bB"]
    assert FORMAT.codec.decode_response(body).usage == {"input_tokens": 3}
