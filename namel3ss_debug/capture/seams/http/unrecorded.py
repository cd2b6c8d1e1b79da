"""Ways to the network that are not recorded: a line at the end of a run reports which of them the program used.

The program `claude`, which claude-agent-sdk talks to, is such a way. It calls models and runs tools by itself, so a
re-run does not start it.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from namel3ss_debug.capture.core.patching import Undo, hide_own_frame, replace
from namel3ss_debug.capture.seams.http import offline
from namel3ss_debug.capture.seams.http.exchanges import Exchanges

_OPENINGS = {
    "websockets.client": "ClientProtocol.connect",
    "websockets.legacy.client": "WebSocketClientProtocol.handshake",
    "websocket._core": "WebSocket.connect",
    "grpc._channel": "Channel.__init__",
    "grpc.aio._channel": "Channel.__init__",
    "curl_cffi.curl": "Curl.perform",
    "curl_cffi.aio": "AsyncCurl.add_handle",
    "tornado.simple_httpclient": "SimpleAsyncHTTPClient.fetch_impl",
    "urllib3._async.connectionpool": "AsyncHTTPConnectionPool._make_request",
    "claude_agent_sdk._internal.transport.subprocess_cli": "SubprocessCLITransport.connect",
}
"""Module of a library -> the method that is called when a connection is opened or used."""

_NAMES = {
    "websocket": "a websocket of websocket-client",
    "grpc": "gRPC",
    "tornado": "the HTTP client of tornado",
    "urllib3": "asynchronous niquests",
    "claude_agent_sdk": "the program claude of claude-agent-sdk",
}
_PROGRAMS = {"claude_agent_sdk": "the program claude"}
"""Library -> the program that it starts to reach the network, which the debugger cannot keep offline."""
_COLLECTOR_PORT = ":4317"
"""The port of OpenTelemetry's collectors; connections to it are not reported."""


def patch(library: Any, exchanges: Exchanges) -> list[Undo]:
    """Report when a program opens a connection through this library.

    Raises:
        AttributeError: this version of the library opens connections in another way.
    """
    owner, _, name = _OPENINGS[library.__name__].rpartition(".")
    root = library.__name__.partition(".")[0]
    description = _NAMES.get(root, root)
    tracer, program = exchanges.tracer, _PROGRAMS.get(root)

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def opens(self: Any, *args: Any, **kwargs: Any) -> Any:
            is_telemetry = bool(args) and isinstance(args[0], str) and args[0].endswith(_COLLECTOR_PORT)
            if program is not None:
                offline.refuse(program)
            if not is_telemetry:
                tracer.unrecorded(description)
            try:
                return original(self, *args, **kwargs)
            except BaseException as error:
                hide_own_frame(error)
                raise

        return opens

    return [replace(attrgetter(owner)(library), name, make)]
