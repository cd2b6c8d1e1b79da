"""What a namel3ss app needs to run again beside its answers: the memory that it began with, and a folder to write to."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.inputs import MEMORY_AT_START
from namel3ss_debug.wire import lenient

SNAPSHOT_FILE: Final = "memory_snapshot.json"
"""The name under which the process of the app finds the memory in its folder."""


def is_memory_at_start(event: Event) -> bool:
    """Whether an event tells what the memory of an app held at the start."""
    operation = lenient.mapping(event.get("metadata")).get("operation")
    return event["event_type"] == "memory_operation" and operation == MEMORY_AT_START


def memory_of(events: Iterable[Event]) -> str | None:
    """What the memory held at the start; None for nothing."""
    found = (lenient.mapping(event.get("outputs")) for event in events if is_memory_at_start(event))
    return next((lenient.string(outputs.get("snapshot")) for outputs in found), None)


def workspace(folder: Path, memory: str | None) -> str:
    """The folder that an app writes to when it runs again, with the memory in it.

    Args:
        folder: one that is gone when the run is over.
        memory: what it held at the start.
    """
    place = Path(tempfile.mkdtemp(dir=folder))
    if memory is not None:
        descriptor = os.open(place / SNAPSHOT_FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(memory)
    return str(place)
