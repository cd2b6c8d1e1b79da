"""Runs, tools and test models of pydantic-ai become structure; against stand-ins with its public interface."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest

from namel3ss_debug.capture.core import announced
from namel3ss_debug.capture.frameworks import pydantic_ai
from namel3ss_debug.capture.seams.functions import rewrite


class Agent:
    """As much of an agent as runs."""

    def __init__(self, name, work=None):
        self.name = name
        self.work = work

    @asynccontextmanager
    async def iter(self, user_prompt=None):
        """One run, which is over when it is left."""
        run = SimpleNamespace(result=None)
        yield run
        if self.work is not None:
            await self.work()
        run.result = SimpleNamespace(output=f"{user_prompt}!")


class FunctionToolset:
    """Tools that are functions."""

    async def call_tool(self, name, tool_args, ctx, tool):
        """Call one."""
        return await asyncio.sleep(0, tool(**tool_args))


class TestModel:
    """A model that asks nobody."""

    __test__ = False
    model_name = "test"

    async def request(self, messages, settings, parameters):
        """An answer."""
        return self.answer(messages)

    def answer(self, messages):
        """What it says."""
        if not messages:
            raise ValueError("nothing was said")
        call = SimpleNamespace(
            part_kind="tool-call", tool_name="lookup", tool_call_id="c1", args_as_dict=dict
        )
        parts = [SimpleNamespace(part_kind="text", content="It snows."), call]
        return SimpleNamespace(kind="response", parts=parts, finish_reason="stop")

    @asynccontextmanager
    async def request_stream(self, messages, settings, parameters):
        """The same, bit by bit."""
        response = self.answer(messages)
        yield SimpleNamespace(get=lambda: response)


@pytest.fixture
def follow(structure):
    """Follow the classes of this file, each in a module of its name."""
    undo = []
    for name, kind in (("agent", Agent), ("toolsets.function", FunctionToolset), ("models.test", TestModel)):
        module = SimpleNamespace(__name__=f"pydantic_ai.{name}", **{kind.__name__: kind})
        undo += pydantic_ai.follow(module, structure)
    yield structure
    while undo:
        undo.pop()()


def said(text):
    """A request of the user's."""
    return [SimpleNamespace(kind="request", parts=[SimpleNamespace(part_kind="user-prompt", content=text)])]


async def run(agent, prompt):
    """As `Agent.run` does it."""
    async with agent.iter(prompt) as running:
        pass
    return running.result.output


def test_a_run_within_a_run_is_inside_of_it(follow, tree):
    """Runs at once are beside each other."""

    async def team():
        await asyncio.gather(run(Agent("left"), "a"), run(Agent("right"), "b"))

    assert asyncio.run(run(Agent("lead", team), "go")) == "go!"
    assert tree() == ["agent_execution lead", "  agent_execution left", "  agent_execution right"]


def test_a_run_tells_what_was_asked_and_what_came_of_it(follow, recorded):
    """One without a name is an agent."""
    asyncio.run(run(Agent(None), "go"))
    begun, ended = recorded()
    assert (begun["component_name"], begun["inputs"]) == ("agent", {"prompt": "go"})
    assert ended["outputs"] == {"result": "go!"}


def test_a_run_that_fails_has_failed(follow, recorded):
    """The exception passes."""

    async def broken():
        raise KeyError("snow")

    with pytest.raises(KeyError):
        asyncio.run(run(Agent("ada", broken), "go"))
    _begun, ended = recorded()
    assert (ended["status"], ended["error_type"]) == ("failed", "KeyError")


def test_a_tool_is_recorded_where_its_function_runs_whatever_that_is_called(follow, own, one_call_of_lookup):
    """Its toolset knows the function."""
    tools = FunctionToolset()
    tools.tools = {"lookup": SimpleNamespace(function=own.look)}
    assert asyncio.run(tools.call_tool("lookup", {"word": "snow"}, None, own.look)) == "SNOW"
    one_call_of_lookup()


def test_a_tool_is_one_call(follow, recorded, monkeypatch):
    """It is recorded here where no function of the user's is, and there where one is."""
    monkeypatch.setattr(rewrite, "EDITED", {"lookup"})
    context = SimpleNamespace(tool_call_id="c1")

    def lookup(word):
        announced.mark_recorded(announced.TOOL, "lookup")
        return word

    tools = FunctionToolset()
    assert asyncio.run(tools.call_tool("lookup", {"word": "snow"}, context, lookup)) == "snow"
    assert (
        asyncio.run(tools.call_tool("upper", {"word": "snow"}, context, lambda word: word.upper())) == "SNOW"
    )
    begun, ended = recorded()
    assert (begun["component_name"], begun["inputs"]) == (
        "upper",
        {"arguments": {"word": "snow"}, "call_id": "c1"},
    )
    assert ended["outputs"] == {"result": "SNOW"}


@pytest.mark.parametrize("streams", [False, True])
def test_a_test_model_is_a_model_call(follow, recorded, streams):
    """With what was said; the tokens that it makes up are not told."""

    async def ask():
        if not streams:
            await TestModel().request(said("Snow?"), None, None)
            return
        async with TestModel().request_stream(said("Snow?"), None, None):
            pass

    asyncio.run(ask())
    begun, ended = recorded()
    messages = [{"role": "user", "parts": [{"type": "text", "content": "Snow?"}]}]
    assert begun["inputs"] == {"model": "test", "messages": messages}
    assert ended["outputs"] == {
        "text": "It snows.",
        "tool_calls": [{"id": "c1", "name": "lookup", "arguments": {}}],
        "finish_reason": "stop",
    }
    assert "usage" not in ended


def test_a_test_model_that_fails_has_failed(follow, recorded):
    """The exception passes."""
    with pytest.raises(ValueError, match="nothing was said"):
        asyncio.run(TestModel().request([], None, None))
    _begun, ended = recorded()
    assert ended["status"] == "failed"


def test_what_cannot_be_read_costs_what_would_have_been_told(follow):
    """And nothing else."""
    strange = [SimpleNamespace(kind="request", parts=None)]
    asyncio.run(TestModel().request(strange, None, None))
    assert follow.tracer.problems.pop("an object of loom could not be read: TypeError") == 1


def test_a_version_without_what_is_followed_is_not_followed(structure):
    """The error says what it has not."""
    with pytest.raises(AttributeError, match="Agent"):
        pydantic_ai.follow(SimpleNamespace(__name__="pydantic_ai.agent"), structure)
