"""`debug resend`: one recorded call of a model sent again to a scripted server."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import numbered, write

pytestmark = pytest.mark.usefixtures("workspace")


@pytest.fixture
def call(workspace, scripted_model, monkeypatch):
    """Records one call of a model, whose server is named by the environment."""
    monkeypatch.setenv("OPENAI_BASE_URL", f"{scripted_model.url}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-user")
    scripted_model.requests.clear()
    start = {
        "event_type": "llm_call_start",
        "component": "llm",
        "component_name": "gpt-4o-mini",
        "inputs": {
            "model": "gpt-4o-mini",
            "messages": [
                {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]},
                {"role": "user", "parts": [{"type": "text", "content": "hello there"}]},
            ],
        },
        "metadata": {
            "format": "openai.chat",
            "exchange": {"url": "https://evil.example/v1/chat/completions", "hash": "h"},
        },
    }
    end = {
        "event_type": "llm_call_end",
        "component": "llm",
        "parent_event_id": "1",
        "status": "completed",
        "usage": {"input_tokens": 20, "output_tokens": 5},
        "outputs": {"text": "You said: good evening"},
    }
    write(workspace / "debug/traces/trace_20261121_120000_ab12cd34.jsonl", numbered([start, end]))
    return scripted_model


def test_the_answer_stands_beside_the_recorded_one_with_its_words_marked(call, run):
    """The request goes to the user's own server, with the key, and is shown with what was changed in it."""
    result = run("resend", "1", "--system", "Be kind.", "--yes")
    assert result.exit_code == 0, result.output
    told = result.stdout
    assert "Be [-brief-]{+kind+}." in told
    assert "[-good evening-]" in told
    assert "{+hello there+}" in told
    (asked,) = call.requests
    assert asked["headers"]["Authorization"] == "Bearer sk-user"
    assert asked["body"]["messages"][0] == {"role": "system", "content": "Be kind."}


def test_samples_are_sent_after_a_question_only(call, run):
    """Without a terminal it is one line with the cost, and status 2."""
    refused = run("resend", "1", "--samples", "3")
    assert refused.exit_code == 2
    assert "resend would send 3 requests to gpt-4o-mini at http://127.0.0.1" in refused.stderr
    assert not call.requests
    result = run("resend", "1", "--samples", "3", "--yes", "--format", "json")
    document = json.loads(result.stdout)
    assert [answer["outputs"]["text"] for answer in document["answers"]] == ["You said: hello there"] * 3
    assert document["recorded"]["text"] == "You said: good evening"
    assert len(call.requests) == 3


def test_an_edited_conversation_is_sent(call, run, workspace, monkeypatch):
    """The editor of the environment gets the messages as a text."""
    editor = workspace / "editor"
    editor.write_text('#!/bin/sh\nsed -i "s/hello there/goodbye/" "$1"\n')
    editor.chmod(0o755)
    monkeypatch.setenv("VISUAL", "")
    monkeypatch.setenv("EDITOR", str(editor))
    result = run("resend", "1", "--edit", "--yes")
    assert result.exit_code == 0, result.output
    assert call.requests[0]["body"]["messages"][1] == {"role": "user", "content": "goodbye"}


def test_a_server_that_cannot_be_reached_is_one_line(call, run, monkeypatch):
    """With its address; it is no answer."""
    del call
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    result = run("resend", "1", "--yes")
    assert result.exit_code == 2
    assert "http://127.0.0.1:9/v1/chat/completions cannot be reached: " in result.stderr
    assert result.stdout == ""
