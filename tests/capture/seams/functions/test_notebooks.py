"""Cells of IPython: their functions as tools, their names in call sites, and what ends them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from namel3ss_debug.traces.reader import open_trace
from namel3ss_debug.traces.store import find_trace

pytest.importorskip("IPython")

SESSION = """
import json, zlib
from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance(history_length=0)
shell.history_manager.enabled = False
shell.compile.get_code_name = lambda raw, *_: f"/nowhere/kernel/{zlib.crc32(raw.encode())}.py"  # by its text, as kernels do
for cell in json.load(open("cells.json")):
    shell.run_cell(cell, store_history=True)
"""
START = """
from namel3ss_debug import initialize_tracing, shutdown_tracing
from namel3ss_debug.capture.seams.functions import rewrite
initialize_tracing(level="comprehensive")
rewrite.HOT.add("get_weather")  # as if a model had been offered a tool of this name
"""
WEATHER = """def get_weather(city):
    if city == "Atlantis":
        raise LookupError(city)
    return {"city": city}
"""


@pytest.fixture
def session(tmp_path):
    """Runs cells one after the other in a shell; what they print, and the events of the recording, if there is one."""
    work = tmp_path / "work"  # with no code in it: what runs the cells is no part of the program
    work.mkdir()
    (tmp_path / "session.py").write_text(SESSION)

    def run(*cells):
        (work / "cells.json").write_text(json.dumps(cells))
        done = subprocess.run(
            [sys.executable, tmp_path / "session.py"],
            capture_output=True,
            text=True,
            cwd=work,
            env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "IPYTHONDIR": str(tmp_path / "ipython")},
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        folder = work / "debug" / "traces"
        events = list(open_trace(find_trace("latest", folder)).events()) if folder.exists() else []
        return done.stdout, events

    return run


def test_a_function_of_a_cell_is_a_tool(session):
    """Its call is seen where it is made, with the cells of both, whether it stands in a later cell or is defined again."""
    _, events = session(
        START,
        WEATHER,
        "get_weather('Oslo')",
        "def get_weather(city):\n    return city.upper()",
        "def ask():\n    return get_weather('Rome')\nask()",
    )
    starts = [event for event in events if event["event_type"] == "tool_call_start"]
    ends = [event for event in events if event["event_type"] == "tool_call_end"]
    assert [event["outputs"]["result"] for event in ends] == [{"city": "Oslo"}, "ROME"]
    assert [event["call_site"] for event in starts] == ["In[3]:1", "In[5]:2"]
    assert [event["metadata"]["defined_at"] for event in starts] == ["In[2]:1", "In[4]:1"]
    assert starts[1]["metadata"]["chain"] == ["In[5]:<module>", "In[5]:ask", "In[4]:get_weather"]


def test_a_cell_is_a_span(session):
    """What a cell does is inside its span, which has its source and fails with the error that ends the cell."""
    _, events = session(START, WEATHER, "get_weather('Oslo')", "get_weather('Atlantis')", "await missing()")
    starts = {event["component_name"]: event for event in events if event["event_type"] == "cell_start"}
    ends = {event["component_name"]: event for event in events if event["event_type"] == "cell_end"}
    assert list(starts) == list(ends) == ["In[2]", "In[3]", "In[4]", "In[5]"], (
        "recording began within the first"
    )
    assert starts["In[3]"]["inputs"] == {"source": "get_weather('Oslo')"}
    assert starts["In[3]"]["call_site"] == "In[3]:1"
    tools = [event for event in events if event["event_type"] == "tool_call_start"]
    assert [event["parent_event_id"] for event in tools] == [
        starts[n]["event_id"] for n in ("In[3]", "In[4]")
    ]
    found = [(end["status"], end.get("error_type")) for end in ends.values()]
    assert found == [
        ("completed", None),
        ("completed", None),
        ("failed", "LookupError"),
        ("failed", "NameError"),
    ]
    uncaught = [event for event in events if event["event_type"] == "error_occurred"]
    assert [event["parent_event_id"] for event in uncaught] == [
        starts[n]["event_id"] for n in ("In[4]", "In[5]")
    ]


def test_a_function_of_a_module_that_a_cell_imports_is_a_tool(session, tmp_path):
    """Of the user's own modules, from when the recording began to its end."""
    for name in ("before", "within", "after"):
        (tmp_path / "work" / f"{name}.py").write_text("def get_weather(city):\n    return __name__\n")
    printed, events = session(
        "import sys; sys.path.insert(0, '')\nimport before",
        START,
        "import within\nbefore.get_weather(1), within.get_weather(2)",
        "shutdown_tracing()\nimport after\nassert after.get_weather.__code__.co_names == ('__name__',)\nprint('plain')",
    )
    (start,) = [event for event in events if event["event_type"] == "tool_call_start"]
    assert (start["call_site"], start["metadata"]["defined_at"]) == ("In[3]:2", "within.py:1")
    assert "plain" in printed


def test_a_cell_that_runs_again_has_its_new_name(session):
    """IPython calls a cell by its latest number, and so does a call site."""
    ask = "city = 'Oslo'\nget_weather(city)"
    _, events = session(START, WEATHER, ask, WEATHER, ask)
    starts = [event for event in events if event["event_type"] == "tool_call_start"]
    assert [event["metadata"]["defined_at"] for event in starts] == ["In[2]:1", "In[4]:1"]
    assert [event["call_site"] for event in starts] == ["In[3]:2", "In[5]:2"]


def test_an_exception_that_ends_a_cell_is_recorded(session):
    """IPython shows it and goes on with the next cell: nobody has caught it."""
    printed, events = session(
        START, WEATHER, "get_weather('Atlantis')", "print('went on')", "x =", "raise SystemExit(0)"
    )
    uncaught = [event for event in events if event["event_type"] == "error_occurred"]
    assert [(event["error_type"], event.get("call_site")) for event in uncaught] == [
        ("LookupError", "In[2]:3"),
        ("SyntaxError", None),
    ]
    metadata = uncaught[0]["metadata"]
    assert (metadata["uncaught"], metadata["line"]) == (True, "raise LookupError(city)")
    assert "went on" in printed


def test_cells_print_what_they_print_without_recording(session):
    """Tracebacks with their marks, warnings and sources are the same, byte for byte."""
    cells = [
        WEATHER,
        "get_weather('Atlantis')",
        "def careless(x):\n    if x is 5: return 1\n    return [careless(x - 1)][0] / 0 if x else {}['a']",
        "careless(2)",
        "import inspect; print(inspect.getsource(get_weather))",
        "async def wait():\n    return await missing()",
        "await wait()",
    ]
    plain, nothing = session("pass", *cells)
    recorded, events = session(START, *cells)
    assert nothing == []
    assert len([event for event in events if event["event_type"] == "error_occurred"]) == 3
    assert recorded == plain


def test_a_function_of_a_cell_is_pickled_as_it_was_written(session):
    """While it is recorded and after: what loads it need not know of us."""
    pytest.importorskip("cloudpickle")
    dump = "import cloudpickle\nprint(b'__n3_calls__' in cloudpickle.dumps(get_weather), get_weather.__code__.co_names)"
    printed, _ = session(
        START, "x = 1\n" + WEATHER + "\ndef other():\n    return 2", dump, "shutdown_tracing();", dump
    )
    assert printed.count("False ('__n3_calls__'") == 2


def test_a_cell_is_a_line_of_work_of_its_own(session):
    """Whatever task of a kernel runs it: what it reads and draws is told apart by the cells that were run before it."""
    start = "from namel3ss_debug import *\ninitialize_tracing(record_randomness=True)"
    tell = "from namel3ss_debug.capture.core import task_paths\nprint('line', task_paths.current().path)"
    asynchronous = tell + "\nimport asyncio\nawait asyncio.sleep(0)\nprint('line', task_paths.current().path)"
    nested = 'get_ipython().run_cell("' + tell.replace("\n", "; ") + '")\n' + tell
    printed, _ = session(start, tell, asynchronous, nested, "1 / 0", tell)
    lines = [line.split()[1] for line in printed.splitlines() if line.startswith("line ")]
    assert lines == [f"0:cell[{number}]" for number in (1, 2, 2, 4, 3, 6)]


def test_nothing_is_seen_after_the_end(session):
    """What is run after the recording is IPython's alone."""
    _, events = session(
        START,
        "shutdown_tracing();",
        WEATHER,
        "get_weather('Atlantis')",
        "assert not any('n3' in name for name in get_weather.__code__.co_names)",
        "print(list(get_ipython().events.callbacks['post_run_cell']))",
    )
    types = [event["event_type"] for event in events if event["event_type"] != "resource_sample"]
    assert types == ["trace_start", "cell_start", "cell_end", "trace_end"]


def test_a_shell_that_has_run_cells_before_is_followed(session):
    """Cells from before the recording have their names in call sites, and their functions are no tools."""
    _, events = session(
        "def ask():\n    return get_weather('Oslo')", WEATHER, START, "ask()", WEATHER, "ask()"
    )
    (start,) = [event for event in events if event["event_type"] == "tool_call_start"]
    assert start["call_site"] == "In[1]:2"
