"""Tests of requests that differ by nothing but what the user gave in place of recorded answers."""

from __future__ import annotations

import json

import pytest

from namel3ss_debug.replay.rerun.divergences import difference_of
from namel3ss_debug.replay.rerun.override_effects import OverrideEffects, ReplacedAnswer
from namel3ss_debug.replay.rerun.requests import Request

MODEL = Request("llm", "m", (), number=9)


def tool(call_id="call_1"):
    """A call of a tool."""
    return Request("tool", "weather", (), call_id=call_id, number=3)


def text(content, role="user"):
    """A message of plain text."""
    return {"role": role, "parts": [{"type": "text", "content": content}]}


def result(response, call_id="call_1"):
    """A message with the result of a tool."""
    return {"role": "tool", "parts": [{"type": "tool_call_response", "id": call_id, "response": response}]}


def message(*parts, role="user", **beside):
    """A message of several parts."""
    return {"role": role, "parts": [part for one in parts for part in one["parts"]], **beside}


def explained(old, new, *replaced, request=MODEL):
    """Whether the messages differ by these replaced answers only."""
    expectations = OverrideEffects()
    for one in replaced:
        expectations.add(one)
    return expectations.explain(request, difference_of(request.kind, {"messages": old}, {"messages": new}))


COLD = ReplacedAnswer(
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
        ([message(text("So?"), result("21"))], [message(text("So?"), result("-30"))]),
        ([text("It is 21, dry.")], [text("It is 21.")]),
        ([text("It is.")], [text("It is -30.")]),
        ([text("It is 21.")], [text("It is -30.")]),
        ([text("a")], [text("a"), text("-30, snow", "assistant")]),
        ([text("a"), text("21, dry", "assistant")], [text("a")]),
        ([message(text("So?"), result("21"))], [message(text("So?"), result("-30"), text("snow"))]),
        ([message(text("So?"), result("21"), text("dry"))], [message(text("So?"), result("-30"))]),
        ([message(text("So?"), name="dry")], [message(text("So?"), name="snow")]),
        (
            [message({"parts": [{"type": "text", "content": "So?"}]}, result("21"))],
            [message({"parts": [{"content": "So?", "type": "text"}]}, result("-30"))],
        ),
        (["21, dry"], ["-30, snow"]),
        ([{"role": "user", "content": "21, dry"}], [{"role": "user", "content": "-30, snow"}]),
    ],
)
def test_the_words_of_a_mock_are_explained(old, new):
    """Under the id of its call, whatever the program made of it; in a text, word by word."""
    assert explained(old, new, COLD)


@pytest.mark.parametrize("now", ["schön", "d\N{LATIN SMALL LETTER E WITH ACUTE}gel", "雪", "😀 sunny"])
@pytest.mark.parametrize("is_ascii", [True, False])
def test_the_words_of_every_language_are_explained_where_the_program_wrote_them_as_json(now, is_ascii):
    """In ASCII, as `json.dumps` does unless it is told otherwise, or as they are."""
    then, now = {"sky": "dry"}, {"sky": now}
    old, new = (f"Weather: {json.dumps(answer, ensure_ascii=is_ascii)}" for answer in (then, now))
    replaced = ReplacedAnswer(tool(), {"result": then}, {"result": now})
    assert explained([text(old)], [text(new)], replaced)
    assert not explained([text(old)], [text(new)], COLD)


def test_the_names_of_the_members_of_a_mock_are_explained_where_the_program_wrote_json():
    """An answer may have other members than the recorded one."""
    then, now = {"celsius": 21}, {"kelvin": 243}
    replaced = ReplacedAnswer(tool(), {"result": then}, {"result": now})
    assert explained([text(json.dumps(then))], [text(json.dumps(now))], replaced)


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
        ([text("a")], [text("a"), message(text("-30"), text("b"))]),
        ([text("a"), message(text("21"), text("b"))], [text("a")]),
        ([text("a")], [text("a"), result("-30", "call_2")]),
        ([message(text("So?"), result("21"))], [message(text("So?"), result("-30"), text("b"))]),
        ([message(text("So?"), result("21"), text("b"))], [message(text("So?"), result("-30"))]),
        ([message(text("21"), name="a")], [message(text("-30"), name="b")]),
        ([text("dry")], [text("today")]),
        ([text("today")], [text("snow")]),
        ([message(text("b"), text("21"))], [message(text("-30"), text("snow"))]),
        (["21"], ["-30 today"]),
    ],
)
def test_everything_else_is_not(old, new):
    """What was edited, what was not replaced, and what the program computed."""
    assert not explained(old, new, COLD)


def test_without_a_mock_nothing_is_explained():
    """Any difference is one of the program's, also one that the messages do not show."""
    assert not explained([text("21")], [text("-30")])
    assert not explained([], [])


def test_other_calls_of_a_mocked_model_are_explained():
    """The model asks for another tool: its call and the result come, the recorded ones go, and the tool is expected."""
    then = {"text": None, "tool_calls": [{"id": "call_1", "name": "weather", "arguments": {"city": "Rome"}}]}
    now = {"text": None, "tool_calls": [{"id": "call_9_1", "name": "alarm", "arguments": {}}]}
    replaced = ReplacedAnswer(Request("llm", "m", (), number=2), then, now)

    def messages(call, response):
        asked = {"role": "assistant", "parts": [{"type": "tool_call", **call}]}
        return [text("How is Rome?"), asked, result(response, call["id"])]

    old, new = messages(then["tool_calls"][0], "21"), messages(now["tool_calls"][0], "rings")
    assert explained(old, new, replaced)
    assert not explained(old, [*new, text("Also look at the sky.")], replaced)
    assert not explained(old, messages({**now["tool_calls"][0], "id": "call_7"}, "rings"), replaced)


@pytest.mark.parametrize(
    ("kind", "call_id", "expected"),
    [
        ("tool", "call_9_1", True),
        ("tool", "call_1", False),
        ("tool", None, False),
        ("mcp", "call_9_1", False),
    ],
)
def test_a_tool_that_a_mocked_model_asks_for_is_explained(kind, call_id, expected):
    """Whatever its arguments; by its id."""
    now = {
        "tool_calls": [{"id": "call_9_1", "name": "alarm", "arguments": {"at": "noon"}}, {"name": "no id"}]
    }
    expectations = OverrideEffects()
    expectations.add(ReplacedAnswer(Request("llm", "m", (), number=2), {"text": "It is warm."}, now))
    arguments = [{"arguments": {"at": at}} for at in ("dawn", "dusk")]
    asked = Request(kind, "alarm", (), call_id=call_id, number=4)
    assert expectations.explain(asked, difference_of(kind, *arguments)) is expected


def test_calls_without_ids_are_explained_by_their_words():
    """Some models give none."""
    then = {"tool_calls": [{"name": "weather", "arguments": {"city": "Rome"}}]}
    now = {"tool_calls": [{"name": "alarm", "arguments": {"at": ["noon", "dusk"]}}]}
    replaced = ReplacedAnswer(Request("llm", "m", (), number=2), then, now)

    request, asked = text("How is Rome?"), now["tool_calls"][0]

    def call(of):
        return {"role": "assistant", "parts": [{"type": "tool_call", **of}]}

    assert explained([request], [request, call(asked)], replaced)
    assert explained([request, call(then["tool_calls"][0])], [request], replaced)
    assert explained([request, call(then["tool_calls"][0])], [request, call(asked)], replaced)
    assert not explained([request], [request, call(asked | {"arguments": {"at": "dawn"}})], replaced)


def test_a_call_whose_result_alone_was_given_is_not_explained():
    """It was a model that asked for it, with the recorded arguments; the program has changed them."""

    def messages(city, response):
        call = {"type": "tool_call", "id": "call_1", "name": "weather", "arguments": {"city": city}}
        return [{"role": "assistant", "parts": [call]}, result(response)]

    assert explained(messages("Rome", "21"), messages("Rome", "-30"), COLD)
    assert not explained(messages("Rome", "21"), messages("Oslo", "-30"), COLD)


def test_another_answer_of_a_mocked_model_is_explained():
    """What it said goes, what it says now comes, in a conversation that goes on."""
    replaced = ReplacedAnswer(
        Request("llm", "m", (), number=2), {"text": "It is warm."}, {"text": "I cannot tell."}
    )
    old = [text("How is Rome?"), text("It is warm.", "assistant"), text("And now?")]
    new = [text("How is Rome?"), text("I cannot tell.", "assistant"), text("And now?")]
    assert explained(old, new, replaced)
    assert not explained(old, [*new[:2], text("And tomorrow?")], replaced)
    with_more = {"role": "assistant", "parts": [{**new[1]["parts"][0], "citations": ["a page"]}]}
    assert explained(old, [new[0], with_more, new[2]], replaced)


def test_a_path_in_a_request_that_asks_no_model_is_explained_by_words():
    """The mocked result in the body of another request, and in the arguments of another tool."""
    expectations = OverrideEffects()
    expectations.add(COLD)
    other = Request("http", "api", (), number=9)
    body = {"body": {"report": {"sky": "dry", "n": 1}}}
    cold = {"body": {"report": {"sky": "snow and ice", "n": 1}}}
    assert expectations.explain(other, difference_of("http", body, cold))
    assert not expectations.explain(
        other, difference_of("http", body, {"body": {"report": {"sky": "dry", "n": 2}}})
    )
    assert expectations.numbers == (3,)

    def comes_of(then, now):
        return expectations.explain(other, difference_of("http", {"body": then}, {"body": now}))

    assert comes_of({}, {"sky": "snow and ice"})
    assert comes_of({"sky": "dry"}, {})
    assert not comes_of({}, {"sky": "snow today"})
    assert not comes_of({"sky": "dry today"}, {})
    assert comes_of({}, {"sky": ["snow", "and", "ice"]})
    assert not comes_of({}, {"sky": ["snow", "today"]})
    assert not comes_of({"sky": "dry"}, {"sky": "today"})
    assert not comes_of({}, {"sky": "!"})
    assert not comes_of({"sky": "!"}, {})
