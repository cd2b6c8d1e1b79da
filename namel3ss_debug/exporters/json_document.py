"""Export a trace as one JSON document, with an event on each line of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.names import DOCUMENT_HEAD
from namel3ss_debug.views.payloads import json_bytes

LEFT_OUT: Final = ()


def export(events: Iterable[Event]) -> Iterator[bytes]:
    """Yield the document, piece by piece."""
    yield DOCUMENT_HEAD.encode()
    for number, event in enumerate(events):
        yield ((",\n" if number else "\n") + json_bytes(event)).encode()
    yield b"\n]}\n"
