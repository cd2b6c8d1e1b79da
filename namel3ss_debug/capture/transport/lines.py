"""A connection without a server, from which `http.client` reads a given response."""

from __future__ import annotations

import io
import re
import socket
import zlib
from collections.abc import Iterator
from typing import Any

from namel3ss_debug.capture.answers import Response

NOT_WHOLE = "http.client.IncompleteRead"
"""What `http.client` says of a body that ends early; of such a response it says so again."""
_MISSING = re.compile(r"IncompleteRead\(\d+ bytes read, (\d+) more expected\)")
_WITHOUT_BODY = frozenset({204, 304})
_WINDOWS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
"""How `zlib` is told to write each encoding."""


class Line(io.RawIOBase):
    """Blocks that come one by one, as bytes from a socket do."""

    def __init__(self, blocks: Iterator[bytes], sock: socket.socket | None = None) -> None:
        self._blocks = blocks
        self._rest = b""
        self._sock = sock  # under the name by which programs reach through a response for its socket

    def makefile(self, _mode: str) -> io.BufferedReader:
        """As of a socket."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        """Whether it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """What there is of the next block."""
        self._rest = self._rest or next(filter(None, self._blocks), b"")
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size

    def fileno(self) -> int:
        """That of the socket."""
        return super().fileno() if self._sock is None else self._sock.fileno()


class Nowhere(socket.socket):
    """The socket of a connection to nowhere: it is never connected, and keeps what is sent.

    Attributes:
        sent: what was sent.
        blocks: what is to be received.
        refuses: whether nothing can be sent: what comes in place of a response comes then.
    """

    def __init__(self, host: str, port: int, timeout: Any) -> None:
        super().__init__(socket.AF_INET, socket.SOCK_STREAM)
        if timeout is None or isinstance(timeout, int | float):
            self.settimeout(timeout)
        self._peer = host, port
        self.renew()

    def renew(self) -> None:
        """Another request is sent to it."""
        self.sent: list[bytes] = []
        self.blocks: Iterator[bytes] = iter(())
        self.refuses = False

    def sendall(self, data: Any, _flags: int = 0, /) -> None:
        """Keep it; what is no buffer is refused, as by any socket.

        Raises:
            BaseException: nothing can be sent.
        """
        if self.refuses:
            next(self.blocks, None)
        self.sent.append(bytes(memoryview(data)))

    def send(self, data: Any, _flags: int = 0, /) -> int:
        """The same, and all of it at once."""
        self.sendall(data)
        return len(self.sent[-1])

    def makefile(self, *_args: Any, **_kwargs: Any) -> Any:
        """What is to be received, to be read."""
        return io.BufferedReader(Line(self.blocks, self))

    def getpeername(self) -> tuple[str, int]:
        """Where a connection would have led."""
        return self._peer

    def shutdown(self, how: int, /) -> None:
        """Nothing is open."""

    def getpeercert(self, *_args: Any, **_kwargs: Any) -> dict[str, Any]:
        """Nobody has shown any."""
        return {}

    def version(self) -> None:
        """No protocol, and no cipher."""

    cipher = selected_alpn_protocol = version

    def __del__(self) -> None:
        """A program that leaves it open is not told so: what it left open then was another."""
        self.close()


def on_the_wire(
    given: Response, body: Iterator[bytes], *, method: str, closes: bool = False
) -> Iterator[bytes]:
    """A response as a server sends it; a body whose length nothing tells in chunks.

    Args:
        given: the response; of its body, only how it is encoded and whether it is whole.
        body: its pieces, as they come.
        method: that of the request.
        closes: whether the request asked for the connection to be closed.
    """
    headers, encoded = list(given.headers), body
    has_body = method.upper() != "HEAD" and given.status not in _WITHOUT_BODY
    cut = given.raised is not None and given.raised.type == NOT_WHOLE
    if cut and (missing := _MISSING.match(given.raised.text if given.raised else "")):
        headers.append(("content-length", str(sum(map(len, given.pieces)) + int(missing[1]))))
    elif given.encoding in _WINDOWS and has_body and not cut:
        headers, encoded = _encoded(given, body)
    if closes:
        headers.append(("connection", "close"))
    chunked = has_body and not any(name == "content-length" for name, _value in headers)
    headers += [("transfer-encoding", "chunked")] if chunked else []
    lines = [f"HTTP/1.1 {given.status} {given.reason}", *(f"{name}: {value}" for name, value in headers)]
    yield "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")
    if not chunked:
        yield from _last_held_back(encoded)
        return
    for piece in filter(None, encoded):
        yield b"%x\r\n%b\r\n" % (len(piece), piece)
    if not cut:
        yield b"0\r\n\r\n"


def _last_held_back(body: Iterator[bytes]) -> Iterator[bytes]:
    """The pieces of a body that tells its length, which ends with the last one: that waits for the end."""
    last = b""
    for piece in filter(None, body):
        if last:
            yield last
        last = piece
    yield last


def _encoded(given: Response, body: Iterator[bytes]) -> tuple[list[tuple[str, str]], Iterator[bytes]]:
    """The headers and the body of a response whose body was decoded when it was recorded, encoded as it was."""
    packer = zlib.compressobj(wbits=_WINDOWS[given.encoding])
    pieces = [packer.compress(piece) + packer.flush(zlib.Z_SYNC_FLUSH) for piece in given.pieces]
    if pieces:
        pieces[-1] += packer.flush()
    headers = [(name, value) for name, value in given.headers if name != "content-length"]
    if len(headers) < len(given.headers):
        headers.append(("content-length", str(sum(map(len, pieces)))))
    encoded = (piece for _plain, piece in zip(body, pieces, strict=True))
    return [*headers, ("content-encoding", given.encoding)], encoded
