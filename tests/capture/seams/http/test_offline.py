"""A program that runs on a recording reaches no network: what is refused, what stays open, and what the shell is told."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from namel3ss_debug.capture.core import switch
from namel3ss_debug.capture.launch.parent import RUNNER
from namel3ss_debug.capture.launch.start import shutdown_tracing
from namel3ss_debug.capture.seams.http import offline, unrecorded
from namel3ss_debug.hooks import trace_tool_call

OFFLINE = pytest.mark.parametrize("shell", [{"offline": True}], indirect=True)
FAR = ("192.0.2.1", 9)
"""An address that is nobody's (RFC 5737)."""


@OFFLINE
def test_a_request_for_real_opens_the_network_to_its_own_process_alone(shell):
    """A process that another thread forks meanwhile does not see its end, and stays closed."""
    network = switch.ACTIVE.network
    network.open()
    pid = os.fork()
    if not pid:
        os._exit(0 if network.is_closed() else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert not network.is_closed()
    network.close()
    assert network.is_closed()


def told(shell):
    """The addresses of the attempts in the recording."""
    events = [json.loads(line) for line in shell.trace.read_text().splitlines()]
    return [e["metadata"]["address"] for e in events if e["event_type"] == "divergence"]


SERVER = """
import http.server, os, sys, threading

class Quiet(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_args):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
if os.fork():
    os._exit(0)  # the server is nobody's child any more
print(server.server_port, flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.read()
"""


@pytest.fixture
def server():
    """The port of a server of another program, on loopback."""
    command = [sys.executable, "-c", SERVER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        yield int(child.stdout.readline())
        child.stdin.close()


@OFFLINE
def test_connections_look_ups_and_datagrams_are_refused_and_told(shell):
    """Whatever goes through the socket module ends before it leaves, each attempt once; and later all passes again."""
    with pytest.raises(ConnectionRefusedError, match="the network is closed"):
        socket.create_connection(FAR)
    with socket.socket() as stream:
        assert stream.connect_ex(FAR) == errno.ECONNREFUSED
    with pytest.raises(ConnectionRefusedError):
        socket.getaddrinfo("example.com", 443)
    with pytest.raises(ConnectionRefusedError):
        socket.gethostbyname("example.com")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams, pytest.raises(ConnectionRefusedError):
        datagrams.sendto(b"x", FAR)
    assert told(shell) == ["192.0.2.1:9", "192.0.2.1:9", "example.com:443", "example.com", "192.0.2.1:9"]
    connect_ex = socket.socket.connect_ex
    shutdown_tracing()
    assert socket.socket.connect_ex is not connect_ex
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.connect(("127.0.0.1", 9))


@OFFLINE
def test_what_is_no_network_stays_open(shell):
    """Names of this machine, addresses, pairs of sockets, and a port of loopback where nobody listens."""
    assert socket.getaddrinfo("localhost", 80)
    assert socket.getaddrinfo("192.0.2.1", 80)
    for end in socket.socketpair():
        end.close()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionRefusedError) as caught:
            socket.create_connection(probe.getsockname())
    assert "closed" not in str(caught.value)
    assert told(shell) == []


class SubprocessCLITransport:
    """The way of claude-agent-sdk to its program."""

    async def connect(self):
        """Start it."""
        return "started"


@pytest.fixture
def start():
    """A function that starts the program as claude-agent-sdk does, which is followed."""
    name = "claude_agent_sdk._internal.transport.subprocess_cli"
    module = SimpleNamespace(__name__=name, SubprocessCLITransport=SubprocessCLITransport)
    undo = unrecorded.patch(module, SimpleNamespace(tracer=switch.ACTIVE))
    yield lambda: asyncio.run(SubprocessCLITransport().connect())
    undo.pop()()


@OFFLINE
def test_a_program_that_asks_models_by_itself_is_not_started(shell, start):
    """Nothing else would keep it from the network."""
    with pytest.raises(ConnectionRefusedError, match="the program claude"):
        start()
    assert told(shell) == ["the program claude"]


def test_such_a_program_is_started_and_told_as_not_recorded_where_no_network_is_closed(shell, start):
    """As a websocket is."""
    assert start() == "started"
    problem = "the program claude of claude-agent-sdk was used, but it is not recorded"
    assert switch.ACTIVE.problems == {problem: 1}


@OFFLINE
def test_asyncio_is_refused_as_well(shell):
    """Connections of a loop, by address and by name, fail with the same error."""

    async def connect(host):
        await asyncio.open_connection(host, 443)

    for host in ("192.0.2.1", "example.com"):
        with pytest.raises(ConnectionRefusedError):
            asyncio.run(connect(host))
    assert told(shell) == ["192.0.2.1:443", "example.com:443"]


@OFFLINE
def test_servers_of_the_program_are_reached_and_those_of_others_are_not(shell, server):
    """On loopback it counts who listens."""
    with socket.create_server(("127.0.0.1", 0)) as own, socket.create_connection(own.getsockname()):
        pass
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server))
    assert told(shell) == [f"127.0.0.1:{server}"]


@OFFLINE
def test_a_service_on_loopback_that_is_gone_is_told_at_the_end(shell):
    """Nobody came to listen there; a port where the program's own server has come to, is none."""
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.create_server(("127.0.0.1", 0)) as other:
        gone, late = taken.getsockname(), other.getsockname()
    for address in (gone, late, gone):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
    with socket.create_server(late), socket.create_connection(late):
        pass
    assert told(shell) == []
    shutdown_tracing()
    assert told(shell) == [f"127.0.0.1:{gone[1]}"]


@OFFLINE
def test_a_tool_that_runs_for_real_reaches_the_network_while_it_runs(shell, server):
    """Also in the threads that it starts; before and after, and beside it, nothing does."""
    reached = []

    def connect():
        try:
            socket.create_connection(("127.0.0.1", server)).close()
            reached.append(True)
        except ConnectionRefusedError:
            reached.append(False)

    @trace_tool_call
    def fetch():
        connect()
        thread = threading.Thread(target=connect)
        thread.start()
        thread.join()

    @trace_tool_call
    async def fetch_on_loop():
        connect()

    shell.words = {"fetch": {"run": True}, "fetch_on_loop": {"run": True}}
    connect()
    fetch()
    asyncio.run(fetch_on_loop())
    connect()
    assert reached == [False, True, True, True, False]


@OFFLINE
def test_a_request_that_is_made_for_real_reaches_its_server(shell, server):
    """What the shell lets pass by name is sent, whatever the library; the next one is not."""
    import aiohttp
    import httpx2
    import requests

    url = f"http://127.0.0.1:{server}/"

    async def get():
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return response.status

    for ask in (
        lambda: httpx2.get(url, trust_env=False).status_code,
        lambda: requests.get(url, proxies={"no_proxy": "*"}).status_code,
        lambda: asyncio.run(get()),
    ):
        shell.words[url[7:-1]] = {"run": True}
        assert ask() == 204
        shell.words[url[7:-1]] = {}
        with pytest.raises((httpx2.ConnectError, requests.ConnectionError, aiohttp.ClientError)):
            ask()


@OFFLINE
def test_reports_of_sdks_are_answered_and_neither_sent_nor_told(shell):
    """Telemetry gets an answer that every SDK takes, over each library, and nothing of it is recorded."""
    import httpx2
    import requests

    for url in ("https://us.i.posthog.com/batch/", "https://api.smith.langchain.com/runs/batch"):
        assert httpx2.post(url, json={}).json()["status"] == 1
        assert requests.post(url, json={}).status_code == 200
    with pytest.raises(ConnectionRefusedError):
        socket.getaddrinfo("o1.ingest.us.sentry.io", 443)
    types = {json.loads(line)["event_type"] for line in shell.trace.read_text().splitlines()}
    assert types == {"trace_start"}


@OFFLINE
def test_the_network_opens_when_the_recording_is_left_behind(shell, server):
    """With `live` the program goes on by itself; from then on it reaches what it asks for."""

    @trace_tool_call
    def last():
        return 1

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server))
    shell.words["last"] = {"live": True}
    last()
    socket.create_connection(("127.0.0.1", server)).close()


CHILD = """
import socket, sys, os
try:
    socket.create_connection(("127.0.0.1", int(sys.argv[1]))).close()
    print("reached")
except ConnectionRefusedError as error:
    print("refused")
"""
PARENT = f"""
import os, subprocess, sys
subprocess.run([sys.executable, "-c", {CHILD!r}, sys.argv[1]], check=True)
sys.stdout.flush()
if os.fork() == 0:
    exec({CHILD!r})
    sys.stdout.flush()
    os._exit(0)
os.wait()
"""


def run_child(shell, tmp_path, server, text=PARENT, **more):
    """Run a program, by default one with a child and a fork, under the runner, offline; what it prints."""
    (tmp_path / "app.py").write_text(text)
    session = {
        "trace": str(tmp_path / "t.jsonl"),
        "execution_id": "e",
        "settings": shell.settings,
        "root": str(tmp_path),
        "step_socket": shell.address,
        "offline": True,
    } | more
    boot = os.path.join(os.path.dirname(RUNNER), "boot")
    environment = os.environ | {"NAMEL3SS_DEBUG_SESSION": json.dumps(session), "PYTHONPATH": boot}
    command = [sys.executable, str(RUNNER), "script", str(tmp_path / "app.py"), str(server)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == ""
    return done.stdout.split()


@OFFLINE
def test_child_processes_are_kept_offline_too(shell, tmp_path, server):
    """What the program starts and what it forks is refused, and tells the shell itself."""
    assert run_child(shell, tmp_path, server) == ["refused", "refused"]
    events = [shell.told.get()[1] for _ in range(shell.told.qsize())]
    assert sum(event["event_type"] == "divergence" for event in events) == 2


def test_a_server_of_the_program_is_looked_for_once(tracer, monkeypatch):
    """To look at what all processes listen on takes long; another port is looked for."""
    asked = []
    monkeypatch.setattr(offline, "_find_listeners", lambda port: asked.append(port) or {os.getpid()})
    network = offline.Offline(tracer)
    for port in (8000, 8000, 8001):
        assert not network._is_foreign_server("127.0.0.1", port, connects=True)
    assert asked == [8000, 8001]


LEAVES = """
import os, socket, subprocess, sys
server = "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); s.settimeout(20); s.accept()"
read, write = os.pipe()
if os.fork() == 0:
    subprocess.Popen([sys.executable, "-c", server], stdout=write, start_new_session=True)
    os._exit(0)
os.wait()
os.close(write)
port = int(os.fdopen(read).readline())
socket.create_connection(("127.0.0.1", port)).close()
print("reached")
"""


@OFFLINE
def test_a_server_that_the_program_left_in_the_background_is_its_own(shell, tmp_path, server):
    """What has lost its parent, as a daemon has, was started by the program all the same, and may be reached."""
    assert run_child(shell, tmp_path, server, LEAVES) == ["reached"]


def waiting_program(tmp_path, shell):
    """The command and the environment of `app.py` on a recording, and the socket at which it asks."""
    gate = str(tmp_path / "gate")
    session = {
        "trace": str(tmp_path / "t.jsonl"),
        "execution_id": "e",
        "settings": shell.settings,
        "offline": True,
        "step_socket": gate,
    }
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(gate)
    listening.listen()
    command = [sys.executable, str(RUNNER), "script", str(tmp_path / "app.py")]
    return command, os.environ | {"NAMEL3SS_DEBUG_SESSION": json.dumps(session)}, listening


def test_a_program_on_a_recording_ends_when_nobody_answers_it_any_more(tmp_path, shell):
    """When the shell is gone the program gets SIGTERM, and no call of it is made."""
    (tmp_path / "app.py").write_text(
        "import signal\nsignal.signal(signal.SIGTERM, lambda *_: print('told'))\n"
        "from namel3ss_debug.hooks import trace_tool_call\n"
        "@trace_tool_call\ndef tool():\n    print('ran')\n"
        "try:\n    tool()\nexcept ConnectionError as error:\n    print(error)\n"
    )
    command, environment, listening = waiting_program(tmp_path, shell)
    with listening:

        def serve():
            connection, _ = listening.accept()
            with connection, connection.makefile("rb") as lines:
                event = json.loads(lines.readline()[1:])
                connection.sendall(json.dumps({"at": event["event_id"]}).encode() + b"\n")
                lines.readline()

        threading.Thread(target=serve, daemon=True).start()
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=60
        )
    assert done.stdout.splitlines() == ["told", "the debugger has ended, so no call is answered"]


def test_a_program_that_waits_for_what_never_comes_ends_with_the_debugger(tmp_path, shell):
    """A call that the recorded program gave up is waited for; nobody is left behind when the shell has gone."""
    (tmp_path / "app.py").write_text(
        "from namel3ss_debug.hooks import trace_tool_call\n"
        "@trace_tool_call\ndef tool():\n    print('ran')\n"
        "tool()\n"
    )
    command, environment, listening = waiting_program(tmp_path, shell)
    with listening, subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as child:
        connection, _ = listening.accept()
        with connection, connection.makefile("rb") as lines:
            for word in ({}, {"given_up": True}):
                event = json.loads(lines.readline()[1:])
                connection.sendall(json.dumps({"at": event["event_id"]} | word).encode() + b"\n")
            assert event["event_type"] == "tool_call_start"
        assert child.stdout.read() == b""
        assert child.wait(timeout=30) == -signal.SIGTERM
