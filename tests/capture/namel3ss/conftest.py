"""A running app without the language: a scope whose events can be read back."""

from __future__ import annotations

from pathlib import Path

import pytest

from namel3ss_debug.capture.launch.start import shutdown_tracing
from namel3ss_debug.capture.namel3ss.locations import Definition, SourceLocation, SourceLocations
from namel3ss_debug.capture.namel3ss.scope import Scope
from namel3ss_debug.traces.reader import open_trace


@pytest.fixture
def scope(tracer):
    """A scope in the flow `main` of an app, at its fourth line."""
    found = Scope(tracer, SourceLocations({}, Path("/x/app.ai"), lambda _path: "app.ai"))
    found.running.append(Definition("flow", "main"))
    found.location = SourceLocation("app.ai:4", 3)
    return found


@pytest.fixture
def told():
    """Ends the recording, and gives its events but those of tracing itself, and the problems inside it."""

    def read():
        *events, last = open_trace(shutdown_tracing()).events()
        shown = [each for each in events if each["event_type"] not in ("trace_start", "inputs_read")]
        return shown, last["metadata"]["problems"]

    return read
