"""A recorded request to a model that is sent again: how it is rebuilt, who gets the key, and what may be changed."""

from __future__ import annotations

import pytest

from namel3ss_debug.errors import DebugError, RerunError, TrustError, WrongUsageError
from namel3ss_debug.replay.conversation_text import read_messages, write_messages
from namel3ss_debug.replay.resend import change_request, read_request, send

SYSTEM = {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]}
USER = {"role": "user", "parts": [{"type": "text", "content": "Hello\n>>> 1 user\nthere"}]}
CALL = {
    "role": "assistant",
    "parts": [{"type": "tool_call", "id": "c1", "name": "add", "arguments": {"a": 1}}],
}
RESULT = {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "3"}]}


@pytest.fixture
def recorded(listed):
    """Makes a trace of one call of a model."""

    def make(url="https://api.openai.com/v1/chat/completions", form="openai.chat", **inputs):
        inputs = {"model": "gpt-4o-mini", "messages": [SYSTEM, USER], "tools": [], "params": {}} | inputs
        return listed(
            [
                {"event_type": "trace_start", "component": "app"},
                {
                    "event_type": "llm_call_start",
                    "component": "llm",
                    "component_name": "gpt-4o-mini",
                    "inputs": inputs,
                    "metadata": {"format": form, "exchange": {"url": url, "hash": "h"}},
                },
                {
                    "event_type": "llm_call_end",
                    "component": "llm",
                    "parent_event_id": "e2",
                    "outputs": {"text": "Hi"},
                },
            ]
        )

    return make


@pytest.mark.parametrize("number", [2, 3])
def test_a_call_is_named_by_its_start_or_its_end(recorded, number):
    """The answer is asked for as a whole, although the program had it streamed."""
    params = {"stream": True, "stream_options": {"include_usage": True}, "seed": 4}
    found = read_request(recorded(params=params, messages=[SYSTEM, CALL, RESULT]), number, {}, is_own=True)
    assert found.number == 2
    assert found.end["outputs"] == {"text": "Hi"}
    assert found.to_body() == {
        "model": "gpt-4o-mini",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}}
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "3"},
        ],
        "stream": False,
        "seed": 4,
    }


@pytest.mark.parametrize(
    ("number", "recording", "problem"),
    [
        (1, {}, "event 1 is no recorded call of a model"),
        (99, {}, "event 99 is no recorded call of a model"),
        (2, {"form": "gemini.generate_content"}, "rerun --live-from 2 lets the program send it"),
        (2, {"messages": [{"role": "user", "parts": [{"$truncated": 9}]}]}, "max_payload_size 0"),
        (
            2,
            {"messages": [{"role": "user", "parts": [{"type": "reasoning", "content": "a", "x": 1}]}]},
            "in another form",
        ),
    ],
)
def test_what_cannot_be_sent_again_is_refused_before_anything_is_sent(recorded, number, recording, problem):
    """In one line that says what to do."""
    with pytest.raises(DebugError, match=problem):
        read_request(recorded(**recording), number, {}, is_own=True)


OPENAI = "https://api.openai.com/v1/chat/completions"
EVIL = "https://evil.example/v1/chat/completions"
ENVIRONMENT = {"OPENAI_BASE_URL": "http://mine:1/v1"}


@pytest.mark.parametrize(
    ("url", "environ", "is_own", "sent_to", "variable"),
    [
        (OPENAI, ENVIRONMENT, False, OPENAI, "OPENAI_API_KEY"),
        ("https://openrouter.ai/api/v1/chat/completions", {}, False, "https://openrouter.ai/api/v1/chat/completions", "OPENROUTER_API_KEY"),
        (EVIL, ENVIRONMENT, False, "http://mine:1/v1/chat/completions", "OPENAI_API_KEY"),
        ("http://api.openai.com/v1/chat/completions", ENVIRONMENT, True, "http://mine:1/v1/chat/completions", "OPENAI_API_KEY"),
        ("https://api.openai.com.evil.example/v1/chat/completions", {}, True, "https://api.openai.com.evil.example/v1/chat/completions", None),
        (EVIL, {}, True, EVIL, None),
    ],
)  # fmt: skip
def test_a_key_goes_to_its_provider_or_to_the_address_of_the_user(
    recorded, url, environ, is_own, sent_to, variable
):
    """Any other address of a trace gets none, even of one's own."""
    found = read_request(recorded(url), 2, environ, is_own=is_own)
    assert found.url == sent_to
    assert (found.provider and found.provider.variable) == variable


def test_an_address_of_somebody_else_is_refused(recorded):
    """The user can name a server with a variable of the SDK."""
    with pytest.raises(TrustError, match="set OPENAI_BASE_URL"):
        read_request(recorded(EVIL), 2, {}, is_own=False)


def test_a_missing_key_is_named(recorded):
    """Nothing is sent without it."""
    with pytest.raises(RerunError, match="OPENAI_API_KEY is not set"):
        send(read_request(recorded(), 2, {}, is_own=True), {})


def test_model_system_prompt_and_temperature_are_changed(recorded):
    """And nothing else; the recorded request stays as it is."""
    found = read_request(recorded(), 2, {}, is_own=True)
    changed = change_request(found, model="gpt-4o", system="Be kind.", temperature=0.0)
    assert changed.to_body() == {
        "model": "gpt-4o",
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": USER["parts"][0]["content"]},
        ],
        "temperature": 0.0,
    }
    assert change_request(found, model=None, system=None, temperature=None) == found


def test_a_system_prompt_is_added_where_there_is_none(recorded):
    """As the first message."""
    found = read_request(recorded(messages=[USER]), 2, {}, is_own=True)
    changed = change_request(found, model=None, system="Be kind.", temperature=None)
    assert [message["role"] for message in changed.inputs["messages"]] == ["system", "user"]


def test_messages_that_were_not_edited_are_the_same(recorded):
    """Also those with a line that looks like the head of a message, and those that are no text."""
    messages = [SYSTEM, USER, CALL, RESULT]
    assert read_messages(write_messages(messages), messages) == messages


def test_messages_are_edited_moved_removed_and_added():
    """Each by its head."""
    text = ">>> 2 user\nBye\n\n>>> assistant\nNo\n"
    assert read_messages(text, [SYSTEM, USER]) == [
        {"role": "user", "parts": [{"type": "text", "content": "Bye"}]},
        {"role": "assistant", "parts": [{"type": "text", "content": "No"}]},
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "has no message"),
        (">>> 9 user\nx", "line 1 of the edited text: the request has 3 messages"),
        (">>> 3 assistant\n[", "line 1 of the edited text is no JSON: "),
        (">>> 3 assistant\n[1]", "no JSON list of parts"),
    ],
)
def test_an_edited_text_that_cannot_be_read_is_refused(text, problem):
    """With the line."""
    with pytest.raises(WrongUsageError, match=problem):
        read_messages(text, [SYSTEM, USER, CALL])
