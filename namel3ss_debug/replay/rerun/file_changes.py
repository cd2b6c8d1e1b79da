"""Find the files that a recorded program opened and that differ now, where a re-run diverges from its trace."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.file_digests import MISSING, FileDigester, regular_status
from namel3ss_debug.traces.inputs import EVENT_TYPE
from namel3ss_debug.traces.signing import derive_file_key, derive_key, load_key
from namel3ss_debug.wire import lenient

Descriptions = dict[str, dict[str, Any]]
"""Path of an opened file -> its description, see `FileDigester.describe`.

Beside it, `written` if it was opened for writing, and `after` if the run changed it: its description at the end, or `open` if
it was not closed yet.
"""

CHANGED: Final = "changed"
MISSING_NOW: Final = "missing"
NEW: Final = "new"
MODIFIED: Final = "modified"


class FileChange(NamedTuple):
    """A file that differs from when the recorded run opened it first.

    Attributes:
        path: its absolute path.
        change: `changed`, `missing`, `new`, or `modified`: it was written, but the parts of it that are digested are equal.
        written: whether the recorded run itself changed it, or opened it for writing.
        as_left: whether it is as the recorded run left it; None if that is not known.
    """

    path: str
    change: str
    written: bool
    as_left: bool | None


def add_digests(files: Descriptions, metadata: Mapping[str, Any]) -> None:
    """Add the descriptions of one `inputs_read` event, of which the first of a file counts."""
    for path, found in lenient.mapping(metadata.get("digests")).items():
        description = lenient.mapping(found)
        if path in files:
            description = {name: description[name] for name in ("written", "after") if name in description}
        files.setdefault(path, {}).update(description)


def read_digests(events: Iterable[Event]) -> Descriptions:
    """Return the descriptions of the files that a trace holds."""
    files: Descriptions = {}
    for event in events:
        if event.get("event_type") == EVENT_TYPE:
            add_digests(files, lenient.mapping(event.get("metadata")))
    return files


def find_file_key(start: Mapping[str, Any]) -> bytes | None:
    """Return the key of the digests of a trace; None if it has none, or this user does not have the key.

    Args:
        start: the metadata of its `trace_start`.
    """
    named = lenient.mapping(lenient.mapping(start.get("randomness")).get("files"))
    execution = lenient.string(named.get("execution"))
    user_key = load_key() if execution else None
    if not execution or user_key is None:
        return None
    key = derive_file_key(derive_key(user_key, execution))
    return key if FileDigester(key).check == named.get("check") else None


def find_file_changes(then: Descriptions, opened: Descriptions, key: bytes) -> tuple[FileChange, ...]:
    """Return the files that differ, those first that the recorded run did not change itself, then by path.

    Args:
        then: the files that the recorded run opened.
        opened: those that the re-run opened, as they were when it did. The others are read now.
        key: the key of the digests.
    """
    digester = FileDigester(key)
    found = []
    for path, before in then.items():
        now = opened[path] if path in opened else _describe(path, digester)
        change = _compare(before, now)
        if change:
            after = lenient.mapping(before.get("after"))
            written = bool(after or before.get("written"))
            as_left = _is_same_status(after, now) if after and "open" not in after else None
            found.append(FileChange(path, change, written, as_left))
    return tuple(sorted(found, key=lambda each: (each.written, each.path)))


def _describe(path: str, digester: FileDigester) -> dict[str, Any]:
    try:
        status = regular_status(path)
    except FileNotFoundError:
        return MISSING
    except ValueError:  # a path from a damaged trace
        return {}
    return {} if status is None else digester.describe(path, status)


def _compare(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return how a file has changed; "" if it has not, or that cannot be known."""
    if before.get("missing") or now.get("missing"):
        if before.get("missing") and now.get("missing"):
            return ""
        return NEW if before.get("missing") else MISSING_NOW
    if "digest" not in before or "digest" not in now:
        return ""
    if before.get("size") != now.get("size"):
        return CHANGED
    if before.get("part") != now.get("part"):  # one run had used up what it may read of all files
        return "" if before.get("mtime_ns") == now.get("mtime_ns") else MODIFIED
    if before["digest"] != now["digest"]:
        return CHANGED
    return MODIFIED if before.get("part") and before.get("mtime_ns") != now.get("mtime_ns") else ""


def _is_same_status(after: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    names = ("missing", "size", "mtime_ns")
    return all(after.get(name) == now.get(name) for name in names)
