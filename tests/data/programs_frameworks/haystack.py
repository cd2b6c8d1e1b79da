"""Haystack: an agent with a tool, in a thread and on a loop; a pipeline that retrieves, prompts and asks, and one with branches."""

import asyncio
import os
from contextlib import contextmanager

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"  # it asks commands about the machine

from haystack import Document, Pipeline, component, tracing
from haystack.components.agents import Agent
from haystack.components.builders import ChatPromptBuilder
from haystack.components.generators.chat import OpenAIChatGenerator
from haystack.components.retrievers.in_memory import InMemoryBM25Retriever
from haystack.dataclasses import ChatMessage
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack.tools import create_tool_from_function
from haystack.tracing.tracer import NullSpan, Tracer


def weather(city: str) -> str:
    """The weather of a city."""
    return f"{city}: -3 degrees, process {os.getpid()}"


def model():
    return OpenAIChatGenerator(model="gpt-4o-mini")


def agent():
    return Agent(chat_generator=model(), tools=[create_tool_from_function(weather, name="get_weather")])


@component
class Choose:
    """A component of the program's own."""

    @component.output_types(text=str)
    def run(self, found: list[ChatMessage], packed: list[ChatMessage]) -> dict:
        return {"text": f"{found[-1].text} {packed[-1].text}"}


class Count(Tracer):
    """A tracer of the program's own."""

    operations = 0

    @contextmanager
    def trace(self, operation_name, tags=None, parent_span=None):
        self.operations += 1
        yield NullSpan()

    def current_span(self):
        return None


def ask(text):
    pipeline, store = Pipeline(metadata={"name": "ask"}), InMemoryDocumentStore()
    store.write_documents([Document(content="It snows in Oslo.")])
    template = [ChatMessage.from_user("{{ documents[0].content }} {{ question }}")]
    pipeline.add_component("find", InMemoryBM25Retriever(store))
    pipeline.add_component("prompt", ChatPromptBuilder(template, required_variables="*"))
    pipeline.add_component("answer", model())
    pipeline.connect("find.documents", "prompt.documents")
    pipeline.connect("prompt.prompt", "answer.messages")
    return pipeline.run({"find": {"query": text}, "prompt": {"question": text}})["answer"]["replies"][0].text


async def branch(messages):
    pipeline = Pipeline(metadata={"name": "branch"})
    for name, part in (("scout", agent()), ("packer", model()), ("choose", Choose())):
        pipeline.add_component(name, part)
    pipeline.connect("scout.messages", "choose.found")
    pipeline.connect("packer.replies", "choose.packed")
    done = await pipeline.run_async({"scout": {"messages": messages}, "packer": {"messages": messages}})
    return done["choose"]["text"]


question = [ChatMessage.from_user("How cold is it in Oslo?")]
print(agent().run(messages=question)["last_message"].text)
print(ask("Does it snow in Oslo?"))
count = Count()
tracing.enable_tracing(count)
print(asyncio.run(agent().run_async(messages=question))["last_message"].text)
print(asyncio.run(branch(question)), count.operations)
