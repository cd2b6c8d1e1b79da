"""Agents, teams and workflows of agno become structure; against stand-ins with the methods that are followed."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from namel3ss_debug.capture.core import switch
from namel3ss_debug.capture.frameworks import agno, tool_classes


class Agent:
    """An agent that does what it is made with."""

    stream = False

    def __init__(self, name, work):
        self.name = name
        self.work = work

    def run(self, message, *, stream=None):
        """Run it, streamed or not."""
        return self._stream() if self.stream or stream else self._run()

    def arun(self, message, *, stream=None):
        """Run it on a loop."""
        return self._astream() if self.stream or stream else self._arun()

    def _run(self):
        return SimpleNamespace(content=self.work(), status=SimpleNamespace(value="COMPLETED"))

    async def _arun(self):
        await asyncio.sleep(0)
        return self._run()

    def _stream(self):
        yield SimpleNamespace(event="RunStarted")
        yield SimpleNamespace(event="RunCompleted", content=self.work())

    async def _astream(self):
        for event in self._stream():
            await asyncio.sleep(0)
            yield event


class Team(Agent):
    """A team."""

    run, arun = Agent.run, Agent.arun


class Workflow:
    """A workflow of steps."""

    name = "plan"

    def __init__(self, *steps):
        self.steps = steps

    def run(self, message):
        """Run the steps."""
        for step in self.steps:
            step.execute(SimpleNamespace(input=message))


class Step:
    """A step that runs an agent."""

    def __init__(self, name, agent):
        self.name = name
        self.agent = agent

    def execute(self, step_input):
        """Execute it."""
        return self.agent.run(step_input.input)

    async def aexecute(self, step_input):
        """Execute it on a loop."""
        return await self.agent.arun(step_input.input)

    def execute_stream(self, step_input):
        """Execute it, and yield what its agent does."""
        yield from self.agent.run(step_input.input, stream=True)


class FunctionCall:
    """A call of a tool."""

    call_id = None

    def __init__(self, name, function, **arguments):
        self.function = SimpleNamespace(name=name, entrypoint=function)
        self.arguments = arguments
        self.result = None

    def execute(self):
        """Call it; a generator is iterated later."""
        self.result = self.function.entrypoint(**self.arguments)
        return SimpleNamespace(result=self.result, error=None)

    async def aexecute(self):
        """Call it on a loop."""
        return self.execute()


@pytest.fixture(autouse=True)
def followed(structure):
    """Follow the classes of this file, each in the module that has it."""
    undo = []
    for kind in (Agent, Team, Workflow, Step):
        name = kind.__name__
        undo += agno.follow(SimpleNamespace(__name__=f"agno.x.{name.lower()}", **{name: kind}), structure)
    tools = SimpleNamespace(__name__="agno.tools.function", FunctionCall=FunctionCall)
    undo += tool_classes.follow(tools, structure)
    yield
    while undo:
        undo.pop()()


def ask():
    """Ask the model."""
    with switch.ACTIVE.span("llm", "gpt"):
        return "cold"


def meanwhile():
    """Do something that no agent does."""
    with switch.ACTIVE.span("tool", "meanwhile"):
        pass


def test_a_run_is_an_agent_however_it_is_run(tree):
    """Streamed or not, on a loop or not; the consumer of a stream is outside of it."""
    agent = Agent("ada", ask)

    async def main():
        assert (await agent.arun("How cold?")).content == "cold"
        async for _event in agent.arun("How cold?", stream=True):
            meanwhile()

    assert agent.run("How cold?").content == "cold"
    for _event in agent.run("How cold?", stream=True):
        meanwhile()
    asyncio.run(main())
    one, outside = ["agent_execution ada", "  llm_call gpt"], ["tool_call meanwhile"] * 2
    assert sorted(tree()) == sorted([*one * 4, *outside * 2])


def test_the_input_and_the_result_are_recorded(recorded):
    """Of a stream, the content of its last event."""
    Agent("ada", ask).run("How cold?")
    list(Agent("ada", ask).run("How cold?", stream=True))
    events = recorded()
    begun = [event for event in events if event["event_type"] == "agent_execution_start"]
    ended = [event for event in events if event["event_type"] == "agent_execution_end"]
    assert [event["inputs"] for event in begun] == [{"input": "How cold?"}] * 2
    assert [event["outputs"] for event in ended] == [{"result": "cold"}] * 2


def delegate(member, **how):
    """A tool that delegates, as a generator."""

    def delegate_task(task):
        """Run the member while it is iterated."""
        if how.get("stream"):
            for event in member.run(task, stream=True):
                if hasattr(event, "content"):
                    yield type("RunContentEvent", (), {"content": event.content})()
        else:
            yield member.run(task).content

    return lambda: list(
        FunctionCall("delegate_task_to_member", delegate_task, task="How cold?").execute().result
    )


@pytest.mark.parametrize("stream", [False, True])
def test_a_member_works_inside_the_delegation(stream, recorded):
    """It begins with a message from the team, and its answer is the tool's result."""
    team = Team("travel", delegate(Agent("scout", ask), stream=stream))
    assert len(team.run("How cold?").content) == 1
    events = recorded()
    kinds = [(event["event_type"], event["component_name"]) for event in events[:5]]
    assert kinds == [
        ("agent_execution_start", "travel"),
        ("tool_call_start", "delegate_task_to_member"),
        ("agent_message", "travel"),
        ("agent_execution_start", "scout"),
        ("llm_call_start", "gpt"),
    ]
    parents = [event["parent_event_id"] for event in events[1:5]]
    assert parents == [events[number]["event_id"] for number in (0, 1, 1, 3)]
    metadata = events[2]["metadata"]
    assert (metadata["from"], metadata["to"], metadata["kind"]) == ("travel", "scout", "handoff")
    [tool_end] = [event for event in events if event["event_type"] == "tool_call_end"]
    assert tool_end["outputs"] == {"result": "cold"}


def test_members_that_work_at_the_same_time_are_inside_their_delegations(recorded):
    """On a loop, each tool is iterated in a task of its own."""

    def tool_of(member):
        async def delegate_task(task):
            yield (await member.arun(task)).content

        return FunctionCall("delegate_task_to_member", delegate_task, task=member.name)

    async def iterate(call):
        return [item async for item in (await call.aexecute()).result]

    async def main():
        calls = [tool_of(Agent(name, ask)) for name in ("scout", "packer")]
        assert await asyncio.gather(*map(iterate, calls)) == [["cold"], ["cold"]]

    asyncio.run(main())
    begun = [event for event in recorded() if event["event_type"].endswith("_start")]
    tools = {event["event_id"]: event for event in begun if event["component"] == "tool"}
    agents = [event for event in begun if event["component"] == "agent"]
    assert len(tools) == 2
    for agent in agents:
        assert tools[agent["parent_event_id"]]["inputs"]["arguments"] == {"task": agent["component_name"]}


def test_a_tool_that_streams_and_is_not_iterated_is_not_recorded(tree):
    """Its function has not run. One that fails before that has failed."""

    def stream(word):
        yield word

    FunctionCall("look", stream, word="snow").execute()
    with pytest.raises(TypeError):
        FunctionCall("look", stream).execute()
    assert tree() == ["tool_call look"]


def test_a_workflow_is_a_chain_of_steps(tree):
    """An agent is inside the step that runs it, also streamed and on a loop."""
    step = Step("look", Agent("ada", ask))
    Workflow(step).run("How cold?")
    list(step.execute_stream(SimpleNamespace(input="How cold?")))
    asyncio.run(step.aexecute(SimpleNamespace(input="How cold?")))
    steps = ["chain_step look", "  agent_execution ada", "    llm_call gpt"]
    assert tree() == ["chain_execution plan", *(f"  {line}" for line in steps), *steps, *steps]


def test_what_fails_has_failed(recorded):
    """By an exception, or by the status that agno reports in its place."""

    def fail():
        raise KeyError("boom")

    with pytest.raises(KeyError):
        Agent("ada", fail).run("How cold?")
    with pytest.raises(KeyError):
        list(Agent("ada", fail).run("How cold?", stream=True))
    agent = Agent("ada", ask)
    agent._run = lambda: SimpleNamespace(content="no model", status=SimpleNamespace(value="ERROR"))
    agent.run("How cold?")
    ends = [event for event in recorded() if event["event_type"] == "agent_execution_end"]
    assert [(end["status"], end["error_type"]) for end in ends] == [
        ("failed", "KeyError"),
        ("failed", "KeyError"),
        ("failed", "error"),
    ]


def test_a_stream_that_is_left_has_ended(recorded):
    """Its generator is closed, and nothing has failed."""
    events = Agent("ada", ask).run("How cold?", stream=True)
    next(events)
    events.close()
    _start, end = recorded()
    assert end["status"] == "completed"
