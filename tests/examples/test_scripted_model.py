"""The scripted model server answers by turn and by attempt, and the same way every time."""

from __future__ import annotations

import http.client
import json
from urllib.parse import urlsplit

import pytest

from namel3ss_debug import wire

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
USER = {"role": "user", "content": "hello"}


@pytest.fixture
def serve(scripted_model_module, monkeypatch):
    """A function that starts a server with a script and gives a function that asks it."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    opened = []

    def start(script):
        model = scripted_model_module.ScriptedModel(script)
        opened.append(model.__enter__())
        connection = http.client.HTTPConnection(urlsplit(model.url).netloc)
        opened.append(connection)

        def ask(path, body, **headers):
            connection.request("POST", path, json.dumps(body), headers)
            response = connection.getresponse()
            return response.status, response.headers, response.read()

        return ask

    yield start
    for thing in reversed(opened):
        if isinstance(thing, http.client.HTTPConnection):
            thing.close()
        else:
            thing.__exit__(None, None, None)


def text(answer):
    """The text of a chat completion."""
    return json.loads(answer[2])["choices"][0]["message"]["content"]


def test_a_list_answers_by_turn(serve, scripted_model_module):
    """The n-th entry of a list answers the request that holds n - 1 answers, in whatever order they come."""
    say = scripted_model_module.say
    ask = serve([say("one"), say("two")])
    said = {"role": "assistant", "content": "one"}
    assert text(ask(CHAT, {"messages": [USER, said, USER]})) == "two"
    assert text(ask(CHAT, {"messages": [USER]})) == "one"
    status, _, body = ask(CHAT, {"messages": [USER, said, USER, said, USER]})
    assert (status, json.loads(body)["error"]["message"]) == (400, "the script ends before turn 3")


def test_several_replies_answer_by_attempt(serve, scripted_model_module):
    """Of several replies to one turn each attempt gets its own, later ones the last."""
    fail, say = scripted_model_module.fail, scripted_model_module.say
    ask = serve([[fail(429, "slow down", retry_after_ms="5"), say("now")]])
    status, headers, body = ask(CHAT, {"messages": [USER]})
    assert (status, headers["retry-after-ms"]) == (429, "5")
    assert json.loads(body)["error"]["message"] == "slow down"
    for attempt in ("1", "2"):
        assert text(ask(CHAT, {"messages": [USER]}, **{"x-stainless-retry-count": attempt})) == "now"


def test_a_function_sees_the_decoded_request(serve, scripted_model_module):
    """A function is given the request in one shape for every provider."""
    seen = []

    def script(request):
        seen.append(request)
        return scripted_model_module.say("yes")

    ask = serve(script)
    ask(CHAT, {"model": "m", "messages": [USER]})
    ask(MESSAGES, {"model": "m", "messages": [USER], "max_tokens": 5})
    message = {"role": "user", "parts": [{"type": "text", "content": "hello"}]}
    assert [(request["model"], request["messages"]) for request in seen] == [("m", [message])] * 2


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", [CHAT, MESSAGES, "/v1/responses"])
def test_the_same_request_has_the_same_answer(serve, scripted_model_module, path, stream):
    """Two servers with one script give the same bytes and headers to one request."""
    script = [scripted_model_module.say("hello", scripted_model_module.call("add", a=1))]
    asked = {"model": "m", "messages": [USER], "input": "hello", "max_tokens": 5, "stream": stream}
    first, second = serve(script)(path, asked), serve(script)(path, asked)
    assert first[0] == 200
    assert (first[2], first[1].items()) == (second[2], second[1].items())
    assert first[1]["content-type"] == ("text/event-stream" if stream else "application/json")


def test_another_path_is_not_found(serve):
    """A path that no wire format knows is answered with 404 and its name."""
    status, _, body = serve([])("/v1/files", {})
    assert (status, json.loads(body)["error"]["message"]) == (404, "nothing answers at /v1/files")


def test_what_was_asked_is_kept(scripted_model, model_environment):
    """The server of the fixture keeps each request, and the environment of the fixture leads to it."""
    address = urlsplit(model_environment["OPENAI_BASE_URL"])
    connection = http.client.HTTPConnection(address.netloc)
    connection.request("POST", f"{address.path}/embeddings", json.dumps({"input": "a", "dimensions": 2}))
    assert len(json.loads(connection.getresponse().read())["data"][0]["embedding"]) == 2
    connection.close()
    assert [(kept["path"], kept["body"]["input"]) for kept in scripted_model.requests] == [
        ("/v1/embeddings", "a")
    ]


@pytest.mark.parametrize(
    ("path", "body", "content_type", "name"),
    [
        (
            "/v1beta/models/gemini-2.5-flash:streamGenerateContent",
            {"contents": []},
            "text/event-stream",
            "gemini-2.5-flash",
        ),
        ("/api/chat", {"model": "llama3.2", "messages": [USER]}, "application/x-ndjson", "llama3.2"),
        (
            "/model/nova-lite/converse-stream",
            {"messages": [{"role": "user", "content": [{"text": "hello"}]}]},
            "application/vnd.amazon.eventstream",
            "nova-lite",
        ),
    ],
)
def test_other_providers_are_answered_in_their_own_streams(
    serve, scripted_model_module, path, body, content_type, name
):
    """A model or a stream that is asked for by the address alone is understood, and framed as the provider does."""
    ask = serve(lambda request: scripted_model_module.say(request["model"]))
    status, headers, answered = ask(path, body)
    assert (status, headers["content-type"]) == (200, content_type)
    spoken = wire.recognise(path, body)
    assert spoken.codec.decode_response(spoken.join_stream(answered, content_type)).text == name


def test_the_server_counts_the_tokens_that_it_told(scripted_model_module, monkeypatch):
    """A stream of OpenAI tells them only where it was asked to, an embedding has none that the model wrote."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    say = scripted_model_module.say
    with scripted_model_module.ScriptedModel(
        [say("one", usage={"input_tokens": 5, "output_tokens": 2})]
    ) as model:
        connection = http.client.HTTPConnection(urlsplit(model.url).netloc)
        for more in ({}, {"stream": True}, {"stream": True, "stream_options": {"include_usage": True}}):
            connection.request("POST", CHAT, json.dumps({"messages": [USER], **more}))
            connection.getresponse().read()
        connection.close()
    told = {"input_tokens": 5, "output_tokens": 2}
    assert model.usage == [told, {}, told]
