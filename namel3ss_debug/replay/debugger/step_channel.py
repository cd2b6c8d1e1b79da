"""The shell's end of the step channel: the socket that the processes of a stepped program connect to.

The program's end, with the messages between the two, is `capture.launch.step_channel`.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

CALL_STARTS = frozenset({"llm_call_start", "tool_call_start", "http_exchange_start", "mcp_start"})
"""The events at which a running program waits before a call that has not been made yet."""

_LONGEST_ADDRESS = 100
"""The path of a socket may have 108 bytes on Linux, and 104 elsewhere."""


class StepServer:
    """The socket that the processes of one program connect to, in a folder that only the user can read."""

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
        """Accept no further connections."""
        self.socket.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class SteppedProcess:
    """A process of the program, as its connection.

    Attributes:
        connection: the socket.
        pid: its process id; 0 until its first event.
        mocked_tools: the names of functions that the process was asked to record as tool calls.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.pid = 0
        self.mocked_tools: set[str] = set()
        self._rest = bytearray()

    def split_lines(self, block: bytes) -> list[bytes]:
        """Return the lines that are complete with a received block."""
        self._rest += block
        if b"\n" not in block:
            return []
        *lines, rest = self._rest.split(b"\n")
        self._rest = rest
        return [bytes(line) for line in lines]
