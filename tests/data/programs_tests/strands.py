"""Strands: tools that its executor runs in threads and on its loop, of a function and of a method under another name."""

import os

from strands import Agent, tool
from strands.models.openai import OpenAIModel

PROMPT = "You are a forecaster."


@tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"{city}: -3 degrees, process {os.getpid()}"


class Station:
    @tool(name="look_outside")
    async def weather(self, city: str) -> str:
        """The weather of a city."""
        return f"{city}: -3 degrees, process {os.getpid()}"


for function in (get_weather, Station().weather):
    model = OpenAIModel(model_id="gpt-4o-mini", client_args={"api_key": "unused"})
    agent = Agent(model=model, tools=[function], system_prompt=PROMPT, callback_handler=None)
    print(agent("How cold is it in Oslo?").message["content"][0]["text"])
