"""Find the files of other writers in a folder, so that they stand in a list beside our traces."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import Final

from namel3ss_debug.errors import DebugError
from namel3ss_debug.importers import find_importer
from namel3ss_debug.importers.opening import open_trace
from namel3ss_debug.traces.store import TraceInfo
from namel3ss_debug.wire import lenient

_ENDINGS: Final = (".json", ".jsonl", ".json.gz", ".jsonl.gz")
MOST_FILES: Final = 1000
"""How many files of a folder are looked at."""


def find_foreign(directory: Path, known: Collection[Path]) -> list[TraceInfo]:
    """Return the files in a folder that an importer reads, in no order.

    Args:
        directory: the folder.
        known: files that are known to be traces of ours.
    """
    try:
        names = sorted(name for name in os.listdir(directory) if name.endswith(_ENDINGS) and name[0] != ".")
    except OSError:
        return []
    paths = (directory / name for name in names[:MOST_FILES])
    described = (_describe(path) for path in paths if path not in known and not path.is_symlink())
    return [info for info in described if info is not None]


def _describe(path: Path) -> TraceInfo | None:
    """Return what is known of a file; None where no importer reads it, or it has no event."""
    try:
        state = path.stat()
        if find_importer(path) is None:
            return None
        first = next(open_trace(path).events(), None)
    except (OSError, DebugError):
        return None
    if first is None:
        return None
    metadata = lenient.mapping(first.get("metadata"))
    return TraceInfo(
        path=path,
        execution_id=str(first.get("execution_id") or ""),
        started_at=first["timestamp"] if lenient.is_number(first.get("timestamp")) else None,
        modified_at=state.st_mtime,
        size_bytes=state.st_size,
        files=1,
        processes=1,
        target=lenient.string(metadata.get("target")) or "",
        argv=(),
        status="unknown",
        events=None,
        paths=(path,),
    )
