"""Collect what the program reads, and write it as an `inputs_read` event before the next event.

Reads are added to queues whose ends are safe without a lock, because reads come from any thread, from finalizers and
from signal handlers. The thread that takes reads from a queue writes them before anyone takes more. A process that was
started by another one writes each read at once, up to a limit, because such processes are often killed when they have
delivered their result.
"""

from __future__ import annotations

import base64
from collections import deque
from collections.abc import Callable
from operator import sub
from threading import RLock
from types import FrameType
from typing import Any

from namel3ss_debug.capture.core import task_paths
from namel3ss_debug.capture.core.tracer import ExecutionTracer
from namel3ss_debug.capture.seams.inputs.clock import LEFT_OUT
from namel3ss_debug.capture.seams.inputs.read_sites import ReadSite, ReadSites
from namel3ss_debug.traces.clocks import perf_counter_ns, time_ns
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.inputs import EVENT_TYPE

STDIN_BOUND = 64 * 1024 * 1024
"""How many bytes of the standard input are kept if payloads have no limit."""

_WAITING = 4096
_AT_ONCE = 200
_UUID, _VARIABLE, _LISTED, _STDIN, _DRAWN, _NEW, _PRINTED, _OPENED, _LINE, _STATE, _DIGEST = range(11)
_URGENT = frozenset({_UUID, _STDIN, _OPENED})
_MOST_TOGETHER = 32
_LOCK_SECONDS = 0.1
"""For how many seconds the end of the process waits for another thread that is writing reads."""

_LOST = "reads of the program could not be recorded"
_WITHOUT_READS = frozenset({EVENT_TYPE, "log_record", "output"})
_STRUCTURE = (
    "agent_execution",
    "agent_turn",
    "chain_execution",
    "chain_step",
    "prompt_execution",
    "validation",
)
_WAITING_FOR_NEXT = frozenset(
    [
        *(f"{prefix}_{moment}" for prefix in _STRUCTURE for moment in ("start", "end")),
        *(f"{prefix}_end" for prefix in ("llm_call", "tool_call", "http_exchange")),
    ]
)


class Inputs:
    """The reads since the last event.

    Args:
        tracer: writes the events.
        places: finds the lines of code that read.
        at_once: whether this process may be killed as soon as it has done its work.

    Attributes:
        reads: the waiting reads of the clock: task path, line of code, nanoseconds since the epoch or `LEFT_OUT`. The
            clock adds them, and calls `flush_soon` if there are more than `most`, or one is not from a library.
        most: how many may wait.
    """

    def __init__(self, tracer: ExecutionTracer, places: ReadSites, *, at_once: bool) -> None:
        self._tracer = tracer
        self._places = places
        self.reads: deque[tuple[str, ReadSite, int]] = deque()
        self.most = 0 if at_once else _WAITING
        self._at_once = _AT_ONCE if at_once else 0
        self._queue: deque[tuple[Any, ...]] = deque()
        self._writing = RLock()
        self._is_urgent = False  # whether anything but reads of the clock by libraries waits
        self._process = task_paths.root().path
        self._stdin_left = tracer.config.max_payload_size or STDIN_BOUND
        self._line = b""
        self._forms: dict[int, Callable[[list[tuple[Any, ...]]], dict[str, Any]]] = {
            _UUID: _uuids,
            _VARIABLE: self._variables,
            _LISTED: lambda items: {"environment_listed": _counts(place.call_site for _, place in items)},
            _DRAWN: lambda items: {"drawn": _counts(place.call_site or place.key for _, place in items)},
            _NEW: lambda items: {"new": _new(items)},
            _PRINTED: lambda items: {"printed": _printed(items)},
            _OPENED: lambda items: {"files": _files(items)},
            _LINE: lambda items: {"stdin_lines": _counts(path for _, path in items)},
            _STATE: lambda items: {"state": items[-1][1]},
            _DIGEST: self._digests,
        }

    def flush_soon(self) -> None:
        """Let the reads be written with the next event, or at once if there are too many."""
        self._is_urgent = True
        while (len(self.reads) > self.most or len(self._queue) > self.most) and self.write():
            self._at_once = max(0, self._at_once - 1)
            self.most = 0 if self._at_once else _WAITING

    def uuid_time(self, path: str, value: bytes) -> None:
        """Collect the time, node and sequence of a `uuid1`."""
        self._collect_urgent((_UUID, path, value))

    def variable(self, name: str, value: str | None, frame: FrameType) -> None:
        """Collect the read of a variable; this alone does not begin a file."""
        place = self._places.at(frame)
        if place is not None:
            self._collect((_VARIABLE, name, value, place))

    def variables_listed(self, frame: FrameType) -> None:
        """Collect that all variables were listed."""
        place = self._places.at(frame)
        if place is not None:
            self._collect((_LISTED, place))

    def state(self, state: str) -> None:
        """Collect the state of the generator of `random` at the start of a test function."""
        self._collect((_STATE, state))

    def stdin(self, data: bytes) -> None:
        """Collect bytes of the standard input; b"" is its end."""
        self._collect_urgent((_STDIN, data))

    def lines_read(self, calls: list[str]) -> None:
        """Collect that a line of the standard input was read inside these calls of tools."""
        for path in calls:
            self._collect((_LINE, path))

    def drawn(self, frame: FrameType) -> None:
        """Collect that a random number was drawn."""
        place = self._places.at(frame)
        if place is not None:
            self._collect((_DRAWN, place))

    def printed(self, number: int, frame: FrameType) -> None:
        """Collect that a line of output was begun."""
        place = self._places.at(frame)
        if place is not None and place.call_site:
            self._collect((_PRINTED, number, place.call_site))

    def opened(self, path: str, use: str, frame: FrameType) -> None:
        """Collect that a file was opened, and for which use."""
        place = self._places.at(frame)
        if place is not None and place.call_site:
            self._collect((_OPENED, path, use, place.call_site))

    def digest(self, path: str, description: dict[str, Any]) -> None:
        """Collect the description of an opened file; it is written with the next reads, or before the next call."""
        self._queue.append((_DIGEST, path, description))

    def new(self, source: str, call_site: str) -> None:
        """Collect that a re-run has read something that is not in the trace."""
        self._collect((_NEW, source, call_site))

    def write_before(self, event: Event) -> str:
        """Write the reads before this event; return its id if it is written with them, "" if it is yet to be written.

        A log record reads the clock itself, so an event for each would be useless: its reads wait for the next event.
        Frameworks read between their own events, and the end of a call requests nothing that could depend on such
        reads: a few reads of libraries wait for the next call, and share one event.
        """
        waiting = len(self.reads) + len(self._queue)
        if not waiting:
            return ""
        kind = event["event_type"]
        if kind in _WITHOUT_READS or (
            kind in _WAITING_FOR_NEXT and not self._is_urgent and waiting < _MOST_TOGETHER
        ):
            return ""
        event_id = self._write(event["timestamp"], event, last=kind == "trace_end")
        if (
            len(self.reads) > self.most or len(self._queue) > self.most
        ):  # another thread has added more meanwhile
            self.flush_soon()
        return event_id or ""

    def write(self, *, last: bool = False) -> bool:
        """Write the reads so far; never raises.

        Args:
            last: whether this is the end, so that the beginning of an input line need not wait for the rest.

        Returns:
            Whether it was done here: another thread may be writing, and looks again afterwards.
        """
        began = perf_counter_ns()
        done = self._write(time_ns() / 1e9, None, last=last) is not None
        self._tracer.tracing_ns += perf_counter_ns() - began
        return done

    def finish(self) -> None:
        """Write the remaining reads at the end of the process, after which there is no event."""
        is_urgent = self.reads or any(item[0] in _URGENT for item in self._queue.copy())
        if (is_urgent or self._queue or self._line) and (is_urgent or self._tracer.writer.started):
            self.write(last=True)

    def renew(self) -> None:
        """Forget the reads after a fork: they belong to the parent process."""
        self.reads.clear()
        self._queue.clear()
        self._writing = RLock()
        self._is_urgent = False
        self._process = task_paths.root().path
        self._line = b""
        self.most, self._at_once = 0, _AT_ONCE
        self._places.mark_unwritten()

    def _collect(self, item: tuple[Any, ...]) -> None:
        """Collect an item first, and only then ask for it to be written with the next event."""
        self._queue.append(item)
        self._is_urgent = True

    def _collect_urgent(self, item: tuple[Any, ...]) -> None:
        self._queue.append(item)
        self.flush_soon()

    def _write(self, timestamp: float, later: Event | None, *, last: bool) -> str | None:
        """Write the waiting reads, together with the event after them if there is one.

        Two threads that did so at once could write the reads of one task in the wrong order, and the reads of a line of
        code before its description. None waits for the other, which may be the code that a signal handler or a
        finalizer has interrupted: reads meanwhile wait for the next event.

        Returns:
            The id of `later`, "" if it is yet to be written; `None` if nothing was done.
        """
        writing = self._writing  # a forked process replaces it
        if writing._is_owned() and not last:  # type: ignore[attr-defined]  # as `threading.Condition` asks it
            return None
        try:
            is_locked = writing.acquire(False) or (last and writing.acquire(timeout=_LOCK_SECONDS))
            if not (is_locked or last):
                return None
            event = self._event(timestamp, last=last)
            if event is None:
                return ""
            if later is not None:
                return self._tracer.writer.append_before(later, event)
            self._tracer.writer.append_inputs(event)
        except Exception as error:
            self._tracer.problem(_LOST, error)
            return None
        else:
            return ""
        finally:
            # Ctrl-C may arrive after any call, also after `acquire`: only the lock itself knows its state.
            try:
                writing.release()
            except RuntimeError:  # this thread does not own it
                pass

    def _event(self, timestamp: float, *, last: bool) -> Event | None:
        """Return the event of all reads since the last one; `None` if there are none."""
        self._is_urgent = False
        metadata: dict[str, Any] = {"process": self._process}
        if self.reads and (clock := self._clock()):
            metadata["clock"] = clock
        if self._queue or last:
            metadata |= self._others(last)
        if len(metadata) == 1:
            return None
        tracer = self._tracer
        event: Event = {"event_type": EVENT_TYPE, "event_id": None, "seq": 0, "timestamp": timestamp}
        if tracer.parent_id is not None:
            event["parent_event_id"] = tracer.parent_id
        event["execution_id"] = tracer.execution_id
        if tracer.session_id is not None:
            event["session_id"] = tracer.session_id
        event["component"] = "app"
        event["metadata"] = metadata
        return event

    def _others(self, last: bool) -> dict[str, Any]:
        """Return the reads except those of the clock, by kind."""
        queue = self._queue
        by_kind: dict[int, list[tuple[Any, ...]]] = {}
        while queue:
            try:
                item = queue.popleft()
            except IndexError:  # another thread has taken the last one
                break
            items = by_kind.get(item[0])
            if items is None:
                by_kind[item[0]] = [item]
            else:
                items.append(item)
        metadata: dict[str, Any] = {}
        read = by_kind.pop(_STDIN, [])
        for kind in sorted(by_kind):
            metadata |= self._forms[kind](by_kind[kind])
        if read or (last and self._line):
            metadata |= self._stdin(read, last)
        return metadata

    def _clock(self) -> dict[str, Any]:
        """Return values by task path and line of code: the first in nanoseconds since the epoch, the others as differences."""
        waiting = self.reads
        places: dict[str, Any] = {}
        left_out: list[str] = []
        reads: dict[str, dict[str, list[int]]] = {}
        while waiting:
            try:
                path, place, value = waiting.popleft()
            except IndexError:  # another thread has taken the last one
                break
            number = place.number
            if not place.is_written:
                place.is_written = True
                places[number] = {"code": place.key} | (
                    {"call_site": place.call_site} if place.call_site else {}
                )
            if value == LEFT_OUT:
                left_out.append(number)
                continue
            reads.setdefault(path, {}).setdefault(number, []).append(value)
        for by_place in reads.values():
            for values in by_place.values():
                if len(values) > 1:
                    values[1:] = map(sub, values[1:], values)
        clock: dict[str, Any] = {"places": places, "reads": reads, "left_out": left_out}
        return {key: value for key, value in clock.items() if value}

    def _variables(self, items: list[tuple[Any, ...]]) -> dict[str, Any]:
        """Return the variables that were read, with their values; secrets are replaced and marked."""
        payloads = self._tracer.payloads
        redactor = payloads.redactor
        variables: dict[str, Any] = {}
        for _, name, value, place in items:
            entry: dict[str, Any] = {"call_site": place.call_site} if place.call_site else {}
            if value is not None:
                shown = redactor.field(name, value) if redactor is not None else value
                shown = shown.encode("utf-8", "replace").decode()
                entry |= {"value": shown} | ({} if shown == value else {"redacted": True})
            variables.setdefault(name, entry)
        return {"environment": variables}

    def _digests(self, items: list[tuple[Any, ...]]) -> dict[str, Any]:
        """Return the descriptions of opened files by path, without the files whose paths hold secrets."""
        redactor = self._tracer.payloads.redactor
        files: dict[str, dict[str, Any]] = {}
        for _, path, description in items:
            shown = path.encode("utf-8", "replace").decode()
            if shown == path and (redactor is None or redactor.text(path) == path):
                files.setdefault(path, {}).update(description)
        return {"digests": files} if files else {}

    def _stdin(self, items: list[tuple[Any, ...]], last: bool) -> dict[str, Any]:
        """Return the bytes read. The beginning of a line waits for its end, because a secret could be cut in two."""
        blocks = [data for _, data in items]
        ended = b"" in blocks or last
        data = self._line + b"".join(blocks)
        end = (
            len(data)
            if ended or len(data) > _WAITING * 16
            else self._settled_bytes(data[: data.rfind(b"\n") + 1])
        )
        data, self._line = data[:end], data[end:]
        cut = max(0, len(data) - self._stdin_left)
        kept = data[: self._stdin_left]
        self._stdin_left -= len(kept)
        stdin: dict[str, Any] = {}
        if kept:
            stdin = self._as_text(kept)
        if cut:
            stdin["left_out"] = cut
        if b"" in blocks:
            stdin["ended"] = True
        return {"stdin": stdin} if stdin else {}

    def _settled_bytes(self, lines: bytes) -> int:
        """Return how many bytes of these lines cannot be the beginning of a secret of several lines."""
        redactor = self._tracer.payloads.redactor
        if redactor is None:
            return len(lines)
        from namel3ss_debug.traces.redaction.growing import (
            IncrementalRedaction,  # most programs read no input
        )

        text = lines.decode("utf-8", "surrogateescape")
        growing = IncrementalRedaction(redactor)
        growing.feed(text)
        return len(text[: growing.settled].encode("utf-8", "surrogateescape"))

    def _as_text(self, data: bytes) -> dict[str, Any]:
        redactor = self._tracer.payloads.redactor
        try:
            text = data.decode()
        except UnicodeDecodeError:
            text = data.decode("utf-8", "surrogateescape")
            if redactor is None or redactor.text(text) == text:
                return {"base64": base64.b64encode(data).decode()}
        shown = text if redactor is None else redactor.text(text)
        shown = shown.encode("utf-8", "replace").decode()
        return {"text": shown} | ({} if shown == text else {"redacted": True})


def _uuids(items: list[tuple[Any, ...]]) -> dict[str, Any]:
    by_path: dict[str, list[str]] = {}
    for _, path, value in items:
        by_path.setdefault(path, []).append(value.hex())
    return {"uuid1": by_path}


def _counts(names: Any) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name in names:
        counts[name or ""] = counts.get(name or "", 0) + 1
    return counts


def _new(items: list[tuple[Any, ...]]) -> dict[str, dict[str, int]]:
    sources: dict[str, list[str]] = {}
    for _, source, call_site in items:
        sources.setdefault(source, []).append(call_site)
    return {source: _counts(sites) for source, sites in sources.items()}


def _printed(items: list[tuple[Any, ...]]) -> dict[str, list[int]]:
    """Return the numbers of output lines by the line of code that prints them."""
    sites: dict[str, list[int]] = {}
    for _, number, call_site in items:
        sites.setdefault(call_site, []).append(number)
    return sites


def _files(items: list[tuple[Any, ...]]) -> dict[str, dict[str, list[str]]]:
    """Return the lines of code that open a file, by path and use."""
    files: dict[str, dict[str, list[str]]] = {}
    for _, path, use, call_site in items:
        sites = files.setdefault(path, {}).setdefault(use, [])
        if call_site not in sites:
            sites.append(call_site)
    return files
