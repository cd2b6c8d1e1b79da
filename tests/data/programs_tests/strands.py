"""Agents of Strands with tools of another name, of a function and of a method on a loop; its result is of this run alone."""

import os

from strands import Agent, tool
from strands.models.openai import OpenAIModel


@tool(name="get_weather")
def weather(city: str) -> str:
    """The weather of a city."""
    return f"{city}: -3 degrees, process {os.getpid()}"


class Station:
    @tool(name="look_outside")
    async def weather(self, city: str) -> str:
        """The weather of a city."""
        return f"{city}: -3 degrees, process {os.getpid()}"


for function in (weather, Station().weather):
    model = OpenAIModel(model_id="gpt-4o-mini", client_args={"api_key": "unused"})
    agent = Agent(model=model, tools=[function], callback_handler=None)
    print(agent("How cold is it in Oslo?").message["content"][0]["text"])
