"""Read the Trace Event Format of Chrome, as Perfetto, viztracer and our own export write it.

Spans of a lane (a thread) lie inside each other by their times. Times count from a clock of the writer, often since the
start of the machine, so the date of such a trace is not known.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from namel3ss_debug.importers import own_fields
from namel3ss_debug.importers.files import peek_objects, read_documents
from namel3ss_debug.importers.tracing import make_trace
from namel3ss_debug.importers.values import parse_cost, parse_number, parse_time, read_usage, rest_of
from namel3ss_debug.traces.decoding import TIME_LIMIT
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.facts import PARTS
from namel3ss_debug.traces.lines import Problems
from namel3ss_debug.traces.span_events import SpanError, SpanFacts
from namel3ss_debug.wire import lenient
from namel3ss_debug.wire.conventions import FURTHER_COUNTS

_SPANS: Final = frozenset("XBE")
_READ: Final = frozenset({"ph", "ts", "dur", "name", "pid", "tid", "tts", "id"})


def sniff(head: bytes) -> bool:
    """Return whether events with a phase and a time are near the beginning."""
    return b'"ph"' in head and any(
        "ph" in event and ("ts" in event or event["ph"] == "M")
        for value in peek_objects(head)
        for event in (value, *lenient.mappings(value.get("traceEvents")))
    )


def read(
    files: tuple[Path, ...], problems: Problems, consumed: Callable[[int], None] | None = None
) -> Iterator[Event]:
    """Yield the events of the spans in the files."""
    lanes: defaultdict[tuple[str, str], list[tuple[float, float | None, dict[str, Any]]]] = defaultdict(list)
    names: dict[str, str] = {}
    ours: list[SpanFacts] = []
    points: list[Event] = []
    for path in files:
        for document in read_documents(path, problems, consumed, split="traceEvents"):
            for row in lenient.mappings(document.get("traceEvents")) or [document]:
                args = lenient.mapping(row.get("args"))
                if not own_fields.select(args):
                    _take(row, lanes, names, problems)
                elif row.get("ph") == "X":
                    ours.append(_read_own(row, args))
                elif (point := _read_own_instant(row, args)) is not None:
                    points.append(point)
    spans = [
        span
        for lane, rows in lanes.items()
        for span in _nest(rows, f"{lane[0]}.{lane[1]}", names.get(lane[1]))
    ]
    yield from make_trace({"format": "chrome-trace"}, [*ours, *spans], points)


def _read_own(row: dict[str, Any], args: dict[str, Any]) -> SpanFacts:
    """Return a span that our own export wrote, which names its parent and its kind."""
    at, duration = row.get("ts"), row.get("dur")
    started = parse_time(at, 1e6)
    lasts = duration if lenient.is_number(duration) and 0 <= duration < TIME_LIMIT else None
    error = lenient.string(args.get("error"))
    # A viewer needs a name; a span without one has that of its kind.
    name = lenient.string(row.get("name"))
    facts = SpanFacts(
        "span",
        None if name == args.get(f"{own_fields.PREFIX}kind") else name,
        span_id=str(args.get("id")),
        parent_id=lenient.string(args.get("parent")),
        started=started,
        ended=None if started is None or lasts is None else started + lasts / 1e6,
        duration_ms=None if lasts is None else round(lasts / 1e3, 6),
        inputs=lenient.mapping(args.get("inputs")),
        outputs=lenient.mapping(args.get("outputs")),
        failure=None if error is None else SpanError(None, error),
        usage=read_usage(
            lenient.mapping(args.get("usage")), {name: (name,) for name in (*PARTS, *FURTHER_COUNTS)}
        ),
        cost=parse_cost(args.get("cost")),
        execution_id=lenient.string(args.get("run")),
        metadata=rest_of(lenient.mapping(args.get("source")), ()),
    )
    return own_fields.restore(facts, args)


def _read_own_instant(row: dict[str, Any], args: dict[str, Any]) -> Event | None:
    """Return an event inside of a span that our own export wrote."""
    event_type, name = args.get(f"{own_fields.PREFIX}event_type"), lenient.string(row.get("name"))
    fields = {
        "event_id": f"event {args.get('event')}",
        "component_name": None if name == event_type else name,
        "timestamp": parse_time(row.get("ts"), 1e6),
        "parent_event_id": lenient.string(args.get("parent")),
        "execution_id": lenient.string(args.get("run")),
    }
    return own_fields.restore_point(lenient.drop_none(fields), event_type, row.get("cat"), args)


def _take(
    row: dict[str, Any],
    lanes: defaultdict[tuple[str, str], list[tuple[float, float | None, dict[str, Any]]]],
    names: dict[str, str],
    problems: Problems,
) -> None:
    phase, at, lane = row.get("ph"), parse_number(row.get("ts")), (str(row.get("pid")), str(row.get("tid")))
    if phase == "M" and row.get("name") == "thread_name":
        names[lane[1]] = str(lenient.mapping(row.get("args")).get("name"))
    elif not isinstance(phase, str) or phase not in _SPANS or at is None or not at / 1e6 < TIME_LIMIT:
        problems.left_out[f"events of phase {phase}"] += 1
    elif phase == "E":
        begun = next(
            (place for place in range(len(lanes[lane]) - 1, -1, -1) if lanes[lane][place][1] is None), None
        )
        if begun is not None:
            lanes[lane][begun] = (lanes[lane][begun][0], at, lanes[lane][begun][2])
    else:
        duration = parse_number(row.get("dur")) if phase == "X" else None
        ended = None if duration is None else at + duration
        lanes[lane].append((at, ended, row))


def _nest(
    rows: list[tuple[float, float | None, dict[str, Any]]], lane: str, thread: str | None
) -> Iterator[SpanFacts]:
    """Yield the spans of a lane, each with the innermost one around it as its parent."""
    ordered = sorted(enumerate(rows), key=lambda each: (each[1][0], -(each[1][1] or float("inf"))))
    around: list[tuple[float, str]] = []
    for number, (began, ended, row) in ordered:
        while around and around[-1][0] <= began:
            around.pop()
        span_id = f"{lane}.{number}"
        yield SpanFacts(
            "span",
            lenient.string(row.get("name")),
            span_id=span_id,
            parent_id=around[-1][1] if around else None,
            started=began / 1e6,
            ended=None if ended is None else ended / 1e6,
            duration_ms=None if ended is None else round((ended - began) / 1e3, 6),
            is_open=ended is None,
            metadata=rest_of(row, _READ),
            fields={"thread": thread} if thread and thread != "MainThread" else {},
        )
        around.append((float("inf") if ended is None else ended, span_id))
