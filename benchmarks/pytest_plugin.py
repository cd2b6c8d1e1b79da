"""Claim: a suite of 200 recorded agent tests spends less than 10 ms a test on ours, its agents answered from recordings.

Each test runs an agent with the OpenAI SDK: two requests to a model, and a tool between them. The same tests are run
with the transport of the SDK stubbed by hand in place of our mark; both are a pytest of their own, in turn, and what
differs is ours. Beside it: what the plugin costs a run of pytest that does not use it.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path

import timing

TESTS = 200
ROUNDS = 5
LIMIT_MS = 10.0

AGENT = """
import json
from openai import OpenAI

TOOLS = [{"type": "function", "function": {"name": "lookup", "parameters": {
    "type": "object", "properties": {"order": {"type": "string"}}}}}]

def lookup(order):
    return {"order": order, "status": "shipped"}

def run(question, **settings):
    client = OpenAI(max_retries=0, **settings)
    messages = [{"role": "user", "content": question}]
    while True:
        said = client.chat.completions.create(model="gpt-4o-mini", messages=messages, tools=TOOLS).choices[0].message
        if not said.tool_calls:
            return said.content
        messages.append(said.model_dump(exclude_none=True))
        for call in said.tool_calls:
            result = lookup(**json.loads(call.function.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": json.dumps(result)})
"""

STUB = """
import importlib, json, openai
httpx = importlib.import_module(openai.DefaultHttpxClient.__mro__[1].__module__.partition(".")[0])

def reply(message, reason):
    return {"id": "c", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini",
            "choices": [{"index": 0, "message": {"role": "assistant", **message}, "finish_reason": reason}],
            "usage": {"prompt_tokens": 40, "completion_tokens": 9, "total_tokens": 49}}

CALL = {"id": "call_1", "type": "function", "function": {"name": "lookup", "arguments": '{"order": "A-17"}'}}

def answer(request):
    asked = json.loads(request.content)["messages"][-1]["role"] == "user"
    said = reply({"content": None, "tool_calls": [CALL]}, "tool_calls") if asked else reply({"content": "Shipped."}, "stop")
    return httpx.Response(200, json=said)

def client():
    return openai.DefaultHttpxClient(transport=httpx.MockTransport(answer))
"""

TEST = """
import agent, pytest, stub

@pytest.mark.parametrize("number", range({tests}))
{mark}def test_agent(number):
    assert agent.run(f"Where is order {{number}}?", {settings}) == "Shipped."
"""

PLAIN = (
    "import pytest\n\n@pytest.mark.parametrize('number', range(1000))\ndef test_nothing(number):\n    pass\n"
)


def suites(folder: Path) -> None:
    """Write the tests: recorded, stubbed, and some that have nothing to do with agents."""
    stubbed = 'http_client=stub.client(), api_key="unused"'
    files = {
        "agent.py": AGENT,
        "stub.py": STUB,
        "pytest.ini": "[pytest]\naddopts = -p no:randomly -p no:cacheprovider -p no:xdist\n",
        "test_stubbed.py": TEST.format(tests=TESTS, mark="", settings=stubbed),
        "test_recorded.py": TEST.format(tests=TESTS, mark="@pytest.mark.agent_recording\n", settings=stubbed),
        "test_plain.py": PLAIN,
    }
    for name, content in files.items():
        (folder / name).write_text(content)


def processor(command: list[str]) -> float:
    """The seconds of a processor that a command takes."""
    return timing.process(command).cpu


def main() -> int:
    """Run the suites in turn."""
    # pytest compiles the modules of plugins anew in each run where it may not keep them
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        suites(folder)
        pytest = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "--rootdir",
            str(folder),
            "--basetemp",
            f"{folder}/tmp",
        ]
        installed = any(each.name == "namel3ss_debug" for each in entry_points(group="pytest11"))
        plugin = [] if installed else ["-p", "namel3ss_debug.pytest_plugin"]
        without = ["-p", "no:namel3ss_debug"]
        runs = {
            "recorded": [*pytest, *plugin, f"{folder}/test_recorded.py"],
            "stubbed": [*pytest, *without, f"{folder}/test_stubbed.py"],
            "plain, with the plugin": [*pytest, *plugin, f"{folder}/test_plain.py"],
            "plain, without": [*pytest, *without, f"{folder}/test_plain.py"],
        }
        taken = timing.interleaved(
            {name: partial(processor, command) for name, command in runs.items()}, ROUNDS
        )
    ours = [seconds / TESTS for seconds in timing.differences(taken, "recorded", "stubbed")]
    print(f"processor time of a pytest of {TESTS} tests, in s")
    timing.show(taken, 1, " s")
    print(f"  ours, each test     {timing.spread(ours, 1000, ' ms')}")
    print(f"  recorded / stubbed  {timing.spread(timing.ratios(taken, 'recorded', 'stubbed'))}")
    idle = timing.differences(taken, "plain, with the plugin", "plain, without")
    print(f"  a suite that does not use it (1000 tests): {timing.spread(idle, 1000, ' ms')} more")
    return not timing.holds("ours a test", statistics.median(ours) * 1000, LIMIT_MS, " ms")


if __name__ == "__main__":
    sys.exit(main())
