"""Hand-offs of google-adk; against stand-ins with its public interface."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from namel3ss_debug.capture.frameworks import google_adk


class FunctionTool:
    """A tool that is a function."""

    def __init__(self, function):
        self.name = function.__name__
        self.function = function

    async def run_async(self, *, args, tool_context):
        """Run it."""
        return self.function(**args)


@pytest.fixture
def follow(structure):
    """Follow the class of this file."""
    undo = google_adk.follow(SimpleNamespace(FunctionTool=FunctionTool), structure)
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
