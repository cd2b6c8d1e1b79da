"""The SDKs of the providers read what the formats write, streamed or not, and meet its errors as errors."""

from __future__ import annotations

import asyncio

import pytest

from namel3ss_debug import wire

openai = pytest.importorskip("openai")
anthropic = pytest.importorskip("anthropic")
httpx2 = pytest.importorskip("httpx2")
orjson = pytest.importorskip("orjson")

ANSWER = wire.Answer(
    text="Sunny, 21 \N{DEGREE SIGN}C \N{SUN WITH FACE}",
    tool_calls=[
        {"id": "call_1", "name": "get_weather", "arguments": {"city": "Zürich", "days": 2}},
        {"id": "call_2", "name": "get_time", "arguments": {}},
    ],
    response_model="model-1-2026",
    usage={
        "input_tokens": 70,
        "output_tokens": 30,
        "cache_read_tokens": 40,
        "cache_write_tokens": 10,
        "reasoning_tokens": 12,
    },
    reasoning="They ask for the weather.",
)
TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": {}}}]
REQUEST = {"model": "model-1", "messages": [{"role": "user", "content": "Weather?"}]}


class Server:
    """Answers as a provider would, through the same decoding that capture does, and keeps what was asked."""

    def __init__(self, answer=ANSWER, status=200):
        self.answer, self.status, self.asked = answer, status, []

    def __call__(self, request):
        """Answer one request, streamed where it asks for that."""
        body = orjson.loads(request.content)
        known = wire.recognise(request.url.path, body)
        self.asked.append((known, body))
        if self.status >= 400:
            return httpx2.Response(self.status, json=known.codec.encode_error(self.status, "", "slow down"))
        if not body.get("stream"):
            return httpx2.Response(
                200, json=known.codec.encode_response(self.answer, body, response_id="id_1", created=7)
            )
        chunks = known.codec.encode_stream(self.answer, body, response_id="id_1", created=7)
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=b"".join(chunks))


def openai_client(server):
    """An OpenAI client whose requests all reach `server`."""
    client = httpx2.Client(transport=httpx2.MockTransport(server))
    return openai.OpenAI(
        api_key="k", base_url="http://gateway/any/prefix/v1", http_client=client, max_retries=0
    )


def anthropic_client(server):
    """An Anthropic client whose requests all reach `server`."""
    client = httpx2.Client(transport=httpx2.MockTransport(server))
    return anthropic.Anthropic(
        api_key="k", base_url="http://gateway/prefix", http_client=client, max_retries=0
    )


def test_openai_chat_response():
    """The OpenAI SDK reads a written chat completion with every field."""
    with openai_client(server := Server()) as client:
        got = client.chat.completions.create(**REQUEST)
    assert server.asked[0][0].name == "openai.chat"
    message = got.choices[0].message
    assert (got.id, got.model, got.object, got.created) == ("id_1", "model-1-2026", "chat.completion", 7)
    assert message.content == ANSWER.text
    assert message.reasoning_content == ANSWER.reasoning
    assert [(c.id, c.function.name, orjson.loads(c.function.arguments)) for c in message.tool_calls] == [
        ("call_1", "get_weather", {"city": "Zürich", "days": 2}),
        ("call_2", "get_time", {}),
    ]
    assert got.choices[0].finish_reason == "tool_calls"
    assert (got.usage.prompt_tokens, got.usage.completion_tokens, got.usage.total_tokens) == (70, 30, 100)
    assert got.usage.prompt_tokens_details.cached_tokens == 40
    assert got.usage.completion_tokens_details.reasoning_tokens == 12


@pytest.mark.parametrize("counted", [True, False])
def test_openai_chat_stream(counted):
    """The SDK puts a written stream together; the counts come in a last chunk, if asked for."""
    options = {"stream_options": {"include_usage": True}} if counted else {}
    with (
        openai_client(Server()) as client,
        client.chat.completions.stream(**REQUEST, tools=TOOLS, **options) as stream,
    ):
        got = stream.get_final_completion()
    message = got.choices[0].message
    assert message.content == ANSWER.text
    assert [(c.id, c.function.name, orjson.loads(c.function.arguments)) for c in message.tool_calls] == [
        ("call_1", "get_weather", {"city": "Zürich", "days": 2}),
        ("call_2", "get_time", {}),
    ]
    assert got.choices[0].finish_reason == "tool_calls"
    assert (got.usage.total_tokens == 100) if counted else (got.usage is None)


def test_openai_chat_chunks():
    """Only the last chunk has counts and no choices; the chunk before it has the finish reason."""
    with openai_client(Server()) as client:
        chunks = list(
            client.chat.completions.create(**REQUEST, stream=True, stream_options={"include_usage": True})
        )
    assert [chunk.usage is None for chunk in chunks] == [True] * (len(chunks) - 1) + [False]
    assert chunks[-1].choices == []
    assert chunks[-2].choices[0].finish_reason == "tool_calls"
    assert chunks[0].choices[0].delta.role == "assistant"
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}


def test_openai_responses_response():
    """The OpenAI SDK reads a written response object with every item."""
    with openai_client(server := Server()) as client:
        got = client.responses.create(model="model-1", input="Weather?", instructions="Be brief.")
    assert server.asked[0][0].name == "openai.responses"
    assert (got.output_text, got.status, got.model) == (ANSWER.text, "completed", "model-1-2026")
    assert got.instructions == "Be brief."
    assert [item.type for item in got.output] == ["reasoning", "message", "function_call", "function_call"]
    assert got.output[0].summary[0].text == ANSWER.reasoning
    assert orjson.loads(got.output[2].arguments) == {"city": "Zürich", "days": 2}
    assert got.output[2].call_id == "call_1"
    assert (got.usage.input_tokens, got.usage.output_tokens, got.usage.total_tokens) == (70, 30, 100)
    assert (
        got.usage.input_tokens_details.cached_tokens,
        got.usage.output_tokens_details.reasoning_tokens,
    ) == (40, 12)


def test_openai_responses_stream():
    """The SDK follows a written event stream to the same response, with its events in the provider's order."""
    with (
        openai_client(Server()) as client,
        client.responses.stream(model="model-1", input="Weather?") as stream,
    ):
        events = list(stream)
        got = stream.get_final_response()
    assert got.output_text == ANSWER.text
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == ANSWER.text
    assert [e.sequence_number for e in events] == list(range(len(events)))
    assert [events[0].type, events[1].type, events[-1].type] == [
        "response.created",
        "response.in_progress",
        "response.completed",
    ]
    deltas = "".join(e.delta for e in events if e.type == "response.function_call_arguments.delta")
    assert deltas == '{"city":"Zürich","days":2}{}'
    assert [item.type for item in got.output] == ["reasoning", "message", "function_call", "function_call"]


@pytest.mark.parametrize("typed", [True, False])
def test_openai_embeddings(typed):
    """The SDK reads made-up vectors, packed as base64 as it asks for or as plain numbers."""
    answer = wire.Answer(dimensions=4, usage={"input_tokens": 6})
    extra = {} if typed else {"encoding_format": "float"}
    with openai_client(server := Server(answer)) as client:
        got = client.embeddings.create(model="e", input=["one", "two", "one"], **extra)
    assert server.asked[0][0].name == "openai.embeddings"
    first, second, third = (item.embedding for item in got.data)
    assert first == third != second
    assert len(first) == 4
    assert sum(number * number for number in first) == pytest.approx(1, abs=1e-5)
    assert (got.usage.prompt_tokens, got.usage.total_tokens) == (6, 6)


def test_anthropic_response():
    """The Anthropic SDK reads a written message with every block."""
    with anthropic_client(server := Server()) as client:
        got = client.messages.create(**REQUEST, max_tokens=100)
    assert server.asked[0][0].name == "anthropic.messages"
    assert [block.type for block in got.content] == ["thinking", "text", "tool_use", "tool_use"]
    assert got.content[0].thinking == ANSWER.reasoning
    assert got.content[1].text == ANSWER.text
    assert (got.content[2].id, got.content[2].name, got.content[2].input) == (
        "call_1",
        "get_weather",
        {"city": "Zürich", "days": 2},
    )
    assert (got.stop_reason, got.model) == ("tool_use", "model-1-2026")
    assert (got.usage.input_tokens, got.usage.output_tokens) == (20, 30)
    assert (got.usage.cache_read_input_tokens, got.usage.cache_creation_input_tokens) == (40, 10)
    assert got.usage.output_tokens_details.thinking_tokens == 12


def test_anthropic_stream():
    """The SDK puts a written stream together as the same message."""
    with anthropic_client(Server()) as client:
        with client.messages.stream(**REQUEST, max_tokens=100) as stream:
            told = "".join(stream.text_stream)
            streamed = stream.get_final_message()
        whole = client.messages.create(**REQUEST, max_tokens=100)
    assert told == ANSWER.text
    assert [b.model_dump(exclude_none=True) for b in streamed.content] == [
        b.model_dump(exclude_none=True) for b in whole.content
    ]
    assert streamed.stop_reason == whole.stop_reason
    assert streamed.usage.model_dump(exclude_none=True) == whole.usage.model_dump(exclude_none=True)


def test_async_clients_read_streams():
    """The asynchronous clients read the written streams too."""

    async def ask():
        transport = httpx2.MockTransport(Server())
        async with (
            openai.AsyncOpenAI(
                api_key="k", base_url="http://h/v1", http_client=httpx2.AsyncClient(transport=transport)
            ) as gpt,
            anthropic.AsyncAnthropic(
                api_key="k", base_url="http://h", http_client=httpx2.AsyncClient(transport=transport)
            ) as claude,
        ):
            chunks = [c async for c in await gpt.chat.completions.create(**REQUEST, stream=True)]
            async with claude.messages.stream(**REQUEST, max_tokens=9) as stream:
                message = await stream.get_final_message()
        return "".join(c.choices[0].delta.content or "" for c in chunks), message.content[1].text

    assert asyncio.run(ask()) == (ANSWER.text, ANSWER.text)


def test_requests_of_the_sdks_are_decoded():
    """What the SDKs send is recognised and decoded to model, messages, tools and parameters."""
    tool = {"name": "get_weather", "description": "d", "input_schema": {"type": "object"}}
    with anthropic_client(server := Server()) as client:
        client.messages.create(
            **REQUEST, max_tokens=100, system="Be brief.", tools=[tool], stop_sequences=["END"]
        )
    known, body = server.asked[0]
    assert known.codec.decode_request(body) == {
        "model": "model-1",
        "messages": [
            {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]},
            {"role": "user", "parts": [{"type": "text", "content": "Weather?"}]},
        ],
        "tools": [
            {"name": "get_weather", "description": "d", "parameters": {"type": "object"}, "type": "function"}
        ],
        "params": {"max_tokens": 100, "stop_sequences": ["END"]},
    }


def test_errors_of_openai():
    """A written error body makes the OpenAI SDK raise the error of that status, with the message."""
    with (
        openai_client(Server(status=429)) as client,
        pytest.raises(openai.RateLimitError, match="slow down") as got,
    ):
        client.chat.completions.create(**REQUEST)
    assert got.value.type == "rate_limit_error"


def test_errors_of_anthropic():
    """A written error body makes the Anthropic SDK raise the error of that status, with the message."""
    with anthropic_client(Server(status=529)) as client, pytest.raises(anthropic.APIStatusError) as got:
        client.messages.create(**REQUEST, max_tokens=1)
    assert got.value.body == {"type": "error", "error": {"type": "overloaded_error", "message": "slow down"}}
    assert wire.decode_error(got.value.body) == ("overloaded_error", "slow down")


@pytest.mark.parametrize("streams", [True, False])
def test_a_tool_that_takes_a_text_is_called_as_one(streams):
    """A call of a tool that was offered as custom reaches both of OpenAI's APIs in its own form."""
    asked = [{"id": "call_1", "name": "sql", "arguments": "SELECT 1"}, {"name": "f", "arguments": {"a": 1}}]
    answer = wire.Answer(tool_calls=asked)
    functions = {"name": "f", "parameters": {"type": "object"}}
    with openai_client(Server(answer)) as client:
        tools = [{"type": "custom", "name": "sql"}, {"type": "function", **functions}]
        if streams:
            with client.responses.stream(model="m", input="x", tools=tools) as stream:
                output = stream.get_final_response().output
        else:
            output = client.responses.create(model="m", input="x", tools=tools).output
        assert [(item.type, item.name) for item in output] == [
            ("custom_tool_call", "sql"),
            ("function_call", "f"),
        ]
        assert (output[0].call_id, output[0].input) == ("call_1", "SELECT 1")
        tools = [{"type": "custom", "custom": {"name": "sql"}}, {"type": "function", "function": functions}]
        if streams:
            chunks = list(client.chat.completions.create(**REQUEST, tools=tools, stream=True))
            calls = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or ()]
            assert [call.type for call in calls] == ["custom", "function"]
            given = calls[0].custom["input"]
        else:
            calls = client.chat.completions.create(**REQUEST, tools=tools).choices[0].message.tool_calls
            assert [call.type for call in calls] == ["custom", "function"]
            given = calls[0].custom.input
        assert given == "SELECT 1"


def test_openai_completions():
    """The SDK reads a written completion of prompts, and puts the chunks of a stream together."""
    answer = wire.Answer(
        text="upon a time", finish_reason="length", usage={"input_tokens": 2, "output_tokens": 3}
    )
    with openai_client(server := Server(answer)) as client:
        got = client.completions.create(model="base", prompt=["Once", "Twice"])
        chunks = list(client.completions.create(model="base", prompt="Once", stream=True))
    assert server.asked[0][0].name == "openai.completions"
    assert [(choice.index, choice.text) for choice in got.choices] == [(0, "upon a time"), (1, "upon a time")]
    assert (got.model, got.usage.total_tokens) == ("base", 5)
    assert "".join(chunk.choices[0].text for chunk in chunks) == "upon a time"
    assert [chunk.choices[0].finish_reason for chunk in chunks][-2:] == [None, "length"]


def test_a_call_of_a_tool_in_a_namespace_names_it():
    """As OpenAI tells it, for programs that look there for what to run."""
    group = {
        "type": "namespace",
        "name": "crm",
        "description": "d",
        "tools": [{"type": "function", "name": "f"}],
    }
    answer = wire.Answer(tool_calls=[{"name": "f", "arguments": {}}, {"name": "g", "arguments": {}}])
    with openai_client(Server(answer)) as client:
        output = client.responses.create(model="m", input="x", tools=[group]).output
    assert [(item.name, item.namespace) for item in output] == [("f", "crm"), ("g", None)]
