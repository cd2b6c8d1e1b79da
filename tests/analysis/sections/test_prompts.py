import json

import pytest

from namel3ss_debug.analysis.sections.prompts import answer_key, arguments_key, parse_prompt

TEXT = "long enough to be looked at " * 50


def start(*texts, tools=None, params=None):
    """A model call that was sent these texts."""
    messages = [{"role": "user", "parts": [{"type": "text", "content": text}]} for text in texts]
    return {"inputs": {"messages": messages, "tools": tools, "params": params}}


def test_beginnings_are_equal_as_far_as_prompts_are():
    """Two prompts share the keys of the messages they begin with, and none behind the first that differs."""
    one, other = parse_prompt(start(TEXT, "b", "c")), parse_prompt(start(TEXT, "b", "d", "e"))
    assert one.beginnings[:2] == other.beginnings[:2]
    assert set(one.beginnings[2:]).isdisjoint(other.beginnings[2:])
    assert (len(one.beginnings), len(other.beginnings)) == (3, 4)
    assert one.sizes == sorted(one.sizes)
    assert one.size == one.sizes[-1]


def test_other_tools_are_another_prompt():
    """They stand before the messages, where a cache begins to read."""
    one, other = (
        parse_prompt(start(TEXT, tools=[{"name": "a"}])),
        parse_prompt(start(TEXT, tools=[{"name": "b"}])),
    )
    assert one.beginnings != other.beginnings


def test_other_parameters_are_another_question_that_begins_alike():
    """A temperature changes the answer and not what the cache reads."""
    one, other = parse_prompt(start(TEXT, params={"t": 0})), parse_prompt(start(TEXT, params={"t": 1}))
    assert one.key != other.key
    assert one.beginnings == other.beginnings


def test_of_a_long_conversation_the_same_places_are_kept():
    """A prompt of six hundred messages keeps far fewer beginnings, at places that a shorter one has as well."""
    texts = [f"{n} {TEXT[:40]}" for n in range(600)]
    whole, part = parse_prompt(start(*texts)), parse_prompt(start(*texts[:599]))
    assert len(whole.beginnings) == 48 + 58 + 1
    assert whole.beginnings == part.beginnings


@pytest.mark.parametrize("hidden", ["[REDACTED:email]", {"$truncated": "abc"}])
def test_what_is_hidden_is_equal_to_nothing(hidden):
    """Two values behind the same placeholder may differ."""
    assert parse_prompt({"inputs": {"messages": [{"role": "user", "parts": [hidden]}]}}).key == -1
    assert arguments_key({"inputs": {"arguments": {"a": hidden}}}) == -1


@pytest.mark.parametrize("inputs", [None, {}, {"messages": []}, {"messages": "text"}, "odd"])
def test_a_call_that_tells_no_messages_is_not_known(inputs):
    """Nor is a foreign shape."""
    assert parse_prompt({"inputs": inputs}).key == -1
    assert answer_key({"outputs": None}) == -1


def test_keys_do_not_depend_on_the_order_of_names():
    """JSON objects are equal whatever the order."""
    one, other = json.loads('{"a": 1, "b": 2}'), json.loads('{"b": 2, "a": 1}')
    assert arguments_key({"inputs": {"arguments": one}}) == arguments_key({"inputs": {"arguments": other}})
    assert answer_key({"outputs": {"result": one}}) == answer_key({"outputs": {"result": other}})
