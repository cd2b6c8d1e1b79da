"""What a model can answer by a mock."""

from __future__ import annotations

import pytest

from namel3ss_debug.errors import MockError
from namel3ss_debug.replay.overrides.mocks import parse_model_answer
from namel3ss_debug.wire import FORMATS, Answer


@pytest.mark.parametrize(
    ("given", "answer"),
    [
        ("yes", Answer(text="yes")),
        ("", Answer(text="")),
        ({"text": "yes", "finish_reason": "stop"}, Answer(text="yes", finish_reason="stop")),
        (
            {"text": None, "reasoning": "hm", "response_model": "m"},
            Answer(reasoning="hm", response_model="m"),
        ),
        (
            {"tool_calls": [{"name": "search"}]},
            Answer(tool_calls=[{"id": "call_14_1", "name": "search", "arguments": {}}]),
        ),
        *(
            (
                {"tool_calls": [{"id": no_id, "name": "f"}]},
                Answer(tool_calls=[{"id": "call_14_1", "name": "f", "arguments": {}}]),
            )
            for no_id in ("", None, 7)
        ),
        (
            {
                "tool_calls": [
                    {"id": "a", "name": "f", "arguments": {"q": 1}},
                    {"name": "g", "arguments": '{"q": 2}'},
                ]
            },
            Answer(
                tool_calls=[
                    {"id": "a", "name": "f", "arguments": {"q": 1}},
                    {"id": "call_14_2", "name": "g", "arguments": {"q": 2}},
                ]
            ),
        ),
    ],
)
def test_an_answer_has_one_form(given, answer):
    """A text is an answer; tool calls get ids, and their arguments may be JSON text, as providers write them."""
    assert parse_model_answer("llm", given, 14) == answer


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (7, "this is a number"),
        (True, "this is true or false"),
        (None, "this is null"),
        ([], "this is a list"),
        ({}, "this is an empty object"),
        ({"approved": True}, "it has no 'approved'"),
        ({"text": "yes", "tool_call": []}, "it has no 'tool_call'; did you mean 'tool_calls'?"),
        ({"text": 7}, "'text' is a number here, not a text"),
        ({"tool_calls": {"name": "search"}}, "'tool_calls' is an object here, not a list"),
        ({"tool_calls": ["search"]}, "each of 'tool_calls' is an object with a 'name'"),
        ({"tool_calls": [{"arguments": {}}]}, "each of 'tool_calls' is an object with a 'name'"),
        ({"tool_calls": [{"name": ""}]}, "each of 'tool_calls' is an object with a 'name'"),
        (
            {"tool_calls": [{"name": "f", "argument": {}}]},
            "a tool call has no 'argument'; did you mean 'arguments'?",
        ),
    ],
)
def test_another_shape_is_refused_with_the_right_one(given, message):
    """One line: whose answer, what shape it should have, and what is wrong with this one."""
    with pytest.raises(MockError) as caught:
        parse_model_answer("llm:gpt-4o", given, 1)
    text = str(caught.value)
    assert text.startswith(
        'llm:gpt-4o: a model\'s answer is a text, or an object such as {"text": "...", "tool_calls": ['
    )
    assert text.endswith(message)
    assert "\n" not in text


@pytest.mark.parametrize("name", ["openai.chat", "openai.responses", "anthropic.messages"])
def test_every_provider_can_say_it(name):
    """What a mock answers can be written on the wire, and is the same when it is read there."""
    answer = parse_model_answer(
        "llm", {"text": "one moment", "tool_calls": [{"name": "search", "arguments": {"q": 1}}]}, 3
    )
    spoken = FORMATS[name]
    request = {"model": "m", "messages": [], "max_tokens": 9}
    heard = spoken.codec.decode_response(
        spoken.codec.encode_response(answer, request, response_id="r", created=1)
    )
    assert (heard.text, heard.tool_calls) == (answer.text, answer.tool_calls)
    assert heard.finish_reason
