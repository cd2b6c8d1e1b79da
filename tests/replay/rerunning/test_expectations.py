"""Tests of requests that differ by nothing but what the user gave in place of recorded answers."""

from __future__ import annotations

import json

import pytest

from namel3ss_debug.replay.rerunning.boundaries import Question
from namel3ss_debug.replay.rerunning.divergences import difference_of
from namel3ss_debug.replay.rerunning.expectations import Expectations, Replaced

MODEL = Question("llm", "m", (), number=9)


def tool(call_id="call_1"):
    """A call of a tool."""
    return Question("tool", "weather", (), call_id=call_id, number=3)


def text(content, role="user"):
    """A message of plain text."""
    return {"role": role, "parts": [{"type": "text", "content": content}]}


def result(response, call_id="call_1"):
    """A message with the result of a tool."""
    return {"role": "tool", "parts": [{"type": "tool_call_response", "id": call_id, "response": response}]}


def explained(old, new, *replaced, question=MODEL):
    """Whether the messages differ by these replaced answers only."""
    expectations = Expectations()
    for one in replaced:
        expectations.add(one)
    return expectations.explain(question, difference_of(question.kind, {"messages": old}, {"messages": new}))


COLD = Replaced(
    tool(), {"result": {"temp_c": 21, "sky": "dry"}}, {"result": {"temp_c": -30, "sky": "snow and ice"}}
)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ([result('{"temp_c": 21}')], [result('{"temp_c": -30}')]),
        ([result("anything")], [result("whatever the program made of it")]),
        ([text("It is 21 degrees and dry.")], [text("It is -30 degrees and snow and ice.")]),
        (
            [text(f"Weather: {json.dumps({'temp_c': 21, 'sky': 'dry'})}")],
            [text(f"Weather: {json.dumps({'temp_c': -30, 'sky': 'snow and ice'})}")],
        ),
        ([text("a"), text("21, dry")], [text("a"), text("-30, snow")]),
        ([text("Observation:\n21, dry\n")], [text("Observation:\n-30, snow\n")]),
        ([text(json.dumps({"log": "Last:\n21"}))], [text(json.dumps({"log": "Last:\n-30"}))]),
        (
            [{"role": "user", "parts": [{"type": "text", "content": "So?"}, *result("21")["parts"]]}],
            [{"role": "user", "parts": [{"type": "text", "content": "So?"}, *result("-30")["parts"]]}],
        ),
    ],
)
def test_the_words_of_a_mock_are_explained(old, new):
    """Under the id of its call, whatever the program made of it; in a text, word by word."""
    assert explained(old, new, COLD)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ([text("It is 21 degrees.")], [text("It is -22 degrees.")]),  # computed
        ([text("It is 21 degrees.")], [text("It is -30 degrees today.")]),
        ([text("It is 21 degrees.")], [text("It is -30 Kelvin.")]),
        ([text("It is 21 degrees.")], [text("It is 21 degrees!")]),
        ([text("It is 15 degrees.")], [text("It is -30 degrees.")]),
        ([text("Observation:\n15")], [text("Observation:\n-30")]),
        ([result("21", "call_2")], [result("warm", "call_2")]),
        ([text("a")], [text("a"), text("b")]),
        ([text("a"), text("b")], [text("a")]),
    ],
)
def test_everything_else_is_not(old, new):
    """What was edited, what was not replaced, and what the program computed."""
    assert not explained(old, new, COLD)


def test_without_a_mock_nothing_is_explained():
    """Any difference is one of the program's."""
    assert not explained([text("21")], [text("-30")])


def test_other_calls_of_a_mocked_model_are_explained():
    """The model asks for another tool: its call and the result come, the recorded ones go, and the tool is expected."""
    then = {"text": None, "tool_calls": [{"id": "call_1", "name": "weather", "arguments": {"city": "Rome"}}]}
    now = {"text": None, "tool_calls": [{"id": "call_9_1", "name": "alarm", "arguments": {}}]}
    replaced = Replaced(Question("llm", "m", (), number=2), then, now)

    def messages(call, response):
        asked = {"role": "assistant", "parts": [{"type": "tool_call", **call}]}
        return [text("How is Rome?"), asked, result(response, call["id"])]

    old, new = messages(then["tool_calls"][0], "21"), messages(now["tool_calls"][0], "rings")
    assert explained(old, new, replaced)
    asked = Question("tool", "alarm", (), call_id="call_9_1", number=4)
    assert explained([], [], replaced, question=asked)
    assert not explained(old, [*new, text("Also look at the sky.")], replaced)


def test_another_answer_of_a_mocked_model_is_explained():
    """What it said goes, what it says now comes, in a conversation that goes on."""
    replaced = Replaced(
        Question("llm", "m", (), number=2), {"text": "It is warm."}, {"text": "I cannot tell."}
    )
    old = [text("How is Rome?"), text("It is warm.", "assistant"), text("And now?")]
    new = [text("How is Rome?"), text("I cannot tell.", "assistant"), text("And now?")]
    assert explained(old, new, replaced)
    assert not explained(old, [*new[:2], text("And tomorrow?")], replaced)


def test_a_path_in_a_request_that_asks_no_model_is_explained_by_words():
    """The mocked result in the body of another request, and in the arguments of another tool."""
    expectations = Expectations()
    expectations.add(COLD)
    other = Question("http", "api", (), number=9)
    body = {"body": {"report": {"sky": "dry", "n": 1}}}
    cold = {"body": {"report": {"sky": "snow and ice", "n": 1}}}
    assert expectations.explain(other, difference_of("http", body, cold))
    assert not expectations.explain(
        other, difference_of("http", body, {"body": {"report": {"sky": "dry", "n": 2}}})
    )
    assert expectations.numbers == (3,)
