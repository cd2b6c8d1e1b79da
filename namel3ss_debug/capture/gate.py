"""The child's side of stepping: every event goes to the debugger's shell, and the program waits until it may go on.

Each process of the program has a connection of its own to the socket that its session names; a forked child opens
one before its first event, a started one when it begins to record. What passes over it are lines:

    to the shell     one mark, `?` or `.`, then the event as it stands on its line of the recording. After `?` the
                     process waits; what is no deed of the program's own, as a chunk of a stream, is only told (`.`),
                     and where nobody steps the program, everything that begins no call and no process; then the ends
                     of spans come with what follows them, because each send is a switch to another process.
                     After `!` stands a question: whether a part of an answer may be delivered now, `at`, `step`,
                     `index`, `waited` as in `Answers.may`. After `=` stand the number of an answer that was told
                     ahead, a space, and the event of the call that has taken it without waiting. After `@` stands where
                     the program begins a server: its `port`, 0 for any, and the call `site`. `~` says that what was
                     printed has left it.
    to the program   one JSON object for each `?`: `at` is the id of the event that it lets go. `tools` names functions
                     whose calls shall be recorded as tool calls. What becomes of the call that begins with the event
                     stands in the members that `Given.from_json` reads; none of them: it is made. With `live` the
                     recording is left behind: clock and network are the program's own from now on.
                     For each `!` at once: `{"may": true}` or `{"may": false}`.
                     With `ahead`, a number, instead of `at`, an answer is told before its call is made, to be taken
                     by a call of which `asked` tells the same (`foretold`). `{"void": true}` takes back all of these,
                     and so does every `?`: those that come before its word are not meant for what follows.
                     `{"flush": true}`: it will be ended where it waits, and prints before that what Python still holds.

The process waits in the thread that emits, sync or async, as under pdb; another thread waits when it has something to
emit. It waits in the kernel. When the connection ends, for whatever reason, the process goes on without it,
unless it runs on a recording.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from orjson import OPT_APPEND_NEWLINE, dumps, loads

from namel3ss_debug.capture import interruptions
from namel3ss_debug.capture.answers import Gate, Given, Raised, Step
from namel3ss_debug.capture.foretold import Foretold
from namel3ss_debug.capture.marks import ASKS, FLUSHED, LISTENS, TAKEN, TOLD, WAITS
from namel3ss_debug.capture.spans import HELD_TOLD_NS
from namel3ss_debug.traces.clocks import perf_counter_ns
from namel3ss_debug.traces.events import Event, ends_span
from namel3ss_debug.traces.writer import TraceWriter

ONLY_TOLD = frozenset({"stream_chunk", "resource_sample", "stack_sample", "inputs_read"})
"""Events that do not hold the program: they are pieces of something, or no deed of the program at all."""

_BLOCK = 1 << 16
_CALLS = ("llm", "http", "tool", "mcp")
_NOBODY = Given(raised=Raised("ConnectionError", "the debugger has gone, and nobody answers"))


class SocketGate:
    """Asks the shell behind a socket.

    Args:
        address: the path of the socket.
        on_tools: told the names of functions whose calls shall be recorded as tool calls.
        on_problem: told in words what went wrong.
        on_live: called when the recording is left behind.
        alone: whether the program may go on without the shell. One that runs on a recording may not: it is told to end
            by SIGTERM, and the calls that it makes until then fail.
        only_calls: whether the program waits only where a call begins, or a process of it.
    """

    def __init__(
        self,
        address: str,
        *,
        on_tools: Callable[[Iterable[str]], None],
        on_problem: Callable[[str], None],
        on_live: Callable[[], None] = lambda: None,
        alone: bool = True,
        only_calls: bool = False,
    ) -> None:
        self._address = address
        self._on_tools = on_tools
        self._on_live = on_live
        self._alone = alone
        self._only_calls = only_calls
        self._on_problem = on_problem
        self._connection: socket.socket | None = None
        self._over = False
        self._begin()

    def _begin(self) -> None:
        self._busy = False  # telling an event, or waiting at one
        self._sending = False
        self._unsent: list[bytes] = []
        self._torn = False  # an exception has ended the sending of a line, who knows where
        self._came: list[bytes] = []  # received, and not yet a part of the rest
        self._rest = bytearray()
        self._foretold = Foretold()

    def renew(self) -> None:
        """After a fork: the connection belongs to the other process."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._begin()

    def passed(self, event: Event, line: bytes) -> Given | None:
        """Tell the shell of an event, and wait where it is one that holds the program.

        A signal handler may emit while its thread is here. Its event is only told, because the word that comes is
        meant for the other, and it is told behind the line that is being sent.
        """
        if self._over:
            return None if self._alone or not _is_call(event) else _NOBODY
        waits = not self._busy and self._holds(event)
        if self._only_calls and not waits and ends_span(event["event_type"]):
            self._unsent.append(TOLD + line)
            return None
        outermost, self._busy = not self._busy, True
        try:
            word = self._told_ahead(event) if waits else None
            if word is not None:
                self._tell(b"%b%d %b" % (TAKEN, word["ahead"], line))
                return Given.from_json(word)
            self._tell((WAITS if waits else TOLD) + line)
            return self._go(event["event_id"]) if waits else None
        except Exception as error:
            self._lost_by(error)
            return None if self._alone or not _is_call(event) else _NOBODY
        finally:
            self._busy = not outermost

    def _holds(self, event: Event) -> bool:
        """Whether the program waits at an event."""
        if self._only_calls:
            return _is_call(event) or event["event_type"] == "trace_start"
        return event["event_type"] not in ONLY_TOLD

    def may(self, event_id: str, step: Step, index: int, waited: float) -> bool:
        """Ask whether a part of an answer may be delivered now.

        A signal handler that asks while its thread waits here may do as it likes: the word that comes is meant for the
        other. So may all once the connection has ended.
        """
        if self._over or self._busy:
            return True
        question = {"at": event_id, "step": step, "index": index, "waited": waited}
        self._busy = True
        try:
            self._tell(ASKS + dumps(question, None, OPT_APPEND_NEWLINE))
            while True:
                word: dict[str, Any] = loads(self._line())
                if "may" in word:
                    return bool(word["may"])
                self._hear(word)
        except Exception as error:
            self._lost_by(error)
            return True
        finally:
            self._busy = False

    def listens(self, port: int, site: str | None) -> None:
        """Tell the shell where the program starts to listen; it is no event, and nothing waits for it."""
        if self._over:
            return
        try:
            self._tell(LISTENS + dumps({"port": port, "site": site}, None, OPT_APPEND_NEWLINE))
        except Exception as error:
            self._lost_by(error)

    def close(self) -> None:
        """Let go of the connection, for good."""
        self._over = True
        if self._connection is not None:
            self._connection.close()

    def look(self) -> None:
        """Check that the shell is still connected; close the connection where not."""
        if self._over or self._busy or self._connection is None:
            return
        try:
            there = self._connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            there = b""
        if not there:
            self._lost()

    def _lost_by(self, error: Exception) -> None:
        """The shell has gone, or what it says makes no sense: the program goes on by itself.

        Raises:
            Exception: `error` itself, where a signal handler of the program has raised it. The connection is as it was.
        """
        if interruptions.is_of_the_program(error):
            raise error
        self._lost()

    def _lost(self) -> None:
        self.close()
        if not self._alone:
            os.kill(os.getpid(), signal.SIGTERM)

    def _tell(self, data: bytes) -> None:
        self._unsent.append(data)
        if self._sending:
            return
        self._sending = True
        try:
            connection = self._connected()
            while self._unsent:
                lines, self._unsent = self._unsent, []
                if self._torn:
                    lines.insert(0, b"\n")
                self._torn = True
                connection.sendall(b"".join(lines))
                self._torn = False
        finally:
            self._sending = False

    def _connected(self) -> socket.socket:
        if self._connection is None:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.connect(self._address)
            self._connection = connection
        return self._connection

    def _told_ahead(self, event: Event) -> dict[str, Any] | None:
        """The answer that was sent ahead for the call of this event; where it is None, all of them are void."""
        if self._connection is None:
            return None
        with suppress(BlockingIOError):
            while True:
                self._receive(socket.MSG_DONTWAIT)
        *lines, self._rest = self._rest.split(b"\n")
        for line in lines:
            self._hear(loads(line))
        return self._foretold.take(event)

    def _go(self, event_id: str) -> Given | None:
        """Wait for the word that lets this event go; those for events whose wait an exception has ended are left out."""
        while True:
            word: dict[str, Any] = loads(self._line())
            self._hear(word)
            if word.get("at") == event_id:
                self._foretold.clear()
                return Given.from_json(word)

    def _hear(self, word: dict[str, Any]) -> None:
        """Take what a reply says beside how the waiting call is answered."""
        if "ahead" in word:
            self._foretold.add(word)
        elif "void" in word:
            self._foretold.clear()
        elif "flush" in word:
            for stream in (sys.stdout, sys.stderr):
                with suppress(Exception):  # closed, or no stream at all: the program's own
                    stream.flush()
            self._tell(FLUSHED + b"{}\n")
        if "tools" in word:
            self._on_tools(word["tools"])
        if word.get("live"):
            self._on_live()

    def _receive(self, flags: int = 0) -> None:
        """Take what has come, and wait for it where nothing has.

        Raises:
            OSError: the connection has ended, or with `MSG_DONTWAIT`, nothing has come.
        """
        assert self._connection is not None
        if not self._came:
            # In C: a signal handler may raise as soon as a call of ours returns, and nothing is lost by that.
            self._came.extend(map(self._connection.recv, (_BLOCK,), (flags,)))
        block = self._came[0]
        del self._came[0]
        if not block:
            raise ConnectionError
        self._rest += block

    def _line(self) -> bytearray:
        looked_at = 0
        while (end := self._rest.find(b"\n", looked_at)) < 0:
            looked_at = len(self._rest)
            try:
                self._receive()
            except Exception as error:
                if not interruptions.is_of_the_program(error):
                    raise
                # The time for which it is held is none of the program's: the wait goes on as if it had not come.
                self._on_problem(
                    f"lost while the program was held: {type(error).__name__} of a signal handler"
                )
        line = self._rest[:end]
        del self._rest[: end + 1]
        return line


def _is_call(event: Event) -> bool:
    return event["event_type"][-6:] == "_start" and event.get("component") in _CALLS


class GatedWriter(TraceWriter):
    """A writer whose events pass a gate as soon as they are written, one at a time.

    Args:
        gate: what they pass.
        on_held: told the nanoseconds for which an event was held.
        on_problem: told where an answer was given to a call that no seam can answer.
        on_real: told where what the whole process does is for real.
        first: as for any writer.
        header: as for any writer.
        **settings: as for any writer.
    """

    joins_lines = False
    needs_lock = True

    def __init__(
        self,
        gate: Gate,
        on_held: Callable[[int], None],
        on_problem: Callable[[str], None],
        on_real: Callable[[], None],
        first: Path,
        *,
        header: Callable[[int, int, int], Event],
        **settings: Any,
    ) -> None:
        self._gate = gate
        self._on_held = on_held
        self._on_problem = on_problem
        self._on_real = on_real
        self._turn = threading.RLock()
        self._held_ns = 0  # a forked process goes on with what its parent was held
        self._given: dict[str, Given] = {}
        self._lines: dict[int, bytes] = {}
        self._begun: Event = {}

        def keeping(process: int, segment: int, seq: int) -> Event:
            self._begun = header(process, segment, seq)
            return self._begun

        super().__init__(first, header=keeping, **settings)

    def begin(self) -> None:
        """Begin the first segment, and let its header pass the gate."""
        with self._turn:
            super().begin()

    def append(self, event: Event) -> str:
        """Write an event, and let it pass the gate; who waits because another thread is held there is held as well.

        The event tells for how long the process had been held when it happened, so that readers can take this time out.
        """
        came, held = perf_counter_ns(), self._held_ns
        with self._turn:
            waited = perf_counter_ns() - came
            before = self._held_ns - min(waited, self._held_ns - held)
            if before >= HELD_TOLD_NS:
                event["held_before_ms"] = round(before / 1e6, 3)
            event_id = super().append(event)
            line = self._lines.pop(event["seq"], b"")
            reached = perf_counter_ns()
            given = self._gate.passed(event, line) if line else None
            here = perf_counter_ns() - reached
            self._held_ns += here
            self._on_held(waited + here)
            if given is not None:
                self._given[event_id] = given
            elif self._given and event["event_type"][-4:] == "_end":
                self._forget(event)
            return event_id

    def append_inputs(self, event: Event) -> str:
        """Write an `inputs_read` event, and let it pass the gate."""
        return self.append(event)

    def take(self, event_id: str) -> Given | None:
        """How the call that began with this event is answered; it is given once."""
        return self._given.pop(event_id, None)

    def may(self, event_id: str, step: Step, index: int, waited: float) -> bool:
        """Whether a part of an answer may be delivered now."""
        with self._turn:
            return self._gate.may(event_id, step, index, waited)

    def listens(self, port: int, site: str | None) -> None:
        """The program starts to listen on this port."""
        with self._turn:
            self._gate.listens(port, site)

    def look(self) -> None:
        """Check that the shell is still connected; a thread that waits at the gate notices by itself."""
        if self._turn.acquire(blocking=False):
            try:
                self._gate.look()
            finally:
                self._turn.release()

    def before_fork(self) -> None:
        """Wait until no thread is held at the gate."""
        self._turn.acquire()
        super().before_fork()

    def after_fork_in_parent(self) -> None:
        """Go on as before."""
        super().after_fork_in_parent()
        self._turn.release()

    def after_fork_in_child(self) -> None:
        """Renew the gate as well: this is another process now."""
        super().after_fork_in_child()
        self._turn = threading.RLock()
        self._given.clear()
        self._lines.clear()
        self._gate.renew()

    def close(self) -> None:
        """Close the segment, and leave the gate."""
        super().close()
        self._gate.close()

    def _commit(self, seq: int, line: bytes, events: int = 1) -> bool:
        done = super()._commit(seq, line, events)
        if done:
            self._lines[seq] = line
        return done

    def _write_header(
        self, fd: int, process: int, segment: int, seq: int, *, removed: bool
    ) -> tuple[bytes, int]:
        written = super()._write_header(fd, process, segment, seq, removed=removed)
        reached = perf_counter_ns()
        given = self._gate.passed(self._begun, dumps(self._begun, None, OPT_APPEND_NEWLINE))
        self._held_ns += perf_counter_ns() - reached
        if given is not None and given.runs:
            self._on_real()
        return written

    def _forget(self, event: Event) -> None:
        given = self._given.pop(event.get("parent_event_id", ""), None)
        if given is not None and (given.answers or given.effect is not None):
            name = event.get("component_name") or event.get("component")
            self._on_problem(f"an answer was given for {name}, which is no call that can be answered")
