"""`debug trace --live`: the events of a recording on stderr while it grows.

The parent reads the files the child writes; the child knows nothing of it. What cannot be read yet is looked at
again, and what never can be is left to the commands that read the finished recording.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import orjson

from namel3ss_debug.traces.decoding import looks_like_event, normalise
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.names import parse_name
from namel3ss_debug.traces.ring import ForeignRingError, open_remainder
from namel3ss_debug.views.events import RunningLines
from namel3ss_debug.views.terminal import Terminal, console

POLL_SECONDS = 0.05
CHUNK_BYTES = 1 << 20


class Follower:
    """Reads whole lines from all files of a growing trace, each file from where it was left."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._name = parse_name(path.name)
        self._files: dict[Path, BinaryIO] = {}
        self._rests: dict[Path, bytes] = {}

    def events(self) -> Iterator[Event]:
        """The events that were written since the last call, file by file."""
        self._find_files()
        for path, file in self._files.items():
            while chunk := file.read(CHUNK_BYTES) or _behind_end(path, file):
                *lines, self._rests[path] = (self._rests.get(path, b"") + chunk).split(b"\n")
                for line in lines:
                    with suppress(orjson.JSONDecodeError):
                        event = orjson.loads(line)
                        if looks_like_event(event):
                            normalise(event)
                            yield event

    def close(self) -> None:
        """Let go of the files."""
        for file in self._files.values():
            file.close()

    def _find_files(self) -> None:
        try:
            found = sorted(self.path.parent.iterdir())
        except OSError:
            return
        for path in found:
            name = parse_name(path.name)
            if name is None or self._name is None or name.stem != self._name.stem or path in self._files:
                continue
            with suppress(OSError):
                if not path.is_symlink():
                    self._files[path] = path.open("rb")


def _behind_end(path: Path, file: BinaryIO) -> bytes:
    """What the writer has not written to the file yet; the place in the file is behind it then."""
    position = file.tell()
    with suppress(OSError, ForeignRingError):
        remainder = open_remainder(path, file.fileno())
        if remainder is not None:
            try:
                rest = remainder.behind(position)
            finally:
                remainder.close()
            file.seek(position + len(rest))
            return rest
    return b""


@contextmanager
def following(path: Path) -> Iterator[None]:
    """Show the events of the recording at `path` on stderr until the block ends, and those left then."""
    follower, screen, over = Follower(path), console(stderr=True), threading.Event()
    thread = threading.Thread(target=_follow, args=(follower, screen, over), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        follower.close()


def _follow(follower: Follower, screen: Terminal, over: threading.Event) -> None:
    running = RunningLines(screen.width)
    number = 0
    with suppress(OSError):  # nobody reads stderr any more: the program goes on
        while True:
            last = over.wait(POLL_SECONDS)
            for event in follower.events():
                number += 1
                shown = running.line(number, event)
                if shown is not None:
                    screen.lines([shown])
            if last:
                return
