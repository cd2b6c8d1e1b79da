"""Calls of tool functions: through which functions of the user they came."""

from __future__ import annotations

import asyncio
import importlib
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from namel3ss_debug.capture.frameworks.structure import Structure
from namel3ss_debug.capture.launch.start import shutdown_tracing
from namel3ss_debug.capture.seams.functions import rewrite, tools
from namel3ss_debug.capture.seams.functions.loaded import LoadedFunctions
from namel3ss_debug.capture.seams.functions.requested_calls import ToolCalls
from namel3ss_debug.capture.seams.http.exchanges import Exchanges
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
    calls.add_requested(asked, "2", None)
    for key, city in enumerate(("Rome", "Rome", "Oslo")):
        structure.begin_tool(key, "weather", {"city": city}, call_id=city)
        names["weather"](city)
        structure.end_tool(key, "dry")
    uninstall()
    starts = [e for e in open_trace(shutdown_tracing()).events() if e["event_type"] == "tool_call_start"]
    assert [e["inputs"]["call_id"] for e in starts] == ["Rome", "Rome", "Oslo"]
    assert {e["metadata"]["asked_in"] for e in starts} == {"2"}


OTHER_NAMES = """
class Weather:
    def __init__(self, name):
        self.name = name

    def _run(self, city, manager=None):
        return f"{self.name}, {city}: dry"

    async def _arun(self, city):
        return self._run(city)

def helper(city):
    return city

class Other:
    def _run(self, city):
        return helper(city)
"""


def test_a_function_runs_as_the_tool_that_a_framework_names(tracing):
    """Each tool of a class by the method of that, once, with what the framework says it is called with; nothing else is a call."""
    names = {}
    exec(rewrite.compile_source(OTHER_NAMES, str(Path.cwd() / "weather_tools.py")), names)
    tracer = tracing()
    calls, uninstall = tools.install(tracer)
    structure = Structure(tracer, calls, "loom")
    dry, wet = names["Weather"]("dry"), names["Weather"]("wet")
    for tool in (dry, wet):
        tools.register_functions(tool.name, None, tool._run, tool._arun)
    names["Other"]()._run("Rome")  # of the same name, and no tool
    dry._run("Rome")  # nobody has asked for it
    structure.begin_tool(1, "dry", {"city": "Oslo"})
    assert asyncio.run(dry._arun("Oslo")) == "dry, Oslo: dry"
    structure.end_tool(1, "dry, Oslo: dry")
    calls.add_requested([{"id": "c1", "name": "wet", "arguments": {"city": "Oslo"}}], "9", None)
    structure.begin_tool(2, "wet", {"city": "Oslo"}, call_id="c1")
    wet._run("Oslo", manager=object())
    structure.end_tool(2, "wet, Oslo: dry")
    uninstall()
    wet._run("Rome")
    told = [e for e in open_trace(shutdown_tracing()).events() if e["component"] == "tool"]
    assert [(e["event_type"], e["component_name"]) for e in told] == [
        ("tool_call_start", "dry"),
        ("tool_call_end", "dry"),
        ("tool_call_start", "wet"),
        ("tool_call_end", "wet"),
    ]
    assert [e["inputs"] for e in told[::2]] == [
        {"arguments": {"city": "Oslo"}},
        {"arguments": {"city": "Oslo"}, "call_id": "c1"},
    ]
    assert told[0]["metadata"]["defined_at"] == "weather_tools.py:9"


CALLED = """
class Weather:
    def __init__(self, outlook):
        self.outlook = outlook

    def __call__(self, city):
        return f"{city}: {self.outlook}"

class Other:
    def __call__(self, city):
        return city

def fetch(city, outlook):
    return f"{city}: {outlook}"
"""


def test_an_object_that_is_called_and_a_partial_run_as_tools(tracing):
    """What runs in the end is recorded; other objects that are called are none of it."""
    names = {}
    exec(rewrite.compile_source(CALLED, str(Path.cwd() / "called_tools.py")), names)
    tracer = tracing()
    calls, uninstall = tools.install(tracer)
    structure = Structure(tracer, calls, "loom")
    for key, tool in enumerate((names["Weather"]("dry"), partial(names["fetch"], outlook="dry"))):
        tools.register_functions("forecast", tool)
        structure.begin_tool(key, "forecast", {"city": "Oslo"})
        names["Other"]()("Rome")
        assert tool("Oslo") == "Oslo: dry"
        structure.end_tool(key, "Oslo: dry")
    uninstall()
    told = [e for e in open_trace(shutdown_tracing()).events() if e["component"] == "tool"]
    assert [e["component_name"] for e in told[::2]] == ["forecast", "forecast"]
    assert [e["outputs"] for e in told[1::2]] == [{"result": "Oslo: dry"}] * 2
    assert [e["metadata"]["defined_at"] for e in told[::2]] == ["called_tools.py:6", "called_tools.py:13"]


def test_a_tool_runs_in_a_thread_of_an_executor_as_the_framework_names_it(tracing):
    """Such a thread has a context of its own."""
    names = {}
    exec(rewrite.compile_source(OTHER_NAMES, str(Path.cwd() / "weather_tools.py")), names)
    tracer = tracing()
    calls, uninstall = tools.install(tracer)
    structure = Structure(tracer, calls, "loom")
    tool = names["Weather"]("dry")
    tools.register_functions("dry", tool._run)
    with ThreadPoolExecutor(max_workers=1) as executor:
        structure.begin_tool(1, "dry", {"city": "Oslo"})
        assert executor.submit(tool._run, "Oslo").result() == "dry, Oslo: dry"
        structure.end_tool(1, "dry, Oslo: dry")
        executor.submit(tool._run, "Rome").result()  # nobody has asked for it
    uninstall()
    told = [e for e in open_trace(shutdown_tracing()).events() if e["component"] == "tool"]
    assert [e["event_type"] for e in told] == ["tool_call_start", "tool_call_end"]
    assert "seen" not in told[0]["metadata"]


def test_a_function_that_was_loaded_before_runs_as_a_tool_of_another_name(tracing, tmp_path, monkeypatch):
    """As where a test runner has imported the program already."""
    (tmp_path / "loaded_tools.py").write_text(OTHER_NAMES)
    monkeypatch.syspath_prepend(str(tmp_path))
    tool = importlib.import_module("loaded_tools").Weather("dry")
    tracer = tracing()
    put_back = LoadedFunctions(str(tmp_path)).install()
    calls, uninstall = tools.install(tracer)
    structure = Structure(tracer, calls, "loom")
    tools.register_functions("dry", tool._run)
    structure.begin_tool(1, "dry", {"city": "Oslo"})
    assert tool._run("Oslo") == "dry, Oslo: dry"
    structure.end_tool(1, "dry, Oslo: dry")
    uninstall()
    put_back()
    told = [e for e in open_trace(shutdown_tracing()).events() if e["component"] == "tool"]
    assert [e["component_name"] for e in told] == ["dry", "dry"]
    assert "seen" not in told[0]["metadata"]


def test_a_function_may_be_a_tool_by_its_own_name_and_by_another(tracing):
    """Whichever the framework names is the one."""
    names = {}
    exec(rewrite.compile_source(PROGRAM, str(Path.cwd() / "weather_agent.py")), names)
    tracer = tracing()
    calls, uninstall = tools.install(tracer)
    structure = Structure(tracer, calls, "loom")
    for key, name in enumerate(("forecast", "weather")):
        tools.register_functions(name, names["weather"])
        structure.begin_tool(key, name, {"city": "Rome"})
        names["weather"]("Rome")
        structure.end_tool(key, "dry")
    uninstall()
    told = [e for e in open_trace(shutdown_tracing()).events() if e["component"] == "tool"]
    assert [e["component_name"] for e in told[::2]] == ["forecast", "weather"]
    assert all("defined_at" in e["metadata"] for e in told[::2])


def test_a_framework_that_announces_no_calls_has_those_that_a_model_requested(tracing):
    """Its function takes the requested arguments in a dict; it is a tool call only then, and one that raises is recorded."""
    names = {}
    exec(
        rewrite.compile_source(
            "class Box:\n    def execute(self, action, cwd=''):\n        raise KeyError(action['command'])\n",
            str(Path.cwd() / "box.py"),
        ),
        names,
    )
    typed = {}
    exec("class Box:\n    def execute(self, action, cwd=''):\n        return action['command']\n", typed)
    tracer = tracing()
    calls, uninstall = tools.install(tracer)
    own, foreign = names["Box"](), typed["Box"]()
    for box in (own, foreign):
        tools.register_functions("bash", type(box).execute, is_requested=True)
    assert foreign.execute({"command": "ls"}) == "ls"  # no model has requested it
    asked = [{"id": word, "name": "bash", "arguments": {"command": word}} for word in ("ls", "submit")]
    calls.add_requested(asked, "2", None)
    assert foreign.execute({"command": "ls", "tool_call_id": "ls"}) == "ls"
    with pytest.raises(KeyError):
        own.execute({"command": "submit"})
    uninstall()
    events = [e for e in open_trace(shutdown_tracing()).events() if e["component"] == "tool"]
    assert [(e["component_name"], e["status"]) for e in events] == [
        ("bash", "started"),
        ("bash", "completed"),
        ("bash", "started"),
        ("bash", "failed"),
    ]
    assert [e["inputs"]["call_id"] for e in events[::2]] == ["ls", "submit"]
    assert [e["inputs"]["arguments"] for e in events[::2]] == [{"command": "ls"}, {"command": "submit"}]
