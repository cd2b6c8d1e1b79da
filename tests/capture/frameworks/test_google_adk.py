"""Hand-offs and tools of google-adk; against stand-ins with its public interface."""

from __future__ import annotations

import asyncio
import traceback
from pathlib import Path
from types import SimpleNamespace

import pytest

from namel3ss_debug.capture.frameworks import google_adk
from namel3ss_debug.capture.seams.functions import rewrite, tools


class FunctionTool:
    """A tool that is a function."""

    def __init__(self, func):
        self.name = getattr(func, "__name__", None) or type(func).__name__
        self.func = func

    async def run_async(self, *, args, tool_context):
        """Run it."""
        return self.func(**args)


@pytest.fixture
def follow(structure):
    """Follow the class of this file."""
    module = SimpleNamespace(__name__="google.adk.tools.function_tool", FunctionTool=FunctionTool)
    undo = google_adk.follow(module, structure)
    yield
    while undo:
        undo.pop()()


def run(function, **args):
    """Run a tool as the agent Ada."""
    context = SimpleNamespace(agent_name="Ada")
    return asyncio.run(FunctionTool(function).run_async(args=args, tool_context=context))


def transfer_to_agent(agent_name):
    """The tool that hands over."""
    if agent_name == "nobody":
        raise ValueError("no such agent")


def lookup(agent_name):
    """Another tool."""
    return agent_name


def test_a_hand_off_says_from_whom_and_to_whom(follow, recorded):
    """A tool that only looks like one is none."""
    assert run(lookup, agent_name="Grace") == "Grace"
    run(transfer_to_agent, agent_name="Grace")
    [message] = recorded()
    assert (message["event_type"], message["component_name"]) == ("agent_message", "Ada")
    told = {"from": "Ada", "to": "Grace", "kind": "handoff"}
    assert told.items() <= message["metadata"].items()


def test_a_hand_off_that_fails_is_none(follow, recorded):
    """The exception passes."""
    with pytest.raises(ValueError, match="no such agent"):
        run(transfer_to_agent, agent_name="nobody")
    assert recorded() == []


CALLED = """
class lookup:
    def __call__(self, word):
        return word.upper()
"""


def test_a_tool_that_is_an_object_is_recorded_where_that_is_called(
    tracer, follow, structure, one_call_of_lookup
):
    """The framework tells of it by a span around the call."""
    _calls, uninstall = tools.install(tracer)
    names = {}
    exec(rewrite.compile_source(CALLED, str(Path.cwd() / "own_tools.py")), names)
    tool = FunctionTool(names["lookup"]())
    structure.begin_tool(1, "lookup", {"word": "snow"})
    assert asyncio.run(tool.run_async(args={"word": "snow"}, tool_context=None)) == "SNOW"
    structure.end_tool(1, "SNOW")
    uninstall()
    one_call_of_lookup()


OWN = """
class Look(BaseTool):
    async def run_async(self, *, args, tool_context):
        return args["word"].upper()

class Other(Look):
    pass
"""


class BaseTool:
    """The class that tools of a program are derived from."""

    def __init__(self, *, name, description):
        """Say its name, which may not be missing."""
        self.name, self.description = name[:], description


def test_a_tool_of_a_class_is_recorded_where_it_runs(structure, tracer, one_call_of_lookup):
    """With the arguments that the model gave, though only a span of the framework tells that it runs."""
    base = SimpleNamespace(__name__="google.adk.tools.base_tool", BaseTool=BaseTool)
    [undo] = google_adk.follow(base, structure)
    _calls, uninstall = tools.install(tracer)
    names = {"BaseTool": BaseTool}
    exec(rewrite.compile_source(OWN, str(Path.cwd() / "own_tools.py")), names)
    tool = names["Other"](name="lookup", description="")
    structure.begin_tool(1, "lookup", None)
    assert asyncio.run(tool.run_async(args={"word": "snow"}, tool_context=object())) == "SNOW"
    structure.end_tool(1)
    with pytest.raises(TypeError) as raised:
        names["Look"](name=None, description="")
    assert len(list(traceback.walk_tb(raised.value.__traceback__))) == 2
    uninstall()
    undo()
    one_call_of_lookup()
