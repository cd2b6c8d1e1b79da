"""Which request speaks which format."""

from __future__ import annotations

import pytest

from namel3ss_debug import wire

CHAT = {"model": "m", "messages": []}
NAMELESS = {"bedrock.converse", "cohere.chat"}
"""Formats whose answers do not name the model."""
SPOKEN = [name for name, known in wire.FORMATS.items() if known.operation == "chat"]


@pytest.mark.parametrize(
    ("path", "body", "name"),
    [
        ("/v1/chat/completions", CHAT, "openai.chat"),
        ("/openai/deployments/gpt-4o/chat/completions?api-version=1", {"messages": []}, "openai.chat"),
        ("/chat/completions/", CHAT, "openai.chat"),
        ("/v1/agents/completions", {"agent_id": "a", "messages": []}, "openai.chat"),
        ("/v1/responses", {"model": "m", "input": "hi"}, "openai.responses"),
        ("/v1/responses/compact", {"model": "m", "input": "hi"}, "openai.responses"),
        ("/v1/responses/input_tokens", {"model": "m", "input": "hi"}, None),
        ("/v1/responses", {"prompt": {"id": "p"}}, "openai.responses"),
        ("/gateway/v1/embeddings", {"model": "m", "input": ["a"]}, "openai.embeddings"),
        ("/v1/messages", {**CHAT, "max_tokens": 1}, "anthropic.messages"),
        ("/anthropic/v1/messages", {"messages": [], "anthropic_version": "x"}, "anthropic.messages"),
        ("/v1beta/models/gemini-2.5-flash:generateContent", {"contents": []}, "gemini.generate_content"),
        ("/v1/models/g:streamGenerateContent?alt=sse", {"contents": {}}, "gemini.generate_content"),
        ("/v1beta/models/g:countTokens", {"contents": []}, None),
        ("/model/amazon.nova-v1%3A0/converse", {"messages": []}, "bedrock.converse"),
        ("/model/m/converse-stream", {"messages": []}, "bedrock.converse"),
        ("/model/m/invoke", {"messages": [], "anthropic_version": "bedrock"}, "anthropic.hosted"),
        ("/model/m/invoke", {"inputText": "x"}, None),
        (
            "/v1/models/m:streamRawPredict",
            {"messages": [], "anthropic_version": "vertex", "max_tokens": 1},
            "anthropic.hosted",
        ),
        ("/models/count-tokens:rawPredict", {**CHAT, "anthropic_version": "vertex"}, None),
        ("/v1/completions", {"model": "m", "prompt": ["a", "b"]}, "openai.completions"),
        ("/v1/completions", {"model": "m", "prompt": None}, None),
        ("/v1/chat/completions", {"model": "m", "prompt": {"id": "p"}}, None),
        ("/v1/fim/completions", {"model": "m", "prompt": "a", "suffix": "b"}, "mistral.fim"),
        ("/api/chat", CHAT, "ollama.chat"),
        ("/api/generate", {"model": "m", "prompt": "hi"}, "ollama.generate"),
        ("/v2/chat", CHAT, "cohere.chat"),
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
        "openai.completions": ("openai.completions", "openai", "text_completion"),
        "mistral.fim": ("mistral.fim", "mistral_ai", "text_completion"),
        "anthropic.messages": ("anthropic.messages", "anthropic", "chat"),
        "anthropic.hosted": ("anthropic.hosted", "anthropic", "chat"),
        "gemini.generate_content": ("gemini.generate_content", "gcp.gen_ai", "chat"),
        "bedrock.converse": ("bedrock.converse", "aws.bedrock", "chat"),
        "ollama.chat": ("ollama.chat", "ollama", "chat"),
        "ollama.generate": ("ollama.generate", "ollama", "text_completion"),
        "cohere.chat": ("cohere.chat", "cohere", "chat"),
    }


@pytest.mark.parametrize("known", wire.FORMATS.values(), ids=wire.FORMATS)
def test_a_mock_that_says_only_a_text_is_a_whole_answer(known):
    """An answer with nothing but a text is written with a finish reason, the model asked for, and zero tokens."""
    request = {"model": "m", "input": "x", "stream_options": {"include_usage": True}}
    body = known.codec.encode_response(wire.Answer(text="hello"), request, response_id="r", created=1)
    answer = known.codec.decode_response(body)
    assert answer.response_model == (None if known.name in NAMELESS else "m")
    assert answer.usage["input_tokens"] == 0
    if known.operation == "chat":
        assert answer.text == "hello"
        assert answer.finish_reason in {"stop", "completed", "end_turn", "STOP", "COMPLETE"}
        streamed = known.codec.encode_stream(wire.Answer(text="hello"), request, response_id="r", created=1)
        assert known.codec.decode_response(known.join_stream(b"".join(streamed), known.stream_type)) == answer


@pytest.mark.parametrize(
    ("path", "said", "model", "stream"),
    [
        ("/v1beta/models/gemini-2.5-flash:generateContent", {"contents": []}, "gemini-2.5-flash", False),
        ("/v1/publishers/google/models/g:streamGenerateContent", {"contents": []}, "g", True),
        ("/model/us.amazon.nova-v1%3A0/converse-stream", {"messages": []}, "us.amazon.nova-v1:0", True),
        ("/model/m/converse", {"messages": []}, "m", False),
        ("/model/m/invoke", {"messages": [], "anthropic_version": "x"}, "m", False),
        (
            "/models/claude@1:streamRawPredict",
            {"messages": [], "anthropic_version": "x", "max_tokens": 1},
            "claude@1",
            True,
        ),
        ("/api/chat", {"model": "m", "messages": []}, "m", True),
        ("/api/chat", {"model": "m", "messages": [], "stream": False}, "m", False),
    ],
)
def test_what_the_path_says_completes_the_request(path, said, model, stream):
    """The model, and whether the answer streams, are found where a provider says them, also by leaving them out."""
    completed = wire.recognise(path, said).complete(path, said)
    assert (completed["model"], completed["stream"]) == (model, stream)
    assert wire.recognise(path, said).codec.decode_request(completed)["model"] == model


@pytest.mark.parametrize(
    ("path", "said", "model"),
    [
        ("/openai/deployments/my%20gpt/chat/completions", {"messages": []}, "my gpt"),
        ("/openai/deployments/d/chat/completions", {"messages": [], "model": None}, "d"),
        ("/openai/deployments/d/chat/completions", {"messages": [], "model": "gpt-4o"}, "gpt-4o"),
        ("/openai/deployments/e/embeddings", {"input": "x"}, "e"),
        ("/v1/chat/completions", {"messages": []}, None),
        ("/v1/agents/completions", {"messages": [], "agent_id": "ag_1"}, "ag_1"),
    ],
)
def test_a_deployment_of_azure_is_the_model_that_is_asked(path, said, model):
    """Its name stands in the path, and not in the request, where that is not made by an SDK."""
    known = wire.recognise(path, said)
    assert known.codec.decode_request(known.complete(path, said))["model"] == model


def test_an_agent_of_mistral_stands_for_its_model():
    """The request names no model; one that names both keeps it."""
    known = wire.recognise("/v1/agents/completions", {"messages": []})
    for request, model in (({"agent_id": "a"}, "a"), ({"agent_id": "a", "model": "m"}, "m"), ({}, None)):
        completed = known.complete("/v1/agents/completions", request)
        assert known.codec.decode_request(completed)["model"] == model


def test_what_it_took_to_sum_up_a_conversation_is_read():
    """Its answer is no text, but items that stand for the conversation."""
    body = {
        "object": "response.compaction",
        "output": [{"type": "compaction", "encrypted_content": "x"}],
        "usage": {"input_tokens": 100, "output_tokens": 50, "total_tokens": 150},
    }
    answer = wire.FORMATS["openai.responses"].codec.decode_response(body)
    assert (answer.text, answer.usage) == (None, {"input_tokens": 100, "output_tokens": 50})


@pytest.mark.parametrize("name", [n for n in SPOKEN if n not in ("ollama.chat", "gemini.generate_content")])
def test_a_tool_call_without_an_id_gets_one(name):
    """Mocked tool calls need no id; each gets one of its own, and the finish reason says that tools are called."""
    known = wire.FORMATS[name]
    mock = wire.Answer(tool_calls=[{"name": "f", "arguments": {"a": 1}}, {"name": "g"}])
    answer = known.codec.decode_response(known.codec.encode_response(mock, {}, response_id="r", created=1))
    assert [(call["name"], call["arguments"]) for call in answer.tool_calls] == [("f", {"a": 1}), ("g", {})]
    assert len({call["id"] for call in answer.tool_calls}) == 2
    assert answer.finish_reason in {"tool_calls", "completed", "tool_use", "TOOL_CALL"}


@pytest.mark.parametrize("name", SPOKEN)
def test_time_to_first_token_begins_with_output(name):
    """Events that only begin or count are no content; text, reasoning and tool calls are."""
    known = wire.FORMATS[name]

    def content(answer):
        joined = b"".join(known.codec.encode_stream(answer, {}, response_id="r", created=1))
        return [known.codec.is_content(event) for event in wire.find_framing(known.stream_type).parse(joined)]

    assert not any(content(wire.Answer(text="")))
    for answer in (
        wire.Answer(text="hello"),
        wire.Answer(reasoning="hello"),
        wire.Answer(tool_calls=[{"id": "1", "name": "f", "arguments": {}}]),
    ):
        flags = content(answer)
        assert any(flags)
        assert name == "gemini.generate_content" or not (flags[-1] or (flags[0] and name != "ollama.chat"))


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
    assert answer.to_outputs() == {
        "text": "a",
        "tool_calls": [call],
        "finish_reason": "stop",
        "response_model": "m",
    }
    assert wire.Answer(reasoning="r", refusal="no").to_outputs() == {
        "tool_calls": [],
        "reasoning": "r",
        "refusal": "no",
    }
    assert wire.Answer(vectors=2, dimensions=3, response_model="e").to_outputs() == {
        "vectors": 2,
        "dimensions": 3,
        "response_model": "e",
    }
