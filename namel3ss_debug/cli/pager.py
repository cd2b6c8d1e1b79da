"""A pager for long reports, started only when a report does not fit the screen."""

from __future__ import annotations

import io
import os
import shlex
import shutil
import subprocess
import sys
from contextlib import suppress
from types import TracebackType
from typing import TextIO

from namel3ss_debug.views.cleaning import screen_width

DEFAULT = "less -FRX"
"""-F ends at once what fits the screen, -R passes colours on, -X leaves the text on the screen."""


class PagerClosedError(Exception):
    """The user closed the pager before everything was written."""


def find_command() -> list[str]:
    """Return the words of the pager's command; empty where none is to be used.

    `$PAGER` decides, else `less`. There is none in CI, on a dumb terminal, and where stdin is no terminal, because
    the pager reads its keys from the terminal.
    """
    if os.environ.get("CI") or os.environ.get("TERM") == "dumb" or not is_terminal(sys.stdin):
        return []
    try:
        words = shlex.split(os.environ.get("PAGER", DEFAULT))
    except ValueError:  # an open quote in $PAGER
        return []
    return words if words and words != ["cat"] and shutil.which(words[0]) else []


def is_terminal(stream: TextIO | None) -> bool:
    """Return whether a stream is open and a terminal."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False


class _Overflow(io.RawIOBase):
    """Keeps what is written until it fills more than the screen, then writes it and all further to a pager."""

    def __init__(self, command: list[str], terminal: TextIO) -> None:
        self._command = command
        self._terminal = terminal
        self._kept: list[bytes] | None = []
        self._rows_left = shutil.get_terminal_size().lines - 1
        self._width = screen_width()
        self.process: subprocess.Popen[bytes] | None = None

    def writable(self) -> bool:
        """Return True."""
        return True

    def isatty(self) -> bool:
        """Return True: a pager passes colours on."""
        return True

    def write(self, content: bytes) -> int:  # type: ignore[override]
        """Keep or pass on some bytes.

        Raises:
            PagerClosedError: the user closed the pager.
        """
        content = bytes(content)
        if self._kept is None:
            self._pass_on(content)
            return len(content)
        self._kept.append(content)
        self._rows_left -= sum(1 + len(row) // (self._width + 1) for row in content.split(b"\n")[:-1])
        if self._rows_left < 0:
            self._start()
        return len(content)

    def _start(self) -> None:
        environment = {"LESS": "FRX", "LV": "-c"} | os.environ  # as git does for a bare `less` in $PAGER
        from namel3ss_debug.views.terminal import hide_progress

        self._terminal.flush()
        with suppress(OSError):
            self.process = subprocess.Popen(self._command, stdin=subprocess.PIPE, env=environment)  # noqa: S603  (the user's pager)
            hide_progress(self._command[0])
        kept, self._kept = b"".join(self._kept or ()), None
        self._pass_on(kept)

    def _pass_on(self, content: bytes) -> None:
        if self.process is None or self.process.stdin is None:
            self._terminal.buffer.write(content)
            return
        try:
            self.process.stdin.write(content)
        except (BrokenPipeError, ValueError):
            raise PagerClosedError from None

    def finish(self) -> None:
        """Write what was kept, or wait until the user closes the pager."""
        if self._kept is not None:
            self._terminal.buffer.write(b"".join(self._kept))
            self._kept = None
        if self.process is None:
            return
        with suppress(OSError):
            if self.process.stdin is not None:
                self.process.stdin.close()
        while True:
            # Ctrl-C stops a search inside the pager; it goes to the whole process group, and is not meant for us.
            try:
                self.process.wait()
                return
            except KeyboardInterrupt:
                continue


class Pager:
    """A stream for one report. Closing the pager early ends the report quietly and keeps the exit status."""

    def __init__(self, terminal: TextIO) -> None:
        self._terminal = terminal
        self._overflow: _Overflow | None = None

    def __enter__(self) -> TextIO:
        """Return the stream to write to: the terminal itself where no pager is to be used."""
        command = find_command()
        if not command or not hasattr(self._terminal, "buffer"):
            return self._terminal
        self._terminal.flush()
        self._overflow = _Overflow(command, self._terminal)
        return _PagedText(self._overflow, self._terminal.encoding)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        """Wait for the pager, and take note that it was closed early as an ordinary end."""
        if self._overflow is not None:
            self._overflow.finish()
            self._terminal.flush()
        return isinstance(error, PagerClosedError)


class _PagedText(io.TextIOWrapper):
    """Text in the encoding of the terminal, and the bytes of data formats, in the order in which they are written."""

    def __init__(self, overflow: _Overflow, encoding: str) -> None:
        super().__init__(overflow, encoding, write_through=True)  # type: ignore[arg-type]
