"""Export the time of a trace for speedscope, a profile with an evented timeline for each lane of the run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from operator import attrgetter
from typing import Any, Final

from namel3ss_debug.exporters.chrome import find_lanes
from namel3ss_debug.exporters.span_export import read_exported
from namel3ss_debug.traces.events import Event
from namel3ss_debug.views.payloads import json_bytes

LEFT_OUT: Final = ("all but the names and times of spans, and what lies inside of what",)
_SCHEMA = "https://www.speedscope.app/file-format-schema.json"


def export(events: Iterable[Event]) -> Iterator[bytes]:
    """Yield one document."""
    spans = sorted(
        (span for span in read_exported(events) if span.began is not None), key=attrgetter("began")
    )
    frames: dict[str, int] = {}
    lanes: defaultdict[int, list[tuple[int, int, int]]] = defaultdict(list)
    for lane, span in find_lanes(spans):
        name = f"{span.facts.kind} {span.facts.name}" if span.facts.name else span.facts.kind
        frame = frames.setdefault(name, len(frames))
        lanes[lane].append((span.began or 0, span.ended or span.began or 0, frame))
    start = min((began for lane in lanes.values() for began, _, _ in lane), default=0)
    end = max((ended for lane in lanes.values() for _, ended, _ in lane), default=0)
    profiles = [
        {
            "type": "evented",
            "name": f"lane {lane + 1}",
            "unit": "microseconds",
            "startValue": 0,
            "endValue": (end - start) / 1000,
            "events": list(_open_and_close(spans_of, start)),
        }
        for lane, spans_of in sorted(lanes.items())
    ]
    shared = {"frames": [{"name": name} for name in frames]}
    document = {"$schema": _SCHEMA, "exporter": "namel3ss-debug", "shared": shared, "profiles": profiles}
    yield json_bytes(document).encode()


def _open_and_close(spans: Iterable[tuple[int, int, int]], start: int) -> Iterator[dict[str, Any]]:
    """Yield the opening and the closing of each span, in order; each lies inside or beside those before it."""
    open_spans: list[tuple[int, int]] = []
    for began, ended, frame in spans:
        while open_spans and open_spans[-1][0] <= began:
            closed, name = open_spans.pop()
            yield {"type": "C", "frame": name, "at": (closed - start) / 1000}
        yield {"type": "O", "frame": frame, "at": (began - start) / 1000}
        open_spans.append((ended, frame))
    for closed, name in reversed(open_spans):
        yield {"type": "C", "frame": name, "at": (closed - start) / 1000}
