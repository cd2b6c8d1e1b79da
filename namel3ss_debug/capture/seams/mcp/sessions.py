"""A program's requests to an MCP server: tool calls as such, everything else as calls of component `mcp`.

Results are recorded as they were on the wire, and a re-run makes the types of the package from them again. The failure
of a tool is a result with `isError`; an error of the protocol is an exception with a code. Progress and log messages
that the program listens to are part of the call, and a re-run delivers them again.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

from namel3ss_debug.capture.core import announced, task_paths
from namel3ss_debug.capture.core.context import INSIDE
from namel3ss_debug.capture.core.patching import Undo, hide_own_frame, replace
from namel3ss_debug.capture.core.tracer import OpenSpan, is_in_tool, set_result
from namel3ss_debug.capture.seams.functions import hot_calls
from namel3ss_debug.capture.seams.functions.replies import Reply, take_reply
from namel3ss_debug.capture.seams.http.exchanges import leave
from namel3ss_debug.capture.seams.mcp.connections import Connection, Connections

_CALL = "tools/call"
_LIST = "tools/list"
_DISCOVER = "server/discover"
_PROGRESS = "notifications/progress"
_LOG = "notifications/message"
_SERVER_INFO = "io.modelcontextprotocol/serverInfo"


def patch(module: Any, connections: Connections) -> list[Undo]:
    """Record the requests of sessions. Requests of the server to the program are recorded as the program's own work."""
    kind = module.ClientSession
    wrappers: dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]] = {
        "__init__": lambda original: _wrap_init(original, connections),
        "send_request": lambda original: _wrap_send_request(original, connections),
        "send_discover": lambda original: _wrap_send_discover(original, connections),
        "send_notification": lambda original: _wrap_send_notification(original, connections),
        "_on_request": _wrap_handler,
        "_on_notify": _wrap_handler,
    }
    needed = ("__init__", "send_request", "send_notification")
    return [
        replace(kind, name, wrap) for name, wrap in wrappers.items() if name in needed or hasattr(kind, name)
    ]


def _wrap_init(original: Callable[..., Any], connections: Connections) -> Callable[..., Any]:
    """Remember the streams of each new session, and record its log messages."""

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807  (it replaces one)
        on_log = kwargs.get("logging_callback")
        if on_log is not None:
            kwargs["logging_callback"] = _wrap_log_callback(self, on_log, connections)
        try:
            original(self, *args, **kwargs)
        except BaseException as error:
            hide_own_frame(error)
            raise
        connections.add_session(self, args[0] if args else kwargs.get("read_stream"))
        connections.connection_of(self).on_log = on_log

    return __init__


def _wrap_log_callback(
    session: Any, on_log: Callable[..., Any], connections: Connections
) -> Callable[..., Any]:
    """Return a callback for log messages that adds them to the latest pending request of the session, if any."""

    async def logged(params: Any) -> Any:
        pending = connections.connection_of(session).pending
        if pending:
            pending[-1].note(_LOG, lambda: params.model_dump(by_alias=True, mode="json", exclude_unset=True))
        return await on_log(params)

    return logged


def _wrap_send_request(original: Callable[..., Any], connections: Connections) -> Callable[..., Any]:
    """Record each request of a session. A request with a recorded answer is not sent."""

    async def send_request(self: Any, request: Any, result_type: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            message = getattr(request, "root", request)
            dumped = message.model_dump(by_alias=True, mode="json", exclude_none=True)
            pending = _begin(connections, self, dumped["method"], dumped.get("params") or {})
        except Exception as error:
            connections.tracer.problem("an MCP request could not be recorded", error)
            pending = None
        if pending is None:
            try:
                return await original(self, request, result_type, *args, **kwargs)
            except BaseException as error:
                hide_own_frame(error)
                raise
        on_progress = kwargs.get("progress_callback")
        if on_progress is not None:
            kwargs["progress_callback"] = pending.wrap_progress_callback(on_progress)
        with pending:
            if pending.is_answered:
                return _parse_result(result_type, await pending.answer(on_progress))
            await pending.wait_to_send()
            with connections.within_call(pending.connection):
                result = await original(self, request, result_type, *args, **kwargs)
            pending.record_result(result)
        return result

    return send_request


def _wrap_send_discover(original: Callable[..., Any], connections: Connections) -> Callable[..., Any]:
    """Record a client's request before there is a session, for which the package has a function of its own."""

    async def send_discover(self: Any, version: str, *args: Any, **kwargs: Any) -> Any:
        pending = _begin(connections, self, _DISCOVER, {"version": version})
        if pending is None:
            try:
                return await original(self, version, *args, **kwargs)
            except BaseException as error:
                hide_own_frame(error)
                raise
        with pending:
            if pending.is_answered:
                return await pending.answer()
            await pending.wait_to_send()
            with connections.within_call(pending.connection):
                result = await original(self, version, *args, **kwargs)
            pending.record_result(result)
        return result

    return send_discover


def _wrap_send_notification(original: Callable[..., Any], connections: Connections) -> Callable[..., Any]:
    async def send_notification(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            with connections.within_call(connections.connection_of(self)):
                return await original(self, *args, **kwargs)
        except BaseException as error:
            hide_own_frame(error)
            raise

    return send_notification


def _wrap_handler(original: Callable[..., Any]) -> Callable[..., Any]:
    """Run a handler of the program outside the recorded transport, so that its own calls are recorded."""

    async def handle(*args: Any, **kwargs: Any) -> Any:
        token = INSIDE.set(False)
        try:
            return await original(*args, **kwargs)
        except BaseException as error:
            hide_own_frame(error)
            raise
        finally:
            leave(token, None)

    return handle


def _begin(
    connections: Connections, session: Any, method: str, params: Mapping[str, Any]
) -> _PendingRequest | None:
    """Begin to record a request. Return `None` if it is part of a call that is recorded already."""
    if INSIDE.get():
        return None
    tracer, connection = connections.tracer, connections.connection_of(session)
    metadata: dict[str, Any] = {"chain": tracer.sites.chain(0)} | connection.to_metadata()
    metadata |= task_paths.call_metadata()
    params = {name: value for name, value in params.items() if name != "_meta"}
    name = params.get("name")
    if method == _CALL and isinstance(name, str) and not is_in_tool(name):
        arguments = params.get("arguments") or {}
        inputs: dict[str, Any] = {"arguments": arguments}
        requested = None if hot_calls.TAKE is None else hot_calls.TAKE(name, arguments, served=True)
        if requested is not None:
            inputs |= {"call_id": requested.call_id} if requested.call_id else {}
            metadata["asked_in"] = requested.asked_in
        announced.mark_recorded(announced.TOOL, announced.announced_name(name))
        span = tracer.span("tool", name, inputs, metadata)
    else:
        span = tracer.span("mcp", method, params, metadata)
    return _PendingRequest(connections, session, connection, span.open())


class _PendingRequest:
    """A request that waits for its answer. As a context manager, it lasts until the answer is there."""

    def __init__(
        self, connections: Connections, session: Any, connection: Connection, span: OpenSpan
    ) -> None:
        self.connection = connection
        self._tracer = connections.tracer
        self._session = session
        self._span = span
        self._notes: list[dict[str, Any]] = []
        connection.pending.append(self)
        self._reply: Reply | None = take_reply(self._tracer, span)

    @property
    def is_answered(self) -> bool:
        """Return whether the request is answered without being sent."""
        return self._reply is not None and self._reply.answers

    async def wait_to_send(self) -> None:
        """Wait until the request may be sent."""
        if self._reply is not None:
            await self._reply.wait_before_async()

    def note(self, method: str, params: Callable[[], Any]) -> None:
        """Note a message of the server that the program receives before the answer."""
        try:
            self._notes.append({"method": method, "params": params()})
        except Exception as error:
            self._tracer.problem("a message of an MCP server could not be recorded", error)

    def wrap_progress_callback(self, on_progress: Callable[..., Any]) -> Callable[..., Any]:
        """Return a progress callback that notes the progress."""

        async def on_noted_progress(*args: Any) -> Any:
            self.note(_PROGRESS, lambda: dict(zip(("progress", "total", "message"), args, strict=False)))
            return await on_progress(*args)

        return on_noted_progress

    async def _replay_notes(self, notes: Any, on_progress: Callable[..., Any] | None) -> None:
        """Pass the recorded messages of the server to the callbacks of this run."""
        for note in notes if isinstance(notes, list) else ():
            params = note.get("params") or {}
            self._notes.append(note)
            if note.get("method") == _PROGRESS and on_progress is not None:
                await on_progress(params.get("progress"), params.get("total"), params.get("message"))
            elif note.get("method") == _LOG and self.connection.on_log is not None:
                await self.connection.on_log(_types().LoggingMessageNotificationParams(**params))

    async def answer(self, on_progress: Callable[..., Any] | None = None) -> Any:
        """Return the recorded answer as it would be on the wire.

        Args:
            on_progress: the program's progress callback.

        Raises:
            BaseException: the recorded error.
        """
        reply = self._reply
        assert reply is not None
        lost = await reply.wait_for_loss()
        # The transport failed while this request waited, so it fails again and cancels the request.
        if lost is not None and self.connection.break_off is not None:
            self.connection.break_off(lost)
        value = await reply.wait_async()
        if reply.recorded:
            await self._replay_notes((reply.outputs or {}).get("notifications"), on_progress)
        failure = (reply.outputs or {}).get("error")
        if isinstance(failure, Mapping) and reply.recorded:
            raise _make_protocol_error(failure)
        if self._span.component == "tool" and not reply.recorded:
            value = self._complete_mock(value)
        self._set_result(value)
        return value

    def record_result(self, result: Any) -> None:
        """Record the answer of the server."""
        try:
            dump = getattr(result, "model_dump", None)
            self._set_result(result if dump is None else dump(by_alias=True, mode="json", exclude_unset=True))
        except Exception as error:
            self._tracer.problem("an answer of an MCP server could not be recorded", error)

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None:
            self._record_error(error)
        self.connection.pending.remove(self)
        if self._notes:
            outputs = self._span.outputs
            self._span.set_output(
                {**(outputs if isinstance(outputs, dict) else {}), "notifications": self._notes}
            )
        self._span.leave()
        self._span.close(error)

    def _record_error(self, error: BaseException) -> None:
        """Record the error of the protocol, and hide our frame from the program's traceback."""
        data: Any = getattr(error, "error", None)
        if hasattr(data, "code") and hasattr(data, "message") and hasattr(data, "model_dump"):
            self._span.set_output({"error": data.model_dump(mode="json", exclude_none=True)})
        hide_own_frame(error)

    def _set_result(self, result: Any) -> None:
        """Write the result into the span, and remember what it shows about the server."""
        set_result(self._span, self._tracer, result)
        if not isinstance(result, Mapping):
            return
        info = result.get("serverInfo") or (result.get("_meta") or {}).get(_SERVER_INFO)
        if self._span.component == "mcp" and isinstance(info, Mapping):
            self.connection.server = str(info.get("name"))
            self.connection.protocol = result.get("protocolVersion") or self.connection.protocol
        if self._span.component == "mcp" and self._span.name == _LIST:
            tools = result.get("tools") or ()
            announced.SERVED.update(str(tool.get("name")) for tool in tools if isinstance(tool, Mapping))
        if self._span.component == "tool" and result.get("isError") is True:
            self._span.set(status="failed", error_type="tool_error", error=_text_of(result))

    def _complete_mock(self, value: Any) -> Any:
        """Return the user's value as the result of the tool. A value that is a whole result stays as it is."""
        schemas = getattr(self._session, "_tool_output_schemas", {})
        is_known = self._span.name in schemas
        # Without an entry, the session would request the schema from the server.
        schema = schemas.setdefault(self._span.name, None)
        if isinstance(value, dict) and isinstance(value.get("content"), list):
            return value
        text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
        result: dict[str, Any] = {"content": [{"type": "text", "text": text}], "isError": False}
        if is_known and schema is None:
            return result
        # A server that returns anything but an object wraps it as `result`, which its schema then requires.
        is_wrapped = isinstance(schema, dict) and schema.get("required") == ["result"]
        if is_wrapped and not (isinstance(value, dict) and value.keys() == {"result"}):
            return result | {"structuredContent": {"result": value}}
        return result | ({"structuredContent": value} if isinstance(value, dict) else {})


def _parse_result(result_type: Any, value: Any) -> Any:
    """Return a result as the type that the program expects.

    `result_type` is a model, or a pydantic adapter for a choice of several.
    """
    if hasattr(result_type, "validate_python"):
        return result_type.validate_python(value)
    return result_type.model_validate(value)


def _make_protocol_error(failure: Mapping[str, Any]) -> BaseException:
    exceptions: Any = sys.modules["mcp.shared.exceptions"]
    data = _types().ErrorData(**failure)
    kind = getattr(exceptions, "MCPError", None) or exceptions.McpError
    make = getattr(kind, "from_error_data", kind)
    error: BaseException = make(data)
    return error


def _types() -> Any:
    """Return the module with the types of the protocol, which version 1 of the package contains itself."""
    return sys.modules.get("mcp_types") or sys.modules["mcp.types"]


def _text_of(result: Mapping[str, Any]) -> str:
    """Return the text of a result."""
    parts = [part.get("text") for part in result.get("content") or () if isinstance(part, Mapping)]
    return "\n".join(part for part in parts if isinstance(part, str))
