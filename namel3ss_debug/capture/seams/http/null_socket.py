"""A connection without a server, from which `http.client` reads a recorded response."""

from __future__ import annotations

import io
import re
import socket
from collections.abc import Iterator
from typing import Any

from namel3ss_debug.capture.core.answers import HTTP_1_1, Response

INCOMPLETE_READ = "http.client.IncompleteRead"
"""What `http.client` raises for a body that ends early. A re-run ends the body early too, so that it raises it again."""
_MISSING = re.compile(r"IncompleteRead\(\d+ bytes read, (\d+) more expected\)")
_WITHOUT_BODY = frozenset({204, 304})


class BlockStream(io.RawIOBase):
    """Byte blocks that are read one by one, as from a socket."""

    def __init__(self, blocks: Iterator[bytes], sock: socket.socket | None = None) -> None:
        self._blocks = blocks
        self._rest = b""
        self._sock = sock  # programs reach through a response for its socket by this name

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return a buffered reader, as a socket does."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        """Return whether the stream can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read the rest of the current block, or the next one."""
        self._rest = self._rest or next(filter(None, self._blocks), b"")
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size

    def fileno(self) -> int:
        """Return the file descriptor of the socket."""
        return super().fileno() if self._sock is None else self._sock.fileno()


class NullSocket(socket.socket):
    """A socket that is never connected, keeps what is sent, and delivers a recorded response.

    Attributes:
        sent: the data sent so far.
        blocks: the blocks to be received.
        fails_on_send: whether sending fails; the recorded error is raised then.
    """

    def __init__(self, host: str, port: int, timeout: Any) -> None:
        super().__init__(socket.AF_INET, socket.SOCK_STREAM)
        if timeout is None or isinstance(timeout, int | float):
            self.settimeout(timeout)
        self._peer = host, port
        self.reset()

    def reset(self) -> None:
        """Reset the socket for another request."""
        self.sent: list[bytes] = []
        self.blocks: Iterator[bytes] = iter(())
        self.fails_on_send = False

    def sendall(self, data: Any, _flags: int = 0, /) -> None:
        """Keep the data. Like any socket, refuse what is not a buffer.

        Raises:
            BaseException: the recorded error, if sending failed.
        """
        if self.fails_on_send:
            next(self.blocks, None)
        self.sent.append(bytes(memoryview(data)))

    def send(self, data: Any, _flags: int = 0, /) -> int:
        """Keep all of the data at once, and return its size."""
        self.sendall(data)
        return len(self.sent[-1])

    def makefile(self, *_args: Any, **_kwargs: Any) -> Any:
        """Return a reader of the response."""
        return io.BufferedReader(BlockStream(self.blocks, self))

    def getpeername(self) -> tuple[str, int]:
        """Return the address that a real connection would have."""
        return self._peer

    def shutdown(self, how: int, /) -> None:
        """Do nothing: there is no connection."""

    def getpeercert(self, *_args: Any, **_kwargs: Any) -> dict[str, Any]:
        """Return an empty certificate: there is no peer."""
        return {}

    def version(self) -> None:
        """Return `None`: there is no protocol and no cipher."""

    cipher = selected_alpn_protocol = version

    def __del__(self) -> None:
        """Suppress the ResourceWarning for this stand-in, which the program did not open itself."""
        self.close()


def encode_response(
    response: Response, body: Iterator[bytes], *, method: str, closes: bool = False
) -> Iterator[bytes]:
    """Yield a response as a server sends it, in chunks if nothing gives the length of the body.

    Args:
        response: the response. Its own body serves only to find whether it is complete.
        body: the pieces of its body, as they are delivered.
        method: the method of the request.
        closes: whether the request asked for the connection to be closed.
    """
    headers = list(response.headers)
    has_body = method.upper() != "HEAD" and response.status not in _WITHOUT_BODY
    ends_early = response.raised is not None and response.raised.type == INCOMPLETE_READ
    if ends_early and (missing := _MISSING.match(response.raised.text if response.raised else "")):
        headers.append(("content-length", str(sum(map(len, response.pieces)) + int(missing[1]))))
    if closes:
        headers.append(("connection", "close"))
    chunked = has_body and not any(name == "content-length" for name, _value in headers)
    headers += [("transfer-encoding", "chunked")] if chunked else []
    lines = [
        f"{response.version if response.version == 'HTTP/1.0' else HTTP_1_1} {response.status} {response.reason}",
        *(f"{name}: {value}" for name, value in headers),
    ]
    yield "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")
    if not chunked:
        yield from _delay_last_piece(body)
        return
    for piece in filter(None, body):
        yield b"%x\r\n%b\r\n" % (len(piece), piece)
    if not ends_early:
        yield b"0\r\n\r\n"


def _delay_last_piece(body: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the pieces, each only when the next one is there, and the last when the body ends.

    A body with a known length is complete with its last piece, so that piece must wait for the recorded end.
    """
    last = b""
    for piece in filter(None, body):
        if last:
            yield last
        last = piece
    yield last
