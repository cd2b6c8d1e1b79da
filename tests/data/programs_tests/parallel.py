"""The OpenAI Agents SDK: four runs at once that ask a model the same, each with an answer of its own."""

import asyncio

from agents import Agent, Runner, function_tool, set_tracing_disabled

PROMPT = "Name a city, and ask for its weather."


@function_tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"{city}: -3 degrees"


async def main():
    set_tracing_disabled(True)
    agent = Agent(name="scout", instructions=PROMPT, model="gpt-4o-mini", tools=[get_weather])
    runs = await asyncio.gather(*(Runner.run(agent, "Go.") for _ in range(4)))
    print(*(run.final_output for run in runs), sep="\n")


asyncio.run(main())
