"""Copy a trace so that its digests of files can be compared on other machines, as a made test needs it.

Digests of files are keyed with a key that only the user has. The copy stands beside the files that it describes, in
one repository, so it holds the key of these digests, from which no other key follows. Files that are not in the
repository, or may hold secrets, such as `.env`, lose their digests: of these only the sizes are compared.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orjson import dumps, loads

from namel3ss_debug.replay.rerun.file_changes import find_file_key
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.folders import copy_private
from namel3ss_debug.traces.inputs import EVENT_TYPE
from namel3ss_debug.traces.signing import MAC, derive_key, line_signer, line_verifier, load_key
from namel3ss_debug.wire import lenient

_MARKS = (b'"digests"', b'"trace_start"')


def copy_for_test(source: Path, target: Path, segment: int, start: Mapping[str, Any]) -> None:
    """Copy one file of a trace, with the key of its digests if this user has it.

    A line that was signed by this user is signed again; any other one stays unsigned.

    Args:
        source: the file, of the first process.
        target: the copy.
        segment: the number of its segment.
        start: the metadata of the `trace_start` of the trace.

    Raises:
        OSError: it cannot be copied.
    """
    copy_private(source, target)
    file_key, user_key = find_file_key(start), load_key()
    if file_key is None or user_key is None:
        return
    named = lenient.mapping(lenient.mapping(start.get("randomness")).get("files"))
    key = derive_key(user_key, str(named.get("execution")))
    is_valid, sign = line_verifier(key, 0, segment), line_signer(key, 0, segment)
    lines = []
    with source.open("rb") as file:
        for line in file:
            content = line.rstrip(b" \n") + b"\n"  # without the room after a first line
            if any(mark in line for mark in _MARKS) and is_valid(content):
                event = loads(content)
                if _publish(event, file_key, lenient.string(start.get("cwd")) or ""):
                    event.pop(MAC)
                    signed = sign(dumps(event) + b"\n")
                    lines.append(signed[:-1] + line[len(content) - 1 :])
                    continue
            lines.append(line)
    target.write_bytes(b"".join(lines))


def _publish(event: Event, key: bytes, cwd: str) -> bool:
    """Put the key into the first event, and drop digests that it must not open; return whether anything changed."""
    metadata = event.get("metadata") or {}
    if event["event_type"] == "trace_start" and "files" in metadata.get("randomness", {}):
        metadata["randomness"]["files"]["key"] = key.hex()
        return True
    changed = False
    for path, described in metadata.get("digests", {}).items() if event["event_type"] == EVENT_TYPE else ():
        if not _is_beside(path, cwd) and "digest" in described:
            del described["digest"]
            described.pop("content", None)
            changed = True
        effect = described.get("effect", {})
        if not _is_beside(path, cwd) and "digest" in effect:
            described["effect"] = {name: effect[name] for name in effect if name not in ("digest", "lines")}
            changed = True
    return changed


def _is_beside(path: str, cwd: str) -> bool:
    relative = os.path.relpath(path, cwd)
    return not any(each.startswith(".") for each in relative.split(os.sep))
