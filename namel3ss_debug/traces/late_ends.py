"""Appends to traces whose program has ended: a `trace_end` that it could not write, and the verdict on a re-run."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import orjson

from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.lines import last_line
from namel3ss_debug.traces.process import event_on
from namel3ss_debug.traces.ring import complete, holds_more
from namel3ss_debug.traces.store import trace_files

VERDICT_EVENT: Final = "rerun_verdict"
"""The type of the event with the verdict on a re-run, the last of its trace."""

_END: Final = b'"event_type":"trace_end"'


def write_late_end(first: Path, status: int) -> None:
    """Write the missing `trace_end` of the first process of a recording: it contains the exit status only.

    Args:
        first: the first file of the recording, whose first process has ended. A file that cannot be written stays
            unchanged.
        status: its exit status; for a negative one, which stands for a signal, nothing is written.
    """
    if status >= 0:
        _append(first, "trace_end", {"exit_status": status}, unless=_has_ended)


def write_verdict(first: Path, metadata: Mapping[str, Any]) -> None:
    """Write the verdict on a re-run at the end of its own trace, so that whoever reads that trace later knows it.

    Args:
        first: the first file of the trace, whose processes have ended. A file that cannot be written stays unchanged.
        metadata: the verdict and its reasons.
    """
    _append(first, VERDICT_EVENT, metadata)


def _append(
    first: Path,
    event_type: str,
    metadata: Mapping[str, Any],
    unless: Callable[[Path, Event], bool] = lambda _file, _last: False,
) -> None:
    """Append an event to the first process of a trace that has ended."""
    if not first.exists():
        return
    with suppress(OSError):
        file = trace_files(first)[0].files[-1]
        complete(file)
        last = event_on(last_line(file))
        if last is None or not isinstance(last.get("seq"), int) or holds_more(file) or unless(file, last):
            return
        seq = last["seq"] + 1
        event = {
            "event_type": event_type,
            "event_id": str(seq + 1),
            "seq": seq,
            "timestamp": max(time.time(), float(last.get("timestamp") or 0.0)),
            "execution_id": last.get("execution_id"),
            **({"session_id": last["session_id"]} if "session_id" in last else {}),
            "component": "app",
            "metadata": metadata,
        }
        descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "ab", buffering=0) as stream:
            stream.write(orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE))


def _has_ended(file: Path, last: Event) -> bool:
    """Whether a process has written its end; one of its threads may have written a last event after that."""
    if last["event_type"] == "trace_end":
        return True
    with file.open("rb") as stream:
        return any(_END in line for line in stream)
