"""Send what was recorded to the setting `export_url`, from another process than the program's, whenever it can be reached.

The traces themselves are what waits to be sent. Beside them, one file notes for each URL how many bytes of each trace
have been sent, so a trace that has grown since is sent again: its spans have the same ids, and a receiver has each once.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import orjson

from namel3ss_debug.traces.folders import open_private
from namel3ss_debug.traces.store import TraceInfo, list_traces, settings_of
from namel3ss_debug.wire import lenient

CURSOR: Final = ".exported.json"
_COMMAND = "from namel3ss_debug.cli.main import debug; debug()"


def send_pending(folder: Path, url: str, send: Callable[[Path], None]) -> Iterator[Path]:
    """Send each trace of a folder that was recorded to be sent and that a URL has not as it is now, and yield it.

    If another process does the same, this one goes on after it, with what is left.

    Args:
        folder: the folder of traces.
        url: the address that they go to, as the cursor names it.
        send: sends one trace, and raises an error if it was not taken; this ends the sending, and the trace waits on.
    """
    with _cursor(folder) as cursor:
        if cursor is None:
            return
        traces = list_traces(folder)
        known = lenient.mapping(cursor.get(url))
        # what is gone is forgotten
        sent = {info.execution_id: known[info.execution_id] for info in traces if info.execution_id in known}
        cursor[url] = sent
        for info in sorted(traces, key=_started):
            if sent.get(info.execution_id) != info.size_bytes and settings_of(info.path).get("export_url"):
                send(info.path)
                sent[info.execution_id] = info.size_bytes
                yield info.path


def start_sending(folder: Path) -> None:
    """Start a process that sends what is pending, which nobody waits for; it outlives this one."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    with suppress(OSError):
        subprocess.Popen(  # noqa: S603  (it is our own command)
            [sys.executable, "-c", _COMMAND, "export", "--pending"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={**environment, "NAMEL3SS_DEBUG_OUTPUT_DIR": str(folder.absolute())},
        )


def _started(info: TraceInfo) -> float:
    return info.started_at or info.modified_at


@contextmanager
def _cursor(folder: Path) -> Iterator[dict[str, Any] | None]:
    """Yield what was sent, by URL, and write it back; None if there is no such folder."""
    try:
        file = open(folder / CURSOR, "a+b", opener=open_private)  # noqa: SIM115  (it is closed below)
    except OSError:  # there is no such folder, so nothing was recorded
        yield None
        return
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        try:
            cursor: Mapping[str, Any] = lenient.mapping(orjson.loads(file.read()))
        except orjson.JSONDecodeError:
            cursor = {}
        changed = dict(cursor)
        try:
            yield changed
        finally:
            file.truncate(0)
            file.write(orjson.dumps(changed))
