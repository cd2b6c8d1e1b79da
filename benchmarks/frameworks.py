r"""What following a framework adds to one call of a model, beside the instrumentors of OpenTelemetry for the same framework.

Each program is the same file for all, a user's program but for the loop that waits for its turn. It makes some calls that
do not count, then `BATCH` at each turn, and says what they took of a processor in its own process, all threads together.
It runs plain, under `debug trace`, and under each instrumentor that is installed, which gets a tracer provider with a
`SimpleSpanProcessor` and OpenTelemetry's file exporter (`opentelemetry-exporter-otlp-json-file`), which writes a line of OTLP in JSON
for each span: as with ours, what has ended is in the file. All record messages, answers, and what the model says of its tokens; where the
instrumentor of a framework leaves the calls of models to that of the SDK, both are switched on. The model is in another process and
answers at once; so does, for `mcp`, the server whose tool is called. What is compared is what each adds to the plain program. What is not
installed is left out, and one line says so; names as arguments choose.

Every one that is installed is a claim: that ours adds no more than it.

Ours runs twice. By default it also records what a re-run needs of a program besides its calls, whatever the program makes them with: the
clock, the randomness and the environment that it and its libraries read; and memory and processor time of each span. No
instrumentor records any of these. With three settings these are left out (`CALLS_ALONE`), and what is left is the following of calls. The
claims are about the default settings, which is what users run; what it is without these is shown beside it.

How it counts: in a run all programs are up at the same time and take turns, a batch each, so that a slow second is slow for all.
There are `RUNS` runs, each with new processes. Of each batch (the first, the second, ...) the least of the runs counts, and the
mean of all batches is the figure. The least of a batch is free of what other processes of the machine did at that moment. The work
that comes again after so many calls, above all the collection of garbage, comes at the same place of nearly every run, so it is in
the figure as often as it comes; a low quantile of the batches would leave it out for a program that needs it less often than once in
a batch. Each program collects all garbage once before the calls that count: else the one full collection that is due after the imports
falls on whichever program happens to be near it. Later full collections are too rare to be in the figure. The mean of whole
rounds, one program after the other, differed between rounds by more than what is compared. Where the two halves of
the runs say very different ratios, the machine was too busy.

Not all go into one environment:

    pip install opentelemetry-sdk opentelemetry-exporter-otlp-json-file openai anthropic langchain langchain-openai openai-agents \
        'pydantic-ai-slim[openai]' opentelemetry-instrumentation-{openai,anthropic,langchain,openai-agents} \
        openinference-instrumentation-{openai,anthropic,langchain,openai-agents} \
        opentelemetry-instrumentation-genai-{openai,anthropic,langchain,openai-agents}
    pip install opentelemetry-sdk opentelemetry-exporter-otlp-json-file langgraph langchain langchain-openai google-genai ollama \
        boto3 cohere mistralai groq mcp 'smolagents[openai]' litellm \
        opentelemetry-instrumentation-{langchain,google-generativeai,ollama,bedrock,cohere,mistralai,groq,mcp,litellm} \
        openinference-instrumentation-{langchain,google-genai,ollama,bedrock,cohere,mistralai,groq,smolagents,litellm} \
        opentelemetry-instrumentation-{google-genai,botocore,genai-bedrock,genai-langchain,genai-openai,genai-smolagents}
    pip install opentelemetry-sdk opentelemetry-exporter-otlp-json-file 'google-adk>=2' \
        openinference-instrumentation-{google-adk,google-genai}
    pip install opentelemetry-sdk opentelemetry-exporter-otlp-json-file crewai \
        {opentelemetry,openinference}-instrumentation-{crewai,openai}
    pip install opentelemetry-sdk opentelemetry-exporter-otlp-json-file 'mcp<2' 'cohere<6' \
        opentelemetry-instrumentation-{mcp,cohere}

google-adk and crewai ask for older releases of what the others use, and OpenLLMetry's for mcp and cohere for older ones of these.

Still not all record the same. Ours has a line at the start of each span, where in the program it was, and the HTTP exchange with its
body as it was; no instrumentor has these. The instructions of an agent of the OpenAI Agents SDK are
in ours and in OpenTelemetry's. Spans that the SDK of Anthropic makes itself have no texts, so they are not compared: the tracer
provider is given to the instrumentor, and is not that of the whole process.

OpenTelemetry's own instrumentors (the third rival) have texts only where a variable of the environment says so; it is set to put them
into the span. That of botocore knows log records only: it gets a logger provider too, whose exporter writes a line for each
record into the same file.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import math
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean
from typing import BinaryIO, NamedTuple

from serving import serving
from timing import holds

BATCH = 10  # calls in a turn
WARM = 20  # calls before those
RUNS = 8
PLAIN, OURS, CALLS = "plain", "debug trace", "debug trace, calls alone"
CALLS_ALONE = {
    "NAMEL3SS_DEBUG_RECORD_RANDOMNESS": "false",
    "NAMEL3SS_DEBUG_CAPTURE_MEMORY": "false",
    "NAMEL3SS_DEBUG_CAPTURE_PERFORMANCE": "false",
}
"""Settings with which ours records of a program what an instrumentor records."""

ANSWER = re.compile(rb"It is on its way")
TOKENS = re.compile(
    rb'"(?:[\w.]*\.)?(?:input_tokens|prompt_tokens|prompt)"(?:: ?|,"value":\{"(?:int|double)Value":"?)120\b'
)
LLMETRY, INFERENCE, OFFICIAL, OWN = "OpenLLMetry", "OpenInference", "OpenTelemetry", "its own"
TRACE = ["-c", "from namel3ss_debug.cli.main import debug; debug()", "trace", "-o", "run.jsonl"]


class Rival(NamedTuple):
    """An instrumentor: its distribution, and the statements that switch it on."""

    package: str
    statements: str


class Subject(NamedTuple):
    """What is run: its title, the program, the file that switches an instrumentor on and runs it, and settings of ours."""

    title: str
    program: str
    instrumented: str = ""
    told: re.Pattern[bytes] = TOKENS  # stands in a line for each call
    settings: dict[str, str] = {}  # noqa: RUF012  (nobody changes it)


Run = dict[str, list[float]]
"""Title of a subject -> what each of its batches took in one run, in seconds."""


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
TURNS = """\
import gc
import os
from time import process_time


def turns(batch, go, told):
    gc.collect()  # every program begins with a collector in the same state
    ended = 0
    before = process_time()
    os.write(told, b"ready\\n")
    while os.read(go, 1):
        yield from range(ended, ended + batch)
        ended += batch
        now = process_time()
        os.write(told, f"{now - before}\\n".encode())
        before = now
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
# What litellm calls its callback "otel". It works in the thread that litellm logs in, and the others in that of the program.
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
SCRIPT = """\
import json

TEXT = "It is on its way. The last place where it was seen is Zurich, this morning at eight."
CHAT = {
    "id": "chatcmpl-1", "object": "chat.completion", "created": 1735689600, "model": "gpt-4o-mini",
    "choices": [{"index": 0, "finish_reason": "stop", "logprobs": None, "message": {"role": "assistant", "content": TEXT}}],
    "usage": {"prompt_tokens": 120, "completion_tokens": 20, "total_tokens": 140},
}
RESPONSE = {
    "id": "resp_1", "object": "response", "created_at": 1735689600, "model": "gpt-4o-mini", "status": "completed",
    "error": None, "incomplete_details": None, "instructions": None, "metadata": {}, "tools": [],
    "parallel_tool_calls": True, "tool_choice": "auto", "temperature": 1.0, "top_p": 1.0,
    "output": [{"id": "msg_1", "type": "message", "role": "assistant", "status": "completed",
                "content": [{"type": "output_text", "text": TEXT, "annotations": []}]}],
    "usage": {"input_tokens": 120, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 20,
              "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 140},
}
MESSAGE = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-haiku-4-5", "stop_sequence": None,
    "content": [{"type": "text", "text": TEXT}], "stop_reason": "end_turn",
    "usage": {"input_tokens": 120, "output_tokens": 20},
}
FINAL = json.dumps({"answer": TEXT})
FINISHED = {
    "index": 0, "finish_reason": "tool_calls",
    "message": {"role": "assistant", "content": None, "tool_calls": [
        {"id": "call_1", "type": "function", "function": {"name": "final_answer", "arguments": FINAL}}]},
}
GEMINI = {
    "candidates": [{"content": {"role": "model", "parts": [{"text": TEXT}]}, "finishReason": "STOP", "index": 0}],
    "usageMetadata": {"promptTokenCount": 120, "candidatesTokenCount": 20, "totalTokenCount": 140},
    "modelVersion": "gemini-2.5-flash", "responseId": "r1",
}
OLLAMA = {
    "model": "llama3.2", "created_at": "2025-01-01T00:00:00Z", "message": {"role": "assistant", "content": TEXT},
    "done": True, "done_reason": "stop", "prompt_eval_count": 120, "eval_count": 20, "total_duration": 1,
}
CONVERSE = {
    "output": {"message": {"role": "assistant", "content": [{"text": TEXT}]}}, "stopReason": "end_turn",
    "usage": {"inputTokens": 120, "outputTokens": 20, "totalTokens": 140}, "metrics": {"latencyMs": 1},
}
COHERE = {
    "id": "c1", "finish_reason": "COMPLETE", "message": {"role": "assistant", "content": [{"type": "text", "text": TEXT}]},
    "usage": {"tokens": {"input_tokens": 120, "output_tokens": 20}, "billed_units": {"input_tokens": 120, "output_tokens": 20}},
}
ANSWERS = {
    "/final/v1/chat/completions": CHAT | {"choices": [FINISHED]}, "/chat/completions": CHAT, "/responses": RESPONSE,
    "/v1/messages": MESSAGE, ":generateContent": GEMINI, "/api/chat": OLLAMA, "/converse": CONVERSE, "/v2/chat": COHERE,
}
BODIES = {path: json.dumps(answer).encode() for path, answer in ANSWERS.items()}


def answer(path, body):
    return next(told for ending, told in BODIES.items() if path.endswith(ending))
"""


def main() -> int:
    """Measure the frameworks named in the arguments, all without one; print, and return the exit status."""
    sys.stdout.reconfigure(line_buffering=True)  # a row takes half a minute and more
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        Path("script.py").write_text(SCRIPT)
        os.environ |= {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
        os.environ |= {"LANGSMITH_TRACING": "false", "TRACELOOP_TRACE_CONTENT": "true"}
        os.environ |= {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_ONLY"}
        os.environ.pop("OPENAI_API_KEY", None)
        with serving("script") as url:
            claims = [
                claim
                for name in sys.argv[1:] or FRAMEWORKS
                for claim in following(name, FRAMEWORKS[name], url)
            ]
    return 0 if all(claims) else 1


def following(name: str, framework: Framework, url: str) -> list[bool]:
    """What each adds to a call of one framework; a claim for each instrumentor."""
    version = installed(framework.package)
    if not version:
        print(f"{name}: {framework.package} is not installed: left out")
        return []
    program, told = framework.program, framework.told
    subjects = {
        PLAIN: Subject(PLAIN, program),
        OURS: Subject(OURS, program, told=told),
        CALLS: Subject(CALLS, program, told=told, settings=CALLS_ALONE),
    }
    for title, other in framework.rivals.items():
        found = installed(other.package)
        full = title if title == OWN else f"{title} {found}"
        subject = Subject(full, program, INSTRUMENTED.format(statements=other.statements), told)
        if not found:
            print(f"{name}: {other.package} is not installed: {title} is left out")
        elif why := refused(subject, url):  # it is for other versions of the framework
            print(f"{name}: {full} does not follow {framework.package} {version}, and is left out: {why}")
        else:
            subjects[full] = subject
    runs = [in_turn(list(subjects.values()), url, framework.turns) for _ in range(RUNS)]
    taken = least(runs)
    width = max(map(len, taken))
    print(f"{name} ({framework.package} {version}), of a processor, each call:")
    for title, seconds in taken.items():
        added = "" if title == PLAIN else f", {1e6 * (seconds - taken[PLAIN]):.0f} µs more than plain"
        print(f"  {title:{width}}  {1e6 * seconds:.0f} µs{added}")
    return [compared(name, title, runs) for title in subjects if title not in (PLAIN, OURS, CALLS)]


def compared(name: str, rival: str, runs: Sequence[Run]) -> bool:
    """Print whether ours adds no more than an instrumentor, what each half of the runs says alone, and it for calls alone.

    It does not hold beside one that adds nothing that can be measured, as where the machine was too busy.
    """
    whole, even, odd = (added_beside(rival, least(part)) for part in (runs, runs[::2], runs[1::2]))
    calls = added_beside(rival, least(runs), CALLS)
    more = f"every second run alone: {even:.2f} and {odd:.2f}; calls alone: {calls:.2f}"
    if whole == math.inf:
        print(f"over  {name}: {rival} adds nothing measurable to a call ({more})")
        return False
    return holds(f"{name}: what ours adds to a call / {rival} ({more})", whole, 1.0)


def added_beside(rival: str, taken: dict[str, float], ours: str = OURS) -> float:
    """What ours adds to the plain program, as a part of what an instrumentor adds; infinite where that adds nothing."""
    beside = taken[rival] - taken[PLAIN]
    return (taken[ours] - taken[PLAIN]) / beside if beside > 0 else math.inf


def least(runs: Sequence[Run]) -> dict[str, float]:
    """Subject -> seconds a call: the least of the runs for each batch, then the mean of all batches."""
    return {
        title: mean(map(min, zip(*(run[title] for run in runs), strict=True))) / BATCH for title in runs[0]
    }


def in_turn(subjects: Sequence[Subject], url: str, turns: int) -> Run:
    """Start each program anew, and let them make a batch of calls each, in turn.

    Raises:
        RuntimeError: a program failed, or not every call has been recorded.
        EOFError: a program ended before its turn, without an error.
    """
    with contextlib.ExitStack() as stack:
        batches = {subject.title: stack.enter_context(started(subject, url, turns)) for subject in subjects}
        for batch in batches.values():
            next(batch)  # it has made the calls that do not count
        taken: Run = {title: [] for title in batches}
        for turn in range(turns):
            first = turn % len(subjects)
            for subject in (*subjects[first:], *subjects[:first]):
                taken[subject.title].append(next(batches[subject.title]))
    return taken


@contextlib.contextmanager
def started(subject: Subject, url: str, turns: int) -> Iterator[Iterator[float]]:
    """Run a program; what is given waits for its first calls, then gives the seconds that each batch took.

    Raises:
        RuntimeError: it failed, or not every call has been recorded.
    """
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryFile("w+") as errors:
        folder = Path(name)
        command = [sys.executable, *written(subject, folder), "program.py", url, str(WARM), str(BATCH)]
        (its_go, go), (told, its_told) = os.pipe(), os.pipe()
        process = subprocess.Popen(
            [*command, str(its_go), str(its_told)],
            cwd=folder,
            env=os.environ | subject.settings,
            pass_fds=(its_go, its_told),
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
        os.close(its_go)
        os.close(its_told)
        try:
            with open(told, "rb") as answers:
                yield steps(answers, go)
        finally:
            os.close(go)  # there are no more turns
            status = process.wait()
            errors.seek(0)
            said = errors.read()
            if status:
                raise RuntimeError(f"{subject.title}: status {status}\n{said}")
        if subject.title != PLAIN:
            lines = (
                (folder / ("spans.jsonl" if subject.instrumented else "run.jsonl")).read_bytes().splitlines()
            )
            made = WARM + turns * BATCH
            for what, pattern in (("answers", ANSWER), ("counts of tokens", subject.told)):
                seen = sum(pattern.search(line) is not None for line in lines)
                if seen < made:
                    raise RuntimeError(f"{said}\n{subject.title}: {seen} {what} are recorded, of {made}")


def steps(answers: BinaryIO, go: int) -> Iterator[float]:
    """Wait until a program is ready (0), then give it a turn at each step: the seconds that its batch took.

    Raises:
        EOFError: the program has ended.
    """
    while line := answers.readline():
        yield 0.0 if line == b"ready\n" else float(line)
        os.write(go, b"1")
    raise EOFError("it ended before its turn")


def written(subject: Subject, folder: Path) -> list[str]:
    """Write the files of a program; the arguments that come before it."""
    for name, text in (("program", subject.program), ("turns", TURNS), ("parcels", PARCELS)):
        (folder / f"{name}.py").write_text(text)
    if not subject.instrumented:
        return [] if subject.title == PLAIN else TRACE
    (folder / "instrumented.py").write_text(subject.instrumented)
    return ["instrumented.py"]


def refused(subject: Subject, url: str) -> str:
    """Why an instrumentor does not record the calls of the framework; empty where it does."""
    try:
        in_turn([subject], url, 1)
    except (RuntimeError, EOFError) as error:
        return str(error).strip().splitlines()[-1]
    return ""


def installed(package: str) -> str:
    """The version of a distribution; empty where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


if __name__ == "__main__":
    sys.exit(main())
