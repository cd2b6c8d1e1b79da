"""Tests of what a recording holds of answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.replay.rerun.delivery import recorded_reply
from namel3ss_debug.replay.rerun.divergences import request_inputs
from namel3ss_debug.replay.rerun.preparation import check_trace
from namel3ss_debug.replay.rerun.recorded_calls import (
    END,
    START,
    Raised,
    ReplayFlaw,
    Step,
    outputs_of,
    raised_by,
    read_recorded,
    tool_answer,
)
from namel3ss_debug.replay.rerun.requests import TaskKey
from namel3ss_debug.traces.decoding import normalise
from namel3ss_debug.traces.reader import open_trace
from namel3ss_debug.wire import FORMATS, event_stream

SUPPORT_AGENT = "tests/data/recordings/support_agent.jsonl"


def test_the_bodies_of_a_real_recording_say_what_it_says():
    """Each recorded body, decoded again, gives the answer that its end event tells; failures keep status and body."""
    trace = open_trace(SUPPORT_AGENT)
    recorded = read_recorded(trace)
    models = [
        recorded_call for recorded_call in recorded.calls.values() if recorded_call.request.kind == "llm"
    ]
    assert {recorded.http_answer(recorded_call.number).status for recorded_call in models} == {200, 429}
    for recorded_call in models:
        answer, end = recorded.http_answer(recorded_call.number), trace.event(recorded_call.end)
        wire_format = FORMATS[trace.event(recorded_call.number)["metadata"]["format"]]
        body = b"".join(answer.chunks)
        assert len(body) == end["metadata"]["exchange"]["response_bytes"]
        assert (answer.raised, answer.abandoned, answer.whole) == (None, False, True)
        assert bool(recorded_call.chunks) == recorded_call.request.streamed
        assert len(answer.chunks) == (len(recorded_call.chunks) or 1)
        if answer.status == 200:
            outputs = wire_format.codec.decode_response(wire_format.join_stream(body)).to_outputs()
            assert outputs == end["outputs"]


@pytest.mark.parametrize("between", [0, 1, 50])
def test_the_chunks_of_a_stream_come_back_in_their_order(listed, boundary_events, between):
    """However many other events lie between them; text as its bytes, and what is no text as it was."""
    made = boundary_events()
    start = made.ask("Plan.", stream=True)
    pieces = [
        {"text": "data: grün\n\n"},
        {"data": {"$type": "bytes", "base64": "/wA="}},
        {"text": "data: 2\n\n"},
    ]
    for piece in pieces:
        for _ in range(between):
            made.add("log_record", "log")
        made.add("stream_chunk", "llm", start, outputs=piece)
    made.say(start, "", metadata={"exchange": {"status": 200, "chunks": 3}})
    answer = read_recorded(listed(made.events)).http_answer(1)
    assert answer.chunks == ("data: grün\n\n".encode(), b"\xff\0", b"data: 2\n\n")


def test_the_tools_of_a_real_recording_have_their_results():
    """The value that the program got, without flaws."""
    trace = open_trace(SUPPORT_AGENT)
    recorded = read_recorded(trace)
    tools = [
        recorded_call for recorded_call in recorded.calls.values() if recorded_call.request.kind == "tool"
    ]
    assert tools
    for recorded_call in tools:
        answer, end = tool_answer(recorded.end(recorded_call.number)), trace.event(recorded_call.end)
        assert (answer.value, answer.flaws) == (end.get("outputs", {}).get("result"), ())


def test_the_encoding_of_a_body_is_kept_beside_its_headers(listed, boundary_events):
    """A body is recorded decoded, and the seam encodes it again, as the headers say."""
    made = boundary_events()
    made.say(made.ask("Plan."), "Rome")
    answer = read_recorded(listed(made.events)).http_answer(1)
    assert answer.headers == (("content-type", "application/json"), ("content-encoding", "gzip"))
    assert (answer.chunks, answer.encoding) == ((b"Rome",), "gzip")


def exchange(made, end, **fields):
    """A request that is no model's, and its end."""
    start = made.add(
        "http_exchange_start",
        "http",
        component_name="api",
        inputs={"method": "GET", "url": "http://api/a?q=1", "headers": {}, "body": None},
        metadata={"chain": [], "exchange": {"method": "GET", "url": "http://api/a?q=1"}},
    )
    made.add("http_exchange_end", "http", start, **({"metadata": {"exchange": end}} | fields))


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        ({"a": [1, {"$type": "Order"}]}, b'{"a":[1,{"$type":"Order"}]}'),
        ("grüße", "grüße".encode()),
        ({"$type": "bytes", "base64": "/wA="}, b"\xff\0"),
    ],
)
def test_a_body_that_is_shown_for_people_is_bytes_again(listed, boundary_events, body, sent):
    """JSON, text and bytes; JSON may be spaced otherwise than it was."""
    made = boundary_events()
    exchange(made, {"status": 200}, outputs={"status": 200, "headers": {}, "body": body})
    recorded = read_recorded(listed(made.events))
    assert recorded.http_answer(1).chunks == (sent,)
    assert recorded.flaws == ()


def test_a_raw_body_goes_before_the_one_that_is_shown(listed, boundary_events):
    """Where the recording holds the bytes, these are given."""
    made = boundary_events()
    exchange(made, {"status": 200, "body": {"text": "{ }"}}, outputs={"body": {}})
    assert read_recorded(listed(made.events)).http_answer(1).chunks == (b"{ }",)


@pytest.mark.parametrize(
    ("exchange_end", "fields", "raised"),
    [
        ({}, {"error_type": "httpx.ConnectError", "error": "refused"}, Raised("httpx.ConnectError", "refused")),
        ({}, {"status": "timeout", "error_type": "TimeoutError", "error": "late"}, Raised("TimeoutError", "late")),
        ({"status": 200, "raised": {"type": "httpx.ReadError", "text": "cut"}}, {"error_type": "other"}, Raised("httpx.ReadError", "cut")),
        ({"status": 200}, {"error_type": "httpx.ReadError", "error": "cut", "stack_trace": "..."}, Raised("httpx.ReadError", "cut")),
        ({}, {"status": "cancelled", "error_type": "KeyboardInterrupt", "error": ""}, Raised("KeyboardInterrupt", "")),
        ({"status": 500}, {"error_type": "server_error", "error": "no"}, None),
        ({"status": 200}, {"error_type": "overloaded_error", "error": "in the stream"}, None),
    ],
)  # fmt: skip
def test_an_exception_is_told_from_a_failure_that_was_answered(
    listed, boundary_events, exchange_end, fields, raised
):
    """What the program got as an exception comes back as one, a response with a failure as a response."""
    made = boundary_events()
    exchange(made, exchange_end, **({"status": "failed"} | fields))
    answer = read_recorded(listed(made.events)).http_answer(1)
    assert (answer.raised, answer.whole) == (raised, raised is None)


@pytest.mark.parametrize(
    ("fields", "raised"),
    [
        ({"error_type": "tool_error", "outputs": {"result": {"content": []}}}, False),
        ({"error_type": "McpError", "outputs": {"error": {"code": -32602, "message": "no"}}}, False),
        ({"error_type": "ToolError", "outputs": {"result": {"content": []}}}, True),
        ({"error_type": "tool_error", "outputs": {}}, True),
        ({"error_type": "McpError", "outputs": {"error": {"message": "no"}}}, True),
    ],
)
def test_a_failure_that_a_server_of_tools_told_is_no_exception(fields, raised):
    """It is a result that says so, or an error of the protocol with its code."""
    found, abandoned = raised_by({"status": "failed", "error": "no"} | fields, is_http=False)
    assert (found, abandoned) == (Raised(fields["error_type"], "no") if raised else None, False)


def test_a_binary_stream_comes_back_as_its_messages(listed, boundary_events):
    """With the words of the server for its status."""
    made = boundary_events()
    messages = [{"headers": {":event-type": "chunk"}, "text": "{}"}]
    exchange(made, {"status": 200, "reason": "Fine", "body": {"messages": messages}}, outputs={"body": "{}"})
    answer = read_recorded(listed(made.events)).http_answer(1)
    assert (answer.chunks, answer.reason) == ((event_stream.from_json(messages),), "Fine")


@pytest.mark.parametrize("form", ["text", "messages"])
def test_a_body_with_a_secret_in_it_is_not_given_as_it_was(listed, boundary_events, form):
    """Whatever it is recorded as; of a stream, each chunk is looked at."""
    left_out = "data: [REDACTED:key]" if form == "text" else [{"text": "[REDACTED:key]"}]
    made = boundary_events()
    exchange(made, {"status": 200, "body": {form: left_out}})
    start = made.ask("Plan.", stream=True)
    made.add("stream_chunk", "llm", start, outputs={form: left_out}, metadata={"index": 0})
    made.add("llm_call_end", "llm", start, metadata={"exchange": {"status": 200, "chunks": 1}})
    flaws = read_recorded(listed(made.events)).flaws
    assert [noted[:2] for noted in flaws] == [("redacted", 1), ("redacted", 3)]


def test_the_longest_silence_is_between_two_events_of_the_program(listed):
    """What a program may do while it hangs does not end a silence, and an event without a time tells nothing."""
    times = [
        ("agent_message", 1.0),
        ("agent_message", 2.5),
        ("inputs_read", 4.0),
        ("log_record", 4.0),
        ("resource_sample", 5.0),
        ("agent_message", None),
        ("agent_message", 6.0),
    ]
    events = [{"event_type": kind, "event_id": "1", "timestamp": time} for kind, time in times]
    assert read_recorded(listed(events)).longest_silence() == 3.5
    assert read_recorded(listed(events[:1])).longest_silence() == 0.0


def test_what_the_program_gave_up_is_told(listed, boundary_events):
    """A cancelled request, one that never ended, and a stream that was not read to its end."""
    made = boundary_events()
    exchange(made, {"status": 200}, status="cancelled", error_type="asyncio.CancelledError", error="")
    exchange(made, {"status": 200}, status="partial")
    made.ask("Plan.")
    recorded = read_recorded(listed(made.events))
    answers = [recorded.http_answer(number) for number in (1, 3, 5)]
    assert [(answer.abandoned, answer.whole, answer.raised) for answer in answers] == [
        (True, False, None),
        (False, False, None),
        (True, False, None),
    ]
    assert [noted[:3] for noted in recorded.flaws] == [("open", 5, "m")]


def test_what_was_cancelled_because_the_program_was_interrupted_has_never_ended(listed, boundary_events):
    """Nobody would cancel it again; what was cancelled before the latest question was by the program."""
    made = boundary_events()
    for _ in range(2):
        exchange(made, {"status": 200}, status="cancelled", error_type="asyncio.CancelledError", error="")
    ending = {"component_name": None, "status": "cancelled", "error_type": "KeyboardInterrupt", "error": ""}
    made.add("error_occurred", "app", **ending)
    recorded = read_recorded(listed(made.events))
    assert [recorded_call.end for recorded_call in recorded.calls.values()] == [2, 0]
    assert [noted[:2] for noted in recorded.flaws] == [("open", 3)]


@pytest.mark.parametrize(
    ("component", "error_type", "end"),
    [
        ("app", "ValueError", {"status": "cancelled", "error_type": "asyncio.CancelledError"}),
        ("tool", "KeyboardInterrupt", {"status": "cancelled", "error_type": "asyncio.CancelledError"}),
        ("app", "KeyboardInterrupt", {"status": "cancelled", "error_type": "KeyboardInterrupt"}),
        ("app", "KeyboardInterrupt", {"status": "completed"}),
    ],
)
def test_what_ctrl_c_has_not_cancelled_has_ended(listed, boundary_events, component, error_type, end):
    """The program cancels it again; what was interrupted itself is an exception, and what was answered is answered."""
    made = boundary_events()
    exchange(made, {"status": 200}, **end)
    made.add("error_occurred", component, error_type=error_type)
    assert read_recorded(listed(made.events)).calls[1].end == 2


def test_only_what_was_given_up_is_lost_with_its_connection(listed, boundary_events):
    """A question to a server of tools that was answered before is answered, and so is one to another server."""
    made = boundary_events()
    for number, status in (("0", "completed"), ("0", "cancelled"), ("1", "cancelled")):
        connection = {"mcp": {"connection": number}}
        start = made.add("mcp_start", "mcp", component_name="ping", metadata=connection)
        made.add("mcp_end", "mcp", start, status=status, metadata=connection)
    exchange(made, {}, status="cancelled")
    made.add("error_occurred", "mcp", error_type="httpx.ConnectError", metadata={"mcp": {"connection": "0"}})
    recorded = read_recorded(listed(made.events))
    assert [bool(recorded.lost_by(number)) for number in (1, 3, 5, 7)] == [False, True, False, False]


@pytest.mark.parametrize(
    ("settings", "setting"), [({}, "redact"), ({"redact": True}, "redact"), ({"redact": False}, "")]
)
def test_a_setting_that_was_in_force_is_not_proposed(listed, boundary_events, settings, setting):
    """It has not sufficed."""
    made = boundary_events()
    made.add("trace_start", "app", metadata={"settings": settings})
    made.give(made.call("key", {}), "key", "[REDACTED:key]")
    (noted,) = read_recorded(listed(made.events)).flaws
    assert (noted.kind, noted.setting) == ("redacted", setting)


def test_what_a_server_of_tools_asks_is_inside_its_connection(listed, boundary_events):
    """Its processes come when the connection is there already; what is asked behind another question, or a tool, is not inside it."""
    made = boundary_events()
    connected = made.add("mcp_start", "mcp", component_name="connect", metadata={"mcp": {}})
    made.add("mcp_end", "mcp", connected, status="completed")
    listing = made.add(
        "mcp_start", "mcp", component_name="tools/list", metadata={"mcp": {"connection": connected}}
    )
    made.add("mcp_end", "mcp", listing, status="completed")
    tool = made.call("search", {})
    made.give(tool, "search", 7)
    child = made.add("trace_start", "app", connected)
    inside = [
        made.ask("x", parent=parent) and len(made.events) for parent in (connected, child, listing, tool)
    ]
    calls = read_recorded(listed(made.events)).calls
    assert [calls[number].inside for number in inside] == [1, 1, 0, 0]


def test_findings_stand_in_the_order_of_their_calls(listed, boundary_events):
    """A call that never ended among them, where it began."""
    made = boundary_events()
    made.call("open", {})
    made.give(made.call("key", {}), "key", "[REDACTED:key]")
    flaws = read_recorded(listed(made.events)).flaws
    assert [noted[:2] for noted in flaws] == [("open", 1), ("redacted", 2)]


@pytest.mark.parametrize(
    ("settings", "kinds"),
    [
        ({"max_payload_size": 9}, [("inputs", "1")]),
        ({"max_payload_size": 0}, []),
        ({"default_components": ["llm", "http", "tool", "agent"]}, []),
        ({"default_components": []}, []),
        ({"default_components": ["llm"]}, [("filtered", "http tool")]),
    ],
)
def test_what_the_settings_kept_out_of_a_recording_is_told(listed, boundary_events, settings, kinds):
    """Inputs of calls that were cut, not of other events; and components that were left out."""
    made, cut = boundary_events(), {"arguments": {"$truncated": "x"}}
    made.add("trace_start", "app", metadata={"settings": settings})
    made.add("chain_step_start", "chain", inputs=cut)
    made.give(made.call("search", {}, inputs=cut), "search", 7)
    assert [(found.kind, found.what) for found in read_recorded(listed(made.events)).flaws] == kinds


def test_the_result_of_a_tool_is_a_python_value_again(listed, boundary_events):
    """Or the exception it raised; where the value is none that can come back, the place and the type are told."""
    made = boundary_events()
    made.give(
        made.call("when", {}), "when", {"$type": "tuple", "items": [{"$type": "date", "value": "2026-11-21"}]}
    )
    made.give(
        made.call("fail", {}), "fail", None, outputs={}, status="failed", error_type="KeyError", error="'a'"
    )
    made.give(made.call("own", {}), "own", [{"$type": "shop.Order", "fields": {}}])
    made.give(made.call("told", {}), "told", "a", metadata={"inexact": ["$: uuid.UUID"]})
    recorded = read_recorded(listed(made.events))
    assert tool_answer(recorded.end(1)).value[0].isoformat() == "2026-11-21"
    assert tool_answer(recorded.end(3)).raised == Raised("KeyError", "'a'")
    assert outputs_of(recorded.end(3)) == {"error_type": "KeyError", "error": "'a'"}
    assert [flaw.what for flaw in tool_answer(recorded.end(5)).flaws] == ["shop.Order"]
    assert [noted[:2] for noted in recorded.flaws] == [("opaque", 5), ("opaque", 7)]
    assert recorded.flaws_of(7) == recorded.flaws[1:]


def test_tools_that_only_their_results_told_of_are_named_once(listed, boundary_events):
    """Their functions run again. What a framework told of may be a library's own, and is not named."""
    made = boundary_events()
    for name, metadata in (("a", {}), ("b", {"framework": "loom"}), ("a", {}), ("c", {})):
        made.give(made.call(name, {}, metadata={"seen": False, **metadata}), name, "x")
    recorded = read_recorded(listed(made.events))
    assert recorded.flaws == (ReplayFlaw("unseen", 0, "a, c"),)
    (note,) = check_trace(Path("t.jsonl"), recorded)
    assert note.startswith("a, c: the program has no function of this name")


def test_calls_that_were_made_at_once_in_one_strand_are_known(listed, boundary_events):
    """Not those one after the other or within a tool, nor a stream, which may be read later."""
    made = boundary_events()
    made.say(made.ask("one"), "one")
    tool = made.call("search", {})
    made.say(made.ask("two", parent=tool), "two")
    made.give(tool, "search", 1)
    stream = made.ask("three", stream=True)
    made.say(made.ask("four"), "four")
    made.say(stream, "three", pieces=("th", "ree"))
    assert read_recorded(listed(made.events)).concurrent_tasks == frozenset()
    one, two = made.ask("five"), made.ask("six")
    made.say(two, "six")
    made.say(one, "five")
    assert len(read_recorded(listed(made.events)).concurrent_tasks) == 1


def test_tools_that_only_spans_of_a_framework_tell_of_are_told(listed, boundary_events):
    """What is behind them runs again; an agent as a tool, and a hand-over, are none of the program's functions."""
    made = boundary_events()
    calls = [
        made.call(name, {}, metadata={"framework": "loom", "seen": False, "scope": "loom"})
        for name in ("a", "b", "c", "a")
    ]
    inner = made.add("chain_execution_start", "chain", calls[1])
    made.add("agent_execution_start", "agent", inner)
    made.add("agent_message", "agent", calls[2])
    made.add("agent_execution_start", "agent")
    recorded = read_recorded(listed(made.events))
    assert recorded.flaws[0] == ReplayFlaw("spans", 0, "a")
    note, *_ = check_trace(Path("t.jsonl"), recorded)
    assert note.startswith("a: only the framework reports such calls, so the code behind them runs again")


def test_what_an_exception_of_a_tool_held_is_looked_at_as_a_result_is(listed, boundary_events):
    """What is no plain data, cut or redacted in it is a flaw of the answer; what a library's goes without is none."""
    made = boundary_events()
    held = [
        {"args": ["a", {"$type": "tuple", "items": []}], "attributes": {"code": 4}},
        {"attributes": {"order": {"$type": "shop.Order", "fields": {}}}},
        {"args": [1], "inexact": ["shop.Colour"]},
        {"attributes": {"page": {"$truncated": "x", "length": 9}}},
        {"attributes": {"code": 4}, "lost": ["response"]},
    ]
    for state in held:
        fields = {
            "status": "failed",
            "error_type": "shop.Refused",
            "error": "no",
            "metadata": {"raised": state},
        }
        made.give(made.call("pay", {}), "pay", None, outputs={}, **fields)
    found = read_recorded(listed(made.events)).flaws
    assert [(noted.kind, noted.number, noted.what) for noted in found] == [
        ("opaque", 3, "$.order: shop.Order"),
        ("opaque", 5, "$: shop.Colour"),
        ("cut", 7, "$.page: $truncated"),
    ]


def test_an_exception_that_told_a_framework_how_to_go_on_is_raised_again(listed, boundary_events):
    """Its call has not failed, so what was raised stands beside what it held."""
    made = boundary_events()
    state = {
        "type": "langgraph.errors.GraphInterrupt",
        "text": "(?)",
        "args": [{"$type": "langgraph.types.Interrupt", "fields": {"value": 5}, "made": "object"}],
    }
    made.give(made.call("pay", {}), "pay", None, outputs={}, status="pending", metadata={"raised": state})
    recorded = read_recorded(listed(made.events))
    answer = tool_answer(recorded.end(1))
    assert (answer.raised, answer.flaws) == (Raised("langgraph.errors.GraphInterrupt", "(?)"), ())
    assert recorded_reply(recorded, recorded.calls[1], recorded.calls[1].request) == {
        "raised": {"type": "langgraph.errors.GraphInterrupt", "text": "(?)", "state": state}
    }


def test_what_cannot_be_given_again_names_the_setting_that_would_keep_it(listed, boundary_events):
    """A cut body, a cut chunk, a redacted result; each once, in the order of the recording."""
    made = boundary_events()
    made.say(made.ask("a"), {"$truncated": "Ro", "length": 4})
    made.say(made.ask("b"), "", pieces=[{"$truncated": "Ro", "length": 4}, {"$truncated": "Ro", "length": 4}])
    made.give(made.call("key", {}), "key", ["[REDACTED:key]", "[REDACTED:key]"])
    recorded = read_recorded(listed(made.events))
    assert [(noted.kind, noted.number, noted.setting) for noted in recorded.flaws] == [
        ("cut", 1, "max_payload_size"),
        ("cut", 3, "max_payload_size"),
        ("redacted", 7, "redact"),
    ]


def test_a_recording_without_payloads_says_so(listed, boundary_events):
    """Level `basic`, components that were not recorded, and events that are gone, each with its setting."""
    made = boundary_events()
    settings = {"level": "basic", "default_components": ["llm", "agent"]}
    made.add("trace_start", "app", metadata={"settings": settings})
    recording = listed(made.events)
    recording.lost, recording.rotated_away = 5, 3
    assert [tuple(noted) for noted in read_recorded(recording).flaws] == [
        ("level", 0, "basic", "level"),
        ("filtered", 0, "http tool", "default_components"),
        ("rotated", 0, "3", "rotate_keep"),
        ("lost", 0, "2", ""),
    ]


def test_a_missing_segment_is_told(written, tmp_path, boundary_events):
    """What is there is read, and how many events are not is told."""
    made = boundary_events()
    for number in range(4):
        made.say(made.ask(f"q{number}"), "a")
    recording = written(made.events[:2] + made.events[5:])
    recorded = read_recorded(recording)
    assert [noted for noted in recorded.flaws if noted.kind == "lost"] == [("lost", 0, "3", "")]
    assert list(recorded.calls) == [1, 4]


def test_where_something_was_asked_is_told(listed, boundary_events):
    """Process, thread and task; the line of work of a recording that names these goes before the thread."""
    made = boundary_events()
    made.ask("a", thread="worker", task="Task-2")
    made.events[-1]["event_id"] = "p3.7"
    made.ask("b", thread="ThreadPoolExecutor-0_1")
    made.events[-1]["metadata"]["lineage"] = "0:3"
    made.ask("c")
    calls = read_recorded(listed(made.events)).calls
    assert [recorded_call.request.task_key for recorded_call in calls.values()] == [
        TaskKey(3, "worker", "Task-2"),
        TaskKey(0, "0:3", ""),
        TaskKey(),
    ]


def test_a_comprehension_is_no_function(listed, boundary_events):
    """Before Python 3.12 it stands in the call chain, since then it does not."""
    made = boundary_events()
    made.ask("a", chain=["app.py:main", "app.py:main.<locals>.<listcomp>", "app.py:ask"])
    (recorded_call,) = read_recorded(listed(made.events)).calls.values()
    assert recorded_call.request.chain == ("app.py:main", "app.py:ask")


def test_what_was_only_seen_and_what_has_no_request_is_no_boundary(listed, boundary_events):
    """A tool of which only the result came by, and spans that a program records by itself."""
    made = boundary_events()
    made.add("tool_call_start", "tool", component_name="search", metadata={"seen": False})
    made.add("tool_call_start", "tool", component_name="search", inputs={"query": "a"})
    made.add("llm_call_start", "llm", component_name="m", inputs={"prompt": "a"})
    made.add("agent_execution_start", "agent", component_name="A")
    assert read_recorded(listed(made.events)).calls == {}


def test_the_steps_of_calls_are_in_recorded_order(listed, boundary_events):
    """Starts and ends only: the pieces of a stream have no order to keep."""
    made = boundary_events()
    first, second = made.ask("a", stream=True), made.ask("b")
    made.add("stream_chunk", "llm", first, outputs={"text": "1"})
    made.say(second, "b")
    made.add("stream_chunk", "llm", first, outputs={"text": "2"})
    made.say(first, "")
    assert read_recorded(listed(made.events)).steps == (
        Step(1, START),
        Step(2, START),
        Step(2, END),
        Step(1, END),
    )


@pytest.mark.parametrize("instead", [True, False])
def test_a_call_that_is_open_while_another_task_handles_a_timeout_was_outwaited(
    listed, boundary_events, instead
):
    """Or while that task makes another call instead; the exception is recorded after it. Its own call was not."""
    made = boundary_events()
    made.say(made.ask("before", thread="pool_0"), "before")
    slow = made.ask("slow", thread="pool_0")
    if instead:
        made.say(made.ask("instead"), "instead")
        made.say(slow, "slow")
    made.add("exception_handled", "app", error_type="TimeoutError")
    made.say(made.ask("later"), "later")
    assert read_recorded(listed(made.events)).outwaited == {3}


def test_a_call_that_itself_timed_out_outwaits_no_other(listed, boundary_events):
    """Its error is the answer that the program got."""
    made = boundary_events()
    made.ask("slow", thread="pool_0")
    made.say(made.ask("b"), None, status="timeout", error_type="TimeoutError", error="late")
    assert read_recorded(listed(made.events)).outwaited == set()


def test_boundaries_inside_a_tool_are_known(listed, boundary_events):
    """At any depth, also through spans that are no boundaries."""
    made = boundary_events()
    outer = made.call("outer", {})
    chain = made.add("chain_execution_start", "chain", outer)
    inner = made.call("inner", {}, parent=chain)
    made.say(made.ask("a", parent=inner), "a")
    made.give(inner, "inner", 1)
    made.give(outer, "outer", 1)
    made.ask("b", parent=chain)
    recorded = read_recorded(listed(made.events))
    assert [recorded.calls[number].inside for number in (1, 3, 4, 8)] == [0, 1, 3, 1]
    assert sorted(recorded.within(1)) == [3, 4, 8]


def test_a_child_process_that_ends_does_not_end_the_tool_that_started_it(listed, boundary_events):
    """Its `trace_end` stands inside the tool, whose result comes later."""
    made = boundary_events()
    tool = made.call("fetch", {})
    child = made.add("trace_start", "app", tool)
    made.say(made.ask("a", parent=tool), "a")
    made.add("trace_end", "app", tool)
    inner = made.ask("b", parent=child)
    made.give(tool, "fetch", "fetched")
    recorded = read_recorded(listed(made.events))
    assert tool_answer(recorded.end(1)).value == "fetched"
    assert recorded.calls[int(inner)].inside == 1


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
FIELDS = [
    "inputs",
    "outputs",
    "metadata",
    "seq",
    "call_site",
    "component_name",
    "thread",
    "status",
    "error_type",
    "parent_event_id",
]


@given(st.data())
def test_a_damaged_recording_is_read_as_far_as_it_goes(listed, boundary_events, data):
    """Whatever stands in the fields of its events, nothing raises."""
    made = boundary_events()
    made.say(made.ask("a"), "a", pieces=["1", "2"])
    made.give(made.call("search", {"q": 1}, "call_1"), "search", [1])
    exchange(made, {"status": 200}, outputs={"body": {"a": 1}})
    events = json.loads(json.dumps(made.events))
    for _ in range(data.draw(st.integers(1, 4))):
        event = data.draw(st.sampled_from(events))
        place = data.draw(st.sampled_from(FIELDS))
        inner = event.get(place)
        if isinstance(inner, dict) and inner and data.draw(st.booleans()):
            event, place = inner, data.draw(st.sampled_from(sorted(inner)))
        event[place] = data.draw(JUNK)
    for event in events:
        normalise(event)
    recorded = read_recorded(listed(events))
    for number, recorded_call in recorded.calls.items():
        request_inputs(recorded.start(number))
        outputs_of(recorded.end(number))
        if recorded_call.request.kind == "tool":
            tool_answer(recorded.end(number))
        else:
            recorded.http_answer(number)
