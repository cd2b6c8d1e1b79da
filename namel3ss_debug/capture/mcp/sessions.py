"""What a program asks of an MCP server: calls of tools as tool calls, everything else as calls of component `mcp`.

Results are recorded as they stood on the wire, and made into the types of the package again where a recording answers.
A tool's own failure is a result that says so; one of the protocol is an exception with a code. What a server tells
while it works, progress and log messages that the program listens to, is part of the call, and told again where a
recording answers.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

from namel3ss_debug.capture import beneath, hooks
from namel3ss_debug.capture.determinism import lineage
from namel3ss_debug.capture.exchanges import INSIDE, leave
from namel3ss_debug.capture.mcp.connections import Connection, Connections
from namel3ss_debug.capture.patching import Undo, hide_own_frame, replace
from namel3ss_debug.capture.replies import Reply, take_reply
from namel3ss_debug.capture.results import set_result
from namel3ss_debug.capture.spans import Span, is_in_tool

_CALL = "tools/call"
_LIST = "tools/list"
_DISCOVER = "server/discover"
_PROGRESS = "notifications/progress"
_LOG = "notifications/message"
_SERVER_INFO = "io.modelcontextprotocol/serverInfo"


def patch(module: Any, connections: Connections) -> list[Undo]:
    """Record what sessions ask; requests of the server to the program run as the program's own."""
    kind = module.ClientSession
    wrappers: dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]] = {
        "__init__": lambda original: _making(original, connections),
        "send_request": lambda original: _asking(original, connections),
        "send_discover": lambda original: _discovering(original, connections),
        "send_notification": lambda original: _telling(original, connections),
        "_on_request": _outside,
        "_on_notify": _outside,
    }
    needed = ("__init__", "send_request", "send_notification")
    return [
        replace(kind, name, how) for name, how in wrappers.items() if name in needed or hasattr(kind, name)
    ]


def _making(original: Callable[..., Any], connections: Connections) -> Callable[..., Any]:
    """Let each new session be known by its streams, and its log messages be recorded."""

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807  (it stands in the place of one)
        on_log = kwargs.get("logging_callback")
        if on_log is not None:
            kwargs["logging_callback"] = _listening(self, on_log, connections)
        try:
            original(self, *args, **kwargs)
        except BaseException as error:
            hide_own_frame(error)
            raise
        connections.begun(self, args[0] if args else kwargs.get("read_stream"))
        connections.of(self).on_log = on_log

    return __init__


def _listening(session: Any, on_log: Callable[..., Any], connections: Connections) -> Callable[..., Any]:
    """A listener to log messages that notes them at the latest request of the session, if one waits."""

    async def logged(params: Any) -> Any:
        asked = connections.of(session).asked
        if asked:
            asked[-1].note(_LOG, lambda: params.model_dump(by_alias=True, mode="json", exclude_unset=True))
        return await on_log(params)

    return logged


def _asking(original: Callable[..., Any], connections: Connections) -> Callable[..., Any]:
    """Record each request of a session; one with an answer is not sent."""

    async def send_request(self: Any, request: Any, result_type: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            plain = getattr(request, "root", request)
            dumped = plain.model_dump(by_alias=True, mode="json", exclude_none=True)
            asked = _begin(connections, self, dumped["method"], dumped.get("params") or {})
        except Exception as error:
            connections.tracer.problem("an MCP request could not be recorded", error)
            asked = None
        if asked is None:
            try:
                return await original(self, request, result_type, *args, **kwargs)
            except BaseException as error:
                hide_own_frame(error)
                raise
        on_progress = kwargs.get("progress_callback")
        if on_progress is not None:
            kwargs["progress_callback"] = asked.following(on_progress)
        with asked:
            if asked.is_answered:
                return _typed(result_type, await asked.answer(on_progress))
            await asked.ready()
            with connections.beneath(asked.connection):
                result = await original(self, request, result_type, *args, **kwargs)
            asked.got(result)
        return result

    return send_request


def _discovering(original: Callable[..., Any], connections: Connections) -> Callable[..., Any]:
    """Record what a client asks of a server before there is a session, through a function of its own."""

    async def send_discover(self: Any, version: str, *args: Any, **kwargs: Any) -> Any:
        asked = _begin(connections, self, _DISCOVER, {"version": version})
        if asked is None:
            try:
                return await original(self, version, *args, **kwargs)
            except BaseException as error:
                hide_own_frame(error)
                raise
        with asked:
            if asked.is_answered:
                return await asked.answer()
            await asked.ready()
            with connections.beneath(asked.connection):
                result = await original(self, version, *args, **kwargs)
            asked.got(result)
        return result

    return send_discover


def _telling(original: Callable[..., Any], connections: Connections) -> Callable[..., Any]:
    async def send_notification(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            with connections.beneath(connections.of(self)):
                return await original(self, *args, **kwargs)
        except BaseException as error:
            hide_own_frame(error)
            raise

    return send_notification


def _outside(original: Callable[..., Any]) -> Callable[..., Any]:
    """Run a handler of the program outside the transport of its message, so that its own calls are recorded."""

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


def _begin(connections: Connections, session: Any, method: str, params: Mapping[str, Any]) -> _Asked | None:
    """Begin to record a request; `None` where it is part of a call that is recorded already."""
    if INSIDE.get():
        return None
    tracer, connection = connections.tracer, connections.of(session)
    metadata: dict[str, Any] = {"chain": tracer.sites.chain(0)} | connection.told()
    metadata |= lineage.told()
    params = {name: value for name, value in params.items() if name != "_meta"}
    name = params.get("name")
    if method == _CALL and isinstance(name, str) and not is_in_tool(name):
        arguments = params.get("arguments") or {}
        inputs: dict[str, Any] = {"arguments": arguments}
        asked = None if hooks.TAKE is None else hooks.TAKE(name, arguments, served=True)
        if asked is not None:
            inputs |= {"call_id": asked.call_id} if asked.call_id else {}
            metadata["asked_in"] = asked.asked_in
        beneath.recorded(beneath.TOOL, beneath.name_told(name))
        span = tracer.span("tool", name, inputs, metadata)
    else:
        span = tracer.span("mcp", method, params, metadata)
    return _Asked(connections, session, connection, span.open())


class _Asked:
    """A request that was sent, or is answered without being sent; as a block, it lasts until there is an answer."""

    def __init__(self, connections: Connections, session: Any, connection: Connection, span: Span) -> None:
        self.connection = connection
        self._tracer = connections.tracer
        self._session = session
        self._span = span
        self._notes: list[dict[str, Any]] = []
        connection.asked.append(self)
        self._reply: Reply | None = take_reply(self._tracer, span)

    @property
    def is_answered(self) -> bool:
        """Whether the request is answered without being sent."""
        return self._reply is not None and self._reply.answers

    async def ready(self) -> None:
        """Wait until the request may leave."""
        if self._reply is not None:
            await self._reply.before_on_loop()

    def note(self, method: str, params: Callable[[], Any]) -> None:
        """Note a message of the server meanwhile, which the program gets too."""
        try:
            self._notes.append({"method": method, "params": params()})
        except Exception as error:
            self._tracer.problem("what an MCP server told could not be recorded", error)

    def following(self, on_progress: Callable[..., Any]) -> Callable[..., Any]:
        """A listener to progress that notes it."""

        async def progressed(*words: Any) -> Any:
            self.note(_PROGRESS, lambda: dict(zip(("progress", "total", "message"), words, strict=False)))
            return await on_progress(*words)

        return progressed

    async def _tell_again(self, notes: Any, on_progress: Callable[..., Any] | None) -> None:
        """Give the recorded messages of the server to the listeners of this run."""
        for told in notes if isinstance(notes, list) else ():
            params = told.get("params") or {}
            self._notes.append(told)
            if told.get("method") == _PROGRESS and on_progress is not None:
                await on_progress(params.get("progress"), params.get("total"), params.get("message"))
            elif told.get("method") == _LOG and self.connection.on_log is not None:
                await self.connection.on_log(_types().LoggingMessageNotificationParams(**params))

    async def answer(self, on_progress: Callable[..., Any] | None = None) -> Any:
        """What comes in place of the server's answer, as it would stand on the wire.

        Args:
            on_progress: what the program wants to be told of progress.

        Raises:
            BaseException: what comes in place of one.
        """
        reply = self._reply
        assert reply is not None
        lost = await reply.lost()
        if lost is not None and self.connection.break_off is not None:
            self.connection.break_off(lost)
        value = await reply.reach()
        if reply.recorded:
            await self._tell_again((reply.outputs or {}).get("notifications"), on_progress)
        failure = (reply.outputs or {}).get("error")
        if isinstance(failure, Mapping) and reply.recorded:
            raise _protocol_error(failure)
        if self._span.component == "tool" and not reply.recorded:
            value = self._mocked(value)
        self._tell(value)
        return value

    def got(self, result: Any) -> None:
        """The server has answered."""
        try:
            dump = getattr(result, "model_dump", None)
            self._tell(result if dump is None else dump(by_alias=True, mode="json", exclude_unset=True))
        except Exception as error:
            self._tracer.problem("an answer of an MCP server could not be recorded", error)

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None:
            self._failed(error)
        self.connection.asked.remove(self)
        if self._notes:
            told = self._span.outputs
            self._span.set_output({**(told if isinstance(told, dict) else {}), "notifications": self._notes})
        self._span.leave()
        self._span.close(error)

    def _failed(self, error: BaseException) -> None:
        """The request has failed; the program sees that without our frame in the traceback."""
        told: Any = getattr(error, "error", None)
        if hasattr(told, "code") and hasattr(told, "message") and hasattr(told, "model_dump"):
            self._span.set_output({"error": told.model_dump(mode="json", exclude_none=True)})
        hide_own_frame(error)

    def _tell(self, result: Any) -> None:
        """Write the result into the span, and keep what it says of the server."""
        set_result(self._span, self._tracer, result)
        if not isinstance(result, Mapping):
            return
        info = result.get("serverInfo") or (result.get("_meta") or {}).get(_SERVER_INFO)
        if self._span.component == "mcp" and isinstance(info, Mapping):
            self.connection.server = str(info.get("name"))
            self.connection.protocol = result.get("protocolVersion") or self.connection.protocol
        if self._span.component == "mcp" and self._span.name == _LIST:
            told = result.get("tools") or ()
            beneath.SERVED.update(str(tool.get("name")) for tool in told if isinstance(tool, Mapping))
        if self._span.component == "tool" and result.get("isError") is True:
            self._span.set(status="failed", error_type="tool_error", error=_text(result))

    def _mocked(self, value: Any) -> Any:
        """A value that the user gives, as the result of the tool; one that is a whole result stays as it is."""
        schemas = getattr(self._session, "_tool_output_schemas", {})
        is_known = self._span.name in schemas
        schema = schemas.setdefault(self._span.name, None)  # else the session would ask for it
        if isinstance(value, dict) and isinstance(value.get("content"), list):
            return value
        text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
        result: dict[str, Any] = {"content": [{"type": "text", "text": text}], "isError": False}
        if is_known and schema is None:
            return result
        wrapped = isinstance(schema, dict) and schema.get("required") == ["result"]
        if wrapped and not (isinstance(value, dict) and value.keys() == {"result"}):
            return result | {"structuredContent": {"result": value}}
        return result | ({"structuredContent": value} if isinstance(value, dict) else {})


def _typed(result_type: Any, value: Any) -> Any:
    """A result as the type that the program gets; `result_type` is a model, or what makes one of several."""
    if hasattr(result_type, "validate_python"):
        return result_type.validate_python(value)
    return result_type.model_validate(value)


def _protocol_error(failure: Mapping[str, Any]) -> BaseException:
    exceptions: Any = sys.modules["mcp.shared.exceptions"]
    told = _types().ErrorData(**failure)
    kind = getattr(exceptions, "MCPError", None) or exceptions.McpError
    make = getattr(kind, "from_error_data", kind)
    error: BaseException = make(told)
    return error


def _types() -> Any:
    """The messages of the protocol; version 1 of the package has them in itself."""
    return sys.modules.get("mcp_types") or sys.modules["mcp.types"]


def _text(result: Mapping[str, Any]) -> str:
    """What a result says in words."""
    parts = [part.get("text") for part in result.get("content") or () if isinstance(part, Mapping)]
    return "\n".join(part for part in parts if isinstance(part, str))
