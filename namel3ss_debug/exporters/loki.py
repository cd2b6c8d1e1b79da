"""Export the log lines of a trace, those of `logs`, as requests to the push API of Loki.

Labels are few, as Loki wants: the program, the level and the log. What else is known is in the line, which is JSON for `| json`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import PurePath
from typing import Any, Final

from namel3ss_debug.exporters.span_export import find_trace_id
from namel3ss_debug.inspection.logs import LogLine, select_log_lines
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.facts import since_epoch
from namel3ss_debug.views.payloads import json_bytes
from namel3ss_debug.wire import lenient

LEFT_OUT: Final = ("all but the lines of `logs`, which become JSON; the labels are program, level and log",)
PATH: Final = "/loki/api/v1/push"
LINES_PER_REQUEST: Final = 1000


def export(events: Iterable[Event]) -> Iterator[bytes]:
    """Yield a line for each request of 1,000 log lines."""
    for body, _ in make_requests(events):
        yield body + b"\n"


def make_requests(events: Iterable[Event]) -> Iterator[tuple[bytes, int]]:
    """Yield the bodies of requests in JSON, each with how many log lines it has."""
    service: list[str] = []
    lines = select_log_lines(enumerate(_noting_program(events, service), 1))
    while batch := list(islice(lines, LINES_PER_REQUEST)):
        streams: defaultdict[tuple[str, str], list[list[str]]] = defaultdict(list)
        for line in batch:
            streams[line.level, line.category].append(_value(line))
        name = service[0] if service else "namel3ss-debug"
        document = {
            "streams": [
                {"stream": {"service_name": name, "level": level, "log": log}, "values": values}
                for (level, log), values in streams.items()
            ]
        }
        yield json_bytes(document).encode(), len(batch)


def _noting_program(events: Iterable[Event], service: list[str]) -> Iterator[Event]:
    for event in events:
        if event["event_type"] == "trace_start" and not service:
            target = lenient.string(lenient.mapping(event.get("metadata")).get("target")) or ""
            service += [PurePath(target).stem] if target else []
        yield event


def _value(line: LogLine) -> list[str]:
    event = line.event
    about: dict[str, Any] = {
        "message": line.message,
        "source": line.source,
        "agent": line.agent,
        "event": line.number,
        "trace_id": find_trace_id(str(event.get("execution_id") or "")),
        **{key: event[key] for key in ("call_site", "error_type", "error") if key in event},
        **lenient.mapping(lenient.mapping(event.get("metadata")).get("extra")),
    }
    text = json_bytes({key: value for key, value in about.items() if value not in ("", None)})
    return [str(since_epoch(event.get("timestamp") or 0)), text]
