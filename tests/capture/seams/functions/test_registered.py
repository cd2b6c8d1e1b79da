"""Functions that a program has registered as tools under a name: wherever they live, their calls are recorded."""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys

import pytest

from namel3ss_debug.capture.core.patching import replace
from namel3ss_debug.capture.frameworks.structure import observe
from namel3ss_debug.capture.seams.functions.registered import FoundFunction, find_functions, unwrap
from namel3ss_debug.traces.reader import open_trace

PACKAGE = '''
"""A package that is installed."""


def installed(path):
    with open(path, "a") as file:
        file.write("installed ran\\n")
    return "installed: " + path


class Box:
    def method_of_package(self, path):
        return installed(path)


class NamedTool:
    name = "named_class"

    def run(self, path):
        return installed(path)


class Entry:
    __slots__ = ("function", "label_name")

    def __init__(self, function, label_name):
        self.function, self.label_name = function, label_name
'''

PROGRAM = """
import asyncio, functools, inspect, json, os, sys
import acme_tools
from openai import OpenAI

def write(path, text="ran"):
    with open(path, "a") as file:
        file.write(text + "\\n")
    return f"{text} {path} {os.getpid()}"

class Holder:
    def method(self, path):
        return write(path)

    @staticmethod
    def static(path):
        return write(path)

    @classmethod
    def of_class(cls, path):
        return write(path)

class Callable:
    def __call__(self, path):
        return write(path)

def nested(prefix):
    def inner(path):
        return write(path, prefix)
    return inner

def logged(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)
    return wrapper

@logged
def decorated_function(path):
    return write(path)

async def coroutine(path):
    await asyncio.sleep(0)
    return write(path)

@functools.lru_cache
def cached_function(path):
    return write(path)

def all_in_one(arguments):
    return write(arguments["path"])

def as_text(arguments):
    return write(json.loads(arguments)["path"])

space = {}
exec("def typed_in(path):\\n    return write(path)", {"write": write}, space)

TOOLS = {
    "lambda_in_dict": lambda path: write(path),
    "bound_method": Holder().method,
    "static_method": Holder.static,
    "class_method": Holder.of_class,
    "partial_function": functools.partial(write, text="partly"),
    "callable_object": Callable(),
    "nested_closure": nested("deep"),
    "decorated": decorated_function,
    "async_function": coroutine,
    "async_lambda": functools.partial(coroutine),
    "cached": cached_function,
    "one_dict": all_in_one,
    "one_text": as_text,
    "typed_in_text": space["typed_in"],
    "package_function": acme_tools.installed,
    "package_method": acme_tools.Box().method_of_package,
    "named_class": acme_tools.NamedTool().run,
}
ENTRIES = [acme_tools.Entry(lambda path: write(path), "slotted_object")]
SHAPES = {name: (str(inspect.signature(each)), inspect.iscoroutinefunction(each)) for name, each in TOOLS.items()}

def unreachable(name, arguments):
    return write(arguments["path"]) if name == "if_chain" else None

def run(name, text):
    arguments = json.loads(text)
    if name == "if_chain":
        return unreachable("if_" + "chain", {"path": arguments["path"], "more": 1} if False else Odd(arguments))
    found = TOOLS.get(name) or next(each.function for each in ENTRIES if each.label_name == name)
    if name == "one_dict":
        return found(arguments)
    if name == "one_text":
        return found(text)
    result = found(**arguments)
    return asyncio.run(result) if inspect.isawaitable(result) else result

class Odd:
    def __init__(self, values):
        self.values = values

    def __getitem__(self, key):
        return self.values[key]

names = [*TOOLS, "slotted_object", "if_chain"]
parameters = {"type": "object", "properties": {"path": {"type": "string"}}}
tools = [{"type": "function", "function": {"name": name, "parameters": parameters}} for name in names]
messages = [{"role": "user", "content": "go"}]
client = OpenAI(max_retries=0)
message = client.chat.completions.create(model="m", messages=messages, tools=tools).choices[0].message
messages.append(message.model_dump(exclude_none=True))
for call in message.tool_calls:
    result = run(call.function.name, call.function.arguments)
    messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
print(client.chat.completions.create(model="m", messages=messages, tools=tools).choices[0].message.content)
now = {name: (str(inspect.signature(each)), inspect.iscoroutinefunction(each)) for name, each in TOOLS.items()}
print("changed" if now != SHAPES else "same shapes")
print(*(message["content"] for message in messages if message["role"] == "tool"), sep="\\n")
"""

REACHED = [
    *re.findall(r'^    "(\w+)": ', PROGRAM.partition("TOOLS = {")[2].partition("}")[0], re.MULTILINE),
    "slotted_object",
]


@pytest.fixture(scope="module")
def ran(tmp_path_factory, scripted_model_module):
    """The folder in which the program was recorded, with its output and the environment for further runs."""
    folder = tmp_path_factory.mktemp("registered")
    package = folder / "site-packages" / "acme_tools"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(PACKAGE)
    (folder / "program.py").write_text(PROGRAM)

    def answer(request):
        say, call = scripted_model_module.say, scripted_model_module.call
        if any(
            part["type"] == "tool_call_response" for each in request["messages"] for part in each["parts"]
        ):
            return say("All have run.")
        return say("", *(call(name, path=f"{name}.txt") for name in [*REACHED, "if_chain"]))

    with scripted_model_module.ScriptedModel(answer) as model:
        environment = os.environ | {
            "OPENAI_BASE_URL": f"{model.url}/v1",
            "OPENAI_API_KEY": "unused",
            "PYTHONPATH": os.pathsep.join([str(package.parent), os.environ.get("PYTHONPATH", "")]),
        }
        done = debug(folder, environment, "trace", "-o", "run.jsonl", "program.py")
    assert done.returncode == 0, done.stderr
    assert "problem" not in done.stderr
    return folder, environment, done.stdout


def debug(folder, environment, *words):
    """Run a command of the debugger in a folder."""
    command = [sys.executable, "-m", "namel3ss_debug", *words]
    return subprocess.run(command, cwd=folder, env=environment, text=True, capture_output=True, check=False)


@pytest.mark.parametrize("name", REACHED)
def test_the_call_is_recorded_around_the_body_of_the_function(ran, name):
    """The start is written before the body runs and the end after it, with what the model requested and the result."""
    folder, _, output = ran
    events = list(open_trace(folder / "run.jsonl").events())
    [start] = [
        event
        for event in events
        if event["event_type"] == "tool_call_start" and event["component_name"] == name
    ]
    [end] = [event for event in events if event.get("parent_event_id") == start["event_id"]]
    arguments = start["inputs"]["arguments"]
    assert f"{name}.txt" in json.dumps(arguments)
    assert start["inputs"]["call_id"]
    assert "seen" not in start["metadata"]
    assert end["outputs"]["result"] in output


def test_nothing_else_is_recorded_as_a_tool(ran):
    """The dispatcher has the name of a method that is a tool, and is none."""
    starts = (e for e in open_trace(ran[0] / "run.jsonl").events() if e["event_type"] == "tool_call_start")
    assert [start["component_name"] for start in starts] == [*REACHED, "if_chain"]


def test_the_functions_stay_what_they_are(ran):
    """Signatures and coroutine functions are the same after the calls."""
    assert "same shapes" in ran[2]


def test_a_call_of_a_function_that_nothing_leads_to_is_recorded_from_its_result(ran):
    """A chain of conditions has no function for the tool, so the event says that it was not seen."""
    events = list(open_trace(ran[0] / "run.jsonl").events())
    [start] = [event for event in events if event.get("component_name") == "if_chain"][:1]
    assert start["metadata"]["seen"] is False


@pytest.fixture(scope="module")
def again(ran):
    """The re-run of the program, in a copy of its folder without what its tools have written."""
    folder, environment, _ = ran
    for path in folder.glob("*.txt"):
        path.unlink()
    return debug(folder, environment, "rerun", "run.jsonl")


@pytest.mark.parametrize("name", REACHED)
def test_a_rerun_answers_the_call(ran, again, name):
    """The function does not run again, and the program gets the recorded result."""
    folder, _, output = ran
    assert not (folder / f"{name}.txt").exists()
    assert next(line for line in output.splitlines() if f"{name}.txt" in line) in again.stdout


def test_a_rerun_gives_the_same_output(ran, again):
    """All but the one call that was not reached, whose function runs again in another process."""
    without = [
        [line for line in text.splitlines() if "if_chain" not in line] for text in (ran[2], again.stdout)
    ]
    assert without[1][: len(without[0])] == without[0]


@pytest.mark.parametrize("name", ["lambda_in_dict", "typed_in_text", "package_function", "slotted_object"])
def test_a_mock_answers_the_call(ran, name):
    """The program gets the mocked result."""
    folder, environment, _ = ran
    done = debug(folder, environment, "rerun", "--mock", f'{name}:"mocked"', "run.jsonl")
    assert "mocked" in done.stdout.splitlines()


def test_a_mock_of_a_call_that_was_not_reached_is_refused(ran):
    """The message has the reason, and nothing runs."""
    folder, environment, _ = ran
    done = debug(folder, environment, "rerun", "--mock", "if_chain:1", "run.jsonl")
    assert done.returncode == 2
    assert "if_chain: the functions behind these calls could not be reached" in done.stderr
    assert not done.stdout


def test_the_search_finds_no_functions_of_the_standard_library():
    """Recording calls them itself."""
    commands = {"join_for_test": os.path.join, "own_for_test": debug}
    found = find_functions(["join_for_test", "own_for_test"])
    assert found == {"own_for_test": [FoundFunction(debug, {}, is_registered=True)]}
    assert commands


def test_a_name_that_many_packages_define_is_not_searched_in_them():
    """Only a registration leads to one of them."""
    spaces = []
    for number in range(12):
        space = {"__name__": __name__, "__spec__": None}
        exec(f"def common_for_test(): return {number}", space)
        spaces.append(space)
    assert find_functions(["common_for_test"]) == {}
    entry = {"common_for_test": spaces[3]["common_for_test"]}
    found = [FoundFunction(each, {}, is_registered=True) for each in entry.values()]
    assert find_functions(["common_for_test"]) == {"common_for_test": found}


def test_the_arguments_that_a_partial_binds_are_found():
    """By name, also where they stand by position, and without the receiver of a method."""

    class Index:
        def look_for_test(self, place, word, *, limit=1):
            return place, word, limit

    tools = {"bound_for_test": functools.partial(Index().look_for_test, "docs", limit=3)}
    [found] = find_functions(["bound_for_test"])["bound_for_test"]
    assert (found.function, found.bound) == (Index.look_for_test, {"place": "docs", "limit": 3})
    assert tools


def test_a_call_that_the_seam_of_a_framework_records_is_not_another_tool():
    """Such a `__call__` runs every tool of its class, and would give all of them the name of one."""

    class Tool:
        def __call__(self, path):
            return path

    assert unwrap(Tool()) is vars(Tool)["__call__"]
    undo = replace(Tool, "__call__", lambda original: observe(original, None, None, None, None))
    assert unwrap(Tool()) is None
    undo()
    assert unwrap(Tool()) is vars(Tool)["__call__"]
