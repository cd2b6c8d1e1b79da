"""Stand in for the process of a command that a re-run answers: its pipes, its exit status, and its signals.

Nothing is started. The pipes of a `subprocess.Popen` are exchanged below their file descriptors: reading finds the recorded
bytes and the end, and what is written goes nowhere. asyncio wants real pipes, which its loop fills.

The process has an id that no system gives to a process, so that a signal to it never reaches another one. `os.kill`,
`os.killpg` and `os.getpgid` know these ids during a re-run.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from sys import _getframe as frame_at
from types import FrameType
from typing import Any

from namel3ss_debug.capture.core.patching import Undo, hide_own_frame, replace, when_imported
from namel3ss_debug.capture.seams.functions.replies import Reply
from namel3ss_debug.capture.seams.inputs import opened_files

_FIRST_PID = 1 << 30
"""Above the highest process id of Linux (1 << 22) and macOS (99999)."""

_MOST_LAYERS = 6
_LONGEST_WAIT_SECONDS = 300.0
"""How long an answered command of asyncio waits for the signal that ended it when it was recorded.

A changed program may never send it, so the wait must end. The signal usually follows a timeout of the program, which takes
its real time in a re-run too, and few programs wait for a command longer.
"""

_LOST_CHARACTER = "\N{REPLACEMENT CHARACTER}"
_PIDS = itertools.count(_FIRST_PID)
_FILE_NUMBERS = itertools.count(1)
_RUNNING: dict[int, AnsweredCommand] = {}


def install_signals(missing: Callable[[str], None]) -> Undo:
    """Let signals and watchers know the ids of answered commands; return a function that restores everything."""
    undo = [replace(os, name, _make_signal) for name in ("kill", "killpg")]
    undo += [
        replace(os, "getpgid", _make_group),
        when_imported({"asyncio.unix_events": _patch_watchers}, missing),
    ]

    def restore() -> None:
        for each in reversed(undo):
            each()

    return restore


class AnsweredCommand:
    """The process that an answered command seems to have.

    Args:
        reply: the answer of the re-run.
        value: the `result` of the recorded command; or of a mock a text for its `stdout`, or a number for its `status`.
        on_signal: called when the program sends a signal to a command that asyncio watches.

    Attributes:
        pid: its id.
    """

    def __init__(self, reply: Reply, value: Any, on_signal: Callable[[], None]) -> None:
        if isinstance(value, bool | int | str | bytes):
            value = {"status": int(value)} if isinstance(value, bool | int) else {"stdout": value}
        form: dict[str, Any] = value if isinstance(value, dict) else {}
        status = form.get("status")
        self.pid = next(_PIDS)
        self._reply = reply
        self._on_signal = on_signal
        self._is_watched = False
        self._status = status if isinstance(status, int) else 0
        self._output = {name: form.get(name) for name in ("stdout", "stderr")}
        self._input = form.get("input")
        self._timeouts = [each for each in _items(form.get("timeouts")) if isinstance(each, list)]
        self._polls = _count(form.get("polls"))
        self._abandoned = _count(form.get("abandoned"))
        self._signals = _count(form.get("signals"))
        self._is_recorded = reply.recorded
        self._bytes = {"stdout": b"", "stderr": b""}
        self._took_turn = False
        self._deliver: Callable[[], None] | None = None

    def fits(self, value: Any) -> bool:
        """Return whether the recorded input is this one; a mock fits every input."""
        return not self._is_recorded or _to_bytes(value) == _to_bytes(self._input)

    def start(self, popen: Any, pipes: tuple[int, ...]) -> None:
        """Give an object of `Popen` what its process would give it.

        Args:
            popen: the object, whose streams are open.
            pipes: the ends of its pipes, the child's and its own in turn; -1 for those that it has not.
        """
        p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite = pipes
        for name, stream in (("stdout", popen.stdout), ("stderr", popen.stderr)):
            self._bytes[name] = _encode(self._output[name], stream)
        popen.pid = self.pid
        popen._child_created = True  # what starting the process sets
        _RUNNING[self.pid] = self
        if p2cwrite != -1:
            sink = os.open(os.devnull, os.O_WRONLY)
            os.dup2(sink, p2cwrite, inheritable=False)
            os.close(sink)
        if is_started_by_asyncio():
            ends = [(os.dup(theirs), name) for name, ours, theirs in
                    (("stdout", c2pread, c2pwrite), ("stderr", errread, errwrite)) if ours != -1]  # fmt: skip
            self._deliver = self._prepare_delivery(ends)
        else:
            for name, ours in (("stdout", c2pread), ("stderr", errread)):
                if ours != -1:
                    _exchange(ours, self._bytes[name])
        popen._close_pipe_fds(p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite)

    def expire(self, popen: Any, timeout: float | None) -> None:
        """Let a timeout expire that expired when the command was recorded.

        Raises:
            TimeoutExpired: with the output that there was.
        """
        if timeout is None or not self._timeouts or popen.returncode is not None:
            return
        output = {
            name: self._bytes[stream][:length]
            for name, stream, length in zip(
                ("output", "stderr"), ("stdout", "stderr"), self._timeouts.pop(0), strict=False
            )
            if isinstance(length, int) and length
        }
        raise sys.modules["subprocess"].TimeoutExpired(popen.args, timeout, **output)

    def is_running(self) -> bool:
        """Return whether a poll finds the command running, as it did when it was recorded."""
        self._polls -= 1
        return self._polls >= 0

    def end(self, *, waits: bool = True) -> int:
        """Return the exit status; wait until the command may end, in the recorded order."""
        if waits and not self._took_turn:
            self._took_turn = True
            self._reply.wait_for_turn()
        _RUNNING.pop(self.pid, None)
        return self._status

    # --- for asyncio

    def watch(self, loop: Any, callback: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        """Fill the pipes and call back with the exit status once the command may end."""

        def exited() -> None:
            _RUNNING.pop(self.pid, None)
            callback(self.pid, self._status, *arguments)

        def deliver() -> None:
            if self._deliver is not None:
                self._deliver()
            exited()

        self._is_watched = True
        turns = self._reply.turns()

        def take_turn() -> None:
            pause = next(turns, None)
            if pause is None:
                deliver()
            else:
                loop.call_later(pause, take_turn)

        if self._abandoned > 0 or self._signals > 0:
            self._release = lambda: loop.call_soon_threadsafe(take_turn)
            loop.call_later(_LONGEST_WAIT_SECONDS, self._let_end)
        else:
            loop.call_soon(take_turn)

    _release: Callable[[], Any] | None = None

    def signal(self) -> None:
        """Receive a signal of the program; the last of those that were recorded ends the command."""
        if self._is_watched:
            self._on_signal()
        self._signals -= 1
        if self._signals <= 0:
            self._let_end()

    def abandon(self) -> None:
        """Note that the program has given up waiting, as it did when the command was recorded."""
        self._abandoned -= 1

    def wait_again(self) -> None:
        """Let the command end, without a signal, if the program waits once more than it gave up, and sends no signal."""
        if self._abandoned <= 0 and self._signals <= 0:
            self._let_end()

    def _let_end(self) -> None:
        release, self._release = self._release, None
        if release is not None:
            release()

    def _prepare_delivery(self, ends: list[tuple[int, str]]) -> Callable[[], None]:
        def deliver() -> None:
            loop = sys.modules["asyncio"].get_running_loop()
            for end, name in ends:
                os.set_blocking(end, False)
                _fill(loop, end, memoryview(self._bytes[name]))

        return deliver


def _fill(loop: Any, end: int, data: memoryview) -> None:
    """Write to a pipe as its reader makes room, and close it."""
    try:
        while data:
            data = data[os.write(end, data) :]
    except BlockingIOError:
        loop.add_writer(end, _go_on, loop, end, data)
        return
    except OSError:  # the program has closed its end
        pass
    os.close(end)


def _go_on(loop: Any, end: int, data: memoryview) -> None:
    loop.remove_writer(end)
    _fill(loop, end, data)


def _exchange(ours: int, data: bytes) -> None:
    """Let a file descriptor read these bytes and then the end."""
    file = os.memfd_create("output") if hasattr(os, "memfd_create") else _open_nameless_file()
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(file, view) :]
        os.lseek(file, 0, os.SEEK_SET)
        os.dup2(file, ours, inheritable=False)
    finally:
        os.close(file)


def _open_nameless_file() -> int:
    """Return the descriptor of an empty file with no name in any folder.

    `tempfile` would draw a random name, and shift each number that the program draws after it.
    """
    with opened_files.hidden():
        while True:
            path = f"/tmp/namel3ss-{os.getpid()}-{next(_FILE_NUMBERS)}"  # noqa: S108  (a file that is there is not opened)
            with suppress(FileExistsError):
                file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                os.unlink(path)
                return file


def _encode(value: Any, stream: Any) -> bytes:
    """Return the bytes that a stream decodes to this text."""
    if not isinstance(value, str):
        return _to_bytes(value)
    encoding, errors = (
        getattr(stream, "encoding", None) or "utf-8",
        getattr(stream, "errors", None) or "strict",
    )
    try:
        return value.encode(encoding, "strict" if errors in ("replace", "ignore") else errors)
    except (UnicodeError, LookupError):
        # Bytes that were not valid became this character; the same bytes become it again.
        invalid = _invalid_byte(encoding)
        return invalid.join(part.encode(encoding, "replace") for part in value.split(_LOST_CHARACTER))


def _invalid_byte(encoding: str) -> bytes:
    """Return a byte that is not valid in an encoding; a question mark if all are."""
    for each in range(0xFF, 0x7F, -1):
        try:
            bytes([each]).decode(encoding)
        except UnicodeDecodeError:
            return bytes([each])
        except LookupError:
            break
    return b"?"


def _to_bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if isinstance(value, list):  # the pieces of a long one
        return b"".join(map(_to_bytes, value))
    return bytes(value) if isinstance(value, bytes | bytearray | memoryview) else b""


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _count(value: Any) -> int:
    return value if isinstance(value, int) else 0


def is_started_by_asyncio() -> bool:
    """Return whether asyncio starts the process: `Popen` is then called by the loop's own transport."""
    frame: FrameType | None = frame_at(1)
    for _ in range(_MOST_LAYERS):
        if frame is None or frame.f_globals.get("__name__") == "asyncio.unix_events":
            return frame is not None
        frame = frame.f_back
    return False


def _make_signal(original: Callable[[int, int], None]) -> Callable[[int, int], None]:
    def send(pid: int, sig: int, /) -> None:
        command = _RUNNING.get(pid)
        if command is not None:
            if sig:
                command.signal()
            return
        try:
            original(pid, sig)
        except BaseException as error:
            hide_own_frame(error)
            raise

    return send


def _make_group(original: Callable[[int], int]) -> Callable[[int], int]:
    def getpgid(pid: int) -> int:
        if pid in _RUNNING:
            return pid
        try:
            return original(pid)
        except BaseException as error:
            hide_own_frame(error)
            raise

    return getpgid


def _patch_watchers(module: Any) -> list[Undo]:
    """Let each kind of child watcher of asyncio pass on the end of an answered command."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def add_child_handler(watcher: Any, pid: int, callback: Callable[..., None], *arguments: Any) -> Any:
            command = _RUNNING.get(pid)
            if command is None:
                return original(watcher, pid, callback, *arguments)
            command.watch(sys.modules["asyncio"].get_running_loop(), callback, arguments)
            return None

        return add_child_handler

    undo: list[Undo] = []
    for kind in list(vars(module).values()):
        if isinstance(kind, type) and "add_child_handler" in vars(kind):
            with suppress(AttributeError):
                undo.append(replace(kind, "add_child_handler", make))
    return undo
