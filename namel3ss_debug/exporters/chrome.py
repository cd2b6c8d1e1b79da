"""Export a trace in the Trace Event Format of Chrome, which Perfetto, chrome://tracing and speedscope open.

A span is a complete event (`X`) on the lane of its thread or task; spans that overlap without lying inside each other, as those of tasks
do, get lanes of their own, because the viewers draw one lane as a stack. What happened inside of a span is an instant (`i`) on its lane.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from operator import attrgetter
from typing import Any, Final

from namel3ss_debug.exporters.span_export import (
    KNOWN_TIMES,
    OUTSIDE,
    PROGRAM,
    RERUN,
    UNTIMED,
    ExportedSpan,
    failure_of,
    own_fields,
    read_exported,
)
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.facts import since_epoch
from namel3ss_debug.views.payloads import json_bytes
from namel3ss_debug.wire import lenient

LEFT_OUT: Final = (PROGRAM, OUTSIDE, RERUN, UNTIMED, KNOWN_TIMES)


def export(events: Iterable[Event]) -> Iterator[bytes]:
    """Yield one document, an event on each line."""
    spans = sorted(
        (span for span in read_exported(events) if span.began is not None), key=attrgetter("began")
    )
    yield b'{"displayTimeUnit":"ms","traceEvents":[\n'
    comma = ""
    for lane, span in find_lanes(spans):
        for event in (_event(lane, span), *_instants(lane, span)):
            yield (comma + json_bytes(event)).encode()
            comma = ",\n"
    yield b"\n]}\n"


def find_lanes(spans: Iterable[ExportedSpan]) -> Iterator[tuple[int, ExportedSpan]]:
    """Yield each span, in the order in which they began, with the lane in which it lies inside or beside all others."""
    lanes: defaultdict[int, list[int]] = defaultdict(list)  # the ends of the open spans of each lane
    found: dict[str, int] = {}
    for span in spans:
        began, ended = span.began or 0, span.ended or span.began or 0
        for open_ends in lanes.values():
            while open_ends and open_ends[-1] <= began:
                open_ends.pop()
        preferred = found.get(span.facts.parent_id or "", 0)
        lane = preferred
        while lanes[lane] and lanes[lane][-1] < ended:
            lane += 1
        lanes[lane].append(ended)
        found[span.facts.span_id] = lane
        yield lane, span


def _event(lane: int, span: ExportedSpan) -> dict[str, object]:
    facts = span.facts
    began = span.began or 0
    details = {
        "event": span.number,
        "run": span.trace_id,
        "id": facts.span_id,
        "parent": facts.parent_id,
        "error": failure_of(facts),
        "inputs": dict(facts.inputs),
        "outputs": dict(facts.outputs),
        "usage": dict(facts.usage),
        "cost": facts.cost,
        "source": span.source,
        **own_fields(span),
    }
    return {
        "ph": "X",
        "name": facts.name or facts.kind,
        "cat": facts.kind,
        "ts": began / 1000,
        "dur": ((span.ended or began) - began) / 1000,
        "pid": 1,
        "tid": lane + 1,
        "args": lenient.drop_empty(details),
    }


def _instants(lane: int, span: ExportedSpan) -> Iterator[dict[str, Any]]:
    for point in span.points:
        at = point.get("timestamp")
        details = {
            "event": point["number"],
            "run": span.trace_id,
            "parent": span.facts.span_id,
            "namel3ss.event_type": point["event_type"],
            **{name: point.get(name) for name in ("inputs", "outputs", "metadata", "error")},
        }
        yield {
            "ph": "i",
            "s": "t",
            "name": point.get("component_name") or point["event_type"],
            "cat": point["component"],
            "ts": ((span.began or 0) if at is None else since_epoch(at)) / 1000,
            "pid": 1,
            "tid": lane + 1,
            "args": lenient.drop_empty(details),
        }
