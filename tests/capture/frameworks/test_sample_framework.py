"""A framework is one module and one row of the table: a sample one is followed, and its spans are recorded."""

from __future__ import annotations

import sys
from importlib import import_module

import pytest

from namel3ss_debug.capture import frameworks

FRAMEWORK = """
def run_agent(name, tool):
    return tool("snow")
"""
SEAM = '''
"""The structure of the sample framework."""

from namel3ss_debug.capture.core.patching import replace
from namel3ss_debug.capture.frameworks.structure import read_safely


def follow(module, structure):
    def make(original):
        def run_agent(name, tool):
            structure.begin(name, "agent", name)

            def called(word):
                structure.begin_tool("1", "lookup", {"word": word}, parent=name)
                result = tool(word)
                structure.end_tool("1", result)
                return result

            result = original(name, called)
            structure.end(name, result)
            return result

        return run_agent

    return [replace(module, "run_agent", make)]
'''


@pytest.fixture
def loom(tmp_path, monkeypatch):
    """A framework, a module here that follows it, and its row."""
    (tmp_path / "loom_frame.py").write_text(FRAMEWORK)
    (tmp_path / "seams").mkdir()
    (tmp_path / "seams" / "loom.py").write_text(SEAM)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(frameworks, "__path__", [*frameworks.__path__, str(tmp_path / "seams")])
    monkeypatch.setitem(frameworks.SEAMS, "loom_frame", frameworks.Seam("loom", "loom"))
    yield lambda: import_module("loom_frame")
    for name in ("loom_frame", f"{frameworks.__name__}.loom"):
        sys.modules.pop(name, None)


def test_a_sample_framework_is_found_in_the_trace(loom, tracer, recorded):
    """Its agent and its tool are spans, nested, and marked with its name."""
    assert tracer.execution_id
    assert loom().run_agent("Ada", str.upper) == "SNOW"
    agent, tool, tool_end, agent_end = recorded()
    assert (agent["event_type"], agent["component_name"]) == ("agent_execution_start", "Ada")
    assert (tool["event_type"], tool["parent_event_id"]) == ("tool_call_start", agent["event_id"])
    assert tool["inputs"]["arguments"] == {"word": "snow"}
    assert (tool_end["outputs"], agent_end["outputs"]) == ({"result": "SNOW"}, {"result": "SNOW"})
    assert agent["metadata"]["framework"] == tool["metadata"]["framework"] == "loom"
