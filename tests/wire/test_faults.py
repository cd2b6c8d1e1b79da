"""What a fault does to a call: failures of providers, exceptions of tools, and what is cut."""

from __future__ import annotations

import asyncio
import json
import sys
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.capture.payloads.data_objects import find_imported
from namel3ss_debug.errors import MockError
from namel3ss_debug.wire import FORMATS, Answer, decode_error, framing
from namel3ss_debug.wire.faults import (
    API_ERRORS,
    BUILTIN_ERRORS,
    Effect,
    cut_answer,
    cut_response,
    cut_stream,
    cut_value,
    make_error_response,
    make_exception,
    translate_finish_reason,
)

SAID = Answer(text="It is cold, wear a coat.", finish_reason="stop", usage={"output_tokens": 8})
CALLED = Answer(
    tool_calls=[{"id": "1", "name": "a", "arguments": {}}, {"id": "2", "name": "b", "arguments": {"q": "x"}}]
)
REQUEST = {"model": "m", "messages": [], "max_tokens": 9}
CHATS = ["openai.chat", "openai.responses", "anthropic.messages"]


class OwnError(Exception):
    """An exception of the program that is not made of a text."""

    def __init__(self, *, code):
        super().__init__(code)
        self.code = code


# --- failures


@pytest.mark.parametrize(
    ("effect", "spoken", "status", "told"),
    [
        (Effect("status", status=429), "openai.chat", 429, ("rate_limit_error", "Too Many Requests (fault)")),
        (Effect("status", status=429), "anthropic.messages", 429, ("rate_limit_error", "Too Many Requests (fault)")),
        (Effect("status", status=529), "anthropic.messages", 529, ("overloaded_error", "Overloaded (fault)")),
        (Effect("status", status=429), "bedrock.converse", 429, ("ThrottlingException", "Too Many Requests (fault)")),
        (Effect("status", status=503, message="down"), "openai.responses", 503, ("server_error", "down")),
        (Effect("status", status=499), "openai.chat", 499, ("server_error", "HTTP 499 (fault)")),
        (Effect("error", "overloaded_error"), "anthropic.messages", 529, ("overloaded_error", "fault")),
        (Effect("error", "context_length_exceeded", "too long"), "anthropic.messages", 400, ("invalid_request_error", "too long")),
        (Effect("error", "context_length_exceeded", "too long"), "openai.chat", 400, ("invalid_request_error", "too long")),
        (Effect("error", "insufficient_quota", "pay"), "openai.embeddings", 429, ("insufficient_quota", "pay")),
        (Effect("status", status=500), None, 500, ("500", "Internal Server Error (fault)")),
    ],
)  # fmt: skip
def test_a_failure_is_told_as_the_provider_tells_it(effect, spoken, status, told):
    """The status, the provider's word for it, and the text; in the body of its format."""
    failure = make_error_response(effect, FORMATS.get(spoken))
    assert failure.status == status
    assert decode_error(json.loads(failure.body)) == told
    headers = dict(failure.headers)
    assert headers["content-type"] == "application/json"
    assert headers["content-length"] == str(len(failure.body))
    assert headers.get("retry-after") == ("1" if status in (429, 503) else None)


def test_openai_names_some_errors_by_a_code():
    """Programs ask for it to tell a prompt that is too long from other mistakes."""
    failure = make_error_response(Effect("error", "context_length_exceeded"), FORMATS["openai.chat"])
    assert json.loads(failure.body)["error"]["code"] == "context_length_exceeded"


@pytest.mark.parametrize(
    ("effect", "raised", "replaces"),
    [
        (Effect("timeout"), "timeout", True),
        (Effect("error", "TimeoutError"), "timeout", True),
        (Effect("error", "ConnectionResetError"), "connection", True),
        (Effect("error", "ValueError"), None, True),
        (Effect("error", "rate_limit_error"), None, True),
        (Effect("status", status=500), None, True),
        (Effect("latency", delay_ms=5), None, False),
        (Effect("truncate"), None, False),
    ],
)
def test_an_effect_says_what_an_http_client_meets(effect, raised, replaces):
    """An exception of its own, a response, or its answer late or cut."""
    assert (effect.raised, effect.replaces) == (raised, replaces)


@given(
    st.builds(
        Effect,
        st.sampled_from(["timeout", "error", "status", "latency", "truncate"]),
        st.sampled_from(["", *API_ERRORS, *BUILTIN_ERRORS]),
        st.text(),
        st.integers(0, 599),
        st.floats(0, 1e9),
    )
)
def test_an_effect_travels_as_json(effect):
    """A law: what is written in one process is the same in another."""
    assert Effect.from_json(json.loads(json.dumps(effect.to_json()))) == effect


# --- exceptions


@pytest.mark.parametrize("name", sorted(BUILTIN_ERRORS))
def test_a_built_in_exception_has_its_text(name):
    """Each of those that can be made of a text."""
    error = make_exception(Effect("error", name, "no such row"), find_imported)
    assert type(error) is BUILTIN_ERRORS[name]
    assert "no such row" in str(error)


def test_only_errors_are_raised_at_a_call():
    """No warnings, nothing that ends the program or a generator, nothing that needs more than a text."""
    for name in ("KeyboardInterrupt", "SystemExit", "StopIteration", "UserWarning", "UnicodeDecodeError"):
        assert name not in BUILTIN_ERRORS


def test_a_timeout_of_a_tool_is_a_timeout_error():
    """With a text that says where it comes from."""
    error = make_exception(Effect("timeout"), find_imported)
    assert (type(error), str(error)) == (TimeoutError, "timed out (fault)")


def test_an_exception_of_the_program_is_found_among_what_it_has_imported(monkeypatch):
    """Also inside a class; one with another signature is made without its `__init__`."""
    module = types.ModuleType("app.errors")
    module.OwnError = OwnError
    module.Client = type("Client", (), {"NotFound": type("NotFound", (LookupError,), {})})
    monkeypatch.setitem(sys.modules, "app.errors", module)
    error = make_exception(Effect("error", "app.errors.OwnError", "no such row"), find_imported)
    assert (type(error), str(error)) == (OwnError, "no such row")
    assert isinstance(
        make_exception(Effect("error", "app.errors.Client.NotFound", "x"), find_imported), LookupError
    )
    assert str(make_exception(Effect("error", "json.JSONDecodeError", "x"), find_imported)) == "x"


@pytest.mark.parametrize(
    "name", ["app.errors.Gone", "json.nothing", "json.loads", "json.loads.x", "os.environ.x", "x"]
)
def test_an_exception_that_is_not_there_is_refused(name):
    """Nothing is imported for it, and nothing but an exception is made."""
    before = set(sys.modules)
    with pytest.raises(MockError, match=f"^{name}: the program has imported no such exception$"):
        make_exception(Effect("error", name, "x"), find_imported)
    assert set(sys.modules) == before
    with pytest.raises(MockError, match="a tool cannot fail like this"):
        make_exception(Effect("status", status=429), find_imported)


# --- cut answers


@pytest.mark.parametrize(
    ("name", "finish"),
    [
        ("openai.chat", "length"),
        ("openai.responses", "max_output_tokens"),
        ("anthropic.messages", "max_tokens"),
    ],
)
def test_a_cut_answer_ended_at_the_limit_of_tokens(name, finish):
    """Half of the text, and the provider says so in its own words, which it reads again."""
    shorter = cut_answer(SAID, name)
    assert (shorter.text, shorter.finish_reason) == ("It is cold, ", finish)
    spoken = FORMATS[name]
    heard = spoken.codec.decode_response(
        spoken.codec.encode_response(shorter, REQUEST, response_id="r", created=1)
    )
    assert (heard.text, heard.finish_reason) == (shorter.text, finish)


def test_without_a_text_the_last_call_of_a_tool_is_cut():
    """Its arguments are no JSON any more; where a model says nothing, nothing is cut."""
    shorter = cut_answer(CALLED, "openai.chat")
    assert shorter.tool_calls == [CALLED.tool_calls[0], {"id": "2", "name": "b", "arguments": '{"q"'}]
    assert cut_answer(CALLED._replace(refusal="no"), "").refusal == "no"
    assert cut_answer(Answer(refusal="never"), "").refusal == "ne"
    assert cut_answer(empty := Answer(vectors=3), "openai.embeddings") is empty


@pytest.mark.parametrize("name", CHATS)
def test_the_body_of_a_response_is_cut(name):
    """It is that of the same response, and its answer ended too early."""
    spoken = FORMATS[name]
    body = spoken.codec.encode_response(SAID, REQUEST, response_id="r", created=7)
    cut = spoken.codec.decode_response(json.loads(cut_response(json.dumps(body).encode(), spoken, REQUEST)))
    assert (cut.text, cut.response_id) == ("It is cold, ", "r")
    assert cut.usage == spoken.codec.decode_response(body).usage


def test_a_body_of_another_kind_is_cut_where_it_has_a_text():
    """JSON stays JSON; what a model's response does not have is not cut."""
    assert cut_response(b'{"a":"abcd","b":1}', None, {}) == b'{"a":"ab","b":1}'
    assert cut_response(b"<html>", None, {}) == b"<ht"
    assert cut_response(b'{"a": 1}', None, {}) == b'{"a": 1}'
    assert cut_response(b'{"data": []}', FORMATS["openai.embeddings"], {}) == b'{"data": []}'


@pytest.mark.parametrize("name", CHATS)
@pytest.mark.parametrize("in_one_piece", [True, False])
def test_a_cut_stream_is_the_beginning_of_the_whole(name, in_one_piece):
    """However it arrived; it holds a part of the text, and nothing in it says that it ends."""
    spoken = FORMATS[name]
    pieces = spoken.codec.encode_stream(SAID, REQUEST, response_id="r", created=1)
    cut = b"".join(cut_stream([b"".join(pieces)] if in_one_piece else pieces))
    assert b"".join(pieces).startswith(cut)
    heard = spoken.codec.decode_response(spoken.join_stream(cut))
    assert SAID.text.startswith(heard.text or "")
    assert heard.text != SAID.text
    assert heard.finish_reason is None


@given(st.lists(st.binary(max_size=8) | st.just(framing.encode_sse({"a": 1})), max_size=6))
def test_a_cut_stream_is_always_shorter(pieces):
    """A law: for whatever bytes, the beginning of them, and less unless there are none."""
    whole, cut = b"".join(pieces), b"".join(cut_stream(pieces))
    assert whole.startswith(cut)
    assert len(cut) < len(whole) or not whole


@pytest.mark.parametrize(
    ("value", "cut"),
    [
        ("30 days", "30 "),
        ({"a": "no", "hits": ["short", "much longer"]}, {"a": "no", "hits": ["short", "much "]}),
        ({"$type": "app.Hit", "fields": {"text": "abcd"}}, {"$type": "app.Hit", "fields": {"text": "ab"}}),
        ({"$type": "bytes", "base64": "AAAA"}, {"$type": "bytes", "base64": "AAAA"}),
        ([1, None, "x"], [1, None, "x"]),
        (7, 7),
        ("", ""),
    ],
)
def test_of_a_result_the_longest_text_is_cut(value, cut):
    """The first of several; where there is none the result stays."""
    before = json.dumps(value)
    assert cut_value(value) == cut
    assert json.dumps(value) == before


def test_a_result_may_be_nested_deeply():
    """Deeper than Python calls functions."""
    value = deep = []
    for _ in range(3000):
        deep.append(inner := [])
        deep = inner
    deep.append("abcd")
    cut = cut_value(value)
    while isinstance(cut, list):
        [cut] = cut
    assert cut == "ab"


def test_words_for_the_end_are_those_of_the_provider():
    """Words that are its own already, and formats that are not known, stay."""
    assert translate_finish_reason("tool_calls", "anthropic.messages") == "tool_use"
    assert translate_finish_reason("end_turn", "anthropic.messages") == "end_turn"
    assert translate_finish_reason("stop", "openai.responses") == "completed"
    assert translate_finish_reason("length", "") == "length"
    assert translate_finish_reason(None, "openai.chat") is None


# --- the SDKs


@pytest.mark.parametrize(
    ("effect", "names"),
    [
        (Effect("status", status=429), ("RateLimitError", "RateLimitError")),
        (Effect("error", "authentication_error", "no key"), ("AuthenticationError", "AuthenticationError")),
        (Effect("status", status=500), ("InternalServerError", "InternalServerError")),
        (Effect("error", "overloaded_error"), ("InternalServerError", "OverloadedError")),
    ],
)
def test_the_sdks_raise_their_own_exceptions(effect, names):
    """As for a provider that fails so."""
    openai, anthropic = pytest.importorskip("openai"), pytest.importorskip("anthropic")
    httpx2 = pytest.importorskip("httpx2")

    def server(request):
        spoken = FORMATS["openai.chat" if "chat" in request.url.path else "anthropic.messages"]
        failure = make_error_response(effect, spoken)
        return httpx2.Response(failure.status, headers=list(failure.headers), content=failure.body)

    messages = [{"role": "user", "content": "hi"}]

    async def ask():
        settings = {"api_key": "k", "base_url": "http://gateway/v1", "max_retries": 0}
        async with httpx2.AsyncClient(transport=httpx2.MockTransport(server)) as client:
            first = openai.AsyncOpenAI(http_client=client, **settings)
            with pytest.raises(openai.APIStatusError) as one:
                await first.chat.completions.create(model="m", messages=messages)
            second = anthropic.AsyncAnthropic(http_client=client, **settings)
            with pytest.raises(anthropic.APIStatusError) as other:
                await second.messages.create(model="m", messages=messages, max_tokens=9)
            return one.value, other.value

    raised = asyncio.run(ask())
    assert tuple(type(error).__name__ for error in raised) == names
    assert all(effect.text in str(error) for error in raised)
