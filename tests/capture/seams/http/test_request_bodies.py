"""Tests of bodies that are sent in every way that the HTTP libraries know: recorded whole, compared, and sent once."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import orjson
import pytest

from namel3ss_debug.capture.seams.http import request_bodies
from namel3ss_debug.capture.seams.http.request_bodies import StreamedBody
from namel3ss_debug.traces.reader import open_trace

PROGRAM = Path(__file__).parents[3] / "data" / "programs_sdk" / "request_bodies.py"
CLIENTS = ("httpx", "httpx async", "httpx2", "httpx2 async", "aiohttp", "requests", "urllib3", "http.client")
ANSWER = orjson.dumps(
    {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}],
    }
)


class Handler(BaseHTTPRequestHandler):
    """Keeps each request as it was sent, with the frames of its chunks, and answers as a model does."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_arguments):
        """Print nothing."""

    def do_POST(self):
        """Answer a request, or redirect it, or ask for a password."""
        body = self._body()
        if self.headers.get("content-encoding") == "gzip":  # the time is in its head
            body = [len(body), gzip.decompress(b"".join(body))]
        sent = str((self.path, *sorted(map(repr, self.headers.items())), body))
        differs = rf"[0-9a-f]{{32}}|{self.server.server_port}"  # the boundary of a form, the port
        self.server.sent.append(re.sub(differs, "#", sent))
        if self.path.startswith("/moved/"):
            self._send(int(self.path[-3:]), b"", {"Location": "/v1/chat/completions"})
        elif self.path == "/auth" and "authorization" not in self.headers:
            self._send(401, b"", {"WWW-Authenticate": "Bearer"})
        else:
            self._send(200, ANSWER, {"Content-Type": "application/json"})

    def _body(self):
        if self.headers.get("transfer-encoding") != "chunked":
            return [self.rfile.read(int(self.headers.get("content-length", 0)))]
        frames = []
        while size := int(self.rfile.readline(), 16):
            frames.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return frames

    def _send(self, status, body, headers):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def server():
    """A server on loopback; `sent` is what it got."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.sent = []
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()


def run(folder, *words, port=9):
    """Run a command in the folder; the server listens at this port."""
    environment = {**os.environ, "SERVER": f"http://127.0.0.1:{port}", "PYTHONWARNINGS": "ignore"}
    return subprocess.run(
        [sys.executable, *map(str, words)],
        capture_output=True,
        text=True,
        env=environment,
        cwd=folder,
        check=False,
        timeout=120,
    )


def debug(folder, *words, port=9):
    """Run a command of the debugger in the folder."""
    return run(folder, "-m", "namel3ss_debug", *words, port=port)


def starts(trace):
    """The start events of the requests in a trace."""
    events = open_trace(trace).events()
    return [event for event in events if event["event_type"] in ("llm_call_start", "http_exchange_start")]


@pytest.mark.parametrize("client", CLIENTS)
def test_a_body_is_recorded_and_compared_in_whatever_way_it_is_sent(client, server, tmp_path):
    """The server gets the same bytes, the trace has the messages, and no change of a body matches."""
    pytest.importorskip(client.split()[0])
    plain = run(tmp_path, PROGRAM, client, "hello", port=server.server_port)
    assert plain.returncode == 0, plain.stderr
    sent = server.sent.copy()
    server.sent.clear()
    recorded = debug(tmp_path, "trace", "-o", "t.jsonl", PROGRAM, client, "hello", port=server.server_port)
    assert (recorded.returncode, recorded.stdout) == (0, plain.stdout)
    assert server.sent == sent

    server.sent.clear()
    requests = starts(tmp_path / "t.jsonl")
    assert len(requests) == len(sent)
    for request in requests:
        assert "hello" in str(request["inputs"])
        url = request["metadata"]["exchange"]["url"]
        assert request["component"] == ("llm" if url.endswith("/chat/completions") else "http")
    assert len({str(request["inputs"]) for request in requests}) >= len(sent) // 2

    again = debug(tmp_path, "rerun", "t.jsonl")
    assert (again.returncode, again.stdout) == (0, plain.stdout), again.stderr
    assert "The re-run matches the trace." in again.stderr
    edited = debug(tmp_path, "rerun", "t.jsonl", "--", PROGRAM, client, "howdy")
    assert edited.returncode == 1, edited.stderr
    assert f"The re-run diverges from the trace: {len(sent)} changed." in edited.stderr
    assert server.sent == []


CONSUMED = """
import os, sys
import httpx2 as httpx

def pieces():
    print("produced", flush=True)
    yield b"hello"
    {more}

url = os.environ["SERVER"]
with httpx.Client(trust_env=False, follow_redirects=True) as client:
    try:
        print(client.post(f"{{url}}/moved/307", content=pieces()).text)
    except Exception as error:
        print(type(error).__name__, error)
"""


@pytest.mark.parametrize("more", ["", "raise ValueError('out of data')"])
def test_a_body_that_cannot_be_sent_fails_as_it_did(more, server, tmp_path):
    """A generator is read once, also if a redirect needs it again, and if it raises."""
    (tmp_path / "app.py").write_text(CONSUMED.format(more=more))
    plain = run(tmp_path, "app.py", port=server.server_port)
    assert plain.stdout.count("produced") == 1
    recorded = debug(tmp_path, "trace", "-o", "t.jsonl", "app.py", port=server.server_port)
    assert recorded.stdout == plain.stdout
    again = debug(tmp_path, "rerun", "t.jsonl")
    assert (again.returncode, again.stdout) == (0, plain.stdout), again.stderr


REFUSED = """
import os, sys
import {client} as client
WORD = "hello"
body = (piece for piece in [b'{{"model": "m", "messages": [{{"role": "user", "content": "', WORD.encode(), b'"}}]}}'])
{send}
"""
SEND = {
    "httpx2": 'post = lambda **how: client.post(os.environ["SERVER"] + "/v1/chat/completions", content=body)',
    "requests": 'post = lambda **how: client.post(os.environ["SERVER"] + "/v1/chat/completions", data=body)',
    "urllib3": 'post = lambda **how: client.PoolManager(retries=False).request("POST", os.environ["SERVER"] + "/v1/chat/completions", body=body)',
}
SHOW = """
try:
    print(post())
except Exception as error:
    print(type(error).__name__)
"""


@pytest.mark.parametrize("client", SEND)
def test_a_body_of_which_nothing_was_sent_does_not_count(client, tmp_path):
    """Without a connection no server got the body; the re-run fails in the same way."""
    pytest.importorskip(client)
    (tmp_path / "app.py").write_text(REFUSED.format(client=client, send=SEND[client] + SHOW))
    recorded = debug(tmp_path, "trace", "-o", "t.jsonl", "app.py")
    [request] = starts(tmp_path / "t.jsonl")
    assert request["metadata"]["exchange"]["streamed"] == "unsent"
    again = debug(tmp_path, "rerun", "t.jsonl")
    assert (again.returncode, again.stdout) == (0, recorded.stdout), again.stderr


LEFT = """
import http.client, os
WORD = b"hello"
connection = http.client.HTTPConnection(os.environ["SERVER"].removeprefix("http://"))
connection.putrequest("POST", "/upload")
connection.putheader("Content-Length", "1000")
connection.endheaders()
connection.send(WORD)
connection.close()
print("closed")
"""


def test_a_body_of_which_a_part_was_sent_is_not_verified(server, tmp_path):
    """The trace does not hold what the program would have sent, so a re-run with another body does not match."""
    (tmp_path / "app.py").write_text(LEFT)
    debug(tmp_path, "trace", "-o", "t.jsonl", "app.py", port=server.server_port)
    [request] = starts(tmp_path / "t.jsonl")
    assert request["metadata"]["exchange"]["streamed"] == "partly"
    for text in (LEFT, LEFT.replace("hello", "howdy")):
        (tmp_path / "app.py").write_text(text)
        again = debug(tmp_path, "rerun", "t.jsonl")
        assert again.returncode == 1
        assert "only a part of the body of a request to 127.0.0.1" in again.stderr
    again = debug(tmp_path, "rerun", "t.jsonl", "--accept", "unknown-bodies")
    assert again.returncode == 0, again.stderr


def test_a_body_that_is_too_large_is_known_by_its_digest(monkeypatch):
    """Its bytes are not kept, and a re-run compares the digest."""
    monkeypatch.setattr(request_bodies, "_MOST_KEPT_BYTES", 10)
    bodies = [StreamedBody.read([b"12345", end]) for end in (b"6789012", b"6789013", b"6789012")]
    first, other, same = [body.to_json() for body in bodies]
    assert first == same != other
    assert [body.content for body in bodies] == [None] * 3
