"""Keep a note of lost events in the trace file itself, in room that its header reserves.

On a full disk nothing can be appended, and perhaps there is never room again. Bytes that a file already has can still
be overwritten. So the header of each segment is followed by `ROOM` blanks on its line, which every JSON reader skips.
When an event is dropped, they are overwritten with a line feed and a note, a line of its own:

    {"dropped":22191,"next_seq":22350,"error":"ENOSPC","ended":true,"exit_status":0}

A note is not an event: it has no number and is not shown as one.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final, NamedTuple

import orjson

ROOM: Final = 128
"""Bytes that a note may take. The longest one, with two numbers of 15 digits, has 112."""

_LONGEST: Final = 1 << 20  # bytes of a header that is looked at

_NOTE_BEGINS: Final = b'\n{"dropped":'


class LossNote(NamedTuple):
    """What a process could not write.

    Attributes:
        dropped: how many events it dropped.
        next_seq: the number after that of its last event, written or dropped.
        error: the `errno` of the latest refusal; 0 where it is not known.
        ended: whether the process ended by itself but could not write its `trace_end`.
        exit_status: its exit status then, where it is known.
    """

    dropped: int
    next_seq: int
    error: int
    ended: bool = False
    exit_status: int | None = None

    @property
    def reason(self) -> str:
        """Why events were dropped, such as `no space left on device`."""
        text = os.strerror(self.error) if self.error else "the file could not be written"
        return text[:1].lower() + text[1:]


def add_room(header: bytes) -> bytes:
    """Return the line of a header, with the room for a note."""
    return header + b" " * ROOM + b"\n"


def write_note(path: Path, descriptor: int, header: bytes, note: LossNote) -> bool:
    """Write a note into the room after a header, over an earlier one; return whether that was possible.

    Args:
        path: the path of the segment.
        descriptor: the descriptor by which events are appended; its `O_APPEND` would move a `pwrite` to the end.
        header: the first bytes of the segment, up to the room.
        note: the note.
    """
    try:
        other = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        if not os.path.samestat(os.fstat(other), os.fstat(descriptor)):
            return False
        room = os.pread(other, ROOM, len(header))
        if len(room) != ROOM or (room.strip(b" ") and not room.startswith(_NOTE_BEGINS)):
            return False  # others have truncated the file
        return os.pwrite(other, b"\n" + _to_json(note).ljust(ROOM - 1), len(header)) == ROOM
    except OSError:
        return False
    finally:
        os.close(other)


def read_note(path: Path) -> tuple[bytes, LossNote | None]:
    """Return the header of a segment and the note behind it; an empty header where there is no room for a note."""
    try:
        with path.open("rb") as file:
            first, second = file.readline(_LONGEST), file.readline(ROOM)
    except OSError:
        return b"", None
    if first.endswith(b" " * ROOM + b"\n"):
        return first[: -ROOM - 1], None
    note = parse_note(second)
    return (b"", None) if note is None else (first[:-1], note)


def parse_note(line: bytes) -> LossNote | None:
    """Return the note on a line; None where there is an event, or anything else."""
    if not line.startswith(_NOTE_BEGINS[1:]):
        return None
    try:
        return note_of(orjson.loads(line))
    except orjson.JSONDecodeError:
        return None


def note_of(value: object) -> LossNote | None:
    """Return the note that a JSON value is; None for any other value."""
    if not isinstance(value, dict) or not _is_count(value.get("dropped")) or "event_type" in value:
        return None
    if not _is_count(value.get("next_seq")):
        return None
    status, name = value.get("exit_status"), value.get("error")
    error = getattr(errno, name, 0) if isinstance(name, str) and name in errno.errorcode.values() else 0
    return LossNote(
        value["dropped"],
        value["next_seq"],
        error,
        value.get("ended") is True,
        status if type(status) is int else None,
    )


def _to_json(note: LossNote) -> bytes:
    row: dict[str, object] = {"dropped": note.dropped, "next_seq": note.next_seq}
    if note.error:
        row["error"] = errno.errorcode.get(
            note.error, ""
        )  # a name, because the numbers differ between systems
    if note.ended:
        row["ended"] = True
        if note.exit_status is not None:
            row["exit_status"] = note.exit_status
    return orjson.dumps(row)


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 1 << 62
