"""Read the log lines of a trace: log records, decisions, messages, errors and figures, each with its agent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from namel3ss_debug.expressions import name_fits
from namel3ss_debug.traces.events import LOG_LEVELS, Event, begins_span, ends_span
from namel3ss_debug.traces.span_table import SpanTableBuilder
from namel3ss_debug.wire import lenient

CATEGORIES: Final = ("agents", "learning", "interactions", "performance", "system", "errors", "events")
"""The logs. `events` contains every span that ended; it is read only if it is asked for."""

_BY_TYPE: Final = {
    "decision": "agents",
    "state_change": "agents",
    "agent_message": "interactions",
    "performance_marker": "performance",
    "error_occurred": "errors",
    "log_record": "system",
}
"""Event type -> the log of its events, unless an event names another one."""


class LogLine(NamedTuple):
    """One line of a log.

    Attributes:
        number: the number of the event, from 1; 0 if it is not known.
        event: the event.
        category: one of `CATEGORIES`.
        level: one of `LOG_LEVELS`, or the program's own.
        agent: the name of the innermost agent around the event; empty if there is none.
        source: the name in the event, such as the name of the logger, else its component.
        message: its text; empty if the event has none.
    """

    number: int
    event: Event
    category: str
    level: str
    agent: str
    source: str
    message: str


def select_log_lines(
    events: Iterable[tuple[int, Event]],
    *,
    agent: str | None = None,
    least: str | None = None,
    category: str | None = None,
) -> Iterator[LogLine]:
    """Yield the wanted lines of the logs, in order, as the events are read.

    Args:
        events: the events with their numbers; 0 if these are not known.
        agent: only lines of agents and loggers whose name matches; `*` and `?` stand for anything.
        least: only lines from this level on; levels that are not in `LOG_LEVELS` count as `info`.
        category: only lines of this log; all logs but `events` if left out.
    """
    floor = LOG_LEVELS.get(least or "", 0)
    for line in read_log_lines(events):
        if line.category != category if category else line.category == "events":
            continue
        if LOG_LEVELS.get(line.level, LOG_LEVELS["info"]) < floor:
            continue
        if agent is None or name_fits(line.agent, agent) or name_fits(line.source, agent):
            yield line


def read_log_lines(events: Iterable[tuple[int, Event]]) -> Iterator[LogLine]:
    """Yield the lines of all logs, `events` included, in order, as the events are read."""
    builder, agents = SpanTableBuilder(costs=False), dict[int, str]()
    for number, event in events:
        row, parent = builder.take(event)
        agent = agents.get(parent, "")
        if begins_span(event["event_type"]):
            name = event.get("component_name")
            if event["component"] == "agent" and isinstance(name, str):
                agent = name
            if agent:
                agents[row] = agent
        line = _make_line(number, event, agent)
        if line is not None:
            yield line


def _make_line(number: int, event: Event, agent: str) -> LogLine | None:
    """Return the line of an event; None for an event that belongs to no log."""
    event_type = event["event_type"]
    is_end = ends_span(event_type)
    usual = "events" if is_end else _BY_TYPE.get(event_type)
    if usual is None:
        return None
    metadata = lenient.mapping(event.get("metadata"))
    own = metadata.get("category")
    category = own if own in CATEGORIES and not is_end else usual
    name = event.get("component_name")
    source = name if isinstance(name, str) else str(event.get("component") or "")
    return LogLine(
        number, event, category, _find_level(event, metadata), agent, source, _find_message(event, metadata)
    )


def _find_level(event: Event, metadata: dict[str, Any]) -> str:
    level = metadata.get("level")
    if isinstance(level, str) and level:
        return level.lower()
    return "error" if event.get("error") is not None or event.get("status") == "failed" else "info"


def _find_message(event: Event, metadata: dict[str, Any]) -> str:
    for fields in (metadata, lenient.mapping(event.get("outputs")), lenient.mapping(event.get("inputs"))):
        for key in ("message", "decision", "content", "text"):
            if isinstance(fields.get(key), str) and fields[key]:
                return str(fields[key])
    error = event.get("error")
    return error if isinstance(error, str) else ""
