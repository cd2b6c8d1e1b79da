"""Complete traces whose program has ended: the `trace_end` that it could not write, and the verdict on a re-run."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import orjson

from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.lines import last_line
from namel3ss_debug.traces.loss_notes import LossNote, read_note, write_note
from namel3ss_debug.traces.names import parse_name
from namel3ss_debug.traces.process import read_event_line
from namel3ss_debug.traces.signing import MAC, derive_key, line_signer, load_key
from namel3ss_debug.traces.store import trace_files
from namel3ss_debug.wire import lenient

VERDICT: Final = "rerun"
"""The key of the verdict in the metadata of a `trace_end`."""

PENDING: Final = "pending"
"""What the `trace_start` of a re-run has in `metadata.rerun.verdict`: the verdict is in its `trace_end`."""

_LONGEST_TAIL: Final = 1 << 20

_END: Final = b'"event_type":"trace_end"'


def write_late_end(first: Path, status: int, stopped_by: str = "") -> None:
    """Write the missing `trace_end` of the first process of a trace: it contains how the program ended only.

    Args:
        first: the first file of the trace, whose first process has ended. A file that cannot be written stays
            unchanged.
        status: its exit status; for a negative one, which stands for a signal, nothing is written.
        stopped_by: who stopped it by a signal, such as the debugger; then the end says so.
    """
    if (status < 0 and not stopped_by) or not first.exists():
        return
    with suppress(OSError):
        file = trace_files(first)[0].files[-1]
        last = read_event_line(last_line(file), file)
        if last is None or not isinstance(last.get("seq"), int) or _has_ended(file, last):
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
            "metadata": {"stopped_by": stopped_by} if stopped_by else {"exit_status": status},
        }
        descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            _append(descriptor, _line(file, event, is_signed=MAC in last))
        except OSError as error:
            dropped = note.dropped if note is not None else 0
            ended = LossNote(dropped + 1, seq + 1, error.errno or 0, ended=True, exit_status=max(status, 0))
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


def write_verdict(first: Path, verdict: Mapping[str, Any]) -> None:
    """Write the verdict on a re-run into the `trace_end` of its own trace, so that every later reader knows it.

    The line is written anew in its place: the trace has no event more, and `trace_end` stays its last event.

    Args:
        first: the first file of the trace, whose program has ended. One without a `trace_end`, or that cannot be
            written, stays unchanged; it is without a verdict.
        verdict: the verdict and its reasons.
    """
    if not first.exists():
        return
    with suppress(OSError):
        file = trace_files(first)[0].files[-1]
        descriptor = os.open(file, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "r+b", buffering=0) as stream:
            start = max(os.fstat(descriptor).st_size - _LONGEST_TAIL, 0)
            stream.seek(start)
            tail = stream.read(_LONGEST_TAIL)
            found = tail.rfind(_END)
            begin = tail.rfind(b"\n", 0, found) + 1
            end = tail.find(b"\n", found)
            event = read_event_line(tail[begin:end], file) if found >= 0 and end >= 0 else None
            if event is None or event["event_type"] != "trace_end":
                return
            event["metadata"] = {**lenient.mapping(event.get("metadata")), VERDICT: verdict}
            stream.seek(start + begin)
            is_signed = event.pop(MAC, None) is not None
            stream.write(_line(file, event, is_signed=is_signed) + tail[end + 1 :])


def _line(file: Path, event: Event, *, is_signed: bool) -> bytes:
    """Return the line of an event for a file of the first process; in a signed trace it is signed with this user's key."""
    line = orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE)
    key = load_key() if is_signed else None
    if key is None:
        return line
    name = parse_name(file.name)
    execution = derive_key(key, str(event.get("execution_id")))
    return line_signer(execution, 0, 0 if name is None else name.segment)(line)


def _has_ended(file: Path, last: Event) -> bool:
    """Return whether a process has written its end; one of its threads may have written a last event after that."""
    if last["event_type"] == "trace_end":
        return True
    with file.open("rb") as stream:
        return any(_END in line for line in stream)
