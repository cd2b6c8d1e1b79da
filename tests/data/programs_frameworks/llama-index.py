"""Agents of LlamaIndex with tools of another name, with the context of their workflow and without; their result is of this run alone."""

import asyncio
import os

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.tools import FunctionTool
from llama_index.core.workflow import Context
from llama_index.llms.openai import OpenAI


def weather(city: str) -> str:
    """The weather of a city."""
    return f"{city}: -3 degrees, process {os.getpid()}"


async def weather_with_context(ctx: Context, city: str) -> str:
    """The weather of a city."""
    return weather(city)


async def main():
    model = OpenAI(model="gpt-4o-mini")
    for function in (weather, weather_with_context):
        tool = FunctionTool.from_defaults(function, name="get_weather")
        print(await FunctionAgent(tools=[tool], llm=model, streaming=False).run("How cold is it in Oslo?"))
    print((await model.acomplete("Oslo?")).text)


asyncio.run(main())
