"""Tests of recorded answers as a process is told them."""

from __future__ import annotations

import base64

import pytest

from namel3ss_debug.replay.rerun.delivery import recorded_reply
from namel3ss_debug.replay.rerun.recorded_calls import read_recorded
from namel3ss_debug.replay.rerun.requests import read_request


@pytest.fixture
def told(listed):
    """The word for the only boundary of some events, asked again as it was or as another event asks."""

    def word(made, again=None, **how):
        recorded = read_recorded(listed(made.events))
        (found,) = recorded.calls.values()
        request = read_request(99, again or made.events[0])
        return recorded_reply(recorded, found, request, **how)

    return word


@pytest.fixture
def made(boundary_events):
    """Events to add to."""
    return boundary_events()


def test_a_request_whose_connection_was_lost_tells_by_what(made, told):
    """A request to an MCP server that was only cancelled, because the way to the server failed."""
    connection = {"mcp": {"connection": "0"}}
    start = made.add("mcp_start", "mcp", component_name="initialize", metadata=connection)
    made.add("mcp_end", "mcp", start, status="cancelled", error_type="asyncio.exceptions.CancelledError")
    assert told(made) == {"given_up": True}
    failure = {"status": "failed", "error_type": "httpx.ConnectError", "error": "no", "metadata": connection}
    made.add("error_occurred", "mcp", **failure)
    assert told(made) == {"given_up": True, "raised": {"type": "httpx.ConnectError", "text": "no"}}


def test_a_response_is_told_with_its_bytes(made, told):
    """Status, reason, headers, the body decoded, and beside it how it was encoded."""
    made.say(made.ask("hello"), '{"a":1}')
    assert told(made) == {
        "http": {
            "status": 200,
            "reason": "OK",
            "headers": [["content-type", "application/json"], ["content-encoding", "gzip"]],
            "pieces": [base64.b64encode(b'{"a":1}').decode()],
            "encoding": "gzip",
        }
    }


def test_a_stream_is_told_in_its_pieces(made, told):
    """One for each event of the recording."""
    made.say(made.ask("hello", stream=True), "ab", pieces=("data: a\n\n", "data: b\n\n"))
    pieces = told(made)["http"]["pieces"]
    assert [base64.b64decode(piece) for piece in pieces] == [b"data: a\n\n", b"data: b\n\n"]


def test_an_answer_takes_its_time_where_it_is_to(made, told):
    """Before the head, before each piece and before the end; of a whole body before the head alone."""
    made.say(made.ask("hello", stream=True), "ab", pieces=("data: a\n\n", "data: b\n\n"))
    made.events[1]["timestamp"] = 103.5
    made.events[2]["timestamp"] = 103.75
    assert told(made, realtime=True)["http"]["delays"] == [2.5, 0.0, 0.25, 0.25]


def test_a_whole_body_takes_its_time_before_its_head(made, told):
    """The duration of the call."""
    made.say(made.ask("hello"), "{}", duration_ms=250.0)
    assert told(made, realtime=True)["http"]["delays"] == [0.25]


def test_the_answer_of_a_tool_takes_its_time_where_it_is_to(made, told):
    """The duration of the call; of one that was given up nothing, for it never ends."""
    start = made.add("tool_call_start", "tool", component_name="add", inputs={"arguments": {}})
    assert told(made, realtime=True) == {"given_up": True, "delay": 0.0}
    made.add("tool_call_end", "tool", start, outputs={"result": 3}, duration_ms=250.0)
    assert told(made) == {"answer": 3, "outputs": {"result": 3}, "recorded": True}
    assert told(made, realtime=True) == told(made) | {"delay": 0.25}


def test_a_stream_that_was_not_known_for_that_of_a_model_is_told_with_its_bytes(made, told):
    """It stands in the recording as another exchange, made before its format was known: what it says is not told there."""
    made.say(made.ask("hello", stream=True), "ab")
    asked, answered = made.events
    exchange = {"status": 200, "headers": {"content-type": "text/event-stream"}}
    asked |= {"event_type": "http_exchange_start", "component": "http"}
    inputs = asked.pop("inputs")
    answered |= {"event_type": "http_exchange_end", "component": "http", "metadata": {"exchange": exchange}}
    answered["outputs"] = {**exchange, "body": "data: a\n\n"}
    again = {**asked, "event_type": "llm_call_start", "component": "llm", "inputs": inputs}
    assert [base64.b64decode(piece) for piece in told(made, again)["http"]["pieces"]] == [b"data: a\n\n"]


def test_a_stream_that_was_none_is_written_anew(made, told):
    """By what the answer says, and marked as recorded."""
    made.say(made.ask("hello"), "hi")
    made.ask("hello", stream=True)
    again = made.events.pop()
    word = told(made, again)
    assert word["outputs"]["text"] == "hi"
    assert word["recorded"] is True
    assert "http" not in word


@pytest.mark.parametrize("end", [{"status": 429}, {"status": 200, "raised": {"type": "E", "text": ""}}])
def test_a_response_that_says_no_answer_is_given_as_it_came(made, told, end):
    """Of an answer that is not there, no stream can be made."""
    made.add("llm_call_end", "llm", made.ask("hello"), status="failed", metadata={"exchange": end})
    made.ask("hello", stream=True)
    again = made.events.pop()
    assert told(made, again)["http"]["status"] == end["status"]


def test_a_response_has_the_words_of_its_server_for_its_status(made, told):
    """Else those of the standard; none where that has none. What was not encoded is not told as encoded."""
    reasons = []
    for status, reason in ((404, "Nope"), (404, None), (299, None)):
        del made.events[:]
        exchange = {"status": status, "headers": {}, "reason": reason, "body": {"text": "x"}}
        made.add("llm_call_end", "llm", made.ask("hello"), metadata={"exchange": exchange})
        word = told(made)["http"]
        reasons.append(word["reason"])
        assert "encoding" not in word
    assert reasons == ["Nope", "Not Found", ""]


def test_an_exception_that_was_raised_before_anything_was_sent_says_so(made, told):
    """Whether a request was sent decides whether a client may try again."""
    for sent in (False, True):
        del made.events[:]
        raised = {"type": "E", "text": "", "sent": sent}
        made.add(
            "llm_call_end",
            "llm",
            made.ask("hello"),
            status="failed",
            metadata={"exchange": {"raised": raised}},
        )
        assert told(made)["http"]["raised"].get("sent", True) is sent


def test_an_exception_is_told_by_its_class_and_text(made, told):
    """Of a request that never got a head, and of a tool."""
    start = made.ask("hello")
    made.add(
        "llm_call_end",
        "llm",
        start,
        status="timeout",
        error_type="ReadTimeout",
        error="timed out",
        stack_trace="...",
        metadata={"exchange": {"raised": {"type": "httpx.ReadTimeout", "text": "timed out"}}},
    )
    word = told(made)["http"]
    assert (word["status"], word["pieces"]) == (0, [])
    assert word["raised"] == {"type": "httpx.ReadTimeout", "text": "timed out"}


def test_a_result_is_told_in_the_forms_of_the_recording(made, told):
    """The process makes the value of them."""
    form = {"$type": "set", "items": [1]}
    made.give(made.call("search", {}), "search", form)
    assert told(made) == {"answer": form, "outputs": {"result": form}, "recorded": True}


def test_a_tool_that_failed_is_told_by_its_exception(made, told):
    """With the class and the text."""
    made.add(
        "tool_call_end", "tool", made.call("search", {}), status="failed", error_type="KeyError", error="'x'"
    )
    assert told(made) == {"raised": {"type": "KeyError", "text": "'x'"}}


def test_what_the_program_gave_up_never_comes(made, told):
    """Of a request and of a tool."""
    made.add("tool_call_end", "tool", made.call("search", {}), status="cancelled")
    assert told(made) == {"given_up": True}
