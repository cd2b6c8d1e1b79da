"""AgentOps: decorators of functions and classes, sync, async and a generator, and a trace as a context; without a key."""

import asyncio
import logging

import agentops
from agentops.sdk.decorators import agent, guardrail, operation, task, tool, trace
from openai import OpenAI

logging.getLogger("agentops").setLevel(logging.CRITICAL)
agentops.init(auto_start_session=False)
client = OpenAI()


@tool
def get_weather(city):
    return f"{city}: -3 degrees"


@guardrail
def is_safe(text):
    return "ice" not in text


@operation
def ask(question):
    messages = [{"role": "user", "content": question}]
    answer = client.chat.completions.create(model="gpt-4o-mini", messages=messages)
    return answer.choices[0].message.content


@task
async def count():
    await asyncio.sleep(0)
    return 3


@agent(name="planner")
class Planner:
    @operation(name="plan")
    def run(self, city):
        answer = ask(f"How cold is it in {city}?")
        return [answer, get_weather(city), is_safe(answer)]


@trace(name="trip")
def travel(city):
    return Planner().run(city)


@operation
def fail():
    raise ValueError("no wind")


print(travel("Oslo"))
with agentops.start_trace("by hand"):
    print(asyncio.run(count()))
    try:
        fail()
    except ValueError as error:
        print(error)
