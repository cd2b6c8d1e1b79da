"""agno: agents with a tool of another name, on a loop and streamed; a team that delegates; a workflow with parallel steps."""

import asyncio
import os

from agno.agent import Agent
from agno.models.openai import OpenAIChat
from agno.team import Team
from agno.tools import tool
from agno.workflow import Parallel, Step, Workflow


@tool(name="get_weather")
def weather(city: str) -> str:
    """The weather of a city."""
    return f"{city}: -3 degrees, process {os.getpid()}"


@tool(name="get_weather")
async def weather_on_loop(city: str) -> str:
    """The weather of a city."""
    return f"{city}: -3 degrees, process {os.getpid()}"


def agent(*functions, name=None):
    return Agent(name=name, model=OpenAIChat(id="gpt-4o-mini"), tools=list(functions), telemetry=False)


def team(name, *functions):
    members = [agent(*functions, name="scout"), agent(name="packer")]
    return Team(members, model=OpenAIChat(id="gpt-4o-mini"), name=name, telemetry=False)


def texts(events):
    return "".join(event.content for event in events if event.event in {"RunContent", "TeamRunContent"})


def shout(step_input):
    return step_input.previous_step_content.upper()


async def main():
    events = agent(weather_on_loop).arun("How cold is it in Oslo?", stream=True)
    print(texts([event async for event in events]))
    print((await team("travel", weather_on_loop).arun("How cold is it in Oslo?")).content)


print(agent(weather).run("How cold is it in Oslo?").content)
print(texts(team("trip", weather).run("How cold is it in Oslo?", stream=True)))
both = Parallel(*(Step(name=name, agent=agent(name=name)) for name in ("scout", "packer")), name="both")
plan = Workflow(name="plan", steps=[both, Step(name="shout", executor=shout)], telemetry=False)
print(plan.run(input="How cold is it in Oslo?").content)
asyncio.run(main())
