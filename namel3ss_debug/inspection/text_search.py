"""Find a text in the payloads of a trace without reading it as events: most traces do not hold it."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import orjson

from namel3ss_debug.errors import TraceNotFoundError, UnreadableTraceError
from namel3ss_debug.traces.decoding import looks_like_event
from namel3ss_debug.traces.facts import is_background
from namel3ss_debug.traces.inputs import EVENT_TYPE as INPUTS_READ
from namel3ss_debug.traces.lines import Problems, read_batches
from namel3ss_debug.traces.store import trace_files

_SEARCHED = ("component_name", "inputs", "outputs", "error", "error_type")


def holds_text(first: Path, text: str) -> bool:
    """Return whether a name, a payload or an error of a trace holds a text, in upper or lower case.

    Args:
        first: a file of the trace.
        text: the text.
    """
    folded = json.dumps(text, ensure_ascii=False)[1:-1].casefold()
    files = (file for process in trace_files(first) for file in process.files)
    try:
        return any(_file_holds(file, folded) for file in files)
    except (TraceNotFoundError, UnreadableTraceError):
        return False


def _file_holds(file: Path, folded: str) -> bool:
    with closing(read_batches(file, Problems())) as batches:
        for batch in batches:
            # One search of many lines costs less than one search of each of them.
            if folded not in b"".join(batch.lines).decode(errors="replace").casefold():
                continue
            if any(_line_holds(line, folded) for line in batch.lines):
                return True
    return False


def _line_holds(line: bytes, folded: str) -> bool:
    if folded not in line.decode(errors="replace").casefold():
        return False
    try:
        event = orjson.loads(line)
    except orjson.JSONDecodeError:
        return True  # a part of a document over many lines, or damaged
    if not looks_like_event(event):
        return True
    if event.get("event_type") == INPUTS_READ or is_background(event):
        return False
    found = [event.get(name) for name in _SEARCHED]
    if event.get("component") == "log":
        found.append(event.get("metadata"))
    return folded in orjson.dumps(found).decode().casefold()
