"""Real recorded exchanges, served again on loopback and fetched by a real client: recorded as they decode."""

from __future__ import annotations

import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from namel3ss_debug import wire
from namel3ss_debug.capture.launch.start import shutdown_tracing
from namel3ss_debug.traces.reader import open_trace
from namel3ss_debug.wire import event_stream

CASSETTES = Path(__file__).parents[1] / "data" / "cassettes"


def as_bytes(body):
    """A body of a cassette: text, bytes, either under `string`, or parsed JSON."""
    if isinstance(body, dict | list):
        return as_bytes(body["string"]) if "string" in body else json.dumps(body).encode()
    value = body
    return value.encode() if isinstance(value, str) else value or b""


def exchanges():
    """Every model call of the cassettes that was answered: path, request body, response headers and body."""
    for file in sorted(CASSETTES.rglob("*.yaml")):
        for number, one in enumerate(yaml.safe_load(file.read_text())["interactions"]):
            request, response = one["request"], one["response"]
            body = as_bytes(request.get("parsed_body", request.get("body")))
            path = urlsplit(request["uri"]).path
            if response["status"]["code"] >= 400 or not body.startswith(b"{"):
                continue
            if wire.recognise(path, json.loads(body)) is None:
                continue
            answer = as_bytes(response.get("parsed_body", response.get("body")))
            if answer[:2] == b"\x1f\x8b":
                answer = gzip.decompress(answer)
            kind = next((v for k, v in response["headers"].items() if k.lower() == "content-type"), "")
            kind = kind[0] if isinstance(kind, list) else kind
            kind = kind.decode() if isinstance(kind, bytes) else kind
            yield pytest.param(path, body, kind, answer, id=f"{file.stem}-{number}")


@pytest.fixture(scope="module")
def server():
    """A server that answers any POST with what was last put into `answer`, compressed where asked."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        answer = ("", b"", False)

        def do_POST(self):
            self.rfile.read(int(self.headers["content-length"]))
            kind, body, compressed = Handler.answer
            body = gzip.compress(body) if compressed else body
            self.send_response(200)
            self.send_header("content-type", kind)
            if compressed:
                self.send_header("content-encoding", "gzip")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}", Handler
        running.shutdown()
        thread.join()


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize(("path", "body", "kind", "answer"), list(exchanges()))
def test_a_recorded_exchange_is_recorded_as_it_decodes(server, tracing, path, body, kind, answer, compressed):
    """What is recorded is what the decoders read, which are checked by hand elsewhere; the client gets all."""
    httpx2 = pytest.importorskip("httpx2")
    url, handler = server
    handler.answer = (kind, answer, compressed)
    tracing(redact=False, max_payload_size=0)
    with httpx2.Client(trust_env=False) as client:
        headers = {"content-type": "application/json"}
        with client.stream("POST", url + path, content=body, headers=headers) as response:
            received = b"".join(response.iter_bytes(7))
    assert received == answer
    events = list(open_trace(shutdown_tracing()).events())
    start = next(event for event in events if event["event_type"] == "llm_call_start")
    end = next(event for event in events if event["event_type"] == "llm_call_end")
    known = wire.recognise(path, json.loads(body))
    expected = known.codec.decode_response(known.join_stream(answer, kind))
    asked = known.complete(path, json.loads(body))
    assert start["inputs"] == json.loads(json.dumps(known.codec.decode_request(asked)))
    assert end["outputs"] == expected.to_outputs()
    assert end.get("usage", {}) == expected.usage
    assert start["metadata"]["format"] == known.name
    if wire.find_framing(kind) is not None:
        chunks = [event["outputs"] for event in events if event["event_type"] == "stream_chunk"]
        assert b"".join(map(as_sent, chunks)) == answer


def as_sent(chunk):
    """The bytes of a recorded chunk: a text, or the messages of a binary stream."""
    return chunk["text"].encode() if "text" in chunk else event_stream.from_json(chunk["messages"])
