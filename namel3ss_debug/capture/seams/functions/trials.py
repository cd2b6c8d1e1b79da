"""Try an answered tool: run it once more, in a forked copy of the program that can change nothing.

The copy is made at the call, so the tool finds the state that it would find. It ends with the tool and hands back whether
the tool returned what the trace holds. In the copy, `side_effects` refuses what Python code may do outside of the process;
files that were open can only be read, connections and pipes are closed, and SQLite refuses to write.

A copy has only the thread that forked it. With other threads or an event loop, or with memory that is shared with another
process, the tool is not tried.
"""

from __future__ import annotations

import fcntl
import os
import resource
import select
import signal
import stat
import sys
import threading
from typing import Any, Final, NoReturn

from namel3ss_debug.capture.core import context, switch
from namel3ss_debug.capture.core.answers import CallReply
from namel3ss_debug.capture.core.tracer import ExecutionTracer, OpenSpan
from namel3ss_debug.capture.seams.functions import hot_calls, side_effects
from namel3ss_debug.capture.seams.inputs import installing, opened_files
from namel3ss_debug.traces.events import Event
from namel3ss_debug.wire import lenient

SECONDS: Final = 5.0
"""How long a tool may run in its copy."""

_DESCRIPTORS: Final = "/proc/self/fd"
_OTHER_RESULT: Final = "its result differs from the recorded one"


def try_call(tracer: ExecutionTracer, span: OpenSpan, reply: CallReply) -> str | None:
    """Try the tool of an open span.

    Returns:
        In the program, why the tool has to be answered, "" if it returns its recorded result. In the copy None: there the
        tool runs.
    """
    reason = _why_not()
    if reason:
        return reason
    reading, writing = os.pipe()
    owner = os.getpid()
    active, switch.ACTIVE = switch.ACTIVE, None  # the fork is none of the program's
    try:
        with opened_files.hidden(), installing.unforked():
            process = os.fork()
        if process == 0:
            os.close(reading)
            _become_copy(tracer, span, reply, writing)
            return None
    finally:
        if os.getpid() == owner:
            switch.ACTIVE = active
    os.close(writing)
    return _wait(process, reading)


def _why_not() -> str:
    """Return why no copy can be made; "" if it can."""
    if not (hasattr(os, "fork") and os.path.isdir(_DESCRIPTORS)):
        return "it cannot be tried on this system"
    if context.running_loop() is not None:
        return "it ran inside an event loop, where it cannot be tried"
    if threading.active_count() > 1 or len(os.listdir("/proc/self/task")) > 1:
        return "other threads ran, beside which it cannot be tried"
    if any(each.in_transaction for each in _databases()):
        return "a transaction of a database is open, so it cannot be tried"
    with opened_files.hidden(), open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
        if any(" rw-s " in line and "/" in line for line in maps):
            return "the program shares memory with a file or another process, so it cannot be tried"
    return ""


def _wait(process: int, reading: int) -> str:
    """Wait for the copy, and return what it found."""
    ready, _, _ = select.select([reading], [], [], SECONDS)
    found = os.read(reading, 4096).decode("utf-8", "replace") if ready else ""
    os.close(reading)
    os.kill(process, signal.SIGKILL)  # a copy that has reported is about to end
    os.waitpid(process, 0)
    if not ready:
        return f"it ran longer than {SECONDS:.0f} seconds when it was tried"
    return found.removeprefix("=") if found else "it ended the program when it was tried"


# --- in the copy


def _become_copy(tracer: ExecutionTracer, span: OpenSpan, reply: CallReply, writing: int) -> None:
    """Make this process harmless, and let it end with the span."""
    first: list[str] = []

    def finish(end: Event) -> NoReturn:
        reason = first[0] if first else "" if _is_recorded(end, reply) else _OTHER_RESULT
        os.write(writing, f"={reason}".encode())
        os._exit(0)

    hot_calls.CALL = hot_calls.TAKE = None
    tracer.writer = _SilentWriter(tracer.writer.generation, str(span.event_id), finish)  # type: ignore[assignment]
    tracer.answers = None
    _close_descriptors(writing)
    _refuse_databases()
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    site = tracer.sites
    side_effects.refuse(
        lambda what: first.append(f"it {what}" + (f" ({at})" if (at := site.find(2)) else ""))
    )


def _is_recorded(end: Event, reply: CallReply) -> bool:
    """Return whether the end event of a call holds the recorded result, or the recorded error."""
    if reply.raised is not None:
        kind = (lenient.string(end.get("error_type")) or "").rpartition(".")[2]
        return kind == reply.raised.type.rpartition(".")[2] and end.get("error") == reply.raised.text
    now, then = lenient.mapping(end.get("outputs")), reply.outputs or {}
    is_same: bool = lenient.dump(now.get("result"), ordered=True) == lenient.dump(
        then.get("result"), ordered=True
    )
    return is_same and not end.get("error_type")


class _SilentWriter:
    """Stands for the writer of the trace, and ends the copy at the end of the span."""

    def __init__(self, generation: Any, start_id: str, finish: Any) -> None:
        self.generation = generation
        self._start_id, self._finish = start_id, finish

    def append(self, event: Event, *_more: Any) -> str:
        """End the copy if the event is the end of the span."""
        if event.get("parent_event_id") == self._start_id and str(event.get("event_type")).endswith("_end"):
            self._finish(event)
        return "0"

    def __getattr__(self, name: str) -> Any:
        return lambda *_args, **_more: ""


def _close_descriptors(kept: int) -> None:
    """Take from the copy every way to write: files become read-only, with a position of their own, all else is empty."""
    for name in os.listdir(_DESCRIPTORS):
        number = int(name)
        if number == kept:
            continue
        try:
            kind = os.fstat(number).st_mode
            is_file = stat.S_ISREG(kind)
            if stat.S_ISDIR(kind):
                continue
            position = os.lseek(number, 0, os.SEEK_CUR) if is_file else 0
            if number in (1, 2):  # what the tool prints
                opened = os.open(os.devnull, os.O_WRONLY)
            elif is_file:
                opened = os.open(f"{_DESCRIPTORS}/{number}", os.O_RDONLY)
                os.lseek(opened, position, os.SEEK_SET)
            else:
                opened = os.open(os.devnull, os.O_RDONLY)
        except OSError:  # the descriptor of the listing; a file that may not be read
            _close(number)
            continue
        os.dup2(opened, number, inheritable=False)
        os.close(opened)
    fcntl.fcntl(kept, fcntl.F_SETFD, fcntl.FD_CLOEXEC)


def _close(number: int) -> None:
    try:
        os.close(number)
    except OSError:
        pass


def _refuse_databases() -> None:
    """Let the open connections of SQLite refuse to write: it would make a journal before it writes to the file."""
    for each in _databases():
        each.execute("pragma query_only = 1")


def _databases() -> list[Any]:
    """Return the open connections of SQLite."""
    sqlite3 = sys.modules.get("sqlite3")
    if sqlite3 is None:
        return []
    import gc  # few programs have a database

    found = []
    for each in gc.get_objects():
        if isinstance(each, sqlite3.Connection):
            try:
                each.total_changes  # noqa: B018  (raises for one that was closed)
            except sqlite3.Error:
                continue
            found.append(each)
    return found
