"""A running program that is stepped: its events are the trace, and it waits for the debugger at each of them.

Each process of the program connects to the socket of a `StepServer`, sends every event, and waits after each event
that holds it (`capture.launch.step_channel`). A move past the last event lets all waiting processes go on, and ends with
the next event of any of them; so at a prompt every process waits, or will at its next event.

The first Ctrl-C while the program runs stops it at its next event, as in gdb; the second one reaches the program itself,
as SIGINT; the third one returns to the prompt at once, while the program still runs. Processes that are left when the
first process of the program has ended run on by themselves.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from namel3ss_debug.capture.launch.foreground import WANTS_TERMINAL, Foreground, terminal_path
from namel3ss_debug.capture.launch.ports import OwnPorts, find_listening
from namel3ss_debug.capture.launch.step_messages import (
    ANSWERS,
    ASKS,
    FLUSHED,
    LISTENS,
    PDB_ENDS,
    WAITS,
)
from namel3ss_debug.errors import WrongUsageError
from namel3ss_debug.replay.debugger.replies import (
    CallAnswerer,
    describe_exit,
    mocked_tool,
    override_reply,
    refuse_unreached,
)
from namel3ss_debug.replay.debugger.step_channel import CALL_STARTS, SteppedProcess, StepServer
from namel3ss_debug.traces.events import NO_PROGRESS, Event
from namel3ss_debug.traces.inputs import EVENT_TYPE as INPUTS_READ
from namel3ss_debug.wire import lenient

if TYPE_CHECKING:  # a program without mocks does not load their grammar
    from namel3ss_debug.replay.overrides.active import Overrides

GRACE_SECONDS = 5.0
"""How long a program may take to end after SIGTERM before it is killed."""

ANSWERED_GRACE_SECONDS = 1.0
"""The same for a program whose calls are answered from a trace: it waits at the call that cannot be answered."""

SILENCE_SECONDS = 1.0
"""How long a program that gets answers may send nothing before the reason is looked for."""

_BLOCK = 1 << 16


class _Waiting(NamedTuple):
    """A waiting process, and the event it waits at with its number."""

    process: SteppedProcess
    number: int
    event: Event


class LiveProgram:
    """A running program, as the trace and as the program of a `Stepper`; to be used in the main thread.

    Attributes:
        overrides: the mocks and faults for its calls.
        detached: whether it runs by itself, and is stepped no more.
        frames: the number of an event -> the lines of the program that ran there, innermost first.
        keeps_events: whether whole events are kept for stepping, or their ids alone.
        interrupted: whether Ctrl-C was passed on to it.
        stopped: whether the user has ended it.

    Args:
        child: the first process.
        channel: the socket that its processes connect to.
        foreground: the terminal, if the child has a process group of its own.
        notice: shows the user a line while the program runs.
        answering: answers its calls; without it they are made, apart from those with overrides.
        apart: whether the child has a process group of its own.
    """

    def __init__(
        self,
        child: subprocess.Popen[bytes],
        channel: StepServer,
        foreground: Foreground | None = None,
        notice: Callable[[str], None] = lambda _text: None,
        answering: CallAnswerer | None = None,
        *,
        apart: bool = False,
    ) -> None:
        self.overrides: Overrides | None = None
        self.detached = False
        self.keeps_events = True
        self.interrupted = False
        self.stopped = False
        self.answering = answering
        self._apart = apart or foreground is not None
        self._child = child
        self._channel = channel
        self._foreground = foreground
        self._notice = notice
        self._lines: list[bytes] = []
        self.frames: dict[int, list[str]] = {}
        self._waiting: list[_Waiting] = []
        self._interrupts = 0
        self._steps = 0  # the events so far, apart from those that only hold the inputs of the program
        self._attended = True
        self._selector = selectors.DefaultSelector()
        self._wake, self._waker = socket.socketpair()
        for end in (self._wake, self._waker):
            end.setblocking(False)
        self._selector.register(self._channel.socket, selectors.EVENT_READ)
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._silent_since = self._paused_since = time.monotonic()
        self._active = False  # whether the latest read showed progress of the program
        self._unflushed = 0  # processes that were asked to flush their output, and have not done so yet
        self._asked: tuple[int, SteppedProcess, Event] | None = None  # the latest question, until its answer
        self._answer: dict[str, Any] = {}
        self._questions = 0
        self._in_pdb: SteppedProcess | None = None  # it has the terminal
        self._pdb_problem: str | None = None
        self._pdb_moves = False  # whether a command of pdb lets the program go on
        self._servers: dict[int, str] = {}  # port -> the call site that began to listen there

    # --- the trace

    def events(self, start: int = 1) -> Iterator[Event]:
        """Yield all events so far from the number `start` on."""
        number = start
        while number <= len(self._lines):
            yield self.event(number)
            number += 1

    def event(self, number: int) -> Event:
        """Return the event with this number, in the order of arrival."""
        event: Event = orjson.loads(self._lines[number - 1])
        return event

    def count(self) -> int:
        """Return how many events there are by now."""
        return len(self._lines)

    # --- the program

    def has_ended(self) -> bool:
        """Return whether the first process of the program has ended."""
        return self._child.returncode is not None

    def go_on(self) -> bool:
        """Let the program run until it waits at a further event; return False once it has ended or was detached.

        Raises:
            KeyboardInterrupt: Ctrl-C has stopped it at the latest event, or was pressed for the third time.
            DebugError: the call at which the program waits cannot be answered, such as by a mock that does not have its
                shape, and it still waits; or it waits for something that cannot happen.
        """
        before, steps = len(self._lines), self._steps
        if self.has_ended() or self.detached:
            return False
        self._interrupts = 0
        self._silent_since += time.monotonic() - self._paused_since  # the time at the prompt does not count
        try:
            with self._listening():
                self._release()
                # Programs do not wait at chunks: after Ctrl-C, any new event is a place to stop at.
                while not (self.has_ended() or self._waiting or (self._interrupts and self._steps > steps)):
                    self._run_once()
        finally:
            self._paused_since = time.monotonic()
        if self._foreground is not None:
            self._foreground.take_back()
        if self.has_ended():
            self._conclude()
        elif self._interrupts:
            raise KeyboardInterrupt
        return len(self._lines) > before

    def _conclude(self) -> None:
        """Let the other processes go after the first one has ended, and show the user how it ended."""
        self._finish()
        if self._attended:
            self._notice(f"the program has ended {describe_exit(self._child.returncode)}")

    def _run_once(self) -> None:
        """Look at the child, and wait for the next messages; refuse to wait for ever without any."""
        self._look_at_child()
        patience = None if self.answering is None else SILENCE_SECONDS
        if not self._receive(0.0 if self.has_ended() else patience):
            self._check_silence()

    def _finish(self) -> None:
        """Let the other processes go after the first one has ended; if they get answers, for a while with these."""
        if self.answering is not None:
            until = time.monotonic() + GRACE_SECONDS
            with self._listening():
                while self._processes() and (left := until - time.monotonic()) > 0:
                    self._release()
                    self._receive(left)
        self._disconnect()

    def _processes(self) -> list[SteppedProcess]:
        """Return the processes that are connected."""
        return [key.data for key in self._selector.get_map().values() if isinstance(key.data, SteppedProcess)]

    def detach(self) -> None:
        """Let the program run on by itself, without stepping."""
        self.detached = True
        self._disconnect()

    def run_out(self) -> None:
        """Let the program run to its end without stepping: by itself, or with its answers and overrides if there are any."""
        if self.answering is None and not self.overrides:
            self.detach()
        self._attended = False
        if self.has_ended() or self.detached:
            return
        with self._listening():
            while not self.has_ended():
                self._release()
                self._run_once()
        if self._foreground is not None:
            self._foreground.take_back()
        self._finish()

    def _check_silence(self) -> None:
        """Refuse to wait on for a program that has done nothing for too long.

        Raises:
            DebugError: it waits for something that never happens.
        """
        if self.answering is not None and not self.has_ended():
            silent = time.monotonic() - self._silent_since
            if silent > SILENCE_SECONDS:  # on a busy machine, starting alone may take longer than any limit
                silent -= starved_seconds(self._child.pid)
            self.answering.check_silence(silent, self._find_server)

    def _find_server(self) -> str:
        """Return where the program began to listen on which port; "" if it does not listen."""
        port = min(find_listening(self._child.pid), default=0)
        site = self._servers.get(port) or self._servers.get(0) or "the program"
        return f"{site} listens on port {port}" if port else ""

    def wait(self) -> int:
        """Wait for the end of a detached program, which has the terminal.

        Returns:
            Its exit status; of one that died by a signal, the signal's negative number.
        """
        before = signal.signal(
            signal.SIGINT, lambda _number, _frame: None
        )  # the program gets the signal itself
        try:
            while not self.has_ended():
                if self._foreground is not None:
                    self._foreground.lend(self._child.pid)
                    self._signal(signal.SIGCONT)
                self._look_at_child(block=True)
        finally:
            signal.signal(signal.SIGINT, before)
            if self._foreground is not None:
                self._foreground.take_back()
        return self._child.wait()

    def end(self) -> int:
        """End the program and what it has started by SIGTERM, wait for it as `wait` does, and close everything."""
        if not self.has_ended():
            self.stopped = True
            if self.answering is not None:
                self._flush()
            # The signal comes first: it must find the program waiting, before a closed connection lets it go on.
            self._signal(signal.SIGTERM)
            self._signal(signal.SIGCONT)
            if self.answering is not None:
                self._let_end()
            self._disconnect()
            try:
                self._child.wait(0 if self.answering is not None else GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                self._signal(signal.SIGKILL)
        if self._selector.get_map() is not None:
            self._disconnect()
            self._selector.close()
            self._wake.close()
            self._waker.close()
        return self._child.wait()

    def _flush(self) -> None:
        """Let waiting processes flush their output: a signal that ends them would lose what is still in a buffer."""
        processes = {id(waiting.process): waiting.process for waiting in self._waiting}
        self._unflushed = len(processes)
        for process in processes.values():
            self._send(process, {"flush": True})
        until = time.monotonic() + ANSWERED_GRACE_SECONDS
        with self._listening():
            while self._unflushed and not self.has_ended() and (left := until - time.monotonic()) > 0:
                self._receive(left)

    def _let_end(self) -> None:
        """Let a program end after SIGTERM. It stays waiting at calls, which have no answer any more."""
        until = time.monotonic() + ANSWERED_GRACE_SECONDS
        with self._listening():
            while not self.has_ended() and (left := until - time.monotonic()) > 0:
                for waiting in [
                    each for each in self._waiting if each.event["event_type"] not in CALL_STARTS
                ]:
                    self._waiting.remove(waiting)
                    self._send(waiting.process, {"at": waiting.event.get("event_id")})
                self._look_at_child()
                self._receive(0.0 if self.has_ended() else left)

    # --- the frames that wait

    def ask(self, number: int, about: str, **question: str) -> dict[str, Any] | None:
        """Ask the process that waits at an event about its frames; return None if none waits there.

        Args:
            number: the number of the event.
            about: what to ask, see `capture.launch.waiting_frames`.
            **question: the rest of the question.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed twice. The first one interrupts the program's main thread if it is the
                one that answers.
        """
        waiting = self._find_waiting(number)
        if waiting is None:
            return None
        self._questions += 1
        self._asked, self._answer, self._interrupts = (self._questions, waiting.process, waiting.event), {}, 0
        self._send(waiting.process, {"question": {"about": about, "id": self._questions, **question}})
        try:
            with self._listening():
                while self._asked is not None and not self.has_ended():
                    self._look_at_child()
                    self._receive(0.0 if self.has_ended() else None)
        finally:
            self._asked = None
        return self._answer

    def run_pdb(self, number: int) -> bool:
        """Lend the terminal to a pdb at the frame that waits at an event, until it has nothing more to stop at.

        Returns:
            Whether the program has gone on: it waits at no event any more, or at a later one.

        Raises:
            WrongUsageError: no frame waits there, there is no terminal, or pdb could not run.
        """
        waiting = self._find_waiting(number)
        if waiting is None:
            raise WrongUsageError(f"pdb needs a program that waits, and none waits at event {number}")
        if self._foreground is None:
            raise WrongUsageError("pdb needs a terminal to read its commands from")
        if not (self.ask(number, "stack") or {}).get("frames"):
            raise WrongUsageError("pdb needs a line of your Python code, and none runs here")
        process = waiting.process
        self._notice(f"pdb in process {process.pid}; continue comes back to the debugger")
        self._interrupts = 0
        with self._listening(), self._foreground.lending_modes():
            self._in_pdb, self._pdb_moves, self._pdb_problem = process, False, None
            try:
                self._foreground.lend(_group_of(process.pid, self._child.pid))
                self._send(process, {"pdb": terminal_path()})
                while self._in_pdb is not None and not self.has_ended():
                    if self._pdb_moves:
                        self._release()
                    self._look_at_child()
                    self._receive(0.0 if self.has_ended() else None)
            finally:
                self._in_pdb = None
                self._paused_since = self._silent_since = time.monotonic()
                self._foreground.take_back()
        if self._pdb_problem is not None:
            raise WrongUsageError(f"pdb could not run: {self._pdb_problem}")
        if self.has_ended():
            self._conclude()
        return waiting not in self._waiting

    def waits(self) -> bool:
        """Return whether a process waits."""
        return bool(self._waiting)

    def _find_waiting(self, number: int) -> _Waiting | None:
        return next((waiting for waiting in self._waiting if waiting.number == number), None)

    # --- replies

    def _release(self) -> None:
        """Let all waiting processes go on, each call with its answer if it has one."""
        while self._waiting:
            process, number, event = self._waiting[0]
            if self.answering is not None:
                answer = self.answering.reply(number, event)
            elif self.overrides:
                if self._attended:  # otherwise the end of the run says that the override was not used
                    refuse_unreached(self.overrides, number, event)
                answer = override_reply(self.overrides, number, event)
            else:
                answer = {}
            del self._waiting[0]
            self._send(process, self._start_reply(process, event) | answer)

    def _start_reply(self, process: SteppedProcess, event: Event) -> dict[str, Any]:
        """Return the reply that lets an event go, with the mocked tools that the process does not know yet."""
        rows = self.overrides.rows() if self.overrides is not None else ()
        tools = {tool for row in rows if (tool := mocked_tool(row.name))} - process.mocked_tools
        return {"at": event.get("event_id")} | ({"tools": sorted(tools)} if tools else {})

    def _send(self, process: SteppedProcess, reply: dict[str, Any]) -> None:
        try:
            process.mocked_tools.update(reply.get("tools", ()))
            process.connection.sendall(orjson.dumps(reply, option=orjson.OPT_APPEND_NEWLINE))
        except OSError:  # it has ended while it waited
            self._forget(process)

    def _disconnect(self) -> None:
        """Close all connections: processes that still run go on by themselves."""
        for process in self._processes():
            self._forget(process)
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(self._channel.socket)
        self._channel.close()
        self._waiting.clear()

    # --- listening

    @contextlib.contextmanager
    def _listening(self) -> Iterator[None]:
        """Wake up when the child ends or stops, and at Ctrl-C, which is counted unless it is ignored."""
        handlers: dict[int, Any] = {
            signal.SIGCHLD: lambda _number, _frame: None,
            signal.SIGINT: self._handle_interrupt,
        }
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            del handlers[signal.SIGINT]
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        waker = signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(waker)
            for number, handler in before.items():
                signal.signal(number, handler)

    def _handle_interrupt(self, _number: int, _frame: object) -> None:
        """Handle Ctrl-C: the first stops the program at its next event, the second interrupts it, the third raises.

        A program that is not stepped is interrupted at once.
        """
        if self._asked is not None:
            self._interrupt_answer(*self._asked[1:])
            return
        if not self._attended:
            self.interrupted = True
            self._signal(signal.SIGINT)
            return
        self._interrupts += 1
        if self._interrupts == 1:
            self._notice("stopping at the program's next event; Ctrl-C again interrupts the program itself")
        elif self._interrupts == 2:
            self._signal(signal.SIGINT)
        elif self._interrupts > 2:
            raise KeyboardInterrupt

    def _interrupt_answer(self, process: SteppedProcess, event: Event) -> None:
        """Interrupt the code that answers a question, if Python interrupts its thread: the main one."""
        self._interrupts += 1
        if self._interrupts > 1 or "thread" in event or not process.pid:
            raise KeyboardInterrupt
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(process.pid, signal.SIGINT)

    def _receive(self, seconds: float | None) -> bool:
        """Wait for connections, lines or a wake-up; return whether the program made progress."""
        self._active = False
        for key, _events in self._selector.select(seconds):
            if key.fileobj is self._wake:
                with contextlib.suppress(BlockingIOError):
                    self._wake.recv(_BLOCK)
                self._active = True
            elif key.fileobj is self._channel.socket:
                self._accept()
            else:
                self._read(key.data)
        if self._active:
            self._silent_since = time.monotonic()
        return self._active

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            connection, _address = self._channel.socket.accept()
            self._active = True
            connection.setblocking(True)
            self._selector.register(connection, selectors.EVENT_READ, SteppedProcess(connection))

    def _read(self, process: SteppedProcess) -> None:
        """Read what a process has sent, and forget a process that has ended."""
        try:
            block = process.connection.recv(_BLOCK)
        except OSError:
            block = b""
        if not block:
            self._active = True
            self._forget(process)
            return
        if self._foreground is not None and self._in_pdb is None:
            self._foreground.take_back()
        for line in process.split_lines(block):
            self._handle_line(process, line)

    def _handle_line(self, process: SteppedProcess, line: bytes) -> None:
        """Handle one line: an event, an event that waits for a reply, or a question or a note of the channel."""
        mark, line = line[:1], line[1:]
        try:
            event: Event = orjson.loads(line)
        except ValueError:  # an exception in the program interrupted the sending of this line
            return
        # Each process of a waiting server reads the clock all the time.
        is_step = event.get("event_type") != INPUTS_READ
        self._active = self._active or event.get("event_type") not in NO_PROGRESS
        if mark == ASKS:
            may = self.answering is None or self.answering.may_end(event["at"], event["waited"])
            self._send(process, {"may": may})
            return
        if mark == FLUSHED:
            self._unflushed -= 1
            return
        if mark == ANSWERS:
            if self._asked is not None and event["id"] == self._asked[0]:  # not one that the user gave up
                self._asked, self._answer = None, event
            return
        if mark == PDB_ENDS:
            if process is self._in_pdb:
                self._pdb_moves, self._in_pdb = event["moves"], process if event["moves"] else None
                self._pdb_problem = event.get("problem")
            return
        if mark == LISTENS:
            self._servers[event["port"]] = event["site"] or ""
            if self.answering is not None:
                self.answering.listens = self.answering.listens or OwnPorts(self._child.pid)
            return
        frames = event.pop("frames", None)
        if frames is not None:  # the last member of the line; it is not in the trace
            line = line[: line.rfind(b',"frames":[')] + b"}"
            self.frames[len(self._lines) + 1] = frames
        self._lines.append(line if self.keeps_events else orjson.dumps({"event_id": event.get("event_id")}))
        number = len(self._lines)
        self._steps += is_step
        if self.answering is not None:
            self.answering.observe(number, event)
        if event["event_type"] == "trace_start":
            process.pid = lenient.count(lenient.mapping(event.get("metadata")).get("pid")) or 0
        if mark != WAITS:
            return
        if event["event_type"] == "trace_start" and number > 1:
            # A further process is no event to stop at: it only needs its reply. The first one has yet to begin.
            reply = {} if self.answering is None else self.answering.reply(number, event)
            self._send(process, self._start_reply(process, event) | reply)
        else:
            self._waiting.append(_Waiting(process, number, event))

    def _forget(self, process: SteppedProcess) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(process.connection)
        process.connection.close()
        if process is self._in_pdb:
            self._in_pdb = None
        if self._asked is not None and process is self._asked[1]:
            self._asked = None
        self._waiting = [waiting for waiting in self._waiting if waiting.process is not process]

    # --- the child

    def _look_at_child(self, *, block: bool = False) -> None:
        """Handle the end of the child, its wish for the terminal, or its stop by Ctrl-Z."""
        try:
            pid, status = os.waitpid(self._child.pid, os.WUNTRACED | (0 if block else os.WNOHANG))
        except ChildProcessError:  # other code has waited for it, so its status is lost
            pid, status = self._child.pid, 0
        if not pid:
            return
        if not os.WIFSTOPPED(status):
            self._child.returncode = os.waitstatus_to_exitcode(status)
            while not block and self._receive(0.0):  # what it sent before its end
                pass
        elif self._foreground is not None and os.WSTOPSIG(status) in WANTS_TERMINAL:
            self._foreground.lend(self._child.pid)
            self._signal(signal.SIGCONT)
        elif self._foreground is not None and os.WSTOPSIG(status) == signal.SIGTSTP:
            self._sleep(self._foreground)

    def _sleep(self, foreground: Foreground) -> None:
        """Stop the shell together with the program, which Ctrl-Z has stopped, and continue both together."""
        lent = foreground.lent
        foreground.take_back()
        os.kill(0, signal.SIGTSTP)
        if lent:
            foreground.lend(self._child.pid)
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        """Send a signal to the child, and to its whole process group if it has one of its own."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self._apart:
                os.killpg(self._child.pid, number)
            else:
                self._child.send_signal(number)


def _group_of(pid: int, otherwise: int) -> int:
    """Return the process group of a process; another one if it has ended."""
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return otherwise


def starved_seconds(pid: int) -> float:
    """Return for how long a process and its children had to wait for a processor; of each, its longest waiting thread.

    Linux tells (`schedstat`: nanoseconds on a processor, nanoseconds waiting for one); elsewhere it is 0.
    """
    waited, children = [0], set[int]()
    for task in glob(f"/proc/{pid}/task/*"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            waited.append(int(Path(task, "schedstat").read_text().split()[1]))
            children.update(map(int, Path(task, "children").read_text().split()))
    return max(waited) / 1e9 + sum(map(starved_seconds, children))
