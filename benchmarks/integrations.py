"""The programs that `frameworks.py` measures: one for each framework, and the instrumentors of OpenTelemetry that follow it.

Each is the same file for all, a user's program but for the loop that waits for its turn.
"""

from __future__ import annotations

import re
from typing import NamedTuple

ANSWER = re.compile(rb"It is on its way")
TOKENS = re.compile(
    rb'"(?:[\w.]*\.)?(?:input_tokens|prompt_tokens|prompt)"(?:: ?|,"value":\{"(?:int|double)Value":"?)120\b'
)
LLMETRY, INFERENCE, OFFICIAL, OWN = "OpenLLMetry", "OpenInference", "OpenTelemetry", "its own"


class Rival(NamedTuple):
    """An instrumentor: its distribution, and the statements that switch it on."""

    package: str
    statements: str


class Framework(NamedTuple):
    """A framework: its distribution, its program, its instrumentors, how many turns make a run, and what all record of a call."""

    package: str
    program: str
    rivals: dict[str, Rival]
    turns: int = 40
    told: re.Pattern[bytes] = TOKENS


SYNC = """\
import sys
from itertools import chain

from turns import turns

url, warm, *channel = sys.argv[1], *map(int, sys.argv[2:])
RULES = "You answer for a shop that sends parcels. Be short, be polite, and do not promise a day. " * 6

{ask}

for turn in chain(range(warm), turns(*channel)):
    assert ask(turn)
"""
ASYNC = """\
import asyncio
import sys
from itertools import chain

from turns import turns

url, warm, *channel = sys.argv[1], *map(int, sys.argv[2:])
RULES = "You answer for a shop that sends parcels. Be short, be polite, and do not promise a day. " * 6

{ask}

async def main():
    for turn in chain(range(warm), turns(*channel)):
        assert await ask(turn)


asyncio.run(main())
"""
OPENAI = """\
from openai import OpenAI

client = OpenAI(base_url=url + "/v1", api_key="unused")


def ask(turn):
    messages = [{"role": "system", "content": RULES}, {"role": "user", "content": f"Question {turn}: where is it?"}]
    return client.chat.completions.create(model="gpt-4o-mini", messages=messages).choices[0].message.content
"""
ANTHROPIC = """\
from anthropic import Anthropic

client = Anthropic(base_url=url, api_key="unused")


def ask(turn):
    messages = [{"role": "user", "content": f"Question {turn}: where is it?"}]
    return client.messages.create(model="claude-haiku-4-5", max_tokens=200, system=RULES, messages=messages).content[0].text
"""
LANGCHAIN = """\
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI

model = ChatOpenAI(model="gpt-4o-mini", base_url=url + "/v1", api_key="unused")


def ask(turn):
    return model.invoke([SystemMessage(RULES), HumanMessage(f"Question {turn}: where is it?")]).content
"""
AGENTS = """\
from agents import Agent, Runner, set_default_openai_client
from openai import AsyncOpenAI

set_default_openai_client(AsyncOpenAI(base_url=url + "/v1", api_key="unused"), use_for_tracing=False)
agent = Agent(name="shop", model="gpt-4o-mini", instructions=RULES)


async def ask(turn):
    return (await Runner.run(agent, f"Question {turn}: where is it?")).final_output

"""
PYDANTIC_AI = """\
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

provider = OpenAIProvider(base_url=url + "/v1", api_key="unused")
agent = Agent(OpenAIChatModel("gpt-4o-mini", provider=provider), name="shop", system_prompt=RULES)


async def ask(turn):
    return (await agent.run(f"Question {turn}: where is it?")).output

"""
LANGGRAPH = """\
from langchain_openai import ChatOpenAI
from langgraph.graph import START, MessagesState, StateGraph

model = ChatOpenAI(model="gpt-4o-mini", base_url=url + "/v1", api_key="unused")


def answer(state):
    return {"messages": [model.invoke([("system", RULES), *state["messages"]])]}


graph = StateGraph(MessagesState).add_node(answer).add_edge(START, "answer").compile()


def ask(turn):
    return graph.invoke({"messages": [("user", f"Question {turn}: where is it?")]})["messages"][-1].content
"""
GOOGLE_GENAI = """\
from google import genai
from google.genai import types

client = genai.Client(api_key="unused", http_options=types.HttpOptions(base_url=url))
config = types.GenerateContentConfig(system_instruction=RULES)


def ask(turn):
    contents = f"Question {turn}: where is it?"
    return client.models.generate_content(model="gemini-2.5-flash", contents=contents, config=config).text
"""
OLLAMA = """\
import ollama

client = ollama.Client(host=url)


def ask(turn):
    messages = [{"role": "system", "content": RULES}, {"role": "user", "content": f"Question {turn}: where is it?"}]
    return client.chat(model="llama3.2", messages=messages).message.content
"""
BEDROCK = """\
import boto3

keys = {"aws_access_key_id": "unused", "aws_secret_access_key": "unused"}
client = boto3.client("bedrock-runtime", endpoint_url=url, region_name="us-east-1", **keys)


def ask(turn):
    messages = [{"role": "user", "content": [{"text": f"Question {turn}: where is it?"}]}]
    told = client.converse(modelId="us.amazon.nova-lite-v1:0", system=[{"text": RULES}], messages=messages)
    return told["output"]["message"]["content"][0]["text"]
"""
COHERE = """\
import cohere

client = cohere.ClientV2(api_key="unused", base_url=url)


def ask(turn):
    messages = [{"role": "system", "content": RULES}, {"role": "user", "content": f"Question {turn}: where is it?"}]
    return client.chat(model="command-a-03-2025", messages=messages).message.content[0].text
"""
MISTRAL = """\
from mistralai.client import Mistral

client = Mistral(api_key="unused", server_url=url)


def ask(turn):
    messages = [{"role": "system", "content": RULES}, {"role": "user", "content": f"Question {turn}: where is it?"}]
    return client.chat.complete(model="mistral-small-latest", messages=messages).choices[0].message.content
"""
GROQ = """\
import groq

client = groq.Groq(base_url=url, api_key="unused")


def ask(turn):
    messages = [{"role": "system", "content": RULES}, {"role": "user", "content": f"Question {turn}: where is it?"}]
    return client.chat.completions.create(model="llama-3.3-70b", messages=messages).choices[0].message.content
"""
LITELLM = """\
from litellm import completion


def ask(turn):
    messages = [{"role": "system", "content": RULES}, {"role": "user", "content": f"Question {turn}: where is it?"}]
    told = completion(model="openai/gpt-4o-mini", messages=messages, api_base=url + "/v1", api_key="unused")
    return told.choices[0].message.content
"""
SMOLAGENTS = """\
from smolagents import LogLevel, OpenAIModel, ToolCallingAgent

model = OpenAIModel("gpt-4o-mini", api_base=url + "/final/v1", api_key="unused")
agent = ToolCallingAgent(tools=[], model=model, instructions=RULES, verbosity_level=LogLevel.OFF)


def ask(turn):
    return agent.run(f"Question {turn}: where is it?")
"""
GOOGLE_ADK = """\
import os

os.environ.update(GOOGLE_GEMINI_BASE_URL=url, GEMINI_API_KEY="unused", GOOGLE_API_KEY="unused")

from google.adk.agents import Agent
from google.adk.runners import InMemoryRunner
from google.genai import types

runner = InMemoryRunner(Agent(name="shop", model="gemini-2.5-flash", instruction=RULES), app_name="shop")


async def ask(turn):
    session = await runner.session_service.create_session(app_name="shop", user_id="u")
    message = types.Content(role="user", parts=[types.Part(text=f"Question {turn}: where is it?")])
    events = runner.run_async(user_id="u", session_id=session.id, new_message=message)
    return [event.content.parts[0].text async for event in events][-1]

"""
CREWAI = """\
import os

os.environ.update(CREWAI_DISABLE_TELEMETRY="true", CREWAI_TRACING_ENABLED="false", CREWAI_TESTING="true")

from crewai import LLM, Agent, Crew, Task

llm = LLM(model="openai/gpt-4o-mini", base_url=url + "/v1", api_key="unused")
clerk = Agent(role="Clerk", goal="Answer.", backstory=RULES, llm=llm)


def ask(turn):
    task = Task(description=f"Question {turn}: where is it?", expected_output="A line", agent=clerk)
    return Crew(agents=[clerk], tasks=[task]).kickoff().raw
"""
MCP = """\
import asyncio
import sys
from itertools import chain

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from turns import turns

url, warm, *channel = sys.argv[1], *map(int, sys.argv[2:])


async def main():
    parcels = StdioServerParameters(command=sys.executable, args=["parcels.py"])
    async with stdio_client(parcels) as (read, write), ClientSession(read, write) as session:
        await session.initialize()
        for turn in chain(range(warm), turns(*channel)):
            assert (await session.call_tool("find", {"parcel": f"A-{turn}"})).content[0].text


asyncio.run(main())
"""
PARCELS = """\
try:
    from mcp.server.mcpserver import MCPServer
except ImportError:  # before version 2
    from mcp.server.fastmcp import FastMCP as MCPServer

server = MCPServer("parcels", log_level="ERROR")


@server.tool()
def find(parcel: str) -> str:
    return f"{parcel}: It is on its way."


server.run()
"""
PYDANTIC_AI_OWN = """\
from pydantic_ai import Agent, InstrumentationSettings

Agent.instrument_all(InstrumentationSettings(tracer_provider=provider))
"""
# ADK makes its spans with the tracer provider of the process.
GOOGLE_ADK_OWN = "from opentelemetry.trace import set_tracer_provider\nset_tracer_provider(provider)"
# What litellm calls its callback "otel". It works in the thread that litellm logs in, and the others in that of the
# program.
LITELLM_OWN = """\
import litellm
from litellm.integrations.opentelemetry import OpenTelemetry, OpenTelemetryConfig

litellm.callbacks = [OpenTelemetry(config=OpenTelemetryConfig(skip_set_global=True), tracer_provider=provider)]
"""
# That of botocore has the texts of messages in log records, and other words switch them on.
BOTOCORE_STATEMENTS = """\
import os

os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] = "true"

from opentelemetry.exporter.otlp.json.file._log_exporter import FileLogExporter
from opentelemetry.instrumentation.botocore import BotocoreInstrumentor
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor

records = LoggerProvider()
records.add_log_record_processor(SimpleLogRecordProcessor(FileLogExporter("spans.jsonl")))
BotocoreInstrumentor().instrument(tracer_provider=provider, logger_provider=records)
"""
BOTOCORE = Rival("opentelemetry-instrumentation-botocore", BOTOCORE_STATEMENTS)


def rival(start: str, framework: str, name: str, arguments: str = "") -> Rival:
    """The instrumentor whose class is `name`, in the family of distributions that begin with `start`."""
    module = f"{start}.instrumentation.{re.sub('^genai-', 'genai.', framework).replace('-', '_')}"
    statements = f"from {module} import {name}\n{name}().instrument({arguments}tracer_provider=provider)"
    return Rival(f"{start}-instrumentation-{framework}", statements)


def together(framework: Rival, sdk: Rival) -> Rival:
    """An instrumentor that leaves the calls of models to that of the SDK by which the framework makes them."""
    return Rival(framework.package, f"{framework.statements}\n{sdk.statements}")


BY_OPENAI = {
    LLMETRY: rival("opentelemetry", "openai", "OpenAIInstrumentor"),
    INFERENCE: rival("openinference", "openai", "OpenAIInstrumentor"),
    OFFICIAL: rival("opentelemetry", "genai-openai", "OpenAIInstrumentor"),
}
GENAI_INFERENCE = rival("openinference", "google-genai", "GoogleGenAIInstrumentor")
# The instrumentors that are most used; that of the SDK's agents beside the SDK's own processor, as ours is.
FRAMEWORKS = {
    "openai": Framework(
        "openai",
        SYNC.format(ask=OPENAI),
        BY_OPENAI,
    ),
    "anthropic": Framework(
        "anthropic",
        SYNC.format(ask=ANTHROPIC),
        {
            LLMETRY: rival("opentelemetry", "anthropic", "AnthropicInstrumentor"),
            INFERENCE: rival("openinference", "anthropic", "AnthropicInstrumentor"),
            OFFICIAL: rival("opentelemetry", "genai-anthropic", "AnthropicInstrumentor"),
        },
    ),
    "langchain": Framework(
        "langchain-openai",
        SYNC.format(ask=LANGCHAIN),
        {
            LLMETRY: rival("opentelemetry", "langchain", "LangchainInstrumentor"),
            INFERENCE: rival("openinference", "langchain", "LangChainInstrumentor"),
            OFFICIAL: rival("opentelemetry", "genai-langchain", "LangChainInstrumentor"),
        },
    ),
    "openai-agents": Framework(
        "openai-agents",
        ASYNC.format(ask=AGENTS),
        {
            LLMETRY: rival("opentelemetry", "openai-agents", "OpenAIAgentsInstrumentor"),
            INFERENCE: rival(
                "openinference", "openai-agents", "OpenAIAgentsInstrumentor", "exclusive_processor=False, "
            ),
            OFFICIAL: together(
                rival("opentelemetry", "genai-openai-agents", "OpenAIAgentsInstrumentor"), BY_OPENAI[OFFICIAL]
            ),
        },
    ),
    "pydantic-ai": Framework(
        "pydantic-ai-slim",
        ASYNC.format(ask=PYDANTIC_AI),
        {OWN: Rival("opentelemetry-sdk", PYDANTIC_AI_OWN)},
    ),
    "langgraph": Framework(
        "langgraph",
        SYNC.format(ask=LANGGRAPH),
        {
            LLMETRY: rival("opentelemetry", "langchain", "LangchainInstrumentor"),
            INFERENCE: rival("openinference", "langchain", "LangChainInstrumentor"),
            OFFICIAL: rival("opentelemetry", "genai-langchain", "LangChainInstrumentor"),
        },
    ),
    "google-genai": Framework(
        "google-genai",
        SYNC.format(ask=GOOGLE_GENAI),
        {
            LLMETRY: rival("opentelemetry", "google-generativeai", "GoogleGenerativeAiInstrumentor"),
            INFERENCE: GENAI_INFERENCE,
            OFFICIAL: rival("opentelemetry", "google-genai", "GoogleGenAiSdkInstrumentor"),
        },
    ),
    "ollama": Framework(
        "ollama",
        SYNC.format(ask=OLLAMA),
        {
            LLMETRY: rival("opentelemetry", "ollama", "OllamaInstrumentor"),
            INFERENCE: rival("openinference", "ollama", "OllamaInstrumentor"),
        },
    ),
    "boto3": Framework(
        "boto3",
        SYNC.format(ask=BEDROCK),
        {
            LLMETRY: rival("opentelemetry", "bedrock", "BedrockInstrumentor"),
            INFERENCE: rival("openinference", "bedrock", "BedrockInstrumentor"),
            OFFICIAL: rival("opentelemetry", "genai-bedrock", "BedrockInstrumentor"),
            f"{OFFICIAL} botocore": BOTOCORE,
        },
    ),
    "cohere": Framework(
        "cohere",
        SYNC.format(ask=COHERE),
        {
            LLMETRY: rival("opentelemetry", "cohere", "CohereInstrumentor"),
            INFERENCE: rival("openinference", "cohere", "CohereInstrumentor"),
        },
    ),
    "mistralai": Framework(
        "mistralai",
        SYNC.format(ask=MISTRAL),
        {
            LLMETRY: rival("opentelemetry", "mistralai", "MistralAiInstrumentor"),
            INFERENCE: rival("openinference", "mistralai", "MistralAIInstrumentor"),
        },
    ),
    "groq": Framework(
        "groq",
        SYNC.format(ask=GROQ),
        {
            LLMETRY: rival("opentelemetry", "groq", "GroqInstrumentor"),
            INFERENCE: rival("openinference", "groq", "GroqInstrumentor"),
        },
    ),
    "litellm": Framework(
        "litellm",
        SYNC.format(ask=LITELLM),
        {
            LLMETRY: rival("opentelemetry", "litellm", "LiteLLMInstrumentor"),
            INFERENCE: rival("openinference", "litellm", "LiteLLMInstrumentor"),
            OWN: Rival("opentelemetry-sdk", LITELLM_OWN),
        },
    ),
    "smolagents": Framework(
        "smolagents",
        SYNC.format(ask=SMOLAGENTS),
        {
            INFERENCE: rival("openinference", "smolagents", "SmolagentsInstrumentor"),
            OFFICIAL: together(
                rival("opentelemetry", "genai-smolagents", "SmolagentsInstrumentor"), BY_OPENAI[OFFICIAL]
            ),
        },
    ),
    "google-adk": Framework(
        "google-adk",
        ASYNC.format(ask=GOOGLE_ADK),
        {
            INFERENCE: together(
                rival("openinference", "google-adk", "GoogleADKInstrumentor"), GENAI_INFERENCE
            ),
            OWN: Rival("opentelemetry-sdk", GOOGLE_ADK_OWN),
        },
    ),
    "crewai": Framework(
        "crewai",
        SYNC.format(ask=CREWAI),
        {
            LLMETRY: together(rival("opentelemetry", "crewai", "CrewAIInstrumentor"), BY_OPENAI[LLMETRY]),
            INFERENCE: together(rival("openinference", "crewai", "CrewAIInstrumentor"), BY_OPENAI[INFERENCE]),
        },
        turns=30,  # one call takes as long as ten of the others, and says less: it hands its work from thread to thread
    ),
    # That of OpenInference makes no spans: it only hands on the place in the trace.
    "mcp": Framework("mcp", MCP, {LLMETRY: rival("opentelemetry", "mcp", "McpInstrumentor")}, told=ANSWER),
}
INSTRUMENTED = """\
import runpy
import sys

from opentelemetry.exporter.otlp.json.file import FileSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(FileSpanExporter("spans.jsonl")))
{statements}
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
provider.shutdown()
"""
