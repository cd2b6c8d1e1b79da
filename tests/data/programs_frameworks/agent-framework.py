"""Microsoft Agent Framework: agents with tools, a stream, a workflow of executors and agents, and two runs at once."""

import asyncio
import os

from agent_framework import Agent, WorkflowBuilder, WorkflowContext, executor, tool
from agent_framework.openai import OpenAIChatCompletionClient


@tool(name="get_weather")
def weather(city: str) -> str:
    """The weather of a city."""
    return f"{city}: -3 degrees, process {os.getpid()}"


client = OpenAIChatCompletionClient(model="gpt-4o-mini")
forecaster = Agent(client=client, name="forecaster", tools=[weather])
planner = Agent(client=client, name="planner", tools=[forecaster.as_tool(name="ask_forecaster")])
talker = Agent(client=client, name="talker")


@executor(id="question")
async def question(city: str, context: WorkflowContext[str]) -> None:
    await context.send_message(f"How cold is it in {city}?")


async def main():
    print((await forecaster.run("How cold is it in Oslo?")).text)
    print((await planner.run("What to wear?")).text)
    print([update.text async for update in talker.run("And in Oslo?", stream=True)])
    both = await asyncio.gather(*(talker.run(f"And in {city}?") for city in ("Oslo", "Rome")))
    print([each.text for each in both])
    workflow = WorkflowBuilder(start_executor=question, name="trip").add_edge(question, forecaster).build()
    result = await workflow.run("Oslo")
    print([str(output) for output in result.get_outputs()])


asyncio.run(main())
