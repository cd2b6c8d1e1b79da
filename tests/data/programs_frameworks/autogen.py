"""Agents of AutoGen: tools of another name, of a function in a thread, and of a class; its result is of this run alone."""

import asyncio
import os
import warnings

from autogen_agentchat.agents import AssistantAgent
from autogen_core.tools import BaseTool, FunctionTool
from autogen_ext.models.openai import OpenAIChatCompletionClient
from pydantic import BaseModel

warnings.simplefilter("ignore")


def weather(city: str) -> str:
    """The weather of a city."""
    return f"{city}: -3 degrees, process {os.getpid()}"


class Place(BaseModel):
    city: str


class Weather(BaseTool[Place, BaseModel]):
    def __init__(self):
        super().__init__(Place, BaseModel, "look_outside", "The weather of a city.")

    async def run(self, args, cancellation_token):
        return weather(args.city)


async def main():
    client = OpenAIChatCompletionClient(model="gpt-4o-mini")
    for tool in (FunctionTool(weather, name="get_weather", description="The weather of a city."), Weather()):
        agent = AssistantAgent("forecaster", client, tools=[tool], reflect_on_tool_use=True)
        print((await agent.run(task="How cold is it in Oslo?")).messages[-1].content)


asyncio.run(main())
