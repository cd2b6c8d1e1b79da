"""Gemini: what its counts mean."""

from __future__ import annotations

import pytest

from namel3ss_debug.wire import gemini
from namel3ss_debug.wire.gemini import decode_usage


@pytest.mark.parametrize(
    ("usage", "told"),
    [
        ({"promptTokenCount": 4, "totalTokenCount": 4}, {"input_tokens": 4, "output_tokens": 0}),
        (
            {"promptTokenCount": 4, "toolUsePromptTokenCount": 3, "totalTokenCount": 7},
            {"input_tokens": 7, "output_tokens": 0},
        ),
        ({"prompt_token_count": 4, "total_token_count": 9}, {"input_tokens": 4}),
        ({"promptTokenCount": 4}, {"input_tokens": 4}),
    ],
)
def test_a_count_of_nothing_is_left_out_and_known_by_the_total(usage, told):
    """As of a prompt that was blocked: nothing was made, where the input is all there is."""
    assert decode_usage(usage) == told


def joined(*calls):
    """The calls in the answer of a stream whose events hold these function calls."""
    events = [{"candidates": [{"content": {"parts": [{"functionCall": call}]}}]} for call in calls]
    return gemini.decode_response(gemini.join_events(events)).tool_calls


def test_arguments_that_are_streamed_are_those_of_one_call():
    """A call that is continued takes the pieces of its arguments, each at its place, until one ends it."""
    city, item = {"jsonPath": "$.city", "willContinue": True}, {"jsonPath": "$['days'][1].n"}
    told = joined(
        {"id": "c1", "name": "weather", "willContinue": True},
        {"partialArgs": [{**city, "stringValue": "New "}], "willContinue": True},
        {"partialArgs": [{**city, "stringValue": "York"}, {**item, "numberValue": 2}], "willContinue": True},
        {"partial_args": [{"json_path": "$.metric", "bool_value": False}], "will_continue": True},
        {},
        {"name": "time", "partialArgs": [{"jsonPath": "$.tags[0]", "stringValue": "a"}]},
        {"name": "whole", "args": {"a": 1}},
    )
    assert told == [
        {
            "id": "c1",
            "name": "weather",
            "arguments": {"city": "New York", "days": [None, {"n": 2}], "metric": False},
        },
        {"name": "time", "arguments": {"tags": ["a"]}},
        {"name": "whole", "arguments": {"a": 1}},
    ]


@pytest.mark.parametrize("path", ["", "$", "x", "$.a[999999999]", "$.a.b", "$[0].c", "$.a" * 200, None, 3])
def test_whatever_a_path_says_a_call_is_read(path):
    """A path that leads nowhere, or too far, loses its piece and no more than that."""
    piece = {"partialArgs": [{"jsonPath": "$.a", "stringValue": "s"}, {"jsonPath": path, "numberValue": 1}]}
    (call,) = joined({"name": "f", "willContinue": True}, piece)
    assert call["name"] == "f"
    assert len(str(call)) < 20_000
