"""Which request speaks which format."""

from __future__ import annotations

import pytest

from namel3ss_debug import wire

CHAT = {"model": "m", "messages": []}


@pytest.mark.parametrize(
    ("path", "body", "name"),
    [
        ("/v1/chat/completions", CHAT, "openai.chat"),
        ("/openai/deployments/gpt-4o/chat/completions?api-version=1", {"messages": []}, "openai.chat"),
        ("/chat/completions/", CHAT, "openai.chat"),
        ("/v1/responses", {"model": "m", "input": "hi"}, "openai.responses"),
        ("/v1/responses", {"prompt": {"id": "p"}}, "openai.responses"),
        ("/gateway/v1/embeddings", {"model": "m", "input": ["a"]}, "openai.embeddings"),
        ("/v1/messages", {**CHAT, "max_tokens": 1}, "anthropic.messages"),
        ("/anthropic/v1/messages", {"messages": [], "anthropic_version": "x"}, "anthropic.messages"),
        ("/v1/chat/completions", {"model": "m"}, None),
        ("/v1/chat/completions", None, None),
        ("/v1/chat/completions", [CHAT], None),
        ("/v1/messages", CHAT, None),
        ("/v1/messages/count_tokens", {**CHAT, "max_tokens": 1}, None),
        ("/v1/threads/t/messages", {"role": "user", "content": "x"}, None),
        ("/v1/responses/r/cancel", {"input": "x"}, None),
        ("/v1/embeddings", {"model": "m"}, None),
        ("/v1/traces/ingest", {"data": []}, None),
        ("", CHAT, None),
    ],
)
def test_requests_are_recognised_by_path_and_keys(path, body, name):
    """The end of the path and the keys that must be there decide; prefix, query and model do not."""
    known = wire.recognise(path, body)
    assert (known and known.name) == name


def test_the_table_says_what_each_format_is():
    """Names in the table are those of the formats; provider and operation are OpenTelemetry's values."""
    assert {name: (f.name, f.provider, f.operation) for name, f in wire.FORMATS.items()} == {
        "openai.chat": ("openai.chat", "openai", "chat"),
        "openai.responses": ("openai.responses", "openai", "chat"),
        "openai.embeddings": ("openai.embeddings", "openai", "embeddings"),
        "anthropic.messages": ("anthropic.messages", "anthropic", "chat"),
    }


@pytest.mark.parametrize("known", wire.FORMATS.values(), ids=wire.FORMATS)
def test_a_mock_that_says_only_a_text_is_a_whole_answer(known):
    """An answer with nothing but a text is written with a finish reason, the model asked for, and zero tokens."""
    request = {"model": "m", "input": "x", "stream_options": {"include_usage": True}}
    body = known.encode_response(wire.Answer(text="hello"), request, response_id="r", created=1)
    answer = known.decode_response(body)
    assert answer.response_model == "m"
    assert answer.usage["input_tokens"] == 0
    if known.operation == "chat":
        assert answer.text == "hello"
        assert answer.finish_reason in {"stop", "completed", "end_turn"}
        streamed = known.encode_stream(wire.Answer(text="hello"), request, response_id="r", created=1)
        assert known.decode_response(known.join_stream(b"".join(streamed))) == answer


@pytest.mark.parametrize("name", ["openai.chat", "openai.responses", "anthropic.messages"])
def test_a_tool_call_without_an_id_gets_one(name):
    """Mocked tool calls need no id; each gets one of its own, and the finish reason says that tools are called."""
    known = wire.FORMATS[name]
    mock = wire.Answer(tool_calls=[{"name": "f", "arguments": {"a": 1}}, {"name": "g"}])
    answer = known.decode_response(known.encode_response(mock, {}, response_id="r", created=1))
    assert [(call["name"], call["arguments"]) for call in answer.tool_calls] == [("f", {"a": 1}), ("g", {})]
    assert len({call["id"] for call in answer.tool_calls}) == 2
    assert answer.finish_reason in {"tool_calls", "completed", "tool_use"}


@pytest.mark.parametrize("name", ["openai.chat", "openai.responses", "anthropic.messages"])
def test_time_to_first_token_begins_with_output(name):
    """Events that only begin or count are no content; text, reasoning and tool calls are."""
    known = wire.FORMATS[name]

    def content(answer):
        joined = b"".join(known.encode_stream(answer, {}, response_id="r", created=1))
        return [known.is_content(event) for event in wire.sse.json_events(joined)]

    assert not any(content(wire.Answer(text="")))
    for answer in (
        wire.Answer(text="hello"),
        wire.Answer(reasoning="hello"),
        wire.Answer(tool_calls=[{"id": "1", "name": "f", "arguments": {}}]),
    ):
        flags = content(answer)
        assert not flags[0]
        assert any(flags)
        assert not flags[-1]


@pytest.mark.parametrize("known", wire.FORMATS.values(), ids=wire.FORMATS)
def test_a_document_in_place_of_a_stream_is_read(known):
    """A gateway that answers a streamed request with one JSON document is understood."""
    assert known.join_stream(b' {"error": {"message": "x"}}') == {"error": {"message": "x"}}


def test_outputs_are_those_of_the_event_format():
    """The outputs of an answer leave out what is null; an embedding tells its size instead of a text."""
    call = {"id": "1", "name": "f", "arguments": {}}
    answer = wire.Answer(
        text="a", tool_calls=[call], finish_reason="stop", response_model="m", usage={"input_tokens": 1}
    )
    assert answer.outputs() == {
        "text": "a",
        "tool_calls": [call],
        "finish_reason": "stop",
        "response_model": "m",
    }
    assert wire.Answer(reasoning="r", refusal="no").outputs() == {
        "tool_calls": [],
        "reasoning": "r",
        "refusal": "no",
    }
    assert wire.Answer(vectors=2, dimensions=3, response_model="e").outputs() == {
        "vectors": 2,
        "dimensions": 3,
        "response_model": "e",
    }
