"""A small recording, and a way to write one as a tracer would."""

from __future__ import annotations

import json
from itertools import count

import pytest

from namel3ss_debug.traces.reader import open_trace


class Recording:
    """Writes events as a tracer would: `start` gives an id that `end` and children name."""

    def __init__(self):
        self.events = []
        self.places = count()

    def event(self, event_type, parent=None, **fields):
        """Any event; returns its id."""
        seq = next(self.places)
        event = {
            "event_type": event_type,
            "event_id": f"{seq + 1}",
            "seq": seq,
            "timestamp": 1000.0 + seq / 10,
        }
        if parent is not None:
            event["parent_event_id"] = parent
        self.events.append(event | fields)
        return event["event_id"]

    def start(self, component, name, parent=None, prefix=None, **fields):
        """A start of a span of this component."""
        prefix = prefix or {"agent": "agent_execution", "llm": "llm_call", "tool": "tool_call"}.get(
            component, component
        )
        return self.event(
            f"{prefix}_start", parent, component=component, component_name=name, status="started", **fields
        )

    def end(self, start, **fields):
        """The end of the span with this id."""
        begun = next(event for event in self.events if event["event_id"] == start)
        event_type = begun["event_type"].replace("_start", "_end")
        same = {key: begun[key] for key in ("component", "component_name")}
        return self.event(
            event_type, start, **({"status": "completed", "duration_ms": 100.0} | same | fields)
        )


@pytest.fixture
def run(tmp_path):
    """Two agents side by side with calls, a failure, and a span that never ends."""
    made = Recording()
    made.event("trace_start", component="app", metadata={"format": 2})  # 1
    first = made.start("agent", "Researcher")  # 2
    second = made.start("agent", "Writer", task="worker")  # 3
    llm = made.start("llm", "gpt-4o", first)  # 4
    tool = made.start("tool", "search", first)  # 5
    made.event("log_record", tool, component="log", component_name="app.search")  # 6
    made.end(llm, tokens_used=100, cost_estimate=0.25)  # 7
    other = made.start("tool", "Search", second)  # 8
    made.end(tool, status="failed", error="timed out", error_type="TimeoutError")  # 9
    made.end(other)  # 10
    made.event("error_occurred", first, component="agent", component_name="Researcher", error="gave up")  # 11
    made.end(first, tokens_used=100, cost_estimate=0.25)  # 12
    made.start("llm", "gpt-4o-mini", second)  # 13
    path = tmp_path / "trace.jsonl"
    path.write_text("".join(json.dumps(event) + "\n" for event in made.events))
    return open_trace(path)


@pytest.fixture
def written_events(tmp_path):
    """Writes a recording and opens it."""

    def write(made):
        path = tmp_path / "written.jsonl"
        path.write_text("".join(json.dumps(event) + "\n" for event in made.events))
        return open_trace(path)

    return write


@pytest.fixture
def recording():
    """An empty recording to write events to."""
    return Recording()
