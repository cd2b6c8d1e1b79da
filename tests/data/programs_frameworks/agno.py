"""An agent of agno with a tool of another name, and one on a loop, streamed; its result is of this run alone."""

import asyncio
import os

from agno.agent import Agent
from agno.models.openai import OpenAIChat
from agno.tools import tool


@tool(name="get_weather")
def weather(city: str) -> str:
    """The weather of a city."""
    return f"{city}: -3 degrees, process {os.getpid()}"


@tool(name="get_weather")
async def weather_on_loop(city: str) -> str:
    """The weather of a city."""
    return f"{city}: -3 degrees, process {os.getpid()}"


def agent(function):
    return Agent(model=OpenAIChat(id="gpt-4o-mini"), tools=[function], telemetry=False)


async def main():
    events = agent(weather_on_loop).arun("How cold is it in Oslo?", stream=True)
    print("".join([event.content async for event in events if getattr(event, "content", None)]))


print(agent(weather).run("How cold is it in Oslo?").content)
asyncio.run(main())
