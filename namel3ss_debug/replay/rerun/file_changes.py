"""Find the files that a recorded program opened and that differ now.

Those that it read are compared before each re-run (`find_changed_data`), because a tool that is answered may read them.
All are compared where a re-run diverges from its trace.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from namel3ss_debug.replay.rerun.tool_code import ChangedData
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.file_digests import MISSING, FileDigester, describe_status, regular_status
from namel3ss_debug.traces.inputs import EVENT_TYPE
from namel3ss_debug.traces.signing import derive_file_key, derive_key, load_key
from namel3ss_debug.wire import lenient

Descriptions = dict[str, dict[str, Any]]
"""Path of an opened file -> its description, see `FileDigester.describe`.

Beside it, `openers`, the functions of the user's that read it; `written` if it was opened for writing, and `after` if the run
changed it: its description at the end, with `open` if it was not closed yet.
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
            kept = ("written", "after", "openers")
            description = {name: description[name] for name in kept if name in description}
        if openers := lenient.sequence(description.get("openers")):
            known = files.get(path, {}).get("openers", ())
            description = {**description, "openers": list(dict.fromkeys([*known, *map(str, openers)]))}
        files.setdefault(path, {}).update(description)


def read_digests(events: Iterable[Event]) -> Descriptions:
    """Return the descriptions of the files that a trace holds."""
    files: Descriptions = {}
    for event in events:
        if event.get("event_type") == EVENT_TYPE:
            add_digests(files, lenient.mapping(event.get("metadata")))
    return files


def relocate(path: str, then: str, now: Path) -> str:
    """Return where a file of the recorded program is if it runs in another folder, as in another checkout.

    Args:
        path: the file; a relative path stays.
        then: the working directory of the recorded program.
        now: that of today.
    """
    if not os.path.isabs(path) or not then or then == str(now):
        return path
    place = os.path.normpath(now / os.path.relpath(path, then))
    is_beside = not os.path.lexists(path) and os.path.lexists(
        place
    )  # in a folder above, which both checkouts have
    return place if path.startswith(then + os.sep) or is_beside else path


def find_file_key(start: Mapping[str, Any]) -> bytes | None:
    """Return the key of the digests of a trace; None if it has none, or neither the trace nor this user has the key.

    Args:
        start: the metadata of its `trace_start`.
    """
    named = lenient.mapping(lenient.mapping(start.get("randomness")).get("files"))
    published = lenient.string(named.get("key"))
    if published:  # in the trace of a made test
        try:
            key = bytes.fromhex(published)
            return key if FileDigester(key).check == named.get("check") else None
        except ValueError:
            return None
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


def find_changed_data(then: Descriptions, key: bytes | None) -> tuple[ChangedData, ...]:
    """Return the data files that the program read and that differ today, before it runs again.

    A file that the recorded run changed itself has to be as that run left it. The others have to be as they were; they are
    read only if their size or time differs. Without the key of the digests, only sizes are compared.

    Args:
        then: the files that the recorded run opened.
        key: the key of the digests; None if this user does not have it.
    """
    digester = None if key is None else FileDigester(key)
    found = []
    for path, before in then.items():
        if before.get("openers") and (how := _differs_now(path, before, digester)):
            openers = (_COMPREHENSION.sub("", each) for each in before["openers"])
            same = (
                digester is not None
                and "after" not in before
                and "content" in before
                and before["content"] == _describe(path, digester).get("content")
            )
            found.append(ChangedData(path, how, tuple(dict.fromkeys(openers)), same))
    return tuple(found)


_COMPREHENSION: Final = re.compile(r"(\.<locals>\.<(listcomp|setcomp|dictcomp|genexpr)>)+\Z")
"""The end of the name of a comprehension, which is a function of its own up to Python 3.11."""
_HOW: Final = {
    CHANGED: "has changed",
    MISSING_NOW: "does not exist any more",
    NEW: "is new",
    MODIFIED: "was modified",
}


def _differs_now(path: str, before: Mapping[str, Any], digester: FileDigester | None) -> str:
    try:
        status = regular_status(path)
        now = {} if status is None else describe_status(status)
    except FileNotFoundError:
        now = MISSING
    except ValueError:  # a path from a damaged trace
        return ""
    after = lenient.mapping(before.get("after"))
    if after and not ("open" in after and _is_same_status(before, after)):
        return (
            ""
            if "open" in after or _is_same_status(after, now)
            else "has changed since the recorded run wrote it"
        )
    if _is_same_status(before, now):
        return ""
    if digester is not None:
        return _HOW.get(_compare(before, _describe(path, digester)), "")
    missing = before.get("missing"), now.get("missing")
    return _HOW[CHANGED] if any(missing) or before.get("size") != now.get("size") else ""


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
    if "size" not in before and "missing" not in before:  # it was not opened, only renamed or removed
        return ""
    if before.get("missing") or now.get("missing"):
        if before.get("missing") and now.get("missing"):
            return ""
        return NEW if before.get("missing") else MISSING_NOW
    if "size" in now and before.get("size") != now["size"]:
        return CHANGED
    if "digest" not in before or "digest" not in now:
        return ""
    if before.get("part") != now.get("part"):  # one run had used up what it may read of all files
        return "" if before.get("mtime_ns") == now.get("mtime_ns") else MODIFIED
    if before["digest"] != now["digest"]:
        return CHANGED
    return MODIFIED if before.get("part") and before.get("mtime_ns") != now.get("mtime_ns") else ""


def _is_same_status(after: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    names = ("missing", "size", "mtime_ns")
    return all(after.get(name) == now.get(name) for name in names)
