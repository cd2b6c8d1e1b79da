"""What recording costs a service: time of a processor a request, of two calls of a model and one of a tool.

The service is FastAPI under uvicorn with the OpenAI SDK; once it is asynchronous, once its requests run in threads. It and
the same recorded are up at the same time and take turns. The model is in another process and answers at once.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from time import sleep

from serving import serving
from timing import holds, interleaved, ratios, show

REQUESTS = 40
WARM_UP = 100
ROUNDS = 5
SCRIPT = """\
import json


def answer(path, request):
    message = {"role": "assistant", "content": "Your parcel is in Zurich and arrives in two days."}
    if not any(each["role"] == "tool" for each in json.loads(request)["messages"]):
        function = {"name": "find", "arguments": json.dumps({"parcel": 7})}
        message = {"role": "assistant", "content": None}
        message["tool_calls"] = [{"id": "call_1", "type": "function", "function": function}]
    reason = "tool_calls" if "tool_calls" in message else "stop"
    choice = {"index": 0, "message": message, "finish_reason": reason, "logprobs": None}
    usage = {"prompt_tokens": 120, "completion_tokens": 20, "total_tokens": 140}
    whole = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1735689600, "model": "gpt-4o-mini"}
    return json.dumps({**whole, "choices": [choice], "usage": usage}).encode()
"""
SERVICE = """\
import json
import sys
import time

import openai
import uvicorn
from fastapi import FastAPI

url, port = sys.argv[1:]
model = openai.CLIENT(base_url=url + "/v1", api_key="unused")
app = FastAPI()
SYSTEM = "You answer questions about parcels, shortly and kindly. " * 40
TOOLS = [{"type": "function", "function": {"name": "find", "description": "Where a parcel is.", "parameters":
    {"type": "object", "properties": {"parcel": {"type": "integer"}}, "required": ["parcel"]}}}]


def find(parcel):
    return {"parcel": parcel, "city": "Zurich", "days": parcel % 5}


@app.post("/ask")
ASYNC def ask(question: dict):
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question["text"]}]
    for _ in range(2):
        answer = AWAIT model.chat.completions.create(model="gpt-4o-mini", messages=messages, tools=TOOLS)
        message = answer.choices[0].message
        messages.append(message.model_dump(exclude_none=True))
        for call in message.tool_calls or ():
            found = json.dumps(find(**json.loads(call.function.arguments)))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": found})
    return {"answer": messages[-1]["content"]}


@app.get("/busy")
def busy():
    return time.process_time()


uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning", timeout_keep_alive=600)
"""
KINDS = {
    "asynchronous": {"CLIENT": "AsyncOpenAI", "ASYNC": "async", "AWAIT": "await"},
    "in threads": {"CLIENT": "OpenAI", "ASYNC ": "", "AWAIT ": ""},
}
PLAIN, TRACED = "plain", "traced"
TRACE = ["-c", "from namel3ss_debug.cli.main import debug; debug()", "trace"]


def main() -> int:
    """Measure, print, and return the exit status: 0 when all claims hold."""
    if importlib.util.find_spec("fastapi") is None or importlib.util.find_spec("uvicorn") is None:
        print("fastapi and uvicorn are not installed")
        return 2
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        Path("script.py").write_text(SCRIPT)
        os.environ |= {"NO_PROXY": "127.0.0.1", "NAMEL3SS_DEBUG_OUTPUT_DIR": f"{folder}/traces"}
        with serving("script") as url:
            claims = [compare(kind, url) for kind in KINDS]
    return 0 if all(claims) else 1


def compare(kind: str, url: str) -> bool:
    """Measure one kind of service, recorded and not."""
    text = SERVICE
    for word, value in KINDS[kind].items():
        text = text.replace(word, value)
    Path("service.py").write_text(text)
    with started([], url) as plain, started(TRACE, url) as traced:
        taken = interleaved({PLAIN: partial(busy, plain), TRACED: partial(busy, traced)}, ROUNDS)
    print(f"A request of a service, {kind}, time of a processor:")
    show(taken, 1e3, " ms")
    return holds(f"a recorded request / a plain one, {kind}", median(ratios(taken, TRACED, PLAIN)), 1.2)


@contextlib.contextmanager
def started(before: list[str], url: str) -> Iterator[HTTPConnection]:
    """Run the service until the block ends; a connection to it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, *before, "service.py", url, str(port)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as service:
        try:
            while True:
                connection = HTTPConnection("127.0.0.1", port)
                try:
                    ask(connection, WARM_UP)
                    break
                except ConnectionRefusedError:
                    sleep(0.1)
            yield connection
            connection.close()  # uvicorn waits for it
        finally:
            service.terminate()


def busy(connection: HTTPConnection) -> float:
    """Seconds of a processor a request."""
    began = get_busy(connection)
    ask(connection, REQUESTS)
    return (get_busy(connection) - began) / REQUESTS


def ask(connection: HTTPConnection, requests: int) -> None:
    """Send requests, none of which was sent before."""
    for number in range(requests):
        text = f"Question {os.urandom(3).hex()}-{number}: where is my parcel, and when does it arrive?"
        connection.request("POST", "/ask", json.dumps({"text": text}), {"content-type": "application/json"})
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        answer.read()


def get_busy(connection: HTTPConnection) -> float:
    """Seconds that the service has had a processor."""
    connection.request("GET", "/busy")
    return float(connection.getresponse().read())


if __name__ == "__main__":
    sys.exit(main())
