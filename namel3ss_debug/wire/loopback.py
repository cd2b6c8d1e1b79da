"""Serve HTTP on loopback: what the servers of this package have in common."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

MOST_CONNECTIONS: Final = 32
LOOPBACK: Final = "127.0.0.1"


class LoopbackServer(ThreadingHTTPServer):
    """Answers requests on loopback, each connection in a thread of its own, from `start` until `close`.

    Args:
        port: the port; 0 for a free one, which is `server_port` then.
        handler: answers the requests of a connection.

    Raises:
        OSError: the port is taken, or may not be used.
    """

    daemon_threads = True
    block_on_close = False  # clients keep their connections

    def __init__(self, port: int, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__((LOOPBACK, port), handler)
        self._free = threading.BoundedSemaphore(MOST_CONNECTIONS)

    def start(self) -> None:
        """Answer requests beside this thread."""
        name = type(self).__name__
        threading.Thread(target=self.serve_forever, args=(0.1,), name=name, daemon=True).start()

    def close(self) -> None:
        """Stop answering."""
        self.shutdown()
        self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread of its own; close it where there are too many."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection until it is closed."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Go on after a connection that broke."""
