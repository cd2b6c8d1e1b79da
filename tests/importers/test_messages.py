"""Messages and answers in the forms that the instrumentations of tracing services keep."""

from __future__ import annotations

import json

import pytest

from namel3ss_debug.importers.messages import read_answer, read_messages

TEXT = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Eight."}]}
CALL = {"type": "function_call", "call_id": "c1", "name": "find", "arguments": '{"sku": 1}'}


@pytest.mark.parametrize("value", [TEXT, [TEXT], json.dumps(TEXT)])
def test_an_answer_of_the_responses_api_is_its_text(value):
    """The SDK of Langfuse keeps the items of a response without it, and a single one alone."""
    assert read_answer(value).text == "Eight."


def test_calls_of_tools_of_the_responses_api_are_calls():
    """Beside a text, and alone."""
    calls = [{"id": "c1", "name": "find", "arguments": {"sku": 1}}]
    assert read_answer(CALL).tool_calls == calls
    answer = read_answer([TEXT, CALL])
    assert (answer.text, answer.tool_calls) == ("Eight.", calls)


def test_an_item_that_is_sent_again_is_a_message():
    """As a program sends it with the next request."""
    assert read_messages([TEXT]) == [{"role": "assistant", "parts": [{"type": "text", "content": "Eight."}]}]
