"""Langfuse: decorators and context managers, without keys (it switches itself off), and with an exporter of the program."""

import asyncio
import logging

from langfuse import Langfuse, get_client, observe
from openai import OpenAI
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

logging.getLogger("langfuse").setLevel(logging.CRITICAL)
MODEL = "gpt-4o-mini"
client = OpenAI()


@observe(as_type="generation")
def ask(question):
    messages = [{"role": "user", "content": question}]
    return client.chat.completions.create(model=MODEL, messages=messages).choices[0].message.content


@observe(as_type="retriever")
def look(city):
    return {"city": city, "coat": True}


@observe(as_type="tool")
def get_weather(city):
    return f"{city}: -3 degrees"


@observe
def count():
    yield from range(3)


@observe(as_type="agent", name="planner")
async def plan(city):
    look(city)
    await asyncio.sleep(0)
    answer = await asyncio.to_thread(ask, f"How cold is it in {city}?")
    return f"{get_weather(city)}: {answer}"


@observe()
def fail():
    raise ValueError("no wind")


async def main():
    print(await asyncio.gather(plan("Oslo"), plan("Rome")))
    print(list(count()))
    try:
        fail()
    except ValueError as error:
        print(error)
    langfuse = get_client()
    with langfuse.start_as_current_observation(name="trip", as_type="chain", input={"days": 3}) as trip:
        with trip.start_as_current_observation(name="check", as_type="guardrail") as check:
            check.update(output={"passed": True})
        walk = trip.start_observation(name="walk", input="north")
        walk.start_observation(name="step").end()
        walk.update(output="tired").end()
        with langfuse.start_as_current_observation(name="recall", as_type="generation", model="own") as recall:
            recall.update(output="snow")
        trip.create_event(name="arrived")
        trip.update(output="done")


asyncio.run(main())
exporter = InMemorySpanExporter()
langfuse = Langfuse(public_key="pk-lf-unused", secret_key="sk-lf-unused", span_exporter=exporter)
asyncio.run(main())
langfuse.flush()
print(sorted(span.name for span in exporter.get_finished_spans()))
