"""Answers in place of model calls: what the libraries make of them, with nobody at the other end of the line."""

from __future__ import annotations

import asyncio
import json
import sys

import pytest

from namel3ss_debug import wire
from namel3ss_debug.capture.core.answers import CallReply, model_response

pytestmark = pytest.mark.usefixtures("asked_nowhere")

NOWHERE = "http://127.0.0.1:9"
"""Nobody listens there: a request that is sent after all fails."""

CALLS = [{"id": "c1", "name": "search", "arguments": {"q": "x"}}]
MESSAGES = [{"role": "user", "content": "hello"}]


@pytest.fixture
def given(shell):
    """Give every model call this answer."""

    def give(**outputs):
        shell.answers["m"] = {"outputs": outputs}

    return give


@pytest.fixture
def last(shell):
    """The last end of a model call in the recording."""

    def read():
        events = [json.loads(line) for line in shell.trace.read_text().splitlines()]
        return [event for event in events if event["event_type"] == "llm_call_end"][-1]

    return read


def test_openai_gets_the_answer_as_its_own_type(given, last):
    """The OpenAI SDK makes a completion of an answer that was never sent, and the recording says `mocked`."""
    import openai

    given(text="given")
    completion = openai.OpenAI().chat.completions.create(model="m", messages=MESSAGES)
    assert type(completion).__name__ == "ChatCompletion"
    assert completion.choices[0].message.content == "given"
    assert completion.choices[0].finish_reason == "stop"
    end = last()
    assert end["status"] == "completed"
    assert end["metadata"]["mocked"] is True
    assert end["outputs"]["text"] == "given"


def test_openai_streams_an_answer(given, last):
    """A streamed call gets the answer as a stream, with its chunks recorded."""
    import openai

    given(text="one two three four five six seven eight")
    stream = openai.OpenAI().chat.completions.create(model="m", messages=MESSAGES, stream=True)
    pieces = [chunk.choices[0].delta.content for chunk in stream]
    assert "".join(filter(None, pieces)) == "one two three four five six seven eight"
    assert last()["metadata"]["exchange"]["chunks"] > 1


def test_openai_responses_and_tool_calls(given):
    """The responses API is answered too, and an answer may be a call of a tool."""
    import openai

    given(tool_calls=CALLS)
    response = openai.OpenAI().responses.create(model="m", input="hello")
    assert [(item.name, json.loads(item.arguments)) for item in response.output] == [("search", {"q": "x"})]


def test_openai_asynchronous_calls(given):
    """Asynchronous calls, streamed and not, are answered at once."""
    import openai

    async def ask():
        async with openai.AsyncOpenAI() as client:
            whole = await client.chat.completions.create(model="m", messages=MESSAGES)
            stream = await client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
            pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]
            return whole.choices[0].message.content, "".join(pieces)

    given(text="given")
    assert asyncio.run(ask()) == ("given", "given")


def test_anthropic_gets_the_answer_as_its_own_type(given):
    """The Anthropic SDK makes a message of an answer, whole, streamed and asynchronous."""
    import anthropic

    async def ask():
        async with (
            anthropic.AsyncAnthropic() as client,
            client.messages.stream(model="m", max_tokens=9, messages=MESSAGES) as stream,
        ):
            return [text async for text in stream.text_stream]

    given(text="given here", tool_calls=CALLS)
    client = anthropic.Anthropic()
    message = client.messages.create(model="m", max_tokens=9, messages=MESSAGES)
    assert [block.type for block in message.content] == ["text", "tool_use"]
    assert message.stop_reason == "tool_use"
    with client.messages.stream(model="m", max_tokens=9, messages=MESSAGES) as stream:
        assert stream.get_final_message().content[1].input == {"q": "x"}
    assert "".join(asyncio.run(ask())) == "given here"


def test_requests_reads_an_answer(given, last):
    """A program on requests gets the answer, whole and line by line, and its pool stays usable."""
    import requests

    given(text="given")
    with requests.Session() as session:
        for _ in range(12):  # more than the pool has connections
            body = {"model": "m", "messages": MESSAGES}
            answer = session.post(f"{NOWHERE}/v1/chat/completions", json=body).json()
            assert answer["choices"][0]["message"]["content"] == "given"
        with session.post(
            f"{NOWHERE}/v1/chat/completions", json=body | {"stream": True}, stream=True
        ) as streamed:
            assert streamed.headers["content-type"] == "text/event-stream"
            assert list(streamed.iter_lines())[-2] == b"data: [DONE]"
    assert last()["outputs"]["text"] == "given"


def test_aiohttp_reads_an_answer(given, last):
    """A program on aiohttp gets the answer, whole and streamed, and its connector closes in order."""
    import aiohttp

    body = {"model": "m", "messages": MESSAGES}

    async def ask():
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session:
            async with session.post(f"{NOWHERE}/v1/chat/completions", json=body) as response:
                whole = await response.json()
            async with session.post(
                f"{NOWHERE}/v1/chat/completions", json=body | {"stream": True, "padding": "x" * 200_000}
            ) as response:
                return whole, await response.read()

    given(text="given")
    whole, streamed = asyncio.run(ask())
    assert whole["choices"][0]["message"]["content"] == "given"
    assert streamed.endswith(b"data: [DONE]\n\n")
    assert last()["outputs"]["text"] == "given"


def test_a_large_answer_passes_aiohttp_whole(given):
    """An answer larger than any buffer on the way arrives whole."""
    import aiohttp

    text = "word " * 200_000

    async def ask():
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                f"{NOWHERE}/v1/chat/completions", json={"model": "m", "messages": MESSAGES}
            ) as response,
        ):
            return await response.json()

    given(text=text)
    assert asyncio.run(ask())["choices"][0]["message"]["content"] == text


def test_an_answer_that_cannot_be_written_is_refused_in_the_words_of_the_sdk(given, last):
    """An answer of the wrong shape is an error of the SDK that names the reason; nothing is sent."""
    import openai

    given(tool_calls=[3])
    with pytest.raises(openai.BadRequestError, match="cannot be written as openai"):
        openai.OpenAI(max_retries=0).chat.completions.create(model="m", messages=MESSAGES)
    assert last()["metadata"]["mocked"] is True
    assert last()["status"] == "failed"


def test_a_plain_request_is_answered_with_json(shell):
    """A request that asks no model gets the value as the JSON body of its response."""
    import httpx2

    shell.answers["127.0.0.1:9"] = {"temp_c": -30}
    assert httpx2.get(f"{NOWHERE}/weather").json() == {"temp_c": -30}


@pytest.mark.parametrize("name", sorted(wire.FORMATS))
@pytest.mark.parametrize("stream", [False, True])
def test_every_format_reads_back_the_answer_it_was_given(name, stream):
    """What is written for a format says the answer when it is read again."""
    spoken = wire.FORMATS[name]
    response = model_response(
        CallReply("x", {"text": "given"}), spoken, {"model": "m", "stream": stream}, "7"
    )
    assert response.status == 200
    kind = dict(response.headers)["content-type"]
    answer = spoken.codec.decode_response(spoken.join_stream(b"".join(response.pieces), kind))
    assert answer.text == "given" or spoken.operation == "embeddings"


def test_without_a_gate_nothing_of_this_is_imported():
    """Recording alone does not import the gate."""
    import subprocess

    code = "import sys, namel3ss_debug.capture.launch.start; print('namel3ss_debug.capture.launch.step_channel' in sys.modules, 'socket' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == "False"
