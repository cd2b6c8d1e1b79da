"""Tells a process of a running program the answers to its next calls before it makes them: the shell's side of `capture.foretold`.

Only one process is told so: where there are several, what one was told could be asked for by another, so each is
answered as it asks.
"""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Iterable, Iterator

import orjson

from namel3ss_debug.replay.meeting import Process
from namel3ss_debug.replay.words import Answering

_MOST = 32
"""How many answers a process is told before it asks for them."""

_ROOM = 1 << 16
"""How many bytes of them may be on their way: less than a socket takes without anybody who reads."""

_LONGEST_PAUSE = 0.02
"""How many seconds nobody listens while a process takes what it was told: to wake somebody takes it longer than to go on."""

_VOID = b'{"void":true}\n'


class TellingAhead:
    """What the processes of one program were told ahead.

    Args:
        bell: readable where there is something to do at once.
    """

    def __init__(self, bell: socket.socket) -> None:
        self._alone = True
        self._bell = select.poll()
        self._bell.register(bell, select.POLLIN)

    def met(self, process: Process) -> None:
        """A process has connected."""
        process.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * _ROOM)

    def lines(self, process: Process, answering: Answering | None) -> Iterator[bytes]:
        """Further answers for a process, as lines: those that are known, as far as its socket has room for them."""
        if answering is None or not self._alone:
            return
        room = _ROOM - sum(process.ahead.values())
        while len(process.ahead) < _MOST:
            ahead = answering.foretell()
            if ahead is None:
                return
            word = {"ahead": ahead.number, "asked": ahead.asked} | ahead.word
            line = orjson.dumps(word, option=orjson.OPT_APPEND_NEWLINE)
            room -= len(line)
            if room < 0:
                answering.put_back(ahead)
                return
            process.ahead[ahead.number] = len(line)
            yield line

    def go_on(self, process: Process, answering: Answering | None, taken: int) -> None:
        """Tell a process that does as foretold further answers, several at once, and leave it alone for a while.

        Args:
            process: the process; nothing is done where it was told nothing.
            answering: what answers.
            taken: how many it has taken since.
        """
        if not process.ahead:
            return
        if 2 * len(process.ahead) <= _MOST and 2 * sum(process.ahead.values()) <= _ROOM:
            _send(process, b"".join(self.lines(process, answering)))
        now, before = time.monotonic(), process.heard
        process.heard = now
        process.streak += taken
        if process.streak >= _MOST and taken and before:
            pause = (now - before) / taken * len(process.ahead) / 4
            self._bell.poll(1000 * min(pause, _LONGEST_PAUSE))

    def taken(self, process: Process, number: int) -> None:
        """A process has taken the answer with this number; those sent before it are lost."""
        for earlier in list(process.ahead):
            del process.ahead[earlier]
            if earlier == number:
                break

    def void(self, process: Process, answering: Answering | None) -> None:
        """A process waits for an answer: those that were sent ahead to it are void."""
        process.streak = 0
        if process.ahead and answering is not None:
            process.ahead.clear()
            answering.void()

    def joined(self, others: Iterable[Process], answering: Answering | None) -> None:
        """Another process has connected, beside these."""
        for other in others:
            self._alone = False
            if other.ahead:
                self.void(other, answering)
                _send(other, _VOID)


def _send(process: Process, lines: bytes) -> None:
    with contextlib.suppress(OSError):  # it has ended
        process.connection.sendall(lines)
