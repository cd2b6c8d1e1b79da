"""Recorded responses in place of requests: what the SDKs and HTTP libraries make of them, with nobody at the other end."""

from __future__ import annotations

import asyncio
import base64
import json
import threading

import pytest

from namel3ss_debug import wire
from namel3ss_debug.wire import Answer

pytestmark = pytest.mark.usefixtures("asked_nowhere")

NOWHERE = "http://127.0.0.1:9"
MESSAGES = [{"role": "user", "content": "hello"}]
CHAT = {"model": "m", "messages": MESSAGES}
JSON = ["content-type", "application/json"]
EVENTS = ["content-type", "text/event-stream; charset=utf-8"]


def http(*pieces, headers=(JSON,), status=200, **more):
    """What the gate says of a call that is answered by a recorded response."""
    encoded = [base64.b64encode(piece).decode() for piece in pieces]
    return {"http": {"status": status, "reason": "Some", "headers": list(headers), "pieces": encoded, **more}}


def whole(text, name="openai.chat", **more):
    """A response that is not streamed."""
    body = wire.FORMATS[name].codec.encode_response(Answer(text=text), CHAT, response_id="r", created=1)
    return http(json.dumps(body).encode(), **more)


def streamed(text, name="openai.chat"):
    """The pieces of a streamed response."""
    request = CHAT | {"stream": True}
    return wire.FORMATS[name].codec.encode_stream(Answer(text=text), request, response_id="r", created=1)


def ends(shell):
    """The ends of all calls in the recording."""
    events = [json.loads(line) for line in shell.trace.read_text().splitlines()]
    return [e for e in events if e["event_type"] in ("llm_call_end", "http_exchange_end")]


def raised(kind, text):
    """An exception as a recording tells it."""
    return {"type": kind, "text": text}


def test_openai_gets_the_recorded_response_with_its_headers(shell):
    """The body and what the SDK reads of the headers are those of the recording; the end says who answered."""
    import openai

    headers = [JSON, ["x-request-id", "req_7"], ["content-encoding", "gzip"], ["content-length", "3"]]
    shell.words["m"] = whole("given", headers=headers, encoding="gzip")
    completion = openai.OpenAI().chat.completions.create(**CHAT)
    assert completion.choices[0].message.content == "given"
    assert completion._request_id == "req_7"
    [end] = ends(shell)
    assert end["metadata"]["answered"] == "recording"
    assert "mocked" not in end["metadata"]


def test_openai_streams_the_recorded_pieces_one_by_one(shell):
    """Synchronous and asynchronous streams bring the pieces as they were, and each stands in the new recording."""
    import openai

    pieces = streamed("one two three four")

    async def ask():
        async with openai.AsyncOpenAI() as client:
            stream = await client.chat.completions.create(**CHAT, stream=True)
            return [chunk.choices[0].delta.content async for chunk in stream]

    shell.words["m"] = http(*pieces, headers=[EVENTS])
    stream = openai.OpenAI().chat.completions.create(**CHAT, stream=True)
    first = [chunk.choices[0].delta.content for chunk in stream]
    assert "".join(filter(None, first)) == "one two three four"
    assert asyncio.run(ask()) == first
    assert [end["metadata"]["exchange"]["chunks"] for end in ends(shell)] == [len(pieces)] * 2


def test_anthropic_gets_recorded_responses(shell):
    """The Anthropic SDK reads them whole and streamed, synchronous and asynchronous."""
    import anthropic

    request = {"model": "m", "max_tokens": 9, "messages": MESSAGES}

    async def ask():
        async with anthropic.AsyncAnthropic() as client, client.messages.stream(**request) as stream:
            return "".join([text async for text in stream.text_stream])

    shell.words["m"] = whole("given", "anthropic.messages")
    assert anthropic.Anthropic().messages.create(**request).content[0].text == "given"
    shell.words["m"] = http(*streamed("given here", "anthropic.messages"), headers=[EVENTS])
    with anthropic.Anthropic().messages.stream(**request) as stream:
        assert stream.get_final_text() == "given here"
    assert asyncio.run(ask()) == "given here"


@pytest.mark.parametrize("kind", ["httpx2.ReadError", "not_there.RemoteProtocolError"])
def test_a_stream_breaks_off_where_it_did(shell, kind):
    """After the pieces that came the exception comes, as the recorded class, or as one of the same nature."""
    import httpx2
    import openai

    shell.words["m"] = http(*streamed("one two")[:2], headers=[EVENTS], raised=raised(kind, "gone"))
    got = []
    with pytest.raises(openai.APIConnectionError) as caught:
        got.extend(openai.OpenAI().chat.completions.create(**CHAT, stream=True))
    assert type(caught.value.__cause__) is httpx2.ReadError
    assert len(got) == 2
    [end] = ends(shell)
    assert end["status"] == "failed"
    again = end["metadata"]["exchange"]["raised"]
    assert (again["type"], again["text"]) == ("httpx2.ReadError", "gone")


def test_an_asynchronous_stream_breaks_off_where_it_did(shell):
    """The same on a loop."""
    import openai

    async def ask():
        async with openai.AsyncOpenAI() as client:
            return [chunk async for chunk in await client.chat.completions.create(**CHAT, stream=True)]

    broken = raised("httpx2.ReadTimeout", "too slow")
    shell.words["m"] = http(*streamed("one two")[:2], headers=[EVENTS], raised=broken)
    with pytest.raises(openai.APITimeoutError) as caught:
        asyncio.run(ask())
    assert f"{caught.value.__cause__}" == "too slow"


@pytest.mark.parametrize(
    "first",
    [
        {"http": {"status": 0, "raised": raised("httpx2.ReadTimeout", "timed out")}},
        http(b'{"error": {"message": "slow down"}}', status=429, headers=[JSON, ["retry-after-ms", "1"]]),
        {"fault": {"kind": "timeout"}},
        {"fault": {"kind": "error", "error_type": "ConnectionError", "message": "gone"}},
    ],
)
def test_an_sdk_repeats_what_failed(shell, first):
    """A timeout, a lost connection and a 429 come back as what the SDK repeats, and the second attempt is answered."""
    import openai

    shell.words["m"] = [first, whole("second")]
    completion = openai.OpenAI(max_retries=1).chat.completions.create(**CHAT)
    assert completion.choices[0].message.content == "second"
    assert [end["status"] == "completed" for end in ends(shell)] == [False, True]


def test_a_timeout_is_the_timeout_of_the_sdk(shell):
    """A recorded timeout, and the fault, become the SDK's own exception."""
    import openai

    shell.words["m"] = [
        {"http": {"status": 0, "raised": raised("httpx2.ConnectTimeout", "timed out")}},
        {"fault": {"kind": "timeout"}},
    ]
    for _ in range(2):
        with pytest.raises(openai.APITimeoutError):
            openai.OpenAI(max_retries=0).chat.completions.create(**CHAT)
    assert [end["status"] for end in ends(shell)] == ["timeout", "timeout"]


def in_order(shell, names):
    """Let the answers of these calls end in this order; parts of others wait."""
    left, lock, granted = list(names), threading.Lock(), []

    def name_of(event_id):
        events = [json.loads(line) for line in shell.trace.read_text().splitlines()]
        return next(e["component_name"] for e in events if e["event_id"] == event_id)

    def may(question):
        with lock:
            if left and name_of(question["at"]) != left[0]:
                return False
            granted.extend(left[:1])
            left[:1] = []
            return True

    shell.may = may
    return granted


@pytest.mark.parametrize("library", ["openai", "aiohttp"])
def test_parallel_answers_come_in_the_recorded_order(shell, library):
    """Of three asynchronous calls that begin in one order, the answers come in another."""
    import aiohttp
    import openai

    done = []

    async def by_openai(model):
        async with openai.AsyncOpenAI() as client:
            await client.chat.completions.create(model=model, messages=MESSAGES)

    async def by_aiohttp(model):
        async with aiohttp.ClientSession() as session:
            body = {"model": model, "messages": MESSAGES}
            async with session.post(f"{NOWHERE}/v1/chat/completions", json=body) as response:
                await response.json()

    async def ask(model):
        await (by_openai if library == "openai" else by_aiohttp)(model)
        done.append(model)

    async def run():
        await asyncio.gather(*map(ask, "abc"))

    shell.words = dict.fromkeys("abc", whole("given") | {"ordered": True})
    in_order(shell, "cab")
    asyncio.run(run())
    assert done == ["c", "a", "b"]
    assert len({question["at"] for question in shell.asked}) == 3


def test_threads_get_their_answers_in_the_recorded_order(shell):
    """The same for threads that wait for theirs; every piece of a stream is asked for."""
    import requests

    def ask(model):
        body = {"model": model, "messages": MESSAGES, "stream": True}
        with requests.post(f"{NOWHERE}/v1/chat/completions", json=body, stream=True) as response:
            got.append(list(response.iter_content(None)))

    got = []
    pieces = streamed("one two three")
    shell.words = dict.fromkeys("abc", http(*pieces, headers=[EVENTS]) | {"ordered": True})
    granted = in_order(shell, "bca")
    threads = [threading.Thread(target=ask, args=(model,)) for model in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (granted, got) == (["b", "c", "a"], [pieces] * 3)


def test_what_was_given_up_hangs_until_it_is_given_up_again(shell):
    """An answer that the program once cancelled never comes, whether the head had come or not."""
    import openai

    async def ask():
        async with openai.AsyncOpenAI() as client:
            async for _ in await client.chat.completions.create(**CHAT, stream=True):
                pass

    async def give_up(event_type, count):
        task = asyncio.create_task(ask())
        while shell.trace.read_text().count(f'"{event_type}"') < count:  # noqa: ASYNC110  (only the recording tells)
            await asyncio.sleep(0)
        task.cancel()
        await task

    begun = http(*streamed("one two")[:2], headers=[EVENTS], given_up=True)
    shell.words["m"] = [{"http": {"status": 0, "given_up": True}}, begun]
    for event_type, count in (("llm_call_start", 1), ("stream_chunk", 2)):
        with pytest.raises(asyncio.CancelledError):
            asyncio.run(give_up(event_type, count))
    assert [end["status"] for end in ends(shell)] == ["cancelled", "cancelled"]


def test_requests_reads_recorded_responses(shell):
    """Whole bodies tell their length, streams come in their pieces, and a pool stays usable."""
    import requests

    pieces = streamed("one two three")
    with requests.Session() as session:
        for _ in range(12):  # more than the pool has connections
            shell.words["127.0.0.1:9"] = http(b'{"a": 1}', status=201)
            response = session.get(f"{NOWHERE}/x")
            assert (response.json(), response.status_code) == ({"a": 1}, 201)
            assert response.headers["content-length"] == "8"
            shell.words["127.0.0.1:9"] = http(*pieces, headers=[EVENTS])
            with session.get(f"{NOWHERE}/x", stream=True) as streaming:
                assert list(streaming.iter_content(None)) == pieces
        for status in (204, 304):
            shell.words["127.0.0.1:9"] = http(status=status, headers=[])
            assert session.get(f"{NOWHERE}/x").content == b""
        assert session.head(f"{NOWHERE}/x").status_code == 304


def test_requests_gets_its_own_exceptions(shell):
    """What broke a request of urllib3 becomes the exception of requests that it was."""
    import requests

    timeout = raised("urllib3.exceptions.ReadTimeoutError", "HTTPConnectionPool(host='h'): Read timed out.")
    reset = raised("ConnectionResetError", "[Errno 104] Connection reset by peer")
    broken = raised("urllib3.exceptions.ProtocolError", "Connection broken: gone")
    shell.words["127.0.0.1:9"] = [
        {"http": {"status": 0, "raised": timeout}},
        {"http": {"status": 0, "raised": reset}},
        http(b"half", headers=[], raised=broken),
        {"fault": {"kind": "timeout"}},
        {"fault": {"kind": "error", "error_type": "ConnectionError"}},
        {"fault": {"kind": "status", "status": 503}},
    ]
    with pytest.raises(requests.ReadTimeout, match="Read timed out"):
        requests.get(f"{NOWHERE}/x")
    with pytest.raises(requests.ConnectionError) as caught:
        requests.get(f"{NOWHERE}/x")
    assert "ConnectionResetError(104, 'Connection reset by peer')" in str(caught.value)
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="broken: gone"):
        requests.get(f"{NOWHERE}/x")
    with pytest.raises(requests.ReadTimeout):
        requests.get(f"{NOWHERE}/x")
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{NOWHERE}/x")
    assert requests.get(f"{NOWHERE}/x").status_code == 503


def test_aiohttp_gets_its_own_exceptions(shell):
    """What broke a request of aiohttp comes back as it was, text included."""
    import aiohttp

    said = "Cannot connect to host 127.0.0.1:9 ssl:default [Connect call failed ('127.0.0.1', 9)]"
    module = "aiohttp.client_exceptions"

    async def ask():
        async with aiohttp.ClientSession() as session, session.get(f"{NOWHERE}/x") as response:
            return await response.read()

    expected = [
        ({"http": {"status": 0, "raised": raised(f"{module}.ClientConnectorError", said)}}, said),
        ({"http": {"status": 0, "raised": raised(f"{module}.ServerDisconnectedError", "gone")}}, "gone"),
        ({"http": {"status": 0, "raised": raised("TimeoutError", "")}}, ""),
        (http(b"half", raised=raised(f"{module}.ClientPayloadError", "not whole")), "not whole"),
        ({"fault": {"kind": "timeout", "message": "slow"}}, "slow"),
        ({"fault": {"kind": "error", "error_type": "ConnectionError", "message": "off"}}, "[off]"),
    ]
    kinds = [
        aiohttp.ClientConnectorError,
        aiohttp.ServerDisconnectedError,
        TimeoutError,
        aiohttp.ClientPayloadError,
        aiohttp.ServerTimeoutError,
        aiohttp.ClientConnectorError,
    ]
    for (word, text), kind in zip(expected, kinds, strict=True):
        shell.words["127.0.0.1:9"] = [word, word]  # what is idempotent is repeated once
        with pytest.raises(kind) as caught:
            asyncio.run(ask())
        assert type(caught.value) is kind
        assert str(caught.value).endswith(text)


def test_aiohttp_reads_what_came_before_a_body_broke(shell):
    """However slowly the program reads; one that waits for more than there is gets the exception instead."""
    import aiohttp

    broken = raised("aiohttp.client_exceptions.ClientPayloadError", "not whole")
    shell.words["127.0.0.1:9"] = [http(b"one", b"two", headers=[EVENTS], raised=broken) for _ in range(2)]

    async def ask(read):
        got = []
        async with aiohttp.ClientSession() as session, session.get(f"{NOWHERE}/x") as response:
            try:
                while True:
                    for _ in range(50):  # other work has its turns meanwhile
                        await asyncio.sleep(0)
                    got.append(await read(response.content))
            except aiohttp.ClientPayloadError:
                return got

    assert b"".join(asyncio.run(ask(lambda content: content.read(2)))) == b"onetwo"
    assert asyncio.run(ask(lambda content: content.readexactly(4))) == [b"onet"]


def test_aiohttp_reads_recorded_responses(shell):
    """Whole bodies and streams, in their pieces; answers without a body; and no further task is seen."""
    import aiohttp

    pieces = streamed("one two three")
    shell.words["127.0.0.1:9"] = [
        http(b'{"a": 1}'),
        http(*pieces, headers=[EVENTS]),
        http(status=204, headers=[]),
        http(b"", headers=[]),
    ]

    async def ask():
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{NOWHERE}/x") as response:
                first = await response.json()
            async with session.get(f"{NOWHERE}/x") as response:
                second = await response.read()
            async with session.get(f"{NOWHERE}/x") as response:
                third = await response.read(), response.status
            async with session.get(f"{NOWHERE}/x") as response:
                fourth = await response.read()
        return first, second, third, fourth, len(asyncio.all_tasks())

    assert asyncio.run(ask()) == ({"a": 1}, b"".join(pieces), (b"", 204), b"", 1)


@pytest.mark.parametrize("stream", [False, True])
def test_a_recorded_answer_is_cut_short(shell, stream):
    """The fault `truncate` cuts a recorded answer: the text of a whole one, the events of a stream."""
    import openai

    shell.words["m"] = http(*streamed("one two"), headers=[EVENTS]) if stream else whole("one two")
    shell.words["m"] |= {"fault": {"kind": "truncate"}}
    answer = openai.OpenAI().chat.completions.create(**CHAT, stream=stream)
    if stream:
        assert 0 < len(list(answer)) < len(streamed("one two")) - 1
    else:
        assert answer.choices[0].message.content == "one"
        assert answer.choices[0].finish_reason == "length"
    assert ends(shell)[0]["metadata"]["fault"] == "truncate"


def test_a_fault_of_the_provider_is_the_error_of_the_sdk(shell):
    """An error of the API, and a status, come in the provider's own words."""
    import anthropic
    import openai

    shell.words["m"] = [
        {"fault": {"kind": "error", "error_type": "rate_limit_error", "message": "enough"}},
        {"fault": {"kind": "status", "status": 529}},
    ]
    with pytest.raises(openai.RateLimitError, match="enough"):
        openai.OpenAI(max_retries=0).chat.completions.create(**CHAT)
    with pytest.raises(anthropic.APIStatusError) as caught:
        anthropic.Anthropic(max_retries=0).messages.create(model="m", max_tokens=9, messages=MESSAGES)
    assert caught.value.status_code == 529
    assert [end["metadata"]["mocked"] for end in ends(shell)] == [True, True]
