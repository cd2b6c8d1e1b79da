"""Tests of what tells one question from another, and of the answers that were told ahead."""

from __future__ import annotations

import pytest

from namel3ss_debug.capture.foretold import Foretold, asked


def tool(arguments, **metadata):
    """The start of a tool call."""
    return {
        "event_type": "tool_call_start",
        "component": "tool",
        "component_name": "search",
        "inputs": {"arguments": arguments},
        "metadata": {"chain": ["app.py:main"], **metadata},
    }


def model(**exchange):
    """The start of a request to a model."""
    told = {"method": "POST", "url": "https://api.example/v1", "hash": "ab", "body_sha256": "cd"} | exchange
    return {"event_type": "llm_call_start", "component": "llm", "metadata": {"exchange": told}}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (tool({"n": 1}), tool({"n": 1.0})),
        (tool({"n": 1}), tool({"n": True})),
        (tool({"n": 1}), tool({"n": 1}, chain=["app.py:other"])),
        (tool({"n": 1}), tool({"n": 1}, lineage="1.2")),
        (tool({"n": 1}), tool({"n": 1}, seen=False)),
        (tool({"n": 1}), tool({"n": 1}) | {"thread": "worker"}),
        (tool({"n": 1}), tool({"n": 1}) | {"component_name": "find"}),
        (model(), model(hash="ac")),
        (model(), model(body_sha256="ce")),
        (model(), model(url="https://api.example/v2")),
    ],
)
def test_questions_that_differ_in_anything_are_not_the_same(one, other):
    """Nothing is taken for equal that the matcher would tell apart."""
    assert asked(one) != asked(other)


def test_what_does_not_belong_to_a_question_makes_no_difference():
    """Ids, times, the order of members; and of a request to a model, its payload, of which the hashes tell."""
    again = {**tool({"b": 1, "a": 2}), "event_id": "7", "timestamp": 5.0}
    assert asked(again) == asked(tool({"a": 2, "b": 1}))
    assert asked(model() | {"inputs": {"messages": [1]}}) == asked(model())


def test_answers_are_taken_in_their_order_and_void_where_another_is_asked_for():
    """The first that does not fit makes all void."""
    told = Foretold()
    words = [{"ahead": n, "asked": asked(tool({"n": n}))} for n in range(4)]
    for word in words:
        told.add(word)
    assert told.take(tool({"n": 0})) is words[0]
    assert told.take(tool({"n": 2})) is None
    assert told.take(tool({"n": 2})) is None


def test_a_call_that_json_cannot_tell_takes_nothing():
    """Its arguments are no JSON; it waits as any other."""
    told = Foretold()
    told.add({"ahead": 1, "asked": asked(tool({"n": 1}))})
    assert told.take(tool({"n": object()})) is None
    assert told.take(tool({"n": 1})) is None
