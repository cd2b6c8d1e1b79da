"""Collect what the program writes, and write it as an `output` event before the next event.

A write costs an `append` to a queue, whose ends are safe without a lock. The text is put together, redacted and written
before an event of the program, or when much of it waits. A line that has not ended waits for its end, because a secret
could be cut in two.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from namel3ss_debug.capture.core import task_paths
from namel3ss_debug.capture.core.patching import Undo, replace
from namel3ss_debug.capture.core.tracer import ExecutionTracer
from namel3ss_debug.capture.seams.outputs import streams
from namel3ss_debug.traces.clocks import perf_counter_ns
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.output import EVENT_TYPE, MOST_TEXT, NUMBER, OutputPiece, to_json

_MOST_WAITING: Final = 2000
"""How many writes wait at most."""
_LONGEST_LINE: Final = 65_536
"""How long the beginning of a line waits for its end."""
_LOCK_SECONDS: Final = 0.1
_AT_ONCE: Final = 200
"""How many lines of a further process are written at once: such processes are often killed when their work is done."""

_WITHOUT_OUTPUT: Final = frozenset(
    {
        *("inputs_read", EVENT_TYPE, "log_record", "stream_chunk"),
        *("resource_sample", "stack_sample", "file_access"),
    }
)
"""Events that are no step of the program: a program that prints each chunk would have two events for each."""


class Outputs:
    """The writes since the last event.

    Args:
        tracer: writes the events.
        before: what else is written before an event; an attribute as well.
    """

    def __init__(self, tracer: ExecutionTracer, before: Callable[[Event], str] | None) -> None:
        self._tracer = tracer
        self.before = before
        self._queue: deque[tuple[str, str, str | bytes]] = deque()
        self._begun: dict[tuple[str, str], str] = {}  # the lines that have not ended
        self._sizes: dict[str, int] = {}
        self._writing = threading.RLock()
        self._tasks: set[str] = set()
        self._at_once = 0 if task_paths.root().path == task_paths.FIRST else _AT_ONCE
        self._ids: set[str] = set()  # of the threads that wrote, which may have ended since

    def written(self, stream: str, text: str | bytes) -> None:
        """Collect what was written to a stream."""
        if not text:
            return
        try:
            task = task_paths.current().path
            if task not in self._tasks:
                if len(self._tasks) >= _MOST_WAITING:
                    self._tasks.clear()
                self._tasks.add(task)
                self._ids |= {str(threading.get_ident()), str(threading.get_native_id())}
            self._queue.append((task, stream, text))
            if len(self._queue) > _MOST_WAITING:
                self.write()
            elif self._at_once and text[-1:] in ("\n", b"\n"):
                self._at_once -= 1
                self.write()
        except Exception as error:
            self._tracer.problem("output could not be recorded", error)

    def write_before(self, event: Event) -> str:
        """Write the output before this event, see `TraceWriter.ahead`."""
        if self._queue and event["event_type"] not in _WITHOUT_OUTPUT:
            self.write(event["timestamp"])
        return self.before(event) if self.before is not None else ""

    def write(self, timestamp: float | None = None, *, last: bool = False) -> None:
        """Write the output so far; never raises.

        Args:
            timestamp: the time of the event.
            last: whether this is the end, so that no line waits for its end.
        """
        if self._writing._is_owned():  # type: ignore[attr-defined]  # as `threading.Condition` asks it
            return  # a signal handler has interrupted this
        began = perf_counter_ns()
        if not self._writing.acquire(blocking=last, timeout=_LOCK_SECONDS if last else -1):
            return
        try:
            pieces = self._take(last=last)
            if pieces:
                self._tracer.writer.append_inputs(self._event(pieces, timestamp))
        except Exception as error:
            self._tracer.problem("output could not be recorded", error)
        finally:
            self._writing.release()
            self._tracer.tracing_ns += perf_counter_ns() - began

    def finish(self) -> None:
        """Write what is left at the end of the process."""
        if self._queue or self._begun:
            self.write(last=True)

    def renew(self) -> None:
        """Forget the writes after a fork: they belong to the parent process."""
        self._queue.clear()
        self._begun.clear()
        self._sizes.clear()
        self._writing = threading.RLock()
        self._tasks, self._ids = set(), set()
        self._at_once = _AT_ONCE

    def _take(self, *, last: bool) -> list[OutputPiece]:
        """Return the waiting pieces of whole lines, in order."""
        joined: list[tuple[str, str, list[str]]] = []
        queue = self._queue
        for _ in range(len(queue)):
            task, stream, written = queue.popleft()
            text = written if isinstance(written, str) else written.decode("utf-8", "backslashreplace")
            if joined and joined[-1][0] == task and joined[-1][1] == stream:
                joined[-1][2].append(text)
            else:
                joined.append((task, stream, [text]))
        pieces: list[OutputPiece] = []
        for task, stream, texts in joined:
            text = "".join(texts)
            if text[0] in "\r\x1b":
                self._flush_begun(pieces, stream)  # it draws over what others have begun
            text = self._begun.pop((task, stream), "") + text
            end = max(text.rfind("\n"), text.rfind("\r", 0, len(text) - 1)) + 1
            if len(text) - end > _LONGEST_LINE:
                end = len(text)
            if text[:end]:
                pieces.append(OutputPiece(task, stream, text[:end]))
            if text[end:]:
                self._begun[task, stream] = text[end:]
        if last:
            self._flush_begun(pieces, None)
        return pieces

    def _flush_begun(self, pieces: list[OutputPiece], only: str | None) -> None:
        keys = [key for key in self._begun if only is None or key[1] == only]
        pieces += [OutputPiece(*key, self._begun.pop(key)) for key in keys]

    def _event(self, pieces: list[OutputPiece], timestamp: float | None) -> Event:
        tracer, redactor = self._tracer, self._tracer.payloads.redactor
        written, ids = [], set()
        own = find_ids() | self._ids
        for piece in pieces:
            size = self._sizes.get(piece.stream, 0)
            text = piece.text.encode("utf-8", "backslashreplace").decode()
            if redactor is not None:
                text = redactor.text(text)
            ids |= own.intersection(NUMBER.findall(text))
            self._sizes[piece.stream] = size + len(text)
            written.append(to_json(piece._replace(text=text), own, as_digests=size > MOST_TEXT))
        metadata: dict[str, Any] = {"process": task_paths.root().path, "output": written}
        if ids:
            metadata["ids"] = sorted(ids)
        event: Event = {
            "event_type": EVENT_TYPE,
            "event_id": None,
            "seq": 0,
            "timestamp": tracer.now() if timestamp is None else timestamp,
        }
        if tracer.parent_id is not None:
            event["parent_event_id"] = tracer.parent_id
        event["execution_id"] = tracer.execution_id
        if tracer.session_id is not None:
            event["session_id"] = tracer.session_id
        return event | {"component": "app", "metadata": metadata}


def find_ids() -> set[str]:
    """Return the ids of this process, its parent, its threads and its workers, as digits."""
    threads = threading.enumerate()
    found = {os.getpid(), os.getppid(), *(each.ident for each in threads)}
    found.update(each.native_id for each in threads)
    workers = sys.modules.get("multiprocessing.process")
    if workers is not None:
        found.update(each.pid for each in list(vars(workers).get("_children", ())))
    return {str(each) for each in found if each is not None}


def install(
    tracer: ExecutionTracer, inherited: str | None, finish: Callable[[], None]
) -> tuple[Callable[[], None], Undo]:
    """Record what this process writes; only where task paths are kept.

    Args:
        tracer: the tracer of this process.
        inherited: as for `streams.watch`.
        finish: writes what else is written at the end of the process, before `os._exit`.

    Returns:
        What a forked process calls, and a function that restores everything.
    """
    outputs = Outputs(tracer, tracer.writer.ahead)
    undo = streams.watch(outputs.written, inherited)

    def make_exit(original: Callable[[int], Any]) -> Callable[[int], Any]:
        def _exit(status: int) -> Any:
            outputs.finish()
            finish()
            return original(status)

        return _exit

    undo.append(replace(os, "_exit", make_exit))
    tracer.writer.ahead = outputs.write_before
    tracer.at_end.append(outputs.finish)

    def put_back() -> None:
        outputs.finish()
        tracer.writer.ahead = outputs.before
        while undo:
            undo.pop()()

    return outputs.renew, put_back
