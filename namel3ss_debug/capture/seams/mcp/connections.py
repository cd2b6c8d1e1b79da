"""The MCP servers that a program is connected to, and the sessions that use them."""

from __future__ import annotations

import weakref
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from namel3ss_debug.capture.core.tracer import ExecutionTracer
from namel3ss_debug.capture.seams.http.exchanges import enter, leave


@dataclass(eq=False)
class Connection:
    """A connection to a server.

    Attributes:
        transport: `stdio`, `http`, `sse` or `websocket`; `memory` if no known function opened it.
        server: the name of its command or its address, and later the name that it gives itself.
        event_id: the id of the event with which the connection began.
        protocol: the version of the protocol, once both sides have agreed on it.
        real: whether there is a server during a re-run.
        on_log: the program's callback for log messages of the server.
        pending: the requests that wait for an answer, the latest last.
        break_off: ends a connection without a server with an exception, as the real transport failed.
    """

    transport: str
    server: str | None = None
    event_id: str = ""
    protocol: str | None = None
    real: bool = False
    on_log: Callable[..., Awaitable[Any]] | None = None
    pending: list[Any] = field(default_factory=list)
    break_off: Callable[[BaseException], None] | None = None

    def to_metadata(self) -> dict[str, Any]:
        """Return the `metadata` of events on this connection."""
        known = {"transport": self.transport, "connection": self.event_id, "protocol": self.protocol}
        metadata: dict[str, Any] = {"mcp": {name: value for name, value in known.items() if value}}
        return metadata if self.server is None else metadata | {"server": self.server}


class Connections:
    """The connections of this process, by stream and by the session that reads the stream.

    Args:
        tracer: writes the spans.
    """

    def __init__(self, tracer: ExecutionTracer) -> None:
        self.tracer = tracer
        # The id of a stream -> the stream, so that its id stays in use, and its connection.
        self._by_stream: dict[int, tuple[Any, Connection]] = {}
        self._by_session: weakref.WeakKeyDictionary[Any, Connection] = weakref.WeakKeyDictionary()

    def add_stream(self, stream: Any, connection: Connection) -> None:
        """Remember the connection of a stream that the program got."""
        self._by_stream[id(stream)] = stream, connection

    def remove(self, connection: Connection) -> None:
        """Forget a connection that was closed."""
        gone = [key for key, (_stream, known) in self._by_stream.items() if known is connection]
        for key in gone:
            del self._by_stream[key]

    def add_session(self, session: Any, stream: Any) -> None:
        """Remember the connection of a new session by the stream that it reads."""
        with suppress(TypeError):
            self._by_session[session] = self._by_stream.get(id(stream), (None, Connection("memory")))[1]

    def connection_of(self, session: Any) -> Connection:
        """Return the connection of a session."""
        with suppress(TypeError):
            return self._by_session.setdefault(session, Connection("memory"))
        return Connection("memory")

    @contextmanager
    def within_call(self, connection: Connection) -> Iterator[None]:
        """Run a block whose traffic is recorded already as calls of MCP.

        It may use the network during a re-run if the connection is real.
        """
        network = self.tracer.network if connection.real else None
        token = enter(None)
        opened = None if network is None else network.open_here()
        try:
            yield
        finally:
            if network is not None and opened is not None:
                network.close_here(opened)
            leave(token, None)
