"""Functions of a program that have the name of a tool and are none; real SDKs against a scripted server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from namel3ss_debug.capture.seams.functions import rewrite
from namel3ss_debug.capture.seams.functions.tool_identity import ToolIdentity
from namel3ss_debug.traces.reader import open_trace

LOOP = """
import asyncio, functools, json
from openai import OpenAI

def offer(name, **parameters):
    schema = {"type": "object", "properties": {each: {"type": kind} for each, kind in parameters.items()}}
    return {"type": "function", "function": {"name": name, "parameters": schema | {"required": [*parameters]}}}

def loop(run, items, tools):
    client = OpenAI(max_retries=0)
    while True:
        message = client.chat.completions.create(model="m", messages=[*items], tools=tools).choices[0].message
        items.append(message.model_dump(exclude_none=True))
        if not message.tool_calls:
            return message.content
        for call in message.tool_calls:
            result = run(call.function.name, json.loads(call.function.arguments))
            items.append({"role": "tool", "tool_call_id": call.id, "content": str(result)})
"""

OTHER_ARGUMENTS = """
from loop import *

class History(list):
    def add(self, message):
        self.append(message)
        print("history has", len(self))

    append_item = add

def add(a, b):
    print("adding")
    return a + b

class Server:
    def run(self):
        print("the server runs")

class Agent:
    def run(self, task):
        print("the agent runs", task)

class Settings:
    def get(self, name, default=None):
        print("setting", name)
        return default

TOOLS = {"add": add, "run": lambda command: print("ran") or command.upper(), "get": lambda key: key * 2}
settings, history = Settings(), History()

def work(name, arguments):
    history.add(arguments)
    Server().run()
    Agent().run("step " + name)
    settings.get("colour")
    return TOOLS[name](**arguments)

items = [{"role": "user", "content": "go"}]
tools = [offer("add", a="number", b="number"), offer("run", command="string"), offer("get", key="string")]
print(loop(work, items, tools))
history.add("end")
"""

SAME_ARGUMENTS = """
from loop import *

class Cache:
    def __init__(self):
        self.found = {}

    def search(self, query):
        print("cache", query, query in self.found)
        return self.found.get(query)

class Log:
    def send(self, text):
        print("log", text)

class Tools:
    def send(self, text):
        print("sending")
        return "sent " + text

def search(query):
    print("searching")
    return "found " + query

cache, log, tools = Cache(), Log(), Tools()
TOOLS = {"search": search, "send": tools.send}

def work(name, arguments):
    if name == "search":
        result = cache.search(**arguments) or TOOLS[name](**arguments)
        cache.found[arguments["query"]] = result
        return result
    log.send(arguments["text"])
    log.send("a line of its own")
    return TOOLS[name](**arguments)

cache.search("before")
print(loop(work, [{"role": "user", "content": "go"}], [offer("search", query="string"), offer("send", text="string")]))
cache.search("after")
"""

TWO_NAMES = """
from loop import *

def search(query, index="web"):
    print("searching", index)
    return f"{query} in {index}"

TOOLS = {"search": search, "search_docs": functools.partial(search, index="docs"), "find": search}

def work(name, arguments):
    return TOOLS[name](**arguments)

print(loop(work, [{"role": "user", "content": "go"}], [offer(name, query="string") for name in TOOLS]))
"""

UNUSUAL = """
from loop import *
from dataclasses import dataclass

@dataclass
class Order:
    number: int
    city: str

class History:
    def order(self, message):
        print("noted")

def order(order):
    print("ordering")
    return f"{order.number} to {order.city}"

def wait(seconds):
    print("waiting")
    return seconds * 2

def retried(city):
    print("trying")
    if not trials:
        trials.append(city)
        raise ValueError(city)
    return city

trials = []

items = [{"role": "user", "content": "go"}]

def work(name, arguments):
    History().order("begin")
    if name == "order":
        return order(Order(**arguments))
    if name == "wait":
        arguments.pop("reason")
        return wait(int(arguments["seconds"]))
    try:
        return retried(**arguments)
    except ValueError:
        return retried(**arguments)

tools = [
    offer("order", number="number", city="string"),
    offer("wait", seconds="string", reason="string"),
    offer("retried", city="string"),
]
print(loop(work, items, tools))
wait(seconds=3)
"""


class Programs:
    """A folder with programs that are recorded beside a scripted server, and run again without it."""

    def __init__(self, folder, module):
        self.folder, self.module = folder, module
        (folder / "loop.py").write_text(LOOP)

    def run(self, environment, *words):
        """Run a command of the debugger."""
        command = [sys.executable, "-m", "namel3ss_debug", *words]
        return subprocess.run(
            command,
            cwd=self.folder,
            env=environment,
            text=True,
            capture_output=True,
            check=False,
            timeout=120,
        )

    def record_and_rerun(self, program, *turns):
        """Record a program whose model requests calls in turns; return the recorded tool calls and both runs."""
        (self.folder / "app.py").write_text(program)
        say, call = self.module.say, self.module.call
        script = [say("", *(call(name, **arguments) for name, arguments in turn)) for turn in turns]
        with self.module.ScriptedModel([*script, say("done")]) as model:
            environment = os.environ | {"OPENAI_BASE_URL": f"{model.url}/v1", "OPENAI_API_KEY": "unused"}
            first = self.run(environment, "trace", "-o", "run.jsonl", "app.py")
        assert first.returncode == 0, first.stderr
        again = self.run(environment, "rerun", "run.jsonl")
        events = [e for e in open_trace(self.folder / "run.jsonl").events() if e["component"] == "tool"]
        tools = [
            (event["component_name"], event["inputs"]["arguments"], "seen" in event["metadata"])
            for event in events
            if event["event_type"] == "tool_call_start"
        ]
        return SimpleNamespace(tools=tools, first=first, again=again)


@pytest.fixture
def programs(tmp_path, scripted_model_module):
    """A folder of its own."""
    return Programs(tmp_path, scripted_model_module)


def matches(done, *, without):
    """Return whether the re-run matches, and prints what the program printed, without the lines of its tools."""
    lines = [line for line in done.first.stdout.splitlines() if line not in without]
    assert done.again.stdout.splitlines() == lines, done.again.stderr
    return "The re-run matches the trace." in done.again.stderr


def test_functions_with_other_parameters_than_the_tool_are_no_tool_calls(programs):
    """Each requested call is recorded once; `History.add`, `run` and `get` of the program run again in a re-run."""
    turns = ([("add", {"a": 1, "b": 1})], [("run", {"command": "ls"}), ("get", {"key": "k"})])
    done = programs.record_and_rerun(OTHER_ARGUMENTS, *turns)
    assert done.tools == [(*each, False) for turn in turns for each in turn]
    assert matches(done, without={"adding", "ran"})


def test_functions_with_the_parameters_of_the_tool_are_no_tool_calls(programs):
    """The functions that the program has registered are the tools, also if a namesake got the requested arguments before."""
    turns = ([("search", {"query": "x"})], [("search", {"query": "x"}), ("send", {"text": "hello"})])
    done = programs.record_and_rerun(SAME_ARGUMENTS, *turns)
    # The cache has answered the second search, so no function ran for it.
    expected = [("search", {"query": "x"}, False), ("send", {"text": "hello"}, False)]
    assert done.tools == [*expected, ("search", {"query": "x"}, True)]
    assert matches(done, without={"searching", "sending"})


def test_a_function_with_two_names_is_recorded_under_the_requested_one(programs):
    """Once: as itself, or as the partial of it whose arguments it got."""
    turns = (
        [("search_docs", {"query": "x"})],
        [("search", {"query": "x"}), ("search_docs", {"query": "x"}), ("find", {"query": "y"})],
        [("search", {"query": "z"})],
    )
    done = programs.record_and_rerun(TWO_NAMES, *turns)
    assert done.tools == [
        (name, arguments | {"index": "docs" if name == "search_docs" else "web"}, False)
        for turn in turns
        for name, arguments in turn
    ]
    assert matches(done, without={"searching web", "searching docs"})


def test_a_tool_whose_arguments_the_program_changes_is_recorded(programs):
    """In an object, as another type, without one that is for the model only, twice, and without a request."""
    turns = (
        [("order", {"number": 2, "city": "Oslo"})],
        [("wait", {"seconds": "2", "reason": "because"}), ("retried", {"city": "Rome"})],
    )
    done = programs.record_and_rerun(UNUSUAL, *turns)
    assert [name for name, _, _ in done.tools] == ["order", "wait", "retried", "retried", "wait"]
    assert not any(is_unseen for _, _, is_unseen in done.tools)
    assert matches(done, without={"ordering", "waiting", "trying"})


HAND_OFF = """
import asyncio
from agents import Agent, OpenAIChatCompletionsModel, Runner, function_tool, handoff, set_trace_processors
from openai import AsyncOpenAI

set_trace_processors([])
model = OpenAIChatCompletionsModel("m", AsyncOpenAI(max_retries=0))

@function_tool
def weather(city: str) -> str:
    print("tool")
    return city + ": dry"

def note(_context):
    print("handed over")

def forward(data):
    print("filtered")
    return data

billing = Agent(name="Billing", instructions="billing", model=model, tools=[weather])
triage = Agent(
    name="Triage",
    instructions="triage",
    model=model,
    handoffs=[handoff(billing, tool_name_override="ask_billing", on_handoff=note, input_filter=forward)],
)

async def main():
    run = await Runner.run(triage, "hello")
    print(run.final_output, run.last_agent.name)

asyncio.run(main())
"""


def test_a_hand_off_under_a_name_of_the_program_is_no_tool(tmp_path, scripted_model_module):
    """openai-agents runs it again in a re-run, because it changes the state of the SDK; the message names the model's call."""
    pytest.importorskip("agents")
    say, call = scripted_model_module.say, scripted_model_module.call

    def answer(request):
        if "triage" in str(request["messages"][0]):
            return say("", call("ask_billing"))
        return say("done") if "dry" in str(request["messages"]) else say("", call("weather", city="Rome"))

    (tmp_path / "app.py").write_text(HAND_OFF)
    programs = Programs(tmp_path, scripted_model_module)
    with scripted_model_module.ScriptedModel(answer) as model:
        environment = os.environ | {"OPENAI_BASE_URL": f"{model.url}/v1", "OPENAI_API_KEY": "unused"}
        first = programs.run(environment, "trace", "-o", "run.jsonl", "app.py")
    again = programs.run(environment, "rerun", "run.jsonl")
    assert again.stdout.splitlines() == ["handed over", "filtered", "done Billing"], again.stderr
    assert first.stdout.splitlines() == ["handed over", "filtered", "tool", "done Billing"]
    assert "The re-run matches the trace." in again.stderr
    events = list(open_trace(tmp_path / "run.jsonl").events())
    assert [e["component_name"] for e in events if e["event_type"] == "tool_call_start"] == ["weather"]
    [message] = [e for e in events if e["event_type"] == "agent_message"]
    assert message["metadata"]["asked_in"]


def test_a_schema_is_fitted_by_a_shared_parameter():
    """By name, in a dict or in an object; a schema of another form, or none, is fitted by all."""
    code = test_a_schema_is_fitted_by_a_shared_parameter.__code__
    identity = ToolIdentity()
    identity.offer({"known": {"type": "object", "properties": {"a": {}}, "required": ["a"]}, "other": None})
    identity.offer({"empty": {"type": "object", "properties": {}}, "referring": {"$ref": "#/x"}})
    fitting = ({"a": 1}, {"x": {"a": 1}}, {"x": SimpleNamespace(a=1)}, {"a": 1, "context": object()})
    assert [identity.fits_schema("known", code, passed) for passed in fitting] == [True] * 4
    other = ({"b": 1}, {}, {"x": "a"}, {"x": json})
    assert [identity.fits_schema("known", code, passed) for passed in other] == [False] * 4
    for name in ("other", "empty", "referring", "unknown"):
        assert identity.fits_schema(name, code, {"b": 1})


def test_an_object_whose_attributes_cannot_be_read_has_none():
    """`__getattr__` is not called, and a property that raises does not reach the program."""

    class Loud:
        @property
        def __dict__(self):
            raise RuntimeError("read")

        def __getattr__(self, name):
            raise RuntimeError(name)

    code = test_an_object_whose_attributes_cannot_be_read_has_none.__code__
    identity = ToolIdentity()
    identity.offer({"known": {"properties": {"a": {}}}})
    assert not identity.fits_schema("known", code, {"x": Loud()})


def test_only_several_definitions_and_methods_are_searched(tmp_path):
    """A name that one function has shows which function is the tool."""
    text = "def one_fn():\n    return 1\nclass A:\n    def a_method(self):\n        return 1\n    def one_fn_twice(x):\n        return 1\n"
    text += "def two_fn():\n    return 1\nif two_fn:\n    def two_fn():\n        return 2\n"
    rewrite.compile_source(text, str(tmp_path / "defined.py"))
    needed = [ToolIdentity().needs_search(name) for name in ("one_fn", "a_method", "two_fn", "no_fn")]
    assert needed == [False, True, True, True]
