"""Calls of tool functions: through which functions of the user they came."""

from __future__ import annotations

from pathlib import Path

from namel3ss_debug.capture import rewrite
from namel3ss_debug.capture.start import shutdown_tracing
from namel3ss_debug.traces.reader import open_trace

PROGRAM = """
def weather(city):
    return f"{city}: dry"

def agent():
    return weather("Rome")
"""


def test_a_call_tells_the_functions_it_came_through(tracer):
    """The chain ends with the tool itself; lines are not in it, because edits move them."""
    names = {}
    path = str(Path.cwd() / "weather_agent.py")
    exec(rewrite.compile_source(PROGRAM, path), names)
    rewrite.HOT.add("weather")
    assert names["agent"]() == "Rome: dry"
    [start] = [e for e in open_trace(shutdown_tracing()).events() if e["event_type"] == "tool_call_start"]
    assert start["metadata"]["chain"][-2:] == ["weather_agent.py:agent", "weather_agent.py:weather"]
