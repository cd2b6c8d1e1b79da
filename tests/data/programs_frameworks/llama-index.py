"""LlamaIndex: an agent with tools, two agents that hand over, a workflow with parallel steps, and a query of an index."""

import asyncio
import os

from llama_index.core import Document, SummaryIndex
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent
from llama_index.core.tools import FunctionTool
from llama_index.core.workflow import Context, Event, StartEvent, StopEvent, Workflow, step
from llama_index.llms.openai import OpenAI

MODEL = OpenAI(model="gpt-4o-mini")


def weather(city: str) -> str:
    """The weather of a city."""
    return f"{city}: -3 degrees, process {os.getpid()}"


async def weather_with_context(ctx: Context, city: str) -> str:
    """The weather of a city."""
    return weather(city)


def agent(*functions, name="Agent", **more):
    tools = [FunctionTool.from_defaults(function, name="get_weather") for function in functions]
    return FunctionAgent(tools=tools, llm=MODEL, name=name, description="Helps.", **more)


BOTH = asyncio.Barrier(2)


class Look(Event):
    city: str


class Seen(Event):
    text: str


class Trip(Workflow):
    @step
    async def plan(self, ctx: Context, ev: StartEvent) -> Look | None:
        for city in ("Oslo", "Bergen"):
            ctx.send_event(Look(city=city))

    @step(num_workers=2)
    async def look(self, ev: Look) -> Seen:
        answer = await MODEL.acomplete(f"{ev.city}?")
        await BOTH.wait()
        return Seen(text=answer.text)

    @step(num_workers=1)
    def choose(self, ctx: Context, ev: Seen) -> StopEvent | None:
        seen = ctx.collect_events(ev, [Seen, Seen])
        return seen and StopEvent(result=sorted(one.text for one in seen))


async def main():
    for function in (weather, weather_with_context):
        print(await agent(function, streaming=False).run("How cold is it in Oslo?"))
    running = agent(weather).run("How cold is it in Oslo?")
    print("".join([event.delta async for event in running.stream_events() if hasattr(event, "delta")]))
    scout, packer = agent(name="Scout"), agent(weather, name="Packer", can_handoff_to=[])
    print(await AgentWorkflow(agents=[scout, packer], root_agent="Scout").run("What to wear in Oslo?"))
    print(await Trip().run())
    index = SummaryIndex.from_documents([Document(text="It snows in Oslo.")])
    print(index.as_query_engine(llm=MODEL).query("Does it snow in Oslo?"))
    print(await index.as_query_engine(llm=MODEL).aquery("Does it snow in Oslo?"))


asyncio.run(main())
