"""Agents of AutoGen: tools of another name, of a function and of a class, whose results are of this run alone; two teams."""

import asyncio
import os
import warnings

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.conditions import MaxMessageTermination
from autogen_agentchat.teams import RoundRobinGroupChat, Swarm
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
    critic = AssistantAgent("critic", client)
    pair = RoundRobinGroupChat([agent, critic], name="pair", termination_condition=MaxMessageTermination(3))
    async for message in pair.run_stream(task="How cold is it in Oslo?"):
        print(type(message).__name__)
    clerk, refunds = AssistantAgent("clerk", client, handoffs=["refunds"]), AssistantAgent("refunds", client)
    desk = Swarm([clerk, refunds], termination_condition=MaxMessageTermination(4))
    print((await desk.run(task="Money back.")).stop_reason)


asyncio.run(main())
