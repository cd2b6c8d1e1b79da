"""A wire format is one module and one row: everything that reads the table finds a sample one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

CODEC = '''
"""The sample: a request is {"drum": model, "beat": text}, an answer {"echo": text, "ticks": [input, output]}."""

import json

from namel3ss_debug.wire.contract import Answer


def decode_request(body):
    part = {"type": "text", "content": body["beat"]}
    return {
        "model": body.get("drum"),
        "messages": [{"role": "user", "parts": [part]}],
        "tools": [],
        "params": {},
    }


def decode_response(body):
    sent, received = body.get("ticks", (0, 0))
    usage = {"input_tokens": sent, "output_tokens": received}
    return Answer(text=body.get("echo"), finish_reason="stop", usage=usage)


def join_events(events):
    return events[-1] if events else {}


def is_content(event):
    return "echo" in event


def encode_response(answer, request, *, response_id, created):
    return {"echo": answer.text, "ticks": [0, 0]}


def encode_stream(answer, request, *, response_id, created):
    body = encode_response(answer, request, response_id=response_id, created=created)
    return [b"data: " + json.dumps(body).encode() + b"\\n\\n"]


def encode_error(status, kind, message):
    return {"error": {"type": kind or "torn_skin", "message": message}}
'''
ROW = """
import drum_codec
from namel3ss_debug.wire import formats
from namel3ss_debug.wire.contract import Format

row = Format("drum.talk", "drum", "chat", ("/drum",), lambda body: "beat" in body, drum_codec)
formats._ROWS += (row,)
formats.FORMATS[row.name] = row
"""
PROGRAM = """
import json, sys, urllib.error, urllib.request

data = json.dumps({"drum": "bongo-1", "beat": "tap tap"}).encode()
request = urllib.request.Request(sys.argv[1] + "/drum", data, {"content-type": "application/json"})
try:
    print(json.load(urllib.request.urlopen(request))["echo"])
except urllib.error.HTTPError as error:
    print(error.code, json.load(error)["error"]["type"])
"""


class Drum(BaseHTTPRequestHandler):
    """A server that speaks the sample format."""

    def do_POST(self):
        """Answer a request."""
        length = int(self.headers["content-length"])
        answer = {"echo": json.loads(self.rfile.read(length))["beat"].upper(), "ticks": [2, 3]}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args):
        """Print nothing."""


@pytest.fixture
def debug(tmp_path):
    """Runs a command of the debugger in a folder where the sample format is a row of the table."""
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "drum_codec.py").write_text(CODEC)
    (tmp_path / "rows" / "sitecustomize.py").write_text(ROW)
    (tmp_path / "app.py").write_text(PROGRAM)
    paths = [str(tmp_path / "rows"), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}

    def run(*arguments):
        command = [sys.executable, "-m", "namel3ss_debug", *arguments]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture
def recorded(debug, tmp_path):
    """The events of a program that talked to the server of the sample format, which is gone now."""
    server = HTTPServer(("127.0.0.1", 0), Drum)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    printed = debug("trace", "-o", "run.jsonl", "app.py", f"http://127.0.0.1:{server.server_port}")
    server.shutdown()
    thread.join()
    server.server_close()
    assert printed == "TAP TAP\n"
    return [json.loads(line) for line in (tmp_path / "run.jsonl").read_text().splitlines()]


def test_a_sample_format_is_recorded_and_analyzed(recorded, debug):
    """A request is a model call, and its tokens are counted."""
    [start] = [event for event in recorded if event["event_type"] == "llm_call_start"]
    [end] = [event for event in recorded if event["event_type"] == "llm_call_end"]
    assert start["component_name"] == "bongo-1"
    assert (start["metadata"]["format"], start["metadata"]["provider"]) == ("drum.talk", "drum")
    assert start["inputs"]["messages"] == [
        {"role": "user", "parts": [{"type": "text", "content": "tap tap"}]}
    ]
    assert (end["outputs"]["text"], end["tokens_used"]) == ("TAP TAP", 5)
    analysis = json.loads(debug("analyze", "run.jsonl", "--format", "json"))
    assert "bongo-1" in json.dumps(analysis["performance"]["llm_performance"])


@pytest.mark.usefixtures("recorded")
def test_a_sample_format_is_replayed_mocked_and_made_to_fail(debug):
    """The recorded answer comes back, a mock is written in the format, and so is a fault."""
    rerun = ("rerun", "run.jsonl")
    assert debug(*rerun) == "TAP TAP\n"
    assert debug(*rerun, "--mock", 'llm:{"text": "hush"}') == "hush\n"
    assert debug(*rerun, "--fault", "llm:status:503") == "503 torn_skin\n"
