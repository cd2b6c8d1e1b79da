"""Where the processes of a running program meet the shell that steps it: the other end of `capture.gate`."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

_LONGEST_ADDRESS = 100
"""The path of a socket has room for 108 bytes on Linux, and for 104 elsewhere."""


class Meeting:
    """The socket at which the processes of one program find the shell, in a folder that is the user's alone."""

    def __init__(self) -> None:
        folder = tempfile.mkdtemp(prefix="namel3ss-")
        if len(os.fsencode(folder)) + len("/shell") > _LONGEST_ADDRESS:
            os.rmdir(folder)
            folder = tempfile.mkdtemp(prefix="namel3ss-", dir="/tmp")
        self.folder = Path(folder)
        self.address = str(self.folder / "shell")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.bind(self.address)
        self.socket.listen(128)
        self.socket.setblocking(False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let nobody in any more."""
        self.socket.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class Process:
    """A process of the program, as the other end of its connection."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.rest = bytearray()
        self.told: set[str] = set()  # the tools it has been told of
        self.ahead: dict[int, int] = {}  # the answers it was told ahead, in their order -> bytes
        self.streak = 0  # how many of these it has taken since it has waited
        self.heard = 0.0  # when it was listened to last, by the monotonic clock, as long as it takes these

    def lines(self, block: bytes) -> list[bytes]:
        """The whole lines that a block ends."""
        self.rest += block
        if b"\n" not in block:
            return []
        *lines, rest = self.rest.split(b"\n")
        self.rest = rest
        return [bytes(line) for line in lines]
