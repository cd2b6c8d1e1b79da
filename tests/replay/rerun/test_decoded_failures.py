"""How a model call failed, by the exception that an instrumentation of another tool has kept of it."""

from __future__ import annotations

import base64

import orjson
import pytest

from namel3ss_debug.replay.rerun.decoded_failures import failure_reply, read_failure
from namel3ss_debug.wire import FORMATS

ANTHROPIC = (
    "Error code: 529 - {'type': 'error', 'error': {'type': 'overloaded_error', 'message': \"It's busy\"}}"
)
OPENAI = "Error code: 429 - {'error': {'message': 'No quota.', 'type': 'insufficient_quota', 'code': 'insufficient_quota'}}"
GOOGLE = "503 UNAVAILABLE. {'error': {'code': 503, 'message': 'Later.', 'status': 'UNAVAILABLE'}}"


def failed(kind, text):
    """Return the end of a call that failed."""
    return {"event_type": "llm_call_end", "status": "failed", "error_type": kind, "error": text}


@pytest.mark.parametrize(
    ("kind", "text", "status", "raised"),
    [
        ("anthropic.OverloadedError", ANTHROPIC, 529, None),
        (None, OPENAI, 429, None),
        ("openai.RateLimitError", "No quota.", 429, None),
        ("RateLimitError", "RateLimitError: " + OPENAI, 429, None),
        ("500", "", 500, None),
        ("google.genai.errors.ServerError", GOOGLE, 503, None),
        ("openai.APITimeoutError", "Request timed out.", 0, "timeout"),
        (None, "Request timed out.", 0, "timeout"),
        ("openai.APIConnectionError", "Connection error.", 0, "connection"),
    ],
)
def test_a_failure_is_read_from_the_exception_of_an_sdk(kind, text, status, raised):
    """By the status in its text, by its class, or by how its text begins."""
    effect = read_failure(failed(kind, text))
    assert effect is not None
    assert (effect.status, effect.raised) == (status, raised)


@pytest.mark.parametrize(
    ("kind", "text"), [("ValueError", "no such city"), (None, ""), ("client_timeout_error", "")]
)
def test_another_failure_is_not_guessed(kind, text):
    """What says nothing of a response is none."""
    assert read_failure(failed(kind, text)) is None
    assert read_failure({"event_type": "llm_call_end", "status": "completed"}) is None


@pytest.mark.parametrize(
    ("text", "wire_format", "error"),
    [
        (
            OPENAI,
            "openai.chat",
            {"message": "No quota.", "type": "insufficient_quota", "code": "insufficient_quota"},
        ),
        ("Error code: 400 - {'message': 'Too long.'}", "openai.chat", {"message": "Too long."}),
        (ANTHROPIC, "anthropic.messages", {"type": "overloaded_error", "message": "It's busy"}),
        (GOOGLE, "gemini", {"code": 503, "message": "Later.", "status": "UNAVAILABLE"}),
    ],
)
def test_the_response_has_the_body_that_the_sdk_printed(text, wire_format, error):
    """And no further attempt of the SDK is wanted: the trace has one span for all of them."""
    effect = read_failure(failed(None, text))
    reply = failure_reply(effect, FORMATS.get(wire_format))["http"]
    assert orjson.loads(base64.b64decode(reply["pieces"][0]))["error"] == error
    assert ("x-should-retry", "false") in reply["headers"]


def test_a_text_without_a_body_becomes_the_message_of_the_provider():
    """OpenAI's SDK prints a body of text alone as that text."""
    effect = read_failure(failed("openai.BadRequestError", "Error code: 400 - Too long."))
    reply = failure_reply(effect, FORMATS["openai.chat"])["http"]
    assert (reply["status"], reply["reason"]) == (400, "Bad Request")
    assert orjson.loads(base64.b64decode(reply["pieces"][0]))["error"]["message"] == "Too long."


def test_a_timeout_has_no_response():
    """The HTTP client of the program raises its own exception."""
    effect = read_failure(failed("openai.APITimeoutError", "Request timed out."))
    assert failure_reply(effect, None) == {
        "http": {"status": 0, "raised": {"type": "timeout", "text": "Request timed out."}}
    }
