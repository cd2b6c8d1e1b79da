"""`source`: the body of the tool that an event called, or the user's own code at its call site, or a cell of a notebook."""

from __future__ import annotations

import re
from itertools import islice
from typing import Any, Final

from namel3ss_debug.errors import WrongUsageError
from namel3ss_debug.replay.debugger.results import Result
from namel3ss_debug.replay.debugger.session import DebugSession, refuse_argument
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.source_files import SourceLines, cut_lines, parse_site, read_source
from namel3ss_debug.wire import lenient

_CELL: Final = re.compile(r"In\[\d+\]")
_MOST_SPANS: Final = 100
_MOST_CELLS: Final = 10_000


def source(session: DebugSession, argument: str) -> Result:
    """Show the body of the tool, or the lines around the call site of the event or of the nearest span that has one."""
    refuse_argument(argument, "source")
    tool = _find_tool(session)
    if tool is not None:
        at, site, event = tool
        shown = read_source(site, _folders(session, at), event.get("timestamp"), body=True)
        if shown.problem is None:
            return shown
    at, event = _find_site(session)
    site = str(event["call_site"])
    parsed = parse_site(site)
    if parsed is not None and _CELL.fullmatch(parsed[0]):
        text = _find_cell(session, at, parsed[0])
        if text is None:
            return SourceLines(*parsed, (), "the trace does not hold the text of this cell")
        rows = cut_lines(text.encode(), parsed[1])
        return SourceLines(*parsed, rows, None if rows else "the cell does not have this line")
    return read_source(site, _folders(session, at), event.get("timestamp"))


def _find_tool(session: DebugSession) -> tuple[int, str, Event] | None:
    """Return the start of the tool call that the selected event begins or ends: its number, where the tool is defined, itself."""
    stepper, (at, event) = session.stepper, session.selected_event()
    if event.get("component") != "tool":
        return None
    at = stepper.outline.own_start(at) or at
    start = stepper.event_at(at)
    site = lenient.mapping(start.get("metadata")).get("defined_at")
    return (at, site, start) if isinstance(site, str) else None


def _find_site(session: DebugSession) -> tuple[int, Event]:
    """Return the selected event, or the nearest start around it, that has a call site."""
    stepper, (at, _) = session.stepper, session.selected_event()
    for number in (at, *reversed(stepper.outline.stack(at)[-_MOST_SPANS:])):
        event = stepper.event_at(number)
        if isinstance(event.get("call_site"), str) and event["call_site"]:
            return number, event
    raise WrongUsageError(f"the trace does not show where in the code event {at} came from")


def _find_cell(session: DebugSession, at: int, name: str) -> str | None:
    """Return the text of a cell, from the latest span of this name that began up to an event."""
    stepper, outline = session.stepper, session.stepper.outline
    cells = outline.kinds.select(lambda event: bool(event["event_type"] == "cell_start"), named=False)
    for number in islice(outline.backward(cells, 1, at + 1), _MOST_CELLS):
        event = stepper.event_at(number)
        text = lenient.mapping(event.get("inputs")).get("source")
        if event.get("component_name") == name and isinstance(text, str):
            return text
    return None


def _folders(session: DebugSession, at: int) -> list[Any]:
    """Return the folders in which the program was started: that of the process of an event, and that of the first one."""
    stepper = session.stepper
    starts = (stepper.outline.latest("trace_start", at), 1)
    return [
        lenient.mapping(stepper.trace.event(number).get("metadata")).get("cwd") for number in starts if number
    ]
