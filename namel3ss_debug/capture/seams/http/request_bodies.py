"""Bodies of requests that a library reads from an iterator or a file: known only when all of them was sent.

While a program is recorded, each piece passes to the library as the program produces it, and the exchange begins when the
body ends. A re-run needs the body before it can look for the answer. It reads the body first, and passes the same pieces
on if the request is sent after all. In both cases the program's iterator is read once.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterable, Iterable
from typing import Any

_MOST_KEPT_BYTES = 1 << 26
"""The largest streamed body that is recorded, in bytes. Of a larger one only the digest is known."""

WHOLE = "whole"
PARTLY = "partly"
UNSENT = "unsent"


class StreamedBody:
    """The body of a request, as far as it was sent.

    Attributes:
        pieces: the pieces as the program produced them; [] if they are too large to be kept.
        size: the size of all pieces, in bytes.
        is_whole: whether the program produced all of it, or raised an exception where it produces it.
        error: that exception, if a re-run has read the body.
    """

    def __init__(self, *, keeps_all: bool = False) -> None:
        self.pieces: list[bytes] = []
        self.size = 0
        self.is_whole = False
        self.error: Exception | None = None
        self._keeps_all = keeps_all
        self._digest = hashlib.sha256()

    @property
    def state(self) -> str:
        """How much of it was sent: `whole`, `partly` or `unsent`."""
        return WHOLE if self.is_whole else PARTLY if self.size else UNSENT

    @property
    def content(self) -> bytes | None:
        """The body, or `None` if it is not whole or too large."""
        return b"".join(self.pieces) if self.is_whole and self.size <= _MOST_KEPT_BYTES else None

    @property
    def digest(self) -> str:
        """The SHA-256 of the pieces."""
        return self._digest.hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Return what is known of it for the metadata of a request."""
        known = (
            {"request_bytes": self.size, "body_sha256": self.digest} if self.is_whole and self.size else {}
        )
        return {"streamed": self.state, **known}

    def add(self, piece: Any) -> None:
        """Add a piece. What is no bytes is refused by the library, and counts as nothing."""
        try:
            data = piece.encode() if isinstance(piece, str) else bytes(memoryview(piece))
        except TypeError:
            return
        self.size += len(data)
        self._digest.update(data)
        if self._keeps_all or self.size <= _MOST_KEPT_BYTES:
            self.pieces.append(data)
        else:
            self.pieces.clear()

    @classmethod
    def read(cls, pieces: Iterable[Any]) -> StreamedBody:
        """Read a whole body."""
        body = cls(keeps_all=True)
        try:
            for piece in pieces:
                body.add(piece)
        except Exception as error:
            body.error = error
        body.is_whole = True
        return body

    @classmethod
    async def read_async(cls, pieces: AsyncIterable[Any]) -> StreamedBody:
        """Read a whole body in an event loop."""
        body = cls(keeps_all=True)
        try:
            async for piece in pieces:
                body.add(piece)
        except Exception as error:
            body.error = error
        body.is_whole = True
        return body
