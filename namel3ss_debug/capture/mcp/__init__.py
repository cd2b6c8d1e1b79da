"""Clients of MCP servers, of the official `mcp` package: tools as tool calls, the rest as calls of component `mcp`.

What is recorded is what the program asks of a session and what it gets, whichever way it comes: over the pipes of a
process or over HTTP, which is not recorded a second time. Where a recording answers, no server is started and none is
connected to. The package is patched when the program imports it; what a version does not have is not recorded, and
never guessed at.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from namel3ss_debug.capture.patching import Undo, when_imported
from namel3ss_debug.capture.tracer import ExecutionTracer

if TYPE_CHECKING:
    from namel3ss_debug.capture.mcp.connections import Connections

_TRANSPORTS = {
    "mcp.client.stdio": ("stdio", ("stdio_client",)),
    "mcp.client.streamable_http": ("http", ("streamable_http_client", "streamablehttp_client")),
    "mcp.client.sse": ("sse", ("sse_client",)),
    "mcp.client.websocket": ("websocket", ("websocket_client",)),
}
"""Module -> the word for its transport, and the functions that open one, of which versions have some."""


def install(tracer: ExecutionTracer) -> Undo:
    """Record the clients of MCP servers, now or when the package is imported; most programs have none."""

    @functools.cache
    def connections() -> Connections:
        from namel3ss_debug.capture.mcp.connections import Connections  # noqa: PLC0415  (as above)

        return Connections(tracer)

    def patch_transport(module: Any, word: str, names: tuple[str, ...]) -> list[Undo]:
        from namel3ss_debug.capture.mcp import transports  # noqa: PLC0415  (as above)

        return transports.patch(module, connections=connections(), transport=word, names=names)

    def patch_session(module: Any) -> list[Undo]:
        from namel3ss_debug.capture.mcp import sessions  # noqa: PLC0415  (as above)

        return sessions.patch(module, connections=connections())

    patches: dict[str, Callable[[Any], list[Undo]]] = {
        module: functools.partial(patch_transport, word=word, names=names)
        for module, (word, names) in _TRANSPORTS.items()
    }
    patches["mcp.client.session"] = patch_session
    return when_imported(patches, tracer.problem)
