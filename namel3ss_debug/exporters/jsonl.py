"""Export a trace as JSONL, our own format: one event on each line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from namel3ss_debug.traces.events import Event
from namel3ss_debug.views.payloads import json_bytes

LEFT_OUT: Final = ()


def export(events: Iterable[Event]) -> Iterator[bytes]:
    """Yield a line for each event."""
    for event in events:
        yield (json_bytes(event) + "\n").encode()
