"""Each request to an ASGI application is a span, under servers and in the test clients that need none."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import traceback
from importlib import import_module

import pytest

from namel3ss_debug import TracedASGI, shutdown_tracing
from namel3ss_debug.capture.core import switch
from namel3ss_debug.capture.frameworks import SEAMS, asgi
from namel3ss_debug.capture.seams.http import traceparent
from namel3ss_debug.traces.reader import open_trace

httpx2 = pytest.importorskip("httpx2")
URL = "http://service"


async def app(scope, receive, send):
    """Answer in three pieces what the path asks for; in /background, work goes on after the answer."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        switch.ACTIVE.emit("decision", component="app", component_name="inside")
        await send({"type": "websocket.close", "code": 1000})
        return
    if scope["type"] != "http":
        return
    path = scope["path"]
    scope["route"] = type("Route", (), {"path": "/{name}"})()
    if path == "/fails":
        raise ValueError("no answer")
    await asyncio.sleep(0)
    await send(
        {"type": "http.response.start", "status": int(path[1:]) if path[1:].isdigit() else 200, "headers": []}
    )
    for piece in (b"one", b"two", b""):
        switch.ACTIVE.emit("decision", component="app", component_name=path)
        await send({"type": "http.response.body", "body": piece, "more_body": bool(piece)})
    if path == "/background":
        await asyncio.create_task(later())


async def later():
    """Record that the work after an answer was done."""
    switch.ACTIVE.emit("decision", component="app", component_name="later")


def events_by_name():
    """Stop tracing, and return the starts, the ends and the decisions by name."""
    found = {"request_start": {}, "request_end": {}, "decision": {}}
    for event in open_trace(shutdown_tracing()).events():
        if event["event_type"] in found:
            found[event["event_type"]].setdefault(event["component_name"], []).append(event)
    return found.values()


async def ask(*paths, headers=None, application=app):
    """Send requests at the same time without a server, and return the texts of the answers."""
    transport = httpx2.ASGITransport(application, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url=URL, headers=headers) as client:
        return [answer.text for answer in await asyncio.gather(*map(client.get, paths))]


def test_requests_at_the_same_time_are_trees_of_their_own(tracer):
    """What an application does for a request is inside its span, which has method, path, route and status."""
    assert asyncio.run(ask("/a?x=1", "/b", "/c")) == ["onetwo"] * 3
    starts, ends, inside = events_by_name()
    for path in ("/a", "/b", "/c"):
        (start,), (end,) = starts[f"GET {path}"], ends[f"GET {path}"]
        assert {event["parent_event_id"] for event in inside[path]} == {start["event_id"]}
        assert (end["outputs"], end["status"]) == ({"status": 200, "route": "/{name}"}, "completed")
    assert starts["GET /a"][0]["inputs"] == {"method": "GET", "path": "/a", "query": "x=1"}
    assert tracer.problems == {}


def test_a_span_ends_with_the_last_piece_and_background_work_belongs_to_it(tracer):
    """What a task does after the answer names the request, whose time does not include it."""
    asyncio.run(ask("/background"))
    starts, ends, inside = events_by_name()
    (start,), (end,), (later_on,) = starts["GET /background"], ends["GET /background"], inside["later"]
    assert later_on["parent_event_id"] == start["event_id"]
    assert later_on["seq"] > end["seq"]


def test_a_failure_is_that_of_the_request(tracer):
    """An exception that leaves the application, and a status from 500 on, fail the span; a status of 404 does not."""
    asyncio.run(ask("/fails", "/503", "/404"))
    _, ends, _ = events_by_name()
    (fails,), (busy,), (missing,) = ends["GET /fails"], ends["GET /503"], ends["GET /404"]
    assert (fails["status"], fails["error_type"], fails["error"]) == ("failed", "ValueError", "no answer")
    assert (busy["status"], busy["error_type"]) == ("failed", "HTTP 503")
    assert missing["status"] == "completed"


def test_a_request_continues_the_trace_of_its_sender(tracer):
    """A request with a `traceparent` of this trace is inside the span that sent it."""
    header = traceparent.write(tracer.execution_id, "1")
    asyncio.run(ask("/a", headers={"traceparent": header}))
    starts, _, _ = events_by_name()
    assert starts["GET /a"][0]["parent_event_id"] == "1"


def test_requests_that_are_left_out_leave_their_contents_where_they_are(tracing):
    """Where the settings leave out the component, what happens in a request belongs to the span around it."""
    tracer = tracing(default_components=["app"])
    with tracer.span("app", "outer"):
        assert asyncio.run(ask("/a")) == ["onetwo"]
    starts, _, inside = events_by_name()
    assert starts == {}
    assert {event["parent_event_id"] for event in inside["/a"]} == {"2"}


def test_an_application_in_traced_asgi_has_one_span(tracer):
    """The line that other servers need does no harm where it is not needed."""
    asyncio.run(ask("/a", application=TracedASGI(app)))
    starts, _, _ = events_by_name()
    assert len(starts["GET /a"]) == 1


def test_no_frame_of_ours_stands_in_tracebacks_and_stacks(tracing):
    """An application sees the same stack, and its exceptions the same frames, with and without recording."""
    seen = []

    async def looks(scope, receive, send):
        seen.append([frame.name for frame in traceback.extract_stack()])
        try:
            await send({})
        except Exception as error:
            seen.append([frame.name for frame in traceback.extract_tb(error.__traceback__)])
            raise

    async def run():
        transport = httpx2.ASGITransport(looks)
        async with httpx2.AsyncClient(transport=transport, base_url=URL) as client:
            with pytest.raises(KeyError):
                await client.get("/")

    asyncio.run(run())
    plain, seen = seen, []
    tracing()
    asyncio.run(run())
    assert seen == plain


def test_nothing_is_followed_after_the_end(tracing):
    """The functions of the server have their own code again."""
    transport = import_module("httpx2._transports.asgi").ASGITransport.handle_async_request
    plain = transport.__code__
    tracing()
    assert transport.__code__ is not plain
    shutdown_tracing()
    assert transport.__code__ is plain


PROGRAM = """
import asyncio
import httpx2
from httpx2._transports.asgi import ASGITransport

plain = ASGITransport.handle_async_request.__code__

async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})

async def main():
    transport = ASGITransport(app)
    assert ASGITransport.handle_async_request.__code__ is not plain, "the first transport has its function edited"
    async with httpx2.AsyncClient(transport=transport, base_url="http://service") as client:
        print((await client.get("/a")).status_code)

asyncio.run(main())
"""


def test_a_transport_is_followed_from_the_first_that_is_made(tmp_path):
    """A program that imports the package and makes no transport pays nothing for it."""
    (tmp_path / "program.py").write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, "-m", "namel3ss_debug", "trace", "-o", "run.jsonl", "program.py"],
        cwd=tmp_path,
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "204\n"), done.stderr
    types = [event["event_type"] for event in open_trace(tmp_path / "run.jsonl").events()]
    assert "request_end" in types


def test_every_caller_has_a_row():
    """A server that is followed has a row in the table of frameworks, and the other way round."""
    assert {name for name, seam in SEAMS.items() if seam.module == "asgi"} == set(asgi.CALLERS)


@pytest.mark.parametrize("module", sorted(asgi.CALLERS))
def test_callers_that_are_installed_can_be_followed(tracing, module):
    """In the releases that are here, each function awaits the application in the way that is edited."""
    pytest.importorskip(module, exc_type=ImportError)
    tracer = tracing()
    assert not [problem for problem in tracer.problems if module in problem]


def test_the_test_client_of_starlette(tracer):
    """Requests and websockets of the test client are spans, and its answers the same."""
    testclient = pytest.importorskip("starlette.testclient", exc_type=ImportError)
    client = testclient.TestClient(app)
    assert client.get("/a").text == "onetwo"
    with client.websocket_connect("/talk"):
        pass
    starts, ends, inside = events_by_name()
    assert inside["inside"][0]["parent_event_id"] == starts["WEBSOCKET /talk"][0]["event_id"]
    assert ends["WEBSOCKET /talk"][0]["outputs"] == {"code": 1000}
    assert ends["GET /a"][0]["outputs"]["status"] == 200


def test_a_server_of_uvicorn(tracer):
    """A request over a socket is a span of the thread that serves."""
    uvicorn = pytest.importorskip("uvicorn")
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", lifespan="off"))
    serving = threading.Thread(target=server.run)
    serving.start()
    while not server.started:
        serving.join(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    assert httpx2.get(f"http://127.0.0.1:{port}/a").text == "onetwo"
    server.should_exit = True
    serving.join()
    starts, ends, inside = events_by_name()
    assert {event["parent_event_id"] for event in inside["/a"]} == {starts["GET /a"][0]["event_id"]}
    assert ends["GET /a"][0]["outputs"]["status"] == 200
