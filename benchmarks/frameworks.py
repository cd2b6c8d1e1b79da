r"""What following a framework adds to one call of a model, beside the instrumentors of OpenTelemetry for the same framework.

Each program is the same unmodified file for all: it makes some calls that do not count, then `CALLS` that do, and says what
they took of a processor in its own process, all threads together; imports are before that. It runs plain, under
`debug trace` with its default settings, and under each instrumentor that is installed, which gets a tracer
provider with a `SimpleSpanProcessor` and an exporter that writes a line of JSON for each span: as with ours, what has ended is
in the file. All record messages and answers. The model is in another process and answers at once; so does, for `mcp`, the server
whose tool is called. What is compared is what each adds to the plain program. What is not installed is left out, and one line
says so; names as arguments choose. Not all go into one environment:

    pip install opentelemetry-sdk openai anthropic langchain-openai openai-agents 'pydantic-ai-slim[openai]' \
        opentelemetry-instrumentation-{openai,anthropic,langchain,openai-agents} \
        openinference-instrumentation-{openai,anthropic,langchain,openai-agents}
    pip install opentelemetry-sdk langgraph langchain langchain-openai google-genai ollama boto3 cohere mistralai groq mcp \
        'smolagents[openai]' litellm google-adk \
        opentelemetry-instrumentation-{langchain,google-generativeai,ollama,bedrock,cohere,mistralai,groq,mcp} \
        openinference-instrumentation-{langchain,google-genai,bedrock,mistralai,groq,smolagents,litellm,google-adk}
    pip install opentelemetry-sdk crewai {opentelemetry,openinference}-instrumentation-crewai
    pip install opentelemetry-sdk 'mcp<2' 'cohere<6' opentelemetry-instrumentation-{mcp,cohere}

What is recorded is not the same. Ours has a line at the start of each span, the HTTP exchange with its body as it was, the clock
and the randomness that the program read; no instrumentor has these. The instructions of an agent of the OpenAI Agents SDK are
in ours alone. Spans that the SDK of Anthropic makes itself have no texts, so they are not compared: the tracer provider is given
to the instrumentor, and is not that of the whole process.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

from serving import serving
from timing import Rounds, differences, holds, interleaved, ratios, show, spread

CALLS = 200
WARM = 20  # calls before those
ROUNDS = 7
PLAIN, OURS = "plain", "debug trace"
LLMETRY, INFERENCE, OWN = "OpenLLMetry", "OpenInference", "its own"
TRACE = ["-c", "from namel3ss_debug.cli.main import debug; debug()", "trace", "-o", "run.jsonl"]


class Rival(NamedTuple):
    """An instrumentor: its distribution, and the statements that switch it on."""

    package: str
    statements: str


class Framework(NamedTuple):
    """A framework: its distribution, what defines `ask(turn)` in the program, and its instrumentors."""

    package: str
    program: str
    rivals: dict[str, Rival]


SYNC = """\
import sys
from time import process_time

url, warm, calls, result = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
RULES = "You answer for a shop that sends parcels. Be short, be polite, and do not promise a day. " * 6

{ask}

for turn in range(warm):
    assert ask(turn)
began = process_time()
for turn in range(calls):
    assert ask(turn)
taken = process_time() - began
with open(result, "w") as file:
    print(taken / calls, file=file)
"""
ASYNC = """\
import asyncio
import sys
from time import process_time

url, warm, calls, result = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
RULES = "You answer for a shop that sends parcels. Be short, be polite, and do not promise a day. " * 6

{ask}

async def main():
    for turn in range(warm):
        assert await ask(turn)
    began = process_time()
    for turn in range(calls):
        assert await ask(turn)
    return process_time() - began


taken = asyncio.run(main())
with open(result, "w") as file:
    print(taken / calls, file=file)
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
from time import process_time

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

url, warm, calls, result = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]


async def main():
    parcels = StdioServerParameters(command=sys.executable, args=["parcels.py"])
    async with stdio_client(parcels) as (read, write), ClientSession(read, write) as session:
        await session.initialize()
        for turn in range(warm + calls):
            if turn == warm:
                began = process_time()
            assert (await session.call_tool("find", {"parcel": f"A-{turn}"})).content[0].text
        return process_time() - began


taken = asyncio.run(main())
with open(result, "w") as file:
    print(taken / calls, file=file)
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


def rival(start: str, framework: str, name: str, arguments: str = "") -> Rival:
    """The instrumentor whose class is `name`, in the family of distributions that begin with `start`."""
    module = f"{start}.instrumentation.{framework.replace('-', '_')}"
    statements = f"from {module} import {name}\n{name}().instrument({arguments}tracer_provider=provider)"
    return Rival(f"{start}-instrumentation-{framework}", statements)


# The instrumentors that are most used; that of the SDK's agents beside the SDK's own processor, as ours is.
FRAMEWORKS = {
    "openai": Framework(
        "openai",
        SYNC.format(ask=OPENAI),
        {
            LLMETRY: rival("opentelemetry", "openai", "OpenAIInstrumentor"),
            INFERENCE: rival("openinference", "openai", "OpenAIInstrumentor"),
        },
    ),
    "anthropic": Framework(
        "anthropic",
        SYNC.format(ask=ANTHROPIC),
        {
            LLMETRY: rival("opentelemetry", "anthropic", "AnthropicInstrumentor"),
            INFERENCE: rival("openinference", "anthropic", "AnthropicInstrumentor"),
        },
    ),
    "langchain": Framework(
        "langchain-openai",
        SYNC.format(ask=LANGCHAIN),
        {
            LLMETRY: rival("opentelemetry", "langchain", "LangchainInstrumentor"),
            INFERENCE: rival("openinference", "langchain", "LangChainInstrumentor"),
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
        },
    ),
    "google-genai": Framework(
        "google-genai",
        SYNC.format(ask=GOOGLE_GENAI),
        {
            LLMETRY: rival("opentelemetry", "google-generativeai", "GoogleGenerativeAiInstrumentor"),
            INFERENCE: rival("openinference", "google-genai", "GoogleGenAIInstrumentor"),
        },
    ),
    "ollama": Framework(
        "ollama",
        SYNC.format(ask=OLLAMA),
        {LLMETRY: rival("opentelemetry", "ollama", "OllamaInstrumentor")},
    ),
    "boto3": Framework(
        "boto3",
        SYNC.format(ask=BEDROCK),
        {
            LLMETRY: rival("opentelemetry", "bedrock", "BedrockInstrumentor"),
            INFERENCE: rival("openinference", "bedrock", "BedrockInstrumentor"),
        },
    ),
    "cohere": Framework(
        "cohere",
        SYNC.format(ask=COHERE),
        {LLMETRY: rival("opentelemetry", "cohere", "CohereInstrumentor")},
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
        {INFERENCE: rival("openinference", "litellm", "LiteLLMInstrumentor")},
    ),
    "smolagents": Framework(
        "smolagents",
        SYNC.format(ask=SMOLAGENTS),
        {INFERENCE: rival("openinference", "smolagents", "SmolagentsInstrumentor")},
    ),
    "google-adk": Framework(
        "google-adk",
        ASYNC.format(ask=GOOGLE_ADK),
        {INFERENCE: rival("openinference", "google-adk", "GoogleADKInstrumentor")},
    ),
    "crewai": Framework(
        "crewai",
        SYNC.format(ask=CREWAI),
        {
            LLMETRY: rival("opentelemetry", "crewai", "CrewAIInstrumentor"),
            INFERENCE: rival("openinference", "crewai", "CrewAIInstrumentor"),
        },
    ),
    # That of OpenInference makes no spans: it only hands on the place in the trace.
    "mcp": Framework("mcp", MCP, {LLMETRY: rival("opentelemetry", "mcp", "McpInstrumentor")}),
}
INSTRUMENTED = """\
import runpy
import sys

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

provider = TracerProvider()
lines = open("spans.jsonl", "w")
exporter = ConsoleSpanExporter(out=lines, formatter=lambda span: span.to_json(indent=None) + "\\n")
provider.add_span_processor(SimpleSpanProcessor(exporter))
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
    claims = []
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        Path("script.py").write_text(SCRIPT)
        Path("parcels.py").write_text(PARCELS)
        os.environ |= {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
        os.environ |= {"LANGSMITH_TRACING": "false", "TRACELOOP_TRACE_CONTENT": "true"}
        os.environ.pop("OPENAI_API_KEY", None)
        with serving("script") as url:
            for name in sys.argv[1:] or FRAMEWORKS:
                claims += following(name, FRAMEWORKS[name], url)
    return 0 if all(claims) else 1


def following(name: str, framework: Framework, url: str) -> list[bool]:
    """What each adds to a call of one framework; a claim for each instrumentor."""
    version = installed(framework.package)
    if not version:
        print(f"{name}: {framework.package} is not installed: left out")
        return []
    rivals = {}
    for title, other in framework.rivals.items():
        if found := installed(other.package):
            rivals[f"{title} {found}" if title != OWN else title] = other.statements
        else:
            print(f"{name}: {other.package} is not installed: {title} is left out")
    Path("program.py").write_text(framework.program)
    commands = {PLAIN: [], OURS: TRACE}
    for number, (title, statements) in enumerate(rivals.items()):
        Path(f"rival{number}.py").write_text(INSTRUMENTED.format(statements=statements))
        commands[title] = [f"rival{number}.py"]
    for title in list(rivals):
        try:
            run(title, commands[title], url)
        except RuntimeError as error:  # it is for other versions of the framework
            why = str(error).strip().splitlines()[-1]
            print(f"{name}: {title} does not follow {framework.package} {version}, and is left out: {why}")
            del rivals[title], commands[title]
    taken = interleaved({title: partial(run, title, more, url) for title, more in commands.items()}, ROUNDS)
    print(f"{name} ({framework.package} {version}), of a processor, each call:")
    show(taken, 1e6, " µs")
    return compared(name, taken, list(rivals))


def compared(name: str, taken: Rounds, rivals: list[str]) -> list[bool]:
    """Print what each adds to the plain program, and whether ours adds no more than each of the others."""
    added = {title: differences(taken, title, PLAIN) for title in (OURS, *rivals)}
    for title, more in added.items():
        print(f"  {title} adds {spread(more, 1e6, ' µs')}")
    return [
        holds(f"{name}: what ours adds to a call / {title}", median(ratios(added, OURS, title)), 1.0)
        for title in rivals
    ]


def run(title: str, before: list[str], url: str) -> float:
    """Run the program once; the seconds of a processor that one call took.

    Raises:
        RuntimeError: the program failed, or not every call has been recorded.
    """
    for path in ("run.jsonl", "spans.jsonl", "result"):
        Path(path).unlink(missing_ok=True)
    command = [sys.executable, *before, "program.py", url, str(WARM), str(CALLS), "result"]
    done = subprocess.run(command, check=False, text=True, capture_output=True)
    if done.returncode:
        raise RuntimeError(f"{title}: status {done.returncode}\n{done.stderr}")
    if title != PLAIN:
        lines = Path("run.jsonl" if title == OURS else "spans.jsonl").read_bytes().splitlines()
        seen = sum(b"It is on its way" in line for line in lines)
        if seen < WARM + CALLS:
            raise RuntimeError(f"{title}: {seen} answers are recorded, of {WARM + CALLS}\n{done.stderr}")
    return float(Path("result").read_text())


def installed(package: str) -> str:
    """The version of a distribution; empty where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


if __name__ == "__main__":
    sys.exit(main())
