"""Urllib3 before version 2, whose responses are read by `http.client`: a stand-in that makes its attempts as that did."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

from urllib3 import HTTPHeaderDict, connectionpool
from urllib3.response import HTTPResponse

from namel3ss_debug.capture.core.answers import Response
from namel3ss_debug.capture.seams.functions.requested_calls import ToolCalls
from namel3ss_debug.capture.seams.http import by_urllib3
from namel3ss_debug.capture.seams.http.exchanges import Exchanges
from namel3ss_debug.traces.reader import open_trace

STAND_IN = {
    "__init__.py": "",
    "_version.py": '__version__ = "1.26.20"\n',
    "exceptions.py": "class ProtocolError(Exception): pass\nclass ReadTimeoutError(Exception): pass\n",
    "response.py": """
class HTTPResponse:
    decode_content = True

    def __init__(self, fp):
        self._fp = fp

    def read_chunked(self, amt=None, decode_content=None):
        while size := int(self._fp.fp.readline(), 16):
            yield self._fp._safe_read(size)
            self._fp._safe_read(2)
        self._fp.close()
""",
    "connectionpool.py": """
import http.client
from urllib3.response import HTTPResponse

class HTTPConnectionPool:
    scheme, headers = "http", None

    def __init__(self, host, port):
        self.host, self.port = host, port

    def _make_request(self, conn, method, url, timeout=None, chunked=False, **more):
        conn.request(method, url, **more)
        return conn.getresponse()

    def urlopen(self, method, url, **more):
        connection = http.client.HTTPConnection(self.host, self.port)
        return HTTPResponse(self._make_request(connection, method, url, **more))
""",
}
PROGRAM = """
import json, os
from urllib.parse import urlsplit
from urllib3.connectionpool import HTTPConnectionPool
address = urlsplit(os.environ["OPENAI_BASE_URL"])
pool = HTTPConnectionPool(address.hostname, address.port)
def ask(**more):
    body = {"model": "m", "messages": [{"role": "user", "content": "hello"}], **more}
    return pool.urlopen("POST", address.path + "/chat/completions", body=json.dumps(body), headers={})
print(json.loads(ask()._fp.read())["choices"][0]["message"]["content"])
print(len(list(ask(stream=True).read_chunked())))
"""


def test_each_attempt_is_recorded_once_and_run_again(model_environment, scripted_model, tmp_path):
    """A whole body, and one that it reads in chunks by itself, past `http.client`; then without the server."""
    (tmp_path / "installed" / "urllib3").mkdir(parents=True)
    for name, text in STAND_IN.items():
        (tmp_path / "installed" / "urllib3" / name).write_text(text)
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "app.py").write_text(PROGRAM)

    def run(*words, environment=model_environment):
        command = [sys.executable, "-m", "namel3ss_debug", *words]
        given = environment | {"PYTHONPATH": str(tmp_path / "installed")}
        done = subprocess.run(
            command, cwd=folder, env=given, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done

    first = run("trace", "-o", "run.jsonl", "app.py")
    assert "problems" not in first.stderr
    told = list(open_trace(folder / "run.jsonl").events())
    ends = [event for event in told if event["event_type"] == "llm_call_end"]
    assert [end["outputs"]["text"] for end in ends] == ["You said: hello"] * 2
    assert [end["status"] for end in ends] == ["completed"] * 2
    scripted_model.requests.clear()
    again = run("rerun", "run.jsonl", environment=dict(os.environ))
    assert again.stdout == first.stdout
    assert not scripted_model.requests


def test_headers_are_told_as_the_library_tells_them():
    """Each as often as it came, under the name that came first."""
    headers = HTTPHeaderDict([("Set-Cookie", "a"), ("X", "1"), ("set-cookie", "b"), ("Content-Type", "c")])
    assert by_urllib3._pairs(headers) == list(headers.items())
    assert by_urllib3._pairs({"X": "1"}) == [("X", "1")]


CASSETTE = """
import urllib3
from urllib3.connection import HTTPConnection

class Played:
    status, version, version_string, reason, length_remaining = 200, 11, "HTTP/1.1", "OK", 0
    headers, data = urllib3.HTTPHeaderDict(), b"played"

    def get_redirect_location(self):
        return False

    def drain_conn(self):
        pass

class Cassette(HTTPConnection):
    def request(self, *args, **more):
        pass

    def getresponse(self):
        return Played()

pool = urllib3.HTTPConnectionPool("127.0.0.1", 9)
pool.ConnectionCls = Cassette
print(pool.request("POST", "/v1/chat/completions", body=b'{"model": "m", "messages": []}').data)
"""


def test_what_stands_in_the_place_of_a_connection_answers_by_itself(tmp_path):
    """The answers of a cassette, which are read past the library, are no attempts, and a re-run leaves them to it."""
    (tmp_path / "app.py").write_text(CASSETTE)
    command = [sys.executable, "-m", "namel3ss_debug"]
    for words in (["trace", "-o", "run.jsonl", "app.py"], ["rerun", "run.jsonl"]):
        done = subprocess.run(
            [*command, *words], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
        )
        assert (done.stdout, done.returncode) == ("b'played'\n", 0), done.stderr
    told = [event["event_type"] for event in open_trace(tmp_path / "run.jsonl").events()]
    assert "llm_call_start" not in told


def test_a_version_two_that_has_no_read1_is_recorded(monkeypatch):
    """As 2.0 and 2.1: what is replaced of a response is what it has."""
    for kind in HTTPResponse.__mro__:
        if "read1" in vars(kind):
            monkeypatch.delattr(kind, "read1")
    before = HTTPResponse.read
    undo = by_urllib3.patch(connectionpool, None)
    try:
        assert HTTPResponse.read is not before
    finally:
        for each in undo:
            each()


def test_a_response_is_made_of_what_its_version_takes():
    """Of versions 2 only some are told the name of the version of HTTP."""

    class Earlier:
        def __init__(self, *, body, headers, status, version, reason, original_response, **settings):
            self.told = (body.read(), list(headers), status, version, reason, settings)
            assert original_response is body

    given = Response(200, "OK", [("content-length", "2")], [b"ok"])
    read = by_urllib3._read_response(given, iter(given.pieces), "GET")
    kwargs = {"preload_content": False, "retries": 3, "chunked": False}
    response = by_urllib3._make_response(Earlier, given, read, None, "GET", "/x", kwargs)
    asked = {"preload_content": False, "request_method": "GET", "request_url": "/x"}
    assert response.told == (b"ok", [("content-length", "2")], 200, 11, "OK", asked)


def test_the_promise_of_a_response_reaches_the_program(tracer):
    """What urllib3-future gives where requests share a connection is passed on, and told as not recorded."""

    class Pool:
        def _make_request(self, conn, method, url, *, multiplexed):
            return "a promise"

    exchanges = Exchanges(tracer, ToolCalls(lambda _names: None, lambda _call, _result: None))
    undo = by_urllib3.patch(SimpleNamespace(HTTPConnectionPool=Pool), exchanges)
    try:
        assert Pool()._make_request(None, "GET", "/", multiplexed=True) == "a promise"
    finally:
        for each in undo:
            each()
    assert tracer.problems == {"multiplexed niquests was used, but it is not recorded": 1}
