"""What sessions with MCP servers ask, recorded and answered, on a stand-in for the package: no server, no process."""

from __future__ import annotations

import asyncio
import contextvars
import json
import os
import sys
import types
from typing import ClassVar

import pytest

from namel3ss_debug.capture.core import announced, switch
from namel3ss_debug.capture.core.context import INSIDE
from namel3ss_debug.capture.core.patching import when_imported
from namel3ss_debug.capture.frameworks.structure import Structure
from namel3ss_debug.capture.seams.functions.requested_calls import ToolCalls
from namel3ss_debug.capture.seams.mcp import sessions
from namel3ss_debug.capture.seams.mcp.connections import Connection, Connections
from namel3ss_debug.hooks import trace_tool_call


class Model:
    """A message of the package: what it holds, as JSON has it."""

    def __init__(self, **held):
        self.held = held

    def model_dump(self, **_form):
        """What it holds."""
        return self.held

    @classmethod
    def model_validate(cls, held):
        """One that holds this."""
        return cls(**held)


class ProtocolError(Exception):
    """An error with a code."""

    def __init__(self, **told):
        super().__init__(told["message"])
        self.error = types.SimpleNamespace(**told, model_dump=lambda **_form: told)


@pytest.fixture
def session_class():
    """A class of sessions like that of the package; `answers` says what the server answers, by method or tool."""

    class ClientSession:
        """A session whose server is a table."""

        answers: ClassVar = {}
        inside: ClassVar = []

        def __init__(self, read_stream, write_stream, logging_callback=None):
            self.read_stream = read_stream
            self.logging_callback = logging_callback

        async def send_request(self, request, result_type):
            self.inside.append(INSIDE.get())
            await asyncio.sleep(0)
            held = request.model_dump()
            answer = self.answers[held.get("params", {}).get("name", held["method"])]
            if isinstance(answer, Exception):
                raise answer
            return result_type(**answer)

        async def send_notification(self, _notification):
            self.inside.append(INSIDE.get())

    return ClientSession


@pytest.fixture
def connected(session_class):
    """A session that the seam follows, on a connection over pipes."""
    undo = []

    def make():
        connections = Connections(switch.ACTIVE)
        undo.extend(sessions.patch(types.SimpleNamespace(ClientSession=session_class), connections))
        stream = object()
        connections.add_stream(stream, Connection("stdio", "python3", "7"))
        return session_class(stream, None)

    yield make
    while undo:
        undo.pop()()


def ask(session, method, **params):
    """Ask the server."""
    return asyncio.run(session.send_request(Model(method=method, params=params), Model)).held


def call(session, name, **arguments):
    """Call a tool of the server."""
    return ask(session, "tools/call", name=name, arguments=arguments, _meta={"progressToken": 1})


def events(path, kind):
    """The events of a recording whose type begins so."""
    found = map(json.loads, path.read_text().splitlines())
    return [event for event in found if event["event_type"].startswith(kind)]


def text(words):
    """A result that says this."""
    return {"content": [{"type": "text", "text": words}]}


def test_a_call_of_a_tool_is_a_tool_call_of_its_server(tracer, session_class, connected):
    """The server has the name that it gives itself when the session begins; what comes below is not recorded again."""
    session = connected()
    session_class.answers = {
        "initialize": {"protocolVersion": "2025-11-25", "serverInfo": {"name": "weather"}},
        "add": text("3"),
    }
    ask(session, "initialize")
    assert call(session, "add", a=1, b=2) == text("3")
    assert session_class.inside == [True, True]
    (begun,), (ended,) = (events(tracer.writer.first, f"tool_call_{kind}") for kind in ("start", "end"))
    assert begun["inputs"] == {"arguments": {"a": 1, "b": 2}}
    assert begun["metadata"]["server"] == "weather"
    assert begun["metadata"]["mcp"] == {"transport": "stdio", "connection": "7", "protocol": "2025-11-25"}
    assert ended["outputs"] == {"result": text("3")}
    assert [event["component_name"] for event in events(tracer.writer.first, "mcp_start")] == ["initialize"]


def test_a_tool_that_failed_says_so_and_raises_nothing(tracer, session_class, connected):
    """The result is that of the server."""
    session_class.answers = {"add": text("no numbers") | {"isError": True}}
    assert call(connected(), "add")["isError"] is True
    (ended,) = events(tracer.writer.first, "tool_call_end")
    assert (ended["status"], ended["error_type"], ended["error"]) == ("failed", "tool_error", "no numbers")


def test_an_error_of_the_protocol_keeps_its_code(tracer, session_class, connected):
    """It is the failure of the call."""
    session_class.answers = {"add": ProtocolError(code=-32602, message="bad arguments")}
    with pytest.raises(ProtocolError):
        call(connected(), "add")
    (ended,) = events(tracer.writer.first, "tool_call_end")
    assert (ended["status"], ended["outputs"]) == (
        "failed",
        {"error": {"code": -32602, "message": "bad arguments"}},
    )


def test_a_call_inside_a_tool_of_its_name_is_counted_once(tracer, session_class, connected):
    """A function that only hands the call on is the tool call; what it asks stands inside it."""
    session = connected()
    session_class.answers = {"add": text("3")}

    @trace_tool_call
    def add():
        return call(session, "add")

    add()
    assert len(events(tracer.writer.first, "tool_call_start")) == 1
    (inner,) = events(tracer.writer.first, "mcp_start")
    assert inner["component_name"] == "tools/call"


@pytest.mark.parametrize("name", ["add", "python3_add"])
def test_a_tool_that_a_server_has_listed_is_recorded_where_the_server_is_asked(
    tracer, session_class, connected, monkeypatch, name
):
    """A framework that has made a tool of it tells of the same call: it fails and is answered as any other of the server.

    The framework may put the name of the server before that of the tool.
    """
    monkeypatch.setattr(announced, "SERVED", set())
    session = connected()
    session_class.answers = {"tools/list": {"tools": [{"name": "add"}]}, "add": text("3") | {"isError": True}}
    ask(session, "tools/list")
    structure = Structure(tracer, ToolCalls(lambda _names: None, lambda _call, _result: None), "loom")
    structure.begin_tool(1, name, {"a": 1})
    call(session, "add", a=1)
    structure.end_tool(1, "3")
    (begun,) = events(tracer.writer.first, "tool_call_start")
    (ended,) = events(tracer.writer.first, "tool_call_end")
    assert (begun["metadata"].get("seen"), begun["metadata"]["server"]) == (None, "python3")
    assert (ended["status"], ended["error_type"]) == ("failed", "tool_error")


@pytest.mark.parametrize(
    ("schemas", "given", "result"),
    [
        ({}, "cold", text("cold") | {"isError": False}),
        ({}, {"t": 1}, text('{\n  "t": 1\n}') | {"isError": False, "structuredContent": {"t": 1}}),
        ({"add": None}, {"t": 1}, text('{\n  "t": 1\n}') | {"isError": False}),
        (
            {"add": {"required": ["result"]}},
            9,
            text("9") | {"isError": False, "structuredContent": {"result": 9}},
        ),
        ({}, text("whole") | {"isError": True}, text("whole") | {"isError": True}),
    ],
)
def test_a_value_that_is_given_becomes_a_result(shell, session_class, connected, schemas, given, result):
    """As the tool would have given it; a whole result stays as it is. The server is not asked."""
    session = connected()
    session._tool_output_schemas = dict(schemas)
    shell.answers = {"add": given}
    assert call(session, "add") == result
    assert "add" in session._tool_output_schemas
    assert session_class.inside == []


def test_a_recorded_answer_comes_back_as_it_was(shell, session_class, connected):
    """Of a tool and of everything else."""
    session = connected()
    shell.words = {
        name: {"answer": text(name), "outputs": {"result": text(name)}, "recorded": True}
        for name in ("add", "resources/read")
    }
    assert call(session, "add") == text("add")
    assert ask(session, "resources/read", uri="a://b") == text("resources/read")
    assert session_class.inside == []


async def heard(into, *words):
    """A listener of the program."""
    into.append(words)


def test_progress_is_part_of_the_call_and_told_again(shell, session_class, connected):
    """To whoever listens then; the words are those that came."""
    session = connected()
    plain, again = [], []

    async def send_request(self, _request, result_type, *, progress_callback):
        await progress_callback(0.5, 1.0, "half")
        return result_type(**text("done"))

    async def run(into):
        request = Model(method="tools/call", params={"name": "work"})
        await session.send_request(request, Model, progress_callback=lambda *words: heard(into, *words))

    original, session_class.send_request = session_class.send_request, send_request
    undo = sessions.patch(types.SimpleNamespace(ClientSession=session_class), Connections(switch.ACTIVE))
    asyncio.run(run(plain))
    outputs = events(shell.trace, "tool_call_end")[-1]["outputs"]
    params = {"progress": 0.5, "total": 1.0, "message": "half"}
    assert outputs == {
        "result": text("done"),
        "notifications": [{"method": "notifications/progress", "params": params}],
    }
    shell.words = {"work": {"answer": text("done"), "outputs": outputs, "recorded": True}}
    asyncio.run(run(again))
    assert plain == again == [(0.5, 1.0, "half")]
    assert events(shell.trace, "tool_call_end")[-1]["outputs"] == outputs
    while undo:
        undo.pop()()
    session_class.send_request = original


def test_log_messages_are_part_of_the_call_that_waits_and_told_again(shell, connected, monkeypatch):
    """As the listener of the session gets them; without one they are nothing to the program."""
    told = []
    session = connected()
    monkeypatch.setitem(
        sys.modules, "mcp_types", types.SimpleNamespace(LoggingMessageNotificationParams=Model)
    )
    listening = type(session)(
        "another stream", None, logging_callback=lambda params: heard(told, params.held)
    )
    notes = [{"method": "notifications/message", "params": {"level": "info", "data": "log 0"}}]
    outputs = {"result": text("done"), "notifications": notes}
    shell.words = {"work": {"answer": text("done"), "outputs": outputs, "recorded": True}}
    call(listening, "work")
    call(session, "work")
    assert told == [({"level": "info", "data": "log 0"},)]


def test_requests_of_the_server_are_answered_as_the_program_s_own(tracer, session_class, connected):
    """What a callback asks is recorded, though it may have come in the context of what carries it."""
    seen = []

    async def _on_request(_self):
        seen.append(INSIDE.get())

    session_class._on_request = _on_request
    session = connected()

    async def run():
        token = INSIDE.set(True)
        await session._on_request()
        await session.send_notification(None)
        INSIDE.reset(token)

    asyncio.run(run())
    assert (seen, session_class.inside) == ([False], [True])


def test_what_fails_shows_no_frame_of_ours(tracer, session_class, connected):
    """A session that is not made, a notification, the answer to a request of the server, and what is part of another call."""

    async def fails(*_words):
        raise ConnectionError("it is closed")

    for name in ("send_request", "send_notification", "_on_request"):
        setattr(session_class, name, fails)
    session = connected()

    async def run(name):
        token = INSIDE.set(True)
        try:
            await getattr(session, name)(Model(method="ping"), Model)
        finally:
            INSIDE.reset(token)

    ours = os.path.dirname(sessions.__file__)
    for name in ("send_request", "send_notification", "_on_request"):
        with pytest.raises(ConnectionError) as caught:
            asyncio.run(run(name))
        assert not [entry for entry in caught.traceback if str(entry.path).startswith(ours)]
    with pytest.raises(TypeError) as caught:
        session_class()
    assert not [entry for entry in caught.traceback if str(entry.path).startswith(ours)]


def test_a_request_of_the_server_that_is_never_answered_is_closed_in_silence(
    tracer, session_class, connected
):
    """As by a loop that ends: that does it outside of the task, in another context."""

    async def _on_request(_self):
        await asyncio.sleep(0)

    session_class._on_request = _on_request
    request = connected()._on_request()
    contextvars.copy_context().run(request.send, None)
    request.close()


def test_a_version_without_these_seams_is_named_and_left_alone(tracer):
    """The program is none the worse for it."""
    problems = []
    module = types.ModuleType("stand_in_for_mcp_session")
    module.ClientSession = type("ClientSession", (), {})
    sys.modules[module.__name__] = module
    try:
        patch = {module.__name__: lambda found: sessions.patch(found, Connections(tracer))}
        when_imported(patch, problems.append)()
    finally:
        del sys.modules[module.__name__]
    assert len(problems) == 1
    assert problems[0].startswith("stand_in_for_mcp_session is not recorded")
