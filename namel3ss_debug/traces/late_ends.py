"""Writes the `trace_end` for a program that could not: it left by `os._exit`, or had become another program."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import orjson

from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.lines import last_line
from namel3ss_debug.traces.loss_notes import LossNote, read_note, write_note
from namel3ss_debug.traces.process import event_on
from namel3ss_debug.traces.ring import complete, holds_more
from namel3ss_debug.traces.store import trace_files

_END: Final = b'"event_type":"trace_end"'


def write_late_end(first: Path, status: int) -> None:
    """Write the missing `trace_end` of the first process of a recording: it contains the exit status only.

    Args:
        first: the first file of the recording, whose first process has ended. A file that cannot be written stays
            unchanged.
        status: its exit status; for a negative one, which stands for a signal, nothing is written.
    """
    if status < 0 or not first.exists():
        return
    with suppress(OSError):
        file = trace_files(first)[0].files[-1]
        complete(file)
        last = event_on(last_line(file))
        if last is None or not isinstance(last.get("seq"), int) or holds_more(file) or _has_ended(file, last):
            return
        header, note = read_note(file)
        seq = max(last["seq"] + 1, note.next_seq if note is not None else 0)
        event = {
            "event_type": "trace_end",
            "event_id": str(seq + 1),
            "seq": seq,
            "timestamp": max(time.time(), float(last.get("timestamp") or 0.0)),
            "execution_id": last.get("execution_id"),
            **({"session_id": last["session_id"]} if "session_id" in last else {}),
            "component": "app",
            "metadata": {"exit_status": status},
        }
        descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            _append(descriptor, orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE))
        except OSError as error:
            dropped = note.dropped if note is not None else 0
            ended = LossNote(dropped + 1, seq + 1, error.errno or 0, ended=True, exit_status=status)
            write_note(file, descriptor, header, ended)
        finally:
            os.close(descriptor)


def _append(descriptor: int, line: bytes) -> None:
    """Append a whole line or nothing.

    Raises:
        OSError: there is no room for it.
    """
    size = os.fstat(descriptor).st_size
    try:
        written = os.write(descriptor, line)
        while written < len(line):
            written += os.write(descriptor, line[written:])
    except OSError:
        os.ftruncate(descriptor, size)
        raise


def _has_ended(file: Path, last: Event) -> bool:
    """Whether a process has written its end; one of its threads may have written a last event after that."""
    if last["event_type"] == "trace_end":
        return True
    with file.open("rb") as stream:
        return any(_END in line for line in stream)
