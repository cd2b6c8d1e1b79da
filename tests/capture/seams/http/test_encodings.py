"""Encoded answers, by every HTTP library: recorded decoded, and in a re-run encoded as the server had encoded them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec

import pytest

from namel3ss_debug.traces.reader import open_trace

ENCODINGS = ["identity", "gzip", "deflate", "headless", "br", "zstd"]
"""What the server is asked for; `headless` is deflate without the header of zlib, which some servers send."""
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}

READ = """
import json, sys
from urllib.parse import urlsplit
URL = sys.argv[1]
CASES = [(name, stream) for name in sys.argv[2:] for stream in (False, True)]
def request(name, stream):
    body = {"model": name, "messages": [{"role": "user", "content": "How cold is it?"}], "stream": stream}
    return f"{URL}/{name}/v1/chat/completions", json.dumps(body).encode()
def show(name, headers, text):
    print(name, headers.get("content-encoding"), headers.get("x-request-id"), text)
def undo(encoding, data):
    if encoding in ("gzip", "deflate"):
        for bits in (47, -15):
            try:
                return zlib.decompress(data, bits)
            except zlib.error:
                pass
    if encoding == "br":
        return brotli.decompress(data)
    return zstd.decompress(data) if encoding == "zstd" else data
"""
MODULES = """
import brotli, zlib
try:
    from compression import zstd
except ImportError:
    from backports import zstd
"""
AIOHTTP = """
import aiohttp, asyncio
async def main():
    async with aiohttp.ClientSession() as session:
        for name, stream in CASES:
            url, body = request(name, stream)
            async with session.post(url, data=body, {more}) as response:
                data = b"".join([data async for data in response.content.iter_any()])
                show(name, response.headers, {text}.decode())
asyncio.run(main())
"""
PROGRAMS = {
    "httpx": """
httpx = __import__({httpx!r})
with httpx.Client() as client:
    for name, stream in CASES:
        url, body = request(name, stream)
        with client.stream("POST", url, content=body) as response:
            show(name, response.headers, b"".join(response.iter_bytes()).decode())
""",
    "requests": """
import requests
for name, stream in CASES:
    url, body = request(name, stream)
    with requests.post(url, data=body, stream=stream) as response:
        show(name, response.headers, b"".join(response.iter_content(64)).decode() if stream else response.content.decode())
""",
    "urllib3": MODULES
    + """
import urllib3
pool = urllib3.PoolManager()
for name, stream in CASES:
    url, body = request(name, stream)
    response = pool.request("POST", url, body=body, preload_content=False)
    data = b"".join(response.stream(64, decode_content=stream))
    show(name, response.headers, (data if stream else undo(response.headers.get("content-encoding"), data)).decode())
""",
    "http.client": MODULES
    + """
import urllib.request
for name, stream in CASES:
    url, body = request(name, stream)
    with urllib.request.urlopen(urllib.request.Request(url, body)) as response:
        show(name, response.headers, undo(response.headers.get("content-encoding"), response.read()).decode())
""",
    "aiohttp": AIOHTTP.format(more="", text="data"),
    "aiohttp that does not decode": MODULES
    + AIOHTTP.format(
        more="auto_decompress=False", text='undo(response.headers.get("content-encoding"), data)'
    ),
}


class Handler(BaseHTTPRequestHandler):
    """Answers a chat call in the encoding that its path begins with."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        """Answer one request."""
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        name = self.path.split("/")[1]
        encoder = self.server.begin_encoding("" if name == "identity" else name)
        frame = {"id": "1", "created": 1, "model": asked["model"]}
        self.send_response_only(200)
        if name != "identity":
            self.send_header("content-encoding", "deflate" if name == "headless" else name)
        self.send_header("x-request-id", f"request-{name}")
        if asked["stream"]:
            deltas = [{"content": word} for word in ("It is ", "cold. ", "\N{SNOWMAN}")]
            events = [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
            last = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": USAGE}
            texts = [json.dumps(frame | event, ensure_ascii=False) for event in [*events, last]] + ["[DONE]"]
            self.send_header("content-type", "text/event-stream")
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            for data in [*(encoder.encode(f"data: {text}\n\n".encode()) for text in texts), encoder.finish()]:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data) if data else b"")
            self.wfile.write(b"0\r\n\r\n")
            return
        message = {"role": "assistant", "content": "It is cold. \N{SNOWMAN}"}
        answer = frame | {
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": USAGE,
        }
        data = encoder.encode(json.dumps(answer, ensure_ascii=False).encode()) + encoder.finish()
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_arguments):
        """Write nothing."""


@pytest.fixture
def server(scripted_model_module):
    """A running server; its `url`."""

    def begin_encoding(name):
        if name != "headless":
            return scripted_model_module.begin_encoding(name)
        body = zlib.compressobj(wbits=-15)
        return scripted_model_module.Encoder(body.compress, body.flush, {})

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.begin_encoding = begin_encoding
        server.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.parametrize("library", PROGRAMS)
def test_an_encoded_answer_is_recorded_and_run_again(library, server, tmp_path):
    """Texts and tokens are those of the server, whole and streamed; without the server, the program sees the same."""
    httpx = next((name for name in ("httpx", "httpx2") if find_spec(name)), "")
    if library.partition(" ")[0] == "httpx" and not httpx:
        pytest.skip("neither httpx nor httpx2 is installed")
    (tmp_path / "app.py").write_text(READ + PROGRAMS[library].replace("{httpx!r}", repr(httpx)))
    plain = run([sys.executable, "app.py", server.url, *ENCODINGS], tmp_path)
    debug = [sys.executable, "-m", "namel3ss_debug"]
    traced = run([*debug, "trace", "-o", "run.jsonl", "app.py", server.url, *ENCODINGS], tmp_path)
    assert traced.stdout == plain.stdout
    assert "problem" not in traced.stderr
    ends = [e for e in open_trace(tmp_path / "run.jsonl").events() if e["event_type"] == "llm_call_end"]
    assert [end["outputs"]["text"] for end in ends] == ["It is cold. \N{SNOWMAN}"] * 2 * len(ENCODINGS)
    assert [end["tokens_used"] for end in ends] == [10] * 2 * len(ENCODINGS)
    server.shutdown()
    server.server_close()
    again = run([*debug, "rerun", "run.jsonl"], tmp_path)
    assert again.stdout == plain.stdout


def run(command, folder):
    """Run a command, which succeeds."""
    done = subprocess.run(
        command, cwd=folder, env=os.environ, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done
