"""Find the files of other writers in a folder, so that they stand in a list beside our traces.

Coding agents keep their sessions some folders deep (`~/.claude/projects/PROJECT/`, `~/.codex/sessions/YEAR/MONTH/DAY/`): a
folder that has no such file itself is searched below. What a list needs of a file is kept in the user's cache.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Final

import orjson

from namel3ss_debug.errors import DebugError, TraceNotFoundError
from namel3ss_debug.importers import find_importer
from namel3ss_debug.importers.opening import open_trace
from namel3ss_debug.traces.index import index_path
from namel3ss_debug.traces.store import TraceInfo, find_trace, sort_by_age
from namel3ss_debug.wire import lenient

_ENDINGS: Final = (".json", ".jsonl", ".json.gz", ".jsonl.gz", ".eval", ".traj", ".har")
MOST_FILES: Final = 5000
"""How many files of a folder are looked at."""

_DEEPEST: Final = 4
_SUBAGENTS: Final = "subagents"
_OF_SUBAGENT: Final = "agent-"
"""How the names of files begin that join the session beside them."""


def find_foreign(directory: Path, known: Collection[Path]) -> list[TraceInfo]:
    """Return the files in a folder that an importer reads, in no order; of one without such files, those below.

    Args:
        directory: the folder.
        known: files that are known to be traces of ours.
    """
    cache = _load()
    kept: dict[str, Any] = {}
    found = []
    for path in _files(directory):
        if path in known or path.is_symlink():
            continue
        try:
            state = path.stat()
        except OSError:
            continue
        key = f"{path.resolve()} {state.st_size} {state.st_mtime_ns}"
        row = kept[key] = cache[key] if key in cache else _describe(path)
        if isinstance(row, list) and len(row) == 3:
            found.append(_to_info(path, state, *row))
    if any(key not in cache for key in kept):
        _save(dict(list((cache | kept).items())[-2 * MOST_FILES :]))
    return found


def find_any(reference: str | None, directory: Path) -> Path:
    """Return the file that the user means, as `find_trace`; in a folder with files of other writers only, the newest.

    Raises:
        TraceNotFoundError: no trace, or more than one, fits the reference.
    """
    try:
        return find_trace(reference, directory)
    except TraceNotFoundError:
        folder = directory if reference in (None, "latest") else Path(str(reference))
        newest = sort_by_age(find_foreign(folder, ())) if folder.is_dir() else []
        if not newest:
            raise
        return newest[0].path


def _files(directory: Path) -> Iterator[Path]:
    """Yield the files that may be of another writer; a folder that has none itself is searched below."""
    try:
        names = sorted(name for name in os.listdir(directory) if name.endswith(_ENDINGS) and name[0] != ".")
    except OSError:
        return
    if names:
        yield from (directory / name for name in names[:MOST_FILES])
        return
    left = MOST_FILES
    for folder, folders, files in os.walk(directory):
        depth = len(Path(folder).relative_to(directory).parts)
        folders[:] = sorted(each for each in folders if each != _SUBAGENTS) if depth < _DEEPEST else []
        for name in sorted(files):
            if left and name.endswith(_ENDINGS) and not name.startswith((".", _OF_SUBAGENT)):
                left -= 1
                yield Path(folder, name)


def _describe(path: Path) -> list[Any] | None:
    """Return the run, the start and the title of a file; None where no importer reads it, or it has no event."""
    try:
        if find_importer(path) is None:
            return None
        first = next(open_trace(path).events(), None)
    except (OSError, DebugError):
        return None
    if first is None:
        return None
    metadata = lenient.mapping(first.get("metadata"))
    title = lenient.mapping(metadata.get("source")).get("title") or metadata.get("target")
    began = first.get("timestamp")
    return [
        str(first.get("execution_id") or ""),
        began if lenient.is_number(began) else None,
        str(title or ""),
    ]


def _to_info(path: Path, state: os.stat_result, run: str, began: float | None, title: str) -> TraceInfo:
    return TraceInfo(
        path=path,
        execution_id=run,
        started_at=began,
        modified_at=state.st_mtime,
        size_bytes=state.st_size,
        files=1,
        processes=1,
        target="",
        argv=(),
        status="unknown",
        events=None,
        paths=(path,),
        title=" ".join(title.split()),
    )


def _cache_path() -> Path:
    return index_path(Path()).with_name("foreign.json")


def _load() -> dict[str, Any]:
    """Return what is kept; nothing where there is nothing, or it is damaged."""
    try:
        return lenient.mapping(orjson.loads(_cache_path().read_bytes()))
    except (OSError, RuntimeError, ValueError):
        return {}


def _save(kept: dict[str, Any]) -> None:
    """Write the cache in one step; without a cache directory everything is read again."""
    try:
        target = _cache_path()
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            dir=target.parent, prefix="new-", suffix=".tmp", delete=False
        ) as file:
            file.write(orjson.dumps(kept))
        os.replace(file.name, target)
    except (OSError, RuntimeError):
        pass
