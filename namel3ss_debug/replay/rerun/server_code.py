"""Compare the code of MCP servers: a local one by its files. A remote one is known by name, version and schema alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from namel3ss_debug.replay.rerun.recorded_calls import RecordedCalls
from namel3ss_debug.replay.rerun.requests import CONNECT, MCP
from namel3ss_debug.traces.events import NumberedEvents
from namel3ss_debug.traces.server_files import digest_server_files
from namel3ss_debug.wire import lenient


def find_server_changes(
    recorded: RecordedCalls, trace: NumberedEvents, cwd: Path
) -> dict[str, tuple[str, ...]]:
    """Return the changes in the files of each server, by the names of its tools; () where there are none.

    What a remote server is today is not known; its name, its version and the schemas of its tools are in the trace, and
    the program gets these.

    Args:
        recorded: the recorded calls.
        trace: the trace.
        cwd: the working directory of the program.
    """
    found: dict[str, tuple[str, ...]] = {}
    for call in recorded.calls.values():
        if call.request.kind != MCP or call.request.name != CONNECT:
            continue
        changes = tuple(_changes(trace.event(call.number), cwd))
        for key in call.request.keys:
            found |= dict.fromkeys(recorded.servers.get(key, ()), changes)
    return found


def _changes(event: dict[str, Any], cwd: Path) -> Iterator[str]:
    metadata = lenient.mapping(event.get("metadata"))
    then = lenient.mapping(metadata.get("server_files"))
    if not then:
        return
    inputs = lenient.mapping(event.get("inputs"))
    words = [lenient.string(inputs.get("command")) or "", *map(str, lenient.sequence(inputs.get("args")))]
    now = digest_server_files(words, cwd / (lenient.string(metadata.get("server_cwd")) or ""))
    if not now:  # a server that is not on this machine is known as a remote one is
        return
    for path in sorted(then.keys() | now.keys()):
        if path not in now:
            yield f"{path} does not exist any more"
        elif path not in then:
            yield f"{path} is new"
        elif then[path] != now[path]:
            yield f"{path} has changed"
