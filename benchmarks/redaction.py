"""Compare what redaction adds to a model call of 20 kB with what another version of this package adds.

A call is a span with a prompt that was never seen before: prose, source code, JSON of a search with its addresses, or an
image; then with a megabyte of base64, random, of zeros (silence, black pixels) or of text. Last a request of 12 MB
through httpx, at two levels and untraced: with an image, with base64 as a text, and with prose. In time of a processor,
since nothing waits. Usage: `python benchmarks/redaction.py OTHER_PYTHON`, the Python of an environment that holds the
other version.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from statistics import median

from timing import holds, interleaved, ratios, show, spread

CALLS = 60
ROUNDS = 9
KINDS = ("prose", "code", "image", "search")
CLAIMED = KINDS[:3]
DATA = ("data", "zeros", "text")
MOST_SECONDS = 0.020
MEASURED = f"""
import base64, inspect, json, random, subprocess, sys, tempfile, time
from namel3ss_debug.capture.launch.start import initialize_tracing, shutdown_tracing

kind = sys.argv[1]
rng = random.Random(5)
words = [w for w in inspect.getsource(json.decoder).split() if w.isalpha()] + "the a of and to in is it with for".split() * 20
code = inspect.getsource(subprocess)


def prompt(number):
    if kind == "prose":
        return " ".join(rng.choices(words, k=4000))[:20_000]
    if kind == "code":
        start = rng.randrange(len(code) - 19_000)
        return f"# {{number}}" + code[start:start + 19_000]
    if kind == "search":
        rows = []
        while len(rows) < 60:
            query = "%20".join(rng.choices(words, k=4))
            rows.append({{"id": f"{{rng.getrandbits(128):032x}}", "url": f"https://example.com/a?q={{query}}",
                          "text": " ".join(rng.choices(words, k=30)) + "\\n\\u201c"}})
        return json.dumps(rows)[:20_000]
    if kind == "data":
        return base64.b64encode(rng.randbytes(750_000)).decode()
    if kind == "zeros":
        return base64.b64encode(bytes(750_000 + number)).decode()
    if kind == "text":
        return base64.b64encode(" ".join(rng.choices(words, k=200_000))[:750_000].encode()).decode()
    return "data:image/png;base64," + base64.b64encode(b"\\x89PNG\\r\\n" + rng.randbytes(15_000)).decode()


with tempfile.TemporaryDirectory() as folder:
    calls = 3 if kind in {DATA} else {CALLS}
    tracer = initialize_tracing(trace_output_dir=folder, max_payload_size=0)
    prompts = [prompt(number) for number in range(calls + 5)]
    for text in prompts[:1]:
        with tracer.span("llm", "chat", inputs={{"prompt": text}}):
            pass
    began = time.process_time()
    for text in prompts[5:]:
        with tracer.span("llm", "chat", inputs={{"prompt": text}}):
            pass
    print((time.process_time() - began) / calls)
    shutdown_tracing()
"""
REQUESTS = ("image", "random", "zeros", "prose")
LEVELS = ("untraced", "basic", "detailed")
MOST_BASIC_SECONDS = 0.020
REQUEST = r"""
import base64, json, random, sys, tempfile, time
import httpx

kind, level, address = sys.argv[1:]
rng = random.Random(5)
words = "the agent asks a model and the model asks for a tool that reads a page of prose".split()


def part(number):
    if kind == "image":
        data = b"\x89PNG\r\n\x1a\n\0" + rng.randbytes(9_000_000)
        return {"type": "image_url", "image_url": {"url": "data:image/png;base64," + base64.b64encode(data).decode()}}
    if kind == "random":
        return {"type": "text", "text": base64.b64encode(rng.randbytes(9_000_000)).decode()}
    if kind == "zeros":
        return {"type": "text", "text": base64.b64encode(bytes(9_000_000 + number)).decode()}
    return {"type": "text", "text": " ".join(rng.choices(words, k=3_000_000))[:12_000_000]}


def send(content):
    body = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": [content]}]}).encode()
    began = time.process_time()
    client.post(address, content=body, headers={"content-type": "application/json"}).json()
    return time.process_time() - began


with tempfile.TemporaryDirectory() as folder:
    if level != "untraced":
        from namel3ss_debug.capture.launch.start import initialize_tracing, shutdown_tracing

        initialize_tracing(trace_output_dir=folder, max_payload_size=0, level=level)
    client = httpx.Client()
    send({"type": "text", "text": "hello"})
    parts = [part(number) for number in range(3)]
    print(sum(map(send, parts)) / 3, sum(map(send, parts)) / 3)
    if level != "untraced":
        shutdown_tracing()
"""
THIS, OTHER = "this version", "the other version"


def main() -> int:
    """Measure, print, and return the exit status: 0 when the claims hold."""
    if len(sys.argv) != 2:
        print("usage: redaction.py OTHER_PYTHON", file=sys.stderr)
        return 2
    pythons = {THIS: sys.executable, OTHER: os.path.abspath(sys.argv[1])}
    within = []
    for kind in KINDS:
        subjects = {version: partial(call_seconds, python, kind) for version, python in pythons.items()}
        taken = interleaved(subjects, ROUNDS)
        print(f"A model call of 20 kB of {kind}, redacted:")
        show(taken, 1e6, " µs")
        print(f"  this version / the other: {spread(ratios(taken, THIS, OTHER))}")
        ratio = median(ratios(taken, THIS, OTHER))
        if kind in CLAIMED:
            within.append(
                holds(f"a redacted model call of 20 kB of {kind} / with the other version", ratio, 1.5)
            )
    for kind in DATA:
        subjects = {version: partial(call_seconds, python, kind) for version, python in pythons.items()}
        taken = interleaved(subjects, 3)
        print(f"A model call of a megabyte of base64, {kind}:")
        show(taken, 1e3, " ms")
        within.append(
            holds(f"seconds for a redacted megabyte of base64, {kind}", median(taken[THIS]), MOST_SECONDS)
        )
    with serving() as address:
        for kind in REQUESTS:
            subjects = {
                f"{level}, {version}": partial(request_seconds, python, kind, level, address)
                for level in LEVELS
                for version, python in pythons.items()
            }
            taken = interleaved(subjects, 3)
            print(f"A request of 12 MB through httpx, {kind}:")
            show(taken, 1e3, " ms")
            more = median(taken[f"basic, {THIS}"]) - median(taken[f"untraced, {THIS}"])
            within.append(
                holds(f"more seconds at the level basic for 12 MB of {kind}", more, MOST_BASIC_SECONDS)
            )
    return 0 if all(within) else 1


class Model(BaseHTTPRequestHandler):
    """Answers any request as a model."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Answer after the whole request was read."""
        left = int(self.headers["content-length"])
        while left:
            left -= len(self.rfile.read(min(left, 1 << 20)))
        message = {"role": "assistant", "content": "ok"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        body = json.dumps({"id": "c", "model": "gpt-4o", "choices": [choice]}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """Print nothing."""


@contextmanager
def serving() -> Iterator[str]:
    """Serve the model while the block runs; yield its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1/chat/completions"
    server.shutdown()


def request_seconds(python: str, kind: str, level: str, address: str) -> float:
    """Send long requests, and return what one took that was never sent before, in seconds.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    command = [python, "-c", REQUEST, kind, level, address]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[0])


def call_seconds(python: str, kind: str) -> float:
    """Record calls, and return what one took, in seconds.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    command = [python, "-c", MEASURED, kind]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    sys.exit(main())
