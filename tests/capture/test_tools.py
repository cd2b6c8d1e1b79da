"""Calls of tool functions: through which functions of the user they came."""

from __future__ import annotations

import threading
from pathlib import Path

from namel3ss_debug.capture import rewrite, tools
from namel3ss_debug.capture.calls import ToolCalls
from namel3ss_debug.capture.exchanges import Exchanges
from namel3ss_debug.capture.frameworks.structure import Structure
from namel3ss_debug.capture.start import shutdown_tracing
from namel3ss_debug.hooks import trace_tool_call
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


def test_calls_tell_their_line_of_work_where_randomness_is_recorded(tracing):
    """Tools, hooked or not, and requests say which thread they ran in under a name that a re-run gives it again."""

    @trace_tool_call
    def hooked():
        return 1

    names = {}
    exec(rewrite.compile_source(PROGRAM, str(Path.cwd() / "weather_agent.py")), names)
    tracer = tracing(record_randomness=True)
    exchanges = Exchanges(tracer, ToolCalls(lambda _names: None, lambda _call, _result: None))
    rewrite.HOT.add("weather")

    def work():
        names["agent"]()
        hooked()
        exchanges.begin("GET", "http://h/x", [], None).end()

    work()
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    starts = [e for e in open_trace(shutdown_tracing()).events() if e["component"] in ("tool", "http")]
    lines = [e["metadata"]["lineage"] for e in starts if e["event_type"].endswith("_start")]
    assert lines == ["0"] * 3 + ["0.1"] * 3


def test_a_function_answers_the_call_that_a_framework_names(tracing):
    """Tried again, it is the same call; and the model may know it by another name."""
    names = {}
    exec(rewrite.compile_source(PROGRAM, str(Path.cwd() / "weather_agent.py")), names)
    tracer = tracing()
    calls, uninstall = tools.install(tracer)
    structure = Structure(tracer, calls, "loom")
    asked = [
        {"id": city, "name": "my_weather", "arguments": {"city": city}} for city in ("Rome", "Oslo", "Rome 2")
    ]
    calls.asked(asked, "2", None)
    for key, city in enumerate(("Rome", "Rome", "Oslo")):
        structure.begin_tool(key, "weather", {"city": city}, call_id=city)
        names["weather"](city)
        structure.end_tool(key, "dry")
    uninstall()
    starts = [e for e in open_trace(shutdown_tracing()).events() if e["event_type"] == "tool_call_start"]
    assert [e["inputs"]["call_id"] for e in starts] == ["Rome", "Rome", "Oslo"]
    assert {e["metadata"]["asked_in"] for e in starts} == {"2"}
