"""Runs of AutoGen's teams become chains; against stand-ins with its public interface."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from namel3ss_debug.capture.core import switch
from namel3ss_debug.capture.frameworks import autogen


class HandoffMessage:
    """A hand-off from one agent to another."""

    source, target = "clerk", "refunds"


class Team:
    """A team, as far as it runs."""

    name = "desk"

    async def run_stream(self, *, task=None):
        """Yield the messages of a run, and its result."""
        if task is None:
            raise ValueError("no task")
        with switch.ACTIVE.span("agent", "clerk"):
            await asyncio.sleep(0)
        yield HandoffMessage()
        with switch.ACTIVE.span("agent", "refunds"):
            await asyncio.sleep(0)
        yield SimpleNamespace(messages=[SimpleNamespace(content="Paid.")], stop_reason="the end")


@pytest.fixture
def team(structure):
    """Return a team that is followed."""
    undo = autogen.follow(SimpleNamespace(BaseGroupChat=Team), structure)
    yield Team()
    while undo:
        undo.pop()()


def test_a_run_of_a_team_is_a_chain_of_its_agents(team, recorded):
    """A hand-off is a message in it. The program that reads the stream is outside."""

    async def run():
        async for _message in team.run_stream(task="Money back."):
            with switch.ACTIVE.span("tool", "lookup"):
                pass

    asyncio.run(run())
    events = recorded()
    [begun] = [event for event in events if event["event_type"] == "chain_execution_start"]
    inside = [event["event_type"] for event in events if event.get("parent_event_id") == begun["event_id"]]
    assert inside == [
        "agent_execution_start",
        "agent_message",
        "agent_execution_start",
        "chain_execution_end",
    ]
    assert (begun["component_name"], begun["inputs"]) == ("desk", {"task": "Money back."})
    assert events[-1]["outputs"] == {"result": "Paid.", "stop_reason": "the end"}
    tools = [event for event in events if event["event_type"] == "tool_call_start"]
    assert [event.get("parent_event_id") for event in tools] == [None, None]


def test_a_run_that_fails_has_failed(team, recorded):
    """The exception reaches the program."""

    async def run():
        async for _message in team.run_stream():
            pass

    with pytest.raises(ValueError, match="no task"):
        asyncio.run(run())
    ended = recorded()[-1]
    assert (ended["status"], ended["error_type"]) == ("failed", "ValueError")


def test_a_run_that_the_program_stops_reading_ends(team, recorded):
    """It has not failed."""

    async def run():
        stream = team.run_stream(task="Money back.")
        await anext(stream)
        await stream.aclose()

    asyncio.run(run())
    ended = recorded()[-1]
    assert (ended["event_type"], ended["status"]) == ("chain_execution_end", "completed")
