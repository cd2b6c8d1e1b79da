"""The child's side of the step channel: each event is sent to the debugger's shell, and the program waits for its reply.

Each process of the program has a connection of its own to the socket that its session names. A forked child opens one
before its first event, a started one when it begins to record. The messages are lines:

    to the shell     A first byte, then JSON.
                     `?` An event as it is in the trace, with the lines of the running `frames` if it is stepped; the
                     process waits for the reply.
                     `.` An event for which it does not wait: a part of something, such as a chunk of a stream. If the
                     program is not stepped, these are all events that start no call and no process. Then the ends of
                     spans are sent with the events after them, because each send is a switch to another process.
                     `!` A question whether an answer may end now: `at`, `waited` as in `ReplySource.may_end`.
                     `@` The program begins to listen: `port`, 0 for any, and the call `site`.
                     `~` The buffered output was flushed.
                     `=` The answer to a question of the shell, with its `id`.
                     `%` A pdb has no commands to read now: `moves` says whether it goes on with the program,
                     `problem` why it could not run.
    to the program   One JSON object for each `?`: `at` is the id of the event that may go on. `tools` names functions
                     whose calls shall be recorded as tool calls. The members that `CallReply.from_json` reads decide
                     about the call that begins with the event; without them, it is made. With `live`, the program
                     leaves the trace: clock and network are its own from now on.
                     For each `!`, at once: `{"may": true}` or `{"may": false}`.
                     `{"flush": true}`: the process will be ended where it waits, and flushes its output before.
                     `{"question": {...}}` about the frames that wait, see `waiting_frames`; its `id` is in the answer.
                     `{"pdb": "/dev/pts/3"}`: a pdb reads its commands there. The process still waits afterwards,
                     unless a command moves: then a reply to its event follows, and `%` again when pdb has ended.

The process waits in the thread that emits, sync or async, as under pdb. Another thread waits when it has something to
emit. The wait is in the kernel. When the connection ends, the process goes on without it, unless it is a re-run.
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

from namel3ss_debug.capture.core import interruptions, typed_code
from namel3ss_debug.capture.core.answers import CallReply, RecordedError, StepChannel
from namel3ss_debug.capture.core.tracer import LEAST_PAUSE_NS
from namel3ss_debug.capture.launch.step_messages import (
    ANSWERS,
    ASKS,
    FLUSHED,
    LISTENS,
    PDB_ENDS,
    REPORTS,
    WAITS,
)
from namel3ss_debug.traces.clocks import perf_counter_ns
from namel3ss_debug.traces.events import Event, ends_span
from namel3ss_debug.traces.writer import TraceWriter

REPORTED_ONLY = frozenset(
    {"stream_chunk", "resource_sample", "stack_sample", "file_access", "inputs_read", "output"}
)
"""Events that do not pause the program: parts of something, or no action of the program at all."""

_BLOCK = 1 << 16
_CALLS = ("llm", "http", "tool", "mcp", "command")
_SHELL_GONE = CallReply(
    raised=RecordedError("ConnectionError", "the debugger has ended, so no call is answered")
)


class SocketStepChannel:
    """The step channel to a shell behind a socket.

    Args:
        address: the path of the socket.
        on_tools: called with the names of functions whose calls shall be recorded as tool calls.
        on_problem: called with a message about what went wrong.
        on_live: called when the program leaves the trace behind.
        on_question: answers a question about the frames that wait.
        on_pdb: runs a pdb on the terminal with this path, and returns whether it lets the program go on.
        alone: whether the program may go on without the shell. A re-run may not: it is ended by SIGTERM, and the calls
            that it makes until then fail.
        only_calls: whether the program waits only where a call begins, or a process of it.
    """

    def __init__(
        self,
        address: str,
        *,
        on_tools: Callable[[Iterable[str]], None],
        on_problem: Callable[[str], None],
        on_live: Callable[[], None] = lambda: None,
        on_question: Callable[[dict[str, Any]], dict[str, Any]] = lambda _question: {},
        on_pdb: Callable[[str], bool] = lambda _terminal: False,
        alone: bool = True,
        only_calls: bool = False,
    ) -> None:
        self._address = address
        self._on_tools = on_tools
        self._on_live = on_live
        self._on_question = on_question
        self._on_pdb = on_pdb
        self._may_run_alone = alone
        self._only_calls = only_calls
        self._on_problem = on_problem
        self._connection: socket.socket | None = None
        self._is_closed = False
        self._reset()

    def _reset(self) -> None:
        self._busy = False  # sending an event, or waiting at one
        self._sending = False
        self._unsent: list[bytes] = []
        self._torn = False  # an exception has interrupted the sending of a line
        self._received: list[bytes] = []  # not yet a part of the rest
        self._rest = bytearray()

    def renew(self) -> None:
        """Close the connection after a fork: it belongs to the parent process."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._reset()

    def send_event(self, event: Event, line: bytes) -> CallReply | None:
        """Send an event to the shell, and wait if it is one that pauses the program.

        A signal handler may emit while its thread is in this method. Its event is sent without a wait, because the next reply
        is meant for the other event, and after the line that is being sent.
        """
        if self._is_closed:
            return None if self._may_run_alone or not _is_call(event) else _SHELL_GONE
        waits = not self._busy and self._waits_at(event)
        if self._only_calls and not waits and ends_span(event["event_type"]):
            self._unsent.append(REPORTS + line)
            return None
        outermost, self._busy = not self._busy, True
        try:
            self._send((WAITS if waits else REPORTS) + line)
            return self._wait_for_reply(event["event_id"]) if waits else None
        except Exception as error:
            self._handle_error(error)
            return None if self._may_run_alone or not _is_call(event) else _SHELL_GONE
        finally:
            self._busy = not outermost

    def _waits_at(self, event: Event) -> bool:
        """Return whether the program waits at an event."""
        if self._only_calls:
            return _is_call(event) or event["event_type"] == "trace_start"
        return event["event_type"] not in REPORTED_ONLY

    def may_end(self, event_id: str, waited: float) -> bool:
        """Ask whether an answer may end now.

        A signal handler that asks while its thread waits here may go on at once, because the next reply is meant for the
        other question. So may everyone once the connection has ended.
        """
        if self._is_closed or self._busy:
            return True
        question = {"at": event_id, "waited": waited}
        self._busy = True
        try:
            self._send(ASKS + dumps(question, None, OPT_APPEND_NEWLINE))
            while True:
                message: dict[str, Any] = loads(self._read_line())
                if "may" in message:
                    return bool(message["may"])
                self._handle(message)
        except Exception as error:
            self._handle_error(error)
            return True
        finally:
            self._busy = False

    def report_listening(self, port: int, site: str | None) -> None:
        """Report where the program begins to listen; this is no event, and nothing waits for it."""
        if self._is_closed:
            return
        try:
            self._send(LISTENS + dumps({"port": port, "site": site}, None, OPT_APPEND_NEWLINE))
        except Exception as error:
            self._handle_error(error)

    def report_pdb_end(self) -> None:
        """Report that a pdb that went on with the program has ended."""
        if self._is_closed:
            return
        try:
            self._send(PDB_ENDS + dumps({"moves": False}, None, OPT_APPEND_NEWLINE))
        except Exception as error:
            self._handle_error(error)

    def close(self) -> None:
        """Close the connection for good."""
        self._is_closed = True
        if self._connection is not None:
            self._connection.close()

    def check_connection(self) -> None:
        """Check that the shell is still connected, and close the connection if not."""
        if self._is_closed or self._busy or self._connection is None:
            return
        try:
            there = self._connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            there = b""
        if not there:
            self._disconnect()

    def _handle_error(self, error: Exception) -> None:
        """Disconnect: the shell has gone, or its messages make no sense.

        Raises:
            Exception: `error` itself, if a signal handler of the program has raised it. The connection stays open.
        """
        if interruptions.is_from_signal_handler(error):
            raise error
        self._disconnect()

    def _disconnect(self) -> None:
        self.close()
        if not self._may_run_alone:
            os.kill(os.getpid(), signal.SIGTERM)

    def _send(self, data: bytes) -> None:
        self._unsent.append(data)
        if self._sending:
            return
        self._sending = True
        try:
            connection = self._connect()
            while self._unsent:
                lines, self._unsent = self._unsent, []
                if self._torn:
                    # An unknown part of the last line was sent: end it, so that the shell can skip it.
                    lines.insert(0, b"\n")
                self._torn = True
                connection.sendall(b"".join(lines))
                self._torn = False
        finally:
            self._sending = False

    def _connect(self) -> socket.socket:
        if self._connection is None:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.connect(self._address)
            self._connection = connection
        return self._connection

    def _wait_for_reply(self, event_id: str) -> CallReply | None:
        """Wait for the reply to this event, and skip those to events whose wait an exception has ended."""
        while True:
            message: dict[str, Any] = loads(self._read_line())
            self._handle(message)
            if message.get("at") == event_id:
                return CallReply.from_json(message)

    def _handle(self, message: dict[str, Any]) -> None:
        """Handle the members of a reply that do not concern the waiting call."""
        if "flush" in message:
            for stream in (sys.stdout, sys.stderr):
                with suppress(Exception):  # the program may have closed or replaced it
                    stream.flush()
            self._send(FLUSHED + b"{}\n")
        if "question" in message:
            question = message["question"]
            try:
                answer = self._on_question(question)
            except Exception as error:
                answer = {"frames": []}
                self._on_problem(f"a question about the waiting frames could not be answered: {error!r}")
            self._send(ANSWERS + dumps({**answer, "id": question["id"]}, None, OPT_APPEND_NEWLINE))
        if "pdb" in message:
            try:
                end: dict[str, Any] = {"moves": self._on_pdb(message["pdb"])}
            except Exception as error:
                end = {"moves": False, "problem": f"{type(error).__name__}: {error}"}
            self._send(PDB_ENDS + dumps(end, None, OPT_APPEND_NEWLINE))
        if "tools" in message:
            self._on_tools(message["tools"])
        if message.get("live"):
            self._on_live()

    def _receive(self) -> None:
        """Receive a block, and wait for it if there is none yet.

        Raises:
            OSError: the connection has ended.
        """
        assert self._connection is not None
        if not self._received:
            # `extend` and `map` run in C: a signal handler raises only after the block is stored, so none is lost.
            self._received.extend(map(self._connection.recv, (_BLOCK,)))
        block = self._received[0]
        del self._received[0]
        if not block:
            raise ConnectionError
        self._rest += block

    def _read_line(self) -> bytearray:
        looked_at = 0
        while (end := self._rest.find(b"\n", looked_at)) < 0:
            looked_at = len(self._rest)
            try:
                self._receive()
            except Exception as error:
                if not interruptions.is_from_signal_handler(error):
                    raise
                # For the program, no time passes during a pause, so its timeouts are not due: the wait goes on.
                self._on_problem(
                    f"{type(error).__name__} of a signal handler was lost while the program was paused"
                )
        line = self._rest[:end]
        del self._rest[: end + 1]
        return line


def _is_call(event: Event) -> bool:
    return event["event_type"][-6:] == "_start" and event.get("component") in _CALLS


class SteppedWriter(TraceWriter):
    """A writer that sends each event over a step channel as soon as it is written, one at a time.

    Args:
        channel: where the events are sent.
        on_pause: called with the nanoseconds for which an event paused its thread.
        on_problem: called with a message if there is a reply to a call that no seam can answer.
        on_real: called if the whole process runs for real.
        first: as for `TraceWriter`.
        header: as for `TraceWriter`.
        **settings: as for `TraceWriter`.
    """

    joins_lines = False
    needs_lock = True
    stores_media = False  # the shell reads each line by itself

    def __init__(
        self,
        channel: StepChannel,
        on_pause: Callable[[int], None],
        on_problem: Callable[[str], None],
        on_real: Callable[[], None],
        first: Path,
        *,
        frames: Callable[[], list[str]] | None,
        header: Callable[[int, int, int], Event],
        **settings: Any,
    ) -> None:
        self._channel = channel
        self._on_pause = on_pause
        self._on_problem = on_problem
        self._on_real = on_real
        self._frames = frames
        self._send_lock = threading.RLock()
        self._paused_ns = 0  # a forked process goes on with the pauses of its parent
        self._replies: dict[str, CallReply] = {}
        self._lines: dict[int, bytes] = {}
        self._start_event: Event = {}

        def keeping(process: int, segment: int, seq: int) -> Event:
            self._start_event = header(process, segment, seq)
            return self._start_event

        super().__init__(first, header=keeping, **settings)

    def begin(self) -> None:
        """Begin the first segment, and send its header."""
        with self._send_lock:
            super().begin()

    def append(self, event: Event) -> str:
        """Write an event and send it. A thread that waits because another one is paused is paused as well.

        The event says for how long the process had been paused before it, so that readers can subtract this time.
        """
        if typed_code.THREADS and typed_code.is_running():
            return ""
        called, paused = perf_counter_ns(), self._paused_ns
        with self._send_lock:
            waited = perf_counter_ns() - called
            before = self._paused_ns - min(waited, self._paused_ns - paused)
            if before >= LEAST_PAUSE_NS:
                event["paused_before_ms"] = round(before / 1e6, 3)
            event_id = super().append(event)
            line = self._lines.pop(event["seq"], b"")
            if line and self._frames is not None and event["event_type"] not in REPORTED_ONLY:
                # For breakpoints at a line further out; only the shell gets them, not the file.
                line = b'%b,"frames":%b}\n' % (line.rstrip()[:-1], dumps(self._frames()))
            reached = perf_counter_ns()
            reply = self._channel.send_event(event, line) if line else None
            here = perf_counter_ns() - reached
            self._paused_ns += here
            self._on_pause(waited + here)
            if reply is not None:
                self._replies[event_id] = reply
            elif self._replies and event["event_type"][-4:] == "_end":
                # A seam that can answer calls has taken the reply by now.
                unused = self._replies.pop(event.get("parent_event_id", ""), None)
                if unused is not None and (unused.answers or unused.effect is not None):
                    name = event.get("component_name") or event.get("component")
                    self._on_problem(f"{name} was mocked, but it is not a call that a mock can answer")
            return event_id

    def add_pause(self, nanoseconds: int) -> None:
        """Add time for which a pdb paused the program between two events."""
        self._paused_ns += nanoseconds

    def report_pdb_end(self, channel: SocketStepChannel) -> None:
        """Report over the channel that a pdb that went on with the program has ended."""
        with self._send_lock:
            channel.report_pdb_end()

    def append_inputs(self, event: Event) -> str:
        """Write an `inputs_read` event and send it."""
        return self.append(event)

    def take(self, event_id: str) -> CallReply | None:
        """Return the reply to the call that began with this event, once."""
        return self._replies.pop(event_id, None)

    def may_end(self, event_id: str, waited: float) -> bool:
        """Return whether an answer may end now."""
        with self._send_lock:
            return self._channel.may_end(event_id, waited)

    def report_listening(self, port: int, site: str | None) -> None:
        """Report that the program begins to listen on this port."""
        with self._send_lock:
            self._channel.report_listening(port, site)

    def check_connection(self) -> None:
        """Check that the shell is still connected; a thread that waits for a reply notices by itself."""
        if self._send_lock.acquire(blocking=False):
            try:
                self._channel.check_connection()
            finally:
                self._send_lock.release()

    def before_fork(self) -> None:
        """Wait until no thread is paused."""
        self._send_lock.acquire()
        super().before_fork()

    def after_fork_in_parent(self) -> None:
        """Go on as before."""
        super().after_fork_in_parent()
        self._send_lock.release()

    def after_fork_in_child(self) -> None:
        """Renew the step channel as well, because this is another process now."""
        super().after_fork_in_child()
        self._send_lock = threading.RLock()
        self._replies.clear()
        self._lines.clear()
        self._channel.renew()

    def close(self) -> None:
        """Close the segment and the step channel."""
        super().close()
        self._channel.close()

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
        reply = self._channel.send_event(self._start_event, written[0] + b"\n")
        self._paused_ns += perf_counter_ns() - reached
        if reply is not None and reply.runs:
            self._on_real()
        return written
