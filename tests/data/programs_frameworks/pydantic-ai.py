"""pydantic-ai: an agent that asks another by a tool, a tool that a library made, a stream, two runs at once, a test model."""

import asyncio

from pydantic_ai import Agent, Tool
from pydantic_ai.models.test import TestModel

MODEL = "openai-chat:gpt-4o-mini"
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}


def get_weather(city: str) -> dict:
    """The weather of a city."""
    return {"city": city, "temp_c": -3}


async def ask_scout(city: str) -> str:
    """Ask the one who knows."""
    return (await scout.run(f"How cold is it in {city}?")).output


def guess(city):
    return f"{city} is warm."


scout = Agent(MODEL, name="scout", tools=[get_weather])
planner = Agent(MODEL, name="planner", tools=[ask_scout])
guesser = Agent(MODEL, name="guesser", tools=[Tool.from_schema(guess, "estimate", "A guess.", SCHEMA)])
talker = Agent(MODEL, name="talker")


async def main():
    print((await planner.run("What to wear?")).output)
    print((await guesser.run("And elsewhere?")).output)
    async with talker.run_stream("And in Oslo?") as streamed:
        print([text async for text in streamed.stream_text(delta=True)])
    both = await asyncio.gather(*(talker.run(f"And in {city}?") for city in ("Oslo", "Rome")))
    print([each.output for each in both])
    print((await talker.run("Anything.", model=TestModel(custom_output_text="It is all made up."))).output)


asyncio.run(main())
