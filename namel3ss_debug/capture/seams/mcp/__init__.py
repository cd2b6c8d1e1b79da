"""Clients of MCP servers with the official `mcp` package: tools as tool calls, the rest as calls of component `mcp`.

Each request of a session is recorded with its result, whether it goes over the pipes of a process or over HTTP, which
is not recorded a second time. A re-run neither starts a server nor connects to one. The package is patched when the
program imports it. A request that a version of the package does not have is not recorded.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from namel3ss_debug.capture.core.patching import Undo, when_imported
from namel3ss_debug.capture.core.tracer import ExecutionTracer

_TRANSPORTS = {
    "mcp.client.stdio": ("stdio", ("stdio_client",)),
    "mcp.client.streamable_http": ("http", ("streamable_http_client", "streamablehttp_client")),
    "mcp.client.sse": ("sse", ("sse_client",)),
    "mcp.client.websocket": ("websocket", ("websocket_client",)),
}
"""Module -> the name of its transport, and the functions that open one; each version has some of them."""


def install(tracer: ExecutionTracer) -> Undo:
    """Record the clients of MCP servers, now or when the package is imported; most programs have none."""

    @functools.cache
    def connections() -> Any:
        from namel3ss_debug.capture.seams.mcp.connections import Connections

        return Connections(tracer)

    def patch_transport(module: Any, transport: str, names: tuple[str, ...]) -> list[Undo]:
        from namel3ss_debug.capture.seams.mcp import transports

        return transports.patch(module, connections=connections(), transport=transport, names=names)

    def patch_session(module: Any) -> list[Undo]:
        from namel3ss_debug.capture.seams.mcp import sessions

        return sessions.patch(module, connections=connections())

    patches: dict[str, Callable[[Any], list[Undo]]] = {
        module: functools.partial(patch_transport, transport=transport, names=names)
        for module, (transport, names) in _TRANSPORTS.items()
    }
    patches["mcp.client.session"] = patch_session
    return when_imported(patches, tracer.problem)
