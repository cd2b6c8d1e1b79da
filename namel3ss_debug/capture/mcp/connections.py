"""The MCP servers that a program is connected to, and which session speaks with which of them."""

from __future__ import annotations

import weakref
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from namel3ss_debug.capture.exchanges import enter, leave
from namel3ss_debug.capture.tracer import ExecutionTracer


@dataclass(eq=False)
class Connection:
    """A way to a server.

    Attributes:
        transport: `stdio`, `http`, `sse`, `websocket`; `memory` where the seam knows of none.
        server: what it is called: by the program or the address that it was started with, then by itself.
        event_id: the id of the event with which the connection began.
        protocol: the version of the protocol that both sides speak, once they have agreed on it.
        real: whether there is a server though a recording answers.
        on_log: what the program wants to be told of the server's log messages.
        asked: the requests that wait for an answer, the latest last.
        break_off: ends a silent connection by an exception, as the transport itself failed then.
    """

    transport: str
    server: str | None = None
    event_id: str = ""
    protocol: str | None = None
    real: bool = False
    on_log: Callable[..., Awaitable[Any]] | None = None
    asked: list[Any] = field(default_factory=list)
    break_off: Callable[[BaseException], None] | None = None

    def told(self) -> dict[str, Any]:
        """The `metadata` of events on this connection."""
        known = {"transport": self.transport, "connection": self.event_id, "protocol": self.protocol}
        told: dict[str, Any] = {"mcp": {name: value for name, value in known.items() if value}}
        return told if self.server is None else told | {"server": self.server}


class Connections:
    """The connections of this process, each known by its stream and by the session that reads it.

    Args:
        tracer: where the spans go.
    """

    def __init__(self, tracer: ExecutionTracer) -> None:
        self.tracer = tracer
        self._by_stream: dict[int, tuple[Any, Connection]] = {}  # with the stream, which keeps its id its own
        self._by_session: weakref.WeakKeyDictionary[Any, Connection] = weakref.WeakKeyDictionary()

    def opened(self, stream: Any, connection: Connection) -> None:
        """A stream on which a server is read was given to the program."""
        self._by_stream[id(stream)] = stream, connection

    def closed(self, connection: Connection) -> None:
        """A server is gone."""
        gone = [key for key, (_stream, known) in self._by_stream.items() if known is connection]
        for key in gone:
            del self._by_stream[key]

    def begun(self, session: Any, stream: Any) -> None:
        """A session was made that reads a stream."""
        with suppress(TypeError):
            self._by_session[session] = self._by_stream.get(id(stream), (None, Connection("memory")))[1]

    def of(self, session: Any) -> Connection:
        """The connection of a session."""
        with suppress(TypeError):
            return self._by_session.setdefault(session, Connection("memory"))
        return Connection("memory")

    @contextmanager
    def beneath(self, connection: Connection) -> Iterator[None]:
        """A block whose traffic is recorded already as calls of MCP, and which may use the network where they may."""
        network = self.tracer.network if connection.real else None
        token = enter(None)
        opened = None if network is None else network.open_here()
        try:
            yield
        finally:
            if network is not None and opened is not None:
                network.close_here(opened)
            leave(token, None)
