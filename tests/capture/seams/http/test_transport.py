"""Unmodified programs with real SDKs and HTTP libraries: recorded whole, and none the wiser."""

from __future__ import annotations

import os
import pty
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from namel3ss_debug.capture.launch.start import shutdown_tracing
from namel3ss_debug.traces.reader import open_trace

PROGRAMS = Path(__file__).parents[3] / "data" / "programs_sdk"
COMMAND = [sys.executable, "-m", "namel3ss_debug", "trace"]


def traced(words, environment, folder, **more):
    """Run a program under `debug trace`; what it gave and the trace."""
    output = folder / "run.jsonl"
    run = subprocess.run(
        [*COMMAND, "-o", str(output), *map(str, words)],
        capture_output=True,
        text=True,
        env=environment,
        cwd=folder,
        check=False,
        timeout=60,
        **more,
    )
    return run, list(open_trace(output).events()) if output.exists() else []


def without_our_line(stderr):
    """What the program itself wrote on stderr."""
    return "".join(
        line for line in stderr.splitlines(True) if not line.startswith("namel3ss debug: recorded")
    )


def pairs(events, component):
    """The spans of one component as pairs of start and end."""
    ends = {event.get("parent_event_id"): event for event in events if event["event_type"].endswith("_end")}
    starts = [e for e in events if e["event_type"].endswith("_start") and e["component"] == component]
    return [(start, ends.get(start["event_id"])) for start in starts]


@pytest.mark.parametrize(
    ("name", "llm_calls", "tools"),
    [
        ("openai_chat", 1, []),
        ("openai_chat_async", 3, []),
        ("openai_stream", 2, []),
        ("openai_stream_async", 1, []),
        ("openai_responses", 4, ["get_time", "get_weather", "get_weather"]),
        ("openai_parallel_tools", 2, ["get_time", "get_weather", "get_weather"]),
        ("openai_retry_429", 3, []),
        ("openai_embeddings", 1, []),
        ("openai_error_500", 1, []),
        ("openai_threads", 3, []),
        ("openai_timeout", 1, []),
        ("anthropic_messages", 1, []),
        ("anthropic_stream", 2, []),
        ("anthropic_tools", 2, ["get_time", "get_weather", "get_weather"]),
        ("anthropic_async", None, None),
        ("urllib_agent", 9, ["get_time", "get_weather", "get_weather"]),
        ("exit_3", 1, []),
        ("exit_exception", 1, []),
        ("os_exit_4", 1, []),
    ],
)
def test_a_program_is_recorded_and_runs_as_before(name, llm_calls, tools, model_environment, tmp_path):
    """Output, errors and exit status are byte for byte those of the untraced run, and every call is in the trace."""
    program = PROGRAMS / f"{name}.py"
    plain = subprocess.run(
        [sys.executable, str(program)],
        capture_output=True,
        text=True,
        env=model_environment,
        check=False,
        timeout=60,
    )
    run, events = traced([program], model_environment, tmp_path)
    assert (run.stdout, run.returncode) == (plain.stdout, plain.returncode)
    assert without_our_line(run.stderr) == plain.stderr
    calls = pairs(events, "llm")
    if llm_calls is not None:
        assert len(calls) == llm_calls
        assert sorted(start["component_name"] for start, _end in pairs(events, "tool")) == tools
    for start, end in calls:
        assert start["inputs"]["model"] == start["component_name"]
        assert start["inputs"]["messages"]
        assert Path(start["call_site"].partition(":")[0]).name == f"{name}.py"
        assert end is not None
        assert end["duration_ms"] > 0
        if end["status"] == "completed":
            assert end["outputs"]
    for start, end in pairs(events, "tool"):
        assert start["inputs"]["call_id"]
        assert start["inputs"]["arguments"]
        assert start["metadata"]["asked_in"] in {call["event_id"] for call, _end in calls}
        assert end["outputs"]["result"]


def test_usage_text_and_finish_reason_come_from_the_wire(model_environment, tmp_path):
    """A chat call tells what the provider counted, with the cached and reasoning parts."""
    _run, events = traced([PROGRAMS / "openai_chat.py"], model_environment, tmp_path)
    [(start, end)] = pairs(events, "llm")
    assert start["metadata"]["provider"] == "openai"
    assert start["metadata"]["format"] == "openai.chat"
    assert end["usage"] == {
        "input_tokens": 40,
        "output_tokens": 12,
        "cache_read_tokens": 24,
        "reasoning_tokens": 5,
    }
    assert end["tokens_used"] == 52
    assert end["outputs"]["finish_reason"] == "stop"
    assert end["outputs"]["text"].startswith("You said: ")


def test_an_attempt_after_a_failed_one_is_a_retry(model_environment, tmp_path):
    """A 429 that the SDK retries is one span for each attempt, counted and joined to the first."""
    _run, events = traced([PROGRAMS / "openai_retry_429.py"], model_environment, tmp_path)
    calls = pairs(events, "llm")
    assert [end["status"] for _start, end in calls] == ["failed", "failed", "completed"]
    assert [start.get("retry_count") for start, _end in calls] == [None, 1, 2]
    first = calls[0][0]["event_id"]
    assert [start["metadata"].get("retry_of") for start, _end in calls] == [None, first, first]
    assert calls[0][1]["metadata"]["exchange"]["status"] == 429
    assert calls[0][1]["error"] == "slow down"


def test_a_stream_is_recorded_chunk_by_chunk(model_environment, tmp_path):
    """Chunks stand inside their call, in order, and their text is what was sent; the first token has its time."""
    _run, events = traced([PROGRAMS / "openai_stream.py"], model_environment, tmp_path)
    (start, end), (_start, broken_off) = pairs(events, "llm")
    chunks = [
        e for e in events if e["event_type"] == "stream_chunk" and e["parent_event_id"] == start["event_id"]
    ]
    assert [chunk["metadata"]["index"] for chunk in chunks] == list(range(len(chunks)))
    assert "".join(chunk["outputs"]["text"] for chunk in chunks).count("data:") > 5
    assert end["outputs"]["text"] == "one two three four five six seven eight"
    assert 0 < end["metadata"]["time_to_first_token_ms"] < end["duration_ms"]
    assert broken_off["status"] == "partial"


def test_no_key_reaches_the_file(model_environment, tmp_path):
    """Authorization headers are never recorded."""
    model_environment["OPENAI_API_KEY"] = "sk-proj-" + "k" * 48
    traced([PROGRAMS / "openai_chat.py"], model_environment, tmp_path)
    assert "k" * 20 not in (tmp_path / "run.jsonl").read_text()


@pytest.mark.parametrize("name", ["exit_ctrl_c", "sigterm"])
def test_a_signal_ends_program_and_recording_alike(name, model_environment, tmp_path):
    """Ctrl-C and SIGTERM end the traced program as they end the plain one, and the call before is recorded."""
    number = signal.SIGTERM if name == "sigterm" else signal.SIGINT
    output = tmp_path / "run.jsonl"
    results = []
    for words in ([sys.executable], [*COMMAND, "-o", str(output)]):
        process = subprocess.Popen(
            [*words, str(PROGRAMS / f"{name}.py")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=model_environment,
            start_new_session=True,
        )
        seen = ""
        while "ready" not in seen:
            line = process.stdout.readline()
            assert line, process.stderr.read()
            seen += line
        os.killpg(process.pid, number)
        rest, errors = process.communicate(timeout=60)
        last_line = without_our_line(errors).splitlines()[-1:]  # where the signal lands is chance
        results.append((seen + rest, last_line, process.returncode))
    assert results[0] == results[1]
    [(_start, end)] = pairs(list(open_trace(output).events()), "llm")
    assert end["status"] == "completed"


def test_the_program_keeps_the_terminal(model_environment, tmp_path):
    """On a terminal the program sees a terminal, and its output arrives there unchanged."""
    program = tmp_path / "tty.py"
    program.write_text("import sys; print(sys.stdin.isatty(), sys.stdout.isatty(), sys.stderr.isatty())")
    output = b""

    def read(fd):
        nonlocal output
        data = os.read(fd, 1024)
        output += data
        return data

    def run():
        environment = {**os.environ, "NO_COLOR": "1"}
        os.execve(sys.executable, [*COMMAND, "-o", str(tmp_path / "run.jsonl"), str(program)], environment)

    pid, fd = pty.fork()
    if pid == 0:
        run()
    try:
        while read(fd):
            pass
    except OSError:
        pass
    assert os.waitpid(pid, 0)[1] == 0
    assert b"True True True" in output


LIBRARIES = {
    "requests": """
import os, requests
url = os.environ["OPENAI_BASE_URL"]
body = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
print(requests.post(url + "/chat/completions", json=body).json()["choices"][0]["message"]["content"])
with requests.post(url + "/chat/completions", json={**body, "stream": True}, stream=True) as response:
    print(sum(1 for line in response.iter_lines() if line))
print(requests.get(url + "/nothing?api_key=verysecretvalue").status_code)
""",
    "urllib3": """
import json, os, urllib3
url = os.environ["OPENAI_BASE_URL"]
body = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
pool = urllib3.PoolManager()
print(pool.request("POST", url + "/chat/completions", json=body).json()["choices"][0]["message"]["content"])
response = pool.request("POST", url + "/chat/completions", body=json.dumps({**body, "stream": True}), preload_content=False)
print(sum(len(piece) for piece in response.stream(64)) > 100)
print(pool.request("GET", url + "/nothing?api_key=verysecretvalue").status)
""",
    "urllib.request": """
import json, os, urllib.error, urllib.request
url = os.environ["OPENAI_BASE_URL"]
body = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
def post(body):
    return urllib.request.urlopen(urllib.request.Request(url + "/chat/completions", json.dumps(body).encode()))
print(json.load(post(body))["choices"][0]["message"]["content"])
print(sum(1 for line in post({**body, "stream": True}) if line.strip()))
try:
    urllib.request.urlopen(url + "/nothing?api_key=verysecretvalue")
except urllib.error.HTTPError as error:
    print(error.code, len(error.read()) > 9)
""",
    "aiohttp": """
import asyncio, os, aiohttp
url = os.environ["OPENAI_BASE_URL"]
body = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
async def main():
    async with aiohttp.ClientSession() as session:
        async with session.post(url + "/chat/completions", json=body) as response:
            print((await response.json())["choices"][0]["message"]["content"])
        async with session.post(url + "/chat/completions", json={**body, "stream": True}) as response:
            print(len([line async for line in response.content if line.strip()]) > 3)
        async with session.get(url + "/nothing?api_key=verysecretvalue") as response:
            print(response.status)
asyncio.run(main())
""",
    "httpx2": """
import os, httpx2
url = os.environ["OPENAI_BASE_URL"]
body = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
with httpx2.Client() as client:
    print(client.post(url + "/chat/completions", json=body).json()["choices"][0]["message"]["content"])
    with client.stream("POST", url + "/chat/completions", json={**body, "stream": True}) as response:
        print(sum(1 for line in response.iter_lines() if line) > 3)
    print(client.get(url + "/nothing?api_key=verysecretvalue").status_code)
""",
}


@pytest.mark.parametrize("library", LIBRARIES)
def test_http_libraries_are_recorded_by_the_shape_of_what_they_send(library, model_environment, tmp_path):
    """A model call is one by its shape, not its host; other HTTP is an exchange, without its secrets."""
    pytest.importorskip(library)
    program = tmp_path / "program.py"
    program.write_text(LIBRARIES[library])
    plain = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, env=model_environment, check=True
    )
    run, events = traced([program], model_environment, tmp_path)
    assert (run.stdout, run.returncode) == (plain.stdout, 0)
    (_one, answer), (_two, streamed) = pairs(events, "llm")
    assert answer["outputs"]["text"] == streamed["outputs"]["text"] == "You said: hello"
    assert streamed["metadata"]["exchange"]["chunks"] > 0
    [(start, end)] = pairs(events, "http")
    assert start["inputs"]["method"] == "GET"
    assert end["outputs"]["status"] == 501  # the server knows no GET
    assert end["status"] == "failed"
    assert "verysecretvalue" not in (tmp_path / "run.jsonl").read_text()


def test_a_result_of_an_unseen_function_is_joined_to_the_call_that_asked(model_environment, tmp_path):
    """Where the tool is no function of the program, its result in the next request makes the span."""
    program = tmp_path / "program.py"
    program.write_text(
        "import json\n"
        "from openai import OpenAI\n"
        "client = OpenAI()\n"
        "names = ('get_weather', 'get_time')\n"
        "tools = [{'type': 'function', 'function': {'name': n, 'parameters': {'type': 'object'}}} for n in names]\n"
        "messages = [{'role': 'user', 'content': 'weather?'}]\n"
        "answer = client.chat.completions.create(model='m', messages=messages, tools=tools).choices[0].message\n"
        "messages.append(answer)\n"
        "for call in answer.tool_calls:\n"
        "    messages.append({'role': 'tool', 'tool_call_id': call.id, 'content': 'sunny'})\n"
        "client.chat.completions.create(model='m', messages=messages, tools=tools)\n"
    )
    _run, events = traced([program], model_environment, tmp_path)
    spans = pairs(events, "tool")
    assert len(spans) == 3
    asked = pairs(events, "llm")[0]
    assert {start["inputs"]["call_id"] for start, _end in spans} == {
        c["id"] for c in asked[1]["outputs"]["tool_calls"]
    }
    for start, end in spans:
        assert start["metadata"] == {"asked_in": asked[0]["event_id"], "seen": False}
        assert end["outputs"] == {"result": "sunny"}
        assert "duration_ms" not in end


def test_a_model_that_cannot_be_reached_is_a_failed_call(model_environment, tmp_path):
    """The exception is the program's, and the attempt is in the trace."""
    model_environment["OPENAI_BASE_URL"] = "http://127.0.0.1:9/v1"
    program = tmp_path / "program.py"
    program.write_text(
        "import openai\n"
        "try:\n"
        "    openai.OpenAI(max_retries=0).chat.completions.create(model='m', messages=[{'role': 'user', 'content': 'x'}])\n"
        "except openai.APIConnectionError as error:\n"
        "    print(type(error).__name__)\n"
    )
    run, events = traced([program], model_environment, tmp_path)
    assert run.stdout == "APIConnectionError\n"
    [(_start, end)] = pairs(events, "llm")
    assert end["status"] == "failed"
    assert end["error_type"].endswith("ConnectError")


HOSTILE = {
    "requests": """
import io, os, requests, traceback
url = os.environ["OPENAI_BASE_URL"]
body = {"model": "m", "messages": [{"role": "user", "content": "x" * 40000}]}
print(len(requests.post(url + "/chat/completions", json=body).content))
with requests.post(url + "/chat/completions", json=body, stream=True) as response:
    print(len(response.raw.read(7)))
try:
    requests.get("http://127.0.0.1:9/")
except requests.ConnectionError:
    traceback.print_exc()
""",
    "urllib3": """
import os, traceback, urllib3
url = os.environ["OPENAI_BASE_URL"]
body = {"model": "m", "messages": [{"role": "user", "content": "x" * 40000}]}
pool = urllib3.PoolManager()
response = pool.request("POST", url + "/chat/completions", json=body, preload_content=False)
print(sum(map(len, iter(lambda: response.read(1000), b""))))
response = pool.request("POST", url + "/chat/completions", json=body, preload_content=False)
print(len(response.read1(7)) > 0)
response.close()
try:
    pool.request("GET", "http://127.0.0.1:9/", retries=False)
except urllib3.exceptions.HTTPError:
    traceback.print_exc()
""",
    "http.client": """
import http.client, json, os, traceback
from urllib.parse import urlsplit
address = urlsplit(os.environ["OPENAI_BASE_URL"])
body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "x" * 40000}]})
connection = http.client.HTTPConnection(address.netloc)
connection.request("POST", address.path + "/chat/completions", iter([body.encode()]), {"Content-Length": len(body)})
response = connection.getresponse()
print(sum(map(len, iter(lambda: response.read(1000), b""))))
connection.request("POST", address.path + "/chat/completions", body)
response = connection.getresponse()
print(len(response.read(7)))
response.close()
connection.close()
for where, path in ((http.client.HTTPConnection("127.0.0.1", 9), "/"), (connection, "no good")):
    try:
        where.request("GET", path)
    except (OSError, http.client.HTTPException):
        traceback.print_exc()
""",
    "aiohttp": """
import asyncio, os, traceback, warnings, aiohttp
url = os.environ["OPENAI_BASE_URL"]
body = {"model": "m", "messages": [{"role": "user", "content": "x" * 40000}]}
async def main():
    async with aiohttp.ClientSession() as session:
        response = await session.post(url + "/chat/completions", json=body)
        print(len(await response.read()))
        async with session.post(url + "/chat/completions", json=body) as response:
            print(len(await response.content.read(7)))
        for address in ("http://127.0.0.1:9/", "nonsense"):
            try:
                await session.get(address, auth=aiohttp.BasicAuth("a", "b"))
            except aiohttp.ClientError:
                traceback.print_exc()
asyncio.run(main())
""",
    "httpx2": """
import os, traceback, httpx2
url = os.environ["OPENAI_BASE_URL"]
body = {"model": "m", "messages": [{"role": "user", "content": "x" * 40000}]}
with httpx2.Client() as client:
    print(len(client.post(url + "/chat/completions", json=body).content))
    with client.stream("POST", url + "/chat/completions", json=body) as response:
        print(response.status_code)
    try:
        client.get("http://127.0.0.1:9/")
    except httpx2.ConnectError:
        traceback.print_exc()
""",
}


@pytest.mark.parametrize("library", HOSTILE)
def test_bodies_are_recorded_whole_or_partial_and_tracebacks_read_as_before(
    library, model_environment, tmp_path
):
    """A body in many pieces is whole, one that is closed early partial; no frame of ours is in a traceback."""
    program = tmp_path / "program.py"
    program.write_text(HOSTILE[library])
    plain = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, env=model_environment, check=True
    )
    run, events = traced([program], model_environment, tmp_path)
    assert run.stdout == plain.stdout
    assert without_our_line(run.stderr) == plain.stderr
    (_one, whole), (_two, early) = pairs(events, "llm")
    assert whole["outputs"]["text"] == "You said: " + "x" * 40000
    assert whole["metadata"]["exchange"]["response_bytes"] == int(plain.stdout.split()[0])
    assert [whole["status"], early["status"]] == ["completed", "partial"]
    [(_three, refused)] = pairs(events, "http")
    assert refused["status"] == "failed"


def test_a_tool_with_a_hook_is_one_span_that_names_its_call(model_environment, tmp_path):
    """The hook's own span takes the call that asked for it; a helper of the same name makes none."""
    program = tmp_path / "program.py"
    program.write_text(
        "import json\n"
        "from openai import OpenAI\n"
        "from namel3ss_debug.hooks import trace_tool_call\n"
        "class Helper:\n"
        "    def get_time(self, zone):\n"
        "        return zone + ' ' + 'noon'\n"
        "@trace_tool_call('Weather')\n"
        "def get_weather(city):\n"
        "    return 'sunny'\n"
        "def get_time(zone):\n"
        "    return Helper().get_time(zone)\n"
        "client = OpenAI()\n"
        "tools = [{'type': 'function', 'function': {'name': n, 'parameters': {}}} for n in ('get_weather', 'get_time')]\n"
        "messages = [{'role': 'user', 'content': 'weather?'}]\n"
        "answer = client.chat.completions.create(model='m', messages=messages, tools=tools).choices[0].message\n"
        "messages.append(answer)\n"
        "for call in answer.tool_calls:\n"
        "    result = globals()[call.function.name](**json.loads(call.function.arguments))\n"
        "    messages.append({'role': 'tool', 'tool_call_id': call.id, 'content': result})\n"
        "client.chat.completions.create(model='m', messages=messages, tools=tools)\n"
    )
    _run, events = traced([program], model_environment, tmp_path)
    asked = pairs(events, "llm")[0]
    spans = pairs(events, "tool")
    assert [start["component_name"] for start, _end in spans] == ["Weather", "Weather", "get_time"]
    calls = asked[1]["outputs"]["tool_calls"]
    assert [start["inputs"]["call_id"] for start, _end in spans] == [call["id"] for call in calls]
    assert {start["metadata"]["asked_in"] for start, _end in spans} == {asked[0]["event_id"]}


def test_our_own_words_stay_off_the_stdout_of_a_program_that_moves_its_stderr(model_environment, tmp_path):
    """A problem inside tracing is told on the stderr of the process, whatever `sys.stderr` is."""
    program = tmp_path / "program.py"
    program.write_text(
        "import sys\n"
        "from namel3ss_debug import get_global_tracer\n"
        "sys.stderr = sys.stdout\n"
        "get_global_tracer().problem('a made up one')\n"
    )
    run, _events = traced([program], model_environment, tmp_path)
    assert run.stdout == ""
    assert "namel3ss debug: while recording: a made up one\n" in run.stderr


def test_a_removed_working_directory_keeps_no_program_from_tracing(tmp_path):
    """`initialize_tracing` works where the working directory is gone."""
    program = tmp_path / "program.py"
    program.write_text(
        "import os, sys\n"
        "import namel3ss_debug\n"
        "os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone')\n"
        "namel3ss_debug.initialize_tracing(trace_output_dir=sys.argv[1]).emit('x', component='app')\n"
        "print(namel3ss_debug.shutdown_tracing())\n"
    )
    run = subprocess.run(
        [sys.executable, str(program), str(tmp_path / "traces")],
        capture_output=True, text=True, cwd=tmp_path, check=True,
    )  # fmt: skip
    assert any(event["event_type"] == "x" for event in open_trace(Path(run.stdout.strip())).events())


def test_what_urllib3_says_of_a_body_in_chunks_that_ends_early_is_recorded(tracer):
    """It closes itself before it says so; the recording tells the exception all the same."""
    import requests

    def serve(listening):
        connection, _ = listening.accept()
        with connection:
            connection.recv(1 << 16)
            connection.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,))
        thread.start()
        with (
            pytest.raises(requests.exceptions.ChunkedEncodingError),
            requests.get(f"http://127.0.0.1:{listening.getsockname()[1]}/", stream=True) as response,
        ):
            assert list(response.iter_content(None)) == [b"a"]
        thread.join()
    [end] = [e for e in open_trace(shutdown_tracing()).events() if e["event_type"] == "http_exchange_end"]
    assert end["metadata"]["exchange"]["raised"]["type"] == "urllib3.exceptions.ProtocolError"
    assert end["outputs"]["body"] == "a"
