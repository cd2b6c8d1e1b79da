"""A program that runs while it is walked through: its events are the recording, and it waits for the walk.

Each process of the program connects to the socket of a `Meeting`, tells every event, and waits where it has told one
that holds it (`capture.gate`). A move past the last event lets everything that waits go on and ends with the next event
that comes, whichever process it comes from; so at a prompt every process stands still, or will at its next event.

Ctrl-C while the program runs stops the walk at the program's next event, as in gdb; a second one reaches the program
itself, as SIGINT; a third one gives the prompt back at once, while the program still runs. What runs on when the first
process of the program has ended is let go.
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
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from namel3ss_debug.capture.foreground import WANTS_TERMINAL, Foreground
from namel3ss_debug.capture.listening import OwnPorts, state_of
from namel3ss_debug.capture.marks import ASKS, FLUSHED, LISTENS, TAKEN, WAITS
from namel3ss_debug.replay.ahead import TellingAhead
from namel3ss_debug.replay.meeting import Meeting, Process
from namel3ss_debug.replay.words import CALL_STARTS, Answering, given_word, how_ended, tool_name
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.inputs import EVENT_TYPE as INPUTS_READ

if TYPE_CHECKING:  # imported where somebody gives answers
    from namel3ss_debug.replay.given.answers import Mocks
    from namel3ss_debug.replay.rerunning.silences import Silence

GRACE_SECONDS = 5.0
"""How long a program that is told to end by SIGTERM may take before it is killed."""

ANSWERED_GRACE_SECONDS = 1.0
"""The same for a program whose calls are answered from a recording: it waits at the call that cannot be answered."""

SILENCE_SECONDS = 1.0
"""How long nothing comes of a program that gets answers before it is looked why."""

_BLOCK = 1 << 16


class _Waiting(NamedTuple):
    """A process that waits, and the event it waits at with its number."""

    process: Process
    number: int
    event: Event


class LiveProgram:
    """A running program as a `Recording` and as the `Program` of a walk; to be used in the main thread.

    Attributes:
        mocks: the answers that are given in place of calls.
        free: whether it was let go, and runs by itself.
        keeps_events: whether whole events are kept for a walk, or their ids alone.
        interrupted: whether Ctrl-C was passed on to it.
        stopped: whether it did not come to its end by itself.

    Args:
        child: the first process.
        meeting: where its processes connect.
        foreground: the terminal, where the child has a process group of its own.
        notice: told in words what the user should know while the program runs.
        answering: what answers its calls; `mocks` alone where it is left out.
        apart: whether the child has a process group of its own.
    """

    def __init__(
        self,
        child: subprocess.Popen[bytes],
        meeting: Meeting,
        foreground: Foreground | None = None,
        notice: Callable[[str], None] = lambda _text: None,
        answering: Answering | None = None,
        *,
        apart: bool = False,
    ) -> None:
        self.mocks: Mocks | None = None
        self.free = False
        self.keeps_events = True
        self.interrupted = False
        self.stopped = False
        self.answering = answering
        self._apart = apart or foreground is not None
        self._child = child
        self._meeting = meeting
        self._foreground = foreground
        self._notice = notice
        self._lines: list[bytes] = []
        self._waiting: list[_Waiting] = []
        self._interrupts = 0
        self._attended = True
        self._selector = selectors.DefaultSelector()
        self._wake, self._waker = socket.socketpair()
        for end in (self._wake, self._waker):
            end.setblocking(False)
        self._selector.register(self._meeting.socket, selectors.EVENT_READ)
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._ahead = TellingAhead(self._wake)
        self._silence: Silence | None = None
        self._came = False  # whether more came lately than what was read of a clock
        self._unflushed = 0  # processes that were told to print what they hold, and have not yet said so
        self._servers: dict[int, str] = {}  # port -> where the program began to listen there

    # --- the recording

    def events(self, start: int = 1) -> Iterator[Event]:
        """All events so far from the number `start` on."""
        number = start
        while number <= len(self._lines):
            yield self.event(number)
            number += 1

    def event(self, number: int) -> Event:
        """The event with this number, in the order of arrival."""
        event: Event = orjson.loads(self._lines[number - 1])
        return event

    def count(self) -> int:
        """How many events there are by now."""
        return len(self._lines)

    # --- the program

    def has_ended(self) -> bool:
        """Whether the first process of the program has ended."""
        return self._child.returncode is not None

    def go_on(self) -> bool:
        """Let the program run until it waits at a further event; False once it has ended, or was let go.

        Raises:
            KeyboardInterrupt: Ctrl-C has stopped it at the event that has come, or was pressed for the third time.
            DebugError: the call at which the program waits cannot be answered, such as by a mock that does not have its
                shape, and it still waits; or it waits for what will not come.
        """
        before = len(self._lines)
        if self.has_ended() or self.free:
            return False
        self._interrupts = 0
        if self._silence is not None:  # how long nobody let it go on says nothing
            self._silence.broken()
        with self._listening():
            self._release()
            while not (self.has_ended() or self._has_stopped(before)):
                self._look_at_child()
                if not self._take(0.0 if self.has_ended() else self._patience()):
                    self._look_at_silence()
        if self._foreground is not None:
            self._foreground.take_back()
        if self.has_ended():
            self._see_off()
            if self._attended:
                self._notice(f"the program has ended {how_ended(self._child.returncode)}")
        elif self._interrupts:
            raise KeyboardInterrupt
        return len(self._lines) > before

    def _see_off(self) -> None:
        """The first process has ended: let go what it has left behind; where that gets answers, after a while."""
        if self.answering is not None:
            self._answer_the_rest()
        self._let_go()

    def _answer_the_rest(self) -> None:
        until = time.monotonic() + GRACE_SECONDS
        with self._listening():
            while self._processes() and (left := until - time.monotonic()) > 0:
                self._release()
                self._take(left)

    def _processes(self) -> list[Process]:
        """The processes that are connected."""
        return [key.data for key in self._selector.get_map().values() if isinstance(key.data, Process)]

    def _has_stopped(self, before: int) -> bool:
        """Whether a process waits, or Ctrl-C was pressed since and anything has come: chunks do not hold the program."""
        return bool(self._waiting) or bool(self._interrupts and len(self._lines) > before)

    def detach(self) -> None:
        """Let the program run on by itself, not stepped any more."""
        self.free = True
        self._let_go()

    def run_out(self) -> None:
        """Let the program run to its end without a walk: by itself, or answered as before where there are answers."""
        if self.answering is None and not self.mocks:
            self.detach()
        self._attended = False
        if self.has_ended() or self.free:
            return
        with self._listening():
            while not self.has_ended():
                self._release()
                self._look_at_child()
                if not self._take(0.0 if self.has_ended() else self._patience()):
                    self._look_at_silence()
        if self._foreground is not None:
            self._foreground.take_back()
        self._see_off()

    def _patience(self) -> float | None:
        """How long to wait for the program before looking why nothing comes; None: for ever."""
        return None if self.answering is None else SILENCE_SECONDS

    def _look_at_silence(self) -> None:
        """Nothing has come for a while.

        Raises:
            RerunError: nothing will, for the program waits for requests that nobody makes, or for what never came.
        """
        if self.answering is None or self.has_ended():
            return
        if self._silence is None:
            from namel3ss_debug.replay.rerunning.silences import Silence  # noqa: PLC0415  (few programs fall silent)

            self._silence = Silence(lambda: state_of(self._child.pid), self.answering.longest_silence)
        self._silence.look(self._servers, self.answering.never_answered)

    def wait(self) -> int:
        """Wait for the end of a program that was let go; the terminal is its own.

        Returns:
            Its exit status; of one that died by a signal, the signal's negative number.
        """
        before = signal.signal(signal.SIGINT, lambda _number, _frame: None)  # the program has its own
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
        """End the program and what it has started by SIGTERM, and wait for it, as `wait`; then nothing is left to do."""
        if not self.has_ended():
            self.stopped = True
            if self.answering is not None:
                self._flush()
            # First the signal, which finds it waiting, and only then the end of the wait.
            self._signal(signal.SIGTERM)
            self._signal(signal.SIGCONT)
            if self.answering is not None:
                self._run_down()
            self._let_go()
            try:
                self._child.wait(0 if self.answering is not None else GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                self._signal(signal.SIGKILL)
        if self._selector.get_map() is not None:
            self._let_go()
            self._selector.close()
            self._wake.close()
            self._waker.close()
        return self._child.wait()

    def _flush(self) -> None:
        """Let waiting processes flush what they have printed: it would be lost in a pipe when a signal ends them."""
        processes = {id(waiting.process): waiting.process for waiting in self._waiting}
        self._unflushed = len(processes)
        for process in processes.values():
            self._send(process, {"flush": True})
        until = time.monotonic() + ANSWERED_GRACE_SECONDS
        with self._listening():
            while self._unflushed and not self.has_ended() and (left := until - time.monotonic()) > 0:
                self._take(left)

    def _run_down(self) -> None:
        """Let a program that was told to end come to its end; it makes no calls, which nobody would answer."""
        until = time.monotonic() + ANSWERED_GRACE_SECONDS
        with self._listening():
            while not self.has_ended() and (left := until - time.monotonic()) > 0:
                for waiting in [
                    each for each in self._waiting if each.event["event_type"] not in CALL_STARTS
                ]:
                    self._waiting.remove(waiting)
                    self._send(waiting.process, {"at": waiting.event.get("event_id")})
                self._look_at_child()
                self._take(0.0 if self.has_ended() else left)

    # --- letting go

    def _release(self) -> None:
        """Let everything that waits go on, each call with the answer that it is given, if any."""
        while self._waiting:
            waiting = self._waiting[0]
            word = self._word(*waiting)
            del self._waiting[0]
            self._send(waiting.process, word, *self._ahead.lines(waiting.process, self.answering))

    def _word(self, process: Process, number: int, event: Event) -> dict[str, Any]:
        answer = self._given(number, event) if self.answering is None else self.answering.word(number, event)
        return self._first_word(process, event) | answer

    def _given(self, number: int, event: Event) -> dict[str, Any]:
        """The answer and the fault that the user gives to the call which begins with an event."""
        return {} if not self.mocks else given_word(self.mocks, number, event)

    def _first_word(self, process: Process, event: Event) -> dict[str, Any]:
        """The reply that lets an event go; it names the tools with mocks that the process does not know yet."""
        rows = self.mocks.rows() if self.mocks is not None else ()
        wanted = {name for row in rows if (name := tool_name(row.name))} - process.told
        return {"at": event.get("event_id")} | ({"tools": sorted(wanted)} if wanted else {})

    def _send(self, process: Process, word: dict[str, Any], *further: bytes) -> None:
        try:
            process.told.update(word.get("tools", ()))
            line = orjson.dumps(word, option=orjson.OPT_APPEND_NEWLINE)
            process.connection.sendall(b"".join((line, *further)) if further else line)
        except OSError:  # it has ended while it waited
            self._forget(process)

    def _let_go(self) -> None:
        """Close all connections: what still runs goes on by itself."""
        for process in self._processes():
            self._forget(process)
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(self._meeting.socket)
        self._meeting.close()
        self._waiting.clear()

    # --- listening

    @contextlib.contextmanager
    def _listening(self) -> Iterator[None]:
        """Be woken by the child's end or stop and by Ctrl-C, which is counted where it is not for the program as well."""
        handlers: dict[int, Any] = {
            signal.SIGCHLD: lambda _number, _frame: None,
            signal.SIGINT: self._interrupted,
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

    def _interrupted(self, _number: int, _frame: object) -> None:
        """Ctrl-C: the first stops a stepped program at its next event, the second interrupts it, the third leaves.

        A program that nobody steps is interrupted at once.
        """
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

    def _take(self, seconds: float | None) -> bool:
        """Take what comes: connections, lines, or only a wake-up; return whether more came than reads of a clock."""
        self._came = False
        for key, _events in self._selector.select(seconds):
            if key.fileobj is self._wake:
                with contextlib.suppress(BlockingIOError):
                    self._wake.recv(_BLOCK)
                self._came = True
            elif key.fileobj is self._meeting.socket:
                self._accept()
            else:
                self._read(key.data)
        if self._came and self._silence is not None:
            self._silence.broken()
        return self._came

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            connection, _address = self._meeting.socket.accept()
            self._came = True
            connection.setblocking(True)
            process = Process(connection)
            self._ahead.met(process)
            self._selector.register(connection, selectors.EVENT_READ, process)

    def _read(self, process: Process) -> None:
        """Read what a process has sent; forget a process that is gone."""
        try:
            block = process.connection.recv(_BLOCK)
        except OSError:
            block = b""
        if not block:
            self._came = True
            self._forget(process)
            return
        if self._foreground is not None:
            self._foreground.take_back()
        before, waiting = len(process.ahead), len(self._waiting)
        for line in process.lines(block):
            self._heard(process, line)
        if len(self._waiting) == waiting:
            self._ahead.go_on(process, self.answering, before - len(process.ahead))

    def _heard(self, process: Process, line: bytes) -> None:
        """Take one line: a question whether to deliver, an event, or an event that waits for a reply."""
        mark, line = line[:1], line[1:]
        ahead = 0
        try:
            if mark == TAKEN:
                number, _, line = line.partition(b" ")
                ahead = int(number)
            event: Event = orjson.loads(line)
        except ValueError:  # an exception has ended the sending of this line
            return
        # Servers look at the clock while they wait, each of their processes for itself: nothing happens by that.
        self._came = self._came or event.get("event_type") != INPUTS_READ
        if mark == ASKS:
            self._send(process, {"may": self.answering is None or self.answering.may(event)})
            return
        if mark == FLUSHED:
            self._unflushed -= 1
            return
        if mark == LISTENS:
            self._servers[event["port"]] = event["site"] or ""
            if self.answering is not None:
                self.answering.listens = self.answering.listens or OwnPorts(self._child.pid)
            return
        self._lines.append(line if self.keeps_events else orjson.dumps({"event_id": event.get("event_id")}))
        if self.answering is not None:
            self.answering.heard(len(self._lines), event)
        if ahead and self.answering is not None:
            self._ahead.taken(process, ahead)
            self.answering.taken(len(self._lines), event, ahead)
        if mark != WAITS:
            return
        self._ahead.void(process, self.answering)
        if event["event_type"] == "trace_start" and len(self._lines) > 1:
            self._ahead.joined([other for other in self._processes() if other is not process], self.answering)
            # No deed of the program: it only learns what it must know. At the first one the program has yet to begin.
            word = {} if self.answering is None else self.answering.word(len(self._lines), event)
            self._send(process, self._first_word(process, event) | word)
        else:
            self._waiting.append(_Waiting(process, len(self._lines), event))

    def _forget(self, process: Process) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(process.connection)
        process.connection.close()
        self._waiting = [waiting for waiting in self._waiting if waiting.process is not process]

    # --- the child

    def _look_at_child(self, *, block: bool = False) -> None:
        """See whether the child has ended, wants the terminal, or was put to sleep by Ctrl-Z."""
        try:
            pid, status = os.waitpid(self._child.pid, os.WUNTRACED | (0 if block else os.WNOHANG))
        except ChildProcessError:  # somebody else has waited for it
            pid, status = self._child.pid, 0
        if not pid:
            return
        if not os.WIFSTOPPED(status):
            self._child.returncode = os.waitstatus_to_exitcode(status)
            while not block and self._take(0.0):  # what it told before its end
                pass
        elif self._foreground is not None and os.WSTOPSIG(status) in WANTS_TERMINAL:
            self._foreground.lend(self._child.pid)
            self._signal(signal.SIGCONT)
        elif self._foreground is not None and os.WSTOPSIG(status) == signal.SIGTSTP:
            self._sleep(self._foreground)

    def _sleep(self, foreground: Foreground) -> None:
        """Ctrl-Z was pressed in the program: the shell goes to sleep with it, and they wake up together."""
        lent = foreground.lent
        foreground.take_back()
        os.kill(0, signal.SIGTSTP)
        if lent:
            foreground.lend(self._child.pid)
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        """Send a signal to the child, and to what it has started where they have a group of their own."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self._apart:
                os.killpg(self._child.pid, number)
            else:
                self._child.send_signal(number)
