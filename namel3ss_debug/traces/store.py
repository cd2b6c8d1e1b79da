"""The traces in a directory: which files belong together, which one a user means, and which are old.

A trace is every file that shares its stem (`names.py`). Nothing here reads more of a file than its first
and its last line. `clean` deletes whole traces, and only what the writer of this package wrote.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import NamedTuple

import orjson

from namel3ss_debug.errors import TraceNotFoundError, UnreadableTraceError
from namel3ss_debug.traces.decoding import looks_like_event
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.folders import link_latest
from namel3ss_debug.traces.lines import first_line, head_lines, is_compressed, last_line, may_be_read
from namel3ss_debug.traces.loss_notes import LossNote, read_note
from namel3ss_debug.traces.names import DOCUMENT_HEAD, LATEST, OWN_NAME, mark_path, marked_stem, parse_name
from namel3ss_debug.traces.unrecorded import remove_marks
from namel3ss_debug.wire import lenient

SHORTEST_ID = 4
"""How many characters of an execution id are needed to refer to a trace by it."""

_LIST = "`namel3ss debug list` shows the traces"
_SHOWN = 5


class ProcessFiles(NamedTuple):
    """The segments of one process of a trace, in order; process 0 is the first."""

    number: int
    files: tuple[Path, ...]


@dataclass(frozen=True)
class TraceInfo:
    """What is known about a trace without reading all of it.

    `path` is its first file; `size_bytes`, `files` and `processes` count all of it. `status` is `finished` (its first
    process ended normally), `open` (it is still being written), `killed`, or `unknown`: the end of a compressed file is
    not known, because it is too large or damaged to be read to its end for this. `events` counts what was not rotated
    away; None where the last line of a process has no number. `dropped` counts the events that could not be written, and
    `dropped_because` has the reasons. `rerun_of` is the execution id of the trace that this
    is a re-run of. `paths` has every file, `title` what the writer of a session called it. `modified_at` and `started_at` are seconds since the epoch.
    """

    path: Path
    execution_id: str
    started_at: float | None
    modified_at: float
    size_bytes: int
    files: int
    processes: int
    target: str
    argv: tuple[str, ...]
    status: str
    events: int | None
    rerun_of: str | None = None
    dropped: int = 0
    dropped_because: tuple[str, ...] = ()
    paths: tuple[Path, ...] = ()
    title: str = ""


def trace_files(path: Path) -> tuple[ProcessFiles, ...]:
    """Every file of the trace that `path` belongs to: its processes in order, each with its segments.

    A file whose first line names another execution is left out: it is a leftover of an earlier trace
    under the same name. Where a segment exists both raw and compressed, the raw one counts.

    Raises:
        TraceNotFoundError: the directory cannot be read.
    """
    real = Path(os.path.realpath(path))
    parts = parse_name(real.name)
    if parts is None:
        return (ProcessFiles(0, (real,)),)
    names = [name for name in _names_in(real.parent) if name.startswith(parts.stem)]
    found = _group(names, real.parent).get(parts.stem, ())
    execution = execution_of(real)
    kept = [
        process._replace(files=files)
        for process in found
        if (
            files := tuple(
                file for file in process.files if execution is None or execution_of(file) in (None, execution)
            )
        )
    ]
    return tuple(kept) or (ProcessFiles(0, (real,)),)


def find_trace(reference: str | None, directory: Path) -> Path:
    """Return the file of the trace that the user means.

    Args:
        reference: a file, also one that was rotated away, a directory (its newest trace), the beginning of an
            execution id, or `latest` (also None).
        directory: where traces are.

    Raises:
        TraceNotFoundError: no trace, or more than one, fits the reference.
    """
    if reference is None or reference == "latest":
        return _newest(directory)
    path = Path(reference)
    try:
        if path.is_dir():
            return _newest(path)
        if path.exists():
            return path
    except (OSError, ValueError):
        pass  # a reference that no file system accepts as a path
    if path.name == LATEST:
        return _newest(path.parent)
    left = _find_first_left(path)
    if left is not None:
        return left
    if len(reference) < SHORTEST_ID or "/" in reference or reference.endswith((".jsonl", ".gz", ".json")):
        raise TraceNotFoundError(f"{reference}: no such trace; {_LIST}")
    return _find_by_execution(reference, directory)


def list_traces(directory: Path) -> list[TraceInfo]:
    """Return the traces in a directory, newest first; empty when there is no such directory.

    Files that do not begin with an event are not shown.
    """
    return scan_directory(directory)[0]


def scan_directory(directory: Path) -> tuple[list[TraceInfo], list[Path]]:
    """Return the traces in a directory, newest first, and the files that are named like one but do not begin with an event.

    So are files that may not be read. One without an event that is still being written is a trace that only begins.
    """
    try:
        groups = _group(_names_in(directory), directory)
    except TraceNotFoundError:
        return [], []
    found, others = [], []
    for group in groups.values():
        info, first = _describe(group), group[0].files[0]
        if info is not None:
            found.append(info)
        elif first.exists() and not (may_be_read(first) and is_written(first)):
            others.append(first)
    return sort_by_age(found), others


def sort_by_age(found: Iterable[TraceInfo]) -> list[TraceInfo]:
    """Return traces, the newest first."""
    return sorted(found, key=_age, reverse=True)


class Kept(NamedTuple):
    """How long traces of a kind are kept: days, 0 for not at all, infinity for ever, None for no limit but the size."""

    days: float | None
    kind: str = "default"


class RemovedTrace(NamedTuple):
    """A trace that was, or would be, deleted, its kind, and why."""

    trace: TraceInfo
    kind: str
    why: str


def clean(
    directory: Path,
    *,
    keep: Callable[[TraceInfo], Kept],
    max_bytes: int | None,
    now: float,
    dry_run: bool = False,
) -> list[RemovedTrace]:
    """Delete old traces: those older than their kind is kept, then the oldest until `max_bytes` are kept.

    Only whole traces are deleted, and only those with our kind of name and with our `trace_start` at the beginning of
    every file. The newest trace stays, unless it is kept for 0 days; so do traces that are still being written. Links are neither followed nor deleted,
    except `trace_latest.jsonl`, which is corrected when it points nowhere.

    Args:
        directory: where traces are.
        keep: returns how long a trace is kept; its age is by the last change of its files.
        max_bytes: the size of all our traces together; None or 0 for no limit. What is kept for ever is not deleted for it.
        now: seconds since the epoch.
        dry_run: delete nothing.

    Returns:
        What was, or would be, deleted, oldest first, each with the reason.
    """
    try:
        lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return []
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # one cleaner at a time
        groups = _group(_names_in(directory), directory)
        ours = {stem: group for stem, group in groups.items() if _is_ours(stem, group)}
        described = {stem: info for stem, group in ours.items() if (info := _describe(group)) is not None}
        chosen = _expired(described, keep, max_bytes, now)
        removed = [found for stem, found in chosen.items() if dry_run or _delete(ours[stem])]
        if not dry_run:
            _remove_orphans(directory)
            _repair_latest(directory)
    except OSError:
        return []
    finally:
        os.close(lock)
    return removed


def ending(processes: tuple[ProcessFiles, ...]) -> str:
    """Return how the run with these files ended, as in `TraceInfo.status`; `unknown` where no last line can be read."""
    last = _last_event(processes[0])
    status = _status(processes, last, notes_of(processes[0]))
    return "unknown" if status == "killed" and last is None else status


def notes_of(process: ProcessFiles) -> list[LossNote]:
    """Return what a process noted in its segments about events that it could not write."""
    return [note for file in process.files if (note := read_note(file)[1]) is not None]


def is_written(path: Path) -> bool:
    """Return whether a writer holds the file, by its lock, which ends with its process; True where that is not known."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _find_first_left(path: Path) -> Path | None:
    """Return the first file that is left of a trace whose first segment, at this path, was rotated away."""
    parts = parse_name(path.name)
    if parts is None or parts.process or parts.segment:
        return None
    try:
        names = [name for name in _names_in(path.parent) if name.startswith(parts.stem)]
    except (TraceNotFoundError, ValueError):
        return None
    processes = _group(names, path.parent).get(parts.stem)
    return processes[0].files[0] if processes else None


def _names_in(directory: Path) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except OSError as error:
        why = "no such directory" if isinstance(error, FileNotFoundError) else error.strerror
        raise TraceNotFoundError(f"{directory}: {why}; record a run with `namel3ss debug trace`") from None


def _group(names: Iterable[str], directory: Path) -> dict[str, tuple[ProcessFiles, ...]]:
    """Stem -> processes with their segments, for every regular file that is named like a segment."""
    stems: dict[str, dict[tuple[int, int], Path]] = {}
    for name in names:
        parts = parse_name(name)
        path = directory / name
        if parts is None or not _is_regular(path):
            continue
        segments = stems.setdefault(parts.stem, {})
        place = (parts.process, parts.segment)
        if place not in segments or not name.endswith(".gz"):
            segments[place] = path
    return {stem: _processes(segments) for stem, segments in stems.items()}


def _processes(segments: dict[tuple[int, int], Path]) -> tuple[ProcessFiles, ...]:
    by_process: dict[int, list[Path]] = {}
    for place in sorted(segments):
        by_process.setdefault(place[0], []).append(segments[place])
    return tuple(ProcessFiles(number, tuple(files)) for number, files in by_process.items())


def _is_regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False


def _event_on(line: bytes) -> Event | None:
    try:
        value = orjson.loads(line.replace(b"\0", b""))
    except orjson.JSONDecodeError:
        return None
    return value if looks_like_event(value) else None


def _first_event(path: Path) -> Event | None:
    return next((event for line in head_lines(path) if (event := _event_on(line)) is not None), None)


def settings_of(path: Path) -> Mapping[str, object]:
    """Return the settings by which a trace was recorded; empty if its first line does not have them."""
    metadata = lenient.mapping((_first_event(path) or {}).get("metadata"))
    return lenient.mapping(metadata.get("settings"))


def execution_of(path: Path) -> str | None:
    """Return the execution id on the first line of a file; None where it has none."""
    event = _first_event(path)
    execution = event.get("execution_id") if event else None
    return execution if isinstance(execution, str) else None


def _suggest_folders(directory: Path) -> str:
    """Advice where a directory holds no trace; its folders may, such as those of recorded tests."""
    with suppress(OSError):
        folders = (path for path in sorted(directory.iterdir()) if path.is_dir() and list_traces(path))
        if folder := next(folders, None):
            return f"name the folders with some, such as {folder}"
    return "record a run with `namel3ss debug trace`"


def _newest(directory: Path) -> Path:
    """Return the trace that the link points to, else the one that began last."""
    link = directory / LATEST
    if link.is_symlink() and _is_regular(Path(os.path.realpath(link))):
        return Path(os.path.realpath(link))
    found = list_traces(directory)
    if not found:
        if not directory.is_dir():
            raise TraceNotFoundError(
                f"{directory}: no such directory; record a run with `namel3ss debug trace`"
            )
        raise TraceNotFoundError(f"{directory}: no traces here; {_suggest_folders(directory)}")
    return found[0].path


def _find_by_execution(prefix: str, directory: Path) -> Path:
    """Return the trace whose execution id begins with this prefix."""
    try:
        groups = _group(_names_in(directory), directory)
    except TraceNotFoundError as problem:
        raise TraceNotFoundError(f"{prefix}: no such trace; {problem}") from None
    found = []
    for stem, group in groups.items():
        first = group[0].files[0]
        named = OWN_NAME.match(stem) and stem[-8:].startswith(prefix[:8])
        if (named and len(prefix) <= 8) or (execution_of(first) or "").startswith(prefix):
            found.append(first)
    if not found:
        raise TraceNotFoundError(f"{prefix}: no trace in {directory} has this id; {_LIST}")
    if len(found) > 1:
        names = ", ".join(path.name for path in found[:_SHOWN]) + (", ..." if found[_SHOWN:] else "")
        raise TraceNotFoundError(
            f"{prefix}: {len(found)} traces begin with this ({names}); give more of the id"
        )
    return found[0]


def _describe(group: tuple[ProcessFiles, ...]) -> TraceInfo | None:
    """Sum up a trace; None when its first file does not begin with an event, or it is just being deleted."""
    files = [file for process in group for file in process.files]
    first = _first_event(files[0])
    try:
        states = [os.stat(file) for file in files]
    except OSError:
        return None
    if first is None:
        return None
    metadata = first.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    argv, rerun = metadata.get("argv"), metadata.get("rerun")
    started = first.get("timestamp")
    ends = [_last_event(process) for process in group]
    notes = [notes_of(process) for process in group]
    return TraceInfo(
        path=files[0],
        execution_id=str(first.get("execution_id") or ""),
        started_at=float(started) if isinstance(started, int | float) else None,
        modified_at=max(state.st_mtime for state in states),
        size_bytes=sum(state.st_size for state in states),
        files=len(files),
        paths=tuple(files),
        processes=len(group),
        target=str(metadata.get("target") or ""),
        argv=tuple(map(str, argv)) if isinstance(argv, list) else (),
        status=_status(group, ends[0], notes[0]),
        events=_events(group, ends),
        rerun_of=str(rerun.get("of") or "") if isinstance(rerun, dict) else None,
        dropped=sum(max(note.dropped for note in noted) for noted in notes if noted),
        dropped_because=tuple(sorted({note.reason for noted in notes for note in noted})),
    )


def _status(group: tuple[ProcessFiles, ...], last: Event | None, notes: Iterable[LossNote]) -> str:
    """Return how a run ended, judged by its files, the last event of its first process, and what that noted."""
    if any(is_written(process.files[-1]) for process in group):
        return "open"
    if _has_ended(last) or any(note.ended for note in notes) or _was_replaced_by_exec(group):
        return "finished"
    return "unknown" if last is None and is_compressed(group[0].files[-1]) else "killed"


def _has_ended(last: Event | None) -> bool:
    return last is not None and last.get("event_type") == "trace_end"


def _was_replaced_by_exec(group: tuple[ProcessFiles, ...]) -> bool:
    """Return whether the first process became another program by `os.exec*`, with the same process id, and that one ended."""
    pid = _pid_of(group[0])
    return pid is not None and any(
        _pid_of(process) == pid and _has_ended(_last_event(process)) for process in group[1:]
    )


def _last_event(process: ProcessFiles) -> Event | None:
    return _event_on(last_line(process.files[-1]))


def _pid_of(process: ProcessFiles) -> int | None:
    metadata = (_first_event(process.files[0]) or {}).get("metadata")
    pid = metadata.get("pid") if isinstance(metadata, dict) else None
    return pid if isinstance(pid, int) else None


def _events(group: tuple[ProcessFiles, ...], ends: list[Event | None]) -> int | None:
    """Return how many numbers there are from the first to the last of each process: exact unless it lost events between."""
    firsts = (_number(_first_event(process.files[0])) or 0 for process in group)
    ranges = [
        (first, last) for first, end in zip(firsts, ends, strict=True) if (last := _number(end)) is not None
    ]
    return None if len(ranges) < len(ends) else sum(max(last + 1 - first, 1) for first, last in ranges)


def _number(event: Event | None) -> int | None:
    number = event.get("seq") if event else None
    return number if isinstance(number, int) else None


def _age(info: TraceInfo) -> tuple[float, str]:
    return (info.started_at if info.started_at is not None else info.modified_at, info.path.name)


def _is_ours(stem: str, group: tuple[ProcessFiles, ...]) -> bool:
    """Return whether our writer made these files, by the name and first line of each; an empty file may be anyone's."""
    if not OWN_NAME.match(stem):
        return False
    for process in group:
        for file in process.files:
            line = first_line(file)
            event = _event_on(line) or {}
            metadata = event.get("metadata")
            if event.get("event_type") != "trace_start" or not isinstance(metadata, dict):
                return False
            if "format" not in metadata:
                return False
    return True


def _expired(
    described: dict[str, TraceInfo], keep: Callable[[TraceInfo], Kept], max_bytes: int | None, now: float
) -> dict[str, RemovedTrace]:
    """Return what to delete by its stem, oldest first: never one that is being written, the newest only for 0 days."""
    by_age = sorted(described, key=lambda stem: _age(described[stem]))
    total = sum(info.size_bytes for info in described.values())
    chosen = {}
    for stem in by_age:
        info = described[stem]
        if info.status == "open":
            continue
        days, kind = keep(info)
        if days != 0 and (days == inf or stem == by_age[-1]):
            continue
        if days is not None and (days == 0 or now - info.modified_at > days * 86400):
            why = f"over {days:g} days" if days else "0 days"
        elif max_bytes and total > max_bytes:
            why = "over the size limit"
        else:
            continue
        chosen[stem] = RemovedTrace(info, kind, why)
        total -= info.size_bytes
    return chosen


def _delete(group: tuple[ProcessFiles, ...]) -> bool:
    """Delete the files of a trace, the first one last, so that what an interruption leaves is still a trace."""
    files = [file for process in group for file in process.files]
    try:
        _delete_document(files[0])
        for file in reversed(files):
            remove_marks(file)
            file.unlink(missing_ok=True)
        mark_path(files[0]).unlink(missing_ok=True)
    except OSError:
        return False
    return True


def _delete_document(first: Path) -> None:
    """Delete the document that `trace --format json` wrote beside a trace: it holds the same."""
    name = parse_name(first.name)
    if name is None:
        return
    document = first.with_name(f"{name.stem}.json")
    if document.is_file():
        with document.open("rb") as stream:
            ours = stream.read(len(DOCUMENT_HEAD)) == DOCUMENT_HEAD.encode()
        if ours:
            document.unlink(missing_ok=True)


def _remove_orphans(directory: Path) -> None:
    """Delete the marks whose traces are gone."""
    names = _names_in(directory)
    stems = {parts.stem for name in names if (parts := parse_name(name)) is not None}
    for name in names:
        stem = marked_stem(name)
        if stem is not None and OWN_NAME.match(stem) and stem not in stems:
            (directory / name).unlink(missing_ok=True)


def _repair_latest(directory: Path) -> None:
    link = directory / LATEST
    if not link.is_symlink() or link.exists():
        return
    try:
        path = next((info.path for info in list_traces(directory)), None)
        if path is None:
            os.unlink(link)
        else:
            link_latest(path)
    except (OSError, UnreadableTraceError):
        pass
