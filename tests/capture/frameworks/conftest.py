"""Fixtures for what frameworks tell: a `Structure`, and the tree of what was recorded of it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from namel3ss_debug.capture.core import announced
from namel3ss_debug.capture.frameworks.structure import Structure
from namel3ss_debug.capture.launch.start import shutdown_tracing
from namel3ss_debug.capture.seams.functions import rewrite, tools
from namel3ss_debug.capture.seams.functions.requested_calls import ToolCalls
from namel3ss_debug.traces.reader import open_trace

_LEFT_OUT = ("trace_start", "trace_end")


@pytest.fixture(autouse=True)
def no_function_is_seen(monkeypatch):
    """Which functions were edited is known to the process for good, and so is what servers have: here, those of the test.

    What a test puts in the place of `LOADED` is taken out after its recording has ended.
    """
    monkeypatch.setattr(rewrite, "LOADED", None)
    monkeypatch.setattr(rewrite, "EDITED", set())
    monkeypatch.setattr(announced, "SERVED", set())
    monkeypatch.setattr(announced, "NAMED", set())


OWN = """
def look(word):
    return word.upper()

class Look:
    name = "lookup"

    def _run(self, word):
        return look(word)

    async def _arun(self, word):
        return look(word)
"""


@pytest.fixture
def own(tracer):
    """Functions of the user's, by name, while those that run as tools are recorded."""
    _calls, uninstall = tools.install(tracer)
    names = {}
    exec(rewrite.compile_source(OWN, str(Path.cwd() / "own_tools.py")), names)
    rewrite.EDITED.clear()  # as if the tool had another name than any function
    yield SimpleNamespace(**names)
    uninstall()


@pytest.fixture
def structure(tracer):
    """A structure of a framework, in this process."""
    calls = ToolCalls(lambda _names: None, lambda _call, _result: None)
    return Structure(tracer, calls, "loom")


@pytest.fixture
def recorded():
    """A function that ends tracing and gives what was recorded, by event type and name or by type alone."""

    def read():
        events = list(open_trace(shutdown_tracing()).events())
        assert events[-1]["metadata"]["problems"] == {}
        return [event for event in events if event["event_type"] not in _LEFT_OUT]

    return read


@pytest.fixture
def one_call_of_lookup(recorded):
    """A function that ends tracing and checks that one call was recorded, where the user's function ran as a tool."""

    def check():
        begun, ended = recorded()
        assert (begun["event_type"], begun["component_name"]) == ("tool_call_start", "lookup")
        assert (begun["inputs"]["arguments"], ended["outputs"]) == ({"word": "snow"}, {"result": "SNOW"})
        assert begun["metadata"]["defined_at"].startswith("own_tools.py:")
        assert "seen" not in begun["metadata"]

    return check


@pytest.fixture
def tree(recorded):
    """A function that ends tracing and gives the tree of what was recorded: a line for each event, indented."""

    def draw():
        below = {}
        for event in recorded():
            if not event["event_type"].endswith("_end"):
                below.setdefault(event.get("parent_event_id"), []).append(event)

        def lines(parent, depth):
            for event in below.get(parent, []):
                kind = event["event_type"].removesuffix("_start")
                yield "  " * depth + f"{kind} {event['component_name']}"
                yield from lines(event["event_id"], depth + 1)

        return list(lines(None, 0))

    return draw
