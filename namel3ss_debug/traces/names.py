"""Name the files of a trace: one name for the trace, a suffix for each further process and segment.

`trace_20261121_101500_ab12cd34.jsonl` is the first segment of the first process, `....p2.jsonl` the first of
the second further process, `....s3.jsonl` and `....p2.s3.jsonl` their third further segments. A name that
the user chose keeps its stem in the same way.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

LATEST = "trace_latest.jsonl"
"""The name of the relative link to the newest first segment."""

IGNORE = ".gitignore"
"""The file in a new folder of traces by which git leaves them out."""

OWN_NAME = re.compile(r"trace_\d{8}_\d{6}_[0-9a-f]{8}\Z")
"""The stem of a trace we named ourselves."""

DOCUMENT_HEAD = '{"schema":"namel3ss-debug/trace/1","events":['
"""The beginning of the document that `trace --format json` writes beside a trace, under its stem and `.json`."""

MARK_ENDING = ".mark.json"
"""How the name of the file with the user's mark of a trace ends; it begins with a dot and the stem."""

_PARTS = re.compile(
    r"(?P<stem>.+?)(?:\.p(?P<process>[1-9]\d*))?(?:\.s(?P<segment>[1-9]\d*))?\.jsonl(?:\.gz)?\Z"
)


def is_own(name: str) -> bool:
    """Return whether a file has the name of a trace that we named ourselves."""
    parts = parse_name(name)
    return parts is not None and OWN_NAME.match(parts.stem) is not None


class SegmentName(NamedTuple):
    """The parts of a file name: the stem of the trace, the process (0 is the first) and the segment (from 0)."""

    stem: str
    process: int
    segment: int


def trace_name(started_at: float, execution_id: str) -> str:
    """Return the name of the first segment of a trace that starts at `started_at` (seconds since the epoch)."""
    stamp = datetime.fromtimestamp(started_at, UTC).strftime("%Y%m%d_%H%M%S")
    return f"trace_{stamp}_{execution_id[:8]}.jsonl"


def segment_path(first: Path, process: int, segment: int) -> Path:
    """Return the path of a segment, from the path of the first segment of the first process."""
    stem = first.name.removesuffix(".jsonl")
    suffix = (f".p{process}" if process else "") + (f".s{segment}" if segment else "")
    return first.with_name(f"{stem}{suffix}.jsonl")


def mark_path(first: Path) -> Path:
    """Return the path of the file with the user's mark of a trace (`marks.py`), from the path of one of its segments."""
    parts = parse_name(first.name)
    return first.with_name(f".{parts.stem if parts else first.name}{MARK_ENDING}")


def marked_stem(name: str) -> str | None:
    """Return the stem of the trace that a mark file belongs to; None for any other file."""
    return name[1 : -len(MARK_ENDING)] if name.startswith(".") and name.endswith(MARK_ENDING) else None


def parse_name(name: str) -> SegmentName | None:
    """Split a file name into its parts; `None` when it cannot be a segment."""
    parts = _PARTS.match(name)
    if parts is None:
        return None
    return SegmentName(parts["stem"], int(parts["process"] or 0), int(parts["segment"] or 0))
