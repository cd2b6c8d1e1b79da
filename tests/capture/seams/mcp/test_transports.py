"""Ways to MCP servers: opened for real while recording, silent where a recording answers."""

from __future__ import annotations

import contextlib
import json
import types

import anyio
import pytest

from namel3ss_debug.capture.core import delivery, switch
from namel3ss_debug.capture.core.context import INSIDE
from namel3ss_debug.capture.seams.mcp import transports
from namel3ss_debug.capture.seams.mcp.connections import Connections


@pytest.fixture
def module():
    """A module with a transport; `opened` tells whether its tasks carry what is recorded already."""

    @contextlib.asynccontextmanager
    async def stdio_client(server):
        module.opened.append(INSIDE.get())
        if server.command == "gone":
            raise FileNotFoundError(2, "No such file or directory", "gone")
        if server.command == "group":
            raise ExceptionGroup("of tasks", [ConnectionRefusedError("nobody listens")])
        async with anyio.create_task_group() as group:
            if server.command == "refused":
                group.start_soon(refuse)
            yield object(), object()
        module.closed.append(INSIDE.get())

    async def refuse():
        raise ConnectionRefusedError("nobody listens")

    module = types.SimpleNamespace(stdio_client=stdio_client, opened=[], closed=[])
    return module


@pytest.fixture
def client(module):
    """Opens the transport, as the program would."""
    undo = []

    def make(command="/usr/bin/python3", args=("server.py",)):
        if not undo:
            undo.extend(transports.patch(module, Connections(switch.ACTIVE), "stdio", ("stdio_client",)))
        return module.stdio_client(types.SimpleNamespace(command=command, args=list(args), env={"KEY": "s"}))

    yield make
    while undo:
        undo.pop()()


class Model:
    """Something that a weak reference can be made to, as a session."""


def events(path):
    """The events of component `mcp` in a recording."""
    found = map(json.loads, path.read_text().splitlines())
    return [event for event in found if event.get("component") == "mcp"]


def test_a_connection_tells_what_was_started(tracer, module, client):
    """The command and its arguments, not its environment; the call is over once the server is there."""

    async def run():
        async with client() as streams:
            assert len(streams) == 2
            assert not INSIDE.get()
            assert len(events(tracer.writer.first)) == 2

    anyio.run(run)
    begun, ended = events(tracer.writer.first)
    assert begun["inputs"] == {"transport": "stdio", "command": "/usr/bin/python3", "args": ["server.py"]}
    assert ended["outputs"] == {"result": {"streams": 2}}
    assert (module.opened, module.closed) == ([True], [True])


def test_a_server_that_cannot_be_started_fails_as_without_us(tracer, client):
    """The same exception, told at the connection."""

    async def run():
        async with client("gone"):
            pass

    with pytest.raises(FileNotFoundError):
        anyio.run(run)
    assert events(tracer.writer.first)[-1]["error_type"] == "FileNotFoundError"


def test_a_late_connection_is_opened_late(shell, monkeypatch, module, client):
    """By the latency that the user wants; it is made all the same."""
    pauses = []

    async def sleep(seconds):
        pauses.append((seconds, len(module.opened)))

    async def run():
        async with client():
            pass

    monkeypatch.setattr(delivery, "sleep", sleep)
    shell.words["connect"] = {"fault": {"kind": "latency", "delay_ms": 1500.0}}
    anyio.run(run)
    assert (1.5, 0) in pauses
    assert module.opened == [True]


def test_a_group_that_a_connection_fails_by_is_told_with_its_members(tracer, client):
    """A transport has a group of tasks, and fails with their exceptions."""
    with pytest.raises(ExceptionGroup):
        anyio.run(use, client("group"))
    [told] = events(tracer.writer.first)[-1]["metadata"]["raised"]["exceptions"]
    assert told == {"type": "ConnectionRefusedError", "text": "nobody listens"}


async def use(way):
    """Wait for an answer on a connection, without end."""
    async with way:
        await anyio.sleep_forever()


def test_a_transport_that_fails_while_it_is_used_tells_why(tracer, client):
    """What the program did with it is only cancelled; the program gets the same group of exceptions."""
    with pytest.raises(ExceptionGroup) as found:
        anyio.run(use, client("refused"))
    assert [f"{error}" for error in found.value.exceptions] == ["nobody listens"]
    connected, told = events(tracer.writer.first)[-2:]
    assert (told["event_type"], told["error_type"]) == ("error_occurred", "ConnectionRefusedError")
    assert told["metadata"]["mcp"]["connection"] == connected["parent_event_id"]


def test_what_the_program_raises_on_a_connection_is_no_failure_of_its_transport(tracer, client):
    """Though the transport puts it into a group."""

    async def run():
        async with client():
            raise KeyError("mine")

    with pytest.raises(ExceptionGroup):
        anyio.run(run)
    assert [event["event_type"] for event in events(tracer.writer.first)] == ["mcp_start", "mcp_end"]


RECORDED = {"answer": {"streams": 3}, "outputs": {"result": {"streams": 3}}, "recorded": True}


def test_a_recorded_connection_starts_nothing(shell, module, client):
    """There are as many streams as there were, and they can be read, written and closed."""
    shell.words = {"connect": RECORDED}

    async def run():
        async with client() as (read, write, session_id):
            assert session_id() is None
            await write.send(types.SimpleNamespace(message=types.SimpleNamespace(method="hello")))
            await write.aclose()
            await read.aclose()

    anyio.run(run)
    assert module.opened == []


def test_what_fails_inside_is_grouped_as_with_a_server(shell, client):
    """Both sides of a transport have a group of tasks around the program's block."""
    shell.words = {"connect": RECORDED}

    async def run():
        async with client():
            raise KeyError("mine")

    with pytest.raises(ExceptionGroup) as found:
        anyio.run(run)
    assert [type(error) for error in found.value.exceptions] == [KeyError]


def test_a_recorded_connection_is_broken_off_as_it_was(shell, module):
    """What waits there is cancelled, and the program gets the exception in a group."""
    shell.words = {"connect": RECORDED}
    connections = Connections(switch.ACTIVE)
    [undo] = transports.patch(module, connections, "stdio", ("stdio_client",))

    async def run():
        way = module.stdio_client(types.SimpleNamespace(command="python3", args=[]))
        async with way as (read, *_):
            session = Model()
            connections.add_session(session, read)
            connections.connection_of(session).break_off(ConnectionRefusedError("nobody listens"))
            await anyio.sleep_forever()

    with pytest.raises(ExceptionGroup) as found:
        anyio.run(run)
    undo()
    assert [f"{error}" for error in found.value.exceptions] == ["nobody listens"]


def test_a_request_that_no_seam_has_answered_is_refused(shell, client):
    """It would be waited for without end."""
    pytest.importorskip("mcp")
    from mcp.shared.message import SessionMessage

    try:
        from mcp_types import JSONRPCRequest
    except ImportError:
        from mcp.types import JSONRPCMessage, JSONRPCRequest
    else:
        JSONRPCMessage = lambda message: message  # noqa: N806, E731  (version 1 has a class)
    shell.words = {"connect": RECORDED}

    async def run():
        async with client() as (read, write, _):
            asked = JSONRPCRequest(jsonrpc="2.0", id=7, method="tools/call", params={})
            await write.send(SessionMessage(JSONRPCMessage(asked)))
            message = (await read.receive()).message
            return getattr(message, "root", message)

    answer = anyio.run(run)
    assert (answer.id, answer.error.code) == (7, -32000)
    assert "there is no server" in answer.error.message
