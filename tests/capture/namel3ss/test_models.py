"""Model calls at the doors of the language, with stand-ins for its providers."""

from __future__ import annotations

import io
import json
from email.message import Message
from types import SimpleNamespace
from urllib.error import HTTPError, URLError

import pytest

from namel3ss_debug import wire
from namel3ss_debug.capture.core.answers import CallReply
from namel3ss_debug.capture.namel3ss.calls import RequestedCalls
from namel3ss_debug.capture.namel3ss.models import ModelCallRecorder
from namel3ss_debug.wire.faults import Effect


class Provider:
    """Answers with what it was made with."""

    api_key = "unused"

    def __init__(self, answer):
        self.answer = answer

    def ask(self, **_asked):
        """Answer, or fail."""
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


@pytest.fixture
def asked():
    """The calls that models asked for."""
    return RequestedCalls()


@pytest.fixture
def models(scope, asked):
    """The seam."""
    return ModelCallRecorder(scope, asked)


def provider(models, answer):
    """A provider as the language finds it."""
    return models._wrap_get_provider(lambda _name, _config: Provider(answer))("openai", None)


def adapter(models, turn):
    """An adapter as the language finds it."""
    inner = SimpleNamespace(run_model=lambda *_words: turn)
    found = models._wrap_get_provider_adapter(lambda _name, _provider, **_more: inner)
    return found("openai", Provider(None), model="m", system_prompt="s")


ASKED = {"model": "m", "system_prompt": "Be brief.", "user_input": "Hi", "memory": {"short_term": []}}


def test_a_text_is_recorded_and_given_back_as_it_was(models, told):
    """The provider's own object reaches the app, and all else of the provider is its own."""
    response = SimpleNamespace(output="Hello")
    seen = provider(models, response)
    assert seen.ask(**ASKED) is response
    assert seen.api_key == "unused"
    (start, end), problems = told()
    assert [message["role"] for message in start["inputs"]["messages"]] == ["system", "user"]
    assert (start["call_site"], start["metadata"]["chain"]) == ("app.ai:4", ["app.ai:main"])
    assert end["outputs"]["text"] == "Hello"
    assert "usage" not in end
    assert "finish_reason" not in end["outputs"]
    assert problems == {}


def test_a_failure_goes_on_to_the_app(models, told):
    """The very exception; the recording has its type and its text."""
    failure = ValueError("no key")
    with pytest.raises(ValueError, match="no key") as raised:
        provider(models, failure).ask(**ASKED)
    assert raised.value is failure
    (_start, end), _problems = told()
    assert (end["status"], end["error_type"], end["error"]) == ("failed", "ValueError", "no key")


def test_an_answer_that_is_not_given_is_not_cut(models, scope, told):
    """Nor does the recording say that it was; that it cannot be is told."""
    scope.tracer.answers = SimpleNamespace(take=lambda _event_id: CallReply(effect=Effect("truncate")))
    provider(models, SimpleNamespace(output="Hello")).ask(**ASKED)
    (_start, end), problems = told()
    assert end["outputs"]["text"] == "Hello"
    assert "fault" not in end["metadata"]
    assert problems == {"an answer that is not recorded cannot be truncated": 1}


def test_what_cannot_be_recorded_is_asked_all_the_same(models, told, monkeypatch):
    """A mistake of the recorder is a problem in the recording, and nothing else."""

    def broken(*_words):
        raise TypeError

    monkeypatch.setattr(wire, "canonical_hash", broken)
    response = SimpleNamespace(output="Hello")
    assert provider(models, response).ask(**ASKED) is response
    events, problems = told()
    assert events == []
    assert problems == {"a model call could not be recorded: TypeError": 1}


def test_a_call_of_a_tool_is_known_to_the_tool(models, asked, told):
    """A turn that asks for one: its id and the model call it stands in."""
    turn = SimpleNamespace(tool_call_id="c1", tool_name="look up", arguments_json_text='{"n": 1}')
    tool = SimpleNamespace(name="look up", description=None, input_schema={"type": "object"})
    assert adapter(models, turn).run_model([{"role": "user", "content": "Hi"}], [tool], None) is turn
    (start, end), _problems = told()
    assert [offered["name"] for offered in start["inputs"]["tools"]] == ["look up"]
    assert end["outputs"]["tool_calls"] == [{"id": "c1", "name": "look up", "arguments": {"n": 1}}]
    assert asked.take("look up") == ("c1", start["event_id"])


def test_an_adapter_that_says_it_failed_has_failed(models, told):
    """Adapters return their failures."""
    turn = SimpleNamespace(error_type="ProviderError", error_message="overloaded")
    assert adapter(models, turn).run_model([], [], None) is turn
    (_start, end), _problems = told()
    assert (end["status"], end["error_type"], end["error"]) == ("failed", "ProviderError", "overloaded")


def test_tokens_are_those_that_the_provider_tells(models, told):
    """They stand in its response, which the language does not look at, and so do cost and terms."""
    body = {
        "model": "m-1",
        "choices": [{"message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 2, "cost": 0.25},
        "service_tier": "flex",
    }
    request = SimpleNamespace(
        full_url="http://x/v1/chat/completions", data=json.dumps({"model": "m", "messages": []}).encode()
    )

    class Sending(Provider):
        def ask(self, **_asked):
            def send(_request):
                return SimpleNamespace(read=json.dumps(body).encode, status=200)

            response = models._wrap_urlopen(send)(request)
            assert response.status == 200
            assert json.loads(response.read()) == body
            return SimpleNamespace(output="Hello")

    models._wrap_get_provider(lambda _name: Sending(None))("openai").ask(**ASKED)
    (_start, end), _problems = told()
    assert end["usage"] == {"input_tokens": 7, "output_tokens": 2}
    assert end["cost_estimate"] == 0.25
    assert end["billing"] == {"service_tier": "flex"}
    assert end["outputs"]["response_model"] == "m-1"
    assert end["outputs"]["finish_reason"] == "stop"


class Refused(Provider):
    """Sends a request that fails so, and says of it what the language says."""

    def __init__(self, models, failure):
        super().__init__(None)
        self.models, self.failure = models, failure
        self.read = b""

    def ask(self, **_asked):
        """Fail."""
        try:
            self.models._wrap_urlopen(self.send)(None)
        except HTTPError as error:
            self.read = error.read()
            raise ValueError("AI failed") from error
        except URLError as error:
            raise ValueError("AI failed") from error

    def send(self, _request):
        """Fail on the network."""
        raise self.failure


REFUSAL = b'{"error": {"type": "rate_limit_error", "message": "slow down"}}'


@pytest.mark.parametrize(
    ("failure", "kind", "text", "exchange"),
    [
        (HTTPError("http://x", 429, "Too Many", Message(), io.BytesIO(REFUSAL)), "rate_limit_error", "AI failed: slow down",
         {"status": 429, "reason": "Too Many", "body": {"text": REFUSAL.decode()}}),
        (HTTPError("http://x", 500, "Broken", Message(), io.BytesIO()), "HTTP 500", "AI failed: Broken",
         {"status": 500, "reason": "Broken"}),
        (URLError("refused"), "ValueError", "AI failed: refused", {"reason": "refused"}),
    ],
    ids=["body", "status", "network"],
)  # fmt: skip
def test_what_a_provider_says_when_it_refuses_is_told(models, scope, told, failure, kind, text, exchange):
    """The language tells of it in words of its own, in which the reason is missing; the app gets these."""
    refused = Refused(models, failure)
    with pytest.raises(ValueError, match="AI failed") as raised:
        models._wrap_get_provider(lambda _name: refused)("openai").ask(**ASKED)
    assert scope.describe_error(raised.value) == text
    (_start, end), problems = told()
    assert (end["error_type"], end["error"]) == (kind, text)
    assert end["metadata"]["exchange"] == exchange | {"raised": {"type": "ValueError", "text": "AI failed"}}
    assert refused.read == (REFUSAL if "body" in exchange else b"")
    assert problems == {}


def test_an_interrupted_call_is_cancelled(models, told):
    """Ctrl-C is no failure of the model."""
    with pytest.raises(KeyboardInterrupt):
        provider(models, KeyboardInterrupt()).ask(**ASKED)
    (_start, end), _problems = told()
    assert (end["status"], end["error_type"]) == ("cancelled", "KeyboardInterrupt")
