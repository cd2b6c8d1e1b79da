"""Tests of exceptions that no HTTP library raises, and that leave a request all the same: a re-run raises them again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from namel3ss_debug.traces.reader import open_trace


class Handler(BaseHTTPRequestHandler):
    """Sends a signal to the process that asks, and answers when the test is over."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_arguments):
        """Print nothing."""

    def do_POST(self):
        """Send the signal."""
        self.rfile.read(int(self.headers["content-length"]))
        if "x-pid" in self.headers:
            os.kill(int(self.headers["x-pid"]), signal.SIGUSR1)
        self.server.over.wait()


@pytest.fixture
def server():
    """A server on loopback that never answers."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.over, server.daemon_threads = threading.Event(), True
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.over.set()
        server.shutdown()


def run(folder, *words, **environment):
    """Run a command of the debugger in the folder."""
    return subprocess.run(
        [sys.executable, "-m", "namel3ss_debug", *map(str, words)],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        cwd=folder,
        check=False,
        timeout=60,
    )


PROGRAM = """
import os, signal, sys
{imports}

class Stop(BaseException):
    pass

def make_local():
    class Local(KeyboardInterrupt):
        pass
    return Local("local")

def stop(*_arguments):
    raise {error}

signal.signal(signal.SIGUSR1, stop)
BASE, PID = os.environ["BASE"], {{"X-Pid": str(os.getpid())}}
MESSAGES = [{{"role": "user", "content": "hello"}}]
try:
    {send}
except BaseException as error:
    print(type(error).__name__, error.args)
print("the end")
"""
SDKS = {
    "openai": (
        "from openai import OpenAI",
        """OpenAI(base_url=BASE, api_key="unused", default_headers=PID).chat.completions.create(
            model="m", messages=MESSAGES)""",
    ),
    "anthropic": (
        "from anthropic import Anthropic",
        """Anthropic(base_url=BASE, api_key="unused", default_headers=PID).messages.create(
            model="m", max_tokens=9, messages=MESSAGES)""",
    ),
    "requests": ("import requests", 'requests.post(BASE, json={"messages": MESSAGES}, headers=PID)'),
    "urllib": (
        "import urllib.request",
        'urllib.request.urlopen(urllib.request.Request(BASE, b"{}", PID))',
    ),
}
ENDS = ("llm_call_end", "http_exchange_end")
ERRORS = {
    "SystemExit(3)": "SystemExit (3,)",
    "SystemExit(0)": "SystemExit (0,)",
    "SystemExit('over')": "SystemExit ('over',)",
    "KeyboardInterrupt('by hand')": "KeyboardInterrupt ('by hand',)",
    "Stop(3, [4])": "Stop (3, [4])",
    "make_local()": "Local ('local',)",
}


@pytest.mark.parametrize(
    ("sdk", "error"),
    [*(("openai", error) for error in ERRORS), *((sdk, "Stop(3, [4])") for sdk in SDKS if sdk != "openai")],
)
def test_an_exception_that_interrupts_a_request_is_raised_again(sdk, error, server, tmp_path):
    """An SDK repeats a request that failed, so no other exception may take its place."""
    pytest.importorskip(sdk)
    imports, send = SDKS[sdk]
    (tmp_path / "app.py").write_text(PROGRAM.format(imports=imports, send=send, error=error))
    recorded = run(tmp_path, "trace", "-o", "t.jsonl", "app.py", BASE=server)
    assert recorded.stdout == f"{ERRORS[error]}\nthe end\n", recorded.stderr
    again = run(tmp_path, "rerun", "t.jsonl", BASE="http://127.0.0.1:9")
    assert (again.returncode, again.stdout) == (0, recorded.stdout), again.stderr
    ends = [event for event in open_trace(tmp_path / "t.jsonl").events() if event["event_type"] in ENDS]
    assert [end["status"] != "completed" for end in ends] == [True]


GEVENT = """
from gevent import monkey
monkey.patch_all()
import os
import gevent
from openai import OpenAI

client = OpenAI(base_url=os.environ["BASE"], api_key="unused")
try:
    with gevent.Timeout(1) as timeout:
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hello"}])
except gevent.Timeout as error:
    print(error is timeout, error)
with gevent.Timeout(1.5, False):
    client.chat.completions.create(model="m", messages=[{"role": "user", "content": "again"}])
print("the end")
"""


def test_a_timeout_of_gevent_is_the_one_that_the_program_started(server, tmp_path):
    """Its `with` block knows it by identity, and the re-run need not wait for it."""
    pytest.importorskip("gevent")
    (tmp_path / "app.py").write_text(GEVENT)
    recorded = run(tmp_path, "trace", "-o", "t.jsonl", "app.py", BASE=server)
    assert recorded.stdout == "True 1 second\nthe end\n", recorded.stderr
    again = run(tmp_path, "rerun", "t.jsonl", BASE="http://127.0.0.1:9")
    assert (again.returncode, again.stdout) == (0, recorded.stdout), again.stderr
