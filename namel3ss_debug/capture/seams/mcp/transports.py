"""Connections to MCP servers: opened for real while a program is recorded, without a server during a re-run.

Opening one is a call of its own, `connect`, because it starts a server that is a process. A connection without a server
has streams like any other. It answers a request that reaches them, because it has no recorded answer, with an error.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from namel3ss_debug.capture.core import task_paths
from namel3ss_debug.capture.core.context import INSIDE
from namel3ss_debug.capture.core.failures import exception_state, to_failure
from namel3ss_debug.capture.core.patching import Undo, hide_own_frame, replace
from namel3ss_debug.capture.core.tracer import OpenSpan, add_metadata, set_result
from namel3ss_debug.capture.seams.functions.replies import take_reply
from namel3ss_debug.capture.seams.inputs import opened_files
from namel3ss_debug.capture.seams.mcp.connections import Connection, Connections

_CONNECT = "connect"
_NO_SERVER = -32000
_MOST_STREAMS = 3


def patch(module: Any, connections: Connections, transport: str, names: Sequence[str]) -> list[Undo]:
    """Record the connections that a module opens.

    Args:
        module: the module.
        connections: the connections of this process.
        transport: the name of its transport.
        names: the functions that open one. If the module has none of them, the first is reported as missing.
    """
    present = [name for name in names if hasattr(module, name)] or list(names[:1])

    def wrap_client(original: Callable[..., Any]) -> Callable[..., Any]:
        def client(*args: Any, **kwargs: Any) -> Any:
            return _Client(connections, transport, original, args, kwargs)

        return client

    return [replace(module, name, wrap_client) for name in present]


class _Client:
    """The context manager that the program enters to be connected."""

    def __init__(
        self,
        connections: Connections,
        transport: str,
        original: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> None:
        self._connections = connections
        self._connection = Connection(transport)
        self._server = args[0] if args else kwargs.get("url", kwargs.get("server"))
        self._open: Callable[[], Any] = lambda: original(*args, **kwargs)
        self._inner: Any = None

    async def __aenter__(self) -> Any:
        if INSIDE.get():  # one transport opens another
            self._inner = self._open()
            return await self._inner.__aenter__()
        tracer, connection = self._connections.tracer, self._connection
        span = self._begin()
        connection.event_id = span.event_id
        try:
            reply = take_reply(tracer, span)
            if reply is not None and reply.answers:
                self._inner = offline = _OfflineTransport(await reply.wait_async())
                streams = await offline.__aenter__()
                connection.break_off = offline.break_off
            else:
                connection.real = reply is not None
                if reply is not None:
                    await reply.wait_before_async()
                self._inner = self._open()
                with self._connections.within_call(connection):
                    streams = await self._inner.__aenter__()
            self._connections.add_stream(streams[0], connection)
            set_result(span, tracer, {"streams": len(streams)})
        except BaseException as error:
            if state := self._error_state(error):
                add_metadata(span, state)
            span.leave()
            span.close(error)
            hide_own_frame(error)
            raise
        span.leave()
        span.close()
        return streams

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Any:
        self._connections.remove(self._connection)
        try:
            with self._connections.within_call(self._connection):
                return await self._inner.__aexit__(kind, error, trace)
        except BaseException as raised:
            own = [part for part in _leaves(raised) if part not in _leaves(error)]
            lost = next((part for part in own if isinstance(part, Exception)), None)
            if lost is not None and self._connection.event_id:
                self._record_lost_connection(lost)
            hide_own_frame(raised)
            raise

    def _record_lost_connection(self, error: Exception) -> None:
        """Record that the transport itself failed, which cancelled what the program did with it."""
        tracer = self._connections.tracer
        metadata = self._connection.to_metadata() | self._error_state(error)
        fields = to_failure(error, tracer.payloads).fields()
        tracer.emit("error_occurred", component="mcp", component_name=_CONNECT, metadata=metadata, **fields)

    def _error_state(self, error: BaseException) -> dict[str, Any]:
        """Return the state of an exception, often of a group of them, as metadata of an event."""
        tracer = self._connections.tracer
        try:
            state = exception_state(error, tracer.payloads, tracer.sites)
        except Exception as problem:  # an exception may have anything in it
            tracer.problem("the state of an exception of an MCP connection could not be recorded", problem)
            return {}
        return {"raised": state} if state else {}

    def _begin(self) -> OpenSpan:
        """Open the span of the connection. Its address is recorded without credentials."""
        tracer, connection = self._connections.tracer, self._connection
        inputs: dict[str, Any] = {"transport": connection.transport}
        if connection.transport == "stdio":
            command = str(getattr(self._server, "command", ""))
            connection.server = os.path.basename(command) or None
            inputs |= {"command": command, "args": [*map(str, getattr(self._server, "args", ()))]}
        else:
            connection.server = urlsplit(str(self._server)).netloc.rpartition("@")[2] or None
            inputs["url"] = tracer.payloads.url(str(self._server))
        metadata: dict[str, Any] = {
            "chain": tracer.sites.chain(0),
            "mcp": {"transport": connection.transport},
        }
        metadata |= task_paths.call_metadata()
        if connection.transport == "stdio" and tracer.keeps_payloads:
            metadata |= self._describe_files(inputs)
        return tracer.span("mcp", _CONNECT, inputs, metadata).open()

    def _describe_files(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the digests of the server's files, and its working directory if it has one of its own."""
        from namel3ss_debug.traces.server_files import digest_server_files  # most programs start no server

        folder = getattr(self._server, "cwd", None)
        with opened_files.hidden():
            files = digest_server_files([inputs["command"], *inputs["args"]], Path(os.getcwd(), folder or ""))
        return ({"server_files": files} if files else {}) | ({"server_cwd": str(folder)} if folder else {})


class _OfflineTransport:
    """A transport without a server."""

    def __init__(self, recorded: Any) -> None:
        count = recorded.get("streams") if isinstance(recorded, dict) else None
        self._count = count if isinstance(count, int) else 2
        anyio: Any = sys.modules["anyio"]
        self._group = anyio.create_task_group()
        self._to_program, self._read = anyio.create_memory_object_stream(math.inf)
        self._write, self._from_program = anyio.create_memory_object_stream(math.inf)

    async def __aenter__(self) -> tuple[Any, ...]:
        await self._group.__aenter__()
        self._group.start_soon(self._refuse)
        return (self._read, self._write, lambda: None)[: min(self._count, _MOST_STREAMS)]

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Any:
        self._group.cancel_scope.cancel()
        try:
            return await self._group.__aexit__(kind, error, trace)
        finally:
            for stream in (self._to_program, self._read, self._write, self._from_program):
                stream.close()

    def break_off(self, error: BaseException) -> None:
        """Raise an exception in the task group, which cancels what the program does with the transport."""
        self._group.start_soon(self._fail, error)

    async def _fail(self, error: BaseException) -> None:
        raise error

    async def _refuse(self) -> None:
        async for message in self._from_program:
            request = getattr(message.message, "root", message.message)
            if getattr(request, "method", None) is not None and getattr(request, "id", None) is not None:
                answer = make_refusal(request)
                if request is not message.message:
                    answer = type(message.message)(answer)
                self._to_program.send_nowait(type(message)(answer))


def _leaves(error: BaseException | None) -> list[BaseException]:
    """Return the exceptions in a group, or the exception itself."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [] if error is None else [error]


def make_refusal(request: Any) -> Any:
    """Return the answer to a request for which there is no server."""
    types: Any = sys.modules.get("mcp_types") or sys.modules["mcp.types"]
    text = f"{request.method}: there is no server during a re-run"
    return types.JSONRPCError(
        jsonrpc="2.0", id=request.id, error=types.ErrorData(code=_NO_SERVER, message=text)
    )
