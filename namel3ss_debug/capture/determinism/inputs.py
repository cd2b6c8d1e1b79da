"""Collects what the program reads, and writes it as an `inputs_read` event before the next event.

Everything waits in queues, whose ends are safe without a lock: reads come from any thread, from finalizers and from
signal handlers. Who takes them from there writes them before anybody takes more. A process that was started by another
one writes each read at once, up to a bound, because such processes are often killed when they have handed over their
result.
"""

from __future__ import annotations

import base64
from collections import deque
from collections.abc import Callable
from operator import sub
from threading import RLock
from types import FrameType
from typing import Any

from namel3ss_debug.capture.determinism import lineage
from namel3ss_debug.capture.determinism.clock import LEFT_OUT
from namel3ss_debug.capture.determinism.places import Place, Places
from namel3ss_debug.capture.tracer import ExecutionTracer
from namel3ss_debug.traces.clocks import perf_counter_ns, time_ns
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.inputs import EVENT_TYPE

STDIN_BOUND = 64 * 1024 * 1024
"""How many bytes of the standard input are kept where payloads have no bound."""

_WAITING = 4096
_AT_ONCE = 200
_UUID, _VARIABLE, _LISTED, _STDIN, _DRAWN, _NEW, _PRINTED, _OPENED, _LINE, _STATE = range(10)
_MATTERS = frozenset({_UUID, _STDIN, _OPENED})
_TOGETHER = 32
_PATIENCE = 0.1
"""For how many seconds the end of the process waits for another thread that is writing what was read."""

_LOST = "what was read could not be recorded"
_WITHOUT_READS = frozenset({EVENT_TYPE, "log_record"})
_STRUCTURE = (
    "agent_execution",
    "agent_turn",
    "chain_execution",
    "chain_step",
    "prompt_execution",
    "validation",
)
_WITH_THE_NEXT = frozenset(
    [
        *(f"{prefix}_{moment}" for prefix in _STRUCTURE for moment in ("start", "end")),
        *(f"{prefix}_end" for prefix in ("llm_call", "tool_call", "http_exchange")),
    ]
)


class Inputs:
    """What was read since the last event.

    Args:
        tracer: writes the events.
        places: finds where reads come from.
        at_once: whether this process may be killed as soon as it has done its work.

    Attributes:
        reads: those of the clock that wait: line of work, place, nanoseconds since the epoch or `LEFT_OUT`. Put there
            by the clock itself, which calls `press` where they are more than `most`, or one of them is no library's.
        most: how many may wait.
    """

    def __init__(self, tracer: ExecutionTracer, places: Places, *, at_once: bool) -> None:
        self._tracer = tracer
        self._places = places
        self.reads: deque[tuple[str, Place, int]] = deque()
        self.most = 0 if at_once else _WAITING
        self._at_once = _AT_ONCE if at_once else 0
        self._queue: deque[tuple[Any, ...]] = deque()
        self._writing = RLock()
        self._pressing = False  # whether more waits than reads of the clock by libraries
        self._process = lineage.root().path
        self._stdin_left = tracer.config.max_payload_size or STDIN_BOUND
        self._line = b""
        self._forms: dict[int, Callable[[list[tuple[Any, ...]]], dict[str, Any]]] = {
            _UUID: _uuids,
            _VARIABLE: self._variables,
            _LISTED: lambda items: {"environment_listed": _counts(place.call_site for _, place in items)},
            _DRAWN: lambda items: {"drawn": _counts(place.call_site or place.key for _, place in items)},
            _NEW: lambda items: {"new": _new(items)},
            _PRINTED: lambda items: {"printed": _by_site(items)},
            _OPENED: lambda items: {"files": _files(items)},
            _LINE: lambda items: {"stdin_lines": _counts(path for _, path in items)},
            _STATE: lambda items: {"state": items[-1][1]},
        }

    def press(self) -> None:
        """Have what was collected written with the next event, or at once where it is too much."""
        self._pressing = True
        while (len(self.reads) > self.most or len(self._queue) > self.most) and self.write():
            self._at_once = max(0, self._at_once - 1)
            self.most = 0 if self._at_once else _WAITING

    def uuid_time(self, path: str, value: bytes) -> None:
        """The time, node and sequence of a `uuid1`."""
        self._add((_UUID, path, value))

    def variable(self, name: str, value: str | None, frame: FrameType) -> None:
        """A variable was read; this alone does not begin a file."""
        place = self._places.at(frame)
        if place is not None:
            self._wait((_VARIABLE, name, value, place))

    def variables_listed(self, frame: FrameType) -> None:
        """All variables were listed."""
        place = self._places.at(frame)
        if place is not None:
            self._wait((_LISTED, place))

    def state(self, state: str) -> None:
        """The generator of `random` has this state where the function of a test begins."""
        self._wait((_STATE, state))

    def stdin(self, data: bytes) -> None:
        """The standard input was read; no bytes are its end."""
        self._add((_STDIN, data))

    def lines_read(self, calls: list[str]) -> None:
        """A line of the standard input was given to the program inside these calls of tools."""
        for path in calls:
            self._wait((_LINE, path))

    def drawn(self, frame: FrameType) -> None:
        """A random number was drawn."""
        place = self._places.at(frame)
        if place is not None:
            self._wait((_DRAWN, place))

    def printed(self, number: int, frame: FrameType) -> None:
        """A line of output was begun."""
        place = self._places.at(frame)
        if place is not None and place.call_site:
            self._wait((_PRINTED, number, place.call_site))

    def opened(self, path: str, use: str, frame: FrameType) -> None:
        """A file was opened, for some use."""
        place = self._places.at(frame)
        if place is not None and place.call_site:
            self._wait((_OPENED, path, use, place.call_site))

    def new(self, source: str, call_site: str) -> None:
        """A re-run read something that the recording does not hold."""
        self._wait((_NEW, source, call_site))

    def ahead(self, event: Event) -> str:
        """Write what was read before this event; its id where it is written with that, "" where it is yet to be.

        A log record reads the clock itself, so one event more for each would tell nothing: its reads wait for the next.
        So do frameworks between their own events, and the end of a call asks for nothing that could depend on them: a
        few reads of libraries wait for the next call, and stand in one event.
        """
        waiting = len(self.reads) + len(self._queue)
        if not waiting:
            return ""
        kind = event["event_type"]
        if kind in _WITHOUT_READS or (kind in _WITH_THE_NEXT and not self._pressing and waiting < _TOGETHER):
            return ""
        event_id = self._write(event["timestamp"], event, last=kind == "trace_end")
        if len(self.reads) > self.most or len(self._queue) > self.most:  # left by another thread meanwhile
            self.press()
        return event_id or ""

    def write(self, *, last: bool = False) -> bool:
        """Write what was read so far; never raises.

        Args:
            last: whether nothing more will come, so that the beginning of a line need not wait for its end.

        Returns:
            Whether it was done here: somebody else may be at it, who looks again when that is written.
        """
        began = perf_counter_ns()
        done = self._write(time_ns() / 1e9, None, last=last) is not None
        self._tracer.tracing_ns += perf_counter_ns() - began
        return done

    def finish(self) -> None:
        """The process ends: write what is left, for no event comes any more."""
        matters = self.reads or any(item[0] in _MATTERS for item in self._queue.copy())
        if (matters or self._queue or self._line) and (matters or self._tracer.writer.started):
            self.write(last=True)

    def renew(self) -> None:
        """After a fork: what was collected belongs to the parent process."""
        self.reads.clear()
        self._queue.clear()
        self._writing = RLock()
        self._pressing = False
        self._process = lineage.root().path
        self._line = b""
        self.most, self._at_once = 0, _AT_ONCE
        self._places.forget_known()

    def _wait(self, item: tuple[Any, ...]) -> None:
        """Collect something that has to be written with the next event, and only then ask for that."""
        self._queue.append(item)
        self._pressing = True

    def _add(self, item: tuple[Any, ...]) -> None:
        self._queue.append(item)
        self.press()

    def _write(self, timestamp: float, later: Event | None, *, last: bool) -> str | None:
        """Take what waits and write it, with the event that comes after it if there is one.

        Two that did so at once could write the reads of one line in another order than they were made, and reads of a
        place before it is told. Nobody waits for the other, who may be what a signal handler or a finalizer has
        interrupted: what was read meanwhile waits for the next event.

        Returns:
            The id of `later`, "" where it is yet to be written; `None` where nothing was done.
        """
        writing = self._writing  # a forked process has another one
        if writing._is_owned() and not last:  # type: ignore[attr-defined]  # noqa: SLF001  (as `threading.Condition` asks it)
            return None
        try:
            held = writing.acquire(False) or (last and writing.acquire(timeout=_PATIENCE))
            if not (held or last):
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
            # Ctrl-C may come after any call, after `acquire` too: only the lock itself knows whether it is held.
            try:
                writing.release()
            except RuntimeError:  # by another thread
                pass

    def _event(self, timestamp: float, *, last: bool) -> Event | None:
        """The event of all that was read since the last one; `None` where nothing was read."""
        self._pressing = False
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
        """What was read since the last event besides the clock, by kind."""
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
        """Values by line of work and place: the first in nanoseconds since the epoch, the others as differences."""
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
            if not place.known:
                place.known = True
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
        """The variables that were read, with their values; secrets are replaced, and named as such."""
        payloads = self._tracer.payloads
        redactor = payloads.redactor
        variables: dict[str, Any] = {}
        for _, name, value, place in items:
            entry: dict[str, Any] = {"call_site": place.call_site} if place.call_site else {}
            if value is not None:
                secret = redactor is not None and redactor.key_is_secret(name)
                shown = (
                    "[REDACTED:key]" if secret else redactor.text(value) if redactor is not None else value
                )
                shown = shown.encode("utf-8", "replace").decode()
                entry |= {"value": shown} | ({} if shown == value else {"redacted": True})
            variables.setdefault(name, entry)
        return {"environment": variables}

    def _stdin(self, items: list[tuple[Any, ...]], last: bool) -> dict[str, Any]:
        """The bytes read; the beginning of a line waits for its end, since a secret could be cut in two."""
        blocks = [data for _, data in items]
        ended = b"" in blocks or last
        data = self._line + b"".join(blocks)
        end = (
            len(data) if ended or len(data) > _WAITING * 16 else self._decided(data[: data.rfind(b"\n") + 1])
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

    def _decided(self, lines: bytes) -> int:
        """How many bytes of these lines cannot be the beginning of a secret of several lines."""
        redactor = self._tracer.payloads.redactor
        if redactor is None:
            return len(lines)
        from namel3ss_debug.traces.redaction.growing import Growing  # noqa: PLC0415  (most programs read no input)

        text = lines.decode("utf-8", "surrogateescape")
        growing = Growing(redactor)
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


def _by_site(items: list[tuple[Any, ...]]) -> dict[str, list[int]]:
    """The numbers of lines of output by the line of code that prints them."""
    sites: dict[str, list[int]] = {}
    for _, number, call_site in items:
        sites.setdefault(call_site, []).append(number)
    return sites


def _files(items: list[tuple[Any, ...]]) -> dict[str, dict[str, list[str]]]:
    """The lines of code that open a file, by its path and by the use."""
    files: dict[str, dict[str, list[str]]] = {}
    for _, path, use, call_site in items:
        sites = files.setdefault(path, {}).setdefault(use, [])
        if call_site not in sites:
            sites.append(call_site)
    return files
