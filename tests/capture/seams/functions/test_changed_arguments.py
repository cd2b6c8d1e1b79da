"""Tools that change their arguments: recorded, and changed in the same way in a re-run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter, OrderedDict, defaultdict, deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.capture.launch.start import shutdown_tracing
from namel3ss_debug.capture.seams.functions.changed_arguments import CHANGED, NOT_CHANGED, PassedArguments
from namel3ss_debug.hooks import trace_tool_call
from namel3ss_debug.traces.reader import open_trace

PROGRAM = """
import asyncio, json, threading
from dataclasses import dataclass, field
from openai import OpenAI
from namel3ss_debug.hooks import trace_tool_call

@dataclass
class Cart:
    items: list = field(default_factory=list)

class Store:
    def __init__(self):
        self.lock, self.count = threading.Lock(), 0

log, cart, store = [{"first": [1]}], Cart(), Store()
inner = log[0]["first"]

def note(text, log):
    print("noting")
    log.append(text)
    log[0]["first"].append(text)

async def buy(item, cart):
    print("buying")
    cart.items.append(item)
    return len(cart.items)

def fail(word, log):
    print("failing")
    log.append("failed " + word)
    raise ValueError(word)

@trace_tool_call
def hooked(key, found):
    print("hooked")
    found[key] = {1, 2}

def touch(word, store):
    print("touching")
    store.count += 1

def keywords(**options):
    print("keywords")
    return options.pop("word")

found = {}
def run(name, arguments):
    try:
        if name == "note":
            return note(arguments["text"], log)
        if name == "buy":
            return asyncio.run(buy(arguments["item"], cart))
        if name == "fail":
            return fail(arguments["word"], log)
        if name == "hooked":
            return hooked(arguments["key"], found)
        return touch(arguments["word"], store) if name == "touch" else keywords(**arguments)
    except ValueError as error:
        return repr(error)

def offer(name, parameter):
    schema = {"type": "object", "properties": {parameter: {"type": "string"}}, "required": [parameter]}
    return {"type": "function", "function": {"name": name, "parameters": schema}}

tools = [offer("note", "text"), offer("buy", "item"), offer("fail", "word"), offer("hooked", "key")]
tools += [offer("touch", "word"), offer("keywords", "word")]
items = [{"role": "user", "content": "go"}]
while True:
    message = OpenAI(max_retries=0).chat.completions.create(model="m", messages=items, tools=tools).choices[0].message
    items.append(message.model_dump(exclude_none=True))
    if not message.tool_calls:
        break
    for call in message.tool_calls:
        result = run(call.function.name, json.loads(call.function.arguments))
        items.append({"role": "tool", "tool_call_id": call.id, "content": str(result)})
print(log, inner, log[0]["first"] is inner, cart, found)
"""

RUNNING = {"noting", "buying", "failing", "hooked", "touching", "keywords"}


def record_and_rerun(folder, module, calls, *options):
    """Record the program with a model that requests these calls, and run it again without the model."""
    (folder / "app.py").write_text(PROGRAM)
    say, call = module.say, module.call
    script = [say("", *(call(name, **arguments) for name, arguments in calls)), say("done")]
    command = [sys.executable, "-m", "namel3ss_debug"]
    with module.ScriptedModel(script) as model:
        environment = os.environ | {"OPENAI_BASE_URL": f"{model.url}/v1", "OPENAI_API_KEY": "unused"}
        keywords = {"cwd": folder, "env": environment, "text": True, "capture_output": True}
        first = subprocess.run([*command, "trace", "-o", "run.jsonl", "app.py"], check=False, **keywords)
    return first, subprocess.run([*command, "rerun", "run.jsonl", *options], check=False, **keywords)


DATA = [
    ("note", {"text": "a"}),
    ("buy", {"item": "pen"}),
    ("fail", {"word": "b"}),
    ("hooked", {"key": "k"}),
    ("keywords", {"word": "w"}),
    ("note", {"text": "c"}),
]


def test_a_rerun_changes_the_arguments_as_the_tools_did(tmp_path, scripted_model_module):
    """Also of a tool that raised, of a coroutine function and of one with a hook; inner objects stay the same objects."""
    first, again = record_and_rerun(tmp_path, scripted_model_module, DATA)
    assert "True Cart(items=['pen']) {'k': {1, 2}}" in first.stdout
    lines = [line for line in first.stdout.splitlines() if line not in RUNNING]
    assert again.stdout.splitlines() == lines, again.stderr
    assert "The re-run matches the trace." in again.stderr
    ends = [
        event.get("metadata", {}).get(CHANGED, {})
        for event in open_trace(tmp_path / "run.jsonl").events()
        if event["event_type"] == "tool_call_end" and event["component_name"] in ("note", "keywords")
    ]
    assert ends[0] == {"log": [{"first": [1, "a"]}, "a"]}
    assert ends[1] == {}  # the dict of `**options` is the function's own


def test_an_argument_that_cannot_be_changed_is_not_verified(tmp_path, scripted_model_module):
    """The verdict names the tool and the argument; `--accept changed-arguments` accepts it."""
    first, again = record_and_rerun(tmp_path, scripted_model_module, [("touch", {"word": "x"})])
    shown = " ".join(again.stderr.split())
    assert (first.returncode, again.returncode) == (0, 1)
    assert "The re-run is not verified: 1 changed argument." in shown
    assert "touch changed its argument store when it was recorded" in shown
    assert "--run-tools touch" in shown
    options = ("--accept", "changed-arguments")
    _, accepted = record_and_rerun(tmp_path, scripted_model_module, [("touch", {"word": "x"})], *options)
    assert accepted.returncode == 0, accepted.stderr


def changed(tracer, before, after):
    """Change an argument of a tool, and return the recorded forms of what has changed."""
    span = tracer.span("tool", "t").open()
    passed = PassedArguments(tracer, {"it": before})
    after(before)
    passed.record(span)
    form = json.loads(json.dumps(span.end_fields.get("metadata", {}), default=lambda each: each.json))
    span.close()
    return form.get(CHANGED, {})


@pytest.mark.parametrize(
    ("make", "change"),
    [
        (lambda: [1, [2]], lambda it: it[1].append(3)),
        (lambda: {"a": {"b": 1}, "c": 2}, lambda it: (it["a"].update(b=2), it.pop("c"))),
        (lambda: {1: 2}, lambda it: it.update({3: (4, 5)})),
        (lambda: {1, 2}, lambda it: it.add(3)),
        (lambda: bytearray(b"ab"), lambda it: it.extend(b"c")),
        (lambda: deque([1], 3), lambda it: it.append(2)),
        (lambda: defaultdict(list), lambda it: it["a"].append(1)),
        (lambda: Counter("aab"), lambda it: it.update("b")),
        (lambda: OrderedDict(a=1, b=2), lambda it: it.move_to_end("a")),
        (lambda: ([1], "a"), lambda it: it[0].append(2)),
    ],
)
def test_each_container_is_changed_in_place(tracer, make, change):
    """It stays the same object, with equal contents in the same order."""
    form, expected, live = changed(tracer, make(), change), make(), make()
    change(expected)
    span = tracer.span("tool", "t").open()
    PassedArguments(tracer, {"it": live}).change(span, form)
    assert NOT_CHANGED not in span.end_fields["metadata"]
    assert (live, repr(live)) == (expected, repr(expected))
    span.close()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.filterwarnings("ignore")
@given(before=st.lists(json_values, max_size=4), after=st.lists(json_values, max_size=4))
def test_any_list_becomes_the_other_one(before, after):
    """Whatever is in the two."""
    from namel3ss_debug.capture.seams.functions.changed_arguments import _fill

    live = json.loads(json.dumps(before))
    assert _fill(live, json.loads(json.dumps(after)))
    assert json.dumps(live) == json.dumps(after)


def test_an_argument_that_something_else_has_changed_is_left_as_it_is(tracer):
    """The recorded value may hold that change too, so the tool's is reported as missing."""
    live, span = [1], tracer.span("tool", "t").open()
    passed = PassedArguments(tracer, {"it": live, "word": "a"})
    live.append(2)
    passed.change(span, {"it": [1, 3], "gone": [1]})
    assert live == [1, 2]
    assert span.end_fields["metadata"][NOT_CHANGED] == ["it", "gone"]
    span.close()


def test_an_object_of_the_program_in_a_context_is_looked_at(tracer):
    """A framework passes the program's state in an attribute of its own object; what it keeps there itself does not count."""

    class State:
        count = 0

    class Context:
        def __init__(self, state):
            self.state, self.calls = state, []

    Context.__module__ = "json"

    @trace_tool_call
    def tool(context):
        context.state.count += 1
        context.calls.append(1)

    tool(Context(State()))
    [end] = [e for e in open_trace(shutdown_tracing()).events() if e["event_type"] == "tool_call_end"]
    assert list(end["metadata"][CHANGED]) == ["context.state"]
