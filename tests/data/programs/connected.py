"""Work in threads, a pool, asyncio, forked and spawned children and two services that call each other."""

import asyncio
import json
import multiprocessing
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx2 as httpx

from namel3ss_debug.hooks import performance_marker, trace_agent_execution, trace_chain_step


@trace_chain_step
def work(name):
    performance_marker(name, 1)
    return name


class Handler(BaseHTTPRequestHandler):
    """Answers a request, after it has asked the next service where there is one."""

    def do_POST(self):
        work(f"served {self.path}")
        if self.server.next_url:
            httpx.post(f"{self.server.next_url}{self.path}", json={}).raise_for_status()
        self.rfile.read(int(self.headers["content-length"]))
        body = json.dumps({"saw": "traceparent" in self.headers}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def serve(next_url=""):
    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.next_url = next_url
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.handle_request()
    server.handle_request()
    performance_marker("service ends", 1)


def start_service(*arguments):
    process = subprocess.Popen([sys.executable, __file__, "serve", *arguments], stdout=subprocess.PIPE, text=True)
    return process, process.stdout.readline().strip()


async def ask(url):
    async with httpx.AsyncClient() as client:
        work("before asking")
        return (await client.post(f"{url}/async", json={})).json()


async def asynchronously(url):
    answers = await asyncio.gather(ask(url), asyncio.to_thread(work, "to_thread"))
    return answers[0]


def run_child(method):
    child = multiprocessing.get_context(method).Process(target=work, args=(method,))
    child.start()
    child.join()
    assert child.exitcode == 0


@trace_agent_execution("Everything")
def everything():
    inner, inner_url = start_service()
    outer, outer_url = start_service(inner_url)
    thread = threading.Thread(target=work, args=("thread",))
    thread.start()
    thread.join()
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(work, ["a", "b"])) == ["a", "b"]
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(work, "pooled").result() == "pooled"
    run_child("fork")
    run_child("spawn")
    assert httpx.post(f"{outer_url}/sync", json={}).json()
    answer = asyncio.run(asynchronously(outer_url))
    assert (outer.wait(), inner.wait()) == (0, 0)
    return answer


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(*sys.argv[2:])
    else:
        print(everything())
