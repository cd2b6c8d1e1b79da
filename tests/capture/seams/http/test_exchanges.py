"""Exchanges as any transport tells them."""

from __future__ import annotations

import asyncio
import json

import pytest

from namel3ss_debug.capture.launch.start import shutdown_tracing
from namel3ss_debug.capture.seams.functions.requested_calls import ToolCalls
from namel3ss_debug.capture.seams.http.exchanges import Exchanges
from namel3ss_debug.replay.rerun.recorded_calls import flaws_of_chunk
from namel3ss_debug.traces.reader import open_trace
from namel3ss_debug.wire import Answer, canonical_hash, recognise

SECRET = "sk-proj-" + "k7Qz" * 12
STREAM = [("content-type", "text/event-stream")]


@pytest.fixture
def exchanges(tracer):
    """The exchanges of a running recording."""
    return Exchanges(tracer, ToolCalls(lambda _names: None, lambda _call, _result: None))


def ask(exchanges, **more):
    """A chat request that is about to leave."""
    body = {"model": "m", "messages": [{"role": "user", "content": "hello"}], **more}
    return exchanges.begin("POST", "http://h/v1/chat/completions", [], json.dumps(body).encode())


def event(text, **choice):
    """One event of a streamed answer."""
    data = {"model": "m", "choices": [{"index": 0, "delta": {"content": text}, **choice}]}
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


def recorded():
    """All events that were recorded."""
    return list(open_trace(shutdown_tracing()).events())


def test_a_stream_that_is_cut_anywhere_is_recorded_as_whole_events_without_secrets(exchanges):
    """Pieces of one byte: no character and no secret is torn apart, and the chunks are what arrived."""
    sent = event("naïve ") + event(f"key {SECRET} ") + event("end", finish_reason="stop") + b"data: [DONE]"
    exchange = ask(exchanges, stream=True)
    exchange.respond(200, STREAM)
    for place in range(len(sent)):
        exchange.receive(sent[place : place + 1])
    exchange.end()
    events = recorded()
    chunks = [e["outputs"]["text"] for e in events if e["event_type"] == "stream_chunk"]
    assert len(chunks) == 4
    assert "".join(chunks) == sent.decode().replace(SECRET, "[REDACTED:openai]")
    [end] = [e for e in events if e["event_type"] == "llm_call_end"]
    assert (end["status"], end["metadata"]["exchange"]["chunks"]) == ("completed", 4)


def test_a_secret_in_pieces_reaches_no_event_and_the_answer_is_marked(exchanges):
    """Nor does the one in the arguments of a tool that came whole; what is left says that it is not as it was."""
    sent = [event("key "), *(event(SECRET[at : at + 5]) for at in range(0, len(SECRET), 5)), event(" end")]
    exchange = ask(exchanges, stream=True)
    exchange.respond(200, STREAM)
    for piece in sent:
        exchange.receive(piece)
    exchange.end()
    call = {"id": "1", "function": {"name": "f", "arguments": json.dumps({"password": "pw", "n": 1})}}
    whole = {"model": "m", "choices": [{"index": 0, "message": {"content": None, "tool_calls": [call]}}]}
    exchange = ask(exchanges)
    exchange.respond(200, [("content-type", "application/json")])
    exchange.receive(json.dumps(whole).encode())
    exchange.end()
    events = recorded()
    chunks = [e for e in events if e["event_type"] == "stream_chunk"]
    assert len(chunks) == len(sent)
    assert [flaw.kind for e in chunks for flaw in flaws_of_chunk(e["outputs"])] == ["redacted"]
    assert "k7Qz" not in json.dumps(events)
    bodies = [
        e["metadata"]["exchange"]["body"]
        for e in events
        if "body" in e.get("metadata", {}).get("exchange", {})
    ]
    assert [flaw.kind for body in bodies for flaw in flaws_of_chunk(body)] == ["redacted"]
    assert '"pw' not in json.dumps(bodies)


def end_of_call(exchanges, headers=(), **body):
    """The end of a call that got this answer."""
    exchange = ask(exchanges)
    exchange.respond(200, [("content-type", "application/json"), *headers])
    whole = {"model": "m", "choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}], **body}
    exchange.receive(json.dumps(whole).encode())
    exchange.end()
    return next(e for e in recorded() if e["event_type"] == "llm_call_end")


def test_the_terms_of_a_call_are_recorded_where_they_are_others(exchanges):
    """Beside the usage, for they are no part of the answer."""
    headers = [
        ("X-Gemini-Service-Tier", "standard"),
        ("X-Amzn-Bedrock-PerformanceConfig-Latency", "optimized"),
    ]
    usage = {"prompt_tokens": 3, "completion_tokens": 2}
    end = end_of_call(exchanges, headers, usage=usage, service_tier="flex")
    assert end["billing"] == {"service_tier": "flex", "latency": "optimized"}
    assert "cost_estimate" not in end


def test_terms_are_recorded_where_no_payloads_are(tracing):
    """What was billed is not what was said: without it, the standard price would be claimed."""
    tracer = tracing(level="basic")
    exchanges = Exchanges(tracer, ToolCalls(lambda _names: None, lambda _call, _result: None))
    end = end_of_call(exchanges, usage={"prompt_tokens": 3, "completion_tokens": 2}, service_tier="flex")
    assert (end["billing"], end.get("outputs")) == ({"service_tier": "flex"}, None)


@pytest.mark.parametrize("size", [10, 200_000])
def test_the_level_basic_knows_model_usage_and_retries_of_a_long_request(tracing, size):
    """Of a long request only the outline is read, and an attempt is known by the bytes that it repeats."""
    tracer = tracing(level="basic")
    exchanges = Exchanges(tracer, ToolCalls(lambda _names: None, lambda _call, _result: None))
    for text, status in (("a", 500), ("a", 200), ("b", 200)):
        exchange = ask(exchanges, messages=[{"role": "user", "content": text + 'A"\\' * size}])
        exchange.respond(status, [("content-type", "application/json")])
        choice = {"message": {"content": "hi"}, "finish_reason": "stop"}
        exchange.receive(json.dumps({"usage": {"prompt_tokens": 3}, "choices": [choice]}).encode())
        exchange.end()
    events = recorded()
    starts = [e for e in events if e["event_type"] == "llm_call_start"]
    ends = [e for e in events if e["event_type"] == "llm_call_end"]
    assert [(e["component_name"], e.get("retry_count"), e.get("inputs")) for e in starts] == [
        ("m", None, None),
        ("m", 1, None),
        ("m", None, None),
    ]
    assert [(e["status"], e.get("usage")) for e in ends][1:] == [("completed", {"input_tokens": 3})] * 2


@pytest.mark.parametrize(
    ("headers", "usage", "cost"),
    [
        ([], {"cost": 0.25}, 0.25),
        ([("x-litellm-response-cost", "0.125")], {}, 0.125),
        ([("x-litellm-response-cost", "0.125")], {"cost": 0.25}, 0.25),
        ([("x-litellm-response-cost", "None")], {}, None),
    ],
)
def test_a_cost_that_the_server_tells_is_recorded(exchanges, headers, usage, cost):
    """By its usage, or by the header of a proxy; standard terms are not told."""
    told = {"prompt_tokens": 3, "completion_tokens": 2, **usage}
    end = end_of_call(exchanges, headers, usage=told, service_tier="default")
    assert end.get("cost_estimate") == cost
    assert end["usage"] == {"input_tokens": 3, "output_tokens": 2}
    assert "billing" not in end


def test_the_line_of_work_stands_as_it_is_whatever_else_is_secret(tracing):
    """It is made of names of code and numbers, and a re-run finds calls by it: a pattern of the user's takes nothing from it."""
    tracer = tracing(record_randomness=True, redact_patterns={"parcel": "parcel_[a-z]+"})
    exchanges = Exchanges(tracer, ToolCalls(lambda _names: None, lambda _call, _result: None))

    async def parcel_finder():
        exchanges.begin("GET", "http://h/parcel_house", [], None).end()

    asyncio.run(parcel_finder())
    [start] = [e for e in recorded() if e["event_type"] == "http_exchange_start"]
    assert start["metadata"]["lineage"].startswith("0~")
    assert start["metadata"]["lineage"].endswith("parcel_finder.1")
    assert "parcel_house" not in json.dumps(start)


def test_a_stream_that_is_only_shown_is_looked_through_as_well(exchanges):
    """Whoever it is from."""
    exchange = exchanges.begin("GET", "http://h/events", [], None)
    exchange.respond(200, STREAM)
    for at in range(0, len(SECRET), 5):
        exchange.receive(event(SECRET[at : at + 5]))
    exchange.end()
    assert "k7Qz" not in json.dumps(recorded())


@pytest.mark.parametrize(
    ("headers", "pieces", "status"),
    [
        ([("content-length", "4")], [b"body"], "completed"),
        ([("content-length", "5")], [b"body"], "partial"),
        ([], [b"body"], "partial"),
        ([("content-length", "5")], [], "partial"),
    ],
)
def test_a_response_that_is_closed_before_its_end_is_partial(exchanges, headers, pieces, status):
    """Closing ends the exchange; it is complete only where all that was promised has arrived."""
    exchange = exchanges.begin("GET", "http://h/x", [], None)
    exchange.respond(200, headers)
    for piece in pieces:
        exchange.receive(piece)
    exchange.close()
    exchange.receive(b"late")
    exchange.fail(RuntimeError())
    [end] = [e for e in recorded() if e["event_type"] == "http_exchange_end"]
    assert end["status"] == status


def test_a_stream_that_breaks_says_how(exchanges):
    """A timeout in mid-stream is a timeout, with what had arrived."""
    exchange = ask(exchanges, stream=True)
    exchange.respond(200, STREAM)
    exchange.receive(event("one "))
    exchange.fail(TimeoutError("too slow"))
    [end] = [e for e in recorded() if e["event_type"] == "llm_call_end"]
    assert (end["status"], end["error_type"], end["outputs"]["text"]) == ("timeout", "TimeoutError", "one ")


def test_of_a_body_that_is_only_shown_no_more_is_kept_than_can_be_shown(exchanges):
    """A download passes through: it is counted, and its memory is not held."""
    exchange = exchanges.begin("GET", "http://h/x", [], None)
    exchange.respond(200, [])
    for _ in range(64):
        exchange.receive(bytes(1 << 16))
    assert sum(map(len, exchange._chunks)) <= 1 << 20
    exchange.end()
    assert not exchange._chunks
    [end] = [e for e in recorded() if e["event_type"] == "http_exchange_end"]
    assert end["metadata"]["exchange"]["response_bytes"] == 1 << 22


def test_what_the_program_never_reads_is_partial_when_it_ends(exchanges, tracer):
    """Exchanges that are open at the end of the process are ended, in the order in which they began."""
    tracer.at_end.append(exchanges.abandon)
    for _ in range(3):
        ask(exchanges)
    events = recorded()
    started = [e["event_id"] for e in events if e["event_type"] == "llm_call_start"]
    ends = [e for e in events if e["event_type"] == "llm_call_end"]
    assert [e["parent_event_id"] for e in ends] == started
    assert {e["status"] for e in ends} == {"partial"}


def test_a_request_tells_its_hash_and_the_functions_it_came_through(exchanges):
    """The hash is that of what is asked, whatever the port of a local server."""

    def helper():
        return ask(exchanges)

    exchange = helper()
    exchange.respond(200, [])
    exchange.end()
    [start] = [e for e in recorded() if e["event_type"] == "llm_call_start"]
    body = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
    assert start["metadata"]["exchange"]["hash"] == canonical_hash(
        "POST", "http://h/v1/chat/completions", body
    )
    names = [name.rpartition(":")[2] for name in start["metadata"]["chain"]]
    own = "test_a_request_tells_its_hash_and_the_functions_it_came_through"
    assert names[-3:] == [own, f"{own}.<locals>.helper", "ask"]


@pytest.mark.parametrize("status", [0, 500])
def test_an_exception_is_told_apart_from_what_the_server_said(exchanges, status):
    """Whether no answer came or a failure was cut off: the type and the text that the program got."""
    exchange = ask(exchanges)
    if status:
        exchange.respond(status, [])
    exchange.fail(ConnectionResetError("gone"))
    [end] = [e for e in recorded() if e["event_type"] == "llm_call_end"]
    assert end["metadata"]["exchange"]["raised"] == {"type": "ConnectionResetError", "text": "gone"}


def answered(exchanges, body, headers=(("content-type", "application/json"),)):
    """The end of a plain request that was answered with this body."""
    exchange = exchanges.begin("GET", "http://h/x", [], None)
    exchange.respond(200, list(headers))
    exchange.receive(body)
    exchange.end()
    return [e for e in recorded() if e["event_type"] == "http_exchange_end"][-1]


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        (b'{"a":1}', False),
        (b'{"a": 1}', True),
        (b'{"a":1.0e3}', True),
        (b"[12345678901234567890123]", True),
        (b'"text"', True),
        (b"null", False),
        (b"plain text", False),
        (b"\xff\xfe", False),
        (b"", False),
    ],
)
def test_a_body_is_kept_as_it_was_where_its_json_would_be_written_otherwise(exchanges, body, kept):
    """What is shown of a body gives its bytes back; where it does not, they stand beside it."""
    end = answered(exchanges, body)
    assert end["metadata"]["exchange"].get("body") == ({"text": body.decode()} if kept else None)


def test_a_body_with_a_secret_under_a_name_is_not_kept_as_text(exchanges):
    """A text does not tell what is secret in it; the body is then only shown."""
    end = answered(exchanges, b'{"password": "hunter2"}')
    assert "body" not in end["metadata"]["exchange"]
    assert "hunter2" not in json.dumps(end)


def test_an_answer_that_tells_of_a_failure_has_failed_whatever_its_status(exchanges):
    """As OpenRouter answers with 200 where a provider fails; the next attempt counts as one."""
    for body in (
        {"error": {"message": "Provider returned error", "code": 429}},
        {"choices": [], "message": "ok"},
    ):
        exchange = ask(exchanges)
        exchange.respond(200, [("content-type", "application/json")])
        exchange.receive(json.dumps(body).encode())
        exchange.end()
    events = recorded()
    failed, again = [e for e in events if e["event_type"] == "llm_call_end"]
    assert (failed["status"], failed["error_type"], failed["error"]) == (
        "failed",
        "429",
        "Provider returned error",
    )
    assert again["status"] == "completed"
    assert [e.get("retry_count") for e in events if e["event_type"] == "llm_call_start"] == [None, 1]


def test_headers_that_a_program_may_look_at_are_kept_and_cookies_never(exchanges):
    """Request ids, limits and waits, and those of the providers."""
    names = [
        "x-ratelimit-reset",
        "openai-version",
        "anthropic-ratelimit-tokens-limit",
        "request-id",
        "retry-after",
    ]
    headers = [(name, "1") for name in names]
    end = answered(exchanges, b"x", [*headers, ("Set-Cookie", "s=1"), ("server", "x")])
    assert sorted(end["metadata"]["exchange"]["headers"]) == sorted(names)


def test_the_kind_of_a_failure_of_amazon_is_in_a_header(exchanges):
    """Its body has the message alone."""
    exchange = ask(exchanges)
    exchange.respond(400, [("x-amzn-ErrorType", "ValidationException:http://internal.amazon.com/")])
    exchange.receive(b'{"message": "bad input"}')
    exchange.end()
    [end] = [event for event in recorded() if event.get("status") == "failed"]
    assert (end["error_type"], end["error"]) == ("ValidationException", "bad input")


def test_an_exchange_tells_when_its_head_arrived(exchanges, tracer):
    """By the number of the next event then."""
    exchange = ask(exchanges)
    tracer.emit("before", component="app")
    exchange.respond(200, [])
    tracer.emit("after", component="app")
    exchange.end()
    events = recorded()
    [after] = [event["seq"] for event in events if event["event_type"] == "after"]
    assert events[-2]["metadata"]["exchange"]["head_seq"] == after


def test_an_unusual_reason_is_kept(exchanges):
    """What stands behind the status is in the recording where the number does not tell it."""
    for status, reason in ((404, "Not Found"), (404, "Nope"), (529, "Overloaded"), (200, None)):
        exchange = exchanges.begin("GET", "http://h/x", [], None)
        exchange.respond(status, [], reason)
        exchange.end()
    told = [
        e["metadata"]["exchange"].get("reason") for e in recorded() if e["event_type"] == "http_exchange_end"
    ]
    assert told == [None, "Nope", "Overloaded", None]


def test_a_batch_is_told_once_as_not_counted(tracing):
    """Its answers come another day, in a file."""
    tracer = tracing()
    exchanges = Exchanges(tracer, ToolCalls(lambda _names: None, lambda _call, _result: None))
    body = json.dumps({"input_file_id": "file-1", "endpoint": "/v1/responses"}).encode()
    for method in ("POST", "POST", "PUT"):
        exchanges.begin(method, "http://h/v1/batches", [("content-type", "application/json")], body).end()
    assert tracer.problems == {
        "a batch of model calls was requested, but its tokens and cost are not counted": 1
    }


def test_a_request_that_opens_a_websocket_is_told_once_and_not_recorded(exchanges, tracer):
    """Whatever library asks: what follows on its connection could not be answered from a recording."""
    upgrade = [("Connection", "Upgrade"), ("Upgrade", "WebSocket")]
    assert [exchanges.begin("GET", "http://h/chat", upgrade, None) for _ in range(2)] == [None, None]
    assert tracer.problems == {"a websocket was used, but it is not recorded": 1}
    assert exchanges.begin("GET", "http://h/chat", [("Upgrade", "h2c")], None) is not None
    shutdown_tracing()


def test_a_stream_that_says_its_end_is_whole_without_another_read(exchanges):
    """A program that stops at `[DONE]` has read all there is; one that stops earlier has not."""
    pieces = [b'data: {"text": "a"}\n\n', b"data: [DO", b"NE]\n", b"\n"]
    for read in (pieces, pieces[:1]):
        exchange = exchanges.begin("POST", "http://h/generate_stream", [], b'{"inputs": "p"}')
        exchange.respond(200, STREAM)
        for piece in read:
            exchange.receive(piece)
        exchange.close()
    ends = [event["status"] for event in recorded() if event["event_type"] == "http_exchange_end"]
    assert ends == ["completed", "partial"]


FORMATS = {
    "openai.chat": ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}]}),
    "openai.responses": ("/v1/responses", {"input": "hi"}),
    "anthropic.messages": (
        "/v1/messages",
        {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 9},
    ),
    "gemini.generate_content": (
        "/v1beta/models/m:streamGenerateContent",
        {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
    ),
    "ollama.chat": ("/api/chat", {"messages": [{"role": "user", "content": "hi"}]}),
    "cohere.chat": ("/v2/chat", {"messages": [{"role": "user", "content": "hi"}]}),
    "bedrock.converse": (
        "/model/m/converse-stream",
        {"messages": [{"role": "user", "content": [{"text": "hi"}]}]},
    ),
}
DECLARED = {
    "anthropic.messages": [{"name": "add", "input_schema": {"type": "object"}}],
    "openai.responses": [{"type": "function", "name": "add"}],
    "gemini.generate_content": [{"functionDeclarations": [{"name": "add"}]}],
}
FUNCTION = [{"type": "function", "function": {"name": "add"}}]


@pytest.mark.parametrize("name", FORMATS)
def test_a_call_is_known_before_the_stream_has_ended(exchanges, name):
    """A program may run a tool as soon as its call is complete; each call is there once, with its own arguments."""
    path, body = FORMATS[name]
    tools = {"tools": DECLARED.get(name, FUNCTION)}
    if name == "bedrock.converse":
        tools = {"toolConfig": {"tools": [{"toolSpec": {"name": "add"}}]}}
    body = {"model": "m", "stream": True, **body, **tools}
    spoken = recognise(path, body)
    assert spoken.name == name
    calls = [{"id": f"call_{n}", "name": "add", "arguments": {"a": n, "text": "x" * 50}} for n in (1, 2)]
    answer = Answer(text="I add.", tool_calls=calls, finish_reason="tool_calls")
    pieces = spoken.codec.encode_stream(answer, body, response_id="r", created=1)
    exchange = exchanges.begin("POST", f"http://h{path}", [], json.dumps(body).encode())
    exchange.respond(200, [("content-type", spoken.stream_type)])
    # Gemini sends the calls with the last event; the others have at least one event after them.
    last = [] if name == "gemini.generate_content" else [pieces.pop()]
    for piece in pieces:
        exchange.receive(piece)
    taken = [exchanges.calls.take("add", call["arguments"], None) for call in calls]
    assert [call and call.arguments for call in taken] == [call["arguments"] for call in calls]
    for piece in last:
        exchange.receive(piece)
    exchange.end()
    assert exchanges.calls.take("add", calls[0]["arguments"], None) is None
