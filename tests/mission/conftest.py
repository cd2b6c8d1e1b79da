"""Run the examples of the documents that the project comes from, with nothing changed but their import lines."""

from __future__ import annotations

import ast
import asyncio
import fcntl
import inspect
import json
import textwrap

import pytest

from namel3ss_debug import shutdown_tracing
from namel3ss_debug.config import load_configuration
from namel3ss_debug.monitoring.monitor import Monitor
from namel3ss_debug.monitoring.rules import read_alert_rules
from namel3ss_debug.traces.events import FORMAT_VERSION


@pytest.fixture
def run_example(tmp_path, monkeypatch):
    """Return a function that runs the text of an example, where `await` may stand outside of functions."""
    monkeypatch.chdir(tmp_path)
    variables = {}

    def run(source, **names):
        variables.update(names)
        code = compile(textwrap.dedent(source), "example", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        result = eval(code, variables)
        if inspect.iscoroutine(result):
            asyncio.run(result)
        return variables

    yield run
    shutdown_tracing()


class GrowingTrace:
    """A trace that is written event by event, with times of its own; `fired` is what a monitor alerts on."""

    def __init__(self, path):
        self.path, self.lines, self.at = path, [], 1_795_600_000.0
        self.add(
            "trace_start",
            "app",
            metadata={"format": FORMAT_VERSION, "target": "agent.py", "pid": 1, "process": 0},
        )

    def add(self, event_type, component, **fields):
        """Add an event at the current time, and return its id."""
        number = len(self.lines)
        event = {"event_type": event_type, "event_id": str(number + 1), "seq": number, "timestamp": self.at,
                 "execution_id": "0123456789abcdef", "component": component, **fields}  # fmt: skip
        self.lines.append(event)
        return event["event_id"]

    def call(self, component, name, seconds, **end):
        """Add a call that takes some seconds."""
        start = self.add(f"{component}_call_start", component, component_name=name, **end.pop("start", {}))
        self.at += seconds
        fields = {"status": "completed", "duration_ms": seconds * 1000, **end}
        return self.add(
            f"{component}_call_end", component, component_name=name, parent_event_id=start, **fields
        )

    def fired(self, *, ends=True, later=0.0, machine_mb=1000.0, **thresholds):
        """Return the alerts that fired, in order, where a monitor looks at it until `later` seconds after the last event."""
        if ends:
            self.add("trace_end", "app")
        config = load_configuration(environ={}, overrides={"alert_thresholds": thresholds}).config
        monitor = Monitor(
            [self.path], read_alert_rules(config), self.lines[0]["timestamp"], machine_mb=machine_mb
        )
        found, written, now = [], 0, self.lines[0]["timestamp"]
        with self.path.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # as a writer holds it
            while now < self.at + 0.5:
                while written < len(self.lines) and self.lines[written]["timestamp"] <= now:
                    file.write(json.dumps(self.lines[written]) + "\n")
                    written += 1
                file.flush()
                found += monitor.poll(now).changed
                now += 0.5
        end = now + later + 1
        while now <= end:
            found += monitor.poll(now).changed
            now += 0.5
        monitor.close()
        return [alert for alert in found if alert.state == "firing"]


@pytest.fixture
def growing(tmp_path):
    """A trace that grows."""
    return GrowingTrace(tmp_path / "agent.jsonl")
