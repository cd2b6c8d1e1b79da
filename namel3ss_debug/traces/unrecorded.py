"""Python processes of a run that could not record: they leave a mark beside the trace, which is reported once.

Such an interpreter may lack everything that we need, so `capture/launch/boot/sitecustomize.py` writes the mark without other
modules of ours: a line of JSON, `[execution id, interpreter, why]`.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

_MOST_READ = 1 << 17


def unrecorded_path(first: Path) -> Path:
    """Return the path of the file with the marks of a trace, from the path of the first segment of its first process."""
    return first.with_name(f".{first.name}.unrecorded")


def take_marks(first: Path, execution_id: str) -> list[str]:
    """Read the marks of a trace and remove them.

    Args:
        first: the first segment of its first process.
        execution_id: the run whose marks count; others belong to an older trace of the same name.

    Returns:
        A sentence for each process.
    """
    path = unrecorded_path(first)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return []
    with suppress(OSError), open(descriptor, "rb") as file:
        lines = file.read(_MOST_READ).splitlines()
        path.unlink()
        return [text for line in lines if (text := _describe_mark(line, execution_id))]
    return []


def remove_marks(first: Path) -> None:
    """Remove the marks of a trace that is being deleted."""
    with suppress(OSError):
        unrecorded_path(first).unlink()


def _describe_mark(line: bytes, execution_id: str) -> str:
    try:
        marked_id, interpreter, why = json.loads(line)
    except (ValueError, TypeError):
        return ""
    if marked_id != execution_id:
        return ""
    return f"a process of {interpreter} was not recorded ({why}): install namel3ss-debug for it, on Python 3.11 or later"
