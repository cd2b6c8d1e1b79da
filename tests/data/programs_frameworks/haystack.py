"""An agent of Haystack with tools of another name, in a thread and on a loop; its result is of this run alone."""

import asyncio
import os

from haystack.components.agents import Agent
from haystack.components.generators.chat import OpenAIChatGenerator
from haystack.dataclasses import ChatMessage
from haystack.tools import create_tool_from_function


def weather(city: str) -> str:
    """The weather of a city."""
    return f"{city}: -3 degrees, process {os.getpid()}"


agent = Agent(
    chat_generator=OpenAIChatGenerator(model="gpt-4o-mini"),
    tools=[create_tool_from_function(weather, name="get_weather")],
)
question = [ChatMessage.from_user("How cold is it in Oslo?")]
print(agent.run(messages=question)["last_message"].text)
print(asyncio.run(agent.run_async(messages=question))["last_message"].text)
