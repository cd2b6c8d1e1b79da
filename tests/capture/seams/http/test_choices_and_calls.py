"""Tests of answers as servers really send them: several choices, and tool calls whose index and id say little."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from namel3ss_debug.capture.launch.start import shutdown_tracing
from namel3ss_debug.traces.reader import open_trace

openai = pytest.importorskip("openai")


def piece(index, call_id=None, name=None, arguments=None):
    """A piece of a tool call in a stream."""
    function = {"name": name, "arguments": arguments}
    found = {"index": index, "id": call_id, "function": {k: v for k, v in function.items() if v is not None}}
    return {key: value for key, value in found.items() if value is not None}


ADD, MULTIPLY = '{"a": 1, "b": 2}', '{"a": 3, "b": 4}'
STREAMS = {
    "the index counts the pieces": [
        piece(0, "c1", "add", ""),
        piece(1, arguments='{"a": 1,'),
        piece(2, arguments=' "b": 2}'),
        piece(3, "c2", "multiply", ""),
        piece(4, arguments=MULTIPLY),
    ],
    "the index counts the pieces, and there is no id": [
        piece(0, name="add", arguments=""),
        piece(1, arguments=ADD),
        piece(2, name="multiply", arguments=""),
        piece(3, arguments=MULTIPLY),
    ],
    "no id": [piece(0, name="add", arguments=ADD), piece(1, name="multiply", arguments=MULTIPLY)],
    "one index and no id": [
        piece(0, name="add", arguments=ADD),
        piece(0, name="multiply", arguments=MULTIPLY),
    ],
    "one id": [piece(0, "c", "add", ADD), piece(1, "c", "multiply", MULTIPLY)],
    "one id and one index": [piece(0, "c", "add", ADD), piece(0, "c", "multiply", MULTIPLY)],
    "the name is repeated": [
        piece(0, "c1", "add", '{"a": 1,'),
        piece(0, "c1", "add", ' "b": 2}'),
        piece(0, "c1", "add", ""),
        piece(1, "c2", "multiply", MULTIPLY),
    ],
}


class Handler(BaseHTTPRequestHandler):
    """Answers each request with the next of the server's answers: a list is a stream of chunks."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_arguments):
        """Print nothing."""

    def do_POST(self):
        """Answer."""
        self.rfile.read(int(self.headers["content-length"]))
        answer = self.server.answers.pop(0)
        frame = {"id": "x", "object": "chat.completion", "created": 1, "model": "m"}
        if isinstance(answer, list):
            frame["object"] += ".chunk"
            chunks = [json.dumps({**frame, "choices": [choice]}) for choice in answer]
            body, kind = "".join(f"data: {chunk}\n\n" for chunk in [*chunks, "[DONE]"]), "text/event-stream"
        else:
            body, kind = json.dumps(frame | answer), "application/json"
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())


@pytest.fixture
def client(tracer):
    """A client of a server that gives the `answers` of the test."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.answers = []
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        with openai.OpenAI(base_url=f"http://127.0.0.1:{server.server_port}", api_key="x") as client:
            client.answers = server.answers
            yield client
        server.shutdown()


def events(kind):
    """The events of a kind, of the trace that ends here."""
    return [event for event in open_trace(shutdown_tracing()).events() if event["event_type"] == kind]


@pytest.mark.parametrize("name", STREAMS)
def test_pieces_make_the_calls_that_the_model_meant(client, name):
    """Whatever their index and id."""
    client.answers.append(
        [{"index": 0, "delta": {"tool_calls": [each]}, "finish_reason": None} for each in STREAMS[name]]
        + [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]
    )
    for _ in client.chat.completions.create(
        model="m", messages=[{"role": "user", "content": "1+2, 3*4"}], stream=True
    ):
        pass
    [end] = events("llm_call_end")
    calls = [(call["name"], call["arguments"]) for call in end["outputs"]["tool_calls"]]
    assert calls == [("add", {"a": 1, "b": 2}), ("multiply", {"a": 3, "b": 4})]


def call(name, arguments):
    """A tool call with the id that all have."""
    return {"id": "c", "type": "function", "function": {"name": name, "arguments": arguments}}


def test_results_under_one_id_belong_each_to_its_call(client):
    """The results of functions that were not observed are in the next request, in the order of the calls."""
    calls = [call("add", ADD), call("multiply", MULTIPLY)]
    answer = {"role": "assistant", "content": None, "tool_calls": calls}
    client.answers += [
        {"choices": [{"index": 0, "message": answer, "finish_reason": "tool_calls"}]},
        {"choices": [{"index": 0, "message": {"content": "done"}, "finish_reason": "stop"}]},
    ]
    messages = [{"role": "user", "content": "1+2, 3*4"}]
    client.chat.completions.create(model="m", messages=messages)
    results = [{"role": "tool", "tool_call_id": "c", "content": text} for text in ("3", "12")]
    client.chat.completions.create(model="m", messages=[*messages, answer, *results])
    ends = events("tool_call_end")
    assert [(end["component_name"], end["outputs"]["result"]) for end in ends] == [
        ("add", "3"),
        ("multiply", "12"),
    ]


@pytest.mark.parametrize("stream", [False, True])
def test_all_choices_are_recorded(client, stream):
    """The first as the answer, and the others beside it."""
    messages = [{"role": "user", "content": "hello"}]
    if stream:
        deltas = [(0, "a"), (1, "x"), (0, "b"), (1, "y")]
        client.answers.append(
            [{"index": index, "delta": {"content": text}, "finish_reason": None} for index, text in deltas]
            + [{"index": index, "delta": {}, "finish_reason": "stop"} for index in (0, 1)]
        )
        for _ in client.chat.completions.create(model="m", messages=messages, n=2, stream=True):
            pass
    else:
        messages_of = [{"role": "assistant", "content": text} for text in ("ab", "xy")]
        choices = [
            {"index": index, "message": message, "finish_reason": "stop"}
            for index, message in enumerate(messages_of)
        ]
        client.answers.append({"choices": choices})
        client.chat.completions.create(model="m", messages=messages, n=2)
    [end] = events("llm_call_end")
    assert end["outputs"]["text"] == "ab"
    [other] = end["outputs"]["further_choices"]
    assert (other["text"], other["finish_reason"]) == ("xy", "stop")
