"""Find the files of other writers in a folder, so that they stand in a list beside our traces.

Coding agents keep their sessions some folders deep (`~/.claude/projects/PROJECT/`, `~/.codex/sessions/YEAR/MONTH/DAY/`): a
folder that has no such file itself is searched below. What a list needs of a file is kept in the user's cache.
"""

from __future__ import annotations

import json
import os
import stat
import tempfile
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, Final

from namel3ss_debug.errors import DebugError, TraceNotFoundError
from namel3ss_debug.importers import find_importer
from namel3ss_debug.importers.opening import load_redactor
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.index import index_path
from namel3ss_debug.traces.lines import Problems
from namel3ss_debug.traces.redaction.documents import redact_document
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
    return [info for info, _ in describe_foreign(directory, known, _describe)]


def describe_foreign(
    directory: Path, known: Collection[Path], describe: Callable[[Path], list[Any] | None], version: str = ""
) -> list[tuple[TraceInfo, list[Any]]]:
    """Return the files that `find_foreign` finds, each with what else a function reads of it.

    Args:
        directory: the folder.
        known: files that are known to be traces of ours.
        describe: returns the run, the start and the title of a file, and what else is wanted; None where no importer
            reads it. It is called once for each state of a file, and need not redact: to redact whole payloads, of which
            nothing is kept, takes five times as long as to read them.
        version: of what the function returns; with another one, files are read again.
    """
    cache, redactor = _load(), load_redactor()
    version += "as it is " if redactor is None else ""
    kept: dict[str, Any] = {}
    found = []
    for path in _files(directory):
        if path in known:
            continue
        try:
            state = path.lstat()
        except OSError:
            continue
        if not stat.S_ISREG(state.st_mode):
            continue
        key = f"{version}{os.path.abspath(path)} {state.st_size} {state.st_mtime_ns}"
        if key in cache:
            row = cache[key]
        else:
            try:
                row = describe(path)
            except (OSError, DebugError):
                row = None
            if row is not None and redactor is not None:
                row = [redact_document(each, redactor) for each in row]
        kept[key] = row
        if isinstance(row, list) and len(row) >= 3:
            found.append((_to_info(path, state, *row[:3]), row[3:]))
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
    importer = find_importer(path)
    first = None if importer is None else next(importer.read((path,), Problems()), None)
    return None if first is None else describe_start(first)


def describe_start(first: Event) -> list[Any]:
    """Return the run, the start and the title of a trace, by its first event."""
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
        return lenient.mapping(json.loads(_cache_path().read_bytes()))
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
            file.write(json.dumps(kept).encode())  # which takes half of a surrogate pair in a title
        os.replace(file.name, target)
    except (OSError, RuntimeError):
        pass
