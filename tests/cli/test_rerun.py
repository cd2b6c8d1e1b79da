"""The command `debug rerun` on unmodified programs of the SDKs: recorded once, then run again with nothing to reach."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from namel3ss_debug.traces.reader import open_trace

PROGRAMS = Path(__file__).parents[1] / "data" / "programs_sdk"
SDK = (
    "openai_chat",
    "openai_chat_async",
    "openai_stream",
    "openai_stream_async",
    "openai_responses",
    "openai_embeddings",
    "openai_parallel_tools",
    "openai_retry_429",
    "openai_error_500",
    "openai_threads",
    "anthropic_messages",
    "anthropic_async",
    "anthropic_stream",
    "anthropic_tools",
    "urllib_agent",
    "exit_3",
    "exit_exception",
    "os_exit_4",
)
OFTEN = frozenset(
    {"openai_stream_async", "openai_parallel_tools", "openai_retry_429", "anthropic_tools", "urllib_agent"}
)
"""Those of them that run each time; the others are slow only because there are many."""

KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_BASE_URL")


class Ended(NamedTuple):
    """How a command ended."""

    status: int
    out: bytes
    err: bytes

    @property
    def told(self):
        """What the debugger says of the re-run: the lines on stderr from its verdict on."""
        return self.err.decode()

    @property
    def rows(self):
        """The JSON lines on stdout."""
        return [json.loads(line) for line in self.out.splitlines()]


class Workbench:
    """A folder with a program, recorded with the scripted model there, run again with nothing there."""

    def __init__(self, folder, environment, model):
        self.folder, self.environment, self.model = folder, environment, model
        self.without = {name: value for name, value in os.environ.items() if name not in KEYS}

    def write(self, text, name="app.py"):
        """A program in the folder."""
        (self.folder / name).write_text(text)
        return name

    def run(self, *words, environment=None, stdin=b""):
        """Run a command of the debugger in the folder."""
        command = [sys.executable, "-m", "namel3ss_debug", *words]
        # Python holds back what is printed into a pipe; it is seen also where the debugger ends the program.
        given = {"PYTHON_COLORS": "0", **(environment or self.without), "PYTHONUNBUFFERED": ""}
        done = subprocess.run(
            command, cwd=self.folder, env=given, input=stdin, capture_output=True, timeout=120, check=False
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def record(self, *words, stdin=b""):
        """Record a program beside the scripted model; the model is gone afterwards."""
        ended = self.run("trace", "-o", "run.jsonl", *words, environment=self.environment, stdin=stdin)
        assert b"recorded" in ended.err, ended.err
        self.model.requests.clear()
        return ended

    def rerun(self, *options, **given):
        """Run the recorded program again."""
        return self.run("rerun", "run.jsonl", *options, **given)

    @property
    def again(self):
        """The recordings of re-runs."""
        return sorted(self.folder.glob("trace_*.jsonl"))


@pytest.fixture
def bench(tmp_path, scripted_model, model_environment):
    """A folder in which programs are recorded and run again."""
    return Workbench(tmp_path.resolve(), model_environment, scripted_model)


def of_program(err):
    """What the program itself printed on stderr, without the lines of the debugger."""
    kept = []
    for line in err.decode().splitlines(keepends=True):
        if line.startswith(("namel3ss debug:", "The re-run")):
            break
        kept.append(line)
    return "".join(kept)


@pytest.mark.parametrize(
    "name", [name if name in OFTEN else pytest.param(name, marks=pytest.mark.slow) for name in SDK]
)
def test_an_unmodified_program_runs_again_as_it_ran(bench, name):
    """With the model gone and no keys, stdout, stderr and the way it ends are byte for byte the same, and nothing diverged."""
    bench.write((PROGRAMS / f"{name}.py").read_text())
    first = bench.record("app.py")
    again = bench.rerun()
    assert again.out == first.out
    assert of_program(again.err) == of_program(first.err)
    assert again.status == 0, again.told
    assert "The re-run matches the trace." in again.told
    assert f"ended with status {first.status}" in again.told
    assert not bench.model.requests


AGENT = """
import json, os, sys
import urllib3

http = urllib3.PoolManager()
TOOLS = [{"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}
         for name in ("get_weather", "get_time")]

def get_weather(city):
    return {"city": city, "temp_c": 21}

def get_time(zone):
    return f"12:00 {zone}"

def send(messages, **more):
    body = {"model": "gpt-4o-mini", "messages": messages, **more}
    url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
    answer = http.request("POST", url, json=body, retries=False).json()
    return answer["choices"][0]["message"] if "choices" in answer else {"content": str(answer["error"]["message"])}

def ask(text):
    return send([{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}])["content"]

def greet():
    print(ask("hello there"))

def plan():
    print(ask("plan a trip"))

def weather():
    messages = [{"role": "user", "content": "weather?"}]
    first = send(messages, tools=TOOLS)
    messages.append(first)
    for call in first["tool_calls"]:
        result = globals()[call["function"]["name"]](**json.loads(call["function"]["arguments"]))
        print(call["function"]["name"], result)
        messages.append({"role": "tool", "tool_call_id": call["id"], "content": json.dumps(result)})
    print(send(messages, tools=TOOLS)["content"])

def main():
    greet()
    plan()
    weather()
    for city in ("Paris", "Rome", "Oslo"):
        print(ask(f"describe {city}"))

main()
"""
GREETING, TRIP, WEATHER, PARIS_TOOL, OSLO_TOOL, TIME_TOOL, ANSWER, PARIS, ROME, OSLO = (
    3, 6, 9, 11, 14, 17, 20, 23, 26, 29,
)  # fmt: skip


@pytest.fixture(scope="module")
def recorded_agent(tmp_path_factory, start_scripted_model, environment_of_model):
    """The agent, recorded once, and a copy of its folder as the recorded run left it."""
    folder = tmp_path_factory.mktemp("agent").resolve() / "work"
    folder.mkdir()
    with start_scripted_model() as model:
        bench = Workbench(folder, environment_of_model(model), model)
        bench.write(AGENT)
        bench.first = bench.record("app.py")
        kept = folder.with_name("kept")
        shutil.copytree(folder, kept, symlinks=True)
        yield bench, kept


@pytest.fixture
def agent(recorded_agent):
    """The agent, recorded, in a folder as the recorded run left it; `first` is how it ended."""
    bench, kept = recorded_agent
    shutil.rmtree(bench.folder)
    shutil.copytree(kept, bench.folder, symlinks=True)
    bench.model.requests.clear()
    return bench


def line_of(text, source=AGENT):
    """The line of a program in which a text stands, from 1."""
    return source[: source.index(text)].count("\n") + 1


def edited(bench, *changes):
    """The agent with texts replaced, written in its place."""
    text = AGENT
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    bench.write(text)
    return text


def parted(ended):
    """The divergences of calls on stdout: kind, number in the re-run, number in the recording."""
    *rows, _ = ended.rows
    return [
        (row["kind"], row["number"], row["recorded"]["number"] if row["recorded"] else 0)
        for row in rows
        if row["kind"] != "output"  # what is printed follows from the calls
    ]


SENT = "answer = http.request"


def test_the_agent_runs_again_as_it_ran(agent):
    """What is recorded answers every call, and the report says how many."""
    again = agent.rerun()
    assert (again.status, again.out) == (0, agent.first.out)
    assert "answered  10 as recorded" in again.told


def test_a_changed_prompt_is_told_with_both_sides_and_the_words_that_differ(agent):
    """The recorded answer is given all the same, and the run joins the recording at the next call."""
    edited(agent, ("plan a trip", "plan a long trip"))
    again = agent.rerun()
    assert again.status == 1
    assert again.out == agent.first.out
    assert "plan a {+long +}trip" in again.told
    assert f"now       calls gpt-4o-mini, app.py:{line_of(SENT)}, event {TRIP}" in again.told
    assert "reconverges  at event 9, for 8 calls, to the end" in again.told
    assert "newer than the trace: app.py" in again.told


EDITS = {
    "changed": (("plan a trip", "plan a long trip"), [("changed", TRIP, TRIP)]),
    "removed": (("    plan()\n", ""), [("missing", TRIP, TRIP)]),
    "swapped": (("    greet()\n    plan()", "    plan()\n    greet()"), [("order", GREETING, GREETING)]),
    "removed from a loop": (('"Paris", "Rome"', '"Rome"'), [("missing", PARIS, PARIS)]),
    "arguments of a tool": (
        ("(**json.loads(", "(**{k: v.upper() for k, v in json.loads("),
        [("changed", PARIS_TOOL, PARIS_TOOL), ("changed", OSLO_TOOL, OSLO_TOOL)],
    ),
}


@pytest.mark.parametrize("edit", [name for name in EDITS if name != "arguments of a tool"])
def test_an_edit_is_reported_as_what_it_is_at_its_event(agent, edit):
    """A changed, a removed and two swapped calls: one divergence each, and nothing else."""
    change, expected = EDITS[edit]
    edited(agent, change)
    again = agent.rerun("--format", "jsonl")
    assert again.status == 1
    assert parted(again) == expected
    assert agent.first.out.startswith(of_program(again.err).encode()[:10])


def test_changed_arguments_of_a_tool_are_told_by_their_path(agent):
    """The recorded result is given, and the argument then and now is shown."""
    edited(
        agent,
        (
            'json.loads(call["function"]["arguments"]))',
            'json.loads(call["function"]["arguments"].upper().replace("CITY", "city").replace("ZONE", "zone")))',
        ),
    )
    again = agent.rerun("--format", "jsonl")
    assert parted(again) == [("changed", PARIS_TOOL, PARIS_TOOL), ("changed", OSLO_TOOL, OSLO_TOOL)]
    assert again.rows[0]["paths"] == [
        {"path": "$.arguments.city", "kind": "changed", "old": "Paris", "new": "PARIS"}
    ]


@pytest.mark.parametrize(
    "change",
    [
        ("    plan()\n", '    plan()\n    ask("one more")\n'),
        ('    for city in ("Paris"', '    ask("Bern")\n    for city in ("Paris"'),
    ],
)
def test_an_added_call_that_takes_the_answer_of_a_later_one_is_ambiguous(agent, change):
    """The run goes on to its end, the event is named, and the verdict is `unverified`."""
    edited(agent, change)
    again = agent.rerun("--format", "jsonl")
    *_, last = again.rows
    assert (again.status, last["verdict"], last["stopped"]) == (1, "unverified", None)
    ((kind, number, _wanted_later),) = parted(again)
    assert kind == "ambiguous"
    assert [(reason["kind"], reason["events"]) for reason in last["reasons"]] == [("ambiguous", [number])]
    assert of_program(again.err).encode() == agent.first.out


ADDED = '    plan()\n    print(ask("one more"))\n'


@pytest.mark.parametrize("options", [(), ("--step", "-c", "continue")])
def test_a_program_that_appends_to_a_file_does_so_once_however_wrong_a_guess_was(agent, options):
    """The program is started once, also in the debugger, where its source is newer than the trace."""
    log = agent.folder / "log.txt"
    edited(agent, ("    plan()\n", ADDED), ("\nmain()", "\nopen('log.txt', 'a').write('x')\nmain()"))
    again = agent.rerun(*options)
    assert "1 ambiguous" in again.told or "ambiguous  the request got" in again.told
    assert log.read_text() == "x"
    assert len(agent.again) == 1


def test_an_added_call_without_an_answer_stops_the_run_before_it_is_made(agent):
    """No call of the same caller is left, and what was printed before is shown."""
    edited(agent, ('"Rome", "Oslo")', '"Rome", "Oslo", "Bern")'))
    again = agent.rerun("--format", "jsonl")
    *_, last = again.rows
    assert (again.status, last["stopped"]["kind"]) == (1, "new")
    assert [(kind, place) for kind, place, _ in parted(again)] == [("new", 32)]
    assert of_program(again.err).encode() == agent.first.out


def test_the_message_of_an_added_call_names_both_sides_and_what_can_be_done(agent):
    """It names the call of the code, what the trace holds there, and three ways on."""
    edited(
        agent,
        ("    plan()\n", "    plan()\n    print(visa())\n"),
        ("def greet", 'def visa():\n    return ask("visa?")\n\ndef greet'),
    )
    again = agent.rerun()
    told = " ".join(again.told.split())
    assert "calls gpt-4o-mini, and the trace holds no answer for this call" in told
    assert "there, at event 9" in told
    assert "give an answer with --mock 'llm@3.text=...', call it for real with --live-from 9" in told


def test_the_answer_that_the_message_asks_for_lets_the_run_go_on(agent):
    """With a mock for the added call the run is through, and nothing has parted."""
    edited(agent, ("    plan()\n", '    plan()\n    print(ask("one more"))\n'))
    again = agent.rerun("--mock", "llm@3.text=a new answer")
    assert again.status == 0, again.told
    lines = again.out.decode().splitlines()
    assert lines[2] == "a new answer"
    assert [*lines[:2], *lines[3:]] == agent.first.out.decode().splitlines()


def test_strict_ends_the_run_where_it_first_parts(agent):
    """What comes after the first divergence is not run."""
    edited(agent, ("plan a trip", "plan a long trip"))
    again = agent.rerun("--strict")
    assert again.status == 1
    assert again.out.decode() == "You said: hello there\n"
    assert "stopped by the debugger" in again.told


def test_tools_are_not_run(agent):
    """An edited tool still gives its recorded result, unless it is named; the re-run is not verified then."""
    edited(agent, ('"temp_c": 21', '"temp_c": 12'))
    again = agent.rerun()
    assert (again.status, again.out) == (1, agent.first.out)
    assert "get_weather has changed since the trace was recorded" in again.told
    assert again.told.splitlines()[-1].endswith("--run-changed-tools")


def test_a_tool_that_is_run_tells_its_other_result(agent):
    """The results then and now are told; what is asked because of them is no divergence of its own."""
    edited(agent, ('"temp_c": 21', '"temp_c": 12'))
    again = agent.rerun("--run-tools", "get_weather", "--format", "jsonl")
    *_, last = again.rows
    assert again.status == 1
    assert parted(again) == [("result", PARIS_TOOL, PARIS_TOOL), ("result", OSLO_TOOL, OSLO_TOOL)]
    assert [row["number"] for row in last["after_override"]] == [ANSWER]
    assert last["real"] == 2


WITH_A_PROCESS = """
import subprocess, sys
from namel3ss_debug.hooks import trace_tool_call

@trace_tool_call
def fetch(port):
    code = "import socket, sys; socket.create_connection(('127.0.0.1', int(sys.argv[1]))).close(); print('reached')"
    done = subprocess.run([sys.executable, "-c", code, port], capture_output=True, text=True)
    return done.stdout or done.stderr.splitlines()[-1]

print(fetch(sys.argv[1]))
"""


@pytest.mark.slow
def test_a_process_that_a_tool_starts_has_the_network_of_its_tool(bench):
    """A tool that is run for real may use the network, and so may what it starts."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        bench.record(bench.write(WITH_A_PROCESS), str(server.getsockname()[1]))
        again = bench.rerun("--run-tools", "fetch")
    assert (again.status, again.out) == (0, b"reached\n\n")


@pytest.mark.parametrize(("name", "cold"), [("get_weather", (9, 11)), ("get_weather@2", (11,))])
def test_a_mock_answers_the_calls_it_names(agent, name, cold):
    """The program goes on with it, and the report says which answers were given before it could matter."""
    again = agent.rerun("--mock", name + ':{"temp_c": -30}')
    lines = [line for line in again.out.decode().splitlines() if line.startswith("get_weather")]
    assert [line == "get_weather {'temp_c': -30}" for line in lines] == [9 in cold, 11 in cold]
    assert again.status == 1
    assert "The re-run is not verified: 1 stale model call." in again.told
    assert "Use --live-from 20 to call the model." in " ".join(again.told.split())
    assert again.told.splitlines()[-1].startswith(
        "namel3ss debug: to verify: namel3ss debug rerun run.jsonl --mock"
    )
    accepted = agent.rerun("--mock", name + ':{"temp_c": -30}', "--accept", "stale-models")
    assert accepted.status == 0
    assert "except for what you accepted" in accepted.told
    events = list(open_trace(agent.again[0]).events())
    assert events[0]["metadata"]["rerun"]["mocks"] == [name + ':{"temp_c": -30}']


def test_a_fault_on_the_third_call_of_a_model_comes_as_its_error(agent):
    """The program gets what the provider would send, and the other calls are answered as recorded."""
    again = agent.rerun("--fault", "llm@6:status:429:slow down")
    lines = again.out.decode().splitlines()
    assert lines[-2] == "slow down"
    assert lines[-1] == "You said: describe Oslo"


def test_a_fault_that_nobody_catches_shows_frames_of_the_program_alone(agent):
    """The traceback is the one that plain Python would show, without what stands between a tool and its caller."""
    again = agent.rerun("--fault", "get_weather:error:KeyError:gone")
    told = again.err.decode().split("missing  ")[0]
    assert "KeyError: 'gone'" in told
    assert "app.py" in told
    assert "namel3ss_debug" not in told


def test_a_new_recording_says_what_it_is_a_rerun_of(agent):
    """It stands beside the first, is whole, and can be run again itself; `latest` still means the first."""
    again = agent.rerun()
    (trace,) = agent.again
    first, second = (list(open_trace(path).events()) for path in (agent.folder / "run.jsonl", trace))
    assert second[0]["metadata"]["rerun"] == {
        "verdict": "pending",
        "of": first[0]["execution_id"],
        "recording": str(agent.folder / "run.jsonl"),
    }
    assert [event["event_type"] for event in second] == [event["event_type"] for event in first]
    assert not (agent.folder / "trace_latest.jsonl").exists()
    third = agent.run("rerun", str(trace))
    assert (third.status, third.out) == (0, again.out)


def test_json_lines_stand_alone_on_stdout(agent):
    """The report is on stdout, and what the program prints on stderr."""
    again = agent.rerun("--format", "jsonl")
    assert [row["result"] for row in again.rows] == ["rerun"]
    assert agent.first.out.decode() in again.err.decode()


NONDETERMINISTIC = """
import datetime, os, random, secrets, sys, time, uuid
from concurrent.futures import ThreadPoolExecutor
import urllib3

http = urllib3.PoolManager(maxsize=8)

def ask(text):
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}]}
    answer = http.request("POST", os.environ["OPENAI_BASE_URL"] + "/chat/completions", json=body).json()
    return answer["choices"][0]["message"]["content"]

print(ask(f"{datetime.datetime.now()} {uuid.uuid4()} {random.random()} {secrets.token_hex(4)}"))
print(ask(f"{time.time()} {set('abcdefgh')} {sys.stdin.readline().strip()} {sys.argv[1:]}"))
with ThreadPoolExecutor(3) as pool:
    for answer in pool.map(lambda n: ask(f"part {n} {random.random()} {uuid.uuid4()}"), range(6)):
        print(answer)
"""


def test_times_random_ids_stdin_and_arguments_are_those_of_the_recording(bench):
    """Prompts made of all of these are asked in the same words, in threads too."""
    bench.write(NONDETERMINISTIC)
    first = bench.record("app.py", "--", "one", "two words", stdin=b"typed\nnot read\n")
    assert b"typed ['one', 'two words']" in first.out
    again = bench.rerun("--strict", stdin=b"something else\n")
    assert (again.status, again.out) == (0, first.out), again.told


DRAWING_TOOLS = """
import asyncio, random, time, uuid
from concurrent.futures import ThreadPoolExecutor
from namel3ss_debug.hooks import trace_tool_call
from openai import OpenAI

async def reader():
    return uuid.uuid4()

async def readers():
    return await asyncio.gather(reader(), reader())

def draw():
    with ThreadPoolExecutor(1) as pool:
        in_a_thread = pool.submit(random.random).result()
    return f"{random.random()} {uuid.uuid4()} {time.time()} {in_a_thread} {asyncio.run(readers())}"

def get_weather(city):
    return draw()

@trace_tool_call
def look(word):
    return draw()

@trace_tool_call
async def search(word):
    return [uuid.uuid4(), *await readers()] and 1

tool = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}

def ask():
    messages = [{"role": "user", "content": draw()}]
    OpenAI().chat.completions.create(model="gpt-4o-mini", messages=messages, tools=[tool])

for _ in range(2):
    ask()
    get_weather("Rome")
    look("snow")
    asyncio.run(search("snow"))
ask()
"""


def test_what_a_tool_draws_shifts_no_number_after_it(bench):
    """A tool that is answered draws nothing, reads no clock and starts nothing; the program has the same numbers all the same."""
    bench.write(DRAWING_TOOLS)
    bench.record("app.py")
    again = bench.rerun("--strict")
    assert again.status == 0, again.told
    assert "new input" not in again.told


ASKING_TOOLS = """
import asyncio
from namel3ss_debug.hooks import trace_tool_call

@trace_tool_call
def name():
    return input("name? ") + input("surname? ")

@trace_tool_call
async def confirm(what):
    return await asyncio.to_thread(input, f"{what}? ") + name()

print("first", input())
name()
print("second", input())
asyncio.run(confirm("sure"))
print("third", input())
"""


def test_the_lines_that_a_tool_read_are_not_those_of_the_program(bench):
    """A tool that asks a person is answered, or mocked, and what the program reads next is what it read then."""
    bench.write(ASKING_TOOLS)
    first = bench.record("app.py", stdin=b"a\nBob\nMay\nb\nyes\nAnn\nLee\nc\n")
    assert first.out.splitlines()[-1].endswith(b"third c")
    for options in ((), ("--mock", 'name@1:"Tom"')):
        again = bench.rerun(*options)
        assert (again.status, again.out) == (0, b"first a\nsecond b\nthird c\n"), again.told


PARALLEL = """
import asyncio
from openai import AsyncOpenAI

async def worker(client, name):
    said = []
    for turn in range(2):
        answer = await client.chat.completions.create(
            model="gpt-4o-mini", messages=[{"role": "user", "content": f"{name} {turn} {len(done)}"}]
        )
        done.append(f"{name} {turn}")
        said.append(answer.choices[0].message.content)
    return said

async def main():
    async with AsyncOpenAI() as client:
        print(await asyncio.gather(*(worker(client, name) for name in "abc")))
    print(done)

done = []
asyncio.run(main())
"""


def test_three_parallel_calls_complete_in_the_recorded_order(bench):
    """What a worker asks depends on which of the others were ready before it."""
    bench.write(PARALLEL)
    first = bench.record("app.py")
    again = bench.rerun("--strict")
    assert (again.status, again.out) == (0, first.out), again.told


def test_answers_take_their_time_where_they_are_to(bench):
    """With --realtime a stream comes at the pace of the recording, and says the same."""
    bench.write((PROGRAMS / "openai_stream.py").read_text())
    first = bench.record("app.py")
    again = bench.rerun("--realtime")
    assert (again.status, again.out) == (0, first.out), again.told


@pytest.mark.slow
@pytest.mark.parametrize("name", ["parallel", "threads", "openai_retry_429", "anthropic_tools"])
def test_twenty_runs_are_the_same(bench, name):
    """Twenty re-runs of one recording: the same bytes and no divergence each time."""
    programs = {"parallel": PARALLEL, "threads": NONDETERMINISTIC}
    bench.write(programs.get(name) or (PROGRAMS / f"{name}.py").read_text())
    first = bench.record("app.py", stdin=b"typed\n")
    for _ in range(20):
        again = bench.rerun("--format", "jsonl")
        assert (again.status, of_program(again.err)) == (0, first.out.decode() + of_program(first.err))


def test_a_live_part_runs_models_and_tools_for_real_and_shows_what_changed(agent):
    """What comes before the event is answered; a tool that was edited runs, and the models read its result."""
    edited(agent, ('"temp_c": 21', '"temp_c": -3'))
    asked = agent.rerun("--live-from", str(PARIS_TOOL), environment=agent.environment)
    assert asked.status == 2
    assert asked.told.count("\n") == 1
    assert "models: gpt-4o-mini (4 calls), about $0.0" in asked.told
    assert "tools: get_weather (2 calls), get_time" in asked.told
    assert "add --yes" in asked.told
    assert not agent.model.requests
    live = ("--live-from", str(PARIS_TOOL), "--yes")
    again = agent.rerun(*live, environment=agent.environment)
    told = " ".join(again.told.split())
    assert again.status == 0, again.told
    assert b"'temp_c': -3" in again.out
    assert len(agent.model.requests) == 4
    assert (
        f"Your change took effect: from event {PARIS_TOOL + 1} on the run differs, and the outcome is now: "
        in told
    )
    assert "result.temp_c 21 -> -3" in told
    (trace,) = agent.again
    events = list(open_trace(trace).events())
    assert events[0]["metadata"]["rerun"]["live_from"] == PARIS_TOOL
    assert events[-1]["metadata"]["rerun"]["verdict"] == "changed"


@pytest.mark.parametrize(("limit", "status"), [(6, 0), (5, 1)])
def test_rules_decide_whether_a_live_part_succeeds(agent, limit, status):
    """Status 1 where the changed run breaks one, and 0 where it keeps all."""
    edited(agent, ("describe {city}", "praise {city}"))
    rules = agent.folder / "rules.json"
    rules.write_text(json.dumps({"checks": [{"name": "calls", "calls": "llm", "at_most": limit + 1}]}))
    live = ("--live-from", str(PARIS), "--yes", "--check", str(rules))
    again = agent.rerun(*live, environment=agent.environment)
    assert again.status == status, again.told
    assert ("calls" in again.told.partition("recorded in")[2]) == bool(status)


def test_the_network_is_closed(bench):
    """A program that opens a connection of its own is refused, and told so."""
    bench.write(
        "import socket\n"
        "try:\n    socket.create_connection(('192.0.2.1', 80), 0.2)\n"
        "except OSError as error:\n    print(type(error).__name__)\n"
    )
    bench.record("app.py")
    again = bench.rerun()
    assert again.out == b"ConnectionRefusedError\n"
    assert again.status == 1
    assert "192.0.2.1:80 at app.py:3: the network is closed" in " ".join(again.told.split())


BLOCKS = """
from openai import OpenAI

from namel3ss_debug import get_global_tracer

client = OpenAI()
for word in ("one", "two"):
    with get_global_tracer().span("tool", "ask", inputs={"word": word}) as span:
        messages = [{"role": "user", "content": word}]
        answer = client.chat.completions.create(model="gpt-4o-mini", messages=messages)
        span.set_output("answered")
"""


def test_what_is_asked_within_a_block_of_a_tool_is_answered(bench):
    """The block is no call: nothing answers it, and an edited question in it gets the answer that belongs to it."""
    bench.write(BLOCKS)
    bench.record("app.py")
    again = bench.rerun()
    assert (again.status, again.out) == (0, b"")
    assert again.told.startswith("The re-run matches the trace.\n")
    assert (
        " ".join(again.told.split()).count("answered 2 as recorded namel3ss debug: the re-run is recorded")
        == 1
    )
    bench.write(BLOCKS.replace('"one", "two"', '"ONE", "TWO"'))
    edited = bench.rerun("--format", "jsonl")
    assert [row.get("kind") for row in edited.rows] == ["changed", "changed", None]


def test_an_answer_that_was_cut_ends_the_run_with_the_setting(bench):
    """The line names the call, the event and what would have kept the answer; to leave there is no success."""
    bench.write(AGENT)
    bench.environment["NAMEL3SS_DEBUG_MAX_PAYLOAD_SIZE"] = "600"
    bench.record("app.py")
    again = bench.rerun()
    told = " ".join(again.told.split())
    assert again.status == 2
    assert "but the answer was cut" in told
    assert "record it again with max_payload_size 0" in told
    assert "--mock 'llm@" in told
    left = bench.rerun("--step", *commands("continue", "quit"))
    assert left.status == 2
    assert "The re-run could not go on." in left.told


def test_an_answer_that_is_nested_too_deeply_is_not_told_to_be_recorded_again(bench):
    """Where the setting was in force already, what is left to do is told, and the long path of the place is cut."""
    bench.write(
        """
from namel3ss_debug.hooks import trace_tool_call

@trace_tool_call
def walk():
    found = []
    for _ in range(120):
        found = [found]
    return found

walk()
"""
    )
    bench.record("app.py")
    again = bench.rerun()
    told = " ".join(again.told.split())
    assert again.status == 2
    assert "but the answer was cut ($[0][0]" in told
    assert "[0][0]: $truncated): run the tool with --run-tools walk, or give an answer with" in told
    assert "max_payload_size" not in told
    assert len(told.partition("was cut (")[2].partition(":")[0]) < 70


def test_a_tool_result_that_is_no_plain_data_names_the_option_that_runs_it(bench):
    """With that option the run is through."""
    text = AGENT.replace('return f"12:00 {zone}"', "return Time(zone)").replace(
        "http = ", "class Time:\n    def __init__(self, zone):\n        self.zone = object()\n\nhttp = "
    )
    bench.write(
        text.replace("json.dumps(result)", "json.dumps(str(type(result)))").replace("print(call", "(call")
    )
    first = bench.record("app.py")
    again = bench.rerun()
    assert again.status == 2
    assert "run the tool with --run-tools get_time" in " ".join(again.told.split())
    assert bench.rerun("--run-tools", "get_time").out == first.out


def test_an_object_that_a_tool_returned_is_returned_again(bench):
    """Of a class of the program's that nothing marks as data; a condition and a mock speak of what it holds."""
    time = "class Time:\n    def __init__(self, zone):\n        self.zone = zone\n\nhttp = "
    text = AGENT.replace('return f"12:00 {zone}"', "return Time(zone)").replace("http = ", time)
    told = 'json.dumps(getattr(result, "zone", result))'
    bench.write(text.replace("json.dumps(result)", told).replace("print(call", "(call"))
    first = bench.record("app.py")
    again = bench.rerun()
    assert (again.status, again.out) == (0, first.out)
    assert "as recorded" in again.told
    mocked = bench.rerun("--mock", 'get_time@1.result.zone="UTC"')
    assert "1 by your overrides" in mocked.told


REFUSED = """
from namel3ss_debug.hooks import trace_tool_call

class Refused(Exception):
    def __init__(self, code, *, hint):
        super().__init__(f"refused {code}")
        self.code, self.hint = code, hint

@trace_tool_call
def book(day):
    raise Refused(day, hint=HINT)

try:
    book(4)
except Refused as error:
    print(error, error.code, error.hint)
"""


def test_an_exception_of_a_tool_comes_back_with_its_attributes(bench):
    """Those that are plain data, whatever its class wants to be made of."""
    bench.write(REFUSED.replace("HINT", "('try', {'monday'})"))
    first = bench.record("app.py")
    again = bench.rerun()
    assert (again.status, again.out) == (0, first.out), again.told
    assert first.out == b"refused 4 4 ('try', {'monday'})\n"


def test_an_exception_that_holds_no_plain_data_names_the_option_that_runs_the_tool(bench):
    """As a result does; with that option the run is through."""
    bench.write(REFUSED.replace("HINT", "type('Hint', (), {'__str__': lambda self: 'monday'})()"))
    first = bench.record("app.py")
    again = bench.rerun()
    assert (again.status, again.out) == (2, b"")
    assert "run the tool with --run-tools book" in " ".join(again.told.split())
    assert bench.rerun("--run-tools", "book").out == first.out == b"refused 4 4 monday\n"


WEATHER = """
import dataclasses, datetime, enum, pathlib
from collections import Counter
from zoneinfo import ZoneInfo
from pydantic import BaseModel
from namel3ss_debug.hooks import trace_tool_call

class Sky(enum.Enum):
    CLEAR = "clear"
    GREY = "grey"

class Wind(BaseModel):
    speed: float

@dataclasses.dataclass(frozen=True)
class Weather:
    city: str
    sky: Sky
    wind: Wind
    at: datetime.datetime

@trace_tool_call
def weather(city):
    pathlib.Path("called").touch()
    return Weather(city, Sky.CLEAR, Wind(speed=2.5), datetime.datetime(2026, 11, 22, tzinfo=ZoneInfo("Europe/Oslo")))

found = weather("Oslo")
print(found, found.sky is Sky.CLEAR, found.wind.model_copy(), Counter(found.city))
"""


def test_a_tool_that_returns_an_object_returns_one_in_a_re_run(bench):
    """Of the class that the program has, with all that it held, and the function does not run; its fields can be mocked."""
    bench.write(WEATHER)
    first = bench.record("app.py")
    (bench.folder / "called").unlink()
    again = bench.rerun()
    assert (again.status, again.out) == (0, first.out), again.told
    assert not (bench.folder / "called").exists()
    other = bench.rerun("--mock", "weather.result.sky=grey", "--mock", "weather.result.wind.speed=9.5")
    said = first.out.replace(b"Sky.CLEAR: 'clear'", b"Sky.GREY: 'grey'").replace(b"True", b"False")
    assert other.out == said.replace(b"speed=2.5", b"speed=9.5"), other.told


def test_an_object_of_a_class_that_is_gone_is_told_and_given_as_json(bench):
    """The program was edited since."""
    bench.write(WEATHER)
    bench.record("app.py")
    bench.write(WEATHER.replace("Wind", "Breeze"))
    again = bench.rerun()
    assert "this program has no class __main__.Wind" in " ".join(again.told.split())


LAZY = """
from namel3ss_debug.hooks import trace_tool_call

class FullError(Exception):
    def __init__(self, table):
        super().__init__("full")
        self.table = table

@trace_tool_call
def book(fails):
    from tables import Table
    if fails:
        raise FullError(Table(4))
    return Table(4)

print(type(book(False)).__name__)
try:
    book(True)
except FullError as error:
    print(type(error.table).__name__)
"""


def test_an_answer_of_a_class_that_only_the_tool_imports_does_not_count_as_recorded(bench):
    """The tool does not run, and so the class is not there; neither is what its exception held."""
    bench.write("import dataclasses\n\n@dataclasses.dataclass\nclass Table:\n    seats: int\n", "tables.py")
    bench.write(LAZY)
    assert bench.record("app.py").out == b"Table\nTable\n"
    again = bench.rerun()
    assert (again.status, again.out) == (1, b"dict\nstr\n")
    assert "The re-run diverges from the trace: 2 result" in again.told
    assert again.told.count("tables.Table -> cannot be made here") == 2
    bench.write("import tables\n" + LAZY)
    assert bench.rerun().status == 0


WITH_A_PERSON = """
from langgraph.errors import GraphInterrupt
from langgraph.types import Interrupt
from namel3ss_debug.hooks import trace_tool_call

@trace_tool_call
def pay(amount):
    raise GraphInterrupt((Interrupt({"pay": amount}),))

try:
    pay(5)
except GraphInterrupt as asked:
    print(asked.args[0][0].value)
"""


def test_a_tool_that_asks_a_person_asks_again(bench):
    """The framework gets the question as it was, and the call is pending, not failed, in both recordings."""
    (bench.folder / "langgraph").mkdir()
    bench.write("class GraphInterrupt(Exception):\n    pass\n", "langgraph/errors.py")
    types = "import dataclasses\n\n@dataclasses.dataclass\nclass Interrupt:\n    value: object\n    id: str = 'a'\n"
    bench.write(types, "langgraph/types.py")
    bench.write(WITH_A_PERSON)
    first = bench.record("app.py")
    again = bench.rerun()
    assert (again.status, again.out) == (0, first.out), again.told
    assert first.out == b"{'pay': 5}\n"
    for path in (bench.folder / "run.jsonl", *bench.again):
        (end,) = [event for event in open_trace(path).events() if event["event_type"] == "tool_call_end"]
        assert (end["status"], "error" in end) == ("pending", False)


def test_a_recording_without_payloads_is_refused(bench):
    """Before anything is run, with what can still be done."""
    bench.write(AGENT)
    bench.record("--level", "basic", "app.py")
    again = bench.rerun()
    assert (again.status, again.out) == (2, b"")
    assert "level basic" in again.told
    assert "debug replay --step steps through the trace" in again.told


def test_a_program_that_is_gone_is_named(agent):
    """One line says where it was, and what can still be done."""
    (agent.folder / "app.py").unlink()
    again = agent.rerun()
    assert again.status == 2
    assert f"there is no app.py in {agent.folder}" in again.told
    assert "--step steps through the trace" in again.told
    assert again.told.count("\n") == 1


def test_a_recording_that_was_made_elsewhere_is_named(agent):
    """The working directory of the trace has to be there."""
    path = agent.folder / "run.jsonl"
    path.write_text(path.read_text().replace(f'"cwd":"{agent.folder}"', '"cwd":"/nowhere/at/all"'))
    again = agent.rerun("--trust")
    assert again.status == 2
    assert "was recorded in /nowhere/at/all, which is not there" in again.told


def test_another_program_under_the_same_name_is_told_by_what_it_asks(agent):
    """It is newer than the trace, and its first call is not in it."""
    agent.write(
        AGENT.replace("greet()\n    plan()", "other()\n    plan()")
        .replace("def greet", "def other")
        .replace("hello there", "who are you")
    )
    again = agent.rerun()
    assert again.status == 1
    assert "newer than the trace: app.py" in again.told
    assert "[-hello there-]{+who are you+}" in again.told


def test_a_first_segment_that_was_rotated_away_is_refused(bench):
    """The events before it hold answers, and how the program began."""
    bench.write(AGENT)
    bench.environment |= {"NAMEL3SS_DEBUG_ROTATE_MAX_BYTES": "6000", "NAMEL3SS_DEBUG_ROTATE_KEEP": "2"}
    bench.record("app.py")
    left = sorted(bench.folder.glob("run*.jsonl"))
    again = bench.run("rerun", str(left[0]))
    assert again.status == 2
    assert "were rotated away" in again.told
    assert "record it again with rotate_keep 0" in again.told


def test_events_that_are_lost_are_told_and_the_others_still_answer(agent):
    """A segment in the middle that is missing leaves a note, and a call whose answer was there ends the run."""
    path = agent.folder / "run.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:TRIP] + lines[TRIP + 2 :]))
    again = agent.rerun()
    told = " ".join(again.told.split())
    assert again.status == 2
    assert "events are missing in the trace (2)" in told
    assert "the end of the call is missing in the trace" in told


def test_a_replay_names_the_command_that_runs_again(bench):
    """Whatever options of a re-run are beside `--rerun`."""
    refused = bench.run("replay", "run.jsonl", "--rerun", "--strict")
    assert refused.status == 2
    assert refused.told == "namel3ss debug: replay --rerun is now: rerun (see namel3ss-debug replay --help)\n"
    assert "there is no option --filter" in bench.rerun("--filter", "llm").told
    assert "--yes is for --live-from" in bench.rerun("--yes").told
    assert "there is no option --from" in bench.rerun("--from", "3").told


def test_an_event_that_is_not_there_is_refused(agent):
    """--live-from behind the end of the trace."""
    again = agent.rerun("--live-from", "999")
    assert again.status == 2
    assert "events, numbered from 1" in again.told


def test_a_mock_answers_a_function_that_is_no_tool_of_the_model(agent):
    """With its component before its name, and also before the first call of a model."""
    again = agent.rerun("--mock", "tool:greet:null")
    assert again.out.splitlines() == agent.first.out.splitlines()[1:]
    assert "1 by your overrides" in again.told
    assert "The re-run diverges from the trace: 1 missing" in again.told


def test_a_mock_of_the_wrong_shape_is_refused_before_the_program_runs(agent):
    """The message has the shape that a model's answer has."""
    again = agent.rerun("--mock", "llm:[1, 2]")
    assert (again.status, again.out) == (2, b"")
    assert "text" in again.told


def test_a_mistyped_name_is_refused_before_the_program_runs(agent):
    """Nothing of the trace has it, so the nearest name is told; of a fault as well."""
    for option, what in (("--mock", 'get_wether:{"temp_c": -30}'), ("--fault", "get_wether:timeout")):
        again = agent.rerun(option, what)
        assert (again.status, again.out) == (2, b"")
        assert "did you mean 'get_weather'?" in again.told


def test_a_name_that_only_new_code_calls_is_a_note_and_unverified_if_it_is_never_called(agent):
    """With its component, or as a further call of a name that is there, it is taken as meant."""
    again = agent.rerun("--mock", "tool:refund:1", "--mock", "get_weather@9:1")
    assert (again.status, again.out) == (1, agent.first.out)
    assert "The re-run is not verified: 2 unused names." in again.told
    told = " ".join(again.told.split())
    assert "tool:refund: the trace has no such call" in told
    assert "get_weather@9: the trace has only" in told
    assert "Mock tool:refund was never used; the program has tools get_time, get_weather." in told
    assert "Mock get_weather@9 was never used; it was called only " in told


@pytest.mark.parametrize("option", ["--run-tools", "--run-commands"])
def test_a_name_to_run_that_reaches_nothing_is_refused_or_unverified(agent, option):
    """Unchanged code calls what it called, so the mistake is known at once; changed code might have called it."""
    again = agent.rerun(option, "get_wether")
    assert (again.status, again.out, agent.again) == (2, b"", [])
    assert f"{option} get_wether: the trace holds no such" in again.told
    edited(agent, ("import json", "import  json"))
    again = agent.rerun(option, "get_wether")
    assert (again.status, again.out) == (1, agent.first.out)
    assert f"{option} get_wether was never used" in " ".join(again.told.split())


WAITING = """
import os, sys, time, urllib3
body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}
url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
print(urllib3.PoolManager().request("POST", url, json=body).json()["choices"][0]["message"]["content"], flush=True)
if not os.path.exists("wait"):
    raise SystemExit
try:
    print("waiting", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_reach_the_program_and_end_the_rerun(bench, number):
    """Ctrl-C interrupts the program, and the status is 130; SIGTERM ends both, and nothing is left running."""
    bench.write(WAITING)
    bench.record("app.py")
    (bench.folder / "wait").touch()
    command = [sys.executable, "-m", "namel3ss_debug", "rerun", "run.jsonl"]
    with subprocess.Popen(
        command, cwd=bench.folder, env=bench.without, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as shell:
        assert shell.stdout.readline() == b"You said: hello\n"
        assert shell.stdout.readline() == b"waiting\n"
        children = psutil.Process(shell.pid).children(recursive=True)
        shell.send_signal(number)
        out, _err = shell.communicate(timeout=30)
    assert shell.returncode == (130 if number == signal.SIGINT else 143)
    assert out == (b"interrupted\n" if number == signal.SIGINT else b"")
    assert not [child for child in children if child.is_running()]


def impatient(bench):
    """Return the environment in which a program may do nothing for one second longer than in its trace."""
    return bench.without | {"NAMEL3SS_DEBUG_HANG_SECONDS": "1"}


HANGS = """
import logging, threading
sys.stdout.flush()

def note():
    while True:
        logging.warning("still here")
        threading.Event().wait(0.1)

threading.Thread(target=note, daemon=True).start()
threading.Event().wait()
"""


@pytest.mark.parametrize("options", [(), ("--step", *("-c", "continue"))])
def test_a_program_that_hangs_after_its_last_call_is_stopped(agent, options):
    """What it logs meanwhile is no progress; the calls until then are compared, and the re-run is incomplete."""
    edited(agent, ("\nmain()", "\nmain()\n" + HANGS))
    again = agent.rerun(*options, environment=impatient(agent))
    told = " ".join(again.told.split())
    assert (again.status, again.out) == (2, agent.first.out)
    assert "the program has done nothing for" in told
    assert "the setting hang_seconds lets it wait longer" in told


def commands(*words):
    """The options that give commands to the shell."""
    return [part for word in words for part in ("-c", word)]


def test_a_rerun_is_walked_through(agent):
    """Breakpoints, answers and faults at the prompt are those of any session; the program prints as it goes."""
    again = agent.rerun(
        "-b",
        "tool:get_weather",
        *commands(
            "continue",
            'mock get_weather@2:{"temp_c": -30}',
            "fault llm@5:status:500:down",
            "continue",
            "continue",
        ),
    )
    lines = again.out.decode().splitlines()
    assert lines[3] == "get_weather {'temp_c': -30}"
    assert lines[6] == "down"
    assert "breakpoint 1, tool:get_weather" in again.told
    assert "fault llm@5:status:500:down" in again.told
    assert "The re-run is not verified: 1 stale model call." in again.told


def test_a_call_without_an_answer_waits_for_one_from_the_prompt(agent):
    """It is told in one line; with a mock the walk goes on."""
    edited(agent, ('"Rome", "Oslo")', '"Rome", "Oslo", "Bern")'))
    again = agent.rerun(*commands("continue", "mock llm@8.text=given at the prompt", "continue"))
    assert again.out.decode().splitlines()[-1] == "given at the prompt"
    assert again.told.count("and the trace holds no answer for this call; it holds") == 1


INTERLEAVED = """
import asyncio
from openai import AsyncOpenAI

async def read(client, name):
    messages = [{"role": "user", "content": f"hello {name}"}]
    stream = await client.chat.completions.create(model="gpt-4o-mini", messages=messages, stream=True)
    async for chunk in stream:
        print(name, chunk.choices[0].delta.content, flush=True)
    print(name, "has ended", flush=True)

async def main():
    async with AsyncOpenAI() as client:
        await asyncio.gather(*(read(client, name) for name in "abc"))

asyncio.run(main())
"""


def test_interleaved_streams_keep_the_order_of_their_ends(bench):
    """The chunks of each come at once, so only the order within a task and that of the ends is the recorded one."""
    bench.write(INTERLEAVED)
    first = bench.record("app.py").out.decode().splitlines()
    again = bench.rerun()
    assert again.status == 0, again.told
    shown = again.out.decode().splitlines()
    for kept in ("a ", "b ", "c ", ("a has ended", "b has ended", "c has ended")):
        assert [text for text in shown if text.startswith(kept)] == [
            text for text in first if text.startswith(kept)
        ]


def test_a_program_that_lives_on_answers_cannot_be_detached(agent):
    """It would make its calls for real."""
    again = agent.rerun(*commands("step", "detach", "continue"))
    assert "cannot be" in again.told
    assert again.out == agent.first.out


def test_commands_may_stand_on_stdin(agent):
    """The program reads what was recorded, so stdin is free for the debugger."""
    again = agent.rerun("--step", stdin=b"continue\n")
    assert again.out == agent.first.out
    assert again.status == 0


def test_a_given_command_that_cannot_be_done_is_in_the_status(agent):
    """Whoever gave it is not there to read it; the program runs to its end all the same."""
    again = agent.rerun(*commands("brake tool", "continue"))
    assert (again.status, again.out) == (2, agent.first.out)
    assert "The re-run matches the trace." in again.told
    typed = agent.rerun("--step", stdin=b"brake tool\ncontinue\n")
    assert typed.status == 0


def test_a_rerun_is_walked_through_by_a_program(agent):
    """Commands are the lines of stdin; stdout has nothing but JSON, first their results and then the report."""
    again = agent.rerun("--step", "--format", "jsonl", stdin=b"tbreak tool\ncontinue\nprint n\ncontinue\n")
    assert [row["result"] for row in again.rows] == [
        "stopped",
        "message",
        "stopped",
        "value",
        "stopped",
        "rerun",
    ]
    assert (again.rows[2]["number"], again.rows[2]["waiting"]) == (PARIS_TOOL, True)
    assert again.err.decode().startswith(agent.first.out.decode())
    assert again.status == 0


def test_a_rerun_in_a_walk_leads_to_the_same_call_behind_tools_that_did_something(bench):
    """What happened in these does not happen again, so events have other numbers there."""
    program = (PROGRAMS / "anthropic_tools.py").read_text()
    bench.write(program.replace("    return {", "    import time; time.time()\n    return {"))
    bench.record("app.py")
    typed = b'tbreak get_time\ncontinue\nmock get_time:"late"\nrerun\nprint inputs.arguments\ncontinue\n'
    again = bench.run("replay", "run.jsonl", "--step", stdin=typed)
    assert '{"zone": "CET"}' in again.told
    assert b"get_time late\n" in again.out
    assert "1 by your overrides" in again.told


def test_a_missing_key_that_is_no_data_is_told_to_the_model_as_it_was(bench):
    """As of a dict of operations by the classes of a syntax tree; what is missing in the exception is one line."""
    program = (PROGRAMS / "anthropic_tools.py").read_text()
    program = program.replace('return f"12:00 {zone}"', "return {}[type(zone)]")
    asked = '{"get_weather": get_weather, "get_time": get_time}[block.name](**block.input)'
    assert asked in program
    tried = "def tried(run, asked):\n    try:\n        return run(**asked)\n    except KeyError as problem:\n        return f'no {problem}'\n"
    bench.write(
        f"{tried}{program.replace(asked, asked.replace('(**block.input)', '').join(('tried(', ', block.input)')))}"
    )
    first = bench.record("app.py")
    assert b"get_time no <class 'str'>\n" in first.out
    again = bench.rerun()
    assert (again.status, again.out) == (0, first.out), again.told
    said = "during the re-run: KeyError is raised without args, which the trace does not contain"
    assert said in again.told


AT_A_TERMINAL = """
import sys
from rich.console import Console
said = input() if sys.stdin.isatty() else "nobody to ask"
print(sys.stdin.isatty(), Console(file=sys.stdin).is_terminal, said, file=sys.stderr)
"""


def test_what_was_typed_at_a_terminal_comes_from_one_in_a_re_run(bench):
    """A program that asks whether its standard input is one goes the same way, a library that would set it does not."""
    bench.write(AT_A_TERMINAL)
    ours, theirs = os.openpty()
    os.write(ours, b"typed\n")
    command = [sys.executable, "-m", "namel3ss_debug", "trace", "-o", "run.jsonl", "app.py"]
    done = subprocess.run(
        command, cwd=bench.folder, env=bench.environment, stdin=theirs, capture_output=True, check=True
    )
    os.close(ours)
    os.close(theirs)
    assert done.stderr.startswith(b"True True typed\n")
    again = bench.rerun("--ignore", "True (True|False)")
    assert again.told.startswith("True False typed\nThe re-run matches the trace.\n")
    assert bench.run("rerun", str(bench.again[0])).told.startswith("True False typed\n")
    bench.record("app.py")
    assert bench.rerun().told.startswith("False False nobody to ask\n")


def test_a_breakpoint_of_an_unknown_name_is_named_before_and_after_a_walk(agent):
    """Before the program runs with the names of the trace, at the end with those of the program; so are overrides."""
    again = agent.rerun("-b", "tool:get_wether", "--mock", "tool:refund:1", *commands("continue", "continue"))
    told = " ".join(again.told.split())
    assert (
        "Breakpoint 1 (tool:get_wether) may never be hit; the trace has tools get_weather, get_time." in told
    )
    assert (
        "Breakpoint 1 (tool:get_wether) was never hit; the program has tools get_weather, get_time." in told
    )
    assert "Mock tool:refund was never used; the program has tools get_time, get_weather." in told


def test_quit_ends_the_program(agent):
    """What has not come by then is not missed."""
    again = agent.rerun("-b", "tool", *commands("continue", "quit"))
    assert again.out.decode() == "You said: hello there\nYou said: plan a trip\n"
    assert "missing" not in again.told


def test_a_walk_through_the_recording_becomes_a_rerun_from_here(agent):
    """`rerun` runs the program up to the event, with the answers of the walk."""
    typed = b'goto 9\nmock get_weather@2:{"temp_c": -30}\nrerun\nprint number\ncontinue\n'
    again = agent.run("replay", "run.jsonl", "--step", stdin=typed)
    lines = again.out.decode().splitlines()
    assert "get_weather {'temp_c': -30}" in lines
    assert "waiting before this call" in again.told
    assert "The re-run is not verified: 1 stale model call." in again.told


def test_a_rerun_keeps_the_breakpoints_of_the_walk(agent):
    """They stop nothing before the event at which the walk stood; what is given behind `rerun` is for the re-run."""
    given = commands("break llm", "display n", f"goto {PARIS_TOOL}", "rerun ;; info breakpoints", "continue")
    again = agent.run("replay", "run.jsonl", *given)
    assert "breakpoint 1, llm\nwaiting before this call\n->    20" in again.told
    assert "1  break  llm          0" in again.told
    assert again.told.count("1: n = ") == 2
    assert "The re-run matches the trace." in again.told
    assert again.status == 0
    wrong = agent.run("replay", "run.jsonl", *commands("brake llm", "rerun", "continue"))
    assert wrong.status == 2


def test_a_walk_of_json_lines_becomes_a_rerun_of_json_lines(agent):
    """Nothing that the program prints comes between them."""
    typed = f"goto {PARIS_TOOL}\nrerun\nreturn\ncontinue\n".encode()
    again = agent.run("replay", "run.jsonl", "--step", "--format", "jsonl", stdin=typed)
    assert [(row["result"], row.get("number")) for row in again.rows] == [
        ("stopped", 1),
        ("stopped", PARIS_TOOL),
        ("rerun", PARIS_TOOL),
        ("stopped", PARIS_TOOL),
        ("stopped", PARIS_TOOL + 1),
        ("stopped", 32),
        ("rerun", None),
    ]


def test_a_recording_that_cannot_be_run_again_is_walked_on(bench):
    """The refusal is one line at the prompt."""
    bench.write(AGENT)
    bench.record("--level", "basic", "app.py")
    again = bench.run("replay", "run.jsonl", "--step", stdin=b"goto 9\nrerun\nwhen\n")
    assert b"was recorded at level basic" in again.out
    assert b"event 9 of" in again.out
    assert again.status == 0


FUNCTION = """
import os, urllib3

def main(name, times=1):
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": f"{name} {times}"}]}
    url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
    print(urllib3.PoolManager().request("POST", url, json=body).json()["choices"][0]["message"]["content"])

if __name__ == "__main__":
    main("module")
"""


@pytest.mark.parametrize(
    "words",
    [
        ["-m", "pkg"],
        ["pkg.__main__:main", "--run-args", '{"name": "function", "times": 2}'],
        ["pkg/__main__.py"],
    ],
)
def test_modules_functions_and_scripts_are_started_as_they_were(bench, words):
    """With the arguments of the function, and from the working directory of the recording."""
    (bench.folder / "pkg").mkdir()
    bench.write(FUNCTION, "pkg/__main__.py")
    first = bench.record(*words)
    again = bench.run("rerun", str(bench.folder / "run.jsonl"))
    assert (again.status, again.out) == (0, first.out), again.told


PROCESSES = """
import multiprocessing, os, subprocess, sys, urllib3

def ask(text):
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}]}
    url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
    return urllib3.PoolManager().request("POST", url, json=body).json()["choices"][0]["message"]["content"]

def work(name):
    print(ask(name), flush=True)

if __name__ == "__main__":
    if len(sys.argv) > 1:
        work(sys.argv[1])
    else:
        for method in ("fork", "spawn"):
            process = multiprocessing.get_context(method).Process(target=work, args=(method,))
            process.start()
            process.join()
        subprocess.run([sys.executable, __file__, "started"], check=True)
        print(ask("last"))
"""


def test_processes_that_the_program_starts_get_their_answers(bench):
    """Forked, spawned and started ones: each asks over a connection of its own."""
    bench.write(PROCESSES)
    first = bench.record("app.py")
    assert first.out.decode().split("\n")[:3] == ["You said: fork", "You said: spawn", "You said: started"]
    again = bench.rerun()
    assert (again.status, again.out) == (0, first.out), again.told


IN_A_CHILD = """
if __name__ == "__main__":
    import multiprocessing, subprocess, sys
    if "started" in sys.argv:
        main()
    elif METHOD == "subprocess":
        subprocess.run([sys.executable, __file__, "started"], check=True)
    else:
        process = multiprocessing.get_context(METHOD).Process(target=main)
        process.start()
        process.join()
"""


@pytest.mark.parametrize(
    "method", [pytest.param("spawn", marks=pytest.mark.slow), "forkserver", "subprocess"]
)
def test_tools_in_the_script_that_another_process_runs_are_answered(bench, method):
    """The functions of the main module are tools there as well, and are answered by the recording or by a mock."""
    program = (PROGRAMS / "anthropic_tools.py").read_text().removesuffix("main()\n")
    bench.write(program + IN_A_CHILD.replace("METHOD", repr(method)))
    first = bench.record("app.py")
    events = open_trace(bench.folder / "run.jsonl").events()
    calls = [each["metadata"] for each in events if each["event_type"] == "tool_call_start"]
    assert [each.get("defined_at") for each in calls] == ["app.py:13", "app.py:13", "app.py:17"]
    again = bench.rerun("--mock", 'get_time:"late"')
    assert again.out == first.out.replace(b"get_time 12:00 CET", b"get_time late"), again.told
    assert again.status == 1, again.told
    assert "3 as recorded, 1 unverified, 1 by your overrides" in " ".join(again.told.split())


WITH_A_CHILD = """
import os, subprocess, sys, urllib3
from namel3ss_debug.hooks import trace_tool_call

def ask(text):
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}]}
    url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
    return urllib3.PoolManager().request("POST", url, json=body).json()["choices"][0]["message"]["content"]

@trace_tool_call
def fetch():
    code = "from app import ask; print(ask('in the child'))"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout

if __name__ == "__main__":
    print(fetch())
"""


def test_the_result_of_a_tool_that_starts_a_recorded_process_comes_back(bench):
    """What ends first is the process, and the tool after it."""
    bench.write(WITH_A_CHILD)
    first = bench.record("app.py")
    assert first.out == b"You said: in the child\n\n"
    again = bench.rerun()
    assert (again.status, again.out) == (0, first.out), again.told


def test_a_program_that_was_killed_in_a_call_is_stopped_there(bench):
    """The call was never answered, so the re-run is incomplete; what was before is as recorded."""
    killer = (
        "import signal, threading\nthreading.Timer(0.5, os.kill, (os.getpid(), signal.SIGKILL)).start()\n"
    )
    bench.write(AGENT.replace("hello there", "slow").replace("http = ", f"{killer}http = ", 1))
    bench.record("app.py")
    again = bench.rerun()
    assert again.status == 2, again.told
    assert again.told.startswith("The re-run matches the trace so far, but was ended before")
    assert "the trace ends inside this call, at event 3" in " ".join(again.told.split())


FORKS = """\
import os
from namel3ss_debug.hooks import trace_tool_call

@trace_tool_call
def number(n):
    return n

for n in range(4):
    print(number(n), flush=True)
    if n == 1 and os.path.exists("more"):
        child = os.fork()
        if not child:
            print("child", number(2), flush=True)
            os._exit(0)
        os.waitpid(child, 0)
"""


@pytest.mark.slow
def test_an_answer_that_another_process_has_got_is_not_given_again(bench):
    """What a forked process has got is used; the parent gets the answer of a later call, and the report says so."""
    bench.write(FORKS)
    bench.record("app.py")
    assert bench.rerun().out == b"0\n1\n2\n3\n"
    bench.write("", "more")
    ended = bench.rerun()
    assert (ended.status, ended.out) == (1, b"0\n1\nchild 2\n3\n3\n")
    assert "ambiguous  the request got the answer of another call" in ended.told


ASKS_ITSELF = """
import json, os, threading, urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

def ask(text):
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}]}
    url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    return json.load(urllib.request.urlopen(request))["choices"][0]["message"]["content"]

def get(path):
    return urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}{path}").read()

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = get("/inner") + b"!" if self.path == "/outer" else ask("hello there").encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        print(words[1])

server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(get("/outer").decode())
"""


def test_a_server_that_a_program_asks_itself_answers_again(bench):
    """Its handlers run and print, what they ask is answered from the recording, and an edit of one comes into effect."""
    bench.write(ASKS_ITSELF)
    first = bench.record("app.py")
    assert first.out.count(b"HTTP/1.1") == 2
    again = bench.rerun()
    assert (again.status, again.out) == (0, first.out), again.told
    assert "answered  1 as recorded, 2 for real" in again.told
    bench.write(ASKS_ITSELF.replace('b"!"', 'b"?"'))
    edited = bench.rerun()
    assert edited.out == first.out.replace(b"!", b"?")


ASKS_IN_TIME = """
import asyncio, os
from concurrent.futures import ThreadPoolExecutor, wait
import urllib3

def ask(text):
    body = {"model": "m", "messages": [{"role": "user", "content": text}]}
    url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
    return urllib3.PoolManager().request("POST", url, json=body).json()["choices"][0]["message"]["content"]

"""
OUTWAITED = {
    "future.result": """
with ThreadPoolExecutor() as pool:
    try:
        print(pool.submit(ask, "slow").result(timeout=0.5))
    except TimeoutError:
        print(ask("instead"))
""",
    "wait_for": """
async def main():
    try:
        print(await asyncio.wait_for(asyncio.to_thread(ask, "slow"), 0.5))
    except TimeoutError:
        print(await asyncio.to_thread(ask, "instead"))

asyncio.run(main())
""",
}
WAITS = """
with ThreadPoolExecutor() as pool:
    future = pool.submit(ask, "slow")
    done, _ = wait([future], timeout=0.5)
    print(future.result() if done else ask("instead"))
"""


@pytest.fixture
def slow_model():
    """Yield the address of a model that answers `slow` only after `instead` was asked for."""
    asked = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            """Answer with the question."""
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            question = body["messages"][-1]["content"]
            if question == "slow":
                asked.wait(timeout=60)
            asked.set()
            message = {"role": "assistant", "content": f"answer to {question}"}
            answer = {"model": "m", "choices": [{"index": 0, "finish_reason": "stop", "message": message}]}
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_words):
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()


@pytest.mark.parametrize("name", OUTWAITED)
def test_a_call_that_the_program_ceased_to_wait_for_takes_its_recorded_time(bench, slow_model, name):
    """The program's own timeout happens again, and with it the call that it makes instead."""
    bench.write(ASKS_IN_TIME + OUTWAITED[name])
    bench.environment = bench.environment | {"OPENAI_BASE_URL": slow_model}
    first = bench.record("app.py")
    assert first.out == b"answer to instead\n"
    again = bench.rerun()
    assert (again.status, again.out) == (0, first.out), again.told


def test_a_timeout_that_leaves_no_exception_is_repeated_with_realtime(bench, slow_model):
    """Nothing in the trace tells of it, so the report of the divergence names the option."""
    bench.write(ASKS_IN_TIME + WAITS)
    bench.environment = bench.environment | {"OPENAI_BASE_URL": slow_model}
    first = bench.record("app.py")
    again = bench.rerun()
    assert (again.status, again.out) == (1, b"answer to slow\n")
    assert "--realtime gives each answer at its recorded time" in " ".join(again.told.split())
    again = bench.rerun("--realtime")
    assert (again.status, again.out) == (0, first.out), again.told
    assert "--realtime" not in again.told


SERVES = """
from http.server import BaseHTTPRequestHandler, HTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.server.ended = True


server = HTTPServer(("127.0.0.1", 0), Handler)
server.ended = False
print(server.server_port, flush=True)
while not server.ended:
    server.handle_request()
"""


SERVES_APART = """
import subprocess, sys, time
from http.server import BaseHTTPRequestHandler, HTTPServer

if not sys.argv[1:]:
    sys.exit(subprocess.call([sys.executable, __file__, "serve"]))


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.server.ended = True


server = HTTPServer(("127.0.0.1", 0), Handler)
server.timeout, server.ended = 0.2, False
print(server.server_port, flush=True)
while not server.ended:
    time.time()
    server.handle_request()
"""


@pytest.mark.slow
def test_a_program_that_waits_for_requests_from_outside_is_ended_and_told(bench):
    """A re-run makes none: one line names the server and what can be done; the status says that it could not go on."""
    record_served(bench, SERVES)
    again = bench.rerun(environment=impatient(bench))
    assert again.status == 2
    told = " ".join(again.told.split())
    assert "app.py:12 listens on port" in told
    assert "a re-run does not repeat requests from outside" in told


@pytest.mark.slow
def test_a_walk_through_a_program_that_waits_for_requests_goes_on(bench):
    """The command that would wait for ever is told so, and the session is still there."""
    record_served(bench, SERVES)
    again = bench.rerun("--step", *commands("continue", "info totals", "quit"), environment=impatient(bench))
    told = " ".join((again.out.decode() + again.told).split())
    assert "app.py:12 listens on port" in told
    assert "and would wait forever" in told
    assert "send the requests from within the program" in told
    assert "of 1" in told


@pytest.mark.slow
def test_a_server_that_looks_at_the_clock_while_it_waits_is_ended_too(bench):
    """What a worker reads is written at once, and is not what somebody waits for."""
    record_served(bench, SERVES_APART)
    again = bench.rerun(environment=impatient(bench))
    assert again.status == 2
    assert "listens on port" in " ".join(again.told.split())
    events = open_trace(bench.again[0]).events()
    assert 1 < [event["event_type"] for event in events].count("inputs_read") < 150


def record_served(bench, program):
    """Record a server that tells its port, and ask it once."""
    command = [sys.executable, "-m", "namel3ss_debug", "trace", "-o", "run.jsonl", bench.write(program)]
    with subprocess.Popen(
        command, cwd=bench.folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=bench.without
    ) as traced:
        assert traced.stdout is not None
        port = int(traced.stdout.readline())
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert client.recv(1000).startswith(b"HTTP/1.0 200")
        assert traced.wait() == 0
