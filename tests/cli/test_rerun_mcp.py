"""Unmodified clients of MCP servers: recorded with a server over pipes and over HTTP, then run again without one."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parents[1] / "data" / "programs_mcp"

pytest.importorskip("mcp")


class Workbench:
    """A folder with a client and its server, in which it is recorded and run again."""

    def __init__(self, folder):
        self.folder = folder
        self.calls = folder / "calls.txt"
        self.environment = os.environ | {"CALLS": str(self.calls), "PYTHON_COLORS": "0"}

    def run(self, *words):
        """Run Python in the folder."""
        return subprocess.run(
            [sys.executable, *words],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            timeout=60,
            check=False,
            text=True,
        )

    def record(self, *arguments):
        """Record the client; the calls that reached the server are forgotten."""
        done = self.run("-m", "namel3ss_debug", "trace", "-o", "run.jsonl", "client.py", *arguments)
        assert done.returncode == 0, done.stderr
        self.calls.unlink()
        return done

    def rerun(self, *options):
        """Run the recorded client again."""
        return self.run("-m", "namel3ss_debug", "rerun", "run.jsonl", *options)

    @property
    def events(self):
        """The events of the recording."""
        return [json.loads(line) for line in (self.folder / "run.jsonl").read_text().splitlines()]

    def spans(self):
        """Component and name of each span in the recording, in order."""
        begun = (event for event in self.events if event["event_type"].endswith("_start"))
        return [(event["component"], event["component_name"]) for event in begun if "component_name" in event]


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """A client that was recorded with a server over its pipes, which is gone."""
    folder = tmp_path_factory.mktemp("mcp").resolve()
    shutil.copytree(PROGRAMS, folder, dirs_exist_ok=True)
    bench = Workbench(folder)
    bench.recorded = bench.record()
    (folder / "server.py").rename(folder / "server.kept")
    return bench


SPANS = [
    ("mcp", "connect"),
    ("mcp", "initialize"),
    ("mcp", "tools/list"),
    ("tool", "get_weather"),
    ("tool", "get_weather"),
    *[("tool", "add")] * 3,
    ("mcp", "resources/read"),
    ("mcp", "prompts/get"),
    ("mcp", "prompts/get"),
]


def test_tools_of_a_server_are_tool_calls_with_its_name(bench):
    """Arguments and result stand in the recording, and which server it was; everything else is told as what it is."""
    assert bench.spans() == SPANS
    begun = next(event for event in bench.events if event["event_type"] == "tool_call_start")
    assert begun["inputs"] == {"arguments": {"city": "Oslo"}}
    assert begun["metadata"]["server"] == "weather"
    assert begun["metadata"]["mcp"]["transport"] == "stdio"
    lines = (PROGRAMS / "client.py").read_text().splitlines()
    file, _, line = begun["call_site"].rpartition(":")
    assert file == "client.py"
    assert "Oslo" in lines[int(line) - 1]
    ended = [event for event in bench.events if event["event_type"] == "tool_call_end"]
    assert json.loads(ended[0]["outputs"]["result"]["content"][0]["text"]) == {"city": "Oslo", "temp_c": 12}
    assert (ended[1]["status"], ended[1]["error_type"]) == ("failed", "tool_error")
    assert "Error executing tool get_weather" in ended[1]["error"]
    refused = next(
        event for event in reversed(bench.events) if event["event_type"] == "mcp_end" and "outputs" in event
    )
    assert refused["outputs"]["error"] == {"code": 0, "message": "Unknown prompt: nothing"}


def test_a_client_over_pipes_runs_again_without_its_server(bench):
    """The same output, and no process was started: the program of the server is not there any more."""
    again = bench.rerun()
    assert (again.returncode, again.stdout) == (0, bench.recorded.stdout), again.stderr
    assert "answered  11 as recorded" in again.stderr
    assert not bench.calls.exists()


def test_an_answer_given_for_a_tool_of_a_server_is_a_result_of_that_server(bench):
    """A plain value becomes the text that the model would read, and the structured value where the tool has one."""
    again = bench.rerun("--mock", 'get_weather@1:{"temp_c": -30}', "--mock", "add@2:99")
    assert again.returncode == 0, again.stderr
    assert '"temp_c": -30' in again.stdout
    assert "'result': 99" in again.stdout
    assert "answered  9 as recorded, 2 by your overrides" in again.stderr


@pytest.mark.slow
def test_a_fault_of_a_tool_of_a_server_is_raised(bench):
    """As for every other tool."""
    again = bench.rerun("--fault", "get_weather@1:error:ConnectionError:the line is dead")
    assert "ConnectionError: the line is dead" in again.stderr
    assert again.returncode == 1


@pytest.mark.slow
def test_a_tool_that_is_run_starts_its_server_and_the_others_are_answered(bench):
    """The server is there for the tool that is named, and is not asked for another."""
    shutil.copy(bench.folder / "server.kept", bench.folder / "server.py")
    try:
        again = bench.rerun("--run-tools", "get_weather")
    finally:
        (bench.folder / "server.py").unlink()
    assert again.stdout == bench.recorded.stdout
    assert bench.calls.read_text().split() == ["get_weather", "get_weather"]
    bench.calls.unlink()


@pytest.mark.slow
def test_a_tool_that_is_called_anew_stops_the_run_with_the_ways_out(bench):
    """Its server is not asked."""
    client = bench.folder / "client.py"
    text = client.read_text()
    client.write_text(
        text.replace(
            "        print(await session.read_resource",
            "        print(await session.call_tool('sub', {}))\n        print(await session.read_resource",
        )
    )
    try:
        again = bench.rerun()
    finally:
        client.write_text(text)
    told = " ".join(again.stderr.split())
    assert again.returncode == 1
    assert "calls sub, and the trace holds no answer for this call" in told
    assert "--run-tools sub" in told


UNREACHED = """
import asyncio, sys
from mcp import ClientSession
from mcp.client import streamable_http

opened = getattr(streamable_http, "streamable_http_client", None) or streamable_http.streamablehttp_client


async def main():
    async with opened(sys.argv[1]) as streams, ClientSession(streams[0], streams[1]) as session:
        await session.initialize()


try:
    asyncio.run(main())
except BaseException as error:
    print(type(error).__name__, [type(each).__name__ for each in error.exceptions])
"""


def test_a_server_that_is_not_reached_is_not_reached_again(tmp_path):
    """The transport fails by itself, which cancels the request; it would be waited for without end."""
    bench = Workbench(tmp_path.resolve())
    (tmp_path / "client.py").write_text(UNREACHED)
    bench.calls.touch()
    first = bench.record(f"http://127.0.0.1:{free_port()}/mcp")
    assert first.stdout == "ExceptionGroup ['ConnectError']\n"
    again = bench.rerun()
    assert (again.returncode, again.stdout) == (0, first.stdout), again.stderr


def free_port():
    """A port of loopback that nobody uses."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


@pytest.mark.slow
def test_a_client_over_http_runs_again_without_its_server(tmp_path):
    """The requests below are not recorded a second time."""
    shutil.copytree(PROGRAMS, tmp_path, dirs_exist_ok=True)
    bench, port = Workbench(tmp_path.resolve()), free_port()
    with subprocess.Popen(
        [sys.executable, "server.py", str(port)], cwd=tmp_path, env=bench.environment, stderr=subprocess.PIPE
    ) as server:
        try:
            while b"Uvicorn running" not in server.stderr.readline():
                assert server.poll() is None
            first = bench.record(f"http://127.0.0.1:{port}/mcp")
        finally:
            server.terminate()
            server.stderr.read()
    assert bench.spans() == SPANS
    again = bench.rerun()
    assert (again.returncode, again.stdout) == (0, first.stdout), again.stderr


STARTS_ITS_SERVER = """
import asyncio, socket, subprocess, sys, time
from mcp import ClientSession
from mcp.client import streamable_http

open_client = getattr(streamable_http, "streamable_http_client", None) or streamable_http.streamablehttp_client

with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
server = subprocess.Popen([sys.executable, "server.py", str(port)], stdout=-3, stderr=-3)
for _ in range(600):
    try:
        socket.create_connection(("127.0.0.1", port), 0.2).close()
        break
    except OSError:
        time.sleep(0.05)

async def main():
    async with open_client(f"http://127.0.0.1:{port}/mcp") as streams:
        async with ClientSession(streams[0], streams[1]) as session:
            await session.initialize()
            print([tool.name for tool in (await session.list_tools()).tools])
            print((await session.call_tool("add", {"a": 1, "b": 2})).content[0].text)

try:
    asyncio.run(main())
finally:
    server.terminate()
    print(server.wait())
"""


def test_a_program_that_starts_its_own_server_on_a_free_port_re_runs(tmp_path):
    """The server starts again on another port, and the report names it; the tool is answered."""
    shutil.copytree(PROGRAMS, tmp_path, dirs_exist_ok=True)
    (tmp_path / "client.py").write_text(STARTS_ITS_SERVER)
    bench = Workbench(tmp_path.resolve())
    first = bench.record()
    again = bench.rerun()
    assert (again.returncode, again.stdout) == (0, first.stdout), again.stderr
    assert first.stdout.splitlines() == ["['get_weather', 'add']", "3", "-15"]
    assert not bench.calls.exists()
    [started] = [line.split() for line in again.stderr.splitlines() if line.startswith("  started")]
    assert started[2] == "server.py"
    server = Path(sys.executable).name
    assert f"Not compared: what the server {server} printed and wrote" in " ".join(again.stderr.split())
    [command] = [event for event in bench.events if event["event_type"] == "command_start"]
    assert started[3].rstrip(",") != command["inputs"]["arguments"][2]
