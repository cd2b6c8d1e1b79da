"""Model calls of litellm that send nothing are recorded; against stand-ins with its public interface."""

from __future__ import annotations

import asyncio
import contextvars
import traceback
from types import SimpleNamespace

import pytest

from namel3ss_debug.capture.core import announced
from namel3ss_debug.capture.frameworks import litellm

ASK = [{"role": "user", "content": "Snow?"}]


def answer(mock_response):
    """An answer of litellm's, or its failure."""
    if isinstance(mock_response, Exception):
        raise mock_response
    if mock_response is None:  # it is sent
        announced.mark_recorded(announced.LLM)
    message = SimpleNamespace(content=mock_response, tool_calls=None)
    usage = SimpleNamespace(prompt_tokens=10, completion_tokens=20)
    return SimpleNamespace(choices=[SimpleNamespace(message=message, finish_reason="stop")], usage=usage)


@pytest.fixture
def module(structure):
    """litellm, followed: one of its functions calls the other."""

    def completion(model, messages=(), mock_response=None, **_more):
        return answer(mock_response)

    async def acompletion(*args, **kwargs):
        await asyncio.sleep(0)
        return module.completion(*args, **kwargs)

    module = SimpleNamespace(completion=completion, acompletion=acompletion, structure=structure)
    undo = litellm.follow(module, structure)
    yield module
    while undo:
        undo.pop()()
    assert (module.completion, module.acompletion) == (completion, acompletion)


@pytest.mark.parametrize("on_loop", [False, True])
def test_an_answer_that_the_program_gives_is_a_model_call(module, recorded, on_loop):
    """Recorded once, and without tokens, because nobody was asked."""
    words = {"model": "gpt", "messages": ASK, "mock_response": "It snows.", "temperature": 0}
    if on_loop:
        asyncio.run(module.acompletion(**words))
    else:
        module.completion(**words)
    begun, ended = recorded()
    assert begun["inputs"] == {
        "model": "gpt",
        "messages": [{"role": "user", "parts": [{"type": "text", "content": "Snow?"}]}],
        "params": {"temperature": 0},
    }
    assert ended["outputs"] == {"text": "It snows.", "tool_calls": [], "finish_reason": "stop"}
    assert "usage" not in ended


def test_what_is_sent_is_recorded_where_it_leaves(module, recorded):
    """And not here."""
    module.completion("gpt", ASK)
    asyncio.run(module.acompletion("gpt", ASK))
    assert recorded() == []


def test_a_failure_that_the_program_gives_is_a_failed_call(module, recorded):
    """The exception passes."""
    with pytest.raises(ValueError, match="too long"):
        module.completion("gpt", ASK, mock_response=ValueError("too long"))
    _begun, ended = recorded()
    assert (ended["status"], ended["error_type"]) == ("failed", "ValueError")


def test_the_traceback_of_a_call_within_another_does_not_show_us(module):
    """Litellm itself calls one of them from the other, and logs what it raises there."""
    shown = []

    async def fall_back(*_args, **_kwargs):
        try:
            await module.acompletion("gpt", ASK, mock_response=ValueError("too long"))
        except ValueError as error:
            shown.extend(frame.filename for frame in traceback.extract_tb(error.__traceback__))

    around = SimpleNamespace(completion=fall_back, acompletion=fall_back)
    undo = litellm.follow(around, module.structure)
    asyncio.run(around.acompletion("gpt", ASK))
    for each in undo:
        each()
    assert shown
    assert litellm.__file__ not in shown


def test_calls_at_once_do_not_hide_each_other(module, recorded):
    """Each task has its own."""

    async def both():
        await asyncio.gather(*(module.acompletion("gpt", ASK, mock_response=text) for text in "ab"))

    asyncio.run(both())
    texts = [event["outputs"]["text"] for event in recorded() if event["event_type"] == "llm_call_end"]
    assert sorted(texts) == ["a", "b"]


def test_a_stream_is_no_answer_yet(module, structure):
    """What it will say is not known."""
    assert litellm._format_answer(iter(())) == {}


def test_a_call_that_is_never_finished_is_closed_in_silence(module, recorded):
    """As by a loop that ends: that does it outside of the task, in another context."""
    call = module.acompletion("gpt", ASK, mock_response="It snows.")
    contextvars.copy_context().run(call.send, None)
    call.close()
    assert recorded()[-1]["status"] == "cancelled"
