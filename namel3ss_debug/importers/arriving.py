"""Write the spans that arrive over OTLP to traces of ours: one for each resource.

An exporter sends a span when it has ended, so children arrive before their parents, and in other requests. A trace has the
parent first: a span waits until all spans around it are there, which is so when the root of its run has ended, and then
the whole run is written in order. What arrives after its root is written at once. A parent in another program
never arrives here; the exporter marks the span below it as such. What waits for any other parent is written without it when its
resource has been silent for `SILENCE`, when too much waits, or when the receiver ends.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from namel3ss_debug.errors import UnreadableTraceError
from namel3ss_debug.importers.otel_spans import OtelSpan
from namel3ss_debug.importers.otlp import read_request
from namel3ss_debug.importers.tracing import count_once
from namel3ss_debug.traces.events import FORMAT_VERSION, Event
from namel3ss_debug.traces.names import trace_name
from namel3ss_debug.traces.redaction.documents import redact_document
from namel3ss_debug.traces.redaction.redactor import Redactor
from namel3ss_debug.traces.signing import execution_key, key_file_for
from namel3ss_debug.traces.span_events import SpanFacts, make_events
from namel3ss_debug.traces.writer import TraceWriter

SILENCE: Final = 600.0
"""Seconds without a span after which the trace of a resource ends; what it sends later begins another one."""

MOST_RESOURCES: Final = 64
MOST_WAITING: Final = 64 << 20
"""So many bytes of the spans of one resource may wait for their parents."""

MOST_KNOWN: Final = 200_000
"""So many spans of a trace are remembered as possible parents."""


class _Arrived(NamedTuple):
    """A span that is not written yet."""

    facts: SpanFacts
    points: list[Event]
    is_top: bool
    size: int


class _Recording:
    """The trace of one resource.

    Args:
        folder: where it is written.
        about: the attributes of the resource, redacted.
        redactor: replaces secrets; None to keep them.
        announce: called with the path when the first run is written, and the name of the service.
    """

    def __init__(
        self,
        folder: Path,
        about: Mapping[str, Any],
        redactor: Redactor | None,
        announce: Callable[[Path, str], None],
    ) -> None:
        execution_id = uuid.uuid4().hex
        self._announce = announce
        self._began = self._ended = time.time()  # those of the spans, once there are some
        self._about, self._redactor, self._execution_id = about, redactor, execution_id
        self._waiting: dict[str, _Arrived] = {}
        self._new: list[str] = []  # of those that wait, the ones not looked at yet
        self._below: dict[str | None, list[str]] = {}  # the id of a parent -> its children that wait
        self._known: dict[str, str] = {}  # the id of a span that is written -> that of its start event
        self._size = 0
        self.last_at = 0.0
        self._writer = TraceWriter(
            folder / trace_name(time.time(), execution_id),
            first_process=True,
            header=self._make_header,
            key=execution_key(key_file_for(execution_id, running=True), execution_id),
        )

    def _make_event(self, event_type: str, timestamp: float, metadata: Mapping[str, Any]) -> Event:
        return {
            "event_type": event_type,
            "event_id": "",
            "seq": 0,
            "timestamp": timestamp,
            "execution_id": self._execution_id,
            "component": "app",
            "metadata": dict(metadata),
        }

    def _make_header(self, process: int, segment: int, _seq: int) -> Event:
        name = self._about.get("service.name")
        source = {"format": "otlp", "resource": dict(self._about), **({"title": name} if name else {})}
        about = {"format": FORMAT_VERSION, "process": process, "segment": segment, "source": source}
        return self._make_event("trace_start", self._began, about)

    def add(self, span: OtelSpan, size: int) -> None:
        """Take a span; one that was sent twice is there once."""
        if span.span_id not in self._known and span.span_id not in self._waiting:
            facts, points = span.read()
            is_top = facts.parent_id is None or span.has_remote_parent
            self._waiting[span.span_id] = _Arrived(facts, points, is_top, size)
            self._new.append(span.span_id)
            self._size += size

    def write_ready(self, *, everything: bool = False) -> None:
        """Write the spans with all spans around them there; or everything, where too much waits."""
        ready: list[str] = []
        for span_id in self._new:
            span = self._waiting[span_id]
            parent = span.facts.parent_id
            if parent in self._known or (span.is_top and parent not in self._waiting):
                ready.append(span_id)
            else:
                self._below.setdefault(parent, []).append(span_id)
        self._new = []
        for span_id in ready:  # the list grows by the spans inside of each
            ready += self._below.pop(span_id, ())
        if everything or self._size > MOST_WAITING:
            ready = list(self._waiting)
            self._below.clear()
        spans = [self._waiting.pop(span_id) for span_id in ready]
        self._size -= sum(span.size for span in spans)
        self._write(spans)

    def _write(self, spans: list[_Arrived]) -> None:
        if not spans:
            return
        if not self._writer.started:
            self._began = min(
                (each.facts.started for each in spans if each.facts.started), default=self._began
            )
            self._ended = self._began
            self._writer.begin()
            self._announce(
                self._writer.first, str(self._about.get("service.name") or "a program without a name")
            )
        parents = {span.facts.span_id: span.facts.parent_id for span in spans}
        points = [point for span in spans for point in span.points]
        for made in make_events(count_once(span.facts for span in spans), points):
            event: Event = made if self._redactor is None else redact_document(made, self._redactor)
            own = made["event_id"]
            parent = self._known.get(made.get("parent_event_id") or parents.get(own) or "")
            event = {name: value for name, value in event.items() if name != "parent_event_id"}
            if parent is not None:
                event["parent_event_id"] = parent
            event_id = self._writer.append(event)
            self._ended = max(self._ended, event.get("timestamp", self._ended))
            if own in parents:
                self._known[own] = event_id
        while len(self._known) > MOST_KNOWN:
            del self._known[next(iter(self._known))]

    def close(self) -> None:
        """Write what waits, and the end of the trace."""
        self.write_ready(everything=True)
        self._writer.end(self._make_event("trace_end", self._ended, {}), None)
        self._writer.close()

    @property
    def dropped(self) -> int:
        """How many events could not be written."""
        return self._writer.dropped


class Recordings:
    """The traces of all resources that send spans. Its methods may be called in any thread.

    Args:
        folder: where the traces are written.
        redactor: replaces secrets before anything is written; None to keep them.
        announce: called with the path of each trace that begins, and the name of its service.
        clock: returns seconds that never go back.
    """

    def __init__(
        self,
        folder: Path,
        redactor: Redactor | None,
        announce: Callable[[Path, str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder, self._redactor, self._announce, self._clock = folder, redactor, announce, clock
        self._lock = threading.Lock()
        self._open: dict[bytes, _Recording] = {}  # by the resource, the one that was silent longest first
        self.spans = 0

    def take(self, document: Mapping[str, Any], size: int) -> int:
        """Take the spans of a request; return how many were refused, because they have no id.

        Args:
            document: the request in the form of OTLP/JSON.
            size: its bytes.

        Raises:
            UnreadableTraceError: a trace cannot be written; the exporter may send the spans again.
        """
        spans = list(read_request(document))
        sound = [span for span in spans if span.span_id]
        with self._lock:
            touched = {}
            for span in sound:
                recording = self._recording_of(span.about)
                recording.add(span, size // len(spans))
                touched[id(recording)] = recording
            dropped = [(recording, recording.dropped) for recording in touched.values()]
            for recording in touched.values():
                recording.write_ready()
            self.spans += len(sound)
            if any(recording.dropped > before for recording, before in dropped):
                raise UnreadableTraceError("the trace cannot be written")
        return len(spans) - len(sound)

    def _recording_of(self, about: Mapping[str, Any]) -> _Recording:
        key = orjson.dumps(about, default=str, option=orjson.OPT_SORT_KEYS)
        recording = self._open.pop(key, None)
        if recording is None:
            if len(self._open) >= MOST_RESOURCES:
                self._close(next(iter(self._open)))
            clear = about if self._redactor is None else redact_document(dict(about), self._redactor)
            recording = _Recording(self._folder, clear, self._redactor, self._announce)
        self._open[key] = recording
        recording.last_at = self._clock()
        return recording

    def close_silent(self) -> None:
        """End the traces of the resources that have been silent for `SILENCE`."""
        with self._lock:
            now = self._clock()
            self._close(*(key for key, each in self._open.items() if now - each.last_at >= SILENCE))

    def close(self) -> None:
        """End all traces."""
        with self._lock:
            self._close(*self._open)

    def _close(self, *keys: bytes) -> None:
        for key in keys:
            self._open.pop(key).close()
