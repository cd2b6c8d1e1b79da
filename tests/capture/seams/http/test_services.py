"""Requests between services carry their span where that is asked for, and it is gone on with on the other side."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import aiohttp
import httpx2
import pytest
import requests

from namel3ss_debug import TracedASGI, TracedWSGI, continue_trace, shutdown_tracing
from namel3ss_debug.analysis.analyzer import analyze
from namel3ss_debug.capture.core import switch
from namel3ss_debug.capture.launch import parent as launch
from namel3ss_debug.capture.launch.session import joined_execution, new_session
from namel3ss_debug.capture.launch.start import start_if_enabled
from namel3ss_debug.capture.seams.http import traceparent
from namel3ss_debug.config import DebugConfiguration
from namel3ss_debug.errors import RerunError, WrongUsageError
from namel3ss_debug.replay.rerun.preparation import find_ends
from namel3ss_debug.traces.reader import open_trace
from namel3ss_debug.traces.store import find_trace
from namel3ss_debug.traces.writer import TraceWriter

PROGRAMS = Path(__file__).resolve().parents[3] / "data" / "programs"


@pytest.fixture
def server():
    """A server that keeps the headers of each request, in a process of no recording's."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.seen.append({name.lower(): value for name, value in self.headers.items()})
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.seen = []
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def by_httpx(url, headers):
    """Ask with httpx; the headers of the request as the program sees them afterwards."""
    return dict(httpx2.get(url, headers=headers, trust_env=False).request.headers)


def by_httpx_on_loop(url, headers):
    """The same, on a loop."""

    async def ask():
        async with httpx2.AsyncClient(trust_env=False) as client:
            return dict((await client.get(url, headers=headers)).request.headers)

    return asyncio.run(ask())


def by_requests(url, headers):
    """Ask with requests, and with it urllib3."""
    with requests.Session() as session:
        session.trust_env = False
        return dict(session.get(url, headers=headers).request.headers)


def by_aiohttp(url, headers):
    """Ask with aiohttp, which tells the headers of the request in its response as they were given."""

    async def ask():
        async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as response:
            await response.read()
            return {}

    return asyncio.run(ask())


CLIENTS = [by_httpx, by_httpx_on_loop, by_requests, by_aiohttp]


def exchanges(path):
    """The starts of the exchanges of a recording."""
    return [event for event in open_trace(path).events() if event["event_type"] == "http_exchange_start"]


@pytest.mark.parametrize("ask", CLIENTS)
def test_a_request_to_a_named_host_carries_its_span(tracing, server, ask):
    """The server sees the span; the recording and the program's request are as without it."""
    tracing(propagate="127.0.0.1")
    seen = ask(server.url, {"x-own": "1"})
    (start,) = exchanges(shutdown_tracing())
    place = traceparent.read_headers(server.seen[0])
    assert (place.execution_id, place.event_id) == (start["execution_id"], start["event_id"])
    assert "traceparent" not in {name.lower() for name in (*seen, *start["inputs"]["headers"])}
    assert start["inputs"]["headers"]["x-own"] == "1"


@pytest.mark.parametrize("ask", CLIENTS)
@pytest.mark.parametrize("propagate", [[], ["*.example.com", "localhost"]])
def test_no_other_host_is_told(tracing, server, ask, propagate):
    """Without the setting, and for hosts it does not name, nothing is added."""
    tracing(propagate=propagate)
    ask(server.url, {})
    shutdown_tracing()
    assert "traceparent" not in server.seen[0]


def test_the_hash_of_a_request_does_not_know_the_header(tracing, server):
    """A re-run without the setting finds the answers of a recording with it."""
    hashes = set()
    for propagate in ("", f"127.0.0.1:{server.server_port}"):
        tracing(propagate=propagate)
        by_httpx(server.url, {})
        (start,) = exchanges(shutdown_tracing())
        hashes.add(start["metadata"]["exchange"]["hash"])
    assert len(hashes) == 1
    assert ["traceparent" in headers for headers in server.seen] == [False, True]


def test_a_header_of_the_program_stays(tracing, server):
    """Who sends a `traceparent` already, for instance by OpenTelemetry, goes on sending that one."""
    tracing(propagate="127.0.0.1")
    theirs = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    by_httpx(server.url, {"Traceparent": theirs})
    shutdown_tracing()
    assert server.seen[0]["traceparent"] == theirs


def test_an_exchange_that_is_not_recorded_tells_the_span_around_it(tracing, server):
    """Where only agents are recorded, the request belongs to the agent."""
    tracer = tracing(propagate="127.0.0.1", default_components=["agent"])
    with tracer.span("agent", "Buyer") as span:
        by_httpx(server.url, {})
        inside = span.event_id
    shutdown_tracing()
    assert traceparent.read_headers(server.seen[0]).event_id == inside


def test_a_trace_is_continued_in_the_same_recording(tracer):
    """The span stands in the one that the header names, and what it is given is kept."""
    headers = {"traceparent": traceparent.write(tracer.execution_id, "p3.9")}
    with continue_trace(headers, "POST /orders") as span:
        tracer.emit("decision", component="app")
        span.set_output({"status": 201})
    tracer.emit("decision", component="app")
    start, inside, end, outside = list(open_trace(shutdown_tracing()).events())[1:5]
    assert (start["event_type"], start["component_name"]) == ("request_start", "POST /orders")
    assert start["parent_event_id"] == "p3.9"
    assert start["call_site"].startswith("tests/capture/seams/http/test_services.py:")
    assert inside["parent_event_id"] == start["event_id"]
    assert end["outputs"] == {"status": 201}
    assert "parent_event_id" not in outside


def test_a_trace_of_another_recording_is_named(tracer):
    """What is not in this recording is no parent, and stands in the metadata."""
    with continue_trace({"traceparent": traceparent.write("c0ffee0123456789", "4")}):
        pass
    with continue_trace({}):
        pass
    starts = [e for e in open_trace(shutdown_tracing()).events() if e["event_type"] == "request_start"]
    assert starts[0]["metadata"] == {"parent": {"execution_id": "c0ffee0123456789", "event_id": "4"}}
    assert not {"parent_event_id"} & (starts[0].keys() | starts[1].keys())
    assert "metadata" not in starts[1]


def test_without_tracing_continuing_does_nothing():
    """As all hooks, it costs a look."""
    with continue_trace({}, "GET /") as span:
        span.set_output({})


def test_an_asgi_application_answers_inside_a_span(tracer):
    """With the status of its response; what goes wrong passes through without a frame of ours."""

    async def app(scope, receive, send):
        tracer.emit("decision", component="app")
        await send({"type": "http.response.start", "status": 418})
        raise ValueError("teapot")

    async def send(message):
        pass

    header = (b"traceparent", traceparent.write(tracer.execution_id, "1").encode())
    scope = {"type": "http", "method": "GET", "path": "/tea", "headers": [header]}
    with pytest.raises(ValueError, match="teapot") as caught:
        asyncio.run(TracedASGI(app)(scope, None, send))
    assert [entry.name for entry in caught.traceback][-2:] == ["run_until_complete", "app"]
    start, inside, end = list(open_trace(shutdown_tracing()).events())[1:4]
    assert (start["component_name"], start["parent_event_id"]) == ("GET /tea", "1")
    assert inside["parent_event_id"] == start["event_id"]
    assert (end["outputs"], end["error_type"]) == ({"status": 418}, "ValueError")


def test_a_wsgi_application_answers_inside_a_span(tracer):
    """The span ends with the last piece."""

    def app(environ, start_response):
        start_response("200 OK", [])
        tracer.emit("decision", component="app")
        yield b"a"

    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/",
        "HTTP_TRACEPARENT": traceparent.write(tracer.execution_id, "1"),
    }
    assert list(TracedWSGI(app)(environ, lambda *_: None)) == [b"a"]
    start, inside, end = list(open_trace(shutdown_tracing()).events())[1:4]
    assert start["parent_event_id"] == "1"
    assert inside["parent_event_id"] == start["event_id"]
    assert end["outputs"] == {"status": 200}


def traced(folder, *words, **settings):
    """Start a program under `debug trace` in a folder, with settings by their variables."""
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_proxy")}
    environment |= {f"NAMEL3SS_DEBUG_{key.upper()}": value for key, value in settings.items()}
    environment["PYTHONPATH"] = str(launch.BOOT.parents[2])
    command = [sys.executable, "-m", "namel3ss_debug", "trace", *words]
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)  # fmt: skip


def chain(event, starts):
    """The starts around an event, innermost first; the last one has no parent."""
    around, parent = [], event.get("parent_event_id")
    while parent is not None:
        assert parent in starts, f"{event['event_id']} is inside {parent}, which is not there"
        assert parent not in {start["event_id"] for start in around}, "a circle"
        around.append(starts[parent])
        parent = starts[parent].get("parent_event_id")
    return around


@pytest.mark.slow
def test_a_program_with_all_kinds_of_work_makes_one_connected_tree(tmp_path):
    """Threads, a pool, asyncio, fork and spawn children and two services: every event leads back to the one root."""
    program = traced(tmp_path, "-o", "t.jsonl", str(PROGRAMS / "connected.py"), propagate="127.0.0.1")
    output, _ = program.communicate(timeout=120)
    assert (program.returncode, output) == (0, "{'saw': True}\n")
    trace = open_trace(tmp_path / "t.jsonl")
    events = list(trace.events())
    assert (trace.problems.total, trace.lost) == (0, 0)
    starts = {event["event_id"]: event for event in events if event["event_type"].endswith("_start")}
    (root,) = [event for event in starts.values() if event["event_type"] == "agent_execution_start"]
    assert len(trace.processes) == 6
    for event in events:
        around = chain(event, starts)
        if event["event_id"].startswith("p") or "parent_event_id" in event:
            assert around[-1]["event_id"] == root["event_id"], event
        else:  # of the first process itself
            assert event["event_id"] == root["event_id"] or event["event_type"] in {
                "trace_start", "trace_end", "inputs_read", "output",
            }  # fmt: skip
    names = {event["component_name"] for event in events if event["event_type"] == "performance_marker"}
    assert names == {
        "thread", "a", "b", "pooled", "fork", "spawn", "to_thread", "before asking", "service ends",
        "served /sync", "served /async",
    }  # fmt: skip
    requests = [event for event in events if event["event_type"] == "request_start"]
    assert len(requests) == 4
    assert all(starts[event["parent_event_id"]]["event_type"] == "http_exchange_start" for event in requests)


def test_services_that_join_write_one_trace(tmp_path):
    """Two programs that know nothing of each other but the path; the request of one stands in the other's exchange."""
    settings = {"propagate": "127.0.0.1", "join": "shared/run.jsonl"}
    service = traced(tmp_path, str(PROGRAMS / "connected.py"), "serve", **settings)
    url = service.stdout.readline().strip()
    code = f"import httpx2; print([httpx2.post('{url}/x', json={{}}, trust_env=False).status_code for _ in '12'])"
    (tmp_path / "client.py").write_text(code)
    client = traced(tmp_path, "client.py", **settings)
    assert client.communicate(timeout=60)[0] == "[200, 200]\n"
    service.communicate(timeout=60)
    assert (client.returncode, service.returncode) == (0, 0)
    trace = open_trace(tmp_path / "shared" / "run.jsonl")
    events = list(trace.events())
    assert len(trace.processes) == 2
    assert {event["execution_id"] for event in events} == {
        joined_execution(tmp_path / "shared" / "run.jsonl")
    }
    starts = {event["event_id"]: event for event in events if event["event_type"].endswith("_start")}
    requests = [event for event in events if event["event_type"] == "request_start"]
    assert [len(chain(event, starts)) for event in requests] == [1, 1]
    with pytest.raises(RerunError, match="is of several services"):
        find_ends(trace)


def test_two_that_begin_at_once_are_two_processes(tmp_path):
    """Nobody has to be first: each takes the next name that is free."""

    def header(process, segment, seq):
        return {"event_type": "trace_start", "event_id": None, "seq": 0, "metadata": {}}

    writers = [
        TraceWriter(tmp_path / "run.jsonl", first_process=True, header=header, joins=True, link_latest=False)
        for _ in range(3)
    ]
    for writer in writers:
        writer.begin()
        writer.append({"event_type": "decision", "event_id": None, "seq": 0})
        writer.close()
    assert [writer.prefix for writer in writers] == ["", "p1.", "p2."]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.jsonl", "run.p1.jsonl", "run.p2.jsonl"]


def test_a_name_given_for_this_run_is_over_the_one_to_join(tmp_path):
    """With `-o` the recording is its own, and says so."""
    config = DebugConfiguration(join=str(tmp_path / "shared.jsonl"))
    own = new_session(config, output=tmp_path / "own.jsonl")
    assert (own.joins, own.settings["join"]) == (False, "")
    shared = [new_session(config) for _ in range(2)]
    assert {(session.joins, session.trace) for session in shared} == {(True, str(tmp_path / "shared.jsonl"))}
    assert len({session.execution_id for session in shared}) == 1
    assert shared[0].randomness == {}


def test_a_program_whose_recording_cannot_be_joined_runs(tmp_path, monkeypatch, capsys):
    """It is one line on stderr, and nothing is recorded."""
    (tmp_path / "notes.jsonl").write_text("my notes\n")
    monkeypatch.setenv("NAMEL3SS_DEBUG_ENABLED", "true")
    monkeypatch.setenv("NAMEL3SS_DEBUG_JOIN", str(tmp_path / "notes.jsonl"))
    monkeypatch.setattr(sys, "__stderr__", sys.stderr)
    start_if_enabled()
    assert switch.ACTIVE is None
    assert capsys.readouterr().err.endswith("it is not a trace; choose another name; nothing is recorded\n")
    assert (tmp_path / "notes.jsonl").read_text() == "my notes\n"


def test_what_cannot_be_joined_is_refused(tmp_path):
    """A file of another kind stays as it is, and a name that is none of a recording is told."""
    (tmp_path / "notes.jsonl").write_text("my notes\n")
    with pytest.raises(WrongUsageError, match="it is not a trace"):
        joined_execution(tmp_path / "notes.jsonl")
    with pytest.raises(WrongUsageError, match="ends with"):
        joined_execution(tmp_path / "notes.txt")


SERVER = """
import sys
import namel3ss_debug
import uvicorn
namel3ss_debug.initialize_tracing(trace_output_dir=sys.argv[1])
async def app(scope, receive, send):
    while scope["type"] == "lifespan":
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.startup":
            print("serves", flush=True)
        if message["type"] == "lifespan.shutdown":
            return
uvicorn.run(app, port=0, log_level="critical")
"""


@pytest.mark.parametrize(
    ("number", "outcome"), [(signal.SIGTERM, "stopped"), (signal.SIGKILL, "killed")], ids=["term", "kill"]
)
def test_a_server_that_sigterm_shut_down_was_stopped(tmp_path, number, outcome):
    """It has recorded its end, and nothing lowers its health; one that was killed is called so."""
    pytest.importorskip("uvicorn")
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", SERVER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout.readline() == "serves\n"
        server.send_signal(number)
        server.wait()
    assert server.returncode == -number
    document = analyze(open_trace(find_trace(None, tmp_path)))
    overview = document["execution_overview"]
    assert (overview["outcome"], overview["status"]) == (outcome, outcome)
    assert (document["health"]["finding_count"] == 0) == (outcome == "stopped")
